"""Enters: an interaction table X (n_events, n_columns) of any kind.

Leaves: its columns, and what all splitters of such tables share.
Next: model_selection.py, which says who is held out.
"""

import datetime
import inspect
import re
import warnings
from math import ceil
from numbers import Integral, Real

import narwhals as nw
import numpy as np
import pandas as pd
from sklearn.model_selection import BaseCrossValidator
from sklearn.utils._param_validation import validate_parameter_constraints

from .interactions import suggestion

__all__ = [
    "InteractionSplit",
    "as_table",
    "codes",
    "count",
    "duration",
    "name_of",
    "times_of",
]


class InteractionSplit(BaseCrossValidator):
    """Splitter of interaction tables: subclasses yield the (train, test) masks."""

    def split(self, X, y=None, groups=None):
        """Yield the row positions of train and test side, fold by fold.

        Parameters
        ----------
        X : DataFrame or array of shape (n_events, n_columns)
            Interaction table, one row per event.
        y : object, default=None
            Ignored.
        groups : object, default=None
            Ignored.

        Yields
        ------
        train : array of int, shape (n_train,)
            Positions of rows, ascending.
        test : array of int, shape (n_test,)
            Positions of rows, ascending.

        Raises
        ------
        ValueError
            If a parameter is out of range or names no column of X, ids or times are
            missing, or a fold would leave one side without rows.
        TypeError
            If X is no table, or its times are neither dates nor numbers.
        """
        name = type(self).__name__
        validate_parameter_constraints(self._parameter_constraints, vars(self), name)
        X = as_table(X)
        for fold, (train, test) in enumerate(self._sides(X)):
            if self.drop_unseen_users:
                users = codes(X, self.user_id, 0, "user_id")
                test &= np.isin(users, users[train])
            if self.drop_unseen_items:
                items = codes(X, self.item_id, 1, "item_id")
                test &= np.isin(items, items[train])
            for side, rows in {"train": train, "test": test}.items():
                if not rows.any():
                    raise ValueError(
                        f"Fold {fold} of {self!r} leaves the {side} side without rows; "
                        f"X has {len(rows)} rows. {self._remedy}"
                    )
            yield np.flatnonzero(train), np.flatnonzero(test)

    def get_n_splits(self, X=None, y=None, groups=None):
        """Return the number of folds.

        Parameters
        ----------
        X : object, default=None
            Ignored.
        y : object, default=None
            Ignored.
        groups : object, default=None
            Ignored.

        Returns
        -------
        n_splits : int
        """
        return self.n_splits

    def __repr__(self):
        parameters = inspect.signature(type(self)).parameters
        changed = [
            f"{name}={getattr(self, name)!r}"
            for name, parameter in parameters.items()
            if repr(getattr(self, name)) != repr(parameter.default)
        ]
        return f"{type(self).__name__}({', '.join(changed)})"


def as_table(X):
    """Return X as a pandas or narwhals DataFrame or a 2-D array, or say what it is."""
    if isinstance(X, pd.DataFrame):
        return X
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
            f"{suggestion(key, names)}"
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
    return pd.factorize(values.to_numpy())[0].astype(np.int64)


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
        warnings.warn(
            "time=None takes the rows of X as ordered in time, but by its column "
            f"{name!r} they are not. Name it: time={name!r}.",
            UserWarning,
            stacklevel=5,
        )


def duration(gap, times):
    """Return the gap in the type of the times, or say why it cannot be."""
    is_date = times.dtype.kind == "M"
    is_duration = isinstance(gap, (datetime.timedelta, np.timedelta64))
    fits = is_duration if is_date else isinstance(gap, Real) and not is_duration
    if not fits and not (is_date and gap == 0):
        expected = "a Timedelta, as the times are dates" if is_date else "a number"
        raise TypeError(f"gap must be {expected}. Got {gap!r} instead.")
    if is_date:
        # rounded up to the unit of the times: a finer one may overflow far dates
        unit = np.timedelta64(1, np.datetime_data(times.dtype)[0])
        gap = ceil(pd.Timedelta(gap) / pd.Timedelta(unit)) * unit
    if not gap >= 0 * gap:
        raise ValueError(f"gap must be a finite duration >= 0. Got {gap!r} instead.")
    return gap
