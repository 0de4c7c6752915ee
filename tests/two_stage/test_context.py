"""Columns of a request, and items that were chosen before."""

import copy
import pickle

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from pandas.testing import assert_frame_equal
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from sktwotower import EASERecommender, PopularityRecommender, io
from sktwotower.metrics import make_retrieval_scorer, recall_at_k, retrieval_report
from tests.builders import small
from tests.cases import for_each

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


def own_feature(table):
    return table[["own__fits"]]


def ranker():
    """Return a ranker that only asks whether an item fits to the place."""
    columns = FunctionTransformer(own_feature)
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
    # the hour of a moment does not depend on the zone that it is written in
    moment = pd.Timestamp("2024-01-07 12:15", tz="UTC")
    for zone in ("UTC", "Asia/Tokyo"):
        zoned = request.assign(at=[moment.tz_convert(zone)])
        assert_frame_equal(model.candidate_features(zoned), table)
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


@pytest.mark.slow
def test_held_out_events_are_judged_by_place():
    events = by_place()
    train, later = events[events["when"] < 8], events[events["when"] >= 8]
    model = stages(EASERecommender(), ranker(), context="place", features=fits)
    model.fit(train)
    ranking = model.rank_held_out(later, n_neighbors=3)
    rows = later.reset_index(drop=True)
    places = rows.loc[ranking.last_rows, "place"].to_numpy()
    assert len(ranking.users) == len(rows.drop_duplicates(["user", "place"]))
    first = pd.Series(model.item_ids_[ranking.indices[:, 0]])
    assert_array_equal(place_of(first), places)
    report = retrieval_report(model.retriever_, later, k=3, baselines=[model])
    by_request = make_retrieval_scorer("recall@3", requests="place")
    shown = report.loc["all", "recall@3"]
    assert shown["TwoStageRecommender"] == by_request(model, later)
    assert shown["EASERecommender"] == by_request(model.retriever_, later)
    assert shown["TwoStageRecommender"] > shown["EASERecommender"]
    table = model.feature_importance(later, random_state=0)
    assert table.loc[0, "group"] == "own features"


# Items that were chosen before


@pytest.mark.slow
def test_repeated_choices_are_learnt():
    events = tastes()
    again = events.groupby("user").head(3)
    rounds = [again.assign(when=again["when"] + start) for start in (20, 23, 26)]
    events = pd.concat([events, *rounds])
    last = events["when"] == 28
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


# A retriever that knows the context


def knowing(**params):
    """Return a retriever that learns what is chosen at which place."""
    return small(**{"context": ["place"], "max_epochs": 15} | params)


@pytest.fixture(scope="module")
def both():
    parts = {"n_candidates": 6, "keep_training_table": True}
    return stages(knowing(), **parts).fit(by_place())


def users_at(place, users=("u003", "u005")):
    return pd.DataFrame({"user": users, "place": place})


def test_the_columns_of_the_retriever_are_those_of_the_ranker(both):
    assert both.context is None
    table = both.candidate_features(users_at("work", ["u003"]))
    assert (table["context__place"] == 1).all()
    at_work = np.mean(place_of(table["item"]) == "home")
    other = both.candidate_features(users_at("home", ["u003"]))
    at_home = np.mean(place_of(other["item"]) == "home")
    assert at_work < at_home
    groups = both.feature_importance(n_repeats=1, random_state=0).set_index("group")
    assert groups["features"]["columns of the request"] == ["context__place"]


@pytest.mark.slow
def test_training_candidates_are_those_of_the_context(both):
    events, table = by_place(), both.training_table_
    first = events[events["when"] == 8].set_index("user")["place"][table["user"]]
    assert_array_equal(table["context__place"], (first == "work").to_numpy())
    assert (place_of(table["item"]) == first.to_numpy()).mean() > 0.75
    plain = stages(
        knowing(context=None, max_epochs=3), n_candidates=6, keep_training_table=True
    )
    table = plain.fit(events).training_table_
    first = events[events["when"] == 8].set_index("user")["place"][table["user"]]
    assert (place_of(table["item"]) == first.to_numpy()).mean() < 0.65
    assert "context__place" not in table


def test_a_context_for_all_is_that_of_each_row(both):
    for place in ("home", "work"):
        expected = both.recommend(users_at(place), n_neighbors=4)
        got = both.recommend(["u003", "u005"], n_neighbors=4, context={"place": place})
        assert_frame_equal(got, expected, check_exact=True)
        indices = both.kneighbors(users_at(place), 4, return_distance=False)
        assert_array_equal(both.item_ids_[indices].ravel(), expected["item"])
    unknown = both.recommend(["u003"])
    for context in ({"place": None}, {"place": "elsewhere"}, {}):
        got = both.recommend(["u003"], context=context)
        assert_frame_equal(got, unknown, check_exact=True)
    with pytest.raises(ValueError, match="'place', which is also a column of X"):
        both.recommend(users_at("home"), context={"place": "work"})
    with pytest.raises(ValueError, match="'plce'.*Did you mean 'place'"):
        both.recommend(["u003"], context={"plce": "work"})
    with pytest.raises(TypeError, match="context must be a dict"):
        both.recommend(["u003"], context=["work"])


def test_pairs_and_held_out_events_are_ranked_in_their_context(both):
    events = by_place()
    later = events[events["when"] >= 8]
    ranking = both.rank_held_out(later, n_neighbors=3)
    places = later.reset_index(drop=True).loc[ranking.last_rows, "place"].to_numpy()
    assert len(ranking.users) == len(later.drop_duplicates(["user", "place"]))
    asked = pd.DataFrame({"user": ranking.users, "place": places})
    both.set_params(exclude_seen=False)
    try:
        ranking = both.rank_held_out(later, n_neighbors=3)
        indices = both.kneighbors(asked, 3, return_distance=False)
        pairs = both.recommend(users_at("work"), 3)
        scores = both.predict(pairs[["user", "item"]].assign(when=0, place="work"))
    finally:
        both.set_params(exclude_seen=True)
    assert_array_equal(ranking.indices, indices)
    assert_allclose(scores, pairs["score"], rtol=1e-6)
    k = both.n_neighbors
    ranking = both.rank_held_out(later, n_neighbors=k)
    expected = recall_at_k(ranking.truth, ranking.indices, k)
    assert both.score(later) == pytest.approx(expected)


@for_each(
    "context, columns",
    [(["when"], ["when"]), ([], []), (["when", "place"], ["when", "place"])],
)
def test_columns_of_the_ranker_only(context, columns):
    model = stages(knowing(max_epochs=1), n_candidates=6, context=context)
    model.fit(by_place())
    found = model.candidate_features(["u003"]).filter(regex="^context__")
    assert list(found) == [f"context__{column}" for column in columns]
    given = {"place": "work"} | dict.fromkeys(columns, 3) | {"place": "work"}
    table = users_at("work").assign(**{c: given[c] for c in columns})
    got = model.recommend(["u003", "u005"], context=given)
    assert_frame_equal(got, model.recommend(table), check_exact=True)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:The ranker's order")
def test_the_ranker_inherits_what_it_can_read():
    events = by_place()
    events["words"] = [[place, "x"] for place in events["place"]]
    retriever = knowing(context=["words", "when"], max_epochs=1)
    model = stages(retriever, n_candidates=6).fit(events)
    assert not list(model.candidate_features(["u003"]).filter(regex="^context__"))
    assert 0 <= model.score(events[events["when"] == 9]) <= 1  # lists are compared
    days = pd.to_timedelta(events["when"], "D") + pd.Timestamp("2024-01-01 06:30")
    model = stages(knowing(context=["place", "when"], max_epochs=1), n_candidates=6)
    model.fit(events.assign(when=days))
    table = model.candidate_features(["u003"]).filter(regex="^context__")
    names = ["place", "when_hour", "when_weekday"]
    assert list(table) == [f"context__{name}" for name in names]


@pytest.mark.slow
def test_gaps_reach_the_retriever():
    events = by_place().assign(when=lambda X: X["when"] ** 2)
    retriever = knowing(context=["when"], max_epochs=2)
    model = stages(retriever, context=[], n_candidates=6).fit(events)
    users = pd.DataFrame({"user": ["u003", "u005"], "when": [82, 400]})
    expected = model.retriever_.kneighbors(users, 6)[1]
    table = model.candidate_features(users)
    codes = pd.Index(model.item_ids_).get_indexer(table["item"])
    assert_array_equal(codes.reshape(2, 6), expected)
    distances = model.retriever_.kneighbors(users.assign(when=[400, 82]), 6)[0]
    assert not np.allclose(distances, model.retriever_.kneighbors(users, 6)[0])


@pytest.mark.slow
def test_lists_in_several_contexts():
    events = by_place(n_users=120)
    is_odd = events["item"].str[-1].astype(int) % 2 == 1
    y = (is_odd == (events["place"] == "work")).to_numpy().astype(float)
    events["list"] = events["user"] + events["place"]
    parts = {"lists": "list", "n_candidates": 6, "context": None}
    model = stages(knowing(max_epochs=2), later_size=0.4, **parts).fit(events, y)
    mixed = model.predict(events)
    for place in ("home", "work"):
        rows = (events["place"] == place).to_numpy()
        assert_array_equal(model.predict(events[rows]), mixed[rows])


@pytest.mark.slow
@pytest.mark.parametrize(
    "of_retriever", [["place", "words"], pytest.param(None, marks=pytest.mark.grid)]
)
def test_levels_that_only_they_had_are_forgotten(of_retriever, tmp_path):
    events = by_place()
    events["words"] = np.array(["chair", "lamp", "zoo"])[np.arange(len(events)) % 3]
    events.loc[events["user"] == "u004", "words"] = "secret"
    model = stages(
        knowing(context=of_retriever, max_epochs=2),
        context=None if of_retriever else ["place", "words"],
        n_candidates=6,
    ).fit(events)
    table = users_at("work").assign(words=["lamp", "zoo"])
    found, asked = model.recommend(table, 4), table.assign(words="secret")
    numbers = model.candidate_features(table)["context__words"]
    assert set(numbers) == {1, 3}
    assert (model.candidate_features(asked)["context__words"] == 2).all()
    io.dump(model, tmp_path / "a")
    assert b"secret" in (tmp_path / "a").read_bytes()
    model.forget_users(["u004"])
    assert_array_equal(model.recommend(table, 4)["item"], found["item"])
    assert_array_equal(model.candidate_features(table)["context__words"], numbers)
    assert model.candidate_features(asked)["context__words"].isna().all()
    io.dump(model, tmp_path / "b")
    for data in (tmp_path / "b").read_bytes(), pickle.dumps(model):
        assert b"secret" not in data
    trusted = ["sklearn.tree._tree.Tree"]
    again = io.load(tmp_path / "b", trusted=trusted).forget_users(["u006"])
    assert_array_equal(again.candidate_features(table)["context__words"], numbers)


def test_users_are_forgotten_with_their_context(both):
    model = copy.copy(both)
    expected = model.recommend(users_at("work"), 4)
    model.forget_users(["u004"])
    got = model.recommend(users_at("work"), 4)
    assert_array_equal(got["item"], expected["item"])
    # popularity no longer counts what is forgotten
    assert_allclose(got["score"], expected["score"], rtol=0.01)
    again = pickle.loads(pickle.dumps(model))
    got = again.recommend(["u003", "u005"], 4, context={"place": "work"})
    assert_array_equal(got["item"], expected["item"])
