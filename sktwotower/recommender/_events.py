"""Users, items and outcomes that `TwoTowerRecommender` reads from a table of events.

Input: an interaction table X (n_events, n_columns), rewards, weights and times.
Output: ``Events``: both sides, and matrices (n_users, n_items) of the outcomes.
"""

from typing import NamedTuple

import numpy as np
from scipy import sparse

from sktwotower._tables._event_table import EventTable
from sktwotower._tables._sparse import by_chunks, have_entries
from sktwotower.features._entities import Entities, fit_entities
from sktwotower.towers._recipe import recipe_of

__all__ = [
    "Events",
    "TableRecipe",
    "read_sides",
    "seen_matrix",
]


class TableRecipe(recipe_of("tables")):
    """Parameters of `TwoTowerRecommender` on how tables are read, by the same names."""

    __slots__ = ()


class Events(NamedTuple):
    """Users, items, and CSR matrices (n_users, n_items) of the outcomes of events.

    ``positives`` holds summed rewards, ``impressions`` the weights of items that were
    shown and not chosen. ``ordered`` holds the positives in the order of time, with
    impressions next to them, or None if their order is not used.
    """

    users: Entities
    items: Entities
    positives: sparse.csr_matrix
    impressions: sparse.csr_matrix
    ordered: EventTable | None

    @classmethod
    def of(cls, users, items, table, history):
        """Return the events of an ``EventTable``; ``history``: as of `history_kind`."""
        in_order = table.in_order() if history == "recent" else None
        return cls(users, items, table.pairs(), table.pairs(chosen=False), in_order)

    def active_items(self):
        """Return the positions (m,) of the items with at least one event."""
        some = (have_entries(m, axis=0) for m in (self.positives, self.impressions))
        return np.flatnonzero(np.logical_or(*some))

    def everything_is_chosen(self):
        """Return whether all users with positives chose all items with events."""
        n_chosen = np.diff(self.positives.indptr)
        return n_chosen[n_chosen > 0].min() == len(self.active_items())


def read_sides(tables, columns, frame, outcomes):
    """Return users, items and the ``EventTable`` of a table of events.

    ``outcomes``: rewards, weights and times (n_events,); times may be None.
    """
    users, of_users = fit_side(tables, columns, "user", frame)
    items, of_items = fit_side(tables, columns, "item", frame)
    rewards, weights, times = outcomes
    shape = len(users), len(items)
    table = EventTable.of(of_users, of_items, shape, times, rewards, weights)
    return users, items, table


def fit_side(tables, columns, side, frame):
    """Return the ``Entities`` of a side, and their positions in the rows of a frame."""
    return fit_entities(
        side,
        getattr(columns, side),
        columns.labels[side == "item"],
        getattr(columns, f"{side}_features"),
        getattr(tables, f"{side}s"),
        getattr(tables, f"{side}_transformer"),
        frame,
        tables.memory,
    )


def seen_matrix(positives):
    """Return ones (n_users + 1, n_items) for positives; the last row is empty."""
    ones = by_chunks(np.ones_like, positives.data)
    offsets = np.append(positives.indptr, positives.indptr[-1:])
    shape = len(offsets) - 1, positives.shape[1]
    return sparse.csr_matrix((ones, positives.indices, offsets), shape=shape)
