"""The columns of X in fit, and later tables that may lack the times."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import polars as pl
import pytest

from sktwotower._tables._columns import Columns
from sktwotower._tables._schema import read_table
from sktwotower._tables._time_units import TimeKind

# the time is in the middle, so that a later column moves without it
FRAME = pd.DataFrame({"user": [1, 3], "when": [5, 6], "item": [2, 4]})
WITHOUT = FRAME[["user", "item"]]
NUMBERED = FRAME.set_axis([0, 1, 2], axis=1)


def later_table(fitted, X):
    """Return X as read after a fit on ``fitted``, whose second column is the time."""
    frame, schema = read_table("Name", fitted)
    schema = schema.with_time(frame, frame.columns[1], TimeKind(False))
    found, same = read_table("Name", X, schema)
    assert same == schema and found.columns.tolist() == frame.columns.tolist()
    return found


@pytest.mark.parametrize(
    ("fitted", "X"),
    [
        (FRAME, WITHOUT),
        (FRAME, pl.DataFrame(WITHOUT.to_dict("list"))),
        (FRAME.to_numpy(), WITHOUT.to_numpy()),
        (FRAME.to_numpy(), WITHOUT.to_numpy().tolist()),
        (NUMBERED, NUMBERED[[0, 2]]),
        (NUMBERED, WITHOUT.set_axis([0, 1], axis=1)),
        (NUMBERED, WITHOUT.to_numpy()),
    ],
)
def test_a_later_table_may_lack_the_times(fitted, X):
    found = later_table(fitted, X)
    assert found.iloc[:, [0, 2]].to_numpy().tolist() == [[1, 2], [3, 4]]
    assert found.iloc[:, 1].isna().all()
    assert isinstance(X, list) or X.shape == (2, 2)  # and is not changed


@pytest.mark.parametrize(
    ("fitted", "X"),
    [
        (FRAME, FRAME),
        (FRAME, pl.DataFrame(FRAME.to_dict("list"))),
        (FRAME.to_numpy(), FRAME.to_numpy().tolist()),
        (NUMBERED, NUMBERED),
    ],
)
def test_a_later_table_may_have_the_times(fitted, X):
    assert later_table(fitted, X).to_numpy().tolist() == [[1, 5, 2], [3, 6, 4]]


@pytest.mark.parametrize(
    ("X", "message"),
    [
        (FRAME[["user", "when"]], "yet now missing:\n- item"),
        (FRAME[["user"]], "yet now missing:\n- item\n- when"),
        (WITHOUT.assign(other=1), "unseen at fit time:\n- other"),
        (FRAME[["item", "user"]], "in the same order"),
        (WITHOUT.iloc[:0], "holds no events"),
    ],
)
def test_other_columns_may_not_be_missing(X, message):
    with pytest.raises(ValueError, match=message):
        later_table(FRAME, X)


def test_other_columns_of_an_array_may_not_be_missing():
    with pytest.raises(ValueError, match="X has 1 features, .* expecting 3"):
        later_table(FRAME.to_numpy(), np.ones((2, 1)))


def test_a_table_without_times_lacks_nothing():
    frame, schema = read_table("Name", WITHOUT)
    assert (schema.time, schema.time_place, schema.dates) == (None, None, False)
    with pytest.raises(ValueError, match="yet now missing:\n- item"):
        read_table("Name", frame[["user"]], schema)


def columns(**params):
    names = "user_id", "item_id", "user_features", "item_features", "time"
    return Columns(FRAME, SimpleNamespace(**dict.fromkeys(names) | params), named=True)


@pytest.mark.parametrize(
    ("params", "expected"),
    [
        ({}, ("user", "when", None)),
        ({"time": "when"}, ("user", "item", "when")),
        ({"time": 1}, ("user", "item", "when")),
        ({"time": -2}, ("user", "item", "when")),
        ({"time": "when", "user_id": "item"}, ("item", "user", "when")),
        ({"time": "when", "item_id": "user"}, ("item", "user", "when")),
    ],
)
def test_the_time_is_neither_of_the_ids(params, expected):
    found = columns(**params)
    assert (found.user, found.item, found.time) == expected


def test_the_time_is_not_a_feature():
    found = columns(time="when", user_features=slice(2, 3), item_features=slice(None))
    assert found.user_features == found.item_features == []
    with pytest.raises(ValueError, match="user_features names 'when', .* time column"):
        columns(time="when", user_features=["when"])


def test_a_time_column_that_is_an_id_or_missing_is_refused():
    message = "'user' would be both the user and the time column. Name different"
    with pytest.raises(ValueError, match=message):
        columns(time="user", user_id="user")
    with pytest.raises(ValueError, match="'item' would be both the item and the time"):
        columns(time="item", item_id="item")
    with pytest.raises(ValueError, match="time names 'when_', .*mean 'when'"):
        columns(time="when_")
    both = SimpleNamespace(
        user_id=None, item_id=None, user_features=None, item_features=None, time="user"
    )
    with pytest.raises(ValueError, match="X has 2 columns, but .* are required"):
        Columns(WITHOUT, both, named=True)
