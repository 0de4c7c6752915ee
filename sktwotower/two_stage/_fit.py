"""How `TwoStageRecommender.fit` trains a ranker on events that came later.

Input: an interaction table X (n_events, n_columns) with outcomes y, and a ``Recipe``.
Output: ``FittedStages``: a retriever fitted on all events, and a ranker.
"""

from dataclasses import fields, replace
from typing import NamedTuple

import numpy as np
from sklearn.base import clone
from sklearn.utils import check_random_state

from sktwotower._tables._messages import warn
from sktwotower.metrics._held_out import read_held_out
from sktwotower.retrieval._fitted import Fitted
from sktwotower.retrieval._retrieval import RetrievalMixin

from ._blend import choose_blend
from ._candidates import Describer, check_own_features
from ._context import learn_context, with_context
from ._events import read
from ._fitted import FittedStages
from ._log import build_log
from ._ranker import check_ranker, default_ranker, fit_ranker
from ._side_columns import learn_encoders, side_columns
from ._training import Training, judge_rankers, labelled, retrieved

__all__ = ["Recipe", "learn"]

# A ranker is trained on as many users as have this many candidates together.
MAX_PAIRS = 200_000
# How many times as many users are asked for candidates: not all have a positive one.
USERS_PER_RANKED = 3
# With fewer users who have a positive candidate, what a ranker learns is noise.
MIN_USERS = 20


class Recipe(NamedTuple):
    """Parameters of `TwoStageRecommender`, by the same names."""

    retriever: object
    ranker: object
    n_candidates: int
    time: object
    cut: str
    later_size: float
    context: object
    features: object
    n_neighbors: int
    exclude_seen: bool
    keep_training_table: bool
    random_state: object

    @classmethod
    def of(cls, estimator):
        """Return the recipe of an estimator."""
        return cls._make(getattr(estimator, name) for name in cls._fields)


class Fallback(Exception):
    """The reason why no ranker can be trained."""


def learn(owner, recipe, X, y, sample_weight):
    """Return ``FittedStages`` of events.

    Parameters
    ----------
    owner : str
        Name of the estimator in messages.
    recipe : Recipe
    X, y, sample_weight
        As in `TwoStageRecommender.fit`.
    """
    rng = check_random_state(recipe.random_state)
    seed = rng.randint(np.iinfo(np.int32).max)
    recipe = recipe._replace(random_state=seed)
    retriever = prepared_retriever(recipe)
    ranker = default_ranker(seed) if recipe.ranker is None else recipe.ranker
    check_ranker(ranker)
    check_own_features(recipe.features)
    events = read(owner, retriever, X, y, sample_weight)
    # on all events first: errors are those of a fit without a second stage
    final = clone(retriever).fit(X, y, sample_weight)
    context = learn_context(events.frame, recipe.context)
    training, before, stage = _trained(recipe, retriever, ranker, events)
    context = context if before is None else before.entities.context
    users = with_context(final._fitted.users, context)
    by_user = training.cut == "user"
    describer = _describer(recipe, final, events, users, by_user, before)
    fitted = final._fitted
    parts = {each.name: getattr(fitted, each.name) for each in fields(Fitted)}
    parts["users"] = describer.entities
    if fitted.schema.time is not None:  # the ranker reads the order in any case
        parts["sequences"] = describer.log.sequences
    return FittedStages(
        **parts,
        retriever=final,
        describer=describer,
        ranker=stage,
        weight=training.weight,
        n_candidates=recipe.n_candidates,
        training=training,
    )


def prepared_retriever(recipe):
    """Return a clone of the retriever with the time column, after checks."""
    retriever = recipe.retriever
    if retriever is None:
        from sktwotower.recommender import TwoTowerRecommender

        retriever = TwoTowerRecommender(random_state=recipe.random_state)
    if isinstance(retriever, type) or not isinstance(retriever, RetrievalMixin):
        raise TypeError(
            "retriever must be a recommender of this package, such as "
            f"TwoTowerRecommender() or EASERecommender(). Got {retriever!r}."
        )
    retriever = clone(retriever)
    if recipe.time is not None:
        if retriever.time is not None and retriever.time != recipe.time:
            raise ValueError(
                f"time={recipe.time!r} is another column than the retriever's "
                f"time={retriever.time!r}. Name it once, as time of the "
                "TwoStageRecommender."
            )
        retriever.set_params(time=recipe.time)
    return retriever


def _trained(recipe, retriever, ranker, events):
    """Return a ``Training``, and the ``Describer`` and ranker it found, or None."""
    before, later, cut = events.cut(recipe.cut, recipe.later_size)
    try:
        first = _fitted_before(retriever, before, later)
        return _with_ranker(recipe, ranker, first, (before, later, cut))
    except Fallback as reason:
        warn(f"{reason.args[0]} The order of items is the retriever's.")
        counts = reason.args[1:] or (0, np.nan)
        return Training(cut, 0.0, *counts), None, None


def _fitted_before(retriever, before, later):
    """Return the retriever, fitted on the events before the cut."""
    if not (before.chosen.any() and later.chosen.any()):
        raise Fallback(
            "No ranker was trained: there are too few events to cut off the later ones "
            "of users who have earlier ones."
        )
    try:
        return clone(retriever).fit(before.frame, before.rewards, before.weights)
    except ValueError as error:
        raise Fallback(
            "No ranker was trained: there are too few events to fit the retriever on "
            f"the {len(before.frame)} before the cut ({error})."
        ) from error


def _with_ranker(recipe, ranker, first, parts):
    """Return a ``Training``, the ``Describer`` and the ranker.

    ``first``: the retriever, fitted before the cut. ``parts``: the events before and
    after it, and how they were cut.
    """
    before, later, cut = parts
    context = learn_context(before.frame, recipe.context)
    users = with_context(first._fitted.users, context)
    found = _candidates(recipe, first, users, later)
    n_positive, recall = int(found.hits.sum()), found.recall()
    found = _users_to_rank(recipe, found, n_positive, recall)
    describer = _describer(recipe, first, before, users, cut == "user")
    table = labelled(describer, found, recipe.features)
    rng, named = np.random.default_rng(recipe.random_state), recipe.ranker is not None
    by_others, held_out = judge_rankers(ranker, table, rng, named)
    weight, gains = choose_blend(
        table.indices, by_others, table.truth, recipe.n_neighbors
    )
    features, groups = table.candidates.features, table.candidates.pairs.rows
    stage = fit_ranker(ranker, features, table.labels, groups, named)
    kept = table.as_frame() if recipe.keep_training_table else None
    training = Training(cut, weight, n_positive, recall, gains, kept, held_out)
    return training, table.describer, stage


def _describer(recipe, retriever, events, users, by_user, before=None):
    """Return the ``Describer`` of the events that a retriever was fitted on.

    ``users``: `ContextUsers`. ``before``: the describer of earlier events, whose levels
    and own features stay.
    """
    fitted, frame = retriever._fitted, events.frame
    log = build_log(retriever, events, by_user, not recipe.exclude_seen)
    sides = fitted.users, fitted.items
    if before is None:
        encoders = [learn_encoders(side, frame) for side in sides]
    else:
        encoders = before.encoders
    columns = map(side_columns, sides, (frame, frame), encoders)
    labels = fitted.users.label, fitted.items.label
    own = None if before is None else before.own
    return Describer(log, users, *columns, encoders, labels, fitted.item_ids, own)


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
