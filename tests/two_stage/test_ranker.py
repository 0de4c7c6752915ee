"""How rankers of any kind are fitted on candidates and asked for scores."""

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_array_equal
from sklearn import config_context
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from sklearn.cluster import KMeans
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.neighbors import LocalOutlierFactor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import LinearSVC

from sktwotower.two_stage._ranker import check_ranker, fit_ranker
from tests.two_stage.builders import follows, stages


@pytest.fixture
def table():
    rng = np.random.default_rng(0)
    table = pd.DataFrame(rng.normal(size=(200, 2)), columns=["a", "b"])
    return table.astype(np.float32)


def labels_of(table):
    return (table["a"] > 0).to_numpy().astype(int)


GROUPS = np.repeat(np.arange(20), 10)


@pytest.mark.parametrize(
    ("ranker", "expected"),
    [
        (LogisticRegression(), lambda m, t: m.predict_proba(t)[:, 1]),
        (LinearSVC(), lambda m, t: m.decision_function(t)),
        (Ridge(), lambda m, t: m.predict(t)),
        (
            make_pipeline(StandardScaler(), LogisticRegression()),
            lambda m, t: m.predict_proba(t)[:, 1],
        ),
    ],
    ids=["probability", "decision", "prediction", "pipeline"],
)
def test_scores_of_each_kind(ranker, expected, table):
    fitted = fit_ranker(ranker, table, labels_of(table), GROUPS)
    scores = fitted.scores(table)
    assert_array_equal(scores, expected(fitted.estimator, table))
    assert np.corrcoef(scores, table["a"])[0, 1] > 0.7
    assert fitted.estimator is not ranker
    assert fitted.estimator.feature_names_in_.tolist() == ["a", "b"]


class Recorder(RegressorMixin, BaseEstimator):
    """Keeps what fit was given."""

    def predict(self, X):
        return np.zeros(len(X))


class BySizes(Recorder):
    def fit(self, X, y, group=None):
        self.given_ = group
        return self


class ByUser(Recorder):
    def fit(self, X, y, group_id=None):
        self.given_ = group_id
        return self


class ByQuery(Recorder):
    def fit(self, X, y, *, qid=None):
        self.given_ = qid
        return self


def test_groups_are_passed_in_the_form_that_fit_takes(table):
    groups = np.repeat([0, 2, 5], [100, 40, 60])
    for ranker, given in (
        (BySizes(), [100, 40, 60]),
        (ByUser(), groups),
        (ByQuery(), groups),
    ):
        fitted = fit_ranker(ranker, table, labels_of(table), groups)
        assert_array_equal(fitted.estimator.given_, given)


def test_a_pipeline_passes_groups_on_to_its_last_step(table):
    groups = np.repeat([0, 2, 5], [100, 40, 60])
    inner = make_pipeline(StandardScaler(), BySizes())
    fitted = fit_ranker(
        make_pipeline("passthrough", inner), table, labels_of(table), groups
    )
    assert_array_equal(fitted.estimator[-1][-1].given_, [100, 40, 60])
    no_ranker = make_pipeline(StandardScaler(), LogisticRegression())
    assert fit_ranker(no_ranker, table, labels_of(table), groups).named
    with config_context(enable_metadata_routing=True):
        ranker = make_pipeline(StandardScaler(), ByQuery().set_fit_request(qid=True))
        fitted = fit_ranker(ranker, table, labels_of(table), groups)
    assert_array_equal(fitted.estimator[-1].given_, groups)


def test_missing_values_become_medians_unless_the_ranker_reads_them(table):
    table.loc[:99, "b"] = np.nan
    table["c"] = np.float32(np.nan)
    plain = fit_ranker(LogisticRegression(), table, labels_of(table), GROUPS)
    assert plain.fill["b"] == table["b"].median() and plain.fill["c"] == 0
    filled = table.fillna({"b": table["b"].median(), "c": 0})
    expected = LogisticRegression().fit(filled, labels_of(table))
    assert_array_equal(plain.scores(table), expected.predict_proba(filled)[:, 1])
    trees = HistGradientBoostingClassifier(max_iter=2)
    # which refuses a column without any value
    assert fit_ranker(trees, table, labels_of(table), GROUPS).fill == {"c": 0}


class Unscored(ClassifierMixin, BaseEstimator):
    def fit(self, X, y):
        return self


@pytest.mark.parametrize(
    "ranker",
    [Unscored(), LogisticRegression, "hist", StandardScaler(), LocalOutlierFactor()],
    ids=str,
)
def test_what_cannot_rank_is_refused(ranker):
    with pytest.raises(TypeError, match="fit and one of predict_proba, decision_func"):
        check_ranker(ranker)
    with pytest.raises(TypeError, match="ranker must be a classifier, a regressor or"):
        stages(ranker=ranker).fit(follows())


def test_a_ranker_of_clusters_has_predict():
    check_ranker(KMeans())


@pytest.mark.slow
@pytest.mark.parametrize(
    ("library", "name", "params"),
    [
        ("lightgbm", "LGBMRanker", {"verbose": -1, "n_jobs": 1}),
        ("lightgbm", "LGBMClassifier", {"verbose": -1, "n_jobs": 1}),
        ("xgboost", "XGBRanker", {"n_jobs": 1}),
        ("xgboost", "XGBClassifier", {"n_jobs": 1}),
        ("catboost", "CatBoostRanker", {"verbose": 0, "thread_count": 1}),
        ("catboost", "CatBoostClassifier", {"verbose": 0, "thread_count": 1}),
    ],
)
def test_rankers_of_other_libraries(library, name, params):
    module = pytest.importorskip(library)
    writes = {"allow_writing_files": False} if library == "catboost" else {}
    ranker = getattr(module, name)(n_estimators=20, random_state=0, **params, **writes)
    events = follows(200)
    model = stages(ranker=ranker).fit(events)
    assert model.blend_ > 0
    assert type(model.ranker_).__name__ == name
    assert len(model.recommend(["u00"])) == 10
