"""The most popular items.

Input: events.
Output: a share of users (n_items,), the same for all users.
"""

import numpy as np

from ._matrix_recommender import MatrixRecommender

__all__ = ["PopularityRecommender"]


class PopularityRecommender(MatrixRecommender):
    """Recommend the most popular items, the same ones to all users.

    The first baseline to compare with. It works for unknown users as well.

    Parameters
    ----------
    user_id, item_id : str or int, default=None
        Columns of X that name the user and the item (or their positions). None: the
        first column for the user, the second for the item.
    n_neighbors : int, default=10
        Number of items that retrieval returns, and that count in `score`, >= 1.
    exclude_seen : bool, default=True
        Never recommend items that the user chose in fit.

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

    Examples
    --------
    >>> from sktwotower import PopularityRecommender
    >>> X = [["ann", "tea"], ["bob", "tea"], ["bob", "jam"], ["cid", "egg"]]
    >>> PopularityRecommender().fit(X).recommend(["ann", "zoe"], n_neighbors=1)
      user item     score  rank
    0  ann  egg  0.333333     1
    1  zoe  tea  0.666667     1
    """

    def __init__(
        self, *, user_id=None, item_id=None, n_neighbors=10, exclude_seen=True
    ):
        self.user_id = user_id
        self.item_id = item_id
        self.n_neighbors = n_neighbors
        self.exclude_seen = exclude_seen

    def _learn(self, seen):
        n_users = np.count_nonzero(np.diff(seen.indptr))
        return _Popularity(np.asarray(seen.sum(axis=0)).ravel() / np.float32(n_users))


class _Popularity:
    """Scores that are the share of users (n_items,) who chose each item."""

    def __init__(self, shares):
        self.shares = shares
        self.order = np.argsort(-shares, kind="stable")

    def scores(self, past):
        """Return scores (n, n_items) of users with past items (n, n_items)."""
        return np.tile(self.shares, (past.shape[0], 1))
