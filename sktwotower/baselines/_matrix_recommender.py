"""The base class of recommenders that score items by a user's past items only.

Input: an interaction table X (n_events, n_columns), as for `TwoTowerRecommender`.
Output: a fitted estimator that ranks items by scores (n, n_items).
"""

from dataclasses import dataclass
from typing import NamedTuple, Self

import numpy as np
import pandas as pd
from scipy import sparse
from sklearn.base import BaseEstimator

from sktwotower._records import record
from sktwotower._sklearn_compat import COUNT, ParameterConstraints, parameter
from sktwotower._tables._arguments import hinted
from sktwotower._tables._event_table import EventTable
from sktwotower._tables._ids import as_type_of, check_ids
from sktwotower._tables._one_writer import one_writer
from sktwotower._tables._pickled import RecommenderStateMixin
from sktwotower._tables._schema import read_further, read_in_memory, read_table
from sktwotower._tables._sequences import Sequences
from sktwotower._tables._sparse import ones_at
from sktwotower._tables._time_units import TimeKind
from sktwotower.features._entities import fit_entities
from sktwotower.metrics._held_out import EvaluationMixin
from sktwotower.retrieval._fitted_state import fitted_of
from sktwotower.retrieval._requests import Query, past_of
from sktwotower.retrieval._retrieval import RetrievalMixin

from ._fitted_matrix import FittedMatrix, popular_first


class CodedEvents(NamedTuple):
    """The events of one call, also what was only shown, and what is known of others.

    ``items`` and ``times`` (n_events,): positions, and int64 or float64, or None
    without a time column. ``kind``: what times are; instants are nanoseconds since
    1970. ``amounts`` (n_events, 2): the weight of each event, and the same where the
    item was chosen, otherwise 0. ``before``: the counts of earlier calls, or None.
    ``in_order``: the positive events of all calls, or None if their times do not count.
    """

    items: np.ndarray
    times: np.ndarray | None
    kind: TimeKind
    amounts: np.ndarray
    before: object
    in_order: Sequences | None


@dataclass(kw_only=True, eq=False, repr=False)
class MatrixParameters(RecommenderStateMixin, BaseEstimator):
    """The parameters of all recommenders of this room, after each one's own first."""

    _parameter_constraints = ParameterConstraints()
    user_id: str | int | None = None
    item_id: str | int | None = None
    time: str | int | None = None
    n_neighbors: int = parameter(10, COUNT)
    exclude_seen: bool = parameter(True, "boolean")


class MatrixRecommender(RetrievalMixin, EvaluationMixin, MatrixParameters):
    """Rank items by scores computed from a user's past items.

    Subclasses define ``_learn(seen, events)``, where ``seen`` is the 0/1 matrix of past
    items, CSR (n_users, n_items), and events are ``CodedEvents``. It returns the
    ``model`` of a ``FittedMatrix``. ``_need_time`` lists parameters that cannot be used
    without ``time``, and ``_replayed`` those of them that read the times of all events
    again with each call of `partial_fit`.
    """

    _fitted: FittedMatrix

    _need_time = ()
    _replayed = ()
    # read by Columns; these recommenders have no features
    user_features = None
    item_features = None

    @hinted
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
        self._check_parameters()
        frame, columns, outcomes, schema = read_in_memory(
            type(self).__name__, self, X, y, sample_weight
        )
        sides = self._fit_sides(frame, columns)
        self._fitted = self._fit_events(schema, sides, outcomes)
        return self

    def _fit_sides(self, frame, columns):
        """Return the ``Entities`` of users and items, and each row's position."""
        user_label, item_label = columns.labels
        return [
            _fit_side("user", columns.user, user_label, frame),
            _fit_side("item", columns.item, item_label, frame),
        ]

    def _grown_sides(self, before, frame):
        """Return what `grown_side` does, of users and of items.

        ``before``: the fitted state that further events are added to.
        """
        return grown_side(before.users, frame), grown_side(before.items, frame)

    def partial_fit(self, X, y=None, sample_weight=None) -> Self:
        """Learn from further events: the result is that of `fit` on all of them.

        Events may be of new users and items, and late. What the estimator learns is
        computed again from all users' past items, which it holds. That costs as much as
        a new `fit`. For `EASERecommender` and `OrderedRidgeRecommender` it is the cube
        of the number of items, for `PopularityRecommender` one pass over all pairs of
        user and item. For `ItemKNNRecommender` and `RP3betaRecommender` it is as many
        products as users have pairs of past items. `GraphFilterRecommender` and
        `ChebyshevFilterRecommender` compute their singular vectors anew.
        No earlier table is read again. `ClickRateRecommender` adds to its counts; with
        ``half_life``, sums may differ from those of one fit by rounding.

        Parameters
        ----------
        X, y, sample_weight
            As in `fit`, with the same columns; only the new events. X may have no
            positive event, and no rows: then nothing changes.

        Returns
        -------
        self : object
            The fitted estimator; a first call is `fit`. A call that fails leaves it as
            it was before.

        Raises
        ------
        ValueError, TypeError
            As in `fit`; ValueError if ``window``, ``decay``, ``half_life`` or ``time``
            was set after fit, which did not keep what they need; TypeError if new ids
            or times are of another type than those of fit.

        Notes
        -----
        Parameters count as they are now. Users that were forgotten
        (`forget_users`) come back with their new events only; items of theirs stay
        known, and counts of showings stay as they are.

        Examples
        --------
        >>> from sktwotower import PopularityRecommender
        >>> X = [["ann", "tea"], ["bob", "tea"], ["bob", "jam"]]
        >>> model = PopularityRecommender().fit(X)
        >>> model = model.partial_fit([["ann", "jam"], ["cid", "jam"], ["cid", "ham"]])
        >>> model.recommend(["zoe"], n_neighbors=2)
          user item     score  rank
        0  zoe  jam  1.000000     1
        1  zoe  tea  0.666667     2
        """
        return self._learn_more(X, y, sample_weight)

    def _learn_more(self, X, y, sample_weight, counted=False):
        """Add further events to the fitted state; those that are ``counted`` are known.

        Counts of what was shown stay as they are then.
        """
        if not self.__sklearn_is_fitted__():
            return self.fit(X, y, sample_weight)
        with one_writer(self):
            self._check_parameters()
            before = fitted_of(self)
            frame, outcomes = read_further(
                type(self).__name__, before.schema, X, y, sample_weight
            )
            if len(frame) == 0:
                return self
            earlier = before.events(self._replays_times)
            if earlier is None:
                self._refuse_unkept()
            of_users, of_items = self._grown_sides(before, frame)
            users, user_codes, user_places = of_users
            items, item_codes, item_places = of_items
            earlier_users, earlier_items, earlier_times = earlier
            state = self._fit_events(
                before.schema,
                [(users, user_codes), (items, item_codes)],
                outcomes,
                (user_places[earlier_users], item_places[earlier_items], earlier_times),
                before.model.moved(items, item_places),
                counted,
            )
            self._fitted = self._in_catalog(state, before)
        return self

    def _in_catalog(self, state, before):
        """Return a new state without the items that ``before`` does not recommend."""
        return state

    @property
    def _replays_times(self):
        """Whether the times of all earlier events count in each call."""
        return any(getattr(self, name) is not None for name in self._replayed)

    def _check_parameters(self):
        """Raise if parameters are out of range, or one of them lacks ``time``."""
        self._validate_params()
        for name in self._need_time:
            value = getattr(self, name)
            if value is not None and self.time is None:
                raise ValueError(
                    f"{name}={value!r} needs the times of events. Name the column of X "
                    f"that says when, as in time='timestamp', or set {name}=None."
                )

    def _refuse_unkept(self):
        """Raise because fit has not kept what a parameter needs that was set later."""
        names = self._replayed or self._need_time
        names_set = [name for name in names if getattr(self, name) is not None]
        name = names_set[0] if names_set else names[0]
        raise ValueError(
            f"{name}={getattr(self, name)!r} was set after fit, which has not kept "
            f"what it needs. Call fit with all events, or set {name} as in fit."
        )

    def _fit_events(
        self, schema, sides, outcomes, earlier=None, before=None, counted=False
    ):
        """Return the ``FittedMatrix`` of the events of one call and of earlier ones.

        ``sides``: users and items, with the positions (n_events,) of those of the
        call. ``outcomes``: rewards, weights and times (n_events,). ``earlier``: users,
        items and times (m,) of earlier positive events. ``before``: as in
        ``CodedEvents``. ``counted``: whether the counts there hold these events.
        """
        (users, user_codes), (items, item_codes) = sides
        rewards, weights, times = outcomes
        is_chosen = rewards > 0
        replays = self._replays_times
        chosen_users = user_codes[is_chosen]
        chosen_items = item_codes[is_chosen]
        chosen_times = np.zeros(len(chosen_users))
        if replays:
            chosen_times = times[is_chosen]
        if earlier is not None:
            earlier_users, earlier_items, earlier_times = earlier
            chosen_users = np.append(earlier_users, chosen_users)
            chosen_items = np.append(earlier_items, chosen_items)
            chosen_times = np.append(earlier_times, chosen_times)
        # the last, empty row is for unknown users
        seen = ones_at(chosen_users, chosen_items, (len(users) + 1, len(items)))
        in_order = None
        if replays:
            shape = (len(users), len(items))
            table = EventTable.of(chosen_users, chosen_items, shape, chosen_times)
            in_order = table.in_order().sequences()
        amounts = np.column_stack([weights, weights * is_chosen])
        if counted:  # nothing is left to count
            item_codes = item_codes[:0]
            amounts = amounts[:0]
            if times is not None:
                times = times[:0]
        events = CodedEvents(
            item_codes, times, schema.time_kind, amounts, before, in_order
        )
        return self._state(schema, users, items, seen, events)

    def _state(self, schema, users, items, seen, events):
        """Return the fitted state of all events.

        ``seen``: CSR (n_users + 1, n_items); ``events``: ``CodedEvents``.
        """
        model = self._learn(seen[:-1], events)
        in_order = None
        if model.reads_lags:
            in_order = events.in_order
        return FittedMatrix(
            schema,
            users,
            items,
            seen,
            in_order,
            model=model,
            popular_first=popular_first(seen),
        )

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
            The scores by which items are ranked. Items that the user chose in fit get
            their score as well, items unknown to fit 0 or, of `ClickRateRecommender`,
            the mean rate.

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
        score = "the mean rate" if fitted.model.of_unknown else "0"
        meaning = f"{type(self).__name__} scores them with {score}."
        items.warn_of_unknown(meaning, fitted.model.counts_unknown(items))
        users = Query(*fitted.users.describe(frame, "X", events=True))
        keys = users.codes
        if history is not None:  # it tells users unknown to fit apart
            keys, _ = pd.factorize(users.ids)
        _, first, place = np.unique(keys, return_index=True, return_inverse=True)
        distinct = Query(users.ids[first], users.codes[first], users.rows[first])
        past = past_of(fitted, distinct, history).input
        return fitted.scores_of_pairs(past, place, items)


@record
class _NoFeatures(BaseEstimator):
    """A transformer without output columns: only the ids of users and items count."""

    def fit(self, X, y=None) -> Self:
        """Learn nothing."""
        return self

    def transform(self, X):
        """Return rows without columns."""
        return sparse.csr_matrix((len(X), 0), dtype=np.float32)


def _fit_side(side, key, label, frame):
    """Return the ``Entities`` of a column of a table, and each row's position."""
    return fit_entities(
        side, key, label, [], None, transformer=_NoFeatures(), frame=frame, memory=None
    )


def grown_side(known, frame):
    """Return ``Entities`` with the ids of further events, as fit would sort them all.

    Also return the positions of the events, (n_events,), and of those known, (n,).
    """
    column = known.id_column
    label = f"{known.side} column {known.label!r}"
    further = as_type_of(check_ids(frame[column], label), known.ids, label)
    ids = pd.DataFrame({column: known.ids.append(further)})
    grown, codes = _fit_side(known.side, column, known.label, ids)
    n_known = len(known)
    return grown, codes[n_known:], codes[:n_known]
