"""Validation recall: recall on positives that are held out from training.

Input: a matrix of positives (n_users, n_items).
Output: two matrices, kept and held out, and the recall on the latter after each epoch.
"""

import numpy as np
from scipy import sparse

from sktwotower.metrics import recall_at_k
from sktwotower.neighbors._top_k import top_k
from sktwotower.towers._vectors import embed_items, embed_users

__all__ = ["ValidationRecall", "hold_out"]

# With this many users the standard error of recall is below 0.01.
MAX_USERS = 2000


def hold_out(positives, fraction, rng):
    """Hold out a random share of the positive pairs; return (kept, held out).

    Each user keeps at least one pair, and at least one pair is held out. If no user has
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
    """Recall at ``n_neighbors`` on held-out pairs, ranking the whole catalog.

    Parameters
    ----------
    recipe : Recipe
        Its ``n_neighbors`` is used.
    users, items : Entities
        The two sides.
    before : pair of CSR matrices of shape (n_users, n_items)
        Training pairs, which are excluded from the ranking, and the past that the user
        tower sees, or None.
    held_out : CSR matrix of shape (n_users, n_items)
        Pairs to find.
    rng : numpy.random.RandomState
        Draws a sample of 2,000 users if there are more.
    """

    def __init__(self, recipe, users, items, before, held_out, rng):
        rows = np.flatnonzero(np.diff(held_out.indptr))
        if len(rows) > MAX_USERS:
            rows = np.sort(rng.choice(rows, MAX_USERS, replace=False))
        seen, past = before
        self.truth, self.seen = held_out[rows], seen[rows]
        self.user_rows, self.item_rows = users.rows[rows], items.rows[:-1]
        self.history = None if past is None else past[rows]
        self.k = recipe.n_neighbors

    def __call__(self, module):
        """Return the recall, in [0, 1]."""
        items = embed_items(module, self.item_rows)
        users = embed_users(module, self.user_rows, self.history, self.item_rows)
        # recall is at k, even if there are fewer items than k
        _, found = top_k(users, items, min(self.k, len(items)), self.seen)
        return recall_at_k(self.truth, found, self.k)
