"""The leading singular vectors of who chose what."""

import numpy as np
import pytest
from scipy import sparse

from sktwotower.towers._spectrum import spectrum_of


@pytest.fixture
def chosen():
    """Weights of random events, 60 users x 40 items; the last item has none."""
    rng = np.random.default_rng(0)
    dense = rng.random((60, 40)) * (rng.random((60, 40)) < 0.3)
    dense[:, -1] = 0
    return sparse.csr_matrix(dense)


def test_vectors_are_those_of_a_dense_svd(chosen):
    vectors = spectrum_of(chosen, 39, seed=0).start(39)
    dense = chosen.toarray()
    users, items = dense.sum(axis=1), dense.sum(axis=0)
    normalized = dense / np.sqrt(np.outer(users, np.where(items > 0, items, 1)))
    _, values, rows = np.linalg.svd(normalized, full_matrices=False)
    wanted = rows[:39].T * np.sqrt(values[:39])
    wanted /= np.linalg.norm(wanted[:-1], axis=1).mean()
    # the sign of each column is free, products are not
    np.testing.assert_allclose(vectors @ vectors.T, wanted @ wanted.T, atol=1e-4)
    assert not vectors[-1].any()


def test_vectors_do_not_depend_on_the_unit_of_weights(chosen):
    ones = spectrum_of(chosen, 8, seed=1).start(8)
    hundreds = spectrum_of(100 * chosen, 8, seed=1).start(8)
    np.testing.assert_allclose(ones, hundreds, rtol=1e-3, atol=1e-4)


def test_vectors_without_a_singular_value_are_zeros():
    u, i = np.indices((40, 30))
    halves = sparse.csr_matrix((u % 2 == i % 2).astype(np.float64))  # of rank 2
    spectrum = spectrum_of(halves, 6, seed=0)
    np.testing.assert_allclose(spectrum.values, [1, 1, 0, 0, 0, 0], atol=1e-5)
    lengths = np.linalg.norm(spectrum.vectors, axis=0)
    np.testing.assert_allclose(lengths, [1, 1, 0, 0, 0, 0], rtol=1e-5)
