"""How a ranker is trained on candidates that are labelled by what came later.

Input: ``ReadEvents``, a retriever and a ranker.
Output: what is ``Ranked``: a ``Training``, with the weight of the ranker, and rankers.
"""

import os
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from sklearn.base import clone

from sktwotower._tables._messages import warn
from sktwotower.metrics._held_out import read_held_out

from ._blend import choose_blend
from ._candidates import Describer
from ._context import learn_context, with_context
from ._describe import build_describer
from ._events import ReadEvents
from ._labelled import Training, judge_rankers, labelled, retrieved
from ._lists import ListStage, train_on_lists
from ._ranker import FittedRanker, fit_ranker

__all__ = ["cut_events", "train_rankers", "with_choices"]

# A ranker is trained on as many users as have this many candidates together.
MAX_PAIRS = 200_000
# How many times as many users are asked for candidates: not all have a positive one.
USERS_PER_RANKED = 2
# With fewer users who have a positive candidate, what a ranker learns is noise.
MIN_USERS = 20


# Parameters that are chosen by short fits if they are "auto", and what was chosen.
AUTO = {"half_life": "half_life_", "impression_weight": "impression_weight_"}


class Fallback(Exception):
    """The reason why no ranker can be trained."""


class Cut(NamedTuple):
    """Events before and after a cut, ``ReadEvents``, and how they were cut.

    Parameters
    ----------
    before, later : ReadEvents
    kind : {"time", "user"}
    first : estimator or None
        The retriever, fitted on those before.
    reason : str or None
        Why it could not be fitted.
    """

    before: ReadEvents
    later: ReadEvents
    kind: str
    first: object
    reason: str | None


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


def cut_events(recipe, retriever, events):
    """Return the ``Cut`` of all events, with a clone of the retriever fitted before."""
    before, later, kind = events.cut(recipe.cut, recipe.later_size)
    first, reason = None, "to cut off the later ones of users who have earlier ones."
    if before.chosen.any() and later.chosen.any():
        try:
            first, reason = clone(retriever), None
            first.fit(before.frame, before.rewards, before.weights)
        except ValueError as error:
            n_before = len(before.frame)
            first = None
            reason = f"to fit the retriever on the {n_before} before the cut ({error})."
    return Cut(before, later, kind, first, reason)


def with_choices(retriever, first):
    """Return a clone of the retriever with the values that "auto" took before the cut.

    A ranker can only order the candidates of a retriever like the one it learnt from.
    ``first``: the retriever, fitted before the cut, or None.
    """
    chosen = {
        name: getattr(first, fitted)
        for name, fitted in AUTO.items()
        if getattr(retriever, name, None) == "auto" and hasattr(first, fitted)
    }
    if getattr(retriever, "checkpoint", None) is not None:
        # the fit on all events has removed its own
        chosen["checkpoint"] = os.path.join(retriever.checkpoint, "before_the_cut")
    return clone(retriever).set_params(**chosen)


def train_rankers(recipe, ranker, cut, columns):
    """Return what is ``Ranked``; parts are None, after a warning, if they cannot be.

    Parameters
    ----------
    recipe : Recipe
    ranker : estimator
        It is cloned.
    cut : Cut
    columns : ShownColumns
    """
    if cut.reason is not None:
        warn(
            f"No ranker was trained: there are too few events {cut.reason} The order "
            "of items is the retriever's."
        )
        return Ranked(Training(cut.kind, 0.0, 0, np.nan))
    first, before, later = cut.first, cut.before, cut.later
    context = learn_context(before.frame, recipe.context)
    users = with_context(first._fitted.users, context)
    positions = columns.positions(before.frame)
    by_user = cut.kind == "user"
    describer = build_describer(recipe, first, before, users, by_user, positions)
    try:
        ranked = _with_ranker(recipe, ranker, describer, cut)
    except Fallback as reason:
        warn(f"{reason.args[0]} The order of items is the retriever's.")
        counts = reason.args[1:] or (0, np.nan)
        ranked = Ranked(Training(cut.kind, 0.0, *counts), describer)
    if columns.lists is None:
        return ranked
    lists = train_on_lists(recipe, columns, ranker, first, ranked.describer, later)
    return ranked._replace(lists=lists)


def _with_ranker(recipe, ranker, describer, cut):
    """Return what is ``Ranked`` of the candidates of users with later events."""
    found = _candidates(recipe, cut.first, describer.entities, cut.later)
    n_positive, recall = int(found.hits.sum()), found.recall()
    found = _users_to_rank(recipe, found, n_positive, recall)
    table = labelled(describer, found, recipe.features)
    rng, named = np.random.default_rng(recipe.random_state), recipe.ranker is not None
    by_others, held_out = judge_rankers(ranker, table, rng, named)
    weight, gains = choose_blend(
        table.indices, by_others, table.truth, recipe.n_neighbors
    )
    features, groups = table.candidates.features, table.candidates.pairs.rows
    stage = fit_ranker(ranker, features, table.labels, groups, named)
    kept = table.as_frame() if recipe.keep_training_table else None
    training = Training(cut.kind, weight, n_positive, recall, gains, kept, held_out)
    return Ranked(training, table.describer, stage)


def _candidates(recipe, retriever, users, later):
    """Return the ``Retrieved`` candidates of users who have events before and later.

    The columns of a request are those of the user's first later event.
    """
    ids = later.frame[users.id_column]
    known = users.codes(ids, "X") >= 0
    known &= np.isin(later.users, later.users[later.chosen & known])
    if not known.any():
        raise Fallback(
            "No ranker was trained: there are too few events, as no user has some on "
            "both sides of the cut."
        )
    later = later.part(known)
    later = later.part(np.argsort(-later.times, kind="stable"))  # the last row counts
    query, past, judged = read_held_out(
        replace(retriever._fitted, users=users),
        later.frame,
        later.rewards,
        later.weights,
        exclude_seen=False,
        max_users=USERS_PER_RANKED * _max_users(recipe),
        random_state=recipe.random_state,
    )
    return retrieved(recipe, retriever, users, query, past, judged.truth)


def _max_users(recipe):
    return max(MIN_USERS, MAX_PAIRS // recipe.n_candidates)


def _users_to_rank(recipe, found, n_positive, recall):
    """Return the candidates of users with a positive one, at most ``MAX_PAIRS``."""
    n = recipe.n_candidates
    if n_positive == 0:
        raise Fallback(
            "No ranker was trained: none of the items that users chose later is among "
            f"their {n} candidates (recall 0). Raise n_candidates.",
            n_positive,
            recall,
        )
    positive = np.flatnonzero(found.hits.any(axis=1))
    if len(positive) < MIN_USERS:
        raise Fallback(
            f"No ranker was trained: there are too few events, as only {len(positive)} "
            f"users chose one of their {n} candidates later (recall {recall:.3f}), and "
            f"{MIN_USERS} are required. Raise n_candidates, or pass more events.",
            n_positive,
            recall,
        )
    rng = np.random.default_rng(recipe.random_state)
    return found.of_rows(np.sort(rng.permutation(positive)[: _max_users(recipe)]))
