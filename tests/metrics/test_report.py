"""Several figures of one ranking, paired differences, and what a report shows."""

import pickle
import re
from dataclasses import replace

import numpy as np
import pandas as pd
import polars as pl
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.exceptions import NotFittedError
from sklearn.experimental import enable_halving_search_cv  # noqa: F401
from sklearn.linear_model import LinearRegression
from sklearn.model_selection import (
    GridSearchCV,
    HalvingRandomSearchCV,
    RandomizedSearchCV,
    cross_validate,
    learning_curve,
)

from sktwotower import EASERecommender, ItemKNNRecommender, PopularityRecommender
from sktwotower.metrics import make_retrieval_scorer, precision_at_k, retrieval_report
from sktwotower.model_selection import LastNSplit
from tests.builders import TEST, TRAIN, FixedRanking, spelt
from tests.cases import for_each


@pytest.fixture
def model():
    return FixedRanking().fit(TRAIN)


@pytest.fixture(scope="module")
def X():
    rng = np.random.default_rng(0)
    pairs = np.argwhere(rng.uniform(size=(20, 12)) < 0.5)
    rng.shuffle(pairs)
    return pd.DataFrame(pairs, columns=["user", "item"])


# Scorers of several figures


def test_several_metrics_are_those_of_single_scorers_from_one_ranking(model):
    asked = []

    class Counting(FixedRanking):
        def rank_held_out(self, *args, n_neighbors, **params):
            asked.append(n_neighbors)
            return super().rank_held_out(*args, n_neighbors=n_neighbors, **params)

    names = ["recall@1", "ndcg@3", "coverage@2", "novelty@2"]
    scores = make_retrieval_scorer(names)(Counting().fit(TRAIN), TEST)
    assert asked == [3]
    assert scores == {name: make_retrieval_scorer(name)(model, TEST) for name in names}


def test_standard_errors_by_hand(model):
    scorer = make_retrieval_scorer(["recall@1", "coverage@1"], standard_error=True)
    scores = scorer(model, TEST)
    assert list(scores) == ["recall@1", "recall@1 se", "coverage@1"]
    error = np.std([0, 1, 0.5, 0, 0.5], ddof=1) / 5**0.5
    assert scores["recall@1 se"] == pytest.approx(error)
    novelty = make_retrieval_scorer("novelty@1", standard_error=True)(model, TEST)
    error = np.std([3, 3, 2, 2, 1], ddof=1) / 5**0.5
    assert novelty["novelty@1 se"] == pytest.approx(error)
    one = make_retrieval_scorer("recall@1", standard_error=True)(model, spelt("a:s"))
    assert np.isnan(one["recall@1 se"])


def test_options_go_to_the_metrics_that_take_them(model):
    both = make_retrieval_scorer(["recall@1", "ndcg"], 2, truncated=True)
    assert repr(both) == "make_retrieval_scorer(['recall@1', 'ndcg@2'], truncated=True)"
    assert both(model, TEST)["recall@1"] == 3 / 5
    assert (
        repr(make_retrieval_scorer(["ndcg@2"])) == "make_retrieval_scorer(['ndcg@2'])"
    )
    assert list(pickle.loads(pickle.dumps(both))(model, TEST)) == ["recall@1", "ndcg@2"]


def test_bad_lists_of_metrics():
    for metric, params, error, message in [
        ([], {}, ValueError, r"list of them. Got \[\]"),
        (None, {}, ValueError, "a name like 'recall@20'.* Got None"),
        (["recall", "ngcd@5"], {}, ValueError, "Did you mean 'ndcg'"),
        (["ndcg", "map"], {}, ValueError, "Did you mean 'average_precision'"),
        (["ndcg", "hit_rate"], {"truncated": True}, TypeError, "no argument"),
    ]:
        with pytest.raises(error, match=message):
            make_retrieval_scorer(metric, **params)


@pytest.mark.parametrize(
    ("params", "error", "message"),
    [
        ({"k": []}, ValueError, r"k must hold at least one integer >= 1. Got \[\]"),
        ({"max_users": 0}, ValueError, "max_users must be an integer >= 1. Got 0"),
        ({"max_users": 1.5}, TypeError, "max_users must be an integer >= 1. Got 1.5"),
    ],
)
def test_bad_parameters_of_a_report(model, params, error, message):
    with pytest.raises(error, match=message):
        retrieval_report(model, TEST, **params)


def test_a_scorer_refuses_bad_parameters(model):
    with pytest.raises(ValueError, match="max_users must be an integer >= 1. Got -1"):
        make_retrieval_scorer(max_users=-1)(model, TEST)
    with pytest.raises(TypeError, match="n_users must be a number or None. Got 'a'"):
        make_retrieval_scorer("novelty", n_users="a")(model, TEST)


def test_k_above_the_catalog(X):
    model = PopularityRecommender().fit(X)
    scores = make_retrieval_scorer(["recall@12", "recall@99", "precision@99"])(model, X)
    assert scores["recall@99"] == scores["recall@12"] == 1
    size = X.groupby("user").size().to_numpy()
    assert scores["precision@99"] == pytest.approx(np.mean(size / 99))
    assert precision_at_k([["a"]], [["a"]], 99) == 1 / 99


@pytest.mark.slow
def test_searches_take_one_figure_or_several(X):
    several = make_retrieval_scorer(["recall@3", "ndcg@3"], standard_error=True)
    single = make_retrieval_scorer("ndcg@3", max_users=15, random_state=0)
    cv, values = LastNSplit(1, n_splits=2), {"l2": [0.1, 1, 10]}
    both = {"recall": make_retrieval_scorer("recall@3"), "ndcg": single}
    folds = cross_validate(EASERecommender(), X, cv=cv, scoring=several)
    assert {"test_recall@3", "test_recall@3 se", "test_ndcg@3"} <= set(folds)
    for scoring, refit, column in (
        (several, "ndcg@3", "mean_test_ndcg@3"),
        (both, "ndcg", "mean_test_ndcg"),
        (single, True, "mean_test_score"),
    ):
        params = {"scoring": scoring, "refit": refit, "cv": cv, "error_score": "raise"}
        for search in (
            GridSearchCV(EASERecommender(), values, **params),
            RandomizedSearchCV(EASERecommender(), values, n_iter=2, **params),
        ):
            results = search.fit(X).cv_results_
            assert search.best_score_ == results[column].max()
            assert 0 <= search.score(X) <= 1
    halving = HalvingRandomSearchCV(
        EASERecommender(),
        values,
        n_candidates=3,
        factor=2,
        min_resources=50,
        scoring=single,
        cv=cv,
        random_state=0,
    ).fit(X)
    assert len(set(halving.cv_results_["iter"])) > 1
    sizes, train, test = learning_curve(
        EASERecommender(), X, None, cv=cv, scoring=single, train_sizes=[0.5, 1.0]
    )
    assert train.shape == test.shape == (2, 2) and np.isfinite(test).all()


# Comparisons


def test_paired_differences_by_hand():
    # catalog s r q p, ranked so by the model; by popularity p q s r
    model = FixedRanking(reverse=True).fit(TRAIN)
    report = retrieval_report(model, TEST, k=1)
    own, popular = report.loc["all"].to_dict("index").values()
    assert own["recall@1 diff"] == own["recall@1 diff se"] == 0
    less = np.array([1, 1, 1 / 2, 0, 1 / 2]) - [1, 1, 0, 0, 0]
    assert popular["recall@1 diff"] == pytest.approx(less.mean())
    assert popular["recall@1 diff se"] == pytest.approx(less.std(ddof=1) / 5**0.5)
    assert popular["recall@1"] - own["recall@1"] == pytest.approx(less.mean())
    assert report.loc[("cold users", "popularity"), "users"] == 1
    assert np.isnan(report.loc[("cold users", "popularity"), "mrr@1 diff se"])


@pytest.mark.slow
def test_a_list_of_estimators_is_named_by_class(X):
    train, test = next(LastNSplit(2).split(X))
    kinds = [EASERecommender, ItemKNNRecommender, EASERecommender]
    model, *others = [kind().fit(X.iloc[train]) for kind in kinds]
    report = retrieval_report(model, X.iloc[test], k=3, baselines=others)
    assert report.loc["all"].index.tolist() == [
        "EASERecommender",
        "popularity",
        "ItemKNNRecommender",
        "EASERecommender 2",
    ]
    same = report.xs("EASERecommender 2", level="model")
    pd.testing.assert_frame_equal(same, report.xs("EASERecommender", level="model"))
    # the estimator of popularity and that of the report are one
    named = {"estimator": PopularityRecommender().fit(X.iloc[train])}
    report = retrieval_report(model, X.iloc[test], k=3, baselines=named)
    pd.testing.assert_frame_equal(
        report.xs("estimator", level="model"), report.xs("popularity", level="model")
    )


@pytest.mark.slow
@for_each("convert", [pd.DataFrame, pl.from_pandas, "dict"])
def test_rankings_made_elsewhere(X, convert):
    train, test = next(LastNSplit(2).split(X))
    X_train, X_test = X.iloc[train], X.iloc[test]
    model = PopularityRecommender().fit(X_train)
    other = ItemKNNRecommender().fit(X_train)
    # the positives are the last two of each: what else was seen is left out
    table = other.recommend(n_neighbors=12)
    if convert == "dict":
        given = {u: rows["item"].tolist() for u, rows in table.groupby("user")}
    else:
        given = convert(table.sample(frac=1, random_state=0))
    report = retrieval_report(
        model, X_test, k=3, baselines={"given": given, "fitted": other}
    )
    given, fitted = (report.xs(name, level="model") for name in ("given", "fitted"))
    pd.testing.assert_frame_equal(given, fitted)


@pytest.mark.slow
def test_rankings_may_name_unknown_items_and_rank_nothing(model):
    given = {"a": ["zz", "s"], "b": ["s"], "c": [], "d": ["zz"], "e": ["p"]}
    report = retrieval_report(model, TEST, k=2, baselines={"given": given})
    # a: s second; b: s first; c: none; d and e want z, which is in no catalog
    assert report.loc[("all", "given"), "mrr@2"] == (1 / 2 + 1 + 0 + 0 + 1) / 5
    assert report.loc[("all", "given"), "coverage@2"] == 2 / 4


def test_bad_baselines(model):
    for baselines, error, message in [
        ([LinearRegression()], TypeError, "LinearRegression cannot .* a dict of users"),
        (
            {"lm": LinearRegression()},
            TypeError,
            "a model of another library, pass its ranking",
        ),
        ([{"a": ["p"]}], TypeError, "needs a name: baselines={'name': ranking}"),
        (FixedRanking(), TypeError, "must be a list of fitted estimators.*FixedRank"),
        (
            {"r": {"a": "pq"}},
            TypeError,
            "items for each user, best first. Got 'pq' for 'a'",
        ),
        (
            {"r": {"a": ["p"]}},
            ValueError,
            r"'r' lacks 4 of 5 users .* \('b', 'c', ...\); it has 1 \('a'\)",
        ),
        (
            {"r": dict.fromkeys("abcde", ["p"])},
            ValueError,
            "'r' holds 1 items per user at most, but k=2",
        ),
        (
            {"r": dict.fromkeys("abcde", [1, 2])},
            ValueError,
            "None of the items of 'r' is .* 1, 2, ..., the catalog 'p', 'q', ...",
        ),
        ({"r": pd.DataFrame({"user": ["a"]})}, ValueError, r"columns \['user'\]"),
        ({"r": dict.fromkeys("abcde", {"p": 0.9})}, TypeError, "Got {'p': 0.9} for"),
        ({"r": dict.fromkeys("abcde", [["p"]] * 2)}, TypeError, "'r' must rank ids of"),
        (
            {"r": pd.DataFrame({"user": ["a"], "item": ["p"], "rank": ["10"]})},
            TypeError,
            "column 'rank' of the ranking 'r' must hold numbers",
        ),
        ({3: FixedRanking()}, TypeError, "strings as names. Got 3"),
        ([FixedRanking], TypeError, "got the class FixedRanking. Fit one first"),
    ]:
        with pytest.raises(error, match=message):
            retrieval_report(model, TEST, k=2, baselines=baselines)


def test_a_ranking_as_the_first_model_is_told_where_it_belongs():
    for given in [pd.DataFrame({"user": ["a"], "item": ["p"]}), {"a": ["p"]}]:
        with pytest.raises(TypeError, match="does not say .* into baselines"):
            retrieval_report(given, TEST, k=2)


def test_an_error_names_the_baseline(model):
    with pytest.raises(NotFittedError) as raised:
        retrieval_report(model, TEST, k=2, baselines={"odd": PopularityRecommender()})
    assert raised.value.__notes__ == ["Raised by the baseline 'odd'."]


@pytest.mark.slow
def test_a_ranking_of_seen_items_warns(model):
    given = dict.fromkeys("abcde", list("pqrs"))
    with pytest.warns(UserWarning, match="8 of the 20 items that 'given' ranks"):
        retrieval_report(model, TEST, k=4, baselines={"given": given})


# What it shows


@pytest.mark.slow
def test_a_report_says_what_is_left_out_and_why(X):
    model = PopularityRecommender().fit(X)
    held_out = pd.concat([X, X.head(7)], ignore_index=True)
    y = np.ones(len(held_out))
    y[held_out["user"] == 3] = 0
    report = retrieval_report(model, held_out, y, k=2, max_users=15, random_state=0)
    left = report.attrs["left_out"]
    assert left["users without a positive event"] == 1
    assert left["users not sampled"] == 4
    assert left["events not positive"] == (y == 0).sum()
    counted = report.loc[("all", "popularity"), "events"]
    uncounted = left["repeats of a user and an item"]
    uncounted += left["events of users not sampled"]
    assert uncounted == y.sum() - counted
    text = " ".join(repr(report).partition("Left out: ")[2].split())
    assert "4 users not sampled" in text
    whole = retrieval_report(model, X, k=2)
    assert repr(whole).endswith("Left out: nothing.")
    with pytest.raises(ValueError, match="no positive event"):
        retrieval_report(model, X, np.zeros(len(X)))


@pytest.mark.slow
def test_the_novelty_of_new_items_alone_is_unknown():
    class New(FixedRanking):
        def rank_held_out(self, *args, **params):
            ranking = super().rank_held_out(*args, **params)
            return replace(ranking, item_counts=np.zeros_like(ranking.item_counts))

    report = retrieval_report(New().fit(TRAIN), TEST, k=2)
    known = retrieval_report(FixedRanking().fit(TRAIN), TEST, k=2)
    assert report["novelty@2"].isna().all() and not known["novelty@2"].isna().any()
    unknown = ["novelty@2", "long_tail_share@2", "cold_share@2"]
    shown = report.drop(columns=unknown).loc["all"].iloc[0]
    assert shown.equals(known.drop(columns=unknown).loc["all"].iloc[0])
    assert report[unknown[1:]].isna().all(axis=None)
    assert "nan" in repr(report)


@pytest.mark.slow
def test_a_report_fits_a_terminal_and_shows_every_figure(X):
    names = [EASERecommender, ItemKNNRecommender, PopularityRecommender]
    model, *others = [kind().fit(X) for kind in names]
    others = dict(zip(["nineteen characters", "other"], others, strict=True))
    report = retrieval_report(model, X, k=(1, 20), baselines=others)
    lines = repr(report).splitlines()
    assert max(map(len, lines)) <= 80
    row = report.loc[("all", "popularity")]
    shown = next(line for line in lines if line.startswith(" popularity"))
    for column in ("recall@1", "ndcg@1"):
        width = 1.96 * row[f"{column} se"]
        assert f"{row[column]:.4f}±{width:.4f}".replace("0.", ".") in shown
        width = 1.96 * row[f"{column} diff se"]
        assert f"{row[f'{column} diff']:+.4f}±{width:.4f}".replace("0.", ".") in shown
    assert " ".join(lines).startswith(str(report.verdict()))
    assert "all: 20 users, 109 events" in lines
    assert sum(line.count("recall@") for line in lines) == 2
    # a part, and a changed report, are plain frames
    assert type(report[["users"]]) is pd.DataFrame
    del report["mrr@1"]
    assert "popularity" in repr(report) and "<table" in report._repr_html_()


@pytest.mark.slow
def test_a_notebook_shows_the_best_in_bold(model):
    better = FixedRanking(reverse=True).fit(TRAIN)
    report = retrieval_report(model, TEST, k=1, baselines={"<b>odd</b>": better})
    html = report._repr_html_()
    assert "&lt;b&gt;odd&lt;/b&gt;" in html and "<b>odd" not in html
    table = html.split("<table")[1]
    head = table.split("<b>all</b>")[1].split("class='group'")[0]
    rows = [row.split("</tr>")[0] for row in head.split("<tr><th>")[1:]]
    recalls = report.loc["all", "recall@1"].to_numpy()
    bold = [row.split("</td>")[0].endswith("</b>") for row in rows]
    assert_array_equal(bold, recalls == recalls.max())
    # one by group, and one of what is in the lists of all
    assert html.count("<table") == 2 and "color: inherit" in html
    assert html.split("<table")[2].count("class='group'") == 1
    assert "Misses: 2 events with an item not in the catalog." in html
    assert "Bold: the highest mean" in html
    for group in report.index.get_level_values("group").drop("all"):
        assert group in html.split("<p>Groups, ")[1], f"{group} is not explained"
    assert_allclose(report.loc["all", "recall@1 diff"].iloc[0], 0)


@pytest.fixture
def report(model):
    """The best one ranks first: catalog s r q p, and by popularity p q s r."""
    return retrieval_report(FixedRanking(reverse=True).fit(TRAIN), TEST, k=1)


def test_the_verdict_comes_first_and_bars_have_one_scale(report):
    html = report._repr_html_()
    assert f'<p class="verdict unclear">{report.verdict()}</p>' in html
    assert html.index("verdict unclear") < html.index("<table")
    # each user has one place: NDCG@1 is 2/5 of the model, 4/5 of popularity
    all_users = re.findall(r"<ul class='bars'.*?</ul>", html)[0]
    most = max(report["ndcg@1"] + 1.96 * report["ndcg@1 se"].fillna(0))
    shown = re.findall(
        r"<li><span>(\w+)</span>.*?<i style='width: ([\d.]+)%.*?<span>(\.\d+)</span>",
        all_users,
    )
    assert shown == [
        ("FixedRanking", f"{40 / most:.1f}", ".4000"),
        ("popularity", f"{80 / most:.1f}", ".8000"),
    ]
    assert all_users.count("aria-hidden='true'") == 2  # the number says the same
    widths = re.findall(r"left: ([\d.]+)%; width: ([\d.]+)%", html)
    ends = [float(left) + float(width) for left, width in widths]
    assert max(ends) == pytest.approx(100, abs=0.1)


@pytest.mark.slow
def test_what_was_left_out_before_is_said_once(report):
    assert "Left out: nothing." in report._repr_html_()
    report.attrs["split"] = "Held out: the last <i> fifth, 7 of 9 events are unknown."
    for text in (repr(report), report._repr_html_()):
        assert text.count("7 of 9 events") == 1 and "Left out" not in text
        assert "Also left out: nothing." in text
    assert "the last &lt;i&gt; fifth" in report._repr_html_()


def luminance(color):
    """Return the relative luminance of a color such as '#2b8a57', as WCAG has it."""
    parts = [int(color[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [((p + 0.055) / 1.055) ** 2.4 if p > 0.04 else p / 12.92 for p in parts]
    return linear @ np.array([0.2126, 0.7152, 0.0722])


def test_colors_can_be_seen_on_white_and_on_black(report):
    colors = set(re.findall(r"#[0-9a-f]{6}", report._repr_html_()))
    assert len(colors) == 4
    for color in colors:  # of bars and of a line: 3 to 1
        lightness = luminance(color) + 0.05
        assert 1.05 / lightness >= 3 and lightness / (luminance("#181a1f") + 0.05) >= 3


# Users whom fit has not seen


@pytest.mark.slow
def test_new_users_are_judged_on_what_follows_their_history(X):
    new = X["user"] >= 15
    before = X[new].groupby("user").head(2)
    after = X[new].drop(before.index)
    model = ItemKNNRecommender().fit(X[~new])
    other = PopularityRecommender().fit(X[~new])
    report = retrieval_report(
        model, after, k=3, history=before, baselines={"popular": other}
    )
    for name, each in {"ItemKNNRecommender": model, "popular": other}.items():
        table = each.recommend(after["user"].unique(), 3, history=before)
        found = table.groupby("user")["item"].agg(set)
        recalls = [
            len(found[user] & set(items)) / len(set(items))
            for user, items in after.groupby("user")["item"]
        ]
        figure = report.loc[("all", name), "recall@3"]
        assert figure == pytest.approx(np.mean(recalls))
    # what the history holds is left out of every ranking, and makes nobody cold
    same = report.loc["all", "recall@3"]
    assert same["popularity"] == pytest.approx(same["popular"])
    assert "cold users" not in report.index.get_level_values("group")
    cold = retrieval_report(model, after, k=3)
    assert cold.loc[("cold users", "popularity"), "users"] == after["user"].nunique()
