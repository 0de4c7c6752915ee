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
        hidden = np.ones(scores.shape, dtype=bool)
        if sparse.issparse(allowed):
            hidden[allowed.nonzero()] = False
        else:
            hidden[:, allowed] = False
        scores[hidden] = -np.inf


def best_of(scores, k):
    """Return the k largest scores of each row (n, n_items) and their positions (n, k).

    The first of equal scores are kept; ``argpartition`` would take any of them.
    """
    kth = np.partition(scores, -k, axis=1)[:, -k, None]
    is_best = scores > kth
    is_equal = scores == kth
    n_missing = k - is_best.sum(axis=1, keepdims=True)
    n_equal_so_far = is_equal.cumsum(axis=1, dtype=np.int32)
    is_best |= is_equal & (n_equal_so_far <= n_missing)
    _, positions = is_best.nonzero()
    positions = positions.reshape(len(scores), k)
    best = np.take_along_axis(scores, positions, 1)
    order = np.argsort(-best, axis=1, kind="stable")
    best = np.take_along_axis(best, order, 1)
    return best, np.take_along_axis(positions, order, 1)
