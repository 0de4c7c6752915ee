"""The colors of items: from a feature to numbers, groups and scales.

Input: a feature of each item (n_items,).
Output: numbers or names of groups, (n_items,), and the limits and ticks of a scale.
"""

from collections.abc import Iterable
from textwrap import shorten

import numpy as np
import pandas as pd

from ._style import GRAY, round_numbers

# The name of the group for all other items.
OTHER = ""
MAX_NAME = 24
# The part of viridis that stands out from white and from black.
LIGHTNESS = 0.22, 0.92
SETS = set, frozenset
# Percentiles of numbers at the ends of the color scale, to ignore outliers.
COLOR_LIMITS = 2, 98


def color_of_items(fitted, color):
    """Return a feature of each item, a Series (n_items,), and its name.

    ``fitted``: the recommender's ``Fitted``.
    """
    if color is None:
        users = fitted.seen.getnnz(axis=0)[: fitted.n_items]
        return pd.Series(np.maximum(users, 1)), "number of users in fit"
    if isinstance(color, str):
        remedy = "Fit with items=..., or pass a value for each of item_ids_."
        values = fitted.items.side_column(color, "color", remedy)
        return values.reindex(fitted.item_ids), color
    if not isinstance(color, Iterable):
        expected = "a column of the side table items, or hold a value for each item"
        raise TypeError(f"color must name {expected}. Got {color!r}.")
    values = pd.Series(list(color))
    if len(values) != fitted.n_items:
        raise ValueError(
            f"color must hold a value for each of the {fitted.n_items} items of "
            f"item_ids_, in their order. Got {len(values)}."
        )
    return values, getattr(color, "name", None)


def readable(color):
    """Return a Series of a feature's values, numbers as floats and dates as years.

    Booleans become objects: they are groups, but pandas counts them among the numbers.
    """
    color = pd.Series(color)
    if pd.api.types.is_datetime64_any_dtype(color):
        return color.dt.year
    if pd.api.types.is_bool_dtype(color):
        return color.astype(object)
    return color.astype(float) if pd.api.types.is_numeric_dtype(color) else color


def group_names(color, n_groups):
    """Return the name of each item's group (n_items,), OTHER for those without one."""
    lists = [sorted(c, key=str) if isinstance(c, SETS) else c for c in color]
    entries = pd.Series(lists, dtype=object).explode().dropna()
    names = entries.map(lambda name: shorten(str(name), MAX_NAME, placeholder="..."))
    shown = names[names.isin(names.value_counts().index[:n_groups])]
    first = shown.groupby(level=0).first()
    return first.reindex(range(len(color)), fill_value=OTHER).to_numpy(dtype=object)


def color_limits(numbers, scale):
    """Return the arguments of a scale of colors for finite numbers (n,)."""
    low, high = np.percentile(numbers, COLOR_LIMITS) if len(numbers) else (0, 1)
    if low == high:
        low = numbers.min()
        high = numbers.max()
    return {"norm": scale, "vmin": low, "vmax": high}


def log_ticks(low, high):
    """Return a few round numbers from `low` to `high`."""
    from matplotlib.ticker import MaxNLocator

    ticks = round_numbers(low, high)
    ticks = ticks if len(ticks) > 2 else MaxNLocator(4).tick_values(low, high)
    return [tick for tick in ticks if low <= tick <= high]


def colormap():
    """Return the part of viridis that can be read on any background, gray for nan."""
    import matplotlib
    from matplotlib.colors import ListedColormap

    colors = matplotlib.colormaps["viridis"](np.linspace(*LIGHTNESS, 256))
    return ListedColormap(colors).with_extremes(bad=GRAY)
