"""The library of a table that comes back."""

from fractions import Fraction
from pathlib import PurePosixPath

import narwhals as nw
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from pyarrow import dataset

from sktwotower._tables import _output
from sktwotower._tables._frames import library_of
from sktwotower._tables._output import in_library, table_of

COLUMN = {"user": [1, 2]}
GIVEN = {
    "pandas": [pd.DataFrame(COLUMN), pd.Series([1]), pd.Index([1])],
    "polars": [
        pl.DataFrame(COLUMN),
        pl.LazyFrame(COLUMN),
        pl.Series([1]),
        nw.from_native(pl.DataFrame(COLUMN)),
    ],
    "pyarrow": [
        pa.table(COLUMN),
        pa.array([1]),
        pa.chunked_array([[1]]),
        dataset.dataset(pa.table(COLUMN)),
    ],
}
PLAIN = [None, [1], (1,), np.ones(2), {"a": pl.Series([1])}, "a", 1, object()]


@pytest.mark.parametrize("library", GIVEN)
def test_a_table_or_a_column_says_its_library(library):
    assert {library_of(given) for given in GIVEN[library]} == {library}


def test_the_first_table_counts_and_without_one_the_default():
    assert {library_of(each) for each in PLAIN} == {"pandas"}
    assert library_of(*PLAIN, default="pyarrow") == "pyarrow"
    assert library_of([1], pl.Series([1]), pd.Series([1])) == "polars"


MOMENTS = pd.to_datetime(["2020-01-01 12:00", None])
TABLE = pd.DataFrame(
    {
        "int32": np.array([1, 2], np.int32),
        "float32": np.array([0.5, np.nan], np.float32),
        "bool": [True, False],
        "text": ["a", None],
        "level": pd.Categorical(["a", "b"]),
        "nullable": pd.array([1, None], "Int64"),
        "date": MOMENTS,
        "seconds": MOMENTS.as_unit("s"),
        "zone": MOMENTS.tz_localize("Europe/Berlin"),
        "list": [["a"], ["b", "c"]],
    },
    index=[7, 9],
)


@pytest.mark.parametrize("library", ["polars", "pyarrow"])
def test_cells_are_the_same_in_other_libraries(library):
    made = in_library(TABLE, library)
    assert library_of(made) == library
    table = nw.from_native(made)
    cells = {name: table[name].to_list() for name in table.columns}
    noon = MOMENTS[0].to_pydatetime()
    assert cells.pop("zone")[0].isoformat() == "2020-01-01T12:00:00+01:00"
    assert cells == {
        "int32": [1, 2],
        "float32": [0.5, None],
        "bool": [True, False],
        "text": ["a", None],
        "level": ["a", "b"],
        "nullable": [1, None],
        "date": [noon, None],
        "seconds": [noon, None],
        "list": [["a"], ["b", "c"]],
    }
    types = {"int32": nw.Int32, "float32": nw.Float32, "bool": nw.Boolean}
    assert {name: table.schema[name] for name in types} == types
    assert table.schema["zone"].time_zone == "Europe/Berlin"


def test_a_table_of_pandas_is_itself():
    assert in_library(TABLE, "pandas") is TABLE


def test_an_empty_table_has_its_columns():
    empty = in_library(TABLE[["int32", "text", "float32"]][:0], "polars")
    types = {"int32": pl.Int32, "text": pl.String, "float32": pl.Float32}
    assert dict(empty.schema) == types


def test_of_two_columns_of_one_name_a_table_of_pandas_is_made():
    with pytest.warns(UserWarning, match="polars cannot hold it: two columns.*'rank'"):
        made = table_of(["rank", "rank"], [np.ones(1), np.ones(1)], "polars")
    assert list(made.columns) == ["rank", "rank"]


ODD = {
    "period": pd.Period("2020-01", "M"),
    "fraction": Fraction(1, 3),
    "path": PurePosixPath("/a"),
    "large integer": 2**70,
    "set": frozenset("a"),
}


@pytest.mark.parametrize("library", ["polars", "pyarrow"])
@pytest.mark.parametrize("cell", ODD.values(), ids=ODD)
def test_of_ids_that_a_library_has_no_type_for_too(cell, library):
    table = pd.DataFrame({"item": pd.Series([cell], dtype=object)})
    with pytest.warns(UserWarning, match=f"{library} cannot hold it: it has no type"):
        pd.testing.assert_frame_equal(in_library(table, library), table)


def test_what_a_library_refuses_for_reasons_of_its_own_too():
    table = pd.DataFrame({"item": pd.Series([1, "a"], dtype=object)})
    with pytest.warns(UserWarning, match="pyarrow cannot hold it: Arrow"):
        pd.testing.assert_frame_equal(in_library(table, "pyarrow"), table)


def test_without_the_library_tables_are_of_pandas(monkeypatch):
    monkeypatch.setattr(_output, "is_installed", lambda name: False)
    with pytest.warns(UserWarning, match="polars cannot hold it: it is not installed"):
        made = in_library(TABLE, "polars")
    pd.testing.assert_frame_equal(made, TABLE)
