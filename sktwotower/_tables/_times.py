"""Times of events, and durations between them.

Input: a table X (n_events, n_columns) of any kind, and the name of its time column.
Output: times (n_events,), datetime64 or numbers, and a gap in their type.
"""

import datetime
import re
from numbers import Real
from reprlib import repr as shorten

import narwhals as nw
import numpy as np
import pandas as pd

from ._columns import column, column_at, is_date, refuse_gaps, refuse_missing
from ._frames import is_missing
from ._messages import warn
from ._time_units import (
    SIZES,
    WORDS,
    NumberFigures,
    TimeKind,
    kind_of_numbers,
    nanoseconds_of,
)


def times_of(X, key, groups=None):
    """Return the times (n_events,) of a column, datetime64 or numbers.

    ``key`` None: the row numbers, with a warning if another column of X shows that rows
    are out of order, those of one of the ``groups`` (n_events,) if they are given.
    """
    if key is None:
        if groups is None:
            groups = np.zeros(len(X))
        _warn_if_unordered(X, groups)
        return np.arange(len(X))
    values = column(X, key, None, "time")
    if values.dtype == nw.Object:  # as of SQL
        cells = _inferred(values.to_native())
        if cells.dtype == object and _holds_dates(cells):
            cells = pd.to_datetime(cells, utc=True)
        values = nw.from_native(cells, series_only=True)
    if not (is_date(values) or values.dtype.is_numeric()):
        raise TypeError(
            f"The time column {values.name!r} of X must hold dates or numbers. Got "
            f"dtype {values.dtype}. For text, try pandas.to_datetime."
        )
    refuse_missing(values, "time")
    if is_date(values):
        return values.to_numpy().astype("datetime64", copy=False)
    # 64 bits: a gap subtracted from uint8 would wrap around
    wide = nw.Float64
    if values.dtype.is_integer():
        wide = nw.Int64
        _refuse_large(values.max() or 0, f"The time column {values.name!r} of X")
    return _finite(values.cast(wide).to_numpy(), "time")


def _warn_if_unordered(X, groups):
    """Warn if one column of X looks like times, and rows of a group are not by it."""
    if isinstance(X, np.ndarray):
        return
    like_times = {}
    for position, name in enumerate(X.columns):
        values = column_at(X, position)
        is_named_so = re.search("time|date", str(name), re.IGNORECASE)
        if is_date(values) or (values.dtype.is_numeric() and is_named_so):
            like_times[position] = (str(name), values)
    if len(like_times) != 1:
        return
    ((name, values),) = like_times.values()
    if values.is_null().any():
        return
    order = np.argsort(groups, kind="stable")
    times = values.to_numpy()[order]
    groups = groups[order]
    is_earlier = times[1:] < times[:-1]
    if (is_earlier & (groups[1:] == groups[:-1])).any():
        warn(
            "time=None takes the rows of X as ordered in time, but by its column "
            f"{name!r} they are not. Name it: time={name!r}."
        )


def duration(gap, times, name):
    """Return a gap in the type of times (n,), at most their span.

    ``name`` is what messages call it. Raises ``TypeError`` for a gap of another type,
    ``ValueError`` for one below 0.
    """
    are_dates = times.dtype.kind == "M"
    is_duration = isinstance(gap, (datetime.timedelta, np.timedelta64))
    if is_duration and not are_dates and len(times) > 0:
        kind = kind_of_numbers(NumberFigures.of(times), "auto", "The time column of X")
        if kind.dates:
            gap = pd.Timedelta(gap) / pd.Timedelta(SIZES[kind.unit], "ns")
            is_duration = False
    if are_dates:
        expected = "a Timedelta, as the times are dates"
        fits = is_duration or gap == 0
    else:
        expected = "a number"
        fits = isinstance(gap, Real) and not is_duration
    if not fits:
        raise TypeError(f"{name} must be {expected}. Got {gap!r} instead.")
    if not gap >= 0 * gap:
        raise ValueError(f"{name} must be a finite duration >= 0. Got {gap!r} instead.")
    if len(times) == 0:
        return gap
    # a longer gap has no other effect, but adding it to a time may overflow
    first = times.min()
    last = times.max()
    if not are_dates:
        return min(gap, last.item() - first.item())
    gap = pd.Timedelta(gap)
    span = last - first
    if gap >= pd.Timedelta(span):
        return span
    # in the unit of the times, as a finer one may overflow far dates; rounded down: two
    # times are further apart than the gap if they are so by its whole units
    unit, _ = np.datetime_data(times.dtype)
    step = np.timedelta64(1, unit)
    return gap // pd.Timedelta(step) * step


def kind_of_times(values, time_unit, name):
    """Return the ``TimeKind`` of the times (n,) of fit, a Series without gaps.

    ``time_unit``: as in `TwoTowerRecommender`; ``name``: what messages call the times.
    """
    values = _inferred(values)
    if len(values) == 0 or not _holds_numbers(values):
        return TimeKind(_holds_dates(values) and len(values) > 0)
    figures = NumberFigures.of(_numbers(values, name))
    kind = kind_of_numbers(figures, time_unit, name)
    if kind.dates and values.dtype.kind == "f" and values.dtype.itemsize < 8:
        warn(
            f"{name} holds {WORDS[kind.unit]} in {values.dtype}, which rounds them: to "
            "two minutes, if they are seconds in float32. Use 64 bits where they are "
            "made."
        )
    return kind


def read_times(values, name, kind=None):
    """Return times (n,) as int64 or float64, and whether they are instants.

    Parameters
    ----------
    values : Series of shape (n,)
        Dates of any kind and time zone, or finite numbers. Dates without a zone are
        read as UTC.
    name : str
        What messages call the values.
    kind : TimeKind, default=None
        What times were in fit. If numbers were instants, both these and dates are read.
        None: all that is not a date is a number that gives only the order.

    Returns
    -------
    times : int64 or float64 array of shape (n,)
        Nanoseconds since 1970 for instants, otherwise the numbers.
    are_instants : bool
        False without values.

    Raises
    ------
    TypeError
        If the values are neither dates nor numbers, or of the other kind than in fit.
    ValueError
        If values are missing or infinite, instants are not within the years 1678 and
        2261, numbers look like those of another unit than in fit, or unsigned integers
        do not fit into int64.
    """
    refuse_gaps(name, int(is_missing(values, name).sum()), len(values))
    if len(values) == 0:  # of any type, as in an empty history
        return np.zeros(0, dtype=np.int64), False
    values = _inferred(values)
    are_dates = _holds_dates(values)
    if not are_dates and not _holds_numbers(values):
        raise TypeError(
            f"{name} must hold dates or numbers. Got dtype {values.dtype}, such as "
            f"{shorten(values.iloc[0])}. Convert text with pandas.to_datetime, "
            "durations with .dt.total_seconds()."
        )
    has_unit = kind is not None and kind.unit is not None
    if kind is not None and not has_unit and kind.dates != are_dates:
        if are_dates:
            raise TypeError(
                f"{name} holds dates, but in fit it held numbers. Fit on dates, too, "
                "or pass such numbers."
            )
        raise TypeError(
            f"{name} holds numbers, but in fit it held dates. "
            "pandas.to_datetime(times, unit='s') converts Unix seconds."
        )
    if are_dates:
        return _nanoseconds(values, name), True
    numbers = _numbers(values, name)
    if has_unit:
        return nanoseconds_of(numbers, kind.unit, name), True
    return numbers, False


def as_dates(values, name, kind):
    """Return a Series (n,) of numbers that are instants as dates, others as they are.

    Missing numbers become NaT. ``name`` and ``kind`` are those of `read_times`.
    """
    values = _inferred(values)
    if kind.unit is None or not _holds_numbers(values):
        return values
    known = ~is_missing(values, name)
    dates = np.full(len(values), np.datetime64("NaT", "ns"))
    if known.any():
        times, _ = read_times(values[known], name, kind)
        dates[known] = times.view("datetime64[ns]")
    return pd.Series(dates, index=values.index, name=values.name)


def warn_of_a_gap(times, values, name):
    """Warn if up to 1 % of times (n,) come long after all others, as wrong dates do.

    That is after a gap longer than the middle 98 % of the times take. ``values`` (n,):
    what the times were read from; ``name``: what messages call them.
    """
    n = len(times)
    n_few = n // 100
    if n_few == 0:
        return
    parted = np.partition(times.astype(float), [n_few, n - n_few - 1])
    late = np.sort(parted[n - n_few - 1 :])
    gaps = np.diff(late)
    if gaps.max() > late[0] - parted[n_few] > 0:
        n_late = len(gaps) - gaps.argmax()
        warn(
            f"{name} has a wide gap before its last values: {n_late} of {n} come after "
            f"it, up to {values.max()}. All others then count as old. Are these times "
            "wrong? Correct them, or drop the rows."
        )


def known_times(values, name, kind):
    """Return times, float64 (n,), as of `read_times`, with nan for missing ones.

    ``kind``: what they were in fit, a ``TimeKind``.
    """
    times = np.full(len(values), np.nan)
    known = np.flatnonzero(~is_missing(values, name))
    times[known], _ = read_times(values.iloc[known], name, kind)
    return times


def _inferred(values):
    """Return a Series whose cells are objects with the type of its cells, if of one."""
    if isinstance(values, pd.Series) and values.dtype == object:
        return values.infer_objects()
    return values


def _finite(times, name):
    """Return times (n,); raise ``ValueError`` unless all are finite."""
    if not np.isfinite(times).all():
        raise ValueError(
            f"{name} contains NaN or infinity; a time is a finite number. Drop or "
            "replace these rows first."
        )
    return times


def _numbers(values, name):
    """Return times (n,) as int64, or as float64 if they are not integers."""
    if values.dtype.kind == "f":
        return _finite(values.to_numpy(np.float64), name)
    _refuse_large(values.max(), name)
    return values.to_numpy(np.int64)


def _refuse_large(largest, name):
    """Raise ``ValueError`` if the largest of integer times does not fit into int64."""
    if largest >= 2**63:
        raise ValueError(
            f"{name} contains {largest}; an integer time is less than 2**63. Subtract "
            "the smallest time."
        )


def _holds_numbers(values):
    """Return whether the type of a Series is one of numbers."""
    return getattr(values.dtype, "kind", "O") in "iuf"


def _holds_dates(values):
    """Return whether the type is a date of pandas, pyarrow, or Python in all cells."""
    if values.dtype == object:
        return all(isinstance(value, datetime.date) for value in values)
    if getattr(values.dtype, "kind", "O") == "M":
        return True
    return str(values.dtype).startswith("date")


def _nanoseconds(values, name):
    """Return dates, a Series (n,), as int64 nanoseconds since 1970."""
    try:
        # cells of one type: some libraries hold dates as objects
        dates = pd.to_datetime(values, utc=True)
        return dates.dt.as_unit("ns").astype("int64").to_numpy()
    except (ValueError, OverflowError, TypeError) as error:
        raise ValueError(
            f"{name} holds dates that cannot be read: {error}. They must lie between "
            "the years 1678 and 2261."
        ) from None
