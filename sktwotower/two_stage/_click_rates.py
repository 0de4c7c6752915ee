"""How often items are chosen when they are shown, wherever in a list that was.

Input: the item of each showing, whether it was chosen and its position, (n_events,).
Output: a smoothed rate of each item, (n_items,), or of each user, (n_users,).
"""

from typing import NamedTuple

import numpy as np

from sktwotower._records import array, record, require
from sktwotower._tables._running_counts import smoothed_rates

# Added to the showings of each item, and of each position, at the mean rate of all.
PRIOR_SHOWN = 20.0
# Rates of items and of positions are computed in turn, this many times.
N_ROUNDS = 20


@record
class Places(NamedTuple):
    """How much more often items are chosen at some positions than on average.

    Parameters
    ----------
    positions : float array of shape (n_positions,)
        Ascending.
    factors : float array of shape (n_positions,)
        Their mean over the showings is 1.
    """

    positions: array("float64", "n_positions", is_finite=True)
    factors: array("float64", "n_positions", is_finite=True)

    def _check_stored(self, place):
        require((np.diff(self.positions) > 0).all(), f"{place}.positions", "ascending")
        require((self.factors >= 0).all(), f"{place}.factors", "factors >= 0")

    def at(self, positions):
        """Return the factors (n,) at positions (n,): between others, interpolated."""
        if len(self.positions) == 0:
            return np.ones(len(positions))
        factors = np.interp(positions, self.positions, self.factors)
        return np.where(np.isnan(positions), 1.0, factors)


def click_rates(items, chosen, n_items, positions=None):
    """Return the smoothed share of showings that end in a choice, and ``Places``.

    The first is float32 (n_items,). With ``positions`` (n_events,), nan where they are
    not known, an item is chosen with the probability r(i) f(p): r(i) is its rate at an
    average position, f(p) the factor of position p. Both are fitted in turn, so that
    good items at the first positions do not pass for an effect of the position.
    """
    looks, mean = np.ones(len(items)), chosen.mean()
    rates = rates_of(sums_of(items, chosen, n_items))
    known = np.zeros(len(items), bool) if positions is None else ~np.isnan(positions)
    if not known.any():
        return rates, Places(np.zeros(0), np.zeros(0))
    places, codes = np.unique(positions[known], return_inverse=True)
    clicked_at = np.bincount(codes[chosen[known]], minlength=len(places))
    prior = PRIOR_SHOWN * mean
    for _ in range(N_ROUNDS):
        expected = np.bincount(codes, rates[items[known]], len(places))
        factors = (clicked_at + prior) / (expected + prior)
        factors /= factors[codes].mean()
        looks[known] = factors[codes]
        rates = rates_of(sums_of(items, chosen, n_items, looks))
    return rates, Places(places, factors)


def sums_of(codes, chosen, n, looks=None):
    """Return how often each of n was shown and chosen, (n, 2), by events (n_events,).

    ``codes``: the position of each event. ``looks``: how much each showing counts.
    """
    shown, clicked = np.bincount(codes, looks, n), np.bincount(codes[chosen], None, n)
    return np.column_stack([shown, clicked]).astype(float)


def rates_of(sums):
    """Return the smoothed share of showings that were chosen, float32 (n,)."""
    return smoothed_rates(sums, sums.sum(axis=0), PRIOR_SHOWN).astype(np.float32)
