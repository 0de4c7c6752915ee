"""Products of sparse matrices, many of whose entries are not zero.

Input: CSR matrices (n, m) and (m, n_items).
Output: their product, an array (n, n_items).
"""

import numpy as np

# Private to SciPy, all of 1.x. Its public ways to these loops allocate arrays for each
# call and look for the largest index in them, which takes longer than the sums do.
from scipy.sparse import _sparsetools as loops

# Products of numbers that are summed up at once: they stay in the cache.
PRODUCTS_AT_ONCE = 1 << 15


def n_products(left, right):
    """Return how many products of numbers the product of two CSR matrices sums up."""
    return int(np.diff(right.indptr)[left.indices].sum(dtype=np.int64))


def add_product(total, left, right):
    """Add the product of CSR matrices (n, m) and (m, n_items) to an array, in place.

    All are float32, and the array is C-contiguous. For each entry of ``left``, a row of
    ``right`` is copied, multiplied and added to the array, without a sparse product.
    """
    index_type = right.indices.dtype
    sizes = np.diff(right.indptr)[left.indices]
    # how many products there are before each entry, and before each row
    before_entry = np.append(0, sizes.cumsum(dtype=np.int64))
    before = before_entry[left.indptr]
    n_at_once = max(PRODUCTS_AT_ONCE, int(np.diff(before).max(initial=0)))
    n_at_once = min(n_at_once, int(before[-1]))
    columns = np.empty(n_at_once, dtype=index_type)
    products = np.empty(n_at_once, dtype=np.float32)
    start = 0
    while before[start] < before[-1]:
        limit = before[start] + n_at_once
        stop = int(before.searchsorted(limit, side="right")) - 1
        first, last = left.indptr[start], left.indptr[stop]
        rows = left.indices[first:last].astype(index_type)
        n_columns = total.shape[1]
        # rows of ``right``, one for each entry
        matrix = right.indptr, right.indices, right.data
        loops.csr_row_index(len(rows), rows, *matrix, columns, products)
        # each times its entry
        offsets = before_entry[first : last + 1] - before[start]
        scaled = offsets.astype(index_type), columns, products
        loops.csr_scale_rows(len(rows), n_columns, *scaled, left.data[first:last])
        # those of one row of ``left`` are summed up where they belong
        offsets = before[start : stop + 1] - before[start]
        summed = offsets.astype(index_type), columns, products
        loops.csr_todense(stop - start, n_columns, *summed, total[start:stop])
        start = stop
