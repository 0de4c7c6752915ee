"""Reading and checking the arguments of requests to a recommender.

Input: ids (n,) or tables (n, n_columns) of users or items, histories and candidates.
Output: a ``Query`` or ``Request``: positions (n,), feature rows and past items (CSR).
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from scipy import sparse

from sktwotower._tables import _frames, _sparse
from sktwotower._tables._ids import check_ids, known_positions, plain_positions
from sktwotower._tables._memory import check_result
from sktwotower._tables._messages import format_ids, not_known, shorten, warn
from sktwotower.runtime._one_query import among
from sktwotower.runtime._rules import NO_RULES

from . import _history
from ._fitted_state import Asked, Past

# Least memory of one item of a list: score, distance or rank, and position.
BYTES_OF_ITEM = 16


@dataclass(frozen=True, eq=False)
class Query:
    """Users, or items, in the order of the request.

    Parameters
    ----------
    ids : array of shape (n,)
        Their ids.
    codes : int array of shape (n,)
        Positions among the entities of fit; -1 for unknown ones.
    rows : CSR matrix of shape (n, p)
        Feature rows.
    described : DataFrame of shape (n, 1 + n_features), default=None
        Ids and features that the caller passed. None: only ids.
    asked : Asked, default=None
        What is known of their context. None: nothing.
    """

    ids: np.ndarray
    codes: np.ndarray
    rows: sparse.csr_matrix
    described: pd.DataFrame | None = None
    asked: Asked | None = None

    def __len__(self):
        return len(self.codes)

    def __getitem__(self, rows):
        """Return some of the users, or items, a slice or positions."""
        return Query(*_sparse.rows_of_each([*vars(self).values()], rows))

    def lacks_information(self):
        """Return which are unknown to fit and have no features, bool (n,)."""
        return (self.codes < 0) & (np.diff(self.rows.indptr) == 0)

    def warn_of_unknown(self, meaning, counted=False):
        """Warn if they are items of rows of X, some of which lack information.

        ``meaning``: what the scores of these are. ``counted``: which of them are known
        from counts, bool (n,).
        """
        unknown = self.lacks_information() & ~np.asarray(counted)
        if unknown.any():
            warn(
                f"{unknown.sum():,} of {len(self):,} rows of X ({unknown.mean():.1%}) "
                "hold items that fit has not seen, such as "
                f"{format_ids(pd.unique(self.ids[unknown]), 2)}. {meaning}"
            )


@dataclass(frozen=True, eq=False)
class Request:
    """Users to recommend items to, their past items and the items allowed.

    Parameters
    ----------
    users : Query
        n users.
    past : Past or None
        What each user chose, in fit or in the ``history`` of the request. None: it is
        not looked up, as ``search_known`` is enough.
    allowed : sorted int array or CSR matrix of shape (n, n_items), default=None
        Positions of the items that may be recommended, to all users or to each. None:
        all items.
    left_out : CSR matrix of shape (n, len(items)), default=None
        Ones where an item must not be recommended to a user. None: nowhere.
    """

    users: Query
    past: Past | None
    allowed: np.ndarray | sparse.csr_matrix | None = None
    left_out: sparse.csr_matrix | None = None

    def __len__(self):
        return len(self.users)

    def check_size(self, k):
        """Raise ``ValueError`` if k items for each user do not fit into memory."""
        check_result(len(self), f"lists of {k:,} items", BYTES_OF_ITEM * k)

    def __getitem__(self, block):
        """Return some of the users, a slice or positions."""
        allowed = _sparse.rows_of(self.allowed, block)
        left_out = _sparse.rows_of(self.left_out, block)
        return Request(self.users[block], self.past[block], allowed, left_out)

    def excluded(self, exclude_seen):
        """Return what must not be recommended, CSR (n, len(items)), or None."""
        if not exclude_seen:
            return self.left_out
        if self.left_out is None:
            return self.past.seen
        return (self.past.seen + self.left_out).sign()


def read_request(
    fitted,
    X,
    history=None,
    candidates=None,
    unknown_candidates="error",
    exclude=None,
    context=None,
    name="X",
    rules=NO_RULES,
    lazy=False,
):
    """Return the ``Request`` that the arguments of a ranking method describe.

    ``fitted``: the recommender's ``Fitted``; ``rules``: which items qualify. The other
    parameters are those of `recommend`. X None: all users of ``history`` or, without
    one, all known users. ``lazy``: nothing is looked up of a single known user if there
    is ``search_known``, and the past is None.
    """
    code = None
    if lazy and history is None and fitted.search_known is not None:
        code = one_known(fitted.users, X)
    past = None
    if code is None:
        if X is None and history is not None:
            X = _history.history_users(history, fitted.users)
        users = read_users(fitted, X, name, context)
    else:
        asked = None
        if context is not None:
            asked = fitted.asked(None, 1, context)
        ids = _frames.list_as_array(X)  # plain ones, see `one_known`
        users = Query(ids, np.array([code]), None, asked=asked)
    if unknown_candidates not in ("error", "ignore"):
        raise ValueError(
            f"unknown_candidates must be 'error' or 'ignore'. Got "
            f"{unknown_candidates!r}."
        )
    allowed = rules.qualifying
    if candidates is not None:
        ignores = unknown_candidates == "ignore"
        allowed = candidate_positions(candidates, users, fitted, ignores, rules)
    left_out = None
    if exclude is not None:
        left_out = read_exclude(exclude, users, fitted)
    if code is None:
        past = past_of(fitted, users, history)
    return Request(users, past, allowed, left_out)


def past_of(fitted, users, history=None):
    """Return the ``Past`` of users, in fit and in ``history``.

    ``users``: a ``Query`` of n users.
    """
    added = None
    if history is not None:
        added = _history.read_history(history, users, fitted)
    return fitted.past(users, added)


def one_known(entities, X):
    """Return the position of the only user, or item, of X, or None.

    It takes no tables and matrices. None says nothing about X: it may hold several of
    them, an unknown one, features, or ids that need a closer look.
    """
    if isinstance(X, np.ndarray) and X.ndim == 1 and X.dtype.kind in "iu":
        X = X.tolist()
    if not isinstance(X, list | tuple) or len(X) != 1:
        return None
    codes = plain_positions(X, entities.ids)
    if codes is None or codes[0] < 0:
        return None
    return codes[0]


def read_users(fitted, X, name, context):
    """Return the ``Query`` for users, with what is known of their context.

    ``X`` and ``name`` as in `read_query`; ``context``: of all users, see `recommend`.
    """
    frame, users = _parsed(fitted.users, X, name, fitted.schema)
    return replace(users, asked=fitted.asked(frame, len(users), context, name))


def query_of_events(fitted, frame):
    """Return the ``Query`` for the users of events, with their contexts."""
    query = Query(*fitted.users.describe(frame, "X", events=True))
    return replace(query, asked=fitted.asked(frame, len(query)))


def read_query(entities, X, name, schema):
    """Return the ``Query`` for ids, or for a table, of users or items.

    ``X`` is None (all known from fit), one-dimensional ids, or a table with the id
    column and possibly the feature columns. ``schema``: the `TableSchema` of fit; an
    array of its width is read as a table, by position, and may lack the time column.
    """
    _, query = _parsed(entities, X, name, schema)
    return query


def _parsed(entities, X, name, schema):
    """Return X as a table with names, or None if it is none, and its ``Query``."""
    if X is None:
        codes = np.arange(len(entities.ids))
        return None, Query(entities.ids.to_numpy(), codes, entities.rows[:-1])
    if _frames.is_frame(X):
        frame = _frames.with_names(_frames.as_frame(X, name))
        known = ()
        if schema.names is not None:
            known = schema.names
        return frame, Query(*entities.describe(frame, name, known=known))
    values = as_ids(X)
    if values is None:
        raise TypeError(
            f"{name} must be a list or array of ids, or a table. Got {shorten(X)}. For "
            f"one {entities.side} write [{shorten(X)}]."
        )
    if values.shape[1:] == (1,):
        values = values[:, 0]
    if values.ndim == 1:
        codes = entities.codes(values, name)
        rows = _sparse.take_rows(entities.rows, codes)
        return None, Query(np.asarray(values), codes, rows)
    values = schema.with_empty_columns(values)
    if values.ndim != 2 or values.shape[1] != schema.n_columns:
        raise ValueError(
            f"{name} must be a one-dimensional array of ids, or a table with the "
            f"{schema.n_columns} columns of fit. Got shape {values.shape}."
        )
    frame = _history.array_with_names(values, name, schema)
    return frame, Query(*entities.describe(frame, name, known=frame.columns))


def catalog_ids(query):
    """Return the checked ids (n,) of a ``Query`` of items that become the catalog.

    Raise ``ValueError`` if there are none, or one is repeated.
    """
    ids = check_ids(query.ids, "items")
    if len(ids) == 0:
        raise ValueError("items is empty: a catalog needs at least one item.")
    repeated = ids[ids.duplicated()].unique()
    if len(repeated):
        raise ValueError(
            f"items must hold each id once, but {len(repeated)} are duplicated: "
            f"{format_ids(repeated)}."
        )
    return ids


def to_forget(entities, X, name, schema):
    """Return which of the known users or items X names, bool (n_known,).

    ``X`` and ``schema`` as in `read_query`; unknown ones are warned about.
    """
    if X is None:
        raise TypeError(f"{name} must be ids or a table of {name}. Got None.")
    query = read_query(entities, X, name, schema)
    gone = np.zeros(len(entities.ids), dtype=bool)
    gone[query.codes[query.codes >= 0]] = True
    unknown = pd.unique(query.ids[query.codes < 0])
    if len(unknown):
        warn(f"{not_known(unknown, name.rstrip('s'))}. There is nothing to forget.")
    return gone


def as_ids(values):
    """Return values as an array, Series or Index; None if they hold no list of ids."""
    values = _frames.as_array(values)
    if isinstance(values, np.ndarray | pd.Series | pd.Index):
        if values.ndim == 0:
            return None
        return values
    if isinstance(values, str | bytes | Mapping) or not isinstance(values, Iterable):
        return None
    return _frames.list_as_array(values)


def candidate_positions(candidates, query, fitted, ignores_unknown, rules):
    """Return the ``allowed`` of a ``Request``: candidates that qualify by ``Rules``.

    One list of ids becomes sorted positions (m,). A list for each user (a mapping, a
    table or an array of pairs) becomes a CSR matrix (n, n_items). Raises ``ValueError``
    for ids that are not in the catalog, unless it ``ignores_unknown`` ones.
    """
    owners = None
    values = candidates
    are_rows = isinstance(candidates, np.ndarray) and candidates.ndim == 2
    if are_rows or isinstance(candidates, Mapping) or _frames.is_frame(candidates):
        owners, values = _history.pairs_of(candidates, query, fitted, "candidates")
    values = as_ids(values)
    if values is None or values.ndim != 1:
        raise TypeError(
            "candidates must be a list of item ids or, for each user, a dict of lists "
            f"or a table of pairs. Got {shorten(candidates)}."
        )
    codes = fitted.items.codes(values, "candidates")
    is_left_out = (codes < 0) | (codes >= fitted.n_items)
    if is_left_out.any() and not ignores_unknown:
        names = pd.unique(np.asarray(values)[is_left_out])
        raise ValueError(
            f"{len(names)} of {len(values)} candidates are not in the catalog of "
            f"{fitted.n_items} items: {format_ids(names)}. Leave them out, or set "
            "unknown_candidates='ignore'."
        )
    if rules.qualifying is not None:
        is_left_out |= ~among(codes, rules.qualifying)
    kept = ~is_left_out
    if owners is None:
        return np.unique(codes[kept])
    return _allowed_by_user(owners, codes, kept, query, fitted.n_items)


def _allowed_by_user(owners, codes, kept, query, n_items):
    """Return ones for the candidates of each user of a query, CSR (n, n_items).

    ``owners``, an Index, and ``codes`` (m,): user and position of each candidate, of
    which some are ``kept``. Warn if none is of a user of the query.
    """
    users = owners.unique()
    rows = users.get_indexer(owners)[kept]
    # the last one has no candidates: -1 stands for it
    allowed = _sparse.ones_at(rows, codes[kept], (len(users) + 1, n_items))
    rows_of_query = users.get_indexer(check_ids(query.ids, "X"))
    has_users = len(users) > 0 and len(rows_of_query) > 0
    if has_users and (rows_of_query < 0).all():
        warn(
            "candidates has no entry for any requested user: it has "
            f"{format_ids(users)}, X has {format_ids(query.ids)}. The result is empty."
        )
    return allowed[rows_of_query]


def read_exclude(exclude, query, fitted):
    """Return ones (n, len(items)) for the pairs of ``exclude``.

    ``query``: the n users asked for. ``exclude``: a table with the user and the item
    column of fit, an array of (user, item) rows, a dict of users to items or, for a
    query of one user, a list of items. Pairs of other users or of items unknown to fit
    change nothing.
    """
    of_one_user = _history.items_of_one_user(exclude, query)
    n_items = len(fitted.items)
    if of_one_user is not None:
        ids = _frames.list_as_array(of_one_user)
        codes = fitted.items.codes(ids, "the items of exclude")
        codes = np.unique(codes[codes >= 0])
        return _sparse.one_row(codes, np.ones(len(codes), np.float32), n_items)
    owners, items = _history.pairs_of(exclude, query, fitted, "exclude")
    ids_of_query = check_ids(query.ids, "X")
    users = ids_of_query.unique()
    rows = known_positions(owners, users, "the users of exclude", "the users asked for")
    codes = fitted.items.codes(items, "the items of exclude")
    is_known = (rows >= 0) & (codes >= 0)
    shape = (len(users), n_items)
    excluded = _sparse.ones_at(rows[is_known], codes[is_known], shape)
    return _sparse.take_rows(excluded, users.get_indexer(ids_of_query))
