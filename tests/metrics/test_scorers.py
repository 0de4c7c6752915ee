"""Sample weights that reach a scorer by scikit-learn's metadata routing."""

import pickle

import numpy as np
import pandas as pd
import pytest
from sklearn import config_context
from sklearn.exceptions import UnsetMetadataPassedError
from sklearn.model_selection import GridSearchCV, cross_validate

from sktwotower import EASERecommender
from sktwotower.metrics import make_retrieval_scorer
from sktwotower.model_selection import LastNSplit
from tests.cases import for_each


@pytest.fixture(scope="module")
def X():
    rng = np.random.default_rng(0)
    pairs = np.argwhere(rng.uniform(size=(20, 12)) < 0.5)
    rng.shuffle(pairs)
    return pd.DataFrame(pairs, columns=["user", "item"])


@pytest.fixture(scope="module")
def weights(X):
    return np.random.default_rng(1).uniform(size=len(X))


@pytest.fixture(autouse=True)
def routing():
    with config_context(enable_metadata_routing=True):
        yield


CV = LastNSplit(2)


def by_hand(scorer, X, weights, weighted):
    train, test = next(CV.split(X))
    model = EASERecommender().fit(X.iloc[train])
    sample_weight = weights[test] if weighted else None
    return scorer(model, X.iloc[test], sample_weight=sample_weight)


@pytest.mark.slow
@for_each("asked", [True, False])
def test_weights_are_routed_by_a_search_where_they_are_asked_for(X, weights, asked):
    scorer = make_retrieval_scorer("recall@3").set_score_request(sample_weight=asked)
    search = GridSearchCV(
        EASERecommender().set_fit_request(sample_weight=not asked),
        {"l2": [300.0]},
        scoring=scorer,
        cv=CV,
        error_score="raise",
    ).fit(X, sample_weight=weights)
    assert search.best_score_ == by_hand(scorer, X, weights, asked)


@pytest.mark.slow
def test_weights_are_routed_by_cross_validation_for_several_figures(X, weights):
    names = ["recall@3", "ndcg@3"]
    scorer = make_retrieval_scorer(names).set_score_request(sample_weight="importance")
    folds = cross_validate(
        EASERecommender().set_fit_request(sample_weight=False),
        X,
        scoring=scorer,
        cv=CV,
        params={"importance": weights},
        error_score="raise",
    )
    expected = by_hand(scorer, X, weights, weighted=True)
    assert {name: folds[f"test_{name}"][0] for name in names} == expected
    assert expected != by_hand(scorer, X, weights, weighted=False)


def test_weights_that_nobody_asked_for_are_refused(X, weights):
    search = GridSearchCV(
        EASERecommender().set_fit_request(sample_weight=False),
        {"l2": [300.0]},
        scoring=make_retrieval_scorer("recall@3"),
        cv=CV,
    )
    with pytest.raises(UnsetMetadataPassedError, match="sample_weight.* passed"):
        search.fit(X, sample_weight=weights)


def test_a_request_is_pickled_with_the_scorer():
    scorer = make_retrieval_scorer("recall@3").set_score_request(sample_weight=True)
    again = pickle.loads(pickle.dumps(scorer))
    assert again.get_metadata_routing().score.requests == {"sample_weight": True}
    assert repr(again) == "make_retrieval_scorer('recall', k=3)"


def test_a_request_needs_routing_to_be_on():
    with config_context(enable_metadata_routing=False):
        with pytest.raises(RuntimeError, match="available when metadata routing"):
            make_retrieval_scorer().set_score_request(sample_weight=True)
