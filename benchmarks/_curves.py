"""Quality against seconds: short and long fits, and peers with their best settings.

Input: the name of a data set, and the folder of the data.
Output: one row for each fit: its seconds, and its quality on validation data.
"""

import time

import numpy as np
import pandas as pd
from _common import clock, load, read_results
from _systems import OURS, SYSTEMS, judge

# Fits on the curve: passes over the users, then vectors of other lengths.
EPOCHS = [2, 4, 8, 12, 30]
WIDTHS = [64, 128]
PEERS = ["item-kNN", "EASE", "iALS"]
FIGURES = ["recall@20", "ndcg@20"]


def curve(data, folder):
    """Return rows of ours and of peers, all fitted and judged on the same events."""
    settings = [{"max_epochs": n} for n in EPOCHS]
    settings += [{}, *({"embedding_dim": d} for d in WIDTHS)]
    events = load(data, folder).tuning
    _row(OURS, {"max_epochs": 1}, events)  # what is imported or compiled once
    rows = [_row(OURS, each | {"random_state": 0}, events) for each in settings]
    found = read_results(f"quality_{data}")
    tuned = {row["system"]: row["params"] for row in found if "params" in row}
    rows += [_row(name, tuned[name], events) for name in PEERS if _can_run(name, tuned)]
    return [{"data": data} | row for row in rows]


def _can_run(name, tuned):
    """Return whether a peer has been tuned and its package is installed."""
    try:
        SYSTEMS[name].load()
    except ImportError:
        return False
    return name in tuned


def _row(name, params, events):
    """Fit a system on events and judge it on others; return its row."""
    fitted_on, held_out = events
    model = SYSTEMS[name].load()(**params)
    cpu = time.process_time()
    with clock() as watch:
        model.fit(fitted_on)
    cpu = time.process_time() - cpu
    figures, _ = judge(model, held_out)
    found = {figure: float(np.mean(figures[figure])) for figure in FIGURES}
    shown = {k: v for k, v in params.items() if k != "random_state"}
    return {
        "system": name,
        "params": shown,
        "fit": label(name, shown),
        "fit_s": watch.seconds,
        "cpu_s": cpu,
    } | found


def label(name, params):
    """Return what tells a fit from the others of its curve: "EASE", "8 epochs"."""
    if name != OURS:
        return name
    names = {"max_epochs": "{} epochs", "embedding_dim": "d = {}"}
    return ", ".join(names[k].format(v) for k, v in params.items()) or "defaults"


def printed(rows):
    """Return the rows as a text, in the order of seconds."""
    table = pd.DataFrame(rows).sort_values("cpu_s").drop(columns="data")
    return table.to_string(index=False, float_format="{:,.3f}".format)
