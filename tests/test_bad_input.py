"""What a fitted TwoTowerRecommender says to wrong calls, and what they leave."""

import copy
import inspect
import sys
import warnings

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_array_equal
from sklearn.exceptions import NotFittedError
from sklearn.preprocessing import StandardScaler

from sktwotower import TwoTowerRecommender
from sktwotower.neighbors import NNDescentNeighbors
from tests.builders import Rows, readers, small


@pytest.fixture(scope="module")
def fitted():
    return small().fit(readers())


@pytest.fixture
def model(fitted):
    # what is fitted is replaced as a whole, and never changed: a copy may be fitted
    return copy.copy(fitted)


# Questions


PUBLIC = {
    "transform": (readers(),),
    "predict": (readers(),),
    "score": (readers(),),
    "rank_held_out": (readers(),),
    "kneighbors": (["ann"],),
    "kneighbors_graph": (["ann"],),
    "recommend": (["ann"],),
    "similar_items": (["x"],),
    "similar_users": (["ann"],),
    "explain": ("ann", "x"),
    "why_not": ("ann", "x"),
    "coverage": (["ann"],),
    "request_schema": (),
    "align_to": ("older.npz",),
    "changed_items_since": ("0" * 16,),
    "feature_importance": (readers(),),
    "seen_items": (["ann"],),
    "forget_users": (["ann"],),
    "forget_items": (["x"],),
    "embed_users": (["ann"],),
    "embed_items": (["x"],),
    "get_feature_names_out": (),
}


def test_the_public_methods_are_all_listed():
    inherited = {
        "fit",
        "partial_fit",
        "fit_transform",
        "get_params",
        "set_params",
        "set_output",
    }
    public = {
        name
        for name, _ in inspect.getmembers(TwoTowerRecommender, callable)
        if not name.startswith("_") and not name.startswith("set_")
    }
    assert public - inherited - {"get_metadata_routing"} == set(PUBLIC)


def test_questions_before_fit():
    for method, given in PUBLIC.items():
        needed = {"n_neighbors": 3} if method == "rank_held_out" else {}
        with pytest.raises(NotFittedError, match="not fitted yet"):
            getattr(small(), method)(*given, **needed)


@pytest.mark.parametrize(
    ("X", "message"),
    [
        (readers()[["user", "item"]], "feature names should match"),
        (
            readers()[["user", "item"]],
            r"X of fit had the columns \['user', 'item', 'age'",
        ),
        (readers()[["item", "user", "age"]], "Feature names must be in the same order"),
        (readers().rename(columns={"age": "Age"}), "feature names should match"),
        (readers().iloc[:0], r"0 sample\(s\)"),
        (readers()[["user"]].to_numpy(), "X has 1 features?, but .* expecting 3"),
        (["ann"], "Got one column"),
    ],
)
def test_tables_with_other_columns_than_in_fit(model, X, message):
    for method in (model.transform, model.predict, model.score):
        with pytest.raises(ValueError, match=message):
            method(X)


@pytest.mark.parametrize("k", [0, 2.0, "3", True, [3]])
def test_numbers_of_neighbors(model, k):
    expected = "n_neighbors must be an integer >= 1"
    for method in (model.kneighbors, model.kneighbors_graph, model.recommend):
        with pytest.raises((TypeError, ValueError), match=expected):
            method(["ann"], n_neighbors=k)
    with pytest.raises((TypeError, ValueError), match=expected):
        model.similar_items(["x"], n_neighbors=k)


@pytest.mark.parametrize("flag", ["x", 1])
def test_whether_seen_items_are_left_out(model, flag):
    with pytest.raises(TypeError, match="exclude_seen must be True or False. Got"):
        model.recommend(["ann"], exclude_seen=flag)
    answer = model.recommend(["ann"], exclude_seen=np.True_)
    pd.testing.assert_frame_equal(answer, model.recommend(["ann"], exclude_seen=True))


@pytest.mark.parametrize(
    ("users", "message"),
    [
        ("ann", r"list or array of ids.*write \['ann'\]"),
        (3, r"write \[3\]"),
        ({"ann": 1}, "list or array of ids"),
        (["ann", None], "contains NaN"),
        (["ann", 3], "mixes ids of different types"),
        (np.ones((2, 2)), r"Got shape \(2, 2\)"),
        (pd.DataFrame({"usr": ["ann"]}), "no column 'user'.* Did you mean 'usr'"),
        ([["ann"], ["bob", "cid"]], "holds list objects"),
        (pd.MultiIndex.from_tuples([("ann", "x")]), "X|users holds tuple objects"),
    ],
)
def test_users_that_are_none(model, users, message):
    for ask in (model.recommend, model.kneighbors, model.embed_users):
        with pytest.raises((ValueError, TypeError), match=message):
            ask(users)


@pytest.mark.parametrize(
    ("candidates", "message"),
    [
        (["x", "q"], "1 of 2 candidates are not in the catalog of 3 items: 'q'"),
        ("x", "candidates must be a list of item ids or, for each user, .* Got 'x'"),
        ([["x"]], "candidates must be a list"),
        ([["x"], ["y", "z"]], "candidates holds list objects"),
        ([1, 2], "2 of 2 candidates are not in the catalog"),
        (
            {"ann": 1},
            "candidates must hold a list of items for each user. Got 1 for 'ann'",
        ),
        ({"ann": ["x", "q"]}, "1 of 2 candidates are not in the catalog"),
        (
            pd.DataFrame({"item": ["x"], "tag": ["a"]}),
            "candidates has no column 'user'",
        ),
    ],
)
@pytest.mark.filterwarnings("ignore:None of the ids in candidates")
def test_candidates(model, candidates, message):
    with pytest.raises((ValueError, TypeError), match=message):
        model.recommend(["ann"], candidates=candidates)


def test_parquet_without_pyarrow(model, monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(ImportError, match=r"pip install 'sktwotower\[parquet\]'"):
        model.recommend(path=tmp_path / "all.parquet")


def test_what_unknown_candidates_are(model):
    with pytest.raises(ValueError, match="'error' or 'ignore'. Got 'drop'"):
        model.recommend(["ann"], candidates=["x"], unknown_candidates="drop")


@pytest.mark.parametrize(
    ("history", "message"),
    [
        ("x", "history must be a table of events"),
        (readers()[["user"]], "history has no column 'item'"),
        ({"ann": "x"}, "history.*list of items.*'x'"),
        ({"ann": [None]}, "history contains NaN"),
        ({"ann": [["x"]]}, "history"),
        (np.ones((2, 2, 2)), "history must be"),
    ],
)
def test_histories(model, history, message):
    with pytest.raises((ValueError, TypeError), match=message):
        model.recommend(["ann"], history=history)


def test_a_history_of_nobody(model):
    with pytest.raises(ValueError, match="does not name its users"):
        model.recommend(history=["x"])
    with pytest.raises(TypeError, match="for a single user, a list"):
        model.recommend(["ann", "bob"], history=["x"])


def test_unknown_items_have_no_neighbors(model):
    with pytest.raises(ValueError, match="The item 'q' is not known from fit"):
        model.similar_items(["x", "q"])


@pytest.mark.slow
def test_tables_that_lack_a_feature():
    model = small(user_features=["age"], item_features=None).fit(readers())
    X = readers().assign(town="a")
    both = small(user_features=["age", "town"]).fit(X)
    with pytest.raises(ValueError, match="lacks the user feature 'town'"):
        both.recommend(pd.DataFrame({"user": ["new"], "age": [3.0]}))
    with pytest.raises(ValueError, match="lacks the user feature 'age'.*mean 'agee'"):
        both.recommend(pd.DataFrame({"user": ["n"], "agee": [3.0], "town": ["a"]}))
    assert len(model.recommend(pd.DataFrame({"user": ["new"]}))) == 3


def test_scores_without_a_positive(model):
    with pytest.raises(ValueError, match="no positive event"):
        model.score(readers(), np.zeros(6))
    with pytest.warns(UserWarning, match="No chosen item of X is in the catalog of 3"):
        assert model.score(readers().assign(item="gone")) == 0
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # one is known
        model.score(readers().assign(item=["gone"] * 5 + ["x"]))


def test_modes(model):
    with pytest.raises(ValueError, match="mode must be 'connectivity' or 'distance'"):
        model.kneighbors_graph(["ann"], mode="weights")


def test_ids_of_another_type_are_told_apart_with_a_warning():
    X = pd.DataFrame({"user": [1, 1, 2, 2], "item": [1, 2, 2, 3]})
    model = small().fit(X)
    with pytest.warns(UserWarning, match="None of the ids in X is known"):
        model.recommend(["1", "2"])


# What a failure leaves


class InterruptedTransformer(StandardScaler):
    def fit(self, X, y=None):
        raise KeyboardInterrupt


def test_an_interrupt_before_training_leaves_the_model_as_it_was(model):
    before = model.predict(readers())
    model.set_params(user_transformer=InterruptedTransformer())
    with pytest.raises(KeyboardInterrupt):
        model.fit(readers())
    assert_array_equal(model.predict(readers()), before)
    with pytest.raises(NotFittedError):
        unfitted = small(user_transformer=InterruptedTransformer())
        with pytest.raises(KeyboardInterrupt):
            unfitted.fit(readers())
        unfitted.predict(readers())


@pytest.mark.parametrize(
    ("params", "X", "y"),
    [
        ({"lr": -1.0}, readers(), None),
        ({"user_features": "agee"}, readers(), None),
        ({}, readers().assign(item="x"), None),
        ({}, readers()[["user", "item"]].iloc[:1], None),
        ({}, readers(), -np.ones(6)),
        ({"item_transformer": Rows(lambda t: t)}, readers(), None),
        ({"item_tower": "linear"}, readers(), None),
        ({"neighbors": NNDescentNeighbors(epsilon=-1)}, readers(), None),
        (
            {"lr": 1e38, "normalize": False, "optimizer": "sgd", "max_epochs": 5},
            readers(),
            None,
        ),
    ],
)
def test_a_failed_fit_leaves_the_fitted_model_as_it_was(model, params, X, y):
    before = model.predict(readers()), model.recommend()
    state = {name: value for name, value in vars(model).items() if name not in params}
    usual = {name: getattr(model, name) for name in params}
    model.set_params(**params)
    with pytest.raises((ValueError, TypeError)):
        model.fit(X, y)
    assert all(vars(model)[name] is value for name, value in state.items())
    model.set_params(**usual)
    assert_array_equal(model.predict(readers()), before[0])
    pd.testing.assert_frame_equal(model.recommend(), before[1])
