from unittest.mock import patch

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

from sktwotower.neighbors import _top_k
from sktwotower.neighbors._top_k import top_k
from tests.reference import brute_force, exclusions, unit_vectors


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
    return queries, items, draw(st.integers(1, 12)), excluded, allowed


@pytest.mark.slow
@settings(max_examples=150, deadline=None, derandomize=True)
@given(
    search=searches(),
    tile=st.sampled_from([1, 3, 8192]),
    block=st.sampled_from([1, 2, 256]),
    group=st.sampled_from([1, 2, 16]),
)
def test_top_k_equals_brute_force(search, tile, block, group):
    sizes = {"MIN_TILE_ITEMS": tile, "QUERY_BLOCK": block, "GROUP": group}
    with patch.multiple(_top_k, TILE_SIZE=1, **sizes):
        scores, indices = top_k(*search)
    expected = brute_force(*search)
    np.testing.assert_array_equal(scores, expected[0])
    np.testing.assert_array_equal(indices, expected[1])


def test_top_k_by_hand():
    # scores of the query (1, 2): 1, 2, 3, -1, 3
    items = np.array([[1, 0], [0, 1], [1, 1], [1, -1], [3, 0]], dtype=np.float32)
    query = np.array([[1, 2]], dtype=np.float32)
    hidden = sparse.csr_matrix([[0.0, 1, 0, 0, 0]])
    scores, indices = top_k(query, items, 6, hidden)
    assert scores.tolist() == [[3, 3, 1, -1, -np.inf]]
    assert indices.tolist() == [[2, 4, 0, 3, -1]]
    scores, indices = top_k(query, items, 2, hidden, allowed=np.array([0, 1, 3]))
    assert scores.tolist() == [[1, -1]] and indices.tolist() == [[0, 3]]


def test_scores_are_exact_in_float64():
    # float32 would round both sums to the same number.
    items = np.array([[1e4, 1e-3], [1e4, 2e-3]], dtype=np.float32)
    query = np.array([[1e4, 1]], dtype=np.float32)
    scores, indices = top_k(query, items, 2)
    assert indices.tolist() == [[1, 0]]
    np.testing.assert_allclose(scores - 1e8, [[2e-3, 1e-3]], rtol=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("k", [1, 7, 600])
@pytest.mark.parametrize("hidden", [False, True])
def test_many_tiles_give_what_sorting_gives(k, hidden):
    rng = np.random.default_rng(0)
    queries, items = rng.normal(size=(3, 8)), rng.normal(size=(30_000, 8))
    queries, items = queries.astype(np.float32), items.astype(np.float32)
    items[20_000:] *= 2  # the best come late
    excluded = None
    if hidden:
        excluded = sparse.random(3, 30_000, 0.5, random_state=0, format="csr")
    with patch.object(_top_k, "TILE_SIZE", 1):
        found = top_k(queries, items, k, excluded)
    expected = brute_force(queries, items, k, excluded)
    np.testing.assert_array_equal(found[1], expected[1])
    np.testing.assert_allclose(found[0], expected[0], rtol=1e-12)


def test_items_that_are_all_the_same():
    items = np.ones((20_000, 2), dtype=np.float32)
    with patch.object(_top_k, "TILE_SIZE", 1):
        scores, indices = top_k(items[:2], items, 5)
    assert (scores == 2).all()
    assert indices.tolist() == 2 * [[0, 1, 2, 3, 4]]


@pytest.mark.parametrize("k", [1, 200])
@pytest.mark.parametrize("tile", [1, 1 << 21])
def test_equal_scores_come_by_position_for_one_query_as_for_many(k, tile):
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
        with patch.multiple(_top_k, TILE_SIZE=tile, MIN_TILE_ITEMS=500):
            found = top_k(queries, items, k, hidden, among)[1]
            rows = None if hidden is None else [hidden[row] for row in range(5)]
            each = [
                top_k(query[None], items, k, rows and rows[row], among)[1][0]
                for row, query in enumerate(queries)
            ]
        np.testing.assert_array_equal(found, expected)
        np.testing.assert_array_equal(each, expected)


def test_queries_need_not_lie_in_a_row():
    vectors = np.eye(4, dtype=np.float32)
    for queries in (vectors[::-1], vectors[:, ::-1]):
        assert top_k(queries, vectors, 1)[1].ravel().tolist() == [3, 2, 1, 0]
