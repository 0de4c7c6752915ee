"""Training data in the order of time, and its batches: predict each next item.

Input: feature rows of both sides and the events of each user in order.
Output: per batch, inputs of both towers for n predictions, and the ``Targets``.
"""

import numpy as np
import torch
from scipy import sparse

from sktwotower._tables._sparse import Rows
from sktwotower.towers.operators._compiled import COMPILED_FROM
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
        self.gaps = None
        if contexts is not None and contexts.sees_gaps:
            self.gaps = table.gaps()
        self.max_history = max_history
        chosen = Rows(table.on_disk, table.n_items)
        windows = []
        total_weight = 0.0
        self.n_targets = 0
        n_events_before = 0
        for block in table.blocks():
            starts, stops = _windows(block, max_history)
            windows.append([n_events_before + starts, n_events_before + stops])
            n_events_before += block.n_events
            # all targets are before the stops
            is_in_window = np.arange(block.n_events) >= starts[block.users]
            is_target = is_in_window & (block.weights > 0)
            weights = block.weights[is_target]
            total_weight += weights.sum(dtype=float)
            self.n_targets += np.count_nonzero(weights)
            pairs = (block.users[is_target], block.items[is_target])
            shape = (block.n_users, block.n_items)
            chosen.append(sparse.csr_matrix((weights, pairs), shape=shape))
        self.starts, self.stops = np.concatenate(windows, axis=1)
        self.mean_weight = total_weight / max(1, self.n_targets)
        positives = chosen.finish()
        super().__init__(
            user_rows,
            item_rows,
            positives,
            history=positives,
            impressions=table.impressions,
        )
        self.lengths = self.stops - self.starts
        longest_first = np.argsort(-self.lengths[self.users], kind="stable")
        self.users = self.users[longest_first]

    def groups(self, batch_size):
        """Return a slice of ``users``, the longest sequences first, for each batch.

        A slice has at most 8 times ``batch_size`` events with padding. It holds at
        least one user, even with more events, and only users by descending length.
        """
        lengths = self.lengths[self.users]
        n_events = EVENTS_PER_USER * batch_size
        groups = []
        start = 0
        ends_of_descents = np.flatnonzero(np.diff(lengths) > 0) + 1
        for end in [*ends_of_descents, len(lengths)]:
            while start < end:
                n_users = max(1, n_events // max(1, int(lengths[start])))
                stop = min(start + n_users, end)
                groups.append(slice(start, stop))
                start = stop
        return groups

    def with_items(self, items):
        """Return a set with only the items at sorted positions (m,)."""
        return SequenceSet(
            self.user_rows,
            self.item_rows[items],
            self.table.with_items(items),
            self.max_history,
            self.contexts_of_events,
        )

    def requests(self, events, rng):
        """Return the ``Requests`` of events to predict (n,), or None without contexts.

        Some contexts are hidden.
        """
        if self.contexts_of_events is None:
            return None
        gaps = None
        if self.gaps is not None:
            gaps = self.gaps[events]
        rows = self.contexts_of_events.rows(self.table, events, gaps)
        return Requests.of(some_hidden(rows, rng, self.contexts_of_events.of_items))


def _windows(table, max_history):
    """Return start and end of the events of each user that are used, (n_users,) each.

    They end with the last event to predict; users without one have none.
    """
    first_events = table.offsets[:-1]
    stops = first_events.copy()
    targets = np.flatnonzero(table.weights > 0)
    stops[table.users[targets]] = targets + 1  # the last assignment wins
    starts = np.maximum(first_events, stops - max_history)
    return starts, stops


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
        order = np.lexsort((self.rng.random(len(users)), -lengths))
        order_of_groups = self.rng.permutation(len(groups))
        return users[order], [groups[number] for number in order_of_groups]

    def _batch(self, users):
        """Return the ``Batch`` and the ``Targets`` of an array of user positions."""
        data = self.dataset
        table = data.table
        n_items = table.n_items

        # What is predicted, among which candidates
        events, is_event = self._events(users)
        places = np.flatnonzero(is_event & (table.weights[events] > 0))
        predicted = events.ravel()[places]
        chosen = table.items[predicted]
        shown = None
        if data.impressions is not None:
            shown = data.impressions[predicted]
        candidates, log_q = self.sampler.draw(data.positives[users], shown, self.rng)

        # What the towers see
        is_kept = is_event & (self.rng.random(is_event.shape) >= self.history_dropout)
        past = distinct(table.items[events[is_kept]], n_items)
        rows, item_rows = self._rows_of_items(candidates, past)
        history_items, items = self._past_items(rows, past, events, is_kept)
        user_rows = SparseRows.from_csr(self.user_dropout.draw(users, self.rng))
        times = table.times[events]
        ends = _ends(times, is_event).ravel()[places]
        windows = Windows(
            items=torch.from_numpy(items),
            steps=torch.from_numpy(_steps(times, is_event)),
            kept=torch.from_numpy(is_kept.astype(np.float32)),
            targets=torch.from_numpy(places),
            ends=torch.from_numpy(ends),
            compiles=table.n_events >= COMPILED_FROM,
        )
        requests = data.requests(predicted, self.rng)
        batch = Batch(user_rows, item_rows, history_items, windows, requests)

        one_per_row = np.arange(len(chosen) + 1)
        positives = sparse.csr_matrix(
            (table.weights[predicted], chosen, one_per_row),
            shape=(len(chosen), n_items),
        )
        seen = None
        if data.hides_past:
            seen = _seen(table.items[events], is_kept, ends, n_items)
        targets = self._targets(seen, positives, shown, candidates, log_q, len(users))
        targets.total_weight = data.mean_weight * max(len(chosen), data.least_batch)
        return batch, targets

    def _events(self, users):
        """Return events (t, b) of users, oldest first, and which are not padding."""
        starts = self.dataset.starts[users]
        lengths = self.dataset.lengths[users]
        steps = np.arange(lengths.max())[:, None]
        is_event = steps < lengths
        return np.where(is_event, starts + steps, starts), is_event

    def _past_items(self, rows, past, events, is_kept):
        """Return the rows of past items, and the row (t, b) among them of each event.

        ``past``: sorted positions (m,) of the items of the events that are kept.
        """
        items = self.dataset.table.items[events]
        if self.catalog is not None and not self.item_dropout.hides:
            return self.catalog, items.astype(np.int64)
        if len(past) == 0:  # a table needs a row
            past = items[:1, 0]
        rows_of_past = places_in(past, items, rows.shape[0])
        return SparseRows.taken(rows, past), np.where(is_kept, rows_of_past, 0)


def _steps(times, is_event):
    """Return the steps (t, b) from the event before: 0 within a basket."""
    begins_basket = (times[1:] != times[:-1]) & is_event[1:]
    steps = np.zeros(times.shape, dtype=np.float32)
    steps[1:] = begins_basket
    return steps


def _ends(times, is_event):
    """Return the place of the last event in the basket of each event, (t, b)."""
    n_steps, n_users = times.shape
    begins_basket = times[1:] != times[:-1]
    is_last = np.ones(times.shape, dtype=bool)
    is_last[:-1] = begins_basket | ~is_event[1:]
    # the next step, from each one on, that is the last of its basket
    steps = np.where(is_last, np.arange(n_steps)[:, None], n_steps)
    steps = np.minimum.accumulate(steps[::-1], axis=0)[::-1]
    return steps * n_users + np.arange(n_users)


def _seen(items, is_kept, ends, n_items):
    """Return ones, CSR (n, n_items), for the past items that each prediction sees.

    ``items`` (t, b): of the events of users, oldest first, of which some are kept;
    ``ends`` (n,): place of the last one until each prediction.
    """
    # the kept events of one user after the other, and where those of each begin
    kept_items = items.T[is_kept.T]
    n_kept = np.cumsum(is_kept, axis=0)
    starts = np.append(0, np.cumsum(n_kept[-1]))
    # each prediction sees the first ones of its user
    n_seen = n_kept.ravel()[ends]
    offsets = np.append(0, np.cumsum(n_seen))
    users = ends % items.shape[1]
    shifts = starts[users] - offsets[:-1]  # from entries of the result to kept ones
    places = np.arange(offsets[-1]) + np.repeat(shifts, n_seen)
    ones = np.ones(len(places), dtype=np.float32)
    shape = (len(ends), n_items)
    return sparse.csr_matrix((ones, kept_items[places], offsets), shape=shape)


def latest_events(past, max_history):
    """Return the last ``max_history`` entries of each row of a CSR matrix."""
    sizes = np.diff(past.indptr)
    if sizes.max(initial=0) <= max_history:
        return past
    first_kept = np.repeat(past.indptr[1:] - max_history, sizes)
    return entries_of(past, np.arange(past.nnz) >= first_kept)
