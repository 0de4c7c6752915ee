"""LevelEncoder: ids and categories, worked by hand."""

import itertools
import warnings

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_array_equal
from sklearn.preprocessing import OneHotEncoder

from sktwotower import TowerVectorizer
from tests.cases import for_each
from tests.features.builders import vectorize


def test_id_is_one_hot_and_unknown_or_missing_is_zeros():
    rows, names = vectorize(["b", "a", "c"], ["c", "x", None, "a"])
    assert names == ["c_a", "c_b", "c_c"]
    assert_array_equal(rows, [[0, 0, 1], [0, 0, 0], [0, 0, 0], [1, 0, 0]])


def test_missing_id_in_fit_gets_no_column():
    rows, names = vectorize(["b", None], kind="id")
    assert names == ["c_b"]
    assert_array_equal(rows, [[1], [0]])


def test_category_groups_rare_and_unknown_levels():
    rows, names = vectorize(
        ["UK", "UK", "DE", "DE", "FR", "IT", None], ["DE", "FR", "UK", "XX", None]
    )
    assert names == ["c_DE", "c_UK", "c_infrequent", "c_missing"]
    assert_array_equal(
        rows, [[1, 0, 0, 0], [0, 0, 1, 0], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]
    )


def test_category_without_rare_levels_gives_zeros_to_unknown_and_missing():
    rows, names = vectorize(["UK", "UK", "DE", "DE"], ["DE", "XX", None])
    assert names == ["c_DE", "c_UK"]
    assert_array_equal(rows, [[1, 0], [0, 0], [0, 0]])


def test_category_agrees_with_scikit_learns_encoder():
    column = np.random.default_rng(0).choice(list("aaabbcde"), size=(40, 1))
    peer = OneHotEncoder(min_frequency=8, handle_unknown="infrequent_if_exist")
    rows, names = vectorize(column.ravel(), kind="category", min_frequency=8)
    assert_array_equal(rows, peer.fit_transform(column).toarray())
    assert len(names) == len(peer.get_feature_names_out())


def test_min_frequency_as_a_share_of_the_rows():
    column = ["UK"] * 5 + ["DE"] * 3 + ["FR"] * 2
    assert vectorize(column, min_frequency=0.25)[1] == ["c_DE", "c_UK", "c_infrequent"]
    assert vectorize(column, min_frequency=0.2)[1] == ["c_DE", "c_FR", "c_UK"]


@for_each("kind", ["id", "category"])
def test_an_integer_id_is_the_same_in_any_dtype(kind):
    of_fit = ["int64", "Int64", "float64", "uint8"]
    later = ["int64", "int8", "Int64", "float64", "Float32", object]
    for old, new in itertools.product(of_fit, later):
        assert_same_ids(old, new, kind)


def assert_same_ids(old, new, kind):
    vectorizer = TowerVectorizer(kinds={"u": kind}, min_frequency=1)
    vectorizer.fit(pd.DataFrame({"u": pd.Series([5, 7, 9]).astype(old)}))
    assert vectorizer.get_feature_names_out().tolist() == ["u_5", "u_7", "u_9"]
    rows = vectorizer.transform(pd.DataFrame({"u": pd.Series([9, 5, 6]).astype(new)}))
    assert_array_equal(rows.toarray(), [[0, 0, 1], [1, 0, 0], [0, 0, 0]])


def test_ids_of_several_types_keep_apart():
    rows, names = vectorize([5, "5", 2.5, "a"], ["5", 5, 5.0, "b"], kind="id")
    assert names == ["c_2.5", "c_5", "c_5", "c_a"]
    assert_array_equal(rows.argmax(axis=1), [2, 1, 1, 0])
    assert_array_equal(rows.sum(axis=1), [1, 1, 1, 0])


def test_dates_as_levels_do_not_depend_on_their_unit():
    days = pd.to_datetime(["2024-01-01", "2024-01-02", "2024-01-01"])
    rows, _ = vectorize(days, days.as_unit("ns"), kind="category", min_frequency=1)
    assert_array_equal(rows, [[1, 0], [0, 1], [1, 0]])


def test_infinite_level_among_strings():
    for kind in (None, "id"):
        with pytest.raises(ValueError, match="Column 'c' holds an infinite number"):
            vectorize(["a", np.inf, "a"], kind=kind)


LEVELS = ["d"] + ["b", "c", "a"] * 2 + ["a"]


def test_max_features_keeps_the_most_frequent_levels_and_warns_once():
    message = (
        "'c' of kind 'category' has 4 levels; 3 are .* max_features=2.* most "
        "frequent .*'c_infrequent'.*kinds={'c': 'drop'}.* raise max_features.*n_hashed"
    )
    with pytest.warns(UserWarning, match=message) as caught:
        rows, names = vectorize(LEVELS, list("abcdx"), max_features=2)
    assert len(caught) == 1
    assert caught[0].filename == vectorize.__code__.co_filename
    assert names == ["c_a", "c_b", "c_infrequent"]
    assert_array_equal(rows.argmax(axis=1), [0, 1, 2, 2, 2])


def test_levels_beyond_max_features_are_hashed():
    with pytest.warns(UserWarning, match="others share 2 hashed columns"):
        rows, names = vectorize(LEVELS, list("abcy"), max_features=2, n_hashed=2)
    assert names == ["c_a", "c_b", "c_hash0", "c_hash1"]
    assert_array_equal(rows.argmax(axis=1), [0, 1, 3, 2])


def test_no_warning_without_need():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert len(vectorize(LEVELS, max_features=3)[1]) == 4
        assert len(vectorize(LEVELS, kind="id", max_features=1)[1]) == 4
        vectorize([["a", "b"], ["a", "b"], ["b"]], max_features=1)
        vectorize(["red fox", "red dog", "red fox"], kind="text", max_features=1)
