"""Counts as they go, against sums by hand and against a slow loop."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import sktwotower._tables._running_counts as running_counts
from tests.cases import for_each

RunningCounts = running_counts.RunningCounts


def slow_counts(keys, times, amounts, half_life):
    """Return the sums of strictly earlier events of the same key, (n_events, 2)."""
    found = np.zeros((len(keys), 2))
    for i, (key, time) in enumerate(zip(keys, times, strict=True)):
        for j in range(len(keys)):
            if keys[j] == key and times[j] < time:
                age = time - times[j]
                left = 1 if half_life is None else 2.0 ** (-age / half_life)
                found[i] += amounts[j] * left
    return found


def made_events(seed, n=50):
    rng = np.random.default_rng(seed)
    shown = rng.uniform(0.5, 2, n)
    amounts = np.column_stack([shown, shown * rng.integers(0, 2, n)])
    return rng.integers(0, 5, n), np.sort(rng.integers(0, 20, n)), amounts


def test_sums_of_earlier_events_by_hand():
    keys, times = np.array([7, 7, 7, 3]), np.array([0, 1, 1, 1])
    amounts = np.array([[1, 1], [1, 0], [1, 1], [1, 0.0]])
    found, after = RunningCounts.empty(1.0).count(keys, times, amounts)
    assert_array_equal(found, [[0, 0], [0.5, 0.5], [0.5, 0.5], [0, 0]])
    assert_array_equal(after.keys, [3, 7])
    assert_array_equal(after.sums, [[1, 0], [2.5, 1.5]])
    assert_array_equal(
        after.at(np.array([7, 3, 4]), 2), [[1.25, 0.75], [0.5, 0], [0, 0]]
    )


@pytest.mark.parametrize("half_life", [None, 0.5, 3.0])
def test_equals_a_slow_loop(half_life, seed=0):
    keys, times, amounts = made_events(seed)
    found, _ = RunningCounts.empty(half_life).count(keys, times, amounts)
    expected = slow_counts(keys, times, amounts, half_life)
    assert_allclose(found, expected, atol=1e-12)


@for_each(("half_life", "n_slices"), [(None, 7), (3.0, 50)])
def test_slices_count_as_much_as_one_pass(half_life, n_slices):
    keys, times, amounts = made_events(0)
    start = RunningCounts.empty(half_life)
    at_once, expected = start.count(keys, times, amounts)
    state, found = start, []
    bounds = np.searchsorted(times, np.linspace(0, 20, n_slices))
    for part in np.split(np.arange(len(keys)), bounds):
        some, state = state.count(keys[part], times[part], amounts[part])
        found.append(some)
    assert_allclose(np.concatenate(found), at_once, atol=1e-12)
    assert_array_equal(state.keys, expected.keys)
    assert_allclose(state.sums, expected.sums)
    assert_array_equal(state.latest, expected.latest)


@for_each("half_life", [None, 3.0])
def test_events_that_are_added_in_pieces_count_as_in_one(half_life):
    keys, times, amounts = made_events(4)
    _, whole = RunningCounts.empty(half_life).count(keys, times, amounts)
    n_known, asked = len(keys) // 3, np.arange(keys.max() + 2)
    known = slice(0, n_known)
    _, state = RunningCounts.empty(half_life).count(
        keys[known], times[known], amounts[known]
    )
    before = state.at(asked, times.max())
    added = state
    for start in range(n_known, len(keys), 7):
        piece = slice(start, start + 7)
        added = added.plus(keys[piece], times[piece], amounts[piece])
    now = times.max() + 1
    assert_allclose(added.at(asked, now), whole.at(asked, now), rtol=1e-12)
    assert_array_equal(added.latest_of(asked), whole.latest_of(asked))
    assert np.isnan(added.latest_of(asked)[-1])
    assert_array_equal(state.at(asked, times.max()), before)  # the first is as it was
    # whatever needs all in one layer sees all
    places = np.arange(keys.max() + 1)[::-1]
    moved = added.renumbered(places)
    assert_allclose(moved.at(places, now), whole.at(places[::-1], now), rtol=1e-12)
    found, _ = added.count(keys[:9], times[:9] + 99, amounts[:9])
    expected, _ = whole.count(keys[:9], times[:9] + 99, amounts[:9])
    assert_allclose(found, expected, rtol=1e-12)


def test_a_layer_is_known_by_hand():
    state = RunningCounts.empty(1.0)
    state = state.plus(np.array([5, 5, 2]), np.array([0.0, 1, 1]), np.ones((3, 2)))
    assert_array_equal(
        state.at(np.array([5, 2, 3]), 1.0), [[1.5] * 2, [1] * 2, [0] * 2]
    )
    late = state.plus(np.array([5]), np.array([-1.0]), np.array([[4.0, 0]]))
    assert_array_equal(late.at(np.array([5]), 2.0), [[0.75 + 4 / 8, 0.75]])
    assert late.plus(np.zeros(0, int), np.zeros(0), np.zeros((0, 2))) is late


def test_events_that_come_late_count_from_their_own_time():
    keys, times, amounts = made_events(1)
    _, expected = RunningCounts.empty(3.0).count(keys, times, amounts)
    state = RunningCounts.empty(3.0)
    for part in np.array_split(np.random.default_rng(0).permutation(len(keys)), 4):
        _, state = state.count(keys[part], times[part], amounts[part])
    assert_allclose(state.sums, expected.sums)


def test_the_future_changes_nothing():
    keys, times, amounts = made_events(2)
    early = times < 10
    changed = np.where(early[:, None], amounts, amounts[::-1] + 1)
    start = RunningCounts.empty(3.0)
    before, _ = start.count(keys, times, amounts)
    after, _ = start.count(keys, times, changed)
    assert_array_equal(before[times <= 10], after[times <= 10])
    assert not np.array_equal(before, after)


def test_long_spans_do_not_overflow():
    times = np.array([0, 10**18, 2 * 10**18])
    keys, amounts = np.zeros(3, int), np.ones((3, 2))
    found, after = RunningCounts.empty(1.0).count(keys, times, amounts)
    assert_array_equal(found, np.zeros((3, 2)))
    assert_array_equal(after.sums, [[1, 1]])


def test_without_events_nothing_was_counted():
    found, state = RunningCounts.empty().count(
        np.zeros(0, int), np.zeros(0), np.zeros((0, 2))
    )
    assert found.shape == (0, 2)
    assert_array_equal(state.at(np.array([3]), 0), [[0, 0]])


def test_rates_are_smoothed_with_the_rate_of_all():
    rates = running_counts.smoothed_rates(np.array([[10, 4], [0, 0.0]]), (100, 20), 5)
    assert_allclose(rates, [(4 + 5 * 0.2) / 15, 0.2])
    assert np.isnan(running_counts.smoothed_rates(np.zeros((1, 2)), (0, 0), 5)).all()
