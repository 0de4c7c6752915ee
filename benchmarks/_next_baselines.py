"""Baselines of the next item: a ridge regression and a Markov chain.

Input: a table of events (n_events, 3), ``user``, ``item`` and ``time``.
Output: a `HeldOutRanking` (n_users, k), as `TwoTowerRecommender` returns it.
"""

import numpy as np
import pandas as pd
from _baselines import Baseline
from scipy import sparse
from scipy.linalg import lapack


class NextItemBaseline(Baseline):
    """Base of both: keeps the events of each user, oldest first.

    Rows of equal times keep their order. ``_items`` (n_events,) holds the positions of
    the items, those of user u from ``_first[u]`` to ``_first[u + 1]``.
    """

    def fit(self, X, y=None):
        """Learn from a table of events; a repeated pair is an event of its own."""
        X = X.sort_values(["user", "time"], kind="stable")
        users = pd.factorize(X["user"])[0]
        self._first = np.append(0, np.cumsum(np.bincount(users)))
        self._items = pd.factorize(X["item"], sort=True)[0]
        return super().fit(X)

    def _steps(self):
        """Return places of events with one before, and where their users begin."""
        first = np.repeat(self._first[:-1], np.diff(self._first))
        places = np.flatnonzero(np.arange(len(first)) > first)
        return places, first[places]


class NextItemRidge(NextItemBaseline):
    r"""Predict the next item by a ridge regression on decayed sums of the last ones.

    A row s of S, one for each event with another before it, is :math:`\sum_{l=1}^L
    e^{-l/d} x_l`, where :math:`x_l` is the 0/1 vector of the item l events before. T
    holds the 0/1 vector of the event's own item. Scores are :math:`s B`, where
    :math:`B = (S^T S + \lambda I)^{-1} S^T T`.

    Parameters
    ----------
    l2 : float, default=100.0
        Weight :math:`\lambda` of the squared weights.
    decay : float, default=5.0
        Number of events d after which an item counts 1/e.
    n_last : int, default=25
        Number of events L that count.
    """

    def __init__(self, l2=100.0, decay=5.0, n_last=25):
        self.l2 = l2
        self.decay = decay
        self.n_last = n_last

    def _learn(self, seen):
        places, first = self._steps()
        before, n_items = self._sums(places, first), len(self.item_ids_)
        following = sparse.csr_matrix(
            (np.ones(len(places)), self._items[places], np.arange(len(places) + 1)),
            shape=(len(places), n_items),
        )
        gram = (before.T @ before).astype(np.float32).toarray(order="F")
        gram[np.diag_indices_from(gram)] += self.l2
        targets = (before.T @ following).astype(np.float32)
        self._weights = (targets.T @ _inverse(gram)).T.copy()

    def _scores(self, users):
        return self._sums(self._first[users + 1], self._first[users]) @ self._weights

    def _sums(self, places, first):
        """Return the decayed sums before places (m,), CSR (m, n_items).

        ``first``: place (m,) of the first event of the same user.
        """
        sizes = np.minimum(places - first, self.n_last)
        offsets = np.append(0, np.cumsum(sizes))
        lags = np.arange(1, offsets[-1] + 1) - np.repeat(offsets[:-1], sizes)
        items = self._items[np.repeat(places, sizes) - lags]
        sums = sparse.csr_matrix(
            (np.exp(-lags / self.decay), items, offsets),
            shape=(len(places), len(self.item_ids_)),
        )
        sums.sum_duplicates()
        return sums


def _inverse(matrix):
    """Return the inverse of a symmetric, positive definite matrix (n, n), float32."""
    factor, failed = lapack.spotrf(matrix, lower=True, overwrite_a=True)
    if not failed:
        inverse, failed = lapack.spotri(factor, lower=True, overwrite_c=True)
    if failed:
        raise ValueError("S^T S + l2 I is not positive definite: raise l2.")
    lower = np.tril(inverse)
    return lower + np.tril(lower, -1).T


class MarkovChain(NextItemBaseline):
    """Predict the next item from the last one, or by popularity.

    The score of item j after item i is (n_ij + b p_j) / (n_i + b). Here n_ij counts how
    often j followed i, n_i how often any item did, and p_j is the share of j among all
    events.

    Parameters
    ----------
    backoff : float, default=1.0
        Weight b of popularity, in events.
    """

    def __init__(self, backoff=1.0):
        self.backoff = backoff

    def _learn(self, seen):
        places, _ = self._steps()
        n_items = len(self.item_ids_)
        self._counts = sparse.csr_matrix(
            (np.ones(len(places)), (self._items[places - 1], self._items[places])),
            shape=(n_items, n_items),
        )
        self._shares = np.bincount(self._items, minlength=n_items) / len(self._items)

    def _scores(self, users):
        counts = self._counts[self._items[self._first[users + 1] - 1]].toarray()
        n_after = counts.sum(axis=1, keepdims=True)
        return (counts + self.backoff * self._shares) / (n_after + self.backoff)
