"""The linear model of past items, EASE, as a sparse part."""

import numpy as np

from sktwotower._records import frozen
from sktwotower.item_weights import largest_ease_weights

from ._sparse_part import SparsePart, of_unit_size

# The weight of the squared weights, and how many of each past item are kept.
L2, N_KEPT = 300.0, 200
# The smaller one of the numbers of users and items, whose cube its seconds grow with.
MAX_SIDE = 4_000
# Number of baskets after which a past item counts 1/e, if the order is known.
DECAY = 10.0


@frozen
class EasePart(SparsePart):
    """Items that go together in the pasts of users, less what others explain.

    Of each past item the 200 largest positive weights of EASE are kept.
    """

    in_words = "linear model of past items"

    @classmethod
    def start(cls, seen, lags):
        """Return the part, or None if the smaller side is too large."""
        users = np.flatnonzero(np.diff(seen.indptr))
        n_items = len(np.unique(seen.indices))
        if not 2 <= min(len(users), n_items) <= MAX_SIDE:
            return None
        # the weight of squares is large enough for the precision
        matrix = largest_ease_weights(seen[users], L2, N_KEPT, np.float32)
        decay = None if lags is None else DECAY
        return cls(of_unit_size(matrix), decay, "once")
