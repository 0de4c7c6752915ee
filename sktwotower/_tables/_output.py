"""The dataframe library in which tables come back: the one that was given.

Input: what a caller passes, and a table of pandas.
Output: the name of a library, such as "polars", and the same table in it.
"""

import functools
from datetime import date, timedelta
from decimal import Decimal
from enum import Enum
from importlib.util import find_spec

import narwhals as nw
import numpy as np
import pandas as pd

from sktwotower._sklearn_compat import output_of

from ._frames import PANDAS, library_of
from ._messages import shorten, warn

# What the columns of all libraries can hold, and integers up to 64 bits.
OBJECTS = (
    *(str, bytes, float, Decimal, date, timedelta, np.generic),
    *(list, tuple, np.ndarray, dict, type(None)),
)
MIN_INT = -(2**63)
MAX_INT = 2**63 - 1


def library_for(estimator, fitted, *given):
    """Return the name of the library in which a method's table comes back.

    It is the one of ``set_output``; or else of the first table or column that the
    method got; or else, if it got ids only, of X in fit.
    """
    return output_of(estimator) or library_of(*given, default=fitted.schema.library)


def in_library(table, library):
    """Return a pandas table in a library; those other than pandas have no index."""
    if library == PANDAS:
        return table
    columns = [table.iloc[:, i] for i in range(table.shape[1])]
    return table_of(list(table.columns), columns, library)


def table_of(names, columns, library):
    """Return columns, arrays or Series (n,) each, as a table of a library.

    NaN is a missing value in libraries other than pandas. If the library is not
    installed, or cannot hold the columns, there is a warning and a table of pandas.
    """
    if library != PANDAS:
        try:
            if not is_installed(library):
                chosen = f"{library} was chosen by fit or set_output"
                raise _Unfit(f"it is not installed ({chosen})")
            table = {}
            for name, values in zip(map(str, names), columns, strict=True):
                if name in table:
                    raise _Unfit(f"two columns have the name {name!r}")
                table[name] = _column(values, library)
            return nw.from_dict(table, backend=library).to_native()
        except Exception as error:
            reason = type(error).__name__
            if isinstance(error, _Unfit):
                reason = str(error)
            warn(
                f"The table comes back as one of pandas, as {library} cannot hold it: "
                f"{reason}. A table or Series of pandas in the request chooses pandas."
            )
    table = pd.DataFrame(dict(enumerate(columns)), copy=False)
    table.columns = names
    return table


class _Unfit(ValueError):
    """A library cannot hold a table, for a reason that is known."""


@functools.cache
def is_installed(library):
    """Return whether a library can be imported."""
    return find_spec(library) is not None


def _column(values, library):
    """Return an array or a pandas Series (n,) as what a library makes a column of."""
    if isinstance(values, np.ndarray) and len(values):  # ids and ranks: no time to lose
        if values.dtype.kind in "biu":
            return values
        if values.dtype.kind == "f" and not np.isnan(values).any():
            return values
        if values.dtype == object:
            cells = values.tolist()
            if all(type(cell) is str for cell in cells):
                return cells
    cells, dtype, zone = _cells(pd.Series(values))
    column = nw.new_series("", cells, dtype, backend=library)
    if zone is not None:
        column = column.dt.replace_time_zone("UTC").dt.convert_time_zone(zone)
    return column.to_native()


def _cells(column):
    """Return the cells of a pandas Series, their narwhals type, and their time zone.

    Type and zone are None if the cells show the type, and if there is no zone.
    """
    zone = getattr(column.dtype, "tz", None)
    if zone is not None:
        zone = str(zone)
        column = column.dt.tz_convert("UTC").dt.tz_localize(None)

    # Arrays of plain types without gaps.
    values = column.to_numpy()
    is_plain = isinstance(column.dtype, np.dtype) and values.dtype.kind in "biufmM"
    has_nan = values.dtype.kind == "f" and np.isnan(values).any()
    if is_plain and not has_nan:
        if values.dtype.kind in "mM":
            unit, _ = np.datetime_data(values.dtype)
            if unit == "s":  # polars has no seconds
                values = values.astype(f"{values.dtype.kind}8[ms]")
        return values, None, zone

    # All others cell by cell.
    cells = column.astype(object).where(column.notna(), None).tolist()
    for cell in cells:
        if isinstance(cell, int):
            fits = not isinstance(cell, Enum) and MIN_INT <= cell <= MAX_INT
        else:
            fits = isinstance(cell, OBJECTS)
        if not fits:
            raise _Unfit(f"it has no type for {shorten(cell)}")
    dtype = None
    if str(column.dtype) == "float32":
        dtype = nw.Float32()
    elif str(column.dtype) == "float64":
        dtype = nw.Float64()
    elif len(column) == 0:
        dtype = nw.String()
    return cells, dtype, zone
