"""What files hold of the modules of towers, and what they compute for one user or item.

Input: a feature ``Row``, and ``PastItems``.
Output: vectors (width,), float64.

With the inputs of an ONNX file, which have the same methods, numpy writes operators for
many rows, (n, width).
"""

import math
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from sktwotower._records import array, integer, list_of, number, require, vectors
from sktwotower._records._reading import places_of

# Sums of a recent history: four with a decay, and one without.
N_SUMS = 5
# Smallest sum of weights by which, or by whose root, a sum of vectors is divided.
MIN_WEIGHT = 1e-4
# Smallest length by which a vector is divided.
MIN_LENGTH = 1e-12


def unit(vectors):
    """Scale a vector (d,), or rows (n, d) of ONNX, to length one, except zeros."""
    if isinstance(vectors, np.ndarray):
        return vectors / max(math.sqrt(vectors @ vectors), MIN_LENGTH)
    return vectors / np.maximum(np.sqrt((vectors * vectors).sum(-1)), MIN_LENGTH)


def check_shapes(weights, shapes, place):
    """Raise unless weights are float32 arrays of these shapes, both dicts by name."""
    got = {name: values.shape for name, values in weights.items()}
    require(got == shapes, place, f"arrays of shapes {shapes}, not {got}")
    for name, values in weights.items():
        require(values.dtype == np.float32, f"{place}.{name}", "float32")


class Row(NamedTuple):
    """One feature row: its columns (m,) and their values (m,)."""

    columns: np.ndarray
    values: np.ndarray

    def sums(self, table):
        """Return the sum (width,) of rows of a table (p, width) times their values."""
        return self.values @ table[self.columns]

    def scaled(self, factors):
        """Return the row with values multiplied by factors (p,) of columns."""
        return Row(self.columns, self.values * factors[self.columns])

    def full(self, vector):
        """Return a vector (width,) that is that of all rows."""
        return vector


class PastItems(NamedTuple):
    """The past items of one user.

    Parameters
    ----------
    items : int array of shape (k,)
        Positions of the items; of a model that sees order, those of all events, oldest
        first.
    lags : float array of shape (k,) or None
        Their lags, as in `Sequences`. None: order is not known, or not used.
    item_rows : CSR matrix or CSRArrays of shape (at least n_items, q)
        Feature rows of items.
    """

    items: np.ndarray
    lags: np.ndarray | None
    item_rows: object

    def mean(self, table):
        """Return the mean (width,) of the vectors of distinct items, by a table."""
        items = self.items
        if self.lags is not None:  # all events, of which an item may have several
            items = np.unique(items)
        columns, values, _ = self._entries(items)
        total = values @ table[columns]
        return total.astype(float) / max(1, len(items))

    def sums(self, table, max_history, n_sums, weigh):
        """Return weighted sums (n_sums * width,) of the vectors of the latest items.

        ``weigh``: maps their lags (k,) to weights (n_sums, k).
        """
        columns, values, places = self._entries(self.items[-max_history:])
        lags = self.lags[-max_history:]
        weights_of_items = weigh(lags)
        weights = weights_of_items[:, places] * values
        sums = weights.astype(np.float32) @ table[columns]
        return sums.ravel().astype(float)

    def taken_by_size(self, table):
        """Return the row of a table for the number of items, or the last row."""
        return table[min(len(self.items), len(table) - 1)]

    def _entries(self, items):
        """Return columns and values of the rows of items, and the place of each."""
        rows = self.item_rows
        places, entries = places_of(rows.indptr, items)
        return rows.indices[entries], rows.data[entries], places


@dataclass(frozen=True, eq=False)
class TowerArrays:
    """The arrays of a default tower."""

    table: vectors("p width")
    widths: list_of(integer(1))
    dropout: number(0)
    sparse_grad: bool
    weights: dict[str, array("float32")]

    def _check_stored(self, place):
        widths = self.widths
        fits = len(widths) and self.table.shape[1] == widths[0]
        require(fits, f"{place}.table", "of its width")
        shapes = {"bias": (widths[0],)}
        for layer, (n_inputs, n_outputs) in enumerate(pairwise(widths)):
            shapes[f"layers.{layer}.weight"] = (n_outputs, n_inputs)
            shapes[f"layers.{layer}.bias"] = (n_outputs,)
            if n_inputs != n_outputs:
                shapes[f"shortcuts.{layer}.weight"] = (n_outputs, n_inputs)
        check_shapes(self.weights, shapes, f"{place}.weights")

    def vector(self, row, pooled=0.0):
        """Return the output (d,) for one feature ``Row`` and its pooled history."""
        weights = self.weights
        of_row = row.sums(self.table) + weights["bias"]
        hidden = of_row.astype(float) + pooled
        for layer in range(len(self.widths) - 1):
            active = np.maximum(hidden, 0)
            shortcut = weights.get(f"shortcuts.{layer}.weight")
            if shortcut is not None:  # the width changes
                hidden = hidden @ shortcut.T
            output = active @ weights[f"layers.{layer}.weight"].T
            hidden = hidden + output + weights[f"layers.{layer}.bias"]
        return hidden


@dataclass(frozen=True, eq=False)
class PastOnlyArrays:
    """The bias of a user tower that sees only the past."""

    bias_of_all: array("float32", "width")

    @property
    def widths(self):
        """Width of its only layer, a list."""
        return [len(self.bias_of_all)]

    def vector(self, row, pooled):
        """Return the output (width,) for a pooled history."""
        return self.bias_of_all + pooled


class HistoryArrays:
    """The arrays of a history; ``table_name`` has a row for each feature."""

    @property
    def table(self):
        """The vector (width,) of each feature."""
        return getattr(self, self.table_name)

    @property
    def width(self):
        """Number of outputs."""
        return self.table.shape[1]


@dataclass(frozen=True, eq=False)
class PooledArrays(HistoryArrays):
    """The table of a pooled history."""

    sees_order = False
    table_name = "weights"
    weights: vectors("p width")
    sparse_grad: bool

    def pooled(self, past):
        """Return the mean (width,) of the vectors of distinct ``PastItems``."""
        return past.mean(self.weights)


@dataclass(frozen=True, eq=False)
class RecentArrays(HistoryArrays):
    """The arrays of a history whose past items decay."""

    sees_order = True
    table_name = "items_table"
    items_table: vectors("p width")
    max_history: integer(1)
    n_hidden: integer()
    sparse_grad: bool
    others: dict[str, array("float32")]

    def _check_stored(self, place):
        width = self.width
        n_inputs = N_SUMS * width
        n_hidden = self.n_hidden
        shapes = {"log_decays": (N_SUMS - 1,), "mix": (n_inputs, width)}
        if n_hidden:
            shapes["hidden.weight"] = (n_hidden, n_inputs)
            shapes["hidden.bias"] = (n_hidden,)
            shapes["out"] = (n_hidden, width)
        check_shapes(self.others, shapes, f"{place}.others")

    def pooled(self, past):
        """Return the output (width,) for ``PastItems`` in order."""
        others = self.others
        log_decays = others["log_decays"].astype(float)
        rates = np.append(np.exp(-log_decays), 0)  # the last sum does not decay
        rates = rates[:, None]

        def weigh(lags, real=1.0):
            """Return weights (n_sums, k) of lags; ``real``: 0 for those that pad."""
            weights = np.exp(lags * -rates) * real
            norms = np.maximum(weights.sum(-1, keepdims=True), MIN_WEIGHT)
            if not self.n_hidden:
                norms = np.sqrt(norms)
            return weights / norms

        sums = past.sums(self.items_table, self.max_history, N_SUMS, weigh)
        output = sums @ others["mix"]
        if self.n_hidden:
            hidden = sums @ others["hidden.weight"].T + others["hidden.bias"]
            active = hidden * (1 + erf(hidden * math.sqrt(0.5))) / 2
            output = output + active @ others["out"]
        return output


def erf(values):
    """Return the error function of numbers (n,), or of those of ONNX."""
    if isinstance(values, np.ndarray):
        return np.array([math.erf(x) for x in values])
    return values.erf()


@dataclass(frozen=True, eq=False)
class ContextArrays:
    """The arrays of a `ContextLayer`."""

    factors: vectors("p width")
    terms: vectors("p width")
    normalize: bool
    sparse_grad: bool
    scale: number(above=0)
    shares: array("float32", "p", least=0, most=1)

    def asked(self, user, row):
        """Return the vector (d,) of a request of a user (d,) in a context."""
        row = row.scaled(self.shares)
        factors = row.sums(self.factors)
        terms = row.sums(self.terms)
        asked = user + self.scale * (user * factors + terms)
        if self.normalize:
            asked = unit(asked)
        return asked
