"""How a ranker is trained on candidates that are labelled by what came later.

Input: ``ReadEvents``, a retriever and a ranker.
Output: what is ``Ranked``: a ``Training``, with the weight of the ranker, and rankers.
"""

import copy
import os
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import pandas as pd
from sklearn.base import clone

from sktwotower._tables._event_table import EventTable
from sktwotower._tables._messages import warn
from sktwotower._tables._sparse import ones_at

from ._blend import choose_weight, gains_by_weight
from ._candidate_table import Describer, build_describer, spread
from ._context import learn_context
from ._labelled import Fallback, Training, candidates_of, described, judge_rankers
from ._list_stage import ListStage
from ._ranker import MIN_USERS, FittedRanker
from ._read_events import ReadEvents
from ._train_lists import HALF, train_on_lists

# Parameters that are chosen by short fits if they are "auto", and what was chosen.
CHOSEN = "half_life popularity_half_life impression_weight reward_scale".split()
AUTO = {name: f"{name}_" for name in CHOSEN}


class Cut(NamedTuple):
    """Events before and after a cut, ``ReadEvents``, and how they were cut.

    Parameters
    ----------
    before, later : ReadEvents
    kind : {"time", "user"}
    first : estimator or None
        The retriever, fitted on those before.
    reason : str
        Why it could not be fitted, if it is None.
    """

    before: ReadEvents
    later: ReadEvents
    kind: str
    first: object
    reason: str

    @property
    def where(self):
        """Where it fell, for messages: " at" a date, if it is one moment for all."""
        if self.kind != "time" or not self.later.dates:
            return ""
        return f" at {pd.Timestamp(self.later.times.min())}"


class Ranked(NamedTuple):
    """What fit learns from later events: as in ``FittedStages``.

    Parameters
    ----------
    training : Training
    describer : Describer, default=None
        That of the events before the cut.
    ranker : FittedRanker, default=None
    lists : ListStage, default=None
    """

    training: Training
    describer: Describer | None = None
    ranker: FittedRanker | None = None
    lists: ListStage | None = None


def cut_events(recipe, retriever, events, columns):
    """Return the ``Cut`` of all events, with the retriever fitted on those before.

    ``columns``: ``ShownColumns``. If there are any, the share is one of their rows.
    """
    judged = None if columns.lists is None else columns.mixed(events)
    before, later, kind = events.cut(recipe.cut, recipe.later_size, judged)
    first, reason = None, "to cut off the later ones of users who have earlier ones."
    if kind == "time":
        reason = "with y > 0 on one side of the cut."
    if before.chosen.any() and later.chosen.any():
        try:
            first = retriever.fit(before.frame, before.rewards, before.weights)
        except ValueError as error:
            n_before = len(before.frame)
            reason = f"to fit the retriever on the {n_before} before the cut ({error})."
    return Cut(before, later, kind, first, reason)


def with_choices(retriever, final):
    """Return a clone of the retriever with the values that "auto" took on all events.

    A ranker can only order the candidates of a retriever like the one it learnt from,
    and fewer events are less evidence. ``final``: the retriever, fitted on all events.
    """
    auto = [name for name in AUTO if getattr(retriever, name, None) == "auto"]
    chosen = {n: getattr(final, AUTO[n]) for n in auto if hasattr(final, AUTO[n])}
    if getattr(retriever, "checkpoint", None) is not None:
        # the fit on all events has removed its own
        chosen["checkpoint"] = os.path.join(retriever.checkpoint, "before_the_cut")
    return clone(retriever).set_params(**chosen)


def train_rankers(recipe, cut, columns, row_columns):
    """Return what is ``Ranked``; parts are None, after a warning, if they cannot be.

    Parameters
    ----------
    recipe : StageRecipe
    cut : Cut
    columns : ShownColumns
    row_columns : Context
        Columns of the rows of lists.
    """
    first, before, describer = cut.first, cut.before, None
    how = {"by_user": cut.kind == "user"}
    try:
        if first is None:
            raise Fallback(f"there are too few events {cut.reason}")
        how["context"] = learn_context(before.frame, recipe.context, before.columns)
        describer = build_describer(recipe, first, before, columns, **how)
        ranked = _with_ranker(recipe, describer, cut, columns)
    except Fallback as reason:
        fell = f" The cut fell{cut.where}: change later_size." if cut.where else ""
        warn(
            f"No ranker was trained: {reason}{fell} "
            "The order of items is the retriever's."
        )
        training = Training(cut.kind, 0.0, reason.n_positive, reason.recall)
        ranked = Ranked(training, describer)
    if columns.lists is None or describer is None:
        return ranked
    how = cut, ranked.describer, row_columns
    lists, describer = train_on_lists(recipe, columns, *how)
    return ranked._replace(lists=lists, describer=describer)


def _with_ranker(recipe, describer, cut, columns):
    """Return what is ``Ranked`` of the candidates of users with later events."""
    found, n_positive, recall = candidates_of(recipe, describer, cut.later)
    table, describer = described(describer, found, recipe.features)
    by_others, held_out = judge_rankers(recipe, table)
    gains = gains_by_weight(table.indices, by_others, table.truth, recipe.n_neighbors)
    later = None
    if choose_weight(gains) > 0:
        later = judge_later(recipe, cut, table, describer, columns)
    weight = choose_weight(gains, later)
    if weight == 0 and later is not None and cut.kind == "time":
        _warn_of_no_lasting_gain(recipe, gains, later)
    frame = _frame_of(describer, table) if recipe.keep_training_table else None
    kept = {"gains": gains, "later_gains": later, "table": frame, "held_out": held_out}
    training = Training(cut.kind, weight, n_positive, recall, **kept)
    return Ranked(training, describer, table.rows().fit(recipe))


def _frame_of(describer, table):
    """Return ids, features and labels of ``Candidates``, a DataFrame."""
    rows, places = np.nonzero(table.indices >= 0)
    items = table.indices[rows, places]
    named = describer.with_ids(table.query, table.features, rows, items)
    return named.assign(chosen=table.labels)


def _warn_of_no_lasting_gain(recipe, gains, later):
    """Warn that a ranker pays only as long as it knows what is chosen."""
    best, k = gains["gain"].idxmax(), recipe.n_neighbors
    warn(
        f"The ranker's order gains {gains['gain'][best]:.3f} NDCG@{k} over retrieval's "
        "in the time that it learns from, but not after it "
        f"({later['gain'][best]:+.3f} +- {later['standard_error'][best]:.3f}, see "
        "blend_gains_later_). So blend_ is 0: the order of items is the retriever's. "
        "What is chosen seems to change within days: let the ranker learn from a "
        f"longer time than later_size={recipe.later_size:g}."
    )


def judge_later(recipe, cut, table, before, columns):
    """Return what each weight gains in the second half of what came after the cut.

    A ranker that learns from the first half orders the candidates of the second one,
    as one that is fitted today is used tomorrow: the features are those of the events
    up to then. The retriever stays as it is, with the first half as history. None: one
    of the halves has too few users with a positive candidate.

    Parameters
    ----------
    recipe : StageRecipe
    cut : Cut
    table : Candidates
        With features, labelled by all events after the cut.
    before : Describer
        That of the events before the cut.
    columns : ShownColumns
    """
    early, late, _ = cut.later.cut(cut.kind, HALF)
    chosen_early = _with_events(cut.first, early)[0]._fitted.seen
    table = table.labelled_by(chosen_early[table.query.codes])
    if len(table.query) < MIN_USERS:
        return None
    retriever, events = _with_events(cut.first, cut.before.followed_by(early))
    how = {"by_user": cut.kind == "user", "before": before}
    describer = build_describer(recipe, retriever, events, columns, **how)
    try:
        found, *_ = candidates_of(recipe, describer, late)
    except Fallback:
        return None
    stage = table.rows().fit(recipe)
    judged, _ = described(describer, found)
    scores = spread(stage.scores(judged.features), judged.indices)
    return gains_by_weight(judged.indices, scores, judged.truth, recipe.n_neighbors)


def _with_events(retriever, events):
    """Return a copy of a retriever that knows events of its users and items.

    The second value are these events: those with a user and an item that it knows.
    """
    fitted = retriever._fitted
    users, items = events.codes(fitted)
    events = events.part((users >= 0) & (items >= 0))
    chosen = events.part(events.chosen)
    pairs = chosen.codes(fitted)
    seen = ones_at(*pairs, fitted.seen.shape)
    in_order = fitted.sequences
    if in_order is not None:
        shape = len(fitted.user_ids), len(fitted.items)
        in_order = EventTable.of(*pairs, shape, chosen.times).in_order().sequences()
    retriever = copy.copy(retriever)
    retriever._fitted = replace(fitted, seen=seen, sequences=in_order)
    return retriever, events
