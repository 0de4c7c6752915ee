"""How `TwoStageRecommender.partial_fit` adds further events to both stages.

Input: ``FittedStages``, and events (n_events, n_columns), also of new users and items.
Output: ``FittedStages`` whose retriever, features and counts know them.
"""

import copy

import numpy as np

from sktwotower._tables._schema import read_events, times_of_events

from ._fitted_stages import FittedStages
from ._read_events import ReadEvents

# Side tables, which may have grown.
TABLES = "users", "items"


def learn_more(owner, recipe, fitted, X, y, sample_weight):
    """Return the ``FittedStages`` with further events; those of before do not change.

    Parameters
    ----------
    owner : str
        Name of the estimator in messages.
    recipe : StageRecipe
    fitted : FittedStages
        The fitted state so far.
    X, y, sample_weight
        As in `TwoStageRecommender.partial_fit`.
    """
    events = _read(owner, fitted, X, y, sample_weight)
    if len(events.frame) == 0:
        return fitted
    columns, lists, before = fitted.columns, fitted.lists, fitted.retriever._fitted
    columns.check(events)
    retriever = _with_tables(fitted.retriever, recipe.retriever)
    retriever.partial_fit(X, y, sample_weight)
    sides = zip((before.users, before.items), _sides(retriever), strict=True)
    moved = [now.ids.get_indexer(known.ids) for known, now in sides]
    positions = columns.positions(events.frame)
    how = recipe, retriever, events, positions, moved
    describer = fitted.describer.with_events(*how)
    if lists is not None:
        lists = lists.counted(describer, columns, events)
    same = "ranker", "n_candidates", "columns", "training"
    others = {name: getattr(fitted, name) for name in same}
    return FittedStages.of(retriever, describer, lists=lists, **others)


def _sides(retriever):
    return retriever._fitted.users, retriever._fitted.items


def _read(owner, fitted, X, y, sample_weight):
    """Return further events, ``ReadEvents``, as later than all others without times."""
    schema, in_order = fitted.schema, fitted.describer.log.sequences
    read = read_events(owner, X, y, sample_weight, schema, may_be_empty=True)
    frame, rewards, weights, _ = read
    frame = frame.reset_index(drop=True)
    if schema.time is not None:
        times, _ = times_of_events(frame, schema.time, schema, schema)
    else:
        times = np.arange(len(frame)) + 1 + in_order.times.max(initial=0)
    users = fitted.users.codes(frame[fitted.users.id_column], "X")
    return ReadEvents(frame, rewards, weights, times, schema.dates, users, None)


def _with_tables(retriever, given):
    """Return a copy of a fitted retriever that has the side tables of another one."""
    params = {} if given is None else given.get_params(deep=False)
    tables = {name: params[name] for name in TABLES if name in params}
    return copy.copy(retriever).set_params(**tables)
