"""The events that towers are trained on, and those held out for validation.

Input: a ``Recipe`` and ``Events``.
Output: ``TrainingData``.
"""

from sktwotower._tables._messages import warn
from sktwotower.towers import _net as net
from sktwotower.towers._batches import TrainingSet
from sktwotower.towers._callbacks import monitors_validation
from sktwotower.towers._sequence_batches import SequenceSet

from ._order import hold_out_latest
from ._validation_recall import ValidationRecall, hold_out

__all__ = ["training_data"]


def training_data(recipe, events, rng):
    """Return the recipe and ``TrainingData``, with validation if it is needed."""
    if recipe.history == "recent":
        return _ordered_training_data(recipe, events, rng)
    users, items, positives, impressions, in_order = events
    used = impressions.nnz and recipe.takes_impressions
    monitored = monitors_validation(recipe.callbacks)
    fitted, held = positives, None
    if _validates(recipe):
        if in_order is None:
            fitted, held = hold_out(positives, recipe.validation_fraction, rng)
        else:
            kept, _, held = hold_out_latest(in_order)
            fitted = kept.pairs()
        if held is None:
            recipe = _without_validation(recipe, monitored)
    rows = {"user_rows": users.rows[:-1], "item_rows": items.rows[:-1]}
    past = fitted if recipe.history is not None else None
    training = TrainingSet(
        **rows,
        positives=fitted,
        history=past,
        impressions=impressions if used else None,
    )
    validation = evaluate = None
    if held is not None:
        validation = TrainingSet(**rows, positives=held, history=past, known=fitted)
        evaluate = ValidationRecall(recipe, users, items, (fitted, past), held, rng)
    active = events.active_items()
    if len(active) < positives.shape[1]:
        training = training.with_items(active)
        validation = validation and validation.with_items(active)
    return recipe, net.TrainingData(training, validation, evaluate)


def _validates(recipe):
    """Return whether training needs events held out for validation."""
    return recipe.early_stopping or monitors_validation(recipe.callbacks)


def _ordered_training_data(recipe, events, rng):
    """Return what `training_data` does, for events in the order of time."""
    users, items, in_order = events.users, events.items, events.ordered
    used = events.impressions.nnz and recipe.takes_impressions
    if not used:
        in_order = in_order._replace(impressions=None)
    validation = evaluate = None
    if _validates(recipe):
        in_order, latest, held = hold_out_latest(in_order)
        if held is None:
            recipe = _without_validation(recipe, monitors_validation(recipe.callbacks))
        else:
            past = None, in_order.lags()
            evaluate = ValidationRecall(recipe, users, items, past, held, rng)
            validation = _sequence_set(recipe, events, latest)
    training = _sequence_set(recipe, events, in_order)
    return recipe, net.TrainingData(training, validation, evaluate)


def _sequence_set(recipe, events, table):
    active = events.active_items()
    rows = events.users.rows[:-1], events.items.rows[:-1]
    data = SequenceSet(*rows, table, recipe.max_history)
    return data if len(active) == rows[1].shape[0] else data.with_items(active)


def _without_validation(recipe, monitored):
    """Return the recipe without early stopping, which needs held-out events."""
    reason = "No user has two positive pairs, so none can be held out for validation"
    if monitored:
        raise ValueError(
            f"{reason}, but one of callbacks monitors a figure on it. Leave that "
            "callback out, or fit on users with more events."
        )
    warn(f"{reason}: early_stopping has no effect. Fit on users with more events.")
    return recipe._replace(early_stopping=False)
