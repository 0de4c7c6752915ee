"""Contexts and gaps of events in a table, and the latest events of users."""

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_array_equal

from sktwotower._tables._event_table import EventTable
from sktwotower._tables._schema import TableSchema

# user, item, time, reward, weight, context
EVENTS = np.array(
    [
        (1, 2, 7, 1, 1.0, 3),
        (0, 1, 5, 1, 2.0, 1),
        (1, 2, 7, 1, 4.0, 5),
        (1, 2, 7, 1, 2.0, 9),
        (0, 1, 5, 0, 9.0, 8),
        (1, 0, 3, 1, 1.0, 2),
        (0, 0, 5, 1, 1.0, 4),
        (0, 2, 1, 1, 1.0, 6),
        (3, 1, 4, 1, 1.0, 7),
    ]
)


def table_of(rows=EVENTS, times=True, contexts=True):
    users, items, when, rewards, weights, codes = rows.T
    return EventTable.of(
        users.astype(int),
        items.astype(int),
        (4, 3),
        when.astype(int) if times else None,
        rewards,
        weights,
        codes.astype(int) if contexts else None,
    )


def rows_of(table):
    """Return (user, item, time, context) of each event, in order."""
    columns = table.users, table.items, table.times, table.contexts
    return [tuple(map(int, row)) for row in zip(*columns, strict=True)]


def test_the_context_of_each_event_stays_with_it_in_any_order():
    expected = sorted(map(tuple, EVENTS[:, [0, 1, 2, 5]].astype(int)))
    for seed in range(5):
        order = np.random.default_rng(seed).permutation(len(EVENTS))
        table = table_of(EVENTS[order])
        assert sorted(rows_of(table)) == expected
        assert table.contexts.dtype == np.int32
        assert rows_of(table) == rows_of(table_of())


def test_without_times_events_keep_their_order_and_contexts():
    table = table_of(times=False)
    assert_array_equal(table.contexts, [1, 8, 4, 6, 3, 5, 9, 2, 7])


def test_equal_events_are_merged_with_the_context_of_the_heaviest():
    for seed in range(5):
        order = np.random.default_rng(seed).permutation(len(EVENTS))
        table = table_of(EVENTS[order]).in_order()
        assert rows_of(table) == [
            (0, 2, 1, 6),
            (0, 0, 5, 4),
            (0, 1, 5, 1),
            (1, 0, 3, 2),
            (1, 2, 7, 5),
            (3, 1, 4, 7),
        ]
        assert_array_equal(table.weights, [1, 1, 2, 1, 7, 1])


def test_parts_of_a_table_have_their_contexts():
    table = table_of().in_order()
    assert_array_equal(table.of_users(np.array([3, 0])).contexts, [7, 6, 4, 1])
    assert_array_equal(table.events_at(table.times == 5).contexts, [4, 1])
    assert_array_equal(table.only(np.array([1])).contexts, [2, 5])
    assert_array_equal(table.with_items(np.arange(3)).contexts, table.contexts)
    assert table_of(contexts=False).in_order().contexts is None


def test_gaps_by_hand():
    nan = np.nan
    # user 1 in a basket of three events that are one
    gaps = table_of().in_order().gaps()
    assert_array_equal(gaps[[0, 3, 4, 5]], [nan, nan, 4, nan])
    # one event of a basket is as if it were the first: 4 after the basket before
    assert_array_equal(np.sort(gaps[1:3]), [0, 4])
    rows = [(0, 0, 2, 1, 1, 0), (0, 1, 2, 1, 1, 0), (0, 2, 9, 1, 1, 0)]
    table = table_of(np.array(rows, dtype=float)).in_order()
    assert_array_equal(np.sort(table.gaps()), [0, 7, nan])
    assert table.gaps()[2] == 7
    assert table.gaps().dtype == np.float64


def test_each_item_of_a_basket_is_first_now_and_then():
    """Which one is a matter of the events, and not of others in the table."""
    n_baskets, size = 300, 4
    users = np.repeat(np.arange(n_baskets), 1 + size)
    items = np.tile(np.arange(1 + size), n_baskets)
    times = np.tile([1, *[3] * size], n_baskets) + 10 * (users % 7)
    table = EventTable.of(users, items, (n_baskets, 1 + size), times).in_order()
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
    table = EventTable.of(users, items, (4000, 4), times).in_order()
    first = np.isnan(table.gaps()).reshape(4000, 4)
    # 4,000 draws of four: a share has the standard error .007
    assert abs(first.mean(axis=0) - 0.25).max() < 0.03


def test_gaps_of_no_events():
    table = table_of(EVENTS[:0]).in_order()
    assert table.gaps().shape == (0,)


@pytest.mark.parametrize("order", [[0, 1, 2, 3], [3, 0, 0, 2], [2], []])
def test_latest_events_by_hand(order):
    sequences = table_of().in_order().sequences()
    latest = np.array([5, 7, np.nan, 4])
    codes = np.array(order, dtype=int)
    assert_array_equal(sequences.latest(codes), latest[codes])


def test_latest_events_with_further_ones():
    sequences = table_of().in_order().sequences()
    codes = np.array([0, -1, 2, 1, -1])
    assert_array_equal(sequences.latest(codes), [5, np.nan, np.nan, 7, np.nan])
    rows, times = np.array([0, 0, 1, 3, 2]), np.array([4, 6, 2, 1, 8])
    added = rows, np.zeros(5, dtype=int), times
    assert_array_equal(sequences.latest(codes, added), [6, 2, 8, 7, np.nan])
    added = np.array([0, 4]), np.zeros(2, dtype=int), None
    expected = [np.nan, np.nan, np.nan, 7, np.nan]
    assert_array_equal(sequences.latest(codes, added), expected)


NAMES = np.array(["user", "item", "slot", "when", "age"], dtype=object)
SCHEMA = TableSchema(5, NAMES, "when", 3, context=("slot",))
TABLE = pd.DataFrame([["a", 1, "x", 5, 30]], columns=NAMES)


@pytest.mark.parametrize("lacking", [[], ["slot"], ["when"], ["slot", "when"]])
def test_tables_may_lack_columns_of_the_context(lacking):
    found = SCHEMA.with_empty_columns(TABLE.drop(columns=lacking))
    assert list(found.columns) == list(NAMES)
    assert found[lacking].isna().all(axis=None)
    others = [name for name in NAMES if name not in lacking]
    pd.testing.assert_frame_equal(found[others], TABLE[others])


@pytest.mark.parametrize("lacking", [["age"], ["user", "slot"], ["item"]])
def test_tables_that_lack_others_stay_as_they_are(lacking):
    table = TABLE.drop(columns=lacking)
    assert SCHEMA.with_empty_columns(table) is table


def test_tables_may_lack_what_is_optional():
    table = TABLE[["age", "user"]]  # in any order, as they are found by name
    found = SCHEMA.with_empty_columns(table, ("item",))
    assert list(found.columns) == list(NAMES)
    assert found[["item", "slot", "when"]].isna().all(axis=None)
    further = TABLE[["user", "age"]].assign(other=1)
    assert SCHEMA.with_empty_columns(further, ("item",)) is further
