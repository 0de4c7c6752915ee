"""Values in place of "auto", which depend on the data and on the kind of history.

Input: a ``Recipe`` and ``Events``.
Output: a ``Recipe`` without "auto".
"""

import numpy as np

from sktwotower._tables._sparse import column_counts, have_entries, id_columns

from .processes._group import summed

# Number of entries of the towers' vectors, and those that a linear filter adds.
WIDTH = 256
FILTER_WIDTH = 128

# Up to this many items every item is a candidate for every user, unless they have so
# many feature values that embedding all items takes longer than the rest of a step. In
# larger catalogs a sample is as good, and its cost does not grow with the catalog.
FULL_SOFTMAX_ITEMS = 2_000
FULL_SOFTMAX_ENTRIES = 250_000
# Factor and power of the number of items in the "auto" temperature, and its lowest
# value: in large catalogs the lowest that was best on real data (41,000 items).
TEMPERATURE = 1.05, 0.25, 0.05
LARGE_TEMPERATURE = 6.5, 0.4, 0.09
# Highest "auto" temperature with a hidden layer.
HIDDEN_LAYER_TEMPERATURE = 0.1
# Number of events per item from which on a recent history has a hidden layer.
EVENTS_FOR_HIDDEN_LAYER = 60
# Number of events per basket from which on more of the past is hidden in training.
LARGE_BASKET = 5
# In larger catalogs most items have few events. A pooled history then needs a
# higher temperature, less dropout, fewer epochs and small initial weights.
LARGE_CATALOG = 10_000
# If users have chosen this share of the items on average, there are events enough of
# each item, unless there are fewer in all. A user of n events then counts n to the
# power in the loss.
DENSE = 0.03
MIN_DENSE_EVENTS = 10_000
DENSE_USER_POWER = 0.75
# Values of "auto", by the kind of history.
POOLED = {"dropout": 0.5, "max_epochs": 20, "batch_size": 512}
RECENT = {"dropout": 0.1, "max_epochs": 8, "batch_size": 256, "second_share": 0.1}
LARGE = POOLED | {"dropout": 0.2, "max_epochs": 15}
# Columns that several rows share start almost at zero, so they take more epochs.
WITH_FEATURES = {"max_epochs": 30}
AUTO = {
    "pooled": POOLED,
    "pooled, features": POOLED | WITH_FEATURES,
    "pooled, large catalog": LARGE,
    "pooled, large catalog, features": LARGE | WITH_FEATURES,
    "recent": RECENT,
    "recent, large baskets": RECENT | {"dropout": 0.7},
    # each item is seen often within an epoch
    "recent, hidden layer": RECENT | {"max_epochs": 4},
}
# The same for a pair of towers with a pooled history next to one with a recent history:
# it need not be as good as one that stands alone.
SECOND_PAIR = {"dropout": 0.5, "max_epochs": 8, "batch_size": 256}


def has_hidden_layer(recipe, events):
    """Return whether there are enough events for a hidden layer of a recent history."""
    if not recipe.history.may_have_hidden_layer:
        return False
    n_items = np.count_nonzero(summed(column_counts(events.positives)))
    return summed(events.ordered.n_events) >= EVENTS_FOR_HIDDEN_LAYER * n_items


def has_large_catalog(recipe, events):
    """Return whether a pooled history is for a catalog of more than 10,000 items."""
    return not recipe.history.sees_order and events.positives.shape[1] > LARGE_CATALOG


def values_of_kind(recipe, events=None):
    """Return the recipe with the values of "auto" that depend on ``history``."""
    return with_values(recipe, AUTO[_kind(recipe, events)])


def _kind(recipe, events):
    """Return the key of ``AUTO`` for a recipe, and ``Events`` if they are known."""
    if not recipe.history.sees_order:
        kind = "pooled"
        if events is None:
            return kind
        if has_large_catalog(recipe, events):
            kind += ", large catalog"
        # columns of users or items that several rows share, beyond ids
        for side in (events.users, events.items):
            if side.rows.nnz > id_columns(side.rows).sum():
                return kind + ", features"
        return kind
    if events is None:
        return "recent"
    if has_hidden_layer(recipe, events):
        return "recent, hidden layer"
    baskets = summed(events.ordered.n_baskets())
    if summed(events.ordered.n_events) >= LARGE_BASKET * baskets:
        return "recent, large baskets"
    return "recent"


def with_values(recipe, values):
    """Return the recipe with values, by name, where it says "auto"."""
    chosen = {}
    for name, value in values.items():
        if getattr(recipe, name) == "auto":
            chosen[name] = value
    return recipe._replace(**chosen)


def resolved(recipe, events):
    """Return the recipe with all values of "auto" that follow from ``Events``."""
    recipe = values_of_kind(recipe, events)
    sampling = recipe.candidate_sampling
    if sampling == "auto":
        is_small = events.positives.shape[1] <= FULL_SOFTMAX_ITEMS
        is_small = is_small and events.items.rows.nnz <= FULL_SOFTMAX_ENTRIES
        sampling = "mixed"
        if is_small and not recipe.history.sees_order:
            sampling = "full"
    temperature = recipe.temperature
    if temperature == "auto":
        n_items = np.count_nonzero(summed(column_counts(events.positives)))
        temperature = auto_temperature(n_items, has_large_catalog(recipe, events))
        if has_hidden_layer(recipe, events):
            temperature = min(temperature, HIDDEN_LAYER_TEMPERATURE)
    return recipe._replace(candidate_sampling=sampling, temperature=temperature)


def user_power(events):
    """Return the power of the number of events to which a user counts in the loss.

    It is for a pooled history that stands alone.
    """
    chosen = events.positives
    n_events = summed(chosen.nnz)
    n_users = summed(have_entries(chosen, 1).sum())
    n_items = np.count_nonzero(summed(column_counts(chosen)))
    n_pairs = n_users * n_items
    if n_events >= max(MIN_DENSE_EVENTS, DENSE * n_pairs):
        return DENSE_USER_POWER
    return 1.0


def auto_temperature(n_items, large_catalog=False):
    """Return the temperature for a catalog with that many chosen items.

    The formulas were fitted to the best validated values of six data sets. Learning the
    temperature with the training loss leads to values that are far too low.
    """
    factor, power, lowest = TEMPERATURE
    if large_catalog:
        factor, power, lowest = LARGE_TEMPERATURE
    return float(np.clip(factor * n_items**-power, lowest, 0.2))
