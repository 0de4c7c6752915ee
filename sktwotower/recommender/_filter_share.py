"""Whether a linear filter of events adds to the score of the towers, and how much.

Input: a ``Recipe`` and ``Events``.
Output: its share in the score.
"""

import numpy as np
from scipy import sparse

from sktwotower._tables._on_disk import column_counts
from sktwotower.towers._dropout import id_columns
from sktwotower.towers._filter import N_PADS

from ._auto import widths
from ._start import MAX_SVD_NUMBERS, MIN_SVD_EVENTS

__all__ = ["auto_share", "filter_share"]

# In shorter vectors, all entries are better left to the towers.
MIN_LENGTH = 384
# Factor and power of the noise of events in the weight of the filter.
WEIGHT, POWER = 0.06, 1.5


def filter_share(recipe, events):
    """Return the share of a linear filter in the score; 0 for none."""
    share = recipe.filter_share
    if share == 0 or not _can_have_one(recipe, events):
        return 0.0
    n_users, n_items = _n_active(events)
    width, filter_width = widths(recipe.embedding_dim, True)
    if share != "auto":
        return share if filter_width < min(n_users, n_items) else 0.0
    n_events = events.positives.nnz
    small = n_events < MIN_SVD_EVENTS or min(n_users, n_items) <= 2 * width
    if small or width + filter_width < MIN_LENGTH:
        return 0.0
    return auto_share(n_events / n_users, n_events / n_items)


def _can_have_one(recipe, events):
    """Return whether towers are the default ones, and all that counts are pairs."""
    own = recipe.user_tower is not None or recipe.item_tower is not None
    pooled = recipe.history == "pooled" and events.ordered is None
    if own or not pooled or not recipe.normalize:
        return False
    if recipe.takes_impressions and events.impressions.nnz:
        return False
    if not sparse.issparse(events.positives):  # on disk
        return False
    width, filter_width = widths(recipe.embedding_dim, True)
    numbers = sum(events.positives.shape) * max(width, filter_width)
    if filter_width <= N_PADS or numbers > MAX_SVD_NUMBERS:
        return False
    ids = id_columns(events.items.rows)
    only_ids = events.items.rows.nnz == ids.sum()
    return ids.any() and (only_ids or recipe.id_dropout < 1)


def _n_active(events):
    """Return the numbers of users and of items with events."""
    n_users = np.count_nonzero(np.diff(events.positives.indptr))
    return n_users, np.count_nonzero(column_counts(events.positives))


def auto_share(per_user, per_item):
    r"""Return the share of the filter for a mean number of events per user and item.

    The noise of the normalized events has singular values of up to about
    :math:`\sigma = n_u^{-1/2} + n_i^{-1/2}`. The filter's weight relative to the towers
    is :math:`w = 0.06 \sigma^{-3/2}`, and its share w / (1 + w): the more events there
    are, the less of what it keeps is noise. Both numbers were fitted to the best
    validated values of nine data sets.
    """
    noise = per_user**-0.5 + per_item**-0.5
    weight = WEIGHT * noise**-POWER
    return weight / (1 + weight)
