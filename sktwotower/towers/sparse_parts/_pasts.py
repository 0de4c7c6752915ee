"""The past items of several users, as sparse parts see them.

Input: events of users, CSR (n, n_items).
Output: the distinct items of each user, and how much they count, CSR (n, n_items).
"""

import numpy as np
from scipy import sparse

from sktwotower.runtime._sparse_scores import PastEvents


class Pasts:
    """The past items of n users.

    Parameters
    ----------
    past : CSR matrix of shape (n, n_items)
        Lags if ``in_order``, else ones.
    in_order : bool

    Attributes
    ----------
    events : PastEvents
        The events of all users.
    users, items : int arrays of shape (m,)
        The distinct pairs among them, by user.
    """

    def __init__(self, past, in_order):
        self.shape = past.shape
        n_users, n_items = past.shape
        rows = np.repeat(np.arange(n_users, dtype=np.int64), np.diff(past.indptr))
        pairs = rows * n_items + past.indices
        self.events = PastEvents(pairs, past.data if in_order else None)
        self.users, self.items = np.divmod(self.events.distinct, n_items)
        self._offsets = self.users.searchsorted(np.arange(n_users + 1))

    def as_matrix(self, values):
        """Return values (m,) of the distinct pairs as a CSR matrix (n, n_items).

        Zeros among them are left out.
        """
        values = values.astype(np.float32)
        arrays = values, self.items.astype(np.int32), self._offsets.astype(np.int32)
        matrix = sparse.csr_matrix(arrays, self.shape)
        if not values.all():
            matrix.eliminate_zeros()
        return matrix
