"""Weights of events by age, and the half-lives of popularity.

Input: ``Events`` in the order of time, and a ``Recipe``.
Output: the same events with weights by age, and half-lives in units of the times.
"""

import datetime
from numbers import Real

import numpy as np
import pandas as pd

from sktwotower._tables._messages import warn
from sktwotower.towers.parts import raises_items
from sktwotower.towers.processes._group import most

from ._events import aged

NAMES = "half_life", "popularity_half_life"
# Half-lives of popularity to weigh, in shares of the time from first to last event.
TO_WEIGH = 1 / 4, 1 / 16, 1 / 64


def with_ages(recipe, events, dates):
    """Return ``Events`` with weights by age, and the recipe with half-lives in numbers.

    The half-life of popularity may still be "auto", see `popularity_to_weigh`.
    ``dates``: whether times are dates.
    """
    if events.ordered is None:
        recipe = recipe._replace(half_life=None, popularity_half_life="auto")
        return recipe, events
    of_popularity = recipe.popularity_half_life
    if _is_chosen(of_popularity) and not raises_items(recipe, events):
        warn(
            f"popularity_half_life={of_popularity!r} was not used: it needs "
            "normalize=True and an item_transformer that encodes ids. Change them, or "
            "set it to None."
        )
    half_life = in_units("half_life", recipe.half_life, dates)
    if half_life == "auto":
        half_life = None
    of_popularity = in_units("popularity_half_life", of_popularity, dates)
    events = events._replace(ordered=aged(events.ordered, half_life))
    recipe = recipe._replace(half_life=half_life, popularity_half_life=of_popularity)
    return recipe, events


def popularity_to_weigh(recipe, kept, weighed=None):
    """Return the recipe with the half-lives of popularity whose weights are learnt.

    It is a tuple in the place of "auto". ``kept``: a ``KeptBack``, or None: nothing is
    learnt of weights. ``weighed``: a ``Model`` whose weights hold; None: there is none.
    """
    if recipe.popularity_half_life != "auto":
        return recipe
    half_lives = None
    if kept is not None:
        half_lives = ()
    if weighed is not None:
        known = [part.half_life for part in weighed.parts]
        half_lives = tuple(value for value in known if value is not None)
    if kept is not None and kept.asked == "latest":
        times = kept.before.ordered.times
        span = most(float(times.max())) + most(-float(times.min()))
        half_lives = tuple(span * share for share in TO_WEIGH)
    return recipe._replace(popularity_half_life=half_lives)


def in_units(name, half_life, dates=None):
    """Return a half-life, by name, in units of the times, "auto" or None.

    Raises ``TypeError`` unless it is a duration or a number, as times are, and
    ``ValueError`` unless it is > 0. ``dates``: whether times are dates, if it is known.
    """
    if not _is_chosen(half_life):
        return half_life
    is_duration = isinstance(half_life, (datetime.timedelta, np.timedelta64))
    is_number = isinstance(half_life, Real) and not isinstance(half_life, bool)
    if dates is None:
        fits = is_duration or is_number
        expected = "a Timedelta, a number"
    elif dates:
        fits = is_duration
        expected = "a Timedelta, as times are dates"
    else:
        fits = is_number and not is_duration  # a timedelta64 is an integer
        expected = "a number"
    if not fits:
        raise TypeError(
            f"{name} must be {expected}, 'auto' or None. Got {half_life!r}."
        )
    if is_duration:
        value = _nanoseconds(name, half_life)
    else:
        value = float(half_life)
    if not 0 < value < np.inf:
        raise ValueError(f"{name} must be > 0 and finite. Got {half_life!r}.")
    return value


def as_duration(half_life, dates):
    """Return a half-life in units of the times as a Timedelta if they are dates."""
    if half_life is None or not dates:
        return half_life
    return pd.Timedelta(half_life, "ns")


def _is_chosen(half_life):
    """Return whether a half-life is neither "auto" nor None."""
    is_auto = isinstance(half_life, str) and half_life == "auto"
    return half_life is not None and not is_auto


def _nanoseconds(name, half_life):
    """Return a duration as a float, below 2 ** 63."""
    try:
        value = float(pd.Timedelta(half_life).as_unit("ns").value)
        pd.Timedelta(value, "ns")  # rounded up it may be too long
    except (ValueError, OverflowError) as error:
        expected = "a duration of at most 292 years, in weeks or smaller units"
        raise ValueError(f"{name} must be {expected}. Got {half_life!r}.") from error
    return value
