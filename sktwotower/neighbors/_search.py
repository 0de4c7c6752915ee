"""Search with filters, on any neighbor index, for many queries or for one.

Input: query vectors (n, d), an index, excluded items and allowed items.
Output: scores and positions of the best items, both (n, min(k, n_items)).
"""

import math

import numpy as np

from sktwotower.runtime._one_query import among, best_of_one, ranked, rescore

from ._catalog_index import ExactNeighbors, check_width
from ._top_k import by_score, rank_listed, top_k

# Entries of gathered vectors held at once.
BLOCK_SIZE = 1 << 23
# If a smaller share of the items is allowed, exact search among them is cheaper.
MIN_ALLOWED_SHARE = 1 / 4
# Request at most this many extra neighbors from an index without filtering.
MAX_EXTRA = 512
# At first, request at most this many extra ones for hidden items: each costs time.
FEW_HIDDEN = 64


def retrieve(index, queries, items, k, excluded=None, allowed=None):
    """Return the k best allowed items of each query, from any neighbor index.

    From an index that is not exact, more items are requested, and the results are
    scored again exactly. If a list is too short, more items are requested for its
    query, and in the end the query is searched exactly.

    Parameters
    ----------
    index : estimator
        Fitted on ``items``; has ``kneighbors``.
    queries : float32 array of shape (n, d)
    items : float32 array of shape (n_items, d)
    k : int
    excluded : CSR matrix of shape (n, n_items) or None, default=None
        Nonzero where an item must not be returned for a query.
    allowed : sorted int array, CSR matrix of shape (n, n_items) or None, default=None
        Positions of the items that may be returned, for all queries or for each. None:
        all items.

    Returns
    -------
    scores, indices : arrays of shape (n, min(k, n_items))
        As in `top_k`.
    """
    k = min(k, len(items))
    if allowed is not None and not isinstance(allowed, np.ndarray):
        return rank_listed(queries, items, k, allowed, excluded)
    check_width(index, items)
    if len(queries) == 1:
        hidden = () if excluded is None else excluded.indices
        scores, indices = nearest_to_one(index, queries[0], items, k, hidden, allowed)
        return scores[None], indices[None]
    if isinstance(index, ExactNeighbors) or _few(allowed, items) or len(queries) == 0:
        return top_k(queries, items, k, excluded, allowed)
    return _Search(index, queries, items, k, excluded, allowed).run()


def _few(allowed, items):
    """Return whether exact search among the allowed items is cheaper than an index."""
    return allowed is not None and len(allowed) < MIN_ALLOWED_SHARE * len(items)


class _Search:
    """Search on an index without filtering, which may return poor or short lists.

    More than k neighbors are requested from the index, at first as many more as filters
    may remove, but few for hidden items: most of these are far away. They are filtered
    and scored again. Queries with too short lists are repeated, with all hidden items
    counted, and then with four times as many neighbors.
    """

    def __init__(self, index, queries, items, k, excluded, allowed):
        self.index, self.queries, self.items, self.k = index, queries, items, k
        self.excluded, self.allowed = excluded, allowed
        self.forbidden = None
        n_allowed = len(items)
        if allowed is not None:
            self.forbidden = np.ones(len(items), dtype=bool)
            self.forbidden[allowed] = False
            n_allowed = len(allowed)
        n_excluded = np.zeros(len(queries), dtype=np.int64)
        n_left = np.full(len(queries), n_allowed)
        if excluded is not None:
            n_excluded = np.diff(excluded.indptr)
            inside = excluded if allowed is None else excluded[:, allowed].tocsr()
            n_left = n_allowed - np.diff(inside.indptr)
        # numbers of neighbors to request in turn (3, n), and lengths to reach (n,)
        share = max(n_allowed / len(items), 1e-9)
        few = np.minimum(n_excluded, FEW_HIDDEN)
        widths = [(k + few) / share, (k + n_excluded) / share]
        widths = np.ceil([*widths, 4 * widths[1]]).astype(np.int64)
        self.widths = np.minimum(widths, len(items))
        self.lengths = np.minimum(k, n_left)
        self.scores = np.full((len(queries), k), -np.inf)
        self.indices = np.full((len(queries), k), -1, dtype=np.int64)

    def run(self):
        """Return scores and positions (n, k)."""
        rows, before = np.arange(len(self.queries)), 0
        for widths in self.widths:
            useful = (widths > before) & (widths <= self.k + MAX_EXTRA)
            self._ask(rows[useful[rows]], widths)
            rows, before = self._too_short(), widths
        if len(rows):
            hidden = None if self.excluded is None else self.excluded[rows]
            self.scores[rows], self.indices[rows] = top_k(
                self.queries[rows], self.items, self.k, hidden, self.allowed
            )
        return self.scores, self.indices

    def _too_short(self):
        """Return the queries with too short lists, int (m,)."""
        return np.flatnonzero((self.indices >= 0).sum(axis=1) < self.lengths)

    def _ask(self, rows, widths):
        """Search the index for queries at rows (m,), with widths (n,) of all queries.

        Queries of about the same width are searched together: with one width for all,
        each query would cost as much as the widest.
        """
        classes = np.ceil(np.log2(np.maximum(widths[rows], 1))).astype(int)
        for of_width in np.unique(classes):
            alike = rows[classes == of_width]
            width = int(widths[alike].max())
            step = max(1, BLOCK_SIZE // (width * self.items.shape[1]))
            for start in range(0, len(alike), step):
                self._ask_block(alike[start : start + step], width)

    def _ask_block(self, rows, width):
        """Fill the lists of the queries at rows (m,) with the index's answers."""
        queries, k = self.queries[rows], self.k
        found = self.index.kneighbors(queries, n_neighbors=width, return_distance=False)
        found = np.asarray(found, dtype=np.int64)
        # Some indexes pad short lists with -1, others with n_items.
        found = np.where(found < len(self.items), found, -1)
        scores = rescore(queries, self.items, np.maximum(found, 0))
        scores[self._unusable(found, rows)] = -np.inf
        scores, found = by_score(scores, np.where(np.isneginf(scores), -1, found))
        kept = min(k, found.shape[1])
        self.scores[rows], self.indices[rows] = -np.inf, -1
        self.scores[rows, :kept] = scores[:, :kept]
        self.indices[rows, :kept] = found[:, :kept]

    def _unusable(self, found, rows):
        """Return which positions (m, w) are padding, repeated in a row or filtered."""
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


def nearest_to_one(index, query, items, k, hidden, allowed=None):
    """Return the k best items of one query, without matrices of one row.

    As `retrieve` for a single query: the same items, in the same order.

    Parameters
    ----------
    index : estimator
        Fitted on ``items``; has ``kneighbors``.
    query : float32 array of shape (d,)
    items : float32 array of shape (n_items, d)
    k : int
        Number of items, >= 1.
    hidden : int array of shape (m,)
        Distinct positions of items that must not be returned.
    allowed : sorted int array of shape (n_allowed,), default=None
        Distinct positions of the items that may be returned. None: all items.

    Returns
    -------
    scores : float64 array of shape (min(k, n_items),)
        Descending; -inf where there are fewer items.
    indices : int64 array of shape (min(k, n_items),)
        Positions in ``items``; -1 where there are fewer items.
    """
    check_width(index, items)
    items = np.asarray(items)  # a memmap is slower
    k, found = min(k, len(items)), None
    if not (isinstance(index, ExactNeighbors) or _few(allowed, items)):
        found = _from_index(index, query, len(items), k, hidden, allowed)
    if found is None:
        exact, best = best_of_one(query, items, k, hidden, allowed)
    else:
        exact, best = ranked(query, items, found, k)
    if len(best) == k:
        return exact, best
    scores, indices = np.full(k, -np.inf), np.full(k, -1, dtype=np.int64)
    scores[: len(best)], indices[: len(best)] = exact, best
    return scores, indices


def _from_index(index, query, n_items, k, hidden, allowed):
    """Return positions (m,), ascending, from the index; None if too few can be used.

    It is searched as wide as by `_Search`.
    """
    hidden, n_hidden, share = np.sort(hidden), len(hidden), 1.0
    n_left = n_items - n_hidden
    if allowed is not None:
        share = len(allowed) / n_items
        n_left = len(allowed) - int(among(hidden, allowed).sum())
    widths = k + min(n_hidden, FEW_HIDDEN), k + n_hidden, 4 * (k + n_hidden)
    widths = {min(math.ceil(width / share), n_items) for width in widths}
    for width in sorted(widths):
        if width > k + MAX_EXTRA:
            return None
        found = index.kneighbors(query[None], n_neighbors=width, return_distance=False)
        found = np.unique(np.asarray(found, dtype=np.int64))
        # Some indexes pad short lists with -1, others with n_items.
        found = found[(found >= 0) & (found < n_items) & ~among(found, hidden)]
        if allowed is not None:
            found = found[among(found, allowed)]
        if len(found) >= min(k, n_left):
            return found
    return None
