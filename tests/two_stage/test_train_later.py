"""A ranker must pay in a later time than the one it learnt from, too."""

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_array_equal

from sktwotower.metrics import make_retrieval_scorer
from sktwotower.two_stage import _train

from .builders import follows, stages

NDCG = make_retrieval_scorer("ndcg@5")
DAY = pd.Timedelta(days=1)


def waves(lasting, n_users=150, seed=0):
    """Draw ten days, then three on which ten items each are in fashion.

    ``lasting``: it is the same ten items on all three days. Half of the choices follow
    the fashion, the others the popularity of items, which falls with their number.
    """
    rng = np.random.default_rng(seed)
    rows, popularity = [], 0.95 ** np.arange(60)
    for user in range(n_users):
        seen, days = np.zeros(0, dtype=int), [*rng.integers(0, 10, size=8)]
        for day in [None] * 8 + [0, 0, 1, 1, 2, 2]:
            odds = popularity.copy()
            odds[seen] = 0
            if day is not None and rng.random() < 0.5:
                first = 40 if lasting else 20 + 10 * day
                odds = odds * (np.arange(60) // 10 == first // 10)
            seen = np.append(seen, rng.choice(60, p=odds / odds.sum()))
        days += [10, 10, 11, 11, 12, 12]
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
def test_a_fashion_that_passes_gets_no_weight(monkeypatch):
    train, test = waves(lasting=False)
    said = r"gains 0\.102 NDCG@10 .*\(-0\.060 \+- 0\.018, see.*than later_size=0\.333"
    with pytest.warns(UserWarning, match=said):
        model = fitted(train)
    assert model.blend_ == 0 and model.cut_ == "time"
    best = model.blend_gains_.iloc[-1]
    assert best["gain"] > 4 * best["standard_error"]
    later = model.blend_gains_later_
    assert_array_equal(later["weight"], model.blend_gains_["weight"])
    assert (later["gain"].iloc[1:] < 0).all()
    alone = NDCG(model.retriever_, test)
    assert NDCG(model, test) == alone
    # which is what it saves: by the gain on other users of the same days only
    monkeypatch.setattr(_train, "earlier_candidates", lambda *args: None)
    unguarded = fitted(train)
    assert unguarded.blend_ == 1 and unguarded.blend_gains_later_ is None
    assert NDCG(unguarded, test) < alone / 2


@pytest.mark.slow
def test_it_gets_none_either_if_each_user_has_a_cut():
    train, _ = waves(lasting=False)
    params = {"cut": "user", "later_size": 1 / 3, "n_candidates": 40}
    model = stages(features=number, **params).fit(train)
    assert model.blend_ == 0 and model.cut_ == "user"
    assert model.blend_gains_["gain"].max() > 0.05
    assert (model.blend_gains_later_["gain"].iloc[1:] < 0).all()


@pytest.mark.slow
def test_a_fashion_that_lasts_is_followed():
    train, test = waves(lasting=True)
    model = fitted(train)
    assert model.blend_ > 0 and model.blend_gains_later_["gain"].max() > 0.1
    assert NDCG(model, test) > NDCG(model.retriever_, test) + 0.1


def test_each_users_last_events_are_of_one_time():
    model = stages().fit(follows(60))
    assert model.blend_ > 0 and model.cut_ == "user"
    assert model.blend_gains_later_ is None


@pytest.mark.slow
@pytest.mark.parametrize("few", ["before", "after"])
def test_too_few_events_in_one_half(few):
    train, _ = waves(lasting=True)
    late = train["when"] == train["when"].max()
    if few == "before":  # all that is later is at one time
        train.loc[train["when"] >= train["when"].max() - DAY, "when"] += DAY
        train["when"] = train["when"].clip(upper=train["when"].max() - DAY)
    else:  # by users who are new
        train.loc[late, "user"] += "new"
    model = fitted(train)
    assert model.blend_ > 0 and model.blend_gains_later_ is None
