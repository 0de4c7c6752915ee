"""Scenes with several processes: run as ``python -m tests.recommender.processes``.

Everything is imported once; then each scene forks its processes. What a process returns
is in ``scene-rank.npz`` of the folder that is given. With a number of places after the
folder, a fit is killed at so many places instead, and goes on.
"""

import errno
import functools
import importlib
import os
import signal
import sys
import time
import warnings
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import patch

import numpy as np
import pandas as pd
import torch
from skorch.callbacks import Callback
from torch import distributed, nn

from sktwotower import TwoTowerRecommender
from sktwotower.__main__ import main as command_line
from sktwotower.datasets import make_interactions
from sktwotower.towers import _request_batches
from sktwotower.towers._exchange import Exchange
from sktwotower.towers._group import current_group
from sktwotower.towers._request_batches import PairContexts
from sktwotower.towers._sparse_rows import SparseLinear
from tests.builders import small

N_ITEMS = 300
# Sums differ by rounding only: bfloat16 would round to 1e-3.
EXACT = {"criterion__matmul_dtype": torch.float32}
NOTHING_HIDDEN = EXACT | {"iterator_train__feature_dropout": 0}
FEW = NOTHING_HIDDEN | {"iterator_train__n_negatives": 10}
PLAIN = {"dropout": 0, "id_dropout": 0, "net_params": NOTHING_HIDDEN}
CURVES = {
    "all items": {"candidate_sampling": "full"},
    "few rows of tables": {"candidate_sampling": "mixed", "net_params": FEW},
    "order": {"time": "when", "history": "recent", "second_share": 0},
    "one user in a batch": {"batch_size": 1, "max_epochs": 1},
}
ASKING = {
    "pooled": {"context": "place"},
    "order": {"context": ["place", "when"], **CURVES["order"]},
}


def events():
    """Return events of 41 users: six batches of eight, the last one of one user."""
    rng = np.random.default_rng(0)
    users, items = np.divmod(rng.choice(41 * N_ITEMS, 500, replace=False), N_ITEMS)
    users[:41] = np.arange(41)
    table = pd.DataFrame({"user": users, "item": items})
    table["when"] = rng.integers(0, 100, len(table))
    return table, (np.arange(len(table)) % 6 > 0).astype(float)


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


class Acts(Callback):
    """Do what ``act`` says in the second batch of the second epoch, in process 1."""

    act = int  # nothing

    def on_batch_begin(self, net, **kwargs):
        second = len(net.history) == 2 and len(net.history[-1, "batches"]) == 2
        if second and current_group().rank == 1:
            Acts.act()


def learnt(fitted):
    """Return what a recommender has learnt, and the losses of its batches."""
    return {
        "items": fitted.item_embeddings_,
        "users": fitted.embed_users(fitted.user_ids_),
        "losses": next(c for c in fitted.callbacks if isinstance(c, Curve)).losses,
        "epochs": [row["train_loss"] for row in fitted.history_],
        "interrupted": fitted.interrupted_,
    }


def error_of(fit):
    """Return the type and the message of the error that a function raises."""
    try:
        fit()
    except Exception as error:
        return {"error": type(error).__name__, "message": str(error)}
    return {"error": "", "message": ""}


def curves():
    found = {}
    for name, params in CURVES.items():
        fitted = model(**PLAIN | params).fit(*events())
        found |= {f"{name}/{key}": value for key, value in learnt(fitted).items()}
    return found


def everything_asks():
    """Fit with contexts of which none is hidden, in both kinds of history."""
    found = {}

    def all_of(self, users, rng):
        owners = np.repeat(np.arange(len(users)), np.diff(self.offsets)[users])
        places = [np.arange(*self.offsets[user : user + 2]) for user in users]
        ones = np.ones(len(owners), dtype=np.float32)
        return np.concatenate(places), owners, ones

    X, y = events()
    X["place"] = np.array(["home", "work", None])[X["item"] % 3]
    with (
        patch.object(PairContexts, "draw", all_of),
        patch.object(_request_batches, "partly_hidden", lambda rows, rng: rows),
        patch(
            "sktwotower.towers._sequence_batches.some_hidden", lambda rows, rng: rows
        ),
    ):
        for name, params in ASKING.items():
            fitted = model(**PLAIN | params).fit(X, y)
            found |= {f"{name}/{key}": value for key, value in learnt(fitted).items()}
            context = {"context": {"place": "work"}}
            found[f"{name}/asked"] = fitted.embed_users(fitted.user_ids_, **context)
    return found


def defaults():
    """Fit with dropout, validation and a new seed in each process, then learn more."""
    params = {"random_state": None, "optimizer": "adamw", "hidden_layer_sizes": (8,)}
    fitted = model(max_epochs=2, early_stopping=True, **params).fit(*events())
    X, y = events()
    fitted.partial_fit(X[:50], y[:50])
    return learnt(fitted)


def sums():
    """Sum known gradients of two tables and a vector."""
    rank = distributed.get_rank()
    net = SimpleNamespace(device="cpu", criterion_=nn.Module(), module_=nn.Module())
    net.module_.first, net.module_.second = SparseLinear(40, 2), SparseLinear(4, 1)
    net.module_.bias = nn.Parameter(torch.ones(2) * rank)
    net.module_.unused = nn.Parameter(torch.ones(1))
    interruption = SimpleNamespace(received=None)
    ids, values = ([1, 3], [[1.0, 2.0], [3.0, 4.0]]) if rank else ([3], [[8.0, 8.0]])

    def compute(batch, targets):
        first, second = net.module_.first.weight, net.module_.second.weight
        first.grad = torch.sparse_coo_tensor(
            [ids], torch.tensor(values), (40, 2), check_invariants=True
        )
        second.grad = torch.full((4, 1), 1.0 + rank)
        net.module_.bias.grad = torch.tensor([1.0, rank])
        return {"loss": torch.tensor(2.0 + rank), "y_pred": None}

    targets = SimpleNamespace(total_weight=1.0 + 2 * rank)  # 1 and 3 of 4
    found = {}
    with Exchange(current_group(), net, interruption) as exchange:
        found["bias"] = net.module_.bias.detach().numpy().copy()
        for name, batch in {"both": True, "one": rank or None}.items():
            net.module_.zero_grad()
            share = SimpleNamespace(batch=batch)
            step = exchange.step(compute, share, targets)
            found |= {
                f"{name}/loss": step["loss"].item(),
                f"{name}/is_sparse": net.module_.first.weight.grad.is_sparse,
                f"{name}/first": net.module_.first.weight.grad.to_dense().numpy(),
                f"{name}/second": net.module_.second.weight.grad.numpy(),
                f"{name}/bias": net.module_.bias.grad.numpy(),
                f"{name}/unused": net.module_.unused.grad.numpy(),
            }
    return found


def other_data():
    X, y = events()
    y[distributed.get_rank()] = 2
    return error_of(lambda: model().fit(X, y))


def other_parameters():
    return error_of(lambda: model(lr=0.01 + distributed.get_rank()).fit(*events()))


def an_empty_day():
    """Learn events that one of the processes lacks, and then none."""
    X, _ = events()
    fitted = model().fit(X)
    found = error_of(lambda: fitted.partial_fit(X[: 3 * distributed.get_rank()]))
    return found | learnt(fitted.partial_fit(X[:0]).partial_fit(X[:3]))


def interruptible(folder):
    """Return a recommender with random numbers of torch, and an ``Acts``."""
    params = {"callbacks": [Curve(), Acts()], "hidden_layer_sizes": (8,)}
    return model(checkpoint=folder, **params)


def fails(folder):
    def fail():
        raise KeyError("in a callback")

    Acts.act = fail
    return error_of(lambda: interruptible(folder).fit(*events()))


def disk_full(folder):
    def full(*args):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    class Fills(Callback):
        def on_epoch_begin(self, net, **kwargs):
            if len(net.history) == 2:
                os.fsync = full

    callbacks = [Curve(), Fills()]
    fitted = model(callbacks=callbacks, checkpoint=folder)
    return error_of(lambda: fitted.fit(*events()))


def dies(folder):
    Acts.act = functools.partial(os.kill, os.getpid(), signal.SIGKILL)
    return error_of(lambda: interruptible(folder).fit(*events()))


def stops(folder):
    signal.signal(signal.SIGTERM, lambda *args: None)
    Acts.act = functools.partial(signal.raise_signal, signal.SIGTERM)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        fitted = interruptible(folder).fit(*events())
    return learnt(fitted) | {"messages": [str(each.message) for each in caught]}


def goes_on(folder):
    return learnt(interruptible(folder).fit(*events()))


def without_a_break():
    return goes_on(None)


def run(scene, folder, *args, size=2):
    """Run a scene in forked processes, and return their exit codes."""
    children = []
    for rank in range(size):
        child = os.fork()
        if not child:
            store = f"file://{folder}/{scene.__name__}-{size}.store"
            distributed.init_process_group(
                "gloo", init_method=store, rank=rank, world_size=size
            )
            found = scene(*args)
            name = f"{scene.__name__}-{size}-{rank}.npz"
            np.savez(Path(folder) / name, **found)
            os._exit(0)
        children.append(child)
    codes = [os.waitpid(child, 0)[1] for child in children]
    return [os.waitstatus_to_exitcode(code) for code in codes]


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


def ended(child):
    """Wait for a child, and return its exit code."""
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def kills(folder, n_places):
    """Kill a fit twice at random times, then let it finish; all that n_places times."""
    rng, begin = np.random.default_rng(0), time.monotonic()
    assert ended(start(None, f"{folder}/whole.npz")) == 0
    duration = time.monotonic() - begin
    for place in range(n_places):
        checkpoint, result = f"{folder}/checkpoint-{place}", f"{folder}/{place}.npz"
        n_killed = 0
        while n_killed < 2:
            child = start(checkpoint, result)
            time.sleep(rng.uniform(0, duration))
            os.kill(child, signal.SIGKILL)
            if ended(child) == -signal.SIGKILL:
                n_killed += 1
            else:  # it had finished, as other work on the machine changes its speed
                duration *= 0.8
        assert ended(start(checkpoint, result)) == 0
        assert not os.path.exists(checkpoint)


def main(folder):
    """Run all scenes."""
    importlib.import_module("torch._dynamo")  # once, not in each process that needs it
    for scene in (curves, defaults, sums, other_data, other_parameters, an_empty_day):
        assert run(scene, folder) == [0, 0]
    assert run(curves, folder, size=1) == [0]
    assert run(everything_asks, folder) == [0, 0]
    assert run(everything_asks, folder, size=1) == [0]
    assert run(fails, folder, f"{folder}/fails") == [0, 0]
    assert run(disk_full, folder, f"{folder}/full") == [0, 0]
    checkpoint = f"{folder}/checkpoint"
    assert run(dies, folder, checkpoint) == [0, -signal.SIGKILL]
    assert run(stops, folder, checkpoint) == [0, 0]
    assert sorted(os.listdir(checkpoint)) == ["start.checkpoint", "towers-0.checkpoint"]
    assert run(goes_on, folder, checkpoint) == [0, 0]
    assert not os.path.exists(checkpoint)
    assert run(without_a_break, folder) == [0, 0]
    kills(folder, 2)
    launch(folder)


if __name__ == "__main__":
    if "TORCHELASTIC_RUN_ID" in os.environ:
        assert command_line(sys.argv[1:]) == 0
    else:
        folder, *n_places = sys.argv[1:]
        kills(folder, int(*n_places)) if n_places else main(folder)
