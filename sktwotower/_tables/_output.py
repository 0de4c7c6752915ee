"""The dataframe library in which tables come back: the one that was given.

Input: what a caller passes, and a table of pandas.
Output: the name of a library, such as "polars", and the same table in it.
"""

import functools
from datetime import date, timedelta
from importlib.util import find_spec
from numbers import Number

import narwhals as nw
import numpy as np
import pandas as pd

from sktwotower._sklearn_compat import output_of

from ._messages import shorten, warn

__all__ = ["in_library", "library_for", "library_of", "table_of"]

PANDAS = "pandas"
# Libraries other than pandas that tables come back in.
OTHERS = "polars", "pyarrow", "modin", "cudf"
LIBRARIES = PANDAS, *OTHERS
# What belongs to no library; a list of ids is the most frequent request.
PLAIN = list, tuple, np.ndarray, dict, str, int, float, type(None)
# What the columns of all libraries can hold, apart from numbers of numpy.
OBJECTS = (
    *(str, bytes, Number, date, timedelta, np.generic),
    *(list, tuple, np.ndarray, dict, type(None)),
)


def library_of(*given, default=PANDAS):
    """Return the name of the library of the first table or column among some values.

    ``default``: the name if there is neither.
    """
    for value in given:
        if isinstance(value, PLAIN):
            continue
        if isinstance(value, pd.DataFrame | pd.Series | pd.Index):
            return PANDAS
        value = nw.to_native(value, pass_through=True)
        packages = {kind.__module__.partition(".")[0] for kind in type(value).__mro__}
        found = next((name for name in OTHERS if name in packages), None)
        if found:
            return found
    return default


def library_for(estimator, fitted, *given):
    """Return the name of the library in which a method's table comes back.

    It is the one of ``set_output``; or else of the first table or column that the
    method got; or else, if it got ids only, of X in fit.
    """
    chosen = output_of(estimator)
    return chosen or library_of(*given, default=fitted.schema.library)


def in_library(table, library):
    """Return a pandas table in a library; those other than pandas have no index."""
    if library == PANDAS:
        return table
    columns = [table.iloc[:, i] for i in range(table.shape[1])]
    return table_of(table.columns, columns, library)


def table_of(names, columns, library):
    """Return columns, arrays or Series (n,) each, as a table of a library.

    NaN is a missing value in libraries other than pandas.
    """
    if library != PANDAS and not is_installed(library):
        warn(
            f"Tables come back as those of pandas, since {library}, which fit or "
            f"set_output chose, is not installed. Install {library}, or pass ids as a "
            "pandas Series, which chooses pandas."
        )
        library = PANDAS
    if library == PANDAS:
        return pd.DataFrame(dict(enumerate(columns)), copy=False).set_axis(
            list(names), axis="columns"
        )
    names = [str(name) for name in names]
    twice = pd.Index(names)[pd.Index(names).duplicated()]
    if len(twice):
        raise ValueError(
            f"The result has two columns named {twice[0]!r}, which {library} does not "
            "allow. Rename that column of X, and fit again."
        )
    made = {
        name: _column(name, column, library)
        for name, column in zip(names, columns, strict=True)
    }
    return nw.from_dict(made, backend=library).to_native()


@functools.cache
def is_installed(library):
    """Return whether a library can be imported."""
    return find_spec(library) is not None


def _column(name, values, library):
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
    values, kind, zone = _cells(name, pd.Series(values), library)
    made = nw.new_series(name, values, kind, backend=library)
    if zone is not None:
        made = made.dt.replace_time_zone("UTC").dt.convert_time_zone(zone)
    return made.to_native()


def _cells(name, column, library):
    """Return the cells of a pandas Series, their narwhals type, and their time zone.

    Type and zone are None if the cells show the type, and if there is no zone.
    """
    zone = getattr(column.dtype, "tz", None)
    if zone is not None:
        column, zone = column.dt.tz_convert("UTC").dt.tz_localize(None), str(zone)
    values = column.to_numpy()
    is_plain = isinstance(column.dtype, np.dtype) and values.dtype.kind in "biufmM"
    if is_plain and not (values.dtype.kind == "f" and np.isnan(values).any()):
        if values.dtype.kind in "mM" and np.datetime_data(values.dtype)[0] == "s":
            values = values.astype(f"{values.dtype.kind}8[ms]")  # polars has no seconds
        return values, None, zone
    kind = {"float32": nw.Float32(), "float64": nw.Float64()}.get(str(column.dtype))
    if len(column) == 0 and kind is None:
        kind = nw.String()
    values = column.astype(object).where(column.notna(), None).tolist()
    odd = [value for value in values if not isinstance(value, OBJECTS)]
    if odd:
        raise TypeError(
            f"Column {name!r} holds {shorten(odd[0])}, for which {library} has no "
            "type. Pass X as a table of pandas."
        )
    return values, kind, zone
