"""When a graph is built for many users.

Catalogs here are too small for a graph of pynndescent, so that its estimator searches
exactly and compiles nothing.
"""

import logging
import pickle
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone

from sktwotower.io import dump, load
from sktwotower.neighbors import ExactNeighbors, NNDescentNeighbors, _graph_for_many
from sktwotower.neighbors import _catalog_index as catalog_index
from sktwotower.neighbors._graph_for_many import GraphForMany
from tests.builders import random_events, small
from tests.reference import unit_vectors

X = random_events()
USERS = X["user"].unique()


@pytest.fixture
def built(monkeypatch):
    """Catalogs of 5 items are large, 10 users are many; numbers of items in graphs."""
    sizes = []
    fit = NNDescentNeighbors.fit

    def counted(index, X, y=None):
        sizes.append(len(X))
        return fit(index, X, y)

    monkeypatch.setattr(NNDescentNeighbors, "fit", counted)
    monkeypatch.setattr(_graph_for_many, "MAX_EXACT_ITEMS", 5)
    monkeypatch.setattr(catalog_index, "MAX_EXACT_ITEMS", 5)
    monkeypatch.setattr(_graph_for_many, "MIN_QUERIES", 10)
    return sizes


def test_fit_and_few_users_build_no_graph_above_the_limit(built, caplog):
    caplog.set_level(logging.INFO, logger="sktwotower")
    model = small().fit(X)
    assert isinstance(model.neighbors_, ExactNeighbors) and len(model.item_ids_) > 5
    assert "neighbors='nndescent' builds a graph" in caplog.text
    model.recommend(USERS[:9])
    model.recommend(USERS[:1])
    model.partial_fit(X[:3])
    model.set_catalog(X["item"].unique())
    assert built == [] and model.index_recall_ == 1


def as_table(model, folder):
    return model.recommend(USERS)


def by_rules(model, folder):
    return model.recommend(USERS, max_per={"kind": 2})


def as_arrays(model, folder):
    return pd.DataFrame(model.kneighbors(USERS)[1])


def as_file(model, folder):
    model.recommend(path=folder / "lists.parquet")
    return pd.read_parquet(folder / "lists.parquet")


@pytest.mark.slow
@pytest.mark.parametrize("call", [as_table, by_rules, as_arrays, as_file])
def test_many_users_get_a_graph_and_the_lists_of_exact_search(
    built, call, tmp_path, monkeypatch
):
    monkeypatch.setattr("sktwotower._tables._sparse.QUERY_BLOCK", 4)
    items = pd.DataFrame({"item": np.unique(X["item"])})
    items["kind"] = ["odd", "even"] * (len(items) // 2) + ["odd"] * (len(items) % 2)
    model = small(items=items).fit(X)
    exact = clone(model).set_params(neighbors="exact").fit(X)
    expected = call(exact, tmp_path)
    assert built == []
    found = call(model, tmp_path)
    assert built == [len(items)]
    pd.testing.assert_frame_equal(found, expected)
    call(model, tmp_path)
    assert built == [len(items)]


def test_the_recall_of_a_graph_is_said(built, monkeypatch, caplog):
    caplog.set_level(logging.INFO, logger="sktwotower")
    model = small().fit(X)
    tuned = lambda index, queries, k: 0.985  # noqa: E731
    monkeypatch.setattr(NNDescentNeighbors, "tune_search_width", tuned)
    model.recommend(USERS)
    assert model.index_recall_ == 0.985
    assert "It finds 0.985 of the" in caplog.text
    assert "neighbors='exact' builds none" in caplog.text


def test_a_graph_that_misses_much_is_not_searched(built, monkeypatch):
    model = small().fit(X)
    tuned = lambda index, queries, k: 0.97  # noqa: E731
    monkeypatch.setattr(NNDescentNeighbors, "tune_search_width", tuned)

    def never(*args, **kwargs):
        raise AssertionError("the graph was searched")

    monkeypatch.setattr(NNDescentNeighbors, "kneighbors", never)
    model.recommend(USERS)
    assert built and model.index_recall_ == 1


def test_single_requests_stay_exact_after_a_graph_was_built(built, monkeypatch):
    model = small().fit(X)
    model.recommend(USERS)
    assert built

    def never(*args, **kwargs):
        raise AssertionError("the graph was searched")

    monkeypatch.setattr(NNDescentNeighbors, "kneighbors", never)
    model.recommend(USERS[:1])
    model.recommend(USERS[:9])
    model.recommend(USERS, n_neighbors=3, candidates=model.item_ids_[:4])


@pytest.mark.slow
def test_neither_pickles_nor_files_nor_clones_hold_it(built, tmp_path):
    model = small().fit(X)
    expected = model.recommend(USERS)
    dump(model, tmp_path / "model.sktt")
    others = pickle.loads(pickle.dumps(model)), load(tmp_path / "model.sktt")
    for number, other in enumerate(others, start=2):
        assert isinstance(other.neighbors_, ExactNeighbors)
        pd.testing.assert_frame_equal(other.recommend(USERS), expected)
        assert len(built) == number  # each builds its own


def test_requests_of_one_user_do_not_wait_for_the_build(built, monkeypatch):
    model = small().fit(X)
    expected = model.recommend(USERS[:1])
    began, may_end = threading.Event(), threading.Event()
    fit = NNDescentNeighbors.fit

    def slow(index, X, y=None):
        began.set()
        assert may_end.wait(60)
        return fit(index, X, y)

    monkeypatch.setattr(NNDescentNeighbors, "fit", slow)
    with ThreadPoolExecutor(1) as pool:
        many = pool.submit(model.recommend, USERS)
        assert began.wait(60)
        pd.testing.assert_frame_equal(model.recommend(USERS[:1]), expected)
        assert not many.done()
        may_end.set()
        many.result()
    assert len(built) == 1


def test_exact_is_exact(built):
    model = small(neighbors="exact").fit(X)
    model.recommend(USERS)
    assert built == []


def test_vectors_of_different_lengths_are_searched_exactly(built):
    model = small(normalize=False, neighbors="auto").fit(X)
    model.recommend(USERS)
    assert built == []


def test_one_of_several_threads_builds(built):
    vectors, queries = unit_vectors(30), unit_vectors(5, seed=1)
    graph = GraphForMany()
    with ThreadPoolExecutor(8) as pool:
        same = pool.map(lambda _: graph.index(vectors, 3, lambda: queries), range(8))
        first, *others = same
    assert built == [30]
    assert all(each is first for each in others)
    assert graph.index(vectors, 4, lambda: queries) is not first  # tuned for 4
    assert built == [30]


@pytest.mark.parametrize(
    ("n_queries", "n_items", "k", "pays"),
    [
        (200_000, 200_001, 10, True),
        (199_999, 10**7, 10, False),
        (10**6, 200_000, 10, False),
        (10**6, 10**6, 101, False),
    ],
)
def test_when_a_graph_pays(n_queries, n_items, k, pays):
    assert GraphForMany.pays(n_queries, n_items, k) is pays
