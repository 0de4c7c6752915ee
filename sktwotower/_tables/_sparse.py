"""User x item matrices in CSR format, in memory or as memory maps that grow.

Input: positions (n,) and values (n,), or parts of arrays and matrices.
Output: CSR matrices (n_users, n_items), blocks of their rows, arrays (n,).
"""

import mmap
import tempfile

import numpy as np
from scipy import sparse

from sktwotower._records._reading import BLOCK, column_counts

from ._messages import progress_bar
from ._temporary import temporary_files

TINY = np.finfo(np.float32).tiny
MAX_INT32 = np.iinfo(np.int32).max
QUERY_BLOCK = 8192  # queries that are answered together


def pair_matrix(users, items, values, shape):
    """Sum values per (user, item) pair into a float32 CSR matrix of ``shape``.

    Sums too small for float32 become its smallest number, not 0: their pair counts.
    """
    return summed(sparse.csr_matrix((values, (users, items)), shape, np.float64))


def ones_at(rows, columns, shape):
    """Return ones at positions, (n,) each, as a float32 CSR matrix of ``shape``."""
    return pair_matrix(rows, columns, np.ones(len(rows)), shape).sign()


def summed(matrix):
    """Sum the entries of each pair of a CSR matrix, float64, as `pair_matrix` does."""
    matrix.sum_duplicates()
    np.maximum(matrix.data, TINY, out=matrix.data, where=matrix.data > 0)
    return matrix.astype(np.float32)


def id_columns(matrix):
    """Return which columns of a CSR matrix (n, p) have one stored value, bool (p,)."""
    return np.bincount(matrix.indices, minlength=matrix.shape[1]) == 1


def take_rows(matrix, rows):
    """Return ``matrix[rows]`` of a CSR matrix, for one row in a third of the time."""
    if len(rows) != 1:
        return matrix[rows]
    row = int(rows[0]) % matrix.shape[0]
    part = slice(matrix.indptr[row], matrix.indptr[row + 1])
    return one_row(matrix.indices[part], matrix.data[part], matrix.shape[1])


def rows_of_entries(matrix):
    """Return the row of each entry of a CSR matrix, int64 (nnz,)."""
    return np.repeat(np.arange(matrix.shape[0]), np.diff(matrix.indptr))


def one_row(indices, data, n_columns):
    """Return a CSR matrix (1, n_columns) of values at positions, (m,) each."""
    offsets = np.array([0, len(data)], dtype=indices.dtype)
    return sparse.csr_matrix((data, indices, offsets), shape=(1, n_columns))


def with_empty_row(matrix):
    """Return a CSR matrix with a further row at the end, uncopied."""
    offsets = np.append(matrix.indptr, matrix.indptr[-1:])
    n_rows, n_columns = matrix.shape
    arrays = (matrix.data, matrix.indices, offsets)
    return sparse.csr_matrix(arrays, shape=(n_rows + 1, n_columns))


def without_last_row(matrix):
    """Return ``matrix[:-1]`` of a CSR matrix whose last row is empty, uncopied."""
    arrays = (matrix.data, matrix.indices, matrix.indptr[:-1])
    return sparse.csr_matrix(arrays, shape=(matrix.shape[0] - 1, matrix.shape[1]))


def rows_of(matrix, block):
    """Return rows, a slice or positions, of a sparse matrix; else the object."""
    if not sparse.issparse(matrix):
        return matrix
    if isinstance(block, slice) and block == slice(0, matrix.shape[0]):
        return matrix
    return matrix[block]


def rows_of_each(parts, rows):
    """Return rows, a slice or positions, of arrays, matrices and frames, or of None."""
    if isinstance(rows, slice) and rows == slice(0, parts[0].shape[0]):
        return parts
    taken = []
    for part in parts:
        if part is None:
            taken.append(None)
        else:
            by_position = getattr(part, "iloc", part)
            taken.append(by_position[rows])
    return taken


def some_rows(parts, rows):
    """Return a named tuple with some rows, a slice or positions, of all its parts.

    The first part is an array or a matrix; others may be None, or such tuples.
    """
    return type(parts)(*rows_of_each([*parts], rows))


def side_by_side(blocks, n_rows):
    """Return CSR blocks (n_rows, p) side by side in one CSR matrix without zeros."""
    if not blocks:
        return sparse.csr_matrix((n_rows, 0), dtype=np.float32)
    matrix = sparse.hstack(blocks, format="csr", dtype=np.float32)
    matrix.eliminate_zeros()
    matrix.sort_indices()
    return matrix


def slices(n, size):
    """Return slices of n rows with ``size`` each, or fewer in the last one."""
    return [slice(start, min(start + size, n)) for start in range(0, n, size)]


def blocks(n_queries, verbose=0):
    """Return slices of the queries that are answered together.

    ``verbose``: as of the estimator; only more than one slice gets a progress bar.
    """
    blocks_of_queries = slices(n_queries, QUERY_BLOCK)
    if verbose and len(blocks_of_queries) > 1:
        return progress_bar(verbose, blocks_of_queries, desc="retrieval")
    return blocks_of_queries


def is_mapped(array):
    """Return whether an array is, or is a view of, a memory map."""
    while isinstance(array, np.ndarray):
        array = array.base
    return isinstance(array, mmap.mmap)


def row_blocks(offsets, on_disk):
    """Yield slices of rows that are processed together.

    ``offsets`` (n_rows + 1,): start of each row's entries. In memory all rows are one
    slice; on disk a slice has 4,000,000 entries, or one row.
    """
    n_rows = len(offsets) - 1
    if not on_disk:
        yield slice(0, n_rows)
        return
    start = 0
    while start < n_rows:
        stop = np.searchsorted(offsets, offsets[start] + BLOCK, side="right") - 1
        stop = min(max(int(stop), start + 1), n_rows)
        yield slice(start, stop)
        start = stop


class Column:
    """An array (n,) that grows part by part.

    On disk it is a file without a name in the folder of `tempfile`, which lives as long
    as the array.

    Parameters
    ----------
    on_disk : bool
    dtype : dtype, default=None
        Type of the array. None: that of the first part.
    """

    def __init__(self, on_disk, dtype=None):
        self.dtype = None
        if dtype is not None:
            self.dtype = np.dtype(dtype)
        self.arrays = []  # in memory
        self.length = 0
        self.file = None
        if on_disk:
            with temporary_files():
                self.file = tempfile.TemporaryFile()

    def append(self, part):
        """Add an array (m,)."""
        if self.dtype is None:
            self.dtype = part.dtype
        part = np.ascontiguousarray(part, dtype=self.dtype)
        self.length += len(part)
        if self.file is None:
            self.arrays.append(part)
        else:
            with temporary_files():
                self.file.write(part.view(np.uint8))

    def finish(self):
        """Return the array (n,), read-only on disk."""
        if self.file is not None:
            with temporary_files(), self.file:  # the map keeps it
                if self.length:
                    self.file.flush()
                    mapped = np.memmap(self.file, self.dtype, "r", shape=(self.length,))
                    return np.asarray(mapped)
        if len(self.arrays) == 1:
            return self.arrays[0]
        return np.concatenate([np.zeros(0, dtype=self.dtype), *self.arrays])


class Rows:
    """A CSR matrix (n, n_columns) that grows part by part.

    Parameters
    ----------
    on_disk : bool
    n_columns : int
        Less than 2 ** 31.
    """

    def __init__(self, on_disk, n_columns):
        self.n_columns = n_columns
        self.sizes = []
        self.data = Column(on_disk, np.float32)
        self.indices = Column(on_disk, np.int32)

    def append(self, matrix):
        """Add rows, a CSR matrix (m, n_columns)."""
        self.data.append(matrix.data)
        self.indices.append(matrix.indices)
        self.sizes.append(np.diff(matrix.indptr))

    def finish(self):
        """Return the matrix; on disk its data and indices are memory maps."""
        offsets = np.concatenate([[0], *self.sizes]).cumsum()
        indices = self.indices.finish()
        if len(indices) > MAX_INT32:  # scipy wants one type for both
            indices = by_chunks(lambda part: part.astype(np.int64), indices)
        arrays = (self.data.finish(), indices, offsets.astype(indices.dtype))
        return sparse.csr_matrix(arrays, shape=(len(offsets) - 1, self.n_columns))


def growing(on_disk, first):
    """Return what parts such as the ``first`` one are added to, empty."""
    if sparse.issparse(first):
        return Rows(on_disk, first.shape[1])
    return Column(on_disk)


def by_chunks(function, array, *others):
    """Return ``function`` of arrays (n,), element by element, an array (n,).

    If the first one is a memory map the result is one, too, and is computed in chunks.
    """
    if not is_mapped(array):
        return function(array, *others)
    result = Column(on_disk=True)
    for part in slices(len(array), BLOCK):
        result.append(function(array[part], *(other[part] for other in others)))
    return result.finish()


def have_entries(matrix, axis):
    """Return which columns (axis 0) or rows (axis 1) of a CSR matrix hold an entry."""
    if axis == 0:
        return column_counts(matrix) > 0
    return np.diff(matrix.indptr) > 0


def take_columns(matrix, columns):
    """Return columns at sorted positions (m,) of a CSR matrix, CSR (n, m), or None."""
    if matrix is None:
        return None
    on_disk = is_mapped(matrix.indices)
    taken = Rows(on_disk, len(columns))
    for block in row_blocks(matrix.indptr, on_disk):
        taken.append(rows_of(matrix, block)[:, columns].tocsr())
    return taken.finish()
