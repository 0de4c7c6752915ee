"""Enters: user vectors (n, d), an index, and what may and may not be given.

Leaves: positions and scores of the best items, both (n, k), as many as there are.
Next: vectors.py, whose vectors it is asked with.
"""

import numpy as np

from ._indexes import ExactNeighbors
from ._top_k import by_score, rank_listed, rescore, top_k

__all__ = ["retrieve"]

# Gathered vector entries held at once.
BLOCK_SIZE = 1 << 23
# So many items beyond k are asked of an index that cannot leave out any itself.
MAX_EXTRA = 512
# With fewer allowed items than this share, exact search among them is cheaper.
MIN_ALLOWED_SHARE = 1 / 4


def retrieve(index, queries, items, k, excluded=None, allowed=None):
    """Return the k best allowed items of each query, from any neighbor index.

    An index that is not exact is asked for as many items more as will be filtered out;
    its answers are scored again exactly. Queries whose lists fall short are asked for
    more, and if that is not enough searched exactly.

    Parameters
    ----------
    index : estimator
        Fitted on ``items``; has ``kneighbors``.
    queries : float32 array of shape (n, d)
    items : float32 array of shape (n_items, d)
    k : int
    excluded : CSR matrix of shape (n, n_items) or None, default=None
        Nonzero: never to be given to this query.
    allowed : sorted int array, CSR matrix of shape (n, n_items) or None, default=None
        Positions of the only items to be given: to all, or to each query. None: all.

    Returns
    -------
    scores, indices : arrays of shape (n, k)
        As of `top_k`.
    """
    if allowed is not None and not isinstance(allowed, np.ndarray):
        return rank_listed(queries, items, k, allowed, excluded)
    width = getattr(index, "n_features_in_", items.shape[1])
    if width != items.shape[1]:
        raise ValueError(
            f"The neighbor index was fitted on vectors of {width} numbers, and those "
            f"of the items have {items.shape[1]}. Build it anew: fit, or set_catalog."
        )
    few = allowed is not None and len(allowed) < MIN_ALLOWED_SHARE * len(items)
    if isinstance(index, ExactNeighbors) or few or len(queries) == 0:
        return top_k(queries, items, k, excluded, allowed)
    return _Search(index, queries, items, k, excluded, allowed).run()


class _Search:
    """What an index is asked, and what becomes of its answers."""

    def __init__(self, index, queries, items, k, excluded, allowed):
        self.index, self.queries, self.items, self.k = index, queries, items, k
        self.excluded, self.allowed = excluded, allowed
        self.forbidden = None
        self.n_allowed = len(items)
        if allowed is not None:
            self.forbidden = np.ones(len(items), dtype=bool)
            self.forbidden[allowed] = False
            self.n_allowed = len(allowed)
        self.seen = np.zeros(len(queries), dtype=np.int64)
        self.left = np.full(len(queries), self.n_allowed)
        if excluded is not None:
            self.seen = np.diff(excluded.indptr)
            inside = excluded if allowed is None else excluded[:, allowed].tocsr()
            self.left = self.n_allowed - np.diff(inside.indptr)
        self.scores = np.full((len(queries), k), -np.inf)
        self.indices = np.full((len(queries), k), -1, dtype=np.int64)

    def run(self):
        share = self.n_allowed / len(self.items)
        wanted = np.ceil((self.k + self.seen) / max(share, 1e-9)).astype(np.int64)
        asked = np.arange(len(self.queries))
        for factor in (1, 4):
            wanted = np.minimum(wanted * factor, len(self.items))
            asked = asked[self._within_reach(wanted[asked])]
            self._ask(asked, wanted)
            asked = self._short()
        if len(asked):
            hidden = None if self.excluded is None else self.excluded[asked]
            self.scores[asked], self.indices[asked] = top_k(
                self.queries[asked], self.items, self.k, hidden, self.allowed
            )
        return self.scores, self.indices

    def _within_reach(self, wanted):
        return (wanted <= self.k + MAX_EXTRA) | (len(self.items) <= self.k + MAX_EXTRA)

    def _short(self):
        found = (self.indices >= 0).sum(axis=1)
        return np.flatnonzero(found < np.minimum(self.k, self.left))

    def _ask(self, rows, wanted):
        """Ask for the rows given, those that want as many together."""
        # Few widths: a row that wants little would pay for one that wants much.
        classes = np.ceil(np.log2(np.maximum(wanted[rows], 1))).astype(int)
        for each in np.unique(classes):
            same = rows[classes == each]
            width = int(wanted[same].max())
            step = max(1, BLOCK_SIZE // (width * self.items.shape[1]))
            for start in range(0, len(same), step):
                self._ask_block(same[start : start + step], width)

    def _ask_block(self, rows, width):
        queries, k = self.queries[rows], self.k
        found = self.index.kneighbors(queries, n_neighbors=width, return_distance=False)
        found = np.asarray(found, dtype=np.int64)
        # Some indexes fill a short list with -1, others with n_items.
        found = np.where(found < len(self.items), found, -1)
        scores = rescore(queries, self.items, np.maximum(found, 0))
        scores[self._unusable(found, rows)] = -np.inf
        scores, found = by_score(scores, np.where(np.isneginf(scores), -1, found))
        self.scores[rows] = _fit_width(scores[:, :k], k, -np.inf)
        self.indices[rows] = _fit_width(found[:, :k], k, -1)

    def _unusable(self, found, rows):
        """Mark entries (n, k) that are padding, given twice in a row, or filtered."""
        order = np.argsort(found, axis=1, kind="stable")
        ordered = np.take_along_axis(found, order, 1)
        repeated = np.zeros(found.shape, dtype=bool)
        repeated[:, 1:] = ordered[:, 1:] == ordered[:, :-1]
        unusable = np.zeros(found.shape, dtype=bool)
        np.put_along_axis(unusable, order, repeated, 1)
        unusable |= found < 0
        if self.forbidden is not None:
            unusable |= self.forbidden[np.maximum(found, 0)]
        if self.excluded is not None:
            places = np.repeat(np.arange(len(found)), found.shape[1])
            hidden = self.excluded[rows]
            hit = hidden[places, np.maximum(found, 0).ravel()]
            unusable |= np.asarray(hit).reshape(found.shape) != 0
        return unusable


def _fit_width(array, k, fill):
    missing = k - array.shape[1]
    return np.pad(array, ((0, 0), (0, max(0, missing))), constant_values=fill)
