"""A ranker must pay in a later time than the one it learnt from, too."""

import logging

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.tree import DecisionTreeClassifier

from sktwotower.metrics import make_retrieval_scorer

from .builders import follows, stages

NDCG = make_retrieval_scorer("ndcg@5")
DAY = pd.Timedelta(days=1)


def waves(n_users=200, seed=0):
    """Draw thirteen days on which items of one color are chosen most.

    It is another color from the days 5, 10 and 12 on; items have four. Apart from that
    their popularity falls with their number. The last day is test.
    """
    rng = np.random.default_rng(seed)
    rows, popularity, colors = [], 0.96 ** np.arange(80), np.arange(80) % 4
    for user in range(n_users):
        seen = np.zeros(0, dtype=int)
        days = np.sort([*rng.integers(0, 10, size=6), 10, 11, 11, 12, 12])
        for day in days:
            in_fashion = np.searchsorted([5, 10, 12], day, "right")
            odds = popularity * np.where(colors == in_fashion, 8, 1)
            odds[seen] = 0
            seen = np.append(seen, rng.choice(80, p=odds / odds.sum()))
        rows += [
            (f"u{user:03}", f"i{item:02}", pd.Timestamp("2024-01-01") + day * DAY)
            for item, day in zip(seen, days, strict=True)
        ]
    events = pd.DataFrame(rows, columns=["user", "item", "when"])
    is_test = events["when"] == events["when"].max()
    return events[~is_test].reset_index(drop=True), events[is_test]


def last_out(events):
    """Return events, and the last one of each user."""
    last = ~events.duplicated("user", keep="last")
    return events[~last].reset_index(drop=True), events[last]


def color(table):
    """Return the color of each item: what a ranker can know fashions by."""
    return table["item"].str[1:].astype(int) % 4


def fitted(train, **params):
    params = {"cut": "time", "later_size": 1 / 3, "n_candidates": 40} | params
    ranker = OnlyOwn(max_depth=3, min_samples_leaf=20, random_state=0)
    return stages(None, ranker, **({"features": color} | params)).fit(train)


class OnlyOwn(DecisionTreeClassifier):
    """Reads no features except those of the caller."""

    def fit(self, X, y):
        return super().fit(X.filter(like="own__"), y)

    def predict_proba(self, X):
        return super().predict_proba(X.filter(like="own__"))


@pytest.mark.slow
def test_a_fashion_that_passes_gets_no_weight(caplog):
    train, test = waves()
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
    # both orders are reported, as figures and in the log
    orders = model.order_gains_later_.set_index("order")
    assert orders.index.tolist() == ["retriever", "ranker", "blend"]
    assert_allclose(orders["ndcg"][:2], later["ndcg"].iloc[[0, -1]])
    assert_allclose(orders["gain"], orders["ndcg"] - orders["ndcg"]["retriever"])
    for figure in orders["ndcg"]:
        assert f"{figure:.4f}" in caplog.text


@pytest.mark.slow
def test_it_gets_none_either_if_each_user_has_a_cut():
    train, _ = waves()
    model = fitted(train, cut="user")
    assert model.blend_ == 0 and model.cut_ == "user"
    assert model.blend_gains_["gain"].max() > 0.02


@pytest.mark.slow
def test_what_lasts_is_followed():
    train, test = last_out(follows(120, noise=0.2, dates=True))
    model = stages(cut="time").fit(train)
    assert model.blend_ > 0 and model.cut_ == "time"
    orders = model.order_gains_later_.set_index("order")["gain"]
    assert orders["blend"] > 0.1
    assert NDCG(model, test) > NDCG(model.retriever_, test) + 0.1


@pytest.mark.each_time("0")
@pytest.mark.slow
@pytest.mark.parametrize("seed", range(2))
def test_a_ranker_of_noise_gets_no_weight(seed):
    train, test = waves(seed=seed)

    def noise(table):
        return np.random.default_rng(len(table)).random(len(table))

    model = fitted(train, features=noise)
    assert model.blend_ == 0
    assert NDCG(model, test) == NDCG(model.retriever_, test)


def test_each_users_last_events_are_judged_by_those_before():
    model = stages().fit(follows(60))
    assert model.blend_ > 0 and model.cut_ == "user"
    assert model.order_gains_later_["gain"].iloc[-1] > 0.1


@pytest.mark.slow
def test_without_an_earlier_cut_other_users_judge():
    train, _ = waves()
    first = train["when"] < train["when"].min() + 10 * DAY
    train.loc[first, "when"] = train["when"].min()  # all that is before is at one time
    model = fitted(train)
    assert model.blend_ > 0
    assert model.blend_gains_later_ is None and model.order_gains_later_ is None
