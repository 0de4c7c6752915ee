"""Where does quality stop: after how many passes, numbers of a vector, candidates?

Call ``OMP_NUM_THREADS=1 python benchmarks/bench_limits.py --data DIR [--only NAMES]
[--curves NAMES] [--validation-only]`` with DIR holding one folder of parquet files per
data set. For each data set one setting at a time has other values; the others are the
defaults. Names ending in ``-last`` are those of bench_next.py, fitted with ``time``, as
is ``online-retail-time``; the others are those of bench_quality.py. Each value is
fitted and judged twice:

- on the part of train that systems are tuned on (``part``: "validation");
- on all of train and on test (``part``: "test"), which no default was chosen on.

The usual values have ``--seeds`` seeds, others the first of them. A row's ``point``
names the setting and its value; it is None if all are usual. A fit that the file has
is not repeated: remove its row to measure it anew. With ``--validation-only`` nothing
is fitted on all of train: for the large sets, whose test rows other files have.

``--only requests``: the processor time of a request by the length of vectors, of a
known user and of a new one with ten events. Models after one epoch, with ``time`` of
the last 50 items, take turns, request by request, so that other jobs on the machine
slow down all of them alike.

Failure: a value is above the usual one on validation by more than 2 % on each of two or
more data sets that have it: then that is not where quality stops.
"""

import argparse
import time

import numpy as np
from _common import (
    PAIR,
    clock,
    load,
    load_ordered,
    machine,
    read_results,
    write_results,
)
from _limits import (
    CANDIDATES,
    CURVES,
    EPOCHS,
    IN_ORDER,
    NAME,
    PAST,
    WIDTH,
    figure_of,
    is_in_time,
    point_of,
    usual_of,
)
from _quick import assert_claims, is_quick, parse_options
from _systems import OURS, judge

from sktwotower import TwoTowerRecommender
from sktwotower.towers import RecentHistory

FIGURES = ["recall@10", "ndcg@10", "recall@20", "ndcg@20"]
CLEARLY = 1.02
# Requests: data sets and lengths of vectors; users that are fitted, requests of each.
WIDTHS = {"ml-1m-last": [128, 256, 344], "gowalla": [256, 384, 512, 768]}
N_FITTED, N_REQUESTS, N_HISTORY, K = 3000, 300, 10, 10


def params_of(curve, value):
    """Return the parameters of the estimator that a value stands for."""
    if curve == PAST:
        return {"history": RecentHistory(max_length=value)}
    if curve != CANDIDATES:
        return {curve: value}
    if value == "all":
        return {"candidate_sampling": "full"}
    drawn = {"iterator_train__n_negatives": value}
    return {"candidate_sampling": "mixed", "net_params": drawn}


def points(data, curves):
    """Return (curve, value) of all values, the usual ones first, as (None, None)."""
    others = {
        curve: [value for value in values if value != usual_of(data, curve)]
        for curve, values in CURVES[data].items()
        if curve in curves
    }
    if is_quick():
        others = {curve: values[:1] for curve, values in others.items()}
    pairs = [(curve, value) for curve, values in others.items() for value in values]
    return [(None, None), *pairs]


def events_of(data, folder):
    """Return train and held-out events by the name of the part."""
    if is_in_time(data):
        events = load_ordered(IN_ORDER.get(data, data), folder)
    else:
        events = load(data, folder)
    return {"validation": events.tuning, "test": (events.train, events.test)}


def measure(data, events, params, seed):
    """Fit with some parameters, judge, and return the figures and the seconds."""
    train, held_out = events
    fixed = {"time": "time"} if is_in_time(data) else {}
    model = TwoTowerRecommender(random_state=seed, **fixed, **params)
    with clock() as watch:
        model.fit(train)
    figures, _ = judge(model, held_out[PAIR])
    means = {name: float(np.mean(figures[name])) for name in FIGURES}
    return {"fit_cpu_s": watch.cpu_seconds, "users": len(figures["ndcg@10"])} | means


def curve_of(data, own):
    """Measure what is missing of a data set; rows are written one by one."""
    parts, where = events_of(data, own.data), machine()
    warm = parts["validation"][0].iloc[:500]
    TwoTowerRecommender(max_epochs=1).fit(warm[PAIR])  # what is imported once
    for part in ["validation"] if own.validation_only else parts:
        for curve, value in points(data, own.curves):
            seeds = range(own.seeds if curve is None else 1)
            for seed in seeds:
                at = {"data": data, "system": OURS, "part": part, "seed": seed}
                at |= {"point": curve and point_of(data, curve, value)}
                if is_measured(at):
                    continue
                params = {} if curve is None else params_of(curve, value)
                row = at | measure(data, parts[part], params, seed)
                keep([row | where])
                print(data, part, curve, value, row["ndcg@10"], row["ndcg@20"],
                      f"{row['fit_cpu_s']:.1f} s", flush=True)  # fmt: skip


def is_measured(at):
    """Return whether the file has a row of this point."""
    return any(row | at == row for row in read_results(NAME))


KEYS = "data", "system", "part", "point", "seed", "kind"


def keep(rows):
    """Write rows in place of those of the same points, and all that follows of them."""
    kept = {tuple(map(str, map(row.get, KEYS))): row for row in read_results(NAME)}
    kept |= {tuple(map(str, map(row.get, KEYS))): row for row in rows}
    write_results(NAME, list(kept.values()))


def request_times(data, folder):
    """Return rows: processor time of requests by the length of vectors."""
    train = events_of(data, folder)["test"][0]
    drawn = np.random.default_rng(0).permutation(train["user"].unique())[:N_FITTED]
    train = train[train["user"].isin(drawn)]
    fixed = {"time": "time"} | params_of(PAST, 50) if is_in_time(data) else {}
    fixed |= {"max_epochs": 1, "random_state": 0, "neighbors": "exact"}
    models = {
        width: TwoTowerRecommender(embedding_dim=width, **fixed).fit(train)
        for width in WIDTHS[data]
    }
    items = models[WIDTHS[data][0]].item_ids_
    rng = np.random.default_rng(0)
    history = rng.choice(items, N_HISTORY, replace=False).tolist()
    kinds = {
        "a known user": lambda model, user: model.recommend([user], K),
        "a new user": lambda model, user: model.recommend([-1], K, history=history),
    }
    rows = []
    for kind, request in kinds.items():
        times = {width: [] for width in models}
        for user in drawn[:N_REQUESTS].tolist():
            for width, model in models.items():
                start = time.thread_time()
                request(model, user)
                times[width].append(1000 * (time.thread_time() - start))
        rows += [
            {"data": data, "system": "request", "kind": kind, "width": width}
            | {"point": point_of(data, WIDTH, width), "items": len(items)}
            | {"p50_ms": float(np.median(found))}
            for width, found in times.items()
        ]
        print(data, kind, {w: round(float(np.median(t)), 3) for w, t in times.items()})
    return rows


def failures():
    """Name values that are clearly above the usual ones on all their data sets."""
    rows = [r for r in read_results(NAME) if r.get("part") == "validation"]
    first = {(r["data"], r["point"]): r for r in rows if r["seed"] == 0}
    gains = {}
    for (data, point), row in first.items():
        if (data, None) not in first:  # not measured yet
            continue
        gain = row[figure_of(data)] / first[data, None][figure_of(data)]
        gains.setdefault(point, []).append(gain)
    return [
        point
        for point, found in gains.items()
        if len(found) > 1 and min(found) > CLEARLY
    ]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", help="folder of the data sets")
    parser.add_argument("--only", default=",".join([*CURVES, "requests"]))
    parser.add_argument("--curves", default=f"{EPOCHS},{WIDTH},{CANDIDATES},{PAST}")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--validation-only", action="store_true")
    own = parse_options(parser, needs_data=True)
    own.curves = own.curves.split(",")
    for data in own.only.split(","):
        if data == "requests":
            for each in WIDTHS:
                keep([row | machine() for row in request_times(each, own.data)])
        else:
            curve_of(data, own)
    assert_claims(
        [f"clearly better than the usual value: {name}" for name in failures()]
    )


if __name__ == "__main__":
    main()
