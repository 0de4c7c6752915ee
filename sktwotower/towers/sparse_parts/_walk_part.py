"""Random walks from past items, as a sparse part."""

import numpy as np

from sktwotower._records import frozen
from sktwotower.item_weights import walk_weights

from ._sparse_part import SparsePart, of_unit_size

# The exponents of RP3beta, and how many weights of each past item are kept.
ALPHA, BETA, N_KEPT = 0.5, 0.4, 100
# Largest sum of the squared numbers of items of users, which its seconds grow with.
MAX_PRODUCTS = 2e8


@frozen
class WalkPart(SparsePart):
    """Items where walks over past items and their other users end (RP3beta)."""

    in_words = "walks from past items"

    @classmethod
    def start(cls, seen, lags):
        """Return the part, or None if users have too many items."""
        n_products = (np.diff(seen.indptr).astype(float) ** 2).sum()
        if not 0 < n_products <= MAX_PRODUCTS:
            return None
        matrix = walk_weights(seen, ALPHA, BETA, N_KEPT)
        return cls(of_unit_size(matrix), None, "once")
