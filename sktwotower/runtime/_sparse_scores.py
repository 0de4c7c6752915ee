"""Sparse parts of a model: what past items add to scores, by item-item matrices.

Input: past items of users, as positions (m,) or CSR (n, n_items).
Output: what is added to the scores of some items, as positions and values.
"""

from dataclasses import dataclass

import numpy as np

from sktwotower._records import array, csr, list_of, number, one_of, require
from sktwotower._records._reading import places_of

from ._knots import KNOTS, knot_shares
from ._one_query import Added

# Of more items than this for each entry, sums are made of the entries alone.
ITEMS_PER_ENTRY = 32
# How past items count: each distinct one once, or by the logarithm of its events.
COUNTS = "once", "log"


@dataclass(frozen=True, eq=False)
class SparsePartArrays:
    """What files hold of a `SparsePart`."""

    matrix: csr("n_items n_items", is_finite=True) | None
    decay: number(above=0) | None
    count: one_of(*COUNTS)

    def _check_stored(self, place):
        if self.matrix is not None:
            fits = (self.matrix.data >= 0).all()
            require(fits, f"{place}.matrix", "entries >= 0")

    def inputs(self, past):
        """Return how much each of the distinct items (k,) of ``PastEvents`` counts."""
        if past.lags is None:
            weights = np.ones(len(past.distinct))
        elif self.count == "once":
            weights = self.weights_of(past.latest_lags)
        else:
            weights = past.sums(self.weights_of(past.lags))
        if self.count == "log":
            weights = np.log1p(weights)
        return weights

    def weights_of(self, lags):
        """Return how much events with lags (m,) count."""
        if self.decay is None:
            return np.ones(len(lags))
        age = lags.astype(float) - 1  # the latest events have the lag 1
        return np.exp(-age / self.decay)

    def entries_of_one(self, past):
        """Return items and what is added to their scores, (m,) each, in any order."""
        weights = self.inputs(past)
        if self.matrix is None:
            return past.distinct, weights
        matrix = self.matrix
        rows, entries = places_of(matrix.indptr, past.distinct)
        added = matrix.data[entries] * weights[rows]
        return matrix.indices[entries], added


class PastEvents:
    """The past events of a user, or of several.

    Parameters
    ----------
    items : int array of shape (m,)
        Items of events, those of a user oldest first. Of several users, numbers that
        differ for each pair of a user and an item.
    lags : float array of shape (m,) or None
        As of ``Sequences``. None: the order is not known, and items are distinct.

    Attributes
    ----------
    distinct : int array of shape (k,)
        The distinct items.
    """

    def __init__(self, items, lags):
        self.items = items
        self.lags = lags
        if lags is None:
            self.distinct = items
        else:
            # from the end, the first event of an item is its latest
            self.distinct, from_end, self._places = np.unique(
                items[::-1], return_index=True, return_inverse=True
            )
            self.last = len(items) - 1 - from_end

    @property
    def latest_lags(self):
        """The lag (k,) of the latest event of each item."""
        return self.lags[self.last]

    def sums(self, values):
        """Return the sums (k,) of values (m,) of the events of each item."""
        return np.bincount(self._places, values[::-1], len(self.distinct))


class SparseScores:
    """What all sparse parts add to the scores of a user.

    ``parts``: a list. ``weights`` (n_knots, n_parts): of users with the numbers of past
    items in ``KNOTS``.
    """

    @property
    def n_items(self):
        """Number of items of the matrices; None if there is no matrix."""
        sizes = (p.matrix.shape[0] for p in self.parts if p.matrix is not None)
        return next(sizes, None)

    def weights_of(self, n_past):
        """Return the weights (n, n_parts) of users with so many past items (n,)."""
        return knot_shares(n_past) @ self.weights

    def of_one(self, items, lags, weights, n_items):
        """Return what is ``Added`` to the scores of the first ``n_items`` items.

        ``items`` and ``lags``: the past of the user, as of `SparsePartArrays`.
        ``weights`` (n_parts,): how much each part counts, divided by what the scores of
        the other parts were divided by.
        """
        past = PastEvents(items, lags)
        positions_of_parts = [np.zeros(0, dtype=np.int64)]
        values_of_parts = [np.zeros(0)]
        for part, weight in zip(self.parts, weights, strict=True):
            if weight:
                positions, added = part.entries_of_one(past)
                positions_of_parts.append(positions)
                values_of_parts.append(added * weight)
        entries = np.concatenate(positions_of_parts)
        values = np.concatenate(values_of_parts)

        # with many entries, sums of all items are cheaper than distinct positions
        if n_items < ITEMS_PER_ENTRY * len(entries):
            sums = np.bincount(entries, values, n_items)[:n_items]
            is_added = sums != 0  # nonzero() of floats takes five times as long
            (positions,) = is_added.nonzero()
            return Added(positions, sums[positions])
        positions, places = np.unique(entries, return_inverse=True)
        sums = np.bincount(places, values, len(positions))
        is_served = positions < n_items
        return Added(positions[is_served], sums[is_served])

    def of_events(self, items, lags, weights, item):
        """Return what each event of a user (m,) adds to the score of an item.

        The parameters are those of `of_one`; ``item`` is its position, -1 if it is not
        known. Of the events of one past item, the last one counts for all.
        """
        added = np.zeros(len(items))
        if item < 0 or not len(items):
            return added
        past = PastEvents(items, lags)
        last = np.arange(len(items))
        if lags is not None:
            last = past.last
        for part, weight in zip(self.parts, weights, strict=True):
            if part.matrix is None:
                entries = (past.distinct == item).astype(float)
            else:
                column = part.matrix[past.distinct, item].todense()
                entries = np.asarray(column).ravel()
            added[last] += weight * part.inputs(past) * entries
        return added

    def _check_stored(self, place):
        fits = self.weights.shape == (len(KNOTS), len(self.parts))
        fits = fits and len(self.parts) > 0 and (self.weights >= 0).all()
        require(fits, f"{place}.weights", "weights >= 0 of each part, by past items")
        sizes = {p.matrix.shape[0] for p in self.parts if p.matrix is not None}
        require(len(sizes) <= 1, f"{place}.parts", "matrices of the same items")


@dataclass(frozen=True, eq=False)
class SparseScoresArrays(SparseScores):
    """What files hold of all sparse parts of a model."""

    parts: list_of(SparsePartArrays, "n_parts")
    weights: array("float64", "n_knots n_parts", is_finite=True)
