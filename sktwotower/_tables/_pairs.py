"""Reading of user-item pairs in any form that a caller may pass.

Input: a dict of users to lists of items, a table, an array of (user, item) rows or, for
one user, a list of items.
Output: users (n_pairs,) and items (n_pairs,), and the users that are named.
"""

from collections.abc import Iterable, Mapping, Set
from typing import NamedTuple

import numpy as np

from ._frames import as_array, as_frame, is_frame, list_as_array, with_names
from ._messages import shorten


class Pairs(NamedTuple):
    """Users and items, one of each per pair, and the users that are named.

    ``named`` includes users without an item, and may name a user more than once.
    """

    users: object
    items: object
    named: object


def read_pairs(given, name, *, columns=None, labels=None, owners=(), order=None):
    """Return ``given`` as ``Pairs``, or raise an error that calls it by ``name``.

    ``columns`` : the user and the item column of a table, which ``labels`` call by the
    user's names; None: the first two. ``owners`` : the users asked for; a list of items
    is understood if it is one. ``order`` : what the order of lists means, such as "best
    first", so that sets and dicts of items are refused; None: nothing.
    """
    if is_frame(given):
        return _pairs_of_table(given, name, columns, labels or columns)
    if isinstance(given, Mapping):
        users = []
        items = []
        for user, items_of_user in given.items():
            if not _is_list(items_of_user, order):
                wanted = f", {order}" if order else ""
                raise TypeError(
                    f"{name} must hold a list of items for each user{wanted}. Got "
                    f"{shorten(items_of_user)} for {user!r}."
                )
            # an iterator would be empty when it is read again
            items_of_user = list(as_array(items_of_user))
            users += [user] * len(items_of_user)
            items += items_of_user
        return Pairs(users, list_as_array(items), list(given))
    if isinstance(given, np.ndarray) and given.ndim == 2 and given.shape[1] >= 2:
        return Pairs(given[:, 0], given[:, 1], given[:, 0])
    if len(owners) > 1 and len(set(owners)) == 1:  # one user in several rows
        owners = owners[:1]
    if len(owners) == 1 and _is_list(given, order):
        items = list_as_array(as_array(given))
        return Pairs(np.repeat(np.asarray(owners), len(items)), items, owners)
    raise TypeError(
        f"{name} must be a table of events, an array of (user, item) rows, a dict of "
        "users to lists of items or, for a single user, a list of items. Got "
        f"{type(given).__name__}."
    )


def _is_list(values, order):
    """Return whether values can be iterated over, in their order if it matters."""
    if isinstance(values, str | bytes):
        return False
    if order and isinstance(values, Set | Mapping):
        return False
    if getattr(values, "ndim", 1) == 0:  # arrays without an axis are iterable
        return False
    return isinstance(values, Iterable)


def _pairs_of_table(table, name, columns, labels):
    """Return the two columns of a table as ``Pairs``."""
    frame = with_names(as_frame(table, name))
    if columns is None:
        if frame.shape[1] < 2:
            raise ValueError(
                f"{name} must have a column of users and one of items, in this order. "
                f"Got the columns {list(frame.columns)}."
            )
        columns = frame.columns[:2]
        labels = columns
    for column, label in zip(columns, labels, strict=True):
        if column not in frame.columns:
            raise ValueError(
                f"{name} has no column {label!r}. It must hold pairs: {labels[0]!r} "
                f"and {labels[1]!r}."
            )
    user_column, item_column = columns
    users = frame[user_column]
    return Pairs(users, frame[item_column], users)
