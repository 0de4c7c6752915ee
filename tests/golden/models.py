"""The models of the golden set: each is fitted within a few hundredths of a second.

Only public names are used, so that they outlive any change of the inside.
"""

import copy
import datetime
import functools
import os
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from sklearn.compose import make_column_transformer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from sklearn.tree import DecisionTreeClassifier
from torch import distributed, nn

from sktwotower import (
    ClickRateRecommender,
    ContentRecommender,
    EASERecommender,
    GraphFilterRecommender,
    ItemKNNRecommender,
    OrderedRidgeRecommender,
    PopularityRecommender,
    RepeatRecommender,
    RP3betaRecommender,
    TowerVectorizer,
    TwoStageRecommender,
    TwoTowerRecommender,
    io,
)
from sktwotower.neighbors import ExactNeighbors
from sktwotower.towers import PooledHistory, RecentHistory

from .answers import Asked
from .tables import followers, items_table, later, lists, shop, users_table

PAIRS = ["user", "item"]
# Products of bfloat16 differ between processors by a thousandth.
EXACT = {"criterion__matmul_dtype": torch.float32}
BY_SHELF = {"where": {"shelf": ["food", "toys"]}, "max_per": {"shelf": 2}}
MINUTE = datetime.timedelta(minutes=1)
EVENING = pd.Timestamp("2024-03-08 19:30")
# Learnt weights of parts differ by up to a hundredth between processors.
LEARNT = 0.05
TREE = ("sklearn.tree._tree.Tree",)

MODELS, QUESTIONS = {}, {}


def golden(name, **asked):
    """Register a function that returns a fitted model, which is called once."""

    def register(make):
        MODELS[name] = functools.cache(make)
        QUESTIONS[name] = Asked(**asked)
        return MODELS[name]

    return register


def fresh(make):
    """Return a copy of a fitted model, which may be changed."""
    return copy.deepcopy(make())


def towers(**params):
    """Return a recommender that is fitted within milliseconds.

    Weights of parts are learnt where ``validation_events`` are named: what a processor
    rounds otherwise may move them by more than scores.
    """
    few = {"embedding_dim": 8, "max_epochs": 2, "batch_size": 16, "random_state": 0}
    few["validation_events"] = None
    net_params = EXACT | params.pop("net_params", {})
    return TwoTowerRecommender(**few | params, net_params=net_params)


# Kinds of history


@golden("pooled history", written=("int8", "float16"))
def pooled():
    return towers(sparse_parts=None, history=PooledHistory(second_share=0)).fit(
        shop()[PAIRS]
    )


@golden("no history, no unit length", tolerance=0.03)
def without_history():
    return towers(history=None, normalize=False, lr=0.001).fit(shop()[PAIRS])


@golden("recent history")
def recent():
    params = {"time": "number", "time_unit": None, "context": None}
    history = RecentHistory(max_length=6, second_share=0)
    model = towers(history=history, sparse_parts=None, **params)
    return model.fit(shop()[["user", "item", "number"]])


@golden("recent and pooled history, half-lives")
def half_lives():
    ages = {"half_life": 500.0, "popularity_half_life": 200.0}
    history = RecentHistory(**ages, second_share=0.3)
    model = towers(time="number", time_unit=None, history=history)
    return model.fit(shop()[["user", "item", "number"]])


@golden("linear filter")
def linear_filter():
    return towers(history=PooledHistory(second_share=0.4), max_epochs=1).fit(
        shop()[PAIRS]
    )


# Learnt weights of parts


@golden("learnt weights", tolerance=LEARNT)
def learnt_weights():
    judged = {"validation_events": "auto", "lr": 0.003}
    return towers(max_epochs=4, **judged).fit(shop()[PAIRS])


@golden("learnt weights in time", tolerance=LEARNT)
def weights_in_time():
    judged = {"validation_events": "last", "lr": 0.003, "exclude_seen": False}
    model = towers(time="when", max_epochs=4, **judged)
    return model.fit(shop()[["user", "item", "when"]])


@golden("weights by each user's last events, no sparse parts", tolerance=LEARNT)
def weights_by_last():
    params = {"validation_events": "last", "sparse_parts": None, "max_epochs": 4}
    model = towers(time="number", time_unit="s", history="recent", lr=0.003, **params)
    return model.fit(shop()[["user", "item", "number"]])


# Features


@golden("side tables, hidden layers", **BY_SHELF)
def side_tables():
    tables = {"users": users_table(), "items": items_table()}
    layers = {"hidden_layer_sizes": (6,), "cold_item_weight": 0.8}
    model = towers(**tables, **layers)
    return model.fit(shop()[PAIRS])


@golden("columns of X as features, polars", has_file=False)
def columns_of_x():
    import polars as pl

    features = {"user_features": ["country"], "item_features": ["color"]}
    events = shop()[["user", "item", "country", "color"]]
    return towers(**features, max_epochs=1).fit(pl.from_pandas(events))


@golden("hashed features, kinds, quantiles", **BY_SHELF)
def hashed():
    kinds = {"text": "category", "new": "drop"}
    hashing = {"n_hashed": 4, "max_features": 2, "min_frequency": 3}
    transformer = TowerVectorizer(kinds=kinds, numbers="quantiles", **hashing)
    model = towers(items=items_table(), item_transformer=transformer)
    return model.fit(shop()[PAIRS])


@golden("transformers of scikit-learn")
def transformers():
    levels = OneHotEncoder(handle_unknown="ignore")
    items = make_column_transformer(
        (levels, ["item", "shelf"]), (StandardScaler(), ["price"])
    )
    table = items_table()[["item", "shelf", "price"]].fillna({"price": 3.0})
    model = towers(items=table, item_transformer=items)
    return model.fit(shop()[PAIRS])


# Context of requests


ASKED = (
    {"device": "tv"},
    {"search": "a new old chair", "labels": ["c", "z"], "spent": 3.0},
)


@golden("context", tolerance=LEARNT, contexts=ASKED)
def context():
    columns = ["device", "search", "labels", "spent"]
    judged = {"validation_events": "auto", "lr": 0.003}
    model = towers(context=columns, max_epochs=4, **judged)
    return model.fit(shop()[[*PAIRS, *columns]])


@golden("context and time", contexts=({"device": "tv", "when": EVENING},))
def context_and_time():
    params = {"context": ["device", "when"], "time": "when", "history": "recent"}
    model = towers(**params, hidden_layer_sizes=(6,))
    return model.fit(shop()[[*PAIRS, "when", "device"]])


@golden("time of the request")
def time_of_request():
    model = towers(time="when", history=RecentHistory(second_share=0))
    return model.fit(shop()[[*PAIRS, "when"]])


# Outcomes


@golden("impressions")
def impressions():
    model = towers(impression_weight=2.0, impression_start=0.0)
    return model.fit(shop()[PAIRS], shop()["y"])


@golden("impressions that are judged", tolerance=LEARNT, contexts=({"device": "tv"},))
def judged_impressions():
    events = shop()
    params = {"time": "when", "context": ["device"], "impression_weight": "shown"}
    model = towers(**params, validation_events="last")
    return model.fit(events[[*PAIRS, "when", "device"]], events["y"] % 2)


@golden("rewards and weights of events")
def rewards():
    events = shop()
    model = towers(reward_scale="log1p", max_epochs=3)
    return model.fit(events[PAIRS], events["y"], events["weight"])


@golden("rewards whose scale is chosen")
def scale_of_rewards():
    model = towers(reward_scale="auto", max_epochs=1)
    return model.fit(shop()[PAIRS], shop()["y"])


@golden("cold items", **BY_SHELF)
def cold_items():
    model = towers(items=items_table(), cold_item_weight="auto", max_epochs=1)
    return model.fit(shop()[PAIRS])


# Training


@golden("candidates of the batch")
def in_batch():
    params = {"candidate_sampling": "in_batch", "optimizer": "adamw", "dropout": 0.2}
    return towers(**params, n_jobs=1).fit(shop()[PAIRS])


@golden("mixed candidates in time")
def mixed():
    few = {"iterator_train__n_negatives": 8}
    params = {"candidate_sampling": "mixed", "time": "when", "net_params": few}
    return towers(**params).fit(shop()[[*PAIRS, "when"]])


@golden("uniform candidates, negatives corrected")
def uniform():
    few = {"iterator_train__n_negatives": 8, "iterator_train__correction": "negatives"}
    params = {"candidate_sampling": "uniform", "net_params": few}
    return towers(**params).fit(shop()[PAIRS])


@golden("early stopping")
def early_stopping():
    params = {"early_stopping": True, "validation_fraction": 0.2, "max_epochs": 3}
    return towers(**params).fit(shop()[PAIRS])


@golden("early stopping in time")
def early_stopping_in_time():
    params = {"early_stopping": True, "history": "recent", "max_epochs": 3}
    return towers(time="when", **params).fit(shop()[[*PAIRS, "when"]])


class Tanh(nn.Module):
    """A tower of the user's own."""

    def __init__(self, n_columns):
        super().__init__()
        self.layer = nn.Linear(n_columns, 8)

    def forward(self, rows):
        return torch.tanh(self.layer(rows.to_dense()))


@golden("own towers", has_file=False)
def own_towers():
    # weights that no version of torch draws otherwise
    return towers(user_tower=Tanh, item_tower=Tanh).fit(shop()[PAIRS])


class Softmax(nn.Module):
    """A loss of the user's own: a softmax over all candidates."""

    def __init__(self, temperature, impression_weight):
        super().__init__()
        self.temperature = temperature

    def forward(self, users, items, targets):
        scores = users @ items.T / self.temperature
        rows = torch.repeat_interleave(torch.arange(len(users)), targets.offsets.diff())
        chosen = scores[rows, targets.columns]
        losses = scores.logsumexp(1)[rows] - chosen
        return (targets.weights * losses).sum() / targets.total_weight


@golden("own loss", has_file=False)
def own_loss():
    model = towers(max_epochs=3)
    model.net_params = {"criterion": Softmax}
    return model.fit(shop()[PAIRS])


@golden("checkpoint, given index")
def checkpoint():
    with tempfile.TemporaryDirectory() as folder:
        params = {"checkpoint": Path(folder) / "fit", "neighbors": ExactNeighbors()}
        model = towers(**params).fit(shop()[PAIRS])
        return model.set_params(checkpoint=None)


@golden("warm start")
def warm_start():
    model = fresh(pooled).set_params(warm_start=True, random_state=1)
    return model.fit(shop()[PAIRS].iloc[::-1])


# Tables of other kinds


@golden("array of integers", events=pd.DataFrame({0: [3, 14], 1: [5, 2]}))
def integers():
    numbers = shop()[PAIRS].apply(lambda names: names.str[1:].astype(int))
    return towers(max_epochs=1).fit(numbers.to_numpy())


# After fit


@golden("after partial_fit", tolerance=LEARNT)
def learnt_more():
    return fresh(learnt_weights).partial_fit(later()[PAIRS])


@golden("after partial_fit in time", tolerance=LEARNT, diversity=None)
def learnt_more_in_time():
    return fresh(weights_in_time).partial_fit(later()[["user", "item", "when"]])


@golden("after partial_fit with columns of X")
def learnt_more_features():
    features = {"user_features": ["country"], "item_features": ["color"]}
    columns = ["user", "item", "country", "color"]
    grows = {"item_transformer": TowerVectorizer(min_frequency=1)}
    model = towers(**features, **grows, max_epochs=1).fit(shop()[columns])
    more = later()[columns].replace({"country": {"be": "dk"}})
    return model.partial_fit(more.drop_duplicates("user"))


@golden("after partial_fit with contexts", tolerance=LEARNT, contexts=ASKED[:1])
def learnt_more_contexts():
    columns = ["device", "search", "labels", "spent"]
    return fresh(context).partial_fit(later()[[*PAIRS, *columns]])


@golden("after forgetting users and items", tolerance=LEARNT)
def forgetful():
    model = fresh(weights_in_time).forget_users(["u00", "u07", "u31"])
    return model.forget_items(["i01", "i25"])


@golden("after set_catalog", **BY_SHELF)
def other_catalog():
    table = items_table().iloc[4:].iloc[::-1].reset_index(drop=True)
    new = table.iloc[[0]].assign(item="new", shelf="toys")
    return fresh(side_tables).set_catalog(pd.concat([table, new]))


# Baselines


@golden("popularity in a window")
def popularity():
    days = pd.Timedelta(days=20)
    model = PopularityRecommender(time="when", window=days)
    return model.fit(shop()[["user", "item", "when"]])


@golden("click rates, updated counts")
def click_rates():
    half_life = pd.Timedelta(days=10)
    model = ClickRateRecommender(smoothing=4.0, time="when", half_life=half_life)
    events, columns = shop(), ["user", "item", "when"]
    model = model.fit(events[columns], events["y"] > 2)
    return model.update_counts(later()[columns], later()["y"] > 2)


@golden("EASE")
def ease():
    return EASERecommender(l2=5.0).fit(shop()[PAIRS], shop()["y"], shop()["weight"])


@golden("EASE after partial_fit and forget_users")
def ease_later():
    model = fresh(ease).partial_fit(later()[PAIRS])
    return model.forget_users(["u00", "newcomer"])


@golden("item-kNN, decay")
def item_knn():
    params = {"decay": 2.0, "time": "when", "shrinkage": 1.0, "n_similar": 12}
    return ItemKNNRecommender(**params).fit(shop()[["user", "item", "when"]])


@golden("item-kNN, other similarity")
def item_knn_jaccard():
    model = ItemKNNRecommender(similarity="jaccard", n_similar=8)
    return model.fit(shop()[PAIRS])


@golden("RP3beta")
def walks():
    return RP3betaRecommender(n_similar=10, alpha=0.7).fit(shop()[PAIRS])


@golden("graph filter")
def graph_filter():
    return GraphFilterRecommender(3, alpha=0.5).fit(shop()[PAIRS])


@golden("ordered ridge")
def ordered_ridge():
    model = OrderedRidgeRecommender(l2=3.0, time="when", n_last=4)
    return model.fit(shop()[["user", "item", "when"]])


@golden("repeats")
def repeats():
    model = RepeatRecommender(time="when", half_life=pd.Timedelta(days=9))
    model = model.fit(shop()[["user", "item", "when"]])
    return model.partial_fit(later()[["user", "item", "when"]])


@golden("contents of items", **BY_SHELF)
def contents():
    return ContentRecommender(items_table(), 6).fit(shop()[PAIRS])


# Two stages


def few_leaves():
    return DecisionTreeClassifier(max_depth=3, min_samples_leaf=20, random_state=0)


@golden("two stages, popularity and a tree", trusted=TREE)
def tree_of_popularity():
    params = {"time": "when", "n_candidates": 15, "random_state": 0}
    model = TwoStageRecommender(PopularityRecommender(), few_leaves(), **params)
    return model.fit(followers()[["user", "item", "when"]])


def twice_popular(candidates):
    """Return a feature of the user's own."""
    return candidates[["popularity"]] * 2


@golden("two stages, EASE and a linear ranker", has_file=False, contexts=ASKED[:1])
def linear_ranker():
    ranker = make_pipeline(StandardScaler(), LogisticRegression(C=0.1))
    params = {"time": "when", "cut": "user", "context": ["device"], "random_state": 0}
    retriever = EASERecommender(l2=20.0)
    model = TwoStageRecommender(retriever, ranker, n_candidates=15, **params)
    model.set_params(features=twice_popular, keep_training_table=True)
    return model.fit(followers())


@golden("two stages, towers and the default ranker", **BY_SHELF)
def ranked_towers():
    retriever = towers(items=items_table(), users=users_table(), max_epochs=1)
    params = {"n_candidates": 12, "random_state": 0}
    return TwoStageRecommender(retriever, **params).fit(followers()[PAIRS])


SHOWN = ["user", "item", "when", "list", "place", "price"]


@golden("two stages, lists", trusted=TREE, events=lists()[SHOWN].iloc[5::90])
def shown_lists():
    params = {"time": "when", "lists": "list", "random_state": 0}
    params |= {"position": "place", "row_features": ["price"], "n_candidates": 8}
    model = TwoStageRecommender(PopularityRecommender(), few_leaves(), **params)
    return model.fit(lists()[SHOWN], lists()["y"])


@golden("two stages, later lists", trusted=TREE, events=lists()[SHOWN].iloc[5::90])
def later_lists():
    table = lists(20, 2)
    table["when"] = table["when"] + pd.Timedelta(days=5)
    table["list"] = "later-" + table["list"]
    model = fresh(shown_lists).partial_fit(table[SHOWN], table["y"])
    table["when"] = table["when"] + pd.Timedelta(days=2)
    table["list"] = "last-" + table["list"]
    return model.update_counts(table[SHOWN][:30], table["y"][:30])


# Events on disk


def written(folder, events):
    """Write events into two Parquet files of a folder."""
    for number, rows in enumerate(np.array_split(np.arange(len(events)), 2)):
        events.iloc[rows].to_parquet(Path(folder) / f"{number}.parquet", index=False)
    return folder


@golden("from disk")
def from_disk():
    columns = [*PAIRS, "when", "device", "y", "weight"]
    params = {"time": "when", "context": ["device", "when"], "max_epochs": 1}
    with tempfile.TemporaryDirectory() as folder:
        model = towers(**params, history=RecentHistory(second_share=0))
        return model.fit(written(folder, shop()[columns]), "y", "weight")


# Several processes


def fit_in_processes(folder, size=2):
    """Fit one model in forked processes, each of which writes it to a file."""
    children = []
    for rank in range(size):
        child = os.fork()
        if not child:
            status = 1
            try:
                place = {"world_size": size, "rank": rank, "timeout": MINUTE}
                store = f"file://{folder}/store"
                distributed.init_process_group("gloo", store, **place)
                model = towers(time="when", history="recent", max_epochs=1)
                model.fit(shop()[["user", "item", "when"]])
                io.dump(model, f"{folder}/{rank}.sktt")
                distributed.destroy_process_group()
                status = 0
            finally:
                os._exit(status)
        children.append(child)
    statuses = [os.waitpid(child, 0)[1] for child in children]
    assert statuses == [0] * size


if hasattr(os, "fork") and not torch.cuda.is_available():

    @golden("two processes")
    def two_processes():
        with tempfile.TemporaryDirectory() as folder:
            fit_in_processes(folder)
            return io.load(f"{folder}/1.sktt")
