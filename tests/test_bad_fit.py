"""What fit of a TwoTowerRecommender says to wrong tables and parameters."""

import inspect

import numpy as np
import pandas as pd
import pytest
import sklearn
from sklearn.preprocessing import StandardScaler
from sklearn.utils._param_validation import generate_invalid_param_val, make_constraint
from torch import nn

from sktwotower import EASERecommender, TwoStageRecommender, TwoTowerRecommender
from sktwotower._tables import _memory
from sktwotower.neighbors import NNDescentNeighbors
from tests.builders import Rows, readers, small
from tests.cases import for_each
from tests.recommender.builders import few

# Columns


@for_each(
    ("params", "message"),
    [
        ({"user_id": "usr"}, "user_id names 'usr', .* Did you mean 'user'"),
        ({"item_id": "zzz"}, "item_id names 'zzz', .* Columns: 'user', 'item', 'age'"),
        ({"item_id": 7}, "item_id names 7, which is not a column of X"),
        ({"user_features": ["agee"]}, "user_features names 'agee', .* mean 'age'"),
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


@for_each(
    ("X", "message"),
    [
        (readers()[["user"]], "1 feature"),
        (readers().iloc[:0], r"0 sample\(s\)"),
        (np.empty((0, 2)), r"0 sample\(s\)"),
        (["ann", "bob"], "Got one column"),
        ("ann", "Expected 2D array|dataframe"),
        (
            np.ma.array([[1, 2], [3, 4]], mask=[[0, 0], [0, 1]]),
            r"Pass pandas.DataFrame\(X",
        ),
        (None, "Expected 2D array"),
    ],
)
def test_tables_that_hold_no_events(X, message):
    with pytest.raises((ValueError, TypeError), match=message):
        small().fit(X)


@pytest.mark.parametrize("as_column", [pd.Series, list, "polars"])
@pytest.mark.parametrize(
    "model",
    few([small(), TwoStageRecommender(EASERecommender()), EASERecommender()], 2),
)
def test_users_and_items_as_two_columns(model, as_column):
    if as_column == "polars":
        as_column = pytest.importorskip("polars").Series
    users, items = as_column(["ann", "bob"]), as_column(["tea", "jam"])
    expected = r"Got one column \((Series|ndarray|list)\). Put both columns into X"
    with pytest.raises(ValueError, match=expected):
        model.fit(users, items)


# Ids


@for_each(
    ("side", "missing"),
    [("user", None), ("item", np.nan), ("user", pd.NA), ("item", pd.NaT)],
)
def test_missing_ids(side, missing):
    X = readers().astype({side: object})
    X.loc[1, side] = missing
    message = f"{side} column '{side}' contains NaN: 1 of 6 ids are missing"
    with pytest.raises(ValueError, match=message):
        small().fit(X)


@for_each(
    ("ids", "message"),
    [
        ([1, "a", 2, "b", 3, 4], r"mixes ids of different types \(int, str\)"),
        ([b"a", "a", "b", "c", "d", "e"], r"different types \(bytes, str\)"),
        ([[1], [2], [1], [2], [1], [2]], "holds list objects"),
        ([(1, 2)] * 3 + [(2, 3)] * 3, "holds tuple objects"),
        (pd.array([1j, 2j] * 3, dtype=object), "holds complex objects"),
        ([object(), object()] * 3, "holds object objects"),
        ([1.0, np.inf, 2, 3, 4, 5], "contains infinity"),
        ([1j, 2j, 1, 2, 3, 4], "Complex data not supported"),
    ],
)
@pytest.mark.parametrize("side", few(["user", "item"]))
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


@for_each(
    ("items", "params", "message"),
    [
        (SIDE.iloc[[0, 1, 2, 0]], {}, "one row per id, but 1 ids are duplicated: 'x'"),
        (SIDE.iloc[:2], {}, "1 ids in column 'item' of X are missing from items: 'z'"),
        (SIDE[["tag"]], {}, "items has no column 'item'"),
        (SIDE.rename(columns={"item": "itme"}), {}, "Did you mean 'itme'"),
        (SIDE.assign(item=["x", None, "z"]), {}, "'item' of items contains NaN"),
        (SIDE.assign(age=1), {"item_features": ["age"]}, "'age' is a column of items"),
        (SIDE.to_numpy(), {}, "items must be a dataframe"),
        ({"item": ["x"]}, {}, "items must be a dataframe.*Got dict"),
        (SIDE.iloc[:0], {}, "3 ids in column 'item' of X are missing from items"),
        (SIDE.set_axis(["item", "item"], axis=1), {}, "more than one column named"),
    ],
)
def test_side_tables(items, params, message):
    with pytest.raises((ValueError, TypeError), match=message):
        small(items=items, **params).fit(readers())


# Outcomes and weights


@for_each(
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
        ("stars", r"y='stars' names a column only for .* disk. Pass X\['stars'\]"),
    ],
)
def test_outcomes(y, message):
    with pytest.raises((ValueError, TypeError), match=message):
        small().fit(readers(), y)


@for_each(
    ("weight", "message"),
    [
        (np.zeros(6), "sample_weight are zero|at least one non-zero"),
        ([1, 1, 1, 1, 1, -1], "sample_weight must be >= 0. Got -1"),
        (np.ones(5), "sample_weight must have one weight per row .* 6, got 5"),
        (2.0, "one weight per row of X: expected 6, got 1"),
        ("w", r"sample_weight='w' names a column only .* on disk. Pass X\['w'\]"),
        ([1, 1, 1, 1, 1, np.nan], "contains NaN"),
        (["a"] * 6, "sample_weight must be numeric weights >= 0. Got <U1 values"),
        (np.ones(6, dtype="m8[s]"), "sample_weight must be numeric .* as '1 seconds'"),
        (np.ones((6, 2)), "must be 1D"),
    ],
)
def test_weights(weight, message):
    with pytest.raises((ValueError, TypeError), match=message):
        small().fit(readers(), sample_weight=weight)


@for_each("kind", [TwoTowerRecommender, TwoStageRecommender])
def test_a_misspelt_parameter_names_the_class(kind):
    message = rf"^{kind.__name__}.__init__\(\) got an unexpected .*'embeding_dim'\."
    with pytest.raises(TypeError, match=message):
        kind(embeding_dim=1)


@for_each("odd", [np.nan, np.inf])
def test_weights_are_finite_also_if_scikit_learn_assumes_that(odd):
    with sklearn.config_context(assume_finite=True):
        with pytest.raises(ValueError, match="sample_weight contains NaN or infinity"):
            small().fit(readers(), sample_weight=[1, 1, 1, 1, 1, odd])


def test_no_positive_event_is_left_by_weights():
    with pytest.raises(ValueError, match="no positive event"):
        small().fit(readers(), [1, 0, 0, 0, 0, 0], sample_weight=[0, 1, 1, 1, 1, 1])


# Features and transformers


@for_each(
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


@for_each(
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


def test_parameters_out_of_range():
    for name in CONSTRAINTS:
        refused_out_of_range(name)


def refused_out_of_range(name):
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


@for_each(
    ("params", "message"),
    [
        ({"optimizer": "adamm"}, "optimizer must be a class of torch.optim"),
        ({"optimizer": nn.Linear}, "optimizer must be a class of torch.optim"),
        ({"hidden_layer_sizes": (8, 0)}, "hidden_layer_sizes must be .* ints from 1 "),
        ({"hidden_layer_sizes": (2**62,)}, "hidden_layer_sizes must be .* ints from 1"),
        ({"embedding_dim": 2**70}, "'embedding_dim' .* Got 1180591620717411303424"),
        ({"lr": 1e300}, "'lr' parameter"),
        ({"net_params": {"iterator_train__num_workers": 2}}, "no 'num_workers'"),
        ({"neighbors": "faiss"}, "'neighbors' parameter .* Got 'faiss'"),
        ({"neighbors": NNDescentNeighbors(epsilon=-1)}, "'epsilon' parameter"),
        ({"device": "abacus"}, "device"),
        ({"net_params": {"learning_rate": 3}}, "learning_rate"),
        (
            {"net_params": {"iterator_train__n_negatives": 0}},
            r"'iterator_train__n_negatives' .* of net_params .* \[1, inf\). Got 0",
        ),
        (
            {"net_params": {"iterator_valid__correction": "some"}},
            "'iterator_valid__correction' .* or None. Got 'some'",
        ),
        (
            {"net_params": {"iterator_train__feature_dropout": 1}},
            r"'iterator_train__feature_dropout' .* \[0.0, 1.0\). Got 1",
        ),
        (
            {"net_params": {"iterator_train__n_negative": 9}},
            "'iterator_train__n_negative', but batches .* They have .*'n_negatives'",
        ),
        (
            {"net_params": {"iterator_train__candidate_sampling": "Full"}},
            "Pass iterator_train__candidate_sampling as candidate_sampling=, not in",
        ),
        ({"net_params": {"iterator_valid__seed": 1}}, "as random_state=, not in"),
        ({"net_params": {"optimizer__lr": 5}}, "Pass optimizer__lr as lr=, not in"),
        ({"net_params": {"criterion__temperature": 0}}, "temperature' .* Got 0"),
        ({"net_params": {"iterator_train__shuffle": "x"}}, "shuffle' .* Got 'x'"),
        (
            {
                "optimizer": "adam",
                "net_params": {"optimizer__foreach": True, "optimizer__fused": True},
            },
            "net_params .*fused",
        ),
        ({"n_jobs": 0}, "n_jobs"),
    ],
)
def test_values_that_no_range_describes(params, message):
    with pytest.raises((ValueError, TypeError), match=message):
        small(**params).fit(readers())


@pytest.mark.parametrize(
    ("params", "gigabytes"),
    [
        # 3 users, 3 items, and 3 items of the history; 128 rows of a padded product
        ({"embedding_dim": 10**9}, 4 * (2 * (9 + 2) + 128)),
        ({"embedding_dim": 10**9, "history": None}, 4 * (2 * (6 + 2) + 128)),
        ({"hidden_layer_sizes": (10**9,)}, 2 * 4 * (9 + 2 * (1 + 2 * 8))),
        # with two moments of each weight, and with the best weights so far
        ({"embedding_dim": 10**9, "optimizer": "adam"}, 4 * (4 * (9 + 2) + 128)),
        ({"embedding_dim": 10**9, "early_stopping": True}, 4 * (3 * (9 + 2) + 128)),
    ],
)
def test_towers_that_do_not_fit_into_memory(params, gigabytes, monkeypatch):
    monkeypatch.setattr(_memory, "memory_of_process", lambda: 8e9)
    message = f"3 features.* 3 of items, take {gigabytes}.0 GB, more than the 8.0 GB .*"
    with pytest.raises(ValueError, match=message):
        small(**params).fit(readers())


def test_a_loss_that_is_no_number_any_more():
    with pytest.raises(ValueError, match="loss became (nan|inf) in epoch .* Lower lr"):
        small(lr=1e18, normalize=False, optimizer="sgd", max_epochs=5).fit(readers())
