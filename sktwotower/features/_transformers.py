"""Transformers of a table: fitted, perhaps taken from a cache, and their output.

Input: a transformer of any library, or None; a table (n_rows, n_columns).
Output: the fitted transformer; feature rows, CSR (n_rows, p).
"""

import pickle
from contextlib import contextmanager
from numbers import Integral

import joblib
import numpy as np
import pandas as pd
import sklearn
from scipy import sparse
from sklearn.base import clone
from sklearn.utils.validation import check_memory

from sktwotower import __version__
from sktwotower._records import require
from sktwotower._sklearn_compat import inputs_of_transformers
from sktwotower._tables._messages import warn

from ._cells import read_cells
from ._tower_vectorizer import TowerVectorizer

# A column that is larger than this in more than this share of the rows outweighs ids of
# size 1: with numbers around 10 in all rows, half as much is found as without them.
LARGE = 10
SHARE = 0.1
# Number of rows that are encoded twice in fit, and the relative difference allowed:
# a decomposition returns nearly the same from fit_transform and from transform.
N_REPEATED = 5
TOLERANCE = 1e-3
# Kinds of columns whose range in fit is kept.
RANGED = "number", "datetime"


def prepared(transformer, side, id_column):
    """Return a clone of the transformer that reads the id column, if any, as ids."""
    if transformer is None:
        transformer = TowerVectorizer()
    methods = ("fit", "transform", "get_params")
    fits = all(hasattr(transformer, method) for method in methods)
    if isinstance(transformer, type) or not fits:
        raise TypeError(
            f"{side}_transformer must be a scikit-learn transformer, which has fit and "
            f"transform. Got {transformer!r}."
        )
    transformer = clone(transformer)
    if isinstance(transformer, TowerVectorizer):
        if id_column is not None:
            kinds = {id_column: "id"}
            kinds.update(transformer.kinds or {})
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


class Described:
    """What a transformer describes: the users, the items or the contexts of requests.

    Subclasses have the ``side`` that it is of, the ``transformer``, the ``columns`` of
    its tables and their ``dtypes`` in fit, their ``ranges`` or None, and the number of
    its output columns, ``own_width``.
    """

    def check_transformer(self, place):
        """Raise unless what was read from a file is a transformer to these columns."""
        transformer = self.transformer
        fits = hasattr(transformer, "transform") and not isinstance(transformer, type)
        require(fits, f"{place}.transformer", "a transformer")
        if isinstance(transformer, TowerVectorizer):
            encoders = vars(transformer).get("encoders_", [])
            n_columns = sum(len(encoder.names) for _, encoder in encoders)
            width = self.own_width
            require(n_columns == width, place, f"{width} columns, not {n_columns}")

    def feature_names(self):
        """Return the name of each feature column, a list, or None if there are none."""
        try:
            names = list(self.transformer.get_feature_names_out())
        except (AttributeError, NotImplementedError, TypeError, ValueError):
            return None  # many transformers have no names, some fail to return them
        if len(names) != self.own_width:
            return None
        return names

    def ranges_of(self, table):
        """Return the least and the largest number of each column, float64 (m, 2).

        Those of dates are days since 1970. They are nan for other columns; None if no
        column has one, or the transformer is no ``TowerVectorizer``.
        """
        ranges = np.full((len(self.columns), 2), np.nan)
        if not isinstance(self.transformer, TowerVectorizer):
            return None
        for position, encoder in self.transformer.encoders_:
            if encoder.kind not in RANGED:
                continue
            cells, _ = read_cells(table.iloc[:, position], encoder.name)
            if len(cells):
                numbers = encoder.measures(cells)
                ranges[position] = numbers.min(), numbers.max()
        return None if np.isnan(ranges).all() else ranges

    def wider_ranges(self, table):
        """Return the ranges with those of a further table; None stays None."""
        if self.ranges is None:
            return None
        further = self.ranges_of(table)
        if further is None:
            return self.ranges
        lowest = np.fmin(self.ranges[:, 0], further[:, 0])
        highest = np.fmax(self.ranges[:, 1], further[:, 1])
        return np.column_stack([lowest, highest])

    def check_ranges(self, place):
        """Raise unless there is a range for each column, if there are any."""
        fits = self.ranges is None or len(self.ranges) == len(self.columns)
        require(fits, f"{place}.ranges", f"{len(self.columns)} ranges")

    def fit_transform(self, table, memory=None):
        """Fit the transformer on a table; return the fitted one and its output.

        ``memory`` (None, a folder or a `joblib.Memory`) keeps both. The key is the
        pickled transformer and table. A transformer is fitted each time if its pickle
        does not determine its output: one that draws random numbers without a seed, one
        that cannot be pickled, or one with code of ``__main__``, which may change under
        the same name.
        """
        key = None
        if memory is not None:
            key = _key(self.transformer, table)
        fit_transform = _fit_transform
        if key is not None:
            fit_transform = in_cache(memory)
        with self.explained(table):
            return fit_transform(self.transformer, table, key)

    def transform(self, table, incomplete=None):
        """Return the rows of a table, CSR (n, own_width), by the fitted transformer.

        ``incomplete`` (n,): as in `checked_rows`.
        """
        if len(table) == 0:
            return sparse.csr_matrix((0, self.own_width), dtype=np.float32)
        with self.explained(table):
            output = self.transformer.transform(table)
        rows = self.checked_rows(output, len(table), incomplete)
        if rows.shape[1] != self.own_width:
            raise ValueError(
                f"{self.side}_transformer must return as many columns as in fit: "
                f"expected {self.own_width}, got {rows.shape[1]} for {len(table)} "
                "rows. Their number must not depend on the rows: use "
                "OneHotEncoder(handle_unknown='ignore') instead of pandas.get_dummies, "
                "whose columns are the levels in the table at hand."
            )
        return rows

    @contextmanager
    def explained(self, table):
        """Call the transformer of a table; add the input columns to its errors.

        A global ``set_config(transform_output=...)`` applies to the output that users
        see, not to the sparse rows here.
        """
        try:
            with sklearn.config_context(transform_output="default"):
                yield
        except Exception as error:
            dtypes_of_fit = dict(zip(self.columns, self.dtypes, strict=True))
            given = []
            changes = ""
            for name, dtype in table.dtypes.items():
                before = dtypes_of_fit[name]
                given.append(f"{name!r} ({dtype})")
                if before != str(dtype):
                    changes += f" {name!r} was {before} in fit and is {dtype} now."
            columns = ", ".join(given)
            error.add_note(f"{self.side}_transformer was given {columns}.{changes}")
            raise

    def checked_rows(self, output, n_rows, incomplete=None):
        """Return the transformer's output as float32 CSR after its checks.

        ``incomplete`` (n_rows,): rows whose input lacks cells; there NaN becomes 0.
        """
        name = f"{self.side}_transformer"
        try:
            rows = _as_csr(output)
        except (TypeError, ValueError) as error:
            raise ValueError(
                f"{name} must return numbers, as a matrix (n_rows, n_features). Got "
                f"{type(output).__name__}: {error}"
            ) from error
        if rows.shape[0] != n_rows:
            raise ValueError(
                f"{name} must return one row per {self.side}: expected {n_rows} rows, "
                f"got {rows.shape[0]}."
            )
        if incomplete is not None:
            is_allowed = np.repeat(incomplete, np.diff(rows.indptr))
            rows = without_entries(rows, is_allowed & np.isnan(rows.data))
        if not np.isfinite(rows.data).all():
            raise ValueError(
                f"{name} returned NaN or infinity. Impute or clip the values, for "
                "example with SimpleImputer as its last step."
            )
        return rows

    def warn_of_changes(self, table, rows):
        """Warn if a few rows of fit differ when they are encoded again."""
        if self.own_width == 0:
            return
        # not all rows, if possible: the output of a row may depend on the other rows
        n_repeated = min(N_REPEATED, max(len(table) - 1, 1))
        before = rows[:n_repeated]
        again = self.transform(table.iloc[:n_repeated])
        scale = max(abs(before).max(), abs(again).max())
        if scale == 0 or abs(before - again).max() <= TOLERANCE * scale:
            return
        warn(
            f"{self.side}_transformer is not reproducible: transform returned "
            "other values than fit_transform for the same rows, so vectors "
            f"computed from features of {self.side}s later will differ from those "
            "of fit. Set its random_state, and let each output row depend only on "
            "its own input row; fit_transform must equal fit, then transform."
        )


def _fit_transform(transformer, table, key):
    """Fit a transformer on a table; return it and its output. A cache takes the key."""
    if hasattr(transformer, "fit_transform"):
        output = transformer.fit_transform(table)
    else:
        output = transformer.fit(table).transform(table)
    return transformer, output


def _key(transformer, table):
    """Return a key that determines the output; None if there is no such key."""
    for name, value in transformer.get_params().items():
        is_seed = name.rpartition("__")[2] == "random_state"
        if is_seed and not isinstance(value, Integral):
            return None
    try:
        if b"__main__" in pickle.dumps(transformer):
            return None
        cells = pickle.dumps(table, protocol=5)
        versions = (__version__, sklearn.__version__)
        return joblib.hash((versions, transformer, cells), hash_name="sha1")
    except (pickle.PicklingError, AttributeError, TypeError):
        return None


def blocks_of(transformer):
    """Return (positions of inputs, slice of outputs) of each part of a transformer.

    None if it is not known which outputs come from which inputs.
    """
    from sklearn.compose import ColumnTransformer  # it loads all linear models

    blocks = []
    if isinstance(transformer, TowerVectorizer):
        start = 0
        for position, encoder in transformer.encoders_:
            stop = start + len(encoder.names)
            blocks.append(([position], slice(start, stop)))
            start = stop
        return blocks
    if isinstance(transformer, ColumnTransformer):
        outputs = transformer.output_indices_
        for name, inputs in inputs_of_transformers(transformer).items():
            if len(inputs):
                blocks.append((inputs, outputs[name]))
        return blocks
    return None


def without_entries(rows, gone):
    """Return a copy of CSR rows without entries (nnz,); if none is gone, the rows."""
    if gone.any():
        rows = rows.copy()
        rows.data[gone] = 0
        rows.eliminate_zeros()
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
    columns_of_large = rows.indices[np.abs(rows.data) > LARGE]
    n_large = np.bincount(columns_of_large, minlength=entities.width)
    columns = np.flatnonzero(n_large > SHARE * len(entities))
    if len(columns) == 0:
        return
    names = entities.feature_names() or list(range(entities.width))
    shown = []
    for column in columns[:5].tolist():
        largest = np.abs(rows[:, column].data).max()
        shown.append(f"{str(names[column])!r} (up to {largest:.3g})")
    if len(columns) > 5:
        shown.append("...")
    warn(
        f"{entities.side}_transformer returns numbers far larger than 1 in "
        f"{len(columns)} of {entities.width} columns: {', '.join(shown)}. They "
        "outweigh ids and all other features. Scale them, as by StandardScaler or "
        "RobustScaler, or use TowerVectorizer."
    )
