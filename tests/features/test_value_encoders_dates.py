"""DatePartEncoder: dates of many forms, worked by hand."""

import datetime

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from sktwotower import TowerVectorizer
from tests.features.builders import vectorize


def test_datetime_parts():
    # Monday 1 January, Sunday 31 March, Tuesday 2 July 2024; days -90, 0, 93
    days = pd.to_datetime(["2024-01-01", "2024-03-31", "2024-07-02"])
    rows, names = vectorize(days)
    assert names == [
        "c_days",
        "c_age",
        "c_month_sin",
        "c_month_cos",
        "c_weekday_sin",
        "c_weekday_cos",
    ]
    turn = 2 * np.pi / 7
    iqr = (93 + 90) / 2
    # ages of 183, 93 and 0 days: median ln 94, quartiles ln(94) / 2 and ln(94 184) / 2
    old, middle = np.log([184, 94])
    expected = [
        [-90 / iqr, 2 * (old - middle) / old, 0, 1, 0, 1],
        [0, 0, np.sqrt(3) / 2, 1 / 2, np.sin(6 * turn), np.cos(6 * turn)],
        [93 / iqr, -2 * middle / old, 0, -1, np.sin(turn), np.cos(turn)],
    ]
    assert_allclose(rows, np.array(expected) / 2, atol=1e-6)


def test_dates_after_the_newest_of_fit_have_its_age():
    days = ["2024-01-01", "2024-03-31", "2024-07-02"]
    rows, _ = vectorize(days, ["2024-07-02", "2030-01-01"])
    assert rows[0, 1] == rows[1, 1] == rows[:, 1].min()


@pytest.mark.skipif(pd.__version__ < "3", reason="pandas 2 reads 1677 to 2262 only")
def test_dates_from_the_first_to_the_last_year():
    for column in [
        ["9999-12-31", "2024-01-01", "0001-01-01"],
        [
            datetime.date(9999, 12, 31),
            datetime.date(2024, 1, 1),
            datetime.date(1, 1, 1),
        ],
        # nanoseconds end in 2262
        [
            datetime.date(9999, 12, 31),
            pd.Timestamp("2024-01-01").as_unit("ns"),
            datetime.date(1, 1, 1),
        ],
        pd.PeriodIndex(["9999-12-31", "2024-01-01", "0001-01-01"], freq="D"),
        np.array(["9999-12-31", "2024-01-01", "0001-01-01"], "datetime64[s]"),
    ]:
        rows, _ = vectorize(column, kind="datetime")
        days = np.array([3652058, 738885, 0])  # since the year 1
        spread = (3652058 - 0) / 2
        assert_allclose(rows[:, 0], (days - 738885) / spread / 2, rtol=1e-6)
        assert_allclose(rows[:, 2], [-1 / 4, 0, 0], atol=1e-6)  # sine of December


def test_dates_beyond_any_calendar():
    with pytest.raises(ValueError, match="'c' holds a period that is out of the range"):
        vectorize(pd.PeriodIndex.from_ordinals([10**9, 1], freq="Y"))
    for cell in ("0000-00-00", "2024-02-30", "20240-01-01", 10**30, ["2024-01-01"]):
        with pytest.raises(TypeError, match="'c' is of kind 'datetime' .* missing"):
            vectorize(["2024-01-01", "2024-01-02"], pd.Series([cell, "2024-01-01"]))


def test_numbers_among_dates_have_no_unit():
    for number in [1, 2.5, np.int64(7), True]:
        with pytest.raises(TypeError, match="expects dates .numbers: convert them"):
            vectorize(pd.Series([datetime.date(2024, 1, 1), number]), kind="datetime")


@pytest.mark.slow
def test_datetime_takes_many_forms():
    for column in [
        ["2024-01-01", "2024-03-31 00:00", "2024-07-02T00:00"],
        [
            datetime.date(2024, 1, 1),
            datetime.date(2024, 3, 31),
            pd.Timestamp(2024, 7, 2),
        ],
        pd.to_datetime(["2024-01-01", "2024-03-31", "2024-07-02"]).as_unit("ns"),
        pd.to_datetime(["2024-01-01", "2024-03-31", "2024-07-02"], utc=True),
        pd.to_datetime(
            ["2023-12-31 19:00", "2024-03-30 20:00", "2024-07-01 20:00"]
        ).tz_localize("America/New_York"),
        ["01 Jan 2024", "31 March 2024", "2 July 2024"],
        pd.PeriodIndex(["2024-01-01", "2024-03-31", "2024-07-02"], freq="D"),
    ]:
        days = pd.to_datetime(["2024-01-01", "2024-03-31", "2024-07-02"])
        rows, _ = vectorize(column, kind="datetime")
        assert_array_equal(rows, vectorize(days)[0])


@pytest.mark.parametrize("convert", [pl.from_pandas, pa.Table.from_pandas])
def test_periods_in_tables_of_other_libraries_are_dates(convert):
    if convert is pl.from_pandas:
        pytest.importorskip("polars", minversion="1.36")  # has extension types
    months = pd.DataFrame({"c": pd.PeriodIndex(["2024-01", "2024-07"], freq="M")})
    vectorizer = TowerVectorizer().fit(convert(months))
    expected = TowerVectorizer().fit_transform(months)
    assert_array_equal(vectorizer.transform(months).toarray(), expected.toarray())
