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
        return _pairs_of_dict(given, name, order)
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
    unfit = (str, bytes, Set, Mapping) if order else (str, bytes)
    no_scalar = getattr(values, "ndim", 1) != 0  # arrays without an axis are iterable
    return no_scalar and isinstance(values, Iterable) and not isinstance(values, unfit)


def _pairs_of_table(table, name, columns, labels):
    """Return the two columns of a table as ``Pairs``."""
    frame = with_names(as_frame(table, name))
    if columns is None:
        if frame.shape[1] < 2:
            expected = "a column of users and one of items, in this order"
            got = f"Got the columns {list(frame.columns)}."
            raise ValueError(f"{name} must have {expected}. {got}")
        columns = labels = frame.columns[:2]
    for column, label in zip(columns, labels, strict=True):
        if column not in frame.columns:
            remedy = f"It must hold pairs: {labels[0]!r} and {labels[1]!r}."
            raise ValueError(f"{name} has no column {label!r}. {remedy}")
    users, items = (frame[column] for column in columns)
    return Pairs(users, items, users)


def _pairs_of_dict(given, name, order):
    """Return a dict of users to lists of items as ``Pairs``."""
    for user, items in given.items():
        if not _is_list(items, order):
            wanted = f", {order}" if order else ""
            expected = f"a list of items for each user{wanted}"
            got = f"Got {shorten(items)} for {user!r}."
            raise TypeError(f"{name} must hold {expected}. {got}")
    # an iterator would be empty when it is read again
    lists = [list(as_array(items)) for items in given.values()]
    users = [user for user, items in zip(given, lists, strict=True) for _ in items]
    items = list_as_array(item for items in lists for item in items)
    return Pairs(users, items, list(given))
