"""Enters: feature rows of users or items, as CSR (n, p).

Leaves: the same rows with some entries hidden, so that a tower learns to do without.
Next: sampling.py, which draws batches of such rows.
"""

import numpy as np
from scipy import sparse

__all__ = ["FeatureDropout"]


class FeatureDropout:
    """Hide ids, and some of the other features, of rows in training.

    A column that one row alone has a value in tells what no other row can learn from:
    that row's *id*, whatever transformer has made it. An item unknown to fit comes
    without, and so does a user; a tower that has seen rows without ids in training
    knows what to make of the rest (Volkovs et al., DropoutNet, NeurIPS 2017).

    Parameters
    ----------
    matrix : CSR matrix of shape (n, p)
        All rows that there are; tells which columns are ids.
    id_dropout : float, default=0.0
        Share of the rows that lose their ids, in [0, 1].
    feature_dropout : float, default=0.0
        Share of the other entries that are lost, in [0, 1).
    keep_lone : bool, default=True
        Whether a row that holds nothing but ids keeps them.

    Examples
    --------
    >>> import numpy as np
    >>> from scipy import sparse
    >>> from sktwotower.dropout import FeatureDropout
    >>> rows = sparse.csr_matrix([[1.0, 0.0, 1.0], [0.0, 1.0, 1.0]])
    >>> without_ids = FeatureDropout(rows, id_dropout=1.0)
    >>> without_ids(rows, np.random.default_rng(0)).toarray()
    array([[0., 0., 1.],
           [0., 0., 1.]])
    """

    def __init__(self, matrix, id_dropout=0.0, feature_dropout=0.0, keep_lone=True):
        counts = np.bincount(matrix.indices, minlength=matrix.shape[1])
        self.is_id = counts == 1
        self.id_dropout = id_dropout if self.is_id.any() else 0.0
        others = matrix.nnz > self.is_id.sum()
        self.feature_dropout = feature_dropout if others else 0.0
        self.keep_lone = keep_lone
        if keep_lone and not others:
            self.id_dropout = 0.0
        self.hides = self.id_dropout > 0 or self.feature_dropout > 0

    def __call__(self, rows, rng):
        """Give CSR rows (m, p) with less in them; ``rng`` draws what is hidden."""
        if not self.hides:
            return rows
        n = rows.shape[0]
        row = np.repeat(np.arange(n), np.diff(rows.indptr))
        ids = self.is_id[rows.indices]
        hidden = rng.random(n) < self.id_dropout
        if self.keep_lone:
            hidden &= np.bincount(row[~ids], minlength=n) > 0
        hidden = ids & hidden[row]
        if self.feature_dropout:
            hidden |= ~ids & (rng.random(len(ids)) < self.feature_dropout)
        kept = ~hidden
        offsets = np.concatenate([[0], np.cumsum(np.bincount(row[kept], minlength=n))])
        return sparse.csr_matrix(
            (rows.data[kept], rows.indices[kept], offsets), shape=rows.shape
        )
