"""Tables of requests, models that learn from their contexts, and fits that die."""

import numpy as np
import pandas as pd
import pytest
import torch
from skorch.callbacks import Callback

from sktwotower import TwoTowerRecommender


def few(cases, n=1):
    """Return cases of a test, of which all except the first n have the mark grid."""
    cases = [case if isinstance(case, tuple) else (case,) for case in cases]
    marks = [() if place < n else (pytest.mark.grid,) for place in range(len(cases))]
    return [pytest.param(*c, marks=m) for c, m in zip(cases, marks, strict=True)]


SLOTS, DEVICES = ("morning", "noon", "night"), ("phone", "tv")
N_OF_CELL = 5


def cells(group, slots, devices):
    """Return which block of five items is chosen by a group in a slot on a device."""
    slots, devices = map(np.asarray, (slots, devices))
    of_slot = np.searchsorted(np.sort(SLOTS), slots)
    return (group * len(SLOTS) + of_slot) * len(DEVICES) + (devices == "tv")


def planted(n_users=60, n_events=14, seed=0):
    """Draw events of two groups; group, slot and device decide on five of 60 items."""
    rng = np.random.default_rng(seed)
    users = np.repeat(np.arange(n_users), n_events)
    slots, devices = rng.choice(SLOTS, len(users)), rng.choice(DEVICES, len(users))
    block = cells(users % 2, slots, devices)
    items = N_OF_CELL * block + rng.integers(N_OF_CELL, size=len(users))
    times = rng.permutation(len(users))
    return pd.DataFrame(
        {
            "user": [f"u{u:02}" for u in users],
            "item": [f"i{i:02}" for i in items],
            "slot": slots,
            "device": devices,
            "time": times,
        }
    )


def requests_of(X):
    """Return each user of X in each slot and on each device, and the right block."""
    users = np.sort(X["user"].unique())
    grid = pd.MultiIndex.from_product([users, SLOTS, DEVICES])
    table = grid.to_frame(index=False, name=["user", "slot", "device"])
    group = table["user"].str[1:].astype(int) % 2
    return table, cells(group, table["slot"], table["device"])


def share_found(model, table, blocks):
    """Return the share of the best five items that belong to the block of each row."""
    top = model.kneighbors(table, N_OF_CELL, return_distance=False)
    found = np.char.lstrip(model.item_ids_[top].astype(str), "i").astype(int)
    return (found // N_OF_CELL == np.asarray(blocks)[:, None]).mean()


def asking(**params):
    """Return a small model of `planted` events; contexts count after two epochs."""
    params = {
        "context": ["slot", "device"],
        "embedding_dim": 16,
        "max_epochs": 2,
        "lr": 0.1,
        "exclude_seen": False,
        "sparse_parts": None,
        "random_state": 0,
    } | params
    return TwoTowerRecommender(**params)


def stirred(model, seed=0):
    """Replace the weights of the context by large random ones, in place."""
    rng = np.random.default_rng(seed)
    for part in model.net_.module_.parts:
        if part.context is not None:
            for layer in (part.context.multiply, part.context.add):
                values = rng.normal(size=tuple(layer.weight.shape))
                with torch.no_grad():
                    layer.weight.copy_(torch.from_numpy(values.astype(np.float32)))
            shares = rng.uniform(0.5, 1, len(part.context.shares))
            part.context.shares = shares.astype(np.float32)
    return model


def asked_by_hand(model, users, rows):
    """Return what users (n, d) ask for in contexts (n, p), computed one by one."""
    towers, found = model.net_.module_, []
    for user, row in zip(users.astype(float), np.asarray(rows, float), strict=True):
        pieces, start = [], 0
        for part, scale in zip(towers.parts, towers.scales_of_users[0], strict=True):
            u = user[start : start + part.width] / scale
            start += part.width
            if part.context is not None and row.any():
                factors, terms = (
                    layer.weight.detach().double().numpy()
                    for layer in (part.context.multiply, part.context.add)
                )
                own = row * part.context.shares
                u = u + part.context.scale * (u * (own @ factors) + own @ terms)
                u = u / np.linalg.norm(u) if part.normalize else u
            pieces.append(u * scale)
        found.append(np.concatenate(pieces))
    return np.array(found)


def names_of(model):
    """Return the names of the features of the context."""
    return model.context_transformer_.get_feature_names_out().tolist()


class Killed(BaseException):
    """Ends a fit, as the end of the process would, except that the test goes on."""


class Dies(Callback):
    """End a fit as an epoch begins, if `killed_after` has said after how many."""

    epochs_left = None

    def on_epoch_begin(self, net, **kwargs):
        """Count down."""
        if Dies.epochs_left == 0:
            raise Killed
        if Dies.epochs_left is not None:
            Dies.epochs_left -= 1


def killed_after(n_epochs, model, *events):
    """Fit a model with `Dies` among its callbacks; return whether it was killed."""
    Dies.epochs_left = n_epochs
    try:
        model.fit(*events)
    except Killed:
        return True
    finally:
        Dies.epochs_left = None
    return False
