"""The models that the command line fits.

Input: a task and its events.
Output: a fitted `TwoTowerRecommender`, and the baselines it is compared with.
"""

import math
import warnings

from sktwotower import EASERecommender, ItemKNNRecommender, TwoStageRecommender
from sktwotower.baselines import ContentRecommender, PopularityRecommender
from sktwotower.item_weights._ease_weights import seconds_of_ease

from ._steps import step

# Two stages: the candidates of EASE, in the order of a ranker.
RANKED = "EASE + ranker"
# EASE may take as many seconds as the recommender itself, and always so many.
PATIENCE = 60


def fit(task, train, what, epochs=None, seed=0):
    """Fit a recommender with default settings; ``what`` is printed with its time."""
    from sktwotower import TwoTowerRecommender  # torch takes seconds to import

    columns = {"user_id": task.user, "item_id": task.item, "time": task.time}
    columns["context"] = task.context or "auto"
    tables = {"users": task.users, "items": task.items}
    how = {"max_epochs": "auto" if epochs is None else epochs, "random_state": seed}
    with step(what):
        return TwoTowerRecommender(**columns, **tables, **how, verbose=1).fit(train)


def fit_baselines(task, train, seconds=math.inf, seed=0) -> dict:
    """Fit what the recommender is compared with, except popularity of all events.

    ``seconds``: those of its own fit, which EASE must not exceed by much.
    """
    columns = {"user_id": task.user, "item_id": task.item}
    baselines = {}
    times = []
    if task.time is not None:
        times = train[task.time]
    if len(times) and (span := times.max() - times.min()):
        popularity = PopularityRecommender(window=span / 10, time=task.time, **columns)
        baselines["recent popularity"] = popularity.fit(train)
    with step("Fitting item-kNN"):
        baselines["item-kNN"] = ItemKNNRecommender(**columns).fit(train)
    if task.items is not None:
        with step("Fitting content"):
            content = ContentRecommender(task.items, **columns)
            baselines["content"] = content.fit(train)
    ease = EASERecommender(max_items=None, **columns)
    n_users = train[task.user].nunique()
    n_items = train[task.item].nunique()
    try:
        expected = seconds_of_ease(n_users, n_items, len(train))
        if expected > max(seconds, PATIENCE):
            raise ValueError(f"{n_items:,} items would take about {expected:,.0f} s.")
        with step("Fitting EASE"):
            ease.fit(train)
    except (ValueError, MemoryError) as error:
        reason = str(error).split(". ")[0].strip(".")  # without advice for Python
        print(f"No comparison with EASE: {reason}. Leave out rare items to have it.")
        return baselines
    baselines["EASE"] = ease
    if len(times):
        ranked = TwoStageRecommender(ease, time=task.time, random_state=seed)
        with step(f"Fitting {RANKED}"), warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # that its ranker does not pay
            ranked.fit(train)
        baselines |= {RANKED: ranked} if ranked.blend_ else {}
        if not ranked.blend_:
            print(f"{RANKED}: no ranker helped, so it equals EASE.")
    return baselines
