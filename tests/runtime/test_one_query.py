"""The best items of one query, by numpy only, against brute force."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from scipy import sparse

from sktwotower.runtime import _one_query as one_query
from tests.reference import brute_force, exclusions


def expected_of(query, items, k, hidden, allowed, added=None):
    excluded = exclusions(1, len(items), share=0.0).tolil()
    excluded[0, hidden] = 1
    case = query[None], items, k, excluded.tocsr(), allowed
    if added is not None:
        offsets = [0, len(added.positions)]
        arrays = added.values, added.positions, offsets
        added = sparse.csr_matrix(arrays, shape=(1, len(items)))
    scores, found = brute_force(*case, added)
    return scores[0][found[0] >= 0], found[0][found[0] >= 0]


def test_one_query_by_hand():
    # scores of the query (1, 2): 1, 2, 3, -1, 3
    items = np.array([[1, 0], [0, 1], [1, 1], [1, -1], [3, 0]], dtype=np.float32)
    query = np.array([1, 2], dtype=np.float32)
    for case, scores, found in (
        ((9,), [3, 3, 2, 1, -1], [2, 4, 1, 0, 3]),
        ((1,), [3], [2]),
        ((2, np.array([4, 2])), [2, 1], [1, 0]),
        ((9, np.arange(5)), [], []),
        ((2, (), np.array([3, 4])), [3, -1], [4, 3]),
        ((2, np.array([4]), np.array([0, 1, 3, 4])), [2, 1], [1, 0]),
        ((2, (), np.array([], dtype=int)), [], []),
    ):
        exact, positions = one_query.best_of_one(query, items, *case)
        assert exact.tolist() == scores and positions.tolist() == found


@given(
    seed=st.integers(0, 2**32 - 1),
    n_items=st.sampled_from([1, 2, 7, 40, 200, 3000]),
    k=st.sampled_from([1, 3, 20, 70]),
    shares=st.tuples(*2 * [st.sampled_from([0.0, 0.1, 0.4, 0.7, 1.0])]),
    ties=st.booleans(),
)
def test_filters_of_one_query_equal_brute_force(seed, n_items, k, shares, ties):
    rng = np.random.default_rng(seed)
    items, query = rng.integers(-2, 3, (n_items, 3)), rng.integers(-2, 3, 3)
    if not ties:  # of very different lengths
        items, query = items * 10.0 ** rng.normal(size=(n_items, 1)), query / 7
    items, query = items.astype(np.float32), query.astype(np.float32)
    hidden, allowed = (np.flatnonzero(rng.random(n_items) < s) for s in shares)
    for among_them in (None, allowed):
        exact, found = one_query.best_of_one(query, items, k, hidden, among_them)
        scores, positions = expected_of(query, items, k, hidden, among_them)
        np.testing.assert_allclose(exact, scores, rtol=1e-12)
        assert found.tolist() == positions.tolist() and found.dtype == np.int64


def test_numbers_are_added_to_some_products_by_hand():
    # scores of the query (1, 2): 1, 2, 3, -1, 3
    items = np.array([[1, 0], [0, 1], [1, 1], [1, -1], [3, 0]], dtype=np.float32)
    query = np.array([1, 2], dtype=np.float32)
    added = one_query.Added(np.array([0, 3, 4]), np.array([1.5, 9, 1e-12]))
    for case, scores, found in (
        ((9,), [8, 3 + 1e-12, 3, 2.5, 2], [3, 4, 2, 0, 1]),
        ((2, np.array([3])), [3 + 1e-12, 3], [4, 2]),
        ((1, (), np.array([0, 1])), [2.5], [0]),
        ((2, np.array([3]), np.array([1, 3])), [2], [1]),
        ((2, (), np.array([], dtype=int)), [], []),
    ):
        exact, positions = one_query.best_of_one(query, items, *case, added=added)
        assert exact.tolist() == scores and positions.tolist() == found
    nothing = one_query.Added(np.array([], dtype=int), np.array([]))
    exact, positions = one_query.best_of_one(query, items, 2, added=nothing)
    assert exact.tolist() == [3, 3] and positions.tolist() == [2, 4]


@given(
    seed=st.integers(0, 2**32 - 1),
    n_items=st.sampled_from([1, 2, 7, 40, 200, 3000]),
    k=st.sampled_from([1, 3, 20, 70]),
    shares=st.tuples(*3 * [st.sampled_from([0.0, 0.1, 0.4, 0.7, 1.0])]),
    largest=st.sampled_from([2.0**-30, 1, 2.0**20]),
)
def test_added_numbers_equal_brute_force(seed, n_items, k, shares, largest):
    # float64 holds all scores, whereas float32 rounds products and sums
    rng = np.random.default_rng(seed)
    items = rng.integers(-2, 3, (n_items, 3)) + 2**12 * rng.integers(-1, 2, (1, 3))
    query = 2**12 * rng.integers(-1, 2, 3) + 1
    items, query = items.astype(np.float32), query.astype(np.float32)
    hidden, allowed, positions = (
        np.flatnonzero(rng.random(n_items) < share) for share in shares
    )
    values = largest / 2**6 * rng.integers(0, 2**6, len(positions))
    added = one_query.Added(positions, values)
    for among_them in (None, allowed):
        case = query, items, k, hidden, among_them
        exact, found = one_query.best_of_one(*case, added)
        scores, places = expected_of(*case, added)
        assert exact.tolist() == scores.tolist()
        assert found.tolist() == places.tolist() and found.dtype == np.int64


def test_a_product_that_was_rounded_down_is_not_lost():
    # float32 rounds 1e8 + 3 down: the product of the second may be 1e8 or 1e8 + 8
    items = np.array([[1e-9, 0, 0], [1e4, 3, 3], [1e4, 5, 0]], dtype="f")
    query = np.array([1e4, 1, 1], dtype="f")
    exact, found = one_query.best_of_one(query, items, 1)
    assert found.tolist() == [1] and exact.tolist() == [1e8 + 6]


def test_a_long_vector_below_a_short_one_to_which_something_is_added_is_not_lost():
    # in float32 the product of the second with the query may be 0
    items = np.array([[0, 0, 0], [1e4, -1e4, 6]], dtype="f")
    query = np.array([1e4, 1e4, 1], dtype="f")
    added = one_query.Added(np.array([0]), np.array([5.0]))
    exact, found = one_query.best_of_one(query, items, 1, added=added)
    assert found.tolist() == [1] and exact.tolist() == [6]
