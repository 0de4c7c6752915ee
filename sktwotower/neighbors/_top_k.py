"""Exact search: the items whose vectors have the largest dot product with a query.

Input: query vectors (n, d) and item vectors (n_items, d).
Output: scores and positions of the k best items, both (n, min(k, n_items)).
"""

import math
import time

import numpy as np
import torch

from sktwotower._tables._sparse import rows_of

# Scores held at once: 8 MiB of float32.
TILE_SIZE = 1 << 21
# Queries searched together, and the smallest number of items in a tile.
QUERY_BLOCK = 256
MIN_TILE_ITEMS = 8192
# The bound of the first tile comes from maxima of groups of at least GROUP items. There
# are at most GROUPS_PER_NEIGHBOR groups for each of the k places.
GROUP = 32
GROUPS_PER_NEIGHBOR = 64
# Entries of vectors gathered at once in `rescore`: 32 MiB of float64.
MAX_GATHERED = 1 << 22
# A single query: BLAS is fastest where vectors of fewer bytes stay in the cache; with
# so many threads torch's product is faster than one with each row on one thread.
CACHED_BYTES = 1 << 22
MANY_THREADS = 4
# Whether a product for each row is faster than BLAS, by the width of the rows: it takes
# at most this share of its time. Other jobs disturb the measurement.
MAX_SHARE_BY_ROWS = 0.8
_FASTER_BY_ROWS = {}
# The largest relative error of one operation in float32.
UNIT = 2.0**-24


def top_k(queries, items, k, excluded=None, allowed=None):
    """Return the k best items of each query by exact search.

    Parameters
    ----------
    queries : float32 array of shape (n, d)
        User vectors.
    items : float32 array of shape (n_items, d)
        Item vectors.
    k : int
        Number of items, >= 1.
    excluded : CSR matrix of shape (n, n_items) or None, default=None
        Nonzero where an item must not be returned for a query.
    allowed : sorted int array or None, default=None
        Positions of the items to choose from. None: all.

    Returns
    -------
    scores : float64 array of shape (n, min(k, n_items))
        Descending; -inf where a query has fewer items.
    indices : int64 array of shape (n, min(k, n_items))
        Positions in ``items``, ascending where scores are equal; -1 where a query has
        fewer items.

    Notes
    -----
    A block of queries is multiplied by one tile of items after another, so that the
    scores stay in the cache. Of each tile only scores above a bound are kept. The bound
    is the k-th best score of the tiles before. In the first tile it is the k-th best of
    the maxima of groups of items. A single query is multiplied by all items at once.

    These products are rounded, each way in its own manner. So all items are looked at
    again whose score may be as good as the last one, which are rarely more than k.
    """
    n = len(queries)
    scores, indices = _empty_lists(n, min(k, len(items)))
    if allowed is not None:
        excluded = None if excluded is None else excluded[:, allowed].tocsr()
        items = items[allowed]
    k = min(k, len(items))
    if n == 0 or k == 0:
        return scores, indices
    items = np.ascontiguousarray(items)
    for start in range(0, n, QUERY_BLOCK):
        block = slice(start, min(start + QUERY_BLOCK, n))
        hidden = None if excluded is None else rows_of(excluded, block)
        vectors = np.ascontiguousarray(queries[block])
        if len(vectors) == 1:
            columns = () if hidden is None else hidden.indices
            exact, found = best_of_one(vectors[0], items, k, columns)
        else:
            width = k + 2 + k // 16  # room for a few items as good as the last
            best = _best_of_block(vectors, items, min(width, len(items)), hidden)
            exact, found = _exact_of_block(best, vectors, items, k, hidden)
        if allowed is not None:
            found = np.where(found < 0, -1, allowed[found])
        scores[block, : exact.shape[-1]] = exact
        indices[block, : exact.shape[-1]] = found
    return scores, indices


def _exact_of_block(best, queries, items, k, excluded):
    """Return exact scores and positions (b, k) of the best items of a block.

    ``best``: those by rounded products, k or more. ``excluded``: CSR (b, n_items) or
    None.
    """
    table, n_items = torch.from_numpy(items), len(items)
    exact = rescore(queries, items, np.maximum(best.indices, 0))
    exact[best.indices < 0] = -np.inf
    exact, found = (part[:, :k] for part in by_score(exact, best.indices))
    low = exact[:, -1] - _rounding(queries, items[found[:, -1]])
    worst = best.scores.min(axis=1)  # what is left out has no higher product
    more = (worst >= low) & (worst > -np.inf) & (best.scores.shape[1] < n_items)
    rows, step = np.flatnonzero(more), max(1, TILE_SIZE // n_items)
    for start in range(0, len(rows), step):
        part = rows[start : start + step]
        scores = (torch.from_numpy(queries[part]) @ table.T).numpy()
        if excluded is not None:
            _hide(scores, _by_column(excluded[part]), 0, n_items)
        for row, products in zip(part, scores, strict=True):
            within = (products >= low[row]).nonzero()[0]
            exact[row], found[row] = ranked(queries[row], items, within, k)
    return exact, found


def rank_listed(queries, items, k, listed, excluded=None):
    """Return the k best items of each query among its own list.

    ``listed`` and ``excluded``: CSR matrices (n, n_items), nonzero where an item is
    listed, or excluded. The other parameters and the results are as in `top_k`.
    """
    n = len(queries)
    scores, indices = _empty_lists(n, min(k, len(items)))
    if excluded is not None:
        listed = listed.astype(bool) > excluded.astype(bool)
    listed = listed.tocoo()
    rows, columns = listed.row.astype(np.int64), listed.col.astype(np.int64)
    found = np.empty(len(rows))
    step = max(1, TILE_SIZE // items.shape[1])
    for start in range(0, len(rows), step):
        part = slice(start, start + step)
        users = queries[rows[part]].astype(np.float64)
        found[part] = np.einsum("nd,nd->n", users, items[columns[part]])
    order = np.lexsort((columns, -found, rows))
    rows, columns, found = rows[order], columns[order], found[order]
    counts = np.bincount(rows, minlength=n)
    ranks = np.arange(len(rows)) - (np.cumsum(counts) - counts)[rows]
    kept = ranks < k
    scores[rows[kept], ranks[kept]] = found[kept]
    indices[rows[kept], ranks[kept]] = columns[kept]
    return scores, indices


def rescore(queries, items, indices):
    """Return exact float64 scores (n, k) of items (n, k) found for queries (n, d)."""
    (n, k), d = indices.shape, max(1, items.shape[1])
    queries, scores = queries.astype(np.float64), np.empty((n, k))
    width = max(1, min(k, MAX_GATHERED // d))
    height = max(1, MAX_GATHERED // (width * d))
    for top in range(0, n, height):
        for left in range(0, k, width):
            part = np.s_[top : top + height, left : left + width]
            vectors = items[indices[part]].astype(np.float64)
            scores[part] = np.einsum("nd,nkd->nk", queries[part[0]], vectors)
    return scores


def ranked(query, items, found, k):
    """Return exact scores and positions of the k best of the items found for a query.

    ``query``: (d,). ``found``: positions (m,), ascending. The results are (min(k, m),).
    """
    exact = _scores_of_one(query, items, found)
    best = (-exact).argsort(kind="stable")[:k]
    return exact[best], found[best]


def _rounding(queries, vectors):
    """Return how much float32 may change the products of rows (..., d), (...,)."""
    both = queries.astype(np.float64), vectors.astype(np.float64)
    lengths = (np.sqrt(np.einsum("...d,...d->...", rows, rows)) for rows in both)
    return (queries.shape[-1] + 2) * UNIT * math.prod(lengths)


def _scores_of_one(query, items, indices):
    """Return what `rescore` does, (m,), for one query (d,) and positions (m,)."""
    if indices.size * len(query) > MAX_GATHERED:
        return rescore(query[None], items, indices[None])[0]
    vectors = items.take(indices, axis=0).astype(np.float64)
    return np.einsum("kd,d->k", vectors, query.astype(np.float64))


def by_score(scores, indices):
    """Sort both (n, k) by descending score; ties by position."""
    order = np.lexsort((indices, -scores), axis=1)
    return np.take_along_axis(scores, order, 1), np.take_along_axis(indices, order, 1)


def _empty_lists(n, width):
    """Return scores and indices (n, width) of queries for which nothing is found."""
    return np.full((n, width), -np.inf), np.full((n, width), -1, dtype=np.int64)


def best_of_one(query, items, k, hidden=()):
    """Return exact scores and positions (m,) of the k best items of one query.

    ``query``: float32 (d,); ``hidden``: positions of items to leave out. m is less than
    k only if fewer items are left.
    """
    scores = _products(items, query)
    if len(hidden):
        scores.put(hidden, -np.inf)
    bound = _bound_of_one(scores, k)
    if bound == -np.inf:
        return ranked(query, items, (scores > bound).nonzero()[0], k)
    exact, found = ranked(query, items, (scores >= bound).nonzero()[0], k)
    low = exact[-1] - _rounding(query, items[found[-1]])
    if bound <= low:
        return exact, found
    return ranked(query, items, (scores >= low).nonzero()[0], k)


def _bound_of_one(scores, k):
    """Return the k-th largest maximum of groups of scores (n_items,).

    The same as `_lower_bound`, which at least k scores exceed, for scores that equal
    it. With twice as many groups fewer scores are left.
    """
    group, n_groups = _groups(len(scores), 2 * k)
    if n_groups >= k:  # numpy takes half the time of torch
        maxima = np.maximum.reduce(scores[: n_groups * group].reshape(group, n_groups))
    elif len(scores) >= k:
        maxima = scores.copy()
    else:
        return -np.inf
    maxima.partition(len(maxima) - k)
    return maxima[len(maxima) - k]


def _products(items, query):
    """Return the dot products (n_items,) of item vectors with one query, float32.

    For vectors outside the cache, BLAS takes two thirds of the time that a product for
    each row takes, or one and a half times as long: it depends on the processor and on
    the width. So both are measured once.
    """
    if items.nbytes <= CACHED_BYTES:
        return items @ query
    if torch.get_num_threads() >= MANY_THREADS:
        return torch.mv(torch.from_numpy(items), torch.from_numpy(query)).numpy()
    width = items.shape[1]
    if width not in _FASTER_BY_ROWS:
        blas, rows = (_seconds(way, items, query) for way in (np.matmul, _by_rows))
        _FASTER_BY_ROWS[width] = rows < MAX_SHARE_BY_ROWS * blas
    return _by_rows(items, query) if _FASTER_BY_ROWS[width] else items @ query


def _by_rows(items, query):
    """Return the products (n_items,) of each row with the query."""
    if hasattr(np, "vecdot"):  # numpy 2
        return np.vecdot(items, query)
    return np.einsum("nd,d->n", items, query)


def _seconds(way, items, query):
    """Return the CPU time of a product, the shortest of three."""
    times = []
    for _ in range(3):
        start = time.thread_time()
        way(items, query)
        times.append(time.thread_time() - start)
    return min(times)


def _best_of_block(queries, items, k, excluded):
    """Return the k best items of a block by rounded products, ``_BestSoFar``.

    ``excluded``: CSR (b, n_items) or None.
    """
    n_queries, n_items = len(queries), len(items)
    queries, table = torch.from_numpy(queries), torch.from_numpy(items)
    hidden = None if excluded is None else _by_column(excluded)
    step = max(MIN_TILE_ITEMS, TILE_SIZE // n_queries, GROUP * k)
    buffer = torch.empty(n_queries * min(step, n_items), dtype=torch.float32)
    best, next_merge = _BestSoFar(n_queries, k), 0
    for start in range(0, n_items, step):
        stop = min(start + step, n_items)
        scores = buffer[: n_queries * (stop - start)].view(n_queries, -1)
        torch.mm(queries, table[start:stop].T, out=scores)
        if hidden is not None:
            _hide(scores.numpy(), hidden, start, stop)
        best.add(scores, start)
        # The bound rises fast in the first tiles and slowly after them.
        if stop >= next_merge or stop == n_items:
            best.merge()
            next_merge = 2 * stop
    return best


def _by_column(matrix):
    """Return rows and columns of the entries of a CSR matrix, by ascending column."""
    matrix = matrix.tocsc()
    return matrix.indices, np.repeat(np.arange(matrix.shape[1]), np.diff(matrix.indptr))


def _hide(scores, excluded, start, stop):
    """Set the excluded entries of a tile of items to -inf."""
    rows, columns = excluded
    low, high = np.searchsorted(columns, [start, stop])
    scores[rows[low:high], columns[low:high] - start] = -np.inf


# torch.topk of each tile would be simpler. It takes 2 to 3 times as long (100,000 items
# and more, k = 10 and 100, one thread); benchmarks/bench_neighbors.py compares both.
class _BestSoFar:
    """The k best items of each of b queries in the tiles searched so far.

    ``indices`` (b, k) are -1, and ``scores`` (b, k) -inf, where there are fewer.
    """

    def __init__(self, n_queries, k):
        self.scores = np.full((n_queries, k), -np.inf, dtype=np.float32)
        self.indices = np.full((n_queries, k), -1)
        self.bound = None
        self.pending = []

    def add(self, scores, start):
        """Remember the scores above the bound of a tile (b, c) that begins at start."""
        if self.bound is None:
            self.bound = _lower_bound(scores.numpy(), self.scores.shape[1])
        places = np.flatnonzero(scores.numpy() > self.bound)
        rows, columns = np.divmod(places, scores.shape[1])
        self.pending.append((rows, scores.numpy().ravel()[places], columns + start))

    def merge(self):
        """Keep the k best of the pending items and those kept before."""
        rows, scores, indices = map(np.concatenate, zip(*self.pending, strict=True))
        self.pending = []
        scores, indices = _as_table(rows, scores, indices, len(self.scores))
        scores = np.concatenate([self.scores, scores], axis=1)
        indices = np.concatenate([self.indices, indices], axis=1)
        k = self.scores.shape[1]
        best = np.argpartition(scores, -k, axis=1)[:, -k:]
        self.scores = np.take_along_axis(scores, best, 1)
        self.indices = np.take_along_axis(indices, best, 1)
        self.bound = self.scores.min(1, keepdims=True)


def _as_table(rows, scores, indices, n_rows):
    """Return scores and indices (n_entries,) as two padded arrays (n_rows, longest)."""
    order = np.argsort(rows, kind="stable")
    rows = rows[order]
    counts = np.bincount(rows, minlength=n_rows)
    places = np.arange(len(rows)) - (np.cumsum(counts) - counts)[rows]
    score_table = np.full((n_rows, counts.max()), -np.inf, dtype=scores.dtype)
    index_table = np.full(score_table.shape, -1)
    score_table[rows, places] = scores[order]
    index_table[rows, places] = indices[order]
    return score_table, index_table


def _lower_bound(scores, k):
    """Return a bound (b, 1) that at least k scores of each row (b, c) exceed.

    It is the k-th largest maximum of groups of scores, as each such group holds a score
    that large. With fewer than k groups it is the k-th largest score, or -inf.
    """
    group, n_groups = _groups(scores.shape[1], k)
    if n_groups >= k:
        groups = torch.from_numpy(scores[:, : n_groups * group])
        scores = groups.unflatten(1, (group, n_groups)).amax(1).numpy()
    if scores.shape[1] < k:
        return np.full((len(scores), 1), -np.inf, dtype=np.float32)
    kth = np.partition(scores, -k, axis=1)[:, -k, None]
    return np.nextafter(kth, np.float32(-np.inf))


def _groups(n_scores, k):
    """Return the size and the number of the groups of scores that give a bound."""
    group = max(GROUP, n_scores // (GROUPS_PER_NEIGHBOR * k))
    return group, n_scores // group
