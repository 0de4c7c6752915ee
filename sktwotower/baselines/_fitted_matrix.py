"""What a recommender has learnt that scores items by a user's past items only.

Input: past items, CSR (n, n_items), and the ``ItemScores`` of a model.
Output: scores and positions (n, k) of the best items.
"""

from dataclasses import fields, replace

import numpy as np
import pandas as pd
from scipy import sparse

from sktwotower._records import Check, array, csr, frozen, positions, require
from sktwotower._tables._sparse import rows_of, slices
from sktwotower.metrics._groups import first_unseen
from sktwotower.retrieval._dense_scores import BLOCK_SIZE, best_of, hide
from sktwotower.retrieval._explained_score import rows_of_past, rows_of_table
from sktwotower.retrieval._fitted_state import Fitted


class ItemScores:
    """Base class of the model of a `FittedMatrix`: a dataclass.

    Its first field holds a number or a row for each item. ``of_unknown`` is the score
    of items that fit has not seen, ``counts`` what further events are added to, and
    ``replayed`` the events in order that count again when others come.
    """

    order = None
    reads_lags = False
    of_unknown = 0.0
    counts = None
    replayed = None

    def scores_of_items(self, items):
        """Return the scores (n,) of a ``Query`` of items, if all users have the same.

        None: they have not.
        """
        return None

    def counts_unknown(self, items):
        """Return which of a ``Query`` of items were counted though fit lacks them."""
        return np.zeros(len(items), bool)

    def moved(self, items, places):
        """Return what further events are added to, if there are counts.

        ``items``: the ``Entities`` after these events. ``places`` (n_items,): where the
        items of before are among them.
        """
        return None

    def without_users(self, kept):
        """Return the model without what it holds of users who were forgotten.

        ``kept``: the positions of the other users, and of the last, empty row.
        """
        if self.replayed is None:
            return self
        return replace(self, replayed=self.replayed.take(kept))

    @property
    def n_items(self):
        """The number of items."""
        first_field = fields(self)[0].name
        return getattr(self, first_field).shape[0]


def ordering(dims):
    """Return a check for the positions (n,) of all items in some order."""

    def check(value, place):
        array("int64", dims)(value, place)
        positions(value, place, len(value))
        require(len(np.unique(value)) == len(value), place, "distinct positions")

    return Check(check, dims)


@frozen
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
        if self.model.replayed is not None:
            lags = csr((len(self.users) + 1, n), canonical=False)
            lags(self.model.replayed.lags, f"{place}.model.replayed")
            require(self.schema.time is not None, place, "a schema with times")

    def events(self, with_times):
        """Return positions of users and items, and times, (n_events,) each.

        Without times, which are then 0, pairs of user and item occur once. None: times
        are not kept.
        """
        if not with_times:
            users, items = self.seen.nonzero()
            return users, items, np.zeros(self.seen.nnz)
        in_order = self.sequences
        if in_order is None:
            in_order = self.model.replayed
        if in_order is None:
            return None
        return in_order.events()

    def fields_without(self, gone, left):
        """Return the model without the events of users, if it holds any."""
        kept = np.append(np.flatnonzero(~gone), len(gone))  # with the empty row
        return {"model": self.model.without_users(kept)}

    def search(self, query, past, k, serving, excluded=None, allowed=None):
        """Return scores and positions (n, k) of the best items for users.

        The parameters are those of ``FittedTowers.search``.
        """
        if self.model.order is not None and allowed is None:
            return self._first_in_order(past.input, k, excluded)
        return self._rank(self.model.scores, past.input, k, excluded, allowed)

    def explained(self, owner, chosen, past, names, estimator):
        """Return tables of what adds to a score, and the score; see `Fitted`."""
        item = chosen.codes[0]
        model = self.model
        past = past.input
        if model.order is not None:
            of_all = model.scores(past)[0, item]
            return [rows_of_table("user", ["(bias)"], [1.0], [of_all])], of_all
        is_last = ~pd.Series(past.indices).duplicated(keep="last").to_numpy()
        items = past.indices[is_last]
        lags = past.data[is_last]
        n_past = len(items)
        # the scores of users who have one of the past items each
        arrays = (lags, items, np.arange(n_past + 1))
        single_pasts = sparse.csr_matrix(arrays, (n_past, past.shape[1]))
        added = np.zeros(n_past)
        for block in blocks_of_rows(*single_pasts.shape):
            added[block] = model.scores(single_pasts[block])[:, item]
        ids = self.items.ids[items]
        if not model.reads_lags:
            lags = None
        table = rows_of_past(ids, np.ones(n_past), added, names, lags)
        return [table], added.sum()

    def search_similar(self, query, k, itself, serving):
        """Return scores and positions (n, k) of the items most similar to others."""
        return self._rank(self.model.similarities, itself, k, itself)

    def scores_of_pairs(self, past, place, items):
        """Return the scores (n_pairs,) of pairs of users and items.

        ``past``: CSR (n, n_items), what scores are computed from; ``place`` (n_pairs,):
        the user of each pair; ``items``: a ``Query`` of n_pairs items.
        """
        of_all = self.model.scores_of_items(items)
        if of_all is not None:
            return of_all
        scores = np.full(len(items), self.model.of_unknown, dtype=np.float32)
        is_known = items.codes >= 0
        for block in blocks_of_rows(*past.shape):
            is_in_block = (place >= block.start) & (place < block.stop)
            pairs = is_known & is_in_block
            of_block = self.model.scores(rows_of(past, block))
            rows = place[pairs] - block.start
            scores[pairs] = of_block[rows, items.codes[pairs]]
        return scores

    def _rank(self, score, given, k, excluded, allowed=None):
        """Return scores and positions (n, k) of the best items of the catalog.

        ``score(part)`` returns the scores (b, n_items) of some rows of ``given``, CSR
        (n, m).
        """
        n_queries = given.shape[0]
        n_items = self.n_items
        k = min(k, n_items)
        scores = np.empty((n_queries, k), dtype=np.float32)
        indices = np.empty((n_queries, k), dtype=np.int64)
        # items that have left the catalog are last in order of position
        in_order = self.popular_first[self.popular_first < n_items]
        if excluded is not None and excluded.shape[1] > n_items:
            excluded = excluded[:, :n_items]
        for block in blocks_of_rows(n_queries, max(n_items, given.shape[1])):
            of_block = score(rows_of(given, block))
            hide(of_block, rows_of(excluded, block), rows_of(allowed, block))
            best, places = best_of(of_block[:, in_order], k)
            scores[block] = best
            indices[block] = np.where(np.isneginf(best), -1, in_order[places])
        return scores, indices

    def _first_in_order(self, past, k, excluded):
        """Return the same as ``_rank``, if all users have the same scores."""
        if excluded is None:
            excluded = sparse.csr_matrix(past.shape)
        k = min(k, past.shape[1])
        indices = first_unseen(self.model.order, excluded, k)
        if len(indices):
            scores = self.model.scores(past[:1]).ravel()[indices]
        else:
            scores = np.empty((0, k))
        return np.where(indices < 0, -np.inf, scores).astype(np.float32), indices


def popular_first(seen, scores=0.0):
    """Return the positions (n_items,) of the items by scores, then by most users."""
    n_users = np.asarray(seen.sum(axis=0)).ravel()
    scores = np.broadcast_to(scores, n_users.shape)
    return np.lexsort((-n_users, -scores))


def blocks_of_rows(n, n_items):
    """Return slices of n rows, each small enough to hold the scores of all items."""
    return slices(n, max(1, BLOCK_SIZE // n_items))


def positive(scores):
    """Set scores <= 0 (items that are not similar) to -inf."""
    scores[scores <= 0] = -np.inf
    return scores
