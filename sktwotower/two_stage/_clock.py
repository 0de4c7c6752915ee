"""When items were chosen, and how often up to any moment.

Input: items (n_events,) and their times (n_events,), in days.
Output: a ``Clock`` that counts the events of items before a moment, (n_pairs,).
"""

from dataclasses import dataclass

import numpy as np

from sktwotower._records import array, finite, record, require

NANOSECONDS_PER_DAY = 86_400 * 10**9


@record
@dataclass(frozen=True, eq=False)
class Clock:
    """The times of all events, and those of each item.

    Parameters
    ----------
    times : float array of shape (n_events,)
        Times of all events in days, ascending.
    own_times : float array of shape (n_events,)
        The same sorted by item, then by time.
    keys : int array of shape (n_events,)
        Item times (n_events + 1) plus the place of the event's time among ``times``.
    offsets : int array of shape (n_items + 1,)
        Where each item's events begin in ``own_times``.
    by_user : bool
        Whether a request happens at the time of the user's last event; otherwise it
        happens at the latest time of all.
    """

    times: array("float64", "n_events")
    own_times: array("float64", "n_events")
    keys: array("int64", "n_events")
    offsets: array("int64", "n_items+1")
    by_user: bool

    def _check_stored(self, place):
        n, offsets = len(self.times), self.offsets
        require(n > 0, f"{place}.times", "times of events")
        for name in ("times", "keys", "offsets"):
            ascending = (np.diff(getattr(self, name)) >= 0).all()
            require(ascending, f"{place}.{name}", "ascending")
        for name in ("times", "own_times"):
            finite(getattr(self, name), f"{place}.{name}")
        fits = offsets[0] == 0 and offsets[-1] == n
        require(fits, f"{place}.offsets", f"offsets from 0 to {n}")

    @classmethod
    def of(cls, items, times, n_items, by_user):
        """Return the clock of events at times in nanoseconds."""
        days = times / NANOSECONDS_PER_DAY
        in_order = np.sort(days)
        places = np.searchsorted(in_order, days)
        order = np.lexsort((places, items))
        items, n_places = items[order].astype(np.int64), len(days) + 1
        keys = items * n_places + places[order]
        offsets = np.searchsorted(items, np.arange(n_items + 1))
        return cls(in_order, days[order], keys, offsets, by_user)

    def now(self, last):
        """Return the time (n,) of requests of users by their last event, or nan."""
        latest = self.times[-1]
        if not self.by_user:
            return np.full(len(last), latest)
        return np.where(np.isnan(last), latest, last)

    def places(self, now):
        """Return the number (n,) of events up to the times ``now``."""
        return np.searchsorted(self.times, now, side="right")

    def ends(self, items, places):
        """Return where the events of items (m,) before places (m,) end, (m,).

        They begin at ``offsets[items]`` of ``own_times``.
        """
        return np.searchsorted(self.keys, items * (len(self.times) + 1) + places)
