"""Several first stages as one recommender.

Input: named recommenders, and an interaction table X (n_events, n_columns).
Output: a fitted estimator whose lists are made of theirs.
"""

import copy
from dataclasses import KW_ONLY, dataclass, replace
from typing import Any, Self

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator, clone
from sklearn.utils import Bunch

from sktwotower._records import record
from sktwotower._sklearn_compat import COUNT, ParameterConstraints, parameter
from sktwotower._tables._messages import did_you_mean
from sktwotower._tables._pickled import RecommenderStateMixin
from sktwotower._tables._schema import read_table
from sktwotower.base._adapted import as_retriever, given_by_user
from sktwotower.features._after_fit import forget_rows
from sktwotower.metrics._held_out import EvaluationMixin
from sktwotower.retrieval._fitted_state import Serving, fitted_of
from sktwotower.retrieval._requests import past_of, query_of_events
from sktwotower.retrieval._retrieval import RetrievalMixin

from ._fitted_sources import FittedSources
from ._merged_lists import Mix
from ._shown_rows import USER_BLOCK, requests_of
from ._stage_parameters import TwoStageParameters

# What names the columns of X, for all sources.
COLUMNS = ("user_id", "item_id", "time")


@dataclass(eq=False, repr=False)
class MergedParameters(RecommenderStateMixin, BaseEstimator):
    """The parameters of a ``MergedRecommender``.

    Parameters
    ----------
    sources : list of (str, recommender)
        The sources, which agree on the columns of X.
    quotas : dict of str to int, default=None
        How many candidates each source brings. None: equal shares.
    mix : pair of lists of numbers, default=None
        Quotas and weights of all sources that fit takes instead.
    n_candidates : int, default=100
        Number of candidates of all sources together.
    n_neighbors, exclude_seen
        As in `EASERecommender`.
    """

    _parameter_constraints = ParameterConstraints()
    sources: Any = None
    _: KW_ONLY
    quotas: Any = None
    mix: Any = None
    n_candidates: int = 100
    n_neighbors: int = parameter(10, COUNT)
    exclude_seen: bool = parameter(True, "boolean")


@record
class MergedRecommender(RetrievalMixin, EvaluationMixin, MergedParameters):
    """A recommender whose candidates are those of several others."""

    _fitted: FittedSources

    def _of_first(self, name):
        """Return the first value of a parameter of the sources that is not None."""
        for _, source in self.sources:
            if getattr(source, name, None) is not None:
                return getattr(source, name)
        return None

    user_id = property(lambda self: self._of_first("user_id"))
    item_id = property(lambda self: self._of_first("item_id"))
    time = property(lambda self: self._of_first("time"))
    time_unit = property(lambda self: self._of_first("time_unit") or "auto")
    user_features = property(lambda self: self._of_first("user_features"))
    item_features = property(lambda self: self._of_first("item_features"))
    context = property(lambda self: self._of_first("context"))

    def fit(self, X, y=None, sample_weight=None) -> Self:
        """Fit a clone of each source on the events."""
        names = [name for name, _ in self.sources]
        fitted = []
        for _, source in self.sources:
            fitted.append(clone(source).fit(X, y, sample_weight))
        mix = self._mix()
        unknown = np.full(len(names), np.nan)
        report = pd.DataFrame(
            {
                "source": names,
                "quota": mix.quotas,
                "weight": mix.weights,
                "recall": unknown,
                "added": unknown,
                "lost_without": unknown,
            }
        )
        self._fitted = FittedSources.of(names, fitted, mix, report)
        return self

    def partial_fit(self, X, y=None, sample_weight=None) -> Self:
        """Let a copy of each fitted source learn further events."""
        before = fitted_of(self)
        sources = []
        for name, source in zip(before.names, before.sources, strict=True):
            if not hasattr(source, "partial_fit"):
                raise ValueError(
                    f"partial_fit needs sources that have it, and {name!r} has not. "
                    "Fit anew on all events."
                )
            source = copy.copy(source)
            sources.append(source.partial_fit(X, y, sample_weight))
        self._fitted = FittedSources.of(
            before.names, sources, before.mix, before.report
        )
        return self

    def learnt(self, mix, report) -> Self:
        """Take over quotas and weights that were learnt, and what sources add."""
        self.mix = (mix.quotas.tolist(), mix.weights.tolist())
        self._fitted = replace(
            fitted_of(self),
            quotas=np.asarray(mix.quotas, np.int64),
            weights=np.asarray(mix.weights, float),
            report=report,
        )
        return self

    def _mix(self):
        """Return the ``Mix`` of the parameters."""
        n_sources = len(self.sources)
        if self.mix is not None:
            quotas, weights = self.mix
            return Mix(np.array(quotas), np.array(weights), self.n_candidates)
        if self.quotas is not None:
            quotas = [self.quotas.get(name, 0) for name, _ in self.sources]
        else:
            quotas = np.full(n_sources, self.n_candidates // n_sources)
        # without evidence the order is that of the first one
        weights = np.zeros(n_sources)
        weights[0] = 1.0
        return Mix(np.array(quotas), weights, self.n_candidates)

    def _serving(self):
        """Return the parameters that are read at the time of a request."""
        return Serving(verbose=getattr(self.sources[0][1], "verbose", 0))

    def _forget(self, fitted, gone):
        """Replace the fitted state and the sources by ones without some users."""
        left = fitted.without_users(gone)
        sources = []
        for (name, source), known, others in zip(
            self.sources, fitted.sources, left.sources, strict=True
        ):
            source = clone(source)
            users = fitted_of(known).users
            users_left = fitted_of(others).users
            gone_there = users.ids.isin(fitted.users.ids[gone])
            forget_rows(source, users, users_left, gone_there)
            sources.append((name, source))
        self.sources = sources
        self._fitted = left

    @property
    def item_embeddings_(self):
        """Vectors (n_items, d) of the first source that has any."""
        vectors = fitted_of(self).item_vectors
        if vectors is None:
            raise AttributeError("No source has vectors of all items.")
        return vectors

    def predict(self, X, history=None) -> np.ndarray:
        """Return the score (n_events,) of each event's own pair of user and item.

        That of an item in a list of ``exclude_seen``; an item that is not in it is
        placed between the others by the score of each source; 0 for unknown items.
        """
        fitted = fitted_of(self)
        frame, _ = read_table("TwoStageRecommender", X, fitted.schema)
        items = fitted.items.codes(frame[fitted.items.id_column], "X")
        scores = np.zeros(len(frame), np.float32)
        of_sources = []
        for source in fitted.sources:
            of_sources.append(source.predict(X, history=history))
        of_sources = np.column_stack(of_sources).astype(float)
        keys = requests_of(fitted, frame)
        _, first = np.unique(keys, return_index=True)
        query = query_of_events(fitted, frame.iloc[first])
        past = past_of(fitted, query, history)
        for start in range(0, len(query), USER_BLOCK):
            block = slice(start, min(start + USER_BLOCK, len(query)))
            inside = (keys >= block.start) & (keys < block.stop) & (items >= 0)
            if inside.any():
                inside = np.flatnonzero(inside)
                inside = inside[np.argsort(keys[inside], kind="stable")]
                pairs = self._pairs(
                    fitted,
                    query[block],
                    past[block],
                    keys[inside] - start,
                    items[inside],
                    of_sources[inside],
                )
                scores[inside] = pairs.scores
        return scores

    def _pairs(self, fitted, query, past, rows, items, scores):
        """Return the ``PairsOfSources`` of items (m,) of users, by all candidates."""
        excluded = None
        if self.exclude_seen:
            excluded = past.seen
        lists = fitted.lists(
            query, past, fitted.n_candidates, self._serving(), excluded
        )
        return fitted.pairs(lists, rows, items, scores, excluded)

    def score_of_pair(self, fitted, owner, chosen, past):
        """Return the score of one user and one item, and its rank in each source."""
        allowed = chosen.codes[:1]
        serving = self._serving()._replace(is_exact=True)
        alone = fitted.lists(owner, past, 1, serving, None, allowed)
        scores = np.array([[of_list[0, 0] for of_list, _ in alone]], dtype=float)
        row = np.zeros(1, dtype=np.int64)
        pairs = self._pairs(fitted, owner, past, row, allowed, scores)
        n_sources = len(fitted.names)
        return float(pairs.scores[0]), pairs.numbers[0, 1 : 1 + n_sources]


def merged_of(recipe):
    """Return a ``MergedRecommender`` of the sources of a recipe, after checks.

    ``recipe``: a ``StageRecipe`` whose ``retriever`` is a list.
    """
    sources = _checked_sources(recipe)
    names = [name for name, _ in sources]
    _check_quotas(names, recipe)
    sources = _with_same_columns(sources)
    return MergedRecommender(
        sources,
        quotas=recipe.quotas,
        n_candidates=recipe.n_candidates,
        exclude_seen=recipe.exclude_seen,
    )


def _checked_sources(recipe):
    """Return the list of names and recommenders of this package, clones."""
    given = recipe.retriever
    sources = []
    for entry in given:
        is_pair = isinstance(entry, tuple | list) and len(entry) == 2
        if not is_pair or not isinstance(entry[0], str):
            raise TypeError(
                "retriever as a list must hold pairs of a name and a recommender, such "
                f"as [('towers', TwoTowerRecommender())]. Got {entry!r}."
            )
        name, estimator = entry
        if isinstance(estimator, TwoStageParameters):
            raise TypeError(
                f"The source {name!r} must be a recommender with one stage, such as "
                f"EASERecommender(). Got {estimator!r}."
            )
        sources.append((name, clone(as_retriever(estimator))))
    _check_names([name for name, _ in sources], recipe)
    if len(sources) < 2:
        raise ValueError(
            f"retriever as a list must hold two sources or more. Got {len(sources)}. "
            "Pass a single recommender by itself: retriever=EASERecommender()."
        )
    return sources


def _check_names(names, recipe):
    """Raise unless names tell the sources apart, and from parameters."""
    for name in names:
        if names.count(name) > 1:
            raise ValueError(
                f"Each source needs a name of its own, and {name!r} occurs "
                f"{names.count(name)} times."
            )
        if "__" in name or name in recipe._fields or not name:
            raise ValueError(
                f"{name!r} cannot be the name of a source: it must not be empty, a "
                "parameter of TwoStageRecommender, or contain '__'."
            )


def _check_quotas(names, recipe):
    """Raise unless quotas are numbers of candidates of the sources that fit."""
    n_sources = len(names)
    if recipe.n_candidates < n_sources:
        raise ValueError(
            f"n_candidates={recipe.n_candidates} is less than one candidate for each "
            f"of {n_sources} sources."
        )
    if recipe.quotas is None:
        return
    if not isinstance(recipe.quotas, dict):
        raise TypeError(
            "quotas must be a dict of names of sources to numbers, such as "
            f"{{{names[0]!r}: 50}}. Got {recipe.quotas!r}."
        )
    for name, quota in recipe.quotas.items():
        if name not in names:
            raise ValueError(
                f"quotas names {name!r}, and the sources are {names}."
                f"{did_you_mean(name, names)}"
            )
        is_number = isinstance(quota, int | np.integer) and not isinstance(quota, bool)
        if not is_number or quota < 0:
            raise ValueError(
                f"The quota of {name!r} must be an integer >= 0. Got {quota!r}."
            )
    total = sum(recipe.quotas.values())
    if total > recipe.n_candidates:
        raise ValueError(
            f"The quotas {recipe.quotas} are {total} candidates together, more than "
            f"n_candidates={recipe.n_candidates}. Raise it, or lower the quotas."
        )


def _with_same_columns(sources):
    """Return sources that read the same columns of X, those that one of them names."""
    for column in COLUMNS:
        named = {}
        for name, source in sources:
            value = getattr(source, column, None)
            if value is not None:
                named.setdefault(value, name)
        if len(named) > 1:
            (one, first), (other, second) = list(named.items())[:2]
            raise ValueError(
                f"The sources {first!r} and {second!r} must read the same columns of "
                f"X, but have {column}={one!r} and {column}={other!r}."
            )
        for value in named:
            for _, source in sources:
                if column in source.get_params(deep=False):
                    source.set_params(**{column: value})
    return sources


def sources_of(retriever):
    """Return the recommenders that a retriever consists of, itself or its sources."""
    if isinstance(retriever, MergedRecommender):
        return [source for _, source in retriever.sources]
    return [retriever]


def with_sources(retriever, sources):
    """Return a clone of a retriever with others in place of ``sources_of``."""
    if not isinstance(retriever, MergedRecommender):
        return sources[0]
    named = []
    for (name, _), source in zip(retriever.sources, sources, strict=True):
        named.append((name, source))
    changed = clone(retriever)
    changed.sources = named
    return changed


def fitted_sources_of(retriever):
    """Return the fitted recommenders that a retriever consists of."""
    if isinstance(retriever, MergedRecommender):
        return fitted_of(retriever).sources
    return [retriever]


def named_sources_of(retriever):
    """Return copies of fitted sources by name, a Bunch; None: there is only one."""
    if not isinstance(retriever, MergedRecommender):
        return None
    fitted = fitted_of(retriever)
    named = Bunch()
    for name, source in zip(fitted.names, fitted.sources, strict=True):
        named[name] = copy.copy(given_by_user(source))
    return named


def with_fitted_sources(retriever, given, change):
    """Return a copy of a fitted ``MergedRecommender`` with other sources.

    ``given``: recommenders that are not fitted, by name. ``change``: a function that
    returns a fitted source as it is now, by itself and by the one of its name.
    """
    fitted = fitted_of(retriever)
    sources = []
    for name, source in zip(fitted.names, fitted.sources, strict=True):
        sources.append(change(source, given.get(name)))
    changed = copy.copy(retriever)
    changed._fitted = FittedSources.of(fitted.names, sources, fitted.mix, fitted.report)
    return changed
