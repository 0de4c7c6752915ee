"""scikit-learn's own checks, searches, pipelines and routing around both stages."""

import pickle
import re

import numpy as np
import pandas as pd
import polars as pl
import pytest
import sklearn
from numpy.testing import assert_array_equal
from pandas.testing import assert_frame_equal
from sklearn.base import clone
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, cross_validate
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from sktwotower import (
    EASERecommender,
    ItemKNNRecommender,
    PopularityRecommender,
    TwoStageRecommender,
)
from sktwotower.metrics import make_retrieval_scorer
from sktwotower.model_selection import LastNSplit
from tests.builders import assert_passes_checks, small
from tests.docstrings import entries, sections

from .builders import follows, stages


@pytest.mark.slow
def test_sklearn():
    assert_passes_checks(TwoStageRecommender(PopularityRecommender()))


@pytest.mark.grid
@pytest.mark.parametrize(
    ("retriever", "params"),
    [
        (small(), {}),
        (ItemKNNRecommender(), {"exclude_seen": False}),
        (EASERecommender(), {"ranker": LogisticRegression(), "n_candidates": 5}),
    ],
)
def test_sklearn_of_other_parameters(retriever, params):
    assert_passes_checks(TwoStageRecommender(retriever, **params))


@pytest.fixture(scope="module")
def X():
    return follows()


@pytest.fixture(scope="module")
def model(X):
    return stages(keep_training_table=True).fit(X)


def test_parameters_of_both_stages_have_nested_names(X):
    items = pd.DataFrame({"item": X["item"].unique(), "tag": "a"})
    model = stages(small(items=items), HistGradientBoostingClassifier())
    model.set_params(retriever__temperature=0.3, ranker__max_depth=2)
    assert model.retriever.temperature == 0.3 and model.ranker.max_depth == 2
    params = model.get_params()
    assert params["retriever__max_epochs"] == 1 and params["ranker__max_iter"] == 100
    copied = clone(model)
    assert copied.retriever is not model.retriever
    assert copied.retriever.items is items  # clones share side tables
    assert copied.get_params()["ranker__max_depth"] == 2
    with pytest.raises(ValueError, match="Invalid parameter 'depth'"):
        model.set_params(ranker__depth=1)


@pytest.mark.slow
def test_fit_changes_no_parameter(X):
    retriever, ranker = EASERecommender(), LogisticRegression(max_iter=2000)
    model = stages(retriever, ranker)
    before = dict(vars(model))
    assert model.fit(X) is model
    assert all(vars(model)[name] is value for name, value in before.items())
    assert retriever.time is None and not hasattr(retriever, "item_ids_")
    assert not hasattr(ranker, "coef_")


@pytest.mark.slow
def test_a_call_that_fails_changes_nothing(X):
    model = stages().fit(X)
    before = model.recommend()
    with pytest.raises(ValueError, match="contains NaN"):
        model.fit(X.assign(item=None))
    assert_frame_equal(model.recommend(), before)


@pytest.mark.slow
def test_fitted_attributes_are_those_documented(model):
    attributes = {
        name
        for name in dir(model)
        if name[-1] == "_" != name[0] and hasattr(model, name)
    }
    described = set(entries(sections(TwoStageRecommender)["Attributes"]))
    of_lists = {"list_order_", "list_ranker_", "classes_"}  # not without lists
    of_sources = {"source_report_", "sources_"}  # not with a single one
    absent = of_lists | of_sources
    assert described - absent == attributes and absent < described
    assert model.feature_names_in_.tolist() == ["user", "item", "when"]


@pytest.mark.slow
def test_pickles_give_the_same_answers(X, model):
    again = pickle.loads(pickle.dumps(model))
    assert again.blend_ == model.blend_ > 0
    assert_array_equal(again.predict(X), model.predict(X))
    assert_frame_equal(again.recommend(), model.recommend())


@pytest.mark.slow
def test_the_same_seed_gives_the_same_model(X, model):
    assert_frame_equal(clone(model).fit(X).recommend(), model.recommend())
    assert_frame_equal(clone(model).fit(X).training_table_, model.training_table_)


@pytest.mark.slow
def test_a_search_over_both_stages(X):
    grid = [
        {"ranker__max_depth": [1], "n_candidates": [15]},
        {"ranker__max_depth": [3], "n_candidates": [25]},
    ]
    scoring = make_retrieval_scorer("ndcg@5")
    cv = LastNSplit(1, time="when")
    search = GridSearchCV(stages(), grid, cv=cv, scoring=scoring).fit(X)
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()
    best = search.best_estimator_
    assert best.ranker_.max_depth == search.best_params_["ranker__max_depth"]
    assert 0 <= search.score(X) <= 1


@pytest.mark.slow
def test_the_last_step_of_a_pipeline(X, model):
    keep = FunctionTransformer(lambda table: table[table["user"] != "u07"])
    pipe = make_pipeline(keep, stages()).fit(X)
    assert "u07" not in pipe[-1].user_ids_
    expected = stages().fit(X[X["user"] != "u07"])
    assert_frame_equal(pipe[-1].recommend(), expected.recommend())
    assert_array_equal(pipe.predict(X[:9]), expected.predict(X[:9]))


@pytest.mark.slow
def test_weights_are_routed_to_the_retriever(X):
    weights = np.where(X["item"] == "i03", 0.0, 1.0)
    with sklearn.config_context(enable_metadata_routing=True):
        model = stages().set_fit_request(sample_weight=True)
        model.set_score_request(sample_weight=False)
        result = cross_validate(
            model,
            X,
            params={"sample_weight": weights},
            cv=LastNSplit(1, time="when"),
            return_estimator=True,
            error_score="raise",
        )
        pipe = make_pipeline("passthrough", model).fit(X, sample_weight=weights)
    for each in (*result["estimator"], pipe[-1]):
        assert "i03" not in each.item_ids_ and "i04" in each.item_ids_


@pytest.mark.slow
def test_tables_of_other_libraries_and_arrays(X, model):
    table = pl.DataFrame({name: X[name].to_list() for name in X})
    top = stages().fit(table).recommend()
    top = pd.DataFrame(top.to_dict(as_series=False))
    assert_frame_equal(top, model.recommend(), check_dtype=False)
    array = stages(time=2).fit(X.to_numpy()).recommend()
    assert array.columns.tolist() == ["user", "item", "score", "rank"]
    assert_array_equal(array["item"], model.recommend()["item"])


@pytest.mark.slow
def test_the_diagram_shows_both_stages(X, model):
    text = re.sub("<[^>]+>", " ", model._repr_html_())
    assert f"weight of the ranker {model.blend_:g}, recall of the cand" in text
    for model in (stages(), TwoStageRecommender()):
        text = re.sub("<[^>]+>", " ", model._repr_html_())
        assert "weight of the ranker" not in text
        names = type(model.retriever).__name__, type(model.ranker).__name__
        if model.retriever is None:
            names = "TwoTowerRecommender", "HistGradientBoostingClassifier"
        assert all(name in text for name in names)
    assert "PopularityRecommender" in repr(stages())


@pytest.mark.slow
def test_a_ranker_of_columns_by_name(X):
    columns = FunctionTransformer(lambda table: table[["rank", "after_last"]])
    ranker = make_pipeline(columns, StandardScaler(), LogisticRegression())
    model = stages(ranker=ranker).fit(X)
    assert model.ranker_[-1].n_features_in_ == 2 and model.blend_ > 0


def test_tables_without_the_time_column(X, model):
    pairs = X[["user", "item"]]
    assert_array_equal(model.predict(pairs), model.predict(X))
    assert isinstance(model.score(pairs), float)
    features = model.candidate_features(X)
    assert_frame_equal(model.candidate_features(pairs), features)
