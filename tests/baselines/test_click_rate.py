"""The smoothed click rate: by hand, and the contract of all recommenders."""

import pickle
import warnings

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.utils.estimator_checks import parametrize_with_checks

from sktwotower import ClickRateRecommender, PopularityRecommender
from tests.docstrings import entries, sections

# tea is chosen once when shown three times, jam once of twice, egg never, ham always
X = pd.DataFrame(
    {
        "user": ["ann", "bob", "cid", "ann", "bob", "cid", "ann"],
        "item": ["tea", "tea", "tea", "jam", "jam", "egg", "ham"],
    }
)
Y = np.array([1, 0, 0, 0, 1, 0, 1])


@pytest.mark.slow
@parametrize_with_checks([ClickRateRecommender()])
def test_sklearn(estimator, check):
    with warnings.catch_warnings():
        # the checks hand over random numbers as users, most of them unknown
        warnings.simplefilter("ignore", UserWarning)
        check(estimator)


def rates(smoothing, X=X, y=Y):
    model = ClickRateRecommender(smoothing).fit(X, y)
    return dict(zip(model.item_ids_, model.item_rates_.tolist(), strict=True))


def test_rates_by_hand():
    expected = {"egg": 0, "ham": 1, "jam": 1 / 2, "tea": 1 / 3}
    assert rates(0) == pytest.approx(expected)
    mean = 3 / 7
    expected = {
        "egg": 2 * mean / 3,
        "ham": (1 + 2 * mean) / 3,
        "jam": (1 + 2 * mean) / 4,
        "tea": (1 + 2 * mean) / 5,
    }
    assert rates(2) == pytest.approx(expected)


def test_the_size_of_rewards_does_not_count_but_weights_and_repeats_do():
    assert rates(2, y=7 * Y) == rates(2)
    model = ClickRateRecommender(0).fit(X, Y, sample_weight=[3, 1, 0, 1, 1, 1, 1])
    assert_allclose(model.item_rates_, [0, 1, 1 / 2, 3 / 4])
    twice = pd.concat([X, X.head(1)]), np.append(Y, 1)
    assert rates(0, *twice)["tea"] == 2 / 4


def test_ranking_and_scores():
    model = ClickRateRecommender(0).fit(X, Y)
    assert model.recommend(["zoe"])["item"].tolist() == ["ham", "jam", "tea", "egg"]
    # ann chose tea and ham
    assert model.recommend(["ann"])["item"].tolist() == ["jam", "egg"]
    assert_allclose(model.predict(X), [1 / 3] * 3 + [1 / 2] * 2 + [0, 1])
    again = pickle.loads(pickle.dumps(model))
    assert_array_equal(again.predict(X), model.predict(X))


def test_without_impressions_the_order_is_that_of_popularity(events):
    model = ClickRateRecommender().fit(events)
    assert_array_equal(model.item_rates_, 1)
    popular = PopularityRecommender().fit(events)
    assert_array_equal(model.kneighbors()[1], popular.kneighbors()[1])


def test_attributes_are_those_documented():
    model = ClickRateRecommender().fit(X, Y)
    attributes = {name for name in dir(model) if name[-1] == "_" != name[0]}
    assert set(entries(sections(ClickRateRecommender)["Attributes"])) == attributes


@pytest.mark.parametrize("smoothing", [-1, np.nan, np.inf, "10"])
def test_smoothing_out_of_range(smoothing):
    with pytest.raises(ValueError, match="'smoothing' parameter"):
        ClickRateRecommender(smoothing).fit(X, Y)
