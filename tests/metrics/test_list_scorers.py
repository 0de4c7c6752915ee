"""Scorers of the order within lists: by hand, in searches, bad input."""

import pickle

import numpy as np
import pandas as pd
import polars as pl
import pytest
from numpy.testing import assert_array_equal
from sklearn.dummy import DummyClassifier, DummyRegressor
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.model_selection import GridSearchCV, GroupKFold, cross_validate
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from sktwotower import ClickRateRecommender, EASERecommender
from sktwotower.metrics import (
    make_list_scorer,
    ndcg_by_list,
    reciprocal_rank_by_list,
    roc_auc_by_list,
)
from tests.builders import TEST, TRAIN, FixedRanking, small

# rates without smoothing: tea 1, jam 1/2, egg 0
FIT = pd.DataFrame(
    {
        "user": ["ann", "bob", "ann", "bob", "cid"],
        "item": ["tea", "tea", "jam", "jam", "egg"],
    }
)
CHOSEN = [1, 1, 1, 0, 0]
# ann chose jam of tea and jam, then tea; bob egg of tea, jam and egg
SHOWN = pd.DataFrame(
    {
        "page": ["p", "p", "q", "q", "r", "r", "r"],
        "user": ["ann", "ann", "ann", "ann", "bob", "bob", "bob"],
        "item": ["tea", "jam", "tea", "jam", "tea", "jam", "egg"],
    }
)
Y = [0, 1, 1, 0, 0, 0, 1]


@pytest.fixture
def model():
    return ClickRateRecommender(smoothing=0, user_id="user", item_id="item").fit(
        FIT, CHOSEN
    )


def test_figures_by_hand(model):
    # places of what was chosen: 2 of 2, 1 of 2, 3 of 3
    figures = ["roc_auc", "ndcg", "ndcg@2", "reciprocal_rank", "reciprocal_rank@2"]
    scores = make_list_scorer(figures, lists="page")(model, SHOWN, Y)
    half = 1 / np.log2(3)
    assert scores == pytest.approx(
        {
            "roc_auc": (0 + 1 + 0) / 3,
            "ndcg@10": (half + 1 + 1 / 2) / 3,
            "ndcg@2": (half + 1) / 3,
            "reciprocal_rank": (1 / 2 + 1 + 1 / 3) / 3,
            "reciprocal_rank@2": (1 / 2 + 1) / 3,
        }
    )


def test_standard_errors_count_users(model):
    scorer = make_list_scorer(lists="page", standard_error=True)
    # ann's lists deviate from the mean 1/3 by -1/3 and 2/3, bob's by -1/3
    expected = {"roc_auc": 1 / 3, "roc_auc se": np.sqrt(2 * 2 / 9) / 3}
    assert scorer(model, SHOWN, Y) == pytest.approx(expected)


def test_the_functions_of_the_same_names(model):
    scores = pd.Series(dict(zip(model.item_ids_, model.item_rates_, strict=True)))
    given = Y, scores[SHOWN["item"]].to_numpy(), SHOWN["page"]
    for metric, function in [
        ("roc_auc", roc_auc_by_list),
        ("ndcg", ndcg_by_list),
        ("reciprocal_rank", reciprocal_rank_by_list),
    ]:
        score = make_list_scorer(metric, lists="page")(model, SHOWN, Y)
        assert score == function(*given)


def test_tables_and_arrays(model):
    scorer = make_list_scorer(lists="page")
    expected = scorer(model, SHOWN, Y)
    columns = SHOWN.to_dict("list")
    assert scorer(model, pl.DataFrame(columns), pl.Series(Y)) == expected
    array = ClickRateRecommender(0).fit(FIT.to_numpy(), CHOSEN)
    for lists, names in [(2, ["user", "item", "page"]), (0, list(SHOWN.columns))]:
        score = make_list_scorer(lists=lists)(array, SHOWN[names].to_numpy(), Y)
        assert score == expected
    # the column was in X of fit
    X = FIT.assign(page="x")
    wide = ClickRateRecommender(0).fit(X, CHOSEN)
    assert scorer(wide, SHOWN[X.columns], Y) == expected


def test_pipelines_and_rankers(model):
    scorer = make_list_scorer(lists="page")
    pipe = make_pipeline(FunctionTransformer(), ClickRateRecommender(0))
    assert scorer(pipe.fit(FIT, CHOSEN), SHOWN, Y) == scorer(model, SHOWN, Y)
    place = np.array([1, 2, 1, 2, 1, 2, 3])
    X = pd.DataFrame({"place": place, "page": SHOWN["page"]})
    right = roc_auc_by_list(Y, place, X["page"])
    for ranker in (LinearRegression(), LogisticRegression()):
        fitted = ranker.fit(X[["place"]], Y)
        assert scorer(fitted, X, Y) == pytest.approx(right)
    for dummy in (DummyClassifier(), DummyRegressor()):
        assert scorer(dummy.fit(X[["place"]], Y), X, Y) == 0.5


def test_a_recommender_of_another_library():
    class Scoring(FixedRanking):
        def predict(self, X):
            return X["item"].map({"p": 4, "q": 3, "r": 2, "s": 1, "z": 0}).to_numpy()

    model, X = Scoring().fit(TRAIN), TEST.assign(visit=TEST["user"])
    y = [1, 1, 0, 1, 1, 1, 0]
    # c was shown q and r and chose r; e was shown p and z and chose p
    assert make_list_scorer(lists="visit")(model, X, y) == 1 / 2
    with pytest.raises(ValueError, match="1 of 1 lists hold rows of several users"):
        make_list_scorer(lists="visit")(model, X.assign(visit=1), y)


@pytest.mark.slow
def test_in_searches_and_cross_validation(events):
    rng = np.random.default_rng(0)
    X = events.assign(visit=events["user"].str[1:] + "-" + events["item"].str[2:])
    X = pd.concat([X, X.assign(item="i0" + X["item"].str[2:])], ignore_index=True)
    y = rng.integers(0, 2, size=len(X))
    names = ["roc_auc", "ndcg@2"]
    scoring = make_list_scorer(names, lists="visit", standard_error=True)
    columns = {"user_id": "user", "item_id": "item"}
    folds = cross_validate(
        EASERecommender(**columns),
        X,
        y,
        scoring=scoring,
        cv=GroupKFold(3),
        groups=X["visit"],
    )
    assert {"test_roc_auc", "test_ndcg@2 se"} <= set(folds)
    assert np.isfinite(folds["test_roc_auc"]).all()
    search = GridSearchCV(
        small(**columns),
        {"embedding_dim": [2, 4]},
        scoring=make_list_scorer("ndcg@2", lists="visit"),
        cv=GroupKFold(2),
        error_score="raise",
    ).fit(X, y, groups=X["visit"])
    whole = make_list_scorer("ndcg@2", lists="visit")
    assert (
        search.score(X, y) == whole(search, X, y) == whole(search.best_estimator_, X, y)
    )


def test_repr_and_pickle():
    scorer = make_list_scorer("ndcg@5", lists="page", standard_error=True)
    assert (
        repr(scorer) == "make_list_scorer('ndcg@5', lists='page', standard_error=True)"
    )
    assert repr(pickle.loads(pickle.dumps(scorer))) == repr(scorer)
    several = make_list_scorer(["roc_auc", "reciprocal_rank@3"], lists=2)
    assert repr(several) == (
        "make_list_scorer(['roc_auc', 'reciprocal_rank@3'], lists=2)"
    )


def test_nothing_is_changed(model):
    X = SHOWN.copy()
    make_list_scorer(lists="page")(model, X, Y)
    pd.testing.assert_frame_equal(X, SHOWN)
    array = X.to_numpy()
    make_list_scorer(lists=0)(ClickRateRecommender().fit(FIT.to_numpy()), array, Y)
    assert_array_equal(array, X.to_numpy())


def test_bad_metric():
    for metric, message in [
        ("auc", "metric must be one of .* Got 'auc'. Did you mean 'roc_auc'"),
        ("MRR", "Did you mean 'reciprocal_rank'"),
        ("ndgc@5", "Did you mean 'ndcg"),
        ("roc_auc@5", "metric must be one of"),
        ("ndcg@five", "metric must read like 'ndcg@5'. Got 'ndcg@five'"),
        ("ndcg@0", "k must be an integer >= 1. Got 0"),
        ([], r"metric must be a name like 'ndcg@5' or a list of them. Got \[\]"),
        (None, "metric must be a name like 'ndcg@5' or a list of them. Got None"),
    ]:
        with pytest.raises(ValueError, match=message):
            make_list_scorer(metric, lists="page")


def test_bad_calls(model):
    with pytest.raises(TypeError, match="k must be an integer"):
        make_list_scorer("ndcg", lists="page", k="5")
    scorer = make_list_scorer(lists="page")
    with pytest.raises(TypeError, match="pass y, > 0 where an item was chosen"):
        scorer(model, SHOWN)
    with pytest.raises(ValueError, match="lists names 'pages'.* Did you mean 'page'"):
        make_list_scorer(lists="pages")(model, SHOWN, Y)
    with pytest.raises(ValueError, match="1 of 2 lists hold rows of several users"):
        scorer(model, SHOWN.assign(page=list("ppppqqq"), user=list("aabbccc")), Y)
    with pytest.raises(ValueError, match="y, the scores and the column 'page' of lis"):
        scorer(model, SHOWN, Y[:-1])
    with pytest.raises(ValueError, match="None of the 3 lists counts"):
        scorer(model, SHOWN, [0] * 7)
    for wrong in (ClickRateRecommender, "model"):
        with pytest.raises(TypeError, match="Expected a fitted estimator. Got"):
            scorer(wrong, SHOWN, Y)
    with pytest.raises(TypeError, match="FunctionTransformer cannot score the rows"):
        scorer(FunctionTransformer(), SHOWN, Y)

    class TwoColumns(LinearRegression):
        def predict(self, X):
            return np.zeros((len(X), 2))

    with pytest.raises(ValueError, match=r"the scores must be .*per row. Got \(7, 2\)"):
        scorer(TwoColumns(), SHOWN, Y)
