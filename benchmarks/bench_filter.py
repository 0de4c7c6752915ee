"""What would longer vectors gain, with those of a linear filter behind the towers'?

Call ``python benchmarks/bench_filter.py --data DIR [--only NAMES] [--seeds 3]``. On the
data sets of ``bench_quality.py``: two towers with default settings, alone and with a
second score, that of a low-pass filter (the second of GF-CF's two), in one dot product
of vectors that are longer by ``n_components``. A user's part of them has length one, an
item's at most ``weight``. Both numbers are chosen on the part of train that all are
tuned on, with one seed, then both are measured on test.

Nothing can fail: the figures say what the default leaves to be had, and at what price.
"""

import argparse

import numpy as np
import pandas as pd
from _baselines import Baseline
from _common import (
    PAIR,
    PROTOCOLS,
    load,
    machine,
    read_results,
    replaced,
    write_results,
)
from _systems import judge
from bench_quality import TUNED_BY
from scipy import sparse
from sklearn.utils.extmath import randomized_svd

from sktwotower import TwoTowerRecommender

COMPONENTS = [64, 128, 256, 512]
WEIGHTS = [0.1, 0.2, 0.4, 0.8]
SYSTEM = "with a filter"


class WithFilter(Baseline):
    """Two towers and a filter: their vectors one behind the other.

    The filter's vectors of items are :math:`D_i^{1/2} V`, those of users the sums of
    :math:`D_i^{-1/2} V` over their items, with the right singular vectors V of the
    normalized events :math:`D_u^{-1/2} R D_i^{-1/2}`.
    """

    def __init__(self, random_state=0):
        self.random_state = random_state

    def _learn(self, seen):
        users, items = seen.nonzero()
        pairs = {"user": self.user_ids_[users], "item": self.item_ids_[items]}
        events = pd.DataFrame(pairs)[PAIR]
        model = TwoTowerRecommender(random_state=self.random_state).fit(events)
        places = pd.Index(model.item_ids_).get_indexer(self.item_ids_)
        first = events.drop_duplicates("user").set_index("user").loc[self.user_ids_]
        self._users = model.transform(first.reset_index())
        self._items = model.item_embeddings_[places]
        n_users, n_items = (np.asarray(seen.sum(axis=a)).ravel() for a in (1, 0))
        self._root = np.sqrt(n_items)[:, None]
        normalized = sparse.diags(n_users**-0.5) @ seen @ sparse.diags(n_items**-0.5)
        size = min(max(COMPONENTS), min(seen.shape) - 1)
        # the largest singular values come first
        self._vectors = randomized_svd(normalized, size, random_state=0)[2].T
        self.set(0, 0.0)

    def set(self, n_components, weight):
        """Choose the filter; weight 0: there is none."""
        vectors = self._vectors[:, :n_components]
        past = self._seen @ (vectors / self._root)
        past = past / np.maximum(_lengths(past)[:, None], 1e-12)
        items = vectors * self._root
        items = weight * items / max(_lengths(items).max(initial=0), 1e-12)
        self._long_users = np.hstack([self._users, past]).astype(np.float32)
        self._long_items = np.hstack([self._items, items]).astype(np.float32)
        return self

    def _scores(self, users):
        return self._long_users[users] @ self._long_items.T


def _lengths(vectors):
    return np.linalg.norm(vectors, axis=1)


def choose(name, folder):
    """Return the filter that is best on the part to tune on, and the figures there."""
    fitted_on, held_out = load(name, folder).tuning
    model, figure = WithFilter().fit(fitted_on), TUNED_BY[name]
    alone = np.mean(judge(model, held_out)[0][figure])
    found = [
        (np.mean(judge(model.set(n, weight), held_out)[0][figure]), n, weight)
        for n in COMPONENTS
        for weight in WEIGHTS
    ]
    best, n_components, weight = max(found)
    chosen = {"n_components": n_components, "weight": weight}
    return chosen, {"validation": alone, "validation with": best}


def measure(name, folder, seeds):
    """Return a row of results of a data set."""
    events, figure = load(name, folder), TUNED_BY[name]
    chosen, found = choose(name, folder)
    alone, both = [], []
    for seed in range(seeds):
        model = WithFilter(random_state=seed).fit(events.train)
        alone.append(pd.DataFrame(judge(model, events.test)[0]))
        both.append(pd.DataFrame(judge(model.set(**chosen), events.test)[0]))
    alone, both = (sum(each) / seeds for each in (alone, both))
    gain = both[figure] - alone[figure]
    row = {"data": name, "system": SYSTEM, "figure": figure} | chosen | found
    row |= {"in validation": found["validation with"] / found["validation"] - 1}
    row |= {f"{k} alone": v for k, v in alone.mean().items()} | both.mean().to_dict()
    return row | {
        "gained": gain.mean(),
        "low": gain.mean() - 1.96 * gain.sem(),
        "high": gain.mean() + 1.96 * gain.sem(),
        "seeds": seeds,
        "users": len(gain),
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", help="folder with one folder per data set")
    parser.add_argument("--only", default=",".join(PROTOCOLS), help="names, by comma")
    parser.add_argument("--seeds", type=int, default=3)
    own = parser.parse_args()
    names = own.only.split(",")
    if unknown := set(names) - set(PROTOCOLS):
        parser.error(f"--only knows {list(PROTOCOLS)}, not {sorted(unknown)}")
    for name in names:
        where = machine()
        row = measure(name, own.data, own.seeds)
        print(pd.Series(row).to_string(), "\n", flush=True)
        write_results("filter", replaced(read_results("filter"), [row | where]))


if __name__ == "__main__":
    main()
