"""Checks of ids: one plain type, and what cannot be an id."""

import datetime
import uuid
from decimal import Decimal
from fractions import Fraction

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from sktwotower._tables._ids import (
    as_type_of,
    check_ids,
    plain_positions,
    positions_of,
    same_kind,
)


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
        (np.array([3, 1], dtype=">i4"), "int32"),
        (pd.Series(np.array([3.5, 1], dtype=">f8")), "float64"),
        (np.array([3.5, 1], dtype="float16"), "float32"),
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


def test_levels_are_no_ids():
    with pytest.raises(TypeError, match="users holds tuple objects: .* to be an id"):
        check_ids(pd.MultiIndex.from_tuples([(1, 2), (3, 4)]), "users")


@pytest.mark.skipif(pd.__version__ < "3", reason="pandas 2 stores any str as it is")
@pytest.mark.parametrize("cells", [["a\ud800", "b"], ["b", "\udfff"]])
@pytest.mark.parametrize("make", [list, lambda cells: np.array(cells, dtype=object)])
def test_text_that_is_no_unicode_is_no_id(cells, make):
    with pytest.raises(ValueError, match="users holds .*, which is not Unicode text"):
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


def test_true_is_no_one():
    # they would be equal, and one id
    with pytest.raises(TypeError, match=r"mixes ids of different types \(bool, int\)"):
        check_ids(np.array([True, 1, 2], dtype=object), "users")


def test_levels_of_numbers_may_have_gaps_that_are_counted():
    with pytest.raises(ValueError, match="users contains NaN: 1 of 3 ids are missing"):
        check_ids(pd.Categorical([3, None, 1]), "users")


DAYS = pd.to_datetime(["2024-01-01", "2024-01-02"])
UUIDS = [uuid.UUID(int=1), uuid.UUID(int=2)]
# ids that can be equal share a list
KINDS = {
    "number": [
        [1, 2],
        [1.0, 2.0],
        np.array([1, 2], dtype="uint8"),
        pd.array([1, 2], dtype="Int64"),
        pd.array([1, 2], dtype="int64[pyarrow]"),
    ],
    "bool": [[True, False], pd.array([True, False], dtype="boolean")],
    "text": [["a", "b"], pd.array(["a", "b"], dtype="string"), pd.Categorical(["a"])],
    "bytes": [[b"a", b"b"]],
    "uuid": [UUIDS],
    "date": [[datetime.date(2024, 1, 1), datetime.date(2024, 1, 2)]],
    "naive": [DAYS, DAYS.as_unit("ns"), DAYS.to_pydatetime()],
    "aware": [
        DAYS.tz_localize("UTC"),
        DAYS.tz_localize("UTC").tz_convert("Asia/Tokyo"),
    ],
    "span": [DAYS - DAYS[0], (DAYS - DAYS[0]).as_unit("ns")],
    "year": [pd.PeriodIndex(["2024", "2025"], freq="Y")],
    "month": [pd.PeriodIndex(["2024-01", "2025-01"], freq="M")],
}


@pytest.mark.slow
@pytest.mark.parametrize("one", KINDS)
@pytest.mark.parametrize("other", KINDS)
def test_ids_of_one_kind_can_be_equal(one, other):
    for values in KINDS[one]:
        for known in KINDS[other]:
            ids = check_ids(values, "ids"), check_ids(known, "known")
            assert same_kind(*ids) == (one == other)
            found = positions_of(*ids)
            if one != other:
                assert (found == -1).all()
                with pytest.raises(TypeError, match="The ids of column 'x' have anoth"):
                    as_type_of(*ids, "column 'x'")
            else:
                assert found[0] == 0


@pytest.mark.parametrize("kind", KINDS)
def test_new_ids_are_stored_as_the_type_of_the_known_ones(kind):
    for values in KINDS[kind]:
        for known in KINDS[kind]:
            known = check_ids(known, "known")
            new = as_type_of(check_ids(values, "ids"), known, "column 'x'")
            assert new.dtype == known.dtype
            assert known.append(new).dtype == known.dtype


def test_text_of_objects_takes_text_of_any_type():
    known = pd.Index(["a", "b"], dtype=object)
    new = as_type_of(pd.Index(["c"], dtype="string"), known, "column 'x'")
    assert new.dtype == object and new.tolist() == ["c"]


def test_numbers_of_objects_can_be_equal_but_are_not_mixed():
    whole = check_ids([1, 2], "ids")
    for kind in (Decimal, Fraction):
        numbers = check_ids(np.array([kind(1), kind(3)], dtype=object), "ids")
        assert same_kind(numbers, whole) and same_kind(whole, numbers)
        message = f"they are int64, those of fit {kind.__name__}. Convert them"
        with pytest.raises(TypeError, match=message):
            as_type_of(whole, numbers, "column 'x'")


@pytest.mark.parametrize(
    ("new", "known", "names"),
    [
        ([3.5], [1], "they are float64, those of fit int64"),
        ([-1], np.array([1], dtype="uint8"), "they are int64, those of fit uint8"),
        ([2**53 + 1], [1.5], "they are int64, those of fit float64"),
        ([10**300], [1], "they are object|they are int, those of fit int64"),
        (UUIDS, ["a"], "they are UUID, those of fit (str|object)"),
        (["a"], UUIDS, "they are (str|object), those of fit UUID"),
        (DAYS.as_unit("ns") + pd.Timedelta(1), DAYS.as_unit("us"), r"datetime64\[ns\]"),
    ],
)
def test_new_ids_that_cannot_be_stored_are_refused(new, known, names):
    with pytest.raises(TypeError, match=f"ids of user column 'u' .*{names}"):
        as_type_of(check_ids(new, "new"), check_ids(known, "known"), "user column 'u'")


def test_no_new_ids_are_of_any_type():
    known = check_ids([1, 2], "known")
    for none in (known[:0], pd.Index([], dtype=object), pd.Index([], dtype=float)):
        assert same_kind(none, known) and same_kind(known, none)
        assert as_type_of(none, known, "x").dtype == known.dtype


@pytest.mark.parametrize(
    "known, values, expected",
    [
        ([3, 7], [7, 5, np.int64(3)], [1, -1, 0]),
        (["a", "b"], ["b", "no", "a"], [1, -1, 0]),
        (["a", "b"], [], []),
        (["a", "ü"], ["ü"], [1]),
        (["a", "b"], ["ü"], None),
        (["a", "b"], ["\ud800"], None),
        ([3, 7], [True], None),
        ([3, 7], [7.0], None),
        ([3, 7], ["7"], None),
        ([3.0, 7.0], [7], None),
        (["a", "b"], [1], None),
        ([Decimal(3), Decimal(7)], [7], None),
        ([b"a"], [b"a"], None),
    ],
)
def test_plain_ids_are_looked_up_one_by_one(known, values, expected):
    assert plain_positions(values, pd.Index(known)) == expected
