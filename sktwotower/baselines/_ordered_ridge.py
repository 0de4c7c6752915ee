"""A linear map of the latest items to the next one, in closed form.

Input: past items of each user in order, CSR (n_users, n_items) of lags.
Output: dense weights (n_items, n_items) of past items.
"""

from dataclasses import KW_ONLY, dataclass

from sktwotower._records import array, frozen, integer, number, record
from sktwotower._sklearn_compat import COUNT, POSITIVE, parameter
from sktwotower._tables._arguments import hinted
from sktwotower._tables._memory import check_memory
from sktwotower.item_weights import transition_weights, weights_of_others
from sktwotower.item_weights._transition_weights import (
    bytes_of_transitions,
    decayed,
    seconds_of_transitions,
)
from sktwotower.retrieval._fitted_state import fitted_attribute
from sktwotower.retrieval._similar_items import SimilarItemsMixin

from ._fitted_matrix import ItemScores, positive
from ._matrix_recommender import MatrixRecommender


@record
@hinted
@dataclass(eq=False, repr=False)
class OrderedRidgeRecommender(SimilarItemsMixin, MatrixRecommender):
    r"""Recommend what comes next by a ridge regression on the latest items.

    A strong baseline for small catalogs in which the order of events counts: what
    `EASERecommender` is for tastes, this is for sequences. Fit inverts one dense
    n_items x n_items matrix.

    Parameters
    ----------
    l2 : float, default=100.0
        Weight :math:`\lambda` of the squared weights in the loss, > 0; higher for
        sparser data. Try 10 to 3,000, on a logarithmic scale.
    user_id, item_id : str or int, default=None
        Columns of X that name the user and the item (or their positions). None: the
        first column for the user, the second for the item.
    time : str or int, default=None
        Column of X that says when (or its position): dates or finite numbers. Later
        tables may lack it. None: no order is known, and each of a user's items is
        predicted from all the others, which count the same.
    n_neighbors : int, default=10
        Number of items that retrieval returns, and that count in `score`, >= 1.
    exclude_seen : bool, default=True
        Never recommend items that the user chose in fit. Set it to False where users
        choose items again.
    decay : float, default=5.0
        Number of steps back in a user's past after which an item counts 1/e, > 0; a
        step is one basket, the events at equal times. Try 1 to 20, on a logarithmic
        scale. It is used with ``time`` only.
    n_last : int, default=25
        Number of a user's latest baskets that count, >= 1. It is used with ``time``
        only. The time of fit grows with its square where baskets are small.
    max_memory : float, default=8e9
        Limit of the memory of fit, in bytes, > 0; larger catalogs raise an error, as do
        those for which the machine has too little. 16 bytes per pair of items are
        needed: 8e9 are enough for 22,300 items.
    max_items : int or None, default=15000
        Limit of the time of fit, as a number of items, >= 1; larger catalogs raise an
        error that says how long they would take: about a minute and a half for 15,000
        items on one core, eight times as long for twice as many. None: no limit.

    Attributes
    ----------
    user_ids_, item_ids_ : ndarray of shape (n_users,) and (n_items,)
        Known ids, sorted.
    item_weights_ : ndarray of shape (n_items, n_items), float32
        The matrix W of the notes: how much a past item (row) adds to the score of an
        item (column).
    n_features_in_ : int
        Number of columns of X in fit.
    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Names of the columns of X, if they are all strings.

    See Also
    --------
    EASERecommender : The same without order.
    ItemKNNRecommender : A sparse model with ``decay``, for catalogs of any size.

    Notes
    -----
    Each event is predicted from the user's baskets before it. The row :math:`d_e` of
    the matrix D, for event e, holds :math:`e^{-(l_i - 1) / d}` for each past item i,
    where d is ``decay``, and the lag :math:`l_i` is 1 for items of the basket just
    before the event, 2 for those of the one before that, and so on, up to ``n_last``.
    An item that was chosen more than once has its latest lag. The same row of Y is the
    0/1 vector of the event's own item. W minimizes

    .. math:: \| Y - D W \|_F^2 + \lambda \| W \|_F^2

    so that :math:`W = (D^T D + \lambda I)^{-1} D^T Y`. The score of item j for a user
    is :math:`d_u W_j`, where :math:`d_u` is the user's past before the next basket.
    Equal scores are ordered by popularity, so that users without past items get the
    most popular ones. A ``history`` needs an order: lists with the oldest item first,
    or a table with the time column.

    Without ``time``, :math:`d_e` is 1 for all other items of the user.

    References
    ----------
    Choi, Kim, Lee, Shim, Lee, Session-aware Linear Item-Item Models for Session-based
    Recommendation, WWW 2021, for linear maps of past to next items in closed form; Ding
    and Li, Time Weight Collaborative Filtering, CIKM 2005, for weights that decay
    exponentially.

    Examples
    --------
    >>> import pandas as pd
    >>> from sktwotower import OrderedRidgeRecommender
    >>> X = pd.DataFrame([["ann", "pot", 1], ["ann", "tea", 2], ["ann", "cup", 3],
    ...                   ["bob", "pot", 1], ["bob", "tea", 2],
    ...                   ["cid", "tea", 1], ["cid", "cup", 2], ["dan", "pot", 1]],
    ...                  columns=["user", "item", "day"])
    >>> model = OrderedRidgeRecommender(l2=1, time="day").fit(X)
    >>> model.recommend(["dan"], n_neighbors=2)
      user item     score  rank
    0  dan  tea  0.580235     1
    1  dan  cup  0.079176     2

    A past item that is further back counts less:

    >>> model.recommend(["zoe"], n_neighbors=1, history={"zoe": ["pot", "tea"]})
      user item     score  rank
    0  zoe  cup  0.709883     1
    >>> model.recommend(["zoe"], n_neighbors=1, history={"zoe": ["tea", "pot"]})
      user item     score  rank
    0  zoe  cup  0.607305     1
    """

    item_weights_ = fitted_attribute("model.weights")

    _replayed = ("time",)
    l2: float = parameter(100.0, POSITIVE)
    _: KW_ONLY
    decay: float = parameter(5.0, POSITIVE)
    n_last: int = parameter(25, COUNT)
    max_memory: float = parameter(8e9, POSITIVE)
    max_items: int | None = parameter(15_000, COUNT, None)

    def _learn(self, seen, events):
        n_items = seen.shape[1]
        if self.max_items is not None and n_items > self.max_items:
            seconds = seconds_of_transitions(n_items)
            raise ValueError(
                "The regression inverts a matrix of n_items x n_items: "
                f"{n_items:,} items take about {seconds:,.0f} s of one core, more than "
                f"max_items={self.max_items} allows. Leave out rare items, raise "
                "max_items (None: no limit), or use the sparse "
                "ItemKNNRecommender(decay=5)."
            )
        check_memory(
            bytes_of_transitions(n_items),
            "The regression holds dense matrices of n_items x n_items: "
            f"{n_items:,} items",
            "Leave out rare items, raise max_memory, or use "
            "ItemKNNRecommender(decay=5), which is sparse.",
            self.max_memory,
        )
        n_last = int(self.n_last)
        if events.in_order is None:
            return _Transitions(weights_of_others(seen, self.l2), None, n_last)
        lags = events.in_order.lags[:-1]
        weights = transition_weights(lags, self.decay, n_last, self.l2)
        return _Transitions(weights, self.decay, n_last)


@frozen
class _Transitions(ItemScores):
    """Scores that add up a dense row of weights (n_items,) for each past item.

    ``decay``: the parameter of the estimator, None without an order.
    """

    weights: array("float32", "n_items n_items")
    decay: number(above=0) | None
    n_last: integer(1)

    @property
    def reads_lags(self):
        """Whether past items are given by their lags."""
        return self.decay is not None

    def scores(self, past):
        """Return scores (n, n_items) of users with past items (n, n_items)."""
        if self.reads_lags:
            past = decayed(past, self.decay, self.n_last)
        return past @ self.weights

    def similarities(self, one_hot):
        """Return how much an item adds to others, (n, n_items), for each row."""
        return positive(one_hot @ self.weights)
