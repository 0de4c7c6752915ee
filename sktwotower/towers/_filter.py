"""A low-pass filter of events as a pair of towers, next to those that are trained.

Input: the leading singular vectors of who chose what, and feature rows of items.
Output: a ``LinearFilter``.
"""

import numpy as np
import torch
from scipy import sparse

from ._dropout import id_columns
from ._modules import SparseLinear, Tower, TwoTower

__all__ = ["LinearFilter", "N_PADS", "add_to_ids", "linear_filter"]

# Numbers of a vector that hold no singular vector: they give all vectors length one.
N_PADS = 2
# Bias of those: the whole vector of whoever has nothing else, and nothing to others.
PAD = 1e-6


class LinearFilter(TwoTower):
    r"""A pair of linear towers whose weights are computed, not trained.

    Notes
    -----
    Let V be the leading right singular vectors of :math:`D_u^{-1/2} R D_i^{-1/2}`, with
    the weights R of who chose what and the sums D of its rows and columns. The vector
    of a user is the sum of :math:`d_j^{-1/2} v_j` over the past items j, divided by its
    length; that of an item i is :math:`d_i^{1/2} v_i`, divided by the length of the
    longest. Two more numbers give all vectors length one; they add nothing to a score.
    An item without events has the mean of the items with its features.

    This is the ideal low-pass filter of Shen et al., How Powerful is Graph Convolution
    for Recommendation?, CIKM 2021.
    """

    @classmethod
    def of(cls, module):
        """Return the filter with the towers of another pair."""
        return cls(module.user_tower, module.item_tower, module.history).eval()


def linear_filter(vectors, counts, item_rows, n_user_features):
    """Return the ``LinearFilter`` of singular vectors.

    Parameters
    ----------
    vectors : array of shape (n_items, k)
        Right singular vectors V, largest singular values first.
    counts : array of shape (n_items,)
        Sums D of the weights of each item.
    item_rows : CSR matrix of shape (n_items, p)
        Feature rows of these items.
    n_user_features : int
        Number of features of a user, which are not used.
    """
    width = vectors.shape[1] + N_PADS
    user, item = Tower(n_user_features, width), Tower(item_rows.shape[1], width)
    history = SparseLinear(item_rows.shape[1], width)
    module = LinearFilter(user, item, history)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.zero_()
        user.bias[-1] = item.bias[-2] = PAD
        chosen = counts > 0
        root = np.sqrt(np.where(chosen, counts, 1))[:, None]
        add_to_ids(history, item_rows, _padded(_scaled(vectors / root, np.mean)))
        items = _padded(_scaled(vectors * root, np.max))
        items[:, -2] = np.sqrt(np.maximum(1 - (items**2).sum(axis=1), 0))
        _set_features(item.sparse, item_rows, items, chosen)
    return module.eval()


def _scaled(vectors, of_lengths):
    """Return vectors (n, k), divided by a figure of their lengths."""
    return vectors / max(of_lengths(np.linalg.norm(vectors, axis=1)), 1e-12)


def _padded(vectors):
    """Return vectors (n, k + 2) with zeros at the end."""
    return np.pad(vectors, [(0, 0), (0, N_PADS)]).astype(np.float32)


def _set_features(layer, rows, vectors, chosen):
    """Let a layer map rows (n, p) to vectors (n, width), in place.

    Of rows with shared columns, each of these adds the mean of the ``chosen`` (n,) rows
    that have it, and the ids of chosen rows add the rest.
    """
    shared = np.flatnonzero(~id_columns(rows))
    if len(shared):
        described = sparse.csr_matrix(rows[:, shared])
        some = described[np.flatnonzero(chosen)]
        weights = np.asarray(abs(some).sum(axis=0)).ravel()
        means = some.T @ vectors[chosen] / np.maximum(weights, 1e-12)[:, None]
        layer.weight[torch.from_numpy(shared)] = torch.from_numpy(means).float()
        vectors = np.where(chosen[:, None], vectors - described @ means, 0)
    add_to_ids(layer, rows, vectors)


def add_to_ids(layer, rows, vectors):
    """Add vectors (n, width) to what a layer maps rows (n, p) to, by ids only."""
    ids = sparse.csr_matrix(rows[:, np.flatnonzero(id_columns(rows))])
    squares = np.asarray(ids.multiply(ids).sum(axis=1)).ravel()
    weights = ids.T @ sparse.diags(1 / np.maximum(squares, 1e-12)) @ vectors
    columns = torch.from_numpy(np.flatnonzero(id_columns(rows)))
    with torch.no_grad():
        given = torch.from_numpy(np.asarray(weights, dtype=np.float32))
        layer.weight[columns] += given.to(layer.weight)
