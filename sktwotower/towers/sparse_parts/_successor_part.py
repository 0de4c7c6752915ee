"""Items that follow past ones in time, as a sparse part."""

from sktwotower._records import frozen
from sktwotower.item_weights import successor_weights

from ._sparse_part import SparsePart, of_unit_size

# Number of baskets after which a past item counts 1/e, and how many weights of each
# past item are kept.
DECAY, N_KEPT = 3.0, 100
# Most events that they are counted in.
MAX_EVENTS = 3_000_000


@frozen
class SuccessorPart(SparsePart):
    """Items that others have chosen soon after a user's latest ones."""

    in_words = "successors of past items"

    @classmethod
    def start(cls, seen, lags):
        """Return the part, or None if the order is not known."""
        if lags is None or not 0 < lags.nnz <= MAX_EVENTS:
            return None
        matrix = successor_weights(lags, DECAY, N_KEPT)
        if not matrix.nnz:
            return None
        return cls(of_unit_size(matrix), DECAY, "once")
