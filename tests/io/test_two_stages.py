"""Files of both stages: the same answers, and trees that cannot lead astray."""

import sys

import numpy as np
import pytest
from pandas import Timedelta
from pandas.testing import assert_frame_equal
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.tree import DecisionTreeClassifier

from sktwotower import EASERecommender, TwoStageRecommender
from sktwotower._records._container import ReadFile, WrittenFile
from sktwotower._records._values import Reader, Writer
from sktwotower.io import dump, load
from sktwotower.two_stage._ranker import Trees, default_ranker
from tests.builders import chain, dated
from tests.two_stage.builders import shown

from .builders import again, assert_same_answers, stages


@pytest.fixture
def path(tmp_path):
    return tmp_path / "model.sktt"


def assert_same_stages(model, read):
    """Check that all methods return the same."""
    assert_same_answers(model, read)
    events = dated(chain(n_users=42, n_items=12, n_events=6, seed=1))
    np.testing.assert_array_equal(read.predict(events), model.predict(events))
    assert_frame_equal(read.candidate_features(), model.candidate_features())
    for name in ("blend_", "cut_", "candidate_recall_", "n_positive_candidates_"):
        assert getattr(read, name) == getattr(model, name)
    for name in ("blend_gains_", "blend_gains_later_"):
        expected = getattr(model, name)
        if expected is None:
            assert getattr(read, name) is None
        else:
            assert_frame_equal(getattr(read, name), expected)
    tables = [each.feature_importance(random_state=0) for each in (read, model)]
    assert_frame_equal(*tables)


@pytest.mark.slow
@pytest.mark.parametrize(
    "params",
    [
        {},
        {"n_candidates": 6, "keep_training_table": True, "context": ["when"]},
        {"retriever": EASERecommender(time="when"), "cut": "user"},
        {"exclude_seen": False, "time": None},
    ],
    ids=["dates", "request", "users", "rows"],
)
def test_ease_and_the_default_ranker_without_skops(params, path, monkeypatch):
    monkeypatch.setitem(sys.modules, "skops", None)
    model = stages(**params)
    assert model.blend_ > 0
    for how in ({}, {"mmap": True, "verify": False}):
        read = again(model, path, load_params=how)
        assert_same_stages(model, read)
    if model.keep_training_table:
        assert_frame_equal(read.training_table_, model.training_table_)
    more = dated(chain(n_users=43, n_items=13, n_events=6, seed=2)).tail(60)
    tables = (each.partial_fit(more).candidate_features() for each in (read, model))
    assert_frame_equal(*tables)


@pytest.mark.slow
def test_the_default_retriever(path):
    model = TwoStageRecommender(n_candidates=8, time="when", random_state=0)
    model.fit(dated(chain(n_users=40, n_items=12, n_events=6)))
    assert "vector" in model._fitted.describer.log.vectors
    assert_same_stages(model, again(model, path))
    for dtype, tolerance in (("float16", 1e-3), ("int8", 1 / 254)):
        models = again(model, path, vector_dtype=dtype), model
        vectors = [each._fitted.describer.log.vectors["vector"] for each in models]
        np.testing.assert_allclose(*vectors, atol=tolerance)


@pytest.mark.slow
@pytest.mark.parametrize("position", [None, "place"])
def test_lists_that_were_shown(position, path, monkeypatch):
    monkeypatch.setitem(sys.modules, "skops", None)
    events = shown().assign(slot=lambda table: table["place"] > 3)
    params = {"lists": "list", "position": position, "row_features": ["slot"]}
    model = TwoStageRecommender(
        EASERecommender(), time="when", random_state=0, **params
    )
    columns = ["user", "item", "slot", "when", "list"]
    if position is not None:
        columns.append("place")
    model.fit(events[columns], events["y"])
    read = again(model, path)
    X = events[["user", "item", "slot"]]
    np.testing.assert_array_equal(read.predict(X), model.predict(X))
    np.testing.assert_array_equal(read.predict_proba(X), model.predict_proba(X))
    assert read.list_order_ == model.list_order_
    assert_frame_equal(read.list_gains_later_, model.list_gains_later_)
    assert read.list_gains_ is None
    further = events[columns].assign(when=lambda table: table["when"] + Timedelta("9D"))
    for each in (read, model):
        each.partial_fit(further, 1 - events["y"])
    np.testing.assert_array_equal(read.predict_proba(X), model.predict_proba(X))


@pytest.mark.slow
def test_an_unfitted_one_and_one_without_a_ranker(path):
    read = again(TwoStageRecommender(EASERecommender(l2=7), cut="user"), path)
    assert read.retriever.l2 == 7 and read.cut == "user"
    with pytest.warns(UserWarning, match="No ranker was trained"):
        model = stages().fit(dated(chain(n_users=5, n_items=12, n_events=6)))
    read = again(model, path)
    assert read.ranker_ is None and read.blend_ == 0
    assert_same_answers(model, read)


@pytest.mark.slow
def test_other_rankers_and_features_need_skops(path, monkeypatch):
    pytest.importorskip("skops.io")
    ranker = make_pipeline(StandardScaler(), LogisticRegression())
    model = stages(ranker=ranker, features=Latest())
    read = again(model, path, load_params={"trusted": [Latest]})
    assert_same_stages(model, read)
    assert read.candidate_features().filter(like="own__").shape[1] == 1
    monkeypatch.setitem(sys.modules, "skops", None)
    monkeypatch.setitem(sys.modules, "skops.io", None)
    with pytest.raises(ImportError, match=r"'ranker'.*pip install 'sktwotower\[io\]'"):
        dump(stages(ranker=ranker), path)


@pytest.mark.slow
def test_trees_of_the_caller_must_be_trusted(path):
    pytest.importorskip("skops.io")
    model = stages(ranker=DecisionTreeClassifier(max_depth=3, random_state=0))
    trees = "sklearn.tree._tree.Tree"
    dump(model, path)
    with pytest.raises(ValueError, match=rf"not trusted: {trees}\."):
        load(path)
    assert_same_stages(model, load(path, trusted=[trees]))


class Latest(StandardScaler):
    """A transformer of a table of candidates: the rank of each."""

    def fit(self, X):
        return super().fit(X[["rank"]])

    def transform(self, X):
        return super().transform(X[["rank"]])


@pytest.mark.slow
def test_functions_are_refused_by_name(path):
    model = stages(features=lambda table: table["rank"])
    with pytest.raises(ValueError, match="'features' of TwoStage.*no functions"):
        dump(model, path)
    assert not path.exists()


# Trees


def trees_again(classifier, path, change=None):
    """Return a classifier as it is after it was written and read."""
    trees = Trees.of(classifier)
    if change is not None:
        trees = change(trees)
    with open(path, "wb") as file, WrittenFile(file) as written:
        written.finish({"x": Writer(written).write(trees, "x")})
    with ReadFile(path, False, True) as file:
        read = Reader(file).read(file.meta["x"], "x")
    return read.grown_in(default_ranker(read.random_state))


@pytest.fixture(scope="module")
def table():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(500, 4)).astype(np.float32)
    X[rng.random(X.shape) < 0.2] = np.nan
    return X, (np.nan_to_num(X[:, 0] * X[:, 1]) + X[:, 2] > 0).astype(int)


@pytest.fixture(scope="module")
def trees(table):
    return default_ranker(3).fit(*table)


def test_trees_return_the_same_scores_with_missing_values(table, trees, path):
    X, model = table[0], trees
    read = trees_again(model, path)
    assert type(read) is HistGradientBoostingClassifier
    assert read.get_params() == model.get_params()
    assert read.n_iter_ == 100 and read.n_features_in_ == 4
    edges = np.full((3, 4), [[np.nan], [np.inf], [-np.inf]], dtype=np.float32)
    for rows in (X, edges, X[::-1] * 5):
        expected = model.predict_proba(rows)
        np.testing.assert_array_equal(read.predict_proba(rows), expected)
    with pytest.raises(ValueError, match="features"):
        read.predict_proba(X[:, :3])


WHOLE = {"feature": 1, "left": 3, "right": 4, "leaf": 6}


@pytest.mark.parametrize(
    "field, value, message",
    [
        ("feature", 4, "positions from 0 to 3"),
        ("feature", -1, "positions from 0"),
        ("left", 0, "nodes that follow"),
        ("right", 0, "nodes that follow"),
        ("right", 10**6, "positions from 0"),
        ("left", 2**33, "positions from 0"),
        ("leaf", 2, "positions from 0 to 1"),
    ],
)
def test_trees_that_lead_astray(field, value, message, trees, path):
    def change(trees):
        whole = trees.whole.copy()
        whole[0, WHOLE[field]] = value
        return trees._replace(whole=whole)

    with pytest.raises(ValueError, match=message):
        trees_again(trees, path, change)


def test_the_last_node_must_be_a_leaf(trees, path):
    def change(trees):
        whole = trees.whole.copy()
        whole[-1, WHOLE["leaf"]] = 0
        return trees._replace(whole=whole)

    with pytest.raises(ValueError, match="nodes that follow"):
        trees_again(trees, path, change)
