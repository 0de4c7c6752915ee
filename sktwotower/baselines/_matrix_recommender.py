"""The base class of recommenders that score items by a user's past items only.

Input: an interaction table X (n_events, n_columns), as for `TwoTowerRecommender`.
Output: a fitted estimator that ranks items by scores (n, n_items).
"""

from dataclasses import dataclass, fields
from numbers import Integral
from typing import NamedTuple, Self

import numpy as np
import pandas as pd
from scipy import sparse
from sklearn.base import BaseEstimator

from sktwotower._records import Check, array, positions, record, require
from sktwotower._sklearn_compat import Interval
from sktwotower._tables._event_table import EventTable
from sktwotower._tables._pickled import RecommenderStateMixin
from sktwotower._tables._schema import read_in_memory, read_table
from sktwotower._tables._sparse import ones_at, rows_of, rows_of_each, slices
from sktwotower.features._entities import fit_entities
from sktwotower.metrics._groups import first_unseen
from sktwotower.metrics._held_out import EvaluationMixin
from sktwotower.retrieval._explained_score import rows_of_past, rows_of_table
from sktwotower.retrieval._fitted_state import Fitted, fitted_of
from sktwotower.retrieval._requests import Query, past_of
from sktwotower.retrieval._retrieval import RetrievalMixin

# Scores held at once: 16 MiB of float32.
BLOCK_SIZE = 1 << 22


class CodedEvents(NamedTuple):
    """Positive events: positions of users and items, and times, (n_events,) each.

    ``times`` are int64 or float64, or None without a time column. If ``dates``, they
    are nanoseconds since 1970. ``weights`` (n_events,) are those of the events, and
    ``counts`` (n_items,) the sums of those of all events, also of what was only shown.
    """

    users: np.ndarray
    items: np.ndarray
    times: np.ndarray | None
    weights: np.ndarray
    dates: bool
    counts: np.ndarray


class ItemScores:
    """Base class of the model of a `FittedMatrix`: a dataclass.

    Its first field holds a number or a row for each item.
    """

    order, reads_lags = None, False

    @property
    def n_items(self):
        """The number of items."""
        return getattr(self, fields(self)[0].name).shape[0]


def ordering(dims):
    """Return a check for the positions (n,) of all items in some order."""

    def check(value, place):
        array("int64", dims)(value, place)
        positions(value, place, len(value))
        require(len(np.unique(value)) == len(value), place, "distinct positions")

    return Check(check, dims)


@record
@dataclass(frozen=True, eq=False)
class FittedMatrix(Fitted):
    """The fitted state of a `MatrixRecommender`.

    Parameters
    ----------
    schema, users, items, seen, sequences
        As in `Fitted`.
    model : ItemScores
        ``scores(past)`` returns a new array of scores (n, n_items) for past items, CSR
        (n, n_items). They are ones or, if ``reads_lags``, lags as in `Sequences`.
        ``similarities(one_hot)``, if defined, returns the same for similar items.
        ``order`` holds the positions (n_items,) of the items, best first, if all users
        have the same ranking. Otherwise it is None, and scores are sums over past
        items, each of which counts once, with its latest lag.
    popular_first : int array of shape (n_items,)
        Positions of the items, most popular first: the order of equal scores.
    """

    model: object
    popular_first: ordering("n_items")

    def _check_stored(self, place):
        super()._check_stored(place)
        require(isinstance(self.model, ItemScores), f"{place}.model", "scores of items")
        n = len(self.items)
        fits = self.model.n_items == n == len(self.popular_first)
        require(fits, place, f"scores of {n} items")
        ordered = self.sequences is not None
        require(self.model.reads_lags == ordered, place, "sequences of a model of lags")

    def fields_without(self, gone, left):
        """Return no field: the model knows items only."""
        return {}

    def search(self, query, past, k, serving, excluded=None, allowed=None):
        """Return scores and positions (n, k) of the best items for users.

        The parameters are those of ``FittedTowers.search``.
        """
        if self.model.order is not None and allowed is None:
            return self._first_in_order(past.input, k, excluded)
        return self._rank(self.model.scores, past.input, k, excluded, allowed)

    def explained(self, owner, chosen, past, names, estimator):
        """Return tables of what adds to a score, and the score; see `Fitted`."""
        item, score, past = chosen.codes[0], self.model.scores, past.input
        if self.model.order is not None:
            of_all = score(past)[0, item]
            return [rows_of_table("user", ["(bias)"], [1.0], [of_all])], of_all
        last = ~pd.Series(past.indices).duplicated(keep="last").to_numpy()
        items, lags = past.indices[last], past.data[last]
        n, added = len(items), np.zeros(len(items))
        # the scores of users who have one of the past items each
        each = sparse.csr_matrix((lags, items, np.arange(n + 1)), (n, past.shape[1]))
        for block in blocks_of_rows(*each.shape):
            added[block] = score(each[block])[:, item]
        lags = lags if self.model.reads_lags else None
        table = rows_of_past(self.items.ids[items], np.ones(n), added, names, lags)
        return [table], added.sum()

    def search_similar(self, query, k, itself, serving):
        """Return scores and positions (n, k) of the items most similar to others."""
        return self._rank(self.model.similarities, itself, k, itself)

    def _rank(self, score, past, k, excluded, allowed=None):
        """Return scores and positions (n, k) of the best items for past items."""
        n, n_items = past.shape
        k = min(k, n_items)
        scores = np.empty((n, k), dtype=np.float32)
        indices = np.empty((n, k), dtype=np.int64)
        for block in blocks_of_rows(n, n_items):
            found = score(rows_of(past, block))
            _hide(found, rows_of(excluded, block), rows_of(allowed, block))
            best, places = _first(found[:, self.popular_first], k)
            scores[block] = best
            places = self.popular_first[places]
            indices[block] = np.where(np.isneginf(best), -1, places)
        return scores, indices

    def _first_in_order(self, past, k, excluded):
        """Return the same as ``_rank``, if all users have the same scores."""
        excluded = sparse.csr_matrix(past.shape) if excluded is None else excluded
        k = min(k, past.shape[1])
        indices = first_unseen(self.model.order, excluded, k)
        scores = self.model.scores(past[:1]).ravel()
        scores = scores[indices] if len(indices) else np.empty((0, k))
        return np.where(indices < 0, -np.inf, scores).astype(np.float32), indices


@dataclass(kw_only=True, eq=False, repr=False)
class MatrixParameters(RecommenderStateMixin, BaseEstimator):
    """The parameters of all recommenders of this room, after each one's own first."""

    user_id: str | int | None = None
    item_id: str | int | None = None
    time: str | int | None = None
    n_neighbors: int = 10
    exclude_seen: bool = True


class MatrixRecommender(RetrievalMixin, EvaluationMixin, MatrixParameters):
    """Rank items by scores computed from a user's past items.

    Subclasses define ``_learn(seen, events)``, where ``seen`` is the 0/1 matrix of past
    items, CSR (n_users, n_items), made of the ``CodedEvents``. It returns the ``model``
    of a ``FittedMatrix``. ``_need_time`` lists parameters that cannot be used without
    ``time``.
    """

    _fitted: FittedMatrix

    _need_time = ()
    _parameter_constraints = {
        "n_neighbors": [Interval(Integral, 1, None, closed="left")],
        "exclude_seen": ["boolean"],
    }
    # read by Columns; these recommenders have no features
    user_features = item_features = None

    def __init__(self, user_id, item_id, time, n_neighbors, exclude_seen) -> None:
        self.user_id = user_id
        self.item_id = item_id
        self.time = time
        self.n_neighbors = n_neighbors
        self.exclude_seen = exclude_seen

    def fit(self, X, y=None, sample_weight=None) -> Self:
        """Learn from events; repeated pairs of user and item count once.

        `ClickRateRecommender` counts each event, as often as its weight says.

        Parameters
        ----------
        X : dataframe or array-like of shape (n_events, n_columns)
            One row per event; columns other than the user, the item and ``time`` are
            ignored.
        y : array-like of shape (n_events,), default=None
            Outcome of each event: > 0 means chosen, and its size is ignored; 0 means
            shown and not chosen, which only adds the item to the catalog. None: all
            events are positive.
        sample_weight : array-like of shape (n_events,), default=None
            Rows with weight 0 are left out; the size of other weights is ignored.

        Returns
        -------
        self : object
            The fitted estimator.

        Raises
        ------
        ValueError
            If columns, ids or times are missing, ``y`` or times are not finite, ``y``
            is negative, there is no positive event, parameters are out of range, or one
            of them needs ``time``.
        TypeError
            If ids are of mixed types, or times are neither dates nor numbers.

        Examples
        --------
        >>> from sktwotower import EASERecommender
        >>> X = [["ann", "tea"], ["ann", "jam"], ["bob", "tea"], ["bob", "jam"],
        ...      ["bob", "bread"], ["cid", "nails"], ["cid", "glue"], ["dan", "nails"],
        ...      ["dan", "glue"], ["dan", "paint"]]
        >>> model = EASERecommender(l2=1).fit(X)
        >>> model.item_ids_
        array(['bread', 'glue', 'jam', 'nails', 'paint', 'tea'], dtype=object)
        >>> model.recommend(["ann"], n_neighbors=1)
          user   item  score  rank
        0  ann  bread    0.4     1
        """
        self._validate_params()
        for name in self._need_time:
            value = getattr(self, name)
            if value is not None and self.time is None:
                raise ValueError(
                    f"{name}={value!r} needs the times of events. Name the column of X "
                    f"that says when, as in time='timestamp', or set {name}=None."
                )
        read = read_in_memory(type(self).__name__, self, X, y, sample_weight)
        frame, columns, (rewards, weights, times), schema = read
        keys, sides = (columns.user, columns.item), ("user", "item")
        how = {"transformer": _NoFeatures(), "frame": frame, "memory": None}
        (users, user_codes), (items, item_codes) = (
            fit_entities(side, key, label, [], None, **how)
            for side, key, label in zip(sides, keys, columns.labels, strict=True)
        )
        counts = np.bincount(item_codes, weights, len(items))
        arrays = rows_of_each((user_codes, item_codes, times, weights), rewards > 0)
        events = CodedEvents(*arrays, schema.dates, counts)
        self._fitted = self._fit_events(schema, users, items, events)
        return self

    def _fit_events(self, schema, users, items, events):
        """Return the ``FittedMatrix`` of positive events."""
        shape = len(users), len(items)
        # the last, empty row is for unknown users
        seen = ones_at(events.users, events.items, (shape[0] + 1, shape[1]))
        model = self._learn(seen[:-1], events)
        in_order = None
        if model.reads_lags:
            table = EventTable.of(events.users, events.items, shape, events.times)
            in_order = table.in_order().sequences()
        own = {"model": model, "popular_first": popular_first(seen)}
        return FittedMatrix(schema, users, items, seen, in_order, **own)

    def predict(self, X, history=None) -> np.ndarray:
        """Return the score of each event's own pair of user and item.

        Parameters
        ----------
        X : dataframe or array-like of shape (n_events, n_columns)
            Events with the columns of fit; the time column may be missing, and is not
            read.
        history : dataframe, dict, list or None, default=None
            Events of these users that fit has not seen, see `recommend`.

        Returns
        -------
        ndarray of shape (n_events,), float32
            The scores by which items are ranked; 0 for items unknown to fit. Items that
            the user chose in fit get their score as well.

        Raises
        ------
        NotFittedError
            If fit has not been called.
        ValueError
            If X lacks columns of fit, or ``history`` a column that it needs.
        TypeError
            If X is not a table in memory, ids are of mixed types, or ``history`` is
            neither events nor a list.

        Warns
        -----
        UserWarning
            If rows hold items that fit has not seen, with their share.

        Examples
        --------
        >>> from sktwotower import EASERecommender
        >>> X = [["ann", "tea"], ["ann", "jam"], ["bob", "tea"], ["bob", "jam"],
        ...      ["bob", "bread"], ["cid", "nails"], ["cid", "glue"], ["dan", "nails"],
        ...      ["dan", "glue"], ["dan", "paint"]]
        >>> model = EASERecommender(l2=1).fit(X)
        >>> model.predict([["ann", "bread"], ["ann", "paint"]]).round(2)
        array([0.4, 0. ], dtype=float32)
        """
        fitted = fitted_of(self)
        frame, _ = read_table(type(self).__name__, X, fitted.schema)
        items = Query(*fitted.items.describe(frame, "X", events=True))
        items.warn_of_unknown(f"{type(self).__name__} scores them with 0.")
        users = Query(*fitted.users.describe(frame, "X", events=True))
        # a history tells users unknown to fit apart
        keys = users.codes if history is None else pd.factorize(users.ids)[0]
        _, first, place = np.unique(keys, return_index=True, return_inverse=True)
        distinct = Query(users.ids[first], users.codes[first], users.rows[first])
        past = past_of(fitted, distinct, history).input
        scores = np.zeros(len(frame), dtype=np.float32)
        for block in blocks_of_rows(len(distinct), fitted.n_items):
            asked = (place >= block.start) & (place < block.stop) & (items.codes >= 0)
            found = fitted.model.scores(rows_of(past, block))
            scores[asked] = found[place[asked] - block.start, items.codes[asked]]
        return scores


@record
class _NoFeatures(BaseEstimator):
    """A transformer without output columns: only the ids of users and items count."""

    def fit(self, X, y=None) -> Self:
        """Learn nothing."""
        return self

    def transform(self, X):
        """Return rows without columns."""
        return sparse.csr_matrix((len(X), 0), dtype=np.float32)


def popular_first(seen):
    """Return the positions (n_items,) of the items, those with most users first."""
    return np.argsort(-np.asarray(seen.sum(axis=0)).ravel(), kind="stable")


def blocks_of_rows(n, n_items):
    """Return slices of n rows, each small enough to hold the scores of all items."""
    return slices(n, max(1, BLOCK_SIZE // n_items))


def positive(scores):
    """Set scores <= 0 (items that are not similar) to -inf."""
    scores[scores <= 0] = -np.inf
    return scores


def _hide(scores, excluded, allowed):
    """Set the scores (n, n_items) of items that must not be returned to -inf."""
    if excluded is not None:
        scores[excluded.nonzero()] = -np.inf
    if sparse.issparse(allowed):
        hidden = np.ones(scores.shape, dtype=bool)
        hidden[allowed.nonzero()] = False
        scores[hidden] = -np.inf
    elif allowed is not None:
        hidden = np.ones(scores.shape[1], dtype=bool)
        hidden[allowed] = False
        scores[:, hidden] = -np.inf


def _first(scores, k):
    """Return the k largest scores of each row (n, n_items) and their positions (n, k).

    The first of equal scores are kept; ``argpartition`` would take any of them.
    """
    kth = np.partition(scores, -k, axis=1)[:, -k, None]
    above, equal = scores > kth, scores == kth
    room = k - above.sum(axis=1, keepdims=True)
    above |= equal & (equal.cumsum(axis=1, dtype=np.int32) <= room)
    places = above.nonzero()[1].reshape(len(scores), k)
    best = np.take_along_axis(scores, places, 1)
    order = np.argsort(-best, axis=1, kind="stable")
    return np.take_along_axis(best, order, 1), np.take_along_axis(places, order, 1)
