import pickle

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.optimize import minimize
from scipy.special import logsumexp

from sktwotower import TwoTowerRecommender
from sktwotower.recommender import FoldIn
from sktwotower.towers import PooledHistory
from tests.cases import for_each
from tests.reference import unit_vectors

# The maximum, found by a slow reference


@for_each("n_users", [1, 3])
def test_new_vectors_are_near_the_best_ones(n_users):
    rng, temperature = np.random.default_rng(0), 0.3
    items, tower = unit_vectors(30, 5), unit_vectors(n_users, 5, seed=1)
    counts, weights = rng.integers(1, 9, 30), rng.uniform(1, 3, 30)
    chosen = [rng.choice(30, n, replace=False) for n in rng.integers(2, 20, n_users)]

    def loss(vector, user):
        unit = vector / np.linalg.norm(vector)
        logits = items @ unit / temperature
        past = logits[chosen[user]]
        likelihood = past.sum() - len(past) * logsumexp(logits + np.log(weights))
        distance = ((unit - tower[user]) ** 2).sum()
        return (100 + len(past)) / 2 * distance - likelihood

    sums = np.array([items[past].sum(axis=0) for past in chosen])
    n_past = np.array([len(past) for past in chosen])
    moved = FoldIn(items, counts, weights, temperature)(tower, sums, n_past=n_past)
    for user in range(n_users):
        before, after = loss(tower[user], user), loss(moved[user], user)
        best = minimize(loss, tower[user].astype(float), user, tol=1e-9).fun
        assert before - best > 0.01
        assert after - best < 0.01 * (before - best)


# In the estimator


@pytest.fixture(scope="module")
def model():
    rng = np.random.default_rng(0)
    rows = [
        (f"u{group}{user}", f"i{group}{item}")
        for group in range(2)
        for user in range(10)
        for item in rng.choice(6, 4, replace=False)
    ]
    X = pd.DataFrame(rows, columns=["user", "item"])
    return TwoTowerRecommender(embedding_dim=8, max_epochs=4, random_state=0).fit(X)


HISTORY = {"new": ["i00", "i01"], "u00": ["i13"]}


def without(model, *args, **params):
    """What the user tower alone answers."""
    try:
        model.set_params(history=PooledHistory(fold_in=False))
        return model.embed_users(*args, **params)
    finally:
        model.set_params(history="auto")


def test_the_vector_of_a_new_user_is_folded_in(model):
    tower = without(model, ["new"], history=HISTORY)
    vector = model.embed_users(["new"], history=HISTORY)
    past = model.embed_items(HISTORY["new"])
    # closer to what was chosen, and of unit length
    assert ((vector - tower) @ past.T > 1e-3).all()
    assert_allclose(np.linalg.norm(vector), 1, atol=1e-6)
    table = model.recommend(["new"], 3, history=HISTORY, exclude_seen=False)
    scores = vector @ model.embed_items(table["item"]).T
    assert_allclose(table["score"], scores[0], atol=1e-5)


def test_a_history_is_read_once(model):
    once = model.embed_users(["new"], history={"new": iter(HISTORY["new"])})
    assert_array_equal(once, model.embed_users(["new"], history=HISTORY))


def test_only_a_given_history_is_folded_in(model):
    for users in (["u00", "u13"], ["new"]):
        assert_array_equal(model.embed_users(users), without(model, users))
    both = model.embed_users(["u00", "new", "u13"], history=HISTORY)
    tower = without(model, ["u00", "new", "u13"], history=HISTORY)
    assert_allclose(both[[0, 2]], tower[[0, 2]], atol=1e-6)
    alone = model.embed_users(["new"], history=HISTORY)
    assert_allclose(both[[1]], alone, atol=1e-5)


@pytest.mark.slow
def test_it_survives_pickling_another_catalog_and_more_events(model):
    before = model.embed_users(["new"], history=HISTORY)
    other = pickle.loads(pickle.dumps(model))
    assert_array_equal(other.embed_users(["new"], history=HISTORY), before)
    other.set_catalog(["i12", "i01"])  # what is gone still tells of a user
    assert_allclose(other.embed_users(["new"], history=HISTORY), before, atol=1e-5)
    other.partial_fit(pd.DataFrame({"user": ["newer"], "item": ["i99"]}))
    history = {"new": ["i99", "i01"]}
    assert np.isfinite(other.embed_users(["new"], history=history)).all()


@pytest.mark.slow
def test_towers_that_see_no_history_or_no_sphere_fold_nothing_in(events):
    for params in ({"history": None}, {"normalize": False}):
        small = {"embedding_dim": 4, "max_epochs": 1, "random_state": 0}
        model = TwoTowerRecommender(**small, **params).fit(events)
        tower = without(model, ["new"], history=["i00"])
        assert_array_equal(model.embed_users(["new"], history=["i00"]), tower)


@pytest.mark.slow
def test_what_was_folded_in_is_a_row_of_its_own(model):
    why = model.explain("new", "i02", HISTORY)
    vector = model.embed_users(["new"], history=HISTORY)
    score = (vector @ model.embed_items(["i02"]).T)[0, 0]
    assert why.attrs["score"] == pytest.approx(score, abs=1e-6)
    assert why["contribution"].sum() == pytest.approx(score, abs=1e-6)
    row = why[why["feature"] == "(fold-in)"]
    tower = without(model, ["new"], history=HISTORY) @ model.embed_items(["i02"]).T
    moved = (score - tower[0, 0]) / 2
    assert row["contribution"].to_list() == [pytest.approx(moved, abs=1e-6)]
    assert row["side"].to_list() == ["history"]
    assert "(fold-in)" not in set(model.explain("u00", "i02", HISTORY)["feature"])


def test_fold_in_is_yes_or_no(events):
    with pytest.raises(ValueError, match="'fold_in' parameter .* Got 3"):
        TwoTowerRecommender(history=PooledHistory(fold_in=3)).fit(events)
