"""Prequential validation: known answers, no leak, and bad input."""

import warnings

import numpy as np
import pandas as pd
import polars as pl
import pytest
from sklearn.base import BaseEstimator
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from sktwotower import (
    ClickRateRecommender,
    EASERecommender,
    ItemKNNRecommender,
    PopularityRecommender,
    TwoStageRecommender,
    TwoTowerRecommender,
)
from sktwotower.datasets import make_interactions
from sktwotower.metrics import make_list_scorer, make_retrieval_scorer
from sktwotower.model_selection import prequential_validate
from tests.cases import for_each

# Three days. On the last one, ann and bob come back, eve is new; nut was never seen.
STREAM = pd.DataFrame(
    {
        "user": ["ann", "bob", "cid", "ann", "dan", "bob", "ann", "bob", "eve"],
        "item": ["tea", "tea", "jam", "jam", "jam", "ham", "ham", "jam", "nut"],
        "day": [1, 1, 1, 2, 2, 2, 3, 3, 3],
    }
)
BY_DAY = {"time": "day", "freq": 1, "train_size": 3}


def validate(estimator, X=STREAM, y=None, **params):
    """Validate without the warnings about strategies that are left out."""
    params = BY_DAY | {"scoring": "recall@1"} | params
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The strategy")
        return prequential_validate(estimator, X, y, **params)


def by_strategy(results, column="test_score"):
    return results.pivot(index="slice", columns="strategy", values=column)


def test_known_answers():
    results = validate(PopularityRecommender())
    # Day 2, from tea 2/3, jam 1/3: ann gets jam (she has tea), dan tea, bob jam.
    # Day 3, frozen: ann jam (she has tea, the model does not know of day 2), bob jam,
    # eve tea. With her history ann has tea and jam: nothing is left, for no model
    # knows of ham.
    # Day 3, refit (tea 2, jam 3, ham 1 users): ann gets ham, bob jam, eve jam.
    # Day 3, popularity of day 2: jam 2/3, ham 1/3: ann ham, bob jam, eve jam.
    # partial_fit is a refit without the old table.
    expected = pd.DataFrame(
        {
            "frozen": [1 / 3, 1 / 3],
            "history": [1 / 3, 1 / 3],
            "partial_fit": [1 / 3, 2 / 3],
            "refit": [1 / 3, 2 / 3],
            "popularity": [1 / 3, 2 / 3],
        }
    )
    found = by_strategy(results)[expected.columns]
    np.testing.assert_allclose(found.to_numpy(), expected.to_numpy())
    assert results["strategy"].tolist() == [*expected.columns] * 2
    assert results["n_train"].tolist() == [3] * 5 + [6] * 5
    assert results["n_test"].tolist() == [3] * 10
    assert results["start"].tolist() == results["end"].tolist() == [2] * 5 + [3] * 5


def test_without_any_positive_slice_the_scores_are_nan():
    for scoring, names in [
        (None, ["score"]),
        ("recall@1", ["score"]),
        (["recall@1", "ndcg@2"], ["recall@1", "ndcg@2"]),
        ({"first": "recall@1"}, ["first"]),
        (lambda *_: 1.0, ["score"]),
    ]:
        y = (STREAM["day"] == 1).astype(int)
        params = {"scoring": scoring, "strategies": ["frozen"]}
        results = validate(PopularityRecommender(), y=y, **params)
        scores = results[[f"test_{name}" for name in names]]
        assert len(results) == 2 and scores.isna().all(axis=None)
        judged = validate(PopularityRecommender(), **params)
        assert results.columns.tolist() == judged.columns.tolist()


@pytest.mark.slow
def test_history_reaches_the_model_with_the_request():
    # dan's jam of day 2 leads to tea, which cid's jam does not lead to in fit
    X = pd.DataFrame(
        {
            "user": ["ann", "ann", "bob", "bob", "dan", "dan"],
            "item": ["jam", "tea", "egg", "ham", "jam", "tea"],
            "day": [1, 1, 1, 1, 2, 3],
        }
    )
    found = by_strategy(validate(ItemKNNRecommender(), X, train_size=4))
    assert found["frozen"].tolist() == [0, 0]
    assert found["history"].tolist() == [0, 1]


class Recorder(BaseEstimator):
    """Keeps the days that it has learnt, in the order of calls."""

    item_ids_ = ()
    calls = []  # noqa: RUF012

    def fit(self, X, y=None, sample_weight=None):
        self.calls.append(("fit", X["day"].tolist(), y, sample_weight))
        return self

    def partial_fit(self, X, y=None, sample_weight=None):
        self.calls.append(("partial_fit", X["day"].tolist(), y, sample_weight))
        return self

    def score(self, X, y=None):
        self.calls.append(("score", X["day"].tolist(), y, None))
        return len(X)


@pytest.fixture
def calls():
    Recorder.calls = []
    return Recorder.calls


def test_each_slice_is_tested_before_it_is_learnt(calls):
    X = STREAM.sample(frac=1, random_state=0)  # rows in any order
    validate(Recorder(), X, scoring=None, strategies=["partial_fit"])
    assert [call[:2] for call in calls] == [
        ("fit", [1, 1, 1]),
        ("score", [2, 2, 2]),
        ("partial_fit", [2, 2, 2]),
        ("score", [3, 3, 3]),
    ]


def test_refit_learns_all_of_the_past(calls):
    validate(Recorder(), scoring=None, strategies=["refit"])
    assert [call[:2] for call in calls if call[0] == "fit"] == [
        ("fit", [1, 1, 1]),
        ("fit", [1, 1, 1, 2, 2, 2]),
    ]


def test_outcomes_and_weights_follow_their_rows(calls):
    X, rows = STREAM.iloc[::-1], np.arange(9)[::-1]
    validate(
        Recorder(),
        X,
        rows + 1,
        sample_weight=10.0 * (rows + 1),
        scoring=None,
        strategies=["partial_fit"],
    )
    (_, days, y, weights) = calls[2]
    # equal days keep the order of the rows, here the last one first
    assert days == [2, 2, 2] and y.tolist() == [6, 5, 4]
    assert weights.tolist() == [60, 50, 40]
    assert calls[3][2].tolist() == [9, 8, 7]


def test_a_slice_without_a_positive_event_is_not_judged_and_waits(calls):
    X = pd.concat([STREAM, STREAM.tail(3).assign(day=4)])
    y = np.repeat([1, 0, 1, 1], 3)
    validate(Recorder(), X, y, scoring=None, strategies=["partial_fit"])
    assert [call[:2] for call in calls] == [
        ("fit", [1] * 3),
        ("score", [3] * 3),
        ("partial_fit", [2] * 3 + [3] * 3),
        ("score", [4] * 3),
    ]
    found = validate(PopularityRecommender(), X, y, strategies=["refit"])
    assert np.isnan(found["test_score"]).tolist() == [True, False, False]


@pytest.mark.slow
@pytest.mark.parametrize(
    "estimator",
    [
        EASERecommender(),
        TwoTowerRecommender(embedding_dim=8, max_epochs=1, time="time", random_state=0),
    ],
)
def test_later_events_do_not_reach_earlier_rows(estimator):
    X = make_interactions(30, 20, interactions_per_user=8, random_state=0).data[
        ["user", "item"]
    ]
    X["time"] = np.arange(len(X))
    params = {"time": "time", "freq": None, "n_slices": 4, "scoring": "ndcg@5"}
    params["train_size"] = 0.5
    found = validate(estimator, X, **params)
    later = X["time"] >= found.loc[found["slice"] == 2, "start"].iloc[0]
    scrambled = X.copy()
    shuffled = X.loc[later, ["user", "item"]].sample(frac=1, random_state=0)
    scrambled.loc[later, ["user", "item"]] = shuffled.to_numpy()
    again = validate(estimator, scrambled, **params)
    keep = [c for c in found if not c.endswith("_time")]
    early = found["slice"] < 2
    pd.testing.assert_frame_equal(found.loc[early, keep], again.loc[early, keep])
    assert not found["test_score"].equals(again["test_score"])
    assert set(found["strategy"]) >= {"frozen", "history", "refit", "popularity"}


@pytest.mark.slow
def test_rows_are_those_of_a_loop_by_hand():
    X = make_interactions(60, 30, random_state=0).data[["user", "item"]]
    X["time"] = np.arange(len(X))
    model = TwoTowerRecommender(embedding_dim=8, max_epochs=1, random_state=0)
    found = validate(
        model, X, time="time", freq=None, n_slices=2, train_size=800, scoring="ndcg@5"
    )
    half = 800 + (len(X) - 800) // 2
    score = make_retrieval_scorer("ndcg@5")
    learner = TwoTowerRecommender(embedding_dim=8, max_epochs=1, random_state=0)
    frozen = learner.fit(X[:800])
    expected = {"frozen": [score(frozen, part) for part in (X[800:half], X[half:])]}
    truth = X[half:]
    ranking = frozen.rank_held_out(truth, n_neighbors=5, history=X[800:half])
    expected["history"] = [
        expected["frozen"][0],
        score(_Ranked(frozen, ranking), truth),
    ]
    expected["refit"] = [expected["frozen"][0], score(model.fit(X[:half]), truth)]
    expected["partial_fit"] = [
        expected["frozen"][0],
        score(learner.partial_fit(X[800:half]), truth),
    ]
    window = PopularityRecommender(time="time", window=half - 800)
    expected["popularity"] = [
        score(window.fit(X[:800]), X[800:half]),
        score(window.fit(X[:half]), truth),
    ]
    for strategy, values in expected.items():
        assert by_strategy(found)[strategy].tolist() == values, strategy


class _Ranked(BaseEstimator):
    """A model that returns one ranking."""

    def __init__(self, model, ranking):
        self.model, self.ranking = model, ranking
        self.item_ids_ = model.item_ids_

    def fit(self, X):
        return self

    def rank_held_out(self, X, y, **params):
        return self.ranking


@pytest.mark.slow
def test_scorers_of_all_kinds():
    one = make_retrieval_scorer("recall@1")
    several = make_retrieval_scorer(["recall@1", "ndcg@2"])
    params = {"strategies": ["frozen"]}
    by_kind = {
        kind: validate(PopularityRecommender(), scoring=scoring, **params)
        for kind, scoring in {
            "name": "recall@1",
            "scorer": one,
            "names": ["recall@1", "ndcg@2"],
            "dict": {"mine": one, "yours": "ndcg@2"},
            "several": several,
        }.items()
    }
    recall = by_kind["name"]["test_score"].tolist()
    assert recall == [1 / 3, 1 / 3]
    assert by_kind["scorer"]["test_score"].tolist() == recall
    assert by_kind["names"]["test_recall@1"].tolist() == recall
    assert by_kind["several"]["test_recall@1"].tolist() == recall
    assert by_kind["dict"]["test_mine"].tolist() == recall
    ndcg = by_kind["names"]["test_ndcg@2"].tolist()
    assert by_kind["dict"]["test_yours"].tolist() == ndcg
    plain = validate(PopularityRecommender(n_neighbors=1), scoring=None)
    assert by_strategy(plain)["history"].tolist() == recall


def test_list_scorers_get_the_history_too():
    X = STREAM.assign(list=STREAM["day"].astype(str) + STREAM["user"])
    X = pd.concat([X, X.assign(item="egg")])
    y = np.repeat([1.0, 0.0], 9)
    scoring = make_list_scorer(lists="list")
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*hold items that fit has not seen")
        found = validate(ItemKNNRecommender(), X, y, scoring=scoring, train_size=6)
    assert found["strategy"].nunique() == 5
    assert found["test_score"].between(0, 1).all()


def test_slices_by_number_keep_equal_times_together():
    X = STREAM.assign(day=[1, 2, 3, 3, 3, 4, 5, 6, 7])
    found = validate(
        EASERecommender(), X, freq=None, n_slices=2, train_size=3, strategies=["frozen"]
    )
    # the third event has the time of the next ones; 7 events are left: 3 and 4
    assert found[["n_train", "n_test"]].to_numpy().tolist() == [[2, 3], [5, 4]]
    assert found["end"].tolist() == [3, 7]


@for_each("freq", ["D", pd.Timedelta(days=1), pd.offsets.Day(1)])
def test_days_begin_at_midnight_and_empty_ones_have_no_row(freq):
    times = pd.to_datetime(
        [
            "2026-01-01 10:00",
            "2026-01-01 11:00",
            "2026-01-02 09:00",
            "2026-01-02 22:00",
            "2026-01-03 08:00",
            "2026-01-06 00:00",
        ]
    )
    X = STREAM.head(6).assign(day=times)
    found = validate(EASERecommender(), X, freq=freq, strategies=["frozen"])
    assert found["n_test"].tolist() == [1, 1, 1]
    assert found["start"].tolist() == times[3:].tolist()


def test_slices_of_the_calendar():
    times = pd.to_datetime(["2026-01-05", "2026-01-30", "2026-02-27", "2026-03-01"])
    X = STREAM.head(4).assign(day=times)
    params = {"strategies": ["popularity"], "train_size": 1}
    found = validate(EASERecommender(), X, freq="MS", **params)
    assert found["start"].tolist() == times[1:].tolist()
    weeks = validate(EASERecommender(), X, freq="4W", **params)
    assert weeks["n_test"].tolist() == [1, 2]


@pytest.mark.slow
def test_the_window_of_popularity_is_the_slice_before():
    # day 1: tea, tea, jam; day 2: jam, jam, ham; eggs of day 0 do not count
    X = pd.concat([STREAM.head(2).assign(item="egg", day=0), STREAM], ignore_index=True)
    X.loc[len(X)] = ["fay", "tea", 2]  # day 2 in all: jam 2, ham 1, tea 1
    params = {"strategies": ["popularity"], "train_size": 5}
    # day 2: ann and bob have egg and tea: jam; dan and fay get tea
    # day 3: ann has egg, tea and jam: ham; bob has ham, too: jam
    found = validate(EASERecommender(), X, **params)["test_score"]
    assert found.tolist() == [2 / 4, 2 / 3]
    # all days: egg is as popular as tea on day 2, and comes first
    longer = validate(EASERecommender(), X, window=10, **params)["test_score"]
    assert longer.tolist() == [1 / 4, 2 / 3]


@pytest.mark.slow
@for_each("kind", [pl.from_pandas, np.asarray, pd.DataFrame.to_numpy])
def test_tables_of_all_kinds(kind):
    expected = validate(ItemKNNRecommender())
    time = "day" if kind is pl.from_pandas else 2
    found = validate(ItemKNNRecommender(), kind(STREAM), time=time)
    columns = ["slice", "strategy", "n_train", "test_score"]
    if not isinstance(found, pd.DataFrame):
        found = found.to_pandas()
    found = found[columns]
    pd.testing.assert_frame_equal(found, expected[columns])


@pytest.mark.slow
def test_popularity_reads_the_columns_of_the_estimator():
    X = STREAM[["day", "item", "user"]]
    model = PopularityRecommender(user_id="user", item_id="item")
    expected = by_strategy(validate(PopularityRecommender()))
    pd.testing.assert_frame_equal(by_strategy(validate(model, X)), expected)


def test_strategies_that_an_estimator_lacks_are_left_out_with_a_warning():
    model = make_pipeline(FunctionTransformer(), EASERecommender())
    with (
        pytest.warns(UserWarning, match="'history' is left out: Pipeline has no rank_"),
        pytest.warns(UserWarning, match="'partial_fit' is left out: Pipeline has no p"),
    ):
        found = prequential_validate(model, STREAM, **BY_DAY)
    assert found["strategy"].unique().tolist() == ["frozen", "refit", "popularity"]
    with pytest.raises(ValueError, match="needs partial_fit, which Pipeline lacks"):
        prequential_validate(model, STREAM, **BY_DAY, strategies=["partial_fit"])


def test_one_slice_is_the_same_for_all_that_were_fitted(calls):
    validate(Recorder(), scoring=None, freq=None, n_slices=1)
    assert [call[0] for call in calls] == ["fit"] + ["score"] * 3


def test_a_line_for_each_row(capsys):
    validate(EASERecommender(), strategies=["refit"], verbose=1)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2
    assert lines[1].startswith("slice 2 of 2, refit: score 0.")


def test_bad_parameters():
    for params, message in [
        ({"time": "when"}, "when"),
        ({"time": None}, "time must name the column"),
        ({"train_size": 0}, "'train_size' .* an int in the range .1, inf.. Got 0"),
        ({"train_size": 9}, "or none to test, of the 9 events"),
        ({"train_size": 1.5}, r"a float in the range \(0.0, 1.0\)"),
        ({"train_size": 2}, "have the time of the next one"),
        ({"n_slices": 2}, "exclude each other"),
        ({"freq": 0}, "freq must be a finite number > 0"),
        ({"freq": "D"}, "as times are numbers. Got 'D'"),
        ({"freq": np.timedelta64(1, "D")}, "freq must be a finite number > 0"),
        ({"freq": None, "n_slices": 0}, "'n_slices' parameter .* an int in the range"),
        ({"freq": None, "n_slices": 3}, "have 2 different times"),
        ({"scoring": "recal@1"}, "Did you mean 'recall'"),
        ({"scoring": []}, "metric must be a name"),
        ({"strategies": "refit"}, "list of some of"),
        ({"strategies": []}, "list of some of"),
        ({"strategies": ["refit", "daily"]}, "list of some of"),
        ({"window": -1}, "window must be > 0"),
        ({"y": [1, 0]}, "y must have one value per row of X: expected 9, got 2"),
        ({"sample_weight": [1.0]}, "sample_weight must have one value per row of X"),
    ]:
        with pytest.raises(ValueError, match=message):
            validate(EASERecommender(), **params)


def test_bad_times():
    with pytest.raises(ValueError, match="1 missing values in 9 rows"):
        validate(EASERecommender(), STREAM.assign(day=[None, *range(8)]))
    with pytest.raises(TypeError, match="must hold dates or numbers"):
        validate(EASERecommender(), STREAM.assign(day="monday"))
    dates = STREAM.assign(day=pd.date_range("2026-01-01", periods=9))
    for freq in ("fortnight", 3):
        with pytest.raises(ValueError, match="frequency of pandas, such as '7D'"):
            validate(EASERecommender(), dates, freq=freq)
    with pytest.raises(ValueError, match="longer than 0"):
        validate(EASERecommender(), dates, freq="-1D")


@pytest.mark.slow
def test_two_stages_and_side_tables():
    made = make_interactions(60, 30, random_state=0)
    X = made.data[["user", "item"]]
    X["time"] = np.arange(len(X))
    params = {"time": "time", "freq": None, "n_slices": 2, "train_size": 0.6}
    model = TwoTowerRecommender(items=made.item_table, max_epochs=1, random_state=0)
    found = validate(model, X, scoring=None, **params)
    assert len(found) == 10 and found["test_score"].gt(0).all()
    stages = TwoStageRecommender(EASERecommender(), time="time")
    found = validate(
        stages, X, scoring=None, strategies=["frozen", "history"], **params
    )
    assert found["test_score"].gt(0).all()


# Lists that were shown


def shown(n_days=4, n_lists=30, seed=0):
    """Draw lists of three items, of which each day has its own."""
    rng = np.random.default_rng(seed)
    n = n_days * n_lists
    X = pd.DataFrame({"user": np.arange(n) % 20, "list": np.arange(n)})
    X["day"] = np.arange(n) // n_lists
    X = X.loc[np.repeat(X.index, 3)].reset_index(drop=True)
    X["item"] = X["day"] * 3 + np.tile([0, 1, 2], n)
    rate = np.array([0.6, 0.3, 0.1])[X["item"] % 3]
    return X, (rng.uniform(size=len(X)) < rate).astype(int)


@pytest.mark.slow
def test_the_order_of_lists_in_each_slice():
    X, y = shown()
    model = ClickRateRecommender(user_id="user", item_id="item")
    params = {"lists": "list", "time": "day", "freq": 1, "train_size": 90}
    results = validate(model, X, y, scoring=None, **params)
    for number, strategy in [(1, "frozen"), (2, "refit")]:
        start = 1 if strategy == "frozen" else 1 + number
        learnt = X["day"] < start
        fitted = ClickRateRecommender(user_id="user", item_id="item")
        fitted.fit(X[learnt], y[learnt])
        test = X["day"] == 1 + number
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            scorer = make_list_scorer(["roc_auc", "ndcg@10"], lists="list")
            expected = scorer(fitted, X[test], y[test])
        row = results[results["strategy"].eq(strategy) & results["slice"].eq(number)]
        for name, value in expected.items():
            assert row[f"test_{name}"].item() == pytest.approx(value)
    one = validate(model, X, y, scoring="ndcg@1", strategies=["frozen"], **params)
    assert one["test_score"].notna().all()


def test_slices_without_a_list_that_counts_have_no_score():
    X, y = shown()
    y[X["day"] == 2] = 1  # all chosen: there is an NDCG, and no AUC
    model = ClickRateRecommender(user_id="user", item_id="item")
    params = {"lists": "list", "time": "day", "freq": 1, "train_size": 90}
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # not even about items that are new
        results = prequential_validate(
            model, X, y, strategies=["frozen", "popularity"], **params
        )
    assert (
        results["test_roc_auc"].isna().tolist()
        == [False] * 2 + [True] * 2 + [False] * 2
    )
    assert (results["test_ndcg@10"][2:4] == 1).all()
    with warnings.catch_warnings():  # nor about users or items that are all new
        warnings.simplefilter("error")
        new = STREAM.assign(user=range(len(STREAM)))
        validate(PopularityRecommender(), new, strategies=["frozen"])
        new = STREAM.assign(item=range(len(STREAM)))
        validate(PopularityRecommender(), new, strategies=["frozen"])
    with pytest.raises(TypeError, match="pass y, > 0 where an item was chosen"):
        prequential_validate(model, X, **params)
