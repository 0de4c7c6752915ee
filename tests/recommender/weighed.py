"""Events of users who come back, and recommenders whose parts have learnt weights."""

import numpy as np
import pandas as pd

from tests.builders import small
from tests.shared import once

N_ITEMS = 60


def coming_back(n_events=3000, n_users=200, seed=0):
    """Draw events at times 0, 1 ... of popular items and of three tastes.

    Users are u000, u001 ..., items i00, i01 ... ``day`` has times of whole days, and
    ``place`` says where a request came from.
    """
    rng = np.random.default_rng(seed)
    users = rng.integers(n_users, size=n_events)
    popularity = 1 / np.arange(1, N_ITEMS + 1)
    items = rng.choice(N_ITEMS, n_events, p=popularity / popularity.sum())
    of_taste = (items + users % 3 * (N_ITEMS // 3)) % N_ITEMS
    items = np.where(rng.random(n_events) < 0.6, of_taste, items)
    places = np.array(["home", "work", "way"])
    return pd.DataFrame(
        {
            "user": [f"u{user:03}" for user in users],
            "item": [f"i{item:02}" for item in items],
            "when": np.arange(n_events),
            "day": np.arange(n_events) // 100,
            "place": places[rng.integers(3, size=n_events)],
        }
    )


def many_pairs(n_users=2600, n_items=60, n_chosen=20):
    """Draw so many pairs that they are judged in the same fit as they are learnt.

    Users choose of three tastes; a pair comes once.
    """
    rng = np.random.default_rng(0)
    users = np.arange(n_users)[:, None]
    of_taste = np.arange(n_items) % 3 == users % 3
    order = np.argsort(rng.random((n_users, n_items)) - 0.3 * of_taste, axis=1)
    items = order[:, :n_chosen].ravel()
    return pd.DataFrame(
        {
            "user": [f"u{user:04}" for user in np.repeat(users.ravel(), n_chosen)],
            "item": [f"i{item:02}" for item in items],
        }
    )


def tastes():
    """Return a table of the users of `coming_back`, whose features say their taste."""
    numbers = np.arange(300)
    taste = np.array(["first", "second", "third"])[numbers % 3]
    return pd.DataFrame({"user": [f"u{n:03}" for n in numbers], "taste": taste})


def weighed(**params):
    """Build a recommender that looks at its towers after three of four epochs."""
    return small(**{"max_epochs": 4, "sparse_parts": None} | params)


def fitted_once(fits):
    """Return a function that fits the recommender of a name, at its first call.

    ``fits``: parameters of `weighed` by name. Tests share the models.
    """
    return once(lambda name: weighed(**fits[name]).fit(coming_back()))
