"""Recall on a part of the positives that training does not see.

Input: a matrix of positives (n_users, n_items).
Output: a part of it held out, and the recall on that part, epoch by epoch.
"""

import numpy as np
from scipy import sparse

from sktwotower.metrics import recall_at_k
from sktwotower.neighbors._top_k import top_k
from sktwotower.towers import _net as net

__all__ = ["ValidationRecall", "hold_out"]

# As many users give a standard error of recall under 0.01.
MAX_USERS = 2000


def hold_out(positives, fraction, rng):
    """Split off a share of the positive pairs at random; return (kept, held out).

    A user keeps one pair at least, and one pair at least is held out. Where no user has
    two pairs nothing can be held out, and the second is None.
    """
    pairs = positives.tocoo()
    held = rng.uniform(size=pairs.nnz) < fraction
    left = np.bincount(pairs.row[~held], minlength=pairs.shape[0])
    held &= left[pairs.row] > 0
    if not held.any():
        several = np.flatnonzero(np.diff(positives.indptr)[pairs.row] > 1)
        if len(several) == 0:
            return positives, None
        held[rng.choice(several)] = True

    def part(kept):
        entries = (pairs.data[kept], (pairs.row[kept], pairs.col[kept]))
        return sparse.csr_matrix(entries, shape=pairs.shape)

    return part(~held), part(held)


class ValidationRecall:
    """Recall at ``n_neighbors`` of a module on held-out pairs, whole catalog ranked.

    Parameters
    ----------
    recipe : Recipe
        Its ``n_neighbors`` and ``history`` are used.
    users, items : Entities
        The two sides.
    fitted, held_out : CSR matrices of shape (n_users, n_items)
        Pairs trained on, which are left out of the ranking, and pairs to be found.
    rng : numpy.random.RandomState
        Draws the users, if there are more than 2,000 of them.
    """

    def __init__(self, recipe, users, items, fitted, held_out, rng):
        rows = np.flatnonzero(np.diff(held_out.indptr))
        if len(rows) > MAX_USERS:
            rows = np.sort(rng.choice(rows, MAX_USERS, replace=False))
        self.truth, self.seen = held_out[rows], fitted[rows]
        self.user_rows, self.item_rows = users.rows[rows], items.rows[:-1]
        self.history = self.seen if recipe.history is not None else None
        self.k = recipe.n_neighbors

    def __call__(self, module):
        """Return the recall, in [0, 1]."""
        items = net.embed_items(module, self.item_rows)
        users = net.embed_users(module, self.user_rows, self.history, self.item_rows)
        # k places count, but no more can be filled than there are items
        _, found = top_k(users, items, min(self.k, len(items)), self.seen)
        return recall_at_k(self.truth, found, self.k)
