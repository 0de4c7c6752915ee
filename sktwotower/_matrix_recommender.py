"""Enters: an interaction table X (n_events, n_columns), as the two towers take it.

Leaves: the 0/1 matrix of who chose what, and ranked items (n, k) by scores of its rows.
Next: baselines.py, which learns from the matrix.
"""

from numbers import Integral

import numpy as np
from scipy import sparse
from sklearn.base import BaseEstimator
from sklearn.utils._param_validation import Interval
from sklearn.utils.validation import check_is_fitted

from sktwotower._tables._columns import Columns
from sktwotower._tables._events import event_table, read_events
from sktwotower._tables._sparse import pair_matrix, rows_of
from sktwotower.features._entities import Entities
from sktwotower.metrics._held_out import EvaluationMixin
from sktwotower.retrieval._retrieval import RetrievalMixin

__all__ = ["MatrixRecommender", "blocks_of_rows"]

# Scores held at once: 16 MiB of float32.
BLOCK_SIZE = 1 << 22


class MatrixRecommender(RetrievalMixin, EvaluationMixin, BaseEstimator):
    """Rank by scores of a user's row of the user x item matrix.

    Subclasses have ``_learn(seen)``, given the 0/1 matrix of who chose what, CSR
    (n_users, n_items), and ``_scores(past)``, which gives new scores (n, n_items) of
    rows of such a matrix.
    """

    _parameter_constraints = {
        "user_id": "no_validation",
        "item_id": "no_validation",
        "n_neighbors": [Interval(Integral, 1, None, closed="left")],
        "exclude_seen": ["boolean"],
    }
    # What the shared parts ask for, and what is not to be chosen here.
    user_features = item_features = None
    verbose = 0

    def fit(self, X, y=None, sample_weight=None):
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
        frame, rewards, _ = read_events(self, X, y, sample_weight, reset=True)
        columns = Columns(frame, self)
        users, items = (
            Entities(side, column, label, [], None, _NoFeatures())
            for side, column, label in zip(
                ("user", "item"),
                (columns.user, columns.item),
                columns.labels,
                strict=True,
            )
        )
        user_codes, item_codes = users.fit(frame), items.fit(frame)
        chosen = rewards > 0
        # the last, empty row stands for unknown users
        shape = (len(users.ids) + 1, len(items.ids))
        seen = pair_matrix(
            user_codes[chosen], item_codes[chosen], rewards[chosen], shape
        ).sign()
        self._learn(seen[:-1])
        counts = np.asarray(seen.sum(axis=0)).ravel()
        self._popular_first = np.argsort(-counts, kind="stable")
        self._users, self._items, self._seen = users, items, seen
        self.user_ids_, self.item_ids_ = users.ids.to_numpy(), items.ids.to_numpy()
        return self

    def predict(self, X):
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
        check_is_fitted(self)
        frame = event_table(self, X, reset=False)
        users = self._users.codes(frame[self._users.id_column], "X")
        items = self._items.codes(frame[self._items.id_column], "X")
        distinct, place = np.unique(users, return_inverse=True)
        scores = np.zeros(len(frame), dtype=np.float32)
        for block in blocks_of_rows(len(distinct), len(self.item_ids_)):
            own = (place >= block.start) & (place < block.stop) & (items >= 0)
            found = self._scores(self._seen[distinct[block]])
            scores[own] = found[place[own] - block.start, items[own]]
        return scores

    def _search_without(self, query, k, excluded, allowed=None, added=None):
        past = query.past(self._seen)
        past = past if added is None else (past + added).sign()
        return self._rank(past, k, excluded, allowed)

    def _rank(self, past, k, excluded, allowed=None, score=None):
        """Return scores and positions (n, k) of the best items for rows of a matrix."""
        n, n_items = past.shape
        scores = np.full((n, k), -np.inf, dtype=np.float32)
        indices = np.full((n, k), -1, dtype=np.int64)
        width = min(k, n_items)
        for block in blocks_of_rows(n, n_items):
            found = (score or self._scores)(rows_of(past, block))
            _hide(found, rows_of(excluded, block), rows_of(allowed, block))
            best, places = _first(found[:, self._popular_first], width)
            scores[block, :width] = best
            places = np.where(np.isneginf(best), -1, self._popular_first[places])
            indices[block, :width] = places
        return scores, indices

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.string = True
        return tags


class _NoFeatures(BaseEstimator):
    """A transformer that tells nothing of a user or an item: the id says it all."""

    def fit(self, X, y=None):
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
