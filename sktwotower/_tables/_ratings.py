"""Rewards that look like ratings, of which low ones are not choices.

Input: rewards y (n_events,), checked, or a table of events (n_events, n_columns).
Output: a warning with the remedy, or none.
"""

import re

import numpy as np
from pandas.api.types import is_numeric_dtype

from ._messages import warn

# Number of rows that are looked at, and the fewest to judge by.
N_ROWS = 100_000
MIN_ROWS = 50
# Number of levels of ratings.
MIN_LEVELS = 4
MAX_LEVELS = 10
NAME = r"(?i)(.*[_ ])?(ratings?|stars)"  # of a column of ratings


def warn_of_ratings(y):
    """Warn where rewards of a fit are ratings, or were made of high ones only."""
    levels, counts = _levels(y)
    if _are_ratings(levels, counts):
        meaning = "A low one counts as a choice."
        high = _first_high(levels)
    else:
        # the upper part of a scale that ends at 10 or below, with 0 for the others
        ends_a_scale = (
            len(levels) > 0
            and levels[1] - levels[0] <= 1
            and levels[0] >= 3
            and levels[-1] <= MAX_LEVELS
        )
        if not ends_a_scale or not (y == 0).any():
            return
        meaning = "0 means shown, not chosen: keep low ratings."
        high = levels[0]
    warn(
        f"y looks like ratings from {levels[0]:g} to {levels[-1]:g}. {meaning} For two "
        f"towers pass ratings_to_events(X, y, at_least={high:g}) of "
        "sktwotower.preprocessing. Recommenders that ignore the size of y learn from "
        "the high ones only: leave the low ones out by recommend(exclude=...)."
    )


def warn_of_unused_ratings(frame, columns):
    """Warn if a table has ratings, but no parameter names them and there is no y.

    ``columns``: the ``Columns`` of the table that are used.
    """
    used = [*columns.user_features, *columns.item_features, *columns.context]
    for name in frame.columns.difference(
        [columns.user, columns.item, *used], sort=False
    ):
        if re.fullmatch(NAME, name) and is_numeric_dtype(frame[name]):
            levels, counts = _levels(frame[name].to_numpy(float, na_value=np.nan))
            if _are_ratings(levels, counts):
                warn(
                    f"The column {name!r} of X looks like ratings from {levels[0]:g} "
                    f"to {levels[-1]:g}, and nothing uses it: a low one counts as a "
                    f"choice. Pass y=X[{name!r}], or fit on the columns that you use."
                )


def warn_of_rated_hits(y):
    """Warn where outcomes of held-out events are ratings, so that all are hits."""
    levels, counts = _levels(y)
    if _are_ratings(levels, counts):
        warn(
            f"y looks like ratings from {levels[0]:g} to {levels[-1]:g}. Each y > 0 is "
            f"a hit, low ones as well. Pass y >= {_first_high(levels):g} in place of y."
        )


def _levels(y):
    """Return the distinct positive rewards of some rows, and how often they occur.

    None are returned unless they are few, at equal distances.
    """
    some = y[:: 1 + len(y) // N_ROWS]
    levels, counts = np.unique(some[some > 0], return_counts=True)
    steps = np.diff(levels)
    if 1 <= len(steps) < MAX_LEVELS and np.allclose(steps, steps[0]):
        return levels, counts
    return [], []


def _are_ratings(levels, counts):
    """Return whether levels are a scale of ratings, most of which are not low.

    Of counts and of kinds of actions the lowest is the most frequent, and a cap has
    many rows at the top, but few right below it.
    """
    if len(levels) < MIN_LEVELS or sum(counts) < MIN_ROWS:
        return False
    return counts[-2] > counts[0]


def _first_high(levels):
    """Return the level from which ratings count as high, such as 4 of 1 to 5."""
    return levels[round(0.75 * (len(levels) - 1))]
