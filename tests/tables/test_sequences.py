"""Events in the order of time: lags, baskets, and further events of a request."""

import numpy as np
import pytest

from sktwotower._tables._event_table import EventTable
from sktwotower._tables._sequences import Sequences, join_past, lags_of

# (user, item, time, weight) of two users, in no order; user 1 has no event
#   user 0: item 2 at 10, items 0 and 3 at 20, item 2 again at 30
#   user 2: item 1 at 5
EVENTS = [
    (0, 3, 20, 1.0),
    (2, 1, 5, 4.0),
    (0, 2, 30, 2.0),
    (0, 0, 20, 0.5),
    (0, 2, 10, 3.0),
]


def build(events, shape=(3, 4), dtype=np.int64):
    users, items, times, weights = (
        np.array([event[i] for event in events], dtype=kind)
        for i, kind in enumerate((int, int, dtype, float))
    )
    table = EventTable.of(users, items, shape, times, weights=weights).in_order()
    return table.sequences(), table.weights


def rows_of(lags):
    """Return [(item, lag), ...] of each row."""
    return [
        list(
            zip(
                lags.indices[start:stop].tolist(),
                lags.data[start:stop].tolist(),
                strict=True,
            )
        )
        for start, stop in zip(lags.indptr[:-1], lags.indptr[1:], strict=True)
    ]


def columns(events, dtype=np.int64):
    """Return row, item and time (m,) of (row, item, time) events."""
    kinds = int, int, dtype
    return tuple(
        np.array([event[i] for event in events], dtype=kind)
        for i, kind in enumerate(kinds)
    )


def test_lags_count_the_baskets_from_the_latest_one():
    found, weights = build(EVENTS)
    first = [(2, 3.0), (0, 2.0), (3, 2.0), (2, 1.0)]
    assert rows_of(found.lags) == [first, [], [(1, 1.0)], []]
    assert found.times.tolist() == [10, 20, 20, 30, 5]
    assert weights.tolist() == [3.0, 0.5, 1.0, 2.0, 4.0]
    assert found.lags.shape == (4, 4)
    assert found.lags.dtype == weights.dtype == np.float32


@pytest.mark.parametrize("seed", range(20))
def test_the_order_of_rows_does_not_matter(seed):
    rng = np.random.default_rng(seed)
    events = [
        (*rng.integers([3, 4, 5]).tolist(), float(weight)) for weight in range(1, 31)
    ]
    expected, expected_weights = build(events)
    shuffled = [events[i] for i in rng.permutation(len(events))]
    found, weights = build(shuffled)
    assert rows_of(found.lags) == rows_of(expected.lags)
    np.testing.assert_array_equal(found.times, expected.times)
    np.testing.assert_array_equal(weights, expected_weights)


@pytest.mark.parametrize("seed", range(20))
def test_lags_are_those_of_a_loop(seed):
    rng = np.random.default_rng(seed)
    events = [(*rng.integers([3, 4, 5]).tolist(), 1.0) for _ in range(30)]
    found, weights = build(events)
    expected = [[] for _ in range(4)]
    sums = []
    for user in range(3):
        own = sorted({(time, item) for u, item, time, _ in events if u == user})
        for time, item in own:
            later = {other for other, _ in own if other >= time}
            expected[user].append((item, float(len(later))))
            sums.append(sum(event[:3] == (user, item, time) for event in events))
    assert rows_of(found.lags) == expected and weights.tolist() == sums


def test_equal_events_are_merged_and_others_kept():
    events = [(0, 1, 7, 1.0), (0, 1, 8, 2.0), (0, 1, 7, 4.0), (1, 1, 7, 8.0)]
    found, weights = build(events, (2, 2))
    assert rows_of(found.lags) == [[(1, 2.0), (1, 1.0)], [(1, 1.0)], []]
    assert found.times.tolist() == [7, 8, 7] and weights.tolist() == [5.0, 2.0, 8.0]


@pytest.mark.parametrize("start", [0, 2**53, -(2**63), 2**63 - 3])
def test_integer_times_next_to_each_other_are_two_baskets(start):
    events = [(0, 0, start + 1, 1.0), (0, 1, start, 1.0), (0, 2, start + 2, 1.0)]
    found, _ = build(events)
    assert rows_of(found.lags)[0] == [(1, 3.0), (0, 2.0), (2, 1.0)]
    assert found.times.tolist() == [start, start + 1, start + 2]


def test_float_times():
    events = [(0, 0, 0.5, 1.0), (0, 1, 0.25, 1.0), (0, 2, -1e9, 1.0), (0, 3, 0.5, 1.0)]
    found, _ = build(events, dtype=float)
    assert rows_of(found.lags)[0] == [(2, 3.0), (1, 2.0), (0, 1.0), (3, 1.0)]
    assert found.times.tolist() == [-1e9, 0.25, 0.5, 0.5]


def test_no_events():
    found, weights = build([])
    assert rows_of(found.lags) == [[], [], [], []] and found.lags.shape == (4, 4)
    assert len(found.times) == len(weights) == 0
    assert lags_of(np.zeros(0, int), np.zeros(0, int)).shape == (0,)
    assert [len(part) for part in found.events(np.array([0, 3]))] == [0, 0, 0]


def test_lags_of_several_times():
    users = np.array([0, 0, 0, 0, 1, 1])
    times = np.array([1, 1, 2, 2, 2, 2])
    later = np.array([False, True, True, True, True, True])
    assert lags_of(users, times, later).tolist() == [3, 2, 1, 1, 1, 1]
    assert lags_of(users, times).tolist() == [2, 2, 1, 1, 1, 1]


def test_rows_of_users_and_of_unknown_ones():
    found, _ = build(EVENTS)
    # -1 stands for users unknown to fit, as in other matrices of users
    taken = found.rows(np.array([2, -1, 0, 2]))
    first = [(2, 3.0), (0, 2.0), (3, 2.0), (2, 1.0)]
    assert rows_of(taken) == [[(1, 1.0)], [], first, [(1, 1.0)]]
    assert rows_of(found.rows(np.array([-1]))) == [[]]
    assert rows_of(found.rows(np.array([0]))) == [first]
    assert found.rows(np.zeros(0, int)).shape == (0, 4)


def test_events_of_users():
    found, _ = build(EVENTS)
    rows, items, times = found.events()
    assert rows.tolist() == [0, 0, 0, 0, 2]
    assert items.tolist() == [2, 0, 3, 2, 1] and times.tolist() == [10, 20, 20, 30, 5]
    rows, items, times = found.events(np.array([3, 2, 1, 0, 2]))
    assert rows.tolist() == [1, 3, 3, 3, 3, 4]
    assert items.tolist() == [1, 2, 0, 3, 2, 1]
    assert times.tolist() == [5, 10, 20, 20, 30, 5]


def test_with_columns_moves_items():
    found, _ = build(EVENTS)
    moved = found.with_columns(np.array([5, 4, 0, 2]), 6)
    assert isinstance(moved, Sequences) and moved.lags.shape == (4, 6)
    first = [(0, 3.0), (5, 2.0), (2, 2.0), (0, 1.0)]
    assert rows_of(moved.lags) == [first, [], [(4, 1.0)], []]
    assert moved.times.tolist() == [10, 20, 20, 30, 5]


PAST = columns([(0, 2, 10), (0, 1, 20), (0, 2, 30), (2, 0, 10)])


def test_untimed_events_follow_one_after_the_other():
    rows, items, _ = columns([(2, 3, 0), (1, 1, 0), (2, 0, 0), (0, 2, 0), (2, 3, 0)])
    found = join_past(PAST, (rows, items, None), 3, 4)
    assert rows_of(found) == [
        [(2, 4.0), (1, 3.0), (2, 2.0), (2, 1.0)],
        [(1, 1.0)],
        [(0, 4.0), (3, 3.0), (0, 2.0), (3, 1.0)],
    ]


@pytest.mark.parametrize("time", [-(2**63), 0, 1, 2**63 - 1])
def test_untimed_events_follow_any_time(time):
    past = columns([(0, 0, time), (0, 1, time)])
    rows, items, _ = columns([(0, 0, 0), (0, 2, 0)])
    found = join_past(past, (rows, items, None), 1, 3)
    assert rows_of(found) == [[(0, 3.0), (1, 3.0), (0, 2.0), (2, 1.0)]]


def test_timed_events_are_put_between_those_of_fit():
    added = columns([(0, 3, 25), (0, 0, 20), (0, 2, 30), (0, 1, 5), (2, 1, 40)])
    found = join_past(PAST, added, 3, 4)
    # 5: 1; 10: 2; 20: 0 and 1; 25: 3; 30: 2, which is known already
    first = [(1, 5.0), (2, 4.0), (0, 3.0), (1, 3.0), (3, 2.0), (2, 1.0)]
    assert rows_of(found) == [first, [], [(0, 2.0), (1, 1.0)]]
    assert found.dtype == np.float32 and found.shape == (3, 4)


def test_events_are_joined_without_loss_of_precision():
    big = 2**53
    past, added = columns([(0, 1, big), (0, 2, big + 2)]), columns([(0, 0, big + 1)])
    assert rows_of(join_past(past, added, 1, 3)) == [[(1, 3.0), (0, 2.0), (2, 1.0)]]


def test_float_times_are_joined():
    past, added = columns([(0, 0, 0.5)], float), columns([(0, 1, 0.25)], float)
    assert rows_of(join_past(past, added, 1, 2)) == [[(1, 2.0), (0, 1.0)]]
    untimed = added[0], added[1], None
    assert rows_of(join_past(past, untimed, 1, 2)) == [[(0, 2.0), (1, 1.0)]]


@pytest.mark.parametrize("seed", range(10))
def test_joining_is_sorting_all_events(seed):
    rng = np.random.default_rng(seed)
    events = [(*rng.integers([3, 4, 5]).tolist(), 1.0) for _ in range(30)]
    everything, _ = build(events)
    split = rng.integers(31)
    before, _ = build(events[:split])
    past = before.events(np.arange(3))
    added = columns([event[:3] for event in events[split:]])
    joined = join_past(past, added, 3, 4)
    assert rows_of(joined) == rows_of(everything.lags)[:3]


def test_joining_nothing_changes_nothing():
    nothing = columns([])
    untimed = nothing[0], nothing[1], None
    expected = [[(2, 3.0), (1, 2.0), (2, 1.0)], [], [(0, 1.0)]]
    assert rows_of(join_past(PAST, nothing, 3, 4)) == expected
    assert rows_of(join_past(PAST, untimed, 3, 4)) == expected
    assert rows_of(join_past(nothing, nothing, 2, 4)) == [[], []]
    assert rows_of(join_past(nothing, PAST, 3, 4)) == expected
