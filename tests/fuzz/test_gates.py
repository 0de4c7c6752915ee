"""Values of "auto" that change at a number: a model is as good on both sides of it."""

import numpy as np
import pandas as pd
import pytest

from sktwotower import TwoTowerRecommender
from sktwotower.datasets import load_online_retail, make_interactions
from sktwotower.metrics import ndcg_at_k

pytestmark = pytest.mark.fuzz
N_SEEDS = 3


@pytest.fixture(scope="module")
def purchases():
    """Return the first time that each customer bought each product."""
    frame = load_online_retail().frame.sort_values("time", kind="stable")
    frame = frame.rename(columns={"customer": "user", "product": "item"})
    return frame.drop_duplicates(["user", "item"])[["user", "item", "time"]]


def of_users(X, n_events):
    """Return the events of random users who have so many together, or a few less."""
    users = np.random.default_rng(0).permutation(X["user"].unique())
    n_together = X.groupby("user").size().reindex(users).cumsum()
    return X[X["user"].isin(users[n_together <= n_events])]


def of_items(X, n_items):
    return X[X["item"].isin(X["item"].value_counts().index[:n_items])]


def divided(X, in_order):
    """Return events to learn, and held-out ones: a fifth, or the last of each user."""
    if in_order:
        is_held = ~X["user"].duplicated(keep="last") & X["user"].duplicated()
    else:
        is_held = np.random.default_rng(1).uniform(size=len(X)) < 0.2
    return X[~is_held], X[is_held]


def first(X, n_events):
    """Return so many events: of those of users with more, some are left out.

    No user and no item is lost.
    """
    is_needed = ~X["user"].duplicated() | ~X["item"].duplicated()
    others = np.flatnonzero(~is_needed)
    n_less = len(X) - n_events
    assert 0 <= n_less <= len(others)
    dropped = np.random.default_rng(2).permutation(others)[:n_less]
    return X.drop(index=X.index[dropped])


def one_less(X):
    return first(X, len(X) - 1)


def whole_catalog(X):
    """2,000 items, and one more."""
    train, held = divided(of_users(of_items(X, 2000), 50_000), in_order=False)
    n_items = train["item"].nunique()
    users = train["user"].unique()
    further = [(users[k], f"further {k}") for k in range(2001 - n_items)]
    further = pd.DataFrame(further, columns=["user", "item"])
    return pd.concat([train, further[:-1]]), pd.concat([train, further]), held


def apart(X):
    """50,000 events, and one more."""
    train, held = divided(of_users(X, 65_000), in_order=False)
    train = first(train, 50_001)
    return one_less(train), train, held


def dense(X):
    """3 % of all pairs are chosen, and one pair less."""
    train, held = divided(of_items(X, 500), in_order=False)
    n_pairs = train["user"].nunique() * train["item"].nunique()
    train = first(train, int(np.ceil(0.03 * n_pairs)))
    return one_less(train), train, held


def few_dense(X):
    """10,000 events of dense users, and one event less."""
    train, held = divided(of_users(of_items(X, 300), 13_500), in_order=False)
    train = first(train, 10_000)
    return one_less(train), train, held


def large_catalog(X):
    """10,000 items, and one more."""
    drawn = make_interactions(
        3000, 14_000, interactions_per_user=30, zipf_exponent=0.7, random_state=0
    )
    X = drawn.data[["user", "item"]].drop_duplicates()
    train, held = divided(X, in_order=False)
    train = of_items(train, 10_001)
    last = train["item"].value_counts().index[-1]
    return train[train["item"] != last], train, held


def hidden_layer(X):
    """60 events an item, and one event less."""
    train, held = divided(of_users(of_items(X, 500), 31_700), in_order=True)
    train = first(train, 60 * train["item"].nunique())
    return one_less(train), train, held


def large_baskets(X):
    """5 events a basket, and one event less."""
    some = np.random.default_rng(3).uniform(size=len(X)) < 0.5
    train, held = divided(of_users(X[some], 60_000), in_order=True)
    n_baskets = len(train.drop_duplicates(["user", "time"]))
    is_first = ~train.duplicated(["user", "time"])
    ordered = pd.concat([train[is_first], train[~is_first]])
    train = ordered[: 5 * n_baskets]
    return train[:-1], train, held


GATES = {
    "all items as candidates": (whole_catalog, {}),
    "a judged model of its own": (apart, {}),
    "dense users": (dense, {}),
    "few dense users": (few_dense, {}),
    "large catalog": (large_catalog, {}),
    "hidden layer": (hidden_layer, {"time": "time"}),
    "large baskets": (large_baskets, {"time": "time"}),
}


def ndcg_of_users(params, train, held, seed):
    columns = ["user", "item", *params.values()]
    model = TwoTowerRecommender(random_state=seed, **params).fit(train[columns])
    ranking = model.rank_held_out(held[columns], n_neighbors=20)
    return ndcg_at_k(ranking.truth, ranking.indices, 20, per_user=True)


# In subsets of the shop the hidden layer gains up to 9 % at its gate, and loses 3 %
# at 50 events per item; on MovieLens and tweets both sides are within 1 %. How much it
# gains in the subset of this test depends on the processor.
GAINS = pytest.mark.xfail(reason="it gains more in the shop", strict=False)
KNOWN = {"hidden layer": GAINS}
CASES = [pytest.param(name, marks=KNOWN.get(name, ())) for name in GATES]


@pytest.mark.parametrize("name", CASES)
def test_one_event_across_a_gate_changes_little(name, purchases):
    case, params = GATES[name]
    below, above, held = case(purchases)
    assert abs(len(above) - len(below)) <= 1 or name == "large catalog"
    held = held[held["user"].isin(below["user"]) & held["item"].isin(below["item"])]
    sides = [
        np.mean([ndcg_of_users(params, X, held, seed) for seed in range(N_SEEDS)], 0)
        for X in (below, above)
    ]
    changes = sides[1] - sides[0]
    change, error = changes.mean(), changes.std() / np.sqrt(len(changes))
    assert abs(change) - 2 * error <= 0.02 * sides[0].mean(), (name, change, error)
