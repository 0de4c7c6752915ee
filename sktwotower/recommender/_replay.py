"""Old events that are learnt once more among further ones, so that they stay known.

Input: the events of a call of `partial_fit`, and those before.
Output: the positives of both, and the users of the old ones.
"""

import numpy as np
from scipy import sparse

from sktwotower._tables._sparse import pair_matrix
from sktwotower.towers._sequences import Order

__all__ = ["with_replayed"]


def with_replayed(recipe, fitted, call, random):
    """Return what to learn, with a random sample of old events.

    Of all events that are learnt, ``recipe.replay`` is the share of old ones, each with
    the mean weight of the others.

    Returns
    -------
    positives : CSR matrix of shape (n_users, n_items)
        For a pooled history, or without one.
    order : Order or None
        For a recent history.
    users : int array of shape (m,)
        Users of old events only.
    """
    positives, in_order = call.events.positives, call.events.ordered
    if recipe.history == "recent":
        order = in_order.order
        n_new = np.count_nonzero(order.weights)
        n_old = _n_replayed(recipe.replay, n_new, in_order.sequences.lags.nnz - n_new)
        if n_old:
            order = _with_old_events(in_order, n_old, random)
        has_targets = np.diff(order.offsets) > 0
        return positives, order, np.setdiff1d(np.flatnonzero(has_targets), call.order)
    n_old = _n_replayed(recipe.replay, positives.nnz, call.before.nnz)
    if not n_old:
        return positives, None, call.order[:0]
    places = random.choice(call.before.nnz, n_old, replace=False)
    users = np.searchsorted(call.before.indptr, places, side="right") - 1
    values = np.full(n_old, positives.data.mean())
    old = pair_matrix(users, call.before.indices[places], values, positives.shape)
    return (positives + old).tocsr(), None, np.setdiff1d(users, call.order)


def _n_replayed(share, n_new, n_old):
    """Return the number of old events that make up a share, at most ``n_old``."""
    return min(n_old, round(share / (1 - share) * n_new))


def _with_old_events(in_order, n_old, random):
    """Return an ``Order`` in which some old events are targets, too."""
    sequences, order = in_order
    lags = sequences.lags
    sizes = np.diff(order.offsets)
    weights = np.zeros(lags.nnz, dtype=np.float32)
    is_own = np.repeat(sizes > 0, np.diff(lags.indptr)[:-1])
    weights[is_own] = order.weights
    others = np.flatnonzero(weights == 0)
    chosen = random.choice(others, n_old, replace=False)
    weights[chosen] = weights.sum(dtype=float) / np.count_nonzero(weights)
    owners, _, _ = sequences.events()
    sizes = np.diff(lags.indptr)[:-1]
    has_targets = np.zeros(len(sizes), dtype=bool)
    has_targets[owners[weights > 0]] = True
    kept = np.repeat(has_targets, sizes)
    offsets = np.append(0, np.cumsum(np.where(has_targets, sizes, 0)))
    baskets = -lags.data[kept].astype(np.int64)
    impressions = order.impressions
    if impressions is not None:
        impressions = _at_rows(impressions, is_own[kept])
    return Order(offsets, lags.indices[kept], baskets, weights[kept], impressions)


def _at_rows(matrix, places):
    """Return a CSR matrix with the rows of another at the True ``places`` (n,)."""
    sizes = np.zeros(len(places), dtype=matrix.indptr.dtype)
    sizes[places] = np.diff(matrix.indptr)
    offsets = np.append(0, np.cumsum(sizes))
    shape = len(places), matrix.shape[1]
    return sparse.csr_matrix((matrix.data, matrix.indices, offsets), shape)
