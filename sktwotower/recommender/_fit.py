"""How `TwoTowerRecommender.fit` turns a table of events into trained towers.

Input: an interaction table X (n_events, n_columns) with outcomes y, and recipes.
Output: a ``Learnt`` value: users, items, seen (n_users + 1, n_items), trained net.
"""

from numbers import Integral
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from scipy import sparse
from sklearn.utils import check_random_state

from sktwotower._tables._columns import Columns
from sktwotower._tables._events import read_events
from sktwotower._tables._messages import warn
from sktwotower._tables._sparse import pair_matrix
from sktwotower._tables._times import times_of_events
from sktwotower.features._caching import in_cache
from sktwotower.features._entities import Entities, fit_entities
from sktwotower.towers import _net as net
from sktwotower.towers._batches import TrainingSet
from sktwotower.towers._build import build_module, scale_weights, take_weights
from sktwotower.towers._callbacks import LATEST_START, monitors_validation
from sktwotower.towers._dropout import id_columns
from sktwotower.towers._optimizer import optimizer_class
from sktwotower.towers._sequences import SequenceSet

from ._ages import with_ages
from ._fitted import Learnt
from ._order import (
    Ordered,
    history_kind,
    hold_out_latest,
    ordered,
    with_context,
)
from ._validation_recall import ValidationRecall, hold_out

__all__ = [
    "TableRecipe",
    "check_values",
    "items_with_events",
    "learn",
    "seen_matrix",
    "values_of_kind",
]

# Up to this many items every item is a candidate for every user, unless they have so
# many feature values that embedding all items takes longer than the rest of a step.
FULL_SOFTMAX_ITEMS = 50_000
FULL_SOFTMAX_ENTRIES = 250_000
# Highest "auto" temperature with a hidden layer.
HIDDEN_LAYER_TEMPERATURE = 0.1
# Number of events per item from which on a recent history has a hidden layer.
EVENTS_FOR_HIDDEN_LAYER = 100
# Values of "auto", by the kind of history.
AUTO = {
    "pooled": {"dropout": 0.5, "n_negatives": 2048, "max_epochs": 30},
    "recent": {"dropout": 0.2, "n_negatives": 512, "max_epochs": 6},
    "recent, hidden layer": {"dropout": 0.1, "n_negatives": 512, "max_epochs": 6},
}
# Multiplies the initial weights of columns that several rows share, where there are id
# columns as well: training starts from a model of ids only.
SHARED_COLUMN_SCALE = 0.1


class TableRecipe(NamedTuple):
    """Parameters of `TwoTowerRecommender` on how tables are read, by the same names."""

    user_id: object
    item_id: object
    user_features: object
    item_features: object
    users: object
    items: object
    user_transformer: object
    item_transformer: object
    memory: object
    time: object = None

    @classmethod
    def of(cls, estimator):
        """Return the recipe of an estimator."""
        return cls._make(getattr(estimator, name) for name in cls._fields)


class Events(NamedTuple):
    """Users, items, and CSR matrices (n_users, n_items) of the outcomes of events.

    ``positives`` holds summed rewards, ``impressions`` the weights of items that were
    shown and not chosen. ``ordered`` holds the positives in the order of time, or None
    if their order is not used.
    """

    users: Entities
    items: Entities
    positives: sparse.csr_matrix
    impressions: sparse.csr_matrix
    ordered: Ordered | None

    def active_items(self):
        """Return the positions (m,) of the items with at least one event."""
        return items_with_events(self.positives + self.impressions)


def learn(owner, tables, recipe, X, y, sample_weight, before=None):
    """Learn users, items and towers from events.

    Parameters
    ----------
    owner : str
        Name of the estimator in error messages.
    tables : TableRecipe
    recipe : Recipe
    X, y, sample_weight
        As in `TwoTowerRecommender.fit`.
    before : FittedTowers, default=None
        Training starts from its weights if ``warm_start``.

    Returns
    -------
    Learnt
    """
    check_values(recipe)
    in_cache(tables.memory)
    frame, rewards, weights, schema = read_events(owner, X, y, sample_weight)
    columns = Columns(frame, tables, schema.names is not None)
    times, schema = times_of_events(frame, columns.time, schema)
    events, kind = _read_sides(
        tables, columns, frame, (rewards, weights, times), recipe.history
    )
    recipe = recipe._replace(history=kind)
    n_users, n_active = events.positives.shape[0], len(events.active_items())
    _check_n_items(n_active, n_users, len(frame))
    _check_negatives(recipe, events.positives, n_active)
    recipe, half_life = _resolved(recipe, events), None
    rng = check_random_state(recipe.random_state)
    if events.ordered is not None:
        seed = rng.randint(np.iinfo(np.int32).max)
        events, half_life = with_ages(recipe, events, schema.dates, seed)
    trained = _train(recipe, events, before, rng)
    return Learnt(
        schema,
        events.users,
        events.items,
        seen_matrix(events.positives),
        None if events.ordered is None else events.ordered.sequences,
        half_life,
        trained,
        net.epochs(trained),
        recipe.candidate_sampling,
        trained.criterion_.temperature,
    )


def check_values(recipe):
    """Check parameters beyond the types and ranges of ``CONSTRAINTS``."""
    sizes = recipe.hidden_layer_sizes
    if any(isinstance(s, bool) or not isinstance(s, Integral) or s < 1 for s in sizes):
        raise ValueError(
            f"hidden_layer_sizes must be a tuple of ints >= 1. Got {sizes!r}."
        )
    for callback in recipe.callbacks or []:
        instance = callback[-1] if isinstance(callback, tuple) else callback
        if not hasattr(instance, "on_train_begin"):
            raise TypeError(
                "callbacks must be skorch callbacks, or (name, callback) pairs. Got "
                f"{callback!r}."
            )
    optimizer_class(recipe.optimizer)
    if "callbacks" in (recipe.net_params or {}):
        raise ValueError("Pass skorch callbacks as callbacks=, not in net_params.")
    try:
        torch.empty(0, device=recipe.device)
    except (RuntimeError, AssertionError) as error:
        raise ValueError(
            f"device={recipe.device!r} cannot be used here: {error}"
        ) from None


def _read_sides(tables, columns, frame, outcomes, history):
    """Return ``Events`` of a table of events, and what ``history`` stands for.

    ``outcomes``: rewards, weights and times (n_events,); times may be None.
    """
    memory = tables.memory
    users, user_codes = fit_entities(
        "user",
        columns.user,
        columns.labels[0],
        columns.user_features,
        tables.users,
        tables.user_transformer,
        frame,
        memory,
    )
    items, item_codes = fit_entities(
        "item",
        columns.item,
        columns.labels[1],
        columns.item_features,
        tables.items,
        tables.item_transformer,
        frame,
        memory,
    )
    codes, shape = (user_codes, item_codes), (len(users), len(items))
    rewards, weights, times = outcomes
    positives, impressions = outcome_matrices(codes, rewards, weights, shape)
    chosen = rewards > 0
    of_chosen = None if times is None else times[chosen]
    kind = history_kind(history, of_chosen, user_codes[chosen])
    in_order = None
    if kind == "recent":
        in_order = ordered_outcomes(codes, outcomes, shape)
    return Events(users, items, positives, impressions, in_order), kind


def outcome_matrices(codes, rewards, weights, shape):
    """Return positives by reward, and impressions by weight, as CSR of ``shape``.

    ``codes``: positions of the user and of the item of each event, both (n_events,).
    """

    def matrix(chosen, values):
        pairs = (side[chosen] for side in codes)
        return pair_matrix(*pairs, values[chosen], shape)

    return matrix(rewards > 0, rewards * weights), matrix(rewards == 0, weights)


def ordered_outcomes(codes, outcomes, shape, before=None):
    """Return the positives as ``Ordered``, with impressions at the next event.

    ``codes``: as in `outcome_matrices`. ``outcomes``: rewards, weights and times.
    ``before``: ``Sequences`` of earlier events, which are context.
    """
    rewards, weights, times = outcomes
    chosen, shown = rewards > 0, rewards == 0
    gains = rewards[chosen] * weights[chosen]
    impressions = (*(side[shown] for side in codes), times[shown], weights[shown])
    events = (*(side[chosen] for side in codes), times[chosen], gains)
    if before is not None:
        events = with_context(before, *events)
    return ordered(*events, shape, impressions)


def _check_n_items(n_active, n_users, n_events):
    if n_active < 2:
        raise ValueError(
            f"X holds only one item (n_samples={n_events}, n_users={n_users}), so "
            "there is nothing to choose between: events of at least 2 items are "
            "required. Rows with y = 0 (shown and not chosen) count."
        )


def _check_negatives(recipe, positives, n_active):
    """Check that there are negatives: without them every loss is zero.

    With a recent history all other items are negatives, also those of the user.
    """
    n_chosen = np.diff(positives.indptr)
    n_users = (n_chosen > 0).sum()
    if recipe.history != "recent" and n_chosen[n_chosen > 0].min() == n_active:
        message = (
            f"Nothing can be learnt: all {n_active} items of X were chosen by all "
            f"users (n_users={n_users}), so there are no negatives. Add events of "
            "more users and items, or rows with y = 0."
        )
        if n_users == 1:
            raise ValueError(message)
        warn(message)
    n_together = min(recipe.batch_size, n_users)
    if recipe.candidate_sampling == "in_batch" and n_together < 2:
        raise ValueError(
            "candidate_sampling='in_batch' takes the negatives of a user from the "
            f"others in the batch, but a batch holds {n_together} user. Raise "
            "batch_size, or use 'full' or 'mixed'."
        )


def _has_hidden_layer(recipe, events):
    """Return whether there are enough events for a hidden layer of a recent history."""
    if events.ordered is None:
        return False
    n_items = len(np.unique(events.positives.indices))
    return len(events.ordered.order.items) >= EVENTS_FOR_HIDDEN_LAYER * n_items


def values_of_kind(recipe, has_hidden_layer=False):
    """Return the recipe with the values of "auto" that depend on ``history``."""
    kind = "recent" if recipe.history == "recent" else "pooled"
    kind = "recent, hidden layer" if has_hidden_layer else kind
    chosen = {
        name: value
        for name, value in AUTO[kind].items()
        if getattr(recipe, name) == "auto"
    }
    return recipe._replace(**chosen)


def _resolved(recipe, events):
    """Return the recipe with values in place of "auto"."""
    recipe = values_of_kind(recipe, _has_hidden_layer(recipe, events))
    sampling, temperature = recipe.candidate_sampling, recipe.temperature
    if sampling == "auto":
        small = events.positives.shape[1] <= FULL_SOFTMAX_ITEMS
        small = small and events.items.rows.nnz <= FULL_SOFTMAX_ENTRIES
        small = small and recipe.history != "recent"
        sampling = "full" if small else "mixed"
    if temperature == "auto":
        temperature = auto_temperature(len(np.unique(events.positives.indices)))
        if _has_hidden_layer(recipe, events):
            temperature = min(temperature, HIDDEN_LAYER_TEMPERATURE)
    return recipe._replace(candidate_sampling=sampling, temperature=temperature)


def auto_temperature(n_items):
    """Return the temperature for a catalog with that many chosen items.

    The formula was fitted to the best validated values of six data sets. Learning the
    temperature with the training loss leads to values that are far too low.
    """
    return float(np.clip(1.05 * n_items**-0.25, 0.05, 0.2))


def _train(recipe, events, before, rng):
    seed = rng.randint(np.iinfo(np.int32).max)
    recipe, data = _training_data(recipe, events, rng)
    with net.seeded(seed, recipe.device):
        module = _build(recipe, events, before)
        return net.train(recipe, module, data, seed)


def _training_data(recipe, events, rng):
    """Return the recipe and ``TrainingData``, with validation if it is needed."""
    if events.ordered is not None:
        return _ordered_training_data(recipe, events, rng)
    users, items, positives, impressions, _ = events
    used = impressions.nnz and recipe.takes_impressions
    monitored = monitors_validation(recipe.callbacks)
    fitted, held = positives, None
    if _validates(recipe, used):
        fitted, held = hold_out(positives, recipe.validation_fraction, rng)
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


def _validates(recipe, shows_impressions):
    """Return whether training needs events held out for validation."""
    plateau = shows_impressions and recipe.impression_start == "plateau"
    monitored = monitors_validation(recipe.callbacks)
    return recipe.early_stopping or plateau or monitored


def _ordered_training_data(recipe, events, rng):
    """Return what `_training_data` does, for events in the order of time."""
    users, items, in_order = events.users, events.items, events.ordered
    used = events.impressions.nnz and recipe.takes_impressions
    if not used:
        in_order = in_order._replace(order=in_order.order._replace(impressions=None))
    validation = evaluate = None
    if _validates(recipe, used):
        in_order, latest, held = hold_out_latest(in_order)
        if held is None:
            recipe = _without_validation(recipe, monitors_validation(recipe.callbacks))
        else:
            past = in_order.sequences.lags[:-1]
            seen = (past + 0 * events.positives).sign()
            evaluate = ValidationRecall(recipe, users, items, (seen, past), held, rng)
            validation = _sequence_set(recipe, events, latest)
    training = _sequence_set(recipe, events, in_order.order)
    return recipe, net.TrainingData(training, validation, evaluate)


def _sequence_set(recipe, events, order):
    active = events.active_items()
    rows = events.users.rows[:-1], events.items.rows[:-1]
    data = SequenceSet(*rows, order, recipe.max_history)
    return data if len(active) == rows[1].shape[0] else data.with_items(active)


def _without_validation(recipe, monitored):
    """Return the recipe without the parameters that need held-out events."""
    reason = "No user has two positive pairs, so none can be held out for validation"
    if monitored:
        raise ValueError(
            f"{reason}, but one of callbacks monitors a figure on it. Leave that "
            "callback out, or fit on users with more events."
        )
    warn(
        f"{reason}: early_stopping and impression_start='plateau' have no effect. Fit "
        "on users with more events."
    )
    start = recipe.impression_start
    start = LATEST_START if start == "plateau" else start
    return recipe._replace(early_stopping=False, impression_start=start)


def items_with_events(events):
    """Return the positions (m,) of the items with events in a CSR matrix.

    Other items are not negatives: nobody has been shown them.
    """
    return np.flatnonzero(_have_events(events, axis=0))


def _have_events(matrix, axis):
    """Return which columns (axis 0) or rows (axis 1) of a CSR matrix hold an entry."""
    return np.asarray(matrix.getnnz(axis=axis)) > 0


def _scales(entities, active):
    """Return the factors (p,) of the initial first-layer weights of each input.

    0 for inputs that none of the ``active`` (n,) rows has: they are not trained, and
    random weights would add noise to the vectors of new users and items. 0.1 for shared
    columns when there are id columns as well, so that training starts from a model of
    ids only.
    """
    rows = entities.rows[:-1]
    scales = np.ones(rows.shape[1])
    ids = id_columns(rows)
    if ids.any():
        scales[~ids] = SHARED_COLUMN_SCALE
    scales[~_have_events(rows[active], axis=0)] = 0
    return scales


def _build(recipe, events, before):
    """Return a new ``TwoTower``, with the weights of ``before`` on ``warm_start``."""
    users, items, positives, impressions, _ = events
    n_hidden = recipe.embedding_dim if _has_hidden_layer(recipe, events) else 0
    widths = users.rows.shape[1], items.rows.shape[1]
    module = build_module(recipe, *widths, n_hidden)
    # Users without positives are in no batch, items without positives in no history.
    scale_weights(
        recipe,
        module,
        user_tower=_scales(users, _have_events(positives, 1)),
        item_tower=_scales(items, _have_events(positives + impressions, 0)),
        history=_scales(items, _have_events(positives, 0)),
    )
    if recipe.warm_start and before is not None:
        _take_weights_by_id(recipe, module, before, users, items)
    return module


def _take_weights_by_id(recipe, module, before, users, items):
    """Copy the weights of the fit before, matching ids in any order."""
    sides = [(before.users, users), (before.items, items)]
    places = [_places_by_name(old, new) for old, new in sides]
    old, new = before.net.module_.state_dict(), module.state_dict()
    shapes = [{name: value.shape for name, value in s.items()} for s in (old, new)]
    if any(p is None for p in places) or shapes[0] != shapes[1]:
        raise ValueError(
            "warm_start=True needs the same users, items, features and tower sizes as "
            "the fit before. Fit with warm_start=False to start anew."
        )
    inputs = [(p, len(p)) for p in places]
    take_weights(recipe, module, before.net.module_, *inputs)


def _places_by_name(old, new):
    """Return the positions (p,) in ``new`` of the feature columns of ``old``.

    None if ids or columns differ. Columns without names are matched by position, which
    requires the same order of ids.
    """
    if len(old) != len(new) or not old.ids.isin(new.ids).all():
        return None
    names = [entities.feature_names() for entities in (old, new)]
    if None in names:
        same = old.width == new.width and np.array_equal(old.ids, new.ids)
        return np.arange(new.width) if same else None
    if names[0] == names[1]:  # also if two columns have one name
        return np.arange(new.width)
    before, now = map(pd.Index, names)
    if len(before) != len(now) or not now.is_unique or not before.isin(now).all():
        return None
    return now.get_indexer(before)


def seen_matrix(positives):
    """Return ones (n_users + 1, n_items) for positives; the last row is empty."""
    seen = positives.copy()
    seen.data[:] = 1
    empty = sparse.csr_matrix((1, seen.shape[1]), dtype=np.float32)
    return sparse.vstack([seen, empty], format="csr")
