"""Transformers of users or items: what fit makes of one, and checks of its output.

Input: a transformer of any library, or None; its output (n_rows, p) of any kind.
Output: an unfitted transformer; feature rows, CSR (n_rows, p).
"""

import numpy as np
from sklearn.base import clone

from sktwotower._tables._messages import warn

from ._table_checks import as_csr
from ._tower_vectorizer import TowerVectorizer

__all__ = ["checked_rows", "prepared", "warn_of_large_columns"]

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


def checked_rows(output, n_rows, side):
    """Return a transformer's output as float32 CSR after its checks."""
    name = f"{side}_transformer"
    try:
        rows = as_csr(output)
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


def warn_of_large_columns(entities):
    """Warn if columns of the feature rows of ``Entities`` are far larger than one."""
    rows = entities.rows
    large = rows.indices[np.abs(rows.data) > LARGE]
    if not len(large) or isinstance(entities.transformer, TowerVectorizer):
        return
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
