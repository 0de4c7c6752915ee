"""Scenes with several processes: `play` plays them.

It is called in a process that has imported everything, and forks others. They play one
scene after the other, each as a new group; where one of them dies, only one. What a
process returns is in ``scene-size-rank.npz`` of the folder that is given. Which scenes
there are: ``few`` of two processes, ``all`` of two and three, or ``killed`` at a number
of places of a fit. torchrun runs this file as a script.
"""

import datetime
import importlib
import os
import signal
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from skorch.callbacks import Callback
from torch import distributed, nn

import sktwotower.towers.processes._group as group
from sktwotower import TwoTowerRecommender, io
from sktwotower.__main__ import main as command_line
from sktwotower.datasets import make_interactions
from sktwotower.towers import PooledHistory, RecentHistory
from tests import losses
from tests.builders import small
from tests.recommender.weighed import coming_back, many_pairs, tastes, weighed
from tests.towers.test_history_of_ones_own import AttentionHistory

N_USERS, N_ITEMS = 41, 60
MINUTE = datetime.timedelta(minutes=1)
# Sums differ by rounding only: bfloat16 would round to 1e-3.
EXACT_BATCHES = {"iterator_train__feature_dropout": 0}
EXACT = EXACT_BATCHES | {"criterion__matmul_dtype": torch.float32}
# One batch of all users, who see all items, and nothing is hidden or drawn.
SAME = {
    **{"batch_size": 400, "max_epochs": 3, "candidate_sampling": "full"},
    **{"dropout": 0, "id_dropout": 0, "net_params": EXACT},
    "history": PooledHistory(second_share=0),
    **{"impression_start": 0, "impression_weight": 5.0},
}


class Own(nn.Module):
    """A user tower of the user's own."""

    def __init__(self, n):
        super().__init__()
        self.layer = nn.Linear(n, 8)

    def forward(self, rows):
        return torch.tanh(self.layer(rows.to_dense()))


RECENT = {"time": "when", "context": None}
RECENT["history"] = RecentHistory(half_life=30, popularity_half_life=9, second_share=0)
SETTINGS = {
    "pooled": {},
    "recent": RECENT,
    "features": {"user_features": ["country"], "item_features": ["color"]},
    "no history": {"history": None, "validation_events": None},
    "hidden layers": {"hidden_layer_sizes": (8,)},
    "own tower": {"user_tower": Own},
    "own history": RECENT | {"history": AttentionHistory()},
    "own loss": {"net_params": EXACT_BATCHES | {"criterion": losses.ExactLoss}},
    "adamw": {"optimizer": "adamw"},
}
FEW_SETTINGS = ["pooled", "recent", "features"]
LATEST = {"time": "when", "validation_events": "latest"}
WEIGHED = {
    "latest": LATEST,
    "random": {},
    "last": {"time": "when", "validation_events": "last"},
    "coarse": {"time": "day"},
    "no history": {"history": None},
    "context": LATEST | {"context": ["place"]},
    "context of pairs": {"context": ["place"]},
    "features": {"users": tastes()},
    "repeats": LATEST | {"exclude_seen": False},
    "many": {"batch_size": 512},
}
FEW_WEIGHED = ["latest"]


def events(n=500):
    """Return events of 41 users, with features and contexts, and rewards."""
    rng = np.random.default_rng(0)
    users, items = np.divmod(rng.choice(N_USERS * N_ITEMS, n, replace=False), N_ITEMS)
    users[:N_USERS], items[:N_ITEMS] = np.arange(N_USERS), np.arange(N_ITEMS)
    table = pd.DataFrame({"user": [f"u{u}" for u in users], "item": items})
    table["when"] = rng.integers(0, 100, n)
    table["country"] = np.array(["at", "be", "ch"])[users % 3]
    table["color"] = np.array(["red", "blue"])[items % 2]
    table["place"] = np.array(["home", "work", None])[items % 3]
    return table, (np.arange(n) % 6 > 0).astype(float)


def model(**params):
    """Return a recommender that trains in several steps of an epoch."""
    return small(**{"batch_size": 8, "max_epochs": 4, "callbacks": [Curve()]} | params)


class Curve(Callback):
    """Keep the loss of each batch."""

    def initialize(self):
        self.losses = []
        return self

    def on_batch_end(self, net, training, loss=None, **kwargs):
        if training:
            self.losses.append(loss.item())


def learnt(fitted):
    """Return what a recommender has learnt, and the figures of its epochs."""
    names = ("train_loss", "valid_loss", "valid_recall")
    return {
        "items": fitted.item_embeddings_,
        "users": fitted.embed_users(fitted.user_ids_),
        "losses": next(c for c in fitted.callbacks if isinstance(c, Curve)).losses,
        "epochs": [[row.get(name, 0) for name in names] for row in fitted.history_],
        "interrupted": fitted.interrupted_,
    }


def error_of(fit):
    """Return the type and the message of the error that a function raises."""
    try:
        fit()
    except Exception as error:
        return {"error": type(error).__name__, "message": str(error)}
    return {"error": "", "message": ""}


def starts(folder, names):
    """Write models from which all go on."""
    for name in names:
        fitted = model(**SAME | SETTINGS[name] | {"callbacks": None})
        io.dump(fitted.fit(*events()), f"{folder}/{name}.sktt")
    return {}


def curves(folder, names):
    """Fit where several processes must learn what one does."""
    found = {}
    for name in names:
        given = {"user_tower": Own, "history": AttentionHistory()}
        fitted = io.load(f"{folder}/{name}.sktt", towers=given)
        fitted.set_params(**SAME | SETTINGS[name])
        fitted.set_params(warm_start=True, callbacks=[Curve()]).fit(*events())
        found |= {f"{name}/{key}": value for key, value in learnt(fitted).items()}
    return found


def defaults():
    """Fit with all that is drawn and a new seed in each process, then learn more."""
    params = {"random_state": None, "hidden_layer_sizes": (8,)}
    fitted = model(max_epochs=2, early_stopping=True, **params).fit(*events())
    X, y = events()
    fitted.partial_fit(X[:50], y[:50])
    return learnt(fitted)


def own_losses():
    """Fit with a loss of the user, and with one that does not add up."""
    divided = {"net_params": {"criterion": losses.MeanOfBatch}}
    found = error_of(lambda: model(max_epochs=1, **divided).fit(*events()))
    own = {"net_params": {"criterion": losses.MarginLoss}}
    return found | learnt(model(max_epochs=1, **own).fit(*events()))


def weighed_of(names):
    """Fit models whose parts have weights, and list what they recommend."""
    found = {}
    for name in names:
        X = coming_back(3000, 150)
        if "time" in WEIGHED[name]:
            X = coming_back(5000, 300)
        X = many_pairs() if name == "many" else X
        fitted = weighed(sparse_parts="auto", **WEIGHED[name]).fit(X)
        found[f"{name}/weights"] = fitted.weights_.to_numpy()
        found[f"{name}/rows"] = fitted.weights_.index.to_numpy(str)
        found[f"{name}/score"] = list(fitted.validation_score_.values())
        found[f"{name}/items"] = fitted.item_embeddings_
        lists = fitted.recommend(fitted.user_ids_, 10)
        found[f"{name}/lists"] = lists["item"].to_numpy(str).reshape(-1, 10)
        found[f"{name}/scores"] = lists["score"].to_numpy()
        if name == "latest":
            fitted.partial_fit(X.iloc[:300].assign(when=len(X)))
            lists = fitted.recommend(fitted.user_ids_, 10)
            found["latest/later"] = lists["score"].to_numpy()
    return found


def served(fitted, users):
    """Return all that a recommender says of users."""
    top = fitted.recommend(users, n_neighbors=5)
    return {
        "user_ids": fitted.user_ids_.astype(str),
        "items": fitted.item_embeddings_,
        "users": fitted.embed_users(users),
        "top": top["item"].to_numpy(int),
        "scores": top["score"],
        "past": fitted.seen_items(users).to_csv(),
    }


EVERYTHING = {
    **{"time": "when", "context": ["place", "when"], "max_epochs": 1},
    "batch_size": 100,
    **{"user_features": ["country"], "hidden_layer_sizes": (8,)},
}


def shared(folder):
    """Fit a model together, of which each process writes a file."""
    rank, size = distributed.get_rank(), distributed.get_world_size()
    for kind in ("pooled", "auto"):
        params = EVERYTHING | {"history": kind}
        fitted = model(callbacks=None, **params).fit(*events())
        io.dump(fitted, f"{folder}/{kind}-{size}-{rank}.sktt")
    return {}


def more_together(folder):
    """Learn further events in a group, and none, with a model that all have."""
    fitted, (X, _) = io.load(f"{folder}/pooled.sktt"), events()
    # one of the processes lacks the events of a day
    found = error_of(lambda: fitted.partial_fit(X[: 3 * distributed.get_rank()]))
    fitted.set_params(callbacks=[Curve()])
    return found | learnt(fitted.partial_fit(X[:0]).partial_fit(X[:9]))


def scene(function, *args, name=None):
    """Return the name of a scene, and the call that plays it."""
    return name or function.__name__, lambda: function(*args)


def begin(scenes, folder, size=2):
    """Fork processes that play scenes, each in a new group, and return their ids."""
    children = []
    for rank in range(size):
        child = os.fork()
        if not child:
            play_all(scenes, folder, size, rank)
            os._exit(0)
        children.append(child)
    return children


def play_all(scenes, folder, size, rank):
    """Play scenes as a process of a group, and write what they return."""
    group.SECONDS_TO_ANSWER = 2
    for name, play in scenes:
        store = f"file://{folder}/{name}-{size}.store"
        of_group = {"world_size": size, "rank": rank}
        distributed.init_process_group("gloo", store, MINUTE, **of_group)
        np.savez(Path(folder) / f"{name}-{size}-{rank}.npz", **play())
        distributed.destroy_process_group()


def ended(children):
    """Wait for processes, and return their exit codes."""
    codes = [os.waitpid(child, 0)[1] for child in children]
    return [os.waitstatus_to_exitcode(code) for code in codes]


def run(scenes, folder, size=2):
    """Play scenes in forked processes, all of which must end well."""
    assert ended(begin(scenes, folder, size)) == [0] * size


def run_all(companies):
    """Run groups of processes at once, and check their exit codes."""
    begun = [(begin(*args), codes) for args, codes in companies]
    assert [ended(children) for children, _ in begun] == [codes for _, codes in begun]


def launch(folder):
    """Run the command line in two processes of torchrun, forked from this one."""
    from torch.distributed import run as torchrun

    events()[0].to_csv(f"{folder}/events.csv", index=False)
    torchrun.main(
        [
            *("--standalone", "--nproc-per-node", "2", "--start-method", "fork"),
            *("--run-path", __file__, "--epochs", "1", "--output", f"{folder}/output"),
            *("--data", f"{folder}/events.csv", "--user", "user", "--item", "item"),
        ]
    )


def fit_with_order(checkpoint):
    """Fit and return what was learnt."""
    X = make_interactions(300, 60, random_state=0).data
    rng = np.random.default_rng(0)
    seconds = np.sort(rng.integers(0, 10**7, len(X)))
    X["when"] = pd.Timestamp("2020-01-01") + pd.to_timedelta(seconds, "s")
    params = {"embedding_dim": 8, "batch_size": 64, "hidden_layer_sizes": (8,)}
    fitted = TwoTowerRecommender(
        **params, max_epochs=4, time="when", random_state=0, checkpoint=checkpoint
    ).fit(X, rng.random(len(X)) < 0.8)
    users = fitted.embed_users(fitted.user_ids_)
    found = {"items": fitted.item_embeddings_, "users": users}
    return found | {"train": [row["train_loss"] for row in fitted.history_]}


def interrupted(checkpoint):
    """Fit, and return the error that the death of another process is."""
    return error_of(lambda: fit_with_order(checkpoint))


def kills(folder, size, n_places):
    """Kill one process of a fit at random times, then let it finish, many times."""
    rng, beginning = np.random.default_rng(size), time.monotonic()
    run([scene(fit_with_order, None, name="whole")], folder, size)
    duration = time.monotonic() - beginning
    for place in range(n_places):
        checkpoint = f"{folder}/checkpoint-{size}-{place}"
        died = False
        while not died:
            name = f"died {place} {time.monotonic()}"
            children = begin([scene(interrupted, checkpoint, name=name)], folder, size)
            time.sleep(rng.uniform(0, duration))
            os.kill(children[-1], signal.SIGKILL)
            codes = ended(children)
            # it had finished, as other work on the machine changes its speed
            died = codes[-1] == -signal.SIGKILL
            duration *= 1 if died else 0.8
        run([scene(fit_with_order, checkpoint, name=f"place {place}")], folder, size)
        assert not os.path.exists(checkpoint)


def learning(folder, size, settings, weighed_names):
    """Return the scenes in which several processes learn."""
    scenes = [scene(curves, folder, settings), scene(more_together, folder)]
    scenes.append(scene(weighed_of, weighed_names))
    if size > 1:
        scenes += [scene(defaults), scene(own_losses), scene(shared, folder)]
    return scenes


def main(folder, sizes, settings, weighed_names, failing):
    """Run all scenes for some numbers of processes."""
    begins = [scene(starts, folder, settings)]
    run([*begins, *learning(folder, 1, settings, weighed_names)], folder, size=1)
    groups = []
    for size in sizes:
        scenes = learning(folder, size, settings, weighed_names)
        groups.append(((scenes, folder, size), [0] * size))
    run_all([*groups, *failing.companies(folder)])
    failing.go_on(folder)


def play(folder, which, n_places=0):
    """Play some scenes: few, all, or those with a process that is killed."""
    # which imports this module
    failing = importlib.import_module("tests.recommender.failing_processes")
    if which == "few":
        main(folder, [2], FEW_SETTINGS, FEW_WEIGHED, failing.Few())
    elif which == "all":
        main(folder, [2, 3], list(SETTINGS), list(WEIGHED), failing.Many())
        launch(folder)
    else:
        kills(folder, 1, n_places)
        kills(folder, 2, n_places)


if __name__ == "__main__":  # as torchrun does
    assert command_line(sys.argv[1:]) == 0
