"""How rankers of any kind are fitted on candidates and asked for scores."""

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_array_equal
from sklearn import config_context
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.neighbors import LocalOutlierFactor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import LinearSVC

from sktwotower import EASERecommender
from tests.cases import for_each
from tests.two_stage.builders import follows, stages


@pytest.fixture(scope="module")
def events():
    return follows(60, noise=0.2)


@pytest.mark.parametrize(
    ("ranker", "expected"),
    [
        (LinearSVC(random_state=0), lambda m, t: m.decision_function(t)),
        (Ridge(), lambda m, t: m.predict(t)),
        (
            make_pipeline(StandardScaler(), LogisticRegression()),
            lambda m, t: m.predict_proba(t)[:, 1],
        ),
    ],
    ids=["decision", "prediction", "pipeline"],
)
def test_scores_of_each_kind(ranker, expected, events):
    model = stages(EASERecommender(), ranker, n_candidates=12).fit(events)
    assert model.blend_ > 0
    table = model.candidate_features(["u05"])
    features = table.drop(columns=["user", "item"])
    scores = expected(model.ranker_, features)
    for item, score in list(zip(table["item"], scores, strict=True))[:3]:
        why = model.explain("u05", item).query("side == 'ranker'")
        assert why["contribution"].sum() == pytest.approx(score, rel=1e-4, abs=1e-5)
    assert model.ranker_ is not ranker
    assert model.ranker_.feature_names_in_.tolist() == features.columns.tolist()


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


def groups_of(ranker, events):
    """Return a fitted model, and how many candidates each of its users has."""
    model = stages(ranker=ranker, keep_training_table=True).fit(events)
    users = model.training_table_["user"]
    assert users.ne(users.shift()).sum() == users.nunique()  # one after the other
    return model.ranker_, users.value_counts(sort=False).to_numpy()


@for_each("kind", [BySizes, ByUser, ByQuery])
def test_groups_are_passed_in_the_form_that_fit_takes(kind, events):
    ranker, sizes = groups_of(kind(), events)
    given = np.asarray(ranker.given_)
    if kind is not BySizes:
        assert (np.diff(given) >= 0).all()
        given = np.unique(given, return_counts=True)[1]
    assert_array_equal(given, sizes)


def test_a_pipeline_passes_groups_on_to_its_last_step(events):
    inner = make_pipeline(StandardScaler(), BySizes())
    ranker, sizes = groups_of(make_pipeline("passthrough", inner), events)
    assert_array_equal(ranker[-1][-1].given_, sizes)
    with config_context(enable_metadata_routing=True):
        by_query = ByQuery().set_fit_request(qid=True)
        ranker, sizes = groups_of(make_pipeline(StandardScaler(), by_query), events)
    given = np.unique(ranker[-1].given_, return_counts=True)[1]
    assert_array_equal(given, sizes)


class Table(Recorder):
    """Keeps the features that fit was given; reads no missing values."""

    reads_missing = False

    def fit(self, X, y):
        self.given_ = X
        return self

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = self.reads_missing
        return tags


class Gaps(Table):
    reads_missing = True


def test_missing_values_become_medians_unless_the_ranker_reads_them(events):
    def own(table):
        rank = table["rank"].to_numpy(float)
        gap, none = np.where(rank > 9, np.nan, rank), np.full(len(rank), np.nan)
        return pd.DataFrame({"gap": gap, "none": none})

    filled, gaps = (
        stages(ranker=kind(), features=own).fit(events).ranker_.given_
        for kind in (Table, Gaps)
    )
    median, missing = gaps["own__gap"].median(), gaps["own__gap"].isna()
    assert missing.any() and (filled["own__gap"][missing] == median).all()
    assert_array_equal(filled["own__gap"][~missing], gaps["own__gap"][~missing])
    # a column without any value is refused by some that read missing ones
    assert (filled["own__none"] == 0).all() and (gaps["own__none"] == 0).all()


class Unscored(ClassifierMixin, BaseEstimator):
    def fit(self, X, y):
        return self


NO_RANKERS = [
    Unscored(),
    LogisticRegression,
    "hist",
    StandardScaler(),
    LocalOutlierFactor(),
]


def test_what_cannot_rank_is_refused():
    for ranker in NO_RANKERS:
        with pytest.raises(
            TypeError, match="ranker must be a classifier, a regressor or"
        ):
            stages(ranker=ranker).fit(follows())


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
