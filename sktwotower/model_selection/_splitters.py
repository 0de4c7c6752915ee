"""The splitters: by each user's last events, by one cut for all, and of cold ids.

Input: an interaction table X (n_events, n_columns) with users, items and times.
Output: row positions of train and test, 1-D each, for `cv=` of scikit-learn.
"""

import datetime
from dataclasses import KW_ONLY, dataclass
from numbers import Integral, Real
from typing import Any

import numpy as np
import pandas as pd
from sklearn.model_selection import GroupShuffleSplit

from sktwotower._sklearn_compat import COUNT, SHARE, parameter
from sktwotower._tables._columns import count
from sktwotower._tables._times import duration, times_of

from ._base import COLUMN, InteractionSplit
from ._sides_on_disk import sides_on_disk

DURATIONS = datetime.timedelta, np.timedelta64


@dataclass(eq=False, repr=False)
class _ColdSplit(InteractionSplit):
    """Hold out all events of a random share of the users, or of the items."""

    _remedy = "Choose another test_size."
    # The held-out users or items are always unseen.
    drop_unseen_users = drop_unseen_items = False

    test_size: int | float = parameter(0.2, SHARE, COUNT)
    _: KW_ONLY
    random_state: Any = parameter(None, "random_state")

    def _sides(self, X):
        groups = self._codes(X, *self._held_out)
        n_ids = groups.max(initial=-1) + 1
        least = 2
        if isinstance(self.test_size, Integral):
            least = self.test_size + 1
        if n_ids < least:
            raise ValueError(
                f"{self!r} needs at least {least} ids to hold some out. Got {n_ids}."
            )
        splitter = GroupShuffleSplit(
            self.n_splits, test_size=self.test_size, random_state=self.random_state
        )
        for _, held in splitter.split(groups, groups=groups):
            test = np.zeros(len(groups), dtype=bool)
            test[held] = True
            yield ~test, test


@dataclass(kw_only=True, eq=False, repr=False)
class ColdItemSplit(_ColdSplit):
    """Hold out all events of a random share of the items.

    This tests a recommender on items without any event, which it knows only by their
    features, from the ``items`` table.

    Parameters
    ----------
    test_size : float or int, default=0.2
        Share of the items, in (0.0, 1.0), or their number, >= 1.
    n_splits : int, default=1
        Number of folds, >= 1, each drawn independently.
    user_id : str or int, default=None
        Column of the users, a position if X is an array. None: the first. Used by
        `drop_unseen_users`.
    item_id : str or int, default=None
        Column of the items, a position if X is an array. None: the second.
    random_state : int, RandomState instance or None, default=None
        Draws the items.
    drop_unseen_users : bool, default=False
        Leave out test rows whose user has no train row.

    See Also
    --------
    ColdUserSplit : The same for users.

    Examples
    --------
    >>> import pandas as pd
    >>> from sktwotower.model_selection import ColdItemSplit
    >>> X = pd.DataFrame({"user": [1, 1, 2, 2, 3], "item": ["a", "b", "a", "c", "b"]})
    >>> train, test = next(ColdItemSplit(test_size=1, random_state=0).split(X))
    >>> X["item"].iloc[test].tolist(), X["item"].iloc[train].tolist()
    (['c'], ['a', 'b', 'a', 'b'])
    """

    _held_out = "item_id", 1
    drop_unseen_users: bool = parameter(False, "boolean")


@dataclass(kw_only=True, eq=False, repr=False)
class ColdUserSplit(_ColdSplit):
    """Hold out all events of a random share of the users.

    This tests a recommender on users it has never seen, which it knows only by their
    features, or by a history that comes with the request.

    Parameters
    ----------
    test_size : float or int, default=0.2
        Share of the users, in (0.0, 1.0), or their number, >= 1.
    n_splits : int, default=1
        Number of folds, >= 1, each drawn independently.
    user_id : str or int, default=None
        Column of the users, a position if X is an array. None: the first.
    item_id : str or int, default=None
        Column of the items, a position if X is an array. None: the second. Used by
        `drop_unseen_items`.
    random_state : int, RandomState instance or None, default=None
        Draws the users.
    drop_unseen_items : bool, default=False
        Leave out test rows whose item has no train row.

    See Also
    --------
    ColdItemSplit : The same for items.

    Examples
    --------
    >>> import pandas as pd
    >>> from sktwotower.model_selection import ColdUserSplit
    >>> X = pd.DataFrame({"user": [1, 1, 2, 2, 3], "item": ["a", "b", "a", "c", "b"]})
    >>> train, test = next(ColdUserSplit(test_size=1, random_state=0).split(X))
    >>> X["user"].iloc[test].tolist(), X["user"].iloc[train].tolist()
    ([3], [1, 1, 2, 2])
    """

    _held_out = "user_id", 0
    drop_unseen_items: bool = parameter(False, "boolean")


@dataclass(eq=False, repr=False)
class LastNSplit(InteractionSplit):
    """Hold out each user's last events.

    The next-item protocol: a user's last events are predicted from the earlier ones. No
    user's test rows come before the user's train rows, but one user's train rows may be
    later than another's test rows; `TimeSplit` rules that out, too.

    Parameters
    ----------
    n : int or float, default=1
        Test rows per user and fold: a number >= 1, or a share in (0.0, 1.0) of the
        user's rows, rounded down.
    n_splits : int, default=1
        Number of folds, >= 1. Each fold tests the rows just before the previous fold's.
    user_id : str or int, default=None
        Column of the users, a position if X is an array. None: the first that is not
        the time.
    item_id : str or int, default=None
        Column of the items, a position if X is an array. None: the second that is not
        the time. Used by `drop_unseen_items`.
    time : str or int, default=None
        Column to order by, dates or numbers; ties by row. None: rows are in order, with
        a warning if a column of X that looks like times contradicts that.
    drop_unseen_users : bool, default=False
        Leave out test rows whose user is not in the train side (by construction there
        are none).
    drop_unseen_items : bool, default=False
        Leave out test rows whose item is not in the train side.

    See Also
    --------
    TimeSplit : One cut in time for all users.

    Notes
    -----
    Let a user have c rows and n_u = n, or floor(n c). Fold j = 0, 1, ... tests the
    user's rows number j n_u + 1 to (j + 1) n_u from the end and trains on those before.
    Users with n_u = 0 or fewer than (j + 1) n_u + 1 rows have all their rows in the
    train side of fold j. O(n_events log n_events) per call.

    Examples
    --------
    >>> import pandas as pd
    >>> from sktwotower.model_selection import LastNSplit
    >>> X = pd.DataFrame({"user": list("aabbb"), "item": [1, 2, 1, 3, 2]})
    >>> [(train.tolist(), test.tolist()) for train, test in LastNSplit().split(X)]
    [([0, 2, 3], [1, 4])]
    """

    _remedy = "Choose a smaller n or fewer n_splits, or keep unseen users and items."

    n: int | float = parameter(1, COUNT, SHARE)
    _: KW_ONLY
    time: str | int | None = parameter(None, *COLUMN)
    drop_unseen_users: bool = parameter(False, "boolean")
    drop_unseen_items: bool = parameter(False, "boolean")

    def _sides(self, X):
        """Yield train and test side of each fold, bool (n_events,) each."""
        users = self._codes(X, "user_id", 0)
        order = np.lexsort((times_of(X, self.time, users), users))
        sizes = np.bincount(users)
        # how many later rows each row's user has
        last_rows = np.cumsum(sizes) - 1
        n_later = np.empty(len(users), dtype=np.int64)
        n_later[order] = last_rows[users[order]] - np.arange(len(users))
        n_rows = np.full(len(sizes), self.n)
        if not isinstance(self.n, Integral):
            # 1e-9: .29 * 100 is a little less than 29 in binary
            n_rows = np.floor(self.n * sizes + 1e-9).astype(np.int64)
        for fold in range(self.n_splits):
            end = (fold + 1) * n_rows
            is_whole = (n_rows == 0) | (sizes <= end)  # users with train rows only
            train = is_whole[users] | (n_later >= end[users])
            start = end - n_rows
            yield train, ~train & (n_later >= start[users])


@dataclass(eq=False, repr=False)
class TimeSplit(InteractionSplit):
    """Hold out the events after a point in time, the same for all users.

    This is how a recommender is used: it is fitted on the past of all users and judged
    on what they choose later. Rows of the same time are never on both sides.

    Parameters
    ----------
    test_size : int, float or Timedelta, default=0.2
        Test rows per fold: a number >= 1, or a share in (0.0, 1.0) of all rows, rounded
        up. A fold has more or fewer where rows of the same time are kept together. A
        Timedelta > 0, if the times are dates: how long the test side of a fold takes.
    n_splits : int, default=1
        Number of folds, >= 1, in the order of time. The test sides follow each other;
        the last one ends with the last row.
    user_id : str or int, default=None
        Column of the users, a position if X is an array. None: the first that is not
        the time. Used by `drop_unseen_users`.
    item_id : str or int, default=None
        Column of the items, a position if X is an array. None: the second that is not
        the time. Used by `drop_unseen_items`.
    time : str or int, default=None
        Column of the times, dates or numbers, a position if X is an array. None: the
        row's number is its time, with a warning if a column of X that looks like times
        contradicts that.
    gap : number or Timedelta, default=0
        Duration >= 0 before the cut; its rows are on neither side. A Timedelta if the
        times are dates, else a number in the units of the times.
    max_train_size : int or float, default=None
        Maximum number of train rows; the latest are kept. A number >= 1, or a share in
        (0.0, 1.0) of all rows, rounded up; if the rows of one time do not all fit, they
        are left out. None: no maximum, so that the train side grows from fold to fold.
    drop_unseen_users : bool, default=False
        Leave out test rows whose user is not in the train side.
    drop_unseen_items : bool, default=False
        Leave out test rows whose item is not in the train side.

    See Also
    --------
    LastNSplit : The last events of each user.

    Notes
    -----
    With the times sorted, m test rows per fold and s folds, fold j = 0, ..., s - 1 is
    cut at t_j, the time of the row number (s - j) m from the end: rows with t_j <= time
    < t_{j+1} are tested (t_s is infinite), rows with time < t_j - gap are trained on.
    With a duration d as ``test_size`` and the last time t, t_j is the first time later
    than t - (s - j) d.

    Examples
    --------
    >>> import pandas as pd
    >>> from sktwotower.model_selection import TimeSplit
    >>> X = pd.DataFrame({"user": list("abab"), "item": list("vwwv")})
    >>> X["day"] = [3, 1, 3, 2]
    >>> [(a.tolist(), b.tolist()) for a, b in TimeSplit(0.5, time="day").split(X)]
    [([1, 3], [0, 2])]

    The last two days are tested:

    >>> X["day"] = pd.Timestamp("2026-11-01") + pd.to_timedelta(X["day"], "D")
    >>> split = TimeSplit(pd.Timedelta("2D"), time="day")
    >>> [(a.tolist(), b.tolist()) for a, b in split.split(X)]
    [([1], [0, 2, 3])]
    """

    _remedy = (
        "Choose another test_size, fewer n_splits or a smaller gap, or keep unseen "
        "users and items; rows of the same time stay together."
    )

    test_size: int | float | datetime.timedelta | np.timedelta64 = parameter(
        0.2, COUNT, SHARE, *DURATIONS
    )
    _: KW_ONLY
    time: str | int | None = parameter(None, *COLUMN)
    gap: Any = parameter(0, Real, *DURATIONS)
    max_train_size: int | float | None = parameter(None, None, COUNT, SHARE)
    drop_unseen_users: bool = parameter(False, "boolean")
    drop_unseen_items: bool = parameter(False, "boolean")

    def _sides(self, X):
        """Yield train and test side of each fold, bool (n_events,) each."""
        times = times_of(X, self.time)
        ordered = np.sort(times)
        ends = ordered
        if len(ordered):
            ends = ordered[[0, -1]]

        def n_before(moment):
            return np.searchsorted(ordered, moment)

        bounds = self._bounds(len(times), ordered.__getitem__, n_before, ends)
        for after, before, start, end in bounds:
            test = times >= start
            train = times < before
            if end is not None:
                test &= times < end
            if after is not None:
                train &= times > after
            yield train, test

    _sides_on_disk = sides_on_disk

    def _bounds(self, n_rows, time_at, n_before, ends):
        """Yield the times between which the sides of each fold lie.

        Parameters
        ----------
        n_rows : int
            Number of rows.
        time_at : callable
            Returns the time of the row at a place, rows sorted by time.
        n_before : callable
            Returns the number of rows before a time.
        ends : array of shape (2,)
            The first and the last time; empty without rows.

        Yields
        ------
        after, before : times
            Train rows are later than the first, if it is not None, and earlier than
            the second.
        start, end : times
            Test rows have the first or are later, and are earlier than the second, if
            it is not None.
        """
        gap = duration(self.gap, ends, "gap")

        # the first time that each fold may test
        folds = range(self.n_splits, 0, -1)
        in_time = isinstance(self.test_size, DURATIONS)
        if in_time and n_rows:
            size = duration(self.test_size, ends, "test_size")
            span = ends[1] - ends[0]
            longest = pd.Timedelta(span // self.n_splits)
            if size <= 0 * size or pd.Timedelta(self.test_size) > longest:
                raise ValueError(
                    f"{self!r} asks for {self.n_splits} x {self.test_size} of the "
                    f"{pd.Timedelta(span)} of X, which leaves one side without rows."
                )
            # later than that by a unit of the times, at least
            latest = ends[1] + np.timedelta64(1, np.datetime_data(ends.dtype)[0])
            places = [n_before(latest - fold * size) for fold in folds]
        else:
            n_test = 0
            if not in_time:
                n_test = count(self.test_size, n_rows)
            if self.n_splits * n_test >= n_rows:
                raise ValueError(
                    f"{self!r} asks for {self.n_splits} x {n_test} test rows, which "
                    f"leaves none of the {n_rows} rows of X to train on."
                )
            places = [n_rows - fold * n_test for fold in folds]
        cuts = [time_at(place) for place in places]

        for cut, end in zip(cuts, [*cuts[1:], None], strict=True):
            after = None
            if self.max_train_size is not None:
                first = n_before(cut - gap) - count(self.max_train_size, n_rows)
                if first > 0:
                    after = time_at(first - 1)
            yield after, cut - gap, cut, end
