"""Warnings about requests that several recommenders share.

Input: a ``Query`` of n users or items.
Output: nothing; a warning where the answer means little.
"""

import pandas as pd

from sktwotower._tables._messages import format_ids, warn

__all__ = ["warn_of_unknown_items"]


def warn_of_unknown_items(items, meaning):
    """Warn if rows of X hold items that are unknown to fit and have no features.

    ``items``: a ``Query`` of the item of each row. ``meaning``: what their scores are.
    """
    unknown = items.lacks_information()
    if unknown.any():
        warn(
            f"{unknown.sum():,} of {len(items):,} rows of X ({unknown.mean():.1%}) "
            "hold items that fit has not seen, such as "
            f"{format_ids(pd.unique(items.ids[unknown]), 2)}. {meaning}"
        )
