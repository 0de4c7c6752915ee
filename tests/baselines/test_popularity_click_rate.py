"""The smoothed click rate: by hand, and the contract of all recommenders."""

import pickle

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from sktwotower import ClickRateRecommender, PopularityRecommender
from tests.builders import assert_passes_checks
from tests.cases import for_each
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
def test_sklearn():
    assert_passes_checks(ClickRateRecommender())


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


@for_each("unit", [1, pd.Timedelta(hours=3)])
def test_half_life_by_hand(unit):
    start = 5 if unit == 1 else pd.Timestamp("2024-05-01", tz="Europe/Paris")
    dated = X.assign(time=[start + n * unit for n in [0, 2, 4, 1, 3, 2, 3]])
    model = ClickRateRecommender(half_life=2 * unit, time="time", smoothing=1)
    w = 2.0 ** (np.array([0, 2, 4, 1, 3, 2, 3]) / 2 - 2)
    mean = (w * Y).sum() / w.sum()
    expected = [
        mean / (w[5] + 1),
        (w[6] + mean) / (w[6] + 1),
        (w[4] + mean) / (w[3] + w[4] + 1),
        (w[0] + mean) / (w[:3].sum() + 1),
    ]
    model.fit(dated, Y)
    assert_allclose(model.item_rates_, expected, rtol=1e-6)
    # rates of the latest time that was counted, regardless of the table's
    later = dated.assign(time=start + 99 * unit)
    assert_allclose(model.predict(later), model.predict(X), rtol=0)
    # all counts go by the same factor, and the prior stays
    model.partial_fit(later[:1].assign(item="oil"), [0])
    assert model.item_rates_[2] < 1e-9 and model.item_ids_[3] == "oil"


def test_nothing_is_left_of_what_was_long_ago():
    dated = X.assign(time=[0, 0, 0, 0, 0, 0, 1e6])
    model = ClickRateRecommender(0, half_life=1, time="time").fit(dated, Y)
    assert model.item_rates_.tolist() == [1, 1, 1, 1]  # that of all that counts
    dated["time"] = [-1.7e308, 0, 0, 0, 0, 0, 1.7e308]
    assert model.fit(dated, Y).item_rates_.tolist() == [1, 1, 1, 1]


def test_an_item_that_was_never_shown_has_the_mean_rate():
    model = ClickRateRecommender(1).fit(X, Y)
    new = pd.DataFrame({"user": ["ann", "zoe", "ann"], "item": ["oil", "rye", "egg"]})
    with pytest.warns(UserWarning, match="scores them with the mean rate."):
        found = model.predict(new)
    assert_allclose(found, [3 / 7, 3 / 7, model.item_rates_[0]], rtol=1e-6)
    with pytest.warns(UserWarning, match="scores them with 0."):
        assert PopularityRecommender().fit(X).predict(new)[:2].tolist() == [0, 0]


@for_each(
    ("half_life", "time", "message"),
    [
        (3, None, "half_life=3 needs the times of events. Name the column"),
        (0, "time", "half_life must be > 0. Got 0"),
        (np.nan, "time", "half_life must be > 0"),
        (pd.Timedelta(1), "time", "half_life must be a number"),
        ("3", "time", "half_life must be a number"),
    ],
)
def test_half_lives_out_of_range(half_life, time, message):
    model = ClickRateRecommender(half_life=half_life, time=time)
    with pytest.raises((ValueError, TypeError), match=message):
        model.fit(X.assign(time=1), Y)


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


@for_each("smoothing", [-1, np.nan, np.inf, "10"])
def test_smoothing_out_of_range(smoothing):
    with pytest.raises(ValueError, match="'smoothing' parameter"):
        ClickRateRecommender(smoothing).fit(X, Y)
