"""Filters of the graph of users and items, without training (GF-CF).

Input: past items, CSR (n_users, n_items) of ones.
Output: the normalized matrix of past items, and its first singular vectors.
"""

from dataclasses import KW_ONLY, dataclass, field, replace

import numpy as np
from scipy import sparse
from sklearn.utils.extmath import randomized_svd

from sktwotower._records import array, csr, frozen, number, record, require
from sktwotower._sklearn_compat import COUNT, NOT_NEGATIVE, parameter
from sktwotower._tables._arguments import hinted
from sktwotower._tables._sparse import rows_of
from sktwotower.retrieval._fitted_state import fitted_attribute
from sktwotower.retrieval._similar_items import SimilarItemsMixin

from ._fitted_matrix import ItemScores, blocks_of_rows, positive
from ._matrix_recommender import MatrixRecommender

# Pairs of items that the same users chose, up to which the linear filter is held as
# one matrix: 160 MB. For larger catalogs it is applied in two steps, over the users.
MAX_HELD_PAIRS = 20_000_000
# Scores that are smaller than this share of an item's own are rounding errors.
ROUNDING = 1e-5


@record
@hinted
@dataclass(eq=False, repr=False)
class GraphFilterRecommender(SimilarItemsMixin, MatrixRecommender):
    r"""Recommend by two filters of the graph of users and items (GF-CF).

    One filter takes a step from a user's items to other users of them, and on to the
    items of these. The other keeps the directions in which users vary most. Nothing is
    trained; fit computes some singular vectors. A strong baseline for catalogs of any
    size.

    Parameters
    ----------
    n_components : int, default=256
        Number k of singular vectors, >= 1. There may be fewer, see the notes.
    user_id, item_id : str or int, default=None
        Columns of X that name the user and the item (or their positions). None: the
        first column for the user, the second for the item.
    time : str or int, default=None
        Column of X that says when (or its position): dates or finite numbers. It is not
        used, but later tables may lack it.
    n_neighbors : int, default=10
        Number of items that retrieval returns, and that count in `score`, >= 1.
    exclude_seen : bool, default=True
        Never recommend items that the user chose in fit.
    alpha : float, default=0.3
        Weight :math:`\alpha` of the second filter, >= 0. Tune it first, together with
        ``n_components``: 0.01 to 100, on a logarithmic scale.

    Attributes
    ----------
    user_ids_, item_ids_ : ndarray of shape (n_users,) and (n_items,)
        Known ids, sorted.
    singular_vectors_ : ndarray of shape (n_items, n_found), float32
        The matrix V of the notes, the most important vector first.
    n_features_in_ : int
        Number of columns of X in fit.
    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Names of the columns of X, if they are all strings.

    See Also
    --------
    ChebyshevFilterRecommender : A polynomial of the same graph.
    EASERecommender : A linear map as well, with dense weights.
    RP3betaRecommender : Walks over the same graph.

    Notes
    -----
    Let X be the 0/1 matrix (n_users, n_items) of what users chose, and :math:`D_U`,
    :math:`D_I` the diagonal matrices of the numbers of items of users and of users of
    items. With the normalized matrix :math:`R = D_U^{-1/2} X D_I^{-1/2}` and its first
    k right singular vectors V, the scores of a user with past items x are

    .. math:: x \left( R^T R + \alpha D_I^{-1/2} V V^T D_I^{1/2} \right)

    The first term is a linear filter, the second an ideal low-pass filter. Vectors
    whose singular value is 0 are left out. Equal scores are ordered by popularity, so
    that users without past items get the most popular ones.

    No dense matrix of n_items x n_items is held. In large catalogs the first filter
    reads what all users have chosen, and `forget_users` changes the scores of others a
    little. The singular vectors are found by a randomized method, which is exact where
    ``n_components`` is close to the number of users or of items.

    References
    ----------
    Shen, Wu, Zhang, Shan, Zhang, Letaief, Li, How Powerful is Graph Convolution for
    Recommendation?, CIKM 2021; Halko, Martinsson, Tropp, Finding Structure with
    Randomness, SIAM Review 53(2), 2011, for the singular vectors.

    Examples
    --------
    >>> from sktwotower import GraphFilterRecommender
    >>> X = [["ann", "tea"], ["ann", "jam"], ["bob", "tea"], ["bob", "jam"],
    ...      ["cid", "tea"], ["cid", "egg"], ["dan", "tea"]]
    >>> model = GraphFilterRecommender(n_components=1).fit(X)
    >>> model.recommend(["dan"], n_neighbors=2)
      user item     score  rank
    0  dan  jam  0.439268     1
    1  dan  egg  0.292857     2
    >>> model.singular_vectors_[:, 0].round(2)  # of egg, jam, tea
    array([0.38, 0.53, 0.76], dtype=float32)

    The linear filter by itself:

    >>> model = GraphFilterRecommender(alpha=0).fit(X)
    >>> model.predict([["dan", "jam"], ["dan", "egg"]]).round(6)
    array([0.353553, 0.25    ], dtype=float32)
    """

    singular_vectors_ = fitted_attribute("model.vectors")

    n_components: int = parameter(256, COUNT)
    _: KW_ONLY
    alpha: float = parameter(0.3, NOT_NEGATIVE)

    def _learn(self, seen, events):
        n_items = seen.shape[1]
        normalized = normalized_matrix(seen)
        vectors = right_singular_vectors(normalized, self.n_components)
        n_users_of_item = np.bincount(seen.indices, minlength=n_items)
        counts = n_users_of_item.astype(np.float32)
        model = _Filters(vectors, counts, float(self.alpha), normalized, None)
        n_items_of_user = np.diff(seen.indptr).astype(np.int64)
        n_pairs_of_users = (n_items_of_user**2).sum()
        if min(n_pairs_of_users, n_items**2) > MAX_HELD_PAIRS:
            return model
        linear = (normalized.T @ normalized).tocsr()
        linear.sort_indices()
        return replace(model, normalized=None, linear=linear)


def normalized_matrix(seen):
    """Return the matrix R of `GraphFilterRecommender`, CSR (n_users, n_items), float32.

    ``seen``: CSR (n_users, n_items) of ones.
    """
    by_user = sparse.diags(_inverse_root(np.diff(seen.indptr)))
    n_users_of_item = np.bincount(seen.indices, minlength=seen.shape[1])
    by_item = sparse.diags(_inverse_root(n_users_of_item))
    return (by_user @ seen @ by_item).tocsr().astype(np.float32)


def _inverse_root(counts):
    """Return 1 / sqrt(counts), (n,), and 0 where there are none."""
    return np.where(counts > 0, np.maximum(counts, 1) ** -0.5, 0)


def right_singular_vectors(matrix, n):
    """Return at most n right singular vectors, float32 (n_columns, m), largest first.

    Those whose singular value is 0 are left out. ``matrix``: CSR.
    """
    n = min(n, *matrix.shape)
    _, values, vectors = randomized_svd(matrix, n, random_state=0)
    smallest = values.max() * max(matrix.shape) * np.finfo(np.float32).eps
    return vectors[values > smallest].T.astype(np.float32, order="C")


class GraphScores(ItemScores):
    """Scores that are computed along the graph of users and items.

    Attributes
    ----------
    normalized : CSR matrix of shape (n_users, n_items) or None
        The matrix R of `GraphFilterRecommender`; None if no request needs it.
    users_of : CSR matrix of shape (n_items, n_users) or None
        Its transpose.
    """

    def __post_init__(self):
        users_of = None
        if self.normalized is not None:
            users_of = self.normalized.T.tocsr()
        object.__setattr__(self, "users_of", users_of)

    def without_users(self, kept):
        """Return the same scores without the rows of users who were forgotten."""
        if self.normalized is None:
            return self
        return replace(self, normalized=self.normalized[kept[:-1]])

    def similarities(self, one_hot):
        """Return similarities (n, n_items) to the item of each row of ``one_hot``."""
        scores = self.scores(one_hot)
        # products of vectors that are orthogonal are not 0, but rounding errors
        largest = scores.max(axis=1, keepdims=True)
        scores[scores < ROUNDING * largest] = 0
        return positive(scores)


@frozen
class _Filters(GraphScores):
    """Scores of the two filters, computed from the past items of some users at a time.

    ``n_choosers``: the number of users of each item. ``alpha``: the parameter of
    `GraphFilterRecommender`. ``normalized``: its matrix R, or None if ``linear`` holds
    the first filter :math:`R^T R`.
    """

    vectors: array("float32", "n_items k")
    n_choosers: array("float32", "n_items")
    alpha: number(0)
    normalized: csr("n_users n_items", is_finite=True) | None
    linear: csr("n_items n_items", is_finite=True) | None
    users_of: sparse.csr_matrix | None = field(init=False)

    def _check_stored(self, place):
        one_of_two = (self.normalized is None) != (self.linear is None)
        require(one_of_two, place, "one of two forms of a linear filter")

    def scores(self, past):
        """Return scores (n, n_items) of users with past items (n, n_items)."""
        by_item = _inverse_root(self.n_choosers).astype(np.float32)
        scaled = past @ sparse.diags(by_item)
        scores = scaled @ self.vectors @ self.vectors.T
        scores *= np.float32(self.alpha) * np.sqrt(self.n_choosers)
        if self.linear is not None:
            return scores + (past @ self.linear).toarray()
        for block in blocks_of_rows(past.shape[0], self.normalized.shape[0]):
            to_users = rows_of(past, block) @ self.users_of
            scores[block] += (to_users @ self.normalized).toarray()
        return scores
