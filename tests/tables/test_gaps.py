"""How long ago the event before was, for each event of a table in the order of time."""

import numpy as np
from numpy.testing import assert_array_equal

import sktwotower._tables._event_table as event_table


def table_of(rows):
    """Return the events of rows of (user, item, time), sorted."""
    users, items, times = np.array(rows, dtype=int).reshape(-1, 3).T
    made = event_table.EventTable.of(users, items, (4, 3), times)
    return made.in_order()


def test_gaps_by_hand():
    nan = np.nan
    rows = [(1, 2, 7), (0, 1, 5), (1, 2, 7), (1, 2, 7), (1, 0, 3), (0, 0, 5)]
    gaps = table_of([*rows, (0, 2, 1), (3, 1, 4)]).gaps()
    # user 1 in a basket of three events that are one
    assert_array_equal(gaps[[0, 3, 4, 5]], [nan, nan, 4, nan])
    # one event of a basket is as if it were the first: 4 after the basket before
    assert_array_equal(np.sort(gaps[1:3]), [0, 4])
    gaps = table_of([(0, 0, 2), (0, 1, 2), (0, 2, 9)]).gaps()
    assert_array_equal(np.sort(gaps), [0, 7, nan])
    assert gaps[2] == 7 and gaps.dtype == np.float64
    assert table_of([]).gaps().shape == (0,)


def test_each_item_of_a_basket_is_first_now_and_then():
    """Which one is a matter of the events, and not of others in the table."""
    n_baskets, size = 300, 4
    users = np.repeat(np.arange(n_baskets), 1 + size)
    items = np.tile(np.arange(1 + size), n_baskets)
    times = np.tile([1, *[3] * size], n_baskets) + 10 * (users % 7)
    shape = n_baskets, 1 + size
    table = event_table.EventTable.of(users, items, shape, times).in_order()
    gaps = table.gaps().reshape(n_baskets, -1)
    assert np.isnan(gaps[:, 0]).all()
    assert_array_equal((gaps[:, 1:] == 2).sum(axis=1), 1)
    assert_array_equal((gaps[:, 1:] == 0).sum(axis=1), size - 1)
    of_times = gaps[:7, 1:]  # the others have the times of these
    assert_array_equal(gaps[7:14, 1:], of_times)
    part = np.array([40, 3, 250])
    assert_array_equal(table.of_users(part).gaps().reshape(3, -1), gaps[part])


def test_any_item_may_be_the_first():
    rng = np.random.default_rng(0)
    users, items = np.repeat(np.arange(4000), 4), np.tile(np.arange(4), 4000)
    times = np.repeat(rng.integers(10**18, size=4000), 4)
    table = event_table.EventTable.of(users, items, (4000, 4), times).in_order()
    first = np.isnan(table.gaps()).reshape(4000, 4)
    # 4,000 draws of four: a share has the standard error .007
    assert abs(first.mean(axis=0) - 0.25).max() < 0.03


def test_equal_events_are_one_of_their_summed_weight_in_the_context_of_the_heaviest():
    users, items = np.array([1, 0, 1, 1, 0]), np.array([2, 1, 2, 2, 1])
    times, rewards = np.array([7, 5, 7, 7, 5]), np.array([1.0, 1, 1, 1, 0])
    weights, contexts = np.array([1.0, 2, 4, 2, 9]), np.array([3, 1, 5, 9, 8])
    for seed in range(5):
        order = np.random.default_rng(seed).permutation(5)
        columns = [c[order] for c in (times, rewards, weights, contexts)]
        table = event_table.EventTable.of(
            users[order], items[order], (2, 3), *columns
        ).in_order()
        assert table.contexts.tolist() == [1, 5] and table.weights.tolist() == [2, 7]
        assert table.items.tolist() == [1, 2] and table.times.tolist() == [5, 7]
