"""Checks of tables, column names and kinds, and of the output of a transformer.

Input: a table (n_rows, n_columns) of any library, and the parameter ``kinds``.
Output: a pandas DataFrame (n_rows, n_columns), ``kinds``, and a CSR matrix.
"""

import numpy as np
import pandas as pd
from scipy import sparse
from sklearn.utils.validation import validate_data

from sktwotower._tables._frames import array_as_frame, as_frame, is_frame
from sktwotower._tables._messages import closest, did_you_mean
from sktwotower._tables._schema import checked_array

from ._kinds import ENCODERS


def check_table(vectorizer, X, reset):
    """Return X as a DataFrame; set its column names (``reset``), or compare them."""
    min_rows = 1 if reset else 0
    if not is_frame(X):
        X = checked_array(
            vectorizer,
            X,
            reset=reset,
            dtype=None,
            ensure_all_finite=False,
            ensure_min_samples=min_rows,
        )
        return array_as_frame(X, "X")
    X = as_frame(X, "X")
    _check_names(vectorizer, X, reset)
    bounds = ((len(X), min_rows, "sample"), (X.shape[1], 1, "feature"))
    for size, least, what in bounds:
        if size < least:
            raise ValueError(
                f"Found array with {size} {what}(s) (shape={X.shape}) while a minimum "
                f"of {least} is required by {type(vectorizer).__name__}."
            )
    return X


def _check_names(vectorizer, table, reset):
    """Let scikit-learn check the column names, and name those that may be misspelt."""
    try:
        validate_data(vectorizer, table, reset=reset, skip_check_array=True)
    except ValueError as error:
        known = getattr(vectorizer, "feature_names_in_", np.empty(0)).tolist()
        missing = [name for name in known if name not in table.columns]
        hints = [
            f"{name!r} was not a column in fit.{did_you_mean(name, missing)}"
            for name in table.columns
            if name not in known and closest(name, missing) is not None
        ]
        raise ValueError("\n".join([str(error).rstrip(), *hints])) from None


def check_kinds(kinds, names):
    """Return ``kinds``, a dict of columns of X to kinds, after checks."""
    for name, kind in kinds.items():
        if name not in names:
            raise ValueError(
                f"kinds names {name!r}, which is not a column of X."
                f"{did_you_mean(name, names)}"
            )
        allowed = [*ENCODERS, "drop"]
        if kind not in allowed:
            raise ValueError(
                f"kinds[{name!r}] must be the name of a kind. Got {kind!r} instead."
                f"{did_you_mean(kind, allowed, 'Kinds')}"
            )
    return kinds


def as_csr(output):
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
