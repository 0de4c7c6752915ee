"""Mean gaps between the hits of places in a stream, such as the events of an item.

Input: the items of one batch after the other, (n,) each.
Output: the probability (n_items,) that no user of a batch chooses an item.
"""

from typing import NamedTuple

import numpy as np

from sktwotower._records import array, record, require

# Weight of a new gap in the stream of a recommender.
RATE = 0.01


@record
class Gaps(NamedTuple):
    """Mean numbers of steps between the hits of n places.

    Parameters
    ----------
    gap : float64 array of shape (n,)
        Mean number of steps from one hit to the next; inf before the first hit.
    last : float64 array of shape (n,)
        Step of the last hit; of a place of fit that was never hit, the last of fit.
    n_gaps : float64 array of shape (n,)
        Number of gaps that the mean is of.
    """

    gap: array("float64", "n_places")
    last: array("float64", "n_places", is_finite=True, least=0)
    n_gaps: array("float64", "n_places", is_finite=True, least=0)

    def _check_stored(self, place):
        require((self.gap > 0).all(), place, "positive gaps")

    @classmethod
    def empty(cls, n):
        """Return n places without hits."""
        return cls(np.full(n, np.inf), np.zeros(n), np.zeros(n))

    @classmethod
    def of_shares(cls, shares, counts):
        """Return places of known shares (n,) of all events, with counts (n,) so far."""
        shares = np.asarray(shares, dtype=float)
        with np.errstate(divide="ignore"):
            gap = 1 / shares
        n_events = float(np.sum(counts))
        last = np.full(len(gap), n_events)
        return cls(gap, last, np.asarray(counts, dtype=float))

    @property
    def never_hit(self):
        """Which places (n,) of fit have not been hit, neither then nor later."""
        return np.isinf(self.gap) & (self.last > 0)

    def take(self, places):
        """Return the places at positions (m,); -1: one without hits."""
        padded = self.followed_by(Gaps.empty(1))
        return Gaps(padded.gap[places], padded.last[places], padded.n_gaps[places])

    def followed_by(self, others):
        """Return these places, and others after them."""
        return Gaps(
            np.append(self.gap, others.gap),
            np.append(self.last, others.last),
            np.append(self.n_gaps, others.n_gaps),
        )

    def copy(self):
        """Return places of their own, with the same hits."""
        return Gaps(self.gap.copy(), self.last.copy(), self.n_gaps.copy())

    def without(self, counts, share):
        """Return the places as if counts (n,) of the hits had not been.

        ``share``: how much of the stream is left then, in (0, 1].
        """
        n_left = np.maximum(self.n_gaps - counts, 0)
        with np.errstate(divide="ignore", invalid="ignore"):
            longer = self.gap * self.n_gaps / n_left
        gap = np.where(counts > 0, longer, self.gap)
        gap = np.where(np.isnan(gap), np.inf, gap)
        is_never_hit = (counts > 0) & (n_left == 0)
        last = np.where(is_never_hit, 0, self.last)
        return Gaps(gap, last, n_left).shorter(share)

    def shorter(self, share):
        """Return the places as if only a share in (0, 1] of all steps had been."""
        gap = np.maximum(self.gap * share, 1)
        return self._replace(gap=gap, last=self.last * share)

    def add(self, hit, counts, steps, rate, first, n_first=0):
        """Add hits, in place.

        Parameters
        ----------
        hit : int array of shape (m,)
            Distinct places.
        counts : int array of shape (m,)
            Number of hits of each, >= 1, evenly spread over the steps since the last.
        steps : pair of int
            Number of the last step before, and of the last one now.
        rate : float
            Weight of a new gap, in (0, 1]; the first 1 / rate gaps are averaged.
        first : float
            Gap to assume of a place that is hit for the first time.
        n_first : int, default=0
            For how many gaps that one counts.
        """
        step_before, step_now = steps
        is_new = np.isinf(self.gap[hit])
        n_gaps = np.where(is_new, n_first, self.n_gaps[hit])
        mean_gap = np.where(is_new, first, self.gap[hit])
        last_hit = np.where(is_new, step_before, self.last[hit])
        observed_gap = (step_now - last_hit) / counts
        n_new_gaps = np.where(is_new, counts - 1, counts)  # a first hit ends no gap

        # The first 1 / rate gaps are averaged: all count alike.
        n_averaged = np.clip(np.floor(1 / rate) - n_gaps, 0, n_new_gaps)
        share = n_averaged / np.maximum(n_gaps + n_averaged, 1)
        mean_gap += share * (observed_gap - mean_gap)

        # Later ones move the mean exponentially (Yi et al. 2019, algorithm 2). All new
        # gaps are equal, so that their moves are one.
        n_moves = n_new_gaps - n_averaged
        mean_gap += (1 - (1 - rate) ** n_moves) * (observed_gap - mean_gap)

        self.gap[hit] = mean_gap
        self.last[hit] = step_now
        self.n_gaps[hit] = n_gaps + n_new_gaps


class ItemStream:
    """The items of batches of users, each event a step.

    Parameters
    ----------
    gaps : Gaps
        State so far, of n_items places. It is copied.
    n_steps : int
        Number of events so far.
    """

    def __init__(self, gaps, n_steps):
        self.gaps = gaps.copy()
        self.n_steps = n_steps
        self.n_known = np.isfinite(gaps.gap).sum()
        self.n_per_user = 0.0

    def add(self, items, n_users):
        """Go on with a batch: items (n_events,) that ``n_users`` chose together."""
        hit, counts = np.unique(items, return_counts=True)
        self.n_known += np.isinf(self.gaps.gap[hit]).sum()
        self.n_per_user = len(items) / n_users
        step_before = self.n_steps
        self.n_steps += len(items)
        steps = (step_before, self.n_steps)
        # A new item is taken to be as frequent as the average one.
        self.gaps.add(hit, counts, steps, RATE, self.n_known, n_first=1)

    def missing(self, n_users):
        """Return the probability (n_items,) that none of the users chose an item.

        Their number of events is that of as many users of the last batch.
        """
        shares = 1 / np.maximum(self.gaps.gap, 1 + 1e-9)
        log_missing = n_users * self.n_per_user * np.log1p(-shares)
        return np.exp(np.minimum(log_missing, -1e-12))
