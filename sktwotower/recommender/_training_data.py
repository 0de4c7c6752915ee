"""The events that towers are trained on, and the recall on those held out from them.

Input: a ``Recipe`` and ``Events``.
Output: ``TrainingData``, whose ``evaluate`` returns the recall after each epoch.
"""

from typing import NamedTuple

import numpy as np
from scipy import sparse

from sktwotower._tables._messages import warn
from sktwotower._tables._sparse import Rows, is_mapped, row_blocks, rows_of
from sktwotower.metrics import recall_at_k
from sktwotower.neighbors._top_k import top_k
from sktwotower.towers._auto import user_power
from sktwotower.towers.batches._batches import TrainingSet
from sktwotower.towers.batches._dropout import entries_of
from sktwotower.towers.batches._sequence_batches import SequenceSet
from sktwotower.towers.parts import distinct_ones, embed_items, embed_users
from sktwotower.towers.processes._exchange import GOES_ON
from sktwotower.towers.processes._group import current_group, summed
from sktwotower.towers.training import _net as net
from sktwotower.towers.training._callbacks import monitors_validation

from ._events import hold_out_latest, only_new_targets

# With this many users the standard error of recall is below 0.01.
MAX_USERS = 2000


def validates(recipe):
    """Return whether some events are held out for validation."""
    return recipe.early_stopping or monitors_validation(recipe.callbacks)


class Divided(NamedTuple):
    """Training set, and what is held out for validation; None where there is nothing.

    ``validation``: the set for the loss of validation. ``past``: CSR (n_users, n_items)
    of what is known of users then, and ``held_out``: of the pairs to find.
    """

    training: TrainingSet | SequenceSet
    validation: TrainingSet | SequenceSet | None
    past: sparse.csr_matrix | None
    held_out: sparse.csr_matrix | None


def data_without(recipe, events, before, rng):
    """Return ``TrainingData`` that lack some events until the last epochs.

    ``before``: the ``Events`` without them.
    """
    training = _divided(recipe, before, False, rng).training
    complete = _divided(recipe, events, False, rng).training
    active = events.active_items()
    if len(active) < len(events.items):
        training = training.with_items(active)
        complete = complete.with_items(active)
    return net.TrainingData(training, complete=complete)


def training_data(recipe, events, rng):
    """Return the recipe and ``TrainingData``, with validation if it is needed."""
    divided = _divided(recipe, events, validates(recipe), rng)
    training = divided.training
    validation = divided.validation
    evaluate = None
    if divided.held_out is not None:
        evaluate = ValidationRecall(recipe, events, divided.past, divided.held_out, rng)
    elif validates(recipe):
        reason = "No user has two positive pairs, so none can be held out for"
        reason += " validation"
        if monitors_validation(recipe.callbacks):
            raise ValueError(
                f"{reason}, but one of callbacks monitors a figure on it. Leave that "
                "callback out, or fit on users with more events."
            )
        warn(f"{reason}: early_stopping has no effect. Fit on users with more events.")
        recipe = recipe._replace(early_stopping=False)
    active = events.active_items()
    if len(active) < len(events.items):
        training = training.with_items(active)
        if validation is not None:
            validation = validation.with_items(active)
    return recipe, net.TrainingData(training, validation, evaluate)


def _divided(recipe, events, validates, rng):
    """Return ``Events`` as a `Divided`; ``validates``: whether some are held out."""
    user_rows = events.users.rows[:-1]
    item_rows = events.items.rows[:-1]
    # any process may have impressions
    shows = summed(events.impressions.nnz) and recipe.takes_impressions
    if recipe.history.sees_order:
        in_order = events.ordered
        if not shows:
            in_order = in_order._replace(impressions=None)
        if recipe.exclude_seen:
            in_order = only_new_targets(in_order)
        held_out = None
        if validates:
            in_order, latest, held_out = hold_out_latest(in_order)
        options = recipe.max_history, events.contexts
        training = SequenceSet(user_rows, item_rows, in_order, *options)
        if held_out is None:
            return Divided(training, None, None, None)
        validation = SequenceSet(user_rows, item_rows, latest, *options)
        return Divided(training, validation, in_order.lags(), held_out)

    # pairs of users and items without an order
    kept = events.positives
    held_out = None
    if validates and events.ordered is None:
        kept, held_out = hold_out(kept, recipe.validation_fraction, rng)
    elif validates:
        before, _, held_out = hold_out_latest(events.ordered)
        kept = before.pairs()
    options = {"contexts": events.of_pairs}
    if recipe.history.sees_past:
        options["history"] = kept
    if shows:
        options["impressions"] = events.impressions
    if events.ordered is None:
        options["user_power"] = user_power(events)
    validation = None
    if held_out is not None:
        history = options.get("history")
        validation = TrainingSet(
            user_rows, item_rows, held_out, history=history, known=kept
        )
        if events.of_pairs is not None:
            options["contexts"] = events.of_pairs.without(held_out)
    training = TrainingSet(user_rows, item_rows, kept, **options)
    return Divided(training, validation, kept, held_out)


def hold_out(positives, fraction, rng):
    """Hold out a random share of the positive pairs; return (kept, held out).

    Each user keeps at least one pair, and at least one pair is held out. If no user has
    two pairs nothing can be held out, and the second is None.
    """
    on_disk = is_mapped(positives.indices)
    n_items = positives.shape[1]
    sides = [Rows(on_disk, n_items) for _ in range(2)]
    for block in row_blocks(positives.indptr, on_disk):
        pairs = rows_of(positives, block)
        n_users = pairs.shape[0]
        user_of_pair = np.repeat(np.arange(n_users), np.diff(pairs.indptr))
        held = rng.uniform(size=pairs.nnz) < fraction
        # of users of whom nothing would be left, nothing is held out
        n_left = np.bincount(user_of_pair[~held], minlength=n_users)
        held &= n_left[user_of_pair] > 0
        for side, chosen in zip(sides, (~held, held), strict=True):
            side.append(entries_of(pairs, chosen))
    kept, held_out = (side.finish() for side in sides)
    if not summed(held_out.nnz):
        # by chance none: a single pair of a user who has several
        sizes = np.diff(positives.indptr)
        several = np.flatnonzero(np.repeat(sizes, sizes) > 1)
        held = np.zeros(positives.nnz, dtype=bool)
        if len(several):
            held[rng.choice(several)] = True
        kept = entries_of(positives, ~held)
        held_out = entries_of(positives, held)
    if not summed(held_out.nnz):
        return positives, None
    return kept, held_out


class ValidationRecall:
    """Recall at ``n_neighbors`` on held-out pairs, ranking the whole catalog.

    Parameters
    ----------
    recipe : Recipe
        Its ``n_neighbors`` and ``history`` are used.
    events : Events
        Their users and items.
    past : CSR matrix of shape (n_users, n_items)
        Training pairs, or their lags: excluded from the ranking, and what the user
        tower sees if the model has a history. An item may occur more than once.
    held_out : CSR matrix of shape (n_users, n_items)
        Pairs to find.
    rng : numpy.random.RandomState
        Draws a sample of 2,000 users if there are more.
    """

    def __init__(self, recipe, events, past, held_out, rng):
        rows = np.flatnonzero(np.diff(held_out.indptr))
        group = current_group()
        max_users = MAX_USERS
        if group is not None:
            max_users = MAX_USERS // group.size
        if len(rows) > max_users:
            rows = np.sort(rng.choice(rows, max_users, replace=False))
        self.truth = held_out[rows]
        self.user_rows = events.users.rows[rows]
        self.item_rows = events.items.rows[:-1]
        self.history = None
        if recipe.history.sees_past:
            self.history = past[rows]
        self.seen = distinct_ones(past[rows])
        self.k = recipe.n_neighbors

    def __call__(self, module, exchange=None):
        """Return the recall, in [0, 1]; that of all users of all processes.

        ``exchange``: an ``Exchange``, or None.
        """
        if exchange is None:
            return float(self._recall(module).mean())
        recalls = np.zeros(0)
        with exchange.fetched(self._columns(exchange.layers)):
            if len(self.truth.indptr) > 1:
                recalls = self._recall(module)
        headers = exchange.header(GOES_ON, recalls.sum(), len(recalls))
        _, total, n_users, *_ = headers.sum(axis=0)
        return float(total / n_users)

    def _columns(self, layers):
        """Return the columns of tables that are needed, by the name of the layer."""
        rows_of = {
            "user_tower": self.user_rows,
            "item_tower": self.item_rows,
            "history": self.item_rows,
        }
        columns = {}
        for name in layers:
            rows = rows_of.get(name.partition(".")[0])
            if rows is not None:
                columns[name] = np.unique(rows.indices).astype(np.int64)
        return columns

    def _recall(self, module):
        """Return the recall (n,) of each user."""
        items = embed_items(module, self.item_rows)
        users = embed_users(module, self.user_rows, self.history, self.item_rows)
        # recall is at k, even if there are fewer items than k
        _, ranked = top_k(users, items, min(self.k, len(items)), self.seen)
        return recall_at_k(self.truth, ranked, self.k, per_user=True)
