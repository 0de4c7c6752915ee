"""What a TwoTowerRecommender says to tables, parameters and calls that are wrong."""

import copy
import datetime
import inspect
import sys
import traceback
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import sklearn
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.testing import assert_array_equal
from sklearn.exceptions import NotFittedError
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from sklearn.utils._param_validation import generate_invalid_param_val, make_constraint
from torch import nn

import sktwotower
from sktwotower import TwoTowerRecommender
from tests.builders import small


def readers():
    return pd.DataFrame(
        {
            "user": ["ann", "ann", "bob", "bob", "cid", "cid"],
            "item": ["x", "y", "y", "z", "x", "z"],
            "age": [30.0, 30, 40, 40, 50, 50],
        }
    )


@pytest.fixture(scope="module")
def fitted():
    return small().fit(readers())


@pytest.fixture
def model(fitted):
    # what is fitted is replaced as a whole, and never changed: a copy may be fitted
    return copy.copy(fitted)


# Columns


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"user_id": "usr"}, "user_id names 'usr', .* Did you mean 'user'"),
        ({"item_id": "zzz"}, "item_id names 'zzz', .* Columns: 'user', 'item', 'age'"),
        ({"item_id": 7}, "item_id names 7, which is not a column of X"),
        ({"user_features": ["agee"]}, "user_features names 'agee', .* mean 'age'"),
        ({"item_features": "agee"}, "item_features names 'agee', .* mean 'age'"),
        ({"user_features": slice("agee", None)}, "names 'agee', .* mean 'age'"),
        ({"user_features": [True, False]}, "user_features .* 2 .* 3 columns"),
        ({"user_features": 1.5}, "user_features must be .* Got 1.5"),
        (
            {"user_id": "item", "item_id": "item"},
            "'item' would be both the user and the item column",
        ),
    ],
)
def test_columns_that_are_not_there(params, message):
    with pytest.raises((ValueError, TypeError), match=message):
        small(**params).fit(readers())


def test_a_column_name_that_occurs_twice():
    X = readers().set_axis(["user", "item", "item"], axis="columns")
    with pytest.raises(ValueError, match="X has more than one column named 'item'"):
        small().fit(X)


@pytest.mark.parametrize(
    ("X", "message"),
    [
        (readers()[["user"]], "1 feature"),
        (readers().iloc[:0], r"0 sample\(s\)"),
        (np.empty((0, 2)), r"0 sample\(s\)"),
        (["ann", "bob"], "Expected 2D array"),
        ("ann", "Expected 2D array|dataframe"),
        (None, "Expected 2D array"),
    ],
)
def test_tables_that_hold_no_events(X, message):
    with pytest.raises((ValueError, TypeError), match=message):
        small().fit(X)


# Ids


@pytest.mark.parametrize("missing", [None, np.nan, pd.NA, pd.NaT])
@pytest.mark.parametrize("side", ["user", "item"])
def test_missing_ids(side, missing):
    X = readers().astype({side: object})
    X.loc[1, side] = missing
    message = f"{side} column '{side}' contains NaN: 1 of 6 ids are missing"
    with pytest.raises(ValueError, match=message):
        small().fit(X)


@pytest.mark.parametrize(
    ("ids", "message"),
    [
        ([1, "a", 2, "b", 3, 4], r"mixes ids of different types \(int, str\)"),
        ([b"a", "a", "b", "c", "d", "e"], r"different types \(bytes, str\)"),
        ([[1], [2], [1], [2], [1], [2]], "holds list objects"),
        ([{}, {}, {}, {}, {}, {}], "holds dict objects"),
        ([(1, 2)] * 3 + [(2, 3)] * 3, "holds tuple objects"),
        ([frozenset("a"), frozenset("b")] * 3, "holds frozenset objects"),
        (pd.array([1j, 2j] * 3, dtype=object), "holds complex objects"),
        ([object(), object()] * 3, "holds object objects"),
        ([1.0, np.inf, 2, 3, 4, 5], "contains infinity"),
        ([1j, 2j, 1, 2, 3, 4], "Complex data not supported"),
    ],
)
@pytest.mark.parametrize("side", ["user", "item"])
def test_ids_that_cannot_be_ids(ids, message, side):
    X = readers()
    X[side] = pd.Series(ids)
    with pytest.raises((ValueError, TypeError), match=message):
        small().fit(X)


def test_one_item_leaves_nothing_to_choose():
    with pytest.raises(ValueError, match="only one item.*at least 2 items"):
        small().fit(readers().assign(item="x"))


@pytest.mark.slow
def test_items_without_events_are_nothing_to_choose_between():
    table = pd.DataFrame({"item": range(5)})
    X = pd.DataFrame({"user": range(6), "item": 0})
    model = TwoTowerRecommender(items=table, embedding_dim=2, max_epochs=1)
    with pytest.raises(ValueError, match="only one item.*y = 0"):
        model.fit(X)
    model.fit(pd.concat([X, X.assign(item=1)]), y=[1] * 6 + [0] * 6)
    with pytest.warns(UserWarning, match="all 2 items of X were chosen by all"):
        model.fit(pd.concat([X, X.assign(item=1)]))


# Side tables


SIDE = pd.DataFrame({"item": ["x", "y", "z"], "tag": ["a", "b", "a"]})


@pytest.mark.parametrize(
    ("items", "params", "message"),
    [
        (SIDE.iloc[[0, 1, 2, 0]], {}, "one row per id, but 1 ids are duplicated: 'x'"),
        (SIDE.iloc[:2], {}, "1 ids in column 'item' of X are missing from items: 'z'"),
        (SIDE[["tag"]], {}, "items has no column 'item'"),
        (SIDE.rename(columns={"item": "itme"}), {}, "Did you mean 'itme'"),
        (SIDE.assign(item=["x", None, "z"]), {}, "'item' of items contains NaN"),
        (SIDE.assign(item=[1, 2, 3]), {}, "missing from items: 'x', 'y', 'z'"),
        (SIDE.assign(age=1), {"item_features": ["age"]}, "'age' is a column of items"),
        (SIDE.to_numpy(), {}, "items must be a dataframe"),
        ({"item": ["x"]}, {}, "items must be a dataframe.*Got dict"),
        ("items.csv", {}, "items must be a dataframe"),
        (SIDE.iloc[:0], {}, "3 ids in column 'item' of X are missing from items"),
        (pd.DataFrame(), {}, "items has no column"),
        (SIDE.set_axis(["item", "item"], axis=1), {}, "more than one column named"),
    ],
)
def test_side_tables(items, params, message):
    with pytest.raises((ValueError, TypeError), match=message):
        small(items=items, **params).fit(readers())


# Outcomes and weights


@pytest.mark.parametrize(
    ("y", "message"),
    [
        (np.ones(5), "expected 6, got 5"),
        ([1, 1, 1, 1, 1, -1], "y must be >= 0"),
        ([1, 1, 1, 1, 1, np.nan], "y contains NaN"),
        ([1, 1, 1, 1, 1, np.inf], "y contains NaN or infinity"),
        (["a", "b", "a", "b", "a", "b"], "y must be numeric"),
        ([1, None, 1, 1, 1, 1], "y .*numeric|y contains NaN"),
        (np.zeros(6), "no positive event"),
        (np.ones((6, 2)), "y should be a 1d array"),
        (np.ones(6) * 1j, "Complex data not supported"),
        ([[1], [2, 3], [1], [1], [1], [1]], "inhomogeneous|1d array"),
        (pd.date_range("2024", periods=6), "y must be numeric"),
        (2.0, "1d array"),
    ],
)
def test_outcomes(y, message):
    with pytest.raises((ValueError, TypeError), match=message):
        small().fit(readers(), y)


@pytest.mark.parametrize(
    ("weight", "message"),
    [
        (np.zeros(6), "sample_weight are zero|at least one non-zero"),
        ([1, 1, 1, 1, 1, -1], "sample_weight must be >= 0. Got -1"),
        (np.ones(5), "inconsistent numbers of samples"),
        ([1, 1, 1, 1, 1, np.nan], "contains NaN"),
        (["a"] * 6, "sample_weight must be numeric weights >= 0. Got <U1 values"),
        (np.ones((6, 2)), "must be 1D"),
    ],
)
def test_weights(weight, message):
    with pytest.raises((ValueError, TypeError), match=message):
        small().fit(readers(), sample_weight=weight)


def test_no_positive_event_is_left_by_weights():
    with pytest.raises(ValueError, match="no positive event"):
        small().fit(readers(), [1, 0, 0, 0, 0, 0], sample_weight=[0, 1, 1, 1, 1, 1])


# Features and transformers


class Rows(FunctionTransformer):
    """Return what ``func`` gives, whatever its shape."""


@pytest.mark.parametrize(
    ("transformer", "message"),
    [
        (Rows(lambda t: np.ones((len(t) + 1, 2))), "expected 3 rows, got 4"),
        (Rows(lambda t: np.full((len(t), 2), np.nan)), "user_transformer returned NaN"),
        (Rows(lambda t: np.full((len(t), 2), np.inf)), "returned NaN or infinity"),
        (Rows(lambda t: t), "user_transformer must return numbers"),
        (Rows(lambda t: None), "expected 3 rows, got 1"),
        (Rows(lambda t: np.ones(len(t))), "expected 3 rows, got 1"),
        (StandardScaler(), "could not convert string"),
        ("onehot", "user_transformer must be .*fit.*transform.* Got 'onehot'"),
        (StandardScaler, "user_transformer must be .*Got <class"),
        (nn.Linear(2, 2), "user_transformer must be"),
    ],
)
def test_transformers(transformer, message):
    with pytest.raises((ValueError, TypeError), match=message):
        small(user_transformer=transformer).fit(readers())


def test_infinite_features():
    X = readers()
    X.loc[0, "age"] = np.inf
    X.loc[1, "age"] = np.inf
    with pytest.raises(ValueError, match="infinit"):
        small(user_features="age").fit(X)


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"user_tower": nn.Linear(99, 8)}, "user_tower failed on a sparse tensor"),
        ({"user_tower": lambda n: nn.Linear(n, 5)}, "of the same length. Got 5 and 8"),
        ({"item_tower": lambda n: 3}, "item_tower must be a torch.nn.Module"),
        ({"item_tower": "linear"}, "item_tower must be a torch.nn.Module"),
    ],
)
def test_towers(params, message):
    with pytest.raises((ValueError, TypeError), match=message):
        small(**params).fit(readers())


# Parameters


CONSTRAINTS = {
    name: constraints
    for name, constraints in TwoTowerRecommender._parameter_constraints.items()
    if constraints != "no_validation"
}


@pytest.mark.parametrize("name", CONSTRAINTS)
def test_parameters_out_of_range(name):
    bad = [type("BadType", (), {})()]
    for constraint in CONSTRAINTS[name]:
        try:
            bad.append(generate_invalid_param_val(make_constraint(constraint)))
        except NotImplementedError:
            continue
    for value in bad:
        if any(make_constraint(c).is_satisfied_by(value) for c in CONSTRAINTS[name]):
            continue
        with pytest.raises(ValueError, match=f"The '{name}' parameter of TwoTower"):
            small(**{name: value}).fit(readers())


def test_every_parameter_has_a_constraint():
    signature = inspect.signature(TwoTowerRecommender)
    assert list(TwoTowerRecommender._parameter_constraints) == list(
        signature.parameters
    )


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"optimizer": "adamm"}, "optimizer must be a class of torch.optim"),
        ({"optimizer": nn.Linear}, "optimizer must be a class of torch.optim"),
        ({"hidden_layer_sizes": (8, 0)}, "hidden_layer_sizes must be .* ints >= 1"),
        ({"hidden_layer_sizes": [2.5]}, r"hidden_layer_sizes .* Got \[2.5\]"),
        ({"neighbors": "faiss"}, "'neighbors' parameter .* Got 'faiss'"),
        ({"neighbors": StandardScaler()}, "'neighbors' parameter"),
        ({"neighbors_params": {"leaf": 3}}, "Invalid parameter 'leaf'"),
        ({"device": "abacus"}, "device"),
        ({"device": "cuda:99"}, "device"),
        ({"net_params": {"learning_rate": 3}}, "learning_rate"),
        ({"callbacks": ["stop"]}, "callback"),
        ({"n_jobs": 0}, "n_jobs"),
    ],
)
def test_values_that_no_range_describes(params, message):
    with pytest.raises((ValueError, TypeError), match=message):
        small(**params).fit(readers())


def test_a_loss_that_is_no_number_any_more():
    with pytest.raises(ValueError, match="loss became (nan|inf) in epoch .* Lower lr"):
        small(lr=1e38, normalize=False, optimizer="sgd", max_epochs=5).fit(readers())


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
    "explain": ("ann", "x"),
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


@pytest.mark.parametrize("method", PUBLIC)
def test_questions_before_fit(method):
    with pytest.raises(NotFittedError, match="not fitted yet"):
        needed = {"n_neighbors": 3} if method == "rank_held_out" else {}
        getattr(small(), method)(*PUBLIC[method], **needed)


@pytest.mark.parametrize("method", ["transform", "predict", "score"])
@pytest.mark.parametrize(
    ("X", "message"),
    [
        (readers()[["user", "item"]], "feature names should match"),
        (readers()[["item", "user", "age"]], "Feature names must be in the same order"),
        (readers().rename(columns={"age": "Age"}), "feature names should match"),
        (readers().iloc[:0], r"0 sample\(s\)"),
        (readers()[["user"]].to_numpy(), "X has 1 features?, but .* expecting 3"),
        (["ann"], "Expected 2D array"),
    ],
)
def test_tables_with_other_columns_than_in_fit(model, method, X, message):
    with pytest.raises(ValueError, match=message):
        getattr(model, method)(X)


@pytest.mark.parametrize("method", ["kneighbors", "kneighbors_graph", "recommend"])
@pytest.mark.parametrize("k", [0, -1, 2.0, "3", True, np.nan, [3]])
def test_numbers_of_neighbors(model, method, k):
    expected = "n_neighbors must be an integer >= 1"
    with pytest.raises((TypeError, ValueError), match=expected):
        getattr(model, method)(["ann"], n_neighbors=k)
    with pytest.raises((TypeError, ValueError), match=expected):
        model.similar_items(["x"], n_neighbors=k)


@pytest.mark.parametrize(
    ("users", "message"),
    [
        ("ann", r"list or array of ids.*write \['ann'\]"),
        (b"ann", "list or array of ids"),
        (3, r"write \[3\]"),
        (np.array("ann"), "list or array of ids"),
        ({"ann": 1}, "list or array of ids"),
        (["ann", None], "contains NaN"),
        (["ann", 3], "mixes ids of different types"),
        (np.ones((2, 2)), r"Got shape \(2, 2\)"),
        (np.ones((2, 2, 2)), r"Got shape \(2, 2, 2\)"),
        (pd.DataFrame({"usr": ["ann"]}), "no column 'user'.* Did you mean 'usr'"),
        ([["ann"], ["bob", "cid"]], "holds list objects"),
        ([("ann", "x"), ("bob", "y")], r"Got shape \(2, 2\)"),
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
        (3, "candidates must be a list"),
        ([["x"]], "candidates must be a list"),
        ([["x"], ["y", "z"]], "candidates holds list objects"),
        ([1, 2], "2 of 2 candidates are not in the catalog"),
        (["x", None], "candidates contains NaN"),
        (
            {"ann": 1},
            "candidates must hold a list of items for each user. Got 1 for 'ann'",
        ),
        ({"ann": ["x", "q"]}, "1 of 2 candidates are not in the catalog"),
        (SIDE, "candidates has no column 'user'"),
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
        (3, "history must be"),
        (readers()[["user"]], "history has no column 'item'"),
        ({"ann": "x"}, "history.*list of items.*'x'"),
        ({"ann": 3}, "history.*list of items.*3"),
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
    assert model.score(readers().assign(item="gone")) == 0  # nothing can be found


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
        ({"neighbors_params": {"leaf": 3}}, readers(), None),
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


# Tables that nobody thought of


def _columns(n):
    """Columns of n cells, of every type that a table may hold."""

    def cells(elements, dtype=None):
        values = st.lists(elements, min_size=n, max_size=n)
        return values.map(lambda v: _series(v, dtype))

    few = st.integers(0, 3)
    dates = st.dates(datetime.date(1900, 1, 1), datetime.date(2100, 1, 1))
    return st.one_of(
        cells(few),
        cells(st.sampled_from(["a", "b", "c", "d|e", ""])),
        cells(st.integers(-(2**70), 2**70), object),
        cells(st.floats(width=64)),
        cells(few.map(float)),
        cells(st.one_of(few, st.none()), "Int64"),
        cells(st.booleans()),
        cells(st.one_of(st.booleans(), st.none()), "boolean"),
        cells(st.sampled_from("abc"), "category"),
        cells(few, "category"),
        cells(few.map(lambda i: np.datetime64("2024-01-01") + i), "datetime64[s]"),
        cells(few.map(lambda i: pd.Timestamp(i, unit="D", tz="Asia/Tokyo"))),
        cells(few, "timedelta64[s]"),
        cells(few.map(lambda i: pd.Period(str(2000 + i), freq="Y"))),
        cells(few.map(lambda i: pd.Interval(i, i + 1))),
        cells(dates, object),
        cells(st.one_of(few, st.sampled_from("ab"), st.none(), st.floats()), object),
        cells(st.one_of(st.just("a"), st.just("b"), st.none()), object),
        cells(st.binary(max_size=2), object),
        cells(st.tuples(few, few), object),
        cells(st.frozensets(few, max_size=2), object),
        cells(st.lists(few, max_size=2), object),
        cells(st.lists(st.sampled_from("ab"), max_size=2), object),
        cells(st.dictionaries(st.sampled_from("ab"), few, max_size=1), object),
        cells(st.complex_numbers(max_magnitude=3), object),
        cells(st.uuids(), object),
        cells(st.decimals(allow_nan=False, allow_infinity=False, places=1), object),
        cells(few, "Sparse[int]"),
        cells(st.none(), object),
    )


def _series(values, dtype):
    if dtype is object:
        array = np.empty(len(values), dtype=object)
        for i, value in enumerate(values):
            array[i] = value
        return pd.Series(array, dtype=object)
    return pd.Series(values, dtype=dtype)


NAMES = st.one_of(
    st.just(["user", "item", "f", "g"]),
    st.just([0, 1, 2, 3]),
    st.just(["a", 1, ("b", 2), None]),
    st.just([("a", 1), ("a", 2), ("b", 1), ("b", 2)]),
    st.lists(st.sampled_from(["a", "b", "c", "d", "e", ""]), min_size=4, max_size=4),
)


@st.composite
def odd_tables(draw):
    n = draw(st.sampled_from([0, 1, 2, 5, 8]))
    width = draw(st.sampled_from([1, 2, 3, 4, 4]))
    usual = draw(st.booleans())  # or else few tables come as far as the features
    columns = [draw(_columns(n)) for _ in range(width)]
    if usual and width > 2:
        columns[:2] = [pd.Series(range(n)) % 3, pd.Series(range(n)) % 2]
    table = pd.concat([c.rename(i) for i, c in enumerate(columns)], axis=1)
    names = draw(NAMES)[:width]
    table.columns = (
        pd.MultiIndex.from_tuples(names)
        if all(isinstance(name, tuple) for name in names)
        else pd.Index(names, dtype=object)
    )
    if draw(st.booleans()):
        table.index = [0] * n
    y = draw(
        st.one_of(
            st.none(),
            st.lists(st.sampled_from([0, 1, 2.5]), min_size=n, max_size=n),
            st.lists(st.sampled_from([1, None, "a"]), min_size=n, max_size=n),
            st.just(np.ones(n, dtype=object)),
        )
    )
    return table, y


def assert_told(error):
    """Check that an error is ours or scikit-learn's, and says something."""
    assert isinstance(error, ValueError | TypeError), repr(error)
    assert str(error).strip(), repr(error)
    last = Path(traceback.extract_tb(error.__traceback__)[-1].filename)
    ours = [Path(package.__file__).parent for package in (sktwotower, sklearn)]
    told = any(last.is_relative_to(parent) for parent in ours)
    assert told, "".join(traceback.format_exception(error))


@pytest.mark.slow
@settings(
    deadline=None,
    max_examples=60,
    derandomize=True,
    database=None,
    suppress_health_check=list(HealthCheck),
)
@given(odd_tables(), st.booleans(), st.sampled_from([None, [2], [2, 3]]))
def test_odd_tables_are_learnt_or_refused_with_words(case, as_array, features):
    X, y = case
    X = X.to_numpy() if as_array else X
    model = small(user_features=features, item_features=features)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            model.fit(X, y)
            scores = model.predict(X)
            recall = model.score(X, y)
        except Exception as error:
            assert_told(error)
            return
        answer = model.recommend(n_neighbors=2)
        again = model.recommend(model.user_ids_[:2], n_neighbors=2)
        model.similar_items(model.item_ids_[:1])
    assert np.isfinite(scores).all()
    assert 0 <= recall <= 1
    assert set(answer["rank"]) <= {1, 2}
    assert_array_equal(again["rank"], answer["rank"][: len(again)])


FORMS = {
    "series": lambda cells: cells,
    "list": list,
    "array": lambda cells: cells.to_numpy(),
    "table": lambda cells: pd.DataFrame({"user": cells, "item": cells}),
    "two columns": lambda cells: pd.DataFrame({0: cells, 1: cells}).to_numpy(),
    "dict": lambda cells: {i: [cell] for i, cell in enumerate(cells)},
}


@pytest.mark.slow
@settings(
    deadline=None,
    max_examples=60,
    derandomize=True,
    database=None,
    suppress_health_check=list(HealthCheck),
)
@given(
    st.sampled_from([0, 1, 2, 3]).flatmap(_columns),
    st.sampled_from(sorted(FORMS)),
    st.sampled_from(["users", "candidates", "history", "items", "similar"]),
)
def test_odd_questions_are_answered_or_refused_with_words(
    fitted, cells, form, question
):
    model, asked = fitted, FORMS[form](cells)
    ask = {
        "users": lambda: model.recommend(asked),
        "candidates": lambda: model.recommend(candidates=asked),
        "history": lambda: model.recommend(["ann"], history=asked),
        "items": lambda: model.embed_items(asked),
        "similar": lambda: model.similar_items(asked),
    }
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            ask[question]()
        except Exception as error:
            assert_told(error)


@pytest.mark.slow
@settings(
    deadline=None,
    max_examples=40,
    derandomize=True,
    database=None,
    suppress_health_check=list(HealthCheck),
)
@given(st.lists(_columns(3), min_size=1, max_size=3), st.booleans())
def test_odd_side_tables_are_learnt_or_refused_with_words(columns, named):
    items = pd.DataFrame({"item": ["x", "y", "z"]})
    for i, column in enumerate(columns):
        items[f"f{i}" if named else i] = column
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            model = small(items=items).fit(readers())
        except Exception as error:
            assert_told(error)
            return
        assert np.isfinite(model.predict(readers())).all()
        if named:
            again = model.embed_items(items)
            assert np.abs(again - model.item_embeddings_).max() < 1e-5
