"""Baseline recommenders with the same methods: popularity, EASE and item-kNN.

Input: an interaction table X (n_events, n_columns).
Output: fitted estimators; rankings as arrays (n, k) or tables.
"""

from numbers import Integral, Real

import numpy as np
import scipy.linalg
from scipy import sparse

from sktwotower._sklearn_compat import Interval, StrOptions
from sktwotower.retrieval._fitted import fitted_attribute
from sktwotower.retrieval._retrieval import SimilarItemsMixin

from ._matrix_recommender import MatrixRecommender, blocks_of_rows

__all__ = ["EASERecommender", "ItemKNNRecommender", "PopularityRecommender"]

# Peak memory of EASE in bytes per pair of items.
EASE_BYTES = 28


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


class EASERecommender(SimilarItemsMixin, MatrixRecommender):
    r"""Recommend by a linear map of a user's past items, in closed form (EASE).

    A strong baseline for small catalogs and users with a history. Fit inverts one dense
    n_items x n_items matrix.

    Parameters
    ----------
    l2 : float, default=300.0
        Weight :math:`\lambda` of the squared weights in the loss, > 0; higher for
        sparser data. The one parameter to tune: 30 to 3,000, on a logarithmic scale.
    max_memory : float, default=8e9
        Limit of the memory of fit, in bytes, > 0; larger catalogs raise an error. 28
        bytes per pair of items are needed: 8e9 are enough for 16,900 items.
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
    item_weights_ : ndarray of shape (n_items, n_items), float32
        The matrix B of the notes: how much a past item (row) adds to the score of an
        item (column).
    n_features_in_ : int
        Number of columns of X in fit.
    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Names of the columns of X, if they are all strings.

    See Also
    --------
    ItemKNNRecommender : A sparse model, for catalogs of any size.

    Notes
    -----
    Let X be the 0/1 matrix (n_users, n_items) of what users chose. B minimizes

    .. math::
        \| X - X B \|_F^2 + \lambda \| B \|_F^2, \quad \mathrm{diag}(B) = 0

    With :math:`P = (X^T X + \lambda I)^{-1}` the solution is :math:`B_{ij} = -P_{ij} /
    P_{jj}` off the diagonal. The score of item j for user u is :math:`X_u B_j`, near 1
    for likely choices. Equal scores are ordered by popularity, so that users without
    past items get the most popular ones. Time grows with the cube of n_items, memory
    with its square.

    References
    ----------
    Steck, Embarrassingly Shallow Autoencoders for Sparse Data, WWW 2019.

    Examples
    --------
    >>> from sktwotower import EASERecommender
    >>> X = [["ann", "tea"], ["ann", "jam"], ["bob", "tea"], ["bob", "jam"],
    ...      ["cid", "egg"], ["cid", "ham"], ["dan", "tea"]]
    >>> EASERecommender(l2=1).fit(X).recommend(["dan"], n_neighbors=1)
      user item     score  rank
    0  dan  jam    0.5     1
    """

    item_weights_ = fitted_attribute("model.weights")

    _parameter_constraints = MatrixRecommender._parameter_constraints | {
        "l2": [Interval(Real, 0, None, closed="neither")],
        "max_memory": [Interval(Real, 0, None, closed="neither")],
    }

    def __init__(
        self,
        l2=300.0,
        *,
        max_memory=8e9,
        user_id=None,
        item_id=None,
        n_neighbors=10,
        exclude_seen=True,
    ):
        self.l2 = l2
        self.max_memory = max_memory
        self.user_id = user_id
        self.item_id = item_id
        self.n_neighbors = n_neighbors
        self.exclude_seen = exclude_seen

    def _learn(self, seen):
        n_items = seen.shape[1]
        needed = EASE_BYTES * n_items**2
        if needed > self.max_memory:
            raise ValueError(
                f"EASE holds dense matrices of n_items x n_items: {n_items:,} items "
                f"take {needed / 1e9:,.1f} GB, more than max_memory="
                f"{self.max_memory:g} bytes. Leave out rare items, raise max_memory, "
                "or use ItemKNNRecommender, which is sparse."
            )
        gram = (seen.T @ seen).astype(np.float64).toarray()
        gram[np.diag_indices_from(gram)] += self.l2
        inverse = scipy.linalg.inv(gram, overwrite_a=True, check_finite=False)
        inverse /= -np.diag(inverse)
        np.fill_diagonal(inverse, 0)
        # in C order: otherwise sparse @ dense would copy the whole matrix
        return _Linear(inverse.astype(np.float32, order="C"))


class ItemKNNRecommender(SimilarItemsMixin, MatrixRecommender):
    r"""Recommend items that are chosen by the same users as a user's past ones.

    Item-based collaborative filtering: the score of an item is the sum of its
    similarities to the user's past items. Only its most similar items count.

    Parameters
    ----------
    n_similar : int, default=100
        Number of most similar items to keep for each item, >= 1.
    shrinkage : float, default=0.0
        Added to the denominator of the similarity, >= 0: lowers the similarity of pairs
        that few users share.
    similarity : {"cosine", "jaccard"}, default="cosine"
        Measure of similarity, see the notes.
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

    Notes
    -----
    With :math:`n_i` users of item i, :math:`n_{ij}` users of both i and j and the
    shrinkage h, the similarity is :math:`s_{ij} = n_{ij} / (\sqrt{n_i n_j} + h)` for
    "cosine", :math:`n_{ij} / (n_i + n_j - n_{ij} + h)` for "jaccard". The score of item
    j for a user is the sum of :math:`s_{ji}` over the user's past items i that are
    among the ``n_similar`` most similar items of j. Equal scores are ordered by
    popularity, so that users without past items get the most popular ones.

    References
    ----------
    Sarwar et al., Item-Based Collaborative Filtering Recommendation Algorithms, WWW
    2001; Deshpande and Karypis, Item-Based Top-N Recommendation Algorithms, ACM TOIS
    22(1), 2004, for the ranking by sums of similarities.

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
    """

    item_similarities_ = fitted_attribute("model.nearest")

    _parameter_constraints = MatrixRecommender._parameter_constraints | {
        "n_similar": [Interval(Integral, 1, None, closed="left")],
        "shrinkage": [Interval(Real, 0, None, closed="left")],
        "similarity": [StrOptions({"cosine", "jaccard"})],
    }

    def __init__(
        self,
        n_similar=100,
        *,
        shrinkage=0.0,
        similarity="cosine",
        user_id=None,
        item_id=None,
        n_neighbors=10,
        exclude_seen=True,
    ):
        self.n_similar = n_similar
        self.shrinkage = shrinkage
        self.similarity = similarity
        self.user_id = user_id
        self.item_id = item_id
        self.n_neighbors = n_neighbors
        self.exclude_seen = exclude_seen

    def _learn(self, seen):
        users_of, n_items = seen.T.tocsr(), seen.shape[1]
        nearest = [
            self._nearest_similar(users_of, seen, block)
            for block in blocks_of_rows(n_items, n_items)
        ]
        return _Similarities(sparse.vstack(nearest, format="csr"))

    def _nearest_similar(self, users_of, seen, block):
        """Return similarities, CSR (b, n_items), to the nearest items of a block."""
        together = (users_of[block] @ seen).tocsr()
        together.sort_indices()
        own = block.start + np.repeat(
            np.arange(together.shape[0]), np.diff(together.indptr)
        )
        n_users = np.diff(users_of.indptr)
        first, second = n_users[own], n_users[together.indices]
        if self.similarity == "cosine":
            most = np.sqrt(first * second)
        else:
            most = first + second - together.data
        together.data /= (most + self.shrinkage).astype(np.float32)
        together.data[own == together.indices] = 0
        for start, end in zip(together.indptr, together.indptr[1:], strict=False):
            if end - start > self.n_similar:
                values = together.data[start:end]
                # stable: keeps the first of equally similar items on any machine
                far = np.argsort(-values, kind="stable")[self.n_similar :]
                values[far] = 0
        together.eliminate_zeros()
        return together


class _Popularity:
    """Scores that are the share of users (n_items,) who chose each item."""

    def __init__(self, shares):
        self.shares = shares
        self.order = np.argsort(-shares, kind="stable")

    def scores(self, past):
        """Return scores (n, n_items) of users with past items (n, n_items)."""
        return np.tile(self.shares, (past.shape[0], 1))


class _Linear:
    """Scores that add up a dense row of weights (n_items,) for each past item."""

    order = None

    def __init__(self, weights):
        self.weights = weights

    def scores(self, past):
        """Return scores (n, n_items) of users with past items (n, n_items)."""
        return past @ self.weights

    def similarities(self, own):
        """Return similarities (n, n_items) to the item of each row of ``own``."""
        return _positive(own @ self.weights)


class _Similarities:
    """Scores that add up the similarities of an item to past items.

    ``nearest``: CSR (n_items, n_items), the similarities of each item to its nearest.
    """

    order = None

    def __init__(self, nearest):
        self.nearest = nearest
        self.weights = nearest.T.tocsr()

    def scores(self, past):
        """Return scores (n, n_items) of users with past items (n, n_items)."""
        return (past @ self.weights).toarray()

    def similarities(self, own):
        """Return similarities (n, n_items) to the item of each row of ``own``."""
        return _positive((own @ self.nearest).toarray())


def _positive(scores):
    """Set scores <= 0 (items that are not similar) to -inf."""
    scores[scores <= 0] = -np.inf
    return scores
