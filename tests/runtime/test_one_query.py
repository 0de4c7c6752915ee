import subprocess
import sys
from unittest.mock import patch

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

from sktwotower.runtime import _one_query
from sktwotower.runtime._one_query import Added, among, best_of_one
from tests.reference import brute_force, exclusions, unit_vectors


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
        exact, positions = best_of_one(query, items, *case)
        assert exact.tolist() == scores and positions.tolist() == found


@settings(max_examples=100, deadline=None, derandomize=True)
@given(
    seed=st.integers(0, 2**32 - 1),
    n_items=st.integers(1, 60),
    k=st.integers(1, 70),
    shares=st.tuples(*2 * [st.sampled_from([0.0, 0.1, 0.4, 0.7, 1.0])]),
    ties=st.booleans(),
    groups=st.sampled_from([1, 4, 512]),
)
def test_filters_of_one_query_equal_brute_force(seed, n_items, k, shares, ties, groups):
    rng = np.random.default_rng(seed)
    items, query = rng.integers(-2, 3, (n_items, 3)), rng.integers(-2, 3, 3)
    if not ties:  # of very different lengths
        items, query = items * 10.0 ** rng.normal(size=(n_items, 1)), query / 7
    items, query = items.astype(np.float32), query.astype(np.float32)
    hidden, allowed = (np.flatnonzero(rng.random(n_items) < s) for s in shares)
    for among_them in (None, allowed):
        with patch.object(_one_query, "MIN_GROUPS", groups):
            exact, found = best_of_one(query, items, k, hidden, among_them)
        scores, positions = expected_of(query, items, k, hidden, among_them)
        np.testing.assert_allclose(exact, scores, rtol=1e-12)
        assert found.tolist() == positions.tolist() and found.dtype == np.int64


def test_numbers_are_added_to_some_products_by_hand():
    # scores of the query (1, 2): 1, 2, 3, -1, 3
    items = np.array([[1, 0], [0, 1], [1, 1], [1, -1], [3, 0]], dtype=np.float32)
    query = np.array([1, 2], dtype=np.float32)
    added = Added(np.array([0, 3, 4]), np.array([1.5, 9, 1e-12]))
    for case, scores, found in (
        ((9,), [8, 3 + 1e-12, 3, 2.5, 2], [3, 4, 2, 0, 1]),
        ((2, np.array([3])), [3 + 1e-12, 3], [4, 2]),
        ((1, (), np.array([0, 1])), [2.5], [0]),
        ((2, np.array([3]), np.array([1, 3])), [2], [1]),
        ((2, (), np.array([], dtype=int)), [], []),
    ):
        exact, positions = best_of_one(query, items, *case, added=added)
        assert exact.tolist() == scores and positions.tolist() == found
    nothing = Added(np.array([], dtype=int), np.array([]))
    exact, positions = best_of_one(query, items, 2, added=nothing)
    assert exact.tolist() == [3, 3] and positions.tolist() == [2, 4]


@settings(max_examples=150, deadline=None, derandomize=True)
@given(
    seed=st.integers(0, 2**32 - 1),
    n_items=st.integers(1, 60),
    k=st.integers(1, 70),
    shares=st.tuples(*3 * [st.sampled_from([0.0, 0.1, 0.4, 0.7, 1.0])]),
    largest=st.sampled_from([2.0**-30, 1, 2.0**20]),
    groups=st.sampled_from([1, 4, 512]),
)
def test_added_numbers_equal_brute_force(seed, n_items, k, shares, largest, groups):
    # float64 holds all scores, whereas float32 rounds products and sums
    rng = np.random.default_rng(seed)
    items = rng.integers(-2, 3, (n_items, 3)) + 2**12 * rng.integers(-1, 2, (1, 3))
    query = 2**12 * rng.integers(-1, 2, 3) + 1
    items, query = items.astype(np.float32), query.astype(np.float32)
    hidden, allowed, positions = (
        np.flatnonzero(rng.random(n_items) < share) for share in shares
    )
    values = largest / 2**6 * rng.integers(0, 2**6, len(positions))
    added = Added(positions, values)
    for among_them in (None, allowed):
        case = query, items, k, hidden, among_them
        with patch.object(_one_query, "MIN_GROUPS", groups):
            exact, found = best_of_one(*case, added)
        scores, places = expected_of(*case, added)
        assert exact.tolist() == scores.tolist()
        assert found.tolist() == places.tolist() and found.dtype == np.int64


def test_a_long_vector_below_a_short_one_to_which_something_is_added_is_not_lost():
    # in float32 the product of the second with the query may be 0
    items = np.array([[0, 0, 0], [1e4, -1e4, 6]], dtype="f")
    query = np.array([1e4, 1e4, 1], dtype="f")
    added = Added(np.array([0]), np.array([5.0]))
    with patch.object(_one_query, "_products", return_value=np.zeros(2, dtype="f")):
        exact, found = best_of_one(query, items, 1, added=added)
    assert found.tolist() == [1] and exact.tolist() == [6]


def test_a_product_that_was_rounded_down_is_not_lost():
    # in float32 the second may lose 3 twice; the first vector, by whose length the
    # error is guessed, is short
    items = [[1e-9, 0, 0], [1e4, 3, 3], [1e4, 5, 0]]
    items, query = np.array(items, dtype="f"), np.array([1e4, 1, 1], dtype="f")
    products = np.array([1e-5, 1e8, 1e8 + 8], dtype="f")
    with patch.object(_one_query, "_products", return_value=products):
        exact, found = best_of_one(query, items, 1)
    assert found.tolist() == [1] and exact.tolist() == [1e8 + 6]


def test_vectors_of_one_length_are_looked_at_once():
    items, query = unit_vectors(5000, 16), unit_vectors(1, 16, seed=1)[0]
    with patch.object(_one_query, "ranked", wraps=_one_query.ranked) as ranked:
        best_of_one(query, items, 10)
    ranked.assert_called_once()
    assert len(ranked.call_args.args[2]) < 20


def test_positions_among_others():
    positions = np.array([2, 5, 9])
    found = among(np.array([9, 0, 5, 10, 2, 3]), positions)
    assert found.tolist() == [True, False, True, False, True, False]
    assert not among(positions, np.array([], dtype=int)).any()
    assert not among(positions, ()).any()


@pytest.mark.parametrize(("n", "k"), [(1, 40), (7, 3), (5, 40)])
def test_vectors_are_gathered_a_part_at_a_time(n, k):
    rng = np.random.default_rng(0)
    queries, items = (rng.normal(size=(m, 4)).astype(np.float32) for m in (n, 50))
    indices = rng.integers(0, 50, (n, k))
    whole = _one_query.rescore(queries, items, indices)
    for most in (_one_query.MAX_GATHERED, 16):
        with patch.object(_one_query, "MAX_GATHERED", most):
            found = _one_query.rescore(queries, items, indices)
            one = _one_query._scores_of_one(queries[0], items, indices[0])
        np.testing.assert_array_equal(found, whole)
        np.testing.assert_array_equal(one, whole[0])
    expected = np.take_along_axis(queries.astype(float) @ items.T, indices, axis=1)
    np.testing.assert_allclose(whole, expected, atol=1e-6)


@pytest.mark.parametrize("way", ["cached", "BLAS", "vecdot", "einsum"])
def test_every_way_to_multiply_gives_the_dot_products(way, monkeypatch):
    items, query = unit_vectors(70), unit_vectors(1, seed=1)[0]
    monkeypatch.setattr(_one_query, "CACHED_BYTES", 10**9 if way == "cached" else 0)
    case = items.shape[1], items.nbytes.bit_length()
    faster = {case: way in ("vecdot", "einsum")}
    monkeypatch.setattr(_one_query, "_FASTER_BY_ROWS", faster)
    if way == "einsum":
        monkeypatch.delattr(np, "vecdot", raising=False)
    found = _one_query._products(items, query)
    assert found.dtype == np.float32 and found.flags.writeable
    np.testing.assert_allclose(found, items.astype(float) @ query, atol=1e-6)


def test_the_faster_product_is_measured_once_for_each_width_and_size(monkeypatch):
    monkeypatch.setattr(_one_query, "CACHED_BYTES", 0)
    monkeypatch.setattr(_one_query, "MEASURED_BYTES", 1 << 9)
    monkeypatch.setattr(_one_query, "_FASTER_BY_ROWS", {})
    measured = []

    def seconds(way, items, query):
        measured.append(len(items))
        by_rows = way is _one_query._by_rows
        # now and then another job disturbs one of the two
        return [1, 2, 2][len(measured) // 2 % 3] + by_rows * (0.1 - 0.2 * (width == 3))

    monkeypatch.setattr(_one_query, "_seconds", seconds)
    for width, n_items in ((3, 5), (3, 5), (4, 4), (4, 9), (4, 99), (4, 200)):
        items = np.ones((n_items, width), dtype="f")
        found = _one_query._products(items, np.ones(width, dtype="f"))
        np.testing.assert_array_equal(found, width)
    faster = {(3, 6): True, (4, 7): False, (4, 8): False, (4, 10): False}
    assert _one_query._FASTER_BY_ROWS == faster
    assert measured == [n for n in (5, 4, 9, 32) for _ in range(6)]


def test_one_query_needs_numpy_only():
    code = (
        "import sys; before = set(sys.modules)\n"
        "import sktwotower.runtime._one_query\n"
        "print({name.split('.')[0] for name in set(sys.modules) - before} & "
        "{'torch', 'sklearn', 'scipy', 'pandas', 'joblib'})"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert found.stdout == "set()\n", found.stderr
