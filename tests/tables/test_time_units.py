"""Numbers of a time column: instants in a unit, or an order only."""

import logging

import numpy as np
import pandas as pd
import pytest

from sktwotower._tables._time_units import (
    NumberFigures,
    TimeKind,
    kind_of_numbers,
    nanoseconds_of,
    say_times,
)
from sktwotower._tables._times import as_dates, duration, kind_of_times, read_times

NAME = "The time column 't' of X"
# 2013-02-28 05:30:15 UTC, by hand: 15,764 days, of which 11 are leap days
SECOND = (43 * 365 + 11 + 31 + 27) * 86_400 + 5 * 3600 + 30 * 60 + 15
SIZES = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}
DAYS = np.arange(60)


def kind_of(numbers, time_unit="auto"):
    figures = NumberFigures.of(np.asarray(numbers))
    return kind_of_numbers(figures, time_unit, NAME)


@pytest.mark.parametrize("dtype", [np.int64, np.float64])
@pytest.mark.parametrize("unit", SIZES)
def test_unix_times_are_recognized_and_are_the_same_instants(unit, dtype):
    numbers = ((SECOND + 86_400 * DAYS) * SIZES[unit]).astype(dtype)
    assert kind_of(numbers) == TimeKind(True, unit)
    expected = (SECOND + 86_400 * DAYS) * 10**9
    found = nanoseconds_of(numbers, unit, NAME)
    # a float of nanoseconds since 1970 is one of 256 of them
    tolerance = 256 if unit == "ns" and dtype == np.float64 else 0
    np.testing.assert_allclose(found, expected, rtol=0, atol=tolerance)
    assert found.dtype == np.int64


def test_parts_of_a_second_are_kept():
    times = nanoseconds_of(np.array([SECOND + 0.25, -0.5]), "s", NAME)
    assert times.tolist() == [SECOND * 10**9 + 250_000_000, -500_000_000]


@pytest.mark.parametrize(
    "numbers",
    [
        DAYS,  # positions, of each user or of all events
        np.arange(1, 400) * 1_000_000,  # ids in the order of events
        15_000 + DAYS,  # days since 1970
        [0.1, 0.5, 2.25],
        [-3, 5],
        [2**62, 5, -7],
        [7],
    ],
)
@pytest.mark.filterwarnings("error")
def test_other_numbers_give_only_the_order(numbers):
    assert kind_of(numbers) == TimeKind(False)


@pytest.mark.parametrize("year, known", [(1989, False), (1990, True), (2099, True)])
def test_the_years_that_are_recognized(year, known):
    start = pd.Timestamp(year, 1, 1).timestamp()
    assert kind_of([start + 60, start + 9e6]).dates == known


def test_days_as_numbers_are_an_order_with_a_warning():
    with pytest.warns(UserWarning, match=r"20240131.*format='%Y%m%d'"):
        assert kind_of([20240131, 20231231]) == TimeKind(False)
    assert kind_of([20240132, 20231231]) == TimeKind(False)  # no day: no warning


def test_mixed_units_are_refused():
    numbers = np.append(SECOND + DAYS, (SECOND + DAYS[:5]) * 1000)
    expected = "60 look like Unix seconds, 5 look like Unix milliseconds"
    with pytest.raises(ValueError, match=f"'t' of X mixes units: {expected}"):
        kind_of(numbers)
    assert kind_of(numbers, None) == TimeKind(False)


def test_few_other_numbers_are_named():
    numbers = np.append(SECOND + 86_400 * DAYS, [0, 0])
    with pytest.warns(UserWarning, match=r"2 of its 62 .*from 0 \(1970-01-01\)"):
        assert kind_of(numbers) == TimeKind(True, "s")
    with pytest.warns(UserWarning, match=r"order only: 60 of its 90 .*Unix seconds"):
        assert kind_of(np.append(numbers[:60], DAYS[:30])) == TimeKind(False)


@pytest.mark.filterwarnings("error")
def test_the_unit_may_be_given():
    assert kind_of(15_000 + DAYS, "D") == TimeKind(True, "D")
    assert kind_of(SECOND + DAYS, None) == TimeKind(False)
    day = nanoseconds_of(np.array([1.5]), "D", NAME)
    assert day.tolist() == [36 * 3600 * 10**9]


def test_later_numbers_must_be_in_the_unit_of_fit():
    kind = TimeKind(True, "s")
    with pytest.raises(ValueError, match="as Unix seconds, .*like Unix milliseconds"):
        read_times(pd.Series([SECOND * 1000]), NAME, kind)
    with pytest.raises(ValueError, match="years 1678 and 2261. Are units mixed"):
        read_times(pd.Series([SECOND, SECOND * 1000]), NAME, kind)
    with pytest.raises(TypeError, match=r"holds numbers, but in fit it held dates"):
        read_times(pd.Series([SECOND]), NAME, TimeKind(True))
    with pytest.raises(TypeError, match=r"holds dates, but in fit it held numbers"):
        read_times(pd.Series(pd.to_datetime(["2024-01-01"])), NAME, TimeKind(False))


def test_dates_are_read_where_fit_had_unix_times():
    dates = pd.Series(pd.to_datetime([SECOND], unit="s"))
    times, are_instants = read_times(dates, NAME, TimeKind(True, "ms"))
    assert times.tolist() == [SECOND * 10**9] and are_instants


@pytest.mark.parametrize(
    "values, kind",
    [
        (pd.to_datetime(["2024-01-01"]), TimeKind(True)),
        ([SECOND, SECOND + 1], TimeKind(True, "s")),
        (np.array([SECOND, SECOND + 1], object), TimeKind(True, "s")),
        (["text"], TimeKind(False)),  # refused as soon as it is read
    ],
)
def test_kinds_of_columns(values, kind):
    assert kind_of_times(pd.Series(values), "auto", NAME) == kind


def test_rounded_times_are_warned_about():
    values = pd.Series(SECOND + 86_400 * DAYS)
    with pytest.warns(UserWarning, match="in float32, which rounds them"):
        assert kind_of_times(values.astype("float32"), "auto", NAME).unit == "s"


def test_missing_numbers_become_missing_dates():
    values = pd.Series([SECOND, np.nan], name="t")
    dates = as_dates(values, NAME, TimeKind(True, "s"))
    expected = pd.Series(pd.to_datetime(["2013-02-28 05:30:15", None]), name="t")
    pd.testing.assert_series_equal(dates, expected.astype("datetime64[ns]"))
    assert as_dates(values, NAME, TimeKind(False)) is values


def test_what_times_are_taken_as_is_logged(caplog):
    with caplog.at_level(logging.INFO, "sktwotower"):
        say_times(SECOND * 10**9, (SECOND + 86_400) * 10**9, TimeKind(True, "s"), NAME)
        say_times(3, 5, TimeKind(False), NAME)
    assert "'t' of X: Unix seconds, 2013-02-28 to 2013-03-01" in caplog.text
    assert "numbers that give only the order, from 3 to 5" in caplog.text


def test_times_in_the_future_are_warned_about():
    ahead = pd.Timestamp("2150-01-01").value
    with pytest.warns(UserWarning, match=r"dates, reaches 2150-01-01.*Correct them"):
        say_times(0, ahead, TimeKind(True), NAME)
    with pytest.warns(UserWarning, match=r"seconds, reaches 2150-01-01.*time_unit"):
        say_times(0, ahead, TimeKind(True, "s"), NAME)


def test_gaps_between_unix_times_may_be_durations():
    times = SECOND + 86_400 * DAYS
    assert duration(pd.Timedelta(days=2), times, "gap") == 2 * 86_400
    assert duration(100, times, "gap") == 100
    with pytest.raises(TypeError, match="gap must be a number"):
        duration(pd.Timedelta(days=2), DAYS, "gap")
