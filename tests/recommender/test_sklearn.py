"""scikit-learn's own checks, searches, pipelines and splitters around the estimator."""

import re

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import (
    GridSearchCV,
    KFold,
    RandomizedSearchCV,
    cross_val_predict,
    cross_val_score,
    cross_validate,
    learning_curve,
)
from sklearn.neighbors import NearestNeighbors
from sklearn.pipeline import FeatureUnion, Pipeline, make_pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.utils import estimator_checks
from sklearn.utils.validation import check_is_fitted

from sktwotower import TowerVectorizer, TwoTowerRecommender
from sktwotower.metrics import make_retrieval_scorer
from sktwotower.model_selection import LastNSplit, TimeSplit
from sktwotower.towers import PooledHistory
from tests.builders import assert_passes_checks, small

OTHERS = [
    {
        "early_stopping": True,
        "neighbors": NearestNeighbors(),
        "n_neighbors": 1,
        "id_dropout": 1.0,
    },
    {
        "history": None,
        "normalize": False,
        "exclude_seen": False,
        "candidate_sampling": "mixed",
        "net_params": {"iterator_train__correction": "all"},
    },
    {
        "max_epochs": 2,
        "hidden_layer_sizes": (6,),
        "optimizer": "sgd",
        "history": PooledHistory(fold_in=False),
    },
]
QUICK = {"max_epochs": 1, "embedding_dim": 8}


@pytest.mark.slow
def test_sklearn():
    assert_passes_checks(TwoTowerRecommender(max_epochs=1))


@pytest.mark.grid
@pytest.mark.parametrize("params", OTHERS)
def test_sklearn_with_other_parameters(params):
    assert_passes_checks(TwoTowerRecommender(**QUICK | params))


@pytest.mark.slow
@pytest.mark.parametrize(
    "check",
    [
        "check_dataframe_column_names_consistency",
        "check_transformer_get_feature_names_out",
        "check_transformer_get_feature_names_out_pandas",
        "check_get_feature_names_out_error",
        "check_set_output_transform",
        "check_set_output_transform_pandas",
        pytest.param("check_set_output_transform_polars", marks=pytest.mark.grid),
        pytest.param("check_global_output_transform_pandas", marks=pytest.mark.grid),
        "check_global_set_output_transform_polars",
        "check_inplace_ensure_writeable",
        "check_param_validation",
    ],
)
def test_sklearn_checks_that_are_not_yielded(check):
    if not hasattr(estimator_checks, check):
        pytest.skip("another version of scikit-learn")
    estimator = TwoTowerRecommender(max_epochs=1, embedding_dim=8)
    getattr(estimator_checks, check)("TwoTowerRecommender", estimator)


@pytest.fixture
def X():
    rng = np.random.default_rng(0)
    pairs = np.argwhere(rng.uniform(size=(12, 10)) < 0.5)
    rng.shuffle(pairs)
    table = pd.DataFrame(pairs, columns=["user", "item"])
    table["time"] = pd.date_range("2024-01-01", periods=len(table), freq="h")
    return table


@pytest.fixture
def items():
    return pd.DataFrame({"item": range(10), "tag": list("aabbccddee")})


class Fewer(TwoTowerRecommender):
    """A subclass with a parameter of its own, and few others; one of the tables."""

    def __init__(self, *, boost=1.0, items=None, max_epochs=1, random_state=0):
        super().__init__(
            items=items,
            max_epochs=max_epochs,
            random_state=random_state,
            embedding_dim=4,
        )
        self.boost = boost


def test_a_subclass_with_fewer_parameters(X, items):
    model = Fewer(boost=2.0, items=items)
    copied = clone(model)
    assert (copied.boost, copied.items is items) == (2.0, True)
    assert "boost=2.0" in repr(model) and "boost" in model._repr_html_()
    for name in (
        "check_estimator_cloneable",
        "check_estimator_repr",
        "check_get_params_invariance",
        "check_no_attributes_set_in_init",
        "check_parameters_default_constructible",
        "check_set_params",
    ):
        getattr(estimator_checks, name)("Fewer", Fewer())


@pytest.mark.slow
def test_a_search_over_a_parameter_of_a_subclass(X):
    search = GridSearchCV(Fewer(), {"boost": [1.0, 3.0]}, cv=2).fit(X)
    assert search.best_estimator_.boost == search.best_params_["boost"]


class Witness(TwoTowerRecommender):
    """Return how many rows fit was given."""

    fitted_rows = []

    def fit(self, X, y=None, sample_weight=None):
        Witness.fitted_rows.append((len(X), len(self.items)))
        return super().fit(X, y, sample_weight)


@pytest.mark.slow
def test_a_search_never_cuts_a_side_table_as_long_as_x(X):
    items = pd.DataFrame({"item": range(len(X)), "tag": "t"})
    Witness.fitted_rows.clear()
    model = Witness(items=items, embedding_dim=4, max_epochs=1, random_state=0)
    search = GridSearchCV(model, {"lr": [0.01, 0.02]}, cv=3).fit(X)
    assert len(Witness.fitted_rows) == 7
    assert {rows for _, rows in Witness.fitted_rows} == {len(X)}
    assert min(n for n, _ in Witness.fitted_rows) < len(X)
    assert search.best_estimator_.items is items
    assert len(search.best_estimator_.item_ids_) == len(X)


@pytest.mark.slow
def test_grid_search_tunes_the_transformers_too(X, items):
    search = GridSearchCV(
        small(items=items, user_transformer=TowerVectorizer()),
        {"user_transformer__min_frequency": [1, 100], "temperature": [0.1, 0.3]},
        cv=LastNSplit(1),
        return_train_score=True,
    ).fit(X)
    results = search.cv_results_
    assert np.isfinite(results["mean_test_score"]).all()
    assert (results["mean_train_score"] > 0).all()
    best = search.best_estimator_
    frequency = best.user_transformer_.min_frequency
    assert frequency == search.best_params_["user_transformer__min_frequency"]
    assert len(search.predict(X)) == len(search.transform(X)) == len(X)
    assert 0 <= search.score(X) <= 1


@pytest.mark.slow
def test_randomized_search(X):
    search = RandomizedSearchCV(
        small(), {"lr": [0.001, 0.01, 0.1]}, n_iter=2, cv=2, random_state=0
    )
    assert search.fit(X).best_params_["lr"] in (0.001, 0.01, 0.1)


@pytest.mark.slow
def test_cross_val_score_is_the_score_of_each_fold(X):
    folds = KFold(3, shuffle=True, random_state=0)
    scores = cross_val_score(small(), X, cv=folds)
    expected = [
        small().fit(X.iloc[train]).score(X.iloc[test]) for train, test in folds.split(X)
    ]
    assert_array_equal(scores, expected)
    y = np.tile([1.0, 2.0, 0.0], len(X))[: len(X)]
    assert np.isfinite(cross_val_score(small(), X, y, cv=folds)).all()


@pytest.mark.slow
@pytest.mark.parametrize(
    "cv",
    [
        LastNSplit(1, n_splits=2, user_id="user"),
        LastNSplit(1, time="time"),
        TimeSplit(0.2, time="time", n_splits=2),
    ],
    ids=str,
)
def test_splitters_and_scorers_of_the_package(X, cv):
    scoring = {
        "recall": make_retrieval_scorer("recall", k=10),
        "ndcg": make_retrieval_scorer("ndcg", k=3),
        "coverage": make_retrieval_scorer("coverage", k=3),
    }
    result = cross_validate(
        small(), X, cv=cv, scoring=scoring, return_estimator=True, error_score="raise"
    )
    for name in scoring:
        assert ((result[f"test_{name}"] >= 0) & (result[f"test_{name}"] <= 1)).all()
    for (_, test), model, recall in zip(
        cv.split(X), result["estimator"], result["test_recall"], strict=True
    ):
        assert model.score(X.iloc[test]) == pytest.approx(recall)


@pytest.mark.slow
def test_cross_val_predict_and_learning_curve(X):
    scores = cross_val_predict(small(), X, cv=3)
    assert scores.shape == (len(X),) and (np.abs(scores) <= 1 + 1e-6).all()
    sizes, train, test = learning_curve(
        small(), X, None, cv=2, train_sizes=[0.5, 1.0], shuffle=True, random_state=0
    )
    assert np.isfinite(train).all() and np.isfinite(test).all()


@pytest.mark.slow
def test_the_last_step_of_a_pipeline(X, items):
    def chosen(table):
        return table.query("user != 11")

    pipe = make_pipeline(FunctionTransformer(chosen), small(items=items))
    pipe.fit(X)
    assert 11 not in pipe[-1].user_ids_
    assert pipe.score(X) == pipe[-1].score(chosen(X))
    assert_array_equal(pipe.predict(chosen(X)), pipe[-1].predict(chosen(X)))
    passed = Pipeline([("model", small())]).fit(X, model__sample_weight=np.ones(len(X)))
    assert_array_equal(passed.predict(X), small().fit(X).predict(X))
    scores = cross_val_score(
        make_pipeline("passthrough", small()),
        X,
        cv=LastNSplit(1),
        scoring=make_retrieval_scorer("ndcg", k=5),
    )
    assert 0 <= scores[0] <= 1


@pytest.mark.slow
def test_a_step_in_the_middle_of_a_pipeline(X):
    y = (X["item"] % 2).to_numpy()
    with pytest.warns(UserWarning, match="FrozenEstimator.model. with a fitted model"):
        pipe = make_pipeline(small(history=None), LogisticRegression()).fit(X, y)
    assert set(pipe.predict(X)) <= {0, 1}
    assert pipe[-1].n_features_in_ == 8
    model = small().fit(X)
    frozen = make_pipeline(FrozenEstimator(model), LogisticRegression()).fit(X, y)
    expected = LogisticRegression().fit(model.transform(X), y).predict_proba
    assert_allclose(frozen.predict_proba(X), expected(model.transform(X)))
    union = FeatureUnion([("a", small()), ("b", small(embedding_dim=4))])
    assert union.fit_transform(X).shape == (len(X), 12)
    names = small().fit(X).get_feature_names_out()
    assert list(names) == [f"twotowerrecommender{i}" for i in range(8)]
    framed = small().set_output(transform="pandas").fit_transform(X.iloc[::-1])
    assert list(framed.columns) == list(names)
    assert list(framed.index) == list(X.index[::-1])
    model = small().set_output(transform="pandas").fit(X)
    assert list(model.transform(X).columns) == list(names)


@pytest.mark.slow
def test_a_pipeline_caches_the_recommender_in_its_middle(X, items, tmp_path):
    y = (X["item"] % 2).to_numpy()
    scores = []
    for memory in (None, str(tmp_path), str(tmp_path)):
        model = small(items=items, history=None)
        pipe = make_pipeline(model, LogisticRegression(), memory=memory)
        grid = {"logisticregression__C": [0.1, 1.0]}
        search = GridSearchCV(pipe, grid, cv=2, error_score="raise").fit(X, y)
        scores.append(search.cv_results_["mean_test_score"].tolist())
        assert len(search.best_estimator_[0].item_ids_) == 10
    assert scores[0] == scores[1] == scores[2]


@pytest.mark.slow
def test_a_grid_over_the_last_step_and_what_it_recommends(X):
    pipe = Pipeline([("keep", FunctionTransformer()), ("recommender", small())])
    search = GridSearchCV(pipe, {"recommender__temperature": [0.1, 0.3]}, cv=2).fit(X)
    best = search.best_estimator_
    assert best[-1].temperature_ == search.best_params_["recommender__temperature"]
    assert len(best[-1].recommend([0, 1], n_neighbors=3)) == 6
    assert list(pipe[:1].fit_transform(X)) == list(X)
    framed = pipe.fit(X)[1:].set_output(transform="polars").transform(X)
    assert framed.columns == [f"twotowerrecommender{i}" for i in range(8)]


def test_the_diagram_says_how_past_items_are_read():
    expected = {"recent": " + sums of past items", "pooled": " + mean of past items"}
    for history, past in (expected | {None: ""}).items():
        text = TwoTowerRecommender(history=history)._repr_html_()
        assert f"feature row{past} → 256 → unit length" in text


@pytest.mark.slow
def test_the_diagram_shows_both_towers_and_their_transformers(X, items):
    of_items = make_pipeline(TowerVectorizer(kinds={"tag": "category"}))
    model = small(items=items, item_transformer=of_items, hidden_layer_sizes=(16,))
    in_pipeline = make_pipeline("passthrough", model, LogisticRegression())
    for thing in (model, in_pipeline):
        text = re.sub("<[^>]+>", " ", thing._repr_html_())
        assert text.count("TowerVectorizer") >= 2
        assert "user side" in text and "item side" in text
        assert "user vector and the item vector (their cosine)<" in thing._repr_html_()
        assert "feature row + past items → 16 → 8 → unit length" in text
        assert "feature row → 16 → 8 → unit length" in text
    text = small(items=items, normalize=False).fit(X)._repr_html_()
    n_users = X["user"].nunique()
    assert f"{n_users} features + mean of past items → 8<" in text
    assert "user vector and the item vector<" in text
    assert "15 features → 8<" in text  # ten ids and five tags
    assert "item_3" not in text


def test_parameters_go_round(X, items):
    model = small(items=items, user_transformer=TowerVectorizer())
    again = TwoTowerRecommender(**model.get_params(deep=False))
    assert again.get_params(deep=False) == model.get_params(deep=False)
    changed = clone(model).set_params(user_transformer__min_frequency=7, lr=0.5)
    assert changed.user_transformer.min_frequency == 7
    assert model.user_transformer.min_frequency == 2
    with pytest.raises(ValueError, match="Invalid parameter 'learning_rate'"):
        model.set_params(learning_rate=1)
    check_is_fitted(changed.fit(X))
