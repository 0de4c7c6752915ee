"""Weights of events by age, and the half-lives that suit the data.

Input: ``Events`` in the order of time, and a ``Recipe``.
Output: the same events with weights by age, and the half-lives.
"""

import datetime
import functools
from numbers import Real

import numpy as np
import pandas as pd

from sktwotower._tables._event_table import users_of_events
from sktwotower._tables._messages import warn
from sktwotower.towers.parts import raises_items

from ._events import aged
from ._pilots import HELD_OUT, best_of, pilot

# Each half-life, and what it says is aging.
NAMES = {"half_life": "events age", "popularity_half_life": "popularity ages"}

# Half-lives of popularity to compare, in shares of the time from first to last event.
SHARES = 2.0 ** -np.arange(1, 9)
# The half-life of a model, relative to that of popularity: vectors need more events.
MODEL_HALF_LIFE = 2.0
# With more events the half-life of popularity is that of a sample of the users.
MAX_EVENTS = 10_000_000


def with_ages(recipe, events, dates, seed, choice):
    """Return ``Events`` with weights by age, and both half-lives that were used.

    Those of ``recipe`` may be "auto": see `TwoTowerRecommender`. ``dates``: whether
    times are dates; numbers give only the order of a user's events. ``choice(name,
    make)`` returns what was chosen before under a name, or the result of ``make()``.
    """
    _warn_of_no_popularity(recipe, events)
    given = [in_units(name, getattr(recipe, name), dates) for name in NAMES]
    if "auto" in given:
        make = functools.partial(_chosen, recipe, events, seed)
        found = choice("half_lives", make) if dates else (None, None)
        both = zip(given, found, strict=True)
        given = [auto if own == "auto" else own for own, auto in both]
    return events._replace(ordered=aged(events.ordered, given[0])), given


def in_units(name, half_life, dates=None):
    """Return a half-life, by name, in units of the times, "auto" or None.

    Raises ``TypeError`` unless it is a duration or a number, as times are, and
    ``ValueError`` unless it is > 0. ``dates``: whether times are dates, if it is known.
    """
    if not _is_chosen(half_life):
        return half_life
    duration = isinstance(half_life, (datetime.timedelta, np.timedelta64))
    number = isinstance(half_life, Real) and not isinstance(half_life, bool)
    fits, expected = {
        None: (duration or number, "a Timedelta, a number"),
        True: (duration, "a Timedelta, as times are dates"),
        False: (number and not duration, "a number"),  # a timedelta64 is an integer
    }[dates]
    if not fits:
        raise TypeError(
            f"{name} must be {expected}, 'auto' or None. Got {half_life!r}."
        )
    value = _nanoseconds(name, half_life) if duration else float(half_life)
    if not 0 < value < np.inf:
        raise ValueError(f"{name} must be > 0 and finite. Got {half_life!r}.")
    return value


def as_duration(half_life, dates):
    """Return a half-life in units of the times as a Timedelta if they are dates."""
    return half_life and (pd.Timedelta(half_life, "ns") if dates else half_life)


def warn_of_no_ages(recipe):
    """Warn of half-lives that are set, if the history of the recipe has no ages."""
    for name, aging in NAMES.items():
        if _is_chosen(value := getattr(recipe, name)):
            warn(
                f"{name}={value!r} was not used: {aging} with a recent history only, "
                f"and here it is {recipe.history!r}. Name the column that says when "
                f"(time) and use history='recent', or set {name}=None and pass weights "
                "by age to fit (sample_weight)."
            )


def _warn_of_no_popularity(recipe, events):
    """Warn if popularity is to age, but no item can be raised by itself."""
    value = recipe.popularity_half_life
    if _is_chosen(value) and not raises_items(recipe, events):
        warn(
            f"popularity_half_life={value!r} was not used: it needs normalize=True and "
            "an item_transformer that encodes ids. Change them, or set it to None."
        )


def _is_chosen(half_life):
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


def _chosen(recipe, events, seed):
    """Return the half-lives of events and of popularity that are better than None.

    Better means: a higher NDCG of a short fit on the latest tenth of events; with
    popularity, it is higher beyond the standard error.
    """
    found = popularity_half_life(events.ordered)
    popular = [] if found is None else [found / MODEL_HALF_LIFE * s for s in (1, 0.5)]
    ndcg = found and pilot(recipe, events, seed, popular)
    if ndcg is None:
        return None, None
    own = in_units("half_life", recipe.half_life)
    choices = (None, found) if own == "auto" else (own,)
    tried = {each: ndcg(each) for each in choices}
    half_life = max(choices, key=lambda each: tried[each][0].mean())
    best, _ = best_of(tried[half_life])
    return half_life, [None, *popular][best]


def popularity_half_life(table):
    r"""Return the half-life at which past popularity predicts the latest events best.

    Parameters
    ----------
    table : EventTable
        It is in order.

    Returns
    -------
    float or None
        In units of the times; None if events that do not age predict as well.

    Notes
    -----
    Item i has the probability :math:`(\sum 2^{-a / h} + 0.1 m) / z`, where the sum is
    over its events with age a before the latest tenth, h is the half-life, m the mean
    of these sums over items, and z makes probabilities add up to one. The half-life
    with the highest likelihood of the latest tenth is multiplied by two. Of more than
    10,000,000 events, those of random users with that many are used.
    """
    if table.n_events > MAX_EVENTS:
        table = table.of_users(users_of_events(np.diff(table.offsets), 0, MAX_EVENTS))
    order = np.argsort(table.times, kind="stable")
    times, items = table.times[order].astype(float), table.items[order]
    cut = int((1 - HELD_OUT) * len(items))
    span, n_items = times[-1] - times[0], table.n_items
    if cut < 1 or not span > 0:
        return None
    age = times[cut] - times[:cut]

    def likelihood(half_life):
        sums = np.bincount(items[:cut], 0.5 ** (age / half_life), minlength=n_items)
        chances = (sums + 0.1 * sums.mean()) / (1.1 * sums.sum())
        return np.log(chances[items[cut:]]).mean()

    half_lives = np.append(np.inf, span * SHARES)
    best = half_lives[np.argmax([likelihood(h) for h in half_lives])]
    best *= MODEL_HALF_LIFE
    return float(best) if best < 2 * span else None
