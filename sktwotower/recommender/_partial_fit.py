"""How `TwoTowerRecommender.partial_fit` updates fitted towers with further events.

Input: ``FittedTowers``, and events (n_events, n_columns), also of new users and items.
Output: a new ``Learnt`` value, with new users and items last.
"""

import copy
from dataclasses import replace

import numpy as np
import pandas as pd
from scipy import sparse

from sktwotower._tables._events import latest_rows, read_events
from sktwotower._tables._ids import as_type_of, check_ids, positions_of
from sktwotower._tables._sources import held_in_memory
from sktwotower._tables._times import times_of_events
from sktwotower.features import TowerVectorizer
from sktwotower.features._cells import read_cells
from sktwotower.towers import _net as net
from sktwotower.towers._batches import TrainingSet
from sktwotower.towers._blend import Blend
from sktwotower.towers._build import build_module, take_weights
from sktwotower.towers._callbacks import monitors_validation, schedules
from sktwotower.towers._sequences import SequenceSet

from ._auto import values_of_kind
from ._events import (
    Events,
    items_with_events,
    ordered_outcomes,
    outcome_matrices,
    seen_matrix,
)
from ._fit import check_values
from ._fitted import Learnt
from ._parts import joined, modules_of, pooled_recipe, recent_recipe
from ._together import check_same, random_state_of

__all__ = ["learn_more"]

# Learning rate relative to fit. It is constant: a few hundred events make one or two
# steps, too few for a schedule.
RATE_OF_FIT = 0.3


def learn_more(owner, tables, recipe, fitted, X, y, sample_weight):
    """Train for one pass over further events.

    Parameters
    ----------
    owner : str
        Name of the estimator in error messages.
    tables : TableRecipe
        Its side tables are used.
    recipe : Recipe
    fitted : FittedTowers
        The fitted state so far; it is not changed.
    X, y, sample_weight
        As in `TwoTowerRecommender.partial_fit`.

    Returns
    -------
    Learnt
        New users and new items come last.
    """
    check_values(recipe)
    X, y, sample_weight = held_in_memory(X, y, sample_weight, fitted.schema)
    frame, rewards, weights, _ = read_events(owner, X, y, sample_weight, fitted.schema)
    times = None
    if fitted.sequences is not None:
        schema = fitted.schema
        times, _ = times_of_events(frame, schema.time, schema, schema)
    users, user_codes, user_places = _updated(fitted.users, frame, tables.users)
    items, item_codes, item_places = _updated(fitted.items, frame, tables.items)
    codes, shape = (user_codes, item_codes), (len(users), len(items))
    positives, shown = outcome_matrices(codes, rewards, weights, shape)
    before = _seen_before(fitted, shape)
    seen = seen_matrix((before + positives).tocsr())
    seen.sort_indices()
    in_order = None
    if times is not None:
        in_order = ordered_outcomes(
            codes, (rewards, weights, times), shape, fitted.sequences
        )
    events = Events(users, items, positives, shown, in_order)
    check_same(recipe, events, fitted.net.module_)
    inputs = (user_places, users.width), (item_places, items.width)
    trained = _train(recipe, fitted, events, seen, inputs)
    epochs = fitted.epochs + net.epochs(trained)
    return Learnt(
        fitted.schema,
        users,
        items,
        seen,
        None if in_order is None else in_order.sequences,
        fitted.half_life,
        trained,
        epochs,
        fitted.candidate_sampling,
        fitted.temperature,
    )


def _seen_before(fitted, shape):
    """Return ones for the pairs of fit, in the ``shape`` with further events."""
    before = fitted.seen[:-1].copy()
    before.resize(shape)
    return before


def _recipes(recipe, fitted, events, seen):
    """Return the recipe of each pair of towers, with the choices of fit."""
    if recipe.history is not None and fitted.history_kind is not None:
        recipe = recipe._replace(history=fitted.history_kind)
    if recipe.impression_weight == "auto":
        weight = fitted.net.criterion__impression_weight
        recipe = recipe._replace(impression_weight=weight)
    of_fit = {
        "candidate_sampling": fitted.candidate_sampling,
        "temperature": fitted.temperature,
    }
    if not isinstance(fitted.net.module_, Blend):
        return [_one_pass(values_of_kind(recipe)._replace(**of_fit))]
    all_events = events._replace(positives=seen[:-1], ordered=None)
    return [
        _one_pass(values_of_kind(recent_recipe(recipe))._replace(**of_fit)),
        _one_pass(pooled_recipe(recipe, all_events)),
    ]


def _one_pass(recipe):
    """Return the recipe of one epoch at a constant rate, without validation."""
    params = dict(recipe.net_params or {})
    return recipe._replace(
        max_epochs=1,
        early_stopping=False,
        impression_start=0,
        lr=RATE_OF_FIT * params.pop("lr", recipe.lr),
        net_params=params | {"max_epochs": 1},
        callbacks=[
            each
            for each in recipe.callbacks or []
            if not monitors_validation([each]) and not schedules([each])
        ],
    )


def _train(recipe, fitted, events, seen, inputs):
    """Return a net that is trained on further events, starting from the fitted one.

    ``seen``: all events until now, ones (n_users + 1, n_items). ``inputs``: as the last
    two parameters of `take_weights`.
    """
    trained, random = [], random_state_of(recipe.random_state)
    before = modules_of(fitted.net.module_)
    recipes = _recipes(recipe, fitted, events, seen)
    for old, part in zip(before, recipes, strict=True):
        seed = random.randint(np.iinfo(np.int32).max)
        data = net.TrainingData(_training_set(part, fitted, events, seen))
        with net.seeded(seed, part.device):
            n_hidden = getattr(old.history, "n_hidden", 0)
            module = build_module(part, *(n for _, n in inputs), n_hidden)
            take_weights(part, module, old, *inputs)
            trained.append(net.train(part, module, data, seed, schedule=False))
    modules = [each.module_ for each in trained]
    return joined(trained, modules, getattr(fitted.net.module_, "pooled_share", 0))


def _training_set(recipe, fitted, events, seen):
    """Return the training set of further events, without items that have none."""
    users, items, positives, shown, in_order = events
    rows = users.rows[:-1], items.rows[:-1]
    if recipe.history == "recent":
        order = in_order.order
        if not recipe.takes_impressions:
            order = order._replace(impressions=None)
        training = SequenceSet(*rows, order, recipe.max_history)
    else:
        training = TrainingSet(
            *rows,
            positives,
            history=seen[:-1] if recipe.history is not None else None,
            impressions=shown if shown.nnz and recipe.takes_impressions else None,
            known=_seen_before(fitted, positives.shape),
        )
    active = items_with_events(seen + sparse.vstack([shown, seen[-1:]]))
    return training if len(active) == len(items) else training.with_items(active)


def _updated(entities, frame, table):
    """Return entities that include the ids and features of further events.

    Also return each event's position (n_events,), and the new positions (p,) of the
    feature columns so far.
    """
    label = f"{entities.side} column {entities.label!r}"
    ids = check_ids(frame[entities.id_column], label)
    unknown = positions_of(ids, entities.ids) < 0
    new = ids[unknown].unique().sort_values()
    known = entities.ids.append(as_type_of(new, entities.ids, label))
    codes = known.get_indexer(ids)
    transformer, places, fresh = _with_ids(entities, ids.unique())
    updated = replace(
        entities,
        table=table,
        ids=known,
        transformer=transformer,
        width=entities.width + len(fresh),
    )
    changed = np.zeros(len(known), dtype=bool)
    changed[known.get_indexer(fresh)] = True
    changed[len(entities.ids) :] = True
    if entities.features:
        changed[codes] = True
    rows = _with_changed(updated, np.flatnonzero(changed), places, frame, codes)
    return replace(updated, rows=rows), codes, places


def _with_ids(entities, ids):
    """Return the transformer with a column for each id, if it is a TowerVectorizer.

    Also return the new positions of the columns so far, and the ids that got a column.
    """
    transformer, places = entities.transformer, np.arange(entities.rows.shape[1])
    if not isinstance(transformer, TowerVectorizer):
        return transformer, places, ids[:0]
    transformer = copy.copy(transformer)
    transformer.encoders_, start = [], 0
    cells, _ = read_cells(ids.to_series(), entities.id_column)
    fresh = np.zeros(len(ids), dtype=bool)
    for position, encoder in entities.transformer.encoders_:
        start += len(encoder.names)
        if encoder.kind == "id" and encoder.name == entities.id_column:
            encoder, fresh = encoder.extended(cells)
            places[start:] += fresh.sum()
        transformer.encoders_.append((position, encoder))
    return transformer, places, ids[fresh]


def _with_changed(updated, changed, places, frame, codes):
    """Return feature rows (n + 1, p), with those that changed computed again."""
    own = frame[updated.features]
    if updated.features:  # then exactly the entities of X have changed
        places_of_codes = np.searchsorted(changed, codes)
        own = latest_rows(
            own, places_of_codes, len(changed), f"column {updated.label!r}"
        )
    else:
        own = pd.DataFrame(index=range(len(changed)))
    rows = updated.describe_anew(changed, own)
    n, old = len(updated.ids), updated.rows[:-1].tocoo()
    width = rows.shape[1] if len(changed) else old.shape[1]
    before = sparse.csr_matrix(
        (old.data, (old.row, places[old.col])), shape=(n + 1, width), dtype=np.float32
    )
    source = np.arange(n + 1)
    source[changed] = n + 1 + np.arange(len(changed))
    return sparse.vstack([before, rows], format="csr")[source]
