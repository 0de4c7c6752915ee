"""How `TwoTowerRecommender.partial_fit` updates fitted towers with further events.

Input: ``FittedTowers``, and events (n_events, n_columns), also of new users and items.
Output: ``FittedTowers`` with new users and items last, and the changed items.
"""

from dataclasses import replace
from typing import NamedTuple

import numpy as np
from scipy import sparse

from sktwotower._tables._event_table import EventTable
from sktwotower._tables._reward_scale import on_scale
from sktwotower._tables._schema import read_events, times_of_further
from sktwotower._tables._sources import held_in_memory
from sktwotower._tables._sparse import have_entries, without_last_row
from sktwotower.features._after_fit import grown
from sktwotower.towers._auto import values_of_kind, with_values
from sktwotower.towers.batches._batches import TrainingSet
from sktwotower.towers.batches._gaps import ItemStream
from sktwotower.towers.batches._sequence_batches import SequenceSet
from sktwotower.towers.histories import PooledHistory
from sktwotower.towers.losses._given_loss import check_goes_on
from sktwotower.towers.parts import lengths, moved_items
from sktwotower.towers.processes._group import alone
from sktwotower.towers.sparse_parts import recomputed, size_of
from sktwotower.towers.training._callbacks import monitors_validation, schedules
from sktwotower.towers.training._net import (
    TrainingData,
    joined,
    seeded,
    train,
    with_model,
)
from sktwotower.towers.training._optimizer import without_direction

from ._asked import times_of_requests
from ._context_weights import feature_weights
from ._contexts import further_contexts, with_item_cells
from ._events import Events, after, are_known, only_new_targets, seen_matrix
from ._fit import check_values
from ._fitted import FittedTowers
from ._processes import check_events, check_same, random_state_of
from ._weights_after import with_weights_after

# Number of users in a batch with "auto". The events of a night are few: with the
# batches of fit they would be one or two steps, which have to be large. Steps of a
# recent history vary more: in a shop those of more users were better.
PARTIAL_BATCH = 128
RECENT_BATCH = 512
# Learning rate, relative to that of fit. Next week's purchases in a shop and the next
# ratings of films were found best with 0.2 to 0.3.
PARTIAL_RATE = 0.2
# By how many times more events sparse parts are computed anew.
ENOUGH_MORE = 1.02
# Up to this number of pairs of user and item no id is hidden: if those of both sides
# are, their gradients may cancel out, and nothing is learnt.
MAX_FEW = 10


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
    learnt : FittedTowers or None
        New users and new items come last; what requests need is that of before. None: X
        has no rows that count, and side tables no new ones.
    changed : int array of shape (m,)
        Positions of the items whose vectors may be others than before.
    """
    check_values(recipe)
    check_goes_on(fitted.net, recipe)
    for name, named_now, named_in_fit in (
        ("user_id", tables.user_id, fitted.users.id_column),
        ("item_id", tables.item_id, fitted.items.id_column),
        ("time", tables.time, fitted.schema.time),
    ):
        if isinstance(named_now, str) and named_now != named_in_fit:
            raise ValueError(
                f"{name}={named_now!r}, but fit had {named_in_fit!r}. Restore the "
                "parameters of fit, or fit anew."
            )
    X, y, sample_weight = held_in_memory(X, y, sample_weight, fitted.schema)
    frame, rewards, weights, _ = read_events(owner, X, y, sample_weight, fitted.schema)
    rewards = on_scale(rewards, fitted.reward_scale)
    check_events(len(frame))
    call, described = _read_call(tables, fitted, frame, rewards, weights)
    events = call.events
    check_same(recipe, events, fitted.model)
    if len(frame) == 0 and call.after.seen.shape == fitted.seen.shape:
        return None, described

    # the columns that tell events apart: the time also if order is not used
    columns = fitted.users.id_column, fitted.items.id_column, fitted.schema.time
    told_apart = frame[[name for name in columns if name is not None]]
    # what was not learnt may be given again
    outcomes = rewards * (recipe.lr > 0), weights
    stream = fitted.stream.with_pass(told_apart, outcomes, call.known)
    stream = stream.with_items(np.arange(len(fitted.items)), len(events.items))

    # the same seed has other numbers in each call
    random_state = recipe.random_state
    if isinstance(random_state, (int, np.integer)):
        n_calls = len(fitted.epochs)
        numbers = np.random.SeedSequence([int(random_state), n_calls])
        random_state = numbers.generate_state(1)[0]
    rng = random_state_of(random_state)

    with alone():  # all processes that train together learn the same
        fitted = with_weights_after(recipe, fitted, events, call.inputs)
        net, stream = _train(recipe, fitted, call, stream, rng)
    learnt = replace(call.after, net=net, stream=stream)

    # items with another vector: moved, chosen for the first time, or described anew
    rows = without_last_row(events.items.rows)
    feature_columns, _ = call.inputs["item"]
    moved = moved_items(fitted.model, net.model, rows, feature_columns)
    was_cold = fitted.stream.gaps.never_hit
    is_cold = stream.gaps.never_hit[: len(was_cold)]
    chosen_first = np.flatnonzero(was_cold & ~is_cold)
    return learnt, np.union1d(np.union1d(moved, chosen_first), described)


class _Call(NamedTuple):
    """The events of one call, and what was known before.

    ``before``: ones (n_users, n_items) for the pairs before the call. ``after``: the
    state with all events, not yet learnt. ``order``: positions of users in the order of
    their first rows. ``inputs``: of all sides, as the last parameter of `Part.grown`.
    ``known``: whether fit, or an earlier call, has had an event (n_events,).
    """

    events: Events
    before: sparse.csr_matrix
    after: FittedTowers
    order: np.ndarray
    inputs: dict
    known: np.ndarray


def _read_call(tables, fitted, frame, rewards, weights):
    """Return a ``_Call``, and the positions of items with other features than before.

    ``rewards`` and ``weights``: those of the rows of ``frame``, (n_events,).
    """
    times = None
    schema = fitted.schema
    if fitted.sequences is not None:
        times = times_of_further(frame, schema)
    users, user_codes, user_inputs, _ = grown(fitted.users, frame, tables.users)
    items, item_codes, item_inputs, described = grown(fitted.items, frame, tables.items)
    shape = len(users), len(items)
    item_columns = schema.item_context
    frame = with_item_cells(frame, item_columns, items, item_codes, fitted.items)
    contexts, codes, places = further_contexts(fitted.context, frame, item_columns)
    if times is None and contexts is not None:
        times = times_of_requests(contexts.context, frame, "X")
    outcomes = times, rewards, weights
    table = EventTable.of(user_codes, item_codes, shape, *outcomes, codes)
    events = Events.of(users, items, table, PooledHistory(), contexts)
    sequences = None
    known = np.zeros(len(frame), dtype=bool)
    before = sparse.csr_matrix(fitted.seen)  # it shares the arrays
    before.resize(shape)
    if fitted.sequences is not None:
        known = are_known(fitted.sequences, user_codes, item_codes, times)
        events = events._replace(ordered=after(fitted.sequences, table))
        sequences = fitted.sequences.replaced(events.ordered)
    seen = seen_matrix((events.positives + before).tocsr())
    seen.sort_indices()
    order = user_codes[np.sort(np.unique(user_codes, return_index=True)[1])]
    inputs = {"user": user_inputs, "item": item_inputs}
    changed = {"users": users, "items": items, "seen": seen, "sequences": sequences}
    if contexts is not None:
        inputs["context"] = places, contexts.width
        # who used which features of contexts, before and now
        used = contexts.used_by(table)
        old = without_last_row(fitted.context_users).tocoo()
        entries = old.data, (old.row, places[old.col])
        used = (sparse.csr_matrix(entries, shape=used.shape) + used).sign().tocsr()
        context = contexts.context
        if times is not None and context.clock is not None:
            context = replace(context, clock=context.clock.until(times))
        changed |= {"context": context, "context_users": used}
    after_call = replace(fitted, **changed)
    return _Call(events, before, after_call, order, inputs, known), described


def _recipes(recipe, fitted, call):
    """Return the recipe of each part, with the choices of fit."""
    batch_size = PARTIAL_BATCH
    if fitted.model.sees_order:
        batch_size = RECENT_BATCH
    recipe = with_values(recipe, {"batch_size": batch_size})
    if isinstance(recipe.impression_weight, str):
        recipe = recipe._replace(impression_weight=fitted.net.impression_weight)
    if recipe.history.sees_past and fitted.model.sees_past:
        recipe = recipe._replace(history=fitted.model.history)
    if call.events.positives.nnz <= MAX_FEW:
        # no id is hidden, or no other feature if ids say nothing
        if recipe.id_dropout < 1:
            recipe = recipe._replace(id_dropout=0.0)
        else:
            shown = {"iterator_train__feature_dropout": 0.0}
            recipe = recipe._replace(net_params=(recipe.net_params or {}) | shown)
    of_fit = {"temperature": fitted.temperature}
    of_fit["candidate_sampling"] = fitted.net.candidate_sampling
    if recipe.dropout == "auto":  # it depends on all events of fit
        of_fit["dropout"] = fitted.net.history_dropout
    seen = without_last_row(call.after.seen)
    everything = call.events._replace(positives=seen, ordered=None)
    parts = fitted.model.parts
    if recipe.embedding_dim == "auto":  # as in fit
        widths = [part.width for part in parts]
    else:
        widths = lengths(recipe.embedding_dim, [type(part) for part in parts])
    main = values_of_kind(recipe._replace(embedding_dim=widths[0]))._replace(**of_fit)
    recipes = [_one_pass(main)]
    for part, width in zip(parts[1:], widths[1:], strict=True):
        shorter = recipe._replace(embedding_dim=width)
        recipes.append(_one_pass(part.prepared(shorter, everything)[0]))
    return recipes


def _one_pass(recipe):
    """Return the recipe of one epoch in order, at a constant rate, not validated."""
    params = dict(recipe.net_params or {})
    lr = PARTIAL_RATE * params.pop("lr", recipe.lr)
    params |= {"max_epochs": 1, "iterator_train__shuffle": False}
    callbacks = []
    for callback in recipe.callbacks or []:
        if not schedules([callback]) and not monitors_validation([callback]):
            callbacks.append(callback)
    return recipe._replace(
        lr=lr,
        net_params=params,
        callbacks=callbacks,
        max_epochs=1,
        early_stopping=False,
        impression_start=0,
    )


def _train(recipe, fitted, call, stream, rng):
    """Return a net that is trained on further events, and the ``Stream`` after them."""
    recipes = _recipes(recipe, fitted, call)
    learns = recipe.lr > 0 and call.events.positives.nnz > 0
    # each part sees the stream once
    streams = [ItemStream(stream.gaps, stream.n_events) for _ in recipes]
    parts = []
    nets = []
    for recipe, before, items in zip(recipes, fitted.model.parts, streams, strict=True):
        seed = rng.randint(np.iinfo(np.int32).max)
        with seeded(seed, recipe.device):
            part = before.grown(recipe, call.inputs)
            if part.context is not None:
                part.context.weigh(_weights_of_new_features(fitted, call))
            if learns and part.is_trained:
                data = TrainingData(_training_set(recipe, call, items))
                part.moments = without_direction(part.moments)
                with part.keeping_shared():
                    nets.append(train(recipe, part, data, seed, schedule=False))
            elif learns:
                seen = without_last_row(call.after.seen)
                part.learn_more(call.events, call.after.sequences, seen)
        parts.append(part)
    stream = stream._replace(gaps=streams[0].gaps, n_events=streams[0].n_steps)
    share_of_new = learns * call.events.positives.nnz / max(call.before.nnz, 1)
    model = fitted.model.after(parts, share_of_new)
    if model.sparse is not None:
        model = model.with_sparse(_sparse_parts(model.sparse, call, learns))
    if not learns:
        return with_model(fitted.net, model, None), stream
    return with_model(joined(nets, model), model, fitted.net), stream


def _sparse_parts(sparse_parts, call, learns):
    """Return sparse parts of more items, computed anew if there are more events."""
    seen = without_last_row(call.after.seen)
    in_order = call.after.sequences
    lags = None
    if in_order is not None:
        lags = without_last_row(in_order.lags)
    n_items = seen.shape[1]
    if sparse_parts.n_items not in (None, n_items):  # new items come last
        sparse_parts = sparse_parts.with_items(np.arange(n_items), n_items)
    if learns and size_of(seen, lags) > ENOUGH_MORE * sparse_parts.n_events:
        return recomputed(sparse_parts, seen, lags)
    return sparse_parts


def _weights_of_new_features(fitted, call):
    """Return the weights (p,) of features of contexts that are new, 1 for all others.

    Those have a share already, in which the weight of their column is a factor.
    """
    context = call.after.context
    of_columns = fitted.context_weights
    if of_columns is None:
        return np.ones(context.width, dtype=np.float32)
    weights = feature_weights(context, of_columns.to_dict())
    weights[call.inputs["context"][0]] = 1
    return weights


def _training_set(recipe, call, stream):
    """Return the training set of further events, in which users come in order.

    ``stream``: the ``ItemStream`` that goes on with each batch.
    """
    events = call.events
    seen = call.after.seen
    rows = without_last_row(events.users.rows), without_last_row(events.items.rows)
    order = call.order
    if recipe.history.sees_order:
        in_order = events.ordered
        if not recipe.takes_impressions:
            in_order = in_order._replace(impressions=None)
        if recipe.exclude_seen:
            in_order = only_new_targets(in_order)
        training = SequenceSet(*rows, in_order, recipe.max_history, events.contexts)
        # in blocks of a batch, the longest sequences first
        order = call.order[np.isin(call.order, training.users)]
        blocks = np.arange(len(order)) // recipe.batch_size
        training.users = order[np.lexsort((-training.lengths[order], blocks))]
        # fits of fewer events had smaller batches
        training.least_batch = min(RECENT_BATCH, seen.nnz)
    else:
        more = {}
        if events.impressions.nnz and recipe.takes_impressions:
            more["impressions"] = events.impressions
        if recipe.history.sees_past:
            more["history"] = seen
        training = TrainingSet(
            *rows, events.positives, known=call.before, contexts=events.of_pairs, **more
        )
        training.users = call.order[np.isin(call.order, training.users)]
        n_users = np.count_nonzero(np.diff(seen.indptr))
        training.least_batch = min(PARTIAL_BATCH, n_users)
    training.stream = stream
    training.earlier = [call.before]
    # negatives are items with an event
    active = have_entries(seen, axis=0) | have_entries(events.impressions, axis=0)
    training.pool = None
    if not active.all():
        training.pool = np.flatnonzero(active)
    return training
