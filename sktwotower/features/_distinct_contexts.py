"""The distinct contexts of requests, so that each is encoded only once.

Input: a table of the context columns (n, n_columns), one row for each event.
Output: its distinct rows (n_distinct, n_columns), and the row of each event (n,).
"""

import numpy as np
import pandas as pd

from sktwotower._tables._frames import is_missing

from ._cells import SPARSE, factorize, is_unhashable

MAX_KEY = 2**62  # of int64


def distinct_contexts(table):
    """Return the distinct rows of a table, and which of them each row is.

    Parameters
    ----------
    table : DataFrame of shape (n, n_columns)
        Cells may be of any type, also lists, dicts and arrays.

    Returns
    -------
    distinct : DataFrame of shape (n_distinct, n_columns)
        The first row has only missing cells, even if no row of the table does; the
        others are in the order of the table. As no integer and no boolean is missing,
        such columns become objects.
    codes : int32 array of shape (n,)
        The distinct row that each row equals; 0 if all cells are missing.
    counts : int64 array of shape (n_distinct,)
        How many rows of the table each is.
    """
    n = len(table)
    codes = pd.factorize(_keys(table))[0].astype(np.int32)
    first = np.empty(codes.max() + 1, dtype=np.int64)
    first[codes[::-1]] = np.arange(n + 1)[::-1]  # the last assignment wins
    codes = codes[1:]
    counts = np.bincount(codes, minlength=len(first)).astype(np.int64)
    return _with_missing_row(table.iloc[first[1:] - 1]), codes, counts


def _keys(table):
    """Return a number (1 + n,) for a missing row, and for each row: equal if rows are.

    That of a row whose cells are all missing is the first one, 0.
    """
    keys, n_keys = np.zeros(1 + len(table), dtype=np.int64), 1
    for position, name in enumerate(table.columns):
        codes, n_levels = _codes(table.iloc[:, position], name)
        if n_keys * (n_levels + 1) > MAX_KEY:
            keys, levels = pd.factorize(keys)
            n_keys = len(levels)
        keys *= n_levels + 1
        keys[1:] += codes + 1
        n_keys *= n_levels + 1
    return keys


def _codes(column, name):
    """Return the code (n,) of each cell, -1 for missing ones, and their number."""
    try:
        codes, levels = pd.factorize(column)
    except (NotImplementedError, TypeError):  # lists have no hash
        cells = column.to_numpy(dtype=object)
        known = ~is_missing(cells, f"Column {name!r}")
        codes = np.full(len(cells), -1)
        codes[known], levels = factorize(map(_hashable, cells[known]))
    return codes, len(levels)


def _hashable(cell):
    """Return a key of a dict that is equal for equal cells of one type."""
    if isinstance(cell, np.ndarray):
        cell = cell.tolist()
    if isinstance(cell, list | tuple):
        return type(cell), *map(_hashable, cell)
    if isinstance(cell, dict):
        return dict, *((key, _hashable(value)) for key, value in cell.items())
    if isinstance(cell, set):
        return frozenset(cell)
    if isinstance(cell, SPARSE):
        return cell.shape, frozenset(cell.todok().items())
    return id(cell) if is_unhashable(cell) else cell


def _with_missing_row(table):
    """Return a table (1 + n, n_columns) with a row of missing cells before the others.

    Otherwise integers would become floats then, and other kinds of columns.
    """
    plain = {
        name: object for name, dtype in table.dtypes.items() if dtype.kind in "biu"
    }
    table = table.reset_index(drop=True).astype(plain)
    return table.reindex(np.arange(-1, len(table))).reset_index(drop=True)
