"""The dataframe library in which tables come back: the one that was given.

Input: what a caller passes, and a table of pandas.
Output: the name of a library, such as "polars", and the same table in it.
"""

from datetime import date, timedelta
from importlib.util import find_spec
from numbers import Number

import narwhals as nw
import numpy as np
import pandas as pd

from sktwotower._sklearn_compat import output_of

from ._messages import shorten, warn

__all__ = ["LIBRARIES", "PANDAS", "in_library", "library_for", "library_of", "table_of"]

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
    if library != PANDAS and find_spec(library) is None:
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
        name: _series(name, pd.Series(column), library)
        for name, column in zip(names, columns, strict=True)
    }
    return nw.from_dict(made, backend=library).to_native()


def _series(name, column, library):
    """Return a pandas Series as a narwhals one of a library."""
    dtype, zone = column.dtype, getattr(column.dtype, "tz", None)
    if zone is not None:
        column = column.dt.tz_convert("UTC").dt.tz_localize(None)
    values, kind = column.to_numpy(), None
    is_plain = isinstance(column.dtype, np.dtype) and values.dtype.kind in "biufmM"
    if not is_plain or (values.dtype.kind == "f" and np.isnan(values).any()):
        kind = {"float32": nw.Float32(), "float64": nw.Float64()}.get(str(dtype))
        values = column.astype(object).where(column.notna(), None).tolist()
        odd = [value for value in values if not isinstance(value, OBJECTS)]
        if odd:
            raise TypeError(
                f"Column {name!r} holds {shorten(odd[0])}, for which {library} has no "
                "type. Pass X as a table of pandas."
            )
    elif values.dtype.kind in "mM" and np.datetime_data(values.dtype)[0] == "s":
        # polars has no seconds
        values = values.astype(f"{values.dtype.kind}8[ms]")
    made = nw.new_series(name, values, kind, backend=library)
    if zone is None:
        return made
    return made.dt.replace_time_zone("UTC").dt.convert_time_zone(str(zone))
