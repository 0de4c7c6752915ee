import warnings
from concurrent.futures import ThreadPoolExecutor
from unittest.mock import patch

import numpy as np
import pytest
import torch
from sklearn.base import BaseEstimator
from sklearn.exceptions import NotFittedError
from sklearn.neighbors import NearestNeighbors

from sktwotower import TwoTowerRecommender
from sktwotower.neighbors import (
    ExactNeighbors,
    NNDescentNeighbors,
    _indexes,
)
from sktwotower.neighbors._indexes import build_index, check_index
from sktwotower.neighbors._threads import threads
from tests.reference import unit_vectors


def test_exact_neighbors_keep_the_contract_of_scikit_learn():
    queries, items = unit_vectors(5, seed=1), unit_vectors(30)
    index = ExactNeighbors(n_neighbors=4).fit(items)
    distances, indices = index.kneighbors(queries)
    theirs = NearestNeighbors(n_neighbors=4, metric="cosine").fit(items)
    expected, expected_indices = theirs.kneighbors(queries)
    np.testing.assert_allclose(distances, expected, atol=1e-6)
    np.testing.assert_array_equal(indices, expected_indices)
    for k in (99, 10**9):
        assert index.kneighbors(queries, k, return_distance=False).shape == (5, 30)


def test_build_index_copies_the_estimator_and_sets_its_parameters():
    given_index, items = NearestNeighbors(), unit_vectors(9)
    built, _ = build_index(given_index, {"n_neighbors": 3, "leaf_size": 7}, items)
    assert built is not given_index and not hasattr(given_index, "n_samples_fit_")
    assert (built.leaf_size, built.kneighbors(items)[1].shape) == (7, (9, 3))
    assert isinstance(build_index("auto", None, items)[0], ExactNeighbors)
    with pytest.raises(ValueError, match="Invalid parameter 'leaf' for estimator Nea"):
        build_index(given_index, {"leaf": 7}, items)


def test_check_index_names_what_is_allowed():
    check_index("exact")
    check_index(NearestNeighbors())
    with pytest.raises(ValueError, match="'exact', 'nndescent' or.*'fast'"):
        check_index("fast")
    with pytest.raises(TypeError, match="with fit and kneighbors. Got 3 instead"):
        check_index(3)


def test_few_vectors_need_no_graph():
    items = unit_vectors(40)
    index = NNDescentNeighbors().fit(items)
    assert index.graph_ is None and index.tune_search_width(items, 5) == 1.0
    exact = ExactNeighbors().fit(items)
    for k in (3, 10**9):
        for mine, theirs in zip(
            index.kneighbors(items, k), exact.kneighbors(items, k), strict=True
        ):
            np.testing.assert_array_equal(mine, theirs)


def test_vectors_that_no_graph_takes():
    items = unit_vectors(9)
    with pytest.raises(ValueError, match="must have the same length, .* from 1 to 2"):
        NNDescentNeighbors().fit(items * np.where(np.arange(9) == 3, 2, 1)[:, None])
    items[4, 0] = np.nan
    with pytest.raises(ValueError, match="finite, but the one at position 4 is not"):
        NNDescentNeighbors().fit(items)


@pytest.mark.parametrize("cls", [ExactNeighbors, NNDescentNeighbors])
def test_what_is_no_array_of_vectors_is_refused(cls):
    items = unit_vectors(9)
    with pytest.raises(NotFittedError, match=f"This {cls.__name__} .* not fitted"):
        cls().kneighbors(items)
    with pytest.raises(ValueError, match=r"of shape \(n_items, d\). Got shape"):
        cls().fit(items[0])
    index = cls().fit(items)
    for queries in (items[0], items[:, 1:], items[None]):
        with pytest.raises(ValueError, match=r"query vectors, of shape .* Got shape"):
            index.kneighbors(queries)
    for k, error in ((0, ValueError), (-1, ValueError), (2.0, TypeError)):
        with pytest.raises(error, match="n_neighbors must be an integer >= 1. Got"):
            index.kneighbors(items, k)


class Poor(BaseEstimator):
    """Finds half of what it should."""

    def fit(self, X, y=None):
        self.exact_ = ExactNeighbors().fit(X)
        return self

    def kneighbors(self, X, n_neighbors, return_distance=False):
        found = self.exact_.kneighbors(X, n_neighbors, return_distance=False)
        return np.where(np.arange(found.shape[1]) % 2, -1, found)


def test_a_poor_index_is_warned_about():
    items, queries = unit_vectors(60), unit_vectors(20, seed=1)
    with pytest.warns(UserWarning, match="finds 50.0% of the true 10 nearest items"):
        _, recall = build_index(Poor(), None, items, sample=lambda: queries)
    assert recall == 0.5
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        index = NearestNeighbors()
        assert build_index(index, None, items, sample=lambda: queries)[1] == 1.0


def test_params_of_an_index_are_checked_before_training():
    check_index("auto", params={"target_recall": 0.98})
    index, _ = build_index("auto", {"target_recall": 0.98}, unit_vectors(50))
    assert isinstance(index, ExactNeighbors)
    for choice in ("auto", "nndescent", "exact", NearestNeighbors()):
        with pytest.raises(ValueError, match="Invalid parameter 'target'"):
            check_index(choice, params={"target": 0.98})


def test_auto_takes_a_graph_for_large_catalogs():
    items = unit_vectors(50)
    with patch.object(_indexes, "MAX_EXACT_ITEMS", 49):
        assert isinstance(build_index("auto", None, items)[0], NNDescentNeighbors)
        exact, _ = build_index("auto", None, items, normalize=False)
    assert isinstance(exact, ExactNeighbors)
    assert isinstance(build_index("auto", None, items)[0], ExactNeighbors)


def test_threads_of_torch_are_put_back_by_the_last_call():
    before = torch.get_num_threads()
    first, second = threads(2), threads(3)
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    assert torch.get_num_threads() == 3
    second.__exit__(None, None, None)
    assert torch.get_num_threads() == before


@pytest.mark.slow
@pytest.mark.parametrize("n_jobs", [None, 2])
def test_recommend_in_many_threads_as_in_one(events, n_jobs):
    model = TwoTowerRecommender(
        embedding_dim=16, max_epochs=3, random_state=0, n_jobs=n_jobs
    ).fit(events)
    users, before = model.user_ids_.tolist(), torch.get_num_threads()

    def ask(user):
        return model.recommend([user], n_neighbors=4).to_numpy().tolist()

    alone = list(map(ask, users))
    with ThreadPoolExecutor(16) as pool:
        assert list(pool.map(ask, users * 4)) == alone * 4
    assert torch.get_num_threads() == before


def test_no_more_is_looked_for_than_there_is():
    vectors = np.eye(4, dtype=np.float32)
    assert NNDescentNeighbors().fit(vectors).tune_search_width(vectors, 10) == 1.0
