"""Ids of any type: what a model keeps of them, and what cannot be an id."""

import datetime
import uuid
from decimal import Decimal
from fractions import Fraction

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from sktwotower import ClickRateRecommender, PopularityRecommender
from tests.cases import for_each


def fitted(values, recommender=PopularityRecommender):
    """Return a model of two users or more, each of whom chose one of the items."""
    return recommender().fit(pd.DataFrame({"user": range(len(values)), "item": values}))


def of_type(values, dtype=object):
    return pd.Series(values, dtype=dtype)


# dates as items
pytestmark = pytest.mark.filterwarnings("ignore:'item' holds dates")


def test_ids_get_one_plain_type():
    for values, dtype in [
        ([3, 1], "int64"),
        (of_type([3, 1]), "int64"),
        (of_type([3.5, 1]), "float64"),
        (pd.Categorical([3, 1]), "int64"),
        (pd.Categorical(["b", "a"]), "str"),
        (of_type(["b", "a"]), "str"),
        (of_type([b"b", b"a"]), "object"),
        (np.array([3, 1], dtype=">i4"), "int32"),
        (np.array([3.5, 1], dtype=">f8"), "float64"),
        (np.array([3.5, 1], dtype="float16"), "float32"),
        (pd.to_datetime(["2024-01-02", "2024-01-01"]), "datetime64[us]"),
        (pd.array([3, 1], dtype="UInt8"), "uint8"),
        (pd.array([3, 1], dtype="int64[pyarrow]"), "int64"),
        (pd.array([3.5, 1], dtype="Float64"), "float64"),
        (pd.array([True, False], dtype="boolean"), "bool"),
        (pd.array(["b", "a"], dtype="string[pyarrow]"), "str"),
        (pd.Series(["b", "a"], dtype=pd.ArrowDtype(pa.string())), "str"),
    ]:
        model = fitted(values)
        ids = model.item_ids_
        assert list(ids) == sorted(ids) and len(ids) == 2
        if dtype == "str":  # object before pandas 3
            assert pd.api.types.is_string_dtype(ids)
        elif dtype.startswith("datetime"):
            assert ids.dtype.kind == "M"
        else:
            assert ids.dtype == dtype
        recommended = model.recommend([0], exclude_seen=False)["item"]
        assert set(recommended) == set(pd.Series(ids))


OVERLAPPING = pd.IntervalIndex.from_arrays([0, 1, 2], [3, 4, 5])


def test_intervals_are_no_ids():
    for values in [
        OVERLAPPING,
        np.array(OVERLAPPING, dtype=object),
        pd.Categorical(OVERLAPPING),
        pd.cut([1, 5, 9], 3),
    ]:
        with pytest.raises(
            TypeError, match="'item' holds Interval objects: .* to be an id"
        ):
            fitted(values)


def test_what_cannot_be_an_id_is_named():
    for values, error, message in [
        ([(1, 2), (3, 4)], TypeError, "holds tuple objects: .* to be an id"),
        ([Decimal("sNaN"), Decimal(1)], ValueError, "holds a signaling NaN"),
        ([Decimal("NaN"), Decimal(1)], ValueError, "contains NaN: 1 of 2 ids"),
        ([True, 1, 2], TypeError, r"mixes ids of different types \(bool, int\)"),
        (pd.Categorical([3, None, 1]), ValueError, "NaN: 1 of 3 ids are missing"),
    ]:
        values = values if isinstance(values, pd.Categorical) else of_type(values)
        with pytest.raises(error, match=message):
            fitted(values)


@pytest.mark.skipif(pd.__version__ < "3", reason="pandas 2 stores any str as it is")
@for_each("cells", [["a\ud800", "b"], ["b", "\udfff"]])
def test_text_that_is_no_unicode_is_no_id(cells):
    with pytest.raises(ValueError, match="'item' holds .*, which is not Unicode"):
        fitted(of_type(cells))


@for_each("asked", [[1.5], pl.Series([1.5]), pd.array([1.5], "Float64")])
def test_large_integers_of_arrow_can_be_looked_up_by_floats(asked):
    model = fitted(pd.array([2**53 + 1, 7], dtype="int64[pyarrow]"))
    with pytest.raises(ValueError, match=r"1\.5"):
        model.recommend([0], candidates=asked, exclude_seen=False)
    of_arrow = pd.array([7.0], dtype="double[pyarrow]")
    assert model.recommend([1], candidates=of_arrow, exclude_seen=False)["item"][0] == 7


DAYS = pd.to_datetime(["2024-01-01", "2024-01-02"])
UUIDS = [uuid.UUID(int=1), uuid.UUID(int=2)]
# ids that can be equal share a list
KINDS = {
    "number": [
        [1, 2],
        [1.0, 2.0],
        np.array([1, 2], dtype="uint8"),
        pd.array([1, 2], dtype="int64[pyarrow]"),
    ],
    "bool": [[True, False], pd.array([True, False], dtype="boolean")],
    "text": [["a", "b"], pd.array(["a", "b"], "string"), pd.Categorical(["a", "b"])],
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
def test_ids_of_one_kind_can_be_equal():
    for alike in KINDS.values():
        for known in alike:
            model = fitted(known, ClickRateRecommender)
            dtype = model.item_ids_.dtype
            for values in alike:
                how = {"candidates": pd.Series(values)[:1], "exclude_seen": False}
                chosen = model.recommend([7], **how)["item"]
                assert len(chosen) == 1 and chosen[0] == pd.Series(known)[0]
                events = pd.DataFrame({"user": [0] * len(values), "item": values})
                model.partial_fit(events)
                assert len(model.item_ids_) == len(known)
                assert model.item_ids_.dtype == dtype


def test_ids_of_another_kind_are_refused_as_further_ones():
    kinds = [alike[0] for alike in KINDS.values()]
    message = "The ids of item column 'item' have another type"
    for place, known in enumerate(kinds):
        model = fitted(known, ClickRateRecommender)
        ids = model.item_ids_.tolist()
        # a number and the two kinds before, which are most alike
        for other in {0, place - 1, place - 2} - {place}:
            events = pd.DataFrame({"user": [0, 1], "item": kinds[other]})
            with pytest.raises(TypeError, match=message):
                model.partial_fit(events)
        assert model.item_ids_.tolist() == ids


def test_new_ids_that_cannot_be_stored_are_refused():
    for new, known, names in [
        ([3.5], [1, 2], "they are float64, those of fit int64"),
        ([-1], np.array([1, 2], dtype="uint8"), "they are int64, those of fit uint8"),
        ([2**53 + 1], [1.5, 2], "they are int64, those of fit float64"),
        (
            of_type([10**300]),
            [1, 2],
            "they are object|they are int, those of fit int64",
        ),
        (UUIDS, ["a", "b"], "they are UUID, those of fit (str|object)"),
        (["a"], UUIDS, "they are (str|object), those of fit UUID"),
        (
            [1],
            of_type([Decimal(1), Decimal(2)]),
            "int64, those of fit Decimal. Convert",
        ),
        (
            [1],
            of_type([Fraction(1), Fraction(2)]),
            "int64, those of fit Fraction. Conv",
        ),
        (DAYS.as_unit("ns") + pd.Timedelta(1), DAYS.as_unit("us"), r"datetime64\[ns\]"),
    ]:
        model = fitted(known, ClickRateRecommender)
        with pytest.raises(TypeError, match=f"ids of item column 'item' .*{names}"):
            model.partial_fit(pd.DataFrame({"user": [0] * len(new), "item": new}))


def test_an_item_of_another_library_is_one_that_comes_back():
    model = fitted(of_type(["b", "a"]), ClickRateRecommender)
    model.partial_fit(pl.DataFrame({"user": [0, 1], "item": ["a", "c"]}))
    assert set(model.item_ids_) == {"a", "b", "c"}


def test_one_user_is_found_as_among_several():
    for known, asked in [
        ([3, 7], [7, 5, np.int64(3), 7.0, 7.5]),
        ([3.0, 7.0], [7, 7.0, 8]),
        (["a", "\u00fc"], ["\u00fc", "no", "a"]),
        ([Decimal(3), Decimal(7)], [7, Decimal(7), 8]),
        ([b"a", b"b"], [b"a", b"c"]),
    ]:
        users = of_type(known)
        events = pd.DataFrame({"user": users, "item": ["x", "y"]})
        model = PopularityRecommender().fit(events)
        for user in asked:
            alone = model.recommend([user])["item"].tolist()
            both = model.recommend([user, user])["item"].tolist()
            assert alone == both[: len(alone)]
            seen = {"x": known[0], "y": known[1]}
            assert set(alone) == {item for item, other in seen.items() if other != user}
