"""Weights of items that are chosen together: equal to naive ones, ties in order."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse

from sktwotower.item_weights import _largest, nearest_weights, walk_weights
from tests.cases import for_each

from .test_ease_weights import naive_largest, random_seen


def product(shared, n_of_row, n_of_column):
    return (shared / (n_of_row * n_of_column**2)).astype(np.float32)


@pytest.mark.parametrize("n_kept", [1, 4, 100])
@pytest.mark.parametrize("weighted", [True, False])
def test_nearest_are_the_naive_ones(block, n_kept, weighted):
    seen = random_seen(30, 20)
    user_weights = np.random.default_rng(0).uniform(size=30).astype(np.float32)
    weights = nearest_weights(seen, user_weights if weighted else None, product, n_kept)
    X = seen.toarray()
    n_users = X.sum(axis=0)
    shared = (X * user_weights[:, None]).T @ X if weighted else X.T @ X
    with np.errstate(invalid="ignore"):
        similar = np.nan_to_num(shared / (n_users[:, None] * n_users**2))
    np.fill_diagonal(similar, 0)
    assert weights.dtype == np.float32 and weights.has_canonical_format
    assert_allclose(weights.toarray(), naive_largest(similar, n_kept), rtol=1e-5)


def test_counts_are_those_of_rows_and_columns(block):
    asked = []

    def similarity(shared, n_of_row, n_of_column):
        asked.append((shared, n_of_row, n_of_column))
        assert n_of_row.dtype == n_of_column.dtype == np.int64
        return n_of_row.astype(np.float32)

    seen = random_seen(30, 20)
    found = nearest_weights(seen, None, similarity, 100)
    n_users = seen.toarray().sum(axis=0)
    rows, _ = found.nonzero()
    assert_array_equal(found.data, n_users[rows])
    assert sum(len(shared) for shared, _, _ in asked) == (seen.T @ seen).nnz


def test_of_equal_similarities_the_first_are_kept():
    # the first user chose all of twelve items, the second one items 6 and 9
    seen = np.ones((2, 12), dtype=np.float32)
    seen[1] = np.isin(np.arange(12), [6, 9])

    def count(shared, n_of_row, n_of_column):
        return shared

    found = nearest_weights(sparse.csr_matrix(seen), None, count, 3)
    kept = found.indices.reshape(12, 3)
    assert kept[0].tolist() == [1, 2, 3] and kept[11].tolist() == [0, 1, 2]
    assert kept[6].tolist() == [0, 1, 9] and kept[9].tolist() == [0, 1, 6]
    assert found[6].data.tolist() == [1, 1, 2]


@pytest.mark.parametrize("n_kept", [1, 2, 3, 30])
def test_rows_of_many_lengths_keep_their_largest(n_kept, block):
    rng = np.random.default_rng(0)
    rows = rng.integers(-2, 4, (40, 25)).astype(np.float32)
    rows *= rng.uniform(size=rows.shape) < rng.uniform(size=(40, 1))
    expected = naive_largest(rows, n_kept)
    found = _largest.largest_of_sparse(sparse.csr_matrix(rows), n_kept)
    assert_array_equal(found.toarray(), expected)
    assert found.has_canonical_format and found.nnz == (expected > 0).sum()
    of_dense = _largest.largest_of_dense(rows, n_kept)
    assert_array_equal(of_dense.toarray(), expected)
    assert of_dense.has_canonical_format and of_dense.nnz == found.nnz


@for_each("n_kept", [2, 100])
def test_walks_are_the_naive_ones(n_kept):
    seen = random_seen(30, 20)
    X = seen.toarray()
    n_of_user, n_of_item = X.sum(axis=1), X.sum(axis=0)
    expected = np.zeros((20, 20))
    for past in range(20):
        for scored in set(range(20)) - {past}:
            for user in np.flatnonzero(X[:, past] * X[:, scored]):
                step = n_of_item[past] ** -0.7 * n_of_user[user] ** -0.7
                expected[past, scored] += step * n_of_item[scored] ** -0.3
    weights = walk_weights(seen, 0.7, 0.3, n_kept)
    assert_allclose(weights.toarray(), naive_largest(expected, n_kept), rtol=1e-5)


def test_a_walk_by_hand():
    # ann has tea and jam, bob has tea
    seen = sparse.csr_matrix(np.array([[1, 1], [1, 0]], dtype=np.float32))
    weights = walk_weights(seen, 1.0, 0.5, 10).toarray()
    # from tea to ann 1/2, to jam 1/2, which one user has
    expected = [[0, 1 / 4], [1 / 2 / 2**0.5, 0]]
    assert_allclose(weights, expected, rtol=1e-6)


@for_each("shape", [(1, 1), (3, 1), (1, 3), (0, 3)])
def test_few_users_and_items(shape):
    n_items = shape[1]
    seen = sparse.csr_matrix(np.ones(shape, dtype=np.float32))
    for weights in (
        nearest_weights(seen, None, product, 5),
        walk_weights(seen, 0.5, 0.5, 5),
    ):
        assert weights.shape == (n_items, n_items)
        assert weights.nnz == (n_items * (n_items - 1) if shape[0] else 0)
