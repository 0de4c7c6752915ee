"""Exact search as a neighbors estimator, and the recall of others against it.

Input: item vectors (n_items, d).
Output: an estimator with ``kneighbors``; a share of true neighbors found.
"""

from typing import Any, Self

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted

from sktwotower._records import integer, record, vectors
from sktwotower._tables._messages import check_count
from sktwotower._tables._pickled import VersionedMixin
from sktwotower.runtime._model_id import check_model_id

from ._top_k import top_k


@record
class ExactNeighbors(VersionedMixin, BaseEstimator):
    """Exact nearest neighbors: the score of every item is computed.

    An estimator passed as ``neighbors`` needs the same two methods: ``fit`` on
    item vectors, and ``kneighbors``, which returns distances, ascending, and positions.

    Parameters
    ----------
    n_neighbors : int, default=10
        Number of neighbors that `kneighbors` returns by default, >= 1.

    Attributes
    ----------
    vectors_ : float32 ndarray of shape (n_items, d)
        The item vectors.
    n_features_in_ : int
        Number of columns d of the item vectors.
    model_id_ : str or None
        The model whose vectors these are, if they say it: see `check_model_id`.

    Notes
    -----
    A search costs O(n_items d) per query. It is a product of matrices, so many queries
    at once are cheaper than one by one.

    Examples
    --------
    >>> import numpy as np
    >>> from sktwotower.neighbors import ExactNeighbors
    >>> index = ExactNeighbors(n_neighbors=1).fit(np.eye(3))
    >>> distances, positions = index.kneighbors([[0.6, 0.8, 0.0]])
    >>> distances.round(3), positions
    (array([[0.2]]), array([[1]]))
    """

    vectors_: vectors("n_items n_features_in_")
    n_features_in_: integer()

    model_id_ = None

    def __init__(self, n_neighbors: int = 10) -> None:
        self.n_neighbors = n_neighbors

    def fit(self, X, y=None) -> Self:
        """Store item vectors.

        Parameters
        ----------
        X : array of shape (n_items, d)
            Item vectors.
        y : None
            Ignored.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            If X is no array of two dimensions.

        Examples
        --------
        >>> import numpy as np
        >>> from sktwotower.neighbors import ExactNeighbors
        >>> products = np.array(["tea", "coffee", "glue"])
        >>> vectors = [[0.8, 0.6], [1.0, 0.0], [0.0, 1.0]]
        >>> index = ExactNeighbors(n_neighbors=2).fit(vectors)
        >>> index
        ExactNeighbors(n_neighbors=2)
        >>> products[index.kneighbors([[0.6, 0.8]], return_distance=False)]
        array([['tea', 'glue']], dtype='<U6')
        """
        self.vectors_ = checked_vectors(np.asarray(X, dtype=np.float32))
        self.n_features_in_ = self.vectors_.shape[1]
        self.model_id_ = getattr(X, "model_id", None)
        return self

    def kneighbors(self, X, n_neighbors=None, return_distance=True) -> Any:
        r"""Find the items with the largest dot products.

        Parameters
        ----------
        X : array of shape (n, d)
            Query vectors.
        n_neighbors : int, default=None
            Number of items k per query, >= 1. None: the constructor's.
        return_distance : bool, default=True
            Whether to return distances too.

        Returns
        -------
        distances : float64 ndarray of shape (n, min(k, n_items))
            :math:`1 - \langle x, v \rangle` for query x and item vector v, ascending:
            the cosine distance of unit vectors. Only with ``return_distance``.
        indices : int64 ndarray of shape (n, min(k, n_items))
            Positions of the items in X of fit.

        Raises
        ------
        NotFittedError
            If fit has not been called.
        ValueError
            If X is of another shape, has vectors of another model than those of fit, or
            ``n_neighbors`` < 1.
        TypeError
            If ``n_neighbors`` is not an integer.

        Examples
        --------
        >>> import numpy as np
        >>> from sktwotower.neighbors import ExactNeighbors
        >>> products = np.array(["tea", "coffee", "glue"])
        >>> vectors = [[0.8, 0.6], [1.0, 0.0], [0.0, 1.0]]
        >>> index = ExactNeighbors(n_neighbors=2).fit(vectors)
        >>> distances, positions = index.kneighbors([[0.6, 0.8]])
        >>> products[positions]
        array([['tea', 'glue']], dtype='<U6')
        >>> distances.round(2)
        array([[0.04, 0.2 ]])
        """
        queries, k = checked_queries(self, X, n_neighbors)
        scores, indices = top_k(queries, self.vectors_, k)
        if not return_distance:
            return indices
        return 1 - scores, indices


def checked_vectors(vectors):
    """Return item vectors (n_items, d); raise ``ValueError`` for other shapes."""
    if vectors.ndim != 2:
        expected = "vectors, of shape (n_items, d)"
        raise ValueError(f"X must be {expected}. Got shape {vectors.shape}.")
    return vectors


def checked_queries(index, X, n_neighbors):
    """Return queries, float32 (n, d), and their number of neighbors, after checks.

    ``n_neighbors`` None: that of the ``index``.
    """
    check_is_fitted(index, "vectors_")
    queries = np.asarray(X, dtype=np.float32)
    width = index.vectors_.shape[1]
    if queries.ndim != 2 or queries.shape[1] != width:
        expected = f"an array of query vectors, of shape (n, {width})"
        raise ValueError(f"X must be {expected}. Got shape {queries.shape}.")
    check_model_id(X, index.model_id_)
    k = n_neighbors
    if k is None:
        k = index.n_neighbors
    return queries, check_count(k, "n_neighbors")


def recall_of(index, queries, truth):
    """Return the share of the true positions (n, k) that an index finds."""
    k = truth.shape[1]
    indices = index.kneighbors(queries, n_neighbors=k, return_distance=False)
    if truth.size == 0:
        return 1.0
    found = np.asarray(indices)
    is_same = found[:, :, None] == truth[:, None, :]
    is_hit = is_same.any(axis=1)
    return float(is_hit.mean())
