"""Times of events as numbers: dates of every kind, and what is refused."""

from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from sktwotower._tables._frames import as_frame
from sktwotower._tables._times import read_times, warn_of_a_gap

NAME = "The time column 't' of X"
TOKYO = "Asia/Tokyo"  # nine hours before UTC, all year

DAY = 86_400 * 10**9
# 2020-01-02 00:00 UTC, by hand: 50 years of 365 days, 12 leap days and one day
MIDNIGHT = (50 * 365 + 12 + 1) * DAY
IN_TOKYO = MIDNIGHT - 9 * 3_600 * 10**9


def read(values, dtype=None):
    times, is_date = read_times(pd.Series(values, dtype=dtype), NAME)
    return times, is_date


def arrow(values, kind):
    return pd.Series(values, dtype=pd.ArrowDtype(kind))


def read_column(column):
    """Return times and is_date of a polars column, also by way of pyarrow."""
    frame = pl.DataFrame({"t": column})
    (times, is_date), other = (
        read_times(as_frame(table, "X")["t"], NAME)
        for table in (frame, frame.to_arrow())
    )
    np.testing.assert_array_equal(times, other[0])
    assert is_date == other[1]
    return times, is_date


def assert_times(found, expected, is_date, dtype):
    times, found_is_date = found
    assert times.tolist() == expected and found_is_date is is_date
    assert times.dtype == dtype


@pytest.mark.parametrize("unit", ["D", "s", "ms", "us", "ns"])
def test_dates_of_every_unit_are_nanoseconds_since_1970(unit):
    values = np.array(["2020-01-02", "1970-01-01"], dtype=f"M8[{unit}]")
    assert_times(read(values), [MIDNIGHT, 0], True, np.int64)


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
def test_dates_with_a_zone_are_read_as_utc(unit):
    index = pd.to_datetime(["2020-01-02"]).as_unit(unit)
    assert_times(read(index), [MIDNIGHT], True, np.int64)
    assert_times(read(index.tz_localize("UTC")), [MIDNIGHT], True, np.int64)
    assert_times(read(index.tz_localize(TOKYO)), [IN_TOKYO], True, np.int64)


def test_nanoseconds_are_exact():
    values = np.array(["2020-01-02T00:00:00.000000001", "2020-01-02"], "M8[ns]")
    assert_times(read(values), [MIDNIGHT + 1, MIDNIGHT], True, np.int64)


@pytest.mark.parametrize(
    "values",
    [
        [date(2020, 1, 2), date(1970, 1, 1)],
        [datetime(2020, 1, 2), datetime(1970, 1, 1)],
        [date(2020, 1, 2), datetime(1970, 1, 1)],
        [datetime(2020, 1, 2, tzinfo=UTC), date(1970, 1, 1)],
        [pd.Timestamp("2020-01-02 09:00", tz=TOKYO), pd.Timestamp("1970-01-01")],
        [
            datetime(2020, 1, 1, 23, tzinfo=timezone(timedelta(hours=-1))),
            pd.Timestamp("1970-01-01 09:00", tz=TOKYO),
        ],
        [np.datetime64("2020-01-02"), np.datetime64("1970-01-01T00", "h")],
    ],
)
def test_dates_as_objects(values):
    assert_times(read(values, object), [MIDNIGHT, 0], True, np.int64)


@pytest.mark.parametrize(
    "kind", [pa.date32(), pa.date64(), pa.timestamp("s"), pa.timestamp("ns")]
)
def test_dates_of_pyarrow_within_pandas(kind):
    values = arrow([datetime(2020, 1, 2)], kind)
    assert_times(read(values), [MIDNIGHT], True, np.int64)


def test_dates_of_pyarrow_with_a_zone():
    stored = pa.array([IN_TOKYO // 1000], pa.timestamp("us", TOKYO))
    values = pd.Series(pd.arrays.ArrowExtensionArray(stored))
    assert_times(read(values), [IN_TOKYO], True, np.int64)


@pytest.mark.parametrize(
    ("column", "expected"),
    [
        (pl.Series([date(2020, 1, 2)]), MIDNIGHT),
        (pl.Series([datetime(2020, 1, 2)]), MIDNIGHT),
        (pl.Series([datetime(2020, 1, 2)]).cast(pl.Datetime("ns")), MIDNIGHT),
        (pl.Series([datetime(2020, 1, 2)]).dt.replace_time_zone(TOKYO), IN_TOKYO),
    ],
)
def test_dates_of_polars(column, expected):
    assert_times(read_column(column), [expected], True, np.int64)


@pytest.mark.parametrize(
    ("values", "expected", "dtype"),
    [
        (pd.Series([3, 1, 2]), [3, 1, 2], np.int64),
        (pd.Series([-3, 1], dtype="int8"), [-3, 1], np.int64),
        (pd.Series([200, 1], dtype="uint8"), [200, 1], np.int64),
        (pd.Series([3, 1], dtype="Int64"), [3, 1], np.int64),
        (pd.Series([3, 1], dtype="UInt16"), [3, 1], np.int64),
        (arrow([3, 1], pa.int16()), [3, 1], np.int64),
        (arrow([3, 1], pa.uint64()), [3, 1], np.int64),
        (pd.Series([3, 1], dtype=object), [3, 1], np.int64),
        (pd.Series([0.5, -1.0]), [0.5, -1.0], np.float64),
        (pd.Series([0.5, -1.0], dtype="float16"), [0.5, -1.0], np.float64),
        (pd.Series([0.5, -1.0], dtype="Float32"), [0.5, -1.0], np.float64),
        (arrow([0.5, -1.0], pa.float32()), [0.5, -1.0], np.float64),
        (pd.Series([3, 0.5], dtype=object), [3.0, 0.5], np.float64),
    ],
)
def test_numbers_keep_their_value(values, expected, dtype):
    assert_times(read(values), expected, False, dtype)


@pytest.mark.parametrize("dtype", ["int64", "uint64", "Int64", "UInt64", object])
def test_integers_that_float64_does_not_hold_stay_distinct(dtype):
    values = [2**53, 2**53 + 1, 2**63 - 1]
    assert_times(read(values, dtype), values, False, np.int64)


def test_numbers_of_polars():
    assert_times(read_column(pl.Series([3, 1])), [3, 1], False, np.int64)
    unsigned = pl.Series([2**53 + 1], dtype=pl.UInt64)
    assert_times(read_column(unsigned), [2**53 + 1], False, np.int64)
    assert_times(read_column(pl.Series([0.5])), [0.5], False, np.float64)


@pytest.mark.parametrize("dtype", [object, float, "str", "datetime64[ns]", "Int64"])
def test_no_values_have_no_times(dtype):
    assert_times(read([], dtype), [], False, np.int64)


@pytest.mark.parametrize(
    "values",
    [
        pd.Series([pd.NaT, pd.Timestamp("2020")]),
        pd.Series([np.nan, 1.0]),
        pd.Series([None, 1], dtype="Int64"),
        pd.Series([None, date(2020, 1, 2)], dtype=object),
        arrow([None, 1], pa.int64()),
        arrow([None, datetime(2020, 1, 2)], pa.timestamp("s")),
        as_frame(pl.DataFrame({"t": [None, 1]}), "X")["t"],
        as_frame(pl.DataFrame({"t": [None, date(2020, 1, 2)]}), "X")["t"],
    ],
)
def test_missing_times_are_counted(values):
    expected = f"{NAME} has 1 missing values in 2 rows. Drop or fill these rows first."
    with pytest.raises(ValueError, match="missing") as error:
        read(values)
    assert str(error.value) == expected


@pytest.mark.parametrize(
    "values",
    [
        pd.Series([1.0, np.inf]),
        pd.Series([-np.inf, 1], dtype=object),
        pd.Series([1.0, np.inf], dtype="Float64"),
        arrow([1.0, np.inf], pa.float64()),
        pl.DataFrame({"t": [1.0, np.inf]})["t"].to_numpy(),
    ],
)
def test_infinity_is_no_time(values):
    with pytest.raises(ValueError, match=f"{NAME} contains NaN or infinity; .*Drop or"):
        read(values)


@pytest.mark.parametrize(
    ("values", "got"),
    [
        (pd.Series(["2020-01-02"], dtype=object), r"such as '2020-01-02'\."),
        (pd.Series(["2020-01-02"], dtype="string"), r"string, such as '2020-01-02'\."),
        (pd.Series(["5"], dtype="category"), r"category, such as '5'\."),
        (pd.Series([True, False]), "bool, such as .*True"),
        (pd.Series([True, False], dtype="boolean"), "boolean, such as .*True"),
        (pd.Series([timedelta(1)]), "timedelta64.*, such as Timedelta"),
        (pd.Series([1j]), "complex128, such as .*1j"),
        (pd.Series([pd.Period("2020", "D")]), "period.*, such as Period"),
        (pd.Series([date(2020, 1, 2), 5], dtype=object), "object, such as .*date"),
        (pd.Series([5, date(2020, 1, 2)], dtype=object), r"object, such as 5\."),
        (pd.Series([1, "a"], dtype=object), r"object, such as 1\."),
        (pd.Series([1, True], dtype=object), r"object, such as 1\."),
        (pd.Series([time(1)], dtype=object), "object, such as datetime.time"),
        (pd.Series([[1]], dtype=object), r"object, such as \[1\]"),
        (pd.Series([Decimal(1)], dtype=object), "object, such as Decimal"),
        (pd.Series([2**70], dtype=object), "object, such as 11805916"),
        (arrow(["a"], pa.string()), "pyarrow.*, such as 'a'"),
        (arrow([True], pa.bool_()), "pyarrow.*, such as True"),
        (arrow([1], pa.duration("s")), "pyarrow.*, such as Timedelta"),
        (as_frame(pl.DataFrame({"t": [timedelta(1)]}), "X")["t"], "such as Timedelta"),
        (as_frame(pl.DataFrame({"t": ["a"]}), "X")["t"], "such as 'a'"),
    ],
)
def test_other_types_are_refused_with_an_example(values, got):
    expected = f"{NAME} must hold dates or numbers. Got dtype .*{got}"
    with pytest.raises(TypeError, match=expected) as error:
        read(values)
    assert "Convert text with pandas.to_datetime, durations" in str(error.value)


def test_an_integer_beyond_64_bits_with_sign_is_refused():
    with pytest.raises(ValueError, match=f"{NAME} contains {2**63}; .*Subtract"):
        read([1, 2**63], "uint64")


def test_a_number_that_cannot_be_compared_is_refused():
    with pytest.raises(ValueError, match=f"{NAME} holds a signaling NaN"):
        read([Decimal("sNaN")], object)


@pytest.mark.parametrize(
    "values",
    [
        np.array(["3000-01-01"], dtype="M8[s]"),
        np.array(["1600-01-01"], dtype="M8[us]"),
        pd.Series([date(1, 1, 1)], dtype=object),
        pd.Series([datetime(9999, 12, 31)], dtype=object),
        pd.Series([datetime(1, 1, 1, tzinfo=timezone(timedelta(hours=10)))]),
        pd.Series(
            [
                datetime(9999, 12, 31, 23, tzinfo=timezone(timedelta(hours=-10))),
                date(2020, 1, 2),
            ],
            dtype=object,
        ),
        arrow([datetime(3000, 1, 1)], pa.timestamp("s")),
        as_frame(pl.DataFrame({"t": [date(3000, 1, 1)]}), "X")["t"],
    ],
)
def test_dates_too_far_for_nanoseconds_are_refused(values):
    expected = f"{NAME} holds dates that cannot be read: .*between the years 1678"
    with pytest.raises(ValueError, match=expected) as error:
        read(values)
    assert error.value.__cause__ is None and error.value.__suppress_context__


def test_the_ends_of_the_range_are_read():
    values = np.array(["1678-01-01", "2261-12-31"], dtype="M8[s]")
    times, _ = read(values)
    assert times[0] < 0 < times[1]
    assert (times.astype("M8[ns]") == values).all()


# A gap before the last times


def days(*numbers):
    return pd.Series(pd.Timestamp("2020-01-01") + pd.to_timedelta(numbers, "D"))


def check_gap(values):
    warn_of_a_gap(read_times(values, NAME)[0], values, NAME)


def test_a_few_times_after_a_long_gap_are_warned_of():
    # the middle 98 % of 200 days take 197 of them, and the gap 198 days
    message = f"^{NAME} has a wide gap .*: 1 of 200 come after it, up to 2021-01-30"
    with pytest.warns(UserWarning, match=message):
        check_gap(days(*range(199), 198 + 197))
    with pytest.warns(UserWarning, match=": 2 of 200 come after it, up to 9000"):
        check_gap(pd.Series([*range(198), 8000, 9000]))


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(
    "values",
    [
        days(*range(200)),
        days(*range(199), 198 + 190),  # a gap that is shorter than the others take
        days(*range(98), 9000),  # fewer than 100
        days(*[0] * 199, 9000),  # all others at one time
        days(-9000, *range(199)),  # before all others
        days(*range(190), *range(9000, 9010)),  # more than 1 %
        days(),
    ],
)
def test_other_gaps_are_not(values):
    check_gap(values)
