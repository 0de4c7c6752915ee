"""The weights of EASE: equal to naive ones, by items and by users."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse

from sktwotower.item_weights import _ease_weights, ease_weights, largest_ease_weights
from tests.cases import for_each

# Users and items, of which the second has fewer users.
SHAPES = [(40, 17), (17, 40)]


def random_seen(n_users, n_items, seed=0):
    """Return past items, CSR; the first user has none, and nobody chose item 3."""
    seen = np.random.default_rng(seed).uniform(size=(n_users, n_items)) < 0.3
    seen[0] = False
    seen[:, 3] = False
    return sparse.csr_matrix(seen.astype(np.float32))


def naive_weights(seen, l2):
    """Column by column: a ridge regression of one item on all others."""
    X = seen.toarray().astype(np.float64)
    n_items = X.shape[1]
    weights = np.zeros((n_items, n_items))
    for item in range(n_items):
        others = np.arange(n_items) != item
        A = X[:, others]
        gram = A.T @ A + l2 * np.eye(n_items - 1)
        weights[others, item] = np.linalg.solve(gram, A.T @ X[:, item])
    return weights


def naive_largest(weights, n_kept):
    largest = np.zeros(weights.shape)
    for row, values in enumerate(weights):
        kept = np.argsort(-values, kind="stable")[:n_kept]
        largest[row, kept] = np.maximum(values[kept], 0)
    return largest


@pytest.mark.parametrize("shape", SHAPES)
def test_weights_are_the_naive_ones(shape, block):
    seen = random_seen(*shape)
    weights = ease_weights(seen, 3.0)
    assert weights.dtype == np.float32 and weights.flags.c_contiguous
    assert_allclose(weights, naive_weights(seen, 3.0), atol=1e-7)
    assert_array_equal(np.diag(weights), 0)


@for_each("l2", [1e-3, 1.0, 1e4])
def test_both_ways_have_the_same_weights(l2):
    seen = random_seen(25, 25, seed=1).astype(np.float64)
    by_way = []
    for way in (_ease_weights._blocks_by_items, _ease_weights._blocks_by_users):
        by_way.append(np.vstack([rows for _, rows in way(seen, l2)]))
        np.fill_diagonal(by_way[-1], 0)
    by_items, by_users = by_way
    assert_allclose(by_users, by_items, rtol=1e-8, atol=1e-12)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("n_kept", [1, 5, 100])
def test_the_largest_weights_are_those_of_the_matrix(shape, n_kept, block):
    seen = random_seen(*shape)
    largest = largest_ease_weights(seen, 3.0, n_kept)
    assert largest.dtype == np.float32 and largest.has_canonical_format
    expected = naive_largest(ease_weights(seen, 3.0), n_kept)
    assert_allclose(largest.toarray(), expected, rtol=1e-6)
    assert (largest.data > 0).all() and np.diff(largest.indptr).max() <= n_kept


def test_weights_by_hand():
    seen = sparse.csr_matrix(np.array([[1, 1, 0], [1, 0, 0]], dtype=np.float32))
    # the ridge of tea on jam: 1 / (1 + l2); of jam on tea: 1 / (2 + l2)
    expected = [[0, 1 / 3, 0], [1 / 2, 0, 0], [0, 0, 0]]
    assert_allclose(ease_weights(seen, 1.0), expected, rtol=1e-6)
    assert_allclose(largest_ease_weights(seen, 1.0, 1).toarray(), expected, rtol=1e-6)


@for_each("shape", [(1, 1), (3, 1), (1, 4), (0, 3)])
def test_few_users_and_items(shape):
    seen = sparse.csr_matrix(np.ones(shape, dtype=np.float32))
    weights = ease_weights(seen, 2.0)
    assert_allclose(weights, naive_weights(seen, 2.0), rtol=1e-6)
    largest = largest_ease_weights(seen, 2.0, 2)
    assert_allclose(largest.toarray(), naive_largest(weights, 2), rtol=1e-6)


@for_each("shape", SHAPES)
def test_l2_too_small_is_refused(shape):
    seen = sparse.csr_matrix(np.ones(shape, dtype=np.float32))
    with pytest.raises(ValueError, match=r"l2=1e-20 is too small .* Raise l2"):
        ease_weights(seen, 1e-20)
