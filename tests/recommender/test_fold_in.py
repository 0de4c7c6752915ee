import pickle

import numpy as np
import pandas as pd
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal

from sktwotower import TwoTowerRecommender
from sktwotower.recommender._fold_in import FoldIn
from sktwotower.runtime import _model_arrays as fold_in
from sktwotower.runtime._model_arrays import softmax_sample


@pytest.fixture
def case(rng):
    """Thirty items, five users, and what each of them chose."""

    def unit(n):
        vectors = rng.normal(size=(n, 4)).astype(np.float32)
        return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)

    items, users = unit(30), unit(5)
    chosen = rng.random((5, 30)) < 0.3
    weights = rng.integers(1, 4, 30).astype(float)
    return FoldIn(items, rng.integers(1, 9, 30), weights, 0.3), users, chosen


def objective(fold_in, users, chosen, vectors):
    """What a folded-in vector maximises, written out; (n_users,)."""
    items, weights = torch.tensor(fold_in.vectors), torch.tensor(fold_in.log_weights)
    found = []
    for user, own, vector in zip(users, chosen, vectors, strict=True):
        logits = items.double() @ vector / fold_in.temperature
        log_total = torch.log((weights.exp() * logits.exp()).sum())
        likelihood = sum(logits[i] - log_total for i in np.flatnonzero(own))
        n = own.sum()
        found.append(likelihood - (100 + n) / 2 * ((vector - user) ** 2).sum())
    return torch.stack(found)


def run(fold_in, users, chosen):
    sums = (chosen @ fold_in.vectors).astype(np.float32)
    return fold_in(users, sums, chosen.sum(axis=1))


def test_every_vector_gets_likelier(case):
    fold, users, chosen = case
    vectors = run(fold, users, chosen)
    given = torch.tensor(users).double()
    after = objective(fold, given, chosen, torch.tensor(vectors).double())
    assert (after > objective(fold, given, chosen, given) + 1e-3).all()
    assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-6)


def test_with_many_steps_it_is_the_maximum_on_the_sphere(case, monkeypatch):
    monkeypatch.setattr(fold_in, "N_STEPS", 300)
    fold, users, chosen = case
    vectors = torch.tensor(run(fold, users, chosen)).double().requires_grad_()
    objective(fold, torch.tensor(users).double(), chosen, vectors).sum().backward()
    gradient = vectors.grad
    along = (gradient * vectors).sum(1, keepdim=True) * vectors
    assert (gradient - along).abs().max() < 1e-2
    assert gradient.abs().max() > 1  # the sphere is what holds it back


def test_nothing_chosen_moves_nothing(case):
    fold, users, chosen = case
    chosen[2] = False
    assert_allclose(run(fold, users, chosen)[2], users[2], atol=1e-6)


def test_users_do_not_depend_on_other_users(case, monkeypatch):
    fold, users, chosen = case
    together = run(fold, users, chosen)
    monkeypatch.setattr(fold_in, "BLOCK", 2)
    assert_allclose(run(fold, users, chosen), together, atol=1e-6)
    assert run(fold, users[:0], chosen[:0]).shape == (0, 4)


def test_of_few_items_all_compete(monkeypatch):
    positions, weights = softmax_sample([1, 0, 5, 5, 0, 2])
    assert positions.tolist() == [2, 3, 5, 0]
    assert weights.tolist() == [1, 1, 1, 1]
    monkeypatch.setattr(fold_in, "MAX_ITEMS", 4)
    counts = np.r_[np.arange(10), 0]
    positions, weights = softmax_sample(counts)
    assert positions[:2].tolist() == [9, 8] and weights[:2].tolist() == [1, 1]
    assert len(set(positions)) == 4 and (counts[positions] > 0).all()
    assert weights.sum() == pytest.approx(9)  # all that have events
    assert_array_equal(softmax_sample(counts)[0], positions)


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
        return model.set_params(fold_in=False).embed_users(*args, **params)
    finally:
        model.set_params(fold_in=True)


def test_the_vector_of_a_new_user_is_folded_in(model):
    tower = without(model, ["new"], history=HISTORY)
    vector = model.embed_users(["new"], history=HISTORY)
    past = model.embed_items(HISTORY["new"])
    expected = model._fitted.fold_in(tower, past.sum(axis=0)[None], np.array([2]))
    assert_allclose(vector, expected, atol=1e-6)
    assert np.abs(vector - tower).max() > 1e-3
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
    assert len(other._fitted.fold_in.vectors) == 13
    places, _ = softmax_sample(np.asarray(other._fitted.seen.sum(axis=0)).ravel())
    expected = other.embed_items(other._fitted.items.ids[places])
    assert_allclose(other._fitted.fold_in.vectors, expected, atol=1e-6)


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
        TwoTowerRecommender(fold_in=3).fit(events)
