"""Pairs of users and items: every form of a history gives the same answer."""

import re

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from numpy.testing import assert_array_equal

from sktwotower.metrics import retrieval_report
from tests.builders import random_events, small
from tests.cases import for_each

TABLE = pd.DataFrame({"user": ["a", "a", "b"], "item": ["i1", "i2", "i1"], "more": 0})


@pytest.fixture(scope="module")
def model():
    return small().fit(random_events())


def test_every_form_of_a_history_gives_the_same_answer(model):
    expected = model.embed_users(["a", "b"], history={"a": ["i1", "i2"], "b": ["i1"]})
    assert (expected[0] != expected[1]).any()
    for history in [
        TABLE,
        TABLE[["more", "item", "user"]],
        pl.from_pandas(TABLE),
        pa.table(TABLE),
        TABLE.to_numpy(),
        {"a": ("i1", "i2"), "b": np.array(["i1"])},
        {"a": pl.Series(["i1", "i2"]), "b": iter(["i1"])},
        {"a": pd.Series(["i1", "i2"], index=[5, 5]), "b": {"i1"}},
    ]:
        assert_array_equal(model.embed_users(["a", "b"], history=history), expected)


def test_a_list_of_items_is_that_of_the_only_user(model):
    expected = model.embed_users(["a"], history={"a": ["i1", "i2"]})
    for items in (["i1", "i2"], np.array(["i1", "i2"]), pl.Series(["i1", "i2"])):
        assert_array_equal(model.embed_users(["a"], history=items), expected)
    with pytest.raises(TypeError, match="history must be a table .* a single user"):
        model.recommend(["a", "b"], history=["i1"])


def test_what_holds_no_pairs_is_named(model):
    for given in ("ab", b"ab", 5, np.array(["i1", "i2"]), np.eye(1)):
        message = f"history must be .* {type(given).__name__}"
        with pytest.raises(TypeError, match=message):
            model.recommend(["a", "b"], history=given)
    for items in ("ab", b"ab", 5, None, np.array(5)):
        message = f"history must hold a list of items for each user. Got {items!r} for"
        with pytest.raises(TypeError, match=re.escape(message)):
            model.recommend(["a"], history={"a": items})
    message = "history has no column 'item'. .* pairs: 'user' and 'item'"
    with pytest.raises(ValueError, match=message):
        model.recommend(["a"], history=TABLE[["user"]])


@pytest.mark.filterwarnings("ignore:No user of X is known")
@for_each("items", ["ab", {"i1", "i2"}, {"i1": 0.5}])
def test_rankings_have_an_order(model, items):
    held_out = TABLE[["user", "item"]]
    with pytest.raises(TypeError, match="list of items for each user, best first"):
        retrieval_report(model, held_out, baselines={"x": {"a": items}})
