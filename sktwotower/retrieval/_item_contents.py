"""What the features of items say: vectors of items, and scores of users by them.

Input: feature rows of items, CSR (n_items, q), and past items, CSR (n, n_items).
Output: vectors of items, CSR (n_items, q), and scores (n, n_items).
"""

import numpy as np
from scipy import sparse

from sktwotower.features._tower_vectorizer import TowerVectorizer


def unit_rows(rows):
    """Return rows, CSR (n, q), scaled to length 1; empty ones stay empty."""
    squares = np.asarray(rows.multiply(rows).sum(axis=1)).ravel()
    lengths = np.sqrt(squares)
    scales = np.divide(1, lengths, out=np.zeros_like(lengths), where=lengths > 0)
    scales_of_entries = np.repeat(scales, np.diff(rows.indptr)).astype(np.float32)
    data = rows.data * scales_of_entries
    return sparse.csr_matrix((data, rows.indices, rows.indptr), rows.shape)


def rows_without_ids(items):
    """Return the feature rows of ``Entities``, CSR (n, q), without those of their ids.

    Ids are left out that a ``TowerVectorizer`` has encoded. They say only that an item
    is like itself.
    """
    rows = items.rows[:-1]
    if not isinstance(items.transformer, TowerVectorizer):
        return rows
    kept = []
    start = 0
    for _, encoder in items.transformer.encoders_:
        stop = start + len(encoder.names)
        if encoder.name != items.id_column:
            kept.append(np.arange(start, stop))
        start = stop
    return rows[:, np.concatenate([np.zeros(0, dtype=int), *kept])]


def profile_scores(past, vectors, ranked):
    """Return scores (n, m) of items by the sum of the vectors of a user's past items.

    ``past``: CSR (n, n_items). ``vectors``: CSR (n_items, q), of all items; ``ranked``:
    CSR (m, q), of those that are ranked.
    """
    profiles = (past @ vectors).toarray()
    # in C order, as rows are sorted
    return np.ascontiguousarray((ranked @ profiles.T).T)
