"""The most popular items.

Input: events.
Output: a share of users (n_items,), the same for all users.
"""

import datetime
from dataclasses import dataclass
from numbers import Real

import numpy as np

from sktwotower._records import array, frozen, record
from sktwotower._tables._sequences import Sequences
from sktwotower._tables._sparse import ones_at

from ._fitted_matrix import ItemScores, ordering, popular_first
from ._matrix_recommender import MatrixRecommender


@record
@dataclass(kw_only=True, eq=False, repr=False)
class PopularityRecommender(MatrixRecommender):
    """Recommend the most popular items, the same ones to all users.

    The first baseline to compare with. It works for unknown users as well.

    Parameters
    ----------
    user_id, item_id : str or int, default=None
        Columns of X that name the user and the item (or their positions). None: the
        first column for the user, the second for the item.
    time : str or int, default=None
        Column of X that says when (or its position): dates or finite numbers. Later
        tables may lack it. It is used with ``window`` only.
    n_neighbors : int, default=10
        Number of items that retrieval returns, and that count in `score`, >= 1.
    exclude_seen : bool, default=True
        Never recommend items that the user chose in fit.
    window : Timedelta or float, default=None
        Count only the events of the last ``window``, > 0: a duration if times are
        dates, such as ``pandas.Timedelta(days=7)``, otherwise a number. Needs ``time``.
        None: all events.

    Attributes
    ----------
    user_ids_, item_ids_ : ndarray of shape (n_users,) and (n_items,)
        Known ids, sorted.
    n_features_in_ : int
        Number of columns of X in fit.
    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Names of the columns of X, if they are all strings.

    See Also
    --------
    sktwotower.metrics.retrieval_report : Compares several models.

    Notes
    -----
    The score of item i is the share of the users of fit who chose it, in [0, 1]. Items
    with equal scores are in the order of ``item_ids_``.

    With ``window`` w, only positive events at times t > T - w count, where T is the
    time of the latest one: the score is the share of the users who chose anything then.
    Items with equal scores, such as those that nobody chose then, are ordered by the
    number of users who ever chose them. If the window is longer than the data, all
    events count.

    Examples
    --------
    >>> import pandas as pd
    >>> from sktwotower import PopularityRecommender
    >>> X = pd.DataFrame({"user": ["ann", "bob", "bob", "cid"],
    ...                   "item": ["tea", "tea", "jam", "egg"],
    ...                   "day": [1, 2, 8, 9]})
    >>> PopularityRecommender().fit(X).recommend(["ann", "zoe"], n_neighbors=1)
      user item     score  rank
    0  ann  egg  0.333333     1
    1  zoe  tea  0.666667     1

    Only the last day counts:

    >>> model = PopularityRecommender(window=1, time="day").fit(X)
    >>> model.recommend(["zoe"], n_neighbors=2)
      user item  score  rank
    0  zoe  egg    1.0     1
    1  zoe  tea    0.0     2
    """

    _need_time = _replayed = ("window",)

    window: float | datetime.timedelta | np.timedelta64 | None = None

    def _learn(self, seen, events):
        chosen = seen
        if self.window is not None:
            users, items, times = events.in_order.events()
            recent = ages_of(times) < length_of("window", self.window, events.dates)
            chosen = ones_at(users[recent], items[recent], seen.shape)
        n_users = max(np.count_nonzero(np.diff(chosen.indptr)), 1)
        shares = np.asarray(chosen.sum(axis=0)).ravel() / np.float32(n_users)
        first = popular_first(seen)
        order = first[np.argsort(-shares[first], kind="stable")]
        return _Popularity(shares, order, events.in_order)


@frozen
class _Popularity(ItemScores):
    """Scores, shares (n_items,) that are the same for all users.

    ``order``: positions (n_items,) of the items, best first. ``replayed``: all events,
    of which those in a window count, or None.
    """

    shares: array("float32 float64", "n_items")
    order: ordering("n_items")
    replayed: Sequences | None

    def scores(self, past):
        """Return scores (n, n_items) of users with past items (n, n_items)."""
        return np.tile(self.shares, (past.shape[0], 1))


def ages_of(times):
    """Return the time (n_events,) from each event to the latest one, >= 0."""
    with np.errstate(over="ignore"):  # inf is as old as can be
        ages = (times.max() if len(times) else 0) - times
    # as int64, the span of the earliest and the latest dates would be negative
    return ages if times.dtype == np.float64 else ages.view(np.uint64)


def length_of(name, duration, dates):
    """Return the parameter ``name`` as a number, in nanoseconds if times are dates."""
    is_duration = isinstance(duration, datetime.timedelta | np.timedelta64)
    if is_duration != dates or not (is_duration or isinstance(duration, Real)):
        expected = "a number, as the times are numbers"
        if dates:
            example = "such as pandas.Timedelta(days=7)"
            expected = f"a duration, {example}, as the times are dates"
        raise TypeError(f"{name} must be {expected}. Got {duration!r} instead.")
    length = duration
    if isinstance(duration, np.timedelta64):
        length = np.round(duration / np.timedelta64(1, "s") * 1e9)
    elif dates:
        length = np.round(duration.total_seconds() * 1e9)
    if not length > 0:
        raise ValueError(f"{name} must be > 0. Got {duration!r}.")
    return length
