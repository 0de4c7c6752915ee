"""Operators of ONNX that the parts of a model have in common.

Input: names of values in a ``Graph`` of operators.
Output: names of values: sums over rows, in float32, and all that follows, in float64.
"""

import numpy as np

__all__ = [
    "OnnxPast",
    "OnnxRows",
    "array_of",
    "linear",
    "sums",
    "unit_vectors",
    "weighted_rows",
]

# Smallest length by which a vector is divided, as in `unit_rows`.
MIN_LENGTH = 1e-12


class OnnxRows:
    """The inputs that hold the feature rows of n users or items, as CSR.

    Attributes
    ----------
    indices, values : str
        Names of the column and of the value of each entry, (nnz,).
    n : str
        Name of the number of rows, (1,).
    owners : str
        Name of the row of each entry, (nnz,).
    """

    def __init__(self, graph):
        self.indices = graph.input("indices", np.int64, "n_values")
        offsets = graph.input("offsets", np.int64, "n_plus_1")
        self.values = graph.input("values", np.float32, "n_values")
        self.n = graph("Sub", graph("Shape", offsets), np.array([1]))
        self.owners = _owners(graph, offsets, self.indices)


class OnnxPast:
    """The inputs that hold the past items of n users, oldest first.

    Parameters
    ----------
    graph : Graph
    n : str
        Name of the number of users, (1,).
    lags : bool
        Whether their lags are an input, too.

    Attributes
    ----------
    items, offsets, lags, owners : str
        Names of the item of each event (n_past,), the start of each user (n + 1,), the
        lag (n_past,) and the user (n_past,) of each event.
    """

    def __init__(self, graph, n, lags):
        self.n = n
        self.items = graph.input("history", np.int64, "n_past")
        self.offsets = graph.input("history_offsets", np.int64, "n_plus_1")
        self.lags = graph.input("lags", np.float32, "n_past") if lags else None
        self.owners = _owners(graph, self.offsets, self.items)


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


def sums(graph, vectors, owners, n, width):
    """Return the sums (n, width) of the vectors (k, width) of each owner, float32."""
    zeros = graph.filled(np.float32(0), n, width)
    places = graph("Unsqueeze", owners, np.array([1]))
    return graph("ScatterND", zeros, places, vectors, reduction="add")


def weighted_rows(graph, table, indices, weights):
    """Return rows (k, width) of a table, an array, times their weights (k,)."""
    rows = graph("Gather", table, indices, axis=0)
    return graph("Mul", rows, graph("Unsqueeze", weights, np.array([1])))


def linear(graph, layer, hidden):
    """Return the output (n, width), float64, of a linear layer."""
    product = graph("MatMul", hidden, array_of(layer.weight, np.float64).T)
    if layer.bias is None:
        return product
    return graph("Add", product, array_of(layer.bias, np.float64))


def unit_vectors(graph, vectors):
    """Scale rows (n, d), float64, to length one, except rows of zeros."""
    squares = graph("Mul", vectors, vectors)
    norms = graph("Sqrt", graph("ReduceSum", squares, np.array([1])))
    return graph("Div", vectors, graph("Max", norms, np.float64(MIN_LENGTH)))


def array_of(parameter, dtype=np.float32):
    """Return a parameter of torch as an array."""
    return parameter.detach().cpu().numpy().astype(dtype)
