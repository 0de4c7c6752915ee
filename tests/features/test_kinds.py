"""The kind chosen for a column, and kinds that are given."""

import pandas as pd
import pytest

from sktwotower import TowerVectorizer
from tests.features.builders import choose

CHOSEN = [
    (["u1", "u2", "u3"], "id"),
    ([101, 102, 103], "id"),
    ([101, 102, "b7"], "id"),
    (["UK", "UK", "DE"], "category"),
    (["New York", "New York", "Los Angeles", "Los Angeles"], "category"),
    (pd.Categorical([1, 2, 3]), "category"),
    ([1, 2, 3] * 5, "category"),
    ([1, 2, 3] * 4, "number"),
    (list(range(60)) * 5, "number"),
    ([1.0, 2.0, 2.0, None] * 5, "category"),
    ([1.0, 2.0, 2.0] * 5, "number"),
    ([1.0, None, 3.0], "number"),
    ([1.5, 2.5], "number"),
    ([True, False], "boolean"),
    ([1, 0, 0, None], "category"),
    (pd.to_datetime(["2024-01-01", "2024-01-02"]), "datetime"),
    (["2024-01-01", "2024-01-02"], "datetime"),
    (["2024-13-01", "1001-44-02"], "id"),
    (["2024-13-01", "2024-01-02", "2024-01-02"], "category"),
    (["- -", "* *"], "id"),
    ([["a"], ["b"]], "list"),
    (["Action|Comedy", "Drama", "Action"], "list"),
    (["Red mug", "Blue mug with handle", "Candle"], "text"),
    (["Smith, John", "Jones, Mary", "Brown, Ann"], "text"),
    (["[1,10)", "[10,100)", "[1,10)", "0"], "category"),
    (["Matrix, The", "Heat of the night", "Speed", "Alien ship"], "text"),
    (["a long sentence; and one more", "of many words; no list"], "text"),
    ([None, None], "drop"),
    ([1.5, 1.5], "drop"),
    (["a", "a"], "drop"),
    ([["a", "b"], ["a", "b"]], "drop"),
    ([{"a": 1}, {"a": 1}], "drop"),
    ([[1.5, 2], [1, 2]], "vector"),
    ([[1, 2], [3, 4]], "list"),
    ([[1.5, 2.5], [1.5]], "list"),
    ([[1.5], [2.5]], "list"),
    ([[1.5, "a"], [1.5, "b"]], "list"),
    ([{"a": 1.5, "b": 2.5}, {"a": 1.0, "b": 2.0}], "list"),
    ([[1.5, 2.5], [1.5, 2.5]], "drop"),
    ([[1.5, 2.5], [1.5, 2.5], None], "vector"),
    ([["a"], ["a"], None], "list"),
    (["a", None], "id"),
    ([1.5, None], "number"),
]


def test_kind_is_chosen_by_dtype_and_content():
    for column, kind in CHOSEN:
        assert choose(column) == kind, column


def test_a_vector_of_another_length_is_an_error():
    for odd in [[], [0.5], [0.5] * 3]:
        vectors = [[0.5, n] for n in range(9)]
        with pytest.raises(
            ValueError, match=f"length 2, .* Got one of length {len(odd)}"
        ):
            TowerVectorizer().fit(pd.DataFrame({"v": [*vectors, odd]}))
        assert (
            choose([*vectors[1:], odd]) == "list"
        )  # two of nine are more than a tenth
        assert (
            choose([*[[1.0, n] for n in range(9)], odd[:0]]) == "list"
        )  # no fractions


def test_integers_are_levels_if_their_name_says_so():
    for name in ("id", "author_id", "authorId", "USER_ID", "zip_code"):
        assert choose([7, 8, 9, 9], name) == "category", name
    for name in ("paid", "humid", "decode", "price"):
        assert choose([7, 8, 9, 9], name) == "number", name


def test_kinds_forces_a_kind(items):
    kinds = {"country": "id", "title": "drop", "item": "category"}
    vectorizer = TowerVectorizer(kinds=kinds).fit(items)
    assert vectorizer.kinds_ == {
        "item": "category",
        "genres": "list",
        "title": "drop",
        "country": "id",
        "price": "number",
        "new": "boolean",
        "added": "datetime",
    }


def test_forced_constant_is_kept_and_forced_all_missing_is_dropped():
    table = pd.DataFrame({"a": ["x", "x"], "b": [None, None], "c": [1, 2]})
    vectorizer = TowerVectorizer(kinds={"a": "id", "b": "number"}).fit(table)
    assert vectorizer.kinds_ == {"a": "id", "b": "drop", "c": "id"}
    assert vectorizer.get_feature_names_out().tolist() == ["a_x", "c_1", "c_2"]


def test_columns_that_tell_nothing_leave_an_empty_matrix():
    matrix = TowerVectorizer().fit_transform(pd.DataFrame({"a": ["x", "x"]}))
    assert matrix.shape == (2, 0)


def test_kinds_that_name_nothing(items):
    with pytest.raises(ValueError, match="kinds names 'genre'.*Did you mean 'genres'"):
        TowerVectorizer(kinds={"genre": "list"}).fit(items)
    with pytest.raises(ValueError, match=r"kinds\['price'\].*'numbr'.*mean 'number'"):
        TowerVectorizer(kinds={"price": "numbr"}).fit(items)
    with pytest.raises(ValueError, match="'kinds' parameter .* instance of 'dict'"):
        TowerVectorizer(kinds="id").fit(items)
