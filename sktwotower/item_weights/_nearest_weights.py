"""Weights of the items that are chosen by the same users, of which the nearest count.

Input: past items, CSR (n_users, n_items) of ones.
Output: weights of past items, CSR (n_items, n_items).
"""

import numpy as np
from scipy import sparse

from sktwotower._tables._memory import check_memory
from sktwotower._tables._sparse import rows_of_entries

from ._largest import blocks_of_items, largest_of_sparse

# Memory of the weight of a pair of items, in rows and in columns.
BYTES_OF_PAIR = 16


def nearest_weights(
    seen, user_weights, similarity, n_kept, remedy="Keep fewer of each item."
) -> sparse.csr_matrix:
    """Return the ``n_kept`` largest similarities of each item, CSR (n_items, n_items).

    Those to itself and those that are not positive are left out; of equal ones the
    first are kept.

    Parameters
    ----------
    seen : CSR of shape (n_users, n_items), float32
        Ones where a user chose an item.
    user_weights : array of shape (n_users,), float32, or None
        How much each user counts; None: all the same.
    similarity : callable
        ``similarity(shared, n_of_row, n_of_column)`` returns similarities (n_pairs,),
        float32: from the summed weights of the users of both items, float32, and from
        the numbers of users of each, int64.
    n_kept : int
    remedy : str, default="Keep fewer of each item."
        What to do if the result does not fit into memory.
    """
    n_items = seen.shape[1]
    users_of = seen.T.tocsr()
    # 64 bits: products of two counts may exceed 2**31
    n_users = np.diff(users_of.indptr).astype(np.int64)
    if user_weights is not None:
        users_of.data *= user_weights[users_of.indices]
    nearest = []
    n_pairs = 0
    for block in blocks_of_items(n_items):
        together = (users_of[block] @ seen).tocsr()
        together.sort_indices()
        rows = block.start + rows_of_entries(together)
        columns = together.indices
        similar = similarity(together.data, n_users[rows], n_users[columns])
        similar[rows == columns] = 0
        together.data = similar
        nearest.append(largest_of_sparse(together, n_kept))
        n_pairs += nearest[-1].nnz
        needed = BYTES_OF_PAIR * n_pairs
        check_memory(needed, f"{n_pairs:,} similarities", remedy)
    return sparse.vstack(nearest, format="csr")


def walk_weights(seen, alpha, beta, n_kept) -> sparse.csr_matrix:
    r"""Return the ``n_kept`` largest weights of walks from each past item, as CSR.

    From past item j to a user of it and on to an item i of that user: with
    :math:`n_i` users of item i and :math:`n_u` items of user u, :math:`W_ji =
    n_j^{-alpha} n_i^{-beta} \sum_u n_u^{-alpha}`, over the users of both. ``seen``: CSR
    (n_users, n_items) of ones.
    """
    return scaled_walks(seen, alpha, alpha, beta, n_kept)


def scaled_walks(
    seen, of_user, of_row, of_column, n_kept, remedy="Keep fewer of each item."
):
    """Return the ``n_kept`` largest weights of walks in each row, CSR.

    ``of_user``, ``of_row`` and ``of_column`` are the exponents of the numbers by which
    a walk is divided: of items of the user, and of users of the items of the row and of
    the column. Other parameters are those of `nearest_weights`.
    """
    n_items_of_user = np.maximum(np.diff(seen.indptr), 1).astype(np.float32)

    def similarity(shared, n_of_row, n_of_column):
        # floats: powers of integers may exceed 64 bits
        divisor = n_of_column ** float(of_column) * n_of_row ** float(of_row)
        return (shared / divisor).astype(np.float32)

    user_weights = n_items_of_user**-of_user
    return nearest_weights(seen, user_weights, similarity, n_kept, remedy)
