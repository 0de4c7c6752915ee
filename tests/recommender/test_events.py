"""The order of events as training and validation read it, against plain loops."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from scipy import sparse

import sktwotower.recommender._events as events_of_fit
from sktwotower._tables._event_table import EventTable

any_seed = given(st.integers(0, 2**32 - 1))


def columns(events):
    """Return users, items, times and weights (n,) of a list of events."""
    kinds = int, int, np.int64, float
    return tuple(
        np.array([event[i] for event in events], dtype=kind)
        for i, kind in enumerate(kinds)
    )


def ordered(events, shape, shown=()):
    """Return a table in order of events and impressions (user, item, time, weight)."""
    everything = columns([*events, *shown])
    rewards = np.arange(len(everything[0])) < len(events)
    users, items, times, weights = everything
    table = EventTable.of(users, items, shape, times, rewards.astype(float), weights)
    return table.in_order()


def test_ages_count_from_the_latest_event():
    events = ordered([(0, 0, 1, 1.0), (0, 1, 4, 2.0), (1, 0, 7, 1.0)], (2, 2))
    assert events_of_fit.aged(events, 3).weights.tolist() == [0.25, 1.0, 1.0]
    none = events.only(np.zeros(0, int))
    assert len(events_of_fit.aged(none, 3).weights) == 0


# (user, item, time, weight); the order of user 0 is 4, then 0 and 2, then 1
EVENTS = [
    (0, 2, 20, 1.0),
    (2, 3, 15, 3.0),
    (0, 4, 10, 0.5),
    (0, 1, 30, 2.0),
    (0, 0, 20, 4.0),
]
SHAPE = 3, 5


def test_order_by_hand():
    table = ordered(EVENTS, SHAPE)
    assert table.offsets.tolist() == [0, 4, 4, 5]
    assert table.users.tolist() == [0, 0, 0, 0, 2]
    assert table.items.tolist() == [4, 0, 2, 1, 3]
    assert table.weights.tolist() == [0.5, 4.0, 1.0, 2.0, 3.0]
    assert table.times.tolist() == [10, 20, 20, 30, 15]
    assert table.impressions is None and table.chosen is None
    assert table.n_baskets() == 4
    assert table.sequences().lags.shape == (4, 5)
    assert table.lags().data.tolist() == [3, 2, 2, 1, 1]


def impressions_of(shown, events=EVENTS, shape=SHAPE):
    return ordered(events, shape, shown).impressions


def test_impressions_are_at_the_next_event():
    shown = [
        (0, 0, 5, 1.0),  # before the first event, at 10
        (0, 0, 10, 2.0),  # at its time
        (0, 3, 11, 3.0),  # before the basket at 20: its first event
        (0, 2, 20, 4.0),  # at the time of the basket
        (0, 2, 30, 5.0),  # at the time of the last event
        (0, 3, 31, 6.0),  # after it
        (1, 3, 10, 7.0),  # of a user without events
        (2, 0, 99, 8.0),  # after the only event of the last user
    ]
    expected = np.zeros((5, 5))
    expected[0, 0] = 1 + 2
    expected[1, [3, 2]] = 3, 4
    expected[3, [2, 3]] = 5, 6
    expected[4, 0] = 8
    rng = np.random.default_rng(0)
    for _ in range(5):
        found = impressions_of(shown)
        np.testing.assert_array_equal(found.toarray(), expected)
        assert found.dtype == np.float32
        shown = [shown[i] for i in rng.permutation(len(shown))]


@any_seed
def test_impressions_are_where_a_loop_puts_them(seed):
    rng = np.random.default_rng(seed)
    events, shown = (
        [(*rng.integers([4, 5, 6]).tolist(), 1.0) for _ in range(n)] for n in (12, 30)
    )
    table = ordered(events, (4, 5))
    owners, times = table.users, table.times
    expected = np.zeros((len(owners), 5))
    for user, item, time, weight in shown:
        own = np.flatnonzero(owners == user)
        if len(own):
            following = own[times[own] >= time]
            expected[following[0] if len(following) else own[-1], item] += weight
    found = impressions_of(shown, events, (4, 5))
    np.testing.assert_array_equal(found.toarray(), expected)


def test_impressions_of_users_without_events_only():
    found = impressions_of([(1, 0, 5, 1.0)])
    assert found.shape == (5, 5) and found.nnz == 0


def assert_same_order(one, other):
    for name in ("offsets", "items", "times", "weights"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name))
    assert (one.impressions is None) == (other.impressions is None)
    if one.impressions is not None:
        assert abs(one.impressions - other.impressions).nnz == 0


@any_seed
def test_rows_in_another_order_make_the_same_table(seed):
    rng = np.random.default_rng(seed)
    # few times, so that many events are at equal ones
    events, shown = (
        [(*rng.integers([6, 8, 3]).tolist(), float(weight)) for weight in range(1, n)]
        for n in (50, 30)
    )
    tables = []
    for _ in range(2):
        tables.append(ordered(events, (6, 8), shown))
        events = [events[i] for i in rng.permutation(len(events))]
        shown = [shown[i] for i in rng.permutation(len(shown))]
    assert_same_order(*tables)


def test_hold_out_latest_by_hand():
    # user 0: 4, (0 2), 1. User 1: one basket. User 2: 3, then the basket (0 4).
    events = [
        *EVENTS[:1],
        *EVENTS[2:],
        (1, 0, 7, 1.0),
        (1, 2, 7, 1.0),
        (2, 3, 1, 5.0),
        (2, 4, 2, 6.0),
        (2, 0, 2, 7.0),
    ]
    shown = [(0, 3, 20, 9.0), (0, 3, 30, 8.0), (1, 4, 7, 7.0), (2, 1, 9, 6.0)]
    everything = ordered(events, SHAPE, shown)
    kept, validation, held = events_of_fit.hold_out_latest(everything)

    assert held.toarray().tolist() == [[0, 1, 0, 0, 0], [0] * 5, [1, 0, 0, 0, 1]]
    assert kept.offsets.tolist() == [0, 3, 5, 6]
    assert kept.items.tolist() == [4, 0, 2, 0, 2, 3]
    assert kept.weights.tolist() == [0.5, 4.0, 1.0, 1.0, 1.0, 5.0]
    assert kept.lags().data.tolist() == [2, 1, 1, 1, 1, 1]
    assert kept.times.tolist() == [10, 20, 20, 7, 7, 1]
    assert kept.lags().shape == (3, 5)
    # impressions stay with their event, and go with the one held out
    expected = np.zeros((6, 5))
    expected[1, 3], expected[3, 4] = 9, 7
    np.testing.assert_array_equal(kept.impressions.toarray(), expected)

    assert validation.items.tolist() == [4, 0, 2, 1, 0, 2, 3, 0, 4]
    assert validation.weights.tolist() == [0, 0, 0, 2.0, 0, 0, 0, 7.0, 6.0]
    assert validation.impressions is None
    for name in ("offsets", "items", "times"):
        same = getattr(everything, name)
        np.testing.assert_array_equal(getattr(validation, name), same)


@any_seed
def test_held_out_is_the_last_of_two_baskets_and_the_rest_is_kept(seed):
    rng = np.random.default_rng(seed)
    events = [(*rng.integers([5, 6, 4]).tolist(), 1.0) for _ in range(25)]
    everything = ordered(events, (5, 6))
    kept, validation, held = events_of_fit.hold_out_latest(everything)
    early, late = [], set()
    for user in range(5):
        own = [event for event in events if event[0] == user]
        times = {time for _, _, time, _ in own}
        for event in own:
            if len(times) > 1 and event[2] == max(times):
                late.add(event[:2])
            else:
                early.append(event)
    if not late:
        assert held is None
        return
    assert set(zip(*map(np.ndarray.tolist, held.nonzero()), strict=True)) == late
    assert set(held.data) == {1.0}
    expected = ordered(early, (5, 6))
    assert_same_order(kept, expected)
    assert (kept.lags() != expected.lags()).nnz == 0
    # each event is a target once: in training or in validation
    total = kept.weights.sum() + validation.weights.sum()
    assert total == everything.weights.sum() == 25


def test_nothing_is_held_out_of_single_baskets():
    events = ordered([(0, 1, 5, 1.0), (0, 2, 5, 1.0), (2, 1, 9, 1.0)], SHAPE)
    kept, validation, held = events_of_fit.hold_out_latest(events)
    assert kept is events and validation is held is None


@any_seed
def test_events_after_others_have_them_as_context(seed):
    rng = np.random.default_rng(seed)
    events = [(*rng.integers([4, 5, 6]).tolist(), 1.0) for _ in range(20)]
    more = [(*rng.integers([6, 7, 6]).tolist(), 2.0) for _ in range(6)]
    before = ordered(events, (4, 5)).sequences()
    table = EventTable.of(*columns(more)[:2], (6, 7), columns(more)[2])
    found = events_of_fit.after(before, table._replace(weights=np.full(6, 2.0)))
    everything = ordered([*events, *more], (6, 7))
    new = {event[0] for event in more}
    pairs = {event[:3] for event in more}
    for user in range(6):
        part, expected = (t.of_users(np.array([user])) for t in (found, everything))
        if user not in new:
            assert part.n_events == 0
            continue
        for name in ("items", "times"):
            same = getattr(expected, name)
            np.testing.assert_array_equal(getattr(part, name), same)
        rows = zip(part.items, part.times, part.weights, strict=True)
        assert all((w > 0) == ((user, i, t) in pairs) for i, t, w in rows)
    sequences, expected = before.replaced(found), everything.sequences()
    assert (sequences.lags != expected.lags).nnz == 0
    np.testing.assert_array_equal(sequences.times, expected.times)


def test_later_events_keep_contexts_and_gaps_to_those_of_before():
    before = ordered([(0, 0, 3, 1.0), (0, 1, 5, 1.0), (1, 2, 4, 1.0)], (3, 4))
    later = EventTable.of(
        np.array([0, 2, 0, 2, 1]),
        np.array([3, 1, 2, 0, 0]),
        (3, 4),
        np.array([9, 7, 12, 8, 6]),
        np.array([1.0, 1.0, 1.0, 1.0, 0.0]),
        np.ones(5),
        np.array([2, 1, 4, 3, 5]),
    )
    table = events_of_fit.after(before.sequences(), later)
    # user 1 has chosen nothing later
    assert table.users.tolist() == [0, 0, 0, 0, 2, 2]
    assert table.items.tolist() == [0, 1, 3, 2, 1, 0]
    assert table.weights.tolist() == [0, 0, 1, 1, 1, 1]
    assert table.contexts.tolist() == [0, 0, 2, 4, 1, 3]
    nan = np.nan
    np.testing.assert_array_equal(table.gaps(), [nan, 2, 4, 3, nan, 1])


def test_the_last_basket_is_held_out_with_its_contexts():
    table = EventTable.of(
        np.array([0, 0, 1, 1]),
        np.array([0, 1, 2, 3]),
        (2, 4),
        np.array([3, 5, 4, 6]),
        np.ones(4),
        np.ones(4),
        np.array([1, 2, 3, 4]),
    ).in_order()
    kept, validation, held = events_of_fit.hold_out_latest(table)
    assert kept.contexts.tolist() == [1, 3]
    assert validation.contexts.tolist() == [1, 2, 3, 4]
    assert held.toarray().tolist() == [[0, 1, 0, 0], [0, 0, 0, 1]]


def test_only_first_choices_are_targets_and_keep_what_was_shown():
    # user 0 chooses 2, 1, 2 again, 0; user 1 chooses 1, and 1 again
    users = np.array([0, 0, 0, 0, 1, 1])
    items = np.array([2, 1, 2, 0, 1, 1])
    times = np.arange(6)
    weights = np.array([1.0, 2.0, 3.0, 4.0, 5.0, 6.0])
    table = EventTable.of(users, items, (2, 4), times, weights, np.ones(6)).in_order()
    # item 3 is shown next to each event, with the weights 1 to 6
    shown = sparse.csr_matrix((np.arange(1.0, 7.0), (times, np.full(6, 3))), (6, 4))
    found = events_of_fit.only_new_targets(table._replace(impressions=shown))
    assert found.weights.tolist() == [1, 2, 0, 4, 5, 0]
    # that of the repeat goes to the next first choice, or to the user's last one
    assert found.impressions.toarray()[:, 3].tolist() == [1, 2, 0, 3 + 4, 5 + 6, 0]
    assert found.items.tolist() == items.tolist()
