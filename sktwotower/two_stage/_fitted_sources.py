"""The fitted state of several first stages, as one immutable value.

Input: fitted recommenders, and a ``Mix``: quotas and weights.
Output: scores and positions (n, k) of the best items, and what sources say of them.
"""

import copy
from dataclasses import fields, replace
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy import sparse

from sktwotower._records import Check, array, frozen, integer, list_of, require
from sktwotower._tables._sparse import rows_of_each, take_rows
from sktwotower.retrieval._explained_score import rows_of_table
from sktwotower.retrieval._fitted_state import Fitted, fitted_of, state_of
from sktwotower.retrieval._requests import Query
from sktwotower.retrieval._retrieval import RetrievalMixin

from ._blend import ranks_among
from ._log import entries
from ._merged_lists import Mix, merged, numbers_of, pairs_of_lists, spans

SOURCE = "source"  # the side of the rows of `explain` that are about sources


def is_retriever(value, place):
    """Raise unless a value is a fitted recommender."""
    require(isinstance(value, RetrievalMixin), place, "a recommender")
    require(state_of(value) is not None, place, "a fitted recommender")


class PastOfSources(NamedTuple):
    """Past items of n users, as each source reads them.

    ``seen``, ``input`` and ``latest`` are those of `Past`, of the source that knows
    most; ``parts``: one `Past` for each source.
    """

    seen: sparse.csr_matrix
    input: sparse.csr_matrix
    latest: np.ndarray | None
    parts: tuple

    def __getitem__(self, rows):
        """Return some of the users, a slice or positions."""
        parts = tuple(part[rows] for part in self.parts)
        return PastOfSources(*rows_of_each([*self][:3], rows), parts)


class AskedOfSources(NamedTuple):
    """What n requests say of their context, to each source; None: nothing."""

    parts: tuple

    def __getitem__(self, rows):
        """Return some of the requests, a slice or positions."""
        return AskedOfSources(
            tuple(None if part is None else part[rows] for part in self.parts)
        )


class PairsOfSources(NamedTuple):
    """What n pairs of a user and an item are to several sources.

    ``scores`` (n,), and ``numbers`` (n, 1 + 2 n_sources), as in ``MergedLists``.
    """

    scores: np.ndarray
    numbers: np.ndarray


@frozen
class FittedSources(Fitted):
    """The fitted state of a ``MergedRecommender``.

    Parameters
    ----------
    schema, users, items, seen, sequences
        As in `Fitted`; those of the source that knows most.
    names : list of str
        Those of the sources.
    sources : list of estimators
        The sources, fitted on all events.
    quotas, weights, n_candidates
        The ``Mix``.
    report : DataFrame
        What each source adds.
    """

    names: list[str]
    sources: list_of(Check(is_retriever))
    quotas: array("int64", "n_sources", least=0)
    weights: array("float64", "n_sources", is_finite=True, least=0, most=1)
    n_candidates: integer(2)
    report: pd.DataFrame
    _not_stored = tuple(field.name for field in fields(Fitted))  # those of a source

    def __post_init__(self):
        main = main_of(self.sources)
        places = []
        for source in self.sources:
            places.append(_places_in(fitted_of(source), self))
        object.__setattr__(self, "_main", main)
        object.__setattr__(self, "_places", places)

    @classmethod
    def of(cls, names, sources, mix, report):
        """Return the state of fitted sources."""
        known = fitted_of(sources[main_of(sources)])
        known = {field.name: getattr(known, field.name) for field in fields(Fitted)}
        return cls(
            **known,
            names=list(names),
            sources=list(sources),
            quotas=np.asarray(mix.quotas, np.int64),
            weights=np.asarray(mix.weights, float),
            n_candidates=int(mix.n_candidates),
            report=report,
        )

    @classmethod
    def _of_stored(cls, names, sources, quotas, weights, n_candidates, report):
        mix = Mix(quotas, weights, n_candidates)
        return cls.of(names, sources, mix, report)

    def _check_stored(self, place):
        n = len(self.names)
        fits = len(self.sources) == len(self.quotas) == n > 0
        require(fits, place, f"{n} sources")

    def __getstate__(self):
        """Return what is pickled: not what is computed of the sources."""
        state = super().__getstate__()
        return {name: state[name] for name in state if name != "_places"}

    def __setstate__(self, state):
        vars(self).update(state)
        self.__post_init__()

    @property
    def mix(self):
        """The ``Mix`` of the sources."""
        return Mix(self.quotas, self.weights, self.n_candidates)

    @property
    def main(self):
        """What the source has learnt that knows most, a ``Fitted``."""
        return fitted_of(self.sources[self._main])

    @property
    def n_items(self):
        """Number of items in the catalog."""
        return self.main.n_items

    @property
    def sees_gaps(self):
        """Whether the time since the user's last event counts in a request."""
        return any(fitted_of(source).sees_gaps for source in self.sources)

    @property
    def context_columns(self):
        """Names of the columns of X that describe a request, to any source."""
        names = []
        for source in self.sources:
            names.extend(fitted_of(source).context_columns)
        return tuple(dict.fromkeys(names))

    @property
    def item_context(self):
        """Names of those that items have, and X has not, a tuple."""
        names = []
        for source in self.sources:
            names.extend(fitted_of(source).item_context)
        return tuple(dict.fromkeys(names))

    @property
    def asked_time(self):
        """Name of the column with the time of a request, if a source reads it."""
        for source in self.sources:
            if fitted_of(source).asked_time is not None:
                return fitted_of(source).asked_time
        return None

    @property
    def known_columns(self):
        """Names that a table of requests may have without being misspelt, a set."""
        known = set()
        for source in self.sources:
            known |= fitted_of(source).known_columns
        return known

    @property
    def item_vectors(self):
        """Vectors (n_items, d) of the first source with any of the whole catalog."""
        for source, place in zip(self.sources, self._places, strict=True):
            fitted = fitted_of(source)
            if fitted.item_vectors is not None and fitted.n_items == self.n_items:
                return fitted.item_vectors[place.items_there[: self.n_items]]
        return None

    @property
    def unit_users(self):
        """Vectors of length 1 of all known users, those of the main source."""
        return self.main.unit_users

    def unit_users_of(self, query, past):
        """Return vectors of length 1 of users, those of the main source."""
        query = self.query_of(self._main, query)
        return self.main.unit_users_of(query, past.parts[self._main])

    def asked(self, frame, n, given=None, name="X"):
        """Return what n requests asked of each source; see `Fitted.asked`."""
        columns = self.context_columns
        if given is not None and not columns:
            return super().asked(frame, n, given, name)
        parts = []
        for source in self.sources:
            fitted = fitted_of(source)
            of_source = None
            if given is not None:
                known = fitted.context_columns
                of_source = {key: given[key] for key in given if key in known} or None
            parts.append(fitted.asked(frame, n, of_source, name))
        if all(part is None for part in parts):
            return None
        return AskedOfSources(tuple(parts))

    def query_of(self, place, query):
        """Return the ``Query`` that a source reads."""
        fitted = fitted_of(self.sources[place])
        asked = None
        if query.asked is not None:
            asked = query.asked.parts[place]
        if place == self._main:
            return replace(query, asked=asked)
        described = query.described
        wanted = fitted.users.columns[1:]
        if described is not None and len(wanted) and set(wanted) <= set(described):
            described = described.set_axis(
                [fitted.users.id_column, *described.columns[1:]], axis=1
            )
            return Query(*fitted.users.describe(described, "X"), asked=asked)
        codes = self._places[place].users_there[query.codes]
        rows = take_rows(fitted.users.rows, codes)
        return Query(query.ids, codes, rows, asked=asked)

    def past(self, query, added=None):
        """Return the ``PastOfSources`` of the users of a query, as `Fitted.past`."""
        parts = []
        for place, source in enumerate(self.sources):
            of_source = added
            if added is not None:
                of_source = self._places[place].events(*added)
            fitted = fitted_of(source)
            parts.append(fitted.past(self.query_of(place, query), of_source))
        main = parts[self._main]
        return PastOfSources(main.seen, main.input, main.latest, tuple(parts))

    def lists(self, query, past, depth, serving, excluded=None, allowed=None):
        """Return scores and positions (n, depth) of the best items of each source."""
        lists = []
        for place, source in enumerate(self.sources):
            places = self._places[place]
            fitted = fitted_of(source)
            of_source = source._serving()
            of_source = of_source._replace(
                n_users=serving.n_users, is_exact=serving.is_exact
            )
            scores, items = fitted.search(
                self.query_of(place, query),
                past.parts[place],
                min(depth, fitted.n_items),
                of_source,
                places.matrix(excluded),
                places.allowed(allowed),
            )
            here = np.where(items >= 0, places.items[items], -1)
            lists.append((scores, here))
        return lists

    def merged(self, query, past, k, serving, excluded=None, allowed=None):
        """Return the ``MergedLists`` of users; the parameters are those of `search`."""
        k = min(k, self.n_items)
        depth = max(k, self.n_candidates)
        lists = self.lists(query, past, depth, serving, excluded, allowed)
        return merged(lists, self.mix, k)

    def search(self, query, past, k, serving, excluded=None, allowed=None):
        """Return scores and positions (n, k) of the best items for users.

        The parameters are those of ``FittedTowers.search``.
        """
        lists = self.merged(query, past, k, serving, excluded, allowed)
        return lists.scores, lists.indices

    def pairs(self, lists, rows, items, scores, excluded=None):
        """Return the ``PairsOfSources`` of items (n,) of users, which may be unlisted.

        ``lists``: those of the users, as ``lists`` returns them. ``rows`` (n,): the
        user of each item, ascending. ``scores``: that of each source, (n, n_sources).
        ``excluded``: what the lists leave out, CSR (n_users, n_items), or None.
        """
        mix = self.mix
        listed = pairs_of_lists(lists)
        is_left_out = np.zeros(len(items), dtype=bool)
        if excluded is not None:
            is_left_out = entries(excluded, rows, items) > 0
        least = np.nextafter(mix.n_candidates, np.inf)  # of scores equal to the last
        ranks = np.empty(scores.shape)
        gaps = np.empty(scores.shape)
        for source, (scores_of_list, items_of_list) in enumerate(lists):
            scores_of_list = scores_of_list[:, : mix.n_candidates]
            items_of_list = items_of_list[:, : mix.n_candidates]

            # items of the list have their ranks in it
            is_same = items_of_list[rows] == items[:, None]
            is_listed = is_same.any(axis=1)
            rank_in_list = is_same.argmax(axis=1) + 1.0

            # others have those of their scores, and none if the list is short
            others = ranks_among(scores_of_list[rows], scores[:, source])
            n_listed = np.count_nonzero(items_of_list >= 0, axis=1)[rows]
            is_short = n_listed < mix.n_candidates
            others[is_short & (others > n_listed)] = np.inf
            others = np.where(is_left_out, others, np.maximum(others, least))
            ranks[:, source] = np.where(is_listed, rank_in_list, others)

            best, width = spans(scores_of_list, items_of_list, mix.n_candidates)
            finite = np.maximum(scores[:, source], np.finfo(np.float32).min)
            gaps[:, source] = (finite - best[rows]) / width[rows]
        gaps[ranks > mix.n_candidates] = np.nan
        shortfalls, _ = mix.shortfalls(ranks)
        last = self._last_shortfalls(listed, len(lists[0][0]))
        values = np.where(
            shortfalls <= last[rows],
            mix.scores(ranks),
            mix.scores_of_others(shortfalls),
        )
        return PairsOfSources(values.astype(np.float32), numbers_of(mix, ranks, gaps))

    def _last_shortfalls(self, listed, n_users):
        """Return how much quotas have grown at the last candidate of n users, (n,)."""
        shortfalls, _ = self.mix.shortfalls(listed.ranks)
        last = np.full(n_users, np.inf)
        order = np.lexsort((shortfalls, listed.rows))
        starts = np.searchsorted(listed.rows[order], np.arange(n_users + 1))
        is_full = np.diff(starts) >= self.n_candidates
        ends = starts[:-1][is_full] + self.n_candidates - 1
        last[is_full] = shortfalls[order[ends]]
        return last

    def explained(self, owner, chosen, past, names, estimator):
        """Return a row for each source, and the score; see `Fitted`."""
        score, ranks = estimator.score_of_pair(self, owner, chosen, past)
        mix = self.mix
        alone = []
        for place in range(len(self.names)):
            only = np.full((1, len(self.names)), np.inf)
            only[0, place] = ranks[place]
            none = np.full((1, len(self.names)), np.inf)
            alone.append(mix.scores(only)[0] - mix.scores(none)[0])
        base = mix.scores(np.full((1, len(self.names)), np.inf))[0]
        added = np.array([base, *alone])
        added *= score / added.sum()  # below the candidates scores are lower
        is_listed = ranks <= mix.n_candidates
        reasons = ["what all items have in common"]
        for name, rank, listed in zip(self.names, ranks, is_listed, strict=True):
            if listed:
                reasons.append(f"rank {np.ceil(rank):.0f} of {name}")
            else:
                reasons.append(f"not among the first {mix.n_candidates} of {name}")
        values = np.append(np.nan, np.where(is_listed, ranks, np.nan))
        rows = rows_of_table(SOURCE, ["(bias)", *self.names], values, added, reasons)
        return [rows], score

    def without_users(self, gone):
        """Return the same without the users where ``gone`` (n_users,)."""
        sources = []
        for source, places in zip(self.sources, self._places, strict=True):
            fitted = fitted_of(source)
            gone_there = np.zeros(len(fitted.users), dtype=bool)
            users = places.users_there[:-1][gone]
            gone_there[users[users >= 0]] = True
            source = copy.copy(source)
            source._forget(fitted, gone_there)
            sources.append(source)
        return FittedSources.of(self.names, sources, self.mix, self.report)


class _Places(NamedTuple):
    """Where users and items of all sources are in one of them, and the other way.

    Parameters
    ----------
    users_there : int array of shape (n_users + 1,)
        Positions in the source; -1, also the last one: it does not know the user.
    items_there : int array of shape (n_items,)
        Positions in the source; -1: it does not know the item.
    items : int array of shape (n_items_there,)
        Positions of the items of the source among all.
    """

    users_there: np.ndarray
    items_there: np.ndarray
    items: np.ndarray

    @property
    def is_same(self):
        """Whether the source has all items, at the same positions."""
        n = len(self.items_there)
        return len(self.items) == n and (self.items == np.arange(n)).all()

    def matrix(self, matrix):
        """Return a CSR matrix (n, n_items) with the columns of the source, or None."""
        if matrix is None or self.is_same:
            return matrix
        return matrix[:, self.items].tocsr().sorted_indices()

    def allowed(self, allowed):
        """Return the ``allowed`` of a ``Request`` for the source."""
        if allowed is None or self.is_same:
            return allowed
        if sparse.issparse(allowed):
            return self.matrix(allowed)
        positions = self.items_there[allowed]
        return np.sort(positions[positions >= 0])

    def events(self, rows, items, times):
        """Return further events for the source, those of items that it knows."""
        positions = self.items_there[items]
        kept = positions >= 0
        if times is not None:
            times = times[kept]
        return rows[kept], positions[kept], times


def main_of(sources):
    """Return the position of the source that knows most: items, then features."""
    sizes = []
    for place, source in enumerate(sources):
        fitted = fitted_of(source)
        n_features = fitted.items.has_features + fitted.users.has_features
        sizes.append((fitted.n_items, len(fitted.items), n_features, -place))
    return sizes.index(max(sizes))


def _places_in(fitted, main):
    """Return the ``_Places`` of a source, a ``Fitted``, by those of the main one."""
    items = main.items.ids.get_indexer(fitted.items.ids)
    if (items < 0).any():
        unknown = fitted.items.ids[items < 0]
        raise ValueError(
            f"The sources know other items: {len(unknown)} of the {len(fitted.items)} "
            f"items of one, such as {unknown[0]!r}, are not among the {main.n_items} "
            "of another. Give all the same table of items, with ids of one type."
        )
    users_there = fitted.users.ids.get_indexer(main.users.ids)
    items_there = fitted.items.ids.get_indexer(main.items.ids)
    return _Places(np.append(users_there, -1), items_there, items)
