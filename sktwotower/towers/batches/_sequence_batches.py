"""Training data in the order of time, and its batches: predict each next item.

Input: feature rows of both sides and the events of each user in order.
Output: per batch, inputs of both towers for n predictions, and the ``Targets``.
"""

import numpy as np
import torch
from scipy import sparse

from sktwotower._tables._sparse import Rows
from sktwotower.towers.operators._decays import Windows
from sktwotower.towers.operators._positions import distinct, places_in
from sktwotower.towers.operators._sparse_rows import SparseRows

from ._batches import Batch, TrainingSet, UserBatches
from ._dropout import entries_of
from ._request_batches import Requests, some_hidden

# A batch of n users holds as many predictions as this times n.
EVENTS_PER_USER = 8


class SequenceSet(TrainingSet):
    """What users chose in the order of time, and the features of users and items.

    Parameters
    ----------
    user_rows, item_rows
        As in `TrainingSet`.
    table : EventTable
        The events, in order, with the impressions next to each.
    max_history : int
        Number of events of a user that are used, up to the last one to predict.
    contexts : EventContexts or None, default=None
        Feature rows of the contexts of events. None: they have none.

    Attributes
    ----------
    hides_past : bool
        Whether past items that a prediction sees are no negatives. False at first.
    """

    hides_past = False

    def __init__(self, user_rows, item_rows, table, max_history, contexts=None):
        self.table = table
        self.contexts_of_events = contexts
        self.gaps = table.gaps() if contexts and contexts.sees_gaps else None
        self.max_history = max_history
        windows, start = [], 0
        chosen, weights = Rows(table.on_disk, table.n_items), []
        for part in table.blocks():
            own = _windows(part, max_history)
            matrix, used = _targets_from(part, own[0])
            chosen.append(matrix)
            weights.append((used.sum(dtype=float), np.count_nonzero(used)))
            windows.append(start + own)
            start += part.n_events
        self.starts, self.stops = np.concatenate(windows, axis=1)
        total, self.n_targets = np.sum(weights, axis=0)
        self.mean_weight = total / max(1, self.n_targets)
        chosen, rows = chosen.finish(), (user_rows, item_rows)
        super().__init__(*rows, chosen, history=chosen, impressions=table.impressions)
        self.lengths = self.stops - self.starts
        self.users = self.users[np.argsort(-self.lengths[self.users], kind="stable")]

    def groups(self, batch_size):
        """Return a slice of ``users``, the longest sequences first, for each batch."""
        return _groups(self.lengths[self.users], EVENTS_PER_USER * batch_size)

    def with_items(self, items):
        """Return a set with only the items at sorted positions (m,)."""
        rows, table = self.item_rows[items], self.table.with_items(items)
        contexts = self.contexts_of_events
        return SequenceSet(self.user_rows, rows, table, self.max_history, contexts)

    def requests(self, events, rng):
        """Return the ``Requests`` of events to predict (n,), or None without contexts.

        Some contexts are hidden.
        """
        if self.contexts_of_events is None:
            return None
        gaps = None if self.gaps is None else self.gaps[events]
        rows = self.contexts_of_events.rows(self.table, events, gaps)
        return Requests.of(some_hidden(rows, rng))


def _windows(table, max_history):
    """Return start and end of the events of each user that are used, (2, n_users).

    They end with the last event to predict; users without one have none.
    """
    stops = table.offsets[:-1].copy()
    targets = np.flatnonzero(table.weights > 0)
    stops[table.users[targets]] = targets + 1  # the last assignment wins
    return np.stack([np.maximum(table.offsets[:-1], stops - max_history), stops])


def _targets_from(table, starts):
    """Return the targets within windows as CSR (n_users, n_items), and their weights.

    ``starts``: as of `_windows`.
    """
    # all targets are before the stops
    used = (np.arange(table.n_events) >= starts[table.users]) & (table.weights > 0)
    weights, users, items = (c[used] for c in (table.weights, table.users, table.items))
    shape = table.n_users, table.n_items
    return sparse.csr_matrix((weights, (users, items)), shape=shape), weights


class SequenceBatches(UserBatches):
    """Iterate over batches of predictions: one pass is one epoch.

    Each event is predicted from the events before it and from the rest of its basket. A
    batch holds the events of users with sequences of about the same length. The
    parameters are those of `UserBatches`, with two differences: ``dataset`` is a
    ``SequenceSet``, of which a batch holds at most 8 times ``batch_size`` events, or
    those of one user; and every user has the same share of hidden past items.
    """

    def _shuffled(self, users, groups):
        # the lengths stay as they are, and so does the number of batches
        lengths = self.dataset.lengths[users]
        users = users[np.lexsort((self.rng.random(len(users)), -lengths))]
        return users, [groups[i] for i in self.rng.permutation(len(groups))]

    def _batch(self, users):
        """Return the ``Batch`` and the ``Targets`` of an array of user positions."""
        data, table = self.dataset, self.dataset.table
        n_items, seen = table.n_items, None
        events, real = self._events(users)
        places = np.flatnonzero(real & (table.weights[events] > 0))
        predicted = events.ravel()[places]
        chosen = table.items[predicted]
        shown = None if data.impressions is None else data.impressions[predicted]
        candidates, log_q = self.sampler.draw(data.positives[users], shown, self.rng)
        kept = real & (self.rng.random(real.shape) >= self.history_dropout)
        past = distinct(table.items[events[kept]], n_items)
        rows, item_rows = self._rows_of_items(candidates, past)
        history_items, items = self._past_items(rows, past, events, kept)
        user_rows = SparseRows.from_csr(self.user_dropout.draw(users, self.rng))
        times = table.times[events]
        ends = _ends(times, real).ravel()[places]
        arrays = items, _steps(times, real), kept.astype(np.float32), places, ends
        windows = Windows(*map(torch.from_numpy, arrays))
        requests = data.requests(predicted, self.rng)
        parts = table.weights[predicted], chosen, np.arange(len(chosen) + 1)
        each = sparse.csr_matrix(parts, shape=(len(chosen), n_items))
        if data.hides_past:
            seen = _seen(table.items[events], kept, ends, n_items)
        targets = self._targets(seen, each, shown, candidates, log_q, len(users))
        targets.total_weight = data.mean_weight * max(len(chosen), data.least_batch)
        return Batch(user_rows, item_rows, history_items, windows, requests), targets

    def _events(self, users):
        """Return events (t, b) of users, oldest first, and which are not padding."""
        starts, lengths = self.dataset.starts[users], self.dataset.lengths[users]
        steps = np.arange(lengths.max())[:, None]
        real = steps < lengths
        return np.where(real, starts + steps, starts), real

    def _past_items(self, rows, past, events, kept):
        """Return the rows of past items, and the row (t, b) among them of each event.

        ``past``: sorted positions (m,) of the items of the events that are ``kept``.
        """
        items = self.dataset.table.items[events]
        if self.catalog is not None and not self.item_dropout.hides:
            return self.catalog, items.astype(np.int64)
        if len(past) == 0:  # a table needs a row
            past = items[:1, 0]
        places = places_in(past, items, rows.shape[0])
        return SparseRows.taken(rows, past), np.where(kept, places, 0)


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


def _steps(times, real):
    """Return the steps (t, b) from the event before: 0 within a basket."""
    steps = np.zeros(times.shape, dtype=np.float32)
    steps[1:] = (times[1:] != times[:-1]) & real[1:]
    return steps


def _ends(times, real):
    """Return the place of the last event in the basket of each event, (t, b)."""
    length, n = times.shape
    last = np.ones(times.shape, dtype=bool)
    last[:-1] = (times[1:] != times[:-1]) | ~real[1:]
    rows = np.where(last, np.arange(length)[:, None], length)
    rows = np.minimum.accumulate(rows[::-1], axis=0)[::-1]
    return rows * n + np.arange(n)


def _seen(items, kept, ends, n_items):
    """Return ones, CSR (n, n_items), for the past items that each prediction sees.

    ``items`` (t, b): of the events of users, oldest first, of which some are ``kept``;
    ``ends`` (n,): place of the last one until each prediction.
    """
    steps, owners = np.divmod(ends, items.shape[1])
    offsets = np.append(0, np.cumsum(steps + 1))
    rows = np.repeat(np.arange(len(ends)), steps + 1)
    places = np.arange(len(rows)) - offsets[rows], owners[rows]
    parts = np.ones(len(rows), dtype=np.float32), items[places], offsets
    past = sparse.csr_matrix(parts, shape=(len(ends), n_items))
    return entries_of(past, kept[places])


def latest_events(past, max_history):
    """Return the last ``max_history`` entries of each row of a CSR matrix."""
    sizes = np.diff(past.indptr)
    if sizes.max(initial=0) <= max_history:
        return past
    starts = past.indptr[1:] - max_history
    return entries_of(past, np.arange(past.nnz) >= np.repeat(starts, sizes))
