"""The polynomial filter: dense references, its two forms, what users leave."""

import pickle

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from sktwotower import ChebyshevFilterRecommender, GraphFilterRecommender
from sktwotower.baselines import _chebyshev_filter
from sktwotower.io import dump, load
from tests.cases import for_each

X = [["ann", "tea"], ["ann", "jam"], ["bob", "tea"], ["bob", "jam"]]
X += [["cid", "tea"], ["cid", "egg"], ["dan", "tea"]]


@pytest.fixture(scope="module")
def events():
    """Twelve users and nine items; item 4 was only shown."""
    chosen = np.random.default_rng(0).uniform(size=(12, 9)) < 0.4
    chosen[:, 0] |= ~np.delete(chosen, 4, axis=1).any(axis=1)
    pairs = np.argwhere(chosen)
    table = pd.DataFrame(pairs, columns=["user", "item"])
    return table, (table["item"] != 4).astype(float)


@pytest.fixture
def in_steps(monkeypatch):
    """Let no catalog be small enough for one dense matrix."""
    monkeypatch.setattr(_chebyshev_filter, "MAX_HELD_PAIRS", 0)


def dense(events):
    """Return who chose what, (12, 9), and the same with both sides normalized."""
    table, chosen = events
    seen = np.zeros((12, 9))
    kept = table[chosen > 0]
    seen[kept["user"], kept["item"]] = 1
    of_users = np.sqrt(seen.sum(axis=1, keepdims=True))
    of_items = np.sqrt(np.maximum(seen.sum(axis=0), 1))
    return seen, seen / of_users / of_items


def filters(seen, normalized, n_components, alpha, beta, degree, flatness):
    """Return the matrix that past items are multiplied with, by its eigenvectors."""
    values, vectors = np.linalg.eigh(normalized.T @ normalized)
    nodes = np.cos((np.arange(degree + 1) + 0.5) * np.pi / (degree + 1))
    at_nodes = 0.5 - 0.5 * np.sign(nodes) * np.abs(nodes) ** flatness
    # the polynomial that goes through these points
    polynomial = np.polyfit(nodes, at_nodes, degree)
    responses = np.polyval(polynomial, 1 - 2 * values)
    largest = np.argsort(-values)[:n_components]
    responses[largest] += alpha
    counts = seen.sum(axis=0)
    scales = np.where(counts > 0, np.maximum(counts, 1) ** beta, 0)
    backward = np.where(counts > 0, 1 / np.maximum(scales, 1e-9), 0)
    return backward[:, None] * (vectors * responses @ vectors.T) * scales


def scores_of(model):
    users, items = model.user_ids_, model.item_ids_
    pairs = {"user": np.repeat(users, len(items)), "item": np.tile(items, len(users))}
    return model.predict(pd.DataFrame(pairs)).reshape(len(users), -1)


PARAMS = [
    {"n_components": 1, "alpha": 0.5, "beta": 0.4, "degree": 1, "flatness": 1},
    {"n_components": 3, "alpha": 2, "beta": 0.0, "degree": 5, "flatness": 1.5},
    {"n_components": 4, "alpha": 0, "beta": 0.7, "degree": 8, "flatness": 3},
]


@pytest.mark.parametrize("params", PARAMS, ids=["linear", "low-pass", "degree 8"])
@pytest.mark.parametrize("held", [True, False], ids=["one matrix", "in steps"])
def test_scores_are_those_of_the_eigenvectors(events, params, held, request):
    if not held:
        request.getfixturevalue("in_steps")
    model = ChebyshevFilterRecommender(**params).fit(*events)
    seen, normalized = dense(events)
    expected = seen @ filters(seen, normalized, **params)
    assert_allclose(scores_of(model), expected, atol=1e-5)


def test_coefficients_of_a_filter_by_hand():
    # of degree 1 without flatness: 1/2 - t / 2
    model = ChebyshevFilterRecommender(degree=1, flatness=1).fit(X)
    assert_allclose(model.coefficients_, [0.5, -0.5], atol=1e-12)
    model = ChebyshevFilterRecommender(degree=8).fit(X)
    t = np.cos(np.pi / 18)  # one of the points, almost 1: the roughest directions
    value = np.polynomial.chebyshev.chebval(t, model.coefficients_)
    assert_allclose(value, 0.5 - 0.5 * t**1.5, atol=1e-12)


def test_the_first_degree_is_the_linear_filter():
    linear = GraphFilterRecommender(alpha=0).fit(X)
    params = {"degree": 1, "flatness": 1, "alpha": 0, "beta": 0}
    model = ChebyshevFilterRecommender(**params).fit(X)
    assert_allclose(scores_of(model), scores_of(linear), atol=1e-6)


def test_similar_items_are_rows_of_the_filter(events):
    model = ChebyshevFilterRecommender(2).fit(*events)
    seen, normalized = dense(events)
    row = filters(seen, normalized, 2, model.alpha, model.beta, 8, 1.5)[3]
    found = model.similar_items([3], n_neighbors=3)
    others = [item for item in np.argsort(-row) if item != 3][:3]
    assert found["similar_item"].tolist() == others
    assert_allclose(found["score"], row[others], rtol=1e-4)


def test_what_is_not_connected_is_not_similar():
    apart = [*X, ["eve", "ham"], ["eve", "rye"]]
    model = ChebyshevFilterRecommender().fit(apart)
    assert model.similar_items(["ham"])["similar_item"].tolist() == ["rye"]


def test_users_who_leave_large_catalogs_take_their_items_along(
    events, tmp_path, in_steps
):
    model = ChebyshevFilterRecommender(3, alpha=0).fit(*events)
    seen, normalized = dense(events)
    gone = [2, 5, 11]
    model.forget_users(gone)
    kept = np.setdiff1d(np.arange(12), gone)
    left = filters(seen, normalized[kept], 3, 0, model.beta, 8, 1.5)
    assert_array_equal(model.user_ids_, kept)
    dump(model, tmp_path / "model")
    for each in (model, load(tmp_path / "model"), pickle.loads(pickle.dumps(model))):
        assert_allclose(scores_of(each), seen[kept] @ left, atol=1e-5)


def test_others_get_the_same_scores_if_users_leave_small_catalogs(events):
    model = ChebyshevFilterRecommender(3).fit(*events)
    before = scores_of(model)
    model.forget_users([2, 5, 11])
    kept = np.setdiff1d(np.arange(12), [2, 5, 11])
    assert_allclose(scores_of(model), before[kept], rtol=1e-6)


def test_further_events_count_as_those_of_one_fit(events):
    table, chosen = events
    model = ChebyshevFilterRecommender(3).fit(table[:20], chosen[:20])
    model.partial_fit(table[20:], chosen[20:])
    whole = ChebyshevFilterRecommender(3).fit(*events)
    assert_array_equal(model.item_ids_, whole.item_ids_)
    assert_allclose(scores_of(model), scores_of(whole), atol=1e-5)


def test_a_history_counts_as_events_of_fit_do(events):
    model = ChebyshevFilterRecommender(3).fit(*events)
    user = model.user_ids_[0]
    past = model.seen_items([user])["item"].tolist()
    known = model.recommend([user], 5)
    new = model.recommend([-1], 5, history=past)
    assert_array_equal(new["item"], known["item"])
    assert_allclose(new["score"], known["score"], rtol=1e-5)


@for_each(
    ("params", "message"),
    [
        ({"n_components": 0}, "'n_components' parameter .* must be an int"),
        ({"alpha": -1}, "'alpha' parameter .* Got -1"),
        ({"beta": -0.1}, "'beta' parameter .* Got -0.1"),
        ({"degree": 0}, "'degree' parameter .* must be an int"),
        ({"flatness": 0}, "'flatness' parameter .* Got 0"),
        ({"beta": np.inf}, "'beta' parameter .* Got inf"),
    ],
)
def test_parameters_out_of_range(params, message):
    with pytest.raises(ValueError, match=message):
        ChebyshevFilterRecommender(**params).fit(X)
