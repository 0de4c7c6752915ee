"""Scores of pairs whose item fit has never seen: warned of, and what they are."""

import warnings

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from sktwotower import EASERecommender, ItemKNNRecommender, PopularityRecommender
from tests.builders import small
from tests.cases import for_each

BASELINES = [PopularityRecommender, EASERecommender, ItemKNNRecommender]


def pairs_of(*items, user="u00"):
    return pd.DataFrame({"user": user, "item": items})


def silent(predict, *args):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return predict(*args)


@for_each("kind", BASELINES)
def test_baselines_score_0(events, kind):
    model = kind().fit(events)
    with pytest.warns(
        UserWarning, match=r"2 of 4 rows of X \(50.0%\).*'new'.* with 0\."
    ):
        scores = model.predict(pairs_of("i00", "new", "i01", "newer"))
    assert_array_equal(scores[[1, 3]], 0)
    assert_array_equal(scores[[0, 2]], silent(model.predict, pairs_of("i00", "i01")))


@pytest.mark.slow
def test_without_features_they_get_one_score(events):
    model = small().fit(events)
    with pytest.warns(UserWarning, match=r"2 of 3 rows of X \(66.7%\) hold items that"):
        scores = model.predict(pairs_of("i00", "new", "newer"))
    assert scores[1] == scores[2] != scores[0]


@pytest.mark.slow
def test_with_features_they_get_a_score_of_their_own_and_no_warning(events):
    X = events.assign(kind=events["item"].str[:2])
    model = small(item_features=["kind"], max_epochs=3).fit(X)
    new = pd.DataFrame({"user": "u00", "item": ["n", "m"], "kind": ["i0", "i1"]})
    scores = silent(model.predict, new)
    assert scores[0] != scores[1]
    # a level that fit has not seen is no feature
    with pytest.warns(UserWarning, match="1 of 2 rows"):
        model.predict(new.assign(kind=["i0", "i7"]))


@pytest.mark.slow
def test_removed_items_are_not_unknown(events):
    model = small().fit(events)
    before = silent(model.predict, pairs_of("i00", "i01"))
    model.set_catalog(["i01", "i02"])
    assert_allclose(silent(model.predict, pairs_of("i00", "i01")), before, atol=1e-6)


@for_each("kind", BASELINES)
def test_baselines_predict_with_a_history(events, kind):
    model = kind().fit(events)
    X = pairs_of(*model.item_ids_, user="zoe")
    history = {"zoe": ["i00", "i13"]}
    top = model.recommend(["zoe"], 12, history=history, exclude_seen=False)
    ranked = pd.Series(model.predict(X, history=history), model.item_ids_)
    assert_allclose(ranked[top["item"]], top["score"])
    if kind is not PopularityRecommender:
        assert not np.allclose(ranked, model.predict(X))


def test_a_history_tells_unknown_users_apart(events):
    model = ItemKNNRecommender().fit(events)
    X = pd.DataFrame({"user": ["zoe", "yan", "xia"], "item": "i01"})
    scores = model.predict(X, history={"zoe": ["i00"], "yan": ["i10"]})
    alike = model.item_similarities_[1].toarray()[0]
    assert scores[0] == alike[0] > 0
    assert_array_equal(scores[1:], 0)


def test_decay_reads_the_order_of_a_history(events):
    X = events.assign(when=range(len(events)))
    model = ItemKNNRecommender(decay=1, time="when").fit(X)
    pair = pd.DataFrame({"user": ["zoe"], "item": ["i01"]})
    alike = model.item_similarities_[1].toarray()[0]
    for order, weights in [
        (["i00", "i02"], (np.exp(-1), 1)),
        (["i02", "i00"], (1, np.exp(-1))),
    ]:
        expected = weights[0] * alike[0] + weights[1] * alike[2]
        score = model.predict(pair, history={"zoe": order})
        assert_allclose(score, expected, rtol=1e-6)
