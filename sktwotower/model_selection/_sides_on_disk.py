"""Splits by time of events that lie on disk.

Input: a path of Parquet files, a pyarrow Dataset or a polars LazyFrame X.
Output: train and test side as filtered Datasets or LazyFrames, fold by fold.
"""

import operator
import sys
from importlib import import_module

import numpy as np

from sktwotower._tables._columns import column_position, refuse_gaps
from sktwotower._tables._frames import LAZY_FRAME, as_frame, is_of
from sktwotower._tables._sources import opened
from sktwotower._tables._times import times_of


def sides_on_disk(splitter, X):
    """Yield train and test side of each fold of a `TimeSplit`, not yet read.

    Parameters
    ----------
    splitter : TimeSplit
    X : path, pyarrow Dataset or polars LazyFrame

    Yields
    ------
    train, test : pyarrow Dataset, or polars LazyFrame if X is one
    """
    if splitter.time is None:
        raise ValueError(
            "time=None stands for the number of the row, which events on disk do not "
            "have. Name the time column."
        )
    with opened(X) as source:
        when = splitter.time
        user_id = splitter.user_id
        item_id = splitter.item_id
        time = column_position(source.empty, when, None, "time")
        user = column_position(source.empty, user_id, 0, "user_id", when)
        item = column_position(source.empty, item_id, 1, "item_id", when)
        time, user, item = source.empty.columns[[time, user, item]]
        source.select(t=time)
        bounds = list(_bounds(splitter, source, time))
        if is_of(X, LAZY_FRAME):
            whole = _Lazy(X)
        else:
            whole = _Dataset(source.dataset())
    for after, before, start, end in bounds:
        train = whole.between(time, before=before, after=after)
        test = whole.between(time, before=end, start=start)
        if splitter.drop_unseen_users:
            test = test.known(user, train)
        if splitter.drop_unseen_items:
            test = test.known(item, train)
        yield train.events, test.events


def count_rows(X):
    """Return the number of events on disk."""
    with opened(X) as source:
        source.select(c=source.empty.columns[0])
        return source.query("select count(*) as n from events")["n"][0].as_py()


def _bounds(splitter, source, time):
    """Yield the times between which the sides of each fold lie; see `TimeSplit`."""
    arrow = import_module("pyarrow")
    counts = source.query("select count(*) as n, count(t) as known from events")
    n_rows = counts["n"][0].as_py()
    n_known = counts["known"][0].as_py()
    refuse_gaps(f"The time column {time!r} of X", n_rows - n_known, n_rows)

    def times(sql):
        return times_of(as_frame(source.query(sql), "X").set_axis([time], axis=1), time)

    def time_at(place):
        return times(f"select t from events order by t limit 1 offset {place}")[0]

    def n_before(moment):
        bound = arrow.table({"b": arrow.array([moment])})
        sql = "select count(*) as n from events where t < (select b from bound)"
        return source.query(sql, bound=bound)["n"][0].as_py()

    ends = times("select min(t) from events union all select max(t) from events")
    yield from splitter._bounds(n_rows, time_at, n_before, ends)


COMPARE = {"after": operator.gt, "start": operator.ge, "before": operator.lt}


class _Dataset:
    """A pyarrow Dataset that can be filtered."""

    def __init__(self, events):
        self.events = events

    def between(self, time, **bounds):
        """Return the events between moments; None is no bound."""
        kept = self.events
        for name, moment in bounds.items():
            if moment is not None:
                kept = kept.filter(COMPARE[name](*self._terms(time, moment)))
        return type(self)(kept)

    def _terms(self, time, moment):
        """Return the column of times and a moment, as a filter compares them."""
        scalar = import_module("pyarrow").scalar(moment)
        if isinstance(moment, np.datetime64):
            scalar = scalar.cast(self.events.schema.field(time).type)
        return import_module("pyarrow.dataset").field(time), scalar

    def known(self, column, train):
        """Return the events whose id in a column is in the train side."""
        field = import_module("pyarrow.dataset").field(column)
        return _Dataset(self.events.filter(field.isin(_distinct(train.events, column))))


class _Lazy(_Dataset):
    """A polars LazyFrame that can be filtered."""

    def _terms(self, time, moment):
        """Return the column of times and a moment, as a filter compares them."""
        polars = sys.modules["polars"]
        if not isinstance(moment, np.datetime64):
            return polars.col(time), polars.lit(moment.item())
        kind = self.events.collect_schema()[time]
        unit = getattr(kind, "time_unit", "D")  # a Date has no unit
        number = int(moment.astype(f"datetime64[{unit}]").astype(np.int64))
        return polars.col(time), polars.lit(number, dtype=polars.Int64).cast(kind)

    def known(self, column, train):
        """Return the events whose id in a column is in the train side."""
        polars = sys.modules["polars"]
        ids = polars.from_arrow(_distinct(train.events, column))
        ids = ids.cast(self.events.collect_schema()[column]).alias(column)
        known = polars.LazyFrame({column: ids})
        return _Lazy(self.events.join(known, on=column, how="semi"))


def _distinct(X, column):
    """Return the distinct ids in a column of events on disk, an Arrow array."""
    with opened(X) as source:
        source.select(c=column)
        ids = source.query("select distinct c from events where c is not null")["c"]
    return ids.combine_chunks()
