"""The weight of impressions, chosen by the order of what was shown.

Input: a ``Recipe`` with ``impression_weight="auto"``, ``Events`` and the rows they were
read from.
Output: one of the weights 0, 5 and 20.
"""

from typing import NamedTuple

import numpy as np
import pandas as pd

from sktwotower.metrics._hits import standard_error
from sktwotower.metrics._lists import RankedLists
from sktwotower.towers._auto import resolved
from sktwotower.towers.parts import embed_items, embed_users

from ._events import Events, ordered_outcomes, outcome_matrices
from ._pilots import HELD_OUT, MIN_USERS, SIZE, some_users

__all__ = ["ShownRows", "TableRows", "impression_weight"]

# The first one is used unless another one is better beyond its standard error.
WEIGHTS = 0.0, 5.0, 20.0
# What a short fit without a recent history takes longer to learn.
POOLED = {"max_epochs": 20, "dropout": 0.5}


class ShownRows(NamedTuple):
    """Rows of X: user and item as positions, outcome, weight and time, (n_rows,) each.

    ``times`` is None without a time column.
    """

    users: np.ndarray
    items: np.ndarray
    rewards: np.ndarray
    weights: np.ndarray
    times: np.ndarray | None

    def take(self, kept):
        """Return some of the rows."""
        return ShownRows(*(None if each is None else each[kept] for each in self))


class TableRows(NamedTuple):
    """The rows of a table in memory that ``events`` were read from."""

    events: Events
    frame: pd.DataFrame
    outcomes: tuple  # rewards, weights and times

    @property
    def n_rows(self):
        """Number of rows."""
        return len(self.frame)

    def of_some_users(self, seed):
        """Return ``ShownRows`` of random users who have 250,000 rows together."""
        users, items = (
            side.codes(self.frame[side.id_column], "X")
            for side in (self.events.users, self.events.items)
        )
        rows = ShownRows(users, items, *self.outcomes)
        some = some_users(np.bincount(users, minlength=len(self.events.users)), seed)
        return rows.take(np.isin(users, some))


def impression_weight(recipe, events, rows, fit, seed):
    """Return the weight of impressions that orders held-out shown items best.

    ``rows``: ``ShownRows`` of ``events``. ``fit(recipe, events, rng)`` returns a
    trained net. The latest tenth of the rows is held out or, without times, a random
    tenth. A weight is judged by the area under the ROC curve among what each user was
    shown, in a short fit. The result is 0 if too few users can be judged.
    """
    if not (rows.rewards == 0).any():
        return 0.0
    late = _latest_tenth(rows, np.random.RandomState(seed))
    before, shown = rows.take(~late), rows.take(late)
    shown = shown.take(
        np.isin(shown.items, before.items)
        & np.isin(shown.users, before.users[before.rewards > 0])
    )
    if len(shown.users) == 0 or _lists(shown).has_both().sum() < MIN_USERS:
        return 0.0
    values = [
        _values(recipe._replace(impression_weight=weight), events, before, shown, fit)
        for weight in WEIGHTS
    ]
    gains = [each - values[0] for each in values]
    best = int(np.argmax([np.nanmean(gain) for gain in gains]))
    pays = np.nanmean(gains[best]) > standard_error(gains[best])
    return WEIGHTS[best] if pays else WEIGHTS[0]


def _latest_tenth(rows, rng):
    """Return which rows are the latest tenth, or a random one without an order."""
    times = rows.times
    if times is not None and (times != times[0]).any():
        start = np.quantile(times, 1 - HELD_OUT)
        # more than a tenth may have the last time, and almost all the first one
        return times >= start if start > times.min() else times > start
    return rng.uniform(size=len(rows.users)) < HELD_OUT


def _lists(shown, scores=None):
    """Return what each user was shown as ``RankedLists``."""
    scores = np.zeros(len(shown.users)) if scores is None else scores
    return RankedLists(shown.rewards, scores, shown.users)


def _values(recipe, events, before, shown, fit):
    """Return the area under the ROC curve (n_users,) of what each user was shown."""
    own = {name: getattr(recipe, name) for name in ("history", "impression_start")}
    length = {} if recipe.history == "recent" else POOLED
    recipe = recipe._replace(**SIZE | length | own)
    events = _events_of(events, before, recipe.history)
    net = fit(resolved(recipe, events), events, np.random.RandomState(0))
    if net.interrupted_:  # nothing is learnt yet that could be kept
        raise KeyboardInterrupt
    module, item_rows = net.module_, events.items.rows[:-1]
    users, user_of = np.unique(shown.users, return_inverse=True)
    items, item_of = np.unique(shown.items, return_inverse=True)
    past = None
    if module.past is not None:
        in_order = events.ordered
        past = events.positives if in_order is None else in_order.sequences.lags
        past = past[users]
    user_vectors = embed_users(module, events.users.rows[users], past, item_rows)
    item_vectors = embed_items(module, item_rows[items])
    pairs = user_vectors[user_of], item_vectors[item_of]
    scores = np.einsum("nd,nd->n", *pairs, dtype=np.float64)
    return _lists(shown, scores).values("roc_auc")


def _events_of(events, rows, history):
    """Return ``Events`` of some of the rows, with all users and items."""
    codes, shape = (rows.users, rows.items), events.positives.shape
    outcomes = rows.rewards, rows.weights, rows.times
    in_order = None
    if history == "recent":
        in_order = ordered_outcomes(codes, outcomes, shape)
    matrices = outcome_matrices(codes, rows.rewards, rows.weights, shape)
    return Events(events.users, events.items, *matrices, in_order)
