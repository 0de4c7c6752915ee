"""Fits of events on disk: their speed and memory, compared with fits in memory.

Input: a folder for Parquet files of made events, and sizes.
Output: a row of results for each size.
"""

import itertools
import re
import threading
import time
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from bench_scale import NOISE, Odds
from skorch.callbacks import Callback

from sktwotower import TwoTowerRecommender
from sktwotower.recommender import _fit
from sktwotower.towers import RecentHistory

EVENTS_PER_USER, EVENTS_PER_ITEM = 100, 1000
EVENTS_PER_FILE = 5_000_000
# Batches that are not timed: the first ones import and allocate.
WARM_UP = 20


def make_files(folder, n_events, seed=0):
    """Write events to Parquet files, unless they are there; return their folder.

    Users are 1 % and items 0.1 % as many. The row number is the time.
    """
    folder = Path(folder) / f"events_{n_events}"
    if (folder / "_done").exists():
        return folder
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    n_users, n_items = n_events // EVENTS_PER_USER, n_events // EVENTS_PER_ITEM
    odds = Odds(rng, n_users, n_items)
    for number, start in enumerate(range(0, n_events, EVENTS_PER_FILE)):
        times = np.arange(start, min(start + EVENTS_PER_FILE, n_events))
        users = rng.integers(n_users, size=len(times))
        low, high = odds.bounds(odds.user_cluster[users])
        anywhere = rng.random(len(times)) < NOISE
        low[anywhere], high[anywhere] = 0, odds.cumulated[-1]
        drawn = low + (high - low) * rng.random(len(times))
        places = np.searchsorted(odds.cumulated[1:-1], drawn, side="right")
        columns = {"user": users, "item": odds.order[places], "time": times}
        pq.write_table(pa.table(columns), folder / f"{number:04d}.parquet")
    (folder / "_done").touch()
    return folder


@contextmanager
def sampled_memory(seconds=0.02):
    """Return an object with the peaks of the block in GiB, sampled from /proc.

    ``anonymous`` is what the process allocated; ``mapped`` are pages of files, which
    the system takes back when it needs the room.
    """
    peaks, ended = SimpleNamespace(anonymous=0.0, mapped=0.0), threading.Event()

    def sample():
        while not ended.wait(seconds):
            status = Path("/proc/self/status").read_text()
            for name, line in (("anonymous", "RssAnon"), ("mapped", "RssFile")):
                kib = int(re.search(rf"{line}:\s+(\d+)", status).group(1))
                setattr(peaks, name, max(getattr(peaks, name), kib / 2**20))

    thread = threading.Thread(target=sample, daemon=True)
    thread.start()
    try:
        yield peaks
    finally:
        ended.set()
        thread.join()


class Clock(Callback):
    """Time some batches, made only and trained on, and stop the training.

    The attributes ``made`` and ``trained`` are events per second.
    """

    def __init__(self, n_batches):
        self.n_batches = n_batches

    def on_train_begin(self, net, X=None, **kwargs):
        """Time the making of batches, in as many passes as that takes."""
        self._start()
        batches = net.get_iterator(X, training=True)
        passes = itertools.chain.from_iterable(itertools.repeat(batches))
        next(batch for batch in passes if self._count(batch))
        self.made = self.per_second
        self._start()

    def on_batch_end(self, net, batch=None, **kwargs):
        """Time the training, and stop it."""
        if self._count(batch):
            self.trained = self.per_second
            raise KeyboardInterrupt

    def _start(self):
        self.n_seen = self.n_events = 0

    def _count(self, batch):
        """Count a batch, and return whether it is the last one."""
        self.n_seen += 1
        now = time.perf_counter(), time.process_time()
        if self.n_seen <= WARM_UP:
            self.began = now
            return False
        self.n_events += len(batch[1].columns)
        spent = [b - a for a, b in zip(self.began, now, strict=True)]
        self.per_second = [self.n_events / seconds for seconds in spent]
        return self.n_seen == WARM_UP + self.n_batches


@contextmanager
def timed_reading():
    """Return an object with the seconds until all events are read and encoded."""
    watch, read = SimpleNamespace(), _fit._read

    def timed(*args, **options):
        started = time.perf_counter(), time.process_time()
        result = read(*args, **options)
        watch.seconds = time.perf_counter() - started[0]
        watch.cpu = time.process_time() - started[1]
        return result

    _fit._read = timed
    try:
        yield watch
    finally:
        _fit._read = read


def measure(folder, n_events, history, in_memory, n_batches, width):
    """Fit on some batches; return a row of results."""
    path = make_files(folder, n_events)
    X = pq.read_table(path, columns=["user", "item", "time"]) if in_memory else path
    TwoTowerRecommender(embedding_dim=4, max_epochs=1).fit(
        np.arange(200).reshape(100, 2) % 7
    )
    own = {}
    if history == "recent":
        own = {"time": "time", "history": RecentHistory(second_share=0)}
    clock = Clock(n_batches)
    model = TwoTowerRecommender(
        user_id="user",
        item_id="item",
        embedding_dim=width,
        max_epochs=100,  # the clock ends the fit before
        candidate_sampling="mixed",
        callbacks=[clock],
        neighbors="exact",
        random_state=0,
        **own,
    )
    with sampled_memory() as memory, timed_reading() as reading:
        model.fit(X)
    rate = clock.trained[0]
    return {
        "events": n_events,
        "users": len(model.user_ids_),
        "items": len(model.item_ids_),
        "history": history,
        "from": "memory" if in_memory else "disk",
        "read_s": reading.seconds,
        "read_cpu_s": reading.cpu,
        "read_events_per_cpu_s": n_events / reading.cpu,
        "anonymous_gib": memory.anonymous,
        "mapped_gib": memory.mapped,
        "batches": n_batches,
        "batched_events_per_s": clock.made[0],
        "batched_events_per_cpu_s": clock.made[1],
        "trained_events_per_s": rate,
        "trained_events_per_cpu_s": clock.trained[1],
        "epoch_s": n_events / rate,
    }
