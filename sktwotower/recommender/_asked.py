"""What requests say of their context.

Input: the table of n requests, or one dict for all of them.
Output: ``Asked``: feature rows of the columns of the context, CSR (n, q), and times.
"""

import datetime
import functools
import math
from collections.abc import Mapping

import numpy as np
import pandas as pd

from sktwotower._tables._times import known_times
from sktwotower.retrieval._fitted_state import Asked
from sktwotower.runtime import _context_cells as runtime
from sktwotower.runtime._kept import size_of

# Number of contexts whose feature rows are kept: encoding one takes as long as a
# request without context.
MAX_KEPT = 1000
# Contexts whose columns take more bytes are encoded each time.
MAX_KEPT_BYTES = 4096
# What one request says that names no column of the context.
NO_COLUMNS = pd.DataFrame(index=range(1))
# Types of cells that are kept: if two are equal, nothing tells them apart. Equal tuples
# may hold 1 and True, and equal dates may be an hour apart.
PLAIN = str, bytes, int, float, np.generic, type(None), type(pd.NA), type(pd.NaT)


class AskedBefore:
    """Feature rows of contexts that were asked in, kept from one request to the next.

    They belong to one fitted state, and are not pickled. Those that were asked in
    longest ago are dropped.
    """

    def __init__(self):
        self._rows = functools.lru_cache(MAX_KEPT)(_rows_of)

    def __reduce__(self):
        return type(self), ()

    def get(self, context, given, n):
        """Return what `asked_of` does for n requests in the same context, a dict.

        None: it needs a closer look.
        """
        if not isinstance(given, Mapping):
            return None
        others = given
        times = None
        try:
            if context.time is not None and context.time in given:
                times = np.array([_moment(context, given[context.time])])
                others = {k: v for k, v in given.items() if k != context.time}
        except (OverflowError, TypeError, ValueError):  # of another type, out of range
            return None
        if not all(isinstance(cell, PLAIN) for cell in others.values()):
            return None
        cells = tuple((name, type(cell), cell) for name, cell in others.items())
        if size_of(cells) > MAX_KEPT_BYTES:
            return None
        asked = Asked(self._rows(context, cells), times)
        if n == 1:
            return asked
        return asked[np.zeros(n, dtype=int)]


def _rows_of(context, cells):
    """Return the feature row, CSR (1, q), of a context: (name, type, cell) of each."""
    given = {name: cell for name, _, cell in cells}
    asked = asked_of(context, None, 1, given, "X", ())
    if asked is None:
        return context.encode(NO_COLUMNS, "X")
    return asked.rows


def _moment(context, value):
    """Return one time as a float; raise ``TypeError`` if it needs a closer look."""
    if context.clock.time_unit is not None and type(value) in (int, float):
        return runtime.moment_of(value, context.clock.time_kind)
    if context.clock.dates:
        if isinstance(value, datetime.datetime) and value is not pd.NaT:
            return float(pd.Timestamp(value).as_unit("ns").value)
    elif type(value) in (int, float) and math.isfinite(value):
        return float(value)
    raise TypeError


def asked_of(context, frame, n, given, name, known):
    """Return what n requests ``Asked``, or None if no context is known.

    ``context``: a ``RequestContext``. ``known``: columns that a table may have as well.
    The other parameters are those of `Fitted.asked`.
    """
    table = NO_COLUMNS
    columns = []
    if frame is not None:
        columns = context.columns_among(frame.columns, known, name)
        table = frame[columns]
    if given is not None:
        given = context.of_mapping(given, columns, name)
        if not columns:
            table = given
            name = "context"
        else:
            table = table.merge(given, how="cross")
    if table.shape[1] == 0:
        return None
    asked = Asked(context.encode(table, name), times_of_requests(context, table, name))
    if len(table) == n:
        return asked
    return asked[np.zeros(n, dtype=int)]


def times_of_requests(context, table, name):
    """Return when requests ask, float64 (n,) with nan for missing ones, or None."""
    if context.time is None or context.time not in table.columns:
        return None
    what = f"The time column {context.time!r} of {name}"
    times = known_times(table[context.time], what, context.clock.time_kind)
    if np.isnan(times).all():
        return None
    return times
