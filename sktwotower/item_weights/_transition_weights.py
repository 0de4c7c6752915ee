"""A ridge regression of the next item on the items before it, in closed form.

Input: the past of each user, CSR (n_users, n_items) of lags, or of ones.
Output: weights of past items, dense (n_items, n_items).

With a row of D for the past before each event, and a 0/1 row of Y for its own item, the
weights are :math:`(D^T D + l2 I)^{-1} D^T Y`.
"""

import numpy as np
from scipy import sparse

from sktwotower._tables._sequences import starts
from sktwotower._tables._sparse import rows_of_entries

from ._inverse import ridge_inverse
from ._largest import blocks_of_items

# Events whose pasts are held at once.
N_EVENTS_AT_ONCE = 100_000
# Products of sparse targets are slower than dense ones from such a share of entries on.
DENSE_SHARE = 1 / 30
# Bytes per pair of items: the matrix that is inverted, targets, weights.
BYTES_OF_PAIR_OF_ITEMS = 16
# Seconds of one core of an AMD EPYC per cube and per square of the number of items.
SECONDS_OF_CUBE = 2.5e-11
SECONDS_OF_SQUARE = 5e-8


def seconds_of_transitions(n_items):
    """Return about how many seconds of one core the inversion takes."""
    return SECONDS_OF_CUBE * n_items**3 + SECONDS_OF_SQUARE * n_items**2


def bytes_of_transitions(n_items):
    """Return about how many bytes `transition_weights` takes at its peak."""
    return BYTES_OF_PAIR_OF_ITEMS * n_items**2


def decayed(lags, decay, n_last=None) -> sparse.csr_matrix:
    """Return the weight of each past item once, CSR (n, n_items).

    It is :math:`e^{-(l - 1) / decay}` of its latest lag l. ``lags``: CSR (n, n_items),
    as in `Sequences`; an item may occur more than once. ``n_last``: items of higher
    lags do not count; None: all do.
    """
    n_items = lags.shape[1]
    rows = rows_of_entries(lags)
    # rows begin with the oldest event: from the end, the first of an item is its latest
    pairs = (rows * n_items + lags.indices)[::-1]
    pairs, latest = np.unique(pairs, return_index=True)
    lag = lags.data[::-1][latest]
    weights = np.exp((1 - lag) / np.float32(decay))
    if n_last is not None:
        counts = lag <= n_last
        pairs = pairs[counts]
        weights = weights[counts]
    return sparse.csr_matrix((weights, np.divmod(pairs, n_items)), lags.shape)


def transition_weights(lags, decay, n_last, l2) -> np.ndarray:
    """Return the weights of past items for the next one, float32 (n_items, n_items).

    Parameters
    ----------
    lags : CSR of shape (n_users, n_items)
        The events of each user, as in `Sequences`: all those that have others before
        them are to be predicted. Events of one basket do not predict each other.
    decay : float
        Number of baskets back after which a past item counts 1/e.
    n_last : int
        Number of baskets that count.
    l2 : float
        Weight of the squared weights.
    """
    n_users, n_items = lags.shape
    gram = np.zeros((n_items, n_items), dtype=np.float32, order="F")
    targets = sparse.csr_matrix((n_items, n_items), dtype=np.float32)
    n_blocks = max(1, -(-lags.nnz // N_EVENTS_AT_ONCE))
    for users in np.array_split(np.arange(n_users), min(n_blocks, n_users)):
        past, following = _baskets(lags[users], n_last)
        past = decayed(past, decay)
        n_following = np.diff(following.indptr).astype(np.float32)
        products = (past.T @ sparse.diags(n_following) @ past).tocoo()
        gram[products.row, products.col] += products.data
        targets += past.T @ following
    return _solution(gram, targets, l2)


def weights_of_others(seen, l2) -> np.ndarray:
    """Return the same where no order is known, float32 (n_items, n_items).

    The past before an event is then all other items of the user. ``seen``: CSR
    (n_users, n_items) of ones.
    """
    n_items_of_user = np.diff(seen.indptr)
    together = (seen.T @ seen).tocsr()
    n_users_of_item = together.diagonal()
    targets = together - sparse.diags(n_users_of_item)
    # the sum of (x - e) (x - e)^T over the items e of each user x
    gram = seen.T @ sparse.diags(n_items_of_user - 2.0) @ seen
    gram += sparse.diags(n_users_of_item)
    gram = gram.astype(np.float32).toarray(order="F")
    return _solution(gram, targets.astype(np.float32).tocsr(), l2)


def _baskets(lags, n_last):
    """Return the lags of the past before baskets, and the items in them, as CSR.

    Both have a row for each basket that has others before it. Lags are counted from
    this basket on, up to ``n_last``.
    """
    n_items = lags.shape[1]
    users = rows_of_entries(lags)
    first_events = np.flatnonzero(starts(users, lags.data))
    basket_ends = np.append(first_events[1:], lags.nnz)
    user_of_basket = users[first_events]
    first_basket = np.searchsorted(user_of_basket, user_of_basket)
    n_before = np.arange(len(first_events)) - first_basket
    baskets = np.flatnonzero(n_before > 0)

    oldest_basket = baskets - np.minimum(n_before[baskets], n_last)
    sizes = first_events[baskets] - first_events[oldest_basket]
    past_offsets = np.append(0, np.cumsum(sizes))
    past_events = _ranges(first_events[oldest_basket], sizes)
    lags_of_baskets = np.repeat(lags.data[first_events[baskets]], sizes)
    past_lags = lags.data[past_events] - lags_of_baskets
    shape = (len(baskets), n_items)
    entries = (past_lags, lags.indices[past_events], past_offsets)
    past = sparse.csr_matrix(entries, shape)

    sizes = basket_ends[baskets] - first_events[baskets]
    items = lags.indices[_ranges(first_events[baskets], sizes)]
    offsets = np.append(0, np.cumsum(sizes))
    ones = np.ones(len(items), dtype=np.float32)
    return past, sparse.csr_matrix((ones, items, offsets), shape)


def _ranges(first, sizes):
    """Return the numbers from each of ``first`` (n,) on, ``sizes`` (n,) of them."""
    offsets = np.cumsum(sizes) - sizes
    return np.arange(sizes.sum()) + np.repeat(first - offsets, sizes)


def _solution(gram, targets, l2):
    """Return ``(gram + l2 I)^-1 targets``, float32 (n_items, n_items).

    ``gram``: float32, in Fortran order; it is overwritten. ``targets``: CSR.
    """
    n_items = len(gram)
    transposed = targets.T.tocsr()
    if targets.nnz > DENSE_SHARE * n_items**2:
        transposed = transposed.toarray()
    inverse = ridge_inverse(gram, l2)
    weights = np.empty((n_items, n_items), dtype=np.float32)
    for block in blocks_of_items(n_items):
        weights[block] = (transposed @ inverse[:, block]).T
    return weights
