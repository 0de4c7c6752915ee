"""Is what is held out a random part of each user's events, as figures of it suppose?

Call ``python benchmarks/bench_split.py --data DIR [--only NAMES]``. For each data set
of ``bench_quality.py``, items with 50 events or more are counted: how many of an item's
events are held out, against how many would be if each user's part had been drawn at
random. ``spread`` is the variance of that difference in units of its standard
deviation: near 1 for a random part. To compare: 20 parts of the same size, drawn at
random from each user's events.
"""

import argparse

import numpy as np
import pandas as pd
from _common import PROTOCOLS, load, machine, write_results
from _quick import parse_options

MIN_EVENTS = 50
N_DRAWS = 20


def spread(held, users, items):
    """Return the spread (see above) of a part: bool (n_events,), of integer codes."""
    share = np.bincount(users, held) / np.bincount(users)
    odds = share[users]
    expected, variance = (np.bincount(items, w) for w in (odds, odds * (1 - odds)))
    frequent = (np.bincount(items) >= MIN_EVENTS) & (variance > 0)
    excess = np.bincount(items, held) - expected
    return float(np.mean(excess[frequent] ** 2 / variance[frequent]))


def drawn(held, users, rng):
    """Return a part with as many events of each user, drawn at random."""
    order = np.lexsort((rng.random(len(users)), users))
    counts = np.bincount(users)
    place = np.arange(len(users)) - np.repeat(np.cumsum(counts) - counts, counts)
    part = np.zeros(len(users), dtype=bool)
    part[order] = place < np.bincount(users, held).astype(int)[users[order]]
    return part


def measure(name, folder):
    """Return the row of results of a data set."""
    events = load(name, folder)
    both = pd.concat([events.train, events.test])
    held = np.arange(len(both)) >= len(events.train)
    users, items = (pd.factorize(both[side])[0] for side in ("user", "item"))
    rng = np.random.default_rng(0)
    random = [spread(drawn(held, users, rng), users, items) for _ in range(N_DRAWS)]
    return {
        "data": name,
        "held out": float(held.mean()),
        "spread": spread(held, users, items),
        "spread of random parts": float(np.mean(random)),
        "highest of random parts": max(random),
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", help="folder with one folder per data set")
    parser.add_argument("--only", default=",".join(PROTOCOLS), help="names, by comma")
    own = parse_options(parser)
    rows = [measure(name, own.data) for name in own.only.split(",")]
    print(pd.DataFrame(rows).round(3).to_string(index=False))
    if own.only == parser.get_default("only"):
        write_results("split", [row | machine() for row in rows])


if __name__ == "__main__":
    main()
