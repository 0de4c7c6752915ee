"""One pass over the latest events, after all others.

Input: a ``Plan`` and its trained part, and the time from which events are the latest.
Output: the part, which has moved towards them.
"""

import copy

import numpy as np

from sktwotower._tables._messages import stage, verbose_inside
from sktwotower.towers.batches._batches import TrainingSet
from sktwotower.towers.batches._sequence_batches import SequenceSet
from sktwotower.towers.processes._division import keep_own_rows
from sktwotower.towers.processes._group import rank, summed
from sktwotower.towers.training._net import TrainingData, seeded, train

from ._events import only_new_targets
from ._processes import divisions_of

# Learning rates to try, relative to that of the fit. The first one is taken unless
# another one is better beyond noise.
RATES = 0.0, 0.1, 0.2, 0.5
# Number of users in a batch.
BATCH = 512


def untied_copy(part):
    """Return a copy of a part in training, whose items have vectors of their own."""
    part = copy.deepcopy(part)
    part.untie()
    return part


def learn_latest(plan, part, start, rate, seed):
    """Train a part on the events of a ``Plan`` from a time ``start`` on, in place.

    Return whether it came to its end, and was not interrupted. ``rate``: learning rate,
    relative to that of the recipe, and constant. What all items share is not trained.

    Several processes train together, each on the events of its own users. Then the part
    has the rows of all processes, also if it had only its own ones.
    """
    recipe = _one_pass(plan.recipe, rate)
    training = _latest_events(recipe, plan.events, start)
    if not summed(len(training)):
        return True
    if part.divisions is None:
        keep_own_rows(part, divisions_of(plan.events))
    data = TrainingData(training)
    # what is drawn around it stays the same, also in a fit that goes on
    with seeded(seed + rank(), recipe.device), stage("latest events"):
        with part.keeping_shared():
            net = train(recipe, part, data, seed, schedule=False)
    return not net.interrupted_


def _latest_events(recipe, events, start):
    """Return the training set of the events from a time on."""
    rows = events.users.rows[:-1], events.items.rows[:-1]
    table = events.ordered._replace(impressions=None)
    if recipe.exclude_seen:
        table = only_new_targets(table)
    is_latest = table.column(lambda part: part.times >= start)
    earlier = events_at(table, ~is_latest).pairs()
    if recipe.history.sees_order:
        weights = np.where(is_latest, table.gains, 0).astype(np.float32)
        latest = table._replace(weights=weights)
        training = SequenceSet(*rows, latest, recipe.max_history, events.contexts)
        training.hides_past = recipe.exclude_seen
    else:
        latest = events_at(table, is_latest & (table.gains > 0)).pairs()
        training = TrainingSet(*rows, latest, history=events.positives, known=earlier)
    training.earlier = [earlier]
    active = events.active_items()
    training.pool = None
    if len(active) < len(events.items):
        training.pool = active
    return training


def events_at(table, chosen):
    """Return the events where ``chosen`` (n_events,), also of a table on disk."""
    starts = iter(np.append(0, np.cumsum([b.n_events for b in table.blocks()])))

    def of_block(block):
        start = next(starts)
        return block.events_at(np.asarray(chosen[start : start + block.n_events]))

    return table.by_blocks(of_block)


def _one_pass(recipe, rate):
    """Return the recipe of one epoch at a constant rate, not validated."""
    params = dict(recipe.net_params or {})
    params["lr"] = rate * params.get("lr", recipe.lr)
    params |= {"max_epochs": 1, "batch_size": BATCH}
    return recipe._replace(
        net_params=params,
        callbacks=[],
        early_stopping=False,
        impression_weight=0.0,
        impression_start=0,
        verbose=verbose_inside(recipe.verbose),
    )
