"""Data sets with the splits of their protocols, the machine, and a writer of results.

Input: the name of a data set and, unless the package ships it, the folder of the data.
Output: two tables (n_events, 2 or 3), ``user``, ``item`` and, for protocols in the
order of time, ``time``: events to fit on and to find.
"""

import json
import os
import platform
import subprocess
import sys
import time
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
from _quick import is_quick, results_folder

from sktwotower import __version__
from sktwotower.datasets import load_online_retail
from sktwotower.model_selection import LastNSplit
from sktwotower.preprocessing import k_core

ROOT = Path(__file__).parents[1]
PACKAGES = ["numpy", "scipy", "pandas", "scikit-learn", "torch", "skorch", "implicit"]
PACKAGES += ["rectools-lightfm", "rectools", "tensorflow-recommenders", "irspack"]
PACKAGES += ["faiss-cpu", "hnswlib", "pynndescent", "skrecsys", "jax", "dm-haiku"]
PAIR = ["user", "item"]
EVENT = [*PAIR, "time"]


def data_file(folder, *parts):
    """Return the path of a file of a data set; exit if it is not there."""
    path = Path(folder, *parts)
    if not path.exists():
        command = f"python benchmarks/prepare.py {parts[0]} --data {folder}"
        sys.exit(f"There is no {path}. To fetch it: {command}")
    return path


def _read(folder, name, **columns):
    """Read the events of a data set, with its columns renamed to ours."""
    path = data_file(folder, name, "interactions.parquet")
    events = pd.read_parquet(path)
    return events.rename(columns={"user_id": "user", "item_id": "item"} | columns)


def _ml_1m(folder):
    """Keep users and items with ten ratings at least, until none is left to drop."""
    events, before = _read(folder, "ml-1m"), None
    while len(events) != before:
        before = len(events)
        for side in PAIR:
            events = events[events.groupby(side)[side].transform("size") >= 10]
    return events


def _citeulike(folder):
    """Keep articles that five readers have saved at least."""
    saved = _read(folder, "citeulike-t")
    return saved[saved.groupby("item")["item"].transform("size") >= 5]


def shop():
    """Return the shop that the package ships; with ``--quick`` a small part of it."""
    whole = load_online_retail()
    if not is_quick():
        return whole
    data = whole.data
    data = data[data["product"].isin(data["product"].value_counts().index[:200])]
    customers = data["customer"].value_counts().index[100:220]
    data = data[data["customer"].isin(customers)].reset_index(drop=True)
    whole.data = whole.frame = data
    whole.target = data["quantity"].copy()
    return whole


def _online_retail(folder):
    """Keep a customer's first purchase of a product; the package ships the lines."""
    lines = shop().data.rename(columns={"customer": "user", "product": "item"})
    return lines.drop_duplicates(PAIR)


def _with_dates(folder, name):
    """Read events with seconds since 1970, as dates, each user's oldest first."""
    events = _read(folder, name, timestamp="time")
    events["time"] = pd.to_datetime(events["time"], unit="s")
    return events.sort_values(["user", "time"], kind="stable")


def _tweets(folder):
    """Keep first events, of users and items with five at least, none left to drop."""
    events = _with_dates(folder, "movietweetings").drop_duplicates(PAIR)
    return events[k_core(events, 5)]


def _with_numbers(folder, name):
    """Read events that are only known to be in an order by user."""
    events = _read(folder, name, order="time")
    return events.sort_values(["user", "time"], kind="stable")


def _by_time(events):
    """Sort the events of all users by time, so that the last rows are the latest."""
    return events.sort_values("time", kind="stable")


def _random_rows(share, seed):
    def held_out(events):
        order = np.random.default_rng(seed).permutation(len(events))
        held = np.zeros(len(events), dtype=bool)
        held[order[int((1 - share) * len(events)) :]] = True
        return held

    return held_out


def _random_rows_of_each_user(share, seed):
    def held_out(events):
        draw = pd.Series(np.random.default_rng(seed).random(len(events)), events.index)
        return (draw.groupby(events["user"]).rank(pct=True) <= share).to_numpy()

    return held_out


def _last_rows(share):
    def held_out(events):
        return np.arange(len(events)) >= int((1 - share) * len(events))

    return held_out


def _last_row_of_each_user(time):
    def held_out(events):
        _, held = next(LastNSplit(user_id="user", time=time).split(events))
        return np.isin(np.arange(len(events)), held)

    return held_out


def _given_test_rows(events):
    return (events["split"] == "test").to_numpy()


# How a data set is read, what is held out to test, and what of the rest to tune on.
PROTOCOLS = {
    "ml-100k": (
        lambda folder: _read(folder, "ml-100k"),
        _random_rows(0.2, seed=0),
        _random_rows(0.1, seed=1),
    ),
    "ml-100k-last": (
        lambda folder: _read(folder, "ml-100k"),
        _last_row_of_each_user("timestamp"),
        _last_row_of_each_user("timestamp"),
    ),
    "online-retail": (_online_retail, _last_rows(0.2), _last_rows(0.1)),
    "lastfm": (
        lambda folder: _read(folder, "lastfm-lightgcn"),
        _given_test_rows,
        _random_rows_of_each_user(0.1, seed=1),
    ),
    "ml-1m": (_ml_1m, _random_rows(0.2, seed=0), _random_rows(0.1, seed=1)),
    "gowalla": (
        lambda folder: _read(folder, "gowalla-lightgcn"),
        _given_test_rows,
        _random_rows_of_each_user(0.1, seed=1),
    ),
    # How far the given test rows are from a random part: bench_split.py.
    "gowalla-random": (
        lambda folder: _read(folder, "gowalla-lightgcn"),
        _random_rows_of_each_user(0.2, seed=0),
        _random_rows_of_each_user(0.1, seed=1),
    ),
    # No default of ours was chosen on these two.
    "sports-random": (
        lambda folder: _read(folder, "amazon-sports-s3rec"),
        _random_rows(0.2, seed=0),
        _random_rows(0.1, seed=1),
    ),
    "citeulike-random": (
        _citeulike,
        _random_rows(0.2, seed=0),
        _random_rows(0.1, seed=1),
    ),
}


def _kuairand(folder):
    """Return what was shown, in order; ``y`` is 1 for what was watched for long.

    The history of 8 to 24 April has a position for each user and no times; what was
    shown later has times. A number joins both: the position, then one million plus the
    rank of the time.
    """
    shown = _read(folder, "kuairand-pure-std")
    path = Path(folder) / "kuairand-pure-std" / "train_history.parquet"
    history = pd.read_parquet(path).rename(
        columns={"user_id": "user", "item_id": "item"}
    )
    history = history.assign(y=history["long_watch"], time=history["pos"])
    later = 1_000_000 + shown["time_ms"].rank(method="dense").astype(int)
    shown = shown.assign(y=shown["long_view"], time=later)
    columns = [*EVENT, "y", "split"]
    events = pd.concat([history.assign(split="history")[columns], shown[columns]])
    return events[events["split"].isin(["history", "val", "test"])].astype({"y": float})


def _rows_of(part):
    return lambda events: (events["split"] == part).to_numpy()


# The same for tables with a column ``time``: dates, or numbers that only say which of a
# user's events came first.
NEXT_ITEM = _last_row_of_each_user("time"), _last_row_of_each_user("time")
LATER = _last_rows(0.1), _last_rows(0.1)
ORDERED = {
    "ml-1m-last": (lambda folder: _with_numbers(folder, "ml-1m"), *NEXT_ITEM),
    "beauty-last": (
        lambda folder: _with_numbers(folder, "amazon-beauty-s3rec"),
        *NEXT_ITEM,
    ),
    "sports-last": (
        lambda folder: _with_numbers(folder, "amazon-sports-s3rec"),
        *NEXT_ITEM,
    ),
    "ml-latest-last": (
        lambda folder: _with_dates(folder, "ml-latest-small-2018"),
        *NEXT_ITEM,
    ),
    "ml-100k-last": (lambda folder: _with_dates(folder, "ml-100k"), *NEXT_ITEM),
    "tweets-last": (_tweets, *NEXT_ITEM),
    "online-retail": PROTOCOLS["online-retail"],
    "tweets-time": (
        lambda folder: _by_time(_tweets(folder)),
        _last_rows(0.2),
        _last_rows(0.1),
    ),
    "ml-100k-time": (lambda folder: _by_time(_with_dates(folder, "ml-100k")), *LATER),
    "ml-latest-time": (
        lambda folder: _by_time(_with_dates(folder, "ml-latest-small-2018")),
        *LATER,
    ),
    "kuairand": (_kuairand, _rows_of("test"), _rows_of("val")),
}


def load(name, folder=None):
    """Return ``train`` and ``test``, and ``tuning``: train cut once more into two."""
    read, held_out, held_out_again = PROTOCOLS[name]
    train, test = _cut(read(folder), held_out)
    tuning = _cut(train, held_out_again)
    return SimpleNamespace(
        train=train[PAIR], test=test[PAIR], tuning=tuple(part[PAIR] for part in tuning)
    )


def load_ordered(name, folder=None):
    """Return the same of a protocol of ``ORDERED``, with the column ``time``.

    If only a part of the events is positive, train has a column ``y`` as well, and
    what is held out are positive pairs that are not in train.
    """
    read, held_out, held_out_again = ORDERED[name]
    train, test = _cut(read(folder), held_out)
    tuning = _cut(train, held_out_again)
    if "y" not in train:
        columns = [EVENT, EVENT]
    else:
        columns = [[*EVENT, "y"], EVENT]
        test, held = _new_positives(train, test), _new_positives(*tuning)
        tuning = tuning[0], held
    return SimpleNamespace(
        train=train[columns[0]],
        test=test[columns[1]],
        tuning=tuple(part[c] for part, c in zip(tuning, columns, strict=True)),
    )


def _new_positives(train, held):
    """Return the positive events of pairs that are not positive in train."""
    chosen = pd.MultiIndex.from_frame(train.loc[train["y"] > 0, PAIR])
    new = ~pd.MultiIndex.from_frame(held[PAIR]).isin(chosen)
    return held[new & (held["y"] > 0)]


def _cut(events, held_out):
    """Part events in two; held-out ones of unknown users and items are dropped."""
    held = held_out(events)
    train, rest = events[~held], events[held]
    known = [rest[side].isin(train[side]) for side in PAIR]
    return train, rest[known[0] & known[1]]


@contextmanager
def clock():
    """Return an object that gets ``seconds`` and ``cpu_seconds`` as the block ends."""
    watch, start = SimpleNamespace(), (time.perf_counter(), time.process_time())
    yield watch
    watch.seconds = time.perf_counter() - start[0]
    watch.cpu_seconds = time.process_time() - start[1]


def machine():
    """Return what was measured on; OMP_NUM_THREADS, set before the start, limits it."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    cpu = next(line for line in lines if line.startswith("model name"))
    return {
        "cpu": cpu.partition(": ")[2],
        "cores": os.cpu_count(),
        "threads": os.environ.get("OMP_NUM_THREADS", "all"),
        "load_before": round(os.getloadavg()[0], 1),
        "python": platform.python_version(),
        "version": __version__,
        "commit": commit(),
        "versions": versions(),
    }


def commit():
    """Return the last commit of the package, with a "+" if it differs; or None."""

    def git(*arguments):
        return subprocess.run(
            ["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=True
        ).stdout.strip()

    try:
        changed = git("status", "--porcelain", "--untracked-files=no", "sktwotower")
        last = git("log", "-1", "--abbrev=10", "--format=%h", "--", "sktwotower")
        return last + ("+" if changed else "")
    except (OSError, subprocess.CalledProcessError):
        return None


def versions():
    """Return the versions of what may influence the figures, as far as installed."""
    found = {}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def read_results(name):
    """Return what ``write_results`` wrote, an empty list without a file."""
    path = results_folder() / f"{name}.jsonl"
    lines = path.read_text().splitlines() if path.exists() else []
    return [json.loads(line) for line in lines]


def replaced(rows, measured):
    """Return ``measured``, after the rows of other data sets and systems."""
    anew = {(row["data"], row["system"]) for row in measured}
    return [row for row in rows if (row["data"], row["system"]) not in anew] + measured


def write_results(name, rows):
    """Write one JSON object per line to ``results/<name>.jsonl``, in place of it.

    With ``--quick`` they go to a temporary folder.
    """
    lines = [json.dumps(row, default=float) for row in rows]
    (results_folder() / f"{name}.jsonl").write_text("\n".join(lines) + "\n")
