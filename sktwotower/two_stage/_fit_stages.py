"""How `TwoStageRecommender` fits both stages, and adds further events to them.

Fit fits the retriever on all events, and on those before each of two cuts, from which
rankers learn.

Input: an interaction table X (n_events, n_columns) with outcomes y; a ``StageRecipe``.
Output: ``FittedStages``: a retriever that knows all events, and a ranker.
"""

import copy
from collections import namedtuple
from dataclasses import replace

import numpy as np
import pandas as pd
from sklearn.base import clone
from sklearn.utils import check_random_state

from sktwotower._tables._ids import as_type_of, check_ids
from sktwotower._tables._messages import warn
from sktwotower._tables._schema import read_further
from sktwotower.base._adapted import as_retriever
from sktwotower.retrieval._fitted_state import fitted_of

from ._candidate_table import build_describer, check_own_features
from ._context import learn_context
from ._fitted_stages import FittedStages, stages_of
from ._learn_mix import learn_mix
from ._ranker import MIN_USERS, check_ranker, default_ranker
from ._read_events import ReadEvents, read
from ._shown_rows import ShownColumns
from ._sources import MergedRecommender, merged_of, sources_of, with_fitted_sources
from ._stage_parameters import TwoStageParameters
from ._train import cut_events, train_rankers, with_choices
from ._train_lists import count_users, labelled_rows, rescaled


class StageRecipe(namedtuple("StageRecipe", TwoStageParameters._get_param_names())):
    """Parameters of `TwoStageRecommender`, by the same names."""

    @property
    def second_stage(self):
        """The estimator that rankers are clones of."""
        return default_ranker(self.random_state) if self.ranker is None else self.ranker


def learn(owner, recipe, X, y, sample_weight):
    """Return ``FittedStages`` of events.

    Parameters
    ----------
    owner : str
        Name of the estimator in messages.
    recipe : StageRecipe
    X, y, sample_weight
        As in `TwoStageRecommender.fit`.
    """
    seed = check_random_state(recipe.random_state).randint(np.iinfo(np.int32).max)
    recipe = recipe._replace(random_state=seed)
    retriever = _prepared_retriever(recipe)
    check_ranker(recipe.second_stage)
    check_own_features(recipe.features)
    events = read(owner, retriever, X, y, sample_weight)
    context = learn_context(events.frame, recipe.context, events.columns)
    columns = ShownColumns.of(events, recipe)
    rows = [] if recipe.row_features is None else recipe.row_features
    rows = learn_context(events.frame, rows, events.columns, "row_features")
    # first: errors and choices are those of a fit without a second stage
    final = clone(retriever).fit(X, y, sample_weight)
    cut = cut_events(recipe, with_choices(retriever, final), events, columns)
    if cut.first is not None and isinstance(final, MergedRecommender):
        learnt = learn_mix(recipe, cut)
        if learnt is not None:
            cut.first.learnt(*learnt)
            final.learnt(*learnt)
    ranked = train_rankers(recipe, cut, columns, rows)
    describer = build_describer(
        recipe,
        final,
        events,
        columns,
        by_user=ranked.training.cut == "user",
        context=context,
        before=ranked.describer,
    )
    return FittedStages(
        **stages_of(final, describer),
        ranker=ranked.ranker,
        n_candidates=int(recipe.n_candidates),
        training=ranked.training,
        columns=columns,
        lists=rescaled(ranked.lists, cut.first, final, cut.later),
    )


def _prepared_retriever(recipe):
    """Return a clone of the retriever with the time column, after checks."""
    retriever = recipe.retriever
    if isinstance(retriever, list | tuple):
        return _with_time(merged_of(recipe), recipe)
    if recipe.quotas is not None:
        raise ValueError(
            "quotas are those of several sources: pass retriever as a list of names "
            f"and recommenders, or leave quotas out. Got {recipe.quotas!r}."
        )
    if retriever is None:
        from sktwotower.recommender import TwoTowerRecommender

        retriever = TwoTowerRecommender(random_state=recipe.random_state)
    if isinstance(retriever, TwoStageParameters):
        raise TypeError(
            "retriever must be a recommender with one stage, such as "
            f"TwoTowerRecommender() or EASERecommender(). Got {retriever!r}."
        )
    return _with_time(clone(as_retriever(retriever)), recipe)


def _with_time(retriever, recipe):
    """Return a retriever that reads the time column of a recipe, after checks."""
    if recipe.time is None:
        return retriever
    for source in sources_of(retriever):
        if source.time is not None and source.time != recipe.time:
            raise ValueError(
                f"time={recipe.time!r} is another column than the retriever's "
                f"time={source.time!r}. Name it once, as time of the "
                "TwoStageRecommender."
            )
        source.set_params(time=recipe.time)
    return retriever


def learn_more(
    owner, recipe, fitted, X, y, sample_weight, *, update_ranker=False, counted=False
):
    """Return the ``FittedStages`` with further events; those of before do not change.

    Parameters
    ----------
    owner : str
        Name of the estimator in messages.
    recipe : StageRecipe
    fitted : FittedStages
        The fitted state so far.
    X, y, sample_weight, update_ranker, counted
        As in `TwoStageRecommender.partial_fit`.
    """
    seed = check_random_state(recipe.random_state).randint(np.iinfo(np.int32).max)
    recipe = recipe._replace(random_state=seed)
    columns = fitted.columns
    lists = fitted.lists
    before = fitted.first_stage
    if update_ranker and lists is None:
        raise ValueError(
            "update_ranker=True trains the ranker of lists anew, and fit has trained "
            "none. Name the column of lists, lists=..., and fit on enough of them."
        )
    if update_ranker and counted:
        raise ValueError(
            "update_ranker=True needs what was counted before each row of X, and "
            "counted=True says that these rows are among the counts. Set one of both."
        )
    events = _read(owner, fitted, X, y, sample_weight)
    if len(events.frame) == 0:
        return fitted
    if columns.lists is not None:
        ShownColumns.of(events, recipe._replace(**columns._asdict()))
    retriever = _with_tables(fitted.retriever, recipe.retriever)
    retriever.partial_fit(X, y, sample_weight)
    now = fitted_of(retriever)
    users_now = now.users.ids.get_indexer(before.users.ids)
    items_now = now.items.ids.get_indexer(before.items.ids)
    describer = build_describer(
        recipe,
        retriever,
        events,
        columns,
        by_user=fitted.training.cut == "user",
        before=fitted.describer,
        now=(users_now, items_now),
    )
    if lists is not None and not counted:
        as_of, lists = lists.counted(describer, columns, events)
        if update_ranker:
            lists = lists._replace(ranker=_ranker_of(recipe, fitted, events, as_of))
    return replace(fitted, **stages_of(retriever, describer), lists=lists)


def count_more(owner, recipe, fitted, X, y, sample_weight):
    """Return the ``FittedStages`` in which further rows of lists are counted.

    Nothing else is learnt. The parameters are those of ``learn_more``.
    """
    schema = fitted.schema
    columns = fitted.columns
    read = read_further(owner, schema, X, y, sample_weight)
    frame, (rewards, weights, times) = read
    if len(frame) == 0:
        return fitted
    for side in (fitted.users, fitted.items):
        label = f"{side.side} column {side.label!r}"
        as_type_of(check_ids(frame[side.id_column], label), side.ids, label)
    if times is None:
        times = np.zeros(len(frame))
    events = _further(fitted, frame, rewards, weights, times)
    ShownColumns.of(events, recipe._replace(**columns._asdict()))
    events = events.part(columns.rows(frame))
    counting = copy.copy(fitted)  # what it has computed and kept stays there
    lists = fitted.lists.plus(fitted.describer, columns, events)
    object.__setattr__(counting, "lists", lists)
    return counting


def _read(owner, fitted, X, y, sample_weight):
    """Return further ``ReadEvents``; without times they are later than all others."""
    read = read_further(owner, fitted.schema, X, y, sample_weight)
    frame, (rewards, weights, times) = read
    if times is None:
        latest = fitted.describer.log.sequences.times.max(initial=0)
        times = np.arange(len(frame)) + 1 + latest
    return _further(fitted, frame, rewards, weights, times)


def _further(fitted, frame, rewards, weights, times):
    """Return further ``ReadEvents``; of each user the code is one of this table."""
    users = pd.factorize(check_ids(frame[fitted.users.id_column], "the users of X"))[0]
    return ReadEvents(
        frame, rewards, weights, times, fitted.schema.dates, users, columns=None
    )


def _with_tables(retriever, given):
    """Return a copy of a fitted retriever with the side tables of another one.

    These may have grown.
    """
    if isinstance(given, list | tuple):
        return with_fitted_sources(retriever, dict(given), _with_tables)
    grown = copy.copy(retriever)
    if given is not None:
        named = grown.get_params(deep=False)
        params = given.get_params(deep=False)
        tables = {name: params[name] for name in ("users", "items") if name in named}
        grown.set_params(**tables)
    return grown


def _ranker_of(recipe, fitted, events, as_of):
    """Return a ranker of the lists among further events.

    Their rows are described by what was known before. ``as_of`` (n_rows, n_counted):
    what was counted before each of them. With too few users it is the ranker so far.
    """
    columns = fitted.columns
    lists = fitted.lists
    events = events.part(columns.rows(events.frame))
    n_users = count_users(events, columns)
    if n_users < MIN_USERS:
        warn(
            "The ranker of lists stays as it is: update_ranker needs lists with y > 0 "
            f"and y = 0 of {MIN_USERS} users, and X has those of {n_users}. Pass more "
            "rows at once, such as those of a week."
        )
        return lists.ranker
    rows, _, _ = labelled_rows(
        fitted.describer,
        fitted.n_candidates,
        columns,
        lists.rows,
        events,
        as_of,
        own=None,
    )
    return rows.fit(recipe)
