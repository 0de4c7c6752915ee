"""What files hold of the modules of towers, and what they compute for one user or item.

Input: a feature row, its columns and values (m,), and past items.
Output: vectors (width,), float64.
"""

import math
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import numpy as np

from sktwotower._records import array, integer, list_of, number, require, vectors

# Sums of a recent history: four with a decay, and one without.
N_SUMS = 5
# Smallest sum of weights by which, or by whose root, a sum of vectors is divided.
MIN_WEIGHT = 1e-4
# Smallest length by which a vector is divided.
MIN_LENGTH = 1e-12


def unit(vector):
    """Scale a vector (d,) to length one, except one of zeros."""
    return vector / max(math.sqrt(vector @ vector), MIN_LENGTH)


def check_shapes(weights, shapes, place):
    """Raise unless weights are float32 arrays of these shapes, both dicts by name."""
    got = {name: values.shape for name, values in weights.items()}
    require(got == shapes, place, f"arrays of shapes {shapes}, not {got}")
    for name, values in weights.items():
        require(values.dtype == np.float32, f"{place}.{name}", "float32")


@dataclass(frozen=True, eq=False)
class PastItems:
    """The past items of one user.

    Parameters
    ----------
    items : int array of shape (k,)
        Positions of the items; of a model that sees order, those of all events, oldest
        first.
    lags : float array of shape (k,) or None
        Their lags, as in `Sequences`. None: order is not known, or not used.
    item_rows : CSRArrays of shape (at least n_items, q)
        Feature rows of items.
    """

    items: np.ndarray
    lags: np.ndarray | None
    item_rows: object

    @cached_property
    def distinct(self):
        """Positions of the distinct items."""
        return self.items if self.lags is None else np.unique(self.items)

    def entries(self, items):
        """Return columns and values of the rows of items, and the place of each."""
        rows = self.item_rows
        starts = rows.indptr[items]
        sizes = rows.indptr[items + 1] - starts
        places = np.repeat(np.arange(len(items)), sizes)
        first = starts - (np.cumsum(sizes) - sizes)
        entries = first[places] + np.arange(len(places))
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
        for i, (a, b) in enumerate(pairwise(widths)):
            shapes |= {f"layers.{i}.weight": (b, a), f"layers.{i}.bias": (b,)}
            if a != b:
                shapes[f"shortcuts.{i}.weight"] = (b, a)
        check_shapes(self.weights, shapes, f"{place}.weights")

    def vector(self, columns, values, pooled=0.0):
        """Return the output (d,) for one feature row and its pooled history."""
        weights = self.weights
        hidden = values @ self.table[columns] + weights["bias"] + np.float64(pooled)
        for i in range(len(self.widths) - 1):
            active = np.maximum(hidden, 0)
            if f"shortcuts.{i}.weight" in weights:
                hidden = weights[f"shortcuts.{i}.weight"] @ hidden
            more = weights[f"layers.{i}.weight"] @ active
            hidden = hidden + more + weights[f"layers.{i}.bias"]
        return hidden


@dataclass(frozen=True, eq=False)
class PastOnlyArrays:
    """The bias of a user tower that sees only the past."""

    bias_of_all: array("float32", "width")

    @property
    def widths(self):
        """Width of its only layer, a list."""
        return [len(self.bias_of_all)]

    def vector(self, columns, values, pooled):
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

    kind, table_name = "pooled", "weights"
    weights: vectors("p width")
    sparse_grad: bool

    def pooled(self, past):
        """Return the mean (width,) of the vectors of distinct ``PastItems``."""
        columns, values, _ = past.entries(past.distinct)
        total = values @ self.weights[columns]
        return total.astype(float) / max(1, len(past.distinct))


@dataclass(frozen=True, eq=False)
class RecentArrays(HistoryArrays):
    """The arrays of a history whose past items decay."""

    kind, table_name = "recent", "items_table"
    items_table: vectors("p width")
    max_history: integer(1)
    n_hidden: integer()
    sparse_grad: bool
    others: dict[str, array("float32")]

    def _check_stored(self, place):
        width, n_hidden = self.width, self.n_hidden
        shapes = {"log_decays": (N_SUMS - 1,), "mix": (N_SUMS * width, width)}
        if n_hidden:
            shapes |= {
                "hidden.weight": (n_hidden, N_SUMS * width),
                "hidden.bias": (n_hidden,),
                "out": (n_hidden, width),
            }
        check_shapes(self.others, shapes, f"{place}.others")

    def pooled(self, past):
        """Return the output (width,) for ``PastItems`` in order."""
        others = self.others
        items, lags = past.items[-self.max_history :], past.lags[-self.max_history :]
        rates = np.append(np.exp(-others["log_decays"].astype(float)), 0)
        weights = np.exp(-lags[:, None] * rates)
        norms = np.maximum(weights.sum(0), MIN_WEIGHT)
        weights /= norms if self.n_hidden else np.sqrt(norms)
        columns, values, places = past.entries(items)
        weights = (weights[places] * values[:, None]).astype(np.float32)
        sums = (weights.T @ self.items_table[columns]).ravel().astype(float)
        output = sums @ others["mix"]
        if self.n_hidden:
            hidden = others["hidden.weight"] @ sums + others["hidden.bias"]
            erf = np.array([math.erf(x) for x in hidden * math.sqrt(0.5)])
            output = output + (hidden * (1 + erf) / 2) @ others["out"]
        return output


@dataclass(frozen=True, eq=False)
class ContextArrays:
    """The arrays of a `ContextLayer`."""

    factors: vectors("p width")
    terms: vectors("p width")
    normalize: bool
    sparse_grad: bool
    scale: number(above=0)
    shares: array("float32", "p")

    def _check_stored(self, place):
        fits = ((self.shares >= 0) & (self.shares <= 1)).all()
        require(fits, f"{place}.shares", "numbers from 0 to 1")

    def asked(self, user, columns, values):
        """Return the vector (d,) of a request of a user (d,) in a context."""
        values = self.scale * (values * self.shares[columns])
        factors, terms = values @ self.factors[columns], values @ self.terms[columns]
        asked = user + user * factors + terms
        return unit(asked) if self.normalize else asked
