"""Exact search: the items whose vectors have the largest dot product with a query.

Input: query vectors (n, d) and item vectors (n_items, d); what is added to products.
Output: scores and positions of the k best items, both (n, min(k, n_items)).
"""

import numpy as np
import torch

from sktwotower._tables._sparse import rows_of, slices
from sktwotower.runtime._one_query import (
    UNIT,
    Added,
    best_of_one,
    bound_of,
    longest,
    looked_up,
    rescore,
)

# Scores held at once: 8 MiB of float32.
TILE_SIZE = 1 << 21
# Queries searched together, and the smallest number of items in a tile.
QUERY_BLOCK = 256
MIN_TILE_ITEMS = 8192
# The bound of the first tile comes from maxima of groups of at least GROUP items. There
# are at most GROUPS_PER_NEIGHBOR groups for each of the k places.
GROUP = 32
GROUPS_PER_NEIGHBOR = 64


def top_k(queries, items, k, excluded=None, allowed=None, added=None):
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
    added : array or CSR matrix of shape (n, n_items), default=None
        Numbers to add to the products, none of them negative. Columns of a row of a
        matrix are distinct and may come in any order. None: nothing.

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
    the maxima of groups of items. A single query goes its own way, `best_of_one`.

    These products are rounded, each way in its own manner. So all items are looked at
    again whose score may be as good as the last one, which are rarely more than k.
    """
    n = len(queries)
    scores, indices = empty_lists(n, min(k, len(items)))
    if n == 1:
        hidden = columns_of(excluded, 0)
        row_added = added_of(added, 0)
        best_scores, best = best_of_one(
            queries[0], items, k, hidden, allowed, row_added
        )
        scores[0, : len(best)] = best_scores
        indices[0, : len(best)] = best
        return scores, indices
    if allowed is not None:
        if excluded is not None:
            excluded = excluded[:, allowed].tocsr()
        if added is not None:
            added = added[:, allowed]
            if not isinstance(added, np.ndarray):
                added = added.tocsr()
        items = items[allowed]
    k = min(k, len(items))
    if n == 0 or k == 0:
        return scores, indices
    items = np.ascontiguousarray(items)
    width = k + 2 + k // 16  # a few are as good
    for block in slices(n, QUERY_BLOCK):
        hidden = rows_of(excluded, block)
        block_added = None
        if isinstance(added, np.ndarray):
            block_added = _DenseAdded(added[block])
        elif added is not None:
            block_added = _SparseAdded(rows_of(added, block))
        vectors = np.ascontiguousarray(queries[block])
        rounded = _best_of_block(
            vectors, items, min(width, len(items)), hidden, block_added
        )
        best_scores, best = _exact_of_block(
            rounded, vectors, items, k, hidden, block_added
        )
        if allowed is not None:
            best = np.where(best < 0, -1, allowed[best])
        scores[block, :k] = best_scores
        indices[block, :k] = best
    return scores, indices


def _exact_of_block(rounded, queries, items, k, excluded, added):
    """Return exact scores and positions (b, k) of the best items of a block.

    ``rounded``: those by rounded scores, k or more. ``excluded``: CSR (b, n_items) or
    None. ``added``: ``_SparseAdded``, ``_DenseAdded`` or None.
    """
    candidates = rounded.indices
    scores = rescore(queries, items, np.maximum(candidates, 0))
    if added is not None:
        scores += added.at(candidates)
    scores[candidates < 0] = -np.inf
    scores, indices = by_score(scores, candidates)
    scores = scores[:, :k]
    indices = indices[:, :k]

    # how much float32 may change the products with these items
    if added is None:
        lengths = _lengths(items[indices[:, -1]])
    else:
        lengths = longest(items, indices.ravel())
    rounding = (queries.shape[1] + 2) * UNIT * _lengths(queries) * lengths

    # A query is searched again if an item that was left out may be as good as the last.
    # A sum in float32 is rounded as this bound is: what is no less, remains so.
    low = (scores[:, -1] - rounding).astype(np.float32)
    worst = rounded.scores.min(axis=1)  # what is left out has no higher score
    may_lack = (worst >= low) & (worst > -np.inf)
    may_lack &= candidates.shape[1] < len(items)
    for row in np.flatnonzero(may_lack):
        hidden = columns_of(excluded, row)
        row_added = None
        if added is not None:
            row_added = added_of(added.numbers, row)
        scores[row], indices[row] = best_of_one(
            queries[row], items, k, hidden, added=row_added
        )
    return scores, indices


def rank_listed(queries, items, k, listed, excluded=None, added=None):
    """Return the k best items of each query among its own list.

    ``listed`` and ``excluded``: CSR matrices (n, n_items), nonzero where an item is
    listed, or excluded. The other parameters and the results are as in `top_k`.
    """
    scores, indices = empty_lists(len(queries), min(k, len(items)))
    for row, query in enumerate(queries):
        hidden = columns_of(excluded, row)
        allowed = np.sort(columns_of(listed, row))
        row_added = added_of(added, row)
        best_scores, best = best_of_one(query, items, k, hidden, allowed, row_added)
        scores[row, : len(best)] = best_scores
        indices[row, : len(best)] = best
    return scores, indices


def columns_of(matrix, row):
    """Return the columns (m,) of the entries of a row of a CSR matrix, or of None."""
    if matrix is None:
        return ()
    return matrix.indices[matrix.indptr[row] : matrix.indptr[row + 1]]


def added_of(numbers, row):
    """Return the numbers of a row as `Added`; None without any.

    ``numbers``: as ``added`` in `top_k`.
    """
    if isinstance(numbers, np.ndarray):
        columns = np.flatnonzero(numbers[row])
        if len(columns) == 0:
            return None
        return Added(columns, numbers[row, columns].astype(np.float64))
    columns = columns_of(numbers, row)
    if len(columns) == 0:
        return None
    start, stop = numbers.indptr[row : row + 2]
    values = numbers.data[start:stop]
    order = columns.argsort(kind="stable")  # which is fast where they are in order
    return Added(columns[order], values[order].astype(np.float64))


def _lengths(vectors):
    """Return the lengths (n,) of vectors (n, d), float64."""
    vectors = vectors.astype(np.float64)
    return np.sqrt(np.einsum("nd,nd->n", vectors, vectors))


def by_score(scores, indices):
    """Sort both (n, k) by descending score; ties by position."""
    order = np.lexsort((indices, -scores), axis=1)
    return np.take_along_axis(scores, order, 1), np.take_along_axis(indices, order, 1)


def empty_lists(n, width):
    """Return scores and indices (n, width) of queries for which nothing is found."""
    scores = np.full((n, width), -np.inf)
    indices = np.full((n, width), -1, dtype=np.int64)
    return scores, indices


def _best_of_block(queries, items, k, excluded, added):
    """Return the k best items of a block by rounded scores, ``_BestSoFar``.

    ``excluded``: CSR (b, n_items) or None. ``added``: ``_SparseAdded``,
    ``_DenseAdded`` or None.
    """
    n_queries = len(queries)
    n_items = len(items)
    queries = torch.from_numpy(queries)
    table = torch.from_numpy(items)
    hidden = None
    if excluded is not None:
        hidden = excluded.tocsc().tocoo()
    step = max(MIN_TILE_ITEMS, TILE_SIZE // n_queries, GROUP * k)
    if added is not None:
        added.begin(step)
    buffer = torch.empty(n_queries * min(step, n_items), dtype=torch.float32)
    best = _BestSoFar(n_queries, k)
    next_merge = 0
    for start in range(0, n_items, step):
        stop = min(start + step, n_items)
        scores = buffer[: n_queries * (stop - start)].view(n_queries, -1)
        torch.mm(queries, table[start:stop].T, out=scores)
        if added is not None:
            added.add_to(scores.numpy(), start, stop)
        if hidden is not None:
            # the entries are in the order of their columns
            part = slice(*np.searchsorted(hidden.col, [start, stop]))
            rows = hidden.row[part]
            columns = hidden.col[part] - start
            scores.numpy()[rows, columns] = -np.inf
        best.add(scores, start)
        # The bound rises fast in the first tiles and slowly after them.
        if stop >= next_merge or stop == n_items:
            best.merge()
            next_merge = 2 * stop
    return best


class _DenseAdded:
    """What is added to the products of b queries with most items.

    ``numbers``: array (b, n_items), as ``added`` in `top_k`.
    """

    def __init__(self, numbers):
        self.numbers = numbers

    def begin(self, width):
        """Prepare for tiles of ``width`` items."""

    def add_to(self, scores, start, stop):
        """Add to the scores (b, stop - start) of a tile of items, in place."""
        scores += self.numbers[:, start:stop]

    def at(self, indices):
        """Return what is added for items at positions (b, m), float64 (b, m)."""
        values = np.take_along_axis(self.numbers, np.maximum(indices, 0), axis=1)
        return np.where(indices < 0, 0.0, values.astype(np.float64))


class _SparseAdded:
    """What is added to the products of b queries with a few items.

    ``numbers``: CSR (b, n_items), as ``added`` in `top_k`.
    """

    def __init__(self, numbers):
        if not numbers.has_sorted_indices:
            numbers = numbers.sorted_indices()
        self.numbers = numbers
        self.rows = np.repeat(np.arange(numbers.shape[0]), np.diff(numbers.indptr))
        self.places = self._places(self.rows, numbers.indices)  # ascending

    def _places(self, rows, columns):
        """Return the places of pairs (...,) when all are counted row by row."""
        return rows * self.numbers.shape[1] + columns

    def begin(self, width):
        """Sort the numbers into tiles of ``width`` items."""
        tiles = self.numbers.indices // width
        n_tiles = -(-self.numbers.shape[1] // width)
        # small integers are sorted in linear time; in a tile rows stay together
        order = tiles.astype(np.min_scalar_type(n_tiles)).argsort(kind="stable")
        ends = np.bincount(tiles, minlength=n_tiles).cumsum()
        self.width = width
        self.of_tiles = np.split(order, ends[:-1])

    def add_to(self, scores, start, stop):
        """Add to the scores (b, stop - start) of a tile of items, in place."""
        entries = self.of_tiles[start // self.width]
        columns = self.numbers.indices[entries] - start
        scores[self.rows[entries], columns] += self.numbers.data[entries]

    def at(self, indices):
        """Return what is added for items at positions (b, m), float64 (b, m)."""
        rows = np.arange(len(indices))[:, None]
        places = self._places(rows, indices).ravel()
        values = looked_up(places, self.places, self.numbers.data)
        return values.reshape(indices.shape)


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
            k = self.scores.shape[1]
            n_columns = scores.shape[1]
            n_groups = min(n_columns // GROUP, GROUPS_PER_NEIGHBOR * k)
            if n_groups < k:
                n_groups = n_columns
            bound = bound_of(scores.numpy(), k, n_groups)
            self.bound = np.nextafter(bound, np.float32(-np.inf))[:, None]
        scores = scores.numpy()
        entries = np.flatnonzero(scores > self.bound)
        rows, columns = np.divmod(entries, scores.shape[1])
        self.pending.append((rows, scores.ravel()[entries], columns + start))

    def merge(self):
        """Keep the k best of the pending items and those kept before."""
        rows, scores, indices = zip(*self.pending, strict=True)
        rows = np.concatenate(rows)
        scores = np.concatenate(scores)
        indices = np.concatenate(indices)
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
    starts = np.cumsum(counts) - counts
    places = np.arange(len(rows)) - starts[rows]
    score_table = np.full((n_rows, counts.max()), -np.inf, dtype=scores.dtype)
    index_table = np.full(score_table.shape, -1)
    score_table[rows, places] = scores[order]
    index_table[rows, places] = indices[order]
    return score_table, index_table
