"""Training data in the order of time, and its batches: predict each next item.

Input: feature rows of both sides and the events of each user in order.
Output: per batch, inputs of both towers for n predictions, and the ``Targets``.
"""

from typing import NamedTuple

import numpy as np
import torch
from scipy import sparse

from sktwotower._tables._on_disk import (
    Rows,
    by_chunks,
    is_mapped,
    row_blocks,
    take_columns,
)

from ._batches import Batch, TrainingSet, UserBatches, as_pairs
from ._decays import Windows
from ._losses import Targets
from ._places import distinct, places_in
from ._sparse_rows import SparseRows

__all__ = ["Order", "SequenceBatches", "SequenceSet", "latest_events"]

# A batch of n users holds as many predictions as this times n.
EVENTS_PER_USER = 8


class Order(NamedTuple):
    """The events of users in the order of time, and which of them are predicted.

    Parameters
    ----------
    offsets : int array of shape (n_users + 1,)
        Start of each user's events.
    items : int array of shape (n_events,)
        Item of each event, oldest first.
    baskets : int array of shape (n_events,)
        Number of each event's basket within the user, ascending.
    weights : float32 array of shape (n_events,)
        Weight of each event as a target; 0: it is only context.
    impressions : CSR matrix of shape (n_events, n_items) or None, default=None
        Weights of items that were shown and not chosen next to an event.
    """

    offsets: np.ndarray
    items: np.ndarray
    baskets: np.ndarray
    weights: np.ndarray
    impressions: sparse.csr_matrix | None = None

    def of_users(self, users):
        """Return the events of a slice of the users, without impressions."""
        offsets = self.offsets[users.start : users.stop + 1]
        events = slice(int(offsets[0]), int(offsets[-1]))
        parts = self.items[events], self.baskets[events], self.weights[events]
        return Order(offsets - offsets[0], *parts)


class SequenceSet(TrainingSet):
    """What users chose in the order of time, and the features of users and items.

    Parameters
    ----------
    user_rows, item_rows
        As in `TrainingSet`.
    order : Order
        The events, with the impressions next to each.
    max_history : int
        Number of events of a user that are used, up to the last one to predict.
    """

    def __init__(self, user_rows, item_rows, order, max_history):
        shape = len(order.offsets) - 1, item_rows.shape[0]
        self.order = order
        self.max_history = max_history
        on_disk, windows = is_mapped(order.items), []
        chosen, weights = Rows(on_disk, shape[1]), []
        for block in row_blocks(order.offsets, on_disk):
            part = order.of_users(block)
            windows.append(_windows(part, max_history))
            matrix, used = _targets_within(part, *windows[-1], shape[1])
            chosen.append(matrix)
            weights.append((used.sum(dtype=float), np.count_nonzero(used)))
            windows[-1] = windows[-1] + order.offsets[block.start]
        self.starts, self.stops = np.concatenate(windows, axis=1)
        total, n_targets = np.sum(weights, axis=0)
        self.mean_weight = total / max(1, n_targets)
        chosen = chosen.finish()
        super().__init__(
            user_rows,
            item_rows,
            chosen,
            history=chosen,
            impressions=order.impressions,
        )

        self.lengths = self.stops - self.starts
        self.users = self.users[np.argsort(-self.lengths[self.users], kind="stable")]

    def n_batches(self, batch_size):
        """Return the number of batches of one epoch."""
        return len(self.groups(batch_size))

    def groups(self, batch_size):
        """Return a slice of ``users``, the longest sequences first, for each batch."""
        return _groups(self.lengths[self.users], EVENTS_PER_USER * batch_size)

    def with_items(self, items):
        """Return a set with only the items at sorted positions (m,)."""
        order, impressions = self.order, self.order.impressions
        places = by_chunks(
            lambda part: np.searchsorted(items, part).astype(part.dtype), order.items
        )
        if impressions is not None:
            impressions = take_columns(impressions, items)
        order = order._replace(items=places, impressions=impressions)
        rows = self.user_rows, self.item_rows[items]
        return SequenceSet(*rows, order, self.max_history)


def _windows(order, max_history):
    """Return start and end of the events of each user that are used, (2, n_users).

    They end with the last event to predict; users without one have none.
    """
    owners = np.repeat(np.arange(len(order.offsets) - 1), np.diff(order.offsets))
    stops = order.offsets[:-1].copy()
    targets = np.flatnonzero(order.weights > 0)
    stops[owners[targets]] = targets + 1  # the last assignment wins
    return np.stack([np.maximum(order.offsets[:-1], stops - max_history), stops])


def _targets_within(order, starts, stops, n_items):
    """Return the targets within windows as CSR (n_users, n_items), and their weights.

    ``starts``, ``stops``: as of `_windows`.
    """
    used = _within(starts, stops, len(order.items))
    used &= order.weights > 0
    owners = np.repeat(np.arange(len(starts)), np.diff(order.offsets))
    entries = order.weights[used], (owners[used], order.items[used])
    matrix = sparse.csr_matrix(entries, shape=(len(starts), n_items))
    return matrix, order.weights[used]


def _within(starts, stops, n):
    """Return which of n places lie in one of the ranges, bool (n,)."""
    steps = np.zeros(n + 1, dtype=np.int64)
    np.add.at(steps, starts, 1)
    np.add.at(steps, stops, -1)
    return np.cumsum(steps[:-1]) > 0


class SequenceBatches(UserBatches):
    """Iterate over batches of predictions: one pass is one epoch.

    Each event is predicted from the events before it and from the rest of its basket. A
    batch holds the events of users with sequences of about the same length. The
    parameters are those of `UserBatches`, with two differences: ``dataset`` is a
    ``SequenceSet``, of which a batch holds at most 8 times ``batch_size`` events, or
    those of one user; and every user has the same share of hidden past items.
    """

    def __init__(self, dataset, *args, **kwargs):
        super().__init__(dataset, *args, **kwargs)
        self.order = dataset.order
        self.mean_weight = dataset.mean_weight

    def __iter__(self):
        users = self.dataset.users
        groups = self.dataset.groups(self.batch_size)
        if self.shuffle:
            # the lengths stay as they are, and so does the number of batches
            lengths = self.dataset.lengths[users]
            users = users[np.lexsort((self.rng.random(len(users)), -lengths))]
            groups = [groups[i] for i in self.rng.permutation(len(groups))]
        else:  # the same candidates in every pass, so that losses can be compared
            self.rng = np.random.default_rng(self.seed)
        for group in groups:
            yield self._batch(users[group])

    def _batch(self, users):
        """Return the ``Batch`` and the ``Targets`` of an array of user positions."""
        events, real = self._events(users)
        target = real & (self.order.weights[events] > 0)
        places = np.flatnonzero(target)
        predicted = events.ravel()[places]
        chosen = self.order.items[predicted]
        impressions = self.dataset.impressions
        shown = None if impressions is None else impressions[predicted]
        positives = self.dataset.positives[users]
        candidates, log_q = self._candidates(positives, shown)
        kept = real & (self.rng.random(real.shape) >= self.history_dropout)
        past = distinct(self.order.items[events[kept]], positives.shape[1])
        rows, catalog = self._rows_of_items(candidates, past)
        history_items, items = self._past_items(rows, catalog, past, events, kept)
        item_rows = catalog
        if candidates is not None:
            item_rows = SparseRows.taken(rows, candidates)
        user_rows = SparseRows.from_csr(self.user_dropout.draw(users, self.rng))
        baskets = self.order.baskets[events]
        windows = Windows(
            torch.from_numpy(items),
            torch.from_numpy(_steps(baskets, real)),
            torch.from_numpy(kept.astype(np.float32)),
            torch.from_numpy(places),
            torch.from_numpy(_ends(baskets, real).ravel()[places]),
        )
        batch = Batch(user_rows, item_rows, history_items, windows)
        targets = self._targets_of(
            users, chosen, self.order.weights[predicted], shown, candidates, log_q
        )
        return batch, targets

    def _events(self, users):
        """Return events (t, b) of users, oldest first, and which are not padding."""
        starts, lengths = self.dataset.starts[users], self.dataset.lengths[users]
        steps = np.arange(lengths.max())[:, None]
        real = steps < lengths
        return np.where(real, starts + steps, starts), real

    def _past_items(self, rows, catalog, past, events, kept):
        """Return the rows of past items, and the row (t, b) among them of each event.

        ``past``: sorted positions (m,) of the items of the events that are ``kept``.
        """
        items = self.order.items[events]
        if catalog is not None and catalog is self.catalog:
            return catalog, items.astype(np.int64)
        if len(past) == 0:  # a table needs a row
            past = items[:1, 0]
        places = places_in(past, items, rows.shape[0])
        return SparseRows.taken(rows, past), np.where(kept, places, 0)

    def _targets_of(self, users, chosen, weights, shown, candidates, log_q):
        """Return the ``Targets`` of predictions (n,) against the candidates (c,)."""
        columns, positive_log_q = chosen.astype(np.int64), None
        if candidates is not None:
            n_items = self.dataset.positives.shape[1]
            columns = places_in(candidates, columns, n_items)
            if self.correction == "all":
                own = self.sampler.log_prob(len(users))[chosen]
                positive_log_q = torch.as_tensor(own, dtype=torch.float32)
        return Targets(
            torch.arange(len(chosen) + 1),
            torch.from_numpy(columns),
            torch.as_tensor(weights, dtype=torch.float32),
            None if log_q is None else torch.as_tensor(log_q, dtype=torch.float32),
            positive_log_q,
            None,
            None if shown is None else as_pairs(shown, candidates),
            self.mean_weight * len(chosen),
        )


def _groups(lengths, n_events):
    """Return slices of users of at most n_events with padding.

    A slice holds at least one user, even with more events, and only users by descending
    length.
    """
    groups, start = [], 0
    for end in [*np.flatnonzero(np.diff(lengths) > 0) + 1, len(lengths)]:
        while start < end:
            stop = start + max(1, n_events // max(1, int(lengths[start])))
            groups.append(slice(start, min(stop, end)))
            start = groups[-1].stop
    return groups


def _steps(baskets, real):
    """Return the steps (t, b) from the event before: 0 within a basket."""
    steps = np.zeros(baskets.shape, dtype=np.float32)
    steps[1:] = (baskets[1:] != baskets[:-1]) & real[1:]
    return steps


def _ends(baskets, real):
    """Return the place of the last event in the basket of each event, (t, b)."""
    length, n = baskets.shape
    last = np.ones(baskets.shape, dtype=bool)
    last[:-1] = (baskets[1:] != baskets[:-1]) | ~real[1:]
    rows = np.where(last, np.arange(length)[:, None], length)
    rows = np.minimum.accumulate(rows[::-1], axis=0)[::-1]
    return rows * n + np.arange(n)


def latest_events(past, max_history):
    """Return the last ``max_history`` entries of each row of a CSR matrix."""
    sizes = np.diff(past.indptr)
    if sizes.max(initial=0) <= max_history:
        return past
    starts = np.maximum(past.indptr[1:] - max_history, past.indptr[:-1])
    kept = np.arange(past.nnz) >= np.repeat(starts, sizes)
    offsets = np.append(0, np.cumsum(np.minimum(sizes, max_history)))
    parts = past.data[kept], past.indices[kept], offsets.astype(past.indptr.dtype)
    return sparse.csr_matrix(parts, shape=past.shape)
