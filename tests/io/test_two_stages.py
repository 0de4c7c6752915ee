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
from sktwotower.io import dump, load
from tests.builders import chain, dated
from tests.two_stage.builders import shown

from .builders import (
    again,
    array_bytes,
    array_of,
    assert_same_answers,
    dumped,
    forged,
    members_of,
    stages,
)


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


@pytest.mark.each_time("request")
@pytest.mark.slow
@pytest.mark.parametrize(
    "params",
    [
        {},
        {"n_candidates": 6, "keep_training_table": True, "context": ["when"]},
        {"retriever": EASERecommender(time="when"), "cut": "user"},
        pytest.param({"exclude_seen": False, "time": None}, marks=pytest.mark.grid),
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
    assert_same_stages(model, again(model, path))
    features = model.candidate_features().filter(like="vector")
    assert features.shape[1]
    for dtype in ("float16", "int8"):
        read = again(model, path, vector_dtype=dtype)
        found = read.retriever_.item_embeddings_
        near = model.retriever_.item_embeddings_
        np.testing.assert_allclose(found, near, atol=1e-2)
        assert set(read.candidate_features()) >= set(features)


@pytest.mark.slow
@pytest.mark.parametrize(
    "position", ["place", pytest.param(None, marks=pytest.mark.grid)]
)
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


@pytest.fixture(scope="module")
def model():
    return stages()


def test_trees_return_the_same_scores_with_missing_values(model, path):
    read, expected = again(model, path).ranker_, model.ranker_
    assert type(read) is HistGradientBoostingClassifier
    assert read.get_params() == expected.get_params()
    assert read.n_iter_ == 100 and read.n_features_in_ == expected.n_features_in_
    X = np.random.default_rng(0).normal(size=(500, expected.n_features_in_)) * 3
    X[np.random.default_rng(1).random(X.shape) < 0.2] = np.nan
    edges = np.tile([[np.nan], [np.inf], [-np.inf]], X.shape[1])
    for rows in (X, edges):
        found = read.predict_proba(rows)
        np.testing.assert_array_equal(found, expected.predict_proba(rows))
    with pytest.raises(ValueError, match="features"):
        read.predict_proba(X[:, :3])


WHOLE = {"feature": 1, "left": 3, "right": 4, "leaf": 6}


ASTRAY = [
    (0, "feature", 10**4, "positions from 0 to"),
    (0, "feature", -1, "positions from 0"),
    (0, "left", 0, "nodes that follow"),
    (0, "right", 0, "nodes that follow"),
    (0, "right", 10**6, "positions from 0"),
    (0, "left", 2**33, "positions from 0"),
    (0, "leaf", 2, "positions from 0 to 1"),
    (-1, "leaf", 0, "nodes that follow"),  # the last node must be a leaf
]


def test_trees_that_lead_astray(model, path):
    for node, field, value, message in ASTRAY:
        members = members_of(dumped(model, path))
        name = next(name for name in members if name.endswith("whole.npy"))
        whole = array_of(members[name]).copy()
        whole[node, WHOLE[field]] = value
        members[name] = array_bytes(whole)
        path.write_bytes(forged(members))
        with pytest.raises(ValueError, match=message):
            load(path)
