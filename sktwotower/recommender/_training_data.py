"""The events that towers are trained on, and the recall on those held out from them.

Input: a ``Recipe`` and ``Events``.
Output: ``TrainingData``, whose ``evaluate`` returns the recall after each epoch.
"""

import numpy as np

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


def data_without(recipe, events, before, rng):
    """Return ``TrainingData`` that lack some events until the last epochs.

    ``before``: the ``Events`` without them.
    """
    divided = _sequence_sets if recipe.history.sees_order else _pair_sets
    training, *_ = divided(recipe, before, False, rng)
    complete, *_ = divided(recipe, events, False, rng)
    active = events.active_items()
    if len(active) < len(events.items):
        training = training.with_items(active)
        complete = complete.with_items(active)
    return net.TrainingData(training, complete=complete)


def training_data(recipe, events, rng):
    """Return the recipe and ``TrainingData``, with validation if it is needed."""
    divided = _sequence_sets if recipe.history.sees_order else _pair_sets
    training, validation, past, held = divided(recipe, events, validates(recipe), rng)
    evaluate = None
    if held is not None:
        evaluate = ValidationRecall(recipe, events, past, held, rng)
    elif validates(recipe):
        monitored = monitors_validation(recipe.callbacks)
        recipe = _without_validation(recipe, monitored)
    active = events.active_items()
    if len(active) < len(events.items):
        training = training.with_items(active)
        validation = validation and validation.with_items(active)
    return recipe, net.TrainingData(training, validation, evaluate)


def _shows(recipe, events):
    """Return whether any process has impressions that count."""
    return summed(events.impressions.nnz) and recipe.takes_impressions


def _pair_sets(recipe, events, validates, rng):
    """Return training and validation set, past items, and the pairs held out.

    The last ones are those of ``ValidationRecall``. What is not there is None.
    """
    kept = events.positives
    held = None
    validation = None
    if validates and events.ordered is None:
        kept, held = hold_out(kept, recipe.validation_fraction, rng)
    elif validates:
        before, _, held = hold_out_latest(events.ordered)
        kept = before.pairs()
    rows = (events.users.rows[:-1], events.items.rows[:-1])
    contexts = events.of_pairs
    past = kept if recipe.history.sees_past else None
    if held is not None:
        validation = TrainingSet(*rows, held, history=past, known=kept)
        contexts = None if contexts is None else contexts.without(held)
    impressions = events.impressions if _shows(recipe, events) else None
    how = {"impressions": impressions, "contexts": contexts}
    if events.ordered is None:
        how["user_power"] = user_power(events)
    return TrainingSet(*rows, kept, history=past, **how), validation, kept, held


def _sequence_sets(recipe, events, validates, rng):
    """Return what `_pair_sets` does, for events in the order of time."""
    in_order = events.ordered
    latest = None
    held = None
    if not _shows(recipe, events):
        in_order = in_order._replace(impressions=None)
    if recipe.exclude_seen:
        in_order = only_new_targets(in_order)
    if validates:
        in_order, latest, held = hold_out_latest(in_order)
    rows = events.users.rows[:-1], events.items.rows[:-1]
    how = (recipe.max_history, events.contexts)
    past = None
    training = SequenceSet(*rows, in_order, *how)
    validation = None
    if held is not None:
        validation = SequenceSet(*rows, latest, *how)
        past = in_order.lags()
    return training, validation, past, held


def _without_validation(recipe, monitored):
    """Return the recipe without early stopping, which needs held-out events."""
    reason = "No user has two positive pairs, so none can be held out for validation"
    if monitored:
        found = "one of callbacks monitors a figure on it"
        remedy = "Leave that callback out, or fit on users with more events."
        raise ValueError(f"{reason}, but {found}. {remedy}")
    warn(f"{reason}: early_stopping has no effect. Fit on users with more events.")
    return recipe._replace(early_stopping=False)


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
        row = np.repeat(np.arange(pairs.shape[0]), np.diff(pairs.indptr))
        held = rng.uniform(size=pairs.nnz) < fraction
        held &= np.bincount(row[~held], minlength=pairs.shape[0])[row] > 0
        for side, chosen in zip(sides, (~held, held), strict=True):
            side.append(entries_of(pairs, chosen))
    kept, held_out = (side.finish() for side in sides)
    if not summed(held_out.nnz):
        kept, held_out = _hold_out_one(positives, rng)
    return (kept, held_out) if summed(held_out.nnz) else (positives, None)


def _hold_out_one(positives, rng):
    """Return what `hold_out` does, with a single pair held out."""
    sizes = np.diff(positives.indptr)
    several = np.flatnonzero(np.repeat(sizes, sizes) > 1)
    held = np.zeros(positives.nnz, dtype=bool)
    if len(several):
        held[rng.choice(several)] = True
    return entries_of(positives, ~held), entries_of(positives, held)


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
        n = MAX_USERS // (1 if group is None else group.size)
        if len(rows) > n:
            rows = np.sort(rng.choice(rows, n, replace=False))
        self.truth = held_out[rows]
        self.user_rows = events.users.rows[rows]
        self.item_rows = events.items.rows[:-1]
        self.history = past[rows] if recipe.history.sees_past else None
        self.seen = distinct_ones(past[rows])
        self.k = recipe.n_neighbors

    def __call__(self, module, exchange=None):
        """Return the recall, in [0, 1]; that of all users of all processes.

        ``exchange``: an ``Exchange``, or None.
        """
        if exchange is None:
            return float(self._recall(module).mean())
        found = np.zeros(0)
        with exchange.fetched(self._columns(exchange.layers)):
            if len(self.truth.indptr) > 1:
                found = self._recall(module)
        headers = exchange.header(GOES_ON, found.sum(), len(found))
        _, total, n_users, *_ = headers.sum(axis=0)
        return float(total / n_users)

    def _columns(self, layers):
        """Return the columns of tables that are needed, by the name of the layer."""
        rows = {"user_tower": self.user_rows}
        rows |= dict.fromkeys(("item_tower", "history"), self.item_rows)
        rows = {n: rows.get(n.partition(".")[0]) for n in layers}
        columns = {n: np.unique(r.indices) for n, r in rows.items() if r is not None}
        return {n: each.astype(np.int64) for n, each in columns.items()}

    def _recall(self, module):
        """Return the recall (n,) of each user."""
        items = embed_items(module, self.item_rows)
        users = embed_users(module, self.user_rows, self.history, self.item_rows)
        # recall is at k, even if there are fewer items than k
        _, found = top_k(users, items, min(self.k, len(items)), self.seen)
        return recall_at_k(self.truth, found, self.k, per_user=True)
