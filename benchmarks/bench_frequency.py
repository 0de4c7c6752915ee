"""Does the streaming frequency follow the probability of items that it samples?

Call ``OMP_NUM_THREADS=1 python benchmarks/bench_frequency.py [--seeds 3]``; no data is
needed. The simulation of Yi et al. (RecSys 2019, figure 3): 1,000 items, batches of 128
without replacement, item i with a probability in proportion to i ** 2, and from step
10,000 on to (999 - i) ** 2; gaps start at 100. The error of a step is half of the mean
difference between estimate and probability over the items of its batch. Parts:

``rate``: the error over time, for several rates, with a place for each item.
``hashes``: the error before the change and at the end, for 1, 2 and 4 tables that have
the same number of places together: the fewer places, the more items collide.
``averaged``: the first gaps are averaged instead of the start at 100.

Failure: a higher rate does not follow the change faster, or has no larger error where
nothing changes; with enough places, more tables do not lower the error; without a start
at 100 the error after 100 steps is not the lowest.
"""

import argparse

import numpy as np
import pandas as pd
from _common import machine, write_results
from _quick import assert_claims, parse_options
from scipy.optimize import brentq

from sktwotower.towers import StreamingFrequency

N_ITEMS, BATCH, CHANGE, END = 1000, 128, 10_000, 20_000
RATES = (0.1, 0.03, 0.01, 0.003)
# Errors are averaged over this many steps.
WINDOW = 100
PLACES = (1000, 2000, 5000)


def inclusion(weights):
    """Return the probability (n,) that an item is in a batch without replacement.

    Items come at the times of independent clocks with these rates; the batch is full
    at about the time at which as many are expected.
    """
    weights = weights / weights.sum()
    full = brentq(lambda t: -np.expm1(-weights * t).sum() - BATCH, 1, 1e6)
    return -np.expm1(-weights * full)


def stream(seed, change):
    """Yield the batch of each step and the probabilities (n_items,)."""
    rng, items = np.random.default_rng(seed), np.arange(N_ITEMS)
    for weights in (items**2.0, (N_ITEMS - 1.0 - items) ** 2):
        chances = inclusion(weights)
        for _ in range(change):
            clocks = rng.exponential(size=N_ITEMS) / np.maximum(weights, 1e-12)
            yield np.argpartition(clocks, BATCH)[:BATCH], chances


def errors(frequencies, seed, change):
    """Return the mean error (n_windows,) of each estimator, a dict by name."""
    found = {name: [] for name in frequencies}
    for batch, chances in stream(seed, change):
        for name, frequency in frequencies.items():
            estimate = frequency.partial_fit(batch).predict(batch)
            found[name].append(np.abs(estimate - chances[batch]).mean() / 2)
    return {
        name: np.reshape(each, (-1, WINDOW)).mean(axis=1)
        for name, each in found.items()
    }


def estimators():
    """Return the estimators to compare, by part and settings."""
    start = {"initial_gap": 100}
    found = {("rate", r, 1, 0): StreamingFrequency(r, **start) for r in RATES}
    found["averaged", 0.01, 1, 0] = StreamingFrequency(0.01)
    for places in PLACES:
        for n in (1, 2, 4):
            hashed = {"n_hashes": n, "n_buckets": places // n}
            found["hashes", 0.01, n, places] = StreamingFrequency(
                0.01, **hashed, **start
            )
    return found


def measured(seed, change):
    """Return a row for each estimator and window of steps, twice ``change`` in all."""
    names = ["part", "rate", "n_hashes", "n_places"]
    return [
        dict(zip(names, name, strict=True))
        | {"seed": seed, "step": step, "error": error}
        for name, each in errors(estimators(), seed, change).items()
        for step, error in zip(range(WINDOW, 2 * change + 1, WINDOW), each, strict=True)
    ]


def failures(table):
    """Return where the simulation does not show what the paper shows."""
    error = table.set_index(["part", "rate", "n_hashes", "n_places", "step"])["error"]
    by_rate = error["rate", :, 1, 0].unstack("step")
    after = by_rate[CHANGE + WINDOW]
    hashed = error["hashes", 0.01].unstack("step")[CHANGE]
    averaged = error["averaged", 0.01, 1, 0, WINDOW]
    claims = {
        "a low rate is the most exact": by_rate[END].is_monotonic_increasing,
        "a high rate is the fastest": after.is_monotonic_decreasing,
        "more tables help": hashed[:, PLACES[-1]].is_monotonic_decreasing,
        "averages are the most exact at first": averaged < by_rate[WINDOW].min(),
    }
    return [claim for claim, holds in claims.items() if not holds]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=3)
    own, where = parse_options(parser), machine()
    seeds, change = range(own.seeds), 300 if own.quick else CHANGE
    table = pd.DataFrame([row for seed in seeds for row in measured(seed, change)])
    table = table.groupby(["part", "rate", "n_hashes", "n_places", "step"])["error"]
    table = table.mean().reset_index()
    shown = [WINDOW, 1000, change, change + WINDOW, change + 1000, 2 * change]
    rows = table[table["step"].isin(shown)]
    settings = ["part", "rate", "n_hashes", "n_places"]
    wide = rows.pivot(index=settings, columns="step", values="error")
    print(wide.to_string(float_format="{:.4f}".format))
    kept = table[(table["step"] % 1000 == 0) | table["step"].isin(shown)]
    where = {"seeds": len(seeds)} | where
    write_results("frequency", [row | where for row in kept.to_dict("records")])
    assert_claims([] if own.quick else failures(table))


if __name__ == "__main__":
    main()
