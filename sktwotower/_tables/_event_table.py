"""The table of events: aligned columns, sorted once by user and time.

Input: positions of users and items, times, weights and outcomes, (n_events,) each.
Output: an ``EventTable``, and views of it: pairs (n_users, n_items), ``Sequences``.
"""

from typing import NamedTuple

import numpy as np
from scipy import sparse

from sktwotower._records._reading import places_of

from . import _sparse
from ._reward_scale import Sums, on_scale
from ._sequences import Sequences, as_rows, lags_of, starts

# Odd numbers whose multiples, modulo 2 ** 64, look random.
FACTORS = np.array([0x9E3779B97F4A7C15, 0xC2B2AE3D27D4EB4F], dtype=np.uint64)
# What each event has: arrays (n_events,), and CSR matrices with a row per event.
COLUMNS = "items times weights chosen contexts impressions rewards".split()


class EventTable(NamedTuple):
    """Events, each of a user and an item, sorted by user and then by time.

    In memory columns are arrays. Of events on disk they are memory maps, and methods
    read some users at a time.

    Parameters
    ----------
    n_items : int
    offsets : int64 array of shape (n_users + 1,)
        Start of each user's events.
    items : int32 array of shape (n_events,)
        Positions of the items. At equal times, what was chosen is last, in this order.
    times : int64 or float64 array of shape (n_events,) or None, default=None
    weights : array of shape (n_events,) or None, default=None
        Reward times weight of what was chosen, otherwise weight. None: all are 1.
    chosen : bool array of shape (n_events,) or None, default=None
        False for impressions: shown and not chosen. None: all are chosen.
    contexts : int32 array of shape (n_events,) or None, default=None
        Row of the context of each event in a table of distinct ones; 0 is the unknown
        context. None: nothing is known of contexts, except times.
    impressions : CSR matrix of shape (n_events, n_items) or None, default=None
        Weights of what was shown and not chosen next to each event; see `in_order`.
    rewards : float64 array of shape (n_events,) or None, default=None
        Rewards without weights, until `rescaled`. None: their scale is final.
    """

    n_items: int
    offsets: np.ndarray
    items: np.ndarray
    times: np.ndarray | None = None
    weights: np.ndarray | None = None
    chosen: np.ndarray | None = None
    contexts: np.ndarray | None = None
    impressions: sparse.csr_matrix | None = None
    rewards: np.ndarray | None = None

    @classmethod
    def of(
        cls,
        users,
        items,
        shape,
        times=None,
        rewards=None,
        weights=None,
        contexts=None,
        keeps_rewards=False,
    ):
        """Return the table of events (n,) in any order; ``shape``: (n_users, n_items).

        Without times, the events of a user stay in their order. ``rewards``: > 0 where
        an item was chosen. The heaviest of equal events comes last. ``keeps_rewards``:
        whether they will be ``rescaled``.
        """
        n_users, n_items = shape
        n_events = len(users)
        chosen = None
        if rewards is not None:
            is_chosen = rewards > 0
            weights = np.where(is_chosen, rewards * weights, weights)
            if not is_chosen.all():
                chosen = is_chosen

        # Sort by time, at equal times by what was chosen, then by item.
        order = np.arange(n_events)
        if times is not None:
            keys = [items, chosen, times]
            if contexts is not None:
                keys = [contexts, weights, *keys]
            order = np.lexsort([key for key in keys if key is not None])
        # Then by user, a stable sort in linear time.
        entries = (order, users[order], np.arange(n_events + 1))
        by_user = sparse.csr_matrix(entries, shape=(n_events, n_users)).tocsc()

        if contexts is not None:
            contexts = contexts.astype(np.int32, copy=False)
        table = cls(
            n_items,
            offsets=None,
            items=items.astype(np.int32, copy=False),
            times=times,
            weights=weights,
            chosen=chosen,
            contexts=contexts,
            rewards=rewards if keeps_rewards else None,
        )
        return table._at(by_user.data, by_user.indptr.astype(np.int64))

    @property
    def n_users(self):
        """Number of users, with or without events."""
        return len(self.offsets) - 1

    @property
    def n_events(self):
        """Number of events."""
        return len(self.items)

    @property
    def users(self):
        """Position of the user of each event, (n_events,)."""
        return np.repeat(np.arange(self.n_users), np.diff(self.offsets))

    @property
    def on_disk(self):
        """Whether columns are memory maps."""
        return _sparse.is_mapped(self.items)

    # Parts of the table

    def blocks(self):
        """Yield tables of users in turn, about 4,000,000 events each if on disk."""
        if not self.on_disk:
            yield self
            return
        for block in _sparse.row_blocks(self.offsets, on_disk=True):
            offsets = self.offsets[block.start : block.stop + 1]
            events = slice(int(offsets[0]), int(offsets[-1]))
            yield self._at(events, offsets - offsets[0])

    def of_users(self, users):
        """Return the events of users at positions (n,); row i is of ``users[i]``."""
        rows, numbers = places_of(self.offsets, users)
        offsets = np.searchsorted(rows, np.arange(len(users) + 1))
        return self._at(numbers, offsets)

    def only(self, users):
        """Return the events of users at sorted positions (n,); others have none."""
        sizes = np.zeros(self.n_users, dtype=np.int64)
        sizes[users] = np.diff(self.offsets)[users]
        return self.of_users(users)._replace(offsets=np.append(0, np.cumsum(sizes)))

    def events_at(self, kept):
        """Return the events where ``kept`` (n_events,) is True, of those in memory."""
        n_kept_before = np.append(0, kept.cumsum())
        return self._at(np.flatnonzero(kept), n_kept_before[self.offsets])

    def _at(self, events, offsets):
        """Return some events, positions or a slice, with the start of each user's."""
        columns = {}
        for name in COLUMNS:
            values = getattr(self, name)
            if values is not None:
                columns[name] = values[events]
        return self._replace(offsets=offsets, **columns)

    def chosen_events(self):
        """Return the events of which something was chosen."""
        if self.chosen is None:
            return self
        chosen = self.by_blocks(lambda part: part.events_at(part.chosen))
        return chosen._replace(chosen=None)

    def rescaled(self, scale):
        """Return the events with their rewards on a scale, as of `on_scale`."""
        if self.rewards is None or scale is None:
            return self._replace(rewards=None)

        def weigh(part):
            if part.chosen is None:
                return part.weights / part.rewards * on_scale(part.rewards, scale)
            rewards = np.where(part.chosen, part.rewards, 1.0)
            scaled = part.weights / rewards * on_scale(rewards, scale)
            return np.where(part.chosen, scaled, part.weights)

        return self._replace(weights=self.column(weigh), rewards=None)

    def with_items(self, items):
        """Return the same events, of items at sorted positions (m,) that have them."""

        def renumbered(part):
            return np.searchsorted(items, part).astype(part.dtype)

        return self._replace(
            n_items=len(items),
            items=_sparse.by_chunks(renumbered, self.items),
            impressions=_sparse.take_columns(self.impressions, items),
        )

    # What is computed for some users at a time

    def by_blocks(self, change):
        """Return the table of what ``change`` returns for each block of users."""
        sizes = []
        growing = {}
        for block in self.blocks():
            part = change(block)
            sizes.append(np.diff(part.offsets))
            for name in COLUMNS:
                values = getattr(part, name)
                if values is not None:
                    if name not in growing:
                        growing[name] = _sparse.growing(self.on_disk, values)
                    growing[name].append(values)
        columns = dict.fromkeys(COLUMNS)
        for name, column in growing.items():
            columns[name] = column.finish()
        offsets = np.append(0, np.cumsum(np.concatenate(sizes)))
        return self._replace(offsets=offsets, **columns)

    def column(self, compute):
        """Return what ``compute`` returns for each block of users, (n_events,)."""
        column = _sparse.Column(self.on_disk)
        for part in self.blocks():
            column.append(compute(part))
        return column.finish()

    # Views

    def pairs(self, chosen=True):
        """Return the summed weights of what was chosen, or shown, CSR of all pairs."""
        if self.chosen is None and not chosen:
            return sparse.csr_matrix((self.n_users, self.n_items), dtype=np.float32)
        pairs = _sparse.Rows(self.on_disk, self.n_items)
        for part in self.blocks():
            if part.chosen is not None:
                part = part.events_at(part.chosen == chosen)
            # copies, as they are changed
            entries = (part.gains.astype(float), part.items.copy(), part.offsets)
            matrix = sparse.csr_matrix(entries, (part.n_users, self.n_items))
            pairs.append(_sparse.summed(matrix))
        return pairs.finish()

    def chosen_pairs(self):
        """Return ones (n_users, n_items) where a user has chosen an item, CSR."""
        return self._replace(weights=None).pairs().sign()

    @property
    def gains(self):
        """The weights, also if all are 1."""
        if self.weights is None:
            return np.ones(self.n_events)
        return self.weights

    def effective_number(self):
        """Return how many equal events the weights of what was chosen are worth.

        It is (sum w) ** 2 / sum(w ** 2), as of `Sums`.
        """
        total = Sums()
        for part in self.blocks():
            gains = part.gains
            if part.chosen is not None:
                gains = gains[part.chosen]
            total = total.plus(Sums.of(gains))
        return total.effective_number

    def in_order(self):
        """Return what was chosen, with impressions at the user's next event.

        That is the first event at the time of the impression or later or, if there is
        none, the user's last one. Impressions of users without events are left out.
        Equal events are merged, with summed weights, float32, and the context of the
        heaviest.
        """
        return self.by_blocks(_in_order)

    def lags(self):
        """Return the lag of each event, CSR (n_users, n_items); see `Sequences`."""
        values = self.column(lambda part: lags_of(part.users, part.times))
        return as_rows(values, self.items, self.offsets, self.n_items)

    def sequences(self):
        """Return the ``Sequences`` of a table that is in order."""
        return Sequences(_sparse.with_empty_row(self.lags()), self.times)

    def gaps(self):
        """Return the time (n_events,) since the last event before each, float64.

        In a basket it is 0, except for one event, as if that were the first: the time
        since the basket before, nan if there is none.
        """
        return self.column(_gaps)

    def n_baskets(self):
        """Return the number of distinct times of all users together."""
        n_baskets = 0
        for part in self.blocks():
            n_baskets += int(starts(part.users, part.times).sum())
        return n_baskets


def users_of_events(sizes, seed, n_events):
    """Return the sorted positions of random users with ``n_events`` together.

    ``sizes`` (n_users,): number of events of each.
    """
    order = np.random.default_rng(seed).permutation(len(sizes))
    n_users = np.searchsorted(np.cumsum(sizes[order]), n_events, side="right")
    return np.sort(order[: max(1, n_users)])


def _in_order(table):
    """Return what `EventTable.in_order` does, for a table in memory."""
    # Merge equal events: the last of them is the heaviest, and has the context.
    events = table.chosen_events()
    is_first = starts(events.users, events.times, events.items)
    weights = np.add.reduceat(events.gains, np.flatnonzero(is_first))
    contexts = events.contexts
    if contexts is not None:
        is_last = np.append(is_first[1:], True)[: len(is_first)]  # also of no events
        contexts = contexts[is_last]
    events = events.events_at(is_first)
    events = events._replace(weights=weights.astype(np.float32), contexts=contexts)
    if table.chosen is None:
        return events

    # Each impression goes to the next event of its user, or else to the last one.
    is_shown = ~table.chosen
    is_event = table.chosen.copy()
    is_event[is_event] = is_first
    users = table.users[is_shown]
    next_event = np.cumsum(is_event)[is_shown]
    event = np.minimum(next_event, events.offsets[users + 1] - 1)
    has_event = event >= events.offsets[users]
    impressions = _sparse.pair_matrix(
        event[has_event],
        table.items[is_shown][has_event],
        table.gains[is_shown][has_event],
        (events.n_events, table.n_items),
    )
    return events._replace(impressions=impressions)


def _gaps(table):
    """Return what `EventTable.gaps` does, for a table in memory."""
    users = table.users
    times = table.times
    if len(users) == 0:
        return np.zeros(0)

    # The time between each basket and the one before.
    baskets = np.flatnonzero(starts(users, times))
    gaps = np.full(len(baskets), np.nan)
    gaps[1:] = np.diff(times[baskets].astype(float))
    gaps[starts(users)[baskets]] = np.nan

    # One event of each basket has it.
    sizes = np.diff(np.append(baskets, len(users)))
    # any order, but the same one for the same events, in memory and on disk
    hashed = table.items.astype(np.uint64) * FACTORS[0]
    hashed ^= times.astype(float).view(np.uint64) * FACTORS[1]
    hashed *= FACTORS[0]
    is_first = hashed == np.repeat(np.minimum.reduceat(hashed, baskets), sizes)
    return np.where(is_first, np.repeat(gaps, sizes), 0.0)
