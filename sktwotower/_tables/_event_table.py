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
        chosen = None
        if rewards is not None:
            chosen = rewards > 0
            weights = np.where(chosen, rewards * weights, weights)
            chosen = None if chosen.all() else chosen
        order = np.arange(len(users))
        if times is not None:
            keys = items, chosen, times
            keys = keys if contexts is None else (contexts, weights, *keys)
            order = np.lexsort([key for key in keys if key is not None])
        # a stable sort by user, in linear time
        entries = order, users[order], np.arange(len(users) + 1)
        by_user = sparse.csr_matrix(entries, shape=(len(users), shape[0])).tocsc()
        items = items.astype(np.int32, copy=False)
        if contexts is not None:
            contexts = contexts.astype(np.int32, copy=False)
        table = cls(shape[1], None, items, times, weights, chosen, contexts=contexts)
        if keeps_rewards:
            table = table._replace(rewards=rewards)
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
        rows, places = places_of(self.offsets, users)
        return self._at(places, np.searchsorted(rows, np.arange(len(users) + 1)))

    def only(self, users):
        """Return the events of users at sorted positions (n,); others have none."""
        sizes = np.zeros(self.n_users, dtype=np.int64)
        sizes[users] = np.diff(self.offsets)[users]
        return self.of_users(users)._replace(offsets=np.append(0, np.cumsum(sizes)))

    def events_at(self, kept):
        """Return the events where ``kept`` (n_events,) is True, of those in memory."""
        return self._at(np.flatnonzero(kept), np.append(0, kept.cumsum())[self.offsets])

    def _at(self, places, offsets):
        columns = {name: getattr(self, name) for name in COLUMNS}
        columns = {n: c if c is None else c[places] for n, c in columns.items()}
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
        places = _sparse.by_chunks(
            lambda part: np.searchsorted(items, part).astype(part.dtype), self.items
        )
        impressions = _sparse.take_columns(self.impressions, items)
        return self._replace(n_items=len(items), items=places, impressions=impressions)

    # What is computed for some users at a time

    def by_blocks(self, change):
        """Return the table of what ``change`` returns for each block of users."""
        sizes, columns = [], {}
        for part in map(change, self.blocks()):
            sizes.append(np.diff(part.offsets))
            given = {name: getattr(part, name) for name in COLUMNS}
            for name, values in given.items():
                if values is not None:
                    if name not in columns:
                        columns[name] = _sparse.growing(self.on_disk, values)
                    columns[name].append(values)
        found = dict.fromkeys(COLUMNS) | {n: c.finish() for n, c in columns.items()}
        offsets = np.append(0, np.cumsum(np.concatenate(sizes)))
        return self._replace(offsets=offsets, **found)

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
                part = part.events_at(part.chosen if chosen else ~part.chosen)
            # copies, as they are changed
            columns = part.gains.astype(float), part.items.copy(), part.offsets
            shape = part.n_users, self.n_items
            pairs.append(_sparse.summed(sparse.csr_matrix(columns, shape)))
        return pairs.finish()

    def chosen_pairs(self):
        """Return ones (n_users, n_items) where a user has chosen an item, CSR."""
        return self._replace(weights=None).pairs().sign()

    @property
    def gains(self):
        """The weights, also if all are 1."""
        return np.ones(self.n_events) if self.weights is None else self.weights

    def effective_number(self):
        """Return how many equal events the weights of what was chosen are worth.

        It is (sum w) ** 2 / sum(w ** 2), as of `Sums`.
        """
        found = Sums()
        for part in self.blocks():
            gains = part.gains if part.chosen is None else part.gains[part.chosen]
            found = Sums(*map(sum, zip(found, Sums.of(gains), strict=True)))
        return found.effective_number

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
        return sum(int(starts(b.users, b.times).sum()) for b in self.blocks())


def users_of_events(sizes, seed, n_events):
    """Return the sorted positions of random users with ``n_events`` together.

    ``sizes`` (n_users,): number of events of each.
    """
    order = np.random.default_rng(seed).permutation(len(sizes))
    n_users = np.searchsorted(np.cumsum(sizes[order]), n_events, side="right")
    return np.sort(order[: max(1, n_users)])


def _in_order(table):
    """Return what `EventTable.in_order` does, for a table in memory."""
    events = table.chosen_events()
    first = starts(events.users, events.times, events.items)
    weights = np.add.reduceat(events.gains, np.flatnonzero(first)).astype(np.float32)
    contexts = events.contexts
    if contexts is not None:
        contexts = contexts[np.append(first[1:], True)[: len(first)]]  # also of none
    events = events.events_at(first)._replace(weights=weights, contexts=contexts)
    if table.chosen is None:
        return events
    shown = ~table.chosen
    is_event = table.chosen.copy()
    is_event[is_event] = first
    owners = table.users[shown]
    place = np.minimum(np.cumsum(is_event)[shown], events.offsets[owners + 1] - 1)
    kept = place >= events.offsets[owners]
    items, weights = table.items[shown][kept], table.gains[shown][kept]
    shape = events.n_events, table.n_items
    impressions = _sparse.pair_matrix(place[kept], items, weights, shape)
    return events._replace(impressions=impressions)


def _gaps(table):
    """Return what `EventTable.gaps` does, for a table in memory."""
    users, times = table.users, table.times
    if not len(users):
        return np.zeros(0)
    begin = np.flatnonzero(starts(users, times))
    gaps = np.full(len(begin), np.nan)
    gaps[1:] = np.diff(times[begin].astype(float))
    gaps[starts(users)[begin]] = np.nan
    sizes = np.diff(np.append(begin, len(users)))
    # any order, but the same one for the same events, in memory and on disk
    hashed = table.items.astype(np.uint64) * FACTORS[0]
    hashed ^= times.astype(float).view(np.uint64) * FACTORS[1]
    hashed *= FACTORS[0]
    is_first = hashed == np.repeat(np.minimum.reduceat(hashed, begin), sizes)
    return np.where(is_first, np.repeat(gaps, sizes), 0.0)
