"""A wrapper that lets models of other packages be judged by the same metrics.

Input: a table of events (n_events, 2), ``user`` and ``item``.
Output: a `HeldOutRanking` (n_users, k), as `TwoTowerRecommender` returns it.
"""

import numpy as np
import pandas as pd
from scipy import sparse
from sklearn.base import BaseEstimator

from sktwotower.metrics import HeldOutRanking, held_out_truth

BLOCK_SIZE = 1 << 25  # scores held at once


class Baseline(BaseEstimator):
    """Base of all wrappers: subclasses learn from a matrix and score its rows."""

    def fit(self, X, y=None):
        """Learn from a table of events; repeats of a pair count once."""
        rows, self.user_ids_ = pd.factorize(X["user"], sort=True)
        columns, self.item_ids_ = pd.factorize(X["item"], sort=True)
        shape = (len(self.user_ids_), len(self.item_ids_))
        self._seen = _ones(rows, columns, shape)
        self._learn(self._seen)
        return self

    def rank_held_out(self, X, y=None, sample_weight=None, *, n_neighbors, **params):
        """Rank the whole catalog for the users of X, items seen in fit left out."""
        ids = {"user_ids": self.user_ids_, "item_ids": self.item_ids_}
        judged = held_out_truth(X, y, sample_weight, seen=self._seen, **ids, **params)
        users = pd.Index(self.user_ids_).get_indexer(judged.users)
        if (users < 0).any() or judged.n_unreachable.any():
            raise ValueError("X has users or items that fit has not seen.")
        step = max(1, BLOCK_SIZE // len(self.item_ids_))
        blocks = [users[i : i + step] for i in range(0, len(users), step)]
        found = np.vstack([self._best(block, n_neighbors) for block in blocks])
        return HeldOutRanking(indices=found, **judged)

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
