"""Weights of past items for the next one: equal to naive ones, answers by hand."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse

from sktwotower._tables._event_table import EventTable
from sktwotower.item_weights import transition_weights, weights_of_others
from sktwotower.item_weights._transition_weights import decayed

from .test_ease_weights import random_seen

N_USERS, N_ITEMS = 15, 8


@pytest.fixture(scope="module")
def events():
    """Users, items and times of events, with baskets and repeated items.

    User 3 has no event, user 4 a single basket, and item 5 is in no event.
    """
    rng = np.random.default_rng(0)
    users, items = rng.integers(0, (N_USERS, N_ITEMS), (160, 2)).T
    times = rng.integers(0, 12, 160)
    times[users == 4] = 1
    kept = (users != 3) & (items != 5)
    return users[kept], items[kept], times[kept]


def lags_of(users, items, times, shape=(N_USERS, N_ITEMS)):
    return EventTable.of(users, items, shape, times).in_order().lags()


def naive_sums(events, decay, n_last):
    """Return the past before each event and the item of the event, (n, n_items)."""
    rows = {*zip(*(column.tolist() for column in events), strict=True)}
    past, following = [], []
    for user, item, time in sorted(rows):
        before = sorted({t for u, _, t in rows if u == user and t < time}, reverse=True)
        if not before:
            continue
        weights = np.zeros(N_ITEMS)
        for lag, earlier in list(enumerate(before[:n_last], start=1))[::-1]:
            for u, i, t in rows:
                if (u, t) == (user, earlier):
                    weights[i] = np.exp(-(lag - 1) / decay)
        past.append(weights)
        following.append(np.eye(N_ITEMS)[item])
    return np.array(past), np.array(following)


def ridge(past, following, l2):
    return np.linalg.solve(past.T @ past + l2 * np.eye(N_ITEMS), past.T @ following)


@pytest.mark.parametrize("n_last", [1, 3, 50])
def test_weights_are_the_naive_ones(events, n_last, block):
    weights = transition_weights(lags_of(*events), 2.0, n_last, 3.0)
    assert weights.dtype == np.float32 and weights.flags.c_contiguous
    expected = ridge(*naive_sums(events, 2.0, n_last), 3.0)
    assert_allclose(weights, expected, rtol=1e-3, atol=1e-6)


def test_weights_by_hand():
    # two users had tea and then jam, and one of them tea and jam at once, then egg
    users, items = np.array([0, 0, 1, 1, 1]), np.array([0, 1, 0, 1, 2])
    times = np.array([1, 2, 1, 1, 2])
    weights = transition_weights(lags_of(users, items, times, (2, 3)), 9.0, 5, 1.0)
    # D^T D + I = [[3, 1], [1, 2]], D^T Y = [[1, 1], [0, 1]] of jam and egg
    inverse = np.array([[2, -1], [-1, 3]]) / 5
    expected = np.zeros((3, 3))
    expected[:2, 1:] = inverse @ [[1, 1], [0, 1]]
    assert_allclose(weights, expected, atol=1e-6)


def test_a_decayed_past_counts_each_item_once():
    lags = sparse.csr_matrix(
        ([4, 3, 2, 1, 1], [0, 1, 0, 2, 3], [0, 4, 5]), shape=(2, 4), dtype=np.float32
    )
    e = np.exp(-1 / 2)
    expected = [[e, e**2, 1, 0], [0, 0, 0, 1]]
    assert_allclose(decayed(lags, 2).toarray(), expected, rtol=1e-6)
    expected[0][1] = 0
    last = decayed(lags, 2, n_last=2)
    assert_allclose(last.toarray(), expected, rtol=1e-6)
    assert last.nnz == 3


def test_without_an_order_all_others_are_the_past():
    seen = random_seen(N_USERS, N_ITEMS)
    past, following = [], []
    for row in seen.toarray():
        for item in np.flatnonzero(row):
            following.append(np.eye(N_ITEMS)[item])
            past.append(row - following[-1])
    weights = weights_of_others(seen, 2.0)
    assert weights.dtype == np.float32 and weights.flags.c_contiguous
    expected = ridge(np.array(past), np.array(following), 2.0)
    assert_allclose(weights, expected, rtol=1e-4, atol=1e-6)


def test_users_of_one_basket_teach_nothing():
    users, items = np.array([0, 0, 1]), np.array([0, 1, 1])
    lags = lags_of(users, items, np.zeros(3, np.int64), (3, 2))
    assert_array_equal(transition_weights(lags, 1.0, 5, 1.0), 0)
    one_item = sparse.csr_matrix(np.ones((3, 1), dtype=np.float32))
    assert_array_equal(weights_of_others(one_item, 1.0), 0)
