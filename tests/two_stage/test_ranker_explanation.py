"""Why an item: what the retriever and groups of the ranker's features add."""

from functools import cache
from itertools import permutations

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose
from sklearn.linear_model import Ridge
from sklearn.tree import DecisionTreeRegressor

from sktwotower import EASERecommender, ItemKNNRecommender
from sktwotower.two_stage._ranker import fit_ranker, rows_of_ranker

from .builders import follows, stages

GROUPS = {"a": "first", "b": "second", "c": "first", "d": "third", "e": "fourth"}


def test_groups_get_the_mean_of_their_gains_over_all_orders(rng):
    table = pd.DataFrame(rng.normal(size=(300, 5)), columns=[*"abcde"])
    labels = table["a"] * table["b"] + (table["d"] > 0) * table["c"]
    ranker = fit_ranker(DecisionTreeRegressor(max_depth=7), table, labels, labels)
    own, usual = table.iloc[0].copy(), table.median()
    own["e"] = usual["e"]  # does not differ
    found = rows_of_ranker(ranker, own, usual, GROUPS).set_index("feature")
    names = pd.Series(GROUPS)

    @cache
    def score(*groups):
        is_own = names.isin(groups).to_numpy()
        return ranker.scores(usual.where(~is_own, own).to_frame().T)[0]

    gains = dict.fromkeys(["first", "second", "third"], 0.0)
    for order in permutations(gains):
        for n, group in enumerate(order):
            more, before = sorted(order[: n + 1]), sorted(order[:n])
            gains[group] += (score(*more) - score(*before)) / 6
    assert_allclose(found["contribution"], [score(), *gains.values()], atol=1e-12)
    assert found.index.tolist() == ["(bias)", *gains]
    assert found["contribution"].sum() == pytest.approx(score(*gains))


def test_gaps_of_both_are_no_difference():
    table = pd.DataFrame({"a": [0.0, 1, 2, 3], "b": [1.0, np.nan, 5, 2]})
    ranker = fit_ranker(DecisionTreeRegressor(), table, [1, 2, 3, 4], None)
    usual = pd.Series({"a": 1.5, "b": np.nan})
    groups = {"a": "first", "b": "second"}
    rows = rows_of_ranker(ranker, table.iloc[1], usual, groups)
    assert rows["feature"].tolist() == ["(bias)", "first"]
    rows = rows_of_ranker(ranker, usual, usual, groups)
    assert rows["contribution"].tolist() == ranker.scores(usual.to_frame().T).tolist()


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
    ranker, features = model._fitted.ranker, table.loc[top["item"][1]]
    weights = pd.Series(ranker.estimator.coef_, table.columns)
    filled = table.fillna(ranker.fill).median()
    added = weights * (features.fillna(filled) - filled)
    sums = added.groupby(model._fitted.describer.groups(table)).sum()
    found = why[of_ranker].set_index("feature")["contribution"]
    assert found.sum() == pytest.approx(
        ranker.scores(features.to_frame().T)[0], abs=1e-6
    )
    for group, value in found.drop("(bias)").items():
        assert value == pytest.approx(sums[group], abs=1e-5)
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
