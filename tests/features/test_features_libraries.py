"""Columns of every library and type become the same features as plain pandas."""

import datetime
from decimal import Decimal

import narwhals as nw
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from numpy.testing import assert_allclose

from sktwotower import TowerVectorizer
from tests.cases import for_each

N = 24


START = datetime.datetime(2024, 1, 1)


CELLS = {
    "number": [k**1.5 for k in range(N)],
    "number with gaps": [None if k % 5 == 0 else k / 7 for k in range(N)],
    "integer": [k * k % 17 for k in range(N)],
    "integer with gaps": [None if k % 5 == 0 else k % 4 for k in range(N)],
    "boolean": [k % 3 == 0 for k in range(N)],
    "boolean with gaps": [None if k % 7 == 0 else k % 2 == 0 for k in range(N)],
    "level": ["abcd"[k % 4] for k in range(N)],
    "level with gaps": [None if k % 3 == 0 else "xyz"[k % 2] for k in range(N)],
    "text": [f"w{k} red shoe {k % 5}" for k in range(N)],
    "time": [START + datetime.timedelta(days=9 * k, hours=k) for k in range(N)],
    "time with gaps": [
        None if k % 4 == 0 else START + datetime.timedelta(days=9 * k) for k in range(N)
    ],
    "date": [START.date() + datetime.timedelta(days=9 * k) for k in range(N)],
    "span": [datetime.timedelta(hours=k * k) for k in range(N)],
    "decimal": [Decimal(k) / 4 for k in range(N)],
    "tags": [["a", "b", "c"][: k % 4] for k in range(N)],
    "two tags": [["ab"[k % 2], "cde"[k % 3]] for k in range(N)],
    "tags with gaps": [None if k % 5 == 0 else ["a", "b"][: k % 3] for k in range(N)],
    "weights": [{"a": float(k % 3), "b": 1.0} for k in range(N)],
}


LEVELS = ["level", "level with gaps", "text"]


PLAIN = pd.DataFrame({name: pd.Series(cells) for name, cells in CELLS.items()})


ARROW = pa.table(CELLS)


TABLES = {
    "polars": pl.DataFrame(CELLS),
    "pyarrow": ARROW,
    "pandas of arrow": ARROW.to_pandas(types_mapper=pd.ArrowDtype),
    "nullable pandas": PLAIN.convert_dtypes(),
    "pandas of objects": PLAIN.astype(object),
}


# a categorical column is one of levels, whatever it holds: texts as well
WITH_LEVELS = {
    "polars": TABLES["polars"].with_columns(pl.col(LEVELS).cast(pl.Categorical)),
    "polars enum": TABLES["polars"].with_columns(
        pl.col(name).cast(pl.Enum(sorted(PLAIN[name].dropna().unique())))
        for name in LEVELS
    ),
    "pyarrow": pa.table(
        {n: ARROW[n].dictionary_encode() if n in LEVELS else ARROW[n] for n in CELLS}
    ),
}


WITH_LEVELS["pandas of arrow"] = WITH_LEVELS["pyarrow"].to_pandas(
    types_mapper=pd.ArrowDtype
)


def assert_encoded_alike(table, plain):
    for name in plain:
        expected = TowerVectorizer().fit(plain[[name]])
        column = nw.from_native(table).select(name).to_native()
        found = TowerVectorizer().fit(column)
        assert found.kinds_ == expected.kinds_, name
        names = found.get_feature_names_out().tolist()
        assert names == expected.get_feature_names_out().tolist(), name
        rows = expected.transform(plain[[name]]).toarray()
        for vectorizer in (found, expected):
            again = vectorizer.transform(column).toarray()
            assert_allclose(again, rows, atol=1e-6, err_msg=name)


@pytest.mark.slow
@for_each("library", TABLES)
def test_columns_of_any_type_become_the_same_features(library):
    assert_encoded_alike(TABLES[library], PLAIN)


@pytest.mark.slow
@for_each("library", WITH_LEVELS)
def test_levels_stay_levels(library):
    assert_encoded_alike(
        WITH_LEVELS[library], PLAIN.astype(dict.fromkeys(LEVELS, "category"))
    )


def test_the_vectorizer_takes_a_table_of_polars_without_pyarrow(monkeypatch):
    def to_pandas(self, *args, **kwargs):
        raise ModuleNotFoundError("pyarrow is required")

    monkeypatch.setattr(pl.DataFrame, "to_pandas", to_pandas)
    table = TABLES["polars"].select("level", "number")
    rows = TowerVectorizer().fit_transform(table).toarray()
    expected = TowerVectorizer().fit_transform(PLAIN[["level", "number"]])
    assert_allclose(rows, expected.toarray(), atol=1e-6)
