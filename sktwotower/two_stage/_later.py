"""Whether a ranker still pays later than in the time that it learnt from.

Input: events after the cut, and candidates that are labelled by them.
Output: the gain of each weight in the second half of that time, a DataFrame.
"""

import copy
from dataclasses import replace

import numpy as np

from sktwotower._tables._event_table import EventTable
from sktwotower._tables._sparse import ones_at

from ._blend import gains_by_weight
from ._candidate_table import build_describer, spread
from ._found import MIN_USERS, Fallback, candidates_of, users_to_rank
from ._labelled import described, hits_of

# Share of the positive events after the cut that a ranker is judged by.
HALF = 0.5


def judge_later(recipe, ranker, cut, found, columns):
    """Return what each weight gains in the second half of the time after the cut.

    A ranker that learns from the first half orders the candidates of the second one,
    as one that is fitted today is used tomorrow: the features are those of the events
    up to then. The retriever stays as it is, with the first half as history. None: one
    of the halves has too few users with a positive candidate.

    Parameters
    ----------
    recipe : StageRecipe
    ranker : estimator
        It is cloned.
    cut : Cut
    found : pair of Candidates and Describer
        Candidates with features, labelled by all events after the cut.
    columns : ShownColumns
    """
    early, late, _ = cut.later.cut(cut.kind, HALF)
    (table, before), by_user = found, cut.kind == "user"
    table = _labelled_by(table, cut.first._fitted, early)
    if len(table.query) < MIN_USERS:
        return None
    retriever, events = _with_events(cut.first, cut.before.followed_by(early))
    try:
        found = candidates_of(recipe, retriever, before.context, late)
        found = users_to_rank(recipe, found)
    except Fallback:
        return None
    describer = build_describer(
        recipe, retriever, events, columns, by_user=by_user, before=before
    )
    stage = table.fit(ranker, recipe.ranker is not None)
    judged, _ = described(describer, found)
    scores = spread(stage.scores(judged.features), judged.indices)
    return gains_by_weight(judged.indices, scores, judged.truth, recipe.n_neighbors)


def _labelled_by(table, fitted, events):
    """Return candidates that are labelled by some of the events, of users with one."""
    users, items = _codes(fitted, events)
    known = (users >= 0) & (items >= 0) & events.chosen
    shape = len(fitted.user_ids), len(fitted.items)
    chosen = ones_at(users[known], items[known], shape)[table.query.codes]
    hits = hits_of(chosen, table.indices)
    return table._replace(hits=hits).of_rows(np.flatnonzero(hits.any(axis=1)))


def _with_events(retriever, events):
    """Return a copy of a retriever that knows events of its users and items.

    The second value are these events: those with a user and an item that it knows.
    """
    fitted = retriever._fitted
    users, items = _codes(fitted, events)
    known = (users >= 0) & (items >= 0)
    events, users, items = events.part(known), users[known], items[known]
    users, items = users[events.chosen], items[events.chosen]
    seen = ones_at(users, items, fitted.seen.shape)
    in_order = fitted.sequences
    if in_order is not None:
        shape = len(fitted.user_ids), len(fitted.items)
        times = events.times[events.chosen]
        in_order = EventTable.of(users, items, shape, times).in_order().sequences()
    retriever = copy.copy(retriever)
    retriever._fitted = replace(fitted, seen=seen, sequences=in_order)
    return retriever, events


def _codes(fitted, events):
    """Return the positions (n_events,) of users and items, -1 for unknown ones."""
    sides = fitted.users, fitted.items
    return [side.codes(events.frame[side.id_column], "X") for side in sides]
