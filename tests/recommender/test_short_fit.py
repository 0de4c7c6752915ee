"""What short fits hold out and are judged by, by hand."""

from types import SimpleNamespace

import numpy as np
from scipy import sparse

import sktwotower.recommender._short_fit as short_fit
from tests.cases import for_each


def test_known_pairs_and_unknown_items_are_not_to_be_found():
    past = sparse.csr_matrix(np.array([[1, 0, 0, 0], [0, 1, 0, 0]], np.float32))
    truth = sparse.csr_matrix(np.array([[1, 1, 0, 1], [0, 1, 0, 0]], np.float32))
    found = short_fit.to_find(truth, past, np.array([True, True, False, False]))
    assert found.toarray().tolist() == [[0, 1, 0, 0], [0, 0, 0, 0]]


@for_each(
    ("values", "expected"),
    [
        # differences of .1 and .2 for every user
        ([[0.5, 0.6], [0.6, 0.7], [0.7, 0.8]], 2),
        ([[0.5, 0.6], [0.7, 0.8], [0.6, 0.7]], 1),
        ([[0.5, 0.6], [0.4, 0.5], [0.3, 0.4]], 0),
        ([[0.5, 0.6], [0.5, 0.6], [0.5, 0.6]], 0),
        # a mean difference of .1 with a standard error of .1, or a little less
        ([[0.5, 0.5], [0.5, 0.7], [0, 0]], 0),
        ([[0.5, 0.5], [0.51, 0.7], [0, 0]], 1),
        # users without both outcomes do not count
        ([[0.5, np.nan, 0.6], [0.6, np.nan, 0.7], [0, np.nan, 0]], 1),
    ],
)
def test_another_value_must_be_better_beyond_its_standard_error(values, expected):
    best, _ = short_fit.best_of(np.array(values))
    assert best == expected


def are_late(times):
    table = SimpleNamespace(times=times, n_events=1000 if times is None else len(times))
    return short_fit.are_late(table, np.random.RandomState(0))


def test_the_latest_tenth_is_held_out_or_a_random_one():
    times = np.random.default_rng(0).permutation(1000)
    np.testing.assert_array_equal(are_late(times), times > 0.9 * 999)
    for unordered in (None, np.zeros(1000)):
        assert 0.05 < are_late(unordered).mean() < 0.15
    # a month of the latest rows, or almost all rows at the first time
    assert are_late(np.array([1, 2, 3, 3])).tolist() == [False, False, True, True]
    assert are_late(np.array([1] * 30 + [2])).tolist() == [False] * 30 + [True]
