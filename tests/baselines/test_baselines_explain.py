"""Why an item: what each past item adds to the scores of baselines."""

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose

from sktwotower import (
    ClickRateRecommender,
    EASERecommender,
    ItemKNNRecommender,
    PopularityRecommender,
)
from sktwotower.inspection import explain
from tests.cases import for_each

X = pd.DataFrame(
    [("ann", 1), ("ann", 2), ("bob", 1), ("bob", 2), ("cid", 3), ("cid", 1)]
    + [("dan", 1), ("dan", 3), ("dan", 4)],
    columns=["user", "item"],
).assign(when=[1, 2, 1, 3, 5, 6, 1, 2, 2])
TITLES = {1: "Emma", 2: "Dune", 3: "Ubik", 4: "Ubik"}


def check_sum(model, why, user, item, history=None):
    pair = pd.DataFrame({"user": [user], "item": [item], "when": [9]})
    score = model.predict(pair, history=history)[0]
    assert why.attrs["score"] == pytest.approx(score, abs=1e-7)
    assert why["contribution"].sum() == pytest.approx(score, abs=1e-6)
    assert why["contribution"].abs().is_monotonic_decreasing


def test_past_items_add_their_weights_of_ease():
    model = EASERecommender(l2=2).fit(X)
    why = model.explain("dan", 2, names=TITLES)
    check_sum(model, why, "dan", 2)
    own = dict(zip(why["feature"], why["contribution"], strict=True))
    expected = model.item_weights_[[0, 2, 3], 1]
    assert_allclose([own[item] for item in (1, 3, 4)], expected, rtol=1e-6)
    assert set(why["side"]) == {"history"} and (why["value"] == 1).all()
    assert sorted(why["reason"]) == ["chose Emma", "chose Ubik", "chose Ubik"]
    columns = ["side", "feature", "value", "contribution", "reason"]
    assert why.columns.tolist() == columns
    # the function is the method, and a history is part of the past
    pd.testing.assert_frame_equal(explain(model, "dan", 2, names=TITLES), why)
    new = model.explain("new", 2, history=[3, 1])
    check_sum(model, new, "new", 2, {"new": [3, 1]})
    assert set(new["feature"]) == {1, 3}
    assert len(model.explain("new", 2)) == 0


@for_each("decay", [None, 2])
def test_past_items_add_their_similarities_of_item_knn(decay):
    model = ItemKNNRecommender(decay=decay, time="when").fit(X)
    history = pd.DataFrame({"user": "dan", "item": [1, 2], "when": [3, 4]})
    why = model.explain("dan", 2, history)
    check_sum(model, why, "dan", 2, history)
    # dan's baskets, the latest first: 2, then 1 again, then 3 and 4
    lags = {2: 1, 1: 2, 3: 3, 4: 3}
    shared = {1: 2 / np.sqrt(4 * 2), 2: 0, 3: 0, 4: 0}
    weights = {
        item: 1 if decay is None else np.exp((1 - lags[item]) / 2) for item in lags
    }
    found = why.set_index("feature")
    for item, weight in weights.items():
        assert found["contribution"][item] == pytest.approx(weight * shared[item])
    assert set(found.index) == set(lags) and (found["value"] == 1).all()
    assert ("lag" in why) == (decay is not None)
    if decay is not None:
        assert found["lag"].to_dict() == lags


@for_each("kind", [PopularityRecommender, ClickRateRecommender])
def test_nothing_of_the_user_counts_where_all_get_the_same(kind):
    model = kind().fit(X)
    why = model.explain("dan", 2)
    check_sum(model, why, "dan", 2)
    assert why["reason"].tolist() == ["what all users have in common"]


def test_an_item_is_found_by_its_name():
    model = EASERecommender().fit(X)
    by_name = model.explain("ann", "Emma", names=pd.Series(TITLES))
    pd.testing.assert_frame_equal(by_name, model.explain("ann", 1, names=TITLES))
    with pytest.raises(
        ValueError, match="2 items have the name 'Ubik': 3, 4. Pass the"
    ):
        model.explain("ann", "Ubik", names=TITLES)
    own = EASERecommender().fit(X.assign(item=X["item"].astype(str)))
    named = own.explain("ann", "1", names={"2": "1"})  # an id comes before a name
    assert named.attrs == own.explain("ann", "1").attrs


@pytest.mark.filterwarnings("ignore:None of the ids in item")
@for_each("item", ["Dune", pd.DataFrame({"item": [7]})])
def test_an_unknown_item_is_refused(item):
    model = EASERecommender().fit(X)
    with pytest.raises(ValueError, match=r"is not known.* the id and its type\.$"):
        model.explain("ann", item)
    message = "has not learnt from any. Fit a TwoStageRecommender or TwoTower"
    with pytest.raises(ValueError, match=message):
        model.explain("ann", 1, context={"hour": 8})
