"""Weights of successors: equal to a naive double loop, and answers by hand."""

import numpy as np
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse

from sktwotower._tables._event_table import EventTable
from sktwotower.item_weights import successor_weights
from tests.cases import for_each

N_USERS, N_ITEMS, DECAY = 15, 8, 2.0
WINDOW = 20  # events before a basket


def lags_of(users, items, times, shape=(N_USERS, N_ITEMS)):
    return EventTable.of(users, items, shape, times).in_order().lags()


def drawn(n_events, n_times):
    """Draw events; user 3 has none, user 4 a single basket, item 5 is in no event."""
    rng = np.random.default_rng(0)
    users, items = rng.integers(0, (N_USERS, N_ITEMS), (n_events, 2)).T
    times = rng.integers(0, n_times, n_events)
    times[users == 4] = 1
    kept = (users != 3) & (items != 5)
    return lags_of(users[kept], items[kept], times[kept])


def naive(lags, decay):
    """Return all weights (n_items, n_items), from one pair of events after another."""
    n_users, n_items = lags.shape
    weights = np.zeros((n_items, n_items))
    for user in range(n_users):
        row = lags[user]
        events = list(zip(row.indices.tolist(), row.data.tolist(), strict=True))
        for later, (item, lag) in enumerate(events):
            first_of_basket = min(n for n in range(later + 1) if events[n][1] == lag)
            for earlier in range(max(0, first_of_basket - WINDOW), first_of_basket):
                past_item, past_lag = events[earlier]
                n_baskets = past_lag - lag
                weights[past_item, item] += np.exp(-(n_baskets - 1) / decay)
    n_events = np.bincount(lags.indices, minlength=n_items)
    weights /= np.sqrt(np.maximum(n_events, 1))[:, None]
    np.fill_diagonal(weights, 0)
    return weights


@for_each(
    "n_events, n_times",
    [(160, 12), (160, 10_000), (900, 25), (900, 10_000)],
    ids=["baskets", "one by one", "long, baskets", "long, one by one"],
)
def test_weights_are_those_of_a_double_loop(n_events, n_times):
    lags = drawn(n_events, n_times)
    sizes = np.diff(lags.indptr)
    assert sizes[3] == 0 and (sizes.max() > 2 * WINDOW) == (n_events == 900)
    weights = successor_weights(lags, DECAY, N_ITEMS)
    assert weights.dtype == np.float32 and weights.shape == (N_ITEMS, N_ITEMS)
    assert_allclose(weights.toarray(), naive(lags, DECAY), rtol=1e-5)
    assert not weights.diagonal().any() and (weights.data > 0).all()


def test_the_largest_are_kept():
    lags = drawn(900, 10_000)
    everything = naive(lags, DECAY)
    weights = successor_weights(lags, DECAY, 3)
    assert_array_equal(np.diff(weights.indptr), 3 * (everything.max(axis=1) > 0))
    smallest = np.sort(everything, axis=1)[:, -3, None]
    expected = np.where(everything >= smallest, everything, 0)
    assert_allclose(weights.toarray(), expected, rtol=1e-5)


def test_weights_by_hand():
    # tea and jam at once, then egg, then tea again; another user had tea only
    users, items = np.array([0, 0, 0, 0, 1]), np.array([0, 1, 2, 0, 0])
    lags = lags_of(users, items, np.array([5, 5, 6, 9, 7]), (2, 3))
    weights = successor_weights(lags, 1.0, 3)
    # tea has three events; jam is two baskets before the second tea
    expected = [[0, 0, 1 / np.sqrt(3)], [np.exp(-1), 0, 1], [1, 0, 0]]
    assert_allclose(weights.toarray(), expected, rtol=1e-6)


def test_the_window_is_of_events_before_the_basket():
    # item 0, then 19 or 20 times item 1, then a basket of items 2 and 3
    for n_between in (WINDOW - 1, WINDOW):
        items = np.array([0, *[1] * n_between, 2, 3])
        times = np.append(np.arange(n_between + 1), [99, 99])
        lags = lags_of(np.zeros(len(items), int), items, times, (1, 4))
        weights = successor_weights(lags, 1e9, 4).toarray()
        assert_allclose(weights[0, 2:], float(n_between < WINDOW), rtol=1e-6)
        assert weights[2, 3] == weights[3, 2] == 0


def test_lags_stay_as_they_are():
    lags = drawn(160, 12)
    before = lags.copy()
    successor_weights(lags, DECAY, 2)
    for name in ("data", "indices", "indptr"):
        assert_array_equal(getattr(lags, name), getattr(before, name))


@for_each("n_users", [1, 3])
def test_nothing_follows(n_users):
    empty = sparse.csr_matrix((n_users, 4), dtype=np.float32)
    assert successor_weights(empty, DECAY, 2).nnz == 0
    single = lags_of(np.arange(n_users), np.arange(n_users), np.ones(n_users), (4, 4))
    assert successor_weights(single, DECAY, 2).nnz == 0
