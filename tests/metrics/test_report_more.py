"""What reports compare and say: recent popularity, cold items, columns, new users."""

import warnings

import numpy as np
import pandas as pd
import polars as pl
import pytest
from numpy.testing import assert_allclose
from sklearn.model_selection import GridSearchCV, KFold

from sktwotower import (
    EASERecommender,
    ItemKNNRecommender,
    PopularityRecommender,
    RepeatRecommender,
)
from sktwotower.metrics import make_retrieval_scorer, retrieval_report
from sktwotower.model_selection import TimeSplit
from tests.builders import TEST, TRAIN, FixedRanking, first_fast, spelt
from tests.cases import for_each


@pytest.fixture(scope="module")
def split():
    """Events of 20 users and 12 items, of 100 days, and later ones."""
    rng = np.random.default_rng(0)
    pairs = np.argwhere(rng.uniform(size=(20, 12)) < 0.6)
    rng.shuffle(pairs)
    X = pd.DataFrame(pairs, columns=["user", "item"])
    X["time"] = pd.date_range("2026-01-01", "2026-04-10", len(X))
    train, test = next(TimeSplit(0.2, time="time").split(X))
    return X.iloc[train].reset_index(drop=True), X.iloc[test].reset_index(drop=True)


def test_a_class_with_recommend_alone_takes_part(split):
    train, test = split
    pairs = train[["user", "item"]]
    best = pairs["item"].value_counts().index

    class Mine:
        def recommend(self, users, n_neighbors=10):
            rows = []
            for user in users:
                had = set(pairs.loc[pairs["user"] == user, "item"])
                rows += [(user, item) for item in best if item not in had]
            return pd.DataFrame(rows, columns=["user", "item"])

    ease = EASERecommender().fit(pairs)
    held_out = test[test["user"].isin(pairs["user"])][["user", "item"]]
    table = Mine().recommend(held_out["user"].unique())
    baselines = {"mine": Mine(), "its table": table}
    report = retrieval_report(ease, held_out, k=2, baselines=baselines)
    assert report.loc["all", "ndcg@2"]["mine"] > 0
    assert_allclose(*(report.xs(name, level="model")["ndcg@2"] for name in baselines))
    with pytest.raises(TypeError, match="Mine does not say which items are ranked"):
        retrieval_report(Mine(), held_out, k=2)
    for subject in (Mine(), table):
        turned = retrieval_report(subject, held_out, k=2, baselines=[ease])
        ahead = turned.loc["all", "ndcg@2 diff"]["EASERecommender"]
        assert_allclose(ahead, -report.loc["all", "ndcg@2 diff"]["mine"])
    assert list(turned.loc["all"].index) == ["ranking", "popularity", "EASERecommender"]


def test_the_length_of_a_list_has_any_usual_name(split):
    train, test = split
    pairs = train[["user", "item"]]
    best = pairs["item"].value_counts().index.tolist()

    class Mine:
        def fit(self, X):
            return self

        def recommend(self, users, n):
            return dict.fromkeys(users, best[:n])

    class Others:
        def recommend(self, userid, user_items, N=10):  # noqa: N803
            raise NotImplementedError

    ease = EASERecommender(exclude_seen=False).fit(pairs)
    held_out = test[test["user"].isin(pairs["user"])][["user", "item"]]
    report = retrieval_report(ease, held_out, k=2, baselines=[Mine().fit(pairs)])
    figures = report.loc["all", "ndcg@2"]
    assert figures["Mine"] > 0
    with pytest.raises(TypeError, match="Others cannot rank.*pass its ranking"):
        retrieval_report(ease, held_out, k=2, baselines=[Others()])


# Recent popularity


def test_a_report_says_where_best_sellers_of_30_days_are_as_good(split):
    X, _ = split
    # whoever is new chooses what was new in the last days, which the model cannot know
    new = pd.DataFrame({"user": np.arange(50, 58), "item": 99, "time": X["time"].max()})
    X = pd.concat([X, new], ignore_index=True)
    held_out = pd.DataFrame({"user": np.arange(100, 110), "item": [99] * 9 + [0]})
    old = ItemKNNRecommender(time="time", decay=1).fit(X)
    recent = PopularityRecommender(time="time", window=pd.Timedelta(days=30)).fit(X)
    report = retrieval_report(old, held_out, k=(1, 2), baselines={"recent": recent})
    found = report.loc["all", "recall@2"].map("{:.4f}".format).str.removeprefix("0")
    assert f"recall@2 {found['recent']} against" in report.attrs["best_sellers"]
    assert report.attrs["best_sellers"] in " ".join(repr(report).split())
    # to whom they are no use: everybody wants something else
    wanted = X.groupby("user").head(1)[["user", "item"]]
    other = retrieval_report(old, wanted[wanted["item"] != 99], k=1)
    assert other.attrs["best_sellers"] == "" and "30 days" not in repr(other)


@pytest.mark.slow
def test_without_dates_or_a_longer_past_there_is_nothing_to_say(split):
    X, _ = split
    model = ItemKNNRecommender(time="time", decay=1)
    # whoever is new chooses what was new in the last days
    new = pd.DataFrame({"user": np.arange(50, 58), "item": 99, "time": X["time"].max()})
    held_out = pd.DataFrame({"user": np.arange(100, 110), "item": 99})

    def said(train, model=model):
        report = retrieval_report(model.fit(train), held_out, k=1)
        return report.attrs["best_sellers"]

    both = pd.concat([X, new], ignore_index=True)
    days = (both["time"] - both["time"].min()).dt.days
    assert "30 days" in said(both)
    assert said(both.assign(time=days)) == said(both[days > days.max() - 30]) == ""
    no_order = ItemKNNRecommender()
    assert said(both[["user", "item"]], no_order) == ""


# Places of items without events


@pytest.mark.slow
def test_places_of_cold_items_by_hand():
    class Cold(FixedRanking):
        def rank_held_out(self, *args, **params):
            ranking = super().rank_held_out(*args, **params)
            counts = ranking.item_counts * [1, 1, 1, 0]  # s is cold
            object.__setattr__(ranking, "item_counts", counts)
            return ranking

    report = retrieval_report(Cold().fit(TRAIN), TEST, k=(1, 2))
    # first: r s q p p; then: s - r q q. s is in the second place of a and wanted by a
    # and b, whose only place it is.
    row = report.loc[("all", "Cold")]
    assert row["cold_share@1"] == 1 / 5 and row["cold_precision@1"] == 1
    assert row["cold_share@2"] == pytest.approx(2 / 9) and row["cold_precision@2"] == 1
    text = " ".join(repr(report).split())
    assert "in training take 20.0% of the first 1 places of Cold" in text
    assert "of these places 100.0% are right" in text
    none = retrieval_report(Cold().fit(TRAIN), spelt("a:r"), k=2)
    assert "no held-out event is of such an item." in " ".join(repr(none).split())
    warm = retrieval_report(FixedRanking().fit(TRAIN), TEST, k=1)
    assert warm.loc[("all", "FixedRanking"), "cold_share@1"] == 0
    assert np.isnan(warm.loc[("all", "FixedRanking"), "cold_precision@1"])
    assert "Items without an event" not in repr(warm)


# Columns that only some models have


@pytest.mark.parametrize("convert", first_fast([pd.DataFrame, pl.from_pandas]))
def test_models_may_be_fitted_on_fewer_columns(split, convert):
    X, later = split
    ordered = ItemKNNRecommender(time="time", decay=1).fit(X)
    narrow = EASERecommender().fit(X[["user", "item"]])
    wide = convert(later.assign(place=1))
    report = retrieval_report(ordered, wide, k=3, baselines=[narrow])
    own = retrieval_report(narrow, later[["user", "item"]], k=3)
    expected = own.loc["all", "recall@3"]["EASERecommender"]
    assert report.loc[("all", "EASERecommender"), "recall@3"] == expected
    assert make_retrieval_scorer(k=3)(narrow, wide) == expected


def test_requests_of_one_model_are_those_of_a_model_without_the_column(split):
    X, later = split
    hours = later.assign(hour=np.arange(len(later)) % 2)
    narrow = EASERecommender().fit(X[["user", "item"]])
    wide = EASERecommender().fit(X[["user", "item"]].assign(hour=0))
    given = hours[["user", "item", "hour"]]
    found, expected = (
        m.rank_held_out(given, n_neighbors=3, requests="hour") for m in (narrow, wide)
    )
    assert len(found.users) > later["user"].nunique()
    assert_allclose(found.indices, expected.indices)


def test_a_missing_column_is_found_before_any_model_is_asked(split):
    X, later = split

    class Asked(FixedRanking):
        def rank_held_out(self, *args, **params):
            raise AssertionError("It is asked too early.")

    model = Asked().fit(X[["user", "item"]])
    other = EASERecommender().fit(X.assign(shop=1)[["user", "item", "shop"]])
    with pytest.raises(ValueError, match="now missing:\n- shop") as raised:
        retrieval_report(model, later, k=3, baselines={"EASE": other})
    assert raised.value.__notes__ == ["Raised by the baseline 'EASE'."]
    timed = EASERecommender(time="time").fit(X)
    with pytest.raises(ValueError, match="'tme', .* Did you mean 'time'"):
        timed.score(later.rename(columns={"time": "tme"}))


# Users whom no model knows


@pytest.mark.slow
def test_unknown_users_only_are_warned_of():
    X = spelt("a:pq b:pqr c:pr d:qs e:pq f:rs")  # sorted by user
    search = GridSearchCV(EASERecommender(), {"l2": [1, 10]}, cv=KFold(3))
    with pytest.warns(UserWarning, match=r"known from fit and .* KFold\. Split by"):
        search.fit(X)
    model = EASERecommender().fit(X[X["user"] < "e"])
    with pytest.warns(UserWarning, match="earlier events of these users as") as caught:
        model.score(X[X["user"] >= "e"])
    assert len(caught) == 1
    many = pd.DataFrame({"user": np.arange(120) // 3, "item": [*"pqrqpr"] * 20})
    cut = many.index[31:92]  # within users 10 and 30
    with pytest.warns(
        UserWarning, match="No user of X is known from fit, except 2 of 21, and"
    ):
        EASERecommender().fit(many.drop(cut)).score(many.loc[cut])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model.score(X)  # some are known
        history = {"e": ["p"], "f": ["r"]}
        retrieval_report(model, spelt("e:q f:s"), k=1, history=history)


@pytest.mark.slow
def test_a_history_without_times_is_warned_of_if_a_model_reads_them(split):
    X, _ = split
    later, history = pd.DataFrame({"user": ["new"], "item": [1]}), {"new": [2, 3]}
    later = later.astype(X.astype({"user": object}).dtypes[["user", "item"]])
    X = X.astype({"user": str})
    ordered = ItemKNNRecommender(time="time", decay=1).fit(X)
    with pytest.warns(UserWarning, match="history has no times, .* column 'time'"):
        retrieval_report(ordered, later, k=3, history=history)
    table = pd.DataFrame({"user": "new", "item": [2, 3], "time": X["time"].max()})
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        retrieval_report(ordered, later, k=3, history=table)
        plain = ItemKNNRecommender().fit(X[["user", "item"]])
        retrieval_report(plain, later, k=3, history=history)


# Repeated and new choices


def test_figures_of_what_users_had_and_of_what_is_new_to_them_by_hand():
    # lists: p, q, r, s for all. e has had s by the history, and z is in no catalog
    test = spelt("a:ps b:sz c:pq d:sq e:qs")
    model = PopularityRecommender(exclude_seen=False).fit(TRAIN)
    report = retrieval_report(model, test, k=2, history={"e": ["s"]})
    figures = report.xs("PopularityRecommender", level="model")
    names = ["recall@2", "ndcg@2", "users", "events"]
    # had before: p of a and of c is the first, s of d and of e is the last
    assert_allclose(figures.loc["had before", names], [1 / 2, 1 / 2, 4, 4])
    # new: s of a and of b is the last, q of c, d and e is the second
    expected = [3 / 5, 3 / 5 / np.log2(3), 5, 5]
    assert_allclose(figures.loc["new to the user", names], expected)
    assert figures.loc["all", "events"] == 10  # z as well
    assert "had before: 4 users, 4 events" in repr(report)


def test_own_counts_stand_next_to_models_whose_lists_may_hold_what_users_had():
    # a had t twice, and o earlier; b had o; o is the most popular item, then t
    rows = [["a", "o", 1], ["a", "t", 2], ["a", "t", 3], ["b", "o", 1], ["b", "t", 2]]
    rows += [["b", "n", 3], ["b", "n", 4], ["c", "o", 5], ["c", "m", 6]]
    X = pd.DataFrame(rows, columns=["user", "item", "day"])
    test = spelt("a:tm b:no c:mt")
    repeats = RepeatRecommender(time="day").fit(X)
    timed = ItemKNNRecommender(time="day", decay=1, exclude_seen=False).fit(X)
    untimed = EASERecommender(exclude_seen=False).fit(X[["user", "item"]])
    report = retrieval_report(timed, test, k=(1, 2))
    # t, n and o are first; the second ones are o, o and m
    assert_allclose(report.loc[("all", "own counts"), "hit_rate@1"], 2 / 3)
    assert_allclose(report.loc[("all", "own counts"), "recall@2"], 2 / 3)
    assert report.verdict().other in ("own counts", "popularity")
    assert "own counts" in repr(report)
    both = retrieval_report(timed, test, k=(1, 2), baselines=[repeats])
    columns = ["recall@1", "recall@2", "ndcg@2"]
    own = both.loc[("all", "RepeatRecommender"), columns]
    assert_allclose(report.loc[("all", "own counts"), columns], own)
    assert ("all", "own counts") not in both.index
    # without times, each item counts once: o is the first for all
    once = retrieval_report(untimed, test, k=1)
    assert_allclose(once.loc[("all", "own counts"), "hit_rate@1"], 1 / 3)
    # what a history adds counts, too: then c has had n, which is less popular than o
    history = {"new": ["n"]}
    of_new = retrieval_report(untimed, spelt("new:nm"), k=1, history=history)
    assert of_new.loc[("all", "own counts"), "hit_rate@1"] == 1
    hides = EASERecommender().fit(X[["user", "item"]])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # some of it was in fit
        hidden = retrieval_report(hides, test, k=1)
    assert "own counts" not in hidden.index.unique("model")


@for_each(
    ("exclude_seen", "test"),
    [
        (True, "a:ps b:s c:pq"),  # lists leave out what else users had
        (True, "a:pq b:pqr c:p d:ps"),  # they leave out nothing: all is to be found
        (False, "a:pq b:pqr c:p d:ps"),  # nothing is new
        (False, "a:rs b:s c:qz"),  # nothing is chosen again
    ],
)
def test_repeats_are_told_apart_only_where_lists_hold_both(exclude_seen, test):
    model = PopularityRecommender(exclude_seen=exclude_seen).fit(TRAIN)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # figures on the events of fit are too high
        report = retrieval_report(model, spelt(test), k=2)
    groups = report.index.unique("group")
    assert "all" in groups
    assert not {"had before", "new to the user"} & {*groups}


@pytest.mark.slow
def test_a_baseline_whose_lists_leave_out_other_items_is_warned_of():
    holds = PopularityRecommender(exclude_seen=False).fit(TRAIN)
    hides = PopularityRecommender().fit(TRAIN)
    test = spelt("a:ps b:s c:pq")
    for estimator, baseline, verb, remedy in [
        (holds, hides, "leaves out", False),
        (hides, holds, "does not leave out", True),
    ]:
        message = rf"'other' {verb} what users had.*exclude_seen={remedy}\)"
        with pytest.warns(UserWarning, match=message):
            retrieval_report(estimator, test, k=2, baselines={"other": baseline})
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        retrieval_report(holds, test, k=2, baselines={"other": holds})
