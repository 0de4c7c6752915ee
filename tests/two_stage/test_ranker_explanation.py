"""Why an item: what the retriever and groups of the ranker's features add."""

from functools import cache
from itertools import permutations

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import Ridge
from sklearn.tree import DecisionTreeRegressor

from sktwotower import EASERecommender, ItemKNNRecommender

from .builders import follows, stages


def test_groups_get_the_mean_of_their_gains_over_all_orders():
    ranker = DecisionTreeRegressor(max_depth=5, min_samples_leaf=5, random_state=0)
    events = follows(60, noise=0.2)
    model = stages(EASERecommender(), ranker, n_candidates=12).fit(events)
    features = model.candidate_features().set_index(["user", "item"])
    row = features.loc["u05"].iloc[[3]]
    why = model.explain("u05", row.index[0]).query("side == 'ranker'")
    found = why.set_index("feature")["contribution"]
    importance = model.feature_importance(n_repeats=1, random_state=0)
    groups = importance.set_index("group")["features"]
    groups = {name: groups[name] for name in found.index.drop("(bias)")}
    assert len(groups) > 2
    usual = features.median().to_frame().T

    @cache
    def score(*names):
        asked = usual.copy()
        for name in names:
            asked[groups[name]] = row[groups[name]].to_numpy()
        return model.ranker_.predict(asked.astype(np.float32))[0]

    gains = dict.fromkeys(groups, 0.0)
    orders = list(permutations(groups))
    for order in orders:
        for n, group in enumerate(order):
            more, before = sorted(order[: n + 1]), sorted(order[:n])
            gains[group] += (score(*more) - score(*before)) / len(orders)
    assert found["(bias)"] == pytest.approx(score())
    for group, gain in gains.items():
        assert found[group] == pytest.approx(gain, abs=1e-6)


@pytest.fixture(scope="module")
def events():
    return follows(60, noise=0.2)


@pytest.fixture(scope="module")
def model(events):
    return stages(EASERecommender(), Ridge(), n_candidates=12).fit(events)


def test_both_stages_are_explained(model):
    top = model.recommend(["u05"], n_neighbors=3)
    names = dict.fromkeys(model.item_ids_, "this one")
    why = model.explain("u05", top["item"][1], names=names)
    assert why.attrs["score"] == pytest.approx(top["score"][1])
    of_ranker = why["side"] == "ranker"
    # the retriever's rows are its own, after those of the ranker
    own = model.retriever_.explain("u05", top["item"][1], names=names)
    rest = why[~of_ranker].drop(columns="lag", errors="ignore")
    pd.testing.assert_frame_equal(rest.reset_index(drop=True), own)
    assert (
        of_ranker.is_monotonic_decreasing and (own["reason"] == "chose this one").all()
    )
    # a linear ranker: weights times the differences from the medians
    table = model.candidate_features(["u05"]).set_index("item").drop(columns="user")
    features = table.loc[top["item"][1]]
    weights = pd.Series(model.ranker_.coef_, table.columns)
    usual = table.median()
    added = weights * (features - usual)
    groups = model.feature_importance(n_repeats=1, random_state=0)
    groups = groups.set_index("group")["features"]
    found = why[of_ranker].set_index("feature")["contribution"]
    score = model.ranker_.predict(features.to_frame().T.astype(np.float32))[0]
    assert found.sum() == pytest.approx(score, abs=1e-6)
    for group, value in found.drop("(bias)").items():
        assert value == pytest.approx(added[groups[group]].sum(), abs=1e-5)
    assert {"retrieval", "order of events"} <= set(found.index)


def test_pairs_that_recommend_does_not_return_are_explained(model, events):
    seen = events.loc[events["user"] == "u05", "item"].iloc[0]
    for user, item, history in [("u05", seen, None), ("new", seen, {"new": ["i01"]})]:
        pair = pd.DataFrame({"user": [user], "item": [item]})
        score = model.predict(pair, history=history)[0]
        why = model.explain(user, item, history)
        assert why.attrs["score"] == pytest.approx(score, abs=1e-6)
        assert {"ranker", "history"} == set(why["side"])
    with pytest.raises(ValueError, match="The item 'novel' is not known from fit"):
        model.explain("u05", "novel")


def test_without_a_ranker_it_is_the_explanation_of_the_retriever(events):
    few = events[events["user"] < "u05"]
    with pytest.warns(UserWarning, match="No ranker was trained"):
        model = stages(ItemKNNRecommender(decay=3, time="when")).fit(few)
    item = few["item"].iloc[-1]
    why = model.explain("u01", item)
    pd.testing.assert_frame_equal(why, model.retriever_.explain("u01", item))
    assert "lag" in why and set(why["side"]) == {"history"}
