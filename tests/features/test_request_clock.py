"""The time of a request: hour, weekday, month, and the gap before it."""

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import sktwotower.features._request_clock as request_clock
from tests.cases import for_each

SECOND, RequestClock = request_clock.SECOND, request_clock.RequestClock
NO_GAP = np.zeros(0)
DATES = RequestClock(True, NO_GAP, float(SECOND))
MINUTE, HOUR, DAY = 60.0 * SECOND, 3600.0 * SECOND, 86_400.0 * SECOND
# gaps of 0, 1, 3 and 7 units: knots at 0, 1, 2 and 3
NUMBERS = RequestClock(False, np.arange(4.0), 2.0)


def nanoseconds(*moments):
    return np.array([moment.timestamp() for moment in moments]) * SECOND


def slow_rows(clock, times, gaps):
    """Return dense rows of dates, by Python's datetime and hats one by one."""
    rows = np.zeros((len(times), clock.width))
    for row, time, gap in zip(rows, times, gaps, strict=True):
        if not np.isnan(time):
            moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=time / SECOND)
            row[[moment.hour, 24 + moment.weekday(), 30 + moment.month]] = 0.5
        if gap >= 0:
            place = np.log2(1 + gap / clock.unit)
            for knot in range(len(clock.knots)):
                hat = np.eye(len(clock.knots))[knot]
                row[43 + knot] = np.interp(place, clock.knots, hat)
    return rows


def test_a_date_has_an_hour_a_weekday_and_a_month():
    wednesday = nanoseconds(datetime(2024, 2, 28, 8, 59, 59, tzinfo=UTC))
    rows = DATES.rows(wednesday)
    names = DATES.names("asked")
    assert [names[column] for column in rows.indices] == [
        "asked_hour_8",
        "asked_weekday_2",
        "asked_month_2",
    ]
    assert rows.dtype == np.float32 and rows.data.tolist() == [0.5] * 3
    assert len(set(names)) == DATES.width == 43
    assert names[24] == "asked_weekday_0" and names[31] == "asked_month_1"


def test_dates_are_those_of_datetime():
    rng = np.random.default_rng(0)
    times = np.floor(rng.uniform(-(2**61), 2**61, 200))
    times[3] = np.nan
    gaps = rng.exponential(HOUR, 200)
    gaps[[5, 6, 7]] = np.nan, -1, 1e30
    clock = RequestClock.learn(True, gaps[:50])
    rows = clock.rows(times, gaps)
    assert rows.shape == (200, clock.width) and rows.has_canonical_format
    assert_allclose(rows.toarray(), slow_rows(clock, times, gaps), atol=1e-6)


SHARES = [
    (0, {0: 1}),
    (2, {1: 1}),
    # log2(1 + 4 / 2) is 1.585
    (4, {1: 0.41504, 2: 0.58496}),
    (14, {3: 1}),
    (1e300, {3: 1}),
    (np.inf, {3: 1}),
    (np.nan, {}),
    (-1, {}),
]


def test_two_neighbors_share_a_gap():
    for gap, expected in SHARES:
        rows = NUMBERS.rows(np.zeros(1), np.array([float(gap)]))
        assert rows.indices.tolist() == list(expected)
        assert_allclose(rows.data, list(expected.values()), rtol=1e-4)


def test_without_a_time_only_the_gap_is_known():
    for clock in (NUMBERS, RequestClock.learn(True, np.array([MINUTE, HOUR]))):
        rows = clock.rows(np.array([np.nan]), np.array([clock.unit]))
        assert rows.sum() == 1 and rows.indices.min() >= clock.n_parts
        assert clock.of_one(np.nan, clock.unit)[0] == rows.indices.tolist()
        assert clock.rows(np.array([np.nan]), np.array([np.nan])).nnz == 0
        assert clock.rows(np.array([np.nan])).nnz == 0
        assert clock.rows(np.zeros(0), np.zeros(0)).shape == (0, clock.width)
    assert NUMBERS.rows(np.zeros(2)).shape == (2, 4)
    assert NUMBERS.rows(np.zeros(2)).nnz == 0
    assert DATES.rows(np.zeros(1), np.array([HOUR])).nnz == 3


def test_a_request_without_a_time_comes_now_if_that_is_not_too_late():
    gaps = np.append(np.arange(1, 101), [0, 0]) * float(MINUTE)
    now = nanoseconds(datetime(2024, 2, 28, tzinfo=UTC))[0]
    clock = RequestClock.learn(True, gaps)
    assert clock.reach == 0 and np.isnan(clock.assumed_gap(now))
    clock = clock.reaching(gaps, now)
    assert clock.reach == pytest.approx(95.05 * MINUTE)  # of the positive gaps
    assert clock.assumed_gap(now - 95 * MINUTE) == 95 * MINUTE
    assert np.isnan(clock.assumed_gap(now - 96 * MINUTE))
    assert np.isnan(clock.assumed_gap(np.nan))

    later = clock.until(np.array([now - HOUR, now + HOUR]))
    assert later.now == now + HOUR and clock.until(np.array([now - HOUR])).now == now
    assert np.isnan(later.assumed_gap(now - 95 * MINUTE))
    nobody = RequestClock.learn(True, gaps).reaching(np.zeros(3), now)
    assert nobody.reach == 0 and nobody.until(np.array([now])).now == 0


def test_gaps_that_do_not_differ_are_not_used():
    for gaps in (None, [], [np.nan, 5], [3, 3, 3], [0, 0], [np.inf]):
        gaps = None if gaps is None else np.array(gaps, dtype=float)
        assert RequestClock.learn(True, gaps).width == 43
        clock = RequestClock.learn(False, gaps)
        assert clock.width == 0
        assert clock.rows(np.zeros(3), np.ones(3)).shape == (3, 0)


def test_knots_are_quantiles_of_gaps():
    clock = RequestClock.learn(False, np.array([np.nan, -1, 0, 2, 6, 14, 14, 14]))
    assert clock.unit == 2 and not clock.dates
    assert_allclose(clock.knots, [0, 1, 2, 3])
    many = RequestClock.learn(True, np.arange(1000) * MINUTE)
    assert many.unit == SECOND and len(many.knots) == request_clock.MAX_KNOTS
    assert many.knots[[0, -1]].tolist() == [0, np.log2(1 + 999 * 60)]


def test_gaps_have_readable_names():
    gaps = np.array([0, 90, 300, 3 * 3600, 2 * 86_400]) * float(SECOND)
    clock = RequestClock.learn(True, np.append(gaps, np.nan))
    assert clock.names("t")[43:] == [
        "t_gap_0s",
        "t_gap_90s",
        "t_gap_5min",
        "t_gap_3h",
        "t_gap_2d",
    ]
    assert NUMBERS.names("t") == ["t_gap_0", "t_gap_2", "t_gap_6", "t_gap_14"]


def test_names_of_gaps_are_distinct():
    for knots, expected in [
        # 1000 and 1001 units need four digits
        (np.log2(1 + np.array([1000.0, 1001])), ["t_gap_1000", "t_gap_1001"]),
        # 2 ** knot - 1 is 0 for both
        (np.array([1e-20, 2e-20]), ["t_gap_0_0", "t_gap_0_1"]),
    ]:
        assert RequestClock(False, knots, 1.0).names("t") == expected


def test_extreme_gaps_are_finite():
    for gaps in ([5e-324, 1e308], [1e-300, 1e300], [1e308, 1.7e308]):
        clock = RequestClock.learn(False, np.array(gaps))
        rows = clock.rows(np.zeros(2), np.array(gaps))
        assert np.isfinite(clock.knots).all() and np.isfinite(rows.data).all()
        assert_allclose(rows.sum(axis=1), 1)
        assert len(set(clock.names("t"))) == clock.width


@for_each("dates", [True, False])
def test_one_request_has_the_row_of_many(dates):
    rng = np.random.default_rng(0)
    clock = RequestClock.learn(dates, rng.integers(0, 10**15, 200).astype(float))
    times = rng.integers(-(10**18), 2 * 10**18, 300).astype(float)
    gaps = 2 ** rng.uniform(0, 60, 300)
    times[:5], gaps[5:10] = np.nan, np.nan
    gaps[10:14] = 0, -1, np.inf, gaps[14]
    for gaps_of in (gaps, None):
        expected = clock.rows(times, gaps_of)
        for place in range(300):
            gap = None if gaps_of is None else gaps_of[place]
            columns, values = clock.of_one(times[place], gap)
            row = np.zeros(clock.width, dtype=np.float32)
            row[columns] = values
            assert_array_equal(row, expected[[place]].toarray()[0])
            assert len(columns) == expected[[place]].nnz
