"""Public functions of the golden set: tables, splits, metrics, reports, importance."""

import numpy as np
import pandas as pd

from sktwotower import TowerVectorizer, interactions_from_matrix, metrics
from sktwotower.datasets import make_interactions
from sktwotower.model_selection import (
    ColdItemSplit,
    ColdUserSplit,
    LastNSplit,
    TimeSplit,
    prequential_validate,
    search_space,
)
from sktwotower.preprocessing import k_core, ratings_to_events, session_ids
from sktwotower.towers import StreamingFrequency, id_shares

from . import models
from .answers import figures_of, numbers_of_table, vector
from .tables import followers, items_table, later, lists, shop, users_table

TASKS = {}
PAIRS = ["user", "item"]


def task(name):
    """Register a function that returns answers, label -> value."""

    def register(function):
        TASKS[name] = function
        return function

    return register


@task("preprocessing")
def preprocessing():
    events = shop()
    kept = k_core(events[PAIRS], 8)
    liked, rewards = ratings_to_events(events[PAIRS], events["y"], 4)
    gap = pd.Timedelta(days=3)
    sessions = session_ids(events[["user", "when"]], gap, time="when", user_id="user")
    matrix = np.arange(12).reshape(3, 4) % 3
    table, values = interactions_from_matrix(matrix, user_ids=["a", "b", "c"])
    return {
        "which rows k_core keeps": vector(kept),
        "outcomes of ratings": vector(rewards),
        "number of events of ratings": float(len(liked)),
        "sessions": vector(pd.factorize(pd.Series(list(sessions)))[0]),
        "events of a matrix": [f"{row.user} {row.item}" for row in table.itertuples()],
        "values of a matrix": vector(values),
    }


@task("generated events")
def generated():
    few = {"interactions_per_user": 4, "n_clusters": 2, "random_state": 0}
    data = make_interactions(20, 40, n_impressions=1, **few).data
    return {"rows": [" ".join(map(str, row)) for row in data.to_numpy()[:40]]}


@task("splits")
def splits():
    events = shop()[["user", "item", "when"]]
    splitters = {
        "time": TimeSplit(0.2, time="when", n_splits=2),
        "days": TimeSplit(pd.Timedelta(days=9), time="when", drop_unseen_users=True),
        "last": LastNSplit(2, time="when"),
        "cold items": ColdItemSplit(0.2, random_state=0),
        "cold users": ColdUserSplit(0.2, random_state=0),
    }
    found = {}
    for name, splitter in splitters.items():
        for number, (train, test) in enumerate(splitter.split(events)):
            found[f"train of split {name} {number}"] = vector(train)
            found[f"test of split {name} {number}"] = vector(test)
    return found


@task("metrics of lists")
def metrics_of_lists():
    truth = [["a", "b"], ["c"], ["d", "e", "f"]]
    shown = [["b", "x", "a"], ["y", "x", "c"], ["e", "d", "z"]]
    found = {}
    for name in (
        "average_precision_at_k",
        "hit_rate_at_k",
        "ndcg_at_k",
        "precision_at_k",
        "recall_at_k",
        "reciprocal_rank_at_k",
    ):
        values = getattr(metrics, name)(truth, shown, 2, per_user=True)
        found[f"{name} of each user"] = vector(values)
    rows = lists(6, 2)
    scores = (rows["place"] * 7 + rows["price"]) % 5
    for name in ("ndcg_by_list", "reciprocal_rank_by_list", "roc_auc_by_list"):
        value = getattr(metrics, name)(rows["y"], scores, rows["list"])
        found[name] = float(value)
    counts = pd.Series({"a": 9, "b": 5, "c": 3, "x": 2, "y": 1, "d": 1, "e": 4, "z": 1})
    found["coverage"] = float(metrics.coverage_at_k(shown, 12, 2))
    found["gini"] = float(metrics.gini_at_k(shown, 12, 2))
    found["novelty"] = float(metrics.novelty_at_k(shown, counts, 2))
    found["long tail"] = float(metrics.long_tail_share_at_k(shown, counts, 2))
    chances = np.linspace(0.05, 0.95, len(rows))
    error = metrics.expected_calibration_error(rows["y"], chances)
    found["calibration error"] = float(error)
    return found


@task("report")
def report():
    held_out = later()[["user", "item", "when"]]
    others = {"walks": models.walks()}
    table = metrics.retrieval_report(
        models.ease(), held_out[PAIRS], k=(3, 5), baselines=others
    )
    found = numbers_of_table("report", table.reset_index())
    rated = models.weights_in_time().rank_held_out(held_out, n_neighbors=4)
    found["held-out lists"] = vector(rated.indices)
    scorer = metrics.make_retrieval_scorer(["recall", "ndcg"], k=5)
    for name, value in scorer(models.ease(), held_out[PAIRS]).items():
        found[f"scorer: {name}"] = float(value)
    found["score"] = float(models.weights_in_time().score(held_out))
    return found


@task("a model over time")
def over_time():
    events = followers()[["user", "item", "when"]]
    model = models.PopularityRecommender(time="when")
    table = prequential_validate(model, events, time="when", n_slices=3)
    table = table[[name for name in table if "time" not in name]]
    found = numbers_of_table("slice", table)
    found["search space"] = sorted(search_space(4))
    return found


@task("importance of columns")
def importance():
    held_out = later()[PAIRS]
    table = models.side_tables().feature_importance(held_out, random_state=0)
    found = numbers_of_table("importance", table)
    stages = models.ranked_towers()
    table = stages.feature_importance(held_out, n_repeats=1, random_state=0)
    return found | numbers_of_table("importance for the ranker", table)


@task("rows of features")
def rows_of_features():
    found = {}
    for name, table in {"user": users_table(), "item": items_table()}.items():
        transformer = TowerVectorizer(n_hashed=3, min_frequency=3).fit(table)
        rows = transformer.transform(table.iloc[::-3])
        found |= figures_of(f"rows of {name}s", rows)
        found[f"columns of {name}s"] = [*transformer.get_feature_names_out()]
        found[f"row of {name} 0"] = vector(rows[0])
        found |= numbers_of_table(f"summary of {name}s", transformer.summary())
    return found


@task("frequencies of a stream")
def frequencies():
    stream = StreamingFrequency(rate=0.1)
    ids = shop()["item"].to_numpy()
    for start in range(0, 400, 40):
        stream.partial_fit(ids[start : start + 40])
    shares = id_shares(0.5, np.array([1, 5, 20, 100]))
    known = np.unique(ids)[:10]
    return {"frequencies": vector(stream.predict(known)), "shares": vector(shares)}
