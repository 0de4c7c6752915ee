"""Whether vectors with a filter score as towers and filter do together."""

import sys
from pathlib import Path

import numpy as np
import pytest

from sktwotower import TwoTowerRecommender
from sktwotower.datasets import make_interactions

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))
from bench_filter import WithFilter  # noqa: E402


@pytest.fixture(scope="module")
def events():
    X = make_interactions(n_users=40, n_items=30, random_state=0).data.drop_duplicates()
    return X[["user", "item"]]


@pytest.fixture(scope="module")
def model(events):
    return WithFilter().fit(events)


def test_without_weight_scores_are_those_of_the_towers(events, model):
    plain = TwoTowerRecommender(random_state=0).fit(
        events.sort_values(["user", "item"])
    )
    users = np.arange(len(model.user_ids_))
    first = events.drop_duplicates("user").sort_values("user")
    expected = plain.transform(first) @ plain.item_embeddings_.T
    np.testing.assert_allclose(model._scores(users), expected, atol=1e-5)


def test_scores_are_those_of_towers_and_filter(model):
    users = np.arange(len(model.user_ids_))
    alone = model.set(0, 0.0)._scores(users)
    both = model.set(5, 0.3)._scores(users)
    seen = model._seen.toarray()
    of_users, of_items = seen.sum(1, keepdims=True), seen.sum(0)
    _, _, right = np.linalg.svd(seen / np.sqrt(of_users) / np.sqrt(of_items))
    past = seen @ (right[:5] / np.sqrt(of_items)).T
    items = right[:5] * np.sqrt(of_items)
    past /= np.linalg.norm(past, axis=1, keepdims=True)
    items /= np.linalg.norm(items, axis=0).max()
    np.testing.assert_allclose(both - alone, 0.3 * past @ items, atol=1e-4)
