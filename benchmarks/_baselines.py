"""What models of other packages have in common, to be judged by the same metrics.

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
        """Rank the whole catalog for the users of X, items seen in fit left out."""
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
