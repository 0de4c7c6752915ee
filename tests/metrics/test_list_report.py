"""The report of the order within lists: by hand, by the functions, bad input."""

import math

import numpy as np
import pandas as pd
import polars as pl
import pytest
from numpy.testing import assert_allclose
from scipy import stats
from sklearn.compose import make_column_transformer
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.pipeline import make_pipeline

from sktwotower import ClickRateRecommender, EASERecommender, PopularityRecommender
from sktwotower.metrics import (
    expected_calibration_error,
    ndcg_by_list,
    reciprocal_rank_by_list,
    retrieval_report,
    roc_auc_by_list,
)
from tests.builders import TEST, TRAIN, FixedRanking
from tests.metrics.test_list_scorers import CHOSEN, FIT, SHOWN, Y


@pytest.fixture
def model():
    return ClickRateRecommender(0, user_id="user", item_id="item").fit(FIT, CHOSEN)


def test_figures_by_hand(model):
    # In fit tea was chosen twice, jam once and egg never: by popularity, too, what was
    # chosen is 2nd of 2, 1st of 2 and 3rd of 3; a ranker by name has jam before tea.
    by_name = [1, 2, 1, 2, 1, 2, 3]
    report = retrieval_report(
        model, SHOWN, Y, k=2, lists="page", baselines={"name": np.array(by_name)}
    )
    assert report.loc["all"].index.tolist() == [
        "ClickRateRecommender",
        "popularity",
        "name",
    ]
    half = 1 / np.log2(3)
    for name in ("ClickRateRecommender", "popularity"):
        row = report.loc[("all", name)]
        assert row["roc_auc"] == pytest.approx((0 + 1 + 0) / 3)
        assert row["ndcg@2"] == pytest.approx((half + 1 + 0) / 3)
        assert row["mrr"] == pytest.approx((1 / 2 + 1 + 1 / 3) / 3)
        assert row["roc_auc diff"] == row["mrr diff se"] == 0
    row = report.loc[("all", "name")]
    # egg, jam, tea: 1st of 2, 2nd of 2 and 1st of 3
    assert row["roc_auc"] == pytest.approx((1 + 0 + 1) / 3)
    assert row["ndcg@2 diff"] == pytest.approx((1 - half + half - 1 + 1) / 3)
    # differences 1, -1 of ann and 1 of bob: sums of 0 - 2/3 and 1 - 1/3
    assert row["roc_auc diff se"] == pytest.approx(math.sqrt(2 * 2 * (2 / 3) ** 2) / 3)
    assert row[["users", "lists", "roc_auc lists"]].tolist() == [2, 3, 3]
    # in fit, ann chose two items and bob one; all items are known
    groups = ["all", "few events", "many events"]
    assert report.index.unique("group").tolist() == groups
    assert report.shape == (3 * 3, 4 * 1 + 12)
    assert report["expected_calibration_error"].isna().all()


@pytest.fixture(scope="module")
def logged():
    """Events of fit and of a later time, with lists of three items."""
    rng = np.random.default_rng(0)
    users = np.repeat(np.arange(60), 6)
    X = pd.DataFrame({"user": users, "item": rng.integers(0, 15, size=len(users))})
    y = rng.integers(0, 2, size=len(X))
    users = np.repeat(rng.integers(0, 70, size=80), 3)
    shown = pd.DataFrame({"user": users, "item": rng.integers(0, 18, len(users))})
    visit = np.repeat(np.arange(80), 3)
    return X, y, shown.assign(visit=visit), rng.integers(0, 2, size=len(shown))


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.* rows of X:UserWarning")
def test_figures_are_those_of_the_functions_in_each_group(logged):
    X, y, shown, outcome = logged
    model = EASERecommender().fit(X, y)
    rate = ClickRateRecommender().fit(X, y)
    report = retrieval_report(model, shown, outcome, lists="visit", baselines=[rate])
    counts = X[y > 0].drop_duplicates().groupby("user").size()
    n_events = shown["user"].map(counts).fillna(0)
    chosen = shown["user"][outcome > 0].unique()
    middle = n_events[~shown["user"].duplicated() & shown["user"].isin(chosen)].median()
    groups = {
        "all": n_events >= 0,
        "known items": shown["item"] < 15,
        "few events": n_events <= middle,
        "many events": n_events > middle,
        "cold users": n_events == 0,
    }
    assert report.index.unique("group").tolist() == list(groups)
    pairs = shown[["user", "item"]]
    popularity = PopularityRecommender().fit(X, y).predict(pairs)
    for name, scores in [
        ("EASERecommender", model.predict(pairs)),
        ("popularity", popularity),
        ("ClickRateRecommender", rate.predict(pairs)),
    ]:
        for group, rows in groups.items():
            given = outcome[rows], scores[rows], shown["visit"][rows]
            row = report.loc[(group, name)]
            assert row["roc_auc"] == pytest.approx(roc_auc_by_list(*given))
            assert row["ndcg@20"] == pytest.approx(ndcg_by_list(*given, k=20))
            assert row["mrr"] == pytest.approx(reciprocal_rank_by_list(*given))
            lists = ndcg_by_list(*given, per_list=True)
            assert row["lists"] == lists.notna().sum()


@pytest.mark.filterwarnings("ignore:.* rows of X:UserWarning")
def test_lists_of_single_users_have_the_usual_error(logged):
    X, y, shown, outcome = logged
    shown = shown.assign(user=np.repeat(np.arange(80), 3))
    report = retrieval_report(
        EASERecommender().fit(X, y), shown, outcome, lists="visit"
    )
    scores = EASERecommender().fit(X, y).predict(shown[["user", "item"]])
    values = reciprocal_rank_by_list(outcome, scores, shown["visit"], per_list=True)
    row = report.loc[("all", "EASERecommender")]
    assert row["mrr se"] == pytest.approx(stats.sem(values.dropna()))


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.* rows of X:UserWarning")
def test_a_sample_of_users(logged):
    X, y, shown, outcome = logged
    model = EASERecommender().fit(X, y)

    def row(seed, **params):
        report = retrieval_report(
            model, shown, outcome, lists="visit", random_state=seed, **params
        )
        return report.loc[("all", "EASERecommender")], report.attrs["left_out"]

    whole, _ = row(0)
    figures, left_out = row(0, max_users=20)
    assert figures["users"] == 20
    assert left_out["users not sampled"] == whole["users"] - 20
    pd.testing.assert_series_equal(row(0, max_users=20)[0], figures)
    assert not row(1, max_users=20)[0].equals(figures)
    pd.testing.assert_series_equal(row(0, max_users=10**6)[0], whole)


@pytest.mark.slow
def test_what_is_left_out_is_counted(model):
    X = pd.concat([SHOWN, SHOWN.iloc[[0, 2, 3]].assign(page=["s", "t", "t"])])
    y = [*Y, 1, 0, 0]
    report = retrieval_report(model, X, y, lists="page")
    assert report.attrs["left_out"] == {
        "lists without a positive row": 1,
        "lists of one row": 1,
    }
    assert "1 lists without a positive row, 1 lists of one row" in repr(report)
    without = retrieval_report(model, SHOWN, Y, lists="page")
    pd.testing.assert_frame_equal(pd.DataFrame(report), pd.DataFrame(without))


@pytest.mark.slow
def test_users_whose_lists_do_not_count_move_no_median(model):
    # ann has two events of fit and bob one; cid, without any, has a list of one row
    one = pd.DataFrame(
        {"page": ["c", "d"], "user": ["cid", "dan"], "item": ["tea"] * 2}
    )
    X, y = pd.concat([SHOWN, one[SHOWN.columns]]), [*Y, 1, 1]
    report = retrieval_report(model, X, y, lists="page")
    few = report.loc[("few events", "popularity"), "users"]
    assert (
        few
        == retrieval_report(model, SHOWN, Y, lists="page").loc[
            ("few events", "popularity"), "users"
        ]
    )


def test_lists_with_one_outcome_have_no_area(model):
    report = retrieval_report(model, SHOWN, np.ones(7), lists="page")
    row = report.loc[("all", "ClickRateRecommender")]
    assert math.isnan(row["roc_auc"]) and row["roc_auc lists"] == 0
    assert row["mrr"] == row["ndcg@10"] == 1
    assert "nan" in repr(report)


def test_it_prints_and_shows(model):
    report = retrieval_report(model, SHOWN, Y, k=[1, 2], lists="page")
    text = repr(report)
    assert "all: 2 users, 3 lists" in text and "ndcg@2" in text
    assert "difference from ClickRateRecommender, list by list" in text
    assert max(map(len, text.split("\n"))) <= 100
    html = report._repr_html_()
    assert html.count("<table") == 2 and "Within lists, first 2 places" in html
    # without a column that is shown it is a plain frame
    assert "difference" not in repr(report.drop(columns="mrr"))


def test_history_reaches_the_models(model):
    X = pd.concat([FIT, pd.DataFrame({"user": ["dan"] * 2, "item": ["egg", "ham"]})])
    ease = EASERecommender(1, user_id="user", item_id="item").fit(X)
    shown = pd.DataFrame({"user": "zoe", "item": ["tea", "ham"], "page": 1})
    history = {"zoe": ["egg"]}
    report = retrieval_report(ease, shown, [0, 1], lists="page", history=history)
    assert report.loc[("all", "EASERecommender"), "roc_auc"] == 1
    assert "cold users" not in report.index.unique("group")
    assert "cold users" in retrieval_report(ease, shown, [0, 1], lists="page").index


@pytest.mark.slow
def test_other_models(model):
    array = FixedRanking().fit(TRAIN)
    with pytest.raises(TypeError, match="FixedRanking cannot score the rows of lists"):
        retrieval_report(array, TEST, np.ones(len(TEST)), lists="user")

    class Scoring(FixedRanking):
        def predict(self, X):
            return X["item"].map({"p": 4, "q": 3, "r": 2, "s": 1, "z": 0}).to_numpy()

    y = [1, 1, 0, 1, 1, 1, 0]
    report = retrieval_report(Scoring().fit(TRAIN), TEST, y, lists="user")
    # c: r after q; e: p before z
    assert report.loc[("all", "Scoring"), "roc_auc"] == 1 / 2
    place = np.array([[1], [2], [1], [2], [1], [2], [3]])
    pipe = make_pipeline("passthrough", model)
    table = pl.DataFrame(SHOWN.to_dict("list"))
    whole = retrieval_report(pipe, table, Y, lists="page")
    pd.testing.assert_frame_equal(
        whole, retrieval_report(model, SHOWN, Y, lists="page")
    )

    class ByPlace(LogisticRegression):
        def decision_function(self, X):
            return super().decision_function(place)

    ranker = ByPlace().fit(place, Y)
    report = retrieval_report(model, SHOWN, Y, lists="page", baselines={"own": ranker})
    assert_allclose(report.loc[("all", "own"), "roc_auc"], 2 / 3)


@pytest.mark.slow
def test_rankers_in_a_list_and_next_to_a_history(model):
    place = make_column_transformer(("passthrough", ["place"]))
    model.fit(FIT.assign(place=1), CHOSEN)
    X = SHOWN.assign(place=[1, 2, 1, 2, 1, 2, 3])
    rankers = [make_pipeline(place, each).fit(X, Y) for each in (Ridge(), Ridge())]
    report = retrieval_report(
        model, X, Y, lists="page", baselines=rankers, history={"ann": ["egg"]}
    )
    names = report.loc["all"].index.tolist()
    assert names == ["ClickRateRecommender", "popularity", "Pipeline", "Pipeline 2"]
    # the later places first, where two of the three chosen items are
    assert_allclose(report.loc[("all", "Pipeline"), "roc_auc"], 2 / 3)
    with pytest.raises(TypeError, match="An array among baselines needs a name"):
        retrieval_report(model, X, Y, lists="page", baselines=[np.arange(7)])


@pytest.mark.slow
def test_bad_input(model):
    def report(X=SHOWN, y=Y, lists="page", **params):
        return retrieval_report(model, X, y, lists=lists, **params)

    with pytest.raises(TypeError, match="pass y, > 0 where an item was chosen"):
        report(y=None)
    with pytest.raises(ValueError, match="lists names 'pages'.* Did you mean 'page'"):
        report(lists="pages")
    with pytest.raises(ValueError, match="1 of 2 lists hold rows of several users"):
        report(SHOWN.assign(page=list("ppppqqq"), user=list("aabbccc")))
    with pytest.raises(ValueError, match="None of the 7 lists counts"):
        report(SHOWN.assign(page=range(7)))
    with pytest.raises(ValueError, match="no positive event"):
        report(y=[0] * 7)
    with pytest.raises(ValueError, match="expected 7, got 6"):
        report(y=Y[:-1])
    with pytest.raises(ValueError, match="the column of lists contains NaN: 1 of 7"):
        report(SHOWN.assign(page=[None, *"pqqrrr"]))
    with pytest.raises(ValueError, match="max_users must be an integer >= 1"):
        report(max_users=0)
    with pytest.raises(TypeError, match="'own' ranks the catalog, but with lists"):
        report(baselines={"own": {"ann": ["tea"]}})
    with pytest.raises(
        ValueError, match="the scores of 'own' and .* entry per row .* Got 7, 3 and"
    ):
        report(baselines={"own": np.ones(3)})
    with pytest.raises(
        ValueError, match="scores of 'own' must hold finite scores. Got nan"
    ):
        report(baselines={"own": np.full(7, np.nan)})


@pytest.mark.slow
def test_calibration_and_columns_of_one_model_only(model):
    shown = SHOWN.assign(place=[1, 2, 1, 2, 1, 2, 3], other="x")
    ranker = LogisticRegression().fit(shown[["place"]], Y)
    prob = ranker.predict_proba(shown[["place"]])[:, 1]
    given = {"lists": "page", "baselines": [ranker]}
    report = retrieval_report(model, shown, Y, k=2, **given)
    errors = report["expected_calibration_error"].unstack()
    assert errors.drop(columns="LogisticRegression").isna().all(axis=None)
    found = errors.loc["all", "LogisticRegression"]
    assert found == expected_calibration_error(Y, prob)
    rows = SHOWN["user"] == "bob"
    expected = expected_calibration_error(np.array(Y)[rows], prob[rows])
    assert errors.loc["few events", "LogisticRegression"] == expected
    error = f"{found:.4f}".removeprefix("0")
    assert f"Expected calibration error: LogisticRegression {error}." in repr(report)
    # the ids that the recommender has are not columns of the ranker, nor the reverse
    narrow = retrieval_report(model, SHOWN, Y, k=2, lists="page")
    same = report.loc["all"].iloc[:2].drop(columns="expected_calibration_error")
    assert_allclose(same, narrow.loc["all"].drop(columns="expected_calibration_error"))
