"""How `TwoTowerRecommender.fit` turns a table of events into trained towers.

Input: an interaction table X (n_events, n_columns) with outcomes y, and recipes.
Output: ``FittedTowers`` without a catalog: users, items, seen pairs, trained net.
"""

import copy
from contextlib import nullcontext
from dataclasses import replace
from functools import partial
from numbers import Integral

import numpy as np
import pandas as pd
import torch

from sktwotower._tables._frames import is_source
from sktwotower._tables._messages import logger, stage, status, verbose_inside, warn
from sktwotower._tables._reward_scale import warn_of_heavy_tail
from sktwotower._tables._schema import read_in_memory
from sktwotower._tables._sparse import column_counts, have_entries
from sktwotower.features._transformers import in_cache, warn_of_large_columns
from sktwotower.towers._auto import values_of_kind
from sktwotower.towers._recipe import MAX_SIZE
from sktwotower.towers.batches._sequence_batches import SequenceSet
from sktwotower.towers.losses._given_loss import check_goes_on, check_loss
from sktwotower.towers.parts import (
    Model,
    Plan,
    SharedSpectrum,
    main_kind,
    plans_of,
    with_kept_back,
)
from sktwotower.towers.processes._group import is_first, rank, summed
from sktwotower.towers.training._net import check_net_params, joined, seeded, train
from sktwotower.towers.training._optimizer import optimizer_class

from ._ages import NAMES, as_duration, in_units, popularity_to_weigh, with_ages
from ._checkpoint import Checkpoint, saved_state
from ._choices import MIN_COLD_SHARE, cold_item_weight, impression_weight, reward_scale
from ._context_weights import feature_weights
from ._contexts import contexts_of_time
from ._events import Events, history_of_events, noted_repeats, read_sides, seen_matrix
from ._fitted import FittedTowers, Judged
from ._from_disk import read_from_disk
from ._judge import Judge, computed_of
from ._kept_back import keep_back, latest_time
from ._last_pass import learn_latest
from ._processes import divisions_of, own_events, own_generator, with_all_users
from ._stream import first_stream
from ._training_data import data_without, training_data, validates

# More events than this: if each is of another user, that is hardly chance.
MAX_SINGLE = 20
OTHER_SIZES = (
    "warm_start=True needs the same users, items, features, contexts, tower sizes and "
    "parts of the model (second_share) as the fit before. Fit with warm_start=False to "
    "start anew."
)


def learn(owner, tables, recipe, X, y, sample_weight, before=None, checkpoint=None):
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
    checkpoint : str or path-like, default=None
        Folder that keeps the state of training.

    Returns
    -------
    FittedTowers
        Without what requests need, see `served`.
    """
    # what is wrong with parameters is said before X is read
    check_values(recipe)
    if not recipe.warm_start:
        before = None
    if before is not None:
        check_goes_on(before.net, recipe)
    if tables.memory is not None:
        in_cache(tables.memory)

    # X as a table of events, of which users and items, and in which order
    keeps_rewards = recipe.reward_scale is not None
    with _status(recipe, "reading events"):
        schema, users, items, contexts, table = _read(
            owner, tables, X, y, sample_weight, keeps_rewards=keeps_rewards
        )
    history = history_of_events(recipe.history, table, schema)
    recipe = recipe._replace(history=history)
    asks_time = isinstance(tables.context, str) and tables.context == "auto"
    if asks_time and schema.dates and history.sees_order:
        contexts = contexts_of_time(schema.time)
    if recipe.reward_scale != "auto":
        table = table.rescaled(recipe.reward_scale)
    raw = table._replace(rewards=None)
    events = Events.of(users, items, raw, history, contexts, schema.time_kind)

    # what is odd about them
    _log_events(events, table)
    if recipe.exclude_seen:
        _log_repeats(events, table)
    if contexts is None or contexts.context.is_auto:
        _warn_of_single_events(events, table.n_events)
    _warn_of_features(recipe, events)
    _check_n_items(events, table.n_events)
    _check_negatives(recipe, events)

    # short fits choose some parameters; after a kill the checkpoint knows them
    start = None
    if before is not None:
        start = before.model
    saved = saved_state(checkpoint, recipe, events, start)
    rng = saved.random_state(recipe.random_state)
    recipe = recipe.in_time_unit(schema.time_unit)
    contexts = events.contexts
    if contexts is not None and contexts.context.is_auto:
        # short fits are quicker without the time of asking, and judge without it
        events = events._replace(contexts=None)
    recipe, events, table = _with_scale(recipe, events, table, rng, saved)
    recipe, events = with_ages(recipe, events, schema.dates)
    recipe = _with_choices(recipe, events, table, rng, saved)
    events = events._replace(contexts=contexts)

    # the towers, and what is kept of the events
    context = None
    context_users = None
    if contexts is not None:
        context = contexts.context
        context_users = contexts.used_by(table)
    del table  # it may fill memory or disk, and training does not need it
    sequences = None
    if events.ordered is not None:
        sequences = events.ordered.sequences()
    net, judged = _train(recipe, events, before, rng, saved)
    if judged is not None and judged.near:
        now = latest_time(events.ordered)
        context = replace(context, clock=context.clock.knowing(judged.near, now))
    learnt = FittedTowers(
        schema,
        users,
        items,
        seen_matrix(events.positives),
        sequences,
        half_life=as_duration(recipe.half_life, schema.dates),
        net=net,
        stream=first_stream(events),
        cold_item_weight=recipe.cold_item_weight,
        context=context,
        context_users=context_users,
        judged=judged,
        reward_scale=recipe.reward_scale,
    )
    return with_all_users(learnt)


def _status(recipe, text):
    """Return the context in which the first process says what takes long."""
    return status(recipe.verbose if is_first() else 0, text)


def _log_events(events, table):
    """Log the size of what is learnt from, and how many equal events it is worth."""
    logger.info(
        "fit: %d events of %d users and %d items, %d pairs chosen, %d shown; rewards "
        "and weights are worth %.0f equal events",
        table.n_events,
        len(events.users),
        len(events.items),
        events.positives.nnz,
        events.impressions.nnz,
        table.effective_number(),
    )


def _log_repeats(events, table):
    """Log how many events repeat an earlier one, if many do and lists leave them out.

    It is no warning: it may be meant, and the default cannot be told from a choice.
    """
    if events.ordered is not None:
        table = events.ordered  # equal events are merged
    n_events = 0
    for block in table.blocks():
        if block.chosen is None:
            n_events += block.n_events
        else:
            n_events += block.chosen.sum()
    sizes = summed(np.array([n_events, events.positives.nnz]))
    share = noted_repeats(*sizes)
    if share is not None:
        text = (
            "fit: %.0f %% of the events repeat an earlier one of the same user and "
            "item. Lists leave out what users had (exclude_seen=True). "
            "exclude_seen=False recommends it again, and learns how often"
        )
        logger.info(text, 100 * share)


def _warn_of_single_events(events, n_events):
    """Warn if a side has one event per id, and nothing else is known of its ids."""
    for side, entities in (("user", events.users), ("item", events.items)):
        if len(entities) == n_events > MAX_SINGLE and not entities.columns[1:]:
            warn(
                f"Each {side} of X has one event, so that the model cannot learn what "
                f"belongs together. Is {entities.label!r} a row number? Name the "
                f"{side} column: {side}_id."
            )


def _with_scale(recipe, events, table, rng, saved):
    """Return recipe, events and table with the scale of rewards that a short fit chose.

    ``saved``: a ``Checkpoint``.
    """
    if recipe.reward_scale != "auto":
        return recipe, events, table
    seed = _next_seed(rng)
    make = partial(reward_scale, recipe, events, table, _train_one, seed)
    scale = saved.choice("reward_scale", make)
    table = table.rescaled(scale)
    events = Events.of(
        events.users, events.items, table, recipe.history, events.contexts
    )
    return recipe._replace(reward_scale=scale), events, table


def _with_choices(recipe, events, table, rng, saved):
    """Return the recipe with what short fits have chosen.

    ``saved``: a ``Checkpoint``.
    """
    choice = saved.choice
    if isinstance(recipe.impression_weight, str):
        weight = 0.0
        if summed(events.impressions.nnz):
            seed = _next_seed(rng)
            make = partial(impression_weight, recipe, events, table, _train_one, seed)
            weight = choice("impression_weight", make)
        recipe = recipe._replace(impression_weight=weight)
    if recipe.cold_item_weight == "auto":
        counts = summed(column_counts(events.positives))
        recipe = recipe._replace(cold_item_weight=1.0)
        if np.mean(counts == 0) >= MIN_COLD_SHARE:
            make = partial(cold_item_weight, recipe, events, table, _train_one, counts)
            recipe = recipe._replace(cold_item_weight=choice("cold_item_weight", make))
    return recipe


def _next_seed(rng):
    """Return a seed, and leave the generator as it is.

    So a value that a short fit chooses has the same model as one that is set.
    """
    return copy.deepcopy(rng).randint(np.iinfo(np.int32).max)


def _read(owner, tables, X, y, sample_weight, keeps_rewards):
    """Return the schema, users, items, contexts and the ``EventTable`` of X.

    Of several processes each has the events of its own users. ``keeps_rewards``: as of
    `EventTable.of`.
    """
    if is_source(X):
        return read_from_disk(tables, X, y, sample_weight, keeps_rewards=keeps_rewards)
    frame, columns, outcomes, schema = read_in_memory(
        owner, tables, X, y, sample_weight
    )
    if not keeps_rewards:
        rewards = outcomes[0]
        warn_of_heavy_tail(rewards)
    users, items, contexts, table = read_sides(
        tables, columns, frame, outcomes, keeps_rewards=keeps_rewards
    )
    return schema, users, items, contexts, own_events(table, users)


def check_values(recipe):
    """Check parameters beyond the types and ranges that are stated."""
    sizes = recipe.hidden_layer_sizes
    for size in sizes:
        is_integer = isinstance(size, Integral) and not isinstance(size, bool)
        if not is_integer or not 1 <= size <= MAX_SIZE:
            raise ValueError(
                f"hidden_layer_sizes must be a tuple of ints from 1 to {MAX_SIZE}. Got "
                f"{sizes!r}."
            )
    for callback in recipe.callbacks or []:
        instance = callback
        if isinstance(callback, tuple):
            instance = callback[-1]
        if not hasattr(instance, "on_train_begin"):
            raise TypeError(
                "callbacks must be skorch callbacks, or (name, callback) pairs. Got "
                f"{callback!r}."
            )
    optimizer_class(recipe.optimizer)
    for name in NAMES:
        in_units(name, getattr(recipe, name))
    check_net_params(recipe.net_params or {})
    check_loss(recipe)
    try:
        torch.zeros(1, device=recipe.device).item()  # "meta" has no values
    except (RuntimeError, AssertionError) as error:
        message = f"device={recipe.device!r} cannot be used here: {error}"
        raise ValueError(message) from None


def _warn_of_features(recipe, events):
    """Warn of features without a scale; towers given by the user may scale them."""
    if recipe.user_tower is None:
        warn_of_large_columns(events.users)
    if recipe.item_tower is None:
        warn_of_large_columns(events.items)


def _check_n_items(events, n_events):
    """Check that there is something to choose between."""
    if len(events.active_items()) < 2:
        raise ValueError(
            f"X holds only one item (n_samples={n_events}, n_users={len(events.users)})"
            ", so there is nothing to choose between: events of at least 2 items are "
            "required. Rows with y = 0 (shown and not chosen) count."
        )


def _check_negatives(recipe, events):
    """Check that there are negatives: without them every loss is zero.

    With a recent history all other items are negatives, also those of the user.
    """
    n_users = summed(have_entries(events.positives, 1).sum())
    if not recipe.history.sees_order and events.everything_is_chosen():
        message = (
            f"Nothing can be learnt: all {len(events.active_items())} items of X were "
            f"chosen by all users (n_users={n_users}), so there are no negatives. Add "
            "events of more users and items, or rows with y = 0."
        )
        if n_users == 1:
            raise ValueError(message)
        warn(message)
    n_together = min(values_of_kind(recipe, events).batch_size, n_users)
    if recipe.candidate_sampling == "in_batch" and n_together < 2:
        raise ValueError(
            "candidate_sampling='in_batch' takes the negatives of a user from the "
            f"others in the batch, but a batch holds {n_together} user. Raise "
            "batch_size, or use 'full' or 'mixed'."
        )


def _train_one(recipe, events, rng):
    """Return the trained net of one part, whose recipe is resolved."""
    plan = Plan(main_kind(recipe), 1.0, recipe, events)
    parts, shares, nets = _trained_parts([plan], None, rng, Checkpoint(), None)
    return joined(nets, Model(parts, shares))


def _train(recipe, events, before, rng, saved):
    """Return the trained net of a model, whose module is a ``Model``, and ``Judged``.

    ``before``: ``FittedTowers`` whose weights training starts from, or None. ``saved``:
    a ``Checkpoint``. Without events that were kept back, the second one is None.
    """
    kept = None
    weighed = None
    if _weighs(recipe, events):
        if before is None:
            kept = keep_back(recipe, events, np.random.RandomState(0))
        elif before.model.by_past is not None:
            weighed = before.model  # its parts have learnt what would be kept back
            events = _with_weights_before(events, before)
    recipe = popularity_to_weigh(recipe, kept, weighed)
    plans = plans_of(recipe, events)
    judge = None
    if kept is None:
        logger.info("fit: no events are kept back; parts have the usual weights")
    else:
        text = "fit: %d users are asked for %s events, which are kept back at first"
        logger.info(text, summed(len(kept.users)), kept.asked)
        if kept.long_before is not None:
            text = "fit: %d users are asked for their last events, long before these"
            logger.info(text, summed(len(kept.long_before.users)))
        plans = with_kept_back(plans, kept.before, kept.known)
        judge = Judge(kept, plans, saved)
        if kept.is_apart:
            apart = _model_apart(plans)
            if apart.interrupted_:  # what it has learnt by then is the model
                return apart, None
            judge.see_apart(apart.model, seed=0)
            weights = judge.weights_of_features()
            plans = [plan.learning_all(weights) for plan in plans]
    parts, shares, nets = _trained_parts(plans, before, rng, saved, judge)
    if weighed is not None and weighed.has_kinds_of(parts):
        model = weighed.with_parts(parts)
        if model.sparse is not None:
            model = model.with_sparse(computed_of(model.sparse, events))
        return joined(nets, model), before.judged
    if judge is None or any(net.interrupted_ for net in nets):
        used_parts = []
        used_shares = []
        for part, share in zip(parts, shares, strict=True):
            # pairs that were not trained stay, so that further events can train them
            if share or part.is_trained:
                used_parts.append(part)
                used_shares.append(share)
        return joined(nets, Model(used_parts, used_shares)), None
    with _status(recipe, "learning weights of parts"):
        model, figures = judge.model(parts, shares)
    return joined(nets, model), Judged(**figures)


def _with_weights_before(events, before):
    """Return ``Events`` with the weights of the context's columns of a fit before."""
    if events.contexts is None or before.context_weights is None:
        return events
    weights = feature_weights(events.contexts.context, before.context_weights.to_dict())
    return events.with_context_weights(weights)


def _model_apart(plans):
    """Return the trained net of a model that does not learn what is kept back.

    It is there to be judged, so that callbacks do not hear of it.
    """
    logger.info("fit: first a model without these events, to learn weights of parts")
    apart = []
    for plan in plans:
        verbose = verbose_inside(plan.recipe.verbose)
        recipe = plan.recipe._replace(callbacks=None, verbose=verbose)
        apart.append(plan._replace(recipe=recipe, events=plan.before, before=None))
    rng = np.random.RandomState(0)
    with stage("training a model to judge"):
        parts, shares, nets = _trained_parts(apart, None, rng, Checkpoint(), None)
    return joined(nets, Model(parts, shares))


def _weighs(recipe, events):
    """Return whether weights of parts are learnt: nobody has set them.

    Towers must have learnt something before the last epoch, in which they are judged.
    """
    is_free = recipe.second_share == "auto" and recipe.validation_events is not None
    n_epochs = values_of_kind(recipe, events).max_epochs
    n_epochs = (recipe.net_params or {}).get("max_epochs", n_epochs)
    return is_free and recipe.normalize and n_epochs > 1 and not validates(recipe)


def _trained_parts(plans, before, rng, saved, judge):
    """Return the parts of planned ones, their shares, and the nets of trained ones.

    ``judge``: a ``Judge``, or None. The other parameters are those of `_train`. After
    an interruption other parts are not trained, and have no share.
    """
    earlier_parts = None
    if before is not None:
        earlier_parts = _parts_to_go_on_with(plans, before)
    looks = judge is not None and not judge.is_apart
    n_components = max(plan.n_components for plan in plans)
    nets = []
    parts = []
    shares = []
    for number, plan in enumerate(plans):
        ready = not any(net.interrupted_ for net in nets)
        if plan.kind.is_trained:  # others are computed from the data of the part before
            seed = rng.randint(np.iinfo(np.int32).max)
            starts_anew = earlier_parts is None
            plan, data = _with_data(plan, rng, ready, starts_anew)
            training = data.training
            if looks:
                data = data._replace(look=judge.look_of(number, seed))
            spectrum = SharedSpectrum(training.positives, n_components, seed)
        elif looks and plan.n_components:
            judge.see_computed(number, training, spectrum)
            positives = data.complete.positives
            spectrum = SharedSpectrum(positives, n_components, seed)
        # no two processes draw the same
        with seeded(seed + ready * rank(), plan.recipe.device):
            part = plan.kind.start(plan, training, spectrum)
            if plan.kind.is_trained and earlier_parts is not None:
                _take_weights_by_id(plan, part, earlier_parts[number], before)
            if plan.kind.is_trained and ready:
                kept = saved.part(number)
                with part.tied() if training.ties_items else nullcontext():
                    nets.append(train(plan.recipe, part, data, seed, saved=kept))
                if judge is not None and not nets[-1].interrupted_:
                    if looks and not judge.has_seen(number):
                        data.look(part, None)  # a callback has ended it before that
                    start = judge.kept.start
                    rate = judge.rate
                    if rate and not learn_latest(plan, part, start, rate, seed):
                        nets[-1].interrupted_ = True
        parts.append(part)
        share = plan.share
        if plan.kind.is_trained and not ready:
            share = 0.0
        shares.append(share)
    shares[0] = 1 - sum(shares[1:])
    return parts, shares, nets


def _with_data(plan, rng, ready, starts_anew):
    """Return a ``Plan`` that is ready to be trained, and its ``TrainingData``.

    ``ready``: whether it is trained. Otherwise it has all rows of tables.
    """
    generator = own_generator(rng)
    if plan.before is None:
        recipe, data = training_data(plan.recipe, plan.events, generator)
    else:
        recipe = plan.recipe
        data = data_without(recipe, plan.events, plan.before, generator)
    for training in (data.training, data.complete):
        if starts_anew and isinstance(training, SequenceSet):
            training.ties_items = True
            # lists that leave out seen items need not rank them
            training.hides_past = recipe.exclude_seen
    divided = None
    if ready:
        divided = divisions_of(plan.events)
    return plan._replace(recipe=recipe, divisions=divided), data


def _parts_to_go_on_with(plans, before):
    """Return the parts of ``FittedTowers`` whose weights trained ones start from."""
    earlier = [part for part in before.model.parts if part.is_trained]
    kinds = [plan.kind for plan in plans if plan.kind.is_trained]
    if [type(part) for part in earlier] != kinds:
        raise ValueError(OTHER_SIZES)
    return earlier


def _take_weights_by_id(plan, part, earlier_part, before):
    """Copy the weights of a part of the fit before, matching ids in any order."""
    # where the feature columns of each side are now
    events = plan.events
    columns = {
        "user": _columns_by_id(before.users, events.users),
        "item": _columns_by_id(before.items, events.items),
    }
    if events.contexts is not None and before.context is not None:
        context = events.contexts.context
        columns["context"] = _columns_by_name(before.context, context)
    if any(of_side is None for of_side in columns.values()):
        raise ValueError(OTHER_SIZES)

    # all weights have the same sizes
    divided = set()
    if part.divisions is not None:  # it has a part of the rows of tables
        divided = {f"{name}.weight" for name in part.tables}
    if _shapes(earlier_part, divided) != _shapes(part, divided):
        raise ValueError(OTHER_SIZES)
    inputs = {side: (of_side, len(of_side)) for side, of_side in columns.items()}
    part.take_weights(plan.recipe, earlier_part, inputs)


def _shapes(part, divided):
    """Return the shapes of weights by name, of ``divided`` ones without their rows."""
    shapes = {}
    for name, weights in part.state_dict().items():
        shapes[name] = weights.shape
        if name in divided:
            shapes[name] = weights.shape[1:]
    return shapes


def _columns_by_id(before, now):
    """Return where the feature columns of a side are now, positions (p,).

    None if ids or columns differ. Columns without names are matched by position, which
    requires the same order of ids.
    """
    if len(before) != len(now) or not before.ids.isin(now.ids).all():
        return None
    return _columns_by_name(before, now, np.array_equal(before.ids, now.ids))


def _columns_by_name(before, now, same=True):
    """Return where feature columns are now, positions (p,); None if they differ.

    ``same``: whether columns without names are the same ones.
    """
    names_before = before.feature_names()
    names_now = now.feature_names()
    if names_before is None or names_now is None:
        if same and before.width == now.width:
            return np.arange(now.width)
        return None
    if names_before == names_now:  # also if two columns have one name
        return np.arange(now.width)
    names_before = pd.Index(names_before)
    names_now = pd.Index(names_now)
    if len(names_before) != len(names_now) or not names_now.is_unique:
        return None
    if not names_before.isin(names_now).all():
        return None
    return names_now.get_indexer(names_before)
