"""Scenes with several processes: run as ``python -m tests.recommender.processes``.

Everything is imported once; then processes are forked. They play one scene after the
other, each as a new group; where one of them dies, only one. What a process returns is
in ``scene-size-rank.npz`` of the folder that is given. With a number of places after
the folder, a fit is killed at so many places instead, and goes on.
"""

import copy
import datetime
import importlib
import os
import signal
import socket
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import patch

import numpy as np
import pandas as pd
import torch
from scipy import sparse
from skorch.callbacks import Callback
from torch import distributed, nn

from sktwotower import TwoTowerRecommender, io
from sktwotower.__main__ import main as command_line
from sktwotower.datasets import make_interactions
from sktwotower.recommender import _contexts, _fit, _training_data
from sktwotower.recommender._last_pass import learn_latest
from sktwotower.towers import _group, _request_batches, _sequence_batches
from sktwotower.towers._batches import Batch
from sktwotower.towers._division import Division
from sktwotower.towers._exchange import Exchange, Share
from sktwotower.towers._group import alone, current_group
from sktwotower.towers._sparse_rows import SparseLinear, SparseRows
from sktwotower.towers.parts import embed_items, embed_users, plans_of
from tests import losses
from tests.builders import small

N_USERS, N_ITEMS = 41, 60
MINUTE = datetime.timedelta(minutes=1)
# Sums differ by rounding only: bfloat16 would round to 1e-3.
EXACT_BATCHES = {"iterator_train__feature_dropout": 0}
EXACT = EXACT_BATCHES | {"criterion__matmul_dtype": torch.float32}
# One batch of all users, who see all items, and nothing is hidden.
SAME = {
    **{"batch_size": 400, "max_epochs": 3, "candidate_sampling": "full"},
    **{"dropout": 0, "id_dropout": 0, "second_share": 0, "net_params": EXACT},
    **{"early_stopping": True, "impression_start": 0, "impression_weight": 5.0},
}


class Own(nn.Module):
    """A user tower of the user's own."""

    def __init__(self, n):
        super().__init__()
        self.layer = nn.Linear(n, 8)

    def forward(self, rows):
        return torch.tanh(self.layer(rows.to_dense()))


RECENT = {"time": "when", "history": "recent", "half_life": 30}
RECENT["popularity_half_life"] = 9
SETTINGS = {
    "pooled": {},
    "no history": {"history": None},
    "features": {"user_features": ["country"], "item_features": ["color"]},
    "hidden layers": {"hidden_layer_sizes": (8,)},
    "own tower": {"user_tower": Own},
    "own loss": {"net_params": EXACT_BATCHES | {"criterion": losses.ExactLoss}},
    "adamw": {"optimizer": "adamw"},
    "context": {"context": "place"},
    "recent": RECENT,
    "recent, context": RECENT | {"context": ["place", "when"]},
}
# Three processes on two cores take longer.
OF_THREE = ["pooled", "features", "own tower", "own loss", "adamw", "recent, context"]


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


def last_pairs(positives, fraction, rng):
    """Hold out the last pair of each user who has two, as `hold_out` a random one."""
    pairs = positives.tocoo()
    counts = np.diff(positives.indptr)
    held = np.zeros(pairs.nnz, dtype=bool)
    held[positives.indptr[1:][counts > 1] - 1] = True
    return (
        sparse.csr_matrix((pairs.data[c], (pairs.row[c], pairs.col[c])), pairs.shape)
        for c in (~held, held)
    )


def all_contexts(self, users, rng):
    """Ask with all contexts of users, as `PairContexts.draw` does with some."""
    owners = np.repeat(np.arange(len(users)), np.diff(self.offsets)[users])
    places = [np.arange(*self.offsets[user : user + 2]) for user in users]
    return np.concatenate(places), owners, np.ones(len(owners), dtype=np.float32)


def nothing_is_drawn():
    """Let contexts be complete, count equally, and validation be the last pairs."""

    def unchanged(rows, rng):
        return rows

    def ones(rows, *args):
        return np.ones(rows.shape[1], dtype=np.float32)

    patch.object(_training_data, "hold_out", last_pairs).start()
    patch.object(_request_batches.PairContexts, "draw", all_contexts).start()
    patch.object(_request_batches, "partly_hidden", unchanged).start()
    patch.object(_sequence_batches, "some_hidden", unchanged).start()
    patch.object(_contexts, "context_shares", ones).start()
    learn = _contexts.RequestClock.learn
    patch.object(
        _contexts.RequestClock,
        "learn",
        lambda dates, gaps, unit: learn(dates, np.arange(99), unit),
    ).start()


def start_of(folder, name):
    """Return a recommender that starts from the weights of a file."""
    started = model(**SAME | SETTINGS[name], warm_start=True)
    towers = {"user_tower": Own} if name == "own tower" else None
    started._fitted = io.load(f"{folder}/{name}.sktt", towers=towers)._fitted
    return started


def starts(folder):
    """Write models from which all go on."""
    nothing_is_drawn()
    for name, params in SETTINGS.items():
        fitted = model(**SAME | params | {"early_stopping": False, "callbacks": None})
        io.dump(fitted.fit(*events()), f"{folder}/{name}.sktt")
    return {}


def curves(folder):
    """Fit where several processes must learn what one does."""
    nothing_is_drawn()
    found = {}
    for name in OF_THREE if distributed.get_world_size() == 3 else SETTINGS:
        fitted = start_of(folder, name).fit(*events())
        found |= {f"{name}/{key}": value for key, value in learnt(fitted).items()}
        if "context" in name:
            place = {"place": "work"}
            if name == "recent, context":
                place["when"] = 100
            asked = fitted.embed_users(fitted.user_ids_, context=place)
            found[f"{name}/asked"] = asked
    return found


class Reached(Exception):
    """Says what `_fit._train` was called with."""


def latest(folder):
    """Learn the later half of the events once more, in a pass after all others."""
    nothing_is_drawn()
    found = {}
    for name in ("recent", "recent, context"):
        started = start_of(folder, name)
        part = copy.deepcopy(started._fitted.model.parts[0])
        with patch.object(_fit, "_train", side_effect=Reached) as train:
            error_of(lambda fit=started.fit: fit(*events()))
        recipe, given = train.call_args.args[:2]
        plan = plans_of(recipe, given)[0]
        assert learn_latest(plan, part, start=50, rate=0.5, seed=0)
        rows = given.items.rows[:-1]
        past = started._fitted.sequences.lags
        found[f"{name}/items"] = embed_items(part, rows)
        found[f"{name}/users"] = embed_users(part, given.users.rows, past, rows)
        before = embed_items(started._fitted.model.parts[0], rows)
        found[f"{name}/moved"] = abs(found[f"{name}/items"] - before).max()
    return found


def defaults():
    """Fit with all that is drawn and a new seed in each process, then learn more."""
    params = {"random_state": None, "optimizer": "adamw", "hidden_layer_sizes": (8,)}
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
    """Fit a model of all users, and one of the own users of each process."""
    rank, found = distributed.get_rank(), {}
    for name, gather in {"gathered": True, "own": False}.items():
        for kind in ("pooled", "auto"):
            params = EVERYTHING | {"history": kind, "gather_users": gather}
            made = model(callbacks=None, **params)
            fitted = made.fit(*events())
            path = f"{folder}/{name}-{kind}-{distributed.get_world_size()}-{rank}.sktt"
            io.dump(fitted, path)
    return found


def served_alone(folder, size):
    """Serve what was written by processes that trained together, and learn more."""
    found, (X, y) = {}, events()
    for kind in ("pooled", "auto"):
        for rank in range(size):
            place = f"{kind}-{size}-{rank}.sktt"
            whole = io.load(f"{folder}/gathered-{place}")
            own = io.load(f"{folder}/own-{place}")
            for name, fitted in {"gathered": whole, "own": own}.items():
                answers = served(fitted, own.user_ids_)
                found |= {f"{name}/{kind}/{rank}/{k}": v for k, v in answers.items()}
            other = np.setdiff1d(whole.user_ids_, own.user_ids_)[:1]
            unknown = own.embed_users(["nobody", *other])
            found[f"unknown/{kind}/{rank}"] = unknown
            further = X[:20].assign(user="new", country="at")
            own.partial_fit(further, y[:20])
            found[f"more/{kind}/{rank}"] = own.recommend(["new"])["item"].to_numpy(int)
    return found


def more_together(folder):
    """Learn further events in a group, and none, with a model that all have."""
    fitted, (X, _) = io.load(f"{folder}/pooled.sktt"), events()
    # one of the processes lacks the events of a day
    found = error_of(lambda: fitted.partial_fit(X[: 3 * distributed.get_rank()]))
    fitted.set_params(callbacks=[Curve()])
    return found | learnt(fitted.partial_fit(X[:0]).partial_fit(X[:9]))


# Rounded to 1 in bfloat16.
MORE_THAN_ONE = 1 + 2**-10


def net_of(rank, size, dtype, sparse_grad):
    """Return what stands for a net: tables of users and items, and what all share."""
    module, criterion = nn.Module(), nn.Module()
    module.is_tied = False
    owners = np.arange(6)[::-1] % size
    module.divisions = {"user": Division(6, size, owners), "item": Division(10, size)}
    module.divisions["context"] = Division(0, size)
    module.tables = {"user_tower": "user", "item_tower": "item", "context": "context"}
    for name, side in module.tables.items():
        division = module.divisions[side]
        whole = torch.arange(2.0 * division.n_columns).reshape(-1, 2)
        layer = SparseLinear(len(division.of(rank)), 2, sparse_grad)
        layer.weight.data = whole[division.of(rank)]
        setattr(module, name, layer)
    module.bias = nn.Parameter(torch.ones(2) * rank)
    module.unused = nn.Parameter(torch.ones(1))
    criterion.matmul_dtype = dtype
    return SimpleNamespace(device="cpu", criterion_=criterion, module_=module)


def one_each(columns, n):
    """Return rows with a one in each of some columns."""
    ones = np.ones(len(columns), dtype=np.float32)
    places = np.arange(len(columns)), columns
    shape = len(columns), n
    return SparseRows.from_csr(sparse.csr_matrix((ones, places), shape))


def sums():
    """Sum known gradients of two tables and a vector."""
    rank, size = distributed.get_rank(), distributed.get_world_size()
    found = {}
    for kind, dtype in {"exact": torch.float32, "short": torch.bfloat16}.items():
        for sparse_grad in (True, False):
            net = net_of(rank, size, dtype, sparse_grad)
            interruption = SimpleNamespace(received=None)
            with Exchange(current_group(), net, interruption) as exchange:
                for who in ("all", "last"):
                    name = f"{kind}/{who}/{'sparse' if sparse_grad else 'dense'}"
                    has_users = who == "all" or rank == size - 1
                    of_step = one_step(exchange, net, rank, has_users)
                    found |= {f"{name}/{key}": v for key, v in of_step.items()}
    return found


def one_step(exchange, net, rank, has_users):
    """Return the gradients of all columns, and what was computed with.

    Process r has the users r and 5, and the items 0, r + 1 and 9.
    """
    module, seen = net.module_, {}
    users, items = one_each([rank, 5], 6), one_each([0, rank + 1, 9], 10)
    targets = SimpleNamespace(total_weight=1.0 + rank)

    def compute(batch, targets):
        seen["users"] = module.user_tower(batch.user_rows)
        seen["items"] = module.item_tower(batch.item_rows)
        seen["order"] = batch.item_rows.indices
        total = seen["users"].sum() + seen["items"].sum() + module.bias.sum()
        loss = MORE_THAN_ONE * (rank + 1) * total / targets.total_weight
        loss.backward()
        return {"loss": torch.tensor(rank + 1.0), "y_pred": None}

    for parameter in module.parameters():
        parameter.grad = None
    share = Share(Batch(users, items) if has_users else None)
    step = exchange.step(compute, share, targets if has_users else None)
    found = {"loss": step["loss"].item(), "n_users": len(share)}
    found |= {name: value.detach().numpy() for name, value in seen.items()}
    for name, side in module.tables.items():
        grad, own = module.get_submodule(name).weight.grad, found.setdefault
        own(f"{name} is sparse", grad.is_sparse)
        whole = np.zeros((module.divisions[side].n_columns, 2), np.float32)
        whole[module.divisions[side].of(rank)] = grad.to_dense().numpy()
        own(name, _group.summed(whole))
    others = {"bias": module.bias.grad, "unused": module.unused.grad}
    return found | {name: grad.numpy() for name, grad in others.items()}


def planted(seed):
    """Return events of 10 tastes, and later ones."""
    rng = np.random.default_rng(seed)
    n_users, n_items = 400, 200
    users = np.repeat(np.arange(n_users), 12)
    of_taste = rng.integers(0, n_items // 10, len(users)) * 10 + users % 10
    any_item = rng.integers(0, n_items, len(users))
    items = np.where(rng.random(len(users)) < 0.7, of_taste, any_item)
    X = pd.DataFrame({"user": users, "item": items}).drop_duplicates()
    late = X.groupby("user").cumcount(ascending=False) < 2
    return X[~late], X[late]


def recalls():
    """Return the recall of later events, for each seed."""
    found = []
    for seed in range(3):
        X, later = planted(seed)
        params = {"embedding_dim": 16, "max_epochs": 8, "lr": 0.05}
        fitted = TwoTowerRecommender(**params, random_state=seed).fit(X)
        with alone():
            found.append(fitted.score(later))
    return {"recall": found}


def free_port():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def scene(function, *args, name=None):
    """Return the name of a scene, and the call that plays it."""
    return name or function.__name__, lambda: function(*args)


def begin(scenes, folder, size=2, in_file=True):
    """Fork processes that play scenes, each in a new group, and return their ids.

    ``in_file``: False: process 0 keeps the store of a group, as without torchrun.
    """
    stores = [f"file://{folder}/{name}-{size}.store" for name, _ in scenes]
    if not in_file:
        stores = [f"tcp://127.0.0.1:{free_port()}" for _ in scenes]
    children = []
    for rank in range(size):
        child = os.fork()
        if not child:
            _group.SECONDS_TO_ANSWER = 2
            for (name, play), store in zip(scenes, stores, strict=True):
                distributed.init_process_group(
                    "gloo", store, MINUTE, world_size=size, rank=rank
                )
                np.savez(Path(folder) / f"{name}-{size}-{rank}.npz", **play())
                patch.stopall()
                distributed.destroy_process_group()
            os._exit(0)
        children.append(child)
    return children


def ended(children):
    """Wait for processes, and return their exit codes."""
    codes = [os.waitpid(child, 0)[1] for child in children]
    return [os.waitstatus_to_exitcode(code) for code in codes]


def run(scenes, folder, size=2):
    """Play scenes in forked processes, all of which must end well."""
    assert ended(begin(scenes, folder, size)) == [0] * size


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


def fit_with_order(checkpoint, result):
    """Fit and write what was learnt."""
    X = make_interactions(300, 60, random_state=0).data
    rng = np.random.default_rng(0)
    seconds = np.sort(rng.integers(0, 10**7, len(X)))
    X["when"] = pd.Timestamp("2020-01-01") + pd.to_timedelta(seconds, "s")
    params = {"embedding_dim": 8, "batch_size": 64, "hidden_layer_sizes": (8,)}
    fitted = TwoTowerRecommender(
        **params, max_epochs=4, time="when", random_state=0, checkpoint=checkpoint
    ).fit(X, rng.random(len(X)) < 0.8)
    losses = [row["train_loss"] for row in fitted.history_]
    users = fitted.embed_users(fitted.user_ids_)
    np.savez(result, items=fitted.item_embeddings_, users=users, losses=losses)


def start(*args):
    """Fit in a child, and return its process id."""
    child = os.fork()
    if not child:
        fit_with_order(*args)
        os._exit(0)
    return child


def kills(folder, n_places):
    """Kill a fit twice at random times, then let it finish; all that n_places times."""
    rng, beginning = np.random.default_rng(0), time.monotonic()
    assert ended([start(None, f"{folder}/whole.npz")]) == [0]
    duration = time.monotonic() - beginning
    for place in range(n_places):
        checkpoint, result = f"{folder}/checkpoint-{place}", f"{folder}/{place}.npz"
        n_killed = 0
        while n_killed < 2:
            child = start(checkpoint, result)
            time.sleep(rng.uniform(0, duration))
            os.kill(child, signal.SIGKILL)
            if ended([child]) == [-signal.SIGKILL]:
                n_killed += 1
            else:  # it had finished, as other work on the machine changes its speed
                duration *= 0.8
        assert ended([start(checkpoint, result)]) == [0]
        assert not os.path.exists(checkpoint)


def run_all(companies):
    """Run groups of processes at once, and check their exit codes."""
    begun = [(begin(*args, **keys), codes) for args, keys, codes in companies]
    assert [ended(children) for children, _ in begun] == [codes for _, codes in begun]


def learning(folder):
    """Yield the arguments of `begin` for scenes that learn, and the exit codes."""
    for size in (1, 2, 3):
        scenes = [scene(curves, folder), scene(more_together, folder), scene(recalls)]
        scenes += [scene(latest, folder)]
        if size > 1:
            scenes += [scene(defaults), scene(sums), scene(shared, folder)]
            scenes += [scene(own_losses)]
        yield (scenes, folder), {"size": size}, [0] * size


def learns(folder):
    """Run the scenes in which several processes learn."""
    run([scene(starts, folder)], folder, size=1)
    run_all(learning(folder))
    alone = [
        scene(served_alone, folder, size, name=f"served_alone_{size}")
        for size in (2, 3)
    ]
    run(alone, folder, size=1)


def main(folder):
    """Run all scenes."""
    importlib.import_module("torch._dynamo")  # once, not in each process that needs it
    learns(folder)
    # which imports this module
    scenes = importlib.import_module("tests.recommender.failing_processes")
    scenes.fails_and_goes_on(folder)
    kills(folder, 2)
    launch(folder)


if __name__ == "__main__":
    # a job in the background begins without a handler
    signal.signal(signal.SIGINT, signal.default_int_handler)
    if "TORCHELASTIC_RUN_ID" in os.environ:
        assert command_line(sys.argv[1:]) == 0
    else:
        folder, *n_places = sys.argv[1:]
        kills(folder, int(*n_places)) if n_places else main(folder)
