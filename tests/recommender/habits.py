"""Events of users with habits that vectors are too short for, and models of them."""

import functools

import numpy as np
import pandas as pd

from tests.builders import small
from tests.shared import once

N_USERS, N_ITEMS = 60, 40


def table_of(rows):
    """Return a table of (user, item, time) of positions: users u00, items i00 ..."""
    return pd.DataFrame(
        [(f"u{user:02}", f"i{item:02}", time) for user, item, time in rows],
        columns=["user", "item", "when"],
    )


def pairs(seed=0):
    """Draw events without an order: items 0 and 1, 2 and 3 ... are chosen together."""
    rng = np.random.default_rng(seed)
    rows = [
        (user, 2 * pair + of_pair, 0)
        for user in range(N_USERS)
        for pair in rng.choice(N_ITEMS // 2, 4, replace=False)
        for of_pair in range(2)
    ]
    return table_of(rows).drop(columns="when")


def sequences(seed=0):
    """Draw events of users who choose item j + 7 after j, or any other item."""
    rng = np.random.default_rng(seed)
    rows = []
    for user in range(N_USERS):
        item = int(rng.integers(N_ITEMS))
        for time in range(10):
            rows.append((user, item, time))
            any_item = int(rng.integers(N_ITEMS))
            item = (item + 7) % N_ITEMS if rng.random() < 0.7 else any_item
    return table_of(rows)


def repeats(seed=0):
    """Draw events of users who choose four items of their own again and again."""
    rng = np.random.default_rng(seed)
    rows = []
    for user in range(N_USERS):
        items = rng.choice(N_ITEMS, 4, replace=False)
        rows += [(user, rng.choice(items), time) for time in range(10)]
    return table_of(rows)


def popular(seed=0):
    """Draw events that only the popularity of items decides on."""
    rng = np.random.default_rng(seed)
    chances = 1 / np.arange(1, N_ITEMS + 1)
    chances /= chances.sum()
    rows = [
        (user, item, 0)
        for user in range(N_USERS)
        for item in rng.choice(N_ITEMS, 6, p=chances, replace=False)
    ]
    return table_of(rows).drop(columns="when")


EVENTS = {"pairs": pairs, "sequences": sequences, "repeats": repeats}
PARAMS = {
    "pairs": {},
    "sequences": {"time": "when"},
    "repeats": {"time": "when", "exclude_seen": False},
}


@functools.cache
def events_of(name):
    """Return the events of a habit; tests share them."""
    return EVENTS[name]()


def fitted(name, **params):
    """Fit a model of a habit."""
    params = {"max_epochs": 4} | PARAMS[name] | params
    return small(**params).fit(events_of(name))


@once
def model_of(name):
    """Return a model of a habit; tests share it: copy what you change."""
    return fitted(name)


SPARSE = "past items|had before|how often had|had lately"


def has_sparse_parts(model):
    """Return whether some parts of a model have no vectors, by what `weights_` says."""
    return model.weights_.index.str.contains(SPARSE).any()


def requests_of(name, users, items):
    """Return a table of requests for all pairs, at the end of the events."""
    pairs = pd.MultiIndex.from_product([users, items], names=["user", "item"])
    table = pairs.to_frame(index=False)
    if "when" in events_of(name):
        table["when"] = events_of(name)["when"].max() + 1
    return table


def items_of(table):
    """Return the scores of `recommend` as a table of users and items."""
    return table.pivot(index="user", columns="item", values="score")
