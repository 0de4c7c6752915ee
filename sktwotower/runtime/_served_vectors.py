"""Vectors of users and items of a model of a file, computed with numpy only.

Input: the state that a file holds; an id, a history and a context.
Output: the row of a user, positions of past items, vectors (d,).
"""

from functools import partial

import numpy as np

from ._id_table import IdTable
from ._kept import Kept
from ._one_query import Added
from ._tower_arrays import PastItems, Row


class ServedVectors:
    """The part of a `Runtime` that computes vectors.

    Parameters
    ----------
    state : ServedState
    fold_in, exclude_seen : bool, default=True
        The parameters of the model.
    """

    def __init__(self, state, fold_in=True, exclude_seen=True) -> None:
        self._state, self._model = state, state.model
        self._fold_in = state.fold_in if fold_in else None
        self._exclude_seen = exclude_seen
        vectors = np.ascontiguousarray(state.catalog.vectors)
        vectors.flags.writeable = False
        self.item_embeddings_ = vectors
        self._users = IdTable(state.users.ids, "user")
        self._items = IdTable(state.items.ids, "item")
        self.user_ids_ = state.users.ids
        self.item_ids_ = state.items.ids[: len(vectors)]
        self._kept, self._kept_added = Kept(), Kept()
        clock = getattr(state.context, "clock", None)
        self._assumes_now = clock is not None and clock.reach > 0

    def _past(self, user, history):
        """Return the row of a user, and positions of all past items and of added ones.

        The last, empty row is that of unknown users. Both are arrays, (m,) and (k,):
        those added are of a history, which may be None, as far as fit knows them.
        """
        code = self._users.position(user)
        code = len(self.user_ids_) if code < 0 else code
        past = self._state.seen.of(code)[0]
        if history is None:
            return code, past, past[:0]
        added = self._items.positions(history, "history")
        added = added[added >= 0]
        return code, np.union1d(past, added), added

    def _vector(self, code, past, added, context):
        """Return the vector (d,) of the user of a row with past items (m,)."""
        if len(added):
            vector = self._computed(code, past, added)
        else:
            vector = self._kept.get(code, lambda c: self._computed(c, past, added))
        if context is None and not self._assumes_now:
            return vector
        return self._asked(code, vector, added, context)

    def _events(self, code, past, added):
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

    def _added(self, code, past, added):
        """Return what sparse parts have ``Added`` to the scores of a user, or None."""
        if self._model.sparse is None:
            return None

        def compute(code):
            events = self._events(code, past, added)
            return self._model.added_to_one(*events, len(self.item_ids_))

        if len(added):
            return compute(code)
        known = self._kept_added.get(code, lambda code: compute(code).as_array())
        return Added.of_array(known)

    def _computed(self, code, past, added):
        state = self._state
        items, lags = self._events(code, past, added)
        of_past = PastItems(items, lags, state.items.rows)
        vector = self._model.of_user(Row(*state.users.rows.of(code)), of_past)
        if self._fold_in is None or len(state.seen.of(code)[0]) or not len(past):
            return vector
        sums = self._item_vectors(past).sum(0, dtype=float, keepdims=True)
        fold_in = partial(self._fold_in, n_past=np.array([len(past)]))
        return self._model.folded(vector[None], sums, fold_in)[0]

    def _asked(self, code, vector, added, context):
        """Return the vector (d,) of a request of a user in a context."""
        cells, latest = self._state.context, np.nan
        if cells is None:
            raise ValueError(
                "context describes the request, but the model has not learnt from any."
            )
        if self._state.sequences is not None and not len(added):
            start, stop = self._state.sequences.lags.indptr[code : code + 2]
            latest = self._state.sequences.times[stop - 1] if stop > start else np.nan
        assumed = np.nan
        if self._assumes_now:
            assumed = cells.clock.assumed_gap(float(latest))
        if context is None and np.isnan(assumed):
            return vector
        context = {} if context is None else context
        row = Row(*cells.entries(context, float(latest), assumed))
        return self._model.in_context(vector, row)

    def _item_vectors(self, codes):
        """Return the vectors (m, d) of items at positions, computed if removed."""
        vectors, rows = self.item_embeddings_, self._state.items.rows
        if max(codes, default=-1) < len(vectors):
            return vectors[codes]

        of, n = self._model.of_item, len(vectors)
        found = [vectors[c] if c < n else of(Row(*rows.of(c))) for c in codes]
        return np.stack(found)

    def _known(self, items, name):
        """Return positions (m,) of ids; raise ``ValueError`` for unknown ones."""
        codes = self._items.positions(items, name)
        if (unknown := codes < 0).any():
            first = list(items)[unknown.argmax()]
            raise ValueError(
                f"{unknown.sum()} of {name} are not known from fit, such as {first!r}."
            )
        return codes
