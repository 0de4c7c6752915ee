"""Enters: feature rows of users or items, as CSR (n, p).

Leaves: the same rows with some entries hidden, so that a tower learns to do without.
Next: sampling.py, which draws batches of such rows.
"""

import numpy as np
from scipy import sparse

__all__ = ["FeatureDropout", "id_columns", "id_shares"]

# With so many events an id is hidden in the share that is asked for.
EVENTS_OF_SHARE = 10


def id_shares(id_dropout, n_events):
    r"""Return how often the id of a user or an item with n events is to be hidden.

    Parameters
    ----------
    id_dropout : float
        Share for ten events, in [0, 1].
    n_events : int array of shape (n,)
        Number of events of each.

    Returns
    -------
    ndarray of shape (n,)
        :math:`p = 10 d / (10 d + n (1 - d))` for ``id_dropout`` d and n events: the
        odds fall as 1 / n, for an id of many events is to be trusted, and one of few to
        be shrunk towards what the features say. 0 everywhere for d = 0.

    Examples
    --------
    >>> from sktwotower.towers import id_shares
    >>> id_shares(0.5, [1, 10, 90]).round(2)
    array([0.91, 0.5 , 0.1 ])
    """
    n_events = np.maximum(n_events, 1)
    most = EVENTS_OF_SHARE * id_dropout
    return most / (most + n_events * (1 - id_dropout))


def id_columns(matrix):
    """Return which columns (p,) of a CSR matrix one row alone has a value in."""
    return np.bincount(matrix.indices, minlength=matrix.shape[1]) == 1


class FeatureDropout:
    """Hide ids, and some of the other features, of rows in training.

    A column that one row alone has a value in tells what no other row can learn from:
    that row's *id*, whatever transformer has made it. An item unknown to fit comes
    without, and so does a user; a tower that has seen rows without ids in training
    knows what to make of the rest (Volkovs et al., DropoutNet, NeurIPS 2017).

    Parameters
    ----------
    matrix : CSR matrix of shape (n, p)
        All rows that there are.
    id_shares : array of shape (n,)
        How often each row loses its ids, in [0, 1]. One that holds nothing else keeps
        them.
    feature_dropout : float, default=0.0
        Share of the other entries that are lost, in [0, 1).
    row_dropout : float, default=0.0
        Share of the rows that lose all that they hold, in [0, 1].

    Attributes
    ----------
    hides : bool
        Whether there is anything to hide.

    Examples
    --------
    >>> import numpy as np
    >>> from scipy import sparse
    >>> from sktwotower.towers._dropout import FeatureDropout
    >>> rows = sparse.csr_matrix([[1.0, 0.0, 1.0], [0.0, 1.0, 1.0]])
    >>> without_ids = FeatureDropout(rows, id_shares=np.ones(2))
    >>> without_ids.draw(np.array([1]), np.random.default_rng(0)).toarray()
    array([[0., 0., 1.]])
    """

    def __init__(self, matrix, id_shares, feature_dropout=0.0, row_dropout=0.0):
        self.matrix = matrix
        self.is_id = id_columns(matrix)
        others = matrix.nnz > self.is_id.sum()
        self.id_shares = id_shares
        self.feature_dropout = feature_dropout
        hides_ids = self.is_id.any() and np.any(id_shares) and others
        self.row_dropout = row_dropout
        self.hides = bool(hides_ids or (others and feature_dropout) or row_dropout)

    def draw(self, positions, rng):
        """Return the rows at positions (m,), CSR (m, p), with less in them."""
        rows = self.matrix[positions]
        if not self.hides:
            return rows
        n = rows.shape[0]
        row = np.repeat(np.arange(n), np.diff(rows.indptr))
        ids = self.is_id[rows.indices]
        hidden = rng.random(n) < self.id_shares[positions]
        hidden &= np.bincount(row[~ids], minlength=n) > 0
        hidden = ids & hidden[row]
        if self.feature_dropout:
            hidden |= ~ids & (rng.random(len(ids)) < self.feature_dropout)
        if self.row_dropout:
            hidden |= (rng.random(n) < self.row_dropout)[row]
        kept = ~hidden
        offsets = np.concatenate([[0], np.cumsum(np.bincount(row[kept], minlength=n))])
        return sparse.csr_matrix(
            (rows.data[kept], rows.indices[kept], offsets), shape=rows.shape
        )
