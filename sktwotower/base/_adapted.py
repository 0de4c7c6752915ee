"""A recommender of another library as one of this package, for the first stage.

Input: an estimator with ``fit``, ``recommend`` and ``item_ids_``, and events X.
Output: the same answers, with all that rooms of this package ask a recommender for.
"""

import copy
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
import pandas as pd
from sklearn.base import clone

from sktwotower._tables._schema import read_further, read_in_memory, read_table
from sktwotower._tables._sparse import ones_at, slices
from sktwotower.baselines._matrix_recommender import MatrixRecommender
from sktwotower.retrieval._any_recommender import (
    LISTED,
    is_recommender,
    lists_of_any,
    parameters_of,
)
from sktwotower.retrieval._fitted_state import Fitted, fitted_of
from sktwotower.retrieval._requests import Query, past_of
from sktwotower.retrieval._retrieval import RetrievalMixin

OWN_ONES = "a recommender of this package, such as EASERecommender()"


@dataclass(frozen=True, eq=False)
class FittedLists(Fitted):
    """What is known of the events that an estimator of another library was fitted on.

    Parameters
    ----------
    schema, users, items, seen, sequences
        As in `Fitted`; without sequences.
    estimator : fitted estimator
    """

    estimator: object

    @property
    def name(self):
        """The name of the estimator's class, for messages."""
        return type(self.estimator).__name__

    def past(self, query, added=None):
        """Return the ``Past`` of the users of a query, as known from fit."""
        if added is not None:
            raise ValueError(
                f"history needs {OWN_ONES}: recommend of {self.name} knows only the "
                "events of its fit."
            )
        return super().past(query)

    def search(self, query, past, k, serving, excluded=None, allowed=None):
        """Return scores and positions (n, k) of the best items for users.

        The parameters are those of ``FittedTowers.search``.
        """
        ids = self.items.ids
        return lists_of_any(self.estimator, query.ids, ids, k, excluded, allowed)

    def explained(self, owner, chosen, past, names, estimator):
        """Raise: nobody else says what a score is made of."""
        raise ValueError(
            f"explain needs {OWN_ONES}: {self.name} does not say what its scores are "
            "made of."
        )

    def fields_without(self, gone, left):
        """Raise: nobody else forgets users."""
        raise ValueError(
            f"forget_users needs {OWN_ONES}: {self.name} may hold what it knows of "
            "users. Fit anew without their events."
        )


@dataclass(eq=False, repr=False)
class AdaptedRecommender(MatrixRecommender):
    """An estimator of another library with the methods of this package's recommenders.

    Parameters
    ----------
    estimator : recommender of any library
    user_id, item_id, time, n_neighbors, exclude_seen
        As in `EASERecommender`.

    Its fitted state is ``FittedLists``.
    """

    estimator: Any = None

    @property
    def estimator_(self):
        """The fitted estimator."""
        return fitted_of(self).estimator

    def fit(self, X, y=None, sample_weight=None) -> Self:
        """Fit a clone of the estimator on the events that count, a DataFrame."""
        name = type(self.estimator).__name__
        read = read_in_memory(name, self, X, y, sample_weight)
        frame, columns, (rewards, weights, _), schema = read
        (users, user_codes), (items, item_codes) = self._fit_sides(frame, columns)
        chosen = rewards > 0
        shape = len(users) + 1, len(items)  # the last, empty row is for unknown users
        seen = ones_at(user_codes[chosen], item_codes[chosen], shape)
        estimator = clone(self.estimator)
        _learn(estimator, "fit", frame, rewards, weights)
        self._fitted = FittedLists(schema, users, items, seen, None, estimator)
        return self

    def partial_fit(self, X, y=None, sample_weight=None) -> Self:
        """Let a copy of the fitted estimator learn further events, if it can."""
        before = fitted_of(self)
        if not hasattr(before.estimator, "partial_fit"):
            raise ValueError(
                f"partial_fit needs a retriever that has it, and {before.name} has "
                "not. Fit anew on all events."
            )
        read = read_further(before.name, before.schema, X, y, sample_weight)
        frame, (rewards, weights, _) = read
        sides = self._grown_sides(before, frame)
        (users, user_codes, user_places), (items, item_codes, item_places) = sides
        rows, columns = before.seen.nonzero()
        rows = np.append(user_places[rows], user_codes[rewards > 0])
        columns = np.append(item_places[columns], item_codes[rewards > 0])
        seen = ones_at(rows, columns, (len(users) + 1, len(items)))
        estimator = copy.deepcopy(before.estimator)  # a call that fails changes nothing
        _learn(estimator, "partial_fit", frame, rewards, weights)
        self._fitted = replace(
            before, users=users, items=items, seen=seen, estimator=estimator
        )
        return self

    def predict(self, X, history=None) -> np.ndarray:
        """Return the score (n_events,) of each event's own pair of user and item.

        It is that of ``predict`` of the estimator or, without one, of a list of all
        items of X. Items that are not in it have its lowest score, unknown ones 0.
        """
        fitted = fitted_of(self)
        frame, _ = read_table(fitted.name, X, fitted.schema)
        users = Query(*fitted.users.describe(frame, "X", events=True))
        if history is not None:
            past_of(fitted, users, history)  # raises
        items = fitted.items.codes(frame[fitted.items.id_column], "X")
        known = items >= 0
        scores = np.zeros(len(frame), np.float32)
        if hasattr(fitted.estimator, "predict"):
            scores[known] = fitted.estimator.predict(frame[known])
            return scores

        # by lists of all items of X, for as many users at once as LISTED allows
        rows, ids = pd.factorize(users.ids)
        catalog = fitted.items.ids
        columns = np.unique(items[known])
        n_at_once = max(1, LISTED // max(len(columns), 1))
        for block in slices(len(ids), n_at_once):
            inside = known & (rows >= block.start) & (rows < block.stop)
            of_lists = _scores_of_pairs(fitted.estimator, ids[block], catalog, columns)
            columns_inside = np.searchsorted(columns, items[inside])
            scores[inside] = of_lists[rows[inside] - block.start, columns_inside]
        return scores


def _scores_of_pairs(estimator, ids, catalog, columns):
    """Return the scores (n, m) of users and of items at positions ``columns`` (m,)."""
    n_items = len(columns)
    listed = lists_of_any(estimator, ids, catalog, n_items, allowed=columns)
    scores, positions = listed
    lowest = np.min(scores, axis=1, initial=np.inf, where=positions >= 0)
    lowest[np.isinf(lowest)] = 0
    table = np.repeat(lowest[:, None], n_items, axis=1)
    rows, places = np.nonzero(positions >= 0)
    found = np.searchsorted(columns, positions[rows, places])
    table[rows, found] = scores[rows, places]
    return table


def _learn(estimator, method, frame, rewards, weights):
    """Call fit or partial_fit with the arguments that the method has.

    Without ``y`` it gets the events that were chosen.
    """
    taken = parameters_of(estimator, method)
    options = {}
    if "y" in taken:
        options["y"] = rewards
    else:
        frame = frame[rewards > 0]
        weights = weights[rewards > 0]
    if "sample_weight" in taken:
        options["sample_weight"] = weights
    elif (weights != 1).any():
        raise ValueError(
            f"{method} of {type(estimator).__name__} takes no sample_weight. Pass no "
            "weights, or weights that are 0 or 1."
        )
    getattr(estimator, method)(frame.reset_index(drop=True), **options)


def as_retriever(estimator):
    """Return a recommender as one of this package, an adapted one if it is another's.

    Raise ``TypeError`` for what is no recommender.
    """
    if isinstance(estimator, RetrievalMixin):
        return estimator
    is_one = is_recommender(estimator) and hasattr(estimator, "fit")
    if isinstance(estimator, type) or not is_one:
        raise TypeError(
            f"retriever must be a recommender with one stage, {OWN_ONES}, or an object "
            "with fit and recommend(users, n_neighbors=10, exclude_seen=True, "
            "candidates=None), see sktwotower.base.check_recommender. Got "
            f"{estimator!r}."
        )
    columns = {key: getattr(estimator, key, None) for key in ("user_id", "item_id")}
    return AdaptedRecommender(estimator, **columns)


def given_by_user(retriever):
    """Return the fitted estimator of an adapted recommender, others as they are."""
    if isinstance(retriever, AdaptedRecommender):
        return retriever.estimator_
    return retriever
