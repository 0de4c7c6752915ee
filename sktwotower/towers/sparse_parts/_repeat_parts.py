"""What a user chooses again, as sparse parts: they score the user's own items."""

from sktwotower._records import frozen

from ._sparse_part import SparsePart

# Number of baskets after which an event counts 1/e in `RecentRepeats`.
DECAY = 3.0


@frozen
class HadBefore(SparsePart):
    """Any item that the user has had."""

    in_words = "had before"

    @classmethod
    def start(cls, seen, lags):
        """Return the part."""
        return cls(None, None, "once")


@frozen
class RepeatCounts(SparsePart):
    """How often the user has had an item, on a logarithmic scale."""

    in_words = "how often had"

    @classmethod
    def start(cls, seen, lags):
        """Return the part, or None if repeated events are not known."""
        return None if lags is None else cls(None, None, "log")


@frozen
class RecentRepeats(SparsePart):
    """How often the user has had an item lately."""

    in_words = "had lately"

    @classmethod
    def start(cls, seen, lags):
        """Return the part, or None if the order is not known."""
        return None if lags is None else cls(None, DECAY, "log")
