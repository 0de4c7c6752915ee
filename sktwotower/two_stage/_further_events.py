"""How `TwoStageRecommender.partial_fit` adds further events to both stages.

Input: ``FittedStages``, and events (n_events, n_columns), also of new users and items.
Output: ``FittedStages`` whose retriever, features and counts know them.
"""

import copy

import numpy as np
import pandas as pd
from sklearn.utils import check_random_state

from sktwotower._tables._ids import check_ids
from sktwotower._tables._messages import warn
from sktwotower._tables._schema import read_further

from ._candidate_table import build_describer
from ._fitted_stages import FittedStages
from ._ranker import MIN_USERS, default_ranker
from ._read_events import ReadEvents
from ._shown_rows import ShownColumns
from ._train_lists import count_users, labelled_rows

# Side tables, which may have grown.
TABLES = "users", "items"


def learn_more(owner, recipe, fitted, X, y, sample_weight, update_ranker=False):
    """Return the ``FittedStages`` with further events; those of before do not change.

    Parameters
    ----------
    owner : str
        Name of the estimator in messages.
    recipe : StageRecipe
    fitted : FittedStages
        The fitted state so far.
    X, y, sample_weight, update_ranker
        As in `TwoStageRecommender.partial_fit`.
    """
    seed = check_random_state(recipe.random_state).randint(np.iinfo(np.int32).max)
    recipe = recipe._replace(random_state=seed)
    columns, lists, before = fitted.columns, fitted.lists, fitted.retriever._fitted
    if update_ranker and lists is None:
        raise ValueError(
            "update_ranker=True trains the ranker of lists anew, and fit has trained "
            "none. Name the column of lists, lists=..., and fit on enough of them."
        )
    events = _read(owner, fitted, X, y, sample_weight)
    if len(events.frame) == 0:
        return fitted
    if columns.lists is not None:
        ShownColumns.of(events, recipe._replace(**columns._asdict()))
    retriever = _with_tables(fitted.retriever, recipe.retriever)
    retriever.partial_fit(X, y, sample_weight)
    now = retriever._fitted
    sides = (before.users, now.users), (before.items, now.items)
    moved = [grown.ids.get_indexer(known.ids) for known, grown in sides]
    how = {"by_user": fitted.training.cut == "user", "before": fitted.describer}
    describer = build_describer(recipe, retriever, events, columns, now=moved, **how)
    if lists is not None:
        as_of, lists = lists.counted(describer, columns, events)
        if update_ranker:
            ranker = _ranker_of(recipe, fitted, events, as_of)
            lists = lists._replace(ranker=ranker)
    same = "ranker", "n_candidates", "columns", "training"
    others = {name: getattr(fitted, name) for name in same}
    return FittedStages.of(retriever, describer, lists=lists, **others)


def _read(owner, fitted, X, y, sample_weight):
    """Return further ``ReadEvents``; without times they are later than all others."""
    schema, in_order = fitted.schema, fitted.describer.log.sequences
    frame, (*outcomes, times) = read_further(owner, schema, X, y, sample_weight)
    if times is None:
        times = np.arange(len(frame)) + 1 + in_order.times.max(initial=0)
    ids = check_ids(frame[fitted.users.id_column], "the users of X")
    users = pd.factorize(ids)[0]
    return ReadEvents(frame, *outcomes, times, schema.dates, users, None)


def _with_tables(retriever, given):
    """Return a copy of a fitted retriever that has the side tables of another one."""
    params = {} if given is None else given.get_params(deep=False)
    tables = {name: params[name] for name in TABLES if name in params}
    return copy.copy(retriever).set_params(**tables)


def _ranker_of(recipe, fitted, events, as_of):
    """Return a ranker of the lists among further events.

    Their rows are described by what was known before. ``as_of`` (n_rows, n_counted):
    what was counted before each of them. With too few users it is the ranker so far.
    """
    columns, lists = fitted.columns, fitted.lists
    events = events.part(columns.rows(events.frame))
    n_users = count_users(events, columns)
    if n_users < MIN_USERS:
        warn(
            "The ranker of lists stays as it is: update_ranker needs lists with y > 0 "
            f"and y = 0 of {MIN_USERS} users, and X has those of {n_users}. Pass more "
            "rows at once, such as those of a week."
        )
        return lists.ranker
    how = fitted.retriever, fitted.n_candidates, fitted.describer, columns, lists.rows
    rows, *_ = labelled_rows(*how, events, as_of)
    ranker, named = recipe.ranker, recipe.ranker is not None
    return rows.fit(ranker if named else default_ranker(recipe.random_state), named)
