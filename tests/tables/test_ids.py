"""Checks of ids: one plain type, and what cannot be an id."""

from decimal import Decimal

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from sktwotower._tables._ids import check_ids


@pytest.mark.parametrize(
    ("values", "dtype"),
    [
        ([3, 1], "int64"),
        (np.array([3, 1], dtype=object), "int64"),
        (np.array([3.5, 1], dtype=object), "float64"),
        (pd.Categorical([3, 1]), "int64"),
        (pd.Categorical(["b", "a"]), "str"),
        (np.array(["b", "a"], dtype=object), "str"),
        (np.array([b"b", b"a"]), "object"),
        (pd.to_datetime(["2024-01-02", "2024-01-01"]), "datetime64[us]"),
        (pd.array([3, 1], dtype="Int64"), "int64"),
        (pd.array([3, 1], dtype="UInt8"), "uint8"),
        (pd.array([3, 1], dtype="int64[pyarrow]"), "int64"),
        (pd.array([3.5, 1], dtype="Float64"), "float64"),
        (pd.array([True, False], dtype="boolean"), "bool"),
        (pd.array(["b", "a"], dtype="string"), "str"),
        (pd.array(["b", "a"], dtype="string[pyarrow]"), "str"),
        (pd.Series(["b", "a"], dtype=pd.ArrowDtype(pa.string())), "str"),
    ],
)
def test_ids_get_one_plain_type(values, dtype):
    ids = check_ids(values, "ids")
    assert len(ids) == 2
    assert ids.tolist() == sorted(ids, reverse=True)
    if dtype == "str":  # object before pandas 3
        assert pd.api.types.is_string_dtype(ids.dtype)
    elif dtype.startswith("datetime"):
        assert ids.dtype.kind == "M"
    else:
        assert ids.dtype == dtype


OVERLAPPING = pd.IntervalIndex.from_arrays([0, 1, 2], [3, 4, 5])


@pytest.mark.parametrize(
    "values",
    [
        OVERLAPPING,
        pd.Series(OVERLAPPING),
        np.array(OVERLAPPING, dtype=object),
        pd.Categorical(OVERLAPPING),
        pd.cut([1, 5, 9], 3),
    ],
    ids=lambda values: type(values).__name__,
)
def test_intervals_are_no_ids(values):
    with pytest.raises(TypeError, match="users holds Interval objects: .* to be an id"):
        check_ids(values, "users")


@pytest.mark.parametrize("cells", [["a\ud800", "b"], ["b", "\udfff"]])
@pytest.mark.parametrize("make", [list, lambda cells: np.array(cells, dtype=object)])
def test_text_that_is_no_unicode_is_no_id(cells, make):
    with pytest.raises(ValueError, match="users holds .*, which is no Unicode text"):
        check_ids(make(cells), "users")


def test_decimals_that_allow_no_comparison_are_no_ids():
    with pytest.raises(ValueError, match="users holds a signaling NaN"):
        check_ids([Decimal("sNaN"), Decimal(1)], "users")
    with pytest.raises(ValueError, match="users contains NaN: 1 of 2 ids"):
        check_ids([Decimal("NaN"), Decimal(1)], "users")


@pytest.mark.parametrize("asked", [[1.5], pl.Series([1.5]), pd.array([1.5], "Float64")])
def test_large_integers_of_arrow_can_be_looked_up_by_floats(asked):
    known = check_ids(pd.array([2**53 + 1, 7], dtype="int64[pyarrow]"), "users")
    assert known.get_indexer(check_ids(asked, "X")).tolist() == [-1]
    of_arrow = check_ids(pd.array([7.0], dtype="double[pyarrow]"), "X")
    assert known.get_indexer(of_arrow).tolist() == [1]
