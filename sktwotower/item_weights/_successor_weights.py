"""Weights of the items that follow a past item in the order of time.

Input: the past of users in order, CSR (n_users, n_items) of lags.
Output: weights of past items, CSR (n_items, n_items).
"""

import numpy as np
from scipy import sparse

from sktwotower._tables._sequences import starts
from sktwotower._tables._sparse import rows_of_entries

from ._largest import largest_of_sparse

# Past events that are looked at before each basket.
WINDOW = 20


def successor_weights(lags, decay, n_kept) -> sparse.csr_matrix:
    r"""Return the ``n_kept`` largest weights of successors of each past item, as CSR.

    With :math:`n_j` events of item j it is :math:`W_ji = n_j^{-1/2} \sum e^{-(g - 1) /
    d}`, over all pairs of an event of j and a later one of i by the same user, of which
    no more than 20 events lie between the first and the basket of the second; g is the
    number of baskets from one to the other. The weight of j for itself is left out.

    Parameters
    ----------
    lags : CSR matrix of shape (n_users, n_items)
        As of ``Sequences``: one entry per event, oldest first.
    decay : float
        The d of the formula, > 0.
    n_kept : int
    """
    items = lags.indices
    n_items = lags.shape[1]
    users = rows_of_entries(lags)
    starts_basket = starts(users, lags.data)
    basket_starts = np.flatnonzero(starts_basket)
    first_of_user = lags.indptr[users[basket_starts]]

    # Weights of the events before each basket, one place back after the other.
    rows = []
    columns = []
    weights = []
    for n_before in range(1, WINDOW + 1):
        events = basket_starts - n_before
        baskets = np.flatnonzero(events >= first_of_user)
        events = events[baskets]
        n_baskets = lags.data[events] - lags.data[basket_starts[baskets]]
        rows.append(baskets)
        columns.append(items[events])
        weights.append(np.exp((1 - n_baskets.astype(float)) / decay))
    before = _matrix(rows, columns, weights, (len(basket_starts), n_items))

    # What each basket holds, and so what follows each past item.
    basket_of_event = np.cumsum(starts_basket) - 1
    chosen = _matrix([basket_of_event], [items], [np.ones(len(items))], before.shape)
    following = (before.T.tocsr() @ chosen).tocsr()
    following.sort_indices()
    n_of_item = np.bincount(items, minlength=n_items)
    past_items = rows_of_entries(following)
    following.data /= np.sqrt(n_of_item[past_items]).astype(np.float32)
    following.data[past_items == following.indices] = 0
    return largest_of_sparse(following, n_kept)


def _matrix(rows, columns, values, shape):
    """Return the CSR matrix of entries in several arrays each; equal ones are added."""
    entries = np.concatenate(values).astype(np.float32)
    positions = (np.concatenate(rows), np.concatenate(columns))
    return sparse.csr_matrix((entries, positions), shape=shape)
