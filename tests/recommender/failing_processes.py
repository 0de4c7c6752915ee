"""Scenes in which one of several processes is killed, fails or is asked to stop.

`processes.main` forks them. They wait for one another most of the time, so that all of
them run at once.
"""

import functools
import os
import signal
import warnings

import pandas as pd
from torch import distributed

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


MOMENTS = ["on_batch_begin", "on_train_begin", "on_epoch_begin", "validation"]
MOMENTS += ["on_epoch_end", "on_train_end"]
# Signals, and whether there is a handler.
SIGNALS = {
    "interrupted": (signal.SIGINT, False),
    "terminated": (signal.SIGTERM, False),
    "handled": (signal.SIGTERM, True),
}


def quick(**params):
    """Return a recommender that trains in few steps of few epochs."""
    return model(**{"batch_size": 40, "max_epochs": 2} | params)


def whole(checkpoint, *acts):
    """Fit with an order, dates that age and validation."""
    X, y = events()
    X["when"] = pd.Timestamp("2020-01-01") + pd.to_timedelta(X["when"], "D")
    params = {"early_stopping": True, "hidden_layer_sizes": (), "time": "when"}
    params |= {"callbacks": [Curve(), Acts(*acts)], "checkpoint": checkpoint}
    return quick(history="recent", **params).fit(X, y)


def die():
    os.kill(os.getpid(), signal.SIGKILL)


def killed(moment, checkpoint, rank):
    """Fit; the process of a rank is killed at a moment."""
    return error_of(lambda: whole(checkpoint, moment, die, rank))


def goes_on(checkpoint):
    return learnt(whole(checkpoint))


def raises(error):
    def act():
        raise error

    return act


def fails(moment, rank):
    """Fit; a callback of one process raises an error."""
    callbacks = [Curve(), Acts(moment, raises(KeyError("in a callback")), rank)]
    fitted = quick(callbacks=callbacks, early_stopping=True)
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
            found = learnt(whole(checkpoint, *acts))
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


def other_size(folder):
    """Go on with another number of processes than before."""
    return error_of(lambda: whole(folder))


class Few:
    """One moment and one signal, in two processes."""

    sizes, moments, signals = [2], MOMENTS[:1], ["interrupted"]

    def companies(self, folder):
        """Yield what `processes.begin` plays, and the exit codes."""
        for size in self.sizes:
            yield (self.surviving(folder, size), folder, size), [0] * size
            for moment in self.moments:
                who = 0 if moment == "on_epoch_end" else 1
                left = f"{folder}/killed {moment} {size}"
                scenes = [scene(killed, moment, left, who, name=f"killed {moment}")]
                codes = [-signal.SIGKILL if r == who else 0 for r in range(size)]
                yield (scenes, folder, size), codes

    def surviving(self, folder, size):
        """Return the scenes after which all processes of a group are alive."""
        scenes = [scene(goes_on, None, name="whole"), scene(refused)]
        for moment in self.moments:
            scenes.append(scene(fails, moment, 1, name=f"fails {moment}"))
        for name in self.signals:
            args = *SIGNALS[name], f"{folder}/{name} {size}", size - 1
            scenes.append(scene(stops, *args, name=name))
        return scenes

    def go_on(self, folder):
        """Go on where fits have ended."""
        run([scene(other_size, f"{folder}/interrupted 2")], folder, size=1)
        groups = []
        for size in self.sizes:
            names = [f"killed {moment}" for moment in self.moments]
            scenes = [
                scene(goes_on, f"{folder}/{name} {size}", name=f"goes on {name}")
                for name in [*names, *self.signals]
            ]
            groups.append(((scenes, folder, size), [0] * size))
        run_all(groups)


class Many(Few):
    """All moments and signals, in two and in three processes."""

    sizes, moments, signals = [2, 3], MOMENTS, list(SIGNALS)
