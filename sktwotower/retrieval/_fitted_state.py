"""The fitted state of a recommender: one immutable value that each request reads once.

Input: an estimator.
Output: its ``Fitted`` value (ids, feature rows, seen matrix), and read-only attributes.
"""

import functools
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy import sparse
from sklearn.exceptions import NotFittedError

from sktwotower._records import csr, require
from sktwotower._tables._frames import library_of
from sktwotower._tables._output import in_library, library_for
from sktwotower._tables._schema import TableSchema
from sktwotower._tables._sequences import Sequences
from sktwotower._tables._sparse import one_row, ones_at, some_rows, take_rows
from sktwotower.features._after_fit import without_entities
from sktwotower.features._context_columns import distinct_contexts
from sktwotower.features._entities import Entities
from sktwotower.runtime._rules import ItemTable


class Serving(NamedTuple):
    """Parameters of the estimator that are read at the time of a request.

    ``builds_graphs``: whether a search may build a graph if that pays. ``n_users``: how
    many users the whole request has, where it is searched part by part. ``is_exact``:
    whether an index that may miss items is passed over.
    """

    n_jobs: int | None = None
    verbose: int | str = 0
    fold_in: bool = True
    builds_graphs: bool = False
    n_users: int = 0
    is_exact: bool = False


class Past(NamedTuple):
    """Past items of n users.

    Parameters
    ----------
    seen : CSR matrix of shape (n, len(items))
        Ones where a user chose an item.
    input : CSR matrix of shape (n, len(items))
        What a user's score is computed from: ``seen``, or lags in the order of time, as
        in `Sequences`.
    latest : float64 array of shape (n,), default=None
        Time of the latest event, nan if there is none or its time is not known. None:
        it is not needed.
    long_before : float64 array of shape (n,), default=None
        How much of the answer is that of long before now, from 0 to 1. None: nothing.
    """

    seen: sparse.csr_matrix
    input: sparse.csr_matrix
    latest: np.ndarray | None = None
    long_before: np.ndarray | None = None
    __getitem__ = some_rows


class Asked(NamedTuple):
    """What n requests say of their context.

    Parameters
    ----------
    rows : CSR matrix of shape (n, q)
        Feature rows of the columns of the context; unknown ones are empty.
    times : float64 array of shape (n,) or None
        When they ask; nan: not known. None: the time is not known, or not used.
    """

    rows: sparse.csr_matrix
    times: np.ndarray | None
    __getitem__ = some_rows

    def gaps(self, latest):
        """Return the time (n,) since events at ``latest`` (n,); None if not known."""
        if latest is None or self.times is None:
            return None
        return self.times - latest


@dataclass(frozen=True, eq=False)
class Fitted:
    """The fitted state of a recommender; never changed, only replaced as a whole.

    Parameters
    ----------
    schema : TableSchema
        Columns of X in fit.
    users, items : Entities
        The two sides. The first items are the catalog, in the order of ``item_ids``;
        removed items that occur in histories of users follow.
    seen : CSR matrix of shape (n_users + 1, len(items)), float32
        Ones where a user chose an item; the last, empty row is for unknown users.
    sequences : Sequences or None
        The events of each user in order. None: order is not known, or not used.

    Notes
    -----
    Subclasses define ``search(query, past, k, serving, excluded, allowed)``, which
    returns scores and positions (n, k) of the best items for a ``Query`` of users,
    ``fields_without`` (or ``without_users``), and ``explained(owner, chosen, past,
    names, estimator)``. Of one user and one item, queries, it returns tables of what
    adds to the score, and the score; ``names``: those of items by id.
    """

    schema: TableSchema
    users: Entities
    items: Entities
    seen: csr("n_users+1 n_items", empty_last=True)
    sequences: Sequences | None
    # a method that does what ``search`` does for one known user; None: none is faster
    search_known = None

    # Whether features describe items that fit has not seen.
    scores_new_items = False
    # Whether items count by their features only, and not by who chose them.
    is_content = False
    # Whether it counts what each user has chosen before.
    counts_repeats = False
    # Vectors (n_items, d) of the catalog, of models that have any.
    item_vectors = None
    # Share of showings (n_items,) that ended in a choice; None if not known.
    click_rates = None
    # Whether the time since the user's last event counts in a request.
    sees_gaps = False
    # Names of the columns that describe a request, and not its user.
    context_columns = ()
    # Those of them that items have, and X has not: they are only known of requests.
    item_context = ()

    def shares_long_before(self, asked):
        """Return how much of answers is that of long before now, (n,); None: nothing.

        ``asked``: what n requests ``Asked``, or None.
        """
        return None

    # Name of the column with the time of a request, if that is known of each by itself.
    asked_time = None

    def __getstate__(self):
        """Return what is pickled: not the ids that were asked for, which are kept."""
        recomputed = {
            "user_ids",
            "item_ids",
            "item_table",
            "known_columns",
            "model_id",
            "item_embeddings",
            "_arrays",
            "_choosers",
            "unit_users",
        }
        state = vars(self)
        return {name: state[name] for name in state if name not in recomputed}

    def _check_stored(self, place):
        sides = self.users.side, self.items.side
        require(sides == ("user", "item"), place, "users and items")
        self._check_columns(place)
        shape = len(self.users) + 1, len(self.items)
        csr(shape)(self.seen, f"{place}.seen")
        require((self.seen.data == 1).all(), f"{place}.seen", "a matrix of ones")
        if self.sequences is not None:
            csr(shape, canonical=False)(self.sequences.lags, f"{place}.sequences")
            require(self.schema.time is not None, place, "a schema with times")

    def _check_columns(self, place):
        """Raise unless ids, features and the time are columns of X in fit."""
        schema = self.schema
        names = schema.names
        labels = [self.users.id_column, self.items.id_column]
        if names is None:
            names = [f"x{i}" for i in range(schema.n_columns)]
            labels = ["user", "item"]
        used = set()
        for side in (self.users, self.items):
            used.update([side.id_column, *side.features])
        expected = "one with the columns that are used"
        require(used <= set(names), f"{place}.schema", expected)
        labels_of_sides = [self.users.label, self.items.label]
        expected = f"users and items of the columns {labels}"
        require(labels_of_sides == labels, place, expected)
        if schema.time is not None:
            time = names[schema.time_place]
            fits = schema.time == time
            require(fits, f"{place}.schema", f"one with the time {time!r}")

    @property
    def n_items(self):
        """Number of items in the catalog."""
        return len(self.items)

    @functools.cached_property
    def user_ids(self):
        """Ids of the known users, (n_users,)."""
        return self.users.ids.to_numpy()

    @functools.cached_property
    def item_ids(self):
        """Ids of the catalog, (n_items,)."""
        return self.items.ids[: self.n_items].to_numpy()

    @functools.cached_property
    def item_table(self):
        """The ``ItemTable`` of the catalog, which keeps answers to rules."""
        return _item_table_of(self.items, self.n_items, self.schema.library)

    @functools.cached_property
    def _choosers(self):
        """Unit columns of ``seen``: who chose each item, CSC (n_users + 1, n_items)."""
        columns = self.seen.tocsc()
        n_users_of_item = np.maximum(np.diff(columns.indptr), 1)
        return columns @ sparse.diags(n_users_of_item**-0.5)

    @functools.cached_property
    def unit_users(self):
        """Vectors of length 1 of all known users, (n_users, d), an array or CSR.

        Without vectors of users, they are the rows of ``seen``.
        """
        return _unit_rows(self.seen[:-1])

    def unit_users_of(self, query, past):
        """Return the same of n users, a ``Query`` with their ``Past``."""
        return _unit_rows(past.seen)

    def cosines(self, positions):
        """Return what ``Rules.lists`` asks for, of items at positions (m,).

        Without vectors of items, they are those of the columns of ``seen``.
        """
        columns = self._choosers[:, positions]
        products = (columns.T @ columns).toarray()
        return lambda place: products[place]

    @property
    def scores_by_features(self):
        """Whether items without events are scored, by what is known of them."""
        return self.scores_new_items and self.items.has_features

    @functools.cached_property
    def known_columns(self):
        """Names that a table of requests may have without being misspelt, a set."""
        users = self.users
        known = {users.id_column, *users.features, *users.side_features}
        if self.schema.names is not None:
            known.update(self.schema.names)
        return known

    def asked(self, frame, n, given=None, name="X"):
        """Return what n requests ``Asked``, or None if no context is known.

        ``frame``: the table of the requests, or None for ids; ``given``: the parameter
        ``context``, a dict of columns to values for all requests. ``name``: what
        messages call the table.
        """
        if given is not None:
            raise ValueError(
                "context describes the request, but the model has not learnt from any. "
                "Fit a TwoStageRecommender or TwoTowerRecommender(context=[...])."
            )
        return None

    @property
    def event_context(self):
        """Names of the ``context_columns`` that events have, a tuple."""
        of_items = self.item_context
        return tuple(name for name in self.context_columns if name not in of_items)

    def request_codes(self, frame):
        """Return int (n_events,), equal for events of a user with the same context.

        None if the model has no context, or ``frame`` none of its columns.
        """
        columns = [name for name in self.event_context if name in frame.columns]
        if not columns:
            return None
        _, codes, _ = distinct_contexts(frame[columns])
        return codes

    def past(self, query, added=None):
        """Return the ``Past`` of the users of a query.

        ``added``: row, item and time, (m,) each, of further events; times None: they
        are later than all others, one after the other.
        """
        seen = self.seen_by(query.codes)
        if added is not None:
            rows, items, _ = added
            seen = _with_pairs(seen, rows, items)
        if self.sequences is None:
            return Past(seen, seen)
        latest = None
        if self.sees_gaps:
            latest = self.sequences.latest(query.codes, added)
        in_order = self.sequences.rows(query.codes, added)
        return Past(seen, in_order, latest, self.shares_long_before(query.asked))

    def similar_to_known(self, code, k, serving):
        """Return what ``search_similar`` does for the item of fit at ``code``, faster.

        None: there is no faster way.
        """
        return None

    def without_users(self, gone):
        """Return the same without the users where ``gone`` (n_users,)."""
        users, left = without_entities(self.users, gone)
        kept = np.append(np.flatnonzero(~gone), len(gone))  # with the empty row
        changed = {"users": users, "seen": self.seen[kept]}
        if self.sequences is not None:
            changed["sequences"] = self.sequences.take(kept)
        return replace(self, **changed, **self.fields_without(gone, left))

    def fields_without(self, gone, left):
        """Return further fields without what they hold of single users, a dict.

        ``gone`` (n_users,): which users are to be forgotten. ``left`` (p,): which
        feature columns of users stay.
        """
        raise NotImplementedError(f"{type(self).__name__} cannot forget users.")

    def seen_by(self, codes):
        """Return the rows of ``seen`` at positions (n,), CSR (n, len(items))."""
        return take_rows(self.seen, codes)


def _unit_rows(seen):
    """Return the rows of a CSR matrix of ones, with length 1."""
    n_items_of_user = np.maximum(np.diff(seen.indptr), 1)
    return (sparse.diags(n_items_of_user**-0.5) @ seen).tocsr().astype(np.float32)


def _with_pairs(seen, rows, items):
    """Return a CSR matrix of ones (n, n_items) with further ones, (m,) each."""
    if seen.shape[0] == 1:
        items = np.union1d(seen.indices, items).astype(seen.indices.dtype)
        return one_row(items, np.ones(len(items), np.float32), seen.shape[1])
    return (seen + ones_at(rows, items, seen.shape)).sign()


def _item_table_of(items, n_items, library):
    """Return the ``ItemTable`` of the first ``n_items`` of ``Entities``.

    ``library``: that of tables, unless there is a side table.
    """
    table = items.feature_table(n_items)
    table = table.rename(columns={items.id_column: items.label})
    library = library_of(items.table, default=library)
    return ItemTable(
        list(table.columns),
        read=lambda name: _plain(table[name]),
        as_frame=lambda: in_library(table.copy(), library),
        n_items=n_items,
    )


def _plain(column):
    """Return a pandas Series (n_items,) as the array of an ``ItemColumn``."""
    if isinstance(column.dtype, pd.DatetimeTZDtype):
        column = column.dt.tz_convert(None)
    if isinstance(column.dtype, np.dtype) and column.dtype.kind in "biufmM":
        return column.to_numpy()
    return column.astype(object).where(column.notna(), None).to_numpy()


def fitted_of(estimator):
    """Return the ``Fitted`` of an estimator; raise ``NotFittedError`` before fit."""
    fitted = vars(estimator).get("_fitted")
    if fitted is None:
        raise NotFittedError(
            f"This {type(estimator).__name__} instance is not fitted yet. Call 'fit' "
            "with appropriate arguments before using this estimator."
        )
    return fitted


def state_of(estimator):
    """Return the ``Fitted`` of an estimator, None if it is not fitted, or another's."""
    state = getattr(estimator, "_fitted", None)
    if not isinstance(state, Fitted):
        return None
    return state


def fitted_attribute(path, may_be_none=False, is_table=False):
    """Return a read-only property of an estimator for a part of its ``Fitted``.

    ``path``: attribute of the ``Fitted``, such as "catalog.vectors". Before fit, and if
    the part is None, the estimator does not have the attribute. ``may_be_none``: None
    is a value like others. ``is_table``: the part is a pandas table, which comes back
    in the library of X in fit.
    """

    def read(self):
        fitted = vars(self).get("_fitted")
        value = fitted
        for name in path.split("."):
            if value is not None:
                value = getattr(value, name)
        if value is None and (fitted is None or not may_be_none):
            raise AttributeError(
                f"{type(self).__name__!r} object has no attribute of fit for "
                f"{path!r}: it is not fitted, or was fitted without."
            )
        if is_table and value is not None:
            return in_library(value, library_for(self, fitted))
        return value

    return property(read)
