"""The table of events: sorted once, the same in memory and as memory maps."""

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from sktwotower._tables import _sparse
from sktwotower._tables._event_table import COLUMNS, EventTable, users_of_events
from sktwotower._tables._sparse import Column, is_mapped

SHAPE = 6, 5


def random_table(seed, shown=True, times=True):
    rng = np.random.default_rng(seed)
    users, items, when, rewards = rng.integers([6, 5, 4, 3], size=(40, 4)).T
    rewards = rewards * 0.5 if shown else None
    when = when if times else None
    return EventTable.of(users, items, SHAPE, when, rewards, rng.uniform(1, 2, 40))


def mapped(table):
    """Return the same table with its columns on disk."""

    def on_disk(values):
        column = Column(on_disk=True)
        column.append(values)
        return column.finish()

    columns = {name: getattr(table, name) for name in COLUMNS}
    columns = {n: c if c is None else on_disk(c) for n, c in columns.items()}
    return table._replace(**columns)


def assert_equal(one, other):
    assert (one.n_items, one.n_users) == (other.n_items, other.n_users)
    for name in ("offsets", *COLUMNS):
        values = getattr(one, name), getattr(other, name)
        assert (values[0] is None) == (values[1] is None)
        if name == "impressions" and values[0] is not None:
            assert (values[0] != values[1]).nnz == 0
        elif values[0] is not None:
            assert_array_equal(*values)


def test_rows_are_sorted_by_user_and_time_and_impressions_come_first():
    users, items = np.array([1, 0, 1, 1, 1]), np.array([4, 2, 0, 3, 1])
    times, rewards = np.array([7, 9, 7, 7, 2]), np.array([2.0, 1.0, 3.0, 0.0, 1.0])
    weights = np.array([1.0, 1.0, 0.5, 4.0, 1.0])
    table = EventTable.of(users, items, (3, 5), times, rewards, weights)
    assert table.offsets.tolist() == [0, 1, 5, 5]
    assert table.items.tolist() == [2, 1, 3, 0, 4]
    assert table.weights.tolist() == [1, 1, 4, 1.5, 2]
    assert table.chosen.tolist() == [True, True, False, True, True]
    # without times, rows of a user stay in their order
    assert EventTable.of(users, items, (3, 5)).items.tolist() == [2, 4, 0, 3, 1]


@pytest.mark.parametrize("shown", [True, False])
@pytest.mark.parametrize("seed", range(3))
def test_a_table_on_disk_is_that_in_memory(monkeypatch, seed, shown):
    monkeypatch.setattr(_sparse, "BLOCK", 10)
    table = random_table(seed, shown)
    other = mapped(table)
    assert other.on_disk and len(list(other.blocks())) > 2
    for chosen in (True, False):
        assert (table.pairs(chosen) != other.pairs(chosen)).nnz == 0
    assert (table.chosen_pairs() != other.chosen_pairs()).nnz == 0
    assert_equal(table.chosen_events(), other.chosen_events())
    one, two = table.in_order(), other.in_order()
    assert is_mapped(two.items) and (one.impressions is None) != shown
    assert_equal(one, two)
    assert one.n_baskets() == two.n_baskets()
    assert (one.lags() != two.lags()).nnz == 0
    active = np.unique(one.items)
    assert_equal(one.with_items(active), two.with_items(active))
    some = np.array([1, 4])
    assert_equal(one.of_users(some), two.of_users(some))
    assert_equal(one.only(some), two.only(some))


@pytest.mark.parametrize("times", [True, False])
def test_pairs_are_summed_weights(times):
    table = random_table(0, times=times)
    for chosen, pairs in ((True, table.pairs()), (False, table.pairs(chosen=False))):
        expected = np.zeros(SHAPE)
        rows = table.chosen == chosen
        users, items = table.users[rows], table.items[rows]
        np.add.at(expected, (users, items), table.weights[rows])
        np.testing.assert_allclose(pairs.toarray(), expected, rtol=1e-6)
        assert pairs.has_canonical_format


def test_only_some_users_keep_their_events():
    table = random_table(1)
    part = table.only(np.array([0, 3]))
    assert part.n_users == 6 and set(part.users) == {0, 3}
    assert_array_equal(part.items, table.items[np.isin(table.users, [0, 3])])


def test_random_users_have_up_to_a_number_of_events_together():
    sizes = np.arange(1, 6)
    assert users_of_events(sizes, 0, 100).tolist() == [0, 1, 2, 3, 4]
    for seed in range(5):
        users = users_of_events(sizes, seed, 6)
        assert len(users) and sizes[users].sum() <= 6
