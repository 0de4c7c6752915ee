"""Events of users with habits that vectors are too short for, and models of them."""

import functools

import numpy as np
import pandas as pd

from tests.builders import small

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


@functools.cache
def model_of(name):
    """Return a model of a habit; tests share it: copy what you change."""
    return fitted(name)


def sparse_of(model):
    """Return the ``SparseParts`` of a model, or None."""
    return model._fitted.model.sparse


def requests_of(name, users, items):
    """Return a table of requests for all pairs, at the end of the events."""
    pairs = pd.MultiIndex.from_product([users, items], names=["user", "item"])
    table = pairs.to_frame(index=False)
    if "when" in events_of(name):
        table["when"] = events_of(name)["when"].max() + 1
    return table


def scores_by_hand(model, users, history=None):
    """Return the scores (n, n_items) of known users by the formula, float64."""
    learnt = model._fitted
    vectors = model.embed_users(users, history=history).astype(float)
    scores = vectors @ model.item_embeddings_.T.astype(float)
    if learnt.model.sparse is None:
        return scores
    codes = [model.user_ids_.tolist().index(user) for user in users]
    in_order = learnt.sequences is not None
    past = (learnt.sequences.lags if in_order else learnt.seen)[codes]
    lengths = learnt.model.lengths_of(np.diff(past.indptr))
    weights = learnt.model.sparse.weights_of(np.diff(past.indptr)) / lengths[:, None]
    for number, part in enumerate(learnt.model.sparse.parts):
        for row in range(len(users)):
            events = zip(past[row].indices, past[row].data, strict=True)
            counts = np.zeros(past.shape[1])
            for item, lag in events:
                weight = 1.0
                if in_order and part.decay is not None:
                    weight = np.exp(-(lag - 1) / part.decay)
                counts[item] = weight + (counts[item] if part.count == "log" else 0)
            counts = np.log1p(counts) if part.count == "log" else counts
            added = counts if part.matrix is None else counts @ part.matrix.toarray()
            scores[row] += weights[row, number] * added[: scores.shape[1]]
    return scores
