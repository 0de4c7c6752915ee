"""TagEncoder: lists, delimited strings and dicts of tags, worked by hand."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from tests.features.builders import vectorize

HALF = 1 / np.sqrt(2)


def test_list_is_multi_hot_with_norm_one():
    for column in [
        [["x", "y"], ["x"], [], None, ["y", "x", "x"]],
        [("x", "y"), ("x",), (), None, ("y", "x", "x")],
        [{"x", "y"}, {"x"}, set(), None, {"y", "x"}],
        [np.array(["x", "y"]), np.array(["x"]), np.array([]), None, ["y", "x", "x"]],
        ["x|y", "x", "", None, "y|x|x"],
        ["x;y", "x", ";", None, "y; x;x"],
        ["x, y", "x", "", None, "y, x,x"],
        [{"x": 2, "y": 2}, {"x": 0.1}, {"y": 0}, None, {"y": 5, "x": 5}],
        [["x", None, "y"], ["x"], [np.nan], None, ["y", "x"]],
    ]:
        rows, names = vectorize(column)
        assert names == ["c_x", "c_y", "c_missing"]
        expected = [[HALF, HALF, 0], [1, 0, 0], [0, 0, 0], [0, 0, 1], [HALF, HALF, 0]]
        assert_allclose(rows, expected, rtol=1e-6)


def test_list_of_weights_and_unknown_tags():
    rows, names = vectorize([{"a": 1}, {"b": 1}], [{"a": 3, "b": -4}, {"a": 2, "z": 9}])
    assert names == ["c_a", "c_b"]
    assert_allclose(rows, [[0.6, -0.8], [1, 0]], rtol=1e-6)


def test_rare_tags_are_left_out_unless_all_are_rare():
    assert vectorize([["a", "b"], ["a"]])[1] == ["c_a"]
    assert vectorize([["a", "b"], ["c"]])[1] == ["c_a", "c_b", "c_c"]


def test_max_features_keeps_the_most_frequent_tags_and_words():
    tags = [["c", "a", "b"], ["c", "b"], ["c", "a"], ["d"]]
    assert vectorize(tags, max_features=2)[1] == ["c_a", "c_c"]
    texts = ["red fox", "red dog", "red fox runs"]
    assert vectorize(texts, kind="text", max_features=1)[1] == ["c_red"]


def test_forced_list_without_a_delimiter_has_one_tag_per_cell():
    rows, names = vectorize(["red", "blue", "red"], kind="list", min_frequency=1)
    assert names == ["c_blue", "c_red"]
    assert_array_equal(rows, [[0, 1], [1, 0], [0, 1]])


def test_weights_that_are_missing_do_not_count():
    column = [{"a": 3, "b": 4}, {"a": None, "b": 2}, {"a": np.nan}, {"b": pd.NA}]
    rows, names = vectorize(column)
    assert names == ["c_a", "c_b"]
    assert_allclose(rows, [[0.6, 0.8], [0, 1], [0, 0], [0, 0]], rtol=1e-6)


@pytest.mark.slow
@settings(max_examples=8)
@given(st.lists(st.lists(st.integers(0, 5)), min_size=1, max_size=8))
def test_lists_agree_with_a_naive_count(column):
    rows, names = vectorize(column, kind="list", min_frequency=1)
    tags = sorted({tag for cell in column for tag in cell})
    assert names == [f"c_{tag}" for tag in tags]
    for row, cell in zip(rows, column, strict=True):
        scale = 1 / np.sqrt(max(len(set(cell)), 1))
        assert_allclose(row, [scale * (tag in cell) for tag in tags], rtol=1e-6)


def test_strings_where_fit_saw_lists():
    with pytest.raises(TypeError, match="kind 'list' .* Got 'a' "):
        vectorize([["a"], ["b"]], ["a"])
