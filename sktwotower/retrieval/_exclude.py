"""Reading of pairs of user and item that a request leaves out.

Input: pairs as a table, an array of rows, a dict or a list, and a ``Query`` of n users.
Output: CSR (n, n_items), nonzero where an item must not be recommended to a user.
"""

import numpy as np

from sktwotower._tables._ids import check_ids, known_positions
from sktwotower._tables._pairs import read_pairs
from sktwotower._tables._sparse import pair_matrix, take_rows

__all__ = ["read_exclude"]


def read_exclude(exclude, query, fitted):
    """Return ones (n, len(items)) for the pairs of ``exclude``, or None for None.

    ``query``: the n users asked for. ``exclude``: a table with the user and the item
    column of fit, an array of (user, item) rows, a dict of users to items or, for a
    query of one user, a list of items. Pairs of other users or of items unknown to fit
    change nothing.
    """
    if exclude is None:
        return None
    users, items = fitted.users, fitted.items
    pairs = read_pairs(
        exclude,
        "exclude",
        columns=(users.id_column, items.id_column),
        labels=(users.label, items.label),
        owners=query.ids,
    )
    owners = check_ids(pairs.users, "the users of exclude")
    asked = check_ids(query.ids, "X")
    places = known_positions(
        owners, asked.unique(), "the users of exclude", "the users asked for"
    )
    mine = np.flatnonzero(places >= 0)
    codes = np.zeros(0, dtype=np.int64)
    if len(owners):
        codes = items.codes(pairs.items, "the items of exclude")[mine]
    known, mine = codes >= 0, places[mine]
    matrix = pair_matrix(
        mine[known],
        codes[known],
        np.ones(known.sum()),
        (len(asked.unique()), len(items)),
    )
    return take_rows(matrix.sign(), asked.unique().get_indexer(asked))
