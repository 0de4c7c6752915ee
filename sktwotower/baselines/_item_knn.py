"""Item-based collaborative filtering (item-kNN).

Input: for pairs of items, the number of users of both and of each, (n_pairs,).
Output: their similarities (n_pairs,).
"""

from dataclasses import KW_ONLY, dataclass

import numpy as np

from sktwotower._records import record
from sktwotower._sklearn_compat import NOT_NEGATIVE, StrOptions, parameter

from ._nearest_items import NearestItemsRecommender


@record
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
    shrinkage: float = parameter(0.0, NOT_NEGATIVE)
    similarity: str = parameter("cosine", StrOptions({"cosine", "jaccard"}))

    def _similarities(self, shared, first, second):
        if self.similarity == "cosine":
            most = np.sqrt(first * second)
        else:
            most = first + second - shared
        return shared / (most + self.shrinkage).astype(np.float32)
