"""Reading a table of users or items, and its columns as plain numbers or objects.

Input: a table (n_rows, n_columns) of any library; a column (n_rows,) of any dtype.
Output: a pandas DataFrame; present cells (n_present,), and which are missing (n_rows,).
"""

from collections import defaultdict

import numpy as np
import pandas as pd
from scipy import sparse
from sklearn.utils.validation import check_array, validate_data

from sktwotower._records._reading import object_array
from sktwotower._tables._frames import as_frame, is_frame, is_missing
from sktwotower._tables._messages import closest, did_you_mean
from sktwotower._tables._schema import checked_frame

LISTS = (list, tuple, set, frozenset, dict, np.ndarray)
# Types of arrays of objects, by what pandas infers that they are.
TYPES = dict.fromkeys(["floating", "mixed-integer-float", "decimal"], float)
TYPES |= {"boolean": bool, "complex": complex}
SPARSE = (sparse.spmatrix, sparse.sparray)


def check_table(vectorizer, X, reset):
    """Return X as a DataFrame; set its column names (``reset``), or compare them."""
    n_min = 0
    if reset:
        n_min = 1
    if not is_frame(X):
        return checked_frame(vectorizer, X, reset, n_min)
    X = as_frame(X, "X")
    _check_names(vectorizer, X, reset)
    if len(X) < n_min or X.shape[1] == 0:  # which scikit-learn refuses
        check_array(np.empty(X.shape), ensure_min_samples=n_min, estimator=vectorizer)
    return X


def _check_names(vectorizer, table, reset):
    """Let scikit-learn check the column names, and name those that may be misspelt."""
    try:
        validate_data(vectorizer, table, reset=reset, skip_check_array=True)
    except ValueError as error:
        known = getattr(vectorizer, "feature_names_in_", np.empty(0)).tolist()
        missing = [name for name in known if name not in table.columns]
        lines = [str(error).rstrip()]
        for name in table.columns:
            if name not in known and closest(name, missing) is not None:
                hint = did_you_mean(name, missing)
                lines.append(f"{name!r} was not a column in fit.{hint}")
        raise ValueError("\n".join(lines)) from None


def read_cells(column, name):
    """Return the present cells (n_present,) and the mask of missing ones (n_rows,).

    Objects that hold numbers become numbers, and bytes become strings, so that nullable
    dtypes and object columns are encoded in the same way as plain ones. Errors call the
    column by ``name``.
    """
    if isinstance(column.dtype, pd.DatetimeTZDtype):
        column = column.dt.tz_convert(None)
    if isinstance(column.dtype, pd.PeriodDtype):
        try:
            column = column.dt.to_timestamp()  # the first moment of each
        except (ValueError, OverflowError):  # of pandas: OutOfBoundsDatetime
            raise ValueError(
                f"Column {name!r} holds a period that is out of the range of dates: "
                f"{column.min()} to {column.max()}. Expected periods that pandas' "
                "to_timestamp can convert; make those beyond missing."
            ) from None
    cells = column.to_numpy()
    missing = is_missing(cells, f"Column {name!r}")
    if missing.any():
        cells = cells[~missing]
    if cells.dtype.kind in "SU":
        cells = cells.astype(object)
    if cells.dtype == object and len(cells):
        cells = _simplify(cells, name)
    if cells.dtype.kind == "c":
        raise ValueError(
            f"Complex data not supported: column {name!r} is complex. Expected "
            "real numbers; make its real and imaginary parts columns of their own."
        )
    if cells.dtype.kind == "f" and np.isinf(cells).any():
        raise infinite_error(name)
    return cells, missing


def infinite_error(name, kind=""):
    """Return the error for a column with an infinite number."""
    remedy = "Expected finite numbers or missing cells; replace inf by NaN."
    return ValueError(f"Column {name!r}{kind} holds an infinite number. {remedy}")


def _simplify(cells, name):
    """Return objects (n,) as booleans, numbers or strings if that is what they are."""
    inferred = pd.api.types.infer_dtype(cells, skipna=False)
    if inferred in TYPES:
        return cells.astype(TYPES[inferred])
    if inferred == "integer" and -(2**63) <= min(cells) <= max(cells) < 2**63:
        return cells.astype(np.int64)
    if inferred in ("timedelta", "timedelta64"):
        return pd.to_timedelta(cells).to_numpy()
    if inferred in ("bytes", "mixed", "mixed-integer"):
        return object_array(with_strings(cells, name))
    return cells


def with_strings(cells, name):
    """Return a list of cells with strings where there are bytes."""
    decoded = []
    for cell in cells:
        if isinstance(cell, bytes):
            try:
                decoded.append(cell.decode())
            except UnicodeDecodeError:
                raise ValueError(
                    f"Column {name!r} holds bytes that are not UTF-8 text. Expected "
                    f"strings, or bytes in UTF-8. Got {cell[:30]!r}. Decode them "
                    "first, for example with .str.decode('latin-1')."
                ) from None
        else:
            decoded.append(cell)
    return decoded


def factorize(values):
    """Return the code (n,) of each value, and the list of the distinct values.

    Values are the same if they are the same key of a dict: 5, 5.0 and numpy's 5 are,
    '5' is another one. pandas.factorize takes about as long for a million cells, but
    64 us instead of 4 us for the one cell of a request, and it treats None and NaN,
    which are two tags of a list, as one value.
    """
    # a look-up of a new value gives it the next number
    code_of = defaultdict()
    code_of.default_factory = code_of.__len__
    codes = np.fromiter(map(code_of.__getitem__, values), dtype=np.intp)
    return codes, list(code_of)


def is_refused(cell, call):
    """Return whether a call refuses a cell."""
    try:
        call(cell)
    except (TypeError, ValueError, OverflowError):
        return True
    return False
