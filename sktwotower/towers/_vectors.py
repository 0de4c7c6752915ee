"""Vectors of users and items, computed by trained towers in blocks of rows.

Input: a ``TwoTower`` and feature rows, CSR (n, n_features).
Output: vectors (n, d), float32.
"""

import numpy as np
import torch
from scipy import sparse

from sktwotower._tables._sparse import one_row

from ._batches import history_bag
from ._blend import Blend
from ._decays import RecentHistory
from ._modules import SparseRows
from ._sequences import latest_events

__all__ = ["distinct_ones", "embed_items", "embed_users"]


def embed_items(module, item_rows, block=65536):
    """Return item vectors, float32 array (n, d), of a CSR matrix (n, q)."""
    device = _device(module)
    return _blocks(
        lambda part: module.embed_items(SparseRows.from_csr(part[0]).to(device)),
        module,
        [item_rows],
        block,
    )


def embed_users(module, user_rows, history, item_rows, block=8192):
    """Return user vectors, float32 array (n, d), of a CSR matrix (n, p).

    ``history`` is a CSR matrix (n, n_items) of past items, or None: of lags, oldest
    first, if the module sees their order. ``item_rows`` (at least n_items, q) are their
    feature rows.
    """
    device = _device(module)

    def embed(part):
        rows = SparseRows.from_csr(part[0]).to(device)
        return _of_rows(module, rows, part[1], item_rows)

    return _blocks(embed, module, [user_rows, history], block)


def _of_rows(module, rows, past, item_rows):
    """Return what `embed_users` does for ``SparseRows`` of users, as a tensor."""
    if module.history is None:
        return module.embed_users(rows)
    if isinstance(module, Blend) and isinstance(module.history, RecentHistory):
        pasts = past, distinct_ones(past)
        both = [
            _of_rows(part, rows, own_past, item_rows)
            for part, own_past in zip(module.pairs, pasts, strict=True)
        ]
        return module.joined(both, "user")
    device = rows.indices.device
    items, bag = (each.to(device) for each in _bag(module, past, item_rows))
    if isinstance(module, Blend):  # both see the same
        parts = module.pairs
        both = [part.embed_users(rows, items, bag) for part in parts]
        return module.joined(both, "user")
    return module.embed_users(rows, items, bag)


def distinct_ones(past):
    """Return ones for the distinct entries of each row of a CSR matrix."""
    if past.shape[0] == 1:
        items = np.unique(past.indices)
        return one_row(items, np.ones(len(items), np.float32), past.shape[1])
    parts = np.ones(past.nnz, dtype=np.float32), past.indices.copy(), past.indptr.copy()
    distinct = sparse.csr_matrix(parts, shape=past.shape)
    distinct.sum_duplicates()
    distinct.data[:] = 1
    return distinct


def _bag(module, past, item_rows):
    """Return the rows of distinct past items, and each user's bag of them."""
    if not isinstance(module.history, RecentHistory):
        return history_bag(past, item_rows)
    past = latest_events(past, module.history.max_history)
    items, places = np.unique(past.indices, return_inverse=True)
    bag = SparseRows.from_arrays(places, past.indptr, past.data, len(items))
    return SparseRows.taken(item_rows, items), bag


def _device(module):
    return next(module.parameters()).device


def _blocks(embed, module, matrices, block):
    if module.training:
        module.eval()
    n_rows, vectors = matrices[0].shape[0], []
    with torch.inference_mode():
        # at least one block, so that the result for no rows has shape (0, d)
        for start in range(0, max(1, n_rows), block):
            part = matrices
            if n_rows > block:
                part = [m if m is None else m[start : start + block] for m in matrices]
            vectors.append(embed(part).to("cpu", torch.float32).numpy())
    return vectors[0] if len(vectors) == 1 else np.concatenate(vectors)
