"""Reading of the history of a request: events that fit has not seen.

Input: events as a table, rows of an array, a dict or a list; a ``Query`` of n users.
Output: row, item and time of each event, (m,) each.
"""

from collections.abc import Mapping

import numpy as np

from sktwotower._records._reading import places_of
from sktwotower._tables import _frames
from sktwotower._tables._ids import check_ids
from sktwotower._tables._messages import warn
from sktwotower._tables._pairs import read_pairs
from sktwotower._tables._times import read_times


def read_history(history, query, fitted):
    """Return row, item and time, (m,) each, of a ``history`` of the users of a query.

    ``history``: a table of events with the user and the item column, an array of
    (user, item) rows, a mapping of users to items, or, for a query of one user, a list
    of items. Items unknown to fit, and users who are not asked for, are left out. The
    times are None unless the table has the time column of fit.
    """
    of_one_user = items_of_one_user(history, query)
    if of_one_user is not None:
        codes = fitted.items.codes(_frames.list_as_array(of_one_user), "history")
        is_known = codes >= 0
        items = codes[is_known]
        rows = np.zeros(len(items), dtype=np.int64)
        times = None
    else:
        is_known, (rows, items, times) = _history_of_users(history, query, fitted)
    if len(query) and len(is_known) and len(rows) == 0:
        warn(
            f"history changes nothing: {is_known.sum()} of its {len(is_known)} items "
            "are known from fit, and none of these belongs to a requested user."
        )
    return rows, items, times


def items_of_one_user(history, query):
    """Return the list of items that a history holds for a query of one user, or None.

    None also for forms other than a list, or a dict of the user to a list.
    """
    if len(query) != 1:
        return None
    if isinstance(history, dict) and len(history) == 1:
        ((user, history),) = history.items()
        if type(user) not in (int, str) or user != query.ids[0]:
            return None
    if not isinstance(history, list | tuple):
        return None
    return history


def _history_of_users(history, query, fitted):
    """Return which items fit knows, bool (m,), and what `read_history` returns."""
    schema = fitted.schema
    order = None
    times = None
    if fitted.sequences is not None:
        order = "oldest first"
        history = _array_as_table(history, schema)
    owners, items, *_ = pairs_of(history, query, fitted, "history", order)
    if fitted.sequences is not None:
        times = _times_of_history(history, schema)
    codes = fitted.items.codes(items, "history")
    is_known = codes >= 0

    # The known events, sorted by user
    users = owners.unique()
    users_of_events = users.get_indexer(owners)[is_known]
    by_user = np.argsort(users_of_events, kind="stable")
    # the last one has no events: -1 stands for it
    user_numbers = np.arange(len(users) + 2)
    offsets = np.searchsorted(users_of_events[by_user], user_numbers)

    # Those of the users of the query
    rows_of_query = users.get_indexer(check_ids(query.ids, "X"))
    rows, places = places_of(offsets, rows_of_query)
    events = np.flatnonzero(is_known)[by_user[places]]
    if times is not None:
        times = times[events]
    return is_known, (rows, codes[events], times)


def _array_as_table(history, schema):
    """Return an array with the columns of fit as a table, other histories as they are.

    An array of two columns holds (user, item) rows in order.
    """
    if not isinstance(history, np.ndarray) or history.ndim != 2:
        return history
    if history.shape[1] == schema.n_columns:
        return array_with_names(history, "history", schema)
    if history.shape[1] > 2:
        raise ValueError(
            "history must be an array of (user, item) rows, oldest first, or of rows "
            f"with the {schema.n_columns} columns of fit. Got shape {history.shape}."
        )
    return history


def array_with_names(array, name, schema):
    """Return an array (m, n_columns) as a table with the names of fit."""
    frame = _frames.with_names(_frames.array_as_frame(array, name))
    if schema.names is not None:
        frame = frame.set_axis(schema.names, axis=1)
    return frame


def _times_of_history(history, schema):
    """Return the times (m,) of a table of events, or None for lists in order."""
    if not _frames.is_frame(history):
        return None
    frame = _frames.with_names(_frames.as_frame(history, "history"))
    if schema.time not in frame.columns:
        raise ValueError(
            f"history has no column {schema.time!r}, so its order is unknown. Pass the "
            "column, or a dict of users to lists of items, oldest first."
        )
    name = f"The time column {schema.time!r} of history"
    times, *_ = read_times(frame[schema.time], name, schema.time_kind)
    return times


def history_users(history, users):
    """Return the distinct users who occur in a ``history``."""
    if isinstance(history, Mapping):
        return _frames.list_as_array(history)
    if _frames.is_frame(history):
        frame = _frames.with_names(_frames.as_frame(history, "history"))
        if users.id_column in frame.columns:
            return check_ids(frame[users.id_column], "history").unique()
    elif isinstance(history, np.ndarray) and history.ndim == 2:
        return check_ids(history[:, 0], "history").unique()
    raise ValueError(
        "history does not name its users: pass the users as X, or a table with the "
        f"column {users.label!r}, or a dict of users to lists of items."
    )


def pairs_of(given, query, fitted, name, order=None):
    """Return users, an Index, and items, (n_pairs,) each, of pairs that were given."""
    users = fitted.users
    items = fitted.items
    owners, chosen, *_ = read_pairs(
        given,
        name,
        columns=(users.id_column, items.id_column),
        labels=(users.label, items.label),
        owners=query.ids,
        order=order,
    )
    return check_ids(owners, f"the users of {name}"), chosen
