"""The items that are chosen most often, of all or when they are shown.

Input: events; with outcomes, of which some are 0, for the rates of what was shown.
Output: a share of users, or a smoothed rate, (n_items,), the same for all users.
"""

import datetime
from dataclasses import KW_ONLY, dataclass
from numbers import Real

import numpy as np

from sktwotower._records import array, frozen, positions, record, share
from sktwotower._sklearn_compat import NOT_NEGATIVE, parameter
from sktwotower._tables._arguments import hinted
from sktwotower._tables._running_counts import RunningCounts, smoothed_rates
from sktwotower._tables._sequences import Sequences
from sktwotower._tables._sparse import ones_at
from sktwotower._tables._time_units import SIZES
from sktwotower.retrieval._fitted_state import fitted_attribute

from ._fitted_matrix import ItemScores, ordering, popular_first
from ._matrix_recommender import MatrixRecommender

# Added to showings that are so old that nothing is left of them.
MIN_SMOOTHING = 1e-200


@record
@hinted
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
        dates, such as ``pandas.Timedelta(days=7)``, otherwise a number in the unit of
        the times. Unix times take both. Needs ``time``. None: all events.

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
            recent = ages_of(times) < length_of("window", self.window, events.kind)
            chosen = ones_at(users[recent], items[recent], seen.shape)
        n_users = max(np.count_nonzero(np.diff(chosen.indptr)), 1)
        shares = np.asarray(chosen.sum(axis=0)).ravel() / np.float32(n_users)
        return _Popularity(shares, popular_first(seen, shares), events.in_order)


@record
@hinted
@dataclass(eq=False, repr=False)
class ClickRateRecommender(MatrixRecommender):
    r"""Recommend the items that are chosen most often when they are shown.

    The baseline for the order of what is shown: lists of impressions or search results
    (`sktwotower.metrics.roc_auc_by_list`). It needs events that were shown and not
    chosen, y = 0. From a whole catalog, popularity finds more.

    Parameters
    ----------
    smoothing : float, default=10.0
        Number of showings at the mean rate that are added to those of each item, >= 0,
        so that an item shown once is not the best or the worst.
    user_id, item_id : str or int, default=None
        Columns of X that name the user and the item (or their positions). None: the
        first column for the user, the second for the item.
    time : str or int, default=None
        Column of X that says when (or its position): dates or finite numbers. Tables of
        `predict` may lack it. It is used with ``half_life`` only.
    n_neighbors : int, default=10
        Number of items that retrieval returns, and that count in `score`, >= 1.
    exclude_seen : bool, default=True
        Never recommend items that the user chose in fit.
    half_life : Timedelta or float, default=None
        Age at which an event counts one half, > 0: a duration if times are dates, such
        as ``pandas.Timedelta(hours=6)``, otherwise a number in the unit of the times.
        Unix times take both. Needs ``time``. None: all events count the same.

    Attributes
    ----------
    user_ids_, item_ids_ : ndarray of shape (n_users,) and (n_items,)
        Known ids, sorted.
    item_rates_ : ndarray of shape (n_items,), float32
        The smoothed rate of each item, in [0, 1].
    n_features_in_ : int
        Number of columns of X in fit.
    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Names of the columns of X, if they are all strings.

    See Also
    --------
    sktwotower.metrics.retrieval_report : Compares the order within lists, with
        ``lists``.

    Notes
    -----
    The score of item i is :math:`(c_i + m r) / (n_i + m)`, where :math:`n_i` events of
    fit have the item, :math:`c_i` of them with y > 0, r is the share of all events with
    y > 0 and m the ``smoothing``. Repeated events count each time, and an event with a
    ``sample_weight`` as often as that says. Equal scores are ordered by the number of
    users who chose the item. Without an event of y = 0 all rates are 1, and the order
    is that of popularity.

    With ``half_life`` h, an event of age a counts :math:`2^{-a / h}` in all these sums;
    its age is the time up to the latest event that was counted. So are the rates that
    `predict` returns, regardless of the times of its table: `partial_fit` moves them
    on. An item that nobody was shown has the rate r.

    Examples
    --------
    >>> from sktwotower import ClickRateRecommender
    >>> X = [["ann", "tea"], ["bob", "tea"], ["cid", "tea"], ["ann", "jam"],
    ...      ["bob", "jam"]]
    >>> model = ClickRateRecommender(smoothing=0).fit(X, y=[1, 0, 0, 0, 1])
    >>> model.recommend(["zoe"], n_neighbors=2)
      user item     score  rank
    0  zoe  jam  0.500000     1
    1  zoe  tea  0.333333     2

    With ``half_life``, what is of today counts most, and `partial_fit` goes on with the
    counts:

    >>> import pandas as pd
    >>> events = pd.DataFrame(X, columns=["user", "item"]).assign(day=[1, 2, 3, 1, 3])
    >>> model = ClickRateRecommender(smoothing=0, half_life=1, time="day")
    >>> model = model.fit(events, y=[1, 0, 0, 0, 1])
    >>> model.item_rates_.round(2)  # of jam and tea
    array([0.8 , 0.14], dtype=float32)
    >>> new = pd.DataFrame({"user": ["bob"], "item": ["tea"], "day": [4]})
    >>> model.partial_fit(new, y=[1]).item_rates_.round(2)
    array([0.8, 0.6], dtype=float32)
    """

    item_rates_ = fitted_attribute("model.shares")

    _need_time = ("half_life",)
    smoothing: float = parameter(10.0, NOT_NEGATIVE)
    _: KW_ONLY
    half_life: float | datetime.timedelta | np.timedelta64 | None = None

    def _learn(self, seen, events):
        counts = self._count(seen.shape[1], events)
        sums = counts.at(np.arange(seen.shape[1]), counts.latest.max())
        of_all = sums.sum(axis=0)
        # also if nothing is left of the showings of some
        smoothing = max(self.smoothing, MIN_SMOOTHING)
        rates = smoothed_rates(sums, of_all, smoothing).astype(np.float32)
        order, mean = popular_first(seen, rates), float(of_all[1] / of_all[0])
        return _ClickRates(rates, order, None, counts, mean)

    def _count(self, n_items, events):
        """Return the counts of items after the showings of a call."""
        items, times, kind, amounts, counted, _ = events
        half_life, now = None, 0.0
        if self.half_life is not None:
            if times is None:
                self._refuse_unkept()
            half_life = float(length_of("half_life", self.half_life, kind))
            amounts = amounts * np.exp2(-(ages_of(times) / half_life))[:, None]
            now = float(times.max())
        if counted is None:
            counted = RunningCounts.empty(half_life)
        elif counted.half_life != half_life:
            self._refuse_unkept()
        sums = [np.bincount(items, column, n_items) for column in amounts.T]
        keys, when = np.arange(n_items), np.full(n_items, now)
        return counted.count(keys, when, np.column_stack(sums))[1]


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


@frozen
class _ClickRates(_Popularity):
    """Smoothed rates, with the counts that they are of.

    ``counts``: by position of the item. ``of_unknown``: the rate of all events.
    """

    counts: RunningCounts
    of_unknown: share

    def _check_stored(self, place):
        positions(self.counts.keys, f"{place}.counts.keys", self.n_items)


def ages_of(times):
    """Return the time (n_events,) from each event to the latest one, >= 0."""
    with np.errstate(over="ignore"):  # inf is as old as can be
        ages = (times.max() if len(times) else 0) - times
    # as int64, the span of the earliest and the latest dates would be negative
    return ages if times.dtype == np.float64 else ages.view(np.uint64)


def length_of(name, duration, kind):
    """Return the parameter ``name`` as a number, in nanoseconds if times are instants.

    ``kind``: what times are, a ``TimeKind``.
    """
    is_duration = isinstance(duration, datetime.timedelta | np.timedelta64)
    dates = kind.dates
    if kind.unit is not None and isinstance(duration, Real) and not is_duration:
        if not duration > 0:
            raise ValueError(f"{name} must be > 0. Got {duration!r}.")
        return duration * SIZES[kind.unit]
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
