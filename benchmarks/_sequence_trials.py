"""Settings of sequence models, tried in order within a budget of CPU seconds.

Input: the names of a model of `_sequence_models` and of a data set.
Output: a row for each trial; the figures of a fit, (n_users,) each.
"""

import time
from importlib import import_module

import numpy as np
from _common import EVENT, clock, load_ordered, versions

BY_AUTHORS = "eSASRec(authors)"
NAMES = {
    "SASRec": "SASRec",
    "eSASRec": "ESASRec",
    BY_AUTHORS: "ESASRec",
    "HSTU": "HSTU",
    "HSTU(time)": "HSTUInTime",
}
# What the authors of eSASRec chose by validation for Beauty and Sports, and for ML-1M;
# and RecTools' guide to HSTU for ML-1M.
AMAZON = {"n_factors": 64, "n_blocks": 1, "dropout_rate": 0.2, "session_max_len": 50}
FILMS = {"n_factors": 64, "n_blocks": 2, "dropout_rate": 0.1, "session_max_len": 200}
AMAZON, FILMS = (known | {"n_negatives": 256, "lr": 0.001} for known in (AMAZON, FILMS))
HSTU_FILMS = FILMS | {"n_factors": 50, "dropout_rate": 0.2, "n_negatives": 128}
# What a processor can do in minutes: most users of Beauty and Sports have fewer than
# ten events; with 600 users an epoch of batches of 128 would have five steps, and with
# 6,000 the authors' 47 steps an epoch need hours.
SHORT = {"session_max_len": 20, "n_negatives": 128, "lr": 0.003, "dropout_rate": 0.5}
FEW_USERS = {"n_blocks": 1, "session_max_len": 50, "n_negatives": 64, "lr": 0.003}
FEW_USERS["batch_size"] = 32
MINUTES = {"n_blocks": 1, "session_max_len": 100, "lr": 0.003, "batch_size": 32}
CHANGES = [
    {"dropout_rate": 0.2},
    {"lr": 0.001},
    {"n_negatives": 256},
    {"session_max_len": 50},
    {"dropout_rate": 0.5},
    {"n_blocks": 2},
    {"n_factors": 128},
    {"dropout_rate": 0.7},
    {"session_max_len": 200},
]
# Settings that are not searched, on the data that their authors chose them for.
AUTHORS = {"beauty-last": AMAZON, "sports-last": AMAZON, "ml-1m-last": FILMS}
PATIENCE = 5  # epochs that a trial goes on without a better figure
FEW = 5000  # users: with fewer an epoch has few steps, and a trial is given 20
FROM_EPOCH = 8  # from it on a trial ends if it is far behind
FAR = 0.8  # share of what the best trial before had by the same epoch
MAX_EPOCHS = 100
PATIENCE_OF_AUTHORS = 10
MAX_EPOCHS_OF_AUTHORS = 300
MAX_HELD_OUT = 8000  # of more held-out events every second, third, ... is judged


def first_settings(name, data):
    """Return the settings to begin with, near the authors' or theirs."""
    if data in ("beauty-last", "sports-last"):
        return AMAZON | SHORT
    first = HSTU_FILMS if name.startswith("HSTU") else FILMS
    return first | (MINUTES if data == "ml-1m-last" else FEW_USERS)


class Trial:
    """Keeps the figure of each epoch, and says when the trial is to end.

    Parameters
    ----------
    held_out : table of events (n_users, 3)
        What is to be found.
    end : float
        Value of ``clock`` from which on no epoch begins.
    leader : list of float
        Figures by epoch of the best trial before, none if this is the first.
    patience : int, default=5
        Epochs that it goes on without a better figure.
    clock : callable, default=time.process_time
        Returns the time in seconds.
    """

    def __init__(
        self, held_out, end, leader=(), patience=PATIENCE, clock=time.process_time
    ):
        self.held_out = held_out
        self.end = end
        self.leader = leader
        self.patience = patience
        self.clock = clock
        self.curve, self.ended_by = [], "last epoch"

    @property
    def best(self):
        """The number of the best epoch, from 1 on."""
        return int(np.argmax(self.curve)) + 1

    def row(self, params, cpu_s):
        """Return the row of results of a trial that has ended."""
        return {
            "params": params,
            "epochs": self.best,
            "validation": max(self.curve),
            "curve": self.curve,
            "ended_by": self.ended_by,
            "cpu_s": cpu_s,
        }

    def __call__(self, model, epoch):
        """Judge an epoch; return whether it was the last."""
        self.curve.append(model.ndcg(self.held_out))
        print(f"{model} {epoch}: {self.curve[-1]:.4f}", flush=True)
        reasons = {
            "no better figure": epoch - self.best >= self.patience,
            "far behind": epoch >= FROM_EPOCH
            and max(self.curve) < FAR * max(self.leader[:epoch], default=0),
            "budget": self.clock() >= self.end,
        }
        reason = next((name for name, is_so in reasons.items() if is_so), None)
        self.ended_by = reason or self.ended_by
        return reason is not None


def search(kind, first, tuning, seconds, tried=(), clock=time.process_time):
    """Return the rows of new trials, after those ``tried`` before.

    After the first settings, each of ``CHANGES`` is made in the best so far, and once
    more in the best after all of them. Settings that were tried are left out, unless a
    smaller budget ended the trial; all seconds count. A trial begins while the budget
    is not spent, and ends as `Trial` says.
    """
    train, held_out = tuning
    patience = PATIENCE if len(held_out) >= FEW else 4 * PATIENCE
    held_out = held_out[:: -(-len(held_out) // MAX_HELD_OUT)]
    rows, before = [], {"params": first, "curve": [], "validation": 0}
    for change in [{}, *CHANGES, *CHANGES]:
        known = [*tried, *rows]
        leader = max([before, *known], key=lambda row: row["validation"])
        params = (leader["params"] if change else first) | change
        left = seconds - sum(row["cpu_s"] for row in known)
        if left <= 0:
            break
        done = [row["params"] for row in known if row["ended_by"] != "budget"]
        if params in done:
            continue
        start = clock()
        trial = Trial(held_out, start + left, leader["curve"], patience, clock)
        kind(**params, epochs=MAX_EPOCHS).fit(train, after_epoch=trial)
        rows.append(trial.row(params, clock() - start))
    return rows


def try_authors(kind, params, tuning, clock=time.process_time):
    """Return the row of a trial that ends once ten epochs have been no better.

    It has no budget.
    """
    train, held_out = tuning
    held_out = held_out[:: -(-len(held_out) // MAX_HELD_OUT)]
    start = clock()
    trial = Trial(held_out, np.inf, patience=PATIENCE_OF_AUTHORS, clock=clock)
    kind(**params, epochs=MAX_EPOCHS_OF_AUTHORS).fit(train, after_epoch=trial)
    return trial.row(params, clock() - start)


def _kind(name):
    return getattr(import_module("_sequence_models"), NAMES[name])


def tune(name, data, folder, seconds, tried):
    """Return the rows of new trials of a model on a data set."""
    events = load_ordered(data, folder)
    if name == BY_AUTHORS:
        if tried:
            return []
        row = try_authors(_kind(name), AUTHORS[data], events.tuning)
        return [row | {"versions of the system": versions()}]
    first = first_settings(name, data)
    rows = search(_kind(name), first, events.tuning, seconds, tried)
    return [row | {"versions of the system": versions()} for row in rows]


def measure(name, data, folder, params):
    """Fit a model on all of train; return a row and each user's figures."""
    from _systems import judge

    events, kind = load_ordered(data, folder), _kind(name)
    kind(epochs=1).fit(events.train[:500])  # so that seconds are without imports
    model = kind(**params)
    with clock() as watch:
        model.fit(events.train)
    figures, _ = judge(model, events.test[EVENT])
    row = {
        "system": name,
        "params": params,
        "fit_s": watch.seconds,
        "fit_cpu_s": watch.cpu_seconds,
        "versions of the system": versions(),
    }
    return row, {metric: list(values) for metric, values in figures.items()}
