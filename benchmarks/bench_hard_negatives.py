"""Do the model's own highest-scoring non-positives help as further candidates?

Call ``python benchmarks/bench_hard_negatives.py --data DIR [--only NAMES]``. Fitted and
judged on validation data, as in bench_ablations.py. With every item a candidate, the
hardest negatives are in each sum already; so the question is put to sampled
candidates: the positives of the batch and a uniform sample. At the start of
each epoch after the first, items are ranked for all users by the vectors of that
moment; a batch then draws, for each of its users, ``--hard`` items of the ranks 11 to
500 at random, positives left out, and they join the candidates of the whole batch. An
item that is there for certain has Q = 1. Ranking a million items for a million users
each epoch would cost more than an epoch; here it is exact, which favours them.

It is compared with as many more uniform candidates, which cost the same products, and
with all items. Nothing is asserted: the package has no such option because of the
result.
"""

import argparse

import numpy as np
import pandas as pd
from _common import clock, load, machine, write_results
from _processes import call
from _quick import parse_options
from _systems import judge
from bench_quality import TUNED_BY
from skorch.callbacks import Callback

from sktwotower import TwoTowerRecommender
from sktwotower.towers.batches._batches import UserBatches
from sktwotower.towers.parts import embed_items, embed_users

FIRST_RANK, LAST_RANK = 10, 500


class HardBatches(UserBatches):
    """Batches whose candidates have some hard items of each user, too."""

    def __init__(self, dataset, *args, n_hard=0, **kwargs):
        super().__init__(dataset, *args, **kwargs)
        self.n_hard = n_hard

    def _batch(self, users):
        self._users_of_batch = users
        return super()._batch(users)

    def _candidates(self, positives, impressions):
        ranked = getattr(self.dataset, "ranked", None)
        if ranked is None:
            return super()._candidates(positives, impressions)
        ranked = ranked[self._users_of_batch]
        places = self.rng.integers(ranked.shape[1], size=(len(ranked), self.n_hard))
        hard = np.unique(np.take_along_axis(ranked, places, axis=1))
        candidates, log_q = super()._candidates(positives, impressions)
        together = np.union1d(candidates, hard)
        joined = np.zeros(len(together))  # log 1: of the hard ones
        old = np.isin(together, candidates)
        joined[old] = log_q
        joined[np.isin(together, hard)] = 0.0
        return together, joined


class Ranking(Callback):
    """At the start of each epoch but the first, rank the items for all users."""

    def on_epoch_begin(self, net, dataset_train, **kwargs):
        if len(net.history) == 1:
            return
        dataset_train.ranked = ranked_items(net.module_, dataset_train)
        net.module_.train()


def ranked_items(module, data, step=4096):
    """Return each user's non-positives of the ranks asked for, best first."""
    items, ranked = embed_items(module, data.item_rows), []
    for start in range(0, data.positives.shape[0], step):
        rows = slice(start, start + step)
        past = data.history[rows]
        users = embed_users(module, data.user_rows[rows], past, data.item_rows)
        scores = users @ items.T
        scores[data.positives[rows].nonzero()] = -np.inf
        last = min(LAST_RANK, scores.shape[1] - 1)
        top = np.argpartition(-scores, last, axis=1)[:, :last]
        order = np.argsort(-np.take_along_axis(scores, top, axis=1), axis=1)
        top = np.take_along_axis(top, order, axis=1)
        ranked.append(top[:, FIRST_RANK:].astype(np.int32))
    return np.concatenate(ranked)


def cases(n_hard, n_negatives):
    """Return the parameters of each way of choosing candidates."""
    few = {"candidate_sampling": "mixed", "n_negatives": n_negatives}
    return {
        f"in-batch and {n_negatives} uniform": few,
        f"the same, {n_hard} hard ones of each user": few | {"n_hard": n_hard},
        f"in-batch and {4 * n_negatives} uniform": few
        | {"n_negatives": 4 * n_negatives},
        "all items": {"candidate_sampling": "full"},
    }


def measure(data, folder, params, seed):
    """Fit once on validation data; return a row of results."""
    fitted_on, held_out = load(data, folder).tuning
    params = dict(params)
    n_hard = params.pop("n_hard", 0)
    net_params = params["net_params"] = {}
    if "n_negatives" in params:
        net_params["iterator_train__n_negatives"] = params.pop("n_negatives")
    if n_hard:
        net_params["iterator_train"] = HardBatches
        net_params["iterator_train__n_hard"] = n_hard
        params["callbacks"] = [Ranking()]
    model = TwoTowerRecommender(random_state=seed, **params)
    with clock() as watch:
        model.fit(fitted_on)
    figures, _ = judge(model, held_out)
    means = {name: float(np.mean(values)) for name, values in figures.items()}
    epochs = sum(epoch["dur"] for epoch in model.history_)
    return means | {"fit_s": watch.seconds, "epochs_s": epochs}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", help="one folder per data set")
    parser.add_argument("--only", default="lastfm,gowalla")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--hard", type=int, default=8, help="hard items of a user")
    parser.add_argument("--candidates", type=int, default=512, help="uniform ones")
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--width", type=int, default=64)
    own, where, rows = parse_options(parser, needs_data=True), machine(), []
    sizes = {"max_epochs": own.epochs, "embedding_dim": own.width}
    for data in own.only.split(","):
        for name, params in cases(own.hard, own.candidates).items():
            for seed in range(own.seeds):
                row = call(
                    "bench_hard_negatives:measure",
                    data=data,
                    folder=own.data,
                    params=params | sizes,
                    seed=seed,
                )
                rows.append({"data": data, "candidates": name, "seed": seed} | row)
            print(f"{data}: {name}: {row[TUNED_BY[data]]:.4f}", flush=True)
    shown = ["recall@20", "ndcg@10", "ndcg@20", "fit_s", "epochs_s"]
    table = pd.DataFrame(rows).groupby(["data", "candidates"], sort=False)[shown]
    print(table.mean().to_string(float_format="{:.4f}".format))
    print(f"standard deviation over seeds at most {table.std()[shown[:3]].max().max()}")
    write_results("hard_negatives", [row | where for row in rows])


if __name__ == "__main__":
    main()
