"""The weight of impressions, chosen by the order of what was shown.

Input: a ``Recipe`` with ``impression_weight="auto"``, ``Events`` and the table they
were read from.
Output: one of the weights 0, 5 and 20.
"""

import numpy as np

from sktwotower.metrics._hits import standard_error
from sktwotower.metrics._ranked_lists import RankedLists
from sktwotower.towers._auto import resolved
from sktwotower.towers.parts import embed_items, embed_users

from ._events import Events
from ._pilots import HELD_OUT, MIN_USERS, shortened, some_users

# The first one is used unless another one is better beyond its standard error.
WEIGHTS = 0.0, 5.0, 20.0
# What a short fit without a recent history takes longer to learn.
POOLED = {"max_epochs": 20, "dropout": 0.5}


def impression_weight(recipe, events, table, fit, seed):
    """Return the weight of impressions that orders held-out shown items best.

    ``table``: the ``EventTable`` of ``events``, of which random users are taken who
    have 250,000 rows together. ``fit(recipe, events, rng)`` returns a trained net. The
    latest tenth of the rows is held out or, without times, a random tenth. A weight is
    judged by the area under the ROC curve among what each user was shown, in a short
    fit. The result is 0 if too few users can be judged.
    """
    if table.chosen is None:
        return 0.0
    table = table.only(some_users(np.diff(table.offsets), seed))
    late = _latest_tenth(table, np.random.RandomState(seed))
    before, shown = table.events_at(~late), table.events_at(late)
    chosen = np.diff(before.chosen_events().offsets) > 0
    known = np.isin(shown.items, before.items) & chosen[shown.users]
    shown = shown.events_at(known)
    lists = RankedLists(shown.chosen, np.zeros(shown.n_events), shown.users)
    if shown.n_events == 0 or lists.has_both().sum() < MIN_USERS:
        return 0.0
    values = [
        _values(recipe._replace(impression_weight=weight), events, before, shown, fit)
        for weight in WEIGHTS
    ]
    gains = [each - values[0] for each in values]
    best = int(np.argmax([np.nanmean(gain) for gain in gains]))
    pays = np.nanmean(gains[best]) > standard_error(gains[best])
    return WEIGHTS[best] if pays else WEIGHTS[0]


def _latest_tenth(table, rng):
    """Return which rows are the latest tenth, or a random one without an order."""
    times = table.times
    if times is not None and (times != times[0]).any():
        start = np.quantile(times, 1 - HELD_OUT)
        # more than a tenth may have the last time, and almost all the first one
        return times >= start if start > times.min() else times > start
    return rng.uniform(size=table.n_events) < HELD_OUT


def _values(recipe, events, before, shown, fit):
    """Return the area under the ROC curve (n_users,) of what each user was shown."""
    kept = {name: getattr(recipe, name) for name in ("history", "impression_start")}
    length = {} if recipe.history == "recent" else POOLED
    recipe = shortened(recipe, **length, **kept)
    events = Events.of(events.users, events.items, before, recipe.history)
    net = fit(resolved(recipe, events), events, np.random.RandomState(0))
    if net.interrupted_:  # nothing is learnt yet that could be kept
        raise KeyboardInterrupt
    module, item_rows = net.module_, events.items.rows[:-1]
    users, user_of = np.unique(shown.users, return_inverse=True)
    items, item_of = np.unique(shown.items, return_inverse=True)
    past = None
    if module.past is not None:
        in_order = events.ordered
        past = events.positives if in_order is None else in_order.lags()
        past = past[users]
    user_vectors = embed_users(module, events.users.rows[users], past, item_rows)
    item_vectors = embed_items(module, item_rows[items])
    user_vectors, item_vectors = user_vectors[user_of], item_vectors[item_of]
    scores = np.einsum("nd,nd->n", user_vectors, item_vectors, dtype=np.float64)
    return RankedLists(shown.chosen, scores, shown.users).values("roc_auc")
