"""User x item matrices in CSR format, and blocks of their rows.

Input: positions (n,) and values (n,).
Output: CSR matrices (n_users, n_items).
"""

import numpy as np
from scipy import sparse

from ._progress import progress_bar

TINY = np.finfo(np.float32).tiny
QUERY_BLOCK = 8192  # queries that are answered together


def pair_matrix(users, items, values, shape):
    """Sum values per (user, item) pair into a float32 CSR matrix of ``shape``.

    Sums too small for float32 become its smallest number, not 0: their pair counts.
    """
    return summed(sparse.csr_matrix((values, (users, items)), shape, np.float64))


def summed(matrix):
    """Sum the entries of each pair of a CSR matrix, float64, as `pair_matrix` does."""
    matrix.sum_duplicates()
    np.maximum(matrix.data, TINY, out=matrix.data, where=matrix.data > 0)
    return matrix.astype(np.float32)


def take_rows(matrix, rows):
    """Return ``matrix[rows]`` of a CSR matrix, for one row in a third of the time."""
    if len(rows) != 1:
        return matrix[rows]
    row = int(rows[0]) % matrix.shape[0]
    part = slice(matrix.indptr[row], matrix.indptr[row + 1])
    return one_row(matrix.indices[part], matrix.data[part], matrix.shape[1])


def one_row(indices, data, n_columns):
    """Return a CSR matrix (1, n_columns) of values at positions, (m,) each."""
    offsets = np.array([0, len(data)], dtype=indices.dtype)
    return sparse.csr_matrix((data, indices, offsets), shape=(1, n_columns))


def without_last_row(matrix):
    """Return ``matrix[:-1]`` of a CSR matrix whose last row is empty, uncopied."""
    parts = matrix.data, matrix.indices, matrix.indptr[:-1]
    return sparse.csr_matrix(parts, shape=(matrix.shape[0] - 1, matrix.shape[1]))


def rows_of(matrix, block):
    """Return a slice of the rows of a sparse matrix; other objects as they are."""
    whole = not sparse.issparse(matrix) or block == slice(0, matrix.shape[0])
    return matrix if whole else matrix[block]


def side_by_side(blocks, n_rows):
    """Return CSR blocks (n_rows, p) side by side in one CSR matrix without zeros."""
    if not blocks:
        return sparse.csr_matrix((n_rows, 0), dtype=np.float32)
    matrix = sparse.hstack(blocks, format="csr", dtype=np.float32)
    matrix.eliminate_zeros()
    matrix.sort_indices()
    return matrix


def blocks(n_queries, bar=False):
    """Yield slices of the queries that are answered together.

    ``bar`` : show a progress bar if there is more than one slice.
    """
    starts = range(0, n_queries, QUERY_BLOCK)
    if bar and len(starts) > 1:
        starts = progress_bar(starts, desc="retrieval")
    for start in starts:
        yield slice(start, min(start + QUERY_BLOCK, n_queries))
