"""The indexes of the examples keep the contract of the parameter ``neighbors``."""

import importlib.util
import pickle
import re
from pathlib import Path

import numpy as np
import pytest
from sklearn.base import clone

from sktwotower.neighbors import ExactNeighbors
from tests.builders import random_events, small
from tests.cases import for_each
from tests.io.builders import again
from tests.reference import brute_force, unit_vectors

EXAMPLES = Path(__file__).parents[2] / "examples"
CLASSES = {"faiss": "FaissNeighbors", "hnswlib": "HnswlibNeighbors"}


@pytest.fixture(params=CLASSES)
def index(request, monkeypatch):
    """Return an estimator of an example, whose library is installed."""
    pytest.importorskip(request.param)
    name = f"{request.param}_neighbors"
    spec = importlib.util.spec_from_file_location(name, EXAMPLES / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(importlib.sys.modules, name, module)  # pickle looks there
    spec.loader.exec_module(module)
    return getattr(module, CLASSES[request.param])()


@pytest.fixture
def hnsw(index):
    """Return the example that also adds, deletes and filters."""
    if not hasattr(index, "delete"):
        pytest.skip("faiss is here to divide items into lists")
    return index


@for_each("name", CLASSES)
def test_an_adapter_is_short(name):
    text = (EXAMPLES / f"{name}_neighbors.py").read_text("utf-8")
    lines = re.sub('""".*?"""', "", text, flags=re.DOTALL).splitlines()
    assert 20 < sum(bool(line.strip()) for line in lines) < 42


def test_it_is_an_estimator_of_positions_and_distances(index):
    queries, items = unit_vectors(40, 8, seed=1), unit_vectors(2000, 8)
    before = clone(index)
    assert index.fit(items) is index and before.get_params() == index.get_params()
    distances, found = index.kneighbors(queries, 5)
    assert found.shape == (40, 5) and found.dtype == np.int64
    scores = np.einsum("nd,nkd->nk", queries, items[found])
    np.testing.assert_allclose(distances, 1 - scores, atol=1e-5)
    assert (np.diff(distances, axis=1) >= -1e-6).all()
    assert index.kneighbors(queries)[1].shape == (40, 10)
    np.testing.assert_array_equal(index.kneighbors(queries, 5, False), found)
    again = pickle.loads(pickle.dumps(index)).kneighbors(queries, 5)
    np.testing.assert_array_equal(again[1], found)


def test_fit_reaches_the_recall_that_was_asked_for(index):
    queries, items = unit_vectors(200, 24, seed=1), unit_vectors(4000, 24)
    exact = ExactNeighbors().fit(items)
    truth = exact.kneighbors(queries, 10, return_distance=False)

    def recall_of(index):
        found = index.kneighbors(queries, 10, return_distance=False)
        return (found[:, :, None] == truth[:, None]).any(axis=1).mean()

    low, high = (clone(index).set_params(target_recall=t) for t in (0.5, 0.999))
    assert 0.4 < recall_of(low.fit(items)) < 0.97 < recall_of(high.fit(items))


def test_filters_never_leave_a_list_short(index):
    events = random_events(n_users=30, n_items=300, density=0.05)
    exact = small(neighbors="exact").fit(events)
    model = small(neighbors=index.set_params(target_recall=1.0)).fit(events)
    users, items = exact.user_ids_[1:10], exact.item_ids_
    some, few = items[::2].tolist(), items[:9].tolist()
    for asked in ({}, {"candidates": some}, {"candidates": few}, {"exclude": events}):
        for k in (7, 1000):
            found, expected = (m.recommend(users, k, **asked) for m in (model, exact))
            assert len(found) == len(expected)
            assert len(found.merge(expected, on=["user", "item"])) > 0.9 * len(found)


def test_a_recommender_finds_with_it_what_it_finds_exactly(index, tmp_path):
    events = random_events(n_users=60, n_items=300, density=0.05)
    exact = small(neighbors="exact").fit(events)
    model = small(neighbors=index.set_params(target_recall=0.99)).fit(events)
    assert type(model.neighbors_) is type(index) and model.index_recall_ >= 0.99
    assert model.get_params()["neighbors__target_recall"] == 0.99
    mine, theirs = (m.recommend(n_neighbors=5) for m in (model, exact))
    same = mine.merge(theirs, on=["user", "item"])
    assert len(mine) == len(theirs) and len(same) > 0.97 * len(mine)
    assert isinstance(exact.neighbors_, ExactNeighbors)
    # a file has the vectors, of which the index is built anew
    trusted = [f"{type(index).__module__}.{type(index).__name__}"]
    read = again(model, tmp_path / "model.sktt", load_params={"trusted": trusted})
    top = read.recommend(n_neighbors=5).merge(mine, on=["user", "item"])
    assert len(top) > 0.97 * len(mine)


def test_items_are_added_and_deleted(hnsw):
    items, more = unit_vectors(900, 8), unit_vectors(100, 8, seed=1)
    hnsw.fit(items).add(more)
    _, found = hnsw.kneighbors(more, 1)
    np.testing.assert_array_equal(found[:, 0], np.arange(900, 1000))
    hnsw.delete(np.arange(900, 950))
    _, found = hnsw.kneighbors(more, 3)
    assert not np.isin(found, np.arange(900, 950)).any()
    np.testing.assert_array_equal(found[50:, 0], np.arange(950, 1000))


def test_a_search_may_be_confined_to_some_items(hnsw):
    items, queries = unit_vectors(900, 8), unit_vectors(30, 8, seed=1)
    hnsw.set_params(target_recall=1.0).fit(items)
    allowed = np.arange(0, 900, 3)
    is_allowed = set(allowed.tolist()).__contains__
    distances, found = hnsw.kneighbors(queries, 5, is_allowed=is_allowed)
    _, truth = brute_force(queries, items, 5, allowed=allowed)
    assert (found == truth).mean() > 0.95 and np.isfinite(distances).all()
    distances, found = hnsw.kneighbors(
        queries, 5, is_allowed={7, 8}.__contains__
    )  # too few
    assert (found == -1).all() and np.isinf(distances).all()


def test_it_refuses_users_of_another_model(index):
    X = random_events(n_users=20, n_items=30)
    model, newer = small().fit(X), small(random_state=1).fit(X)
    index.fit(model.item_embeddings_)
    assert index.kneighbors(model.embed_users(["u1"]), 3)[1].shape == (1, 3)
    with pytest.raises(ValueError, match=f"{newer.model_id_}.*{model.model_id_}"):
        index.kneighbors(newer.embed_users(["u1"]))
