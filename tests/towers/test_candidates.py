from itertools import combinations

import numpy as np
import pytest

from sktwotower.towers.batches._candidates import inclusion_log_prob
from sktwotower.towers.operators._positions import distinct, places_in
from tests.cases import for_each

# Users who each chose some of four items.
CHOSEN = np.array(
    [[1, 0, 1, 0], [0, 0, 0, 1], [1, 1, 1, 0], [0, 1, 0, 0], [1, 0, 0, 1]], dtype=bool
)


@for_each("size", [1, 2, 4, 5])
def test_inclusion_probability_equals_all_batches_enumerated(size):
    chosen = [CHOSEN[list(batch)].any(axis=0) for batch in combinations(range(5), size)]
    expected = np.mean(chosen, axis=0)
    got = np.exp(inclusion_log_prob(CHOSEN.sum(axis=0), 5, size))
    np.testing.assert_allclose(got, expected, rtol=1e-9)


@pytest.mark.slow
def test_inclusion_probability_equals_simulation():
    rng = np.random.default_rng(0)
    n_users, size = 2000, 100
    counts = np.array([1, 5, 40, 400])
    drawn = np.array([rng.choice(n_users, size, replace=False) for _ in range(3000)])
    simulated = [(drawn < count).any(axis=1).mean() for count in counts]
    got = np.exp(inclusion_log_prob(counts, n_users, size))
    np.testing.assert_allclose(got, simulated, atol=0.03)


def test_inclusion_probability_of_rare_items_in_a_large_population():
    # One of a million users in a batch of 100: 1e-4, and nearly twice that for two.
    got = np.exp(inclusion_log_prob(np.array([1, 2]), 1_000_000, 100))
    np.testing.assert_allclose(got, [1e-4, 2e-4], rtol=1e-3)


@pytest.mark.parametrize("n", [9, 100_000])  # by an array of that length; by sorting
def test_distinct_positions_and_places_are_those_of_unique(n, rng):
    positions = rng.integers(9, size=30)
    expected, places = np.unique(positions, return_inverse=True)
    found = distinct(positions, n)
    assert found.tolist() == expected.tolist() and found.dtype == np.int64
    assert places_in(found, positions, n).tolist() == places.tolist()


@for_each("n", [9, 100_000])
def test_places_of_others_can_be_looked_up(n):
    places = places_in(np.array([2, 5]), np.array([[0, 5], [7, 2]]), n)
    assert places[0, 1] == 1 and places[1, 1] == 0
    assert places.min() >= 0 and places.max() <= 1
