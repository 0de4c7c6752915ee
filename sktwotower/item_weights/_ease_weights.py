"""The weights of EASE: a ridge regression of each item on all others, in closed form.

Input: past items, CSR (n_users, n_items) of ones.
Output: weights of past items, dense or CSR (n_items, n_items).

With X the past items and :math:`P = (X^T X + l2 I)^{-1}`, the weight of past item i for
item j is :math:`B_ij = -P_ij / P_jj`, and 0 for j = i. Where users are fewer than
items, a matrix of users is inverted instead: with :math:`G = X^T (X X^T + l2 I)^{-1} X`
is :math:`l2 P = I - G`, and :math:`B_ij = G_ij / (1 - G_jj)`.
"""

import numpy as np
from scipy import sparse

from ._inverse import ridge_inverse, too_small
from ._largest import blocks_of_items, largest_of_dense

# Bytes per entry of the matrix that is inverted: sparse in two precisions, and dense.
BYTES_OF_INVERSION = 28
# Seconds of one core of an AMD EPYC per cube of the size of the matrix that is
# inverted, per pair of items, and per product of a pair of user and item with an item.
SECONDS_OF_CUBE = 2.5e-11
SECONDS_OF_SQUARE = 1.5e-8
SECONDS_OF_PRODUCT = 1.5e-9
# What is left of an item's own variance must be more than what rounding leaves.
MIN_UNEXPLAINED = 1e-11


def seconds_of_ease(n_users, n_items, n_pairs):
    """Return about how many seconds of one core `ease_weights` takes.

    ``n_pairs``: the number of pairs of a user and an item.
    """
    seconds = SECONDS_OF_CUBE * min(n_users, n_items) ** 3
    seconds += SECONDS_OF_SQUARE * n_items**2
    if n_users < n_items:
        seconds += SECONDS_OF_PRODUCT * n_pairs * n_items
    return seconds


def bytes_of_ease(n_users, n_items):
    """Return about how many bytes `ease_weights` takes at its peak."""
    n_inverted = min(n_users, n_items)
    in_inversion = BYTES_OF_INVERSION * n_inverted**2
    with_weights = 8 * n_inverted**2 + 4 * n_items**2
    return max(in_inversion, with_weights)


def ease_weights(seen, l2) -> np.ndarray:
    """Return the weights of EASE, float32 (n_items, n_items), in C order.

    ``seen``: CSR (n_users, n_items) of ones. ``l2``: the weight of the squared weights.
    """
    n_items = seen.shape[1]
    weights = np.empty((n_items, n_items), dtype=np.float32)
    for block, rows in _blocks_of_weights(seen, l2):
        weights[block] = rows
    return weights


def largest_ease_weights(seen, l2, n_kept, dtype=np.float64) -> sparse.csr_matrix:
    """Return the ``n_kept`` largest positive weights of EASE of each past item.

    CSR (n_items, n_items), float32. The parameters are those of `ease_weights`. Where
    users are fewer than items, no matrix of items is held. ``dtype``: that of the
    inversion. float32 takes half the time, and needs an ``l2`` that is not small.
    """
    largest = []
    for _, rows in _blocks_of_weights(seen, l2, dtype):
        largest.append(largest_of_dense(rows.astype(np.float32, copy=False), n_kept))
    return sparse.vstack(largest, format="csr")


def _blocks_of_weights(seen, l2, dtype=np.float64):
    """Yield slices of past items and their weights (b, n_items), in a type."""
    n_users, n_items = seen.shape
    seen = seen.astype(dtype)
    if n_items <= n_users:
        blocks = _blocks_by_items(seen, l2)
    else:
        blocks = _blocks_by_users(seen, l2)
    for block, rows in blocks:
        past_items = np.arange(block.start, block.stop)
        rows[past_items - block.start, past_items] = 0
        yield block, rows


def _blocks_by_items(seen, l2):
    """Yield slices of items and their weights, by the inverse of a matrix of items."""
    inverse = ridge_inverse((seen.T @ seen).toarray(order="F"), l2)
    negative_diagonal = -np.diag(inverse)
    for block in blocks_of_items(seen.shape[1]):
        # the inverse is symmetric: its columns, which are contiguous, are its rows
        yield block, inverse[:, block].T / negative_diagonal


def _blocks_by_users(seen, l2):
    """Yield the same, by the inverse of a matrix of users."""
    n_items = seen.shape[1]
    inverse = ridge_inverse((seen @ seen.T).toarray(order="F"), l2)
    users_of = seen.T.tocsr()
    explained = np.empty(n_items, dtype=seen.dtype)
    for block in blocks_of_items(n_items):
        users_of_block = users_of[block]
        by_users = users_of_block @ inverse
        explained[block] = users_of_block.multiply(by_users).sum(axis=1).ravel()
    unexplained = 1 - explained
    if unexplained.min() < MIN_UNEXPLAINED:
        raise too_small(l2)
    for block in blocks_of_items(n_items):
        by_users = users_of[block] @ inverse
        yield block, (by_users @ seen) / unexplained
