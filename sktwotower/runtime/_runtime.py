"""A model of a file, served with numpy only.

Input: the path of a file of `sktwotower.io.dump`; ids of users and items.
Output: ids and scores of the best items.
"""

import os
from functools import cached_property

import numpy as np

from sktwotower._records import refuse
from sktwotower._records._container import ReadFile
from sktwotower._records._format_version import check_versions
from sktwotower._tables._messages import check_count

from ._id_table import IdTable
from ._kept import Kept
from ._one_query import best_of_one
from ._rules import NO_RULES, cosines_of
from ._stored_items import item_table_of_arrays
from ._stored_state import KINDS, ServedModel, ServingReader
from ._tower_arrays import PastItems

# What a part that does not fit may raise, if no check has found it before.
UNEXPECTED = ArithmeticError, AttributeError, LookupError, RecursionError, TypeError


def load(path, mmap=False, verify=True):
    """Read a model from a file that `sktwotower.io.dump` has written, to serve it.

    Only numpy is imported. Loading runs no code of the file. Only types of a fixed list
    are made, and the shape, dtype and range of every array that is used is checked.

    Parameters
    ----------
    path : str or path-like
        The file.
    mmap : bool, default=False
        Map arrays of floats into memory instead of reading them, as
        `sktwotower.io.load` does.
    verify : bool, default=True
        Check the checksums of all arrays, and that item vectors are finite. False: only
        those of arrays of integers and of all that is not an array.

    Returns
    -------
    model : Runtime

    Raises
    ------
    ValueError
        If the file is damaged or forged, of a later format, or holds what needs more
        than numpy: a tower or a ``context_transformer`` of your own, a
        `TwoStageRecommender`, a baseline.
    TypeError
        If ``path`` is no path.
    OSError
        If the file cannot be read.

    See Also
    --------
    sktwotower.io.load : Reads the estimator itself.

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
    >>> ids, scores = model.recommend("ann", 2)
    >>> ids
    array(['bread', 'paint'], dtype=object)
    >>> scores.round(2)
    array([ 0.02, -0.59], dtype=float32)
    """
    if not isinstance(path, str | os.PathLike):
        raise TypeError(f"path must be a str or a path-like object. Got {path!r}.")
    with ReadFile(path, mmap, verify) as file:
        check_versions(file.meta)
        spec = file.meta.get("model")
        name = spec.get("type") if type(spec) is dict else None
        if type(name) is not str:
            refuse("the model", "an estimator of this package", name)
        if KINDS.get(name) is not ServedModel:
            raise ValueError(
                f"The file holds a {name.rpartition('.')[2]}, and only a "
                "TwoTowerRecommender can be served with numpy. Load it by "
                "sktwotower.io.load."
            )
        try:
            return Runtime(*ServingReader(file).read(spec, "model"))
        except ValueError:
            raise
        except UNEXPECTED as error:
            raise file.damaged(f"its parts do not fit together ({error})") from error


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

    def __init__(self, state, fold_in=True):
        self._state, (self._model, _) = state, state.net
        self._fold_in = state.fold_in if fold_in else None
        vectors = np.ascontiguousarray(state.catalog.vectors)
        vectors.flags.writeable = False
        self.item_embeddings_ = vectors
        self._users = IdTable(state.users.ids, "user")
        self._items = IdTable(state.items.ids, "item")
        self.user_ids_ = state.users.ids
        self.item_ids_ = state.items.ids[: len(vectors)]
        self._kept = Kept()

    @cached_property
    def item_table(self):
        """The ``ItemTable`` of the catalog, which keeps answers to rules."""
        return item_table_of_arrays(self._state.items, len(self.item_ids_))

    def recommend(
        self,
        user,
        n=10,
        *,
        history=None,
        context=None,
        exclude_seen=True,
        candidates=None,
        exclude=None,
        where=None,
        max_per=None,
        diversity=None,
    ):
        """Recommend items to a user, or to several.

        Parameters
        ----------
        user : id, or list or array of m ids
            Known or new users.
        n : int, default=10
            Number of items, >= 1.
        history : list or dict, default=None
            Items that the user chose after fit, oldest first. For several users, a dict
            of users to lists. Items unknown to fit are ignored.
        context : dict, default=None
            What is known of the request: context columns to values.
        exclude_seen : bool, default=True
            Leave out items that the user chose in fit or in ``history``.
        candidates : list or array, default=None
            Recommend only these items. None: the whole catalog.
        exclude : list or dict, default=None
            Items that are not recommended. For several users, a dict of users to lists.
            Items that are not in the catalog are ignored.
        where : dict or callable, default=None
            Recommend only items that qualify by the item table, as
            `TwoTowerRecommender.recommend` says. A function gets a dict of columns to
            arrays (n_items,), in which a missing value is None, NaN or NaT.
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
        if not isinstance(exclude_seen, bool | np.bool_):
            raise TypeError(f"exclude_seen must be a bool. Got {exclude_seen!r}.")
        n_items = len(self.item_ids_)

        def answer(user, history, exclude):
            code, past = self._past(user, history)
            vector = self._vector(code, past, history, context)
            hidden = past if exclude_seen else past[:0]
            if exclude is not None:
                others = self._items.positions(exclude, "exclude")
                hidden = np.concatenate([hidden, others])
            if len(hidden) and not 0 <= hidden.min() <= hidden.max() < n_items:
                hidden = hidden[(hidden >= 0) & (hidden < n_items)]
            return self._best(vector, n, hidden, allowed, rules)

        if not _are_several(user):
            return answer(user, history, exclude)
        found = [
            answer(each, _of(history, each, "history"), _of(exclude, each, "exclude"))
            for each in user
        ]
        return [ids for ids, _ in found], [scores for _, scores in found]

    def similar_items(self, item, n=10):
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
            The dot products of their vectors.

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
        hidden = np.array([code] if code < n_items else [], dtype=np.int64)
        return self._best(vector, check_count(n, "n"), hidden, None, NO_RULES)

    def score(self, user, items, *, history=None, context=None):
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
            As in `recommend`, or if fit does not know an item.

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
        vectors = self._item_vectors(codes)
        return (vectors.astype(float) @ vector.astype(float)).astype(np.float32)

    def embed(self, user, *, history=None, context=None):
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
        code, past = self._past(user, history)
        return self._vector(code, past, history, context).copy()

    def seen(self, user):
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
        _, past = self._past(user, None)
        return self._state.items.ids[past]

    def _past(self, user, history):
        """Return the row of a user, and positions (m,) of all past items.

        The last, empty row is that of unknown users.
        """
        code = self._users.position(user)
        code = len(self._users) if code < 0 else code
        past = self._state.seen.of(code)[0]
        if history is None:
            return code, past
        return code, np.union1d(past, self._added(history))

    def _added(self, history):
        """Return the positions (m,) of the items of a history that fit knows."""
        added = self._items.positions(history, "history")
        return added[added >= 0]

    def _vector(self, code, past, history, context):
        """Return the vector (d,) of the user of a row with past items (m,)."""
        if history is None:
            vector = self._kept.get(code, lambda code: self._computed(code, past, None))
        else:
            vector = self._computed(code, past, history)
        return (
            vector if context is None else self._asked(code, vector, history, context)
        )

    def _computed(self, code, past, history):
        state, items, lags = self._state, past, None
        if state.sequences is not None:
            items, lags = state.sequences.lags.of(code)
            if history is not None:
                added = self._added(history)
                items = np.concatenate([items, added])
                lags = [lags + len(added), np.arange(len(added), 0, -1)]
                lags = np.concatenate(lags)
        of_past = PastItems(items, lags, state.items.rows)
        vector = self._model.of_user(*state.users.rows.of(code), of_past)
        from_fit = len(state.seen.of(code)[0])
        if self._fold_in is None or from_fit or not len(past):
            return vector
        sums = self._item_vectors(past).sum(0, dtype=float, keepdims=True)
        n_past = np.array([len(past)])

        def fold_in(vectors, sums):
            return self._fold_in(vectors, sums, n_past)

        return self._model.folded(vector[None], sums, fold_in)[0]

    def _asked(self, code, vector, history, context):
        """Return the vector (d,) of a request of a user in a context."""
        cells, latest = self._state.context, np.nan
        if cells is None:
            raise ValueError(
                "context describes the request, but the model has not learnt from any."
            )
        if self._state.sequences is not None and history is None:
            start, stop = self._state.sequences.lags.indptr[code : code + 2]
            latest = self._state.sequences.times[stop - 1] if stop > start else np.nan
        return self._model.in_context(vector, *cells.entries(context, float(latest)))

    def _item_vectors(self, codes):
        """Return the vectors (m, d) of items at positions, computed if removed."""
        n = len(self.item_ids_)
        if max(codes, default=-1) < n:
            return self.item_embeddings_[codes]
        rows = self._state.items.rows
        return np.stack(
            [
                self.item_embeddings_[code]
                if code < n
                else self._model.of_item(*rows.of(code))
                for code in codes
            ]
        )

    def _known(self, items, name):
        """Return positions (m,) of ids; raise ``ValueError`` for unknown ones."""
        codes = self._items.positions(items, name)
        if (codes < 0).any():
            unknown = [
                each for each, code in zip(items, codes, strict=True) if code < 0
            ]
            raise ValueError(
                f"{len(unknown)} of {name} are not known from fit, such as "
                f"{unknown[0]!r}."
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

    def _best(self, vector, k, hidden, allowed, rules):
        """Return ids and scores (m,) of the k best items for a vector (d,)."""
        vectors = self.item_embeddings_
        if allowed is not None and not len(allowed):
            return self.item_ids_[:0], np.zeros(0, dtype=np.float32)

        def search(_, width):
            found = best_of_one(vector, vectors, width, hidden, allowed)
            padding = (0, width - len(found[0]))
            fills = zip(found, (-np.inf, -1), strict=True)
            return [np.pad(x, padding, constant_values=fill)[None] for x, fill in fills]

        def cosines(positions):
            return cosines_of(vectors[positions])

        if rules.reorder:
            found = rules.lists(search, 1, k, len(vectors), cosines)
            scores, positions = (each[0][found[1][0] >= 0] for each in found)
        else:
            scores, positions = best_of_one(vector, vectors, k, hidden, allowed)
        return self.item_ids_[positions], scores.astype(np.float32)


def _are_several(user):
    return isinstance(user, list | tuple | np.ndarray)


def _of(given, user, name):
    """Return what a dict of users holds for one of several."""
    if given is None:
        return None
    if not isinstance(given, dict):
        raise TypeError(
            f"{name} of several users must be a dict of users to lists. Got {given!r}."
        )
    return given.get(user)
