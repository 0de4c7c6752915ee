"""Do default settings rank a whole catalogue better than tuned baselines do?

Call ``python benchmarks/bench_quality.py --data DIR [--only NAMES] [--seeds 3]`` with
DIR holding one folder of parquet files per data set; ``--only online-retail`` and
``--quick`` (a few epochs of the same, nothing tuned, nothing written, under a minute)
need no DIR. Item-kNN, EASE and, where `implicit` is installed, iALS get the best
parameters of a grid by NDCG@10 on a part of train cut off as test is, and are then
fitted on all of train. Ours is fitted on train with its defaults, once per seed.

Failure: popularity's figures differ from the published ones of the protocol (then the
split or a metric is wrong), or ours stay below the floors in FLOORS, which on
online-retail is twice the recall@20 of popularity.
"""

import argparse
from importlib.util import find_spec

import numpy as np
import pandas as pd
from _baselines import EASE, IALS, ItemKNN, Popularity
from _common import PROTOCOLS, clock, load, machine, write_results
from sklearn.model_selection import ParameterGrid

from sktwotower import TwoTowerRecommender, metrics

OURS = "two towers"
K = 20
# Recall@10 is divided by min(10, relevant items) here, as published figures are.
TRUNCATED = {"ml-100k"}
SHOWN = {
    "ml-100k": ["recall@10", "recall@20", "ndcg@10", "ndcg@20"],
    "ml-100k-last": ["hit_rate@10", "ndcg@10", "ndcg@20"],
}
SHOWN_ELSEWHERE = ["recall@10", "recall@20", "ndcg@10", "ndcg@20"]
GRIDS = {
    "item-kNN": (ItemKNN, {"n_neighbors": [20, 50, 100, 200, 400]}),
    "EASE": (EASE, {"regularization": [30, 100, 200, 300, 500, 1000, 2000]}),
    "iALS": (
        IALS,
        {"factors": [32, 64, 128], "regularization": [10, 30, 100], "alpha": [2, 10]},
    ),
}
# Popularity needs no choice of ours, so it tells whether split and metrics are right.
POPULARITY = {
    "ml-100k": {"recall@10": 0.216, "recall@20": 0.169, "ndcg@10": 0.220},
    "ml-100k-last": {"hit_rate@10": 0.086, "ndcg@10": 0.045},
    "online-retail": {"recall@20": 0.037, "ndcg@10": 0.038},
    "lastfm": {"recall@20": 0.037, "ndcg@20": 0.021},
    "ml-1m": {},
}
FLOORS = {
    "ml-100k": {"recall@20": 0.352, "ndcg@10": 0.430},
    "ml-100k-last": {"hit_rate@10": 0.137, "ndcg@10": 0.066},
    "online-retail": {},
    "lastfm": {"recall@20": 0.264, "ndcg@20": 0.209},
    "ml-1m": {"recall@20": 0.265, "ndcg@20": 0.395},
}


def judge(model, test, truncated):
    """Give each user's figures, one column per metric, and the coverage."""
    ranking = model._held_out_ranking(test, n_neighbors=K)
    truth, found = ranking.truth, ranking.indices
    users = {"per_user": True}
    figures = {
        "recall@10": metrics.recall_at_k(truth, found, 10, truncated=truncated, **users)
    }
    figures["recall@20"] = metrics.recall_at_k(truth, found, 20, **users)
    for k in (10, 20):
        figures[f"ndcg@{k}"] = metrics.ndcg_at_k(truth, found, k, **users)
    figures["hit_rate@10"] = metrics.hit_rate_at_k(truth, found, 10, **users)
    coverage = metrics.coverage_at_k(found, len(model.item_ids_), 10)
    return pd.DataFrame(figures, index=ranking.users), coverage


def tuned(kind, grid, tuning):
    """Give the estimator of a grid whose NDCG@10 on the second table is best."""
    fitted_on, held_out = tuning

    def quality(params):
        ranking = (
            kind(**params).fit(fitted_on)._held_out_ranking(held_out, n_neighbors=10)
        )
        return metrics.ndcg_at_k(ranking.truth, ranking.indices, 10)

    return kind(**max(ParameterGrid(grid), key=quality))


def baselines(tuning, quick):
    """Yield name, unfitted estimator and the seconds that its tuning took."""
    yield "popularity", Popularity(), 0.0
    for name, (kind, grid) in GRIDS.items():
        if name == "iALS" and (quick or find_spec("implicit") is None):
            print("iALS: left out" + ("" if quick else ", implicit is not installed"))
        elif quick:
            yield name, kind(), 0.0
        else:
            with clock() as watch:
                best = tuned(kind, grid, tuning)
            yield name, best, watch.seconds


def measure(name, events, model, tuning_seconds, truncated):
    """Fit and judge one model; gives each user's figures and a row of results."""
    with clock() as watch:
        model.fit(events.train)
    figures, coverage = judge(model, events.test, truncated)
    row = {
        "system": name,
        "params": {k: v for k, v in model.get_params().items() if v is not None},
        "coverage@10": coverage,
        "fit_s": watch.seconds,
        "tuning_s": tuning_seconds,
        "users": len(figures),
    }
    row |= figures.mean().to_dict()
    row |= {f"{metric} se": error for metric, error in figures.sem().items()}
    print(f"{name}: fitted in {watch.seconds:.1f} s", flush=True)
    return figures, row


def run(data, folder, seeds, quick):
    """Measure all systems on a data set; gives rows of results and users' figures."""
    events, truncated = load(data, folder), data in TRUNCATED
    print(f"\n{data}: {len(events.train)} events to fit on, {len(events.test)} to find")
    rows, figures = [], {}
    for name, model, seconds in baselines(events.tuning, quick):
        figures[name], row = measure(name, events, model, seconds, truncated)
        rows.append(row)
    by_seed = []
    for seed in range(seeds):
        few = {"max_epochs": 5} if quick else {}
        model = TwoTowerRecommender(random_state=seed, **few)
        table, row = measure(OURS, events, model, 0.0, truncated)
        by_seed.append(table)
        rows.append(row)
    figures[OURS] = sum(by_seed) / seeds
    return rows, figures


def report(data, rows, figures):
    """Print the table of a data set, and ours against the best baseline."""
    shown = SHOWN.get(data, SHOWN_ELSEWHERE)
    table = pd.DataFrame(
        {
            name: {m: f"{each[m].mean():.4f} ± {each[m].sem():.4f}" for m in shown}
            for name, each in figures.items()
        }
    ).T
    plain = pd.DataFrame(rows).groupby("system", sort=False)
    for column in ("coverage@10", "fit_s", "tuning_s"):
        table[column] = plain[column].mean().round(3 if "@" in column else 1)
    print(f"\n{table.to_string()}")
    if data in TRUNCATED:
        print("recall@10: hits / min(10, relevant items)")
    print(f"± standard error over {len(figures[OURS])} users")
    for metric in shown:
        print(against_the_best(figures, metric))


def against_the_best(figures, metric, repeats=2000):
    """Tell how far ours is from the best baseline, with a paired bootstrap over users.

    The best is chosen by the very figure shown, which favours the baselines.
    """
    others = [name for name in figures if name != OURS]
    name = max(others, key=lambda other: figures[other][metric].mean())
    difference = (figures[OURS][metric] - figures[name][metric]).to_numpy()
    rng = np.random.default_rng(0)
    means = [rng.choice(difference, len(difference)).mean() for _ in range(repeats)]
    low, high = np.quantile(means, [0.025, 0.975])
    return (
        f"{metric}: ours - {name} = {difference.mean():+.4f}, "
        f"95 % interval [{low:+.4f}, {high:+.4f}]"
    )


def failures(data, figures, quick):
    """Name what contradicts the published figures or stays below a floor."""
    found = figures["popularity"].mean()
    wrong = [
        f"{data}: popularity's {metric} is {found[metric]:.4f}, published {value}"
        for metric, value in POPULARITY[data].items()
        if abs(found[metric] - value) > 0.0015
    ]
    floors = {} if quick else dict(FLOORS[data])
    if data == "online-retail":
        floors["recall@20"] = 2 * found["recall@20"]
    ours = figures[OURS].mean()
    return wrong + [
        f"{data}: our {metric} is {ours[metric]:.4f}, below {floor:.4f}"
        for metric, floor in floors.items()
        if ours[metric] < floor
    ]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", help="folder with one folder per data set")
    parser.add_argument("--only", default=",".join(PROTOCOLS), help="names, by comma")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--quick", action="store_true")
    arguments = parser.parse_args()
    names = ["online-retail"] if arguments.quick else arguments.only.split(",")
    if unknown := set(names) - set(PROTOCOLS):
        parser.error(f"--only knows {list(PROTOCOLS)}, not {sorted(unknown)}")
    if arguments.data is None and names != ["online-retail"]:
        parser.error("--data is needed for all but --only online-retail")
    wrong = []
    for data in names:
        where = machine()
        seeds = 1 if arguments.quick else arguments.seeds
        rows, figures = run(data, arguments.data, seeds, arguments.quick)
        report(data, rows, figures)
        wrong += failures(data, figures, arguments.quick)
        if not arguments.quick:
            write_results(f"quality_{data}", [{"data": data} | r | where for r in rows])
    assert not wrong, "\n".join(wrong)


if __name__ == "__main__":
    main()
