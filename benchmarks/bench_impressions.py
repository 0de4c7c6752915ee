"""What do impressions add to candidate sampling, and does it matter when they join?

Call ``python benchmarks/bench_impressions.py --data DIR [--seeds 3]`` with DIR holding
the folder ``kuairand-pure-std``. Fitted on what was shown until 30 April (y = whether
it was watched long), judged on what was shown after it, in two ways: the AUC of
watching long among what a user was shown (mean over users with both outcomes), and the
recall@20 of items watched long, whole catalog ranked, positives of fit left out.

One score serves both, and they ask for different things: an item is found by recall if
it will be shown *and* watched, popularity of what is shown included. Several systems
show what is lost of one for the other. "Impressions alone" learns user and item vectors
from the contrast of positives with impressions, without candidates.

By default no impression counts here, since validation finds no gain for the catalog:
that is "candidates alone". With ``impression_weight="shown"`` the AUC decides.

Failure: popularity's recall is not that of the protocol; candidates, then impressions
do not beat the AUC of candidates only, or not the recall of impressions only and 1.5
times popularity's; joining from the start reaches a recall as high; with what was shown
as a feature of the users too, recall falls behind candidates only; or the weight that
validation chooses does not beat the AUC of candidates only.
"""

import argparse
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import torch
from _common import PAIR, clock, machine, write_results
from _quick import assert_claims, parse_options
from torch.nn.functional import softplus

from sktwotower import PopularityRecommender, TwoTowerRecommender
from sktwotower.metrics import recall_at_k
from sktwotower.towers.losses._losses import SampledSoftmaxLoss

K = 20
# Of impressions, in this script and in those that import it
WEIGHT = 5.0
# Chosen on the last 70 % of the validation period: enough to be level with more.
PARAMS = {"embedding_dim": 64, "max_epochs": 10, "impression_weight": WEIGHT}
# The item table's counts (likes, plays ...) are made of the days to be foretold.
ITEM_COLUMNS = [
    "author_id",
    "video_type",
    "upload_dt",
    "upload_type",
    "visible_status",
    "video_duration",
    "music_id",
    "music_type",
    "tag",
]
POPULARITY_RECALL = 0.080
CANDIDATES, ALONE = "candidates alone", "impressions alone"
FROM_START, LATER = "both from the start", "candidates, then impressions"
WITH_SHOWN = "the same, shown items as a user feature"
AUTO = "impression_weight='shown'"


def load(folder):
    """Return what was shown before and after the cut, and the tables of both sides."""

    def read(name):
        table = pd.read_parquet(Path(folder) / "kuairand-pure-std" / f"{name}.parquet")
        return table.rename(columns={"user_id": "user", "item_id": "item"})

    shown, history = read("interactions"), read("train_history")
    history["y"], shown["y"] = history["long_watch"], shown["long_view"]
    columns = [*PAIR, "y"]
    before, after = (
        shown.loc[shown["split"] == part, columns].copy() for part in ("val", "test")
    )
    train = pd.concat([history[columns], before], ignore_index=True)
    # Stored as int8, whose sums and their products overflow (an AUC of .661 for .635).
    train["y"], after["y"] = train["y"].astype(float), after["y"].astype(float)
    known = [after[side].isin(train[side]) for side in PAIR]
    test = after[known[0] & known[1]]
    chosen = pd.MultiIndex.from_frame(train.loc[train["y"] > 0, PAIR])
    new = ~pd.MultiIndex.from_frame(test[PAIR]).isin(chosen)
    return SimpleNamespace(
        train=train,
        test=test,
        to_find=test.loc[new & (test["y"] > 0), PAIR],
        users=read("users"),
        items=read("items")[["item", *ITEM_COLUMNS]],
    )


def auc(test, scores):
    """Return the mean over users of the AUC among what each was shown."""
    table = test.assign(rank=scores).assign(
        rank=lambda t: t.groupby("user")["rank"].rank()
    )
    users = table.groupby("user")["y"].agg(["sum", "size"])
    users["ranks"] = table[table["y"] > 0].groupby("user")["rank"].sum()
    users = users[(users["sum"] > 0) & (users["sum"] < users["size"])]
    chosen, others = users["sum"], users["size"] - users["sum"]
    below = users["ranks"] - chosen * (chosen + 1) / 2
    return (below / (chosen * others)).mean()


def recall(model, events):
    """Return the recall@20 of these events, whole catalog ranked."""
    ranking = model.rank_held_out(events, n_neighbors=K)
    return recall_at_k(ranking.truth, ranking.indices, K)


def smoothed_rate(events):
    """Return for each item the share of positives, shrunk towards the mean."""
    sums = events.groupby("item")["y"].agg(["sum", "size"])
    return (sums["sum"] + 10 * events["y"].mean()) / (sums["size"] + 10)


def baselines(data):
    """Return the rows of what needs no training."""
    train, test = data.train, data.test
    chosen = train[train["y"] > 0]
    popularity = PopularityRecommender().fit(train[PAIR], train["y"])
    count = test["item"].map(chosen.groupby("item").size()).fillna(0)
    rate = auc(test, test["item"].map(smoothed_rate(train)))
    leak = auc(test, test["item"].map(smoothed_rate(test)))
    return [
        {
            "system": "popularity",
            "auc": auc(test, count),
            "recall@20": recall(popularity, data.to_find),
        },
        {"system": "the item's smoothed rate", "auc": rate},
        {"system": "the item's rate in test itself (leaks)", "auc": leak},
    ]


class Alone(SampledSoftmaxLoss):
    """Positives against the impressions of their user, with no candidates at all."""

    def forward(self, users, items, targets):
        if targets.impressions is None:  # there is nothing to compare with
            return 0.0 * (users.sum() + items.sum())
        rows, columns, weights = targets.impressions
        shown = (users[rows] * items[columns]).sum(1)
        mass = users.new_zeros(len(users)).index_add(0, rows, weights * shown.exp())
        own = torch.arange(len(users)).repeat_interleave(targets.offsets.diff())
        positive = (users[own] * items[targets.columns]).sum(1)
        kept = mass[own] > 0
        excess = mass[own[kept]].log() - positive[kept]
        return (targets.weights[kept] * softplus(excess)).sum() / targets.total_weight


def with_shown(data):
    """Return a table of users with list of what each was shown and did not choose."""
    shown = data.train[data.train["y"] == 0].drop_duplicates(PAIR)
    lists = shown["item"].astype(str).groupby(shown["user"]).agg(list)
    users = data.train["user"].drop_duplicates().sort_values()
    lists = lists.reindex(users)
    lists = [found if isinstance(found, list) else [] for found in lists]
    return pd.DataFrame({"user": users.to_numpy(), "shown": lists})


def systems(data):
    """Return the parameters of each system; all are given the same events."""
    without = {"impression_weight": 0.0}
    start = {"impression_start": 0.0}
    tables = {"users": data.users, "items": data.items}
    # Five epochs: with ten it has learnt the pairs by heart.
    alone = {"history": None, "max_epochs": 5, "net_params": {"criterion": Alone}}
    return {
        CANDIDATES: without,
        ALONE: start | alone,
        FROM_START: start,
        LATER: {},
        "impression_weight=20": {"impression_weight": 20.0},
        AUTO: {"impression_weight": "shown"},
        WITH_SHOWN: {"users": with_shown(data)},
        CANDIDATES + ", side tables": tables | without,
        "impression_weight=20, side tables": tables | {"impression_weight": 20.0},
    }


def measure(name, params, data, seed):
    """Fit and judge one system; return a row of results."""
    model = TwoTowerRecommender(**PARAMS | params, random_state=seed)
    with clock() as watch:
        model.fit(data.train[PAIR], data.train["y"])
    row = {
        "system": name,
        "seed": seed,
        "auc": auc(data.test, model.predict(data.test[PAIR])),
        "recall@20": recall(model, data.to_find),
        "fit_s": watch.seconds,
    }
    print(row, flush=True)
    return row


def failures(table):
    """Return the claims of the benchmark that the results contradict."""
    auc, found = table["auc"], table["recall@20"]
    spread = 0.002  # between two means of three seeds
    claims = {
        "popularity's recall is that of the protocol": abs(
            found["popularity"] - POPULARITY_RECALL
        )
        < 0.001,
        "impressions beat candidates alone by AUC": auc[LATER] > auc[CANDIDATES] + 0.02,
        "both beat impressions alone by recall": found[LATER] > 2 * found[ALONE],
        "both find 1.5 times what popularity does": found[LATER]
        > 1.5 * found["popularity"],
        "candidates first beats both from the start by recall": found[LATER]
        > found[FROM_START] + spread,
        "and is level by AUC": auc[LATER] > auc[FROM_START] - 0.005,
        "the chosen weight beats candidates alone by AUC": auc[AUTO]
        > auc[CANDIDATES] + 0.02,
        "shown items as a feature: recall of candidates alone": found[WITH_SHOWN]
        > found[CANDIDATES] - spread,
        "shown items as a feature: AUC above candidates alone": auc[WITH_SHOWN]
        > auc[CANDIDATES] + 0.02,
    }
    return [claim for claim, holds in claims.items() if not holds]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", help="folder of the data sets")
    parser.add_argument("--seeds", type=int, default=3)
    arguments = parse_options(parser, needs_data=True)
    where, data = machine(), load(arguments.data)
    rows = baselines(data)
    for seed in range(arguments.seeds):
        for name, params in systems(data).items():
            rows.append(measure(name, params, data, seed))
    by_system = pd.DataFrame(rows).groupby("system", sort=False)
    columns = ["auc", "recall@20", "fit_s"]
    table = by_system[columns].mean()
    print(table.round({"auc": 4, "recall@20": 4, "fit_s": 1}).to_string())
    print(
        "largest spread of seeds:",
        np.round(by_system[columns].std().max(), 4).to_dict(),
    )
    write_results("impressions", [row | where for row in rows])
    assert_claims(failures(table))


if __name__ == "__main__":
    main()
