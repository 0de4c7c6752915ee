"""Vectors of users by what they have chosen, and of what they ask for.

Input: the id of a user, further past items, and the context of a request.
Output: positions of past items (m,), a vector (d,), and what past items add to scores.
"""

from functools import cached_property, partial

import numpy as np

from ._context_cells import moment_of
from ._id_table import IdTable
from ._kept import Kept
from ._one_query import Added
from ._tower_arrays import PastItems, Row


class UserVectors:
    """The vectors of users of a stored model; those of known users are kept.

    Parameters
    ----------
    state : the stored state of the model
    fold_in : callable or None
        How past items are mixed into the vectors of users that fit does not know.
    vectors : array of shape (n_items, d), float32
        Those of the catalog.

    Attributes
    ----------
    ids, item_ids : IdTable
        The users, and all items that fit knows.
    """

    def __init__(self, state, fold_in, vectors):
        self._state = state
        self._model = state.model
        self._fold_in = fold_in
        self._vectors = vectors
        self.ids = IdTable(state.users.ids, "user")
        self.item_ids = IdTable(state.items.ids, "item")
        self._kept = Kept()
        self._kept_added = Kept()
        clock = getattr(state.context, "clock", None)
        self._assumes_now = clock is not None and clock.reach > 0
        self._has_long_before = self._model.long_before is not None

    def past_of(self, user, history):
        """Return the row of a user, and positions of all past items and of added ones.

        The last, empty row is that of unknown users. Both are arrays, (m,) and (k,):
        those added are of a history, which may be None, as far as fit knows them.
        """
        code = self.ids.position(user)
        if code < 0:
            code = len(self._state.users.ids)
        past = self._state.seen.of(code)[0]
        if history is None:
            return code, past, past[:0]
        added = self.item_ids.positions(history, "history")
        added = added[added >= 0]
        return code, np.union1d(past, added), added

    def vector_of(self, code, past, added, context):
        """Return the vector (d,) of the user of a row with past items (m,)."""
        if len(added):
            vector = self.of_past(code, past, added)
        else:
            vector = self._kept.get(code, lambda c: self.of_past(c, past, added))
        if context is None and not self._assumes_now:
            return vector
        long_before = self._share_long_before(context)
        if long_before is not None:
            n_past = np.array([len(self.events_of(code, past, added)[0])])
            vector = self._model.of_user_asked(vector, n_past, long_before)
        return self._asked(code, vector, added, context)

    def embed(self, user, history, context):
        """Return the vector (d,) of a user."""
        code, past, added = self.past_of(user, history)
        return self.vector_of(code, past, added, context)

    def added_to(self, code, past, added, context=None, n_items=None):
        """Return what sparse parts have ``Added`` to the scores of a user, or None.

        ``n_items``: number of the items with a score; None: those of the catalog.
        """
        if self._model.sparse is None:
            return None
        long_before = self._share_long_before(context)

        def compute(code):
            events = self.events_of(code, past, added)
            n_scored = len(self._vectors)
            if n_items is not None:
                n_scored = n_items
            return self._model.added_to_one(*events, n_scored, long_before)

        if len(added) or long_before is not None or n_items is not None:
            return compute(code)
        known = self._kept_added.get(code, lambda code: compute(code).as_array())
        return Added.of_array(known)

    def _share_long_before(self, context):
        """Return how much of an answer is that of long before now, (1,); or None."""
        if context is None or not self._has_long_before:
            return None
        cells = self._state.context
        cells.check_mapping(context)
        if cells.clock is None or not cells.clock.near:
            return None
        try:
            time = moment_of(context.get(cells.time), cells.clock.time_kind)
        except (ArithmeticError, TypeError, ValueError):
            return None  # the error that names the cell is raised where it is encoded
        shares = cells.clock.shares_long_before([time])
        if not shares.any():
            return None
        return shares

    @cached_property
    def units(self):
        """Vectors of length 1 of all users, (n_users, d)."""
        shape = len(self._state.users.ids), self._vectors.shape[1]
        vectors = np.empty(shape, dtype=np.float32)
        none = np.zeros(0, dtype=np.int64)
        for code in range(len(vectors)):
            past = self._state.seen.of(code)[0]
            vectors[code] = unit_vector(self.of_past(code, past, none))
        return vectors

    def of_items(self, codes):
        """Return the vectors (m, d) of items at positions, computed if removed."""
        in_catalog = self._vectors
        if max(codes, default=-1) < len(in_catalog):
            return in_catalog[codes]
        vectors = []
        for code in codes:
            if code < len(in_catalog):
                vectors.append(in_catalog[code])
            else:
                row = Row(*self._state.items.rows.of(code))
                vectors.append(self._model.of_item(row))
        return np.stack(vectors)

    def events_of(self, code, past, added):
        """Return the items of the events of a user, oldest first, and their lags.

        Of a model that does not use order they are the past items, and None.
        """
        state = self._state
        if state.sequences is None:
            return past, None
        items, lags = state.sequences.lags.of(code)
        n = len(added)
        if n:
            items = np.concatenate([items, added])
            lags = np.concatenate([lags + n, np.arange(n, 0, -1, lags.dtype)])
        return items, lags

    def of_past(self, code, past, added):
        """Return the vector (d,) of the user of a row, without any context."""
        state = self._state
        items, lags = self.events_of(code, past, added)
        of_past = PastItems(items, lags, state.items.rows)
        vector = self._model.of_user(Row(*state.users.rows.of(code)), of_past)
        if self._fold_in is None or len(state.seen.of(code)[0]) or not len(past):
            return vector
        sums = self.of_items(past).sum(0, dtype=float, keepdims=True)
        fold_in = partial(self._fold_in, n_past=np.array([len(past)]))
        return self._model.folded(vector[None], sums, fold_in)[0]

    def _asked(self, code, vector, added, context):
        """Return the vector (d,) of a request of a user in a context."""
        cells = self._state.context
        if cells is None:
            raise ValueError(
                "context describes the request, but the model has not learnt from any."
            )
        latest = np.nan
        sequences = self._state.sequences
        if sequences is not None and not len(added):
            start, stop = sequences.lags.indptr[code : code + 2]
            if stop > start:
                latest = sequences.times[stop - 1]
        assumed = np.nan
        if self._assumes_now:
            assumed = cells.clock.assumed_gap(float(latest))
        if context is None and np.isnan(assumed):
            return vector
        if context is None:
            context = {}
        row = Row(*cells.entries(context, float(latest), assumed))
        return self._model.in_context(vector, row)


def unit_vector(vector):
    """Return a vector (d,) of length 1; zeros stay zeros."""
    return (vector / max(np.linalg.norm(vector), 1e-12)).astype(np.float32)
