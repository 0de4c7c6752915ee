"""How much each feature of a context counts, by what it says of others' choices.

Input: feature rows of the contexts of events, CSR (n, p), and who chose what.
Output: shares (p,) of the features, in [0, 1].
"""

import numpy as np
from scipy import sparse

# Number of users of a feature from which on it counts by more than a half, if its
# column says nothing of the choices of others: then what few users say is noise.
USERS = 400
# Number of standard errors from which on two halves of the users agree.
SIGNIFICANT = 2.0


def context_shares(rows, users, items, blocks):
    r"""Return the share of each feature of contexts.

    Parameters
    ----------
    rows : CSR matrix of shape (n, p)
        Feature rows of the contexts of n events.
    users, items : int arrays of shape (n,)
        Who chose what.
    blocks : list of int arrays
        Positions of the features that belong to each column.

    Returns
    -------
    float32 array of shape (p,)
        1 for the features of columns that say something of what others choose, and for
        those of no block. Otherwise n / (n + 400) for a feature of n users.

    Notes
    -----
    Users are divided into two halves. In half h, :math:`p_{hfi}` is the share of item i
    among the events that have the feature f, and :math:`q_{hi}` among all events with a
    feature of the column. A column says something if

    .. math::
        \sum_i t_i, \quad t_i = \frac{1}{q_i} \sum_f w_f (p_{1fi} - q_{1i})
        (p_{2fi} - q_{2i})

    is more than two of its standard errors above zero: both halves then prefer the same
    items in the same contexts. The weights :math:`w_f` are the geometric means of the
    numbers of events in both halves. The standard error is :math:`(\sum_i t_i^2)^{1/2}`
    or, as that is too large if there are only a few items,

    .. math::
        \Bigl( (I - 1) \sum_f c_{1f} c_{2f} \Bigr)^{1/2}, \quad
        c_{hf} = \sum_u n_{hfu}^2 \Bigm/ \sum_u n_{hfu}

    if that is less. It is the one of noise, with I items, as if all :math:`n_{hfu}`
    events of a user in one context were of one item.
    """
    shares = np.ones(rows.shape[1], dtype=np.float32)
    rng = np.random.default_rng(0)
    in_first_half = rng.random(users.max(initial=0) + 1) < 0.5
    ones = np.ones(len(users), dtype=np.float32)
    of_users = sparse.csr_matrix((ones, (users, np.arange(len(users)))))
    n_users = (of_users @ abs(rows)).getnnz(axis=0)
    for block in blocks:
        column = rows[:, block].tocsr()
        known = np.flatnonzero(np.diff(column.indptr))
        column = column[known]
        repeats = _repeats(of_users[:, known] @ (column != 0), in_first_half)
        if not _agree(column, in_first_half[users[known]], items[known], repeats):
            shares[block] = n_users[block] / (n_users[block] + USERS)
    return shares


def _repeats(counts, in_first_half):
    """Return the sum of products of two halves, of how often users repeat a context.

    ``counts``: the number of events of users with features, CSR (n_users, n).
    """
    of_halves = []
    for is_in_half in (in_first_half, ~in_first_half):
        of_half = sparse.csr_matrix(counts[np.flatnonzero(is_in_half)], dtype=float)
        totals = np.asarray(of_half.sum(axis=0)).ravel()
        squares = np.asarray(of_half.multiply(of_half).sum(axis=0)).ravel()
        of_halves.append(squares / np.maximum(totals, 1))
    return of_halves[0] @ of_halves[1]


def _agree(rows, in_first_half, items, repeats):
    """Return whether both halves of users agree on a column; see `context_shares`."""
    first = _counts(rows, items, in_first_half)
    second = _counts(rows, items, ~in_first_half)
    n_first = np.asarray(first.sum(axis=1)).ravel()
    n_second = np.asarray(second.sum(axis=1)).ravel()
    weights = np.sqrt(n_first * n_second)
    if not weights.any():
        return False

    # Shares of items, given a feature and of all events
    given_first = sparse.diags(1 / np.maximum(n_first, 1)) @ first
    given_second = sparse.diags(1 / np.maximum(n_second, 1)) @ second
    of_first = np.asarray(first.sum(axis=0)).ravel() / max(first.sum(), 1)
    of_second = np.asarray(second.sum(axis=0)).ravel() / max(second.sum(), 1)

    # Sums over features of products of what differs in both halves, multiplied out
    products = weights @ given_first.multiply(given_second)
    products = products - of_first * (weights @ given_second)
    products = products - of_second * (weights @ given_first)
    products = products + weights.sum() * of_first * of_second
    sum_of_shares = of_first + of_second
    terms = products / np.maximum(sum_of_shares, 1e-12)
    n_items = np.count_nonzero(sum_of_shares)

    # each term is divided by the sum of two shares of an item: twice their mean
    of_noise = np.sqrt((n_items - 1) * repeats) / 2
    standard_error = min(np.sqrt((terms**2).sum()), of_noise)
    return terms.sum() > SIGNIFICANT * standard_error


def _counts(rows, items, is_chosen):
    """Return how many of the chosen events (n,) have a feature and an item, CSR."""
    n_events = int(is_chosen.sum())
    n_items = items.max(initial=0) + 1
    entries = (np.ones(n_events), items[is_chosen], np.arange(n_events + 1))
    of_items = sparse.csr_matrix(entries, shape=(n_events, n_items))
    has_feature = (rows[is_chosen] != 0).astype(float)
    return sparse.csr_matrix(has_feature.T @ of_items)
