"""Vectors of users and items, computed by a trained part or model in blocks of rows.

Input: feature rows, CSR (n, n_features), and past items of users.
Output: vectors (n, d), float32.
"""

import functools

import numpy as np
import torch
from scipy import sparse

from sktwotower._tables._sparse import one_row
from sktwotower.towers.batches._batches import history_bag
from sktwotower.towers.batches._sequence_batches import latest_events
from sktwotower.towers.operators._devices import moved
from sktwotower.towers.operators._sparse_rows import SparseRows


class Users:
    """Feature rows of n users with their past items, in the forms that parts read.

    Parameters
    ----------
    rows : SparseRows of shape (n, p)
    past : CSR matrix of shape (n, n_items) or None
        Past items; if they are in order, their lags, oldest first.
    item_rows : CSR matrix of shape (at least n_items, q)
        Feature rows of the items.
    in_order : bool
        Whether they are in order.
    """

    def __init__(self, rows, past, item_rows, in_order):
        self.rows = rows
        self.past = past
        self.item_rows = item_rows
        self.in_order = in_order

    @functools.cached_property
    def bag(self):
        """Rows of the distinct past items, and the weights (n, m) of each user's."""
        past = distinct_ones(self.past) if self.in_order else self.past
        return moved(history_bag(past, self.item_rows), self.rows.indices.device)

    def latest(self, max_history):
        """Return rows of the latest past items, and the lags (n, m) of each user's."""
        past = latest_events(self.past, max_history)
        items, places = np.unique(past.indices, return_inverse=True)
        bag = SparseRows.from_arrays(places, past.indptr, past.data, len(items))
        rows = SparseRows.taken(self.item_rows, items)
        return moved((rows, bag), self.rows.indices.device)


def embed_items(part, item_rows, block=65536):
    """Return item vectors, float32 array (n, d), of a CSR matrix (n, q)."""

    def embed(matrices):
        return part.embed_items(SparseRows.from_csr(matrices[0]).to(_device(part)))

    return _blocks(embed, part, [item_rows], block)


def embed_users(part, user_rows, history, item_rows, block=8192):
    """Return user vectors, float32 array (n, d), of a CSR matrix (n, p).

    ``history`` is a CSR matrix (n, n_items) of past items, or None: of lags, oldest
    first, if the part or model sees their order. ``item_rows`` (at least n_items, q)
    are their feature rows.
    """
    in_order = part.sees_order

    def embed(matrices):
        rows = SparseRows.from_csr(matrices[0]).to(_device(part))
        return part.embed_users(Users(rows, matrices[1], item_rows, in_order))

    return _blocks(embed, part, [user_rows, history], block)


def in_context(model, users, context_rows):
    """Return vectors, float32 array (n, d), of users (n, d) in their contexts.

    ``context_rows``: CSR (n, p); of an empty one the vector stays as it is.
    """
    asking = np.flatnonzero(np.diff(context_rows.indptr))
    if len(asking) == 0:
        return users
    device = _device(model)
    with torch.inference_mode():
        rows = SparseRows.taken(context_rows, asking).to(device)
        vectors = torch.from_numpy(users[asking]).to(device)
        vectors = model.in_context(vectors, rows).to("cpu", torch.float32).numpy()
    if len(asking) == len(users):
        return vectors
    users = users.copy()
    users[asking] = vectors
    return users


def distinct_ones(past):
    """Return ones for the distinct entries of each row of a CSR matrix."""
    if past.shape[0] == 1:
        items = np.unique(past.indices)
        return one_row(items, np.ones(len(items), np.float32), past.shape[1])
    ones = np.ones(past.nnz, dtype=np.float32)
    arrays = (ones, past.indices.copy(), past.indptr.copy())
    distinct = sparse.csr_matrix(arrays, shape=past.shape)
    distinct.sum_duplicates()
    distinct.data[:] = 1
    return distinct


def _device(part):
    """Return the device of the weights."""
    return next(part.parameters()).device


def _blocks(embed, part, matrices, block):
    """Return what ``embed`` returns for blocks of rows, as one array of float32."""
    if part.training:
        part.eval()
    n_rows = matrices[0].shape[0]
    vectors = []
    with torch.inference_mode():
        # at least one block, so that the result for no rows has shape (0, d)
        for start in range(0, max(1, n_rows), block):
            rows = matrices
            if n_rows > block:
                rows = []
                for matrix in matrices:
                    part_of_it = None
                    if matrix is not None:
                        part_of_it = matrix[start : start + block]
                    rows.append(part_of_it)
            vectors.append(embed(rows).to("cpu", torch.float32).numpy())
    if len(vectors) == 1:
        return vectors[0]
    return np.concatenate(vectors)
