"""When a graph is built for many users.

Catalogs here are too small for a graph of pynndescent, so that its estimator searches
exactly and compiles nothing.
"""

import logging
import pickle

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone

from sktwotower.io import dump, load
from sktwotower.neighbors import ExactNeighbors, _graph_for_many
from tests.builders import random_events, small

X = random_events()
USERS = X["user"].unique()


@pytest.fixture
def n_built(monkeypatch, caplog):
    """Catalogs of 5 items are large, 10 users are many; how many graphs were built."""
    caplog.set_level(logging.INFO, logger="sktwotower")
    # with the true limits each test takes a minute
    monkeypatch.setattr(_graph_for_many, "MAX_EXACT_ITEMS", 5)
    monkeypatch.setattr(_graph_for_many, "MIN_QUERIES", 10)
    return lambda: caplog.text.count("a neighbor graph of 9 items took")


def test_fit_and_few_users_build_no_graph(n_built):
    model = small().fit(X)
    assert isinstance(model.neighbors_, ExactNeighbors) and len(model.item_ids_) > 5
    model.recommend(USERS[:9])
    model.recommend(USERS[:1])
    model.partial_fit(X[:3])
    model.set_catalog(X["item"].unique())
    assert n_built() == 0 and model.index_recall_ == 1
    model.recommend(USERS, n_neighbors=3, candidates=model.item_ids_[:4])
    assert n_built() == 0


def as_table(model, folder):
    return model.recommend(USERS)


def by_rules(model, folder):
    return model.recommend(USERS, max_per={"kind": 2})


def as_arrays(model, folder):
    return pd.DataFrame(model.kneighbors(USERS)[1])


def as_file(model, folder):
    model.recommend(path=folder / "lists.parquet")
    return pd.read_parquet(folder / "lists.parquet")


@pytest.mark.parametrize("call", [as_table, by_rules, as_arrays, as_file])
def test_many_users_get_a_graph_and_the_lists_of_exact_search(n_built, call, tmp_path):
    items = pd.DataFrame({"item": np.unique(X["item"])})
    items["kind"] = ["odd", "even"] * (len(items) // 2) + ["odd"] * (len(items) % 2)
    model = small(items=items).fit(X)
    exact = clone(model).set_params(neighbors="exact").fit(X)
    expected = call(exact, tmp_path)
    assert n_built() == 0
    for _ in range(2):
        pd.testing.assert_frame_equal(call(model, tmp_path), expected)
        assert n_built() == 1


def test_the_recall_of_a_graph_is_said(n_built, caplog):
    model = small().fit(X)
    model.recommend(USERS)
    assert n_built() == 1 and model.index_recall_ == 1
    assert "It finds 1.000 of the" in caplog.text
    assert "neighbors='exact' builds none" in caplog.text


def test_neither_pickles_nor_files_hold_it(n_built, tmp_path):
    model = small().fit(X)
    expected = model.recommend(USERS)
    dump(model, tmp_path / "model.sktt")
    others = pickle.loads(pickle.dumps(model)), load(tmp_path / "model.sktt")
    for number, other in enumerate(others, start=2):
        assert isinstance(other.neighbors_, ExactNeighbors)
        pd.testing.assert_frame_equal(other.recommend(USERS), expected)
        assert n_built() == number  # each builds its own


def test_vectors_of_different_lengths_are_searched_exactly(n_built):
    small(normalize=False, neighbors="auto").fit(X).recommend(USERS)
    assert n_built() == 0
