"""The items that are chosen most often, of all or when they are shown.

Input: events; with outcomes, of which some are 0, for the rates of what was shown.
Output: a share of users, or a smoothed rate, (n_items,), the same for all users.
"""

import copy
import datetime
import functools
from dataclasses import KW_ONLY, dataclass
from numbers import Real
from typing import Self

import numpy as np
import pandas as pd

from sktwotower._records import UpTo, array, frozen, number, positions, record, share
from sktwotower._sklearn_compat import NOT_NEGATIVE, parameter
from sktwotower._tables._arguments import hinted
from sktwotower._tables._growing_ids import GrowingIds
from sktwotower._tables._ids import as_type_of, check_ids, positions_of
from sktwotower._tables._one_writer import one_writer
from sktwotower._tables._running_counts import RunningCounts, smoothed_rates
from sktwotower._tables._schema import read_further
from sktwotower._tables._sequences import Sequences
from sktwotower._tables._sparse import ones_at
from sktwotower._tables._stored import index
from sktwotower._tables._time_units import SIZES
from sktwotower.retrieval._fitted_state import fitted_attribute, fitted_of

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
            window = length_of("window", self.window, events.kind)
            is_recent = ages_of(times) < window
            chosen = ones_at(users[is_recent], items[is_recent], seen.shape)
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

    def partial_fit(self, X, y=None, sample_weight=None, *, counted=False) -> Self:
        """Learn from further events: the result is that of `fit` on all of them.

        Showings and choices are added to the counts. New items join the catalog, and
        items that users chose are left out of their recommendations.

        Parameters
        ----------
        X, y, sample_weight
            As in `fit`, with the same columns; only the new events. X may have no
            positive event, and no rows: then nothing changes.
        counted : bool, default=False
            Whether `update_counts` has counted these events: then counts stay as they
            are, and the rest is learnt.

        Returns
        -------
        self : ClickRateRecommender
            The fitted estimator; a first call is `fit`. A call that fails leaves it as
            it was before.

        Raises
        ------
        ValueError, TypeError
            As in `fit`; ValueError if ``half_life`` was set after fit, which did not
            keep what it needs; TypeError if new ids or times are of another type than
            those of fit.

        Notes
        -----
        With ``half_life``, sums may differ from those of one fit by rounding. Users
        that were forgotten (`forget_users`) come back with their new events only; items
        of theirs stay known, and counts of showings stay as they are.

        Examples
        --------
        >>> from sktwotower import ClickRateRecommender
        >>> X = [["ann", "tea"], ["bob", "tea"], ["ann", "jam"], ["bob", "jam"]]
        >>> model = ClickRateRecommender(smoothing=0).fit(X, y=[1, 0, 0, 0])
        >>> model = model.partial_fit([["cid", "jam"], ["cid", "ham"]], y=[1, 1])
        >>> model.recommend(["zoe"], n_neighbors=3).round(2)
          user item  score  rank
        0  zoe  ham   1.00     1
        1  zoe  tea   0.50     2
        2  zoe  jam   0.33     3
        """
        return self._learn_more(X, y, sample_weight, counted)

    def update_counts(self, X, y=None, sample_weight=None) -> Self:
        """Count further events, and do nothing else: a matter of milliseconds.

        For each request that is answered: `predict` and `recommend` know at once what
        was shown and chosen. The time that it takes follows the number of events, not
        the size of the catalog or of what was counted before.

        Parameters
        ----------
        X, y, sample_weight
            As in `fit`, with the same columns; only the new events. They may be of new
            users and items, late, without a positive one, and without rows: then
            nothing changes.

        Returns
        -------
        self : ClickRateRecommender
            The fitted estimator. A call that fails leaves it as it was before.

        Raises
        ------
        NotFittedError
            If fit has not been called.
        ValueError, TypeError
            As in `partial_fit`.

        Notes
        -----
        New items have a rate in `predict` from now on. `recommend` returns them after
        `partial_fit`, which also learns who has chosen what. Pass it the same events,
        with ``counted=True``, such as once a day.

        Other threads may ask for answers meanwhile: each gets the rates before a call
        or after it. Calls that change one estimator wait for each other.

        `recommend` and ``item_rates_`` compute the rates of all items when they are
        first asked for after a change; `predict` computes those of its rows.

        Examples
        --------
        >>> from sktwotower import ClickRateRecommender
        >>> X = [["ann", "tea"], ["bob", "tea"], ["ann", "jam"], ["bob", "jam"]]
        >>> model = ClickRateRecommender(smoothing=0).fit(X, y=[1, 0, 0, 0])
        >>> model.item_rates_  # of jam and tea
        array([0. , 0.5], dtype=float32)
        >>> shown = [["cid", "jam"], ["cid", "ham"]]
        >>> model = model.update_counts(shown, y=[1, 1])
        >>> model.predict([["zoe", "jam"], ["zoe", "tea"], ["zoe", "ham"]]).round(2)
        array([0.33, 0.5 , 1.  ], dtype=float32)
        """
        with one_writer(self):
            self._check_parameters()
            before = fitted_of(self)
            frame, outcomes = read_further(
                type(self).__name__, before.schema, X, y, sample_weight
            )
            if len(frame) == 0:
                return self
            items = before.items
            label = f"item column {items.label!r}"
            ids = as_type_of(check_ids(frame[items.id_column], label), items.ids, label)
            users = before.users
            label = f"user column {users.label!r}"
            as_type_of(check_ids(frame[users.id_column], label), users.ids, label)
            rewards, weights, times = outcomes
            self._half_life_of(times, before.schema.time_kind, before.model.counts)
            amounts = np.column_stack([weights, weights * (rewards > 0)])
            model = before.model.updated(
                ids, items, times, amounts, self.smoothing, before.popular_first
            )
            counting = copy.copy(before)  # what it has computed and kept stays there
            object.__setattr__(counting, "model", model)
            self._fitted = counting
        return self

    def _learn(self, seen, events):
        amounts = events.amounts
        n_items = seen.shape[1]
        counts_before = None
        unseen = pd.Index([])
        if events.before is not None:
            counts_before = events.before.counts
            unseen = events.before.unseen.joined()
        half_life = self._half_life_of(events.times, events.kind, counts_before)
        counts = counts_before
        if counts is None:
            counts = RunningCounts.empty(half_life)
        if len(events.items):
            now = 0.0
            if half_life is not None:
                ages = ages_of(events.times)
                amounts = amounts * np.exp2(-(ages / half_life))[:, None]
                now = float(events.times.max())
            sums = [np.bincount(events.items, column, n_items) for column in amounts.T]
            keys = np.arange(n_items)
            times = np.full(n_items, now)
            _, counts = counts.count(keys, times, np.column_stack(sums))
        ties = popular_first(seen)
        return _ClickRates(counts, n_items, GrowingIds((unseen,)), self.smoothing, ties)

    def _half_life_of(self, times, kind, counted):
        """Return the half-life as a number, or None, after checks.

        ``counted``: the counts that events are added to, or None.
        """
        half_life = None
        if self.half_life is not None:
            if times is None:
                self._refuse_unkept()
            half_life = float(length_of("half_life", self.half_life, kind))
        if counted is not None and counted.half_life != half_life:
            self._refuse_unkept()
        return half_life


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


@dataclass(frozen=True, eq=False)
class _StoredClickRates(_Popularity):
    """The rates of all items, and what they are of, as files hold them.

    ``counts``: by position of the item, and then of those ``unseen``, ids (m,) that
    were counted though the catalog lacks them. ``of_unknown``: the rate of all events.
    """

    counts: RunningCounts
    of_unknown: share
    unseen: index("n_unseen") | None = None
    smoothing: number(0) | None = None
    _older_formats = (UpTo(1, lacking={"unseen": None, "smoothing": None}),)

    def _check_stored(self, place):
        n_unseen = 0 if self.unseen is None else len(self.unseen)
        positions(self.counts.keys, f"{place}.counts.keys", self.n_items + n_unseen)


@record
class _ClickRates(ItemScores):
    """Smoothed rates by counts, computed when they are first asked for.

    It never changes; counting further events makes another one.

    Parameters
    ----------
    counts : RunningCounts
        By position of the item, and then of those ``unseen``.
    n_items : int
        Number of items of the catalog.
    unseen : GrowingIds
        Ids that were counted though the catalog lacks them.
    smoothing : float or None
        None: of a file of before, which has only the rates by it.
    ties : int array of shape (n_items,)
        The positions of all items; those of equal rates are in this order.
    of_all : RunningCounts, default=None
        The sums of all, of the only key 0. None: not computed yet.
    """

    _stored_as = _StoredClickRates
    n_items = None

    def __init__(self, counts, n_items, unseen, smoothing, ties, of_all=None):
        self.counts = counts
        self.n_items = n_items
        self.unseen = unseen
        self.smoothing = smoothing
        self.ties = ties
        if of_all is not None:
            self.of_all = of_all

    @functools.cached_property
    def of_all(self):
        """The sums of all items."""
        merged = self.counts.merged()
        one_key = np.zeros(len(merged.keys), np.int64)
        none = RunningCounts.empty(merged.half_life)
        _, counts = none.count(one_key, merged.latest, merged.sums)
        return counts

    @functools.cached_property
    def shares(self):
        """The smoothed rates of the catalog, float32 (n_items,)."""
        return self._rates(np.arange(self.n_items))

    @functools.cached_property
    def order(self):
        """The positions (n_items,) of the catalog, best first."""
        return self.ties[np.argsort(-self.shares[self.ties], kind="stable")]

    @functools.cached_property
    def of_unknown(self):
        """The rate of all events."""
        shown, chosen = self.of_all.merged().sums[0]
        return float(chosen / shown)

    def _rates(self, keys):
        """Return the smoothed rates, float32 (n,), of keys (n,); of < 0 that of all."""
        if self.smoothing is None:
            rates = np.append(self.shares, np.float32(self.of_unknown))
            return rates[keys]
        of_all = self.of_all.merged()
        sums = self.counts.at(keys, of_all.latest[0])
        # also if nothing is left of the showings of some
        smoothing = max(self.smoothing, MIN_SMOOTHING)
        return smoothed_rates(sums, of_all.sums[0], smoothing).astype(np.float32)

    def scores(self, past):
        """Return scores (n, n_items) of users with past items (n, n_items)."""
        return np.tile(self.shares, (past.shape[0], 1))

    def scores_of_items(self, items):
        """Return the rates (n,) of a ``Query`` of items."""
        return self._rates(self._keys(items.ids, items.codes))

    def counts_unknown(self, items):
        """Return which of a ``Query`` of items were counted though fit lacks them."""
        return (items.codes < 0) & (self._keys(items.ids, items.codes) >= 0)

    def _keys(self, ids, codes):
        """Return the keys (n,) of items by their ids and positions; -1: none."""
        if len(self.unseen) == 0 or (codes >= 0).all():
            return codes
        places = self.unseen.positions(pd.Index(ids))
        places = np.where(places >= 0, places + self.n_items, -1)
        return np.where(codes >= 0, codes, places)

    def updated(self, ids, items, times, amounts, smoothing, ties):
        """Return the rates after further events.

        ``ids``: the items (n_events,), an Index; ``items``: the ``Entities`` of fit;
        ``times``, ``amounts``: as in ``CodedEvents``; ``smoothing``, ``ties``: those of
        now.
        """
        codes = positions_of(ids, items.ids)
        is_known = codes >= 0
        unseen = self.unseen.plus(ids[~is_known])
        keys = np.where(is_known, codes, unseen.positions(ids) + self.n_items)
        if self.counts.half_life is None:
            times = np.zeros(len(keys))
        else:
            times = times.astype(float)
        counts = self.counts.plus(keys, times, amounts)
        one_key = np.zeros(len(keys), np.int64)
        of_all = self.of_all.plus(one_key, times, amounts).merged()
        return _ClickRates(counts, self.n_items, unseen, smoothing, ties, of_all)

    def moved(self, items, places):
        """Return the same of a catalog that has grown, as `ItemScores.moved` does."""
        ids = self.unseen.joined()
        codes = np.zeros(0, np.int64)
        if len(ids):
            codes = positions_of(ids, items.ids)
        is_unseen = codes < 0
        keys = np.where(is_unseen, len(items) + np.cumsum(is_unseen) - 1, codes)
        counts = self.counts.renumbered(np.append(places, keys))
        unseen = GrowingIds((ids[is_unseen],))
        return _ClickRates(counts, len(items), unseen, self.smoothing, self.ties)

    def _stored_parts(self):
        """Return the fields of ``_StoredClickRates``, a dict."""
        return {
            "shares": self.shares,
            "order": self.order,
            "replayed": None,
            "counts": self.counts,
            "of_unknown": self.of_unknown,
            "unseen": self.unseen.joined() if len(self.unseen) else None,
            "smoothing": None if self.smoothing is None else float(self.smoothing),
        }

    @classmethod
    def _of_stored(cls, shares, order, replayed, counts, of_unknown, unseen, smoothing):
        """Return the rates of a file."""
        if unseen is None:
            unseen = pd.Index([])
        rates = cls(counts, len(shares), GrowingIds((unseen,)), smoothing, order)
        vars(rates).update(shares=shares, order=order, of_unknown=of_unknown)
        return rates


def ages_of(times):
    """Return the time (n_events,) from each event to the latest one, >= 0."""
    latest = times.max() if len(times) else 0
    with np.errstate(over="ignore"):  # inf is as old as can be
        ages = latest - times
    if times.dtype == np.float64:
        return ages
    # as int64, the span of the earliest and the latest dates would be negative
    return ages.view(np.uint64)


def length_of(name, duration, kind):
    """Return the parameter ``name`` as a number, in nanoseconds if times are instants.

    ``kind``: what times are, a ``TimeKind``.
    """
    is_duration = isinstance(duration, datetime.timedelta | np.timedelta64)
    is_number = isinstance(duration, Real) and not is_duration
    if kind.unit is not None and is_number:
        length = duration * SIZES[kind.unit]
    elif kind.dates and not is_duration:
        raise TypeError(
            f"{name} must be a duration, such as pandas.Timedelta(days=7), as the "
            f"times are dates. Got {duration!r} instead."
        )
    elif not kind.dates and not is_number:
        raise TypeError(
            f"{name} must be a number, as the times are numbers. Got {duration!r} "
            "instead."
        )
    elif isinstance(duration, np.timedelta64):
        length = np.round(duration / np.timedelta64(1, "s") * 1e9)
    elif is_duration:
        # pandas 2 leaves the nanoseconds out of total_seconds()
        length = np.round(duration / datetime.timedelta(microseconds=1) * 1000)
    else:
        length = duration
    if not length > 0:
        raise ValueError(f"{name} must be > 0. Got {duration!r}.")
    return length
