"""Do recent events count for more where tastes change?

Call ``OMP_NUM_THREADS=1 python benchmarks/bench_recency.py [--seeds 3]``; the data, the
purchases of a year, are shipped. Later purchases are to be found. An event's
``sample_weight`` halves with each half-life of its age. The half-life, and EASE's
weight, are chosen on the last tenth of train, and judged once on test.

Failure: weights by age do not raise the recall beyond its interval.
"""

import argparse

import numpy as np
import pandas as pd
from _common import PAIR, _last_rows, _online_retail, machine, write_results
from _quick import assert_claims, parse_options

from sktwotower import EASERecommender, TwoTowerRecommender
from sktwotower.metrics import make_retrieval_scorer, retrieval_report

HALF_LIVES = (np.inf, 180, 90, 45, 22)  # days; infinite: all events alike
L2 = (100.0, 300.0, 1000.0)
SCORER = make_retrieval_scorer("ndcg@10")
FIGURES = ["recall@20", "recall@20 diff", "recall@20 diff se", "ndcg@10"]


def cut(events, share):
    """Part events by time; what is held out is of known users and items."""
    held = _last_rows(share)(events)
    train, test = events[~held], events[held]
    known = [test[side].isin(train[side]) for side in PAIR]
    return train, test.loc[known[0] & known[1], PAIR]


def weights(train, half_life):
    """Return each event's weight, 1 for the last one."""
    age = (train["time"].max() - train["time"]) / pd.Timedelta(days=1)
    return 0.5 ** (age / half_life)


def fitted(train, half_life, seed):
    model = TwoTowerRecommender(random_state=seed)
    return model.fit(train[PAIR], sample_weight=weights(train, half_life))


def choose(train, seeds):
    """Return half-life and EASE's weight that are best on the last tenth of train."""
    inner, held_out = cut(train, 0.1)
    found = {}
    for half_life in HALF_LIVES:
        models = [fitted(inner, half_life, seed) for seed in seeds]
        found[half_life] = np.mean([SCORER(model, held_out) for model in models])
    ease = {l2: SCORER(EASERecommender(l2).fit(inner[PAIR]), held_out) for l2 in L2}
    print("validation NDCG@10:", found, ease, flush=True)
    return max(found, key=found.get), max(ease, key=ease.get)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=3)
    seeds, where = range(parse_options(parser).seeds), machine()
    train, test = cut(_online_retail(None), 0.2)
    half_life, l2 = choose(train, seeds)
    ease, rows = EASERecommender(l2).fit(train[PAIR]), []
    for seed in seeds:
        others = {"by age": fitted(train, half_life, seed), "EASE": ease}
        alike = fitted(train, np.inf, seed)
        report = retrieval_report(alike, test, baselines=others).loc["all"]
        report = report.rename(index={"TwoTowerRecommender": "all alike"})
        rows.append(report[FIGURES].assign(seed=seed, half_life=half_life, l2=l2))
    table = pd.concat(rows)
    means = table.groupby(level="model", sort=False).mean()
    print(means.to_string(float_format="{:.4f}".format))
    records = table.reset_index().to_dict("records")
    write_results("recency", [row | where for row in records])
    gained, error = means.loc["by age", ["recall@20 diff", "recall@20 diff se"]]
    has_gained = gained > 1.96 * error
    assert_claims([] if has_gained else ["weights by age do not raise the recall"])


if __name__ == "__main__":
    main()
