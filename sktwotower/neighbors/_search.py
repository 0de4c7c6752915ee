"""Search with filters, on any neighbor index, for many queries or for one.

Input: query vectors (n, d), an index, excluded and allowed items, what is added.
Output: scores and positions of the best items, both (n, min(k, n_items)).
"""

import math

import numpy as np

from sktwotower.runtime._one_query import (
    MAX_GATHERED_SHARE,
    Added,
    among,
    best_of_one,
    ranked,
    rescore,
)

from ._catalog_index import ExactNeighbors, check_width
from ._top_k import added_of, by_score, columns_of, empty_lists, rank_listed, top_k

# Entries of gathered vectors held at once.
BLOCK_SIZE = 1 << 23
# If a smaller share of the items is allowed, exact search among them is cheaper.
MIN_ALLOWED_SHARE = 1 / 4
# Request at most this many extra neighbors from an index without filtering.
MAX_EXTRA = 512
# At first, request at most this many extra ones for hidden items: each costs time.
FEW_HIDDEN = 64
# Exact search among so many items takes as long as one more neighbor from a graph.
ITEMS_PER_NEIGHBOR = 200
# For many queries, exact search among so many items takes as long as one added value.
ITEMS_PER_ADDED = 16


def retrieve(index, queries, items, k, excluded=None, allowed=None, added=None):
    """Return the k best allowed items of each query, from any neighbor index.

    From an index that is not exact, more items are requested, and the results are
    scored again exactly. If a list is too short, more items are requested for its
    query, and in the end the query is searched exactly.

    The index knows products only. As no number that is added to them is negative, each
    of the k best items is one of the k best by product, or something is added for it.
    So all items for which something is added are scored, too.

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
    added : array or CSR matrix of shape (n, n_items), default=None
        Numbers to add to the products, as in `top_k`. With an array, search is exact.

    Returns
    -------
    scores, indices : arrays of shape (n, min(k, n_items))
        As in `top_k`.
    """
    k = min(k, len(items))
    if allowed is not None and not isinstance(allowed, np.ndarray):
        return rank_listed(queries, items, k, allowed, excluded, added)
    check_width(index, items)
    if len(queries) == 1:
        hidden = columns_of(excluded, 0)
        row_added = added_of(added, 0)
        scores, indices = nearest_to_one(
            index, queries[0], items, k, hidden, allowed, added=row_added
        )
        return scores[None], indices[None]
    is_exact = isinstance(index, ExactNeighbors) or _few(allowed, items)
    if isinstance(added, np.ndarray):
        is_exact = True
    elif added is not None:
        is_exact |= added.nnz * ITEMS_PER_ADDED > len(queries) * len(items)
    if is_exact or len(queries) == 0:
        return top_k(queries, items, k, excluded, allowed, added)
    return _search_many(index, queries, items, k, excluded, allowed, added=added)


def _few(allowed, items):
    """Return whether exact search among the allowed items is cheaper than an index."""
    return allowed is not None and len(allowed) < MIN_ALLOWED_SHARE * len(items)


def _search_many(index, queries, items, k, excluded, allowed, added):
    """Return scores and positions (n, k) from an index without filtering.

    More than k neighbors are requested, as many more as filters may remove, but few for
    hidden items: most of these are far away. Queries of about the same number are
    searched together: with one for all, each query would cost as much as the widest.
    The few lists that are too short are searched one by one. Those of queries to whose
    products something is added are searched by product, and then ranked again.
    """
    n_allowed = len(items)
    if allowed is not None:
        n_allowed = len(allowed)
    hidden = [columns_of(excluded, row) for row in range(len(queries))]
    n_hidden = np.minimum([len(positions) for positions in hidden], FEW_HIDDEN)
    widths = np.ceil((k + n_hidden) * len(items) / n_allowed).astype(np.int64)
    widths = np.minimum(widths, len(items))
    if widths.max() > k + MAX_EXTRA:
        return top_k(queries, items, k, excluded, allowed, added)

    # queries of about the same number are searched together
    scores, indices = empty_lists(len(queries), k)
    classes = np.ceil(np.log2(widths))
    for width_class in np.unique(classes):
        rows_of_class = np.flatnonzero(classes == width_class)
        width = int(widths[rows_of_class].max())
        step = max(1, BLOCK_SIZE // (width * items.shape[1]))
        for start in range(0, len(rows_of_class), step):
            rows = rows_of_class[start : start + step]
            block = queries[rows]
            neighbors = index.kneighbors(
                block, n_neighbors=width, return_distance=False
            )
            candidates = _usable(neighbors, rows, len(items), excluded, allowed)
            candidate_scores = rescore(block, items, np.maximum(candidates, 0))
            candidate_scores = np.where(candidates < 0, -np.inf, candidate_scores)
            candidate_scores, candidates = by_score(candidate_scores, candidates)
            n_kept = min(k, candidates.shape[1])
            scores[rows, :n_kept] = candidate_scores[:, :n_kept]
            indices[rows, :n_kept] = candidates[:, :n_kept]

    # lists that are too short are searched one by one
    is_short = indices[:, -1] < 0
    for row in np.flatnonzero(is_short):
        row_added = added_of(added, row)
        scores[row], indices[row] = nearest_to_one(
            index, queries[row], items, k, hidden[row], allowed, added=row_added
        )
    if added is None:
        return scores, indices

    # those of queries to whose products something is added are ranked again
    items = np.asarray(items)  # a memmap is slower
    for row in np.flatnonzero(~is_short & (np.diff(added.indptr) > 0)):
        row_added = added_of(added, row)
        by_product = np.sort(indices[row])
        candidates = _with_added(by_product, row_added, hidden[row], allowed)
        scores[row], indices[row] = best_of_one(
            queries[row], items, k, allowed=candidates.positions, added=candidates
        )
    return scores, indices


def _with_added(candidates, added, hidden, allowed):
    """Return positions (m,), ascending, together with those of ``Added``, as such.

    To the others, 0 is added. ``hidden`` ones, and those that are not ``allowed``,
    remain left out.
    """
    positions = added.positions
    is_kept = np.ones(len(positions), dtype=bool)
    if len(hidden):
        is_added = among(hidden, positions)
        is_kept[positions.searchsorted(hidden[is_added])] = False
    if allowed is not None:
        is_kept &= among(positions, allowed)
    added = added.only(is_kept)
    others = candidates[~among(candidates, added.positions)]
    places = added.positions.searchsorted(others)
    values = np.insert(added.values, places, 0.0)
    return Added(np.insert(added.positions, places, others), values)


def _usable(neighbors, rows, n_items, excluded, allowed):
    """Return positions (m, w), with -1 for padding, repeated and filtered ones.

    ``rows``: those (m,) of the queries in ``excluded``.
    """
    neighbors = np.sort(np.asarray(neighbors, dtype=np.int64), axis=1)
    is_repeated = neighbors[:, 1:] == neighbors[:, :-1]
    neighbors[:, 1:][is_repeated] = -1
    # Some indexes pad short lists with -1, others with n_items.
    neighbors[neighbors >= n_items] = -1
    items = np.maximum(neighbors, 0).ravel()
    is_filtered = np.zeros(len(items), dtype=bool)
    if allowed is not None:
        is_filtered |= ~among(items, allowed)
    if excluded is not None:
        entries = excluded[np.repeat(rows, neighbors.shape[1]), items]
        is_filtered |= np.asarray(entries).ravel() != 0
    return np.where(is_filtered.reshape(neighbors.shape), -1, neighbors)


def nearest_to_one(index, query, items, k, hidden, allowed=None, added=None):
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
    added : Added, default=None
        Numbers to add to the products with some of the items. None: nothing.

    Returns
    -------
    scores : float64 array of shape (min(k, n_items),)
        Descending; -inf where there are fewer items.
    indices : int64 array of shape (min(k, n_items),)
        Positions in ``items``; -1 where there are fewer items.
    """
    check_width(index, items)
    items = np.asarray(items)  # a memmap is slower
    k = min(k, len(items))
    candidates = None
    is_exact = isinstance(index, ExactNeighbors) or _few(allowed, items)
    if added is not None:  # then to gather vectors takes as long
        is_exact |= len(added.positions) > MAX_GATHERED_SHARE * len(items)
    if not is_exact:
        candidates = _from_index(index, query, len(items), k, hidden, allowed)
    if candidates is None:
        best_scores, best = best_of_one(query, items, k, hidden, allowed, added)
    elif added is not None:
        candidates = _with_added(candidates, added, hidden, allowed)
        best_scores, best = best_of_one(
            query, items, k, allowed=candidates.positions, added=candidates
        )
    else:
        best_scores, best = ranked(query, items, candidates, k)
    if len(best) == k:
        return best_scores, best
    scores = np.full(k, -np.inf)
    indices = np.full(k, -1, dtype=np.int64)
    scores[: len(best)] = best_scores
    indices[: len(best)] = best
    return scores, indices


def _from_index(index, query, n_items, k, hidden, allowed):
    """Return positions (m,), ascending, from the index; None if too few can be used.

    It is asked for more, up to three times, if the list is too short and exact search
    takes longer, which also finds what is far away, behind all that is hidden.
    """
    hidden = np.sort(hidden)
    n_hidden = len(hidden)
    share = 1.0
    n_left = n_items - n_hidden
    if allowed is not None:
        share = len(allowed) / n_items
        n_left = len(allowed) - int(among(hidden, allowed).sum())
    few = k + min(n_hidden, FEW_HIDDEN)
    enough = k + n_hidden
    widths = {
        min(math.ceil(width / share), n_items) for width in (few, enough, 4 * enough)
    }
    for attempt, width in enumerate(sorted(widths)):
        exact_is_cheaper = attempt > 0 and width * ITEMS_PER_NEIGHBOR > n_items
        if exact_is_cheaper or width > k + MAX_EXTRA:
            return None
        items = index.kneighbors(query[None], n_neighbors=width, return_distance=False)
        items = np.unique(np.asarray(items, dtype=np.int64))
        # Some indexes pad short lists with -1, others with n_items.
        items = items[(items >= 0) & (items < n_items)]
        items = items[~among(items, hidden)]
        if allowed is not None:
            items = items[among(items, allowed)]
        if len(items) >= min(k, n_left):
            return items
    return None
