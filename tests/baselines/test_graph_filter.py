"""The two filters of the graph: answers by hand, dense twins, what users leave."""

import pickle

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from sktwotower import GraphFilterRecommender
from sktwotower.baselines import _graph_filter
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


def dense(events, n_items=9):
    """Return the matrix of who chose what, and the normalized one."""
    table, chosen = events
    seen = np.zeros((12, n_items))
    kept = table[chosen > 0]
    seen[kept["user"], kept["item"]] = 1
    of_users = np.sqrt(seen.sum(axis=1, keepdims=True))
    of_items = np.sqrt(np.maximum(seen.sum(axis=0), 1))
    return seen, seen / of_users / of_items


def low_pass(seen, normalized, n_components):
    roots = np.sqrt(seen.sum(axis=0))
    vectors = np.linalg.svd(normalized)[2][:n_components].T
    scaled = vectors / np.maximum(roots, 1)[:, None]
    return scaled @ vectors.T * roots


def scores_of(model):
    users, items = model.user_ids_, model.item_ids_
    pairs = {"user": np.repeat(users, len(items)), "item": np.tile(items, len(users))}
    return model.predict(pd.DataFrame(pairs)).reshape(len(users), -1)


def test_filters_by_hand():
    linear = GraphFilterRecommender(alpha=0).fit(X)
    # from tea to ann and bob, and from there to jam: 2 * 1/2 / sqrt(4 * 2)
    scores = linear.predict([["dan", "jam"], ["dan", "egg"]])
    assert_allclose(scores, [1 / 8**0.5, 1 / 4], rtol=1e-6)
    # the first singular vector is that of the roots of the numbers of users
    model = GraphFilterRecommender(n_components=1, alpha=2).fit(X)
    expected = np.sqrt([1, 2, 4]) / 7**0.5
    assert_allclose(model.singular_vectors_[:, 0], expected, rtol=1e-5)
    added = model.predict([["dan", "jam"], ["dan", "egg"]]) - scores
    assert_allclose(added, [2 * 2 / 7, 2 * 1 / 7], rtol=1e-5)


@pytest.mark.parametrize(("n_components", "alpha"), [(1, 0.5), (3, 2), (99, 1)])
def test_filters_are_the_dense_ones(events, n_components, alpha, block):
    model = GraphFilterRecommender(n_components, alpha=alpha).fit(*events)
    seen, normalized = dense(events)
    assert seen[:, 4].sum() == 0 and len(model.item_ids_) == 9
    rank = np.linalg.matrix_rank(normalized)
    n_found = min(n_components, rank)
    assert model.singular_vectors_.shape == (9, n_found)
    filters = normalized.T @ normalized + alpha * low_pass(seen, normalized, n_found)
    assert_allclose(scores_of(model), seen @ filters, atol=1e-5)


def test_similar_items_are_rows_of_the_filters(events):
    model = GraphFilterRecommender(2).fit(*events)
    seen, normalized = dense(events)
    filters = normalized.T @ normalized + 0.3 * low_pass(seen, normalized, 2)
    found = model.similar_items([3], n_neighbors=3)
    others = [item for item in np.argsort(-filters[3]) if item != 3][:3]
    assert found["similar_item"].tolist() == others
    assert_allclose(found["score"], filters[3, others], rtol=1e-4)


def test_what_is_not_connected_is_not_similar():
    apart = [*X, ["eve", "ham"], ["eve", "rye"]]
    model = GraphFilterRecommender().fit(apart)
    assert model.similar_items(["ham"])["similar_item"].tolist() == ["rye"]


def test_users_who_leave_large_catalogs_take_their_items_along(
    events, tmp_path, monkeypatch
):
    monkeypatch.setattr(_graph_filter, "MAX_HELD_PAIRS", 0)
    model = GraphFilterRecommender(3).fit(*events)
    seen, normalized = dense(events)
    gone = [2, 5, 11]
    model.forget_users(gone)
    kept = np.setdiff1d(np.arange(12), gone)
    filters = normalized[kept].T @ normalized[kept]
    filters += 0.3 * low_pass(seen, normalized, 3)
    expected = seen[kept] @ filters
    assert_array_equal(model.user_ids_, kept)
    dump(model, tmp_path / "model")
    for each in (model, load(tmp_path / "model"), pickle.loads(pickle.dumps(model))):
        assert_allclose(scores_of(each), expected, atol=1e-5)


def test_others_get_the_same_scores_if_users_leave_small_catalogs(events):
    model = GraphFilterRecommender(3).fit(*events)
    before = scores_of(model)
    model.forget_users([2, 5, 11])
    kept = np.setdiff1d(np.arange(12), [2, 5, 11])
    assert_allclose(scores_of(model), before[kept], rtol=1e-6)
    model.partial_fit([[2, 1]])
    assert 2 in model.user_ids_


def test_a_history_counts_as_events_of_fit_do(events):
    model = GraphFilterRecommender(3).fit(*events)
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
    ],
)
def test_parameters_out_of_range(params, message):
    with pytest.raises(ValueError, match=message):
        GraphFilterRecommender(**params).fit(X)
