"""Columns by name and by position."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import polars as pl
import pytest

from sktwotower import PopularityRecommender
from sktwotower._tables._columns import (
    Columns,
    codes_of_rows,
    column,
    position_of,
    select_columns,
)
from sktwotower.model_selection import ColdItemSplit, LastNSplit, TimeSplit
from sktwotower.preprocessing import k_core, session_ids


def columns(frame, **params):
    names = ("user_id", "item_id", "user_features", "item_features")
    given = dict.fromkeys(names) | params
    return Columns(frame, SimpleNamespace(**given), named=True)


FRAME = pd.DataFrame(columns=["a", "b", "c", "d"])


@pytest.mark.parametrize(
    ("params", "expected"),
    [
        ({}, ("a", "b", [], [])),
        ({"user_id": "d"}, ("d", "b", [], [])),
        ({"item_id": "c"}, ("a", "c", [], [])),
        ({"user_id": "d", "item_id": 2}, ("d", "c", [], [])),
        ({"user_features": "c", "item_features": [-1]}, ("a", "b", ["c"], ["d"])),
        ({"user_features": ["d", "c", "d"]}, ("a", "b", ["d", "c"], [])),
        ({"user_features": ["a", "c"]}, ("a", "b", ["c"], [])),
        ({"user_features": slice(0, 2)}, ("a", "b", [], [])),
        ({"user_features": lambda frame: ["a", "b"]}, ("a", "b", [], [])),
        ({"user_features": [True, True, False, False]}, ("a", "b", [], [])),
        ({"user_features": ["c"], "item_features": ["c"]}, ("a", "b", ["c"], ["c"])),
    ],
)
def test_columns(params, expected):
    found = columns(FRAME, **params)
    features = found.user_features, found.item_features
    assert (found.user, found.item, *features) == expected
    assert found.labels == (found.user, found.item)


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"user_features": "b"}, "user_features names 'b', which is the item column."),
        ({"user_features": [2, -3]}, "user_features names 'b'.* describe the user."),
        ({"item_features": ["d", "a"]}, "names 'a', .* user col.* describe the item."),
        ({"item_features": np.array(["d"]), "time": "d"}, "'d', which is the time col"),
    ],
)
def test_ids_and_times_are_no_features_of_the_other_side(params, message):
    with pytest.raises(ValueError, match=message):
        columns(FRAME, **params)


@pytest.mark.parametrize(
    ("selection", "expected"),
    [
        (None, []),
        ("b", ["b"]),
        (1, ["b"]),
        (slice(1, 3), ["b", "c"]),
        (slice("b", "c"), ["b", "c"]),
        (slice("c", None), ["c", "d"]),
        (slice(None, "b"), ["a", "b"]),
        (slice(None), ["a", "b", "c", "d"]),
        ([True, False, False, True], ["a", "d"]),
        (lambda frame: [0, -1], ["a", "d"]),
        (lambda frame: "c", ["c"]),
        ([], []),
        (pd.Series(["d", "a"]), ["d", "a"]),
        (("a", "c"), ["a", "c"]),
        (range(2), ["a", "b"]),
    ],
)
def test_selections(selection, expected):
    assert select_columns(FRAME, selection, "user_features") == expected


@pytest.mark.parametrize(
    ("key", "position"), [("b", 1), ("d", 3), (0, 0), (-1, 3), (np.int64(2), 2)]
)
def test_a_column_is_named_or_counted(key, position):
    assert position_of(FRAME.columns, key, "user_id") == position


def test_a_name_goes_before_a_position():
    assert position_of([2, 0, 1], 0, "user_id") == 1


@pytest.mark.parametrize("key", [4, -5, "e", None, 0.5])
def test_columns_that_are_not_there(key):
    message = f"user_id names {key!r}, which is not a column of X"
    for find in (
        lambda: position_of(FRAME.columns, key, "user_id"),
        lambda: select_columns(FRAME, [key], "user_id"),
    ):
        with pytest.raises(ValueError, match=message):
            find()


def test_a_name_of_two_columns_is_ambiguous():
    X = pd.DataFrame([[1, 2, 3]], columns=["u", "i", "i"])
    with pytest.raises(ValueError, match="item_id names 'i', but X has 2 columns"):
        column(X, "i", None, "item_id")
    assert column(X, 2, None, "item_id").to_list() == [3]


@pytest.mark.parametrize("convert", [pd.DataFrame, pl.from_pandas, np.asarray])
def test_tables_with_names_are_read_by_position_as_well(convert):
    X = convert(pd.DataFrame({"t": [1, 2, 9], "i": [1, 1, 2], "u": [7, 7, 7]}))
    assert session_ids(X, 1, time=0, user_id=2).tolist() == [0, 0, 1]
    assert session_ids(X, 1, time=-3, user_id=-1).tolist() == [0, 0, 1]
    assert k_core(X, (1, 1), user_id=2, item_id=1).all()
    train, test = next(LastNSplit(user_id=2, item_id=1, time=0).split(X))
    assert train.tolist() == [0, 1] and test.tolist() == [2]


@pytest.mark.parametrize(
    ("columns", "expected"),
    [
        ("a", [0, 1, 0, 1, 0, 0]),
        (["a", "b"], [0, 1, 2, 1, 0, 3]),
        ([1, "a"], [0, 1, 2, 1, 0, 3]),
        (2, [0, 0, 1, 1, 0, 0]),
        (["c", 1], [0, 0, 1, 2, 0, 3]),
    ],
)
def test_codes_of_rows(columns, expected):
    frame = pd.DataFrame(
        {
            "a": ["x", None, "x", np.nan, "x", "x"],
            "b": [1, 1, 2, 1, 1, np.nan],
            "c": pd.to_datetime(["2026", "2026", "2027", "2027", "2026", "2026"]),
        }
    )
    found = codes_of_rows(frame, columns, "requests")
    # equal where the expected ones are equal, and only there
    pairs = pd.DataFrame({"found": found, "expected": expected}).drop_duplicates()
    assert len(pairs) == len(set(expected)) == len(set(found))


def test_codes_of_no_columns():
    assert codes_of_rows(FRAME, None, "requests") is None
    assert codes_of_rows(FRAME, [], "requests") is None


# Columns that nobody has named

SHOP = pd.DataFrame(
    {
        "at": pd.to_datetime(["2024-01-02", "2024-01-01", "2024-01-03", "2024-01-01"]),
        "user": ["ann", "ann", "bob", "bob"],
        "item": ["tea", "jam", "tea", "ham"],
    }
)
TAKEN = "'at' holds dates, but is taken as a column of ids, by its place in X"


@pytest.mark.parametrize("order", [["at", "user", "item"], ["user", "at", "item"]])
def test_dates_that_are_taken_as_ids_are_warned_of(order):
    with pytest.warns(UserWarning, match=TAKEN):
        PopularityRecommender().fit(SHOP[order])
    with pytest.warns(UserWarning, match=TAKEN):
        k_core(SHOP[order], 1)
    with pytest.warns(UserWarning, match=TAKEN):  # also if the users are read as items
        next(ColdItemSplit(1, random_state=0).split(SHOP[order]))


@pytest.mark.filterwarnings("error")
def test_dates_that_are_named_as_ids_are_not():
    PopularityRecommender(user_id="at", item_id="item").fit(SHOP)
    PopularityRecommender(time="at").fit(SHOP)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("convert", [pd.DataFrame, pl.from_pandas])
@pytest.mark.parametrize("order", [["at", "user", "item"], ["user", "at", "item"]])
def test_the_time_stands_for_no_ids(order, convert):
    X = convert(SHOP[order])
    ((train, test),) = LastNSplit(time="at").split(X)
    assert (train.tolist(), test.tolist()) == ([1, 3], [0, 2])
    only_known = TimeSplit(2, time="at", drop_unseen_items=True)
    with pytest.raises(ValueError, match="leaves the test side without rows"):
        next(only_known.split(X))  # nobody had tea before
    assert session_ids(X, pd.Timedelta("1D"), time="at").tolist() == [0, 0, 2, 1]


def test_names_that_contradict_their_place_are_warned_of():
    X = SHOP[["item", "user"]].set_axis(["StockCode", "CustomerID"], axis=1)
    message = "'StockCode' is taken as the users and 'CustomerID' as the items"
    with pytest.warns(UserWarning, match=message):
        PopularityRecommender().fit(X)


@pytest.mark.filterwarnings("error")
def test_named_columns_may_stand_in_any_order():
    X = SHOP[["item", "user"]]
    model = PopularityRecommender(user_id="user", item_id="item").fit(X)
    assert model.item_ids_.tolist() == ["ham", "jam", "tea"]
    PopularityRecommender(user_id="user").fit(X)  # only one column is left
