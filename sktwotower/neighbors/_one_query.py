"""Search for the items nearest to one query, without matrices of one row.

Input: a query vector (d,), item vectors (n_items, d) and positions to leave out (m,).
Output: scores and positions of the best items, both (min(k, n_items),).
"""

import numpy as np

from ._indexes import ExactNeighbors, check_width
from ._top_k import best_of_one, ranked

__all__ = ["nearest_to_one"]

# Request at most this many extra neighbors from an index without filtering.
MAX_EXTRA = 512


def nearest_to_one(index, query, items, k, hidden):
    """Return the k best items of one query, from any neighbor index.

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
    if not isinstance(index, ExactNeighbors):
        found = _from_index(index, query, len(items), k, hidden)
    if found is None:
        exact, best = best_of_one(query, items, k, hidden)
    else:
        exact, best = ranked(query, items, found, k)
    if len(best) == k:
        return exact, best
    scores, indices = np.full(k, -np.inf), np.full(k, -1, dtype=np.int64)
    scores[: len(best)], indices[: len(best)] = exact, best
    return scores, indices


def _from_index(index, query, n_items, k, hidden):
    """Return positions (m,), ascending, from the index; None if too few can be used.

    First as many more neighbors are requested as may be hidden, then four times as
    many.
    """
    n_left = min(k, n_items - len(hidden))
    for factor in (1, 4):
        width = min(factor * (k + len(hidden)), n_items)
        if width > k + MAX_EXTRA:
            return None
        found = index.kneighbors(query[None], n_neighbors=width, return_distance=False)
        found = np.unique(np.asarray(found, dtype=np.int64))
        # Some indexes pad short lists with -1, others with n_items.
        found = found[(found >= 0) & (found < n_items)]
        found = found[~np.isin(found, hidden)]
        if len(found) >= n_left:
            return found
    return None
