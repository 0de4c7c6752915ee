"""What is each default worth? One change at a time, on validation data.

Call ``python benchmarks/bench_ablations.py --data DIR [--only NAMES] [--seeds 3]
[--order]``. With ``--change NAME``, also several times, only these are measured, and
the defaults; other rows stay as written, also those of sets that ``--only`` leaves out.
Each change is fitted on the train part of the split that bench_quality.py tunes on, and
judged on its other part by the figure that tunes there; test data is not touched.
The seeds of a change and of the defaults are the same, so that the difference is one of
pairs: its mean, and the standard error of that mean over seeds. ``--order`` is the same
for a model with ``time``, on the data sets and the cut for tuning of bench_next.py.

Failure: a change is better than the defaults on every data set, beyond two standard
errors each: then it should be the default.
"""

import argparse
from contextlib import nullcontext

import _other_training as other_training
import numpy as np
import pandas as pd
import torch
from _common import (
    ORDERED,
    PAIR,
    PROTOCOLS,
    clock,
    load,
    load_ordered,
    machine,
    read_results,
    write_results,
)
from _processes import call
from _quick import assert_claims, parse_options
from _systems import judge
from bench_quality import TUNED_BY
from skorch.callbacks import Callback

from sktwotower import TwoTowerRecommender
from sktwotower.towers import PooledHistory, RecentHistory

DEFAULTS = "defaults"
CHANGES = {
    DEFAULTS: {},
    "temperature 0.07": {"temperature": 0.07},
    "temperature 0.1": {"temperature": 0.1},
    "temperature 0.2": {"temperature": 0.2},
    "vectors not normalized, temperature 1": {"normalize": False, "temperature": 1.0},
    "no history in the user tower": {"history": None},
    "dropout 0": {"dropout": 0.0},
    "dropout 0.3": {"dropout": 0.3},
    "dropout 0.7": {"dropout": 0.7},
    "a hidden layer of 256": {"hidden_layer_sizes": (256,)},
    "no linear filter": {"history": {"PooledHistory": {"second_share": 0}}},
    "no linear filter, embedding_dim 384": {
        "history": {"PooledHistory": {"second_share": 0}},
        "embedding_dim": 384,
    },
    "a linear filter as EASE": {"code": "filter_as_ease"},
    "embedding_dim 64": {"embedding_dim": 64},
    "embedding_dim 128": {"embedding_dim": 128},
    "embedding_dim 512": {"embedding_dim": 512},
    "embedding_dim 768": {"embedding_dim": 768},
    "lr 0.003": {"lr": 0.003},
    "lr 0.03": {"lr": 0.03},
    "weight_decay 0": {"weight_decay": 0.0},
    "weight_decay 1": {"weight_decay": 1.0},
    "batch_size 64": {"batch_size": 64},
    "batch_size 1024": {"batch_size": 1024},
    "max_epochs 10": {"max_epochs": 10},
    "max_epochs 60": {"max_epochs": 60},
    "early stopping": {"early_stopping": True},
    "weights averaged over the last 40 %": {"average_from": 0.6},
    **{
        f"a user of n events counts n ** {power:g}": {
            "net_params": {"iterator_train__user_power": power}
        }
        for power in (0.0, 0.5, 0.75, 1.0)
    },
    "optimizer adamw": {"optimizer": "adamw", "lr": 0.005},
    "optimizer adagrad": {"optimizer": "adagrad", "lr": 0.05},
    "id_dropout 0": {"id_dropout": 0.0},
    "all items as candidates": {"candidate_sampling": "full"},
    "in-batch candidates": {"candidate_sampling": "in_batch"},
    "512 uniform candidates": {"candidate_sampling": "uniform"},
    "in-batch and 512 uniform": {"candidate_sampling": "mixed"},
    "the same, all logits corrected": {
        "candidate_sampling": "mixed",
        "net_params": {"iterator_train__correction": "all"},
    },
    "the same, none corrected": {
        "candidate_sampling": "mixed",
        "net_params": {"iterator_train__correction": None},
    },
    "float32 products": {"net_params": {"criterion__matmul_dtype": "float32"}},
}
# The same for a model with ``time``. ``code``: a change of _other_training.py.
IN_ORDER = {
    DEFAULTS: {},
    "tables of items apart": {
        "code": "tables_apart",
        "net_params": {"criterion__robustness": 0.1},
    },
    "past items as negatives": {"code": "past_items_as_negatives"},
    "all positives count alike": {"net_params": {"criterion__robustness": 0.0}},
    "unlikely positives count even less": {
        "net_params": {"criterion__robustness": 0.2}
    },
    "none of these three": {"code": "as_if_chosen_again"},
    "a loss cut at rank 20": {"code": "cut_at_rank"},
    "three times as many candidates": {
        "net_params": {"iterator_train__n_negatives": 1536}
    },
    "no candidates but those of the batch": {"candidate_sampling": "in_batch"},
    "all logits corrected": {"net_params": {"iterator_train__correction": "all"}},
    "no logits corrected": {"net_params": {"iterator_train__correction": None}},
    "max_epochs 4": {"max_epochs": 4},
    "max_epochs 16": {"max_epochs": 16},
    "weights averaged over the last 40 %": {"average_from": 0.6},
    "a hidden layer of 256": {"hidden_layer_sizes": (256,)},
    "no second pair": {"history": {"RecentHistory": {"second_share": 0}}},
    "embedding_dim 128": {"embedding_dim": 128},
    "embedding_dim 512": {"embedding_dim": 512},
    "dropout 0": {"dropout": 0.0},
    "dropout 0.3": {"dropout": 0.3},
    "lr 0.005": {"lr": 0.005},
    "lr 0.02": {"lr": 0.02},
    "temperature 0.08": {"temperature": 0.08},
    "temperature 0.2": {"temperature": 0.2},
    "no ids of users": {"id_dropout": 1.0},
    "scores that do not follow recent popularity": {
        "history": {"RecentHistory": {"popularity_half_life": None}}
    },
}
# By default, without and with ``--order``.
DATA = ["ml-100k", "lastfm", "online-retail"], ["ml-100k-last", "beauty-last"]


# Settings travel to another process as JSON.
HISTORIES = {"PooledHistory": PooledHistory, "RecentHistory": RecentHistory}


def figure_of(data):
    """Return the name of the figure that judges on a data set."""
    return TUNED_BY.get(data, "ndcg@10")


class Average(Callback):
    """Replaces the weights of each part by their mean over its last steps.

    ``start``: share of the epochs before the first of these.
    """

    def __init__(self, start):
        self.start = start

    def on_train_begin(self, net, **kwargs):
        self.sums, self.n_steps = None, 0

    def on_batch_end(self, net, training=False, **kwargs):
        if training and len(net.history) > self.start * net.max_epochs:
            weights = [p.detach().double() for p in net.module_.parameters()]
            self.sums = self.sums or [0.0] * len(weights)
            self.sums = [a + b for a, b in zip(self.sums, weights, strict=True)]
            self.n_steps += 1

    def on_train_end(self, net, **kwargs):
        with torch.no_grad():
            pairs = zip(net.module_.parameters(), self.sums, strict=True)
            for parameter, total in pairs:
                parameter.copy_(total / self.n_steps)


def measure(data, folder, params, seeds, order=False):
    """Return the figure and the seconds of each seed.

    ``params``: those of the estimator, as JSON holds them, ``average_from`` of
    `Average` and ``code``, see _other_training.py. ``order``: fit with ``time``.
    """
    fitted_on, held_out = (load_ordered if order else load)(data, folder).tuning
    given, params = params.get("net_params", {}), dict(params)
    if order:
        params["time"] = "time"
    if isinstance(params.get("history"), dict):
        [(name, values)] = params["history"].items()
        params["history"] = HISTORIES[name](**values)
    if "criterion__matmul_dtype" in given:
        dtype = getattr(torch, given["criterion__matmul_dtype"])
        params["net_params"] = {"criterion__matmul_dtype": dtype}
    if "average_from" in params:
        params["callbacks"] = [Average(params.pop("average_from"))]
    code, rows = other_training.CHANGES.get(params.pop("code", None), nullcontext), []
    for seed in range(seeds):
        model = TwoTowerRecommender(random_state=seed, **params)
        with code(), clock() as watch:
            model.fit(fitted_on)
        figures, _ = judge(model, held_out[PAIR])
        figure = float(np.mean(figures[figure_of(data)]))
        rows.append({"seed": seed, "figure": figure, "fit_s": watch.seconds})
    return rows


def differences(rows):
    """Return a table (changes, data sets) of mean and standard error of differences."""
    table = pd.DataFrame(rows).pivot_table("figure", ["change", "seed"], "data")
    table = table - table.loc[DEFAULTS].reindex(table.index, level="seed")
    by_change = table.groupby("change", sort=False)
    return by_change.mean(), by_change.sem()


def rows_of_differences(rows):
    """Return a row for each data set and change; units are those of the figure."""
    means, errors = differences(rows)
    return [
        {
            "data": data,
            "change": change,
            "difference": means.loc[change, data],
            "standard error": errors.loc[change, data],
        }
        for data in means.columns
        for change in means.index
    ]


def report(rows, changes):
    """Print the figures of each of the changes, and what it costs."""
    means, errors = differences(rows)
    found = pd.DataFrame(rows).groupby(["change", "data"], sort=False)
    figure, seconds = (found[name].mean().unstack() for name in ("figure", "fit_s"))
    for data in means.columns:
        table = pd.DataFrame(
            {
                figure_of(data): figure[data],
                "difference": means[data],
                "standard error": errors[data],
                "fit_s": seconds[data],
            }
        ).reindex(list(changes))
        print(f"\n{data}\n{table.to_string(float_format='{:.4f}'.format)}")


def with_written(measured, name="ablations"):
    """Return ``measured`` rows after those written of other changes and data sets."""
    anew = {(row["data"], row["change"]) for row in measured}
    written = read_results(name)
    return [r for r in written if (r["data"], r["change"]) not in anew] + measured


def better_everywhere(rows):
    """Name the changes that are better on all data sets, beyond chance."""
    means, errors = differences(rows)
    better = (means > 2 * errors.fillna(np.inf)).all(axis=1)
    return list(better.index[better])


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", help="folder with one folder per data set")
    parser.add_argument("--only", help="names, by comma")
    parser.add_argument("--change", action="append", choices=[*CHANGES, *IN_ORDER])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--order", action="store_true", help="of a model with time")
    own, where, rows = parse_options(parser), machine(), []
    changes, protocols = (IN_ORDER, ORDERED) if own.order else (CHANGES, PROTOCOLS)
    name = "ablations_order" if own.order else "ablations"
    names = (own.only or ",".join(DATA[own.order])).split(",")
    if own.change is not None:
        changes = {name: changes[name] for name in [DEFAULTS, *own.change]}
    if unknown := set(names) - set(protocols):
        parser.error(f"--only knows {list(protocols)}, not {sorted(unknown)}")
    for data in names:
        for change, params in changes.items():
            case = {"data": data, "folder": own.data, "seeds": own.seeds}
            case |= {"order": own.order}
            found = call("bench_ablations:measure", params=params, **case)
            rows += [{"data": data, "change": change} | row for row in found]
            mean = np.mean([row["figure"] for row in found])
            print(f"{data}: {change}: {mean:.4f}", flush=True)
    report(rows, changes)
    every = [row | where for row in rows + rows_of_differences(rows)]
    if own.change is not None:  # defaults that are written stay
        known = {row["data"] for row in read_results(name) if row["change"] == DEFAULTS}
        every = [r for r in every if r["change"] != DEFAULTS or r["data"] not in known]
    if own.change is not None or own.only is not None:
        every = with_written(every, name)
    write_results(name, every)
    better = better_everywhere(rows)
    assert_claims([f"better than the defaults everywhere: {name}" for name in better])


if __name__ == "__main__":
    main()
