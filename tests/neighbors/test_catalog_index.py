"""What may be an index of the catalog, and what fit does with it."""

import warnings
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import skorch.callbacks
import torch
from sklearn.base import BaseEstimator, clone
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV
from sklearn.neighbors import NearestNeighbors

from sktwotower import TwoTowerRecommender
from sktwotower.model_selection import LastNSplit
from sktwotower.neighbors import ExactNeighbors, NNDescentNeighbors
from tests.builders import random_events, small
from tests.cases import for_each
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


def test_an_index_is_copied_and_fitted_on_the_vectors_of_items():
    given_index = NearestNeighbors(n_neighbors=3, leaf_size=7)
    model = small(neighbors=given_index).fit(random_events())
    assert model.neighbors_ is not given_index and model.neighbors_.leaf_size == 7
    assert not hasattr(given_index, "n_samples_fit_")
    assert model.neighbors_.kneighbors(model.item_embeddings_)[1].shape == (9, 3)
    assert isinstance(small().fit(random_events()).neighbors_, ExactNeighbors)


def test_what_is_no_index_is_refused_with_what_is_allowed():
    with pytest.raises(ValueError, match="'exact', 'nndescent' or.*'fast'"):
        small(neighbors="fast").fit(random_events())
    with pytest.raises(TypeError, match="with fit and kneighbors. Got 3 instead"):
        small(neighbors=3).fit(random_events())


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


@for_each("cls", [ExactNeighbors, NNDescentNeighbors])
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
    events = random_events(n_users=30, n_items=40)
    with pytest.warns(UserWarning, match="finds 50.0% of the true 10 nearest items"):
        model = small(neighbors=Poor()).fit(events)
    assert model.index_recall_ == 0.5
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model = small(neighbors=NearestNeighbors()).fit(events)
    assert model.index_recall_ == 1.0


@for_each(
    "params",
    [
        {"target_recall": 1.5},
        {"epsilon": -0.1},
        {"n_graph_neighbors": 0},
        {"n_jobs": 0},
    ],
)
def test_parameters_of_an_index_are_checked_before_training(params):
    index, (name,) = NNDescentNeighbors(**params), params
    message = f"The '{name}' parameter of NNDescentNeighbors must be"
    with pytest.raises(ValueError, match=message):
        index.fit(unit_vectors(9))
    began = []
    epochs = Callback(began)
    with pytest.raises(ValueError, match=message):
        small(neighbors=index, callbacks=[epochs]).fit(random_events())
    assert not began


class Callback(skorch.callbacks.Callback):
    """Remembers that training began."""

    def __init__(self, began):
        self.began = began

    def on_train_begin(self, net, **kwargs):
        self.began.append(net)


def test_parameters_of_an_index_are_set_through_the_estimator():
    model = small(neighbors=NNDescentNeighbors(target_recall=0.9))
    assert model.get_params()["neighbors__target_recall"] == 0.9
    copied = clone(model).set_params(neighbors__target_recall=0.8)
    assert model.neighbors.target_recall == 0.9
    copied.fit(random_events())
    assert copied.neighbors_ is not copied.neighbors
    assert copied.neighbors_.target_recall == 0.8
    with pytest.raises(ValueError, match="Invalid parameter 'target' for estimator NN"):
        model.set_params(neighbors__target=1)
    both = {"neighbors": NNDescentNeighbors(), "neighbors__epsilon": 0.5}
    assert small().set_params(**both).neighbors.epsilon == 0.5


@for_each("given", ["auto", "nndescent", None])
def test_parameters_of_no_index_are_refused_with_what_to_do(given):
    message = "neighbors is none. Got (str|NoneType). Pass one first: neighbors=..."
    with pytest.raises(ValueError, match=message):
        small(neighbors=given).set_params(neighbors__target_recall=0.98)
    with pytest.raises(ValueError, match="net_params is a dict. Pass all of it"):
        small().set_params(net_params__lr=0.98)


@pytest.mark.slow
def test_a_search_over_parameters_of_an_index():
    search = GridSearchCV(
        small(neighbors=NNDescentNeighbors()),
        {"neighbors__target_recall": [0.9, 0.98]},
        cv=LastNSplit(),
        error_score="raise",
    )
    search.fit(random_events())
    targets = search.cv_results_["param_neighbors__target_recall"].tolist()
    assert targets == [0.9, 0.98]
    best = search.best_params_["neighbors__target_recall"]
    assert search.best_estimator_.neighbors_.target_recall == best


@pytest.mark.slow
@for_each("n_jobs", [None, 2])
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
