"""How `TwoTowerRecommender.partial_fit` updates fitted towers with further events.

Input: ``FittedTowers``, and events (n_events, n_columns), also of new users and items.
Output: a new ``Learnt`` value, with new users and items last, and the changed items.
"""

import copy
from typing import NamedTuple

import numpy as np
from scipy import sparse

from sktwotower._tables._events import read_events
from sktwotower._tables._sources import held_in_memory
from sktwotower._tables._sparse import without_last_row
from sktwotower._tables._times import times_of_events
from sktwotower.towers import _net as net
from sktwotower.towers._batches import TrainingSet
from sktwotower.towers._blend import Blend
from sktwotower.towers._build import grown_module
from sktwotower.towers._callbacks import monitors_validation, schedules
from sktwotower.towers._filter import LinearFilter
from sktwotower.towers._fixed import item_layers_fixed, moved_items
from sktwotower.towers._gaps import ItemStream
from sktwotower.towers._moments import grown_moments, touched_rows
from sktwotower.towers._sequences import SequenceSet

from ._auto import values_of_kind
from ._events import Events, ordered_outcomes, outcome_matrices, seen_matrix
from ._fit import check_values
from ._fitted import Learnt
from ._grown_entities import grown
from ._parts import (
    filter_recipe,
    joined,
    modules_of,
    pooled_recipe,
    recent_recipe,
)
from ._stream import mark_of_table, warn_of_replay
from ._together import check_events, check_same, random_state_of

__all__ = ["learn_more"]

# Number of users in a batch with "auto". The events of a night are few: with the
# batches of fit they would be one or two steps, which have to be large.
PARTIAL_BATCH = 128
# A linear filter knows the events of fit only: one hundredth of further ones halves its
# weight in the score. In a shop, what came next was found best with that or more.
FADE = 100.0
MIN_FADE = 1e-6


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
    learnt : Learnt or None
        New users and new items come last. None: X has no rows that count.
    changed : int array of shape (m,)
        Positions of the items whose vectors may be others than before.
    """
    check_values(recipe)
    X, y, sample_weight = held_in_memory(X, y, sample_weight, fitted.schema)
    frame, rewards, weights, _ = read_events(
        owner, X, y, sample_weight, fitted.schema, may_be_empty=True
    )
    check_events(len(frame))
    if len(frame) == 0:
        return None, np.zeros(0, dtype=np.int64)
    call, described = _read_call(tables, fitted, frame, rewards, weights)
    events = call.events
    check_same(recipe, events, fitted.net.module_)
    stream = _stream(fitted, frame, (rewards, weights), len(events.items))
    trained, stream, touched = _train(recipe, fitted, call, stream)
    moved = moved_items(
        fitted.net.module_,
        trained.module_,
        without_last_row(events.items.rows),
        call.inputs[1][0],
        touched,
    )
    learnt = Learnt(
        fitted.schema,
        events.users,
        events.items,
        call.seen,
        None if events.ordered is None else events.ordered.sequences,
        fitted.half_life,
        trained,
        fitted.epochs + net.epochs(trained),
        fitted.candidate_sampling,
        fitted.temperature,
        stream,
    )
    return learnt, np.union1d(moved, described)


class _Call(NamedTuple):
    """The events of one call, and what was known before.

    ``before`` and ``seen``: ones (n_users + 1, n_items) for the pairs before the call
    and after it. ``order``: positions of users in the order of their first rows.
    ``inputs``: of both sides, as the last two parameters of `grown_module`.
    """

    events: Events
    before: sparse.csr_matrix
    seen: sparse.csr_matrix
    order: np.ndarray
    inputs: tuple


def _read_call(tables, fitted, frame, rewards, weights):
    """Return a ``_Call``, and the positions of items with other features than before.

    ``rewards`` and ``weights``: those of the rows of ``frame``, (n_events,).
    """
    times, schema = None, fitted.schema
    if fitted.sequences is not None:
        times, _ = times_of_events(frame, schema.time, schema, schema)
    users, user_codes, user_inputs, _ = grown(fitted.users, frame, tables.users)
    items, item_codes, item_inputs, described = grown(fitted.items, frame, tables.items)
    codes, shape = (user_codes, item_codes), (len(users), len(items))
    positives, shown = outcome_matrices(codes, rewards, weights, shape)
    before, in_order = _resized(fitted.seen, shape), None
    if times is not None:
        outcomes = rewards, weights, times
        in_order = ordered_outcomes(codes, outcomes, shape, fitted.sequences)
    seen = seen_matrix((positives + without_last_row(before)).tocsr())
    seen.sort_indices()
    events = Events(users, items, positives, shown, in_order)
    order = user_codes[np.sort(np.unique(user_codes, return_index=True)[1])]
    return _Call(events, before, seen, order, (user_inputs, item_inputs)), described


def _stream(fitted, frame, outcomes, n_items):
    """Return the ``Stream`` with places for new items; warn if the table is known."""
    schema, stream = fitted.schema, fitted.stream
    columns = [fitted.users.id_column, fitted.items.id_column]
    if schema.time is not None:  # also if order is not used
        columns.append(schema.time)
    mark = mark_of_table(frame[columns], outcomes)
    stream = warn_of_replay(stream, mark, len(frame))
    return stream.with_items(np.arange(len(fitted.items)), n_items)


def _resized(seen, shape):
    """Return ones (n_users + 1, n_items) for the pairs of before; nothing is copied."""
    offsets = np.full(shape[0] + 2, seen.indptr[-1], dtype=seen.indptr.dtype)
    offsets[: len(seen.indptr)] = seen.indptr
    parts = seen.data, seen.indices, offsets
    return sparse.csr_matrix(parts, shape=(shape[0] + 1, shape[1]))


def _recipes(recipe, fitted, call):
    """Return the recipe of each pair of towers, with the choices of fit."""
    if recipe.batch_size == "auto":
        recipe = recipe._replace(batch_size=PARTIAL_BATCH)
    if recipe.history is not None and fitted.history_kind is not None:
        recipe = recipe._replace(history=fitted.history_kind)
    if recipe.impression_weight == "auto":
        weight = fitted.net.criterion__impression_weight
        recipe = recipe._replace(impression_weight=weight)
    of_fit = {
        "candidate_sampling": fitted.candidate_sampling,
        "temperature": fitted.temperature,
    }
    if recipe.dropout == "auto":  # it depends on all events of fit
        of_fit["dropout"] = fitted.net.iterator_train__history_dropout
    recipe = recipe._replace(embedding_dim=_length(recipe, fitted))
    module = fitted.net.module_
    if not isinstance(module, Blend):
        return [_one_pass(values_of_kind(recipe)._replace(**of_fit))]
    if isinstance(module.second, LinearFilter):
        of_filter = filter_recipe(recipe, module.second)
        # a length that leaves the towers nothing is refused as any other length
        width = max(recipe.embedding_dim - of_filter.embedding_dim, 1)
        first = values_of_kind(recipe._replace(embedding_dim=width))
        return [_one_pass(first._replace(**of_fit)), of_filter]
    all_events = call.events._replace(
        positives=without_last_row(call.seen), ordered=None
    )
    return [
        _one_pass(values_of_kind(recent_recipe(recipe))._replace(**of_fit)),
        _one_pass(pooled_recipe(recipe, all_events)),
    ]


def _length(recipe, fitted):
    """Return the length of vectors: "auto" is that of fit."""
    length = recipe.embedding_dim
    return fitted.catalog.vectors.shape[1] if length == "auto" else length


def _one_pass(recipe):
    """Return the recipe of one epoch in order, at a constant rate, not validated."""
    params = dict(recipe.net_params or {})
    lr = recipe.partial_rate * params.pop("lr", recipe.lr)
    fixed = {"max_epochs": 1, "iterator_train__shuffle": False}
    return recipe._replace(
        max_epochs=1,
        early_stopping=False,
        impression_start=0,
        lr=lr,
        net_params=params | fixed,
        callbacks=[
            each
            for each in recipe.callbacks or []
            if not monitors_validation([each]) and not schedules([each])
        ],
    )


def _train(recipe, fitted, call, stream):
    """Return a net that is trained on further events, and the ``Stream`` after them.

    Also return which rows (p,) of each table of the items have been trained.
    """
    old = modules_of(fitted.net.module_)
    recipes = _recipes(recipe, fitted, call)
    random = _random(recipe.random_state, len(fitted.epochs))
    items = ItemStream(stream.gaps, stream.n_events)
    learns = call.events.positives.nnz > 0
    modules, trained, moments, touched = [], [], [], []
    for place, (part, before) in enumerate(zip(recipes, old, strict=True)):
        seed = random.randint(np.iinfo(np.int32).max)
        with net.seeded(seed, part.device):
            n_hidden = getattr(before.history, "n_hidden", 0)
            module = grown_module(part, before, *call.inputs, n_hidden)
            if isinstance(before, LinearFilter):
                modules.append(LinearFilter.of(module))
                touched.append(np.zeros(call.inputs[1][1], dtype=bool))
                continue
            state = stream.moments[place] if place < len(stream.moments) else {}
            state = first = grown_moments(state, module, *call.inputs)
            if learns:
                # each pair of towers sees the stream once
                own = ItemStream(stream.gaps, stream.n_events) if place else items
                data = _training_set(part, call, own)
                with item_layers_fixed(module):
                    each = net.train(
                        part, module, net.TrainingData(data), seed, False, moments=state
                    )
                trained.append(each)
                module, state = each.module_, each.moments_
        modules.append(module)
        moments.append(state)
        touched.append(touched_rows(first, state, "item_tower.sparse.weight"))
    stream = stream._replace(
        gaps=items.gaps, n_events=items.n_steps, moments=tuple(moments)
    )
    shares = getattr(fitted.net.module_, "share", 0), _fade(fitted, call)
    if learns:
        return joined(trained, modules, *shares), stream, touched
    return _with_modules(fitted.net, modules, *shares), stream, touched


def _fade(fitted, call):
    """Return the ``fade`` of a linear filter, which knows the events of fit only."""
    module = fitted.net.module_
    if not isinstance(getattr(module, "second", None), LinearFilter):
        return 1.0
    share_of_new = call.events.positives.nnz / max(call.before.nnz, 1)
    return max(module.fade / (1 + FADE * share_of_new), MIN_FADE)


def _random(random_state, n_calls):
    """Return a generator; the same seed has other numbers in each call."""
    if isinstance(random_state, (int, np.integer)):
        numbers = np.random.SeedSequence([int(random_state), n_calls])
        random_state = numbers.generate_state(1)[0]
    return random_state_of(random_state)


def _with_modules(before, modules, share, fade):
    """Return a net with other modules, that is not trained further."""
    trained = copy.copy(before)
    trained.history = type(before.history)()
    trained.module_ = modules[0]
    if len(modules) > 1:
        trained.module_ = Blend(*modules, share, fade)
    trained.module_.eval()
    return trained


def _training_set(recipe, call, stream):
    """Return the training set of further events, in which users come in order.

    ``stream``: the ``ItemStream`` that goes on with each batch.
    """
    users, items, positives, shown, in_order = call.events
    rows = without_last_row(users.rows), without_last_row(items.rows)
    if recipe.history == "recent":
        order = in_order.order
        if not recipe.takes_impressions:
            order = order._replace(impressions=None)
        training = SequenceSet(*rows, order, recipe.max_history)
    else:
        training = TrainingSet(
            *rows,
            positives,
            history=call.seen if recipe.history is not None else None,
            impressions=shown if shown.nnz and recipe.takes_impressions else None,
            known=without_last_row(call.before),
        )
    training.users = _in_order(training, call.order, recipe)
    training.stream, training.pool = stream, _pool(call)
    training.earlier = without_last_row(call.before)
    return training


def _in_order(training, order, recipe):
    """Return the users of a training set in an order, in blocks for sequences."""
    order = order[np.isin(order, training.users)]
    if recipe.history != "recent":
        return order
    blocks = np.arange(len(order)) // recipe.batch_size
    return order[np.lexsort((-training.lengths[order], blocks))]


def _pool(call):
    """Return the items (m,) that may be negatives, those with an event; None: all."""
    active = np.zeros(call.seen.shape[1], dtype=bool)
    active[call.seen.indices] = True
    active[call.events.impressions.indices] = True
    return None if active.all() else np.flatnonzero(active)
