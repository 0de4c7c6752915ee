import numpy as np
import pytest
from scipy import sparse
from sklearn.neighbors import NearestNeighbors

from sktwotower.neighbors import (
    ExactNeighbors,
    build_index,
    check_index,
)


def unit_vectors(n, d=4, seed=0):
    vectors = np.random.default_rng(seed).normal(size=(n, d))
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def exclusions(n, n_items, seed=0, share=0.3):
    rng = np.random.default_rng(seed)
    return sparse.csr_matrix((rng.random((n, n_items)) < share).astype(np.float32))


def test_exact_neighbors_keep_the_contract_of_scikit_learn():
    queries, items = unit_vectors(5, seed=1), unit_vectors(30)
    index = ExactNeighbors(n_neighbors=4).fit(items)
    distances, indices = index.kneighbors(queries)
    theirs = NearestNeighbors(n_neighbors=4, metric="cosine").fit(items)
    expected, expected_indices = theirs.kneighbors(queries)
    np.testing.assert_allclose(distances, expected, atol=1e-6)
    np.testing.assert_array_equal(indices, expected_indices)
    assert index.kneighbors(queries, 99, return_distance=False).shape == (5, 30)


def test_build_index_copies_the_estimator_and_sets_its_parameters():
    given_index, items = NearestNeighbors(), unit_vectors(9)
    built, _ = build_index(given_index, {"n_neighbors": 3, "leaf_size": 7}, items)
    assert built is not given_index and not hasattr(given_index, "n_samples_fit_")
    assert (built.leaf_size, built.kneighbors(items)[1].shape) == (7, (9, 3))
    assert isinstance(build_index("auto", None, items)[0], ExactNeighbors)
    with pytest.raises(ValueError, match="Invalid parameter 'leaf' for estimator Nea"):
        build_index(given_index, {"leaf": 7}, items)


def test_check_index_names_what_is_allowed():
    check_index("exact")
    check_index(NearestNeighbors())
    with pytest.raises(ValueError, match="'exact', 'nndescent' or.*'fast'"):
        check_index("fast")
    with pytest.raises(TypeError, match="with fit and kneighbors. Got 3 instead"):
        check_index(3)
