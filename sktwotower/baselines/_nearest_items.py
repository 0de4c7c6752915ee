"""Recommenders that add up the similarities of items to a user's past ones.

Input: past items, CSR (n_users, n_items), of ones or of lags.
Output: similarities of each item to its nearest, CSR (n_items, n_items).
"""

from dataclasses import KW_ONLY, dataclass, field
from numbers import Real

import numpy as np
from scipy import sparse

from sktwotower import _sklearn_compat as compat
from sktwotower._records import csr, frozen, number, record
from sktwotower._tables._arguments import hinted
from sktwotower.item_weights import nearest_weights
from sktwotower.item_weights._nearest_weights import scaled_walks
from sktwotower.item_weights._transition_weights import decayed
from sktwotower.retrieval._fitted_state import fitted_attribute
from sktwotower.retrieval._similar_items import SimilarItemsMixin

from ._fitted_matrix import ItemScores, positive
from ._matrix_recommender import MatrixRecommender

# What to do if there are too many similarities.
REMEDY = "Lower n_similar."
# What parameters may be.
EXPONENT = compat.Interval(Real, 0, 2, closed="both")
MEASURE = compat.StrOptions({"cosine", "jaccard"})


@dataclass(eq=False, repr=False)
class NearestItemsRecommender(SimilarItemsMixin, MatrixRecommender):
    """Score items by their similarities to past items, of which the nearest count.

    Subclasses define ``_learn_similarities(seen)``, which returns the similarities of
    each item to its nearest, CSR (n_items, n_items).
    """

    item_similarities_ = fitted_attribute("model.nearest")

    _need_time = _replayed = ("decay",)
    n_similar: int = compat.parameter(100, compat.COUNT)
    _: KW_ONLY
    decay: float | None = compat.parameter(None, compat.POSITIVE, None)

    def _learn(self, seen, events):
        return _Similarities(self._learn_similarities(seen), self.decay)


@record
@hinted
@dataclass(eq=False, repr=False)
class ItemKNNRecommender(NearestItemsRecommender):
    r"""Recommend items that are chosen by the same users as a user's past ones.

    Item-based collaborative filtering: the score of an item is the sum of its
    similarities to the user's past items. Only its most similar items count.

    Parameters
    ----------
    n_similar : int, default=100
        Number of most similar items to keep for each item, >= 1.
    user_id, item_id : str or int, default=None
        Columns of X that name the user and the item (or their positions). None: the
        first column for the user, the second for the item.
    time : str or int, default=None
        Column of X that says when (or its position): dates or finite numbers. Later
        tables may lack it. It is used with ``decay`` only.
    n_neighbors : int, default=10
        Number of items that retrieval returns, and that count in `score`, >= 1.
    exclude_seen : bool, default=True
        Never recommend items that the user chose in fit.
    decay : float, default=None
        Number of steps back in a user's past after which an item counts 1/e, > 0; a
        step is one basket, the events at equal times. Needs ``time``. Try 0.5 to 20, on
        a logarithmic scale. None: all past items count the same.
    shrinkage : float, default=0.0
        Added to the denominator of the similarity, >= 0: lowers the similarity of pairs
        that few users share.
    similarity : {"cosine", "jaccard"}, default="cosine"
        Measure of similarity, see the notes.

    Attributes
    ----------
    user_ids_, item_ids_ : ndarray of shape (n_users,) and (n_items,)
        Known ids, sorted.
    item_similarities_ : CSR matrix of shape (n_items, n_items), float32
        The most similar items of each row's item, at most ``n_similar``, itself not
        included.
    n_features_in_ : int
        Number of columns of X in fit.
    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Names of the columns of X, if they are all strings.

    See Also
    --------
    EASERecommender : Usually better, if its dense matrix fits into memory.
    RP3betaRecommender : The same sums of other similarities.

    Notes
    -----
    With :math:`n_i` users of item i, :math:`n_{ij}` users of both i and j and the
    shrinkage h, the similarity is :math:`s_{ij} = n_{ij} / (\sqrt{n_i n_j} + h)` for
    "cosine", :math:`n_{ij} / (n_i + n_j - n_{ij} + h)` for "jaccard". The score of item
    j for a user is the sum of :math:`w_i s_{ji}` over the user's past items i that are
    among the ``n_similar`` most similar items of j. Equal scores are ordered by
    popularity, so that users without past items get the most popular ones.

    Without ``decay``, :math:`w_i = 1`. With ``decay`` d it is :math:`w_i = e^{-(l_i -
    1) / d}`, where the lag :math:`l_i` is 1 for items of the user's latest basket, 2
    for those of the one before, and so on. An item that was chosen more than once has
    the lag of its latest event. A ``history`` then needs an order: lists with the
    oldest item first, or a table with the time column.

    References
    ----------
    Sarwar et al., Item-Based Collaborative Filtering Recommendation Algorithms, WWW
    2001; Deshpande and Karypis, Item-Based Top-N Recommendation Algorithms, ACM TOIS
    22(1), 2004, for the ranking by sums of similarities; Ding and Li, Time Weight
    Collaborative Filtering, CIKM 2005, for weights that decay exponentially; Garg et
    al., Sequence and Time Aware Neighborhood for Session-based Recommendations, SIGIR
    2019, for their decay with the position.

    Examples
    --------
    >>> from sktwotower import ItemKNNRecommender
    >>> X = [["ann", "tea"], ["ann", "jam"], ["bob", "tea"], ["bob", "jam"],
    ...      ["cid", "egg"], ["cid", "ham"], ["dan", "tea"]]
    >>> model = ItemKNNRecommender().fit(X)
    >>> model.recommend(["dan"], n_neighbors=1)
      user item     score  rank
    0  dan  jam  0.816497     1
    >>> model.similar_items(["egg"])
      item similar_item  score  rank
    0  egg          ham    1.0     1

    With ``decay``, the latest items count most:

    >>> import pandas as pd
    >>> events = pd.DataFrame(X, columns=["user", "item"])
    >>> events["time"] = range(7)
    >>> model = ItemKNNRecommender(decay=1, time="time").fit(events)
    >>> model.recommend(["zoe"], n_neighbors=1, history={"zoe": ["tea", "egg"]})
      user item  score  rank
    0  zoe  ham    1.0     1
    >>> model.recommend(["zoe"], n_neighbors=1, history={"zoe": ["egg", "tea"]})
      user item     score  rank
    0  zoe  jam  0.816497     1
    """

    _: KW_ONLY
    shrinkage: float = compat.parameter(0.0, compat.NOT_NEGATIVE)
    similarity: str = compat.parameter("cosine", MEASURE)

    def _learn_similarities(self, seen):
        return nearest_weights(seen, None, self._similarity, self.n_similar, REMEDY)

    def _similarity(self, shared, n_of_row, n_of_column):
        if self.similarity == "cosine":
            most = np.sqrt(n_of_row * n_of_column)
        else:
            most = n_of_row + n_of_column - shared
        return shared / (most + self.shrinkage).astype(np.float32)


@record
@hinted
@dataclass(eq=False, repr=False)
class RP3betaRecommender(NearestItemsRecommender):
    r"""Recommend where a random walk from a user ends after three steps (RP3beta).

    From the user to a past item, from there to another user of it, and on to an item of
    that user; popular items count less. A strong baseline at the cost of item-kNN, for
    catalogs of any size.

    Parameters
    ----------
    n_similar : int, default=200
        Number of most similar items to keep for each item, >= 1.
    user_id, item_id : str or int, default=None
        Columns of X that name the user and the item (or their positions). None: the
        first column for the user, the second for the item.
    time : str or int, default=None
        Column of X that says when (or its position): dates or finite numbers. Later
        tables may lack it. It is used with ``decay`` only.
    n_neighbors : int, default=10
        Number of items that retrieval returns, and that count in `score`, >= 1.
    exclude_seen : bool, default=True
        Never recommend items that the user chose in fit.
    decay : float, default=None
        Number of steps back in a user's past after which an item counts 1/e, > 0, as in
        `ItemKNNRecommender`. Needs ``time``. None: all past items count the same.
    alpha : float, default=0.5
        Exponent of the probabilities of the steps, in [0, 2]. 1: a random walk. Lower:
        users and past items of many events count more.
    beta : float, default=0.4
        Exponent of the number of users of an item, by which its score is divided, in
        [0, 2]. 0: popular items are not held back. Tune it first, in steps of 0.1.

    Attributes
    ----------
    user_ids_, item_ids_ : ndarray of shape (n_users,) and (n_items,)
        Known ids, sorted.
    item_similarities_ : CSR matrix of shape (n_items, n_items), float32
        The most similar items of each row's item, at most ``n_similar``, itself not
        included.
    n_features_in_ : int
        Number of columns of X in fit.
    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Names of the columns of X, if they are all strings.

    See Also
    --------
    ItemKNNRecommender : The same sums of other similarities.
    EASERecommender : Often better, if its dense matrix fits into memory.

    Notes
    -----
    With :math:`n_i` users of item i and :math:`n_u` items of user u, the similarity of
    item j to a past item i is

    .. math::
        s_{ji} = \frac{1}{n_j^\beta} \sum_{u \in U_i \cap U_j} \frac{1}{n_i^\alpha
        n_u^\alpha}

    where :math:`U_i` are the users of item i. The score of item j for a user is the sum
    of :math:`w_i s_{ji}` over the user's past items i that are among the ``n_similar``
    most similar items of j. The first step, from the user to a past item, is the same
    for all items and left out. :math:`w_i` is 1 or, with ``decay``, as in
    `ItemKNNRecommender`. Equal scores are ordered by popularity, so that users without
    past items get the most popular ones.

    The papers keep the best items j of each past item i. Here each item j keeps its
    most similar items i, as in `ItemKNNRecommender`.

    References
    ----------
    Cooper, Lee, Radinsky, Siantos, Random Walks in Recommender Systems: Exact
    Computation and Simulations, WWW 2014, for ``alpha``; Christoffel, Paudel, Newell,
    Bernstein, Blockbusters and Wallflowers: Accurate, Diverse, and Scalable
    Recommendations with Random Walks, RecSys 2015; Paudel, Christoffel, Newell,
    Bernstein, Updatable, Accurate, Diverse, and Scalable Recommendations for
    Interactive Applications, ACM TiiS 7(1), 2017.

    Examples
    --------
    >>> from sktwotower import RP3betaRecommender
    >>> X = [["ann", "tea"], ["ann", "jam"], ["bob", "tea"], ["bob", "jam"],
    ...      ["cid", "tea"], ["cid", "egg"], ["dan", "tea"]]
    >>> model = RP3betaRecommender(alpha=1, beta=0).fit(X)
    >>> model.recommend(["dan"], n_neighbors=2)
      user item  score  rank
    0  dan  jam  0.250     1
    1  dan  egg  0.125     2

    The walk is half as often at egg, which is half as popular:

    >>> model = RP3betaRecommender(alpha=1, beta=1).fit(X)
    >>> model.predict([["dan", "jam"], ["dan", "egg"]])
    array([0.125, 0.125], dtype=float32)
    """

    n_similar: int = compat.parameter(200, compat.COUNT)
    _: KW_ONLY
    alpha: float = compat.parameter(0.5, EXPONENT)
    beta: float = compat.parameter(0.4, EXPONENT)

    def _learn_similarities(self, seen):
        # rows are the items that are scored, not the past ones
        return scaled_walks(
            seen,
            of_user=self.alpha,
            of_row=self.beta,
            of_column=self.alpha,
            n_kept=self.n_similar,
            remedy=REMEDY,
        )


@frozen
class _Similarities(ItemScores):
    """Scores that add up the similarities of an item to past items.

    ``nearest``: CSR (n_items, n_items), the similarities of each item to its nearest.
    ``decay``: the parameter of the estimator.
    """

    nearest: csr("n_items n_items", is_finite=True)
    decay: number(above=0) | None
    weights: sparse.csr_matrix = field(init=False)

    def __post_init__(self):
        object.__setattr__(self, "weights", self.nearest.T.tocsr())

    @property
    def reads_lags(self):
        """Whether past items are given by their lags."""
        return self.decay is not None

    def scores(self, past):
        """Return scores (n, n_items) of users with past items (n, n_items)."""
        past = decayed(past, self.decay) if self.reads_lags else past
        return (past @ self.weights).toarray()

    def similarities(self, one_hot):
        """Return similarities (n, n_items) to the item of each row of ``one_hot``."""
        return positive((one_hot @ self.nearest).toarray())
