"""Tables and columns of any library as those of pandas and numpy."""

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from sktwotower import ItemKNNRecommender
from sktwotower._tables._frames import as_array, as_frame, with_names
from sktwotower.model_selection import TimeSplit


@pytest.mark.parametrize("library", [pd.DataFrame, pl.DataFrame, pa.table])
def test_frames_of_any_library_hold_the_same_cells(library):
    cells = {"n": [3, 1, 2], "s": ["x", "y", "z"], "f": [0.5, 1.5, 2.5]}
    frame = as_frame(library(cells), "X")
    assert list(frame) == ["n", "s", "f"]
    assert frame.to_dict("list") == cells
    assert frame["n"].dtype.kind == "i" and frame["f"].dtype.kind == "f"


def test_a_pandas_frame_is_not_copied():
    frame = pd.DataFrame({"a": [1]})
    assert as_frame(frame, "X") is frame


def test_numbers_of_another_byte_order_can_be_searched():
    array = np.array([[3, 1, 0], [3, 2, 1], [4, 1, 2]], dtype=">i4")
    table = pd.DataFrame(array).astype({0: "<i8", 2: ">f8"}).astype({0: "category"})
    native = as_frame(table, "X")
    assert [str(dtype) for dtype in native.dtypes] == ["category", "int32", "float64"]
    assert native.to_numpy().tolist() == array.tolist()
    named = table.set_axis(["user", "item", "time"], axis=1)
    model = ItemKNNRecommender(time="time", decay=1).fit(named)
    assert model.recommend([4], n_neighbors=1)["item"].tolist() == [2]
    for X in (array, table):
        train, test = next(TimeSplit(time=2, test_size=1).split(X))
        assert [*train] == [0, 1] and [*test] == [2]


def test_names_are_kept_if_all_are_text():
    assert list(with_names(pd.DataFrame({"a": [1], "b": [2]}))) == ["a", "b"]
    assert list(with_names(pd.DataFrame({"a": [1], 3: [2]}))) == ["x0", "x1"]


@pytest.mark.parametrize(
    "values",
    [
        pl.Series([3, 1]),
        pa.array([3, 1]),
        pa.chunked_array([[3], [1]]),
        pd.array([3, 1], dtype="Int64"),
        pd.array([3, 1], dtype="int64[pyarrow]"),
        pd.Categorical([3, 1]),
    ],
    ids=lambda values: type(values).__name__,
)
def test_columns_of_any_library_are_arrays(values):
    assert isinstance(as_array(values), np.ndarray)
    assert as_array(values).tolist() == [3, 1]


def test_what_is_no_column_of_another_library_stays():
    for values in ([3, 1], np.array([3]), pd.Series([3]), pd.Index([3]), "a", None):
        assert as_array(values) is values


@pytest.mark.parametrize("convert", [pl.from_pandas, pa.Table.from_pandas])
@pytest.mark.parametrize(
    "column",
    [
        pd.IntervalIndex.from_breaks([0.0, 1, 2]),
        pd.PeriodIndex(["2024-01", None], freq="M"),
        pd.to_datetime(["2024-01-01", "2024-07-01"]).tz_localize("Asia/Tokyo"),
    ],
    ids=["intervals", "periods", "zone"],
)
def test_types_of_pandas_within_other_libraries_stay_what_they_are(convert, column):
    if convert is pl.from_pandas and not hasattr(column, "tz"):
        pytest.importorskip("polars", minversion="1.36")  # has extension types
    frame = pd.DataFrame({"c": column})
    table = convert(frame)
    pd.testing.assert_frame_equal(as_frame(table, "X"), frame)
    pd.testing.assert_index_equal(pd.Index(as_array(table["c"])), column)
