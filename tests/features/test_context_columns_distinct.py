"""Distinct rows of a table of contexts, whose cells may be of any type."""

from collections import Counter
from decimal import Decimal

import numpy as np
import pandas as pd
import pytest
from scipy import sparse

import sktwotower.features._context_columns as context_columns


def check(table):
    """Return the distinct rows and codes of a table, after checks that always hold."""
    before = table.copy()
    distinct, codes, counts = context_columns.distinct_contexts(table)
    pd.testing.assert_frame_equal(table, before)
    assert distinct.iloc[0].isna().all() and list(distinct) == list(table)
    assert codes.dtype == np.int32 and counts.dtype == np.int64
    np.testing.assert_array_equal(counts, np.bincount(codes, minlength=len(distinct)))
    assert len(codes) == len(table) and (counts[1:] > 0).all()
    return distinct, codes.tolist()


def test_equal_rows_have_one_code_and_missing_ones_zero():
    table = pd.DataFrame(
        {
            "hour": [8, 9, np.nan, 8, np.nan, 8],
            "device": ["phone", "phone", None, "phone", "tv", None],
        },
        index=[5, 5, 7, 8, 9, 1],
    )
    distinct, codes = check(table)
    assert codes == [1, 2, 0, 1, 3, 4]
    assert distinct["hour"].tolist()[1:3] == [8, 9]
    assert distinct["device"].tolist()[3] == "tv"


def test_the_first_row_is_there_even_if_no_row_is_missing():
    table = pd.DataFrame({"hour": [8, 2**62 + 1, 8], "new": [True, False, True]})
    distinct, codes = check(table)
    assert codes == [1, 2, 1]
    # integers and booleans are not changed to floats
    assert distinct["hour"].tolist()[1:] == [8, 2**62 + 1]
    assert distinct["new"].tolist()[1:] == [True, False]
    assert distinct.iloc[1:].infer_objects().dtypes.tolist() == [np.int64, np.bool_]


CATEGORIES = pd.Categorical(["b", None, "a", "b"], categories=["a", "b", "c"])
DATES = ["2024-01-01", None, "2024-01-02", "2024-01-01"]


COLUMNS = [
    pd.Series([1.5, np.nan, 2.5, 1.5]),
    pd.Series(["x", None, "y", "x"]),
    pd.Series(["x", np.nan, 5, "x"], dtype=object),
    pd.Series([7, pd.NA, 8, 7], dtype="Int64"),
    pd.Series([True, pd.NA, False, True], dtype="boolean"),
    pd.Series(CATEGORIES),
    pd.Series(pd.to_datetime(DATES)),
    pd.Series(pd.to_datetime(DATES, utc=True)),
    pd.Series(pd.to_datetime(DATES).to_period("D")),
    pd.Series([("a", 1), None, ("a", 2), ("a", 1)]),
    pd.Series([["a", "b"], None, ["a"], ["a", "b"]]),
    pd.Series([["a"], np.nan, ("a",), ["a"]]),
    pd.Series([[["a"], 1], None, [["b"], 1], [["a"], 1]]),
    pd.Series([{"a": [1]}, pd.NaT, {"a": [2]}, {"a": [1]}]),
    pd.Series([{"a", "b"}, pd.NA, {"b"}, {"b", "a"}]),
    pd.Series([np.array([1, 2]), None, np.array([[1, 2]]), np.array([1, 2])]),
    pd.Series([["a"], None, "a", ["a"]]),
    pd.Series([Decimal("1"), Decimal("NaN"), Decimal("2"), Decimal("1.0")]),
]


@pytest.mark.slow
def test_cells_may_be_of_any_type():
    for column in COLUMNS:
        assert check(pd.DataFrame({"c": column}))[1] == [1, 0, 2, 1]
        two = pd.DataFrame({"c": column, "d": [1, 1, 1, 1]})
        assert check(two)[1] == [1, 2, 3, 1]


def test_sparse_rows_are_compared():
    rows = [sparse.csr_matrix([[0, number]]) for number in (1, 2, 1)]
    column = pd.Series([*rows, None])
    assert check(pd.DataFrame({"c": column}))[1] == [1, 2, 1, 0]


def test_other_objects_without_a_hash_are_distinct():
    cell = bytearray(b"a")
    column = pd.Series([cell, bytearray(b"a"), cell])
    assert check(pd.DataFrame({"c": column}))[1] == [1, 2, 1]


def test_lists_of_pyarrow():
    pa = pytest.importorskip("pyarrow")
    kind = pd.ArrowDtype(pa.list_(pa.string()))
    column = pd.Series([["a"], None, ["b"], ["a"]], dtype=kind)
    assert check(pd.DataFrame({"c": column}))[1] == [1, 0, 2, 1]


def test_signaling_nan_is_refused():
    column = pd.Series([Decimal("sNaN"), Decimal("1")])
    with pytest.raises(ValueError, match="Column 'c' holds a signaling NaN"):
        context_columns.distinct_contexts(pd.DataFrame({"c": column}))


def test_tables_without_rows_or_columns():
    distinct, codes = check(pd.DataFrame({"c": np.zeros(0), "d": np.zeros(0, int)}))
    assert (len(distinct), codes) == (1, [])
    distinct, codes = check(pd.DataFrame(index=range(3)))
    assert (distinct.shape, codes) == ((1, 0), [0, 0, 0])


def test_codes_are_those_of_a_dict():
    rng = np.random.default_rng(0)
    few = pd.DataFrame(rng.integers(0, 4, (300, 5)), columns=list("abcde"))
    # nine columns of 300 levels: more combinations than integers of 64 bits
    many = pd.DataFrame({f"c{i}": rng.permutation(300) for i in range(9)})
    many = pd.concat([many, many[:50]], ignore_index=True)
    for table in (few, many):
        table = table.where(table > 0)
        _, codes, counts = context_columns.distinct_contexts(table)
        rows = [tuple(row) for row in table.fillna(0).to_numpy().tolist()]
        expected = {(0,) * table.shape[1]: 0}
        for row in rows:
            expected.setdefault(row, len(expected))
        assert codes.tolist() == [expected[row] for row in rows]
        assert counts.tolist() == [Counter(rows)[row] for row in expected]
