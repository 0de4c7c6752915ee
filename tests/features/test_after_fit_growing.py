"""Columns for levels, tags and words of items that come after fit."""

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from sktwotower.features import TowerVectorizer
from tests.builders import small
from tests.cases import for_each


def grow(column, new, kind=None, **params):
    """Return the vectorizer of items that has grown with new ones, and its names."""
    kinds = {"item": "drop"} | ({} if kind is None else {"c": kind})
    cells = pd.Series([*column, *new], dtype=object)
    table = pd.DataFrame({"item": np.arange(len(cells)), "c": cells})
    items = table[: len(column)]
    model = small(items=items, item_transformer=TowerVectorizer(kinds=kinds, **params))
    model.fit(pd.DataFrame({"user": np.arange(len(items)) % 3, "item": items["item"]}))
    before = model.item_transformer_
    names = before.get_feature_names_out().tolist()
    later = table["item"][len(column) :]
    model.set_params(items=table)
    model.partial_fit(pd.DataFrame({"user": np.arange(len(later)) % 3, "item": later}))
    grown = model.item_transformer_
    assert before.get_feature_names_out().tolist() == names
    after = grown.get_feature_names_out().tolist()
    return grown, [name for name in after if name not in names], after


def encode(vectorizer, cells):
    cells = pd.Series(cells, dtype=object)
    return vectorizer.transform(pd.DataFrame({"item": 0, "c": cells})).toarray()


pytestmark = pytest.mark.filterwarnings("ignore:Each item of X has one event")
LEVELS = ["UK", "UK", "DE", "DE", "FR", None]


def test_levels_that_are_frequent_get_a_column():
    grown, _, names = grow(LEVELS, ["PL", "PL", "ES", "UK", None, "FR", "FR"])
    assert names == ["c_DE", "c_UK", "c_FR", "c_PL", "c_infrequent", "c_missing"]
    rows = encode(grown, ["PL", "ES", "DE", None, "FR"])
    assert_array_equal(rows.argmax(axis=1), [3, 4, 0, 5, 2])


def test_words_are_as_rare_as_in_all_rows_so_far():
    texts = ["red cup", "red mug", "tea cup", "tea mug", "one red pot"]
    grown, _, names = grow(texts, ["blue cup", "blue pot", "green mug"], "text")
    assert names == ["c_cup", "c_mug", "c_red", "c_tea", "c_blue"]
    # cup in 2 of 5 rows of fit; blue in 2 of the 8 of both
    idf = np.array([1 + np.log(6 / 3), 1 + np.log(9 / 3)])
    row = encode(grown, ["blue cup"])[0]
    assert_allclose(row[[0, 4]], idf / np.linalg.norm(idf), rtol=1e-6)


def test_tags_that_are_frequent_get_a_column():
    column = [["a", "b"], ["a", "b"], ["b"]]
    grown, _, names = grow(column, [["z", "a"], ["z", "y"], ["z", None], [None]])
    assert names == ["c_a", "c_b", "c_z"]
    rows = encode(grown, [["a", "z"]])
    assert_allclose(rows, [[0.5**0.5, 0, 0.5**0.5]], rtol=1e-6)


@for_each(
    ("params", "expected"),
    [
        ({"min_frequency": 1}, ["c_ES", "c_PL"]),
        ({"max_features": 3}, ["c_PL"]),
        ({"max_features": 2}, []),
        ({"n_hashed": 3}, []),
    ],
)
def test_parameters_of_fit_decide(params, expected):
    new = ["ES", "PL", "PL", "PL"] + ["ES"] * (params.get("min_frequency") != 1)
    assert grow(LEVELS[:-1], new, **params)[1] == expected


def test_levels_of_another_type_and_missing_cells_are_no_new_levels():
    with pytest.raises(TypeError, match="the same level as another type"):
        grow([7, 7, 8, 8], ["7", "7"], "category")
    assert grow(LEVELS, [None, None])[1] == []
