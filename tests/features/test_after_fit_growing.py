"""Columns for levels, tags and words that come after fit."""

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from sktwotower.features import TowerVectorizer
from sktwotower.features._after_fit import with_keys
from sktwotower.features._request_context import RequestContext


def grow(column, new, kind=None, **params):
    """Return a vectorizer of a column 'c' that has grown, and its names if it did."""
    kinds = None if kind is None else {"c": kind}
    vectorizer = TowerVectorizer(kinds=kinds, **params)
    vectorizer.fit(pd.DataFrame({"c": column}))
    before = vectorizer.get_feature_names_out().tolist()
    table = pd.DataFrame({"c": new})
    context = RequestContext(["c"], None, vectorizer, dtypes=("object",))
    grown, places, width = with_keys(context, table)
    after = grown.get_feature_names_out().tolist()
    assert [after[place] for place in places] == before
    assert vectorizer.get_feature_names_out().tolist() == before
    assert grown.transform(table).shape == (len(new), width) == (len(new), len(after))
    return grown, after if len(after) > len(before) else []


LEVELS = ["UK", "UK", "DE", "DE", "FR", None]


def test_levels_that_are_frequent_get_a_column():
    grown, names = grow(LEVELS, ["PL", "PL", "ES", "UK", None, "FR", "FR"])
    assert names == ["c_DE", "c_UK", "c_FR", "c_PL", "c_infrequent", "c_missing"]
    rows = grown.transform(pd.DataFrame({"c": ["PL", "ES", "DE", None, "FR"]}))
    assert_array_equal(rows.toarray().argmax(axis=1), [3, 4, 0, 5, 2])


def test_words_are_as_rare_as_in_all_rows_so_far():
    texts = ["red cup", "red mug", "tea cup", "tea mug", "one red pot"]
    grown, names = grow(texts, ["blue cup", "blue pot", "green mug"], "text")
    assert names == ["c_cup", "c_mug", "c_red", "c_tea", "c_blue"]
    # cup in 2 of 5 rows of fit; blue in 2 of the 8 of both
    idf = np.array([1 + np.log(6 / 3), 1 + np.log(9 / 3)])
    rows = grown.transform(pd.DataFrame({"c": ["blue cup"]})).toarray()[0]
    assert_allclose(rows[[0, 4]], idf / np.linalg.norm(idf), rtol=1e-6)


def test_tags_that_are_frequent_get_a_column():
    column = [["a", "b"], ["a", "b"], ["b"]]
    grown, names = grow(column, [["z", "a"], ["z", "y"], ["z", None], [None]])
    assert names == ["c_a", "c_b", "c_z"]
    rows = grown.transform(pd.DataFrame({"c": [["a", "z"]]})).toarray()
    assert_allclose(rows, [[0.5**0.5, 0, 0.5**0.5]], rtol=1e-6)


@pytest.mark.parametrize(
    ("params", "expected"),
    [
        ({"min_frequency": 1}, ["c_DE", "c_FR", "c_UK", "c_ES", "c_PL"]),
        ({"max_features": 3}, ["c_DE", "c_UK", "c_PL", "c_infrequent"]),
        ({"max_features": 2}, []),
        ({"n_hashed": 3}, []),
    ],
)
def test_parameters_of_fit_decide(params, expected):
    new = ["ES", "PL", "PL", "PL"] + ["ES"] * (params.get("min_frequency") != 1)
    assert grow(LEVELS[:-1], new, **params)[1] == expected


def test_levels_of_another_type_are_no_new_levels():
    with pytest.raises(TypeError, match="the same level as another type"):
        grow([7, 7, 8, 8], ["7", "7"], "category")


def test_a_column_without_cells_does_not_grow():
    assert grow(LEVELS, [None, None])[1] == []
