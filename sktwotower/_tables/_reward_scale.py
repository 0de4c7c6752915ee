"""Rewards on another scale, and a warning where a few of them outweigh all others.

Input: rewards (n_events,), >= 0.
Output: rewards (n_events,) on a scale; a warning with the remedy, or none.
"""

from typing import NamedTuple

import numpy as np

from ._messages import warn

# What ``reward_scale`` may be; None leaves rewards as they are, "auto" chooses.
SCALES = {"log1p": np.log1p, "sqrt": np.sqrt}
# Fewer positive rows say little about a tail.
MIN_ROWS = 100
# If the rewards count like fewer equal ones than this share of the rows, a few rows
# decide what is learnt. Ratings from 1 to 5 have 0.9, exponential rewards 0.5, numbers
# of plays of artists 0.04.
MIN_EFFECTIVE_SHARE = 0.1
TAIL = 0.01


def on_scale(rewards, scale):
    """Return rewards (n,) on a scale: "log1p", "sqrt", or None, as they are."""
    if scale is None:
        return rewards
    return SCALES[scale](rewards)


def effective_number(weights):
    """Return how many equal weights are as uneven a sample as these (n,).

    It is the square of the sum over the sum of the squares (Kish 1965).
    """
    return Sums.of(weights).effective_number


class Sums(NamedTuple):
    """Sum and sum of squares of weights, which parts of the data add up."""

    total: float = 0.0
    squares: float = 0.0

    @classmethod
    def of(cls, weights):
        """Return the sums of weights (n,)."""
        weights = np.asarray(weights, dtype=np.float64)
        return cls(float(weights.sum()), float(weights @ weights))

    def plus(self, other):
        """Return the sums of both parts."""
        return Sums(self.total + other.total, self.squares + other.squares)

    @property
    def effective_number(self):
        """The number of equal weights that are as uneven a sample."""
        if self.squares == 0:
            return 0.0
        return self.total**2 / self.squares


def has_heavy_tail(rewards):
    """Return whether a few of the positive rewards (n,) outweigh all others."""
    rewards = _positive(rewards)
    n_rows = len(rewards)
    if n_rows < MIN_ROWS:
        return False
    return effective_number(rewards) < MIN_EFFECTIVE_SHARE * n_rows


def _positive(rewards):
    """Return the positive ones, divided by the largest, so that no square overflows."""
    rewards = np.asarray(rewards, dtype=np.float64)
    return rewards[rewards > 0] / rewards.max(initial=0)


def warn_of_heavy_tail(rewards):
    """Warn if a few of the positive rewards (n,) outweigh all others."""
    if not has_heavy_tail(rewards):
        return
    rewards = _positive(rewards)
    n_rows = len(rewards)
    n_equal = max(1, round(effective_number(rewards)))
    n_tail = max(1, int(TAIL * n_rows))
    tail = np.partition(rewards, n_rows - n_tail)[-n_tail:]
    share = tail.sum() / rewards.sum()
    warn(
        f"{n_tail / n_rows:.0%} of the rows with y > 0 carry {share:.0%} of the "
        f"reward: {n_rows:,} rows count like {n_equal:,} equal ones, so that a few "
        "decide what is learnt. Pass np.log1p(y) in place of y, or "
        "reward_scale='log1p'. reward_scale='auto' chooses by held-out events, and "
        "y > 0 lets all count alike."
    )
