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
    half = np.random.default_rng(0).random(users.max(initial=0) + 1) < 0.5
    ones = np.ones(len(users), dtype=np.float32)
    of_users = sparse.csr_matrix((ones, (users, np.arange(len(users)))))
    n_users = (of_users @ abs(rows)).getnnz(axis=0)
    for block in blocks:
        own = rows[:, block].tocsr()
        known = np.flatnonzero(np.diff(own.indptr))
        repeats = _repeats(of_users[:, known] @ (own[known] != 0), half)
        if not _agree(own[known], half[users[known]], items[known], repeats):
            shares[block] = n_users[block] / (n_users[block] + USERS)
    return shares


def _repeats(counts, half):
    """Return the sum of products of two halves, of how often users repeat a context.

    ``counts``: the number of events of users with features, CSR (n_users, n).
    """
    both = []
    for side in (half, ~half):
        own = sparse.csr_matrix(counts[np.flatnonzero(side)], dtype=float)
        totals = np.asarray(own.sum(axis=0)).ravel()
        squares = np.asarray(own.multiply(own).sum(axis=0)).ravel()
        both.append(squares / np.maximum(totals, 1))
    return both[0] @ both[1]


def _agree(rows, half, items, repeats):
    """Return whether both halves of users agree on a column; see `context_shares`."""
    of_half = [_counts(rows, items, side) for side in (half, ~half)]
    totals = [np.asarray(counts.sum(axis=1)).ravel() for counts in of_half]
    weights = np.sqrt(totals[0] * totals[1])
    if not weights.any():
        return False
    pairs = zip(of_half, totals, strict=True)
    shares = [sparse.diags(1 / np.maximum(total, 1)) @ each for each, total in pairs]
    of_all = [np.asarray(c.sum(axis=0)).ravel() / max(c.sum(), 1) for c in of_half]
    first, second = (weights @ each for each in shares)
    both = weights @ shares[0].multiply(shares[1])
    both = both - of_all[0] * second - of_all[1] * first
    both = both + weights.sum() * of_all[0] * of_all[1]
    terms = both / np.maximum(of_all[0] + of_all[1], 1e-12)
    n_items = np.count_nonzero(of_all[0] + of_all[1])
    # each term is divided by the sum of two shares of an item: twice their mean
    of_noise = np.sqrt((n_items - 1) * repeats) / 2
    return terms.sum() > SIGNIFICANT * min(np.sqrt((terms**2).sum()), of_noise)


def _counts(rows, items, chosen):
    """Return how many of the ``chosen`` events (n,) have a feature and an item, CSR."""
    n_events, n_items = int(chosen.sum()), items.max(initial=0) + 1
    entries = np.ones(n_events), items[chosen], np.arange(n_events + 1)
    of_items = sparse.csr_matrix(entries, shape=(n_events, n_items))
    return sparse.csr_matrix((rows[chosen] != 0).astype(float).T @ of_items)
