"""Hashed columns of levels, tags and words.

MurmurHash3 of 32 bits, seed 0: FR 2471011837, IT 72642772, XX 246822468, b 2514386435.
Of two columns odd hashes go to column 1, even ones to column 0.
"""

import numpy as np
import pandas as pd
from numpy.testing import assert_allclose, assert_array_equal

from tests.features.builders import vectorize

HASHED = {"FR": 1, "IT": 0, "XX": 0, "b": 1, "c": 1, "x": 1, "y": 0, "fox": 1, "owl": 1}


def test_category_hashes_rare_and_unknown_levels():
    column = ["UK", "UK", "DE", "DE", "FR", "IT", None]
    new = ["UK", "FR", "IT", "XX", None]
    rows, names = vectorize(column, new, n_hashed=2)
    assert names == ["c_DE", "c_UK", "c_hash0", "c_hash1", "c_missing"]
    assert_array_equal(rows.argmax(axis=1), [1, 3, 2, 2, 4])
    assert_array_equal(rows.sum(axis=1), [1] * 5)


def test_hashed_columns_are_there_before_they_are_needed():
    rows, names = vectorize(["UK", "UK", "DE", "DE"], ["XX"], n_hashed=2)
    assert names == ["c_DE", "c_UK", "c_hash0", "c_hash1"]
    assert_array_equal(rows, [[0, 0, 1, 0]])


def test_a_level_is_hashed_by_its_name():
    column = pd.Series([7, 7, 8, 8], dtype=object)
    for five in (5, 5.0, np.int8(5), "5"):  # 1394226660
        new = pd.Series([five], dtype=object)
        rows, _ = vectorize(column, new, "category", n_hashed=3)
        assert_array_equal(rows, [[0, 0, 1, 0, 0]])


def test_list_hashes_rare_and_unknown_tags_and_adds_them_up():
    column = [["a", "b"], ["a", "c"], ["a"]]
    new = [
        ["a", "b", "y"],
        ["y", "IT", "y"],
        ["x", "c", "a"],
        {"a": 3, "y": 1, "IT": 3},
        {"y": 1, "IT": -1},
        [None, "a"],
        ["y", np.nan],
    ]
    rows, names = vectorize(column, new, n_hashed=2)
    assert names == ["c_a", "c_hash0", "c_hash1"]
    expected = [
        [1 / np.sqrt(3)] * 3,
        [0, 1, 0],
        [1 / np.sqrt(5), 0, 2 / np.sqrt(5)],
        [0.6, 0.8, 0],
        [0, 0, 0],
        [1, 0, 0],
        [0, 1, 0],
    ]
    assert_allclose(rows, expected, rtol=1e-6)


def test_text_hashes_words_as_if_those_of_a_column_were_one():
    # red in 3 of 3 texts, hash1 (fox, owl) in 2, hash0 in none
    texts = ["red fox", "red owl", "red"]
    rows, names = vectorize(texts, ["fox owl red", "y red", "b"], "text", n_hashed=2)
    assert names == ["c_red", "c_hash0", "c_hash1"]
    expected = [
        [1, 0, (1 + np.log(2)) * (1 + np.log(4 / 3))],
        [1, 1 + np.log(4), 0],
        [0, 0, 1],
    ]
    expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    assert_allclose(rows, expected, rtol=1e-6)


def test_hashed_columns_take_all_keys_that_are_rare():
    for column in ([["b"], ["y"]], ["b c", "y IT z"], pd.Categorical(["b", "y"])):
        assert vectorize(column, n_hashed=2)[1] == ["c_hash0", "c_hash1"]


def test_ids_are_never_hashed():
    rows, names = vectorize(["u1", "u2"], ["u2", "u3"], n_hashed=2)
    assert names == ["c_u1", "c_u2"]
    assert_array_equal(rows, [[0, 1], [0, 0]])


def test_hashing_agrees_with_the_table():
    tags = [[tag] for tag in HASHED]
    rows, names = vectorize([["a"], ["a"], ["b"]], tags, n_hashed=2)
    assert_array_equal(rows.argmax(axis=1) - 1, list(HASHED.values()))
