"""The items that a user has chosen most often, or lately.

Input: events of users with times.
Output: how often, (n_users, n_items), where old events count less.
"""

import datetime
from dataclasses import KW_ONLY, dataclass, fields

import numpy as np

from sktwotower._records import frozen, integer, number, record
from sktwotower._sklearn_compat import parameter
from sktwotower._tables._arguments import hinted
from sktwotower._tables._sequences import starts
from sktwotower._tables._sparse import pair_matrix
from sktwotower.retrieval._explained_score import rows_of_past
from sktwotower.retrieval._fitted_state import Past

from ._fitted_matrix import FittedMatrix, ItemScores
from ._matrix_recommender import MatrixRecommender
from ._popularity import length_of

# What is left of events that are so old that nothing is.
MIN_WEIGHT = 1e-200


@frozen
class _Repeats(ItemScores):
    """Scores that are the weights of past items.

    ``n_known``: number of items. ``half_life``: as a number, None if all events count
    the same. ``reads_lags``: whether the times of events are known.
    """

    n_known: integer(0)
    half_life: number(above=0) | None
    reads_lags: bool

    @property
    def n_items(self):
        """The number of items."""
        return self.n_known

    def scores(self, past):
        """Return scores (n, n_items), given what past items count (n, n_items)."""
        return past.toarray()


@frozen
class FittedRepeats(FittedMatrix):
    """The fitted state of a `RepeatRecommender`; its fields are those of the base."""

    counts_repeats = True  # reports need not add another model that does

    def past(self, query, added=None):
        """Return the ``Past`` of users, whose ``input`` is how much past items count.

        The parameters are those of `Fitted.past`.
        """
        if self.sequences is None:
            return super().past(query, added)
        codes = np.where(query.codes < 0, len(self.users), query.codes)
        rows, items, times = self.sequences.events(codes)
        if added is not None:
            further_rows, further_items, further_times = added
            if further_times is None:
                latest = self.sequences.times.max(initial=0)
                further_times = np.full(len(further_rows), latest)
            rows = np.append(rows, further_rows)
            items = np.append(items, further_items)
            times = np.append(times, further_times)
            if added[2] is not None:  # equal events count once
                order = np.lexsort((times, items, rows))
                rows = rows[order]
                items = items[order]
                times = times[order]
                is_first = starts(rows, items, times)
                rows = rows[is_first]
                items = items[is_first]
                times = times[is_first]
        weights = np.ones(len(rows))
        if self.model.half_life is not None and len(rows):
            weights = np.exp2(-ages_of_each(rows, times) / self.model.half_life)
            weights = np.maximum(weights, MIN_WEIGHT)
        counts = pair_matrix(rows, items, weights, (len(codes), len(self.items)))
        return Past(counts.sign(), counts)

    def explained(self, owner, chosen, past, names, estimator):
        """Return a table of what adds to a score, and the score; see `Fitted`."""
        item = chosen.codes[0]
        items = past.input.indices
        counts = past.input.data
        is_chosen = items == item
        added = np.where(is_chosen, counts, 0.0)
        ids = self.items.ids[items]
        ones = np.ones(len(items))
        return [rows_of_past(ids, ones, added, names, None)], float(added.sum())


class _OfRepeats(MatrixRecommender):
    """A recommender of `FittedRepeats`, and what files hold of it.

    An annotation in the dataclass itself would be a parameter.
    """

    _fitted: FittedRepeats


@record
@hinted
@dataclass(eq=False, repr=False)
class RepeatRecommender(_OfRepeats):
    r"""Recommend what a user has chosen most often, then what is popular.

    The baseline where users choose items again: groceries, songs, places. It knows
    nothing of other users, except for what is popular. A model that may recommend what
    users had (``exclude_seen=False``) should find more than it does.

    Parameters
    ----------
    user_id, item_id : str or int, default=None
        Columns of X that name the user and the item (or their positions). None: the
        first column for the user, the second for the item.
    time : str or int, default=None
        Column of X that says when (or its position): dates or finite numbers. Tables of
        `predict` may lack it. None: it is not known how often a user chose an item, and
        each of the user's items counts once.
    n_neighbors : int, default=10
        Number of items that retrieval returns, and that count in `score`, >= 1.
    exclude_seen : bool, default=False
        Never recommend items that the user chose in fit. With True, all users get the
        most popular of the other items.
    half_life : Timedelta or float, default=None
        Age at which an event counts one half, > 0: a duration if times are dates, such
        as ``pandas.Timedelta(days=90)``, otherwise a number in the unit of the times.
        Unix times take both. Needs ``time``. None: all events count the same.

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
    PopularityRecommender : The same items for all users.
    sktwotower.metrics.retrieval_report : Shows which hits the user had before.

    Notes
    -----
    The score of item i is the sum of :math:`2^{-a / h}` over the user's events with it,
    where a is the time from the event to the user's latest one, and h the
    ``half_life``. Without ``half_life`` it is the number of these events. Equal events,
    at one time, count once. Items that the user has not had have the score 0, and items
    with equal scores are ordered by the number of users who chose them. So a list is
    filled up with what is popular, and users without past items get nothing else.

    Items of a ``history`` without times were chosen just now, each time that they
    occur: at the time of the latest event of fit.

    References
    ----------
    Hu, He, Gao, Zhang, Modeling Personalized Item Frequency Information for Next-basket
    Recommendation, SIGIR 2020; Li, Jullien, Ariannezhad, de Rijke, A Next Basket
    Recommendation Reality Check, ACM TOIS 41(4), 2023, where the counts without
    ``half_life`` are called GP-TopFreq.

    Examples
    --------
    >>> import pandas as pd
    >>> from sktwotower import RepeatRecommender
    >>> X = pd.DataFrame([["ann", "tea", 1], ["ann", "tea", 2], ["ann", "jam", 9],
    ...                   ["bob", "egg", 3], ["cid", "egg", 4]],
    ...                  columns=["user", "item", "day"])
    >>> model = RepeatRecommender(time="day").fit(X)
    >>> model.recommend(["ann"], n_neighbors=3)
      user item  score  rank
    0  ann  tea    2.0     1
    1  ann  jam    1.0     2
    2  ann  egg    0.0     3

    With ``half_life``, what was chosen lately is in front:

    >>> model = RepeatRecommender(time="day", half_life=4).fit(X)
    >>> model.recommend(["ann"], n_neighbors=2).round(3)
      user item  score  rank
    0  ann  jam  1.000     1
    1  ann  tea  0.547     2
    """

    _need_time = ("half_life",)
    _replayed = ("time",)
    _: KW_ONLY
    exclude_seen: bool = parameter(False, "boolean")
    half_life: float | datetime.timedelta | np.timedelta64 | None = None

    def _learn(self, seen, events):
        half_life = self.half_life
        if half_life is not None:
            half_life = float(length_of("half_life", half_life, events.kind))
        return _Repeats(seen.shape[1], half_life, events.in_order is not None)

    def _state(self, schema, users, items, seen, events):
        state = super()._state(schema, users, items, seen, events)
        parts = {each.name: getattr(state, each.name) for each in fields(state)}
        return FittedRepeats(**parts)


def ages_of_each(rows, times):
    """Return the time (m,) from events to the latest one of the same row, float64.

    ``rows`` and ``times``: (m,) each.
    """
    latest = np.full(rows.max() + 1, times.min())
    np.maximum.at(latest, rows, times)
    with np.errstate(over="ignore"):  # inf is as old as can be
        ages = latest[rows] - times
    # as int64, the span of the earliest and the latest dates would be negative
    return ages if ages.dtype == np.float64 else ages.view(np.uint64).astype(float)
