"""Columns of a request, and items that were chosen before."""

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from pandas.testing import assert_frame_equal
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from sktwotower import EASERecommender, PopularityRecommender
from sktwotower.metrics import make_retrieval_scorer

from .builders import stages, tastes

NDCG = make_retrieval_scorer("ndcg@5")


def by_place(n_users=120, seed=0):
    """Draw events in which items 0 .. 9 are chosen at home, 10 .. 19 at work."""
    rng = np.random.default_rng(seed)
    rows = []
    for user in range(n_users):
        order = np.append(rng.permutation(10)[:5], 10 + rng.permutation(10)[:5])
        for t, item in enumerate(rng.permutation(order)):
            place = "work" if item >= 10 else "home"
            rows.append((f"u{user:03}", f"i{item:02}", t, place))
    return pd.DataFrame(rows, columns=["user", "item", "when", "place"])


def place_of(items):
    return np.where(items.str[1:].astype(int) >= 10, "work", "home")


def ranker():
    """Return a ranker that only asks whether an item fits to the place."""
    columns = FunctionTransformer(lambda table: table[["own__fits"]])
    return make_pipeline(columns, LogisticRegression())


def fits(table):
    """Return whether items are chosen at the place of the request."""
    at_work = (table["item"].str[1] == "1").astype(float)
    return pd.DataFrame({"fits": at_work == table["context__place"]})


@pytest.fixture(scope="module")
def model():
    parts = {"context": ["place"], "features": fits, "keep_training_table": True}
    return stages(EASERecommender(), ranker(), **parts).fit(by_place())


@pytest.mark.slow
def test_the_place_of_a_request_decides(model):
    assert model.blend_ > 0
    users = pd.DataFrame({"user": ["u003", "u004"], "place": ["work", "home"]})
    for place in ("home", "work"):
        top = model.recommend(users.assign(place=place), n_neighbors=3)
        assert (place_of(top["item"]) == place).all()
    mixed = model.recommend(users, n_neighbors=3)
    assert place_of(mixed["item"]).tolist() == ["work"] * 3 + ["home"] * 3
    events = by_place()
    last = events["when"] == 9
    again = stages(EASERecommender(), ranker(), context="place", features=fits)
    again.fit(events[~last])
    assert NDCG(again, events[last]) > NDCG(again.retriever_, events[last]) + 0.05


def test_a_request_without_the_columns_has_missing_values(model):
    plain = model.candidate_features(["u003"])
    assert plain["context__place"].isna().all()
    users = pd.DataFrame({"user": ["u003"], "place": ["work"]})
    assert (model.candidate_features(users)["context__place"] == 1).all()
    other = model.candidate_features(users.assign(place="elsewhere"))
    assert other["context__place"].isna().all()
    assert_frame_equal(other, plain)
    events = by_place()[["user", "item", "when"]]
    with pytest.raises(ValueError, match="feature names"):
        model.predict(events)  # as for all columns of fit


def test_the_first_later_event_is_the_request_of_training(model):
    events = by_place()
    first = events[events["when"] == 8].set_index("user")["place"]
    table = model.training_table_
    expected = (first[table["user"]] == "work").to_numpy()
    assert_array_equal(table["context__place"], expected)


@pytest.mark.slow
def test_each_event_has_the_context_of_its_own(model):
    events = by_place()
    top = model.recommend(pd.DataFrame({"user": ["u003"], "place": ["work"]}), 10)
    pairs = top[["user", "item"]].assign(place="work", when=0)[list(events)]
    scores = model.predict(pairs)
    assert_allclose(scores, top["score"], rtol=1e-6)
    both = pd.concat([pairs, pairs.assign(place="home")])
    assert_array_equal(model.predict(both)[: len(pairs)], scores)
    assert_array_equal(
        model.predict(both)[len(pairs) :], model.predict(pairs.assign(place="home"))
    )
    assert (model.predict(both)[len(pairs) :] != scores).any()


@pytest.mark.slow
def test_dates_are_hours_and_days_of_the_week():
    events = by_place()
    monday = pd.Timestamp("2024-01-01 06:30")
    events["at"] = monday + pd.to_timedelta(np.arange(len(events)) % 48, "h")
    model = stages(EASERecommender(), context=["at"], keep_training_table=True)
    model.fit(events)
    assert model.training_table_["context__at_hour"].between(0, 23.5).all()
    request = pd.DataFrame({"user": ["u003"], "at": [pd.Timestamp("2024-01-07 12:15")]})
    table = model.candidate_features(request)
    assert (table["context__at_hour"] == 12.25).all()
    assert (table["context__at_weekday"] == 6).all()
    importance = model.feature_importance(random_state=0).set_index("group")
    names = importance["features"]["columns of the request"]
    assert names == ["context__at_hour", "context__at_weekday"]


def test_columns_that_cannot_describe_a_request():
    events = by_place()
    with pytest.raises(ValueError, match="context names 'city', which is not a column"):
        stages(context="city").fit(events)
    events["tags"] = [["a", "b"]] * len(events)
    with pytest.raises(
        ValueError, match="The context column 'tags' of X must hold num"
    ):
        stages(context="tags").fit(events)


# Items that were chosen before


@pytest.mark.slow
def test_repeated_choices_are_learnt():
    events = tastes()
    again = events.groupby("user").head(3)
    events = pd.concat([events, again.assign(when=again["when"] + 20)])
    last = events["when"] == 22
    model = stages(PopularityRecommender(), exclude_seen=False, n_candidates=40)
    model.fit(events[~last])
    assert model.blend_ > 0
    table = model.candidate_features(["u05"]).set_index("item")
    own = events[~last].query("user == 'u05'")
    counts = own["item"].value_counts()
    expected = counts.reindex(table.index, fill_value=0)
    assert_array_equal(table["chosen_before"], expected)
    steps = own["when"].rank(ascending=False)
    lately = np.exp((1 - steps) / 5).groupby(own["item"]).sum()
    expected = lately.reindex(table.index, fill_value=0)
    assert_allclose(table["chosen_lately"], expected, rtol=1e-2, atol=1e-3)
    assert NDCG(model, events[last]) > NDCG(model.retriever_, events[last])
    assert "chosen_before" not in stages().fit(tastes()).candidate_features(["u05"])
