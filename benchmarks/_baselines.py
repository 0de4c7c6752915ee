"""Popularity, item-kNN, EASE and iALS, judged by the package's own metrics.

Enters: a table of events (n_events, 2), ``user`` and ``item``.
Leaves: the same rankings of held-out events that `TwoTowerRecommender` gives.
Next: bench_quality.py.
"""

import warnings

import numpy as np
import pandas as pd
from scipy import sparse
from sklearn.base import BaseEstimator
from sklearn.utils import Bunch
from threadpoolctl import threadpool_limits

BLOCK = 1024


class _Baseline(BaseEstimator):
    """What all have in common: subclasses learn from a matrix and score its rows."""

    def fit(self, X, y=None):
        """Learn from a table of events; repeats of a pair count once."""
        rows, self.user_ids_ = pd.factorize(X["user"], sort=True)
        columns, self.item_ids_ = pd.factorize(X["item"], sort=True)
        shape = (len(self.user_ids_), len(self.item_ids_))
        self._seen = _ones(rows, columns, shape)
        self._learn(self._seen)
        return self

    def _held_out_ranking(self, X, y=None, sample_weight=None, *, n_neighbors, **_):
        """Rank the whole catalogue for the users of X, items seen in fit left out."""
        rows, users = pd.factorize(X["user"], sort=True)
        known = pd.Index(self.user_ids_).get_indexer(users)
        codes = pd.Index(self.item_ids_).get_indexer(X["item"])
        if (known < 0).any() or (codes < 0).any():
            raise ValueError("X has users or items that fit has not seen.")
        truth = _ones(rows, codes, (len(users), len(self.item_ids_)))
        seen = self._seen[known]
        blocks = [known[i : i + BLOCK] for i in range(0, len(known), BLOCK)]
        return Bunch(
            users=users,
            indices=np.vstack([self._best(block, n_neighbors) for block in blocks]),
            truth=truth,
            seen=seen,
            item_counts=np.asarray(self._seen.sum(axis=0)).ravel(),
            user_counts=np.asarray(seen.sum(axis=1)).ravel(),
            n_unreachable=np.zeros(len(users), dtype=int),
            unreachable_weight=np.zeros(len(users)),
        )

    def _best(self, users, k):
        scores = np.array(self._scores(users), dtype=np.float32)
        seen = self._seen[users]
        scores[seen.nonzero()] = -np.inf
        return np.argsort(-scores, axis=1, kind="stable")[:, :k]


def _ones(rows, columns, shape):
    matrix = sparse.csr_matrix(
        (np.ones(len(rows), np.float32), (rows, columns)), shape=shape
    )
    matrix.data[:] = 1
    return matrix


class Popularity(_Baseline):
    """Rank items by their number of users, the same for everybody."""

    def _learn(self, seen):
        self._counts = np.asarray(seen.sum(axis=0)).ravel()

    def _scores(self, users):
        return np.tile(self._counts, (len(users), 1))


class ItemKNN(_Baseline):
    """Sum the cosine of each item with the user's past ones, nearest items only."""

    def __init__(self, n_neighbors=100):
        self.n_neighbors = n_neighbors

    def _learn(self, seen):
        norms = np.sqrt(np.asarray(seen.sum(axis=0)).ravel())
        cosine = (seen.T @ seen).toarray() / np.outer(norms, norms)
        np.fill_diagonal(cosine, 0)
        far = np.argsort(-cosine, axis=0, kind="stable")[self.n_neighbors :]
        np.put_along_axis(cosine, far, 0, axis=0)
        self._weights = sparse.csr_matrix(cosine)

    def _scores(self, users):
        return (self._seen[users] @ self._weights).toarray()


class EASE(_Baseline):
    """Linear autoencoder without self-similarity, in closed form.

    References
    ----------
    Steck, Embarrassingly Shallow Autoencoders for Sparse Data, WWW 2019.
    """

    def __init__(self, regularization=300.0):
        self.regularization = regularization

    def _learn(self, seen):
        gram = (seen.T @ seen).toarray().astype(np.float64)
        gram[np.diag_indices_from(gram)] += self.regularization
        inverse = np.linalg.inv(gram)
        weights = -inverse / np.diag(inverse)
        np.fill_diagonal(weights, 0)
        self._weights = weights.astype(np.float32)

    def _scores(self, users):
        return self._seen[users] @ self._weights


class IALS(_Baseline):
    """Weighted matrix factorisation by `implicit`, on a single thread.

    References
    ----------
    Hu, Koren, Volinsky, Collaborative Filtering for Implicit Feedback Datasets, ICDM
    2008.
    """

    def __init__(self, factors=64, regularization=1.0, alpha=5.0, iterations=15):
        self.factors = factors
        self.regularization = regularization
        self.alpha = alpha
        self.iterations = iterations

    def _learn(self, seen):
        from implicit.als import AlternatingLeastSquares

        with threadpool_limits(1, "blas"), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            model = AlternatingLeastSquares(
                **self.get_params(), num_threads=1, random_state=0
            )
            model.fit(seen, show_progress=False)
        self._users, self._items = model.user_factors, model.item_factors

    def _scores(self, users):
        return self._users[users] @ self._items.T
