"""Cells of any type: bytes, odd text and numbers, and what no kind can take."""

from decimal import Decimal

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_array_equal

from sktwotower import TowerVectorizer
from tests.features.builders import choose, vectorize


def test_bytes_are_text_in_utf_8():
    assert vectorize([b"\xc3\xa9", "\xe9", "u"])[1] == ["c_\xe9", "c_infrequent"]
    assert vectorize(np.array([b"b", b"a"]))[1] == ["c_a", "c_b"]
    assert vectorize([b"red fox", b"red dog"])[1] == ["c_red"]
    assert vectorize([b"a|b", b"b", b"a"])[1] == ["c_a", "c_b"]
    rows, names = vectorize([[b"a", "b"], ["a", b"b"]], [[b"b"], {b"a": 2}])
    assert names == ["c_a", "c_b"]
    assert_array_equal(rows, [[0, 1], [1, 0]])


def test_bytes_that_are_no_text():
    for cell in [b"\xff", [b"\xff"]]:
        message = r"'c' holds bytes that are not UTF-8 text.*Got b'\\xff'.*decode"
        with pytest.raises(ValueError, match=message):
            vectorize([cell, cell, cell * 2])


def test_text_that_is_no_unicode_gets_a_name_that_is():
    for column in (["a\ud800", "b"] * 2, [["a\ud800"], ["b"]] * 2):
        table = pd.DataFrame({"c": pd.Series(column, dtype=object)})
        vectorizer = TowerVectorizer().fit(table)
        names = ["c_a\\ud800", "c_b"]
        assert vectorizer.get_feature_names_out().tolist() == names
        assert vectorizer.summary()["examples"].tolist() == [", ".join(names)]
        rows = vectorizer.transform(table).toarray()
        assert_array_equal(rows, np.eye(2)[[0, 1, 0, 1]])


def test_decimals_that_allow_no_comparison_are_named():
    for cells, kind in [
        ([Decimal("sNaN"), Decimal(1)], None),
        ([Decimal("sNaN"), Decimal(1)], "drop"),
        ([Decimal("sNaN"), "a"], None),
        ([{"a": Decimal("sNaN")}], None),
    ]:
        with pytest.raises(ValueError, match="Column 'c' holds a signaling NaN.* None"):
            vectorize(pd.Series(cells, dtype=object), kind=kind)


def test_cells_that_do_not_suit_the_kind(items):
    for column, cells, message in [
        ("genres", 5, r"'genres' is of kind 'list' and expects .* Got 5 \(int\)"),
        ("price", "dear", r"'price' is of kind 'number' .* Got 'dear' \(str\)"),
        ("price", pd.Timestamp(2024, 1, 1), "'price' is of kind 'number'"),
        ("title", 5, r"'title' is of kind 'text' and expects strings. Got 5 \(int\)"),
        ("new", 2, r"'new' is of kind 'boolean' and expects True or False.* Got 2"),
        ("added", 17, "'added' is of kind 'datetime' and expects dates .*to_datetime"),
        ("added", "soon", "'added' is of kind 'datetime' .* Got 'soon'"),
    ]:
        vectorizer = TowerVectorizer().fit(items)
        with pytest.raises(TypeError, match=message):
            vectorizer.transform(items.assign(**{column: cells}))


def test_cells_that_no_fit_can_take():
    for column, kind, message in [
        (
            [["a"], ["b"]],
            "id",
            r"kind 'id' and expects single values.*\['a'\] \(list\)",
        ),
        ([[["a"]], [["b"]]], "list", r"kind 'list' .* Got \[\['a'\]\]"),
        ([{"a": "x"}, {"a": 1}], "list", "kind 'list' .* Got 'x'"),
        ([["a"], 5], None, "kind 'list' .* Got 5"),
        ([["a"], ["b"]], "number", r"kind 'number' .* Got \['a'\]"),
    ]:
        with pytest.raises(TypeError, match=message):
            vectorize(column, kind=kind)


def test_infinite_numbers_and_weights():
    with pytest.raises(ValueError, match="'c' of kind 'number' holds an infinite"):
        vectorize(["1.5", "inf"], kind="number")
    with pytest.raises(ValueError, match="'c' of kind 'list' holds an infinite"):
        vectorize([{"a": np.inf}, {"a": 1}])


def test_objects_that_have_no_hash():
    with pytest.raises(TypeError, match="'c' holds objects that cannot be compared"):
        vectorize([bytearray(b"a"), "b"])
    with pytest.raises(TypeError, match="kind 'category' .* Got bytearray"):
        vectorize(["a", "a", "b"], [bytearray(b"a")])


# cells by the kind that they suit, and which kinds take those of another
CELLS = {
    "category": ["a", "a", "b"],
    "number": [1.5, 2.5, 3.5],
    "boolean": [True, False, True],
    "datetime": pd.to_datetime(["2024-01-01", "2024-01-02", "2024-01-05"]),
    "list": [["a"], ["a", "b"], ["b"]],
    "text": ["red fox", "red dog", "blue fox"],
    "vector": [[1.0, 2.0], [2.0, 3.0], [4.0, 4.0]],
}


TAKEN = {
    "category": {"number", "boolean", "datetime", "text"},
    "number": {"boolean"},
    "list": {"vector"},
    "text": {"category"},
}


def test_a_column_that_changes_its_kind_is_named():
    for old in CELLS:
        assert choose(CELLS[old]) == old
        match = f"Column 'c' (is )?of kind '{old}' (and )?expects .* Got"
        for new, cells in CELLS.items():
            if new == old or new in TAKEN.get(old, ()):
                assert np.isfinite(vectorize(CELLS[old], cells)[0]).all()
                continue
            with pytest.raises((TypeError, ValueError), match=match):
                vectorize(CELLS[old], cells)


def test_infinite_cells_in_any_kind():
    for kind in [None, "id", "category", "number"]:
        message = "Column 'c' holds an infinite number.*replace inf by NaN"
        for column in ([1.5, np.inf], [np.inf, np.inf], [np.inf, None]):
            with pytest.raises(ValueError, match=message):
                vectorize(column, kind=kind)
        with pytest.raises(ValueError, match=message):
            vectorize([1.5, 2.5], [-np.inf], kind=kind)
        assert vectorize([1.5, np.inf], kind="drop")[1] == []
