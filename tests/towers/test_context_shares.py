"""How much a feature of a context counts: what says something of others, and noise."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse

from sktwotower.towers._context_shares import USERS, context_shares

N_USERS, N_EVENTS, N_LEVELS = 300, 6000, 6


def one_hot(levels, n):
    ones = np.ones(len(levels), dtype=np.float32)
    places = np.arange(len(levels)), levels
    return sparse.csr_matrix((ones, places), shape=(len(levels), n))


def events(seed):
    rng = np.random.default_rng(seed)
    users = rng.integers(N_USERS, size=N_EVENTS)
    hours = rng.integers(N_LEVELS, size=N_EVENTS)
    items = np.where(rng.random(N_EVENTS) < 0.3, hours, rng.integers(20, size=N_EVENTS))
    return users, hours, items, rng.integers(N_LEVELS, size=N_EVENTS)


@pytest.mark.parametrize("seed", range(3))
def test_a_column_that_decides_counts_and_noise_counts_less(seed):
    users, hours, items, noise = events(seed)
    rows = sparse.hstack([one_hot(hours, 6), one_hot(noise, 6)], format="csr")
    shares = context_shares(rows, users, items, [np.arange(6), 6 + np.arange(6)])
    assert_array_equal(shares[:6], 1)
    n = [len(np.unique(users[noise == level])) for level in range(6)]
    assert_allclose(shares[6:], np.array(n) / (np.array(n) + USERS), rtol=1e-6)


@pytest.mark.parametrize("n_items", [2, 3, 4, 6])
@pytest.mark.parametrize("strength", [0, 0.3])
def test_catalogs_of_a_few_items(n_items, strength):
    """Users repeat one item each, and some events are of the item of the hour."""
    rng = np.random.default_rng(0)
    users, hours = rng.integers(N_USERS, size=N_EVENTS), rng.integers(6, size=N_EVENTS)
    items = rng.integers(n_items, size=N_USERS)[users]
    items = np.where(rng.random(N_EVENTS) < strength, hours % n_items, items)
    shares = context_shares(one_hot(hours, 6), users, items, [np.arange(6)])
    assert ((shares == 1) == (strength > 0)).all()


def test_what_one_user_always_does_says_nothing_of_others():
    """Each user has one hour and one item: the hour tells users apart, and no more."""
    rng = np.random.default_rng(0)
    users = np.repeat(np.arange(200), 20)
    hours, items = rng.integers(6, size=200)[users], rng.integers(50, size=200)[users]
    shares = context_shares(one_hot(hours, 6), users, items, [np.arange(6)])
    assert (shares < 0.2).all()
    shares = context_shares(one_hot(hours, 6), users, items % 2, [np.arange(6)])
    assert (shares < 0.2).all()


def test_features_of_no_block_count_in_full():
    users, _, items, noise = events(0)
    assert_array_equal(context_shares(one_hot(noise, 6), users, items, []), 1)


def test_unknown_contexts_are_left_out():
    users, hours, items, _ = events(0)
    rows = one_hot(hours, 6).tolil()
    rows[::2] = 0
    shares = context_shares(rows.tocsr(), users, items, [np.arange(6)])
    assert_array_equal(shares, 1)
    nothing = sparse.csr_matrix((N_EVENTS, 6), dtype=np.float32)
    assert_array_equal(context_shares(nothing, users, items, [np.arange(6)]), 0)
