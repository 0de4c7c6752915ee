"""Pairs of users and items: every form gives the same pairs."""

import re

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from sktwotower._tables._pairs import read_pairs

USERS, ITEMS = ["a", "a", "b"], [1, 2, 1]
TABLE = pd.DataFrame({"user": USERS, "item": ITEMS, "more": 0})


@pytest.mark.parametrize(
    "given",
    [
        TABLE,
        pl.DataFrame(TABLE),
        pa.table(TABLE),
        TABLE.to_numpy(),
        {"a": [1, 2], "b": [1]},
        {"a": (1, 2), "b": np.array([1])},
        {"a": pl.Series([1, 2]), "b": iter([1])},
        {"a": pd.Series([1, 2], index=[5, 5]), "b": {1}},
    ],
    ids=lambda given: type(given).__name__,
)
def test_every_form_gives_the_same_pairs(given):
    pairs = read_pairs(given, "history")
    assert list(pairs.users) == USERS
    assert list(pairs.items) == ITEMS
    assert set(pairs.named) == {"a", "b"}


def test_columns_of_a_table_may_be_named():
    columns = {"columns": ("user", "item"), "labels": ("customer", "product")}
    pairs = read_pairs(TABLE[["more", "item", "user"]], "history", **columns)
    assert list(pairs.users) == USERS and list(pairs.items) == ITEMS
    nameless = read_pairs(pd.DataFrame(TABLE.to_numpy()), "history")
    assert list(nameless.users) == USERS and list(nameless.items) == ITEMS
    message = "history has no column 'product'. .* pairs: 'customer' and 'product'"
    with pytest.raises(ValueError, match=message):
        read_pairs(TABLE[["user"]], "history", **columns)
    message = r"history must have a column of users .*\['user'\]"
    with pytest.raises(ValueError, match=message):
        read_pairs(TABLE[["user"]], "history")


@pytest.mark.parametrize("items", [[1, 2], (1, 2), np.array([1, 2]), pl.Series([1, 2])])
def test_a_list_of_items_is_that_of_the_only_user(items):
    pairs = read_pairs(items, "history", owners=["a"])
    assert list(pairs.users) == ["a", "a"] and list(pairs.items) == [1, 2]
    again = read_pairs(items, "history", owners=["a", "a", "a"])
    assert list(again.users) == ["a", "a"] and list(again.items) == [1, 2]
    for owners in ([], ["a", "b"]):
        with pytest.raises(TypeError, match="history must be a table .* a single user"):
            read_pairs(items, "history", owners=owners)


def test_users_without_items_are_named():
    pairs = read_pairs({"a": [], "b": [1]}, "history")
    assert list(pairs.users) == ["b"] and list(pairs.named) == ["a", "b"]
    assert [len(part) for part in read_pairs({}, "history")] == [0, 0, 0]


def test_numbers_and_strings_of_one_list_stay_what_they_are():
    pairs = read_pairs({"a": [1, "1"], "b": [(1, 2)]}, "history")
    assert list(pairs.items) == [1, "1", (1, 2)]


@pytest.mark.parametrize("given", ["ab", b"ab", 5, None, np.array([1, 2]), np.eye(1)])
def test_what_holds_no_pairs(given):
    with pytest.raises(TypeError, match=f"history must be .* {type(given).__name__}"):
        read_pairs(given, "history")


@pytest.mark.parametrize("given", [5, None, "ab", np.array(5), np.array("ab")])
def test_what_holds_no_items_of_one_user(given):
    with pytest.raises(TypeError, match=f"history must be .* {type(given).__name__}"):
        read_pairs(given, "history", owners=["a"])


@pytest.mark.parametrize("items", ["ab", b"ab", 5, None, np.array(5)])
def test_a_user_without_a_list(items):
    message = f"history must hold a list of items for each user. Got {items!r} for 'a'"
    with pytest.raises(TypeError, match=re.escape(message)):
        read_pairs({"a": items}, "history")


@pytest.mark.parametrize("items", ["ab", {1, 2}, {1: 0.5}])
def test_rankings_have_an_order(items):
    with pytest.raises(
        TypeError, match="The ranking 'x' .* list of items for each user, best first"
    ):
        read_pairs({"a": items}, "The ranking 'x'", order="best first")
    assert list(read_pairs({"a": [2, 1]}, "x", order="best first").items) == [2, 1]
