import numpy as np
import pytest

from sktwotower.towers._places import distinct, places_in


@pytest.mark.parametrize("n", [9, 100_000])  # by an array of that length; by sorting
def test_distinct_positions_and_places_are_those_of_unique(n, rng):
    positions = rng.integers(9, size=30)
    expected, places = np.unique(positions, return_inverse=True)
    found = distinct(positions, n)
    assert found.tolist() == expected.tolist() and found.dtype == np.int64
    assert places_in(found, positions, n).tolist() == places.tolist()


@pytest.mark.parametrize("n", [9, 100_000])
def test_places_of_others_can_be_looked_up(n):
    places = places_in(np.array([2, 5]), np.array([[0, 5], [7, 2]]), n)
    assert places[0, 1] == 1 and places[1, 1] == 0
    assert places.min() >= 0 and places.max() <= 1
