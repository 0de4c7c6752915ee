"""The best items by scores of the whole catalog.

Input: scores (n, n_items).
Output: the k largest scores of each row, and their positions, (n, k) each.
"""

import numpy as np
from scipy import sparse

# Scores held at once: 16 MiB of float32.
BLOCK_SIZE = 1 << 22


def hide(scores, excluded, allowed=None):
    """Set the scores (n, n_items) of items that must not be returned to -inf.

    ``excluded``: CSR (n, n_items), nonzero at these items, or None. ``allowed``: the
    positions (m,) of all others, or CSR (n, n_items), or None.
    """
    if excluded is not None:
        scores[excluded.nonzero()] = -np.inf
    if allowed is not None:
        hidden, of_each = np.ones(scores.shape, dtype=bool), sparse.issparse(allowed)
        hidden[allowed.nonzero() if of_each else np.s_[:, allowed]] = False
        scores[hidden] = -np.inf


def best_of(scores, k):
    """Return the k largest scores of each row (n, n_items) and their positions (n, k).

    The first of equal scores are kept; ``argpartition`` would take any of them.
    """
    kth = np.partition(scores, -k, axis=1)[:, -k, None]
    above, equal = scores > kth, scores == kth
    room = k - above.sum(axis=1, keepdims=True)
    above |= equal & (equal.cumsum(axis=1, dtype=np.int32) <= room)
    places = above.nonzero()[1].reshape(len(scores), k)
    best = np.take_along_axis(scores, places, 1)
    order = np.argsort(-best, axis=1, kind="stable")
    return np.take_along_axis(best, order, 1), np.take_along_axis(places, order, 1)
