"""Which process holds which users, and which rows of the tables of weights.

Input: ids of users, feature rows of users (n, p), and a number of processes.
Output: a ``Division`` of the columns of each side; a part with its rows only.
"""

import numpy as np
import pandas as pd

from sktwotower._tables._sparse import id_columns

from ._group import current_group, rank


def owners_of_users(ids, size):
    """Return the process (n,) of each user, by a hash of the id."""
    hashed = pd.util.hash_pandas_object(pd.Index(ids), index=False)
    return (hashed.to_numpy() % np.uint64(size)).astype(np.int32)


class Division:
    """Which of some processes holds each of the columns of a side.

    A column is a row of a table. Column i is of process i modulo ``size``, unless
    ``owners`` (p,) are given.
    """

    def __init__(self, n_columns, size, owners=None):
        if owners is None:
            owners = np.arange(n_columns) % size
        self.n_columns = n_columns
        self.size = size
        self.owners = owners
        self.places = pd.Series(owners).groupby(owners).cumcount().to_numpy()

    def of(self, rank):
        """Return the columns (m,) of a process, ascending."""
        return np.flatnonzero(self.owners == rank)

    def places_of(self, columns):
        """Return the process of columns (m,), and their places in its table."""
        return self.owners[columns], self.places[columns]


def divisions(users, items, n_context):
    """Return the ``Division`` of each side, a dict; None without other processes.

    The ids of a user are columns of the process that has the user, all other columns
    are divided evenly. ``users`` and ``items``: ``Entities``. ``n_context``: number of
    columns of contexts.
    """
    group = current_group()
    if group is None:
        return None
    rows = users.rows[:-1]
    n_columns = rows.shape[1]
    owners = (np.arange(n_columns) % group.size).astype(np.int32)
    # Each id has one entry: its column is of the process that has its user.
    are_ids = id_columns(rows)
    owners_of_rows = owners_of_users(users.ids, group.size)
    owners_of_entries = np.repeat(owners_of_rows, np.diff(rows.indptr))
    is_id_entry = are_ids[rows.indices]
    owners[rows.indices[is_id_entry]] = owners_of_entries[is_id_entry]
    return {
        "user": Division(n_columns, group.size, owners),
        "item": Division(items.rows.shape[1], group.size),
        "context": Division(n_context, group.size),
    }


def keep_own_rows(part, divided):
    """Let a part of all rows, and its moments, keep those of this process, in place.

    Training may then go on by an ``Exchange``, whose ``gather`` does the opposite.
    ``divided``: the ``divisions``; None: there are no other processes.
    """
    if divided is None:
        return
    for name, side in part.tables.items():
        columns = divided[side].of(rank())
        layer = part.get_submodule(name)
        layer.weight.data = layer.weight.data[columns]
        moments = part.moments.get(f"{name}.weight", {})
        for key, rows in moments.items():
            moments[key] = rows[columns]
    part.divisions = divided
