"""The models that the command line fits.

Input: a task and its events.
Output: a fitted `TwoTowerRecommender`, and the baselines it is compared with.
"""

import math
import time
import warnings

from sktwotower import EASERecommender, ItemKNNRecommender, TwoStageRecommender
from sktwotower.baselines import PopularityRecommender
from sktwotower.baselines._ease import seconds_of_ease

# Two stages: the candidates of EASE, in the order of a ranker.
RANKED = "EASE + ranker"


def fit(task, train, epochs, seed=0):
    """Fit a recommender with default settings and print how long it took."""
    from sktwotower import TwoTowerRecommender  # torch takes seconds to import

    columns = {"user_id": task.user, "item_id": task.item, "time": task.time}
    columns["context"] = task.context or None
    tables = {"users": task.users, "items": task.items}
    how = {"max_epochs": "auto" if epochs is None else epochs, "random_state": seed}
    model = TwoTowerRecommender(**columns, **tables, **how, verbose=1)
    return _timed(model, train, "Fitted")


def _timed(model, train, what):
    """Return a recommender fitted on events, and print how long it took."""
    started = time.perf_counter()
    model.fit(train)
    print(f"{what} in {time.perf_counter() - started:.0f} s.")
    return model


def fit_baselines(task, train, seconds=math.inf, seed=0) -> dict:
    """Fit what the recommender is compared with, except popularity of all events.

    ``seconds``: those of its own fit, which EASE must not exceed.
    """
    columns = {"user_id": task.user, "item_id": task.item}
    baselines = {}
    times = [] if task.time is None else train[task.time]
    if len(times) and (span := times.max() - times.min()):
        popularity = PopularityRecommender(window=span / 10, time=task.time, **columns)
        baselines["recent popularity"] = popularity.fit(train)
    baselines["item-kNN"] = ItemKNNRecommender(**columns).fit(train)
    try:
        expected = seconds_of_ease(train[task.item].nunique())
        if expected > seconds:
            raise ValueError(
                f"it would take about {expected:,.0f} s, longer than the recommender, "
                f"which took {seconds:,.0f} s."
            )
        baselines["EASE"] = EASERecommender(**columns).fit(train)
    except ValueError as error:
        print(f"No comparison with EASE: {error}")
    if "EASE" in baselines and len(times):
        ease = EASERecommender(**columns)
        ranked = TwoStageRecommender(ease, time=task.time, random_state=seed)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # that its ranker does not pay
            _timed(ranked, train, f"{RANKED} fitted")
        baselines |= {RANKED: ranked} if ranked.blend_ else {}
    return baselines
