"""What the fast code must agree with, written as plainly as can be, and its input."""

import numpy as np
from scipy import sparse


def unit_vectors(n, d=4, seed=0):
    vectors = np.random.default_rng(seed).normal(size=(n, d))
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def exclusions(n, n_items, seed=0, share=0.3):
    rng = np.random.default_rng(seed)
    return sparse.csr_matrix((rng.random((n, n_items)) < share).astype(np.float32))


def additions(n, n_items, seed=0, share=0.2, largest=1.0):
    """Numbers below ``largest`` for a share of the pairs, columns in random order."""
    rng = np.random.default_rng(seed)
    columns = [
        rng.permutation(n_items)[: rng.binomial(n_items, share)] for _ in range(n)
    ]
    offsets = np.cumsum([0, *map(len, columns)])
    values = largest * rng.random(offsets[-1])
    columns = np.concatenate([*columns, np.empty(0, int)])
    return sparse.csr_matrix((values, columns, offsets), shape=(n, n_items))


def brute_force(queries, items, k, excluded=None, allowed=None, added=None):
    """Sort everything; ties by position; pad to min(k, n_items) columns."""
    numbers = np.zeros((len(queries), len(items)))
    if added is not None:
        numbers += added.toarray() if sparse.issparse(added) else added
    scores = np.full((len(queries), min(k, len(items))), -np.inf)
    indices = np.full(scores.shape, -1)
    for row, query in enumerate(queries.astype(np.float64)):
        left = set(range(len(items)) if allowed is None else allowed.tolist())
        if excluded is not None:
            left -= set(excluded[row].indices.tolist())
        of_row = numbers[row]
        ranked = sorted((-float(query @ items[i] + of_row[i]), i) for i in left)[:k]
        for place, (negative, item) in enumerate(ranked):
            scores[row, place], indices[row, place] = -negative, item
    return scores, indices
