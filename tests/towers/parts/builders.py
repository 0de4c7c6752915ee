"""Sparse rows and slow references of towers that several test files use."""

from types import SimpleNamespace

import numpy as np
import torch
from scipy import sparse

from sktwotower.towers.operators._sparse_rows import SparseRows

HISTORY = [[0, 2], [], [1, 2, 3], [3]]


def random_csr(n, p, seed=0, density=0.4):
    matrix = sparse.random(
        n, p, density, "csr", np.float32, np.random.default_rng(seed)
    )
    if n > 2:
        matrix = sparse.vstack([matrix[:1], matrix[1:2] * 0, matrix[2:]], "csr")
        matrix.eliminate_zeros()  # row 1 is empty
    return matrix


def dense(matrix, dtype=torch.float32):
    return torch.tensor(matrix.toarray(), dtype=dtype)


def dense_tower(tower, inputs, pooled=0.0):
    """The same map from plain dense products, in the dtype of the inputs."""
    cast = inputs.dtype
    hidden = inputs @ tower.sparse.weight.to(cast) + tower.bias.to(cast) + pooled
    for layer, shortcut in zip(tower.layers, tower.shortcuts, strict=True):
        active = torch.relu(hidden) @ layer.weight.to(cast).T + layer.bias.to(cast)
        same = layer.in_features == layer.out_features
        hidden = active + (hidden if same else hidden @ shortcut.weight.to(cast).T)
    return hidden


def users_of(rows, item_rows, distinct):
    """Return users as ``Users`` are, with the distinct items in any order."""
    bag = np.zeros((len(HISTORY), len(distinct)), dtype=np.float32)
    for user, items in enumerate(HISTORY):
        for item in items:
            bag[user, distinct.index(item)] = 1 / len(items)
    matrices = rows, item_rows[distinct], sparse.csr_matrix(bag)
    rows, items, bag = map(SparseRows.from_csr, matrices)
    return SimpleNamespace(rows=rows, bag=(items, bag))


def pooled_by_hand(history, item_rows):
    """Return the mean (n, width) of each user's past items, one by one."""
    mapped = dense(item_rows) @ history.weight
    nothing = torch.zeros(mapped.shape[1])
    return torch.stack([mapped[h].mean(0) if h else nothing for h in HISTORY])
