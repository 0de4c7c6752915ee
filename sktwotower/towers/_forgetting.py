"""Weights of features that no user or item has any more, removed from a trained net.

Input: a trained ``TwoTowerNet``, and which columns (p,) of the rows of a side are left.
Output: a ``TwoTowerNet`` whose towers take the columns that are left.
"""

import copy

import numpy as np
import torch
from torch import nn

from ._blend import Blend
from ._modules import SparseLinear, SparseRows, Tower, run_tower

__all__ = ["without_columns"]

# Attributes of a net that hold weights; one that was loaded may have no optimizer.
PARTS = "module_", "optimizer_"
# Number of rows for which a tower of the user's own must return the same vectors.
N_PROBED = 20


def without_columns(net, side, left, unused, rows):
    """Return a net without the first-layer weights of some columns of a side.

    ``side``: "user" or "item". ``left`` (p,): which columns stay. ``unused`` (p,):
    which columns no row has any more; weights of those that stay become 0. ``rows``:
    feature rows, CSR (n, p), that have neither. Raise ``ValueError`` for a tower
    without such a layer.
    """
    if left.all() and not unused.any():
        return net
    with torch.inference_mode(False):  # parameters created in it cannot be trained
        # together: the optimizer's parameters are those of the module
        parts = {name: vars(net)[name] for name in PARTS if name in vars(net)}
        parts = copy.deepcopy(parts)
        towers = (_towers(each, side) for each in (net.module_, parts["module_"]))
        for before, tower in zip(*towers, strict=True):
            _forget(before, tower, side, left, unused, rows)
        for table in _history_tables(parts["module_"]) if side == "item" else []:
            _clear_columns(table, np.flatnonzero(unused))
            _take_columns(table, np.flatnonzero(left))
    net = copy.copy(net)
    for name, part in parts.items():
        setattr(net, name, part)
    return net


def _pairs_of_towers(module):
    """Return the pairs of towers of a module, one or two."""
    if isinstance(module, Blend):
        return list(module.pairs)
    return [module]


def _towers(module, side):
    """Return the towers of a side: one for each pair of towers."""
    return [getattr(part, f"{side}_tower") for part in _pairs_of_towers(module)]


def _history_tables(module):
    tables = [part.history_table for part in _pairs_of_towers(module)]
    return [table for table in tables if table is not None]


def _forget(before, tower, side, left, unused, rows):
    """Keep the weights of some columns of a tower, in place.

    ``before``: the same tower, which is not changed. The other parameters are those of
    `without_columns`.
    """
    layer, columns = _first_layer(tower, rows.shape[1]), np.flatnonzero(left)
    if layer is not None:
        _clear_columns(layer, np.flatnonzero(unused))
        _take_columns(layer, columns)
    if layer is None or not _is_same(before, tower, rows, columns):
        raise ValueError(
            f"The module given as {side}_tower has no torch.nn.Linear that its input "
            f"reaches first. So forget_{side}s cannot remove what it has learnt of "
            f"single {side}s: fit anew without them."
        )


def _first_layer(tower, n_features):
    """Return the first linear layer with ``n_features`` inputs, or None."""
    for part in tower.modules():
        if isinstance(part, SparseLinear) and len(part.weight) == n_features:
            return part
        if isinstance(part, nn.Linear) and part.in_features == n_features:
            return part
    return None


def _clear_columns(layer, columns):
    """Set the weights of some inputs of a layer to 0, in place."""
    places = torch.as_tensor(columns, device=layer.weight.device)
    layer.weight.data.index_fill_(int(isinstance(layer, nn.Linear)), places, 0)


def _take_columns(layer, columns):
    """Keep the weights of some inputs of a layer, in place."""
    weight = layer.weight.data
    places = torch.as_tensor(columns, device=weight.device)
    if isinstance(layer, SparseLinear):
        layer.weight.data = weight[places].clone()
    else:
        layer.weight.data = weight[:, places].clone()
        layer.in_features = len(columns)


def _is_same(before, now, rows, columns):
    """Return whether two towers return the same vectors for rows (n, p)."""
    if isinstance(now, Tower):
        return True
    rows = rows[:N_PROBED]
    device = next(now.parameters()).device
    vectors = []
    with torch.inference_mode():
        for tower, part in ((before, rows), (now, rows[:, columns])):
            try:
                part = SparseRows.from_csr(part).to(device)
                vectors.append(run_tower(tower.eval(), part))
            except (RuntimeError, TypeError, ValueError, IndexError):
                return False
    return torch.allclose(*vectors, rtol=1e-4, atol=1e-5)
