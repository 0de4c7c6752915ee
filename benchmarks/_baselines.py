"""Popularity, item-kNN and EASE, judged by the package's own metrics.

Enters: a table of events (n_events, 2), ``user`` and ``item``.
Leaves: the same rankings of held-out events that `TwoTowerRecommender` gives.
Next: _peers.py, the same for the models of other packages.
"""

import numpy as np
import pandas as pd
from scipy import sparse
from sklearn.base import BaseEstimator
from sklearn.utils import Bunch

BLOCK_SIZE = 1 << 25  # scores held at once


class Baseline(BaseEstimator):
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
        n_items = len(self.item_ids_)
        seen, step = self._seen[known], max(1, BLOCK_SIZE // n_items)
        blocks = [known[i : i + step] for i in range(0, len(known), step)]
        return Bunch(
            users=users,
            indices=np.vstack([self._best(block, n_neighbors) for block in blocks]),
            truth=_ones(rows, codes, (len(users), n_items)),
            seen=seen,
            item_counts=np.asarray(self._seen.sum(axis=0)).ravel(),
            user_counts=np.asarray(seen.sum(axis=1)).ravel(),
            n_unreachable=np.zeros(len(users), dtype=int),
            unreachable_weight=np.zeros(len(users)),
        )

    def _best(self, users, k):
        costs = -np.asarray(self._scores(users), dtype=np.float32)
        costs[self._seen[users].nonzero()] = np.inf
        best = np.sort(np.argpartition(costs, k - 1, axis=1)[:, :k], axis=1)
        order = np.take_along_axis(costs, best, axis=1).argsort(axis=1, kind="stable")
        return np.take_along_axis(best, order, axis=1)


def _ones(rows, columns, shape):
    matrix = sparse.csr_matrix(
        (np.ones(len(rows), np.float32), (rows, columns)), shape=shape
    )
    matrix.data[:] = 1
    return matrix


class Popularity(Baseline):
    """Rank items by their number of users, the same for everybody."""

    def _learn(self, seen):
        self._counts = np.asarray(seen.sum(axis=0)).ravel()

    def _scores(self, users):
        return np.tile(self._counts, (len(users), 1))


class ItemKNN(Baseline):
    """Sum the similarity of each item with the user's past ones, nearest items only.

    Similarity is the cosine, where ``shrinkage`` is added to the product of the norms:
    it takes weight from pairs that few users share.
    """

    def __init__(self, n_neighbors=100, shrinkage=0):
        self.n_neighbors = n_neighbors
        self.shrinkage = shrinkage

    def _learn(self, seen):
        users_of, n_items = seen.T.tocsr(), seen.shape[1]
        norms = np.sqrt(np.diff(users_of.indptr))
        step = max(1, BLOCK_SIZE // n_items)
        blocks = [
            self._nearest(users_of, seen, norms, range(i, min(i + step, n_items)))
            for i in range(0, n_items, step)
        ]
        self._weights = sparse.vstack(blocks).T.tocsr()

    def _nearest(self, users_of, seen, norms, items):
        """Give the similarity (len(items), n_items) with the nearest, others zero."""
        together = (users_of[items.start : items.stop] @ seen).tocsr()
        rows = np.repeat(np.arange(len(items)), np.diff(together.indptr))
        own = rows + items.start
        products = norms[own] * norms[together.indices]
        together.data /= products + self.shrinkage
        together.data[own == together.indices] = 0
        for start, end in zip(together.indptr, together.indptr[1:], strict=False):
            if end - start > self.n_neighbors:
                values = together.data[start:end]
                far = np.argpartition(-values, self.n_neighbors)[self.n_neighbors :]
                values[far] = 0
        together.eliminate_zeros()
        return together

    def _scores(self, users):
        return (self._seen[users] @ self._weights).toarray()


class EASE(Baseline):
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
