"""The default towers, and their pairs, as operators of ONNX.

Input: a trained ``TwoTower`` or ``Blend`` in a `Graph`.
Output: the name of the vectors (n, d), float32.

Sums over rows are computed in float32 and all that follows in float64, as by the
towers themselves.
"""

import math

import numpy as np
import torch
from torch import nn

from sktwotower.towers._blend import Blend
from sktwotower.towers._decays import MIN_WEIGHT, RecentHistory
from sktwotower.towers._modules import SparseLinear, SparseRows, Tower

__all__ = ["add_items", "add_users", "check_towers"]

# Smallest length by which a vector is divided, as in `unit_rows`.
MIN_LENGTH = 1e-12


def check_towers(module, side):
    """Raise ``TypeError`` unless the towers of a side are those of this package."""
    for part in _parts(module):
        tower = getattr(part, f"{side}_tower")
        if type(tower) is not Tower:
            raise TypeError(
                f"Only the towers of this package are exported, but {side}_tower is a "
                f"{type(tower).__name__}. Export it with torch.onnx.export."
            )


def add_items(graph, module):
    """Add the item towers and their inputs; return the item vectors (n, d)."""
    rows = _Rows(graph)
    return _joined(
        graph, module, lambda part: _tower(graph, part.item_tower, rows, None), "item"
    )


def add_users(graph, module, item_rows):
    """Add the user towers and their inputs; return the user vectors (n, d).

    ``item_rows``: CSR (n_items, q), the feature rows of the items in histories.
    """
    rows, past = _Rows(graph), None
    if module.history is not None:
        past = _Past(graph, rows.n, isinstance(module.history, RecentHistory))

    def embed(part):
        pooled = None
        if part.history is not None:
            pool = _recent if isinstance(part.history, RecentHistory) else _pooled
            pooled = pool(graph, part.history, past, item_rows)
        return _tower(graph, part.user_tower, rows, pooled)

    return _joined(graph, module, embed, "user")


def _parts(module):
    return module.pairs if isinstance(module, Blend) else [module]


def _joined(graph, module, embed, side):
    """Return vectors (n, d), float32, of all pairs of towers, one after the other."""
    vectors = [
        _unit(graph, embed(part)) if part.normalize else embed(part)
        for part in _parts(module)
    ]
    vectors = [graph.cast(each, np.float32) for each in vectors]
    if not isinstance(module, Blend):
        return vectors[0]
    scales = [np.float32(scale) for scale in module.scales(side)]
    scaled = [graph("Mul", v, s) for v, s in zip(vectors, scales, strict=True)]
    return graph("Concat", *scaled, axis=1)


class _Rows:
    """The inputs that hold the feature rows of n users or items, as CSR."""

    def __init__(self, graph):
        self.indices = graph.input("indices", np.int64, "n_values")
        offsets = graph.input("offsets", np.int64, "n_plus_1")
        self.values = graph.input("values", np.float32, "n_values")
        self.n = _n_rows(graph, offsets)
        self.owners = _owners(graph, offsets, self.indices)


class _Past:
    """The inputs that hold the past items of n users, oldest first.

    ``lags``: whether their lags are an input, too.
    """

    def __init__(self, graph, n, lags):
        self.n = n
        self.items = graph.input("history", np.int64, "n_past")
        self.offsets = graph.input("history_offsets", np.int64, "n_plus_1")
        self.lags = graph.input("lags", np.float32, "n_past") if lags else None
        self.owners = _owners(graph, self.offsets, self.items)


def _n_rows(graph, offsets):
    return graph("Sub", graph("Shape", offsets), np.array([1]))


def _owners(graph, offsets, entries):
    """Return the row of each entry of CSR, int64 of the shape of ``entries``.

    It is the number of rows that end before the entry or at it.
    """
    n_entries = graph("Shape", entries)
    zeros = graph.filled(np.int64(0), graph("Add", n_entries, np.array([1])))
    ends = graph("Slice", offsets, np.array([1]), np.array([np.iinfo(np.int64).max]))
    ones = graph.filled(np.int64(1), graph("Shape", ends))
    counts = graph("ScatterElements", zeros, ends, ones, axis=0, reduction="add")
    numbers = graph("CumSum", counts, np.int64(0))
    return graph("Slice", numbers, np.array([0]), n_entries)


def _sums(graph, vectors, owners, n, width):
    """Return the sums (n, width) of the vectors (k, width) of each owner, float32."""
    zeros = graph.filled(np.float32(0), n, width)
    places = graph("Unsqueeze", owners, np.array([1]))
    return graph("ScatterND", zeros, places, vectors, reduction="add")


def _weighted(graph, table, indices, weights):
    """Return rows (k, width) of a table, an array, times their weights (k,)."""
    rows = graph("Gather", table, indices, axis=0)
    return graph("Mul", rows, graph("Unsqueeze", weights, np.array([1])))


def _tower(graph, tower, rows, pooled):
    """Return the output (n, d), float64, of a ``Tower``, as its ``forward`` does."""
    table = _array(tower.sparse.weight)
    if len(table) == 0:  # without features a row is empty; an array needs a row
        table = np.zeros((1, table.shape[1]), dtype=np.float32)
    parts = _weighted(graph, table, rows.indices, rows.values)
    hidden = _sums(graph, parts, rows.owners, rows.n, table.shape[1])
    hidden = graph.cast(graph("Add", hidden, _array(tower.bias)), np.float64)
    if pooled is not None:
        hidden = graph("Add", hidden, pooled)
    for layer, shortcut in zip(tower.layers, tower.shortcuts, strict=True):
        active = _linear(graph, layer, graph("Relu", hidden))
        if isinstance(shortcut, nn.Linear):
            hidden = _linear(graph, shortcut, hidden)
        hidden = graph("Add", hidden, active)
    return hidden


def _linear(graph, layer, hidden):
    """Return the output (n, width), float64, of a linear layer."""
    product = graph("MatMul", hidden, _array(layer.weight, np.float64).T)
    if layer.bias is None:
        return product
    return graph("Add", product, _array(layer.bias, np.float64))


def _unit(graph, vectors):
    """Scale rows (n, d), float64, to length one, except rows of zeros."""
    squares = graph("Mul", vectors, vectors)
    norms = graph("Sqrt", graph("ReduceSum", squares, np.array([1])))
    return graph("Div", vectors, graph("Max", norms, np.float64(MIN_LENGTH)))


def _pooled(graph, history, past, item_rows):
    """Return the mean (n, width), float64, of the distinct past items of each user."""
    table = _item_table(history, item_rows)
    n_items = np.int64(len(table))
    pairs = graph("Add", graph("Mul", past.owners, n_items), past.items)
    pairs = graph("Unique", pairs)
    owners, items = graph("Div", pairs, n_items), graph("Mod", pairs, n_items)
    ones = graph.filled(np.float32(1), graph("Shape", pairs), 1)
    counts = graph("Gather", _sums(graph, ones, owners, past.n, 1), owners, axis=0)
    parts = graph("Div", graph("Gather", table, items, axis=0), counts)
    return graph.cast(_sums(graph, parts, owners, past.n, table.shape[1]), np.float64)


def _recent(graph, history, past, item_rows):
    """Return the output (n, width), float64, of a ``RecentHistory``."""
    table = _item_table(history, item_rows)
    rates = history.rates().detach().numpy()
    lags = graph("Unsqueeze", past.lags, np.array([1]))
    weights = graph("Exp", graph("Mul", lags, -rates))
    weights = graph("Mul", weights, _latest(graph, past, history.max_history))
    totals = _sums(graph, weights, past.owners, past.n, len(rates))
    norms = graph("Max", totals, np.float32(MIN_WEIGHT))
    if history.hidden is None:
        norms = graph("Sqrt", norms)
    shares = graph("Div", weights, graph("Gather", norms, past.owners, axis=0))
    vectors = graph("Gather", table, past.items, axis=0)
    parts = graph(
        "Mul",
        graph("Unsqueeze", shares, np.array([2])),
        graph("Unsqueeze", vectors, np.array([1])),
    )
    width = len(rates) * table.shape[1]
    parts = graph("Reshape", parts, np.array([-1, width]))
    sums = _sums(graph, parts, past.owners, past.n, width)
    return _mixed(graph, history, graph.cast(sums, np.float64))


def _latest(graph, past, max_history):
    """Return 1 for the last events of each user, 0 for earlier ones, (k, 1)."""
    ends = graph("Gather", past.offsets, graph("Add", past.owners, np.int64(1)))
    places = graph("CumSum", graph.filled(np.int64(1), graph("Shape", past.owners)), 0)
    kept = graph("Less", graph("Sub", ends, places), np.int64(max_history))
    return graph("Unsqueeze", graph.cast(kept, np.float32), np.array([1]))


def _mixed(graph, history, sums):
    """Return what a ``RecentHistory`` makes of its sums (n, n_sums * width)."""
    output = graph("MatMul", sums, _array(history.mix, np.float64))
    if history.hidden is None:
        return output
    hidden = _linear(graph, history.hidden, sums)
    # ONNX has erf in float32 everywhere; its error there is below 1e-7
    scaled = graph("Mul", hidden, np.float64(math.sqrt(0.5)))
    erf = graph.cast(graph("Erf", graph.cast(scaled, np.float32)), np.float64)
    half = graph("Mul", hidden, np.float64(0.5))
    active = graph("Mul", half, graph("Add", erf, np.float64(1)))
    product = graph("MatMul", active, _array(history.out, np.float64))
    return graph("Add", output, product)


def _item_table(history, item_rows):
    """Return the vector (n_items, width) of each item in histories, float32."""
    linear = history if isinstance(history, SparseLinear) else history.items
    rows = SparseRows.from_csr(item_rows).to(linear.weight.device)
    with torch.inference_mode():
        return linear(rows).cpu().numpy()


def _array(parameter, dtype=np.float32):
    return parameter.detach().cpu().numpy().astype(dtype)
