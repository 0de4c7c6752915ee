"""Operators of ONNX that the parts of a model have in common.

Input: names of values in a ``Graph`` of operators.
Output: names of values: sums over rows, in float32, and all that follows, in float64.
"""

import copy

import numpy as np

from sktwotower.runtime._tower_arrays import MIN_LENGTH

# Entries, with padding, whose vectors are held at once.
MAX_ENTRIES = 8192


class OnnxRows:
    """The inputs that hold the feature rows of n users, items or contexts, as CSR.

    Parameters
    ----------
    graph : Graph
    prefix : str, default=""
        What the names of the inputs begin with.

    Attributes
    ----------
    n : str
        Name of the number of rows, (1,).
    bags : Bags
        The columns of the entries of each row.
    values : str
        Name of the value of each entry, and a zero, (nnz + 1,).
    """

    def __init__(self, graph, prefix=""):
        size = f"n_{prefix}values"
        indices = graph.input(f"{prefix}indices", np.int64, size)
        offsets = graph.input(f"{prefix}offsets", np.int64, "n_plus_1")
        values = graph.input(f"{prefix}values", np.float32, size)
        self.n = graph("Sub", graph("Shape", offsets), np.array([1]))
        self.bags = Bags(graph, offsets, self.n, indices)
        self.values = with_zero(graph, values, np.float32)

    def sums(self, table):
        """Return sums (n, width) of rows of a table times their values, float32."""
        graph = self.bags.graph

        def weigh(places, _):
            values = graph("Gather", self.values, places)
            return graph("Unsqueeze", values, np.array([1]))

        return self.bags.sums(table, 1, weigh)


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
    bags : Bags
        The items of the events of each user.
    lags : str or None
        Name of the lag of each event, and a zero, (n_past + 1,).
    """

    def __init__(self, graph, n, lags):
        items = graph.input("history", np.int64, "n_past")
        offsets = graph.input("history_offsets", np.int64, "n_plus_1")
        self.bags, self.lags = Bags(graph, offsets, n, items), None
        if lags:
            lags = graph.input("lags", np.float32, "n_past")
            self.lags = with_zero(graph, lags, np.float32)


class Bags:
    """The entries of n rows of CSR, and sums of the vectors of each row's entries.

    Runtimes add at repeated positions in several threads without a lock, and lose
    some. So the entries of some rows at a time are laid out as a matrix (b, l).

    Parameters
    ----------
    graph : Graph
    offsets, n, entries : str
        Names of the offsets (n + 1,), their number of rows (1,), and the entries (k,).
    """

    def __init__(self, graph, offsets, n, entries):
        end = np.array([np.iinfo(np.int64).max])
        self.graph, self.n = graph, n
        self.starts = graph("Slice", offsets, np.array([0]), np.array([-1]))
        self.ends = graph("Slice", offsets, np.array([1]), end)
        # one more for the places in the matrix where a row has ended
        self.padding = graph("Shape", entries)
        self.entries = with_zero(graph, entries, np.int64)

    def latest(self, n_entries):
        """Return the same rows, each with at most its last ``n_entries`` entries."""
        part = copy.copy(self)
        first = self.graph("Sub", self.ends, np.int64(n_entries))
        part.starts = self.graph("Max", self.starts, first)
        return part

    def sums(self, table, n_sums, weigh):
        """Return weighted sums (n, n_sums * width) of rows of a table, float32.

        ``table``: an array (m, width); the entries are its rows. ``weigh``: takes the
        names of places among the entries, (b, l), and of whether they are not padding,
        and returns that of their weights (b, n_sums, l).
        """
        graph, one = self.graph, np.int64(1)
        longest = self._longest(self.starts, self.ends)
        n_rows = graph("Max", graph("Div", np.int64(MAX_ENTRIES), longest), one)
        n_rows = graph("Min", n_rows, graph("Max", self.n, one))
        n_blocks = graph("Add", graph("Div", self.n, n_rows), one)
        more = graph.filled(np.int64(0), n_rows)  # empty rows that fill the last block
        starts = graph("Concat", self.starts, more, axis=0)
        ends = graph("Concat", self.ends, more, axis=0)

        def block(number):
            first = graph("Mul", n_rows, number)
            rows = first, graph("Add", first, n_rows)
            own = graph("Slice", starts, *rows), graph("Slice", ends, *rows)
            places, real = self._matrix(*own)
            vectors = graph("Gather", table, graph("Gather", self.entries, places))
            return graph("MatMul", weigh(places, real), vectors)

        sums = graph.stacked(graph("Squeeze", n_blocks), np.float32, block)
        sums = graph("Reshape", sums, np.array([-1, n_sums * table.shape[1]]))
        return graph("Slice", sums, np.array([0]), self.n)

    def _longest(self, starts, ends):
        """Return the number of entries of the longest row, or 1, an array (1,)."""
        sizes = self.graph("Sub", ends, starts)
        sizes = self.graph("Concat", sizes, np.array([1]), axis=0)
        return self.graph("ReduceMax", sizes)

    def _matrix(self, starts, ends):
        """Return places (b, l) among the entries, and whether they are not padding."""
        graph = self.graph
        length = graph("Squeeze", self._longest(starts, ends))
        steps = graph("Range", np.int64(0), length, np.int64(1))
        starts = graph("Unsqueeze", starts, np.array([1]))
        ends = graph("Unsqueeze", ends, np.array([1]))
        places = graph("Add", starts, steps)
        real = graph("Less", places, ends)
        return graph("Where", real, places, self.padding), real


def with_zero(graph, values, dtype):
    """Return an array (k,) with a zero at its end, (k + 1,)."""
    return graph("Concat", values, np.zeros(1, dtype), axis=0)


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
