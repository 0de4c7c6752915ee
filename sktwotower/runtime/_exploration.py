"""Lists that are drawn by chance, and how probable each of their items was.

Input: scores (n, n_items), a temperature and random numbers.
Output: scores, positions and propensities (n, k) of the items of the lists.
"""

import math
import numbers
from typing import NamedTuple

import numpy as np

from sktwotower._tables._messages import shorten

from ._rules import MAX_CHOSEN

# A score divided by a lower temperature leaves no digits for the random numbers.
MIN_TEMPERATURE = 1e-6
# Scores of several lists that are held at once.
BLOCK_SIZE = 1 << 22


def random_of(random_state):
    """Return a generator of random numbers; None: one of its own for each call."""
    if isinstance(random_state, np.random.RandomState | np.random.Generator):
        return random_state
    return np.random.RandomState(random_state)


class Exploration(NamedTuple):
    """How the lists of a request are drawn: from the softmax of their scores.

    Parameters
    ----------
    temperature : float
        What scores are divided by.
    random : RandomState or Generator
    """

    temperature: float
    random: np.random.RandomState | np.random.Generator

    @classmethod
    def of(cls, explore, random, diversity, k):
        """Return the ``Exploration`` of lists of k items.

        ``explore`` and ``diversity``: those of `recommend`.
        """
        message = (
            f"explore must be a temperature, a number >= {MIN_TEMPERATURE}, or None. "
            f"Got {shorten(explore)}."
        )
        if not isinstance(explore, numbers.Real) or isinstance(explore, bool):
            raise TypeError(message)
        if not (MIN_TEMPERATURE <= explore and math.isfinite(explore)):
            raise ValueError(message)
        if diversity:
            raise ValueError(
                "explore draws lists by score only: no propensity is known of lists "
                f"that diversity={shorten(diversity)} reorders. Leave one of them out."
            )
        if k > MAX_CHOSEN:
            raise ValueError(
                f"explore draws the items of a list one by one, at most {MAX_CHOSEN:,}."
                f" Got n_neighbors={k:,}: ask for fewer."
            )
        return cls(float(explore), random)

    def lists(self, search, n, k, n_items, limits=()):
        """Return scores, positions and propensities (n, k) of n lists.

        ``search``, ``n``, ``k``, ``n_items`` and ``limits``: as in `Rules`. Where a
        list has fewer items, they are -inf, -1 and 0.
        """
        k = min(k, n_items)
        scores = np.full((n, k), -np.inf, dtype=np.float32)
        indices = np.full((n, k), -1, dtype=np.int64)
        propensities = np.zeros((n, k))
        step = max(1, BLOCK_SIZE // max(1, n_items))
        for start in range(0, n, step):
            rows = np.arange(start, min(start + step, n))
            found_scores, found = search(rows, n_items)
            row, place = np.nonzero(found >= 0)
            all_scores = np.full((len(rows), n_items), -np.inf)
            all_scores[row, found[row, place]] = found_scores[row, place]

            drawn, shares = self._draw(all_scores, k, limits)
            chosen = np.take_along_axis(all_scores, np.maximum(drawn, 0), axis=1)
            scores[rows] = np.where(drawn >= 0, chosen, -np.inf)
            indices[rows] = drawn
            propensities[rows] = shares
        return scores, indices, propensities

    def _draw(self, scores, k, limits):
        """Return positions and propensities (n, k) of items that are drawn.

        ``scores`` (n, n_items): -inf for items that must not be shown. Where no item
        is left, they are -1 and 0.

        The largest sum of a logit and a Gumbel number is a draw from the softmax, and
        the largest of the sums that are left is the next draw from what is left (Kool
        et al. 2019). That stays true where a rule takes further items out.
        """
        rows = np.arange(len(scores))
        logits = scores / self.temperature
        perturbed = logits + self.random.gumbel(size=logits.shape)
        drawn = np.zeros((len(rows), k), dtype=np.int64)
        propensities = np.zeros((len(rows), k))
        for place in range(k):
            best = perturbed.argmax(axis=1)
            is_there = perturbed[rows, best] > -np.inf
            largest = np.where(is_there, logits.max(axis=1), 0)
            total = np.exp(logits - largest[:, None]).sum(axis=1)
            share = np.exp(logits[rows, best] - largest)
            propensities[:, place] = share / np.where(is_there, total, 1)
            drawn[:, place] = np.where(is_there, best, -1)

            logits[rows, best] = -np.inf
            perturbed[rows, best] = -np.inf
            for groups, limit in limits:
                group = groups[best]
                groups_of_list = groups[drawn[:, : place + 1]]
                n_alike = (groups_of_list == group[:, None]).sum(axis=1)
                is_full = (group >= 0) & (n_alike >= limit)
                is_closed = is_full[:, None] & (groups == group[:, None])
                logits[is_closed] = -np.inf
                perturbed[is_closed] = -np.inf
        return drawn, propensities
