"""What a model says to wrong contexts, in fit and in requests."""

import copy
import warnings

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_array_equal
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from sktwotower import EASERecommender, TowerVectorizer
from tests.cases import for_each

from .builders import asking, few, names_of, planted

X = planted(12, 6)
X["hour"] = np.arange(len(X)) % 24
X["age"] = X["user"].str[1:].astype(int)
X["tags"] = [["a"], ["b", "a"]] * (len(X) // 2)


def small(**params):
    return asking(**{"max_epochs": 1} | params)


@pytest.fixture(scope="module")
def fitted():
    return small(context=["slot", "hour", "tags"]).fit(X)


# In fit


@for_each(
    ("context", "message"),
    [
        ("user", "context names 'user', which is the user column"),
        (["slot", "item"], "context names 'item', which is the item column"),
        (["slto"], "context names 'slto', .* Did you mean 'slot'"),
        ([7.5], "context names 7.5, which is not a column of X"),
        (2.5, "context must be a name, .* Got 2.5"),
        ([True, False], "context is a mask of 2 entries, but X has 8 columns"),
        ([["slot"]], "context names"),
    ],
)
def test_columns_that_are_not_there(context, message):
    with pytest.raises((ValueError, TypeError), match=message):
        small(context=context).fit(X)


WAYS = ["slot", [2], slice("slot", "slot"), [c == "slot" for c in X], ("slot", "slot")]


@for_each("context", [*WAYS, lambda table: ["slot"]])
def test_all_ways_to_name_a_column(context):
    model = small(context=context).fit(X)
    assert names_of(model) == ["slot_morning", "slot_night", "slot_noon"]


@for_each("context", [[], lambda table: []])
def test_no_columns_are_no_context(context):
    model = small(context=context).fit(X)
    with pytest.raises(ValueError, match="has not learnt from any"):
        model.embed_users(["u00"], context={"slot": "noon"})


def test_a_feature_that_is_context_as_well():
    model = small(context=["slot", "age"], user_features=["age"])
    with pytest.warns(UserWarning, match="'age' is named in context and in"):
        model.fit(X)
    assert "age_3" in names_of(model)


@for_each(
    ("cells", "message"),
    [
        ("same", "'place' is constant"),
        (np.nan, "(All cells .* missing|'place' is missing)"),
        (None, "(All cells .* missing|'place' is missing)"),
        ([f"v{i}" for i in range(len(X))], "as many values as rows"),
    ],
)
@pytest.mark.parametrize("others", few([["slot"], []]))
def test_columns_that_say_nothing(cells, message, others):
    table = X.assign(place=cells)
    model = small(context=[*others, "place"])
    with pytest.warns(UserWarning, match=message):
        model.fit(table)
    asked = table[["user", "place", *others]]
    found = model.embed_users(asked)
    without = model.embed_users(asked.drop(columns="place"))
    assert_array_equal(found, without)
    model.recommend(asked, 2)
    model.partial_fit(table.iloc[:5].assign(place="new"))
    model.explain("u00", "i00", context={"place": "new"})


@for_each(
    "cells",
    [
        [1, "a"] * (len(X) // 2),
        [b"x", "y"] * (len(X) // 2),
        [{"a": 1}, {"b": 2}] * (len(X) // 2),
        [1 + 2j, 1.0] * (len(X) // 2),
        [[1, [2]], [3]] * (len(X) // 2),
        [True, False, None] * (len(X) // 3),
        [10**400, 1] * (len(X) // 2),
    ],
)
def test_odd_cells_are_encoded_or_refused_by_name(cells):
    table = X.assign(place=cells)
    model = small(context=["slot", "place"])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        try:
            model.fit(table)
        except (ValueError, TypeError) as error:
            assert "place" in str(error), error
            return
        found = model.embed_users(table[["user", "place"]])
        assert np.isfinite(found).all()
        model.recommend(["u00"], context={"place": table["place"].iloc[0]})


@for_each("transformer", ["onehot", StandardScaler])
def test_what_is_no_transformer(transformer):
    with pytest.raises((TypeError, ValueError), match="context_transformer"):
        small(context_transformer=transformer).fit(X)


def test_infinite_numbers():
    cell = np.inf
    table = X.assign(number=np.linspace(0, 1, len(X)))
    table.loc[3, "number"] = cell
    with pytest.raises(ValueError, match=r"number|infin"):
        small(context="number").fit(table)
    model = small(context="number").fit(table.drop(index=3))
    before = model.embed_users(["u00"])
    with pytest.raises(ValueError, match=r"number|infin"):
        model.embed_users(["u00"], context={"number": cell})
    with pytest.raises(ValueError, match=r"number|infin"):
        model.recommend(table[["user", "number"]])
    with pytest.raises(ValueError, match=r"number|infin"):
        model.partial_fit(table)
    assert_array_equal(model.embed_users(["u00"]), before)


# In requests


@for_each(
    ("context", "error", "message"),
    [
        ({"hou": 3}, ValueError, "context names 'hou', .* Did you mean 'hour'"),
        ({"zzz": 3}, ValueError, r"context column of fit \(slot, hour, tags\)"),
        ({1.5: 3}, TypeError, "names of columns as keys. Got 1.5"),
        ([("hour", 3)], TypeError, "context must be a dict .* Got list"),
        ({"tags": 3}, (TypeError, ValueError), "tags"),
        ({"slot": ["noon"]}, (TypeError, ValueError), "slot"),
    ],
)
def test_wrong_dicts(fitted, context, error, message):
    calls = [
        lambda: fitted.recommend(["u00"], context=context),
        lambda: fitted.embed_users(["u00"], context=context),
        lambda: fitted.explain("u00", "i00", context=context),
    ]
    for call in calls:
        with pytest.raises(error, match=message):
            call()


def test_a_column_and_a_value_for_all(fitted):
    table = X[["user", "slot"]]
    with pytest.raises(ValueError, match="context names 'slot', which is also a col"):
        fitted.recommend(table, context={"slot": "noon"})
    fitted.recommend(table, context={"hour": 3})


@for_each(("column", "cells"), [("hour", "noon"), ("tags", 3), ("slot", [["noon"]])])
def test_other_types_than_in_fit(fitted, column, cells):
    before = fitted.embed_users(["u00"])
    cells = cells * 3 if isinstance(cells, list) else cells
    table = X[["user"]].iloc[:3].assign(**{column: cells})
    for call in (fitted.recommend, fitted.embed_users, fitted.kneighbors):
        with pytest.raises(TypeError, match=f"Column '{column}' is of kind"):
            call(table)
    assert_array_equal(fitted.embed_users(["u00"]), before)


NUMERIC = [
    {"context": "hour", "context_transformer": StandardScaler()},
    {
        "context": "hour",
        "context_transformer": TowerVectorizer(kinds={"hour": "number"}),
    },
    {
        "context": ["hour", "slot"],
        "context_transformer": OneHotEncoder(handle_unknown="ignore"),
    },
]


@for_each("params", NUMERIC[:2])
def test_text_for_numbers_is_refused_by_name(params):
    model = small(**params).fit(X)
    before = model.embed_users(["u00"], context={"hour": 5})
    for call in (
        lambda: model.recommend(["u00"], context={"hour": "noon"}),
        lambda: model.recommend(X[["user"]].assign(hour="noon")),
        lambda: model.partial_fit(X.assign(hour="noon")),
        lambda: model.predict(X.assign(hour="noon")),
    ):
        with pytest.raises((TypeError, ValueError), match="hour"):
            call()
    assert_array_equal(model.embed_users(["u00"], context={"hour": 5}), before)


def test_other_transformers_may_lack_columns():
    model = small(**NUMERIC[2]).fit(X)
    u = model.embed_users(["u00"])
    assert not np.array_equal(model.embed_users(["u00"], context={"hour": 5}), u)
    assert_array_equal(model.embed_users(["u00"], context={"hour": None}), u)
    model.partial_fit(X.drop(columns=["hour"]))


@for_each("model", [small(context=None), EASERecommender()])
def test_models_without_context(model):
    model = copy.copy(model).fit(X)
    for given in ({"slot": "noon"}, {}):
        with pytest.raises(ValueError, match=r"TwoTowerRecommender\(context=\["):
            model.recommend(["u00"], context=given)
    users = X[["user"]]
    found = model.recommend(users.assign(slot="noon"), 2)
    assert_array_equal(found["item"], model.recommend(users, 2)["item"])


def test_empty_requests(fitted):
    table = X[["user", "slot"]].iloc[:0]
    assert fitted.embed_users(table).shape == (0, 16)
    assert len(fitted.recommend(table)) == 0
    assert len(fitted.recommend([], context={"slot": "noon"})) == 0


def test_a_failed_fit_keeps_the_model_of_before(fitted):
    model = copy.deepcopy(fitted)
    asked = X[["user", "slot"]]
    before = model.embed_users(asked)
    model.set_params(context="user")
    with pytest.raises(ValueError, match="user column"):
        model.fit(X)
    assert_array_equal(model.embed_users(asked), before)


def test_other_libraries(fitted):
    pl = pytest.importorskip("polars")
    table = X[["user", "slot", "hour", "tags"]].iloc[:5]
    expected = fitted.embed_users(table)
    found = fitted.embed_users(pl.from_pandas(table))
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_arrays_have_the_columns_of_fit_in_their_places():
    names = ["user", "item", "slot", "device", "time"]
    model = small(context=[2, 3]).fit(X[names].to_numpy(object))
    array = X[names].to_numpy(object)[:4]
    named = small(context=["slot", "device"]).fit(X[names])
    asked = X[["user", "slot", "device"]].iloc[:4]
    np.testing.assert_allclose(
        model.embed_users(array), named.embed_users(asked), atol=1e-6
    )
    found = model.transform(array)
    np.testing.assert_allclose(found, model.embed_users(array), atol=1e-6)


def test_columns_of_one_name(fitted):
    table = X.drop(columns="hour")
    table = pd.concat([table, table[["slot"]]], axis=1)
    for call in (fitted.recommend, fitted.transform, fitted.predict, fitted.score):
        with pytest.raises(ValueError, match=r"slot|2 columns|columns"):
            call(table)
