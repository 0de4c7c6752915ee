"""The order of events, as training and validation read it.

Input: times (n_events,) of events, with the positions of their users and items.
Output: ``Sequences``, and ``Order`` values for training and for validation.
"""

from typing import NamedTuple

import numpy as np
from scipy import sparse

from sktwotower._tables._messages import warn
from sktwotower._tables._on_disk import Column, Rows, by_chunks, is_mapped, row_blocks
from sktwotower._tables._sequences import Sequences, sequences
from sktwotower._tables._sparse import pair_matrix, rows_of
from sktwotower.towers._sequences import Order

__all__ = [
    "Ordered",
    "OrderedRows",
    "aged",
    "history_kind",
    "hold_out_latest",
    "kind_of_order",
    "order_of",
    "ordered",
    "ordered_after",
]


class Ordered(NamedTuple):
    """Events in the order of time.

    Parameters
    ----------
    sequences : Sequences
        Past items of each user.
    order : Order
        The same events, with their weights as targets.
    """

    sequences: Sequences
    order: Order

    def weighted_pairs(self):
        """Return the summed weights (n_users, n_items) of the events, CSR."""
        n_items = self.sequences.lags.shape[1]
        pairs = Rows(self.on_disk, n_items)
        for _, part in self.blocks():
            rows, items, _ = part.sequences.events()
            shape = len(part.order.offsets) - 1, n_items
            pairs.append(pair_matrix(rows, items, part.order.weights, shape))
        return pairs.finish()

    @property
    def on_disk(self):
        """Whether the events are memory maps."""
        return is_mapped(self.order.items)

    def blocks(self):
        """Yield slices of users, with the ``Ordered`` events of these users.

        In memory all users are one slice.
        """
        for block in row_blocks(self.order.offsets, self.on_disk):
            yield block, self._of(block)

    def _of(self, block):
        """Return the events of a slice of the users."""
        if not self.on_disk:
            return self
        offsets = self.order.offsets[block.start : block.stop + 1]
        events = slice(int(offsets[0]), int(offsets[-1]))
        in_order = self.sequences.of_users(block)
        impressions = rows_of(self.order.impressions, events)
        weights = self.order.weights[events]
        return Ordered(in_order, order_of(in_order, weights, impressions))


def history_kind(history, times, users):
    """Return what ``history`` stands for: "pooled", "recent" or None.

    ``times`` and ``users``: of the positive events, (n_events,) each; times None if
    there is no time column.
    """
    if history not in ("auto", "recent"):
        return history
    if times is None:
        if history == "recent":
            raise ValueError(
                "history='recent' needs the order of events: name the column of X that "
                "says when, as in time='timestamp'. Without one, use 'pooled'."
            )
        return "pooled"
    same_time = bool(len(times) and (times == times[0]).all())
    repeated = np.bincount(users).max(initial=0) > 1
    return kind_of_order(history, len(times), same_time, repeated)


def kind_of_order(history, n_events, same_time, repeated):
    """Return what ``history`` ("auto" or "recent") stands for, with a time column.

    ``n_events``: number of positive events. ``same_time``: whether all have one time.
    ``repeated``: whether a user has two.
    """
    if same_time:
        warn(
            f"All {n_events} positive events have the same time, so their order is "
            "unknown: history='pooled' was used. Check the time column."
        )
        return "pooled"
    if not repeated:
        warn(
            "No user has two positive events, so there is no next item to predict: "
            "history='pooled' was used."
        )
        return "pooled"
    return "recent"


def ordered(users, items, times, weights, shape, impressions=None):
    """Return ``Ordered`` events.

    Parameters
    ----------
    users, items : int arrays of shape (n_events,)
        Positions of the user and of the item of each event.
    times : array of shape (n_events,)
    weights : array of shape (n_events,)
        Weight of each event as a target; 0: it is only context.
    shape : (n_users, n_items)
    impressions : tuple of four arrays of shape (n_shown,), default=None
        Users, items, times and weights of what was shown and not chosen.
    """
    in_order, weights = sequences(users, items, times, weights, shape)
    shown = None
    if impressions is not None and len(impressions[0]):
        shown = _at_next_event(in_order, *impressions)
    return Ordered(in_order, order_of(in_order, weights, shown))


def ordered_after(before, users, items, times, weights, shape, impressions=None):
    """Return ``Ordered`` events that follow those of ``Sequences``.

    Its ``order`` holds users with new events only; their earlier events have the weight
    0. The other parameters are those of `ordered`.
    """
    touched, own = np.unique(users, return_inverse=True)
    n_before = before.lags.shape[0] - 1
    known = before.events(np.where(touched < n_before, touched, n_before))
    events = (*known, np.zeros(len(known[0]))), (own, items, times, weights)
    events = (np.concatenate(pair) for pair in zip(*events, strict=True))
    if impressions is not None:
        theirs = np.isin(impressions[0], touched)
        owners, *rest = (each[theirs] for each in impressions)
        impressions = (np.searchsorted(touched, owners), *rest)
    part = ordered(*events, (len(touched), shape[1]), impressions)
    sizes = np.zeros(shape[0], dtype=np.int64)
    sizes[touched] = np.diff(part.order.offsets)
    order = part.order._replace(offsets=np.append(0, np.cumsum(sizes)))
    return Ordered(before.replaced(touched, part.sequences, shape), order)


def aged(events, half_life):
    """Return ``Ordered`` events whose weights halve with each half-life of age."""
    if half_life is None:
        return events
    latest = float(events.sequences.times.max())

    def weighed(weights, times):
        ages = latest - times.astype(float)
        by_age = weights * 0.5 ** (ages / half_life)
        # Only proportions count; none may vanish.
        by_age = np.maximum(by_age, np.finfo(np.float32).tiny).astype(np.float32)
        by_age[weights == 0] = 0
        return by_age

    weights = by_chunks(weighed, events.order.weights, events.sequences.times)
    return events._replace(order=events.order._replace(weights=weights))


def order_of(in_order, weights, impressions=None):
    """Return the ``Order`` of ``Sequences``; the parameters are those of `Order`."""
    lags = in_order.lags
    baskets = by_chunks(lambda lag: -lag.astype(np.int32), lags.data)
    return Order(lags.indptr[:-1], lags.indices, baskets, weights, impressions)


def _at_next_event(in_order, users, items, times, weights):
    """Return impressions as CSR (n_events, n_items), at the user's next event.

    That is the first event at the time of the impression or later or, if there is none,
    the user's last one. Impressions of users without events are left out.
    """
    owners, _, event_times = in_order.events()
    n_events = len(owners)
    every_user = np.concatenate([owners, users])
    every_time = np.concatenate([event_times, times])
    is_event = np.arange(len(every_user)) < n_events
    order = np.lexsort((is_event, every_time, every_user))
    event = np.where(is_event[order], order, n_events)
    following = np.minimum.accumulate(event[::-1])[::-1]
    place = np.empty(len(order), dtype=np.int64)
    place[order] = following
    place = place[n_events:]
    last = in_order.lags.indptr[users + 1] - 1
    place = np.minimum(place, last)
    kept = place >= in_order.lags.indptr[users]
    shape = n_events, in_order.lags.shape[1]
    return pair_matrix(place[kept], items[kept], weights[kept], shape)


class OrderedRows:
    """``Ordered`` events that grow by users, in memory or as memory maps.

    Parameters
    ----------
    on_disk : bool
    n_items : int
    """

    def __init__(self, on_disk, n_items):
        self.on_disk, self.part = on_disk, None
        self.lags = Rows(on_disk, n_items)
        self.times, self.weights = Column(on_disk), Column(on_disk)
        self.impressions = Rows(on_disk, n_items)
        self.any_shown = False

    def append(self, events):
        """Add the events of further users."""
        self.part = events
        if not self.on_disk:
            return
        in_order, order = events
        self.lags.append(in_order.lags[:-1])
        self.times.append(in_order.times)
        self.weights.append(order.weights)
        shown, n_items = order.impressions, in_order.lags.shape[1]
        if shown is None:
            shown = sparse.csr_matrix((len(order.items), n_items), dtype=np.float32)
        self.any_shown |= order.impressions is not None
        self.impressions.append(shown)

    def finish(self):
        """Return all ``Ordered`` events."""
        if not self.on_disk:
            return self.part
        lags = self.lags.finish()
        offsets = np.append(lags.indptr, lags.indptr[-1:])
        parts = lags.data, lags.indices, offsets
        lags = sparse.csr_matrix(parts, shape=(len(offsets) - 1, lags.shape[1]))
        in_order = Sequences(lags, self.times.finish())
        shown = self.impressions.finish()
        if not self.any_shown:
            shown = None
        return Ordered(in_order, order_of(in_order, self.weights.finish(), shown))


def hold_out_latest(events):
    """Hold out the last basket of each user who has two.

    Parameters
    ----------
    events : Ordered

    Returns
    -------
    kept : Ordered
        The events before.
    validation : Order or None
        All events; those held out are the targets. None: nothing can be held out.
    held_out : CSR matrix of shape (n_users, n_items)
        Ones for the items held out.
    """
    order, on_disk = events.order, events.on_disk
    n_items = events.sequences.lags.shape[1]
    kept, weights = OrderedRows(on_disk, n_items), Column(on_disk)
    held_out = Rows(on_disk, n_items)
    for _, part in events.blocks():
        before, of_held, held = _hold_out_latest(part)
        kept.append(before)
        weights.append(of_held)
        held_out.append(held)
    held_out = held_out.finish()
    if held_out.nnz == 0:
        return events, None, None
    validation = order._replace(weights=weights.finish(), impressions=None)
    return kept.finish(), validation, held_out


def _hold_out_latest(events):
    """Return the ``Ordered`` events before, weights (n_events,), and held-out items.

    Weights are 0 except for the events that are held out.
    """
    in_order, order = events
    lags = in_order.lags
    owners, items, times = in_order.events()
    n_users = lags.shape[0] - 1
    n_baskets = np.zeros(n_users + 1, dtype=np.int64)
    np.maximum.at(n_baskets, owners, lags.data.astype(np.int64))
    held = (lags.data == 1) & (n_baskets[owners] > 1) & (order.weights > 0)
    kept = ~held
    shape = n_users, lags.shape[1]
    before = ordered(owners[kept], items[kept], times[kept], order.weights[kept], shape)
    if order.impressions is not None:
        before = _with_impressions(before, order, kept)
    held_out = pair_matrix(owners[held], items[held], np.ones(held.sum()), shape)
    return before, np.where(held, order.weights, 0), held_out


def _with_impressions(before, order, kept):
    """Return events with the impressions at those that are ``kept``."""
    impressions = order.impressions[np.flatnonzero(kept)]
    return before._replace(order=before.order._replace(impressions=impressions))
