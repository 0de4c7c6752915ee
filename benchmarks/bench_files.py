"""How large are files of models, and how long do they take, from a cold start on?

Call ``python benchmarks/bench_files.py [--items 100000] [--width 256] [--imports]
[--data DIR [--sets online-retail ml-1m gowalla] [--seeds 3]]``. A model is fitted for
an epoch on made events, and written by ``sktwotower.io``, with vectors of 32, 16 and 8
bits, and by joblib. Each file is read in a fresh process: seconds of CPU of the
imports, of reading and of the first answer, then the wall time of reading once more,
and memory that other processes cannot share. What each library adds to the imports is
measured in processes of their own, the least of five (``--imports``: only this).

What fewer bits cost in quality is measured on real data (with ``--data`` only this):
the default model is written and read with vectors of 32, 16 and 8 bits. Seconds of CPU
of reading, in turns, are the least of five.

Failure: reading a file that is mapped takes 0.2 s or more; an answer differs; on a data
set NDCG@20 or recall@20 of 8 bits is .001 or more below that of 32 bits.
"""

import argparse
import os
import tempfile
import time
from pathlib import Path

import joblib
import numpy as np
import pandas as pd
from _common import clock, load, machine, read_results, write_results
from _per_user import gain
from _processes import call
from _quick import assert_claims, parse_options

from sktwotower import TwoTowerRecommender, io, metrics

MAX_SECONDS, MAX_LOSS = 0.2, 0.001
N_RUNS, K = 5, 20
DTYPES = "float32", "float16", "int8"
DATA = "online-retail", "ml-1m", "gowalla"
QUALITY = "recall@20", "ndcg@20"
HOWS = {
    "mapped": {"mmap": True, "verify": False},
    "mapped, verified": {"mmap": True},
    "read": {},
}


def fitted(n_items, width):
    """Return a model of n_items items, and a fifth as many users."""
    rng = np.random.default_rng(0)
    n_users, n_more = n_items // 5, 2 * n_items
    items = np.concatenate([np.arange(n_items), rng.integers(n_items, size=n_more)])
    events = pd.DataFrame({"user": rng.integers(n_users, size=len(items))})
    events["item"] = items
    model = TwoTowerRecommender(
        embedding_dim=width, max_epochs=1, neighbors="exact", random_state=0
    )
    return model.fit(events)


def read(path, how):
    """Return what reading a file costs in this process, and the first answer."""
    laps = [0.0]  # of the CPU since the process began, imports included

    def lap():
        laps.append(time.process_time())
        return laps[-1] - laps[-2]

    from sktwotower import recommender  # noqa: F401  imports torch

    reader = joblib.load if how is None else io.load
    costs = {"imports_s": lap()}
    model = reader(path, **(how or {}))
    costs["load_s"] = lap()
    top = model.recommend(model.user_ids_[:1])
    costs["answer_s"] = lap()
    costs["private_mb"] = private_memory()
    start = time.perf_counter()
    reader(path, **(how or {}))
    costs["load_again_wall_s"] = time.perf_counter() - start
    return costs | {"items": top["item"].tolist(), "scores": top["score"].tolist()}


def private_memory():
    """Return the memory of this process that no other one can share, in MB."""
    lines = Path("/proc/self/smaps_rollup").read_text().splitlines()
    line = next(line for line in lines if line.startswith("Private_Dirty:"))
    return int(line.split()[1]) * 1024 / 1e6


def timed(write, model, path, **how):
    """Return the seconds that writing a file takes, and its size in MB."""
    start = time.perf_counter()
    write(model, path, **how)
    return {"dump_s": time.perf_counter() - start, "mb": os.path.getsize(path) / 1e6}


def imports():
    """Measure what each library costs to import, and write it."""
    runs = pd.concat(pd.DataFrame(call("_imports:seconds")) for _ in range(N_RUNS))
    lowest = runs.groupby("library", sort=False)["cpu_s"].min()
    print(lowest.round(2).to_string())
    rows = lowest.reset_index().to_dict("records")
    write_results("imports", [machine() | row for row in rows])


def seconds_to_read(path):
    """Return the seconds of CPU that reading a file takes in this process."""
    with clock() as watch:
        io.load(path)
    return watch.cpu_seconds


def quality(model, events):
    """Return each user's figures, by name, and the items that are found for it."""
    ranking = model.rank_held_out(events.test, n_neighbors=K)
    found = ranking.truth, ranking.indices, K
    figures = {
        "recall@20": metrics.recall_at_k(*found, per_user=True),
        "ndcg@20": metrics.ndcg_at_k(*found, per_user=True),
    }
    return figures, ranking.indices


def against(exact, other):
    """Return figures of a model in fewer bits, and what it gained, as a row.

    ``same@20``: the share of the items that the model of 32 bits finds as well.
    """
    lists = zip(exact[1], other[1], strict=True)
    row = {"same@20": np.mean([len(np.intersect1d(*pair)) / K for pair in lists])}
    for name, figures in other[0].items():
        change = gain(figures, exact[0][name])
        row[name] = np.mean(figures)
        row |= {f"{name} {key}": value for key, value in change.items()}
    return row


def in_fewer_bits(data, folder, seed):
    """Return a row for each dtype of vectors: the file, and what its model finds."""
    events, rows = load(data, folder), []
    model = TwoTowerRecommender(random_state=seed).fit(events.train)
    with tempfile.TemporaryDirectory() as place:
        paths = {dtype: str(Path(place) / dtype) for dtype in DTYPES}
        written = {
            d: timed(io.dump, model, p, vector_dtype=d) for d, p in paths.items()
        }
        runs = [
            {d: seconds_to_read(p) for d, p in paths.items()} for _ in range(N_RUNS)
        ]
        seconds = pd.DataFrame(runs).min()
        found = {d: quality(io.load(path), events) for d, path in paths.items()}
        for dtype in DTYPES:
            row = {
                "data": data,
                "seed": seed,
                "format": dtype,
                "load_s": seconds[dtype],
            }
            gained = against(found["float32"], found[dtype])
            rows.append(row | written[dtype] | gained)
    return rows


def measure_bits(data, folder, n_seeds):
    """Measure the default model in fewer bits on a data set, and write it."""
    where = machine()
    rows = [row for seed in range(n_seeds) for row in in_fewer_bits(data, folder, seed)]
    print(pd.DataFrame(rows).round(4).to_string(index=False), flush=True)
    others = [row for row in read_results("files_bits") if row["data"] != data]
    write_results("files_bits", others + [row | where for row in rows])
    lost = pd.DataFrame(rows).query("format == 'int8'")
    assert_claims(
        [
            f"{data}: vectors of 8 bits lose {name}"
            for name in QUALITY
            if lost[f"{name} gained"].mean() <= -MAX_LOSS
        ]
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--items", type=int, default=100_000)
    parser.add_argument("--width", type=int, default=256)
    parser.add_argument("--imports", action="store_true")
    parser.add_argument("--data", help="folder of data sets: measure quality only")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--sets", nargs="+", choices=DATA, default=DATA)
    options, where = parse_options(parser), machine()
    if options.quick:
        options.items = 2000
        for data in options.sets:
            measure_bits(data, options.data, options.seeds)
    elif options.data:
        for data in options.sets:
            measure_bits(data, options.data, options.seeds)
        return
    imports()
    if options.imports:
        return
    model = fitted(options.items, options.width)
    top = model.recommend(model.user_ids_[:1])
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        path = str(Path(folder) / "model")
        for dtype in DTYPES:
            written = timed(io.dump, model, path, vector_dtype=dtype)
            for name, how in HOWS.items():
                costs = call("bench_files:read", path=path, how=how)
                rows.append({"format": dtype, "read": name} | written | costs)
        written = timed(joblib.dump, model, path)
        costs = call("bench_files:read", path=path, how=None)
        rows.append({"format": "joblib", "read": "read"} | written | costs)
    for row in rows:
        same = row.pop("items") == top["item"].tolist()
        same &= row.pop("scores") == top["score"].tolist()
        assert same or row["format"] in ("float16", "int8")
    print(pd.DataFrame(rows).round(2).to_string(index=False))
    seconds = rows[0]["load_again_wall_s"]
    assert_claims([f"a file takes {seconds} s"] if seconds >= MAX_SECONDS else [])
    used = {"items": options.items, "width": options.width}
    write_results("files", [used | row | where for row in rows])


if __name__ == "__main__":
    main()
