"""Answers of a model with numpy only.

Input: ids of users and items, histories, contexts and rules of lists.
Output: ids and scores of the best items.
"""

from functools import cached_property
from typing import Any

import numpy as np

from sktwotower._tables._arguments import hinted
from sktwotower._tables._messages import check_count, shorten

from ._alignment import turned
from ._coverage import RequestColumn, context_columns, coverage_of, request_schema
from ._exploration import Exploration, random_of
from ._item_table import item_table_of
from ._model_id import ModelVectors, model_id_of, with_model_id
from ._one_query import best_of_one
from ._rules import NO_RULES, cosines_of
from ._user_vectors import UserVectors, unit_vector


class Runtime:
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
    model_id_ : str
        Which item vectors these are, as in `TwoTowerRecommender`.

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

    def __init__(self, state, fold_in=True, exclude_seen=True) -> None:
        self._state = state
        self._model = state.model
        self._exclude_seen = exclude_seen
        vectors = np.ascontiguousarray(state.catalog.vectors)
        vectors.flags.writeable = False
        self._vectors = vectors
        self._turn = None
        if state.alignment is not None:
            self._turn = state.alignment.turn
        fold_in_arrays = None
        if fold_in:
            fold_in_arrays = state.fold_in
        self._users = UserVectors(state, fold_in_arrays, vectors)
        self._items = self._users.item_ids
        self.user_ids_ = state.users.ids
        self.item_ids_ = state.items.ids[: len(vectors)]

    @cached_property
    def model_id_(self) -> str:
        """Which item vectors these are, as in `TwoTowerRecommender`."""
        return model_id_of(self.item_ids_, self._vectors, self._turn)

    @cached_property
    def item_embeddings_(self) -> np.ndarray:
        """Vectors of the catalog."""
        vectors = self._shown(self._vectors)
        vectors.flags.writeable = False
        return vectors

    def _shown(self, vectors):
        """Return vectors as others get them: turned by `align_to`, and with an id."""
        if self._turn is not None:
            vectors = turned(vectors, self._turn)
        return with_model_id(vectors, self.model_id_)

    @cached_property
    def item_table(self):
        """The ``ItemTable`` of the catalog, which keeps answers to rules."""
        return item_table_of(self._state.items, len(self.item_ids_))

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
        explore=None,
        random_state=None,
    ) -> tuple[Any, ...]:
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
        explore : float, default=None
            Draw the list by chance, at this temperature, as
            `TwoTowerRecommender.recommend` says. None: nothing is drawn.
        random_state : int, RandomState, Generator or None, default=None
            Draws with ``explore``; None: each call draws other numbers.

        Returns
        -------
        ids : ndarray of shape (k,)
            Items, best first; k is at most n, and less where fewer are left. For
            several users, a list of m such arrays.
        scores : ndarray of shape (k,), float32
            Their scores; a list of m arrays likewise.
        propensities : ndarray of shape (k,), float64
            Only with ``explore``: the probability of each item at its place, given the
            items above it; a list of m arrays likewise.

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
        >>> ids, scores, propensities = model.recommend("zoe", 2, explore=0.5,
        ...                                             random_state=0)
        >>> ids, propensities.round(2)
        (array(['jam', 'tea'], dtype=object), array([0.29, 0.4 ]))
        """
        n = check_count(n, "n")
        rules = NO_RULES
        if any(rule is not None for rule in (where, max_per, diversity)):
            rules = self.item_table.rules(where, max_per, diversity, n)
        allowed = rules.among(self._allowed(candidates))
        if exclude_seen is None:
            exclude_seen = self._exclude_seen
        if not isinstance(exclude_seen, bool | np.bool_):
            raise TypeError(f"exclude_seen must be a bool. Got {exclude_seen!r}.")
        n_items = len(self.item_ids_)
        exploration = None
        if explore is not None:
            random = random_of(random_state)
            exploration = Exploration.of(explore, random, diversity, min(n, n_items))

        def answer(user, history, exclude):
            code, past, added = self._users.past_of(user, history)
            vector = self._users.vector_of(code, past, added, context)
            of_past = self._users.added_to(code, past, added, context)
            hidden = past
            if not exclude_seen:
                hidden = past[:0]
            if exclude is not None:
                others = self._items.positions(exclude, "exclude")
                hidden = np.concatenate([hidden, others])
            # without what is not known, or has left the catalog
            if len(hidden) and not 0 <= hidden.min() <= hidden.max() < n_items:
                hidden = hidden[(hidden >= 0) & (hidden < n_items)]
            return self._list(vector, n, hidden, allowed, rules, of_past, exploration)

        if not _are_several(user):
            return answer(user, history, exclude)
        answers = []
        for one in user:
            one_history = _of(history, one, "history")
            answers.append(answer(one, one_history, _of(exclude, one, "exclude")))
        n_arrays = 2
        if exploration is not None:
            n_arrays = 3
        arrays = []
        for place in range(n_arrays):
            arrays.append([answer_of_user[place] for answer_of_user in answers])
        return tuple(arrays)

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
        (vector,) = self._users.of_items([code])
        query = (vector * self._model.similarity_factors).astype(np.float32)
        hidden = np.array([code], dtype=np.int64)
        if code >= len(self.item_ids_):  # it has left the catalog
            hidden = hidden[:0]
        return self._list(query, check_count(n, "n"), hidden)

    def similar_users(
        self, user, n=10, *, history=None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return the users most similar to a user.

        Parameters
        ----------
        user : id
            May be unknown to fit.
        n : int, default=10
            Number of users, >= 1.
        history : list of ids, default=None
            Further past items of the user, as in `recommend`.

        Returns
        -------
        ids : ndarray of shape (k,)
            Users without the given one, most similar first.
        scores : ndarray of shape (k,), float32
            The cosine of the vectors of users.

        Raises
        ------
        ValueError
            If n < 1.
        TypeError
            If an argument is of another type.

        Notes
        -----
        The vectors of all users are computed in the first call, one after the other,
        and kept: that takes about as long as a request for each.

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
        >>> runtime.load(path).similar_users("ann", 1)[0]
        array(['bob'], dtype=object)
        """
        k = min(check_count(n, "n"), len(self.user_ids_))
        code, past, added = self._users.past_of(user, history)
        vector = unit_vector(self._users.of_past(code, past, added))
        hidden = np.array([code], dtype=np.int64)
        if code >= len(self.user_ids_):  # unknown to fit
            hidden = hidden[:0]
        others = self._users.units
        scores, positions = best_of_one(vector, others, k, hidden)
        return self.user_ids_[positions], scores.astype(np.float32)

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
        if _are_several(user):
            raise TypeError(f"score takes one user. Got {len(user)}: call it for each.")
        code, past, added = self._users.past_of(user, history)
        vector = self._users.vector_of(code, past, added, context)
        vectors = self._users.of_items(codes)
        scores = vectors.astype(float) @ vector.astype(float)
        if self._model.sparse is not None:
            # also of items that have left the catalog
            n_items = len(self._state.items.ids)
            of_past = self._users.added_to(code, past, added, context, n_items)
            scores += of_past.at(codes)
        return scores.astype(np.float32)

    @hinted
    def embed(self, user, *, history=None, context=None) -> ModelVectors:
        """Return the vector of a user, or of several.

        Parameters
        ----------
        user : id, or list or array of m ids
        history, context
            As in `recommend`.

        Returns
        -------
        vector : ndarray of shape (d,) or (m, d), float32
            With the attribute ``model_id``, as of `TwoTowerRecommender.embed_users`.

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
            width = self._vectors.shape[1]
            vectors = []
            for one in user:
                one_history = _of(history, one, "history")
                vectors.append(self._users.embed(one, one_history, context))
            vectors = np.array(vectors, dtype=np.float32).reshape(-1, width)
        else:
            vectors = self._users.embed(user, history, context).copy()
        return self._shown(vectors)

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
        _, past, _ = self._users.past_of(user, None)
        return self._state.items.ids[past]

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

    @cached_property
    def _request_columns(self):
        """The columns of requests, a list of ``RequestColumn``; the user first."""
        users = RequestColumn(self._state.users.label, "user", ids=self._users.ids)
        return [users, *context_columns(self._state.context)]

    def coverage(self, requests) -> dict[str, dict[str, float | None]]:
        """Return what share of requests the model does not know, for each column.

        Parameters
        ----------
        requests : list of m dicts
            As a service gets them: ``{"user": id, "context": {column: value}}``. Other
            keys are ignored. A request may lack its user, or columns of the context:
            they are counted.

        Returns
        -------
        shares : dict of dicts
            By column, that of users first: "missing", "unknown" and "out_of_range", as
            in `TwoTowerRecommender.coverage`; None where it is not known.

        Raises
        ------
        ValueError
            If there are no requests, or one names a column that is not known.
        TypeError
            If requests are of another type.

        Examples
        --------
        >>> import tempfile
        >>> from pathlib import Path
        >>> import pandas as pd
        >>> from sktwotower import TwoTowerRecommender, io, runtime
        >>> X = pd.DataFrame({"user": ["ann", "ann", "bob", "bob"] * 5,
        ...                   "item": ["tea", "jam", "tea", "egg"] * 5,
        ...                   "device": ["phone", "phone", "tv", "tv"] * 5})
        >>> path = Path(tempfile.mkdtemp()) / "model.sktt"
        >>> io.dump(TwoTowerRecommender(context="device", random_state=0).fit(X), path)
        >>> asked = [{"user": "ann", "context": {"device": "watch"}}, {"user": "zoe"}]
        >>> runtime.load(path).coverage(asked)["device"]
        {'missing': 0.5, 'unknown': 0.5, 'out_of_range': None}
        """
        return coverage_of(self._request_columns, requests)

    def request_schema(self) -> dict[str, Any]:
        """Return the contract of a request, a JSON schema.

        Returns
        -------
        schema : dict
            As of `TwoTowerRecommender.request_schema`.

        Examples
        --------
        >>> import tempfile
        >>> from pathlib import Path
        >>> from sktwotower import TwoTowerRecommender, io, runtime
        >>> X = [["ann", "tea"], ["ann", "jam"], ["bob", "tea"], ["bob", "egg"]]
        >>> path = Path(tempfile.mkdtemp()) / "model.sktt"
        >>> io.dump(TwoTowerRecommender(random_state=0).fit(X), path)
        >>> runtime.load(path).request_schema()["properties"]["user"]
        {'type': 'string'}
        """
        return request_schema(self._request_columns, self.item_ids_)

    def _known(self, items, name):
        """Return positions (m,) of ids; raise ``ValueError`` for unknown ones."""
        codes = self._items.positions(items, name)
        if (unknown := codes < 0).any():
            first = list(items)[unknown.argmax()]
            raise ValueError(
                f"{unknown.sum()} of {name} are not known from fit, such as {first!r}."
            )
        return codes

    def _allowed(self, candidates):
        """Return sorted positions (m,) of the candidates; None: all items."""
        if candidates is None:
            return None
        codes = np.unique(self._known(candidates, "candidates"))
        if len(codes) and codes[-1] >= len(self.item_ids_):
            raise ValueError("candidates has items that are not in the catalog.")
        return codes

    def _list(
        self,
        vector,
        k,
        hidden,
        allowed=None,
        rules=NO_RULES,
        added=None,
        exploration=None,
    ):
        """Return ids and scores (m,) of the k best items for a vector (d,).

        ``added``: what is ``Added`` to the scores of some items; None: nothing. With an
        ``Exploration`` the items are drawn, and their propensities (m,) are returned,
        too.
        """
        vectors = self._vectors
        if exploration is None and not rules.reorder:
            scores, positions = best_of_one(vector, vectors, k, hidden, allowed, added)
            return self.item_ids_[positions], scores.astype(np.float32)

        # lists of one user, as one row
        def search(_, width):
            scores, positions = best_of_one(
                vector, vectors, width, hidden, allowed, added
            )
            return scores[None], positions[None]

        def cosines(positions):
            return cosines_of(vectors[positions] * self._model.similarity_factors)

        n_items = len(vectors)
        if exploration is None:
            scores, positions = rules.lists(search, 1, k, n_items, cosines)
            propensities = ()
        else:
            scores, positions, *propensities = exploration.lists(
                search, 1, k, n_items, rules.limits
            )
        (is_filled,) = positions >= 0
        figures = (figure[0][is_filled] for figure in (scores, *propensities))
        return self.item_ids_[positions[0][is_filled]], *figures


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
