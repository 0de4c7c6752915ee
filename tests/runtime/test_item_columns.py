"""Columns of the item table: their values, gaps, and what rules compare them with."""

import datetime
from decimal import Decimal

import numpy as np
import pandas as pd
import polars as pl
import pytest

from sktwotower.runtime._item_columns import ItemColumn

DAYS = np.array(["2024-01-01", "2024-02-01", "NaT", "2024-03-01"], dtype="M8[ns]")
UTC = datetime.UTC
BERLIN = datetime.timezone(datetime.timedelta(hours=1))


def objects(*cells):
    values = np.empty(len(cells), dtype=object)
    values[:] = cells
    return values


def found(values, rule):
    return np.flatnonzero(ItemColumn(np.asarray(values), "x").mask(rule)).tolist()


@pytest.mark.parametrize(
    "values, rule, expected",
    [
        ([True, False, True], True, [0, 2]),
        ([True, False, True], 0, [1]),
        ([1, 2, 3], np.int64(2), [1]),
        ([1, 2, 3], 2.0, [1]),
        ([1, 2, 3], Decimal(2), [1]),
        ([1, 2, 2**62], [2**62, 2**70], [2]),
        ([1, 2, 3], (1.5, np.float32(2.5)), [1]),
        (np.array([1, 2], np.uint8), (2, None), [1]),
        (np.array([0.1, np.inf], np.float32), (1, None), [1]),
        (objects(1, None, 3), (2, None), [2]),
        (objects(Decimal(1), Decimal(3)), (2, None), [1]),
        (np.array(["ab", "c"]), "ab", [0]),
        (objects("ab", None, np.nan, "c"), ["c", "d"], [3]),
        (objects(["a", "b"], [], None, ["b", None]), "b", [0, 3]),
        (objects({"a"}, ("b", "c"), np.array(["a", "c"])), ["a"], [0, 2]),
        (objects(None, None), "a", []),
        (objects(None, None), (1, 2), []),
        (objects("a", 1), 1, [1]),
        (DAYS, "2024-02-01", [1]),
        (DAYS, datetime.date(2024, 2, 1), [1]),
        (DAYS, ("2024-02-01", None), [1, 3]),
        (DAYS, (None, datetime.datetime(2024, 2, 1)), [0, 1]),
        (DAYS, (np.datetime64("2024-01-15"), "2024-02"), [1]),
        (DAYS, datetime.datetime(2024, 2, 1, 1, tzinfo=BERLIN), [1]),
        (DAYS, datetime.datetime(2024, 2, 1, 1, tzinfo=UTC), []),
        (DAYS, (None, None), [0, 1, 3]),
        (DAYS.astype("M8[D]"), ["2024-01-01"], [0]),
        (DAYS, DAYS[[3, 1]], [1, 3]),
        (["a", "b", "c"], pd.Series(["c", "a"]), [0, 2]),
        (["a", "b", "c"], pl.Series(["c", "a"]), [0, 2]),
        (DAYS - DAYS[0], datetime.timedelta(31), [1]),
        (DAYS - DAYS[0], (datetime.timedelta(31), None), [1, 3]),
    ],
)
def test_which_cells_are_found(values, rule, expected):
    assert found(values, rule) == expected


@pytest.mark.parametrize(
    "values, rule",
    [
        ([1, 2], "1"),
        ([1, 2], datetime.date(2024, 1, 1)),
        (["a"], 1),
        (["a"], ("a", "b")),
        (["a"], ("a", None)),
        (["a"], ["a", 1]),
        (["a"], {"b": "a"}),
        (DAYS, 2024),
        (DAYS, "soon"),
        (DAYS, "2024-13-01"),
        (DAYS, "NaT"),
        (DAYS, (1, None)),
        (DAYS - DAYS[0], 31),
        (objects(datetime.date(2024, 1, 1)), "2024-01-01"),
    ],
)
def test_what_cannot_be_compared_is_refused(values, rule):
    with pytest.raises(ValueError, match=r"where\['x'\] must be a value"):
        found(values, rule)


def test_groups_of_equal_cells():
    column = ItemColumn(objects("a", None, ["b"], "a", []), "x")
    assert column.groups.tolist() == [0, -1, 1, 0, -1]
    with pytest.raises(ValueError, match="max_per names 'x', a column of lists"):
        _ = ItemColumn(objects(["a", "b"], "a"), "x").groups


@pytest.mark.parametrize("cell", [{"a": 1}, [[1]], np.ones((2, 2))])
def test_cells_that_cannot_be_compared_are_named(cell):
    with pytest.raises(ValueError, match="column 'x' .* holds objects"):
        ItemColumn(objects(cell, "a"), "x")
