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
from ._contexts import further_contexts
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
    _check_as_in_fit(tables, fitted)
    X, y, sample_weight = held_in_memory(X, y, sample_weight, fitted.schema)
    frame, rewards, weights, _ = read_events(owner, X, y, sample_weight, fitted.schema)
    rewards = on_scale(rewards, fitted.reward_scale)
    check_events(len(frame))
    call, described = _read_call(tables, fitted, frame, rewards, weights)
    events = call.events
    check_same(recipe, events, fitted.model)
    if len(frame) == 0 and call.after.seen.shape == fitted.seen.shape:
        return None, described
    # what was not learnt may be given again
    outcomes = rewards * (recipe.lr > 0), weights
    stream = _stream(fitted, frame, outcomes, len(events.items), call.known)
    random = _random(recipe.random_state, len(fitted.epochs))
    with alone():  # all processes that train together learn the same
        fitted = with_weights_after(recipe, fitted, events, call.inputs)
        net, stream = _train(recipe, fitted, call, stream, random)
    rows = without_last_row(events.items.rows)
    places = call.inputs["item"][0]
    moved = moved_items(fitted.model, net.model, rows, places)
    learnt = replace(call.after, net=net, stream=stream)
    first = fitted.stream.gaps.never_hit
    first = np.flatnonzero(first & ~stream.gaps.never_hit[: len(first)])
    return learnt, np.union1d(np.union1d(moved, first), described)


def _check_as_in_fit(tables, fitted):
    """Raise ``ValueError`` for a parameter that names another column than in fit."""
    for name, own, known in (
        ("user_id", tables.user_id, fitted.users.id_column),
        ("item_id", tables.item_id, fitted.items.id_column),
        ("time", tables.time, fitted.schema.time),
    ):
        if isinstance(own, str) and own != known:
            found = f"{name}={own!r}, but fit had {known!r}"
            raise ValueError(f"{found}. Restore the parameters of fit, or fit anew.")


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
    contexts, codes, places = further_contexts(fitted.context, frame)
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
        who = _context_users(fitted.context_users, places, contexts.used_by(table))
        context = contexts.context
        if times is not None and context.clock is not None:
            context = replace(context, clock=context.clock.until(times))
        changed |= {"context": context, "context_users": who}
    learning = replace(fitted, **changed)
    return _Call(events, before, learning, order, inputs, known), described


def _context_users(before, places, used):
    """Return who used which features of contexts, before and in further events, CSR.

    ``before``: CSR (n_users + 1, p) with columns at ``places`` among those of ``used``.
    """
    old = without_last_row(before).tocoo()
    entries = old.data, (old.row, places[old.col])
    return (sparse.csr_matrix(entries, shape=used.shape) + used).sign().tocsr()


def _stream(fitted, frame, outcomes, n_items, known):
    """Return the ``Stream`` with places for new items; warn if the table is known."""
    # the time also if order is not used
    columns = fitted.users.id_column, fitted.items.id_column, fitted.schema.time
    table = frame[[name for name in columns if name is not None]]
    stream = fitted.stream.with_pass(table, outcomes, known)
    return stream.with_items(np.arange(len(fitted.items)), n_items)


def _recipes(recipe, fitted, call):
    """Return the recipe of each part, with the choices of fit."""
    batch = RECENT_BATCH if fitted.model.sees_order else PARTIAL_BATCH
    recipe = with_values(recipe, {"batch_size": batch})
    if isinstance(recipe.impression_weight, str):
        recipe = recipe._replace(impression_weight=fitted.net.impression_weight)
    if recipe.history.sees_past and fitted.model.sees_past:
        recipe = recipe._replace(history=fitted.model.history)
    if call.events.positives.nnz <= MAX_FEW:
        recipe = _showing(recipe)
    of_fit = {"temperature": fitted.temperature}
    of_fit["candidate_sampling"] = fitted.net.candidate_sampling
    if recipe.dropout == "auto":  # it depends on all events of fit
        of_fit["dropout"] = fitted.net.history_dropout
    seen = without_last_row(call.after.seen)
    everything = call.events._replace(positives=seen, ordered=None)
    first, *others = _lengths(recipe, fitted.model)
    first = values_of_kind(recipe._replace(embedding_dim=first))._replace(**of_fit)
    recipes = [first]
    for part, length in zip(fitted.model.parts[1:], others, strict=True):
        shorter = recipe._replace(embedding_dim=length)
        recipes.append(part.prepared(shorter, everything)[0])
    return [_one_pass(each) for each in recipes]


def _showing(recipe):
    """Return a recipe that hides no id, or no other feature if ids say nothing."""
    if recipe.id_dropout < 1:
        return recipe._replace(id_dropout=0.0)
    shown = {"iterator_train__feature_dropout": 0.0}
    return recipe._replace(net_params=(recipe.net_params or {}) | shown)


def _lengths(recipe, model):
    """Return how long the vectors of each part are to be: "auto" is as in fit."""
    if recipe.embedding_dim == "auto":
        return [part.width for part in model.parts]
    return lengths(recipe.embedding_dim, [type(part) for part in model.parts])


def _one_pass(recipe):
    """Return the recipe of one epoch in order, at a constant rate, not validated."""
    params = dict(recipe.net_params or {})
    lr = PARTIAL_RATE * params.pop("lr", recipe.lr)
    params |= {"max_epochs": 1, "iterator_train__shuffle": False}
    given = recipe.callbacks or []
    kept = [c for c in given if not (schedules([c]) or monitors_validation([c]))]
    once = {"max_epochs": 1, "early_stopping": False, "impression_start": 0}
    return recipe._replace(lr=lr, net_params=params, callbacks=kept, **once)


def _train(recipe, fitted, call, stream, random):
    """Return a net that is trained on further events, and the ``Stream`` after them."""
    recipes = _recipes(recipe, fitted, call)
    learns = recipe.lr > 0 and call.events.positives.nnz > 0
    # each part sees the stream once
    streams = [ItemStream(stream.gaps, stream.n_events) for _ in recipes]
    parts = []
    nets = []
    for recipe, before, items in zip(recipes, fitted.model.parts, streams, strict=True):
        seed = random.randint(np.iinfo(np.int32).max)
        with seeded(seed, recipe.device):
            part = before.grown(recipe, call.inputs)
            if part.context is not None:
                part.context.weigh(_weights_of_new_features(fitted, call))
            if learns and part.is_trained:
                data = _training_set(recipe, call, items)
                nets.append(_trained(part, recipe, data, seed))
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


def _trained(part, recipe, data, seed):
    """Return the net that has trained a part further, on a ``TrainingSet``.

    What all items share is not trained: a change of it would move all their vectors.
    """
    part.moments = without_direction(part.moments)
    fixed = part.shared_by_items()
    for parameter in fixed:
        parameter.requires_grad_(False)
    try:
        return train(recipe, part, TrainingData(data), seed, schedule=False)
    finally:
        for parameter in fixed:
            parameter.requires_grad_(True)


def _random(random_state, n_calls):
    """Return a generator; the same seed has other numbers in each call."""
    if isinstance(random_state, (int, np.integer)):
        numbers = np.random.SeedSequence([int(random_state), n_calls])
        random_state = numbers.generate_state(1)[0]
    return random_state_of(random_state)


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
    if recipe.history.sees_order:
        in_order = events.ordered
        if not recipe.takes_impressions:
            in_order = in_order._replace(impressions=None)
        if recipe.exclude_seen:
            in_order = only_new_targets(in_order)
        training = SequenceSet(*rows, in_order, recipe.max_history, events.contexts)
    else:
        more = {}
        if events.impressions.nnz and recipe.takes_impressions:
            more["impressions"] = events.impressions
        if recipe.history.sees_past:
            more["history"] = seen
        training = TrainingSet(
            *rows, events.positives, known=call.before, contexts=events.of_pairs, **more
        )
    training.users = _in_order(training, call.order, recipe)
    training.stream = stream
    training.earlier = [call.before]
    # fits of fewer users, or events, had smaller batches
    training.least_batch = min(PARTIAL_BATCH, np.count_nonzero(np.diff(seen.indptr)))
    if recipe.history.sees_order:
        training.least_batch = min(RECENT_BATCH, seen.nnz)
    active = have_entries(seen, axis=0) | have_entries(events.impressions, axis=0)
    # negatives are items with an event
    training.pool = None
    if not active.all():
        training.pool = np.flatnonzero(active)
    return training


def _in_order(training, order, recipe):
    """Return the users of a training set in an order, in blocks for sequences."""
    order = order[np.isin(order, training.users)]
    if not recipe.history.sees_order:
        return order
    blocks = np.arange(len(order)) // recipe.batch_size
    return order[np.lexsort((-training.lengths[order], blocks))]
