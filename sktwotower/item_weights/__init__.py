"""Matrices that say how much a past item adds to the score of another item.

Input: who chose what, CSR (n_users, n_items) of ones.
Output: weights (n_items, n_items), float32: rows are past items, columns the items that
are scored, so that the scores of users with past items x are x @ weights.

- `ease_weights`: all weights of EASE, dense;
- `largest_ease_weights`: the largest of each row of them, CSR;
- `nearest_weights`: of items that are chosen together, by any measure, CSR;
- `walk_weights`: of random walks over past items and their other users, CSR;
- `successor_weights`: of items that follow one another in time, CSR;
- `transition_weights`: of a ridge regression of the next item on those before, dense;
- `weights_of_others`: the same where no order is known.

Nothing here is public.
"""

from ._ease_weights import ease_weights, largest_ease_weights
from ._nearest_weights import nearest_weights, walk_weights
from ._successor_weights import successor_weights
from ._transition_weights import transition_weights, weights_of_others

__all__ = [
    "ease_weights",
    "largest_ease_weights",
    "nearest_weights",
    "successor_weights",
    "transition_weights",
    "walk_weights",
    "weights_of_others",
]
