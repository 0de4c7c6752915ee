"""The inputs of an ONNX file, with the methods that arrays of towers ask of a row.

Input: a ``Graph`` of operators, and tables of weights.
Output: a ``Value`` for the rows of all users or items: sums in float32.
"""

import copy

import numpy as np

# Entries, with padding, whose vectors are held at once.
MAX_ENTRIES = 8192


class OnnxRows:
    """The inputs that hold the feature rows of n users, items or contexts, as CSR.

    Its methods are those of ``Row``, for n rows.

    Parameters
    ----------
    graph : Graph
    prefix : str, default=""
        What the names of the inputs begin with.

    Attributes
    ----------
    n : Value of shape (1,)
        Number of rows.
    bags : Bags
        The columns of the entries of each row.
    values : Value of shape (nnz + 1,)
        The value of each entry, and a zero.
    """

    def __init__(self, graph, prefix=""):
        size = f"n_{prefix}values"
        indices = graph.input(f"{prefix}indices", np.int64, size)
        offsets = graph.input(f"{prefix}offsets", np.int64, "n_plus_1")
        values = graph.input(f"{prefix}values", np.float32, size)
        self.graph = graph
        self.n = graph("Shape", offsets, dtype=np.int64) - 1
        self.bags = Bags(graph, offsets, self.n, indices)
        self.values = with_zero(values)

    def sums(self, table):
        """Return sums (n, width) of rows of a table times their values, float32."""
        if len(table) == 0:  # without features a row is empty; an array needs a row
            table = np.zeros((1, table.shape[1]), dtype=np.float32)

        def values_of(entries, _):
            return self.graph("Gather", self.values, entries).column()

        return self.bags.sums(table, 1, values_of)

    def scaled(self, factors):
        """Return the same rows with values multiplied by factors (p,) of columns."""
        rows = copy.copy(self)
        rows.values = self.values * self.graph("Gather", factors, self.bags.entries)
        return rows

    def full(self, vector):
        """Return a vector (width,) for each row, (n, width)."""
        shape = self.graph("Concat", self.n, np.array([1]), axis=0)
        return self.graph("Expand", vector[None], shape)


class OnnxPast:
    """The inputs that hold the past items of n users, oldest first.

    Its methods are those of ``PastItems``, for n users.

    Parameters
    ----------
    rows : OnnxRows
        Of the users.
    item_rows : CSR matrix of shape (n_items, q)
        Feature rows of the items in it.
    has_lags : bool
        Whether their lags are an input, too.
    """

    def __init__(self, rows, item_rows, has_lags):
        self.graph = rows.graph
        self.item_rows = item_rows
        items = self.graph.input("history", np.int64, "n_past")
        offsets = self.graph.input("history_offsets", np.int64, "n_plus_1")
        self.bags = Bags(self.graph, offsets, rows.n, items)
        if has_lags:
            self.lags = with_zero(self.graph.input("lags", np.float32, "n_past"))

    def mean(self, table):
        """Return the mean (n, width) of the vectors of distinct items, float64."""
        graph = self.graph

        def shares_of(entries, is_real):
            # an item that a user has m times has the weight 1 / m each time
            shape = graph("Shape", entries, dtype=np.int64)
            n_users = graph("Gather", shape, np.int64(0))
            users = graph("Range", np.int64(0), n_users, np.int64(1)).column()
            items = graph("Gather", self.bags.entries, entries)
            pairs = users * self.item_rows.shape[0] + items
            pairs = graph("Where", is_real, pairs, np.int64(-1), dtype=np.int64)
            _, _, distinct, counts = graph.outputs(4, "Unique", pairs)
            times_had = graph("Reshape", graph("Gather", counts, distinct), shape)
            weights = is_real.astype(np.float32) / times_had.astype(np.float32)
            # a row without items has no weights: it is divided by any number
            return (weights / np.maximum(weights.sum(1), 0.5)).column()

        return self.bags.sums(self.item_rows @ table, 1, shares_of).astype(float)

    def taken_by_size(self, table):
        """Return the columns (n, 1) of the rows of a table for the numbers of items.

        Users with more items than the table has rows get the last one.
        """
        sizes = self.bags.ends - self.bags.starts
        rows = np.minimum(sizes, len(table) - 1)
        return [self.graph("Gather", column, rows).column() for column in table.T]

    def sums(self, table, max_history, n_sums, weigh):
        """Return weighted sums (n, n_sums * width) of the vectors of the latest items.

        ``weigh``: maps lags and which of them are none, to weights (b, n_sums, l).
        """

        def weights_of(entries, is_real):
            lags = self.graph("Gather", self.lags, entries).column()
            return weigh(lags, is_real.astype(np.float32).column())

        latest = self.bags.latest(max_history)
        return latest.sums(self.item_rows @ table, n_sums, weights_of).astype(float)


class Bags:
    """The entries of n rows of CSR, and sums of the vectors of each row's entries.

    Runtimes add at repeated positions in several threads without a lock, and lose
    some. So the entries of some rows at a time are laid out as a matrix (b, l).

    Parameters
    ----------
    graph : Graph
    offsets, n, entries : Value
        The offsets (n + 1,), their number of rows (1,), and the entries (k,).
    """

    def __init__(self, graph, offsets, n, entries):
        end = np.array([np.iinfo(np.int64).max])
        self.graph = graph
        self.n = n
        self.starts = graph("Slice", offsets, np.array([0]), np.array([-1]))
        self.ends = graph("Slice", offsets, np.array([1]), end)
        # one more for the places in the matrix where a row has ended
        self.padding = graph("Shape", entries, dtype=np.int64)
        self.entries = with_zero(entries)

    def latest(self, n_entries):
        """Return the same rows, each with at most its last ``n_entries`` entries."""
        part = copy.copy(self)
        part.starts = np.maximum(self.starts, self.ends - n_entries)
        return part

    def sums(self, table, n_sums, weights_of):
        """Return weighted sums (n, n_sums * width) of rows of a table, float32.

        ``table``: an array (m, width); the entries are its rows. ``weights_of``: takes
        numbers of entries, (b, l), and whether they are not padding, and returns their
        weights (b, n_sums, l).
        """
        graph = self.graph
        longest = self._longest(self.starts, self.ends)
        n_rows = np.maximum(np.asarray(MAX_ENTRIES) // longest, 1)
        n_rows = np.minimum(n_rows, np.maximum(self.n, 1))
        n_blocks = self.n // n_rows + 1
        # empty rows that fill the last block
        more = graph("Expand", np.zeros(1, dtype=np.int64), n_rows)
        starts = np.concatenate([self.starts, more], axis=0)
        ends = np.concatenate([self.ends, more], axis=0)

        def block(number):
            first = n_rows * number
            last = first + n_rows
            starts_of_block = graph("Slice", starts, first, last)
            ends_of_block = graph("Slice", ends, first, last)
            entries, is_real = self._matrix(starts_of_block, ends_of_block)
            table_rows = graph("Gather", self.entries, entries)
            vectors = graph("Gather", table, table_rows)
            return weights_of(entries, is_real) @ vectors

        sums = graph.stacked(graph("Squeeze", n_blocks), np.float32, block)
        sums = graph("Reshape", sums, np.array([-1, n_sums * table.shape[1]]))
        return graph("Slice", sums, np.array([0]), self.n)

    def _longest(self, starts, ends):
        """Return the number of entries of the longest row, or 1, an array (1,)."""
        sizes = np.concatenate([ends - starts, np.array([1])], axis=0)
        return self.graph("ReduceMax", sizes)

    def _matrix(self, starts, ends):
        """Return numbers (b, l) of entries, and whether they are not padding."""
        length = self.graph("Squeeze", self._longest(starts, ends))
        steps = self.graph("Range", np.int64(0), length, np.int64(1))
        entries = starts.column() + steps
        is_real = entries < ends.column()
        padded = self.graph("Where", is_real, entries, self.padding, dtype=np.int64)
        return padded, is_real


def with_zero(values):
    """Return values (k,) with a zero at their end, (k + 1,)."""
    return np.concatenate([values, np.zeros(1, values.dtype)], axis=0)
