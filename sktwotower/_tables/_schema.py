"""Reading of tables of events, and the schema of X in fit that later ones must have.

Input: a table X (n_events, n_columns), of any dataframe library or an array; outcomes.
Output: a pandas frame (n_events, n_columns), arrays of what is known of each event, and
a ``TableSchema``.
"""

import functools
import os
from typing import NamedTuple

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.utils.validation import validate_data

from sktwotower._records import UpTo, array, integer, list_of, one_of, record, require

from . import _frames
from ._columns import Columns, refuse_gaps
from ._messages import closest, shorten
from ._outcomes import outcomes
from ._ratings import warn_of_ratings, warn_of_unused_ratings
from ._time_units import SIZES, TimeKind, say_times
from ._times import as_dates, kind_of_times, read_times, warn_of_a_gap


@record
class TableSchema(NamedTuple):
    """The columns of X in fit.

    Parameters
    ----------
    n_columns : int
        Their number.
    names : array of shape (n_columns,) or None
        Their names if all of them are strings.
    time : str or None, default=None
        Name of the time column, which later tables may lack.
    time_place : int or None, default=None
        Its position.
    dates : bool, default=False
        Whether times are instants: dates, or numbers of a ``time_unit``.
    library : str, default="pandas"
        The dataframe library of X, in which tables come back to whoever passes ids.
    context : tuple of str, default=()
        Names of the columns of the context, which later tables may lack as well. Those
        that are not among the columns of X are of the item table.
    time_unit : str or None, default=None
        The unit in which numbers of the time column count from 1970 on. None: times
        are dates, or numbers that give only the order.
    """

    _older_formats = (UpTo(1, lacking={"time_unit": None}),)

    n_columns: integer(1)
    names: array("object", "n_columns") | None
    time: str | None = None
    time_place: integer() | None = None
    dates: bool = False
    library: one_of(*_frames.LIBRARIES) = _frames.PANDAS
    context: tuple[str, ...] = ()
    time_unit: one_of(*SIZES) | None = None

    def _check_stored(self, place):
        if self.names is not None:
            list_of(str)(list(self.names), f"{place}.names")
        if self.time_place is not None:
            expected = f"a time column among {self.n_columns} columns"
            require(self.time_place < self.n_columns, place, expected)
        fits = (self.time_place is None) == (self.time is None)
        require(fits, place, "a name of the time")
        fits = self.time_unit is None or self.dates
        require(fits, f"{place}.time_unit", "a unit of instants")

    @property
    def time_kind(self):
        """What the times are, a ``TimeKind``."""
        return TimeKind(self.dates, self.time_unit)

    @property
    def kind_of_times(self):
        """What times are in a word: "dates", a unit, "order", or None without any."""
        if self.time is None:
            return None
        if self.time_unit is not None:
            return self.time_unit
        return "dates" if self.dates else "order"

    @property
    def item_context(self):
        """Names of the columns of the context that items have, and X has not."""
        of_frame = self.names
        if of_frame is None:
            of_frame = [f"x{i}" for i in range(self.n_columns)]
        of_frame = set(of_frame)
        return tuple(name for name in self.context if name not in of_frame)

    def with_time(self, frame, name, kind):
        """Return the schema of a table whose column ``name`` holds times of a kind."""
        return self._replace(
            time=name,
            time_place=list(frame.columns).index(name),
            dates=kind.dates,
            time_unit=kind.unit,
        )

    def with_dates(self, frame, name="X"):
        """Return a table with dates in place of numbers that are instants.

        ``name``: what errors call the table.
        """
        if self.time_unit is None or self.time not in frame.columns:
            return frame
        what = f"The time column {self.time!r} of {name}"
        dates = as_dates(frame[self.time], what, self.time_kind)
        frame = frame.copy(deep=False)
        frame[self.time] = dates
        return frame

    def with_empty_columns(self, X, optional=()):
        """Return X with empty columns for those that it may lack.

        It may lack the time, columns of the context, and the ``optional`` ones. If it
        lacks others, it stays as it is.
        """
        if self.time is None and not self.context and not optional:
            return X
        if not _frames.is_frame(X):
            if self.time is None or not self.lacks_time(X):
                return X
            array = np.asarray(X, dtype=object)
            return np.insert(array, self.time_place, np.nan, axis=1)
        frame = _frames.as_frame(X, "X")
        given = list(frame.columns)
        if self.names is None:
            if self.time is None or not self.lacks_time(X) or self.time in given:
                return frame
            name = self.time
            if not all(isinstance(column, str) for column in given):
                name = -1  # numbers as names: it is none of them
            frame = frame.copy(deep=False)
            frame.insert(self.time_place, name, np.nan)
            return frame
        missing = [name for name in self.names if name not in frame]
        in_order = [name for name in self.names if name in frame]
        if not missing or set(given) != set(in_order):
            return frame
        if not set(missing) <= {self.time, *self.context, *optional}:
            return frame
        if self.context or given == in_order:  # with a context in any order
            return frame.reindex(columns=self.names)
        return frame.reindex(columns=[*given, *missing])  # whose order is refused

    def lacks_time(self, X):
        """Return whether a table without names lacks exactly one column, the time."""
        if _frames.is_frame(X):
            n_columns = _frames.as_frame(X, "X").shape[1]
            return self.names is None and n_columns == self.n_columns - 1
        array = X
        if not isinstance(X, np.ndarray):
            array = np.asarray(X, dtype=object)
        return array.ndim == 2 and array.shape[1] == self.n_columns - 1


def read_table(owner, X, schema=None, may_be_empty=False, optional=()):
    """Return X as a pandas frame, and its schema, after scikit-learn's checks.

    Nameless columns are called x0, x1, ... ``owner`` is the name of the estimator in
    error messages. With the ``schema`` of fit, X must agree with it, except that it may
    lack the time, columns of the context and the ``optional`` ones, which are then
    filled with missing values. ``may_be_empty``: whether X may have no rows.
    """
    is_fit = schema is None
    checker = _checker_class(owner)()
    library = _frames.library_of(X)
    if not is_fit:
        X = schema.with_empty_columns(X, optional)
        checker.n_features_in_ = schema.n_columns
        if schema.names is not None:
            checker.feature_names_in_ = schema.names
    if _frames.is_frame(X):
        frame = _frames.as_frame(X, "X")
        _check_columns(checker, frame, schema)
        _check_size(frame, is_fit, may_be_empty)
    else:
        _refuse_other_forms(X)
        if isinstance(X, list | tuple):
            if may_be_empty and len(X) == 0:
                X = np.empty((0, schema.n_columns))
            else:
                X = _rows(X)
        n_rows = 0 if may_be_empty else 1
        n_columns = 2 if is_fit else 1
        frame = checked_frame(checker, X, is_fit, n_rows, n_columns)
    names = getattr(checker, "feature_names_in_", None)
    if is_fit:
        schema = TableSchema(frame.shape[1], names, library=library)
    if names is None:
        names = [f"x{i}" for i in range(frame.shape[1])]
    frame = frame.set_axis(list(names), axis="columns").reset_index(drop=True)
    return schema.with_dates(frame), schema


def read_events(owner, X, y, sample_weight, schema=None):
    """Return events that count as a table, their rewards and weights, and the schema.

    ``owner`` and ``schema`` are those of `read_table`; the table has as many rows as
    rewards (n_events,) and weights (n_events,) have entries. With a ``schema`` there
    may be no positive event, and no row.
    """
    may_be_empty = schema is not None
    frame, schema = read_table(owner, X, schema, may_be_empty)
    rewards, weights = outcomes(y, sample_weight, len(frame), may_be_empty)
    kept = weights > 0
    return frame[kept], rewards[kept], weights[kept], schema


def read_in_memory(owner, recipe, X, y, sample_weight):
    """Return what fit reads of a table of events, after all checks.

    ``owner``: name of the estimator in messages. ``recipe``: names the columns.

    Returns
    -------
    frame : DataFrame of shape (n_events, n_columns)
        The events that count.
    columns : Columns
    outcomes : three arrays of shape (n_events,)
        Rewards, weights and times, None without a time column.
    schema : TableSchema
    """
    frame, rewards, weights, schema = read_events(owner, X, y, sample_weight)
    warn_of_ratings(rewards)
    columns = Columns(frame, recipe, schema.names is not None)
    if y is None:
        warn_of_unused_ratings(frame, columns)
    schema = schema._replace(context=tuple(columns.context))
    times = None
    if columns.time is not None:
        name = columns.time
        called = f"The time column {name!r} of X"
        values = frame[name]
        refuse_gaps(called, int(_frames.is_missing(values, called).sum()), len(values))
        kind = kind_of_times(values, getattr(recipe, "time_unit", "auto"), called)
        times, _ = read_times(values, called, kind)
        schema = schema.with_time(frame, name, kind)
        frame = schema.with_dates(frame)
        say_times(times.min(), times.max(), kind, called)
        warn_of_a_gap(times, frame[name], called)
    return frame, columns, (rewards, weights, times), schema


def read_further(owner, schema, X, y, sample_weight):
    """Return a table of further events that count, without an index, and outcomes.

    ``schema``: that of fit. The table may be empty. Outcomes are rewards, weights and
    times (n_events,), None without a time column.
    """
    frame, rewards, weights, _ = read_events(owner, X, y, sample_weight, schema)
    times = None
    if schema.time is not None:
        times = times_of_further(frame, schema)
    return frame.reset_index(drop=True), (rewards, weights, times)


def times_of_further(frame, schema):
    """Return the times (n_events,) of a table of events that are added to those of fit.

    ``schema``: that of fit.
    """
    name = schema.time
    if len(frame) and frame[name].isna().all():
        raise ValueError(
            f"X lacks the time column {name!r} of fit, or has no time in it. Pass it: "
            "new events need their place in the order."
        )
    called = f"The time column {name!r} of X"
    times, _ = read_times(frame[name], called, schema.time_kind)
    warn_of_a_gap(times, frame[name], called)
    return times


def checked_frame(checker, X, reset, n_rows, n_columns=1):
    """Return an array as a frame of ``n_rows`` and ``n_columns``, or more.

    It is checked by ``validate_data``, whose errors would print a column of ids.
    """
    _frames.refuse_records(X)
    try:
        array = validate_data(
            checker,
            X,
            ensure_min_samples=n_rows,
            ensure_min_features=n_columns,
            dtype=None,
            ensure_all_finite=False,
            reset=reset,
        )
        return _frames.array_as_frame(array, "X")
    except ValueError as error:
        message, printed_array, _ = str(error).partition("\narray=")
        if not printed_array:
            raise
        remedy = "Pass a dataframe, or an array with one row for each event or entity."
        one = "Reshape your data with X.reshape(1, -1) if it is a single row."
        raise ValueError(f"{message.rstrip(':')}. {remedy} {one}") from None


def _refuse_other_forms(X):
    """Raise an error for events that are not in memory, and for fit(users, items)."""
    if _frames.is_source(X):
        what = "a Dataset"
        reader = "pandas.read_parquet or Dataset.to_table()"
        if isinstance(X, str | os.PathLike):
            path = os.fspath(X)
            what = repr(path)
            if path.lower().endswith((".csv", ".csv.gz", ".tsv", ".txt")):
                reader = "pandas.read_csv"
        elif isinstance(X, list | tuple):
            what = "a list of paths"
        remedy = f"Load it first, as with {reader}."
        raise TypeError(f"X is {what}, but a table in memory is needed here. {remedy}")
    if _frames.is_column(X):
        one_row = ""
        if isinstance(X, np.ndarray):
            one_row = " Reshape your data with X.reshape(1, -1) if it is a single row."
        raise ValueError(
            f"X must be a table of events, with a user column and an item column. Got "
            f"one column ({type(X).__name__}). Put both columns into X, as in "
            'pandas.DataFrame({"user": users, "item": items}): the argument after X, '
            f"y, is for rewards.{one_row}"
        )


def _rows(X):
    """Return a list of rows as an array that keeps numbers next to text."""
    try:
        array = np.asarray(X)
    except ValueError:  # rows of different lengths
        return X
    if array.dtype.kind in "US":
        return np.asarray(X, dtype=object)
    return X


@functools.cache
def _checker_class(owner):
    """Return an estimator class of that name.

    Scikit-learn's checks write what they see to an estimator. They get one of their
    own, so that a fit that fails changes nothing.
    """
    return type(owner, (BaseEstimator,), {})


def _check_columns(checker, frame, schema):
    """Check the names of columns as scikit-learn does, and say which fit has seen."""
    try:
        validate_data(checker, frame, skip_check_array=True, reset=schema is None)
    except ValueError as error:
        if schema is None or schema.names is None:
            raise
        known = shorten(list(schema.names))
        missing = [name for name in schema.names if name not in frame.columns]
        hints = ""
        for name in frame.columns:
            if name not in set(schema.names):
                meant = closest(name, missing, cutoff=0.7)
                if meant:
                    hints += f" Did you mean {meant!r} by {name!r}?"
        raise ValueError(
            f"{str(error).rstrip()}\nX of fit had the columns {known}.{hints} Fit on "
            "those that later tables have as well: the ids, a time, features."
        ) from None


def _check_size(frame, is_fit, may_be_empty):
    """Raise ``ValueError`` for a table without events, or of one column."""
    if len(frame) == 0 and not may_be_empty:
        raise ValueError(
            f"Found array with 0 sample(s) (shape={frame.shape}) while a minimum of 1 "
            "is required: X holds no events."
        )
    if is_fit and frame.shape[1] < 2:
        needed = "a user column and an item column are required"
        raise ValueError(f"X has {frame.shape[1]} feature(s) (columns), but {needed}.")
