"""Columns of an interaction table, by name or by position.

Input: a table X (n_events, n_columns) of any kind.
Output: names of columns, and columns (n_events,).
"""

import datetime
import re
from collections.abc import Iterable
from math import ceil
from numbers import Integral, Real

import narwhals as nw
import numpy as np
import pandas as pd

from ._frames import refuse_lazy
from ._ids import check_ids
from ._messages import did_you_mean, warn


class Columns:
    """Which columns of X hold what.

    Parameters
    ----------
    frame : DataFrame
        The interaction table.
    estimator : object
        Has ``user_id``, ``item_id``, ``user_features`` and ``item_features``.

    Attributes
    ----------
    user, item : column names of the ids
    user_features, item_features : lists of further column names
    labels : (str, str)
        What the id columns are called in results: "user" and "item" without names.
    """

    def __init__(self, frame, estimator):
        names = list(frame.columns)
        user = self._id(frame, estimator.user_id, "user_id")
        item = self._id(frame, estimator.item_id, "item_id")
        if len(names) == 2:  # the one that is not named can only be the other
            names = names[::-1] if user == names[1] or item == names[0] else names
        user = names[0] if user is None else user
        item = names[1] if item is None else item
        if user == item:
            raise ValueError(
                f"{user!r} would be both the user and the item column. user_id=None "
                "means the first column of X, item_id=None the second: name both."
            )
        self.user, self.item = user, item
        self.user_features = self._features(frame, estimator, "user_features")
        self.item_features = self._features(frame, estimator, "item_features")
        named = hasattr(estimator, "feature_names_in_")
        self.labels = (user, item) if named else ("user", "item")
        taken = {"score", "rank"} & set(self.labels)
        if taken:
            raise ValueError(
                f"The id column {taken.pop()!r} of X has the name of a column that "
                "recommend gives. Rename it, for example with X.rename(columns=...)."
            )

    @staticmethod
    def _id(frame, given, parameter):
        return None if given is None else _column(frame, given, parameter)

    def _features(self, frame, estimator, parameter):
        selection = getattr(estimator, parameter)
        names = dict.fromkeys(select_columns(frame, selection, parameter))
        return [name for name in names if name not in (self.user, self.item)]


def _column(frame, name, parameter):
    """Resolve one column by name, or by position where that is no name."""
    if name in list(frame.columns):
        return name
    if isinstance(name, Integral) and -frame.shape[1] <= name < frame.shape[1]:
        return frame.columns[name]
    raise ValueError(
        f"{parameter} names {name!r}, which is not a column of X."
        f"{did_you_mean(name, frame.columns)}"
    )


def select_columns(frame, selection, parameter):
    """Resolve a selection as scikit-learn's ColumnTransformer does; gives names."""
    if selection is None:
        return []
    if callable(selection):
        selection = selection(frame)
    if isinstance(selection, str | Integral):
        selection = [selection]
    if isinstance(selection, slice):
        return list(frame.columns[_positions(frame, selection, parameter)])
    if not isinstance(selection, Iterable):
        raise TypeError(
            f"{parameter} must be a name, a position, a list, a slice, a mask or a "
            f"callable that gives one of these. Got {selection!r}."
        )
    selection = list(selection)
    if selection and all(isinstance(s, bool | np.bool_) for s in selection):
        if len(selection) != frame.shape[1]:
            raise ValueError(
                f"{parameter} is a mask of {len(selection)} entries, but X has "
                f"{frame.shape[1]} columns."
            )
        return list(frame.columns[np.asarray(selection)])
    return [_column(frame, name, parameter) for name in selection]


def _positions(frame, selection, parameter):
    """Return a slice of positions; one of names takes both ends, as in pandas."""
    ends = selection.start, selection.stop
    if not any(isinstance(end, str) for end in ends):
        return selection
    names = list(frame.columns)
    first, last = (
        end if end is None else names.index(_column(frame, end, parameter))
        for end in ends
    )
    return slice(first, None if last is None else last + 1, selection.step)


def as_table(X):
    """Return X as a pandas or narwhals DataFrame or a 2-D array, or say what it is."""
    if isinstance(X, pd.DataFrame):
        return X
    refuse_lazy(X, "X")
    if hasattr(X, "columns"):
        return nw.from_native(X, eager_only=True)
    # as objects: numpy would turn the numbers of a list that holds text into text
    array = np.asarray(X, dtype=object if isinstance(X, list | tuple) else None)
    if array.ndim != 2:
        raise TypeError(
            "X must be a DataFrame or an array of shape (n_events, n_columns). Got "
            f"{type(X).__name__} of shape {array.shape}."
        )
    return array


def _names(X):
    return list(range(X.shape[1]) if isinstance(X, np.ndarray) else X.columns)


def name_of(X, key, default, parameter):
    """Return the name of a column of X, its position if X is an array."""
    names = _names(X)
    if key is None:
        if default >= len(names):
            raise ValueError(
                f"{parameter}=None stands for column number {default + 1} of X, which "
                f"has {len(names)}. Name the column."
            )
        key = names[default]
    if key not in names:
        raise ValueError(
            f"{parameter} names {key!r}, which is not a column of X."
            f"{did_you_mean(key, names)}"
        )
    return key


def column(X, key, default, parameter):
    """Return a column of X as a narwhals Series; `key` is a name or a position."""
    key = name_of(X, key, default, parameter)
    at = _names(X).index(key)
    if isinstance(X, np.ndarray):
        values = pd.Series(X[:, at], name=at).infer_objects()
        return nw.from_native(values, series_only=True)
    if isinstance(X, pd.DataFrame):
        return nw.from_native(X.iloc[:, at], series_only=True)
    return X.get_column(key)


def refuse_missing(column, parameter):
    """Raise if the column has missing values."""
    n_missing = int(column.is_null().sum())
    if column.dtype.is_float():
        n_missing = int((column.is_null() | column.is_nan()).sum())
    if n_missing:
        raise ValueError(
            f"The {parameter} column {column.name!r} of X has {n_missing} missing "
            f"values in {len(column)} rows. Drop or fill these rows first."
        )


def codes(X, key, default, parameter):
    """Return integer codes of the ids in a column, (n_events,)."""
    values = column(X, key, default, parameter)
    refuse_missing(values, parameter)
    ids = values.to_numpy()
    try:
        return pd.factorize(ids)[0].astype(np.int64)
    except TypeError:  # ids without a hash, such as lists
        check_ids(ids, f"The {parameter} column {values.name!r} of X")
        raise


def count(size, n_rows):
    """Return a number of rows from a number or a share of them."""
    if isinstance(size, Integral):
        return int(size)
    # 1e-9: .1 * 30 is a little more than 3 in binary
    return ceil(size * n_rows - 1e-9)


def times_of(X, key, groups=None):
    """Return the times, datetime64 or numbers, (n_events,); the row number for None.

    Rows that look out of order then get a warning; ``groups`` (n_events,): of the same
    group alone.
    """
    if key is None:
        _warn_if_unordered(X, np.zeros(len(X)) if groups is None else groups)
        return np.arange(len(X))
    values = column(X, key, None, "time")
    is_date = _is_date(values)
    if not (is_date or values.dtype.is_numeric()):
        raise TypeError(
            f"The time column {values.name!r} of X must hold dates or numbers. Got "
            f"dtype {values.dtype}. For text, try pandas.to_datetime."
        )
    refuse_missing(values, "time")
    if is_date:
        return values.to_numpy().astype("datetime64", copy=False)
    # wide types: a gap subtracted from uint8 would wrap around
    return values.cast(nw.Int64 if values.dtype.is_integer() else nw.Float64).to_numpy()


def _is_date(values):
    return values.dtype in (nw.Date, nw.Datetime)


def _warn_if_unordered(X, groups):
    """Warn if the one column of X that looks like times contradicts the row order."""
    names = [] if isinstance(X, np.ndarray) else [str(name) for name in X.columns]
    columns = [column(X, key, None, "time") for key in getattr(X, "columns", [])]
    like_times = [
        (name, values)
        for name, values in zip(names, columns, strict=True)
        if _is_date(values)
        or (values.dtype.is_numeric() and re.search("time|date", name, re.IGNORECASE))
    ]
    if len(like_times) != 1 or like_times[0][1].is_null().any():
        return
    name, values = like_times[0]
    order = np.argsort(groups, kind="stable")
    times, groups = values.to_numpy()[order], groups[order]
    if ((times[1:] < times[:-1]) & (groups[1:] == groups[:-1])).any():
        warn(
            "time=None takes the rows of X as ordered in time, but by its column "
            f"{name!r} they are not. Name it: time={name!r}."
        )


def duration(gap, times):
    """Return a gap in the type of times (n,), at most their span.

    Raises ``TypeError`` for a gap of another type, ``ValueError`` for one below 0.
    """
    is_date = times.dtype.kind == "M"
    is_duration = isinstance(gap, (datetime.timedelta, np.timedelta64))
    fits = is_duration if is_date else isinstance(gap, Real) and not is_duration
    if not fits and not (is_date and gap == 0):
        expected = "a Timedelta, as the times are dates" if is_date else "a number"
        raise TypeError(f"gap must be {expected}. Got {gap!r} instead.")
    if not gap >= 0 * gap:
        raise ValueError(f"gap must be a finite duration >= 0. Got {gap!r} instead.")
    if len(times) == 0:
        return gap
    # a longer gap has no other effect, but adding it to a time may overflow
    first, last = times.min(), times.max()
    if not is_date:
        return min(gap, last.item() - first.item())
    gap, span = pd.Timedelta(gap), last - first
    if gap >= pd.Timedelta(span):
        return span
    # rounded up to the unit of the times: a finer one may overflow far dates
    unit = np.timedelta64(1, np.datetime_data(times.dtype)[0])
    return ceil(gap / pd.Timedelta(unit)) * unit
