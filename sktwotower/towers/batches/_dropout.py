"""How often ids and other features are hidden in training.

Input: feature rows of users or items, CSR (n, p), and who chose what.
Output: the same rows with some entries removed.
"""

import numpy as np
from scipy import sparse

from sktwotower._tables._sparse import id_columns

# Number of events for which an id is hidden exactly as often as id_dropout says.
EVENTS_OF_ID_DROPOUT = 10


def id_shares(id_dropout, n_events, worth=1.0) -> np.ndarray:
    r"""Compute how often the id of each user or item is hidden in training.

    Ids with many events are hidden rarely. For ids with few events the towers learn to
    rely on the other features.

    Parameters
    ----------
    id_dropout : float
        Probability for a user or item with ten events, in [0, 1].
    n_events : int array of shape (n,)
        Number of events of each user or item. 0 counts as 1.
    worth : float, default=1.0
        Factor of the odds, in (0, 1]: how much the other features say.

    Returns
    -------
    float64 ndarray of shape (n,)
        Probability that the id is hidden, in [0, 1].

    Notes
    -----
    The probability is

    .. math:: p = \frac{10 w d}{10 w d + n (1 - d)}

    for ``id_dropout`` :math:`d`, :math:`n` events and the ``worth`` :math:`w`. With
    :math:`w = 1`, :math:`p = d` for ten events; the odds :math:`p / (1 - p)` are
    proportional to :math:`w / n`.

    Examples
    --------
    >>> from sktwotower.towers import id_shares
    >>> id_shares(0.5, [1, 10, 90]).round(2)
    array([0.91, 0.5 , 0.1 ])
    >>> id_shares(0.5, [1, 10, 90], worth=0.1).round(2)
    array([0.5 , 0.09, 0.01])
    """
    n_events = np.maximum(n_events, 1)
    weight = EVENTS_OF_ID_DROPOUT * worth * id_dropout
    return weight / (weight + n_events * (1 - id_dropout))


class FeatureDropout:
    """Hide ids, and some of the other features, of rows in training.

    A column with a single nonzero row is that row's *id*: no other row can learn from
    it. Users and items unknown to fit have no id, so the towers must learn to use the
    other features without it.

    Parameters
    ----------
    matrix : CSR matrix of shape (n, p)
        Feature rows of all users or items.
    id_shares : array of shape (n,)
        Probability that a row's ids are hidden, in [0, 1]. They are never hidden from a
        row without other features.
    feature_dropout : float, default=0.0
        Probability that any other entry is hidden, in [0, 1).
    row_dropout : float, default=0.0
        Probability that a whole row is hidden, in [0, 1].

    Attributes
    ----------
    hides : bool
        Whether anything is ever hidden.

    References
    ----------
    Volkovs et al., DropoutNet: Addressing Cold Start in Recommender Systems,
    NeurIPS 2017.

    Examples
    --------
    >>> import numpy as np
    >>> from scipy import sparse
    >>> from sktwotower.towers.batches._dropout import FeatureDropout
    >>> rows = sparse.csr_matrix([[1.0, 0.0, 1.0], [0.0, 1.0, 1.0]])
    >>> without_ids = FeatureDropout(rows, id_shares=np.ones(2))
    >>> without_ids.draw(np.array([1]), np.random.default_rng(0)).toarray()
    array([[0., 0., 1.]])
    """

    def __init__(self, matrix, id_shares, feature_dropout=0.0, row_dropout=0.0):
        self.matrix = matrix
        self.is_id = id_columns(matrix)
        self.id_shares = id_shares
        self.row_dropout = row_dropout
        self.feature_dropout = feature_dropout
        has_others = matrix.nnz > self.is_id.sum()
        hides_ids = has_others and self.is_id.any() and np.any(id_shares)
        hides_others = has_others and feature_dropout > 0
        self.hides = bool(hides_ids or hides_others or row_dropout > 0)

    def draw(self, positions, rng):
        """Return the rows at positions (m,), with some entries hidden, CSR (m, p)."""
        rows = self.matrix[positions]
        if not self.hides:
            return rows
        n_rows = rows.shape[0]
        row_of_entry = np.repeat(np.arange(n_rows), np.diff(rows.indptr))
        is_id = self.is_id[rows.indices]
        hides_id = rng.random(n_rows) < self.id_shares[positions]
        hides_id &= np.bincount(row_of_entry[~is_id], minlength=n_rows) > 0
        is_hidden = is_id & hides_id[row_of_entry]
        if self.feature_dropout:
            is_hidden |= ~is_id & (rng.random(len(is_id)) < self.feature_dropout)
        if self.row_dropout:
            hides_row = rng.random(n_rows) < self.row_dropout
            is_hidden |= hides_row[row_of_entry]
        return entries_of(rows, ~is_hidden)


def entries_of(matrix, kept):
    """Return a CSR matrix with those of its entries that are ``kept`` (nnz,)."""
    n_kept_before = np.append(0, np.cumsum(kept))
    offsets = n_kept_before[matrix.indptr]
    arrays = (matrix.data[kept], matrix.indices[kept], offsets)
    return sparse.csr_matrix(arrays, shape=matrix.shape)


# Fewer events say too little: ids are hidden as often as id_dropout says.
MIN_EVENTS = 1_000
# Number of events that are drawn, to see what features say.
N_SAMPLED = 2_000
# AUC up to which features are of little worth, from which on they are worth all.
# Measured: users' attributes .55 to .67, categories of videos, titles and genres of
# films .62 to .70, attributes of products .72, words of products .77, tags of artists
# .83, words of articles .87. Chosen on parts of train, of Last.FM, MovieLens 100K and
# latest, and of Online Retail, with products withheld.
LOW = 0.7
HIGH = 0.8
# New users and items have nothing else, so that ids are always hidden now and then.
MIN_WORTH = 0.02


def features_worth(chosen, rows):
    r"""Return the factor, in [0, 1], of the odds that ids of ``rows`` are hidden.

    Hiding ids teaches the towers to do without. It costs known items, and the more so
    the less their features say: a rare film would be placed with all other dramas. Each
    of several processes judges by the events of its own users.

    Parameters
    ----------
    chosen : CSR matrix of shape (n_users, n)
        Nonzero: the user chose the item. For user features its transpose.
    rows : CSR matrix of shape (n, q)
        Feature rows of the items.

    Returns
    -------
    float
        1 with fewer than 1,000 events or without shared columns. Otherwise 0.02 for a
        `profile_auc` up to 0.7, 1 from 0.8 on, and between them a number whose
        logarithm is linear in it.
    """
    if chosen.nnz < MIN_EVENTS or not has_shared_columns(rows):
        return 1.0
    shared = np.flatnonzero(~id_columns(rows))
    auc = profile_auc(chosen, rows[:, shared])
    share_of_way = np.clip((auc - LOW) / (HIGH - LOW), 0, 1)
    return float(MIN_WORTH ** (1 - share_of_way))


def has_shared_columns(rows):
    """Return whether rows, CSR (n, q), have ids and other features as well."""
    shared = ~id_columns(rows)
    return not shared.all() and bool(shared[rows.indices].any())


def profile_auc(chosen, features):
    r"""Return how often a user's profile prefers a chosen item to another one.

    A profile is the sum of the feature rows of the other items that the user chose. It
    is compared by dot product, columns weighted by log(n / df)^2 for the df rows that
    have them, with the item chosen and with the item of an event of anyone. So popular
    items are on both sides alike.

    Parameters
    ----------
    chosen : CSR matrix of shape (n_users, n)
        Nonzero: the user chose the item.
    features : CSR matrix of shape (n, q)
        Feature rows of the items.

    Returns
    -------
    float
        In [0, 1]; 0.5 if features say nothing, or if there is nothing to compare.
    """
    rng = np.random.default_rng(0)
    n_items, n_features = features.shape
    n_items_with = np.bincount(features.indices, minlength=n_features)
    weights = np.log(n_items / np.maximum(n_items_with, 1))
    weighted = sparse.csr_matrix(features @ sparse.diags(weights))

    # Events, each with the item of an event of anyone
    users = np.repeat(np.arange(chosen.shape[0]), np.diff(chosen.indptr))
    drawn = rng.integers(chosen.nnz, size=N_SAMPLED)
    others = chosen.indices[rng.integers(chosen.nnz, size=N_SAMPLED)]

    pasts = chosen[users[drawn]].sign()
    of_chosen = weighted[chosen.indices[drawn]]
    profiles = pasts @ weighted - of_chosen
    difference = _dots(profiles, of_chosen) - _dots(profiles, weighted[others])
    was_chosen = np.asarray(pasts[np.arange(N_SAMPLED), others]).ravel() > 0
    difference = difference[~was_chosen]
    if len(difference) == 0:
        return 0.5
    is_preferred = difference > 0
    is_tied = difference == 0
    return float(np.mean(is_preferred + 0.5 * is_tied))


def _dots(left, right):
    """Return the dot products (n,) of the rows of two CSR matrices (n, q)."""
    return np.asarray(left.multiply(right).sum(axis=1)).ravel()
