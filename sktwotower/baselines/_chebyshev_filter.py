"""A polynomial filter of the graph of users and items, without training (ChebyCF).

Input: past items, CSR (n_users, n_items) of ones.
Output: coefficients of the polynomial, and the matrix that it is applied to.
"""

from dataclasses import KW_ONLY, dataclass, field, replace

import numpy as np
from scipy import sparse

from sktwotower._records import array, csr, frozen, number, record, require
from sktwotower._sklearn_compat import COUNT, NOT_NEGATIVE, POSITIVE, parameter
from sktwotower._tables._arguments import hinted
from sktwotower._tables._sparse import rows_of
from sktwotower.retrieval._fitted_state import fitted_attribute
from sktwotower.retrieval._similar_items import SimilarItemsMixin

from ._fitted_matrix import blocks_of_rows
from ._graph_filter import (
    MAX_HELD_PAIRS,
    GraphScores,
    normalized_matrix,
    right_singular_vectors,
)
from ._matrix_recommender import MatrixRecommender


@record
@hinted
@dataclass(eq=False, repr=False)
class ChebyshevFilterRecommender(SimilarItemsMixin, MatrixRecommender):
    r"""Recommend by a polynomial filter of the graph of users and items (ChebyCF).

    A polynomial keeps what varies little from item to item among those that the same
    users chose, and a second filter keeps the directions in which users vary most.
    Nothing is trained; fit computes some singular vectors. It goes further along the
    graph than `GraphFilterRecommender`, and requests take longer.

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
    alpha : float, default=0.2
        Weight :math:`\alpha` of the second filter, >= 0.
    beta : float, default=0.2
        How much :math:`\beta` scores are scaled by the number of users of an item,
        >= 0: more for popular items, the larger it is. Tune it first, with ``alpha``.
    degree : int, default=8
        Degree K of the polynomial, >= 1. Requests take time in proportion to it.
    flatness : float, default=1.5
        Exponent :math:`\phi` of the filter that the polynomial follows, > 0. The larger
        it is, the more alike are directions in the middle. The authors chose 0.4 as
        ``beta`` for Gowalla, with 512 singular vectors.

    Attributes
    ----------
    user_ids_, item_ids_ : ndarray of shape (n_users,) and (n_items,)
        Known ids, sorted.
    singular_vectors_ : ndarray of shape (n_items, n_found), float32
        The matrix V of the notes, the most important vector first.
    coefficients_ : ndarray of shape (degree + 1,), float64
        The coefficients :math:`c_k` of the notes.
    n_features_in_ : int
        Number of columns of X in fit.
    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Names of the columns of X, if they are all strings.

    See Also
    --------
    GraphFilterRecommender : Two simpler filters of the same graph, which are faster.
    EASERecommender : A linear map as well, with dense weights.

    Notes
    -----
    Let R be the normalized matrix and V the singular vectors of
    `GraphFilterRecommender`, and :math:`D_I` the diagonal matrix of the numbers of
    users of items. The scores of a user with past items x are

    .. math:: x D_I^{-\beta} \left( \sum_{k=0}^K c_k T_k(I - 2 R^T R)
        + \alpha V V^T \right) D_I^\beta

    with the Chebyshev polynomials :math:`T_k`. A direction in which the items of the
    same users hardly vary has a large singular value :math:`\sigma` of R, and a small
    :math:`t = 1 - 2 \sigma^2`. The sum interpolates

    .. math:: h(t) = \tfrac12 - \tfrac12 \operatorname{sign}(t) |t|^\phi

    at the zeros of :math:`T_{K+1}`: 1 where nothing varies (t = -1), and 0 where
    everything does. Equal scores are ordered by popularity, so that users without past
    items get the most popular ones.

    Up to 4,472 items, the filters are held as one dense matrix of n_items x n_items.
    For larger catalogs, each request applies R and its transpose K times to the scores
    of all items: with a million events it takes some 10 ms for each user. It then reads
    what all users have chosen, and `forget_users` changes the scores of others a
    little. Singular vectors are found as for `GraphFilterRecommender`.

    References
    ----------
    Kim, Sung, Han, Lee, Graph Spectral Filtering with Chebyshev Interpolation for
    Recommendation, SIGIR 2025.

    Examples
    --------
    >>> from sktwotower import ChebyshevFilterRecommender
    >>> X = [["ann", "tea"], ["ann", "jam"], ["bob", "tea"], ["bob", "jam"],
    ...      ["cid", "tea"], ["cid", "egg"], ["dan", "tea"]]
    >>> model = ChebyshevFilterRecommender(n_components=1).fit(X)
    >>> model.recommend(["dan"], n_neighbors=2).round(3)
      user item  score  rank
    0  dan  jam  0.361     1
    1  dan  egg  0.222     2

    With the degree 1 and neither ``alpha`` nor ``beta``, it is the linear filter of
    `GraphFilterRecommender`:

    >>> params = {"degree": 1, "flatness": 1, "alpha": 0, "beta": 0}
    >>> model = ChebyshevFilterRecommender(**params).fit(X)
    >>> model.predict([["dan", "jam"], ["dan", "egg"]]).round(6)
    array([0.353553, 0.25    ], dtype=float32)
    """

    singular_vectors_ = fitted_attribute("model.vectors")
    coefficients_ = fitted_attribute("model.coefficients")

    n_components: int = parameter(256, COUNT)
    _: KW_ONLY
    alpha: float = parameter(0.2, NOT_NEGATIVE)
    beta: float = parameter(0.2, NOT_NEGATIVE)
    degree: int = parameter(8, COUNT)
    flatness: float = parameter(1.5, POSITIVE)

    def _learn(self, seen, events):
        normalized = normalized_matrix(seen)
        vectors = right_singular_vectors(normalized, self.n_components)
        n_users_of_item = np.bincount(seen.indices, minlength=seen.shape[1])
        scales = np.maximum(n_users_of_item, 1.0) ** self.beta
        scales[n_users_of_item == 0] = 0  # an item without users has no score
        model = _PolynomialFilter(
            vectors,
            scales.astype(np.float32),
            float(self.alpha),
            chebyshev_coefficients(self.degree, self.flatness),
            normalized,
            None,
        )
        n_items = seen.shape[1]
        if n_items**2 > MAX_HELD_PAIRS:
            return model
        each_item = sparse.identity(n_items, np.float32, format="csr")
        matrix = np.empty((n_items, n_items), dtype=np.float32)
        for block in blocks_of_rows(n_items, n_items):
            matrix[block] = model.scores(each_item[block])
        return replace(model, normalized=None, matrix=matrix)


def chebyshev_coefficients(degree, flatness):
    """Return the coefficients (degree + 1,) of the polynomial of the notes.

    It is equal to the filter h at the zeros of the next Chebyshev polynomial.
    """

    def response(t):
        return 0.5 - 0.5 * np.sign(t) * np.abs(t) ** flatness

    return np.polynomial.chebyshev.chebinterpolate(response, degree)


@frozen
class _PolynomialFilter(GraphScores):
    """Scores of the polynomial filter, computed from the past items of some users.

    ``scales``: the power of the number of users of each item by which scores are
    scaled. ``alpha``: the parameter of `ChebyshevFilterRecommender`. ``normalized``:
    the matrix R, or None if ``matrix`` holds the scores that each past item adds.
    """

    vectors: array("float32", "n_items k")
    scales: array("float32", "n_items")
    alpha: number(0)
    coefficients: array("float64", "n_coefficients", is_finite=True)
    normalized: csr("n_users n_items", is_finite=True) | None
    matrix: array("float32", "n_items n_items", is_finite=True) | None
    users_of: sparse.csr_matrix | None = field(init=False)

    def _check_stored(self, place):
        one_of_two = (self.normalized is None) != (self.matrix is None)
        require(one_of_two, place, "one of two forms of a filter")
        require(len(self.coefficients) > 1, place, "a polynomial")

    def scores(self, past):
        """Return scores (n, n_items) of users with past items (n, n_items)."""
        if self.matrix is not None:
            return np.asarray(past @ self.matrix)
        scores = np.empty(past.shape, dtype=np.float32)
        # a few users at once: the numbers of all users of the graph are held, too
        n_sides = past.shape[1] + self.normalized.shape[0]
        for block in blocks_of_rows(past.shape[0], n_sides):
            scores[block] = self._filtered(rows_of(past, block))
        return scores

    def _filtered(self, past):
        """Return the same, by the recurrence of Chebyshev polynomials."""
        scale_of_past = np.divide(
            1, self.scales, out=np.zeros_like(self.scales), where=self.scales > 0
        )
        scaled = past.multiply(scale_of_past).tocsr()
        # one column for each user, as products with sparse matrices are fast then
        before = np.ascontiguousarray(scaled.T.toarray(), dtype=np.float32)
        current = self._shifted(before)
        coefficients = self.coefficients.astype(np.float32)
        total = coefficients[0] * before + coefficients[1] * current
        for coefficient in coefficients[2:]:
            before, current = current, 2 * self._shifted(current) - before
            total += coefficient * current
        low_pass = (scaled @ self.vectors) @ self.vectors.T
        scores = total.T + np.float32(self.alpha) * low_pass
        return scores * self.scales

    def _shifted(self, signals):
        """Return (I - 2 R^T R) times signals (n_items, n)."""
        return signals - 2 * (self.users_of @ (self.normalized @ signals))
