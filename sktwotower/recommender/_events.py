"""Users, items and outcomes that `TwoTowerRecommender` reads from a table of events.

Input: an interaction table X (n_events, n_columns), rewards, weights and times.
Output: ``Events``: both sides, and matrices (n_users, n_items) of the outcomes.
"""

from typing import NamedTuple

import numpy as np
from scipy import sparse

from sktwotower._tables._on_disk import by_chunks, have_entries
from sktwotower._tables._sparse import pair_matrix
from sktwotower.features._entities import Entities, fit_entities

from ._order import Ordered, history_kind, ordered, ordered_after

__all__ = [
    "Events",
    "TableRecipe",
    "items_with_events",
    "ordered_outcomes",
    "outcome_matrices",
    "read_sides",
    "seen_matrix",
]


class TableRecipe(NamedTuple):
    """Parameters of `TwoTowerRecommender` on how tables are read, by the same names."""

    user_id: object
    item_id: object
    user_features: object
    item_features: object
    users: object
    items: object
    user_transformer: object
    item_transformer: object
    memory: object
    time: object = None

    @classmethod
    def of(cls, estimator):
        """Return the recipe of an estimator."""
        return cls._make(getattr(estimator, name) for name in cls._fields)


class Events(NamedTuple):
    """Users, items, and CSR matrices (n_users, n_items) of the outcomes of events.

    ``positives`` holds summed rewards, ``impressions`` the weights of items that were
    shown and not chosen. ``ordered`` holds the positives in the order of time, or None
    if their order is not used.
    """

    users: Entities
    items: Entities
    positives: sparse.csr_matrix
    impressions: sparse.csr_matrix
    ordered: Ordered | None

    def active_items(self):
        """Return the positions (m,) of the items with at least one event."""
        some = (have_entries(m, axis=0) for m in (self.positives, self.impressions))
        return np.flatnonzero(np.logical_or(*some))

    def everything_is_chosen(self):
        """Return whether all users with positives chose all items with events."""
        n_chosen = np.diff(self.positives.indptr)
        return n_chosen[n_chosen > 0].min() == len(self.active_items())


def read_sides(tables, columns, frame, outcomes, history):
    """Return ``Events`` of a table of events, and what ``history`` stands for.

    ``outcomes``: rewards, weights and times (n_events,); times may be None.
    """
    memory = tables.memory
    users, user_codes = fit_entities(
        "user",
        columns.user,
        columns.labels[0],
        columns.user_features,
        tables.users,
        tables.user_transformer,
        frame,
        memory,
    )
    items, item_codes = fit_entities(
        "item",
        columns.item,
        columns.labels[1],
        columns.item_features,
        tables.items,
        tables.item_transformer,
        frame,
        memory,
    )
    codes, shape = (user_codes, item_codes), (len(users), len(items))
    rewards, weights, times = outcomes
    positives, impressions = outcome_matrices(codes, rewards, weights, shape)
    chosen = rewards > 0
    of_chosen = None if times is None else times[chosen]
    kind = history_kind(history, of_chosen, user_codes[chosen])
    in_order = None
    if kind == "recent":
        in_order = ordered_outcomes(codes, outcomes, shape)
    return Events(users, items, positives, impressions, in_order), kind


def outcome_matrices(codes, rewards, weights, shape):
    """Return positives by reward, and impressions by weight, as CSR of ``shape``.

    ``codes``: positions of the user and of the item of each event, both (n_events,).
    """

    def matrix(chosen, values):
        pairs = (side[chosen] for side in codes)
        return pair_matrix(*pairs, values[chosen], shape)

    return matrix(rewards > 0, rewards * weights), matrix(rewards == 0, weights)


def ordered_outcomes(codes, outcomes, shape, before=None):
    """Return the positives as ``Ordered``, with impressions at the next event.

    ``codes``: as in `outcome_matrices`. ``outcomes``: rewards, weights and times.
    ``before``: ``Sequences`` of earlier events, which are context; see `ordered_after`.
    """
    rewards, weights, times = outcomes
    chosen, shown = rewards > 0, rewards == 0
    gains = rewards[chosen] * weights[chosen]
    impressions = (*(side[shown] for side in codes), times[shown], weights[shown])
    events = (*(side[chosen] for side in codes), times[chosen], gains)
    if before is not None:
        return ordered_after(before, *events, shape, impressions)
    return ordered(*events, shape, impressions)


def items_with_events(events):
    """Return the positions (m,) of the items with events in a CSR matrix.

    Other items are not negatives: nobody has been shown them.
    """
    return np.flatnonzero(have_entries(events, axis=0))


def seen_matrix(positives):
    """Return ones (n_users + 1, n_items) for positives; the last row is empty."""
    ones = by_chunks(np.ones_like, positives.data)
    offsets = np.append(positives.indptr, positives.indptr[-1:])
    shape = len(offsets) - 1, positives.shape[1]
    return sparse.csr_matrix((ones, positives.indices, offsets), shape=shape)
