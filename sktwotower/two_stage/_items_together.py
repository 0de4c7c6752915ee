"""Which items are chosen together, and one after the other.

Input: the seen matrix CSR (n_users, n_items), and each user's items in order.
Output: item vectors (n_items, d), and how often items follow, CSR (n_items, n_items).
"""

import numpy as np
from scipy import sparse
from sklearn.utils.extmath import randomized_svd

from sktwotower._tables._sparse import rows_of, slices

# Entries of the vectors of items chosen together.
N_ENTRIES = 64
# An event counts as following another one up to this many events before.
MAX_STEPS = 5
# Added to the number of events of an item: rare items have followers by chance.
PRIOR = 2.0
# Rows of a matrix that are held densely at once have about this many entries together.
DENSE_ENTRIES = 1 << 20


def unit_rows(vectors):
    """Return rows (n, d) of unit length, float32; zeros stay zeros."""
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return (vectors / np.maximum(lengths, 1e-12)).astype(np.float32)


def vectors_of_pairs(seen):
    """Return unit vectors (n_items, d) whose products say how often items share users.

    They are the leading singular vectors of the columns of unit length of ``seen``, CSR
    (n_users, n_items), times the singular values.
    """
    counts = np.asarray(seen.sum(axis=0)).ravel()
    columns = seen @ sparse.diags(1 / np.sqrt(np.maximum(counts, 1)))
    n_entries = min(N_ENTRIES, *columns.shape)
    _, values, right = randomized_svd(
        columns.astype(np.float64), n_entries, n_iter=2, random_state=0
    )
    return unit_rows(right.T * values)


def followed_by(sequences, counts):
    """Return how often one item follows another one, CSR (n_items, n_items).

    Row i, column j: the sum of 1 / s over the events of j that come s <= 5 events after
    one of i, over the number of users of i plus 2. ``sequences``: `Sequences`;
    ``counts`` (n_items,): number of users of each item.
    """
    rows, items, _ = sequences.events()
    n_items = len(counts)
    after = sparse.csr_matrix((n_items, n_items))
    for step in range(1, MAX_STEPS + 1):
        same = rows[step:] == rows[:-step]
        pairs = items[:-step][same], items[step:][same]
        weights = np.full(same.sum(), 1 / step)
        after = after + sparse.csr_matrix((weights, pairs), shape=after.shape)
    scaled = sparse.diags(1 / (counts + PRIOR)) @ after
    return scaled.tocsr().astype(np.float32)


def entries(matrix, rows, columns, factor=None):
    """Return the entries (m,) of a CSR matrix at rows, ascending, and columns (m,).

    ``factor``: a CSR matrix that the first one is multiplied with, block by block.
    """
    found = np.empty(len(rows), dtype=matrix.dtype)
    n_columns = (matrix if factor is None else factor).shape[1]
    step = max(1, DENSE_ENTRIES // n_columns)
    for block in slices(matrix.shape[0], step):
        some = rows_of(matrix, block)
        part = slice(*np.searchsorted(rows, [block.start, block.stop]))
        # scipy reads single entries of unsorted rows one after the other, and slowly
        dense = (some if factor is None else some @ factor).toarray()
        found[part] = dense[rows[part] - block.start, columns[part]]
    return found
