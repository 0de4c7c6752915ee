"""How large are files of models, and how long do they take, from a cold start on?

Call ``python benchmarks/bench_files.py [--items 100000] [--width 256] [--imports]``. A
model is fitted for an epoch on made events, and written by ``sktwotower.io``, with
vectors of 32 and of 16 bits, and by joblib. Each file is read in a fresh process:
seconds of CPU of the imports, of reading and of the first answer, then the wall time of
reading once more, and memory that other processes cannot share. What each library adds
to the imports is measured in processes of their own, the least of five (``--imports``:
only this).

Failure: reading a file that is mapped takes 0.2 s or more; an answer differs.
"""

import argparse
import os
import tempfile
import time
from pathlib import Path

import joblib
import numpy as np
import pandas as pd
from _common import machine, write_results
from _processes import call

from sktwotower import TwoTowerRecommender, io

MAX_SECONDS = 0.2
N_RUNS = 5
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

    load = joblib.load if how is None else io.load
    costs = {"imports_s": lap()}
    model = load(path, **(how or {}))
    costs["load_s"] = lap()
    top = model.recommend(model.user_ids_[:1])
    costs["answer_s"] = lap()
    costs["private_mb"] = private_memory()
    start = time.perf_counter()
    load(path, **(how or {}))
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


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--items", type=int, default=100_000)
    parser.add_argument("--width", type=int, default=256)
    parser.add_argument("--imports", action="store_true")
    options, where = parser.parse_args(), machine()
    imports()
    if options.imports:
        return
    model = fitted(options.items, options.width)
    top = model.recommend(model.user_ids_[:1])
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        path = str(Path(folder) / "model")
        for dtype in ("float32", "float16"):
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
        assert same or row["format"] == "float16"
    print(pd.DataFrame(rows).round(2).to_string(index=False))
    assert rows[0]["load_again_wall_s"] < MAX_SECONDS
    used = {"items": options.items, "width": options.width}
    write_results("files", [used | row | where for row in rows])


if __name__ == "__main__":
    main()
