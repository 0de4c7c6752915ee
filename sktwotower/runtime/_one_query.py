"""Exact search for one query, with numpy only, and exact scores.

Input: a query (d,) and item vectors (n_items, d), float32; what is added to products.
Output: scores and positions of the k best items, (min(k, n_items),) or fewer.
"""

import math
import time
from typing import NamedTuple

import numpy as np

# Entries of vectors gathered at once in `rescore`: 32 MiB of float64.
MAX_GATHERED = 1 << 22
# If a larger share of the items is allowed, products with all are cheaper.
MAX_GATHERED_SHARE = 1 / 8
# Groups of scores whose maxima give a bound of the k best, and such groups for each k.
MIN_GROUPS, GROUPS_PER_PLACE = 512, 8
# BLAS is fastest where vectors of fewer bytes stay in the cache. A product is measured
# with vectors of at most so many bytes.
CACHED_BYTES, MEASURED_BYTES = 1 << 22, 1 << 26
# Whether a product for each row is faster than BLAS, by width and size of the vectors.
_FASTER_BY_ROWS = {}
# The largest relative error of one operation in float32, and its lowest number.
UNIT = 2.0**-24
LOWEST = np.finfo(np.float32).min
# Vectors from all over the catalog of which the longest one is taken.
MAX_MEASURED = 16


class Added(NamedTuple):
    """Numbers that are added to the products of one query with some of the items.

    ``positions``: those (m,) of the items, distinct and ascending. ``values``: float64
    (m,), none of them negative. For all other items it is 0.
    """

    positions: np.ndarray
    values: np.ndarray

    def as_array(self):
        """Return both as one array (2, m), to be kept from one request to the next."""
        return np.stack([self.positions.astype(np.float64), self.values])

    @classmethod
    def of_array(cls, array):
        """Return what an array of `as_array` holds."""
        return cls(array[0].astype(np.int64), array[1])

    def at(self, indices):
        """Return what is added for items at positions (n,), float64 (n,)."""
        return looked_up(indices, self.positions, self.values)

    def only(self, is_left):
        """Return the numbers for items where a mask (m,) is true."""
        return Added(self.positions[is_left], self.values[is_left])


def best_of_one(query, items, k, hidden=(), allowed=None, added=None):
    """Return the k best items of one query by exact search.

    Parameters
    ----------
    query : float32 array of shape (d,)
    items : float32 array of shape (n_items, d)
    k : int
        Number of items, >= 1.
    hidden : int array of shape (n_hidden,), default=()
        Positions of items that must not be returned.
    allowed : int array of shape (n_allowed,), default=None
        Positions of the items to choose from, distinct and ascending. None: all.
    added : Added, default=None
        Numbers to add to the products with some of the items. None: nothing.

    Returns
    -------
    scores : float64 array of shape (m,)
        Descending. m is less than k only if fewer items are left.
    indices : int64 array of shape (m,)
        Positions in ``items``, ascending where scores are equal.

    Notes
    -----
    Products and sums in float32 are rounded. So all items are scored again whose score
    may belong to one of the k best ones, which are rarely more than k.
    """
    # scores of all items, or of those that are allowed
    if allowed is None:
        scores = _products(items, query)
    elif len(allowed) > MAX_GATHERED_SHARE * len(items):
        scores = _products(items, query).take(allowed)
    else:
        scores = _products(items.take(allowed, axis=0), query)
    if added is not None:
        if allowed is None:
            scores[added.positions] += added.values
        elif allowed is added.positions:
            scores += added.values
        else:
            added_allowed = added.only(among(added.positions, allowed))
            places = allowed.searchsorted(added_allowed.positions)
            scores[places] += added_allowed.values
    if len(hidden) and allowed is not None:
        hidden = allowed.searchsorted(hidden[among(hidden, allowed)])
    if len(hidden):
        scores[hidden] = -np.inf
    k = min(k, len(scores))
    if k == 0:
        return np.empty(0), np.empty(0, dtype=np.int64)

    # a bound that the k best items reach, even if products are rounded:
    # by how much one with a vector of length one, and the bound, may be wrong
    rounding = (len(query) + 3) * UNIT * _length(query)
    n_groups = min(len(scores), max(MIN_GROUPS, GROUPS_PER_PLACE * k))
    bound = float(bound_of(scores, k, n_groups))
    low = bound - 2 * rounding * _length(items[0])
    low = max(np.float32(low), LOWEST)  # which no item that is hidden reaches

    # items above the bound are scored exactly, again with a lower one if that is needed
    while True:
        candidates = (scores >= low).nonzero()[0]
        if allowed is not None:
            candidates = allowed[candidates]
        exact, best = ranked(query, items, candidates, k, added)
        if len(best) < k:
            return exact, best
        if added is None:
            length = _length(items[best[-1]])
        else:
            length = longest(items, best)
        needed = exact[-1] - rounding * length
        # a sum in float32 is rounded as this bound is: what is no less, remains so
        needed = max(np.float32(needed), LOWEST)
        if needed >= low:
            return exact, best
        low = needed


def longest(items, positions):
    """Return the length of the longest of some vectors, at positions (m,).

    What is added may bring short vectors to the top. So a few from all over the catalog
    are measured as well: the product with a longer one may be rounded by more.
    """
    step = -(-len(items) // MAX_MEASURED)
    squares = []
    for vectors in (items.take(positions, axis=0), items[::step]):
        squares.append(np.einsum("nd,nd->n", vectors, vectors).max())
    return math.sqrt(max(squares))


def among(values, positions):
    """Return whether each value (n,) is one of the positions (m,), ascending."""
    if len(positions) == 0:
        return np.zeros(len(values), dtype=bool)
    return positions.take(positions.searchsorted(values), mode="clip") == values


def looked_up(wanted, keys, values):
    """Return the values, float64 (n,), at keys (n,) among ascending keys (m,); or 0."""
    results = np.zeros(len(wanted))
    is_known = among(wanted, keys)
    results[is_known] = values[keys.searchsorted(wanted[is_known])]
    return results


def bound_of(scores, k, n_groups):
    """Return a bound that at least k scores of each row (..., n) reach, (...,).

    It is the k-th largest maximum of ``n_groups`` >= k groups, as each such group holds
    a score that large.
    """
    size = scores.shape[-1] // n_groups
    in_groups = scores[..., : size * n_groups]  # the few others are left out
    shape = *scores.shape[:-1], size, n_groups
    maxima = np.maximum.reduce(in_groups.reshape(shape), axis=-2)
    maxima.partition(n_groups - k, axis=-1)
    return maxima[..., n_groups - k]


def _length(vector):
    """Return the length of a vector (d,)."""
    return math.sqrt(vector.dot(vector))


def _products(items, query):
    """Return the dot products (n_items,) of item vectors with one query, float32.

    For vectors outside the cache, BLAS takes half the time that a product for each row
    takes, or twice as long: it depends on the processor, the width and the size. So
    both are measured once.
    """
    width = items.shape[1]
    n_bytes = items.nbytes
    if n_bytes <= CACHED_BYTES:
        return items @ query
    case = width, min(n_bytes, MEASURED_BYTES).bit_length()
    if case not in _FASTER_BY_ROWS:
        some = items[: MEASURED_BYTES // (4 * width)]
        of_blas = []
        of_rows = []
        for _ in range(3):
            of_blas.append(_seconds(np.matmul, some, query))
            of_rows.append(_seconds(_by_rows, some, query))
        _FASTER_BY_ROWS[case] = min(of_rows) < min(of_blas)
    if _FASTER_BY_ROWS[case]:
        return _by_rows(items, query)
    return items @ query


def _by_rows(items, query):
    """Return the products (n_items,) of each row with the query."""
    if hasattr(np, "vecdot"):  # numpy 2
        return np.vecdot(items, query)
    return np.einsum("nd,d->n", items, query)


def _seconds(way, items, query):
    """Return the CPU time of a product."""
    start = time.thread_time()
    way(items, query)
    return time.thread_time() - start


def ranked(query, items, candidates, k, added=None):
    """Return exact scores and positions of the k best candidates for a query.

    ``query``: (d,). ``candidates``: positions (m,), ascending. ``added``: as in
    `best_of_one`. The results are (min(k, m),).
    """
    if candidates.size * len(query) > MAX_GATHERED:
        (exact,) = rescore(query[None], items, candidates[None])
    else:
        vectors = items.take(candidates, axis=0).astype(np.float64)
        exact = np.einsum("kd,d->k", vectors, query.astype(np.float64))
    if added is not None:
        exact += added.at(candidates)
    best = (-exact).argsort(kind="stable")[:k]
    return exact[best], candidates[best]


def rescore(queries, items, indices):
    """Return exact float64 scores (n, k) of items (n, k) found for queries (n, d)."""
    n, k = indices.shape
    d = max(1, items.shape[1])
    queries = queries.astype(np.float64)
    scores = np.empty((n, k))
    width = max(1, min(k, MAX_GATHERED // d))
    height = max(1, MAX_GATHERED // (width * d))
    for top in range(0, n, height):
        for left in range(0, k, width):
            part = np.s_[top : top + height, left : left + width]
            vectors = items[indices[part]].astype(np.float64)
            scores[part] = np.einsum("nd,nkd->nk", queries[part[0]], vectors)
    return scores
