"""New users of whom only features are known get what users like them choose."""

import copy

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose
from scipy import sparse

from sktwotower import io, runtime
from sktwotower.towers.parts._group_popularity import PRIOR, RANK, RIDGE, group_factors
from tests.builders import small

N_ITEMS = 30
ROW = "popularity by features of users"


def of_two_groups(n_users=240, seed=0):
    """Draw a table of users and their events, half of them among items of a group.

    Items of the group "a" come first, ``noise`` says nothing of anybody, and users with
    the same number of events share nothing else.
    """
    rng = np.random.default_rng(seed)
    groups = rng.integers(2, size=n_users)
    users = pd.DataFrame(
        {
            "user": [f"u{number:03}" for number in range(n_users)],
            "group": np.array(["a", "b"])[groups],
            "noise": rng.integers(5, size=n_users).astype(str),
        }
    )
    owners = rng.integers(n_users, size=12 * n_users)
    popularity = 1 / np.arange(1, N_ITEMS // 2 + 1)
    ranks = rng.choice(N_ITEMS // 2, len(owners), p=popularity / popularity.sum())
    is_other = rng.random(len(owners)) < 0.2
    items = 2 * ranks + (groups[owners] ^ is_other)
    events = pd.DataFrame(
        {"user": users["user"].to_numpy()[owners], "item": [f"i{n:02}" for n in items]}
    )
    return users, events.drop_duplicates()


@pytest.fixture(scope="module")
def model():
    users, events = of_two_groups()
    return small(users=users, max_epochs=3).fit(events)


def test_factors_are_those_of_a_ridge_regression():
    rng = np.random.default_rng(0)
    features = (rng.random((200, 7)) < 0.4).astype(float)
    chosen = (rng.random((200, 12)) < rng.random(12)).astype(float)
    means = chosen.mean(axis=0)
    targets = (chosen - means) / (means + PRIOR * means.mean())
    together = features.T @ features + RIDGE * np.eye(7)
    expected = np.linalg.solve(together, features.T @ targets)
    of_features, of_items = group_factors(
        sparse.csr_matrix(features), sparse.csr_matrix(chosen)
    )
    assert of_features.shape == (7, RANK) and of_items.shape == (12, RANK)
    products = of_features @ of_items.T
    factor = (products * expected).sum() / (expected**2).sum()
    assert factor > 0
    assert_allclose(products, factor * expected, atol=1e-9)
    assert_allclose(np.linalg.norm(of_items, axis=1).max(), 1)
    lengths = np.linalg.norm(features @ of_features, axis=1)
    assert_allclose((lengths**2).mean(), 1)


def test_users_without_events_and_items_of_nobody_are_no_fault():
    features = sparse.csr_matrix(np.eye(4)[[0, 0, 1, 1, 1]])
    for chosen in (np.zeros((5, 3)), np.eye(5)[:, :3] * [1, 1, 0]):
        factors = group_factors(features, sparse.csr_matrix(chosen))
        assert all(np.isfinite(each).all() for each in factors)


def test_it_counts_where_features_say_what_users_choose(model):
    assert model.weights_.loc[ROW, "0 past items"] > 0.1


def test_new_users_get_what_their_group_chooses(model):
    new = pd.DataFrame({"user": ["n0", "n1"], "group": ["a", "b"], "noise": ["1", "1"]})
    lists = model.recommend(new, 5)
    of_group = {"n0": 0, "n1": 1}
    numbers = lists["item"].str[1:].astype(int)
    share = (numbers % 2 == lists["user"].map(of_group)).mean()
    assert share >= 0.8


def test_files_and_the_runtime_answer_the_same(model, tmp_path):
    io.dump(model, tmp_path / "model.sktt")
    new = pd.DataFrame({"user": ["n0"], "group": ["b"], "noise": ["4"]})
    expected = model.recommend(new, 8)
    loaded = io.load(tmp_path / "model.sktt")
    pd.testing.assert_frame_equal(loaded.recommend(new, 8), expected)
    served = runtime.load(tmp_path / "model.sktt")
    for user, history in (("u000", None), ("new", ["i03", "i08"])):
        given = None if history is None else {user: history}
        expected = model.recommend([user], 8, history=given)
        answer = served.recommend(user, 8, history=history)
        assert list(answer[0]) == expected["item"].tolist()
        assert_allclose(answer[1], expected["score"], atol=1e-5)


def test_partial_fit_counts_anew(model):
    users, model = of_two_groups()[0], copy.deepcopy(model)
    new = pd.DataFrame({"user": ["n0"], "group": ["a"], "noise": ["0"]})
    rare = model.recommend(new, N_ITEMS)["item"].iloc[-1]
    of_group = users.loc[users["group"] == "a", "user"]
    model.partial_fit(pd.DataFrame({"user": of_group, "item": rare}))
    places = model.recommend(new, N_ITEMS)["item"].tolist()
    assert places.index(rare) < N_ITEMS // 2


def test_without_features_of_users_there_is_none():
    _, events = of_two_groups()
    model = small(max_epochs=3).fit(events)
    assert ROW not in model.weights_.index


def test_contributions_of_features_add_up(model):
    new = pd.DataFrame({"user": ["n0"], "group": ["b"], "noise": ["2"]})
    best = model.recommend(new, 1)
    explained = model.explain(new, best["item"].tolist())
    assert "group: b" in set(explained["reason"])
    assert_allclose(explained["contribution"].sum(), best["score"].iloc[0], atol=1e-6)
