"""Recommenders that score items by a user's row of the user x item matrix.

Input: an interaction table X (n_events, n_columns), as `TwoTowerRecommender` takes it.
Output: a fitted estimator that ranks items by scores of the users' past items.
"""

from dataclasses import dataclass
from numbers import Integral
from typing import Self

import numpy as np
from scipy import sparse
from sklearn.base import BaseEstimator

from sktwotower._sklearn_compat import Interval
from sktwotower._tables._columns import Columns
from sktwotower._tables._events import read_events
from sktwotower._tables._schema import read_table
from sktwotower._tables._sparse import pair_matrix, rows_of
from sktwotower.features._entities import fit_entities
from sktwotower.metrics._held_out import EvaluationMixin
from sktwotower.retrieval._fitted import Fitted, fitted_of
from sktwotower.retrieval._retrieval import RetrievalMixin

__all__ = ["FittedMatrix", "MatrixRecommender", "blocks_of_rows"]

# Scores held at once: 16 MiB of float32.
BLOCK_SIZE = 1 << 22


@dataclass(frozen=True, eq=False)
class FittedMatrix(Fitted):
    """What a `MatrixRecommender` has learnt.

    Parameters
    ----------
    schema, users, items, seen, user_ids, item_ids
        As in `Fitted`.
    model : object
        ``scores(past)`` returns new scores (n, n_items) of rows of the matrix of who
        chose what, CSR (n, n_items). ``similarities(own)`` does so for similar items,
        where there are any. ``order`` holds the positions (n_items,) of the items if
        it is the same for all users, best first, else None.
    popular_first : int array of shape (n_items,)
        Positions of the items, most users first: the order of equal scores.
    """

    model: object
    popular_first: np.ndarray

    def search(self, query, past, k, serving, excluded=None, allowed=None):
        """Return scores and positions (n, k) of the best items for users.

        The parameters are those of ``FittedTowers.search``.
        """
        if self.model.order is not None and allowed is None:
            return self._first_in_order(past, k, excluded)
        return self._rank(self.model.scores, past, k, excluded, allowed)

    def search_similar(self, query, k, itself, serving):
        """Return scores and positions (n, k) of the items most similar to others."""
        return self._rank(self.model.similarities, itself, k, itself)

    def _rank(self, score, past, k, excluded, allowed=None):
        """Return scores and positions (n, k) of the best items for rows of a matrix."""
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
        """Return what ``_rank`` does, where all users have the same scores.

        Only the first items are looked at: k, and as many as are excluded at most.
        """
        n, n_items = past.shape
        k = min(k, n_items)
        n_hidden = 0 if excluded is None or n == 0 else np.diff(excluded.indptr).max()
        first = self.model.order[: k + n_hidden]
        hidden = np.zeros((n, len(first)), dtype=bool)
        if excluded is not None:
            rows, columns = excluded.nonzero()
            places = np.full(n_items, len(first))
            places[first] = np.arange(len(first))
            places = places[columns]
            near = places < len(first)
            hidden[rows[near], places[near]] = True
        # a stable sort moves what is hidden to the end and keeps the order of the rest
        kept = np.argsort(hidden, axis=1, kind="stable")[:, :k]
        lost = np.take_along_axis(hidden, kept, 1)
        indices = np.where(lost, -1, first[kept])
        scores = self.model.scores(past[:1])[0][indices] if n else np.empty((0, k))
        return np.where(lost, -np.inf, scores).astype(np.float32), indices


class MatrixRecommender(RetrievalMixin, EvaluationMixin, BaseEstimator):
    """Rank by scores of a user's row of the user x item matrix.

    Subclasses have ``_learn(seen)``, given the 0/1 matrix of who chose what, CSR
    (n_users, n_items), which returns the ``model`` of a ``FittedMatrix``.
    """

    _parameter_constraints = {
        "user_id": "no_validation",
        "item_id": "no_validation",
        "n_neighbors": [Interval(Integral, 1, None, closed="left")],
        "exclude_seen": ["boolean"],
    }
    # There are none to choose here.
    user_features = item_features = None

    def fit(self, X, y=None, sample_weight=None) -> Self:
        """Learn from events; a user and an item that meet twice count once.

        Parameters
        ----------
        X : dataframe or array-like of shape (n_events, n_columns)
            One row per event; columns other than the user and the item are ignored.
        y : array-like of shape (n_events,), default=None
            What came of each event: > 0 means chosen, how large it is does not count; 0
            means shown and not chosen: the item is in the catalog, nothing more.
            None: all events are positive.
        sample_weight : array-like of shape (n_events,), default=None
            Rows with weight 0 are left out; how large other weights are does not count.

        Returns
        -------
        self : object
            The fitted estimator.

        Raises
        ------
        ValueError
            Missing or misspelt columns, missing ids, a negative or non-finite ``y``, no
            positive event, or parameters out of range.
        TypeError
            Ids of mixed types.
        """
        self._validate_params()
        frame, rewards, _, schema = read_events(
            type(self).__name__, X, y, sample_weight
        )
        columns = Columns(frame, self, schema.names is not None)
        sides = [
            ("user", columns.user, columns.labels[0]),
            ("item", columns.item, columns.labels[1]),
        ]
        (users, user_codes), (items, item_codes) = (
            fit_entities(*side, [], None, _NoFeatures(), frame, None) for side in sides
        )
        chosen = rewards > 0
        # the last, empty row stands for unknown users
        shape = (len(users) + 1, len(items))
        seen = pair_matrix(
            user_codes[chosen], item_codes[chosen], rewards[chosen], shape
        ).sign()
        counts = np.asarray(seen.sum(axis=0)).ravel()
        self._fitted = FittedMatrix(
            schema,
            users,
            items,
            seen,
            users.ids.to_numpy(),
            items.ids.to_numpy(),
            model=self._learn(seen[:-1]),
            popular_first=np.argsort(-counts, kind="stable"),
        )
        return self

    def predict(self, X) -> np.ndarray:
        """Score each event's own pair of user and item.

        Parameters
        ----------
        X : dataframe or array-like of shape (n_events, n_columns)
            Events with the columns of fit.

        Returns
        -------
        ndarray of shape (n_events,), float32
            The scores by which items are ranked; 0 for items unknown to fit. What the
            user chose in fit is scored as everything else.
        """
        fitted = fitted_of(self)
        frame, _ = read_table(type(self).__name__, X, fitted.schema)
        users = fitted.users.codes(frame[fitted.users.id_column], "X")
        items = fitted.items.codes(frame[fitted.items.id_column], "X")
        distinct, place = np.unique(users, return_inverse=True)
        scores = np.zeros(len(frame), dtype=np.float32)
        for block in blocks_of_rows(len(distinct), fitted.n_items):
            own = (place >= block.start) & (place < block.stop) & (items >= 0)
            found = fitted.model.scores(fitted.seen[distinct[block]])
            scores[own] = found[place[own] - block.start, items[own]]
        return scores

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.string = True
        return tags


class _NoFeatures(BaseEstimator):
    """A transformer without output: users and items are known by their ids only."""

    def fit(self, X, y=None) -> Self:
        """Learn nothing."""
        return self

    def transform(self, X):
        """Return rows without columns."""
        return sparse.csr_matrix((len(X), 0), dtype=np.float32)


def blocks_of_rows(n, n_items):
    """Return slices of n rows whose scores of all items are held at once."""
    step = max(1, BLOCK_SIZE // n_items)
    return [slice(start, min(start + step, n)) for start in range(0, n, step)]


def _hide(scores, excluded, allowed):
    """Set the scores (n, n_items) of what may not be given to -inf."""
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
    """Return the k largest of each row (n, n_items) and where; of equal ones the first.

    ``argpartition`` would take any of the equal ones.
    """
    kth = np.partition(scores, -k, axis=1)[:, -k, None]
    above, equal = scores > kth, scores == kth
    room = k - above.sum(axis=1, keepdims=True)
    above |= equal & (equal.cumsum(axis=1, dtype=np.int32) <= room)
    places = above.nonzero()[1].reshape(len(scores), k)
    best = np.take_along_axis(scores, places, 1)
    order = np.argsort(-best, axis=1, kind="stable")
    return np.take_along_axis(best, order, 1), np.take_along_axis(places, order, 1)
