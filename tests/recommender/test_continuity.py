"""Small accidents of the data do not move a model: one event or repeat, other ids."""

import functools

import numpy as np
import pandas as pd
import pytest

from sktwotower.metrics import ndcg_at_k
from tests.recommender.weighed import coming_back, weighed

CUT = 3000


def repeated(X):
    """Return events of which one comes once more, at the end."""
    again = X.iloc[[100]].assign(when=X["when"].max() + 1)
    return pd.concat([X, again], ignore_index=True)


CHANGES = {
    "an event less": lambda X: X.drop(index=X.index[1500]),
    "an event more": lambda X: pd.concat([X, X.iloc[[7]].assign(item="i59", when=9)]),
    "a repeat more": repeated,
    "other ids": lambda X: X.assign(user="a" + X["user"], item="b" + X["item"]),
    "another order": lambda X: X.sample(frac=1, random_state=0),
}


def ndcg_of(model, held):
    """Return the mean NDCG@10 of held-out events."""
    ranking = model.rank_held_out(held, n_neighbors=10)
    return ndcg_at_k(ranking.truth, ranking.indices, 10)


def first_choices(X):
    return X.drop_duplicates(["user", "item"])


ALL = [(kind, name) for kind in ("pooled", "in order") for name in CHANGES]
PARAMS = {"pooled": {}, "in order": {"time": "when"}}


@pytest.fixture(scope="module")
def ndcg():
    """Return a function that returns the mean NDCG of two fits on changed events."""
    X = first_choices(coming_back(4000, 200))
    train, test = X[X["when"] < CUT], X[X["when"] >= CUT]

    @functools.cache
    def mean(kind, name):
        change = CHANGES.get(name, lambda X: X)
        scores = []
        for seed in range(2):
            params = {"random_state": seed, "lr": 0.05, "batch_size": 128}
            model = weighed(**params, **PARAMS[kind]).fit(change(train))
            held = test if name != "other ids" else change(test)
            scores.append(ndcg_of(model, held))
        return np.mean(scores)

    return mean


@pytest.mark.fuzz
@pytest.mark.parametrize("kind, name", ALL)
def test_small_changes_have_small_effects(kind, name, ndcg):
    assert ndcg(kind, name) == pytest.approx(ndcg(kind, "as they are"), rel=0.08)
