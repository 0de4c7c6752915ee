"""Times of events: dates and numbers of every type, and what is refused."""

import logging
import warnings
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from sktwotower import PopularityRecommender
from sktwotower.model_selection import TimeSplit
from sktwotower.preprocessing import session_ids
from tests.builders import ordered, small
from tests.cases import for_each

NAME = "The time column 't' of X"
TOKYO = "Asia/Tokyo"  # nine hours before UTC, all year
DAY = pd.Timedelta("1D")


def table_of(times, dtype=None):
    """Return events of one user, at the times."""
    times = pd.Series(times, dtype=dtype)
    return pd.DataFrame({"user": 0, "item": np.arange(len(times)), "t": times})


pytestmark = pytest.mark.filterwarnings("ignore:Each item of X has one event")


def arrow(values, kind):
    return pd.Series(values, dtype=pd.ArrowDtype(kind))


def n_within(X, window):
    """Return how many events are younger than the window, of events of all items."""
    model = PopularityRecommender(time="t", window=window).fit(X)
    return (model.predict(X) > 0).sum()


def assert_apart(X, gap):
    """Check that the only two events are as far apart as a duration or a number."""
    one = pd.Timedelta(1, "ns") if isinstance(gap, pd.Timedelta) else 1
    assert (n_within(X, gap), n_within(X, gap + one)) == (1, 2)


HALF_DAY = DAY / 2
NOON, NEXT = datetime(2020, 1, 2, 12), datetime(2020, 1, 3)


@pytest.mark.slow
def test_dates_of_every_type_are_the_same_instants():
    for times in [
        *(
            np.array(["2020-01-02T12", "2020-01-03"], dtype=f"M8[{unit}]")
            for unit in ("s", "ms", "us", "ns")
        ),
        pd.to_datetime([NOON, NEXT]).tz_localize(TOKYO),
        pd.Series([NOON, NEXT], dtype=object),
        pd.Series([NOON, date(2020, 1, 3)], dtype=object),
        pd.Series([NOON.replace(tzinfo=UTC), date(2020, 1, 3)], dtype=object),
        pd.Series(
            [pd.Timestamp("2020-01-02 21:00", tz=TOKYO), pd.Timestamp("2020-01-03")],
            dtype=object,
        ),
        pd.Series(
            [datetime(2020, 1, 2, 11, tzinfo=timezone(timedelta(hours=-1))), NEXT],
            dtype=object,
        ),
        pd.Series(
            [np.datetime64("2020-01-02T12", "h"), np.datetime64("2020-01-03")],
            dtype=object,
        ),
        arrow([NOON, NEXT], pa.timestamp("s")),
        arrow([NOON, NEXT], pa.timestamp("ns")),
        arrow([NOON, NEXT], pa.timestamp("us", TOKYO)),
    ]:
        X = table_of(times)
        assert_apart(X, HALF_DAY)
        if X["t"].dtype != object:
            assert_apart(pl.from_pandas(X), HALF_DAY)


@for_each("kind", [pa.date32(), pa.date64()])
def test_days_are_midnights(kind):
    days = [date(2020, 1, 2), date(2020, 1, 3)]
    for times in (days, arrow(days, kind), np.array(days, "M8[D]")):
        assert_apart(table_of(times), DAY)
    polars = pl.DataFrame({"user": [0, 0], "item": [0, 1], "t": days})
    assert_apart(polars, DAY)
    assert_apart(polars.to_arrow(), DAY)


def test_a_zone_is_an_instant_and_nanoseconds_are_exact():
    mixed = [pd.Timestamp("2020-01-02", tz=TOKYO), pd.Timestamp("2020-01-02")]
    assert_apart(table_of(mixed, object), pd.Timedelta("9h"))
    exact = np.array(["2020-01-02T00:00:00.000000001", "2020-01-02"], "M8[ns]")
    assert_apart(table_of(exact), pd.Timedelta(1, "ns"))
    ends = np.array(["1678-01-01", "2261-12-31"], dtype="M8[s]")
    train, test = next(TimeSplit(time="t", test_size=1).split(table_of(ends)))
    assert [*train, *test] == [0, 1]
    assert n_within(table_of(ends), DAY) == 1


@pytest.mark.slow
def test_numbers_of_every_type_keep_their_value():
    for times, dtype in [
        ([-3, 3], "int64"),
        ([-3, 3], "int8"),
        ([200, 206], "uint8"),
        ([3, 9], "Int64"),
        ([3, 9], pd.ArrowDtype(pa.int16())),
        ([3, 9], pd.ArrowDtype(pa.uint64())),
        ([3, 9], object),
        ([0.5, 6.5], "float16"),
        ([0.5, 6.5], "Float32"),
        ([0.5, 6.5], pd.ArrowDtype(pa.float32())),
        ([0.5, 6.5], object),
        *(([2**53 + 1, 2**53 + 7], dtype) for dtype in ("int64", "UInt64", object)),
        ([2**63 - 7, 2**63 - 1], "uint64"),
    ]:
        assert_apart(table_of(times, dtype), 6)
        if dtype is not object:
            assert_apart(pl.from_pandas(table_of(times, dtype)), 6)


def test_missing_times_are_counted():
    for times in [
        pd.Series([pd.NaT, pd.Timestamp("2020")]),
        pd.Series([np.nan, 1.0]),
        pd.Series([None, 1], dtype="Int64"),
        pd.Series([None, date(2020, 1, 2)], dtype=object),
        arrow([None, 1], pa.int64()),
        arrow([None, datetime(2020, 1, 2)], pa.timestamp("s")),
    ]:
        expected = (
            f"{NAME} has 1 missing values in 2 rows. Drop or fill these rows first."
        )
        X = table_of(times)
        for table in (X, pl.from_pandas(X)):
            with pytest.raises(ValueError, match="missing") as error:
                n_within(table, 1)
            assert str(error.value) == expected


def test_numbers_that_are_no_times_are_refused():
    for times, error, message in [
        (pd.Series([1.0, np.inf]), ValueError, "contains NaN or infinity; .*Drop or"),
        (pd.Series([-np.inf, 1], dtype=object), ValueError, "NaN or infinity"),
        (pd.Series([1.0, np.inf], dtype="Float64"), ValueError, "NaN or infinity"),
        (arrow([1.0, np.inf], pa.float64()), ValueError, "NaN or infinity"),
        (pd.Series([1, 2**63], dtype="uint64"), ValueError, f"contains {2**63}; .*Sub"),
        (pd.Series([Decimal("sNaN")], dtype=object), ValueError, "a signaling NaN"),
    ]:
        with pytest.raises(error, match=f"{NAME} .*{message}"):
            n_within(table_of(times), 1)


def test_other_types_are_refused_with_an_example():
    for values, got in [
        (pd.Series(["2020-01-02"], dtype=object), r"such as '2020-01-02'\."),
        (pd.Series(["2020-01-02"], dtype="string"), r"string, such as '2020-01-02'\."),
        (pd.Series(["5"], dtype="category"), r"category, such as '5'\."),
        (pd.Series([True, False], dtype="boolean"), "boolean, such as .*True"),
        (pd.Series([timedelta(1)]), "timedelta64.*, such as Timedelta"),
        (pd.Series([1j]), "complex128, such as .*1j"),
        (pd.Series([pd.Period("2020", "D")]), "period.*, such as Period"),
        (pd.Series([date(2020, 1, 2), 5], dtype=object), "object, such as .*date"),
        (pd.Series([1, "a"], dtype=object), r"object, such as 1\."),
        (pd.Series([1, True], dtype=object), r"object, such as 1\."),
        (pd.Series([time(1)], dtype=object), "object, such as datetime.time"),
        (pd.Series([[1]], dtype=object), r"object, such as \[1\]"),
        (pd.Series([Decimal(1)], dtype=object), "object, such as Decimal"),
        (pd.Series([2**70], dtype=object), "object, such as 11805916"),
        (arrow(["a"], pa.string()), "pyarrow.*, such as 'a'"),
        (arrow([1], pa.duration("s")), "pyarrow.*, such as Timedelta"),
    ]:
        expected = f"{NAME} must hold dates or numbers. Got dtype .*{got}"
        with pytest.raises(TypeError, match=expected) as error:
            n_within(table_of(values), 1)
        assert "Convert text with pandas.to_datetime, durations" in str(error.value)


def test_dates_too_far_for_nanoseconds_are_refused():
    for values in [
        np.array(["3000-01-01"], dtype="M8[s]"),
        np.array(["1600-01-01"], dtype="M8[us]"),
        pd.Series([date(1, 1, 1)], dtype=object),
        pd.Series([datetime(1, 1, 1, tzinfo=timezone(timedelta(hours=10)))]),
        pd.Series(
            [
                datetime(9999, 12, 31, 23, tzinfo=timezone(timedelta(hours=-10))),
                date(2020, 1, 2),
            ],
            dtype=object,
        ),
        arrow([datetime(3000, 1, 1)], pa.timestamp("s")),
    ]:
        expected = f"{NAME} holds dates that cannot be read: .*between the years 1678"
        with pytest.raises(ValueError, match=expected) as error:
            n_within(table_of(values), DAY)
        assert error.value.__cause__ is None and error.value.__suppress_context__


# Numbers that count from 1970

# 2013-02-28 05:30:15 UTC, by hand: 15,764 days, of which 11 are leap days
SECOND = (43 * 365 + 11 + 31 + 27) * 86_400 + 5 * 3600 + 30 * 60 + 15
SIZES = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}
DAYS = np.arange(60)


def said_of(times, caplog, **params):
    """Return what fit logs of times: their unit, or that they give only an order."""
    caplog.clear()
    with caplog.at_level(logging.INFO, "sktwotower"):
        ordered(time="t", max_epochs=1, **params).fit(table_of(times))
    (said,) = [r.message for r in caplog.records if "'t' of X" in r.message]
    return said


UNITS = {"s": "seconds", "ms": "milliseconds", "us": "microseconds", "ns": "nanosec"}


@pytest.mark.slow
@pytest.mark.parametrize("unit", SIZES)
def test_unix_times_are_recognized_and_are_the_same_instants(unit, caplog):
    numbers = (SECOND + 86_400 * DAYS) * SIZES[unit]
    for dtype in (np.int64, np.float64):
        said = said_of(numbers.astype(dtype), caplog)
        assert f"Unix {UNITS[unit]}" in said and "2013-02-28 to 2013-04-28" in said
        X = table_of(numbers.astype(dtype))
        assert len({*session_ids(X, DAY, time="t")}) == 1
        shorter = session_ids(X, DAY - pd.Timedelta(1, "ms"), time="t")
        assert len({*shorter}) == 60


@pytest.mark.filterwarnings("error:.*order")
def test_other_numbers_give_only_the_order(caplog):
    for numbers in [
        DAYS,  # positions, of each user or of all events
        np.arange(1, 100) * 1_000_000,  # ids in the order of events
        15_000 + DAYS,  # days since 1970
        [0.1, 0.5, 2.25],
        [2**62, 5, -7],
    ]:
        said = said_of(numbers, caplog)
        low, high = min(numbers), max(numbers)
        assert f"numbers that give only the order, from {low} to {high}" in said
        with pytest.raises(TypeError, match="gap must be a number"):
            session_ids(table_of(numbers), DAY, time="t")


def test_the_years_that_are_recognized():
    for year, known in ((1989, False), (1990, True), (2099, True)):
        start = int(pd.Timestamp(year, 1, 1).timestamp())
        X = table_of([start + 60, start + 9_000_000])
        if known:
            assert session_ids(X, DAY, time="t").tolist() == [0, 1]
        else:
            with pytest.raises(TypeError, match="gap must be a number"):
                session_ids(X, DAY, time="t")


@pytest.mark.slow
def test_numbers_whose_unit_is_doubtful_are_warned_of_or_refused():
    def fit(numbers, **params):
        return small(time="t", **params).fit(table_of(numbers))

    with pytest.warns(UserWarning, match=r"20240131.*format='%Y%m%d'"):
        fit([20240131, 20231231])
    mixed = np.append(SECOND + DAYS, (SECOND + DAYS[:5]) * 1000)
    expected = "60 look like Unix seconds, 5 look like Unix milliseconds"
    with pytest.raises(ValueError, match=f"'t' of X mixes units: {expected}"):
        fit(mixed)
    fit(mixed, time_unit=None)
    seconds = SECOND + 86_400 * DAYS
    with pytest.warns(UserWarning, match=r"2 of its 62 .*from 0 \(1970-01-01\)"):
        fit(np.append(seconds, [0, 0]))
    with pytest.warns(UserWarning, match=r"order only: 60 of its 90 .*Unix seconds"):
        fit(np.append(seconds, DAYS[:30]))
    with pytest.warns(UserWarning, match="in float32, which rounds them"):
        fit(seconds.astype("float32"))
    ahead = pd.Timestamp("2150-01-01")
    with pytest.warns(UserWarning, match=r"dates, reaches 2150-01-01.*Correct them"):
        fit([ahead, pd.Timestamp("2020-01-01")])
    with pytest.warns(UserWarning, match=r"seconds, reaches 2150-01-01.*time_unit"):
        fit([int(ahead.timestamp()), SECOND], time_unit="s")


def test_the_unit_may_be_given(caplog):
    assert "days since 1970, 2011-01-26" in said_of(
        15_000 + DAYS, caplog, time_unit="D"
    )
    said = said_of(SECOND + DAYS, caplog, time_unit=None)
    assert "only the order" in said


@pytest.mark.slow
def test_later_times_are_of_the_kind_of_fit():
    seconds = table_of(SECOND + 86_400 * DAYS)
    dates = seconds.assign(t=pd.to_datetime(seconds["t"], unit="s"))
    order = seconds.assign(t=DAYS)
    of_unix = small(time="t").fit(seconds)
    for model, events, error, message in [
        (of_unix, seconds.assign(t=seconds["t"] * 1000), ValueError, "like Unix milli"),
        (small(time="t").fit(dates), seconds, TypeError, "numbers, but in fit it held"),
        (small(time="t").fit(order), dates, TypeError, "dates, but in fit it held num"),
    ]:
        with pytest.raises(error, match=message):
            model.partial_fit(events)
    mixed = seconds[:2].assign(t=[SECOND, SECOND * 1000])
    with pytest.raises(ValueError, match="years 1678 and 2261. Are units mixed"):
        of_unix.partial_fit(mixed)
    of_unix.partial_fit(dates.assign(t=dates["t"] + DAY))


# A gap before the last times


def days(*numbers):
    return pd.Timestamp("2020-01-01") + pd.to_timedelta(numbers, "D")


def test_a_few_times_after_a_long_gap_are_warned_of():
    # the middle 98 % of 200 days take 197 of them, and the gap 198 days
    message = f"^{NAME} has a wide gap .*: 1 of 200 come after it, up to 2021-01-30"
    with pytest.warns(UserWarning, match=message):
        small(time="t").fit(table_of(days(*range(199), 198 + 197)))
    with pytest.warns(UserWarning, match=": 2 of 200 come after it, up to 9000"):
        small(time="t").fit(table_of([*range(198), 8000, 9000]))


@pytest.mark.slow
def test_other_gaps_are_not():
    for times in [
        days(*range(200)),
        days(*range(199), 198 + 190),  # a gap that is shorter than the others take
        days(*range(98), 900),  # fewer than 100
        days(*[0] * 199, 900),  # all others at one time
        days(-9000, *range(199)),  # before all others
        days(*range(190), *range(900, 910)),  # more than 1 %
    ]:
        with warnings.catch_warnings():
            warnings.filterwarnings("error", message=".*wide gap")
            small(time="t").fit(table_of(times))
