"""Enters: a table of any dataframe library, or a column of one.

Leaves: a pandas frame (n_rows, n_columns), or an array (n_rows,), of the same cells.
Next: interactions.py and features.py, which read them.
"""

import narwhals as nw
import numpy as np
import pandas as pd

__all__ = ["as_array", "as_frame", "is_frame", "with_names"]

LEVELS = nw.Categorical, nw.Enum
NESTED = nw.List, nw.Array, nw.Struct


def as_frame(table, name):
    """Return any dataframe as a pandas one, columns in the same order.

    Raises ``TypeError`` for what is no dataframe, ``ValueError`` for column names that
    occur twice.
    """
    if not is_frame(table):
        raise TypeError(
            f"{name} must be a dataframe (pandas, polars, pyarrow ...). "
            f"Got {type(table).__name__}."
        )
    names = table.columns if isinstance(table, pd.DataFrame) else _names(table)
    twice = names[names.duplicated()]
    if len(twice) and isinstance(twice[0], str):
        raise ValueError(
            f"{name} has more than one column named {twice[0]!r}. Rename or drop all "
            "but one."
        )
    if isinstance(table, pd.DataFrame):
        return table
    columns = nw.from_native(table, eager_only=True)
    # pyarrow, which to_pandas of polars needs, may not be there
    return pd.DataFrame({c: _cells(columns[c]) for c in columns.columns})


def is_frame(X):
    """Return whether X is a dataframe of any library."""
    return isinstance(X, pd.DataFrame) or nw.dependencies.is_into_dataframe(X)


def _names(table):
    # narwhals does not come as far as the names of a pyarrow table that has one twice
    names = table.column_names if hasattr(table, "column_names") else table.columns
    return pd.Index(list(names), dtype=object)


def _cells(column):
    """Return a narwhals Series as what pandas makes a column of."""
    if isinstance(column.dtype, LEVELS):
        return pd.Categorical(column.to_list())
    if not isinstance(column.dtype, NESTED):
        return column.to_numpy()
    # numpy would make lists of one length a table, and the fields of a struct as well
    cells = np.empty(len(column), dtype=object)
    cells[:] = column.to_list()
    return cells


def as_array(values):
    """Return a column of any library as an array (n,); other values as they are."""
    known = isinstance(values, np.ndarray | pd.Series | pd.Index)
    return np.asarray(values) if hasattr(values, "__array__") and not known else values


def with_names(frame):
    """Call the columns x0, x1, ... unless all of them have names."""
    if all(isinstance(name, str) for name in frame.columns):
        return frame
    return frame.set_axis([f"x{i}" for i in range(frame.shape[1])], axis=1)
