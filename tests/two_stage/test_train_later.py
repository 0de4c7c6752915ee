"""A ranker must pay in a later time than the one it learnt from, too."""

import logging

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.tree import DecisionTreeClassifier

from sktwotower.metrics import make_retrieval_scorer
from sktwotower.two_stage import _train

from .builders import follows, stages

NDCG = make_retrieval_scorer("ndcg@5")
DAY = pd.Timedelta(days=1)


def waves(lasting, n_users=150, seed=0):
    """Draw thirteen days; half of the choices follow the fashion of the day.

    Ten items are in fashion. ``lasting``: the same ones on all days, otherwise others
    every three days. The other choices follow the popularity of items, which falls
    with their number. The last day is test.
    """
    rng = np.random.default_rng(seed)
    rows, popularity = [], 0.95 ** np.arange(60)
    for user in range(n_users):
        seen = np.zeros(0, dtype=int)
        days = np.sort([*rng.integers(0, 10, size=8), 10, 10, 11, 11, 12, 12])
        for day in days:
            odds = popularity.copy()
            odds[seen] = 0
            if rng.random() < 0.5:
                group = 4 if lasting else 1 + (day // 3) % 5
                odds = odds * (np.arange(60) // 10 == group)
            seen = np.append(seen, rng.choice(60, p=odds / odds.sum()))
        rows += [
            (f"u{user:03}", f"i{item:02}", pd.Timestamp("2024-01-01") + day * DAY)
            for item, day in zip(seen, days, strict=True)
        ]
    events = pd.DataFrame(rows, columns=["user", "item", "when"])
    is_test = events["when"] == events["when"].max()
    return events[~is_test].reset_index(drop=True), events[is_test]


def number(table):
    """Return the number of each item: what a ranker can know fashions by."""
    return table["item"].str[1:].astype(float)


def fitted(train):
    params = {"cut": "time", "later_size": 1 / 3, "n_candidates": 40}
    return stages(features=number, **params).fit(train)


@pytest.mark.slow
def test_a_fashion_that_passes_gets_no_weight(monkeypatch, caplog):
    train, test = waves(lasting=False)
    said = r"gains 0\.\d+ NDCG@10 .* not, beyond noise, in another time .*=0\.333"
    with (
        pytest.warns(UserWarning, match=said),
        caplog.at_level(logging.INFO, logger="sktwotower"),
    ):
        model = fitted(train)
    assert model.blend_ == 0 and model.cut_ == "time"
    best = model.blend_gains_.iloc[-1]
    assert best["gain"] > 4 * best["standard_error"]
    later = model.blend_gains_later_
    assert_array_equal(later["weight"], model.blend_gains_["weight"])
    assert later["gain"].iloc[-1] < 0
    alone = NDCG(model.retriever_, test)
    assert NDCG(model, test) == alone
    # which is what it saves: by the gain on other users of the same days only
    monkeypatch.setattr(_train, "earlier_candidates", lambda *args: None)
    unguarded = fitted(train)
    assert unguarded.blend_ > 0 and unguarded.blend_gains_later_ is None
    assert NDCG(unguarded, test) < alone
    # both orders are reported, as figures and in the log
    orders = model.order_gains_later_.set_index("order")
    assert orders.index.tolist() == ["retriever", "ranker", "blend"]
    assert_allclose(orders["ndcg"][:2], later["ndcg"].iloc[[0, -1]])
    assert_allclose(orders["gain"], orders["ndcg"] - orders["ndcg"]["retriever"])
    for figure in orders["ndcg"]:
        assert f"{figure:.4f}" in caplog.text


@pytest.mark.slow
def test_it_gets_none_either_if_each_user_has_a_cut():
    train, _ = waves(lasting=False)
    params = {"cut": "user", "later_size": 1 / 3, "n_candidates": 40}
    model = stages(features=number, **params).fit(train)
    assert model.blend_ == 0 and model.cut_ == "user"
    assert model.blend_gains_["gain"].max() > 0.02


@pytest.mark.slow
def test_a_fashion_that_lasts_is_followed():
    train, test = waves(lasting=True)
    train["when"] += pd.to_timedelta(train.index % 24, "h")
    # which best sellers of all days do not show: users buy what is new to them
    model = fitted(train)
    orders = model.order_gains_later_.set_index("order")
    gained = NDCG(model, test) - NDCG(model.retriever_, test)
    assert model.blend_ > 0 and orders["gain"]["blend"] > 0
    assert gained > 0


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
def test_a_ranker_of_noise_gets_no_weight(seed):
    train, test = waves(lasting=True, seed=seed)

    def noise(table):
        return np.random.default_rng(len(table)).random(len(table))

    ranker = OnlyOwn(max_depth=3, min_samples_leaf=20, random_state=0)
    params = {"cut": "time", "later_size": 1 / 3, "n_candidates": 40}
    model = stages(None, ranker, features=noise, **params).fit(train)
    assert model.blend_ == 0
    assert NDCG(model, test) == NDCG(model.retriever_, test)


class OnlyOwn(DecisionTreeClassifier):
    """Reads no features except those of the caller."""

    def fit(self, X, y):
        return super().fit(X.filter(like="own__"), y)

    def predict_proba(self, X):
        return super().predict_proba(X.filter(like="own__"))


def test_each_users_last_events_are_judged_by_those_before():
    model = stages().fit(follows(60))
    assert model.blend_ > 0 and model.cut_ == "user"
    assert model.order_gains_later_["gain"].iloc[-1] > 0.1


@pytest.mark.slow
def test_without_an_earlier_cut_other_users_judge():
    train, _ = waves(lasting=False)
    first = train["when"] < train["when"].min() + 10 * DAY
    train.loc[first, "when"] = train["when"].min()  # all that is before is at one time
    model = fitted(train)
    assert model.blend_ > 0
    assert model.blend_gains_later_ is None and model.order_gains_later_ is None
