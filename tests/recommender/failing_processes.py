"""Scenes in which one of several processes is killed, fails or is asked to stop.

`processes.main` forks them. They wait for one another most of the time, so that all of
them run at once.
"""

import errno
import functools
import os
import signal
import time
import warnings
from unittest.mock import patch

import pandas as pd
from torch import distributed

from sktwotower.recommender import _checkpoint, _fit, _processes, _training_data
from sktwotower.recommender._checkpoint import Checkpoint
from sktwotower.towers import _spectrum
from sktwotower.towers._exchange import Exchange
from sktwotower.towers.parts import _start
from tests.recommender.processes import (
    Callback,
    Curve,
    error_of,
    events,
    learnt,
    model,
    run,
    run_all,
    scene,
)


class Acts(Callback):
    """Call ``act`` at a moment of the second epoch, in one process."""

    def __init__(self, moment=None, act=int, rank=1):
        self.when_, self.act_ = (moment, rank), act

    def _do(self, moment, net):
        now = (moment, distributed.get_rank()) == self.when_
        if now and (len(net.history) == 2 or "train" in moment):
            self.when_ = None
            self.act_()

    def on_train_begin(self, net, **kwargs):
        self._do("on_train_begin", net)

    def on_epoch_begin(self, net, **kwargs):
        self._do("on_epoch_begin", net)

    def on_batch_begin(self, net, training=False, **kwargs):
        self._do("on_batch_begin" if training else "validation", net)

    def on_epoch_end(self, net, **kwargs):
        self._do("on_epoch_end", net)

    def on_train_end(self, net, **kwargs):
        self._do("on_train_end", net)


MOMENTS = ["on_train_begin", "on_epoch_begin", "on_batch_begin", "validation"]
MOMENTS += ["on_epoch_end", "on_train_end"]
# Signals, and whether there is a handler.
SIGNALS = {
    "interrupted": (signal.SIGINT, False),
    "terminated": (signal.SIGTERM, False),
    "handled": (signal.SIGTERM, True),
}
# In what a process is killed: a function, and which call of it.
PHASES = {
    "reading": (_fit, "_read", 1),
    "half-life": (_fit, "with_ages", 1),
    "singular vectors": (_spectrum, "summed", 3),
    "first epoch": (Exchange, "step", 2),
    "validation": (_training_data.ValidationRecall, "_recall", 2),
    "checkpoint": (_checkpoint.WrittenFile, "finish", 2),
    "rows at the end": (Exchange, "_whole", 2),
    "users at the end": (_processes, "_gathered", 1),
}
PHASES_OF_THREE = ["first epoch", "users at the end"]


def quick(**params):
    """Return a recommender that trains in few steps of few epochs."""
    return model(**{"batch_size": 40, "max_epochs": 2} | params)


def whole(phase, checkpoint, *acts):
    """Fit with a half-life or singular vectors, and with validation."""
    X, y = events()
    X["when"] = pd.Timestamp("2020-01-01") + pd.to_timedelta(X["when"], "D")
    params = {"early_stopping": True, "hidden_layer_sizes": ()}
    params |= {"callbacks": [Curve(), Acts(*acts)]}
    kind = "pooled" if phase == "singular vectors" else "recent"
    params |= {"time": "when", "history": kind, "checkpoint": checkpoint}
    return quick(**params).fit(X, y)


def killed(phase, checkpoint, rank):
    """Fit; the process of a rank is killed in a phase."""
    owner, name, at = PHASES[phase]
    original, calls = getattr(owner, name), []

    def dies(*args, **kwargs):
        calls.append(name)
        if distributed.get_rank() == rank and len(calls) == at:
            os.kill(os.getpid(), signal.SIGKILL)
        return original(*args, **kwargs)

    setattr(owner, name, dies)
    return error_of(lambda: whole(phase, checkpoint))


def goes_on(phase, checkpoint):
    return learnt(whole(phase, checkpoint))


def raises(error):
    def act():
        raise error

    return act


def fails(moment, rank):
    """Fit; a callback of one process raises an error."""
    callbacks = [Curve(), Acts(moment, raises(KeyError("in a callback")), rank)]
    fitted = quick(callbacks=callbacks, early_stopping=True)
    return error_of(lambda: fitted.fit(*events()))


def fails_within(name, rank):
    """Fit; one process lacks memory in the midst of a step, or of validation."""
    owner = Exchange if name == "step" else _training_data.ValidationRecall
    original, calls = getattr(owner, name), []

    def fails(self, *args, **kwargs):
        calls.append(name)
        if len(calls) == 3 and distributed.get_rank() == rank:
            if name != "step":
                raise MemoryError
            args = raises_memory_error, *args[1:]
        return original(self, *args, **kwargs)

    patch.object(owner, name, fails).start()
    fitted = quick(early_stopping=True, max_epochs=3)
    return error_of(lambda: fitted.fit(*events()))


def raises_memory_error(batch, targets):
    raise MemoryError


def disk_full(checkpoint, rank):
    """Fit; the disk of one process becomes full."""

    def full(*args):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def fill():
        patch.object(os, "fsync", full).start()

    callbacks = [Curve(), Acts("on_epoch_begin", fill, rank)]
    fitted = quick(callbacks=callbacks, checkpoint=checkpoint)
    return error_of(lambda: fitted.fit(*events()))


def stops(number, handled, checkpoint, rank):
    """Fit until one process gets a signal; a caller may have a handler."""
    before = signal.getsignal(number)
    if handled:
        signal.signal(number, lambda *args: None)
    acts = "on_batch_begin", functools.partial(signal.raise_signal, number), rank
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            found = learnt(whole("signal", checkpoint, *acts))
        except SystemExit as end:
            found = {"code": end.code}
    signal.signal(number, before)
    return found | {"messages": [str(each.message) for each in caught]}


def refused():
    """Fit with data or parameters that differ, or with too many processes."""
    rank, found = distributed.get_rank(), {}

    def fit(name, X, y=None, **params):
        error = error_of(lambda: model(**params).fit(X, y))
        found.update({f"{name}/{key}": value for key, value in error.items()})

    X, y = events()
    fit("events", X, y + (rank > 0) * (y > 0))
    fit("parameters", X, lr=0.01 + rank / 100)
    fit("features", X.assign(country=X["item"] % (rank + 2)), user_features=["country"])
    fit("no users", X[X["user"] == "u1"])
    fit("gradients", X, callbacks=[ReadsGradients()])
    return found


class ReadsGradients(Callback):
    def on_grad_computed(self, net, **kwargs):
        pass


def reads_late(checkpoint):
    """Fit; process 1 looks for what was left unfinished while process 0 writes."""
    make, replace = Checkpoint.__init__, os.replace

    def late(self, *args):
        time.sleep(0.2)
        make(self, *args)

    def slow(*paths):
        time.sleep(0.4)
        replace(*paths)

    if distributed.get_rank() == 1:
        patch.object(Checkpoint, "__init__", late).start()
    patch.object(os, "replace", slow).start()
    return error_of(lambda: quick(checkpoint=checkpoint, max_epochs=1).fit(*events()))


def dying(folder):
    """Yield the arguments of `begin` where a process is killed, and the exit codes."""
    for size in (2, 3):
        for phase in PHASES if size == 2 else PHASES_OF_THREE:
            who = 0 if phase == "half-life" else 1
            checkpoint = f"{folder}/killed {phase} {size}"
            codes = [-signal.SIGKILL if r == who else 0 for r in range(size)]
            scenes = [scene(killed, phase, checkpoint, who, name=f"killed {phase}")]
            yield (scenes, folder), {"size": size, "in_file": who > 0}, codes


def surviving(folder, size):
    """Return the scenes after which all processes of a group are alive."""

    def stopped(name):
        args = *SIGNALS[name], f"{folder}/{name} {size}", size - 1
        return scene(stops, *args, name=name)

    def full(rank):
        return scene(disk_full, f"{folder}/full {rank}", rank, name=f"disk full {rank}")

    within = [scene(fails_within, "step", 1, name="fails within step")]
    ends = [scene(goes_on, "half-life", None, name="whole half-life")]
    if size == 3:
        return [*within, stopped("interrupted"), *ends]
    within += [scene(fails_within, "_recall", 1, name="fails within _recall")]
    ends += [scene(goes_on, "singular vectors", None, name="whole singular vectors")]
    return [
        *(scene(fails, moment, 1, name=f"fails {moment}") for moment in MOMENTS),
        *within,
        *map(full, (0, 1)),
        *map(stopped, SIGNALS),
        *(scene(reads_late, f"{folder}/late"), scene(refused)),
        *ends,
    ]


def afterwards(folder, size):
    """Return the scenes that go on where others have ended."""
    pairs = size == 2
    left = {
        f"killed {phase}": phase for phase in (PHASES if pairs else PHASES_OF_THREE)
    }
    left |= dict.fromkeys(SIGNALS if pairs else ["interrupted"], "signal")
    return [
        scene(
            goes_on,
            phase,
            f"{folder}/{name} {size}",
            name=f"goes on {name.removeprefix('killed ')}",
        )
        for name, phase in left.items()
    ]


def other_size(folder):
    """Go on with another number of processes than before."""
    return error_of(lambda: whole("signal", folder))


def fails_and_goes_on(folder):
    """Run all scenes."""
    both = [((surviving(folder, n), folder), {"size": n}, [0] * n) for n in (2, 3)]
    run_all([*dying(folder), *both])
    for size in (1, 3):
        run([scene(other_size, f"{folder}/interrupted 2")], folder, size)
    run_all(((afterwards(folder, n), folder), {"size": n}, [0] * n) for n in (2, 3))
