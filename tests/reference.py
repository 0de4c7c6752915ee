"""What the fast code must agree with, written as plainly as can be."""

import numpy as np


def brute_force(queries, items, k, excluded=None, allowed=None):
    """Sort everything; ties by position; pad."""
    scores = np.full((len(queries), k), -np.inf)
    indices = np.full((len(queries), k), -1)
    for row, query in enumerate(queries.astype(np.float64)):
        left = set(range(len(items)) if allowed is None else allowed.tolist())
        if excluded is not None:
            left -= set(excluded[row].indices.tolist())
        ranked = sorted((-float(query @ items[i]), i) for i in left)[:k]
        for place, (negative, item) in enumerate(ranked):
            scores[row, place], indices[row, place] = -negative, item
    return scores, indices
