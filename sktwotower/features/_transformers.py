"""Transformers of users or items: fitted, perhaps taken from a cache, and their output.

Input: a transformer of any library, or None; a table (n_rows, n_columns).
Output: the fitted transformer; feature rows, CSR (n_rows, p).
"""

import pickle
from numbers import Integral

import joblib
import numpy as np
import pandas as pd
import sklearn
from scipy import sparse
from sklearn.base import clone
from sklearn.utils.validation import check_memory

from sktwotower import __version__
from sktwotower._tables._messages import warn

from ._tower_vectorizer import TowerVectorizer

# A column that is larger than this in more than this share of the rows outweighs ids of
# size 1: with numbers around 10 in all rows, half as much is found as without them.
LARGE, SHARE = 10, 0.1


def prepared(transformer, side, id_column):
    """Return a clone of the transformer that reads the id column as ids."""
    transformer = TowerVectorizer() if transformer is None else transformer
    needed = ("fit", "transform", "get_params")
    if isinstance(transformer, type) or not all(
        hasattr(transformer, method) for method in needed
    ):
        raise TypeError(
            f"{side}_transformer must be a scikit-learn transformer, which has fit and "
            f"transform. Got {transformer!r}."
        )
    transformer = clone(transformer)
    if isinstance(transformer, TowerVectorizer):
        kinds = {id_column: "id"} | (transformer.kinds or {})
        transformer.set_params(kinds=kinds)
        transformer.set_output(transform="default")  # its rows are sparse
    return transformer


def in_cache(memory):
    """Return ``_fit_transform`` as cached by ``memory``."""
    try:
        # joblib's own hash would take longer than many transformers
        ignored = ["transformer", "table"]
        return check_memory(memory).cache(_fit_transform, ignore=ignored)
    except OSError as error:
        raise ValueError(
            f"memory={memory!r} must be a folder that can be written, or a "
            f"joblib.Memory: {error}."
        ) from error


def fit_transform(transformer, table, memory=None):
    """Fit a transformer on a table; return the fitted transformer and its output.

    ``memory`` (None, a folder or a `joblib.Memory`) keeps both. The key is the pickled
    transformer and table. A transformer is fitted each time if its pickle does not
    determine its output: one that draws random numbers without a seed, one that cannot
    be pickled, or one with code of ``__main__``, which may change under the same name.
    """
    key = None if memory is None else _key(transformer, table)
    if key is None:
        return _fit_transform(transformer, table, key)
    return in_cache(memory)(transformer, table, key)


def _fit_transform(transformer, table, key):
    if hasattr(transformer, "fit_transform"):
        output = transformer.fit_transform(table)
    else:
        output = transformer.fit(table).transform(table)
    return transformer, output


def _key(transformer, table):
    """Return a key that determines the output; None if there is no such key."""
    for name, value in transformer.get_params().items():
        seeded = isinstance(value, Integral)
        if name.rpartition("__")[2] == "random_state" and not seeded:
            return None
    try:
        if b"__main__" in pickle.dumps(transformer):
            return None
        cells = pickle.dumps(table, protocol=5)
        versions = __version__, sklearn.__version__
        return joblib.hash((versions, transformer, cells), hash_name="sha1")
    except (pickle.PicklingError, AttributeError, TypeError):
        return None


def checked_rows(output, n_rows, side):
    """Return a transformer's output as float32 CSR after its checks."""
    name = f"{side}_transformer"
    try:
        rows = _as_csr(output)
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"{name} must return numbers, as a matrix (n_rows, n_features). Got "
            f"{type(output).__name__}: {error}"
        ) from error
    if rows.shape[0] != n_rows:
        raise ValueError(
            f"{name} must return one row per {side}: expected {n_rows} rows, "
            f"got {rows.shape[0]}."
        )
    if not np.isfinite(rows.data).all():
        raise ValueError(
            f"{name} returned NaN or infinity. Impute or clip the values, for "
            "example with SimpleImputer as its last step."
        )
    return rows


def _as_csr(output):
    """Return a transformer's output, of any kind, as a canonical float32 CSR matrix."""
    if isinstance(output, pd.DataFrame):
        output = output.to_numpy(na_value=np.nan)
    if np.iscomplexobj(output):
        raise TypeError("complex numbers.")
    if sparse.issparse(output) and output.ndim != 2:
        raise TypeError(f"shape {output.shape}.")
    rows = sparse.csr_matrix(output, dtype=np.float32)
    if not rows.has_canonical_format:
        rows = rows.copy()  # the transformer may keep its output
        rows.sum_duplicates()
    return rows


def warn_of_large_columns(entities):
    """Warn if columns of the feature rows of ``Entities`` are far larger than one."""
    if isinstance(entities.transformer, TowerVectorizer):
        return
    rows = entities.rows
    large = rows.indices[np.abs(rows.data) > LARGE]
    counts = np.bincount(large, minlength=entities.width)
    columns = np.flatnonzero(counts > SHARE * len(entities))
    if not len(columns):
        return
    names = entities.feature_names() or [*range(entities.width)]
    shown = ", ".join(
        f"{str(names[column])!r} (up to {np.abs(rows[:, column].data).max():.3g})"
        for column in columns[:5].tolist()
    )
    more = ", ..." if len(columns) > 5 else ""
    warn(
        f"{entities.side}_transformer returns numbers far larger than 1 in "
        f"{len(columns)} of {entities.width} columns: {shown}{more}. They outweigh "
        "ids and all other features. Scale them, as by StandardScaler or RobustScaler, "
        "or use TowerVectorizer."
    )
