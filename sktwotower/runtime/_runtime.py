"""Answers of a model with numpy only.

Input: ids of users and items, histories, contexts and rules of lists.
Output: ids and scores of the best items.
"""

from functools import cached_property
from typing import Any

import numpy as np

from sktwotower._tables._arguments import hinted
from sktwotower._tables._messages import check_count, shorten

from ._id_table import IdTable
from ._one_query import best_of_one
from ._rules import NO_RULES, ItemTable, cosines_of
from ._served_vectors import ServedVectors


class Runtime(ServedVectors):
    """A `TwoTowerRecommender` that answers with numpy only; made by `load`.

    It never changes, and threads may share it. To serve another model, load it and
    assign it to the name that requests read. Items are always searched exactly, also if
    the model has a graph or another index.

    Attributes
    ----------
    user_ids_ : ndarray of shape (n_users,)
        Ids of the users known from fit.
    item_ids_ : ndarray of shape (n_items,)
        Ids of the catalog.
    item_embeddings_ : ndarray of shape (n_items, d), float32
        Vectors of the catalog.

    See Also
    --------
    load : Reads a file.
    sktwotower.TwoTowerRecommender : The estimator.

    Notes
    -----
    Users unknown to fit have the vector of their ``history``, or of an empty row. Dates
    are those of numpy: the estimator's Timestamp is a datetime64 here.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from sktwotower import TwoTowerRecommender, io, runtime
    >>> X = [["ann", "tea"], ["ann", "jam"], ["bob", "tea"], ["bob", "egg"]]
    >>> path = Path(tempfile.mkdtemp()) / "model.sktt"
    >>> io.dump(TwoTowerRecommender(random_state=0).fit(X), path)
    >>> runtime.load(path).item_ids_
    array(['egg', 'jam', 'tea'], dtype=object)
    """

    @cached_property
    def item_table(self):
        """The ``ItemTable`` of the catalog, which keeps answers to rules."""
        return _item_table_of(self._state.items, len(self.item_ids_))

    @hinted
    def recommend(
        self,
        user,
        n=10,
        *,
        history=None,
        context=None,
        exclude_seen=None,
        candidates=None,
        exclude=None,
        where=None,
        max_per=None,
        diversity=None,
    ) -> tuple[Any, Any]:
        """Recommend items to a user, or to several.

        Parameters
        ----------
        user : id, or list or array of m ids
            Known or new users.
        n : int, default=10
            Number of items, >= 1.
        history : list or dict, default=None
            Items that the user chose after fit, oldest first. For several users, a dict
            of users to lists. Items unknown to fit are ignored: `knows_items`.
        context : dict, default=None
            What is known of the request: context columns to values.
        exclude_seen : bool, default=None
            Leave out items that the user chose in fit or in ``history``. None: as the
            parameter of the model says.
        candidates : list or array, default=None
            Recommend only these items. None: the whole catalog.
        exclude : list or dict, default=None
            Items that are not recommended. For several users, a dict of users to lists.
            Items that are not in the catalog are ignored.
        where : dict or callable, default=None
            Recommend only items that qualify by the item table, as
            `TwoTowerRecommender.recommend` says. A function gets a dict of columns to
            arrays (n_items,), in which a missing value is None, NaN or NaT, and is
            called in each request unless its attribute ``keep_answer`` is True.
        max_per : dict, default=None
            How many items of a list may have the same value, by column.
        diversity : float, default=None
            How much the items of a list are to differ, from 0 to 1.

        Returns
        -------
        ids : ndarray of shape (k,)
            Items, best first; k is at most n, and less where fewer are left. For
            several users, a list of m such arrays.
        scores : ndarray of shape (k,), float32
            Their scores; a list of m arrays likewise.

        Raises
        ------
        ValueError
            If n < 1, an id is missing, candidates are not in the catalog, a context
            names a column that is not known, or has a value that cannot be read, or a
            rule is one that the estimator refuses.
        TypeError
            If an argument is of another type.

        Examples
        --------
        >>> import tempfile
        >>> from pathlib import Path
        >>> from sktwotower import TwoTowerRecommender, io, runtime
        >>> X = [["ann", "tea"], ["ann", "jam"], ["bob", "tea"], ["bob", "jam"],
        ...      ["bob", "bread"], ["cid", "nails"], ["cid", "glue"], ["dan", "nails"],
        ...      ["dan", "glue"], ["dan", "paint"]]
        >>> path = Path(tempfile.mkdtemp()) / "model.sktt"
        >>> io.dump(TwoTowerRecommender(random_state=1).fit(X), path)
        >>> model = runtime.load(path)
        >>> ids, scores = model.recommend("zoe", 2, history=["nails"])
        >>> ids
        array(['glue', 'paint'], dtype=object)
        """
        n = check_count(n, "n")
        rules = NO_RULES
        if any(rule is not None for rule in (where, max_per, diversity)):
            rules = self.item_table.rules(where, max_per, diversity, n)
        allowed = rules.among(self._allowed(candidates))
        exclude_seen = self._exclude_seen if exclude_seen is None else exclude_seen
        if not isinstance(exclude_seen, bool | np.bool_):
            raise TypeError(f"exclude_seen must be a bool. Got {exclude_seen!r}.")
        n_items = len(self.item_ids_)

        def answer(user, history, exclude):
            code, past, added = self._past(user, history)
            vector = self._vector(code, past, added, context)
            of_past = self._added(code, past, added)
            hidden = past if exclude_seen else past[:0]
            if exclude is not None:
                others = self._items.positions(exclude, "exclude")
                hidden = np.concatenate([hidden, others])
            if len(hidden) and not 0 <= hidden.min() <= hidden.max() < n_items:
                hidden = hidden[(hidden >= 0) & (hidden < n_items)]
            return self._best(vector, n, hidden, allowed, rules, of_past)

        if not _are_several(user):
            return answer(user, history, exclude)
        found = [
            answer(each, _of(history, each, "history"), _of(exclude, each, "exclude"))
            for each in user
        ]
        return [ids for ids, _ in found], [scores for _, scores in found]

    @hinted
    def similar_items(self, item, n=10) -> tuple[np.ndarray, np.ndarray]:
        """Return the items most similar to an item.

        Parameters
        ----------
        item : id
            An item that fit knows; it may have left the catalog.
        n : int, default=10
            Number of items, >= 1.

        Returns
        -------
        ids : ndarray of shape (k,)
            Items without the given one, most similar first.
        scores : ndarray of shape (k,), float32
            The mean cosine of the parts of the model, without popularity and sparse
            parts.

        Raises
        ------
        ValueError
            If fit does not know the item, or n < 1.
        TypeError
            If an argument is of another type.

        Examples
        --------
        >>> import tempfile
        >>> from pathlib import Path
        >>> from sktwotower import TwoTowerRecommender, io, runtime
        >>> X = [["ann", "tea"], ["ann", "jam"], ["bob", "tea"], ["bob", "jam"],
        ...      ["bob", "bread"], ["cid", "nails"], ["cid", "glue"], ["dan", "nails"],
        ...      ["dan", "glue"], ["dan", "paint"]]
        >>> path = Path(tempfile.mkdtemp()) / "model.sktt"
        >>> io.dump(TwoTowerRecommender(random_state=1).fit(X), path)
        >>> runtime.load(path).similar_items("tea", 1)[0]
        array(['jam'], dtype=object)
        """
        code = self._items.position(item)
        if code < 0:
            raise ValueError(f"The item {item!r} is not known from fit.")
        (vector,), n_items = self._item_vectors([code]), len(self.item_ids_)
        vector = (vector * self._model.similarity_factors).astype(np.float32)
        hidden = np.array([code] if code < n_items else [], dtype=np.int64)
        return self._best(vector, check_count(n, "n"), hidden, None, NO_RULES)

    @hinted
    def score(self, user, items, *, history=None, context=None) -> np.ndarray:
        """Return the scores of items for a user.

        Parameters
        ----------
        user : id
        items : list or array of m ids
            Items that fit knows.
        history, context
            As in `recommend`.

        Returns
        -------
        scores : ndarray of shape (m,), float32

        Raises
        ------
        ValueError, TypeError
            As in `recommend`, if fit does not know an item, or of several users.

        Examples
        --------
        >>> import tempfile
        >>> from pathlib import Path
        >>> from sktwotower import TwoTowerRecommender, io, runtime
        >>> X = [["ann", "tea"], ["ann", "jam"], ["bob", "tea"], ["bob", "egg"]]
        >>> path = Path(tempfile.mkdtemp()) / "model.sktt"
        >>> io.dump(TwoTowerRecommender(random_state=0).fit(X), path)
        >>> runtime.load(path).score("ann", ["tea", "egg"]).shape
        (2,)
        """
        codes = self._known(items, "items")
        vector = self.embed(user, history=history, context=context)
        if vector.ndim > 1:
            raise TypeError(
                f"score takes one user. Got {len(vector)}: call it for each."
            )
        vectors = self._item_vectors(codes)
        scores = vectors.astype(float) @ vector.astype(float)
        if self._model.sparse is not None:
            events = self._events(*self._past(user, history))
            # also of items that have left the catalog
            n_items = len(self._state.items.ids)
            added = self._model.added_to_one(*events, n_items)
            scores += added.at(codes)
        return scores.astype(np.float32)

    @hinted
    def embed(self, user, *, history=None, context=None) -> np.ndarray:
        """Return the vector of a user, or of several.

        Parameters
        ----------
        user : id, or list or array of m ids
        history, context
            As in `recommend`.

        Returns
        -------
        vector : ndarray of shape (d,) or (m, d), float32

        Raises
        ------
        ValueError, TypeError
            As in `recommend`.

        Examples
        --------
        >>> import tempfile
        >>> from pathlib import Path
        >>> from sktwotower import TwoTowerRecommender, io, runtime
        >>> X = [["ann", "tea"], ["ann", "jam"], ["bob", "tea"], ["bob", "egg"]]
        >>> path = Path(tempfile.mkdtemp()) / "model.sktt"
        >>> model = TwoTowerRecommender(embedding_dim=8, random_state=0).fit(X)
        >>> io.dump(model, path)
        >>> runtime.load(path).embed(["ann", "zoe"]).shape
        (2, 8)
        """
        if _are_several(user):
            width = self.item_embeddings_.shape[1]
            vectors = [
                self.embed(each, history=_of(history, each, "history"), context=context)
                for each in user
            ]
            return np.array(vectors, dtype=np.float32).reshape(-1, width)
        code, past, added = self._past(user, history)
        return self._vector(code, past, added, context).copy()

    def seen(self, user) -> np.ndarray:
        """Return the items that a user chose in fit.

        Parameters
        ----------
        user : id

        Returns
        -------
        ids : ndarray of shape (m,)
            In the order of ``item_ids_``; items that left the catalog come last.

        Raises
        ------
        ValueError, TypeError
            As in `recommend`.

        Examples
        --------
        >>> import tempfile
        >>> from pathlib import Path
        >>> from sktwotower import TwoTowerRecommender, io, runtime
        >>> X = [["ann", "tea"], ["ann", "jam"], ["bob", "tea"], ["bob", "egg"]]
        >>> path = Path(tempfile.mkdtemp()) / "model.sktt"
        >>> io.dump(TwoTowerRecommender(random_state=0).fit(X), path)
        >>> runtime.load(path).seen("ann")
        array(['jam', 'tea'], dtype=object)
        """
        return self._state.items.ids[self._past(user, None)[1]]

    def knows_items(self, items) -> np.ndarray:
        """Return which items fit knows: others of a ``history`` are ignored.

        Parameters
        ----------
        items : list or array of m ids

        Returns
        -------
        known : ndarray of shape (m,), bool
            True also for items that left the catalog.

        Raises
        ------
        ValueError, TypeError
            As in `recommend`.

        Examples
        --------
        >>> import tempfile
        >>> from pathlib import Path
        >>> from sktwotower import TwoTowerRecommender, io, runtime
        >>> X = [["ann", "tea"], ["ann", "jam"], ["bob", "tea"], ["bob", "egg"]]
        >>> path = Path(tempfile.mkdtemp()) / "model.sktt"
        >>> io.dump(TwoTowerRecommender(random_state=0).fit(X), path)
        >>> runtime.load(path).knows_items(["tea", "gold"])
        array([ True, False])
        """
        return self._items.positions(items, "items") >= 0

    def _allowed(self, candidates):
        """Return sorted positions (m,) of the candidates; None: all items."""
        if candidates is None:
            return None
        codes = np.unique(self._known(candidates, "candidates"))
        if len(codes) and codes[-1] >= len(self.item_ids_):
            raise ValueError("candidates has items that are not in the catalog.")
        return codes

    def _best(self, vector, k, hidden, allowed, rules, added=None):
        """Return ids and scores (m,) of the k best items for a vector (d,).

        ``added``: what is ``Added`` to the scores of some items; None: nothing.
        """
        vectors = self.item_embeddings_

        def search(_, width):
            found = best_of_one(vector, vectors, width, hidden, allowed, added)
            return [each[None] for each in found]

        def cosines(positions):
            return cosines_of(vectors[positions] * self._model.similarity_factors)

        if rules.reorder:
            found = rules.lists(search, 1, k, len(vectors), cosines)
            scores, positions = (each[0][found[1][0] >= 0] for each in found)
        else:
            scores, positions = search(None, k)
            scores, positions = scores[0], positions[0]
        return self.item_ids_[positions], scores.astype(np.float32)


def _are_several(user):
    return isinstance(user, list | tuple | np.ndarray) and getattr(user, "ndim", 1) > 0


def _of(given, user, name):
    """Return what a dict of users holds for one of several."""
    if given is None:
        return None
    if not isinstance(given, dict):
        expected = f"a dict of users to lists. Got {shorten(given)}."
        raise TypeError(f"{name} of several users must be {expected}")
    return given.get(user)


def _item_table_of(items, n_items):
    """Return the ``ItemTable`` of the first ``n_items`` of the items of a file."""
    ids, own, side = items.ids[:n_items], items.own or {}, items.table or {}
    label = items.label if items.label in side else next(iter(side), None)
    others = [name for name in side if name != label and str(name) not in own]
    readers = {items.label: lambda: ids}
    readers |= {name: lambda name=name: own[name][:n_items] for name in own}
    if others:
        rows = IdTable(side[label], "item").positions(list(ids), "items")
        readers |= {str(n): lambda n=n: _taken(side[n], rows) for n in others}

    def as_frame():
        return {name: np.array(read()) for name, read in readers.items()}

    return ItemTable(list(readers), lambda name: readers[name](), as_frame, n_items)


def _taken(column, rows):
    """Return cells at positions (n,), missing ones at -1."""
    if (rows >= 0).all():
        return column[rows]
    missing = {"f": np.nan, "m": "NaT", "M": "NaT"}.get(column.dtype.kind)
    dtype = object if missing is None else column.dtype
    return np.append(column.astype(dtype), np.array(missing, dtype))[rows]
