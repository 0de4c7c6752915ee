"""Validation recall: recall on positives that are held out from training.

Input: a matrix of positives (n_users, n_items).
Output: two matrices, kept and held out, and the recall on the latter after each epoch.
"""

import numpy as np
from scipy import sparse

from sktwotower._tables._on_disk import Rows, is_mapped, row_blocks
from sktwotower._tables._sparse import rows_of
from sktwotower.metrics import recall_at_k
from sktwotower.neighbors._top_k import top_k
from sktwotower.towers.parts import distinct_ones, embed_items, embed_users

__all__ = ["ValidationRecall", "hold_out"]

# With this many users the standard error of recall is below 0.01.
MAX_USERS = 2000


def hold_out(positives, fraction, rng):
    """Hold out a random share of the positive pairs; return (kept, held out).

    Each user keeps at least one pair, and at least one pair is held out. If no user has
    two pairs nothing can be held out, and the second is None.
    """
    on_disk, n_items = is_mapped(positives.indices), positives.shape[1]
    sides = [Rows(on_disk, n_items) for _ in range(2)]
    for block in row_blocks(positives.indptr, on_disk):
        pairs = rows_of(positives, block).tocoo()
        held = rng.uniform(size=pairs.nnz) < fraction
        left = np.bincount(pairs.row[~held], minlength=pairs.shape[0])
        held &= left[pairs.row] > 0
        for side, chosen in zip(sides, (~held, held), strict=True):
            side.append(_part(pairs, chosen))
    kept, held_out = (side.finish() for side in sides)
    return (kept, held_out) if held_out.nnz else _hold_out_one(positives, rng)


def _hold_out_one(positives, rng):
    """Return what `hold_out` does, with a single pair held out."""
    pairs = positives.tocoo()
    several = np.flatnonzero(np.diff(positives.indptr)[pairs.row] > 1)
    if len(several) == 0:
        return positives, None
    held = np.zeros(pairs.nnz, dtype=bool)
    held[rng.choice(several)] = True
    return _part(pairs, ~held), _part(pairs, held)


def _part(pairs, chosen):
    """Return some of the entries of a COO matrix, as CSR."""
    entries = (pairs.data[chosen], (pairs.row[chosen], pairs.col[chosen]))
    return sparse.csr_matrix(entries, shape=pairs.shape)


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
        tower sees, or None. Training pairs None: they are those of that past.
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
        self.truth = held_out[rows]
        self.user_rows, self.item_rows = users.rows[rows], items.rows[:-1]
        self.history = None if past is None else past[rows]
        self.seen = distinct_ones(self.history) if seen is None else seen[rows]
        self.k = recipe.n_neighbors

    def __call__(self, module):
        """Return the recall, in [0, 1]."""
        items = embed_items(module, self.item_rows)
        users = embed_users(module, self.user_rows, self.history, self.item_rows)
        # recall is at k, even if there are fewer items than k
        _, found = top_k(users, items, min(self.k, len(items)), self.seen)
        return recall_at_k(self.truth, found, self.k)
