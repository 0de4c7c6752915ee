"""Several first stages: what each brings, who is short, and what a list must keep."""

import copy
import re

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from pandas.testing import assert_frame_equal
from sklearn.base import BaseEstimator, clone

from sktwotower import (
    EASERecommender,
    ItemKNNRecommender,
    PopularityRecommender,
    io,
    runtime,
)
from tests.builders import small
from tests.cases import for_each

from .builders import shown, stages, tastes


class Alphabetical(BaseEstimator):
    """A recommender of somebody else, without a method that is not needed."""

    def fit(self, X, y=None):
        self.item_ids_ = np.sort(X["item"].unique())
        self.seen_ = X
        return self

    def recommend(self, users, n_neighbors=10, *, exclude_seen=True, candidates=None):
        items = self.item_ids_ if candidates is None else np.sort(candidates)
        rows = pd.merge(
            pd.DataFrame({"user": users}), pd.DataFrame({"item": items}), how="cross"
        )
        if exclude_seen:
            pairs = self.seen_[["user", "item"]].drop_duplicates()
            rows = rows.merge(pairs, how="left", indicator=True)
            rows = rows[rows.pop("_merge") == "left_only"]
        rows["rank"] = rows.groupby("user").cumcount() + 1
        rows["score"] = 1 / rows["rank"]
        return rows[rows["rank"] <= n_neighbors].reset_index(drop=True)


def sources():
    return [
        ("ease", EASERecommender()),
        ("knn", ItemKNNRecommender(n_similar=3)),  # whose lists are short
        ("popular", PopularityRecommender()),
    ]


QUOTAS = {"ease": 3, "knn": 4, "popular": 2}


@pytest.fixture(scope="module")
def X():
    return tastes(60)


@pytest.fixture(scope="module")
def model(X):
    return stages(sources(), quotas=QUOTAS, n_candidates=12).fit(X)


def by_hand(model, user, n_candidates, quotas, **options):
    """Return the candidates of a user: quotas grow together until there are enough."""
    lists = {}
    for name, source in model.sources_.items():
        table = source.recommend([user], n_candidates, exclude_seen=True, **options)
        lists[name] = list(table["item"])
    found = []
    for more in range(-n_candidates, n_candidates + 1):
        for name, items in lists.items():
            place = quotas.get(name, 0) + more - 1
            if 0 <= place < len(items) and items[place] not in found:
                found.append(items[place])
    return set(found[:n_candidates]), lists


def test_candidates_are_the_quotas_which_grow_together_where_a_source_is_short(
    model, X
):
    for user in X["user"].unique()[:10]:
        expected, lists = by_hand(model, user, 12, QUOTAS)
        table = model.candidate_features([user])
        assert set(table["item"]) == expected
        assert len(table) == len(expected) == 12
        for name, items in lists.items():
            ranks = table.set_index("item")[f"source_rank__{name}"]
            for item, rank in ranks.items():
                in_list = items.index(item) + 1 if item in items else 13
                assert rank == in_list
        assert (table.filter(regex="^source__").sum(axis=1) == 1).all()


def test_no_item_is_recommended_twice_and_long_lists_begin_with_short_ones(model, X):
    longest = model.recommend(n_neighbors=40, exclude_seen=False)
    assert not longest.duplicated(["user", "item"]).any()
    assert (longest.groupby("user").size() == 40).all()
    short = model.recommend(n_neighbors=5, exclude_seen=False)
    head = longest[longest["rank"] <= 5].reset_index(drop=True)
    assert_frame_equal(short, head)
    falls = longest.groupby("user")["score"].diff().fillna(0) <= 0
    assert falls.all()


def test_the_merged_first_stage_scores_pairs_as_its_lists_do(model):
    merged = model.retriever_
    lists = merged.recommend(n_neighbors=12)
    assert_allclose(merged.predict(lists[["user", "item"]]), lists["score"], atol=1e-7)


def test_scores_of_predict_order_as_recommend_does(model, X):
    lists = model.recommend(n_neighbors=12)
    assert_allclose(model.predict(lists[["user", "item"]]), lists["score"], atol=1e-6)


def test_a_report_says_what_each_source_adds(X):
    # the ranker's later events are known: the last fifth of each user
    model = stages(sources(), n_candidates=6, cut="user").fit(X)
    report = model.source_report_
    assert list(report["source"]) == ["ease", "knn", "popular"]
    assert report["quota"].sum() <= 6
    assert report["weight"].sum() == pytest.approx(1)
    # what the sources add, one after the other, is what all of them have
    all_of_them = report["added"].sum()
    assert report["added"][0] == pytest.approx(report["recall"][0])
    assert all_of_them == pytest.approx(model.candidate_recall_, abs=0.02)
    assert (all_of_them >= report["recall"] - 1e-9).all()

    # lost without the last one: what it has added
    assert report["lost_without"].iloc[-1] == pytest.approx(report["added"].iloc[-1])


def test_recall_of_the_report_is_that_of_lists(X):
    model = stages(sources(), n_candidates=6, cut="user").fit(X)
    when = X.groupby("user")["when"].rank(ascending=False)
    later = when <= 2  # a fifth of ten events
    for name, source in sources():
        lists = source.set_params(time="when").fit(X[~later]).recommend(n_neighbors=6)
        hits = X[later].merge(lists, on=["user", "item"])
        report = model.source_report_.set_index("source")
        assert report["recall"][name] == pytest.approx(len(hits) / later.sum())


def test_rules_and_histories_reach_all_sources(model, X):
    user = X["user"][0]
    some = sorted(X["item"].unique())[::3]
    only = model.recommend([user], 40, candidates=some, exclude_seen=False)
    assert set(only["item"]) == set(some)
    by_rule = model.recommend([user], 40, where={"item": some}, exclude_seen=False)
    assert_frame_equal(by_rule, only)
    seen = set(X.loc[X["user"] == user, "item"])
    assert not seen & set(model.recommend([user], 40)["item"])
    first = model.recommend([user], 1)["item"][0]
    without = model.recommend([user], 40, exclude={user: [first]})
    assert first not in set(without["item"])
    diverse = model.recommend([user], 5, diversity=0.5)
    assert len(diverse) == 5
    drawn = model.recommend([user], 5, explore=0.1, random_state=0)
    assert drawn["propensity"].between(0, 1).all()
    past = ["i00", "i01", "i02"]
    new = model.recommend(["new"], 5, history={"new": past})
    assert not set(past) & set(new["item"])
    assert set(new["item"]) < {f"i{item:02}" for item in range(20)}


def test_partial_fit_teaches_all_sources(model, X):
    further = pd.DataFrame(
        {"user": ["new"] * 3, "item": ["i00", "i01", "i40"], "when": [20, 21, 22]}
    )
    now = copy.deepcopy(model).partial_fit(further)
    assert "i40" in now.item_ids_
    for source in now.sources_.values():
        assert "new" in source.user_ids_
    lists = now.recommend(["new"], 5)
    assert len(lists) == 5
    assert not set(further["item"]) & set(lists["item"])
    assert_frame_equal(now.source_report_, model.source_report_)


def test_forgotten_users_are_in_no_source(model, X):
    user = X["user"][0]
    left = copy.deepcopy(model).forget_users([user])
    for source in left.sources_.values():
        assert user not in source.user_ids_
    others = [each for each in X["user"].unique() if each != user]
    assert_array_equal(
        left.retriever_.recommend(others, 5)["item"],
        model.retriever_.recommend(others, 5)["item"],
    )


def test_a_file_holds_all_sources(model, X, tmp_path):
    path = tmp_path / "model.sktt"
    model = clone(model).set_params(ranker=None).fit(X)
    io.dump(model, path)
    read = io.load(path)
    assert_frame_equal(read.recommend(n_neighbors=5), model.recommend(n_neighbors=5))
    assert_frame_equal(read.source_report_, model.source_report_)
    assert read.get_params()["knn__n_similar"] == 3
    with pytest.raises(ValueError, match="numpy can serve only a TwoTowerRecommender"):
        runtime.load(path)


def test_an_explanation_names_the_ranks_of_the_sources(model, X):
    user = X["user"][0]
    item = model.recommend([user], 1)["item"][0]
    why = model.explain(user, item)
    of_sources = why[why["side"] == "source"].set_index("feature")
    for name in ("ease", "knn", "popular"):
        listed = list(model.sources_[name].recommend([user], 12)["item"])
        if item in listed:
            assert of_sources["value"][name] == listed.index(item) + 1
        else:
            assert "not among the first 12" in of_sources["reason"][name]
    score = model.retriever_.predict(pd.DataFrame({"user": [user], "item": [item]}))
    assert of_sources["contribution"].sum() == pytest.approx(score[0])


def test_parameters_of_sources_have_their_names(X):
    model = stages(sources())
    assert model.get_params()["ease__l2"] == EASERecommender().l2
    model.set_params(ease__l2=7.0, popular=ItemKNNRecommender())
    assert dict(model.retriever)["ease"].l2 == 7.0
    assert isinstance(dict(model.retriever)["popular"], ItemKNNRecommender)
    copied = clone(model)
    assert copied.get_params()["ease__l2"] == 7.0
    assert "ease" in model._repr_html_()


def test_a_recommender_of_another_library_is_a_source(X):
    params = {"n_candidates": 12}
    model = stages([("abc", Alphabetical()), ("popular", PopularityRecommender())])
    model.set_params(**params).fit(X)
    user = X["user"][0]
    expected, _ = by_hand(model, user, 12, {})
    assert isinstance(model.sources_["abc"], Alphabetical)
    assert len(model.candidate_features([user])) == len(expected) == 12
    with pytest.raises(ValueError, match="history needs a recommender of this package"):
        model.recommend(["new"], history={"new": ["i00"]})
    with pytest.raises(ValueError, match="has not"):
        model.partial_fit(X[:2])


def test_towers_with_new_items_are_a_source_beside_one_that_lacks_them(X):
    items = pd.DataFrame({"item": [f"i{item:02}" for item in range(45)]})
    items["group"] = np.arange(45) // 20
    towers = small(items=items, time="when")
    model = stages([("ease", EASERecommender()), ("towers", towers)], n_candidates=12)
    model.fit(X)
    assert len(model.item_ids_) == 45
    new = ["i41", "i43"]
    assert set(model.recommend(["u00"], 5, candidates=new)["item"]) == set(new)
    only = model.recommend(["u00"], 9, where={"group": 1}, exclude_seen=False)
    groups = items.set_index("item")["group"]
    assert (groups[only["item"]] == 1).all()


def test_a_context_reaches_the_sources_that_read_it(X):
    days = pd.Timestamp("2024-01-01") + pd.to_timedelta(X["when"], "D")
    hours = X["item"].str[1:].astype(int) % 24
    events = X.assign(when=days, hour=hours)
    towers = small(time="when", context=["hour"])
    model = stages([("ease", EASERecommender()), ("towers", towers)], n_candidates=12)
    model.fit(events)
    user = X["user"][0]
    early, late = (
        model.sources_["towers"].recommend([user], 12, context={"hour": hour})["score"]
        for hour in (1, 13)
    )
    assert list(early) != list(late)
    for hour in (1, 13):
        merged = model.retriever_.recommend([user], 12, context={"hour": hour})
        own = model.sources_["towers"].recommend([user], 12, context={"hour": hour})
        ease = model.sources_["ease"].recommend([user], 12)
        assert set(merged["item"]) <= {*own["item"], *ease["item"]}
        assert len(model.recommend([user], 5, context={"hour": hour})) == 5
    assert np.isfinite(model.predict(events.head(20))).all()


def test_lists_that_were_shown_are_ordered_behind_several_sources():
    table = shown()
    params = {"lists": "list", "position": "place", "n_candidates": 12}
    model = stages([("ease", EASERecommender()), ("popular", PopularityRecommender())])
    model.set_params(**params).fit(table.drop(columns="y"), table["y"])
    before = model.predict(table.drop(columns="y"))
    assert np.isfinite(before).all()
    further = table[:12].assign(when=table["when"].max() + pd.Timedelta("1D"))
    model.update_counts(further.drop(columns="y"), further["y"])
    assert np.isfinite(model.predict_proba(table.drop(columns="y"))).all()


@for_each(
    "retriever, params, message",
    [
        ([("a", EASERecommender())], {}, "two sources or more"),
        (
            [("a", EASERecommender()), ("a", PopularityRecommender())],
            {},
            "name of its own, and 'a' occurs 2 times",
        ),
        (
            [("time", EASERecommender()), ("b", PopularityRecommender())],
            {},
            "'time' cannot be the name of a source",
        ),
        (sources(), {"quotas": {"eas": 3}}, "Did you mean 'ease'"),
        (sources(), {"quotas": {"ease": 26}}, "more than n_candidates=25"),
        (sources(), {"quotas": {"ease": -1}}, "integer >= 0. Got -1"),
        (sources(), {"quotas": {"ease": 1.5}}, "integer >= 0. Got 1.5"),
        (sources(), {"n_candidates": 2}, "less than one candidate"),
        (EASERecommender(), {"quotas": {"ease": 3}}, "those of several sources"),
        (
            [("a", EASERecommender(time="day")), ("b", PopularityRecommender())],
            {},
            "is another column than the retriever's time='day'",
        ),
        (
            [
                ("a", EASERecommender(user_id="user")),
                ("b", PopularityRecommender(user_id="buyer")),
            ],
            {},
            "must read the same columns",
        ),
    ],
)
def test_sources_that_do_not_fit_are_refused(retriever, params, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        stages(retriever, **params).fit(tastes(60))


@for_each(
    "retriever, message",
    [
        ([EASERecommender(), PopularityRecommender()], "pairs of a name"),
        ([("a", EASERecommender()), ("b", BaseEstimator())], "must be a recommender"),
        ([("a", EASERecommender()), ("b", stages())], "with one stage"),
        ([("a", EASERecommender()), (2, PopularityRecommender())], "pairs of a name"),
    ],
)
def test_what_is_no_source_is_refused(retriever, message):
    with pytest.raises(TypeError, match=message):
        stages(retriever).fit(tastes(60))


def test_a_source_with_ids_of_another_type_is_refused(X):
    class Numbers(Alphabetical):
        def fit(self, X, y=None):
            super().fit(X, y)
            self.item_ids_ = np.arange(len(self.item_ids_))
            return self

    model = stages([("numbers", Numbers()), ("popular", PopularityRecommender())])
    with pytest.raises((TypeError, ValueError), match="ids of item_ids_|type"):
        model.fit(X)
