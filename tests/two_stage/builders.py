"""Events in which the ranker finds what the retriever does not see."""

import numpy as np
import pandas as pd
from sklearn.tree import DecisionTreeClassifier

from sktwotower import PopularityRecommender, TwoStageRecommender
from tests.builders import chain, dated

__all__ = ["follows", "shown", "stages", "tastes"]


def follows(n_users=60, dates=False, **params):
    """Draw events in which the item that follows is known from the one before."""
    events = chain(n_users, n_items=30, **({"noise": 0.3} | params))
    return dated(events) if dates else events


def tastes(n_users=80, seed=0):
    """Draw events of the popular items of the user's own group."""
    rng = np.random.default_rng(seed)
    items = np.array([f"i{item:02}" for item in range(40)])
    odds = 0.85 ** np.arange(20)
    rows = []
    for user in range(n_users):
        own = items[20 * (user % 2) :][:20]
        order = rng.choice(20, 10, replace=False, p=odds / odds.sum())
        rows += [(f"u{user:02}", own[item], t) for t, item in enumerate(order)]
    return pd.DataFrame(rows, columns=["user", "item", "when"])


def stages(retriever=None, ranker=None, **params):
    """Build a recommender that is fitted within milliseconds."""
    retriever = PopularityRecommender() if retriever is None else retriever
    if ranker is None:
        ranker = DecisionTreeClassifier(
            max_depth=3, min_samples_leaf=20, random_state=0
        )
    params = {"time": "when", "n_candidates": 25, "random_state": 0} | params
    return TwoStageRecommender(retriever, ranker, **params)


def shown(n_users=60, n_lists=5, *, slope=0.0, swapped=0.0, often=1.0, seed=0):
    """Draw lists that were shown, and ``y``: whether each item was chosen.

    The item ``i07`` is chosen with probability 0.1 + 0.03 * 7, times 1 / p ** ``slope``
    at place p. A share ``swapped`` of the lists has its worst items first, the rest is
    in random order. An item is shown ``often`` times as often as the next better one.
    """
    rng = np.random.default_rng(seed)
    n_items, size = 24, 6
    shares = often ** -np.arange(n_items)
    shares /= shares.sum()
    rows, places = [], np.arange(1, size + 1)
    for turn in range(n_users * n_lists):
        items = rng.choice(n_items, size, replace=False, p=shares)
        if rng.random() < swapped:
            items = np.sort(items)
        odds = (0.1 + 0.03 * items) / places**slope
        chosen = (rng.random(size) < odds).astype(float)
        user, day = f"u{turn % n_users:02}", turn // n_users
        rows += [
            (user, f"i{item:02}", day, f"{user}-{day}", place, y)
            for item, place, y in zip(items, places.tolist(), chosen, strict=True)
        ]
    table = pd.DataFrame(rows, columns=["user", "item", "when", "list", "place", "y"])
    days = pd.to_timedelta(table["when"], "D")
    return table.assign(when=pd.Timestamp("2024-01-01") + days)
