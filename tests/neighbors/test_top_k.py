"""Exact search, against brute force."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import sparse

from sktwotower.neighbors import ExactNeighbors
from sktwotower.neighbors import _top_k as search
from tests.cases import for_each
from tests.reference import additions, brute_force, exclusions, unit_vectors


@st.composite
def searches(draw):
    """Small integers as entries: exact products, and ties in plenty."""
    n, n_items, d = (draw(st.integers(low, 9)) for low in (0, 1, 1))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    queries, items = (
        rng.integers(-2, 3, (m, d)).astype(np.float32) for m in (n, n_items)
    )
    share = draw(st.sampled_from([None, 0.0, 0.4, 1.0]))
    excluded = None
    if share is not None:
        excluded = sparse.csr_matrix((rng.random((n, n_items)) < share).astype(float))
    allowed = None
    if draw(st.booleans()):
        allowed = np.flatnonzero(rng.random(n_items) < 0.6)
    added = draw(st.sampled_from([None, np.float32, np.float64]))
    if added is not None:
        added = additions(n, n_items, seed=rng.integers(2**32)).astype(added)
        added.data = np.round(added.data * 8) / draw(st.sampled_from([1, 2**20]))
        added = added.toarray() if draw(st.booleans()) else added
    return queries, items, draw(st.integers(1, 12)), excluded, allowed, added


@given(case=searches())
def test_top_k_equals_brute_force(case):
    scores, indices = search.top_k(*case)
    expected = brute_force(*case)
    np.testing.assert_array_equal(scores, expected[0])
    np.testing.assert_array_equal(indices, expected[1])


def test_top_k_by_hand():
    # scores of the query (1, 2): 1, 2, 3, -1, 3
    items = np.array([[1, 0], [0, 1], [1, 1], [1, -1], [3, 0]], dtype=np.float32)
    query = np.array([[1, 2]], dtype=np.float32)
    hidden = sparse.csr_matrix([[0.0, 1, 0, 0, 0]])
    scores, indices = search.top_k(query, items, 6, hidden)
    assert scores.tolist() == [[3, 3, 1, -1, -np.inf]]
    assert indices.tolist() == [[2, 4, 0, 3, -1]]
    scores, indices = search.top_k(query, items, 2, hidden, allowed=np.array([0, 1, 3]))
    assert scores.tolist() == [[1, -1]] and indices.tolist() == [[0, 3]]


def test_scores_are_exact_in_float64():
    # float32 would round both sums to the same number.
    items = np.array([[1e4, 1e-3], [1e4, 2e-3]], dtype=np.float32)
    query = np.array([[1e4, 1]], dtype=np.float32)
    scores, indices = search.top_k(query, items, 2)
    assert indices.tolist() == [[1, 0]]
    np.testing.assert_allclose(scores - 1e8, [[2e-3, 1e-3]], rtol=1e-4)


def by_sorting(scores, k):
    """Return the k best of scores (n, n_items), ties by position."""
    order = np.argsort(-scores, axis=1, kind="stable")[:, :k]
    best = np.take_along_axis(scores, order, axis=1)
    return best, np.where(np.isneginf(best), -1, order)


@pytest.mark.slow
@pytest.mark.parametrize("added", [False, True])
def test_many_tiles_give_what_sorting_gives(added):
    # 260 queries are two blocks, and 8,400 items two tiles
    rng = np.random.default_rng(0)
    queries = rng.integers(-9, 10, (260, 4)).astype(np.float32)
    items = rng.integers(-9, 10, (8_400, 4)).astype(np.float32)
    items[8_200:] *= 2  # the best come late
    excluded = sparse.random(260, 8_400, 0.05, random_state=0, format="csr")
    numbers = additions(260, 8_400, seed=1, share=0.02, largest=64.0)
    numbers.data = np.round(numbers.data * 2**10) / 2**10
    scores = queries.astype(float) @ items.T
    if added:
        scores += numbers.toarray()
        scores[excluded.toarray() != 0] = -np.inf
    best, order = by_sorting(scores, 100)
    for k in (7, 100):
        case = queries, items, k, excluded if added else None
        found = search.top_k(*case, added=numbers if added else None)
        np.testing.assert_array_equal(found[1], order[:, :k])
        np.testing.assert_array_equal(found[0], best[:, :k])


@for_each("k", [1, 200])
def test_equal_scores_come_by_position_for_one_query_as_for_many(k):
    rng = np.random.default_rng(0)
    kinds = unit_vectors(7, 250)
    codes = rng.integers(7, size=3_001)
    items, queries = kinds[codes], unit_vectors(5, 250, seed=1)
    excluded = exclusions(5, len(items), share=0.3)
    allowed = np.flatnonzero(rng.random(len(items)) < 0.7)
    left = np.zeros(excluded.shape, dtype=bool)
    left[:, allowed] = True
    by_kind = queries.astype(float) @ kinds.T
    for hidden, among in ((None, None), (excluded, None), (excluded, allowed)):
        scores = by_kind[:, codes]
        if hidden is not None:
            scores[hidden.toarray() != 0] = -np.inf
        if among is not None:
            scores[~left] = -np.inf
        expected = np.argsort(-scores, axis=1, kind="stable")[:, :k]
        found = search.top_k(queries, items, k, hidden, among)[1]
        rows = None if hidden is None else [hidden[row] for row in range(5)]
        each = [
            search.top_k(query[None], items, k, rows and rows[row], among)[1][0]
            for row, query in enumerate(queries)
        ]
        np.testing.assert_array_equal(found, expected)
        np.testing.assert_array_equal(each, expected)


def test_numbers_are_added_to_some_products_by_hand():
    # products: 1, 2, 3, -1, 3 and 1, 0, 1, 1, 3
    items = np.array([[1, 0], [0, 1], [1, 1], [1, -1], [3, 0]], dtype=np.float32)
    queries = np.array([[1, 2], [1, 0], [1, 0]], dtype=np.float32)
    entries = [4.5, 1e-12, 2.5, 2], [3, 4, 1, 2], [0, 2, 4, 4]
    added = sparse.csr_matrix(entries, shape=(3, 5))
    hidden = sparse.csr_matrix(([1.0], ([1], [1])), shape=(3, 5))
    kinds = itertools.product((added, added.toarray()), (np.float32, np.float64))
    for numbers, type_of_values in kinds:
        numbers = numbers.astype(type_of_values)
        scores, indices = search.top_k(queries, items, 3, hidden, added=numbers)
        assert indices.tolist() == [[3, 4, 2], [2, 4, 0], [4, 0, 2]]
        tiny = float(type_of_values(1e-12))
        assert scores.tolist() == [[3.5, 3 + tiny, 3], [3, 3, 1], [3, 1, 1]]
    listed = sparse.csr_matrix([[1.0, 0, 0, 1, 0], [0, 1, 0, 0, 0], [0, 0, 0, 0, 0]])
    for numbers in (added, added.toarray()):
        scores, indices = search.rank_listed(queries, items, 2, listed, hidden, numbers)
        assert indices.tolist() == [[3, 0], [-1, -1], [-1, -1]]
        assert scores[0].tolist() == [3.5, 1]


@pytest.mark.slow
@for_each("k, largest", [(7, 1e-9), (600, 1.0), (1, 1e6)])
def test_many_items_with_added_numbers_give_what_sorting_gives(k, largest):
    rng = np.random.default_rng(0)
    queries, items = rng.normal(size=(3, 8)), rng.normal(size=(20_000, 8))
    queries, items = queries.astype(np.float32), items.astype(np.float32)
    items[12_000:13_000] = items[:1_000]  # which differ by what is added only
    excluded = sparse.random(3, 20_000, 0.3, random_state=0, format="csr")
    added = additions(3, 20_000, seed=1, largest=largest)
    added.data[:20] = 0
    found = search.top_k(queries, items, k, excluded, added=added)
    dense = search.top_k(queries, items, k, excluded, added=added.toarray())
    np.testing.assert_array_equal(dense[1], found[1])
    np.testing.assert_array_equal(dense[0], found[0])
    expected = brute_force(queries, items, k, excluded, added=added)
    np.testing.assert_array_equal(found[1], expected[1])
    np.testing.assert_allclose(found[0], expected[0], rtol=1e-12)
    each = [
        search.top_k(queries[[row]], items, k, excluded[row], added=added[row])
        for row in range(3)
    ]
    np.testing.assert_array_equal(np.concatenate([one[1] for one in each]), found[1])
    np.testing.assert_array_equal(np.concatenate([one[0] for one in each]), found[0])


@for_each("k", [1, 3])
def test_sums_that_float32_cannot_tell_apart_are_ranked_exactly(k):
    # The next number of float32 after 10,000 is .001 away.
    items, values = np.zeros((40, 2), dtype=np.float32), np.zeros((2, 40))
    values[0] = 1e4 + 1e-5 * np.arange(40, 0, -1)
    values[1, 10:] = 1e4 + 1e-5 * np.r_[:15, 15:0:-1]
    queries, added = np.ones((2, 2), dtype=np.float32), sparse.csr_matrix(values)
    for rows in ([0, 1], [0], [1]):
        scores, indices = search.top_k(queries[rows], items, k, added=added[rows])
        best = np.array([[0, 1, 2], [25, 24, 26]])[rows, :k]
        assert indices.tolist() == best.tolist()
        assert scores.tolist() == np.take_along_axis(values[rows], best, 1).tolist()


def test_a_long_vector_below_short_ones_to_which_something_is_added_is_not_lost():
    # float32 may round the product of the last vector, 6, to 0
    items = np.zeros((40, 3), dtype=np.float32)
    items[-1] = [1e4, -1e4, 6]
    queries = np.array(2 * [[1e4, 1e4, 1]], dtype=np.float32)
    added = np.zeros((2, 40))
    added[:, 0], added[:, 1:9] = 5, 4.9

    scores, indices = search.top_k(queries, items, 1, added=sparse.csr_matrix(added))
    assert indices.tolist() == [[39], [39]] and scores.tolist() == [[6], [6]]


def test_items_on_disk_are_searched_as_those_in_memory(tmp_path):
    queries, items = unit_vectors(5, seed=1), unit_vectors(90)
    np.save(tmp_path / "items.npy", items)
    mapped = np.load(tmp_path / "items.npy", mmap_mode="c")
    excluded, added = exclusions(5, 90), additions(5, 90)
    for allowed in (None, np.arange(3, 90, 2)):
        for rows in (slice(0, 5), slice(2, 3)):
            hidden, numbers = excluded[rows], added[rows]
            found = search.top_k(queries[rows], mapped, 8, hidden, allowed, numbers)
            expected = brute_force(queries[rows], items, 8, hidden, allowed, numbers)
            np.testing.assert_array_equal(found[1], expected[1])
            np.testing.assert_allclose(found[0], expected[0], rtol=1e-12)


def test_queries_need_not_lie_in_a_row():
    vectors = np.eye(4, dtype=np.float32)
    index = ExactNeighbors().fit(vectors)
    for queries in (vectors[::-1], vectors[:, ::-1]):
        found = index.kneighbors(queries, 1, return_distance=False)
        assert found.ravel().tolist() == [3, 2, 1, 0]
