"""Cells that only some libraries have are the same ids in all of them."""

import warnings
from fractions import Fraction
from pathlib import PurePosixPath

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from numpy.testing import assert_array_equal

from sktwotower import ItemKNNRecommender, PopularityRecommender
from sktwotower.model_selection import TimeSplit
from tests.cases import for_each


def test_numbers_of_another_byte_order_can_be_searched():
    array = np.array([[3, 1, 0], [3, 2, 1], [4, 1, 2]], dtype=">i4")
    table = pd.DataFrame(array).astype({0: "<i8", 2: ">f8"}).astype({0: "category"})
    named = table.set_axis(["user", "item", "time"], axis=1)
    model = ItemKNNRecommender(time="time", decay=1).fit(named)
    assert model.recommend([4], n_neighbors=1)["item"].tolist() == [2]
    for X in (array, table):
        train, test = next(TimeSplit(time=2, test_size=1).split(X))
        assert [*train] == [0, 1] and [*test] == [2]


@pytest.mark.parametrize("convert", [pl.from_pandas, pa.Table.from_pandas])
@pytest.mark.parametrize(
    "column",
    [
        pd.PeriodIndex(["2024-01", "2024-02"], freq="M"),
        pd.to_datetime(["2024-01-01", "2024-07-01"]).tz_localize("Asia/Tokyo"),
    ],
    ids=["periods", "zone"],
)
def test_types_of_pandas_within_other_libraries_are_the_same_ids(convert, column):
    if convert is pl.from_pandas and not hasattr(column, "tz"):
        pytest.importorskip("polars", minversion="1.36")  # has extension types
    frame = pd.DataFrame({"user": [1, 2], "item": column})
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="'item' holds dates")
        model = PopularityRecommender().fit(convert(frame))
        expected = PopularityRecommender().fit(frame)
    assert_array_equal(model.item_ids_, expected.item_ids_)
    chosen = model.recommend([3], candidates=convert(frame)["item"])
    assert len(chosen) == 2


# Ids that a library has no type for

ODD = {
    "fraction": [Fraction(1, 3), Fraction(2, 3)],
    "path": [PurePosixPath("/a"), PurePosixPath("/b")],
    "large integer": [2**70, 2**70 + 1],
}


@for_each("library", ["polars", "pyarrow"])
def test_an_answer_that_a_library_cannot_hold_is_one_of_pandas(library):
    convert = {"polars": pl.from_pandas, "pyarrow": pa.Table.from_pandas}[library]
    asked = convert(pd.DataFrame({"user": [5, 6]}))
    for cells in ODD.values():
        items = pd.Series(cells, dtype=object)
        model = PopularityRecommender().fit(
            pd.DataFrame({"user": [1, 2], "item": items})
        )
        with pytest.warns(
            UserWarning, match=f"{library} cannot hold it: it has no typ"
        ):
            found = model.recommend(asked)
        pd.testing.assert_frame_equal(found, model.recommend([5, 6]))
