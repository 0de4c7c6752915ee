"""The vectors of users and items of fitted towers.

Input: users or items of a request, or events, with past items and contexts.
Output: vectors (n, d).
"""

import functools
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy import sparse

from sktwotower._tables._memory import check_result
from sktwotower._tables._sparse import one_row, slices, take_rows, with_empty_row
from sktwotower.retrieval._fitted_state import Asked, Serving
from sktwotower.retrieval._requests import Query, past_of, query_of_events
from sktwotower.runtime._one_query import Added
from sktwotower.runtime._tower_arrays import PastItems, Row
from sktwotower.towers.parts import embed_items, embed_users, in_context

# Numbers of the vectors of users, or of items, that are multiplied at once: 16 MiB.
NUMBERS_AT_ONCE = 1 << 22


class UsersOfEvents(NamedTuple):
    """The users of n events, m of them distinct.

    Parameters
    ----------
    vectors : array of shape (m, d)
        Vectors of distinct users, without a context.
    numbers : int array of shape (n,)
        Which of them is the user of each event.
    asked : Asked or None
        What is known of the context of each event. None: nothing.
    latest : array of shape (n,) or None
        The time of the last event of the user of each event, if it is used.
    n_past : int array of shape (m,)
        Number of past items of each distinct user.
    """

    vectors: np.ndarray
    numbers: np.ndarray
    asked: Asked | None
    latest: np.ndarray | None
    n_past: np.ndarray


class TowerVectors:
    """The part of `FittedTowers`, whose fields it reads, that computes vectors."""

    def embed_users(self, query, past, serving):
        """Return vectors (n, d) of a ``Query`` of users with their past items.

        ``past``: their ``Past``. They are those of the context, if it is known.
        """
        vectors = self.without_context(query, past, serving)
        n_past = np.diff(past.input.indptr)
        vectors = self.as_asked(vectors, n_past, past.long_before)
        return self.in_context(vectors, query.asked, past.latest)

    def as_asked(self, vectors, n_past, long_before):
        """Return vectors (n, d) of users with the weights of when they ask.

        ``n_past`` (n,): numbers of past items. ``long_before``: as of ``Past``.
        """
        if long_before is None:
            return vectors
        if not self.model.sees_past:
            n_past = np.zeros_like(n_past)
        changes = self.model.as_asked(n_past, long_before)
        widths = [part.width for part in self.model.parts]
        return (vectors * np.repeat(changes, widths, axis=1)).astype(np.float32)

    def in_context(self, vectors, asked, latest):
        """Return vectors (n, d) of users in the context that they ``Asked`` in.

        ``latest`` (n,): the time of the last event of each user, or None.
        """
        requested = self._context(asked, latest, len(vectors))
        if requested is None:
            return vectors
        if len(vectors) == 1 and self._arrays is not None:
            row = self.context.row_of_one(*requested)
            return self._arrays.in_context(vectors[0], Row(*row))[None]
        return in_context(self.model, vectors, self.context.rows(*requested))

    def _context(self, asked, latest, n):
        """Return what is known of the contexts of n requests, or None for nothing.

        These are rows of columns, times, and gaps since the events at ``latest``. If a
        request has no time, it is one at the latest time of all, of which only the gap
        is used, and only if that is not unusually long.
        """
        times = None
        gaps = None
        if asked is not None:
            times = asked.times
            gaps = asked.gaps(latest)
        if self.assumes_now and latest is not None:
            since = self.context.clock.now - latest
            since = np.where(since <= self.context.reach, since, np.nan)
            if times is None:
                gaps = since
            else:
                gaps = np.where(np.isnan(times), since, gaps)
        if asked is not None:
            return asked.rows, times, gaps
        if gaps is None or np.isnan(gaps).all():
            return None
        return self.context.empty(n), times, gaps

    @functools.cached_property
    def _arrays(self):
        """What one request needs of the model: its ``ModelArrays``, or None."""
        if not self.model.is_plain:
            return None
        return self.model.arrays()

    def context_rows(self, asked, latest, n):
        """Return the feature rows, CSR (n, p), of the contexts of n requests, or None.

        The parameters are those of `in_context`.
        """
        requested = self._context(asked, latest, n)
        if requested is None:
            return None
        return self.context.rows(*requested)

    def without_context(self, query, past, serving):
        """Return what `embed_users` does for unknown contexts."""
        if len(query) == 1 and self._arrays is not None:
            lags = None
            if self.sequences is not None:
                lags = past.input.data
            past_items = PastItems(past.input.indices, lags, self.items.rows)
            row = Row(query.rows.indices, query.rows.data)
            vectors = self._arrays.of_user(row, past_items)[None]
        else:
            seen = None
            if self.model.sees_past:
                seen = past.input
            vectors = embed_users(self.model, query.rows, seen, self.items.rows)
        if not serving.fold_in:
            return vectors

        new = self.fold_in_rows(query, past)
        if len(new):
            chosen = past.seen
            if len(new) < len(query):
                chosen = past.seen[new]
            move = functools.partial(self.fold_in, n_past=np.diff(chosen.indptr))
            sums = self._sums_of_items(chosen)
            vectors[new] = self.model.folded(vectors[new], sums, move)
        return vectors

    def fold_in_rows(self, query, past):
        """Return the rows to fold in: those whose history comes only from the request.

        Empty if ``fold_in`` is None.
        """
        if self.fold_in is None:
            return np.zeros(0, dtype=np.int64)
        # the last row of seen is that of unknown users
        codes = np.where(query.codes < 0, len(self.users), query.codes)
        n_seen = self.seen.indptr[codes + 1] - self.seen.indptr[codes]
        return np.flatnonzero((n_seen == 0) & (np.diff(past.seen.indptr) > 0))

    def _sums_of_items(self, past):
        """Return the sums (n, d) of the vectors of past items."""
        if past.shape[0] == 1:
            vectors = self._vectors_of_items(past.indices)
            return vectors.sum(axis=0, dtype=np.float64, keepdims=True)
        items, columns = np.unique(past.indices, return_inverse=True)
        shape = past.shape[0], len(items)
        pairs = sparse.csr_matrix((np.ones(past.nnz), columns, past.indptr), shape)
        return pairs @ self._vectors_of_items(items)

    def _vectors_of_items(self, codes):
        """Return the vectors (m, d) of items at positions (m,), computed if removed."""
        if codes.max(initial=-1) < self.n_items:
            return np.asarray(self.catalog.vectors).take(codes, axis=0)
        return self.weighted(embed_items(self.model, self.items.rows[codes]), codes)

    def embed_items(self, query):
        """Return vectors (n, d) of a ``Query`` of items."""
        self.check_vectors(len(query))
        return self.weighted(embed_items(self.model, query.rows), query.codes)

    def weighted(self, vectors, codes, n_items=None):
        """Return vectors (n, d) of items, those nobody has chosen since fit scaled.

        ``codes`` (n,): their positions, -1 for new items. ``n_items``: number of items
        in the catalog, beyond which none is scaled; None: that of now.
        """
        if self.cold_item_weight == 1:
            return vectors
        if n_items is None:
            n_items = self.n_items
        cold = np.append(self.stream.gaps.never_hit, False)
        cold = cold[codes] & (codes < n_items)
        factors = np.where(cold, self.cold_item_weight, 1)
        return vectors * factors[:, None].astype(vectors.dtype)

    def check_vectors(self, n):
        """Raise ``ValueError`` if n vectors do not fit into memory."""
        width = self.catalog.vectors.shape[1]
        check_result(n, f"vectors of {width:,} numbers", 4 * width)

    def users_of_events(self, frame, serving, history=None):
        """Return the vector (n_events, d) of the user of each event of a table.

        ``history``: further past events of these users, as in `recommend`. Each event
        is a request with the context that it has.
        """
        self.check_vectors(len(frame))
        users = self._distinct_users(frame, serving, history)
        vectors = users.vectors[users.numbers]
        long_before = self.shares_long_before(users.asked)
        vectors = self.as_asked(vectors, users.n_past[users.numbers], long_before)
        return self.in_context(vectors, users.asked, users.latest)

    def scores_of_events(self, frame, serving, history=None):
        """Return the score (n_events,) of the pair of each event of a table, float64.

        The parameters are those of `users_of_events`. There may be many more pairs than
        users and items: vectors are held once for each of these, and copied for a block
        of pairs at a time.
        """
        users = self._distinct_users(frame, serving, history)
        item_vectors, item_numbers = self._distinct_items(frame)
        scores = np.empty(len(frame))
        long_before = self.shares_long_before(users.asked)
        n_at_once = max(1, NUMBERS_AT_ONCE // item_vectors.shape[1])
        for block in slices(len(frame), n_at_once):
            asked = None
            if users.asked is not None:
                asked = users.asked[block]
            latest = None
            if users.latest is not None:
                latest = users.latest[block]
            numbers = users.numbers[block]
            of_users = users.vectors[numbers]
            if long_before is not None:
                n_past = users.n_past[numbers]
                of_users = self.as_asked(of_users, n_past, long_before[block])
            of_users = self.in_context(of_users, asked, latest)
            of_items = item_vectors[item_numbers[block]]
            scores[block] = np.einsum("nd,nd->n", of_users, of_items, dtype=np.float64)
        return scores + self.added_to_events(frame, history)

    def _distinct_users(self, frame, serving, history):
        """Return the ``UsersOfEvents`` of a table, each user embedded once."""
        query = query_of_events(self, frame)
        keys = _keys_of_users(query, history)
        distinct, numbers = _distinct(query, keys, self.users)
        past = past_of(self, distinct, history)
        vectors = self.without_context(distinct, past, serving)
        latest = None
        if past.latest is not None:
            latest = past.latest[numbers]
        n_past = np.diff(past.input.indptr)
        return UsersOfEvents(vectors, numbers, query.asked, latest, n_past)

    def _distinct_items(self, frame):
        """Return vectors (m, d) of distinct items, and which is that of each event."""
        query = Query(*self.items.describe(frame, "X", events=True))
        query.warn_of_unknown(
            "They have no features either: the towers give all of them the same score "
            "for a user, which says nothing about them."
        )
        distinct, numbers = _distinct(query, query.codes, self.items)
        return self.embed_items(distinct), numbers

    def sparse_vectors_of_users(self, past):
        """Return the sparse vectors (n, p) of users with a ``Past``, CSR."""
        return self.model.sparse_user_vectors(past.input, past.long_before)

    def sparse_vectors_of_items(self, codes):
        """Return the sparse vectors (n, p) of items at positions (n,), CSR; -1: new."""
        vectors = self.model.sparse_item_vectors(len(self.items))
        return with_empty_row(vectors)[codes]

    def added_to(self, past):
        """Return what sparse parts add to scores of n users, or None.

        ``past``: their ``Past``. The result is an array or a CSR matrix (n, n_items).
        """
        model = self.model
        is_now = past.long_before is None
        if model.sparse is None or past.input.shape[0] != 1 or not is_now:
            return model.added(past.input, self.n_items, past.long_before)
        lags = None
        if self.sequences is not None:
            lags = past.input.data
        added = self._added_to_one(past.input.indices, lags)
        return one_row(added.positions, added.values, self.n_items)

    def added_to_known(self, code):
        """Return what sparse parts have ``Added`` for a user of fit, computed once.

        ``code``: the position of the user.
        """

        def compute(code):
            past = self.seen
            if self.sequences is not None:
                past = self.sequences.lags
            events = slice(past.indptr[code], past.indptr[code + 1])
            lags = None
            if self.sequences is not None:
                lags = past.data[events]
            return self._added_to_one(past.indices[events], lags).as_array()

        return Added.of_array(self.added_before.get(code, compute))

    def _added_to_one(self, items, lags):
        """Return what sparse parts have ``Added`` for one user with past items (m,)."""
        (weights,) = self.model.sparse_weights(np.array([len(items)]))
        return self.model.sparse.of_one(items, lags, weights, self.n_items)

    def added_to_events(self, frame, history=None):
        """Return what sparse parts add to the score (n_events,) of each event."""
        if self.model.sparse is None:
            return 0.0
        query = query_of_events(self, frame)
        keys = _keys_of_users(query, history)
        _, first, numbers = np.unique(keys, return_index=True, return_inverse=True)
        past = past_of(self, query[first], history)
        items = self.items.describe(frame, "X", events=True)[1]
        long_before = self.shares_long_before(query.asked)
        return self.model.added_to_pairs(past.input, numbers, items, long_before)

    def vector_of(self, code):
        """Return the vector (d,) of the user of fit at a position, computed once."""

        def compute(code):
            codes = np.array([code])
            rows = take_rows(self.users.rows, codes)
            query = Query(self.user_ids[codes], codes, rows)
            return self.without_context(query, self.past(query), Serving())[0]

        return self.user_vectors.get(code, compute)

    def vector_now(self, code):
        """Return the vector (1, d) of the known user at a position, who asks now."""
        latest = None
        if self.assumes_now:
            latest = self.sequences.latest(np.array([code]))
        return self.in_context(self.vector_of(code)[None], None, latest)


def _keys_of_users(query, history):
    """Return a number (n,) for each user of a query, the same for the same user.

    A history tells users that fit does not know apart.
    """
    if history is None:
        return query.codes
    return pd.factorize(query.ids)[0]


def _distinct(query, keys, entities):
    """Return each distinct user or item once, unless events hold their features.

    ``keys`` (n,) are equal for the same user or item. The second value says which of
    them (n,) is that of each event.
    """
    if entities.features:
        return query, np.arange(len(query))
    _, first, numbers = np.unique(keys, return_index=True, return_inverse=True)
    return query[first], numbers
