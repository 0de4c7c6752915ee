"""Does fit stay within seconds per epoch and a few GiB on a million users?

Call ``python benchmarks/bench_scale.py [--quick]``; the sizes are options, too. Events
are made: items fall into clusters, an item's popularity follows Zipf's law over the
whole catalog, a user draws nine tenths of the events from the own cluster, and
repeats of a pair count once. A fifth of the events of a sample of users is held out.
Every case runs in a fresh process, so that its peak of resident memory, with libraries
and events, is its own. Then a curve: the same number of users and events over ever more
items. What training costs are skorch's seconds of an epoch; what comes before and after
it in fit is ``prepare_s``. ``--quick`` is everything at a thousandth.

``--disk`` is another question: is what does not fit into memory read and batched as
fast as what does? It takes numbers of events, which are written to ``--folder`` and
fitted from there, `_from_disk.py`; up to ten million events are also fitted in memory.
Training stops after ``--batches`` batches.

Failure, at full size: an epoch takes more than 30 s, the process more than 6 GiB;
recall@100 is below five times that of popularity; on the curve the seconds per event
differ by a factor of two or more. From disk: more than 8 GiB that the process has
allocated, or less than half the events per CPU second of memory, read or batched.
"""

import argparse

import numpy as np
import pandas as pd
from _baselines import Baseline
from _common import PAIR, clock, machine, write_results
from _processes import call, peak_memory
from _quick import assert_claims, parse_options

from sktwotower import PopularityRecommender, TwoTowerRecommender, metrics

FULL_SIZE = 1_000_000, 200_000, 10_000_000  # users, items, events
MAX_EPOCH_SECONDS = 30
MAX_GIB = 6
MIN_RATIO_TO_POPULARITY = 5
MAX_CURVE_POINTS = 2
ITEMS_PER_CLUSTER = 400
NOISE = 0.1  # share of events that do not come from the own cluster
EXPONENT = 1.0  # of Zipf's law
K = 100


def make_events(n_users, n_items, n_events, seed=0):
    """Return events (about n_events, 2) in random order, and the odds behind them."""
    rng = np.random.default_rng(seed)
    odds = Odds(rng, n_users, n_items)
    users = rng.integers(n_users, size=n_events)
    low, high = odds.bounds(odds.user_cluster[users])
    anywhere = rng.random(n_events) < NOISE
    low[anywhere], high[anywhere] = 0, odds.cumulated[-1]
    drawn = low + (high - low) * rng.random(n_events)
    items = odds.order[np.searchsorted(odds.cumulated[1:-1], drawn, side="right")]
    pairs = rng.permutation(np.unique(users * n_items + items))
    return pd.DataFrame({"user": pairs // n_items, "item": pairs % n_items}), odds


class Odds:
    """Which cluster users and items are of, and how popular items are."""

    def __init__(self, rng, n_users, n_items):
        n_clusters = max(1, n_items // ITEMS_PER_CLUSTER)
        self.user_cluster = rng.integers(n_clusters, size=n_users)
        self.item_cluster = rng.permutation(n_items) % n_clusters
        self.weights = (1.0 + rng.permutation(n_items)) ** -EXPONENT
        self.order = np.argsort(self.item_cluster, kind="stable")
        self.cumulated = np.append(0, np.cumsum(self.weights[self.order]))
        self.ends = np.searchsorted(
            self.item_cluster[self.order], np.arange(n_clusters + 1)
        )

    def bounds(self, clusters):
        """Return where clusters (n,) begin and end in the cumulated weights."""
        return self.cumulated[self.ends[clusters]], self.cumulated[
            self.ends[clusters + 1]
        ]


class BestPossible(Baseline):
    """Rank items by the very odds that the events were drawn with."""

    def __init__(self, odds=None):
        self.odds = odds

    def _learn(self, seen):
        odds, items = self.odds, self.item_ids_
        self._clusters = odds.user_cluster[self.user_ids_]
        self._weights, self._of = odds.weights[items], odds.item_cluster[items]
        low, high = odds.bounds(np.arange(len(odds.ends) - 1))
        self._own = (1 - NOISE) / (high - low)

    def _scores(self, users):
        clusters = self._clusters[users][:, None]
        own = np.where(self._of == clusters, self._own[clusters], 0)
        return self._weights * (own + NOISE / self.odds.cumulated[-1])


def hold_out(events, n_users, seed=1):
    """Part a fifth of the events of some users from the others."""
    rng = np.random.default_rng(seed)
    sample = rng.choice(events["user"].max() + 1, n_users, replace=False)
    held = events["user"].isin(sample) & (rng.random(len(events)) < 0.2)
    train, test = events[~held], events[held]
    known = [test[side].isin(train[side]) for side in PAIR]
    return train.reset_index(drop=True), test[known[0] & known[1]]


def measure(n_users, n_items, n_events, n_judged, params):
    """Fit one case; return a row of results."""
    with clock() as making:
        events, odds = make_events(n_users, n_items, n_events)
        train, test = hold_out(events, n_judged)
        del events
    model = TwoTowerRecommender(random_state=0, **params)
    # Modules are imported, and threads started, by a fit of few events.
    TwoTowerRecommender(embedding_dim=4, max_epochs=1).fit(train[:100])
    with peak_memory() as memory, clock() as watch:
        model.fit(train)
    epochs = [epoch["dur"] for epoch in model.history_]
    row = {
        "users": n_users,
        "items": n_items,
        "events": len(train),
        "make_s": making.seconds,
        "prepare_s": watch.seconds - sum(epochs),
        "epoch_s": float(np.median(epochs)),
        "us_per_event": float(np.median(epochs)) / len(train) * 1e6,
        "fit_s": watch.seconds,
        "process_gib": memory.peak_mb * 1e6 / 2**30,
        "fit_gib": memory.more_mb * 1e6 / 2**30,
    }
    return row | (quality(model, train, test, odds) if n_judged else {})


def quality(model, train, test, odds):
    """Return the recall of the model, of popularity, and of the odds themselves."""
    systems = {
        "recall@100": model,
        "popularity": PopularityRecommender().fit(train),
        "best possible": BestPossible(odds).fit(train),
    }
    found = {"judged": test["user"].nunique()}
    for name, system in systems.items():
        ranking = system.rank_held_out(test, n_neighbors=K)
        found[name] = metrics.recall_at_k(ranking.truth, ranking.indices, K)
    return found | {"ours / popularity": found["recall@100"] / found["popularity"]}


def failures(row, curve):
    """Name what misses its mark."""
    per_event = [each["us_per_event"] for each in curve]
    checks = [
        (row["epoch_s"] > MAX_EPOCH_SECONDS, f"an epoch takes {row['epoch_s']:.1f} s"),
        (row["process_gib"] > MAX_GIB, f"fit takes {row['process_gib']:.1f} GiB"),
        (
            row["ours / popularity"] < MIN_RATIO_TO_POPULARITY,
            f"recall@100 is {row['ours / popularity']:.1f} times that of popularity",
        ),
        (
            max(per_event) >= MAX_CURVE_POINTS * min(per_event),
            f"an event takes from {min(per_event):.1f} to {max(per_event):.1f} us",
        ),
    ]
    return [message for missed, message in checks if missed]


MAX_GIB_FROM_DISK = 8
MAX_EVENTS_IN_MEMORY = 10_000_000


def from_disk(own, where):
    """Fit from disk, and up to ten million events in memory, too; write the results."""
    rows = []
    for n_events in own.disk:
        for in_memory in [False] + [True] * (n_events <= MAX_EVENTS_IN_MEMORY):
            row = call(
                "_from_disk:measure",
                folder=own.folder,
                n_events=n_events,
                history=own.history,
                in_memory=in_memory,
                n_batches=own.batches,
                width=own.width,
            )
            print(pd.Series(row).to_string(float_format="{:,.3f}".format), flush=True)
            rows.append(row | where)
    write_results(f"scale_from_disk_{own.history}", rows)
    wrong = failures_from_disk(pd.DataFrame(rows))
    assert_claims(wrong)


def failures_from_disk(rows):
    """Name what misses its mark."""
    disk, memory = (rows[rows["from"] == side] for side in ("disk", "memory"))
    peak, wrong = disk["anonymous_gib"].max(), []
    if peak > MAX_GIB_FROM_DISK:
        wrong.append(f"fit from disk allocates {peak:.1f} GiB")
    if memory.empty:
        return wrong
    largest = memory["events"].max()
    pair = [side[side["events"] == largest].iloc[0] for side in (disk, memory)]
    for speed in (
        lambda row: row["read_events_per_cpu_s"],
        lambda row: row["batched_events_per_cpu_s"],
    ):
        ours, theirs = map(speed, pair)
        if ours < theirs / 2:
            wrong.append(f"{ours:,.0f} events per second from disk, {theirs:,.0f} not")
    return wrong


def parse():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name, size in zip(("users", "items", "events"), FULL_SIZE, strict=True):
        parser.add_argument(f"--{name}", type=int, default=size)
    parser.add_argument("--judged", type=int, default=5_000, help="users to judge")
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--width", type=int, default=64)
    parser.add_argument(
        "--curve", default="100000,200000,500000,1000000", help="items, by comma; ''"
    )
    parser.add_argument("--disk", default="", help="numbers of events, by comma")
    parser.add_argument("--folder", default="/tmp", help="of the events on disk")
    parser.add_argument("--batches", type=int, default=100, help="timed, from disk")
    parser.add_argument(
        "--history", default="pooled", choices=["pooled", "recent"], help="from disk"
    )
    own = parse_options(parser)
    own.curve = [int(n) for n in own.curve.split(",") if n]
    own.disk = [int(n) for n in own.disk.split(",") if n]
    if own.quick:
        for name in ("users", "items", "events"):
            setattr(own, name, getattr(own, name) // 1000)
        own.judged = min(own.judged, own.users // 10)
        own.curve = [n // 1000 for n in own.curve][:2]
        own.epochs, own.batches = 1, 2
    return own


def main():
    own, where = parse(), machine()
    if own.disk:
        from_disk(own, where)
        return
    # The same way of sampling at all sizes; "auto" takes it from 20,001 items on.
    params = {"embedding_dim": own.width, "candidate_sampling": "mixed"}
    case = {"n_users": own.users, "n_events": own.events}
    row = call(
        "bench_scale:measure",
        **case,
        n_items=own.items,
        n_judged=own.judged,
        params=params | {"max_epochs": own.epochs},
    )
    print(f"threads {where['threads']}, load before {where['load_before']}")
    print(pd.Series(row).to_string(float_format="{:,.3f}".format), flush=True)
    curve = []
    for n_items in own.curve:
        few = params | {"max_epochs": 1}
        curve.append(
            call("bench_scale:measure", **case, n_items=n_items, n_judged=0, params=few)
        )
    if curve:
        print(pd.DataFrame(curve).to_string(float_format="{:,.3f}".format))
    if (own.users, own.items, own.events) == FULL_SIZE:
        write_results(
            f"scale_threads_{where['threads']}", [r | where for r in [row, *curve]]
        )
        wrong = failures(row, curve or [row])
        assert_claims(wrong)


if __name__ == "__main__":
    main()
