"""Answers to requests: the blended order, scores of pairs, importance of features."""

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from pandas.testing import assert_frame_equal
from sklearn.exceptions import NotFittedError
from sklearn.metrics import roc_auc_score

from sktwotower import EASERecommender
from sktwotower.metrics import make_list_scorer, retrieval_report
from sktwotower.plots import FeatureImportanceDisplay
from tests.builders import ordered, small

from .builders import follows, stages, tastes


@pytest.fixture(scope="module")
def events():
    return follows(60, noise=0.2)


@pytest.fixture(scope="module")
def model(events):
    return stages(EASERecommender(), n_candidates=12).fit(events)


def by_hand(model, user, n_items):
    """Return the blended order and scores of a user, one candidate at a time."""
    first = model.retriever_.recommend([user], n_items)["item"].tolist()
    n = model.n_candidates
    features = model.candidate_features([user]).iloc[:, 2:]
    by_ranker = model.ranker_.predict_proba(features)[:, 1]
    ranks = [
        1 + sum(by_ranker > s) + sum(by_ranker[:i] == s)
        for i, s in enumerate(by_ranker)
    ]
    w = model.blend_
    scores = {
        item: 1 / ((a ** (1 - w)) * (ranks[a - 1] ** w if a <= n else a**w))
        for a, item in enumerate(first, 1)
    }
    return sorted(scores.items(), key=lambda pair: -pair[1])


def test_the_order_is_the_blended_one(model):
    assert 0 < model.blend_
    top = model.recommend(["u05"], n_neighbors=20)
    expected = by_hand(model, "u05", 20)
    assert top["item"].tolist() == [item for item, _ in expected]
    assert_allclose(top["score"], [score for _, score in expected], rtol=1e-6)
    assert (np.diff(top["score"]) <= 0).all()


def test_few_and_many_neighbors_have_one_order(model):
    many = model.recommend(["u05", "u09"], n_neighbors=25)
    for k in (1, 5, 12, 13):
        few = model.recommend(["u05", "u09"], n_neighbors=k)
        expected = many[many["rank"] <= k].reset_index(drop=True)
        assert_frame_equal(few, expected)
    distances, indices = model.kneighbors(["u05", "u09"], n_neighbors=25)
    assert_array_equal(model.item_ids_[indices[0]], many["item"][:25])
    assert_allclose(1 - distances[0], many["score"][:25], rtol=1e-6)
    graph = model.kneighbors_graph(["u05"], n_neighbors=3)
    assert set(model.item_ids_[graph.indices]) == set(many["item"][:3])


def test_after_the_candidates_the_order_is_that_of_retrieval(model):
    rest = model.recommend(["u05"], n_neighbors=20)["item"].tolist()[12:]
    first = model.retriever_.recommend(["u05"], n_neighbors=20)["item"].tolist()
    assert rest == first[12:] and set(first[:12]).isdisjoint(rest)


def test_predict_returns_the_scores_of_recommend(model):
    top = model.recommend(n_neighbors=12)
    assert_allclose(model.predict(top[["user", "item"]]), top["score"], rtol=1e-6)
    shuffled = top.sample(frac=1, random_state=0)
    assert_array_equal(
        model.predict(shuffled[["user", "item"]]),
        model.predict(top[["user", "item"]])[shuffled.index],
    )


def test_predict_places_other_items_among_the_candidates(model, events):
    pairs = pd.DataFrame({"user": "u05", "item": model.item_ids_})
    scores = pd.Series(model.predict(pairs), model.item_ids_)
    assert ((scores > 0) & (scores < 2)).all()
    candidates = model.candidate_features(["u05"])["item"]
    seen = events["item"][events["user"] == "u05"]
    others = pairs["item"][~pairs["item"].isin([*candidates, *seen])]
    assert len(others) and scores[others].max() < 1
    own = model.retriever_.predict(pairs)
    assert np.corrcoef(scores, own)[0, 1] > 0
    unknown = pd.DataFrame({"user": ["u05", "new"], "item": ["other", "i03"]})
    found = model.predict(unknown)
    assert found[0] == 0 < found[1]


@pytest.mark.slow
def test_history_and_candidates_of_a_request(model, events):
    own = events[events["user"] == "u05"]
    told = model.recommend(history=own.assign(user="new"), n_neighbors=5)
    known = model.recommend(["u05"], n_neighbors=5)
    assert told["item"].tolist() == known["item"].tolist()
    allowed = ["i03", "i09", "i20"]
    some = model.recommend(["new"], candidates=allowed, history={"new": ["i01"]})
    assert set(some["item"]) == set(allowed)
    with pytest.raises(ValueError, match="history has no column 'when'"):
        stages(ordered()).fit(events).recommend(history=own[["user", "item"]])


@pytest.mark.slow
def test_predict_with_a_history(events):
    model = stages(ordered(sparse_parts=None)).fit(events)
    assert model.blend_ > 0
    own = events[events["user"] == "u05"].assign(user="new")
    top = model.recommend(history=own, n_neighbors=12)
    pairs = top[["user", "item"]]
    assert_allclose(model.predict(pairs, history=own), top["score"], rtol=1e-6)
    assert (model.predict(pairs) != model.predict(pairs, history=own)).any()


def test_excluded_pairs_are_not_among_the_candidates(model):
    users, items = ["u01", "u02"], model.item_ids_
    first = model.recommend(users, 3)["item"].unique()
    left = model.recommend(users, exclude=dict.fromkeys(users, first))
    allowed = np.setdiff1d(items, first)
    assert_frame_equal(left, model.recommend(users, candidates=allowed))
    assert not np.isin(left["item"], first).any()
    own = model.recommend(users, exclude={"u01": first})
    other = model.recommend(["u02"])
    assert_frame_equal(own[own["user"] == "u02"].reset_index(drop=True), other)


@pytest.mark.slow
def test_lists_that_were_shown_are_scored(events, model):
    rng = np.random.default_rng(0)
    shown = events.iloc[:64].assign(page=np.arange(64) // 4)  # two of each user
    y = np.tile([1, 0, 0, 1], 16)[rng.permutation(64)]
    scores = pd.Series(model.predict(shown.drop(columns="page")))
    by_hand = [
        roc_auc_score(y[rows], scores[rows])
        for rows in np.split(np.arange(64), 16)
        if 0 < y[rows].sum() < 4
    ]
    scorer = make_list_scorer("roc_auc", lists="page")
    assert scorer(model, shown, y) == pytest.approx(np.mean(by_hand))


@pytest.mark.slow
def test_items_without_events_can_be_candidates():
    events = follows(60)
    known = events["item"].unique()
    items = pd.DataFrame({"item": [*known, "cold"], "tag": "a"})
    items["tag"] = np.where(items.index % 2, "a", "b")
    for dates in (False, True):
        events = follows(60, dates=dates)
        retriever = ordered(items=items, max_epochs=1, sparse_parts=None)
        model = stages(retriever, n_candidates=40).fit(events)
        table = model.candidate_features(["u05"]).set_index("item")
        assert table.loc["cold", "popularity"] == 0
        assert table.loc["cold", "after_recent"] == 0
        assert ("item_age" in table) == dates
        if dates:
            assert np.isnan(table.loc["cold", ["item_age", "item_end"]]).all()
        pair = pd.DataFrame({"user": ["u05"], "item": ["cold"]})
        assert model.predict(pair)[0] > 0


@pytest.mark.slow
def test_a_user_who_has_seen_everything():
    events = tastes()
    everything = pd.DataFrame({"user": "all", "item": events["item"].unique()})
    events = pd.concat([events, everything.assign(when=range(len(everything)))])
    model = stages(EASERecommender()).fit(events)
    assert len(model.recommend(["all"])) == 0
    assert len(model.candidate_features(["all"])) == 0
    pairs = everything.assign(when=0)
    assert np.isfinite(model.predict(pairs)).all()
    whole = model.recommend(["all", "u01"], exclude_seen=False)
    assert whole["user"].value_counts().tolist() == [10, 10]


@pytest.mark.slow
def test_reports_and_held_out_rankings(model, events):
    last = events["when"] == 7
    fitted = stages(EASERecommender()).fit(events[~last])
    ranking = fitted.rank_held_out(events[last], n_neighbors=5)
    first = fitted.recommend([ranking.users[0]], 5)["item"].tolist()
    assert fitted.item_ids_[ranking.indices[0]].tolist() == first
    report = retrieval_report(fitted, events[last], k=5, baselines=[fitted.retriever_])
    assert "EASERecommender" in str(report)


def test_before_fit():
    for method in ("predict", "recommend", "candidate_features", "feature_importance"):
        with pytest.raises(NotFittedError):
            getattr(stages(), method)(["u00"])
    assert not hasattr(stages(), "blend_") and not hasattr(stages(), "ranker_")


# The importance of features


@pytest.mark.slow
def test_the_feature_that_finds_the_next_item_matters_most(events):
    last = events["when"] == 7
    model = stages(EASERecommender()).fit(events[~last])
    for X in (None, events[last]):
        table = model.feature_importance(X, random_state=0)
        assert table.columns.tolist() == [
            "group",
            "features",
            "ndcg_lost",
            "lower",
            "upper",
        ]
        assert table["group"][0] == "order of events"
        assert table["features"][0] == ["after_last", "after_recent"]
        assert table["lower"][0] > 0
        assert (np.diff(table["ndcg_lost"]) <= 0).all()
        assert (table["lower"] <= table["upper"]).all()
        assert 0 < table.attrs["ndcg"] <= 1 and table.attrs["n_neighbors"] == 10
    names = model.candidate_features(["u00"]).columns[2:]
    assert sorted(sum(table["features"], [])) == sorted(names)


@pytest.mark.slow
def test_features_that_the_ranker_does_not_read_lose_nothing(events):
    model = stages(EASERecommender(), features=lambda t: t[["rank"]] * 0).fit(events)
    table = model.feature_importance(random_state=0).set_index("group")
    lost = table.loc["own features", ["ndcg_lost", "lower", "upper"]].to_numpy(float)
    assert_array_equal(lost, 0)


@pytest.mark.slow
def test_the_ndcg_is_that_of_the_blended_order(events):
    last = events["when"] == 7
    model = stages(EASERecommender(), n_neighbors=5).fit(events[~last])
    new = events[last].merge(
        events.loc[~last, ["user", "item"]], how="left", indicator=True
    )
    new = new[new["_merge"] == "left_only"][["user", "item", "when"]]
    ranking = model.rank_held_out(new, n_neighbors=5)
    known = ranking.n_unreachable == 0
    hits = ranking.truth.toarray()[np.arange(len(known))[:, None], ranking.indices] > 0
    gains = (hits / np.log2(np.arange(2, 7))).sum(axis=1)
    expected = gains[known].mean()
    found = model.feature_importance(new, random_state=0).attrs["ndcg"]
    assert_allclose(found, expected)


def test_importance_needs_a_ranker():
    with pytest.warns(UserWarning, match="No ranker was trained"):
        model = stages().fit(follows(5))
    with pytest.raises(ValueError, match="There is no ranker whose features could be"):
        model.feature_importance()
    fitted = stages().fit(follows())
    with pytest.raises(ValueError, match="n_repeats must be an integer >= 1. Got 0"):
        fitted.feature_importance(n_repeats=0)


@pytest.mark.slow
def test_a_part_of_the_users_is_enough(events):
    last = events["when"] == 7
    model = stages().fit(events[~last])
    few = model.feature_importance(events[last], max_users=5, random_state=0)
    again = model.feature_importance(events[last], max_users=5, random_state=0)
    assert_frame_equal(few, again)
    whole = model.feature_importance(events[last], random_state=0)
    assert few.attrs["ndcg"] != whole.attrs["ndcg"]
    with pytest.raises(
        ValueError, match="X holds no positive event with an item of th"
    ):
        model.feature_importance(events[~last])


@pytest.mark.slow
def test_the_importance_of_groups_is_drawn(model):
    pytest.importorskip("matplotlib").use("Agg")
    table = model.feature_importance(random_state=0)
    display = FeatureImportanceDisplay(importance=table).plot()
    labels = [label.get_text() for label in display.ax_.get_yticklabels()]
    assert labels == table["group"].tolist()
    assert display.ax_.get_xlabel().startswith("NDCG@10 lost,")
    assert f"(full model: {table.attrs['ndcg']:.3f})" in display.ax_.get_title()


@pytest.mark.slow
def test_changing_the_retriever_changes_no_answer(events):
    model = stages(small()).fit(events)
    before = model.recommend(["u01", "u02"])
    kind = type(model.retriever_)
    model.retriever_.set_catalog(model.item_ids_[::-1][:9])
    assert isinstance(model.retriever_, kind)
    assert_frame_equal(model.recommend(["u01", "u02"]), before)
