"""The largest positive entries of each row of a matrix.

Input: rows (n, n_items), dense or CSR.
Output: CSR (n, n_items) with at most ``n_kept`` entries in each row, sorted by column.
"""

import numpy as np
from scipy import sparse

from sktwotower._tables._sparse import slices

# Numbers held at once in a dense array: 16 MiB of float32.
BLOCK_SIZE = 1 << 22


def blocks_of_items(n_items):
    """Return slices of n_items rows, each small enough to hold dense rows of items."""
    return slices(n_items, max(1, BLOCK_SIZE // max(1, n_items)))


def largest_of_dense(rows, n_kept):
    """Return the ``n_kept`` largest positive entries of each row of an array, CSR.

    Of equal entries those in the first columns are kept.
    """
    n_items = rows.shape[1]
    kept = rows > 0
    if n_kept < n_items:
        partitioned = np.partition(rows, -n_kept, axis=1)
        smallest_kept = partitioned[:, -n_kept, None]
        kept &= rows >= smallest_kept
        # of the few rows in which entries are equal, too many are kept
        for row in np.flatnonzero(kept.sum(axis=1) > n_kept):
            equal = np.flatnonzero(rows[row] == smallest_kept[row])
            n_larger = np.count_nonzero(rows[row] > smallest_kept[row])
            kept[row, equal[n_kept - n_larger :]] = False
    offsets = np.append(0, np.cumsum(kept.sum(axis=1)))
    columns = kept.nonzero()[1]
    return sparse.csr_matrix((rows[kept], columns, offsets), shape=rows.shape)


def largest_of_sparse(matrix, n_kept):
    """Return the ``n_kept`` largest positive entries of each row, CSR (n, n_items).

    Of equal entries those in the first columns are kept. ``matrix``: CSR (n, n_items),
    sorted by column.
    """
    values = matrix.data
    sizes = np.diff(matrix.indptr)
    smallest_kept = np.repeat(_nth_largest(matrix, n_kept), sizes)
    larger = values > smallest_kept
    equal = values == smallest_kept
    n_larger = np.diff(np.append(0, np.cumsum(larger))[matrix.indptr])
    # Of the equal ones of a row, as many are kept as there is room for.
    room = np.repeat(n_kept - n_larger, sizes)
    n_equal = np.append(0, np.cumsum(equal))
    n_equal_before_row = np.repeat(n_equal[matrix.indptr[:-1]], sizes)
    number_among_equal = n_equal[1:] - n_equal_before_row
    kept = larger | (equal & (number_among_equal <= room))
    kept &= values > 0
    offsets = np.append(0, np.cumsum(kept))[matrix.indptr]
    return sparse.csr_matrix(
        (values[kept], matrix.indices[kept], offsets), shape=matrix.shape
    )


def _nth_largest(matrix, n):
    """Return the nth largest entry (n_rows,) of each row of a CSR matrix.

    Of rows with at most n entries it is -inf.
    """
    sizes = np.diff(matrix.indptr)
    nth = np.full(len(sizes), -np.inf, dtype=matrix.dtype)
    long_rows = np.flatnonzero(sizes > n)
    # rows of about the same length are padded to the same one, and partitioned at once
    long_rows = long_rows[np.argsort(sizes[long_rows], kind="stable")]
    start = 0
    while start < len(long_rows):
        width_of_first = sizes[long_rows[start]]
        stop = np.searchsorted(sizes[long_rows], 1.25 * width_of_first, side="right")
        stop = min(stop, start + max(1, BLOCK_SIZE // width_of_first))
        rows = long_rows[start:stop]
        width = sizes[rows[-1]]
        within = np.arange(width) < sizes[rows, None]
        entries = matrix.indptr[rows, None] + np.arange(width)
        values = matrix.data[np.where(within, entries, 0)]
        padded = np.where(within, values, -np.inf)
        nth[rows] = np.partition(padded, width - n, axis=1)[:, width - n]
        start = stop
    return nth
