"""Random walks of three steps that count popular items less (RP3beta).

Input: for pairs of items, the summed weights of the users of both and the numbers of
users of each, (n_pairs,).
Output: their similarities (n_pairs,).
"""

from dataclasses import KW_ONLY, dataclass
from numbers import Real

import numpy as np

from sktwotower._records import record
from sktwotower._sklearn_compat import COUNT, Interval, parameter

from ._nearest_items import NearestItemsRecommender

EXPONENT = Interval(Real, 0, 2, closed="both")


@record
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

    n_similar: int = parameter(200, COUNT)
    _: KW_ONLY
    alpha: float = parameter(0.5, EXPONENT)
    beta: float = parameter(0.4, EXPONENT)

    def _user_weights(self, n_items):
        return np.maximum(n_items, 1).astype(np.float32) ** -self.alpha

    def _similarities(self, shared, first, second):
        # floats: powers of integers may exceed 64 bits
        steps = second ** float(self.alpha) * first ** float(self.beta)
        return (shared / steps).astype(np.float32)
