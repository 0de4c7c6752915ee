"""Enters: user vectors (n, d) and item vectors (n_items, d).

Leaves: positions and scores of the best items, both (n, k).
Next: metrics.py.
"""

import numpy as np
from sklearn.base import BaseEstimator, clone

from sktwotower.exact import by_score, rescore, top_k

__all__ = ["ExactNeighbors", "build_index", "check_index", "retrieve"]

# Gathered vector entries held at once.
BLOCK_SIZE = 1 << 23
# So many items beyond k are asked of an index that cannot leave out what was seen.
MAX_EXTRA = 256


class ExactNeighbors(BaseEstimator):
    """Every item's score is computed; the largest are kept.

    The contract that any ``neighbors`` estimator must meet: ``fit`` on item vectors and
    ``kneighbors`` that gives distances, ascending, and positions.

    Parameters
    ----------
    n_neighbors : int, default=10
        Number of neighbours that ``kneighbors`` gives unless told otherwise.

    Examples
    --------
    >>> import numpy as np
    >>> from sktwotower.neighbors import ExactNeighbors
    >>> index = ExactNeighbors(n_neighbors=1).fit(np.eye(3))
    >>> distances, positions = index.kneighbors([[0.6, 0.8, 0.0]])
    >>> distances.round(3), positions
    (array([[0.2]]), array([[1]]))
    """

    def __init__(self, n_neighbors=10):
        self.n_neighbors = n_neighbors

    def fit(self, X, y=None):
        """Store item vectors X (n_items, d)."""
        self.vectors_ = np.asarray(X, dtype=np.float32)
        self.n_features_in_ = self.vectors_.shape[1]
        return self

    def kneighbors(self, X, n_neighbors=None, return_distance=True):
        """Give cosine distances 1 - <x, v>, ascending, and positions, both (n, k)."""
        k = self.n_neighbors if n_neighbors is None else n_neighbors
        k = min(k, len(self.vectors_))
        scores, indices = top_k(np.asarray(X, np.float32), self.vectors_, k)
        return (1 - scores, indices) if return_distance else indices


def check_index(neighbors, normalize=True):
    """Check a ``neighbors`` parameter; raises ``ValueError`` or ``TypeError``."""
    if isinstance(neighbors, str):
        if neighbors not in ("auto", "exact"):
            raise ValueError(
                "The 'neighbors' parameter of TwoTowerRecommender must be 'auto', "
                f"'exact' or an estimator with fit and kneighbors. Got {neighbors!r} "
                "instead."
            )
    elif isinstance(neighbors, type) or not all(
        hasattr(neighbors, method) for method in ("fit", "kneighbors")
    ):
        raise TypeError(
            "The 'neighbors' parameter of TwoTowerRecommender must be 'auto', 'exact' "
            f"or an estimator with fit and kneighbors. Got {neighbors!r} instead."
        )
    elif not normalize:
        raise ValueError(
            "normalize=False needs neighbors='exact': an index finds the nearest "
            "vectors, and those are not the ones of the largest dot product unless all "
            "have the same length."
        )


def build_index(neighbors, params, vectors):
    """Give the index that ``neighbors`` asks for, fitted on vectors (n_items, d)."""
    index = ExactNeighbors() if isinstance(neighbors, str) else clone(neighbors)
    return index.set_params(**(params or {})).fit(vectors)


def retrieve(index, queries, items, k, excluded=None, allowed=None):
    """Give the k best allowed items of each query from any neighbour index.

    An index that is not exact is asked for as many items more as are excluded; its
    answers are scored again exactly, and queries whose lists still fall short are
    searched exactly. Parameters and returns as in `top_k`.
    """
    if isinstance(index, ExactNeighbors) or allowed is not None or len(queries) == 0:
        return top_k(queries, items, k, excluded, allowed)
    scores = np.full((len(queries), k), -np.inf)
    indices = np.full((len(queries), k), -1, dtype=np.int64)
    seen = np.zeros(len(queries), dtype=np.int64)
    if excluded is not None:
        seen = np.diff(excluded.indptr)
    width = min(k + MAX_EXTRA, len(items))
    step = max(1, BLOCK_SIZE // (width * items.shape[1]))
    # Users with more seen items than that are searched exactly.
    asked = np.flatnonzero((k + seen <= width) | (width == len(items)))
    for start in range(0, len(asked), step):
        block = asked[start : start + step]
        most = int(seen[block].max(initial=0))
        hidden = None if excluded is None else excluded[block]
        scores[block], indices[block] = _ask(
            index, queries[block], items, k, min(k + most, len(items)), hidden
        )
    left = np.minimum(k, len(items) - seen)
    short = np.flatnonzero((indices >= 0).sum(axis=1) < left)
    if len(short):
        hidden = None if excluded is None else excluded[short]
        scores[short], indices[short] = top_k(queries[short], items, k, hidden)
    return scores, indices


def _ask(index, queries, items, k, width, excluded):
    """Ask an index for ``width`` items a query; gives the k best by true score."""
    found = index.kneighbors(queries, n_neighbors=width, return_distance=False)
    found = np.asarray(found, dtype=np.int64)
    # Some indexes fill a short list with -1, others with n_items.
    found = np.where(found < len(items), found, -1)
    scores = rescore(queries, items, np.maximum(found, 0))
    scores[_unusable(found, excluded)] = -np.inf
    scores, found = by_score(scores, np.where(np.isneginf(scores), -1, found))
    return _fit_width(scores[:, :k], k, -np.inf), _fit_width(found[:, :k], k, -1)


def _unusable(found, excluded):
    """Mark entries (n, k) that are padding, given twice in a row, or excluded."""
    order = np.argsort(found, axis=1, kind="stable")
    ordered = np.take_along_axis(found, order, 1)
    repeated = np.zeros(found.shape, dtype=bool)
    repeated[:, 1:] = ordered[:, 1:] == ordered[:, :-1]
    unusable = np.zeros(found.shape, dtype=bool)
    np.put_along_axis(unusable, order, repeated, 1)
    unusable |= found < 0
    if excluded is not None:
        rows = np.repeat(np.arange(len(found)), found.shape[1])
        hit = excluded[rows, np.maximum(found, 0).ravel()]
        unusable |= np.asarray(hit).reshape(found.shape) != 0
    return unusable


def _fit_width(array, k, fill):
    missing = k - array.shape[1]
    return np.pad(array, ((0, 0), (0, max(0, missing))), constant_values=fill)
