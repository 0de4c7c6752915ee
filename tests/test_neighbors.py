from unittest.mock import patch

import numpy as np
import pytest
from reference import brute_force
from scipy import sparse
from sklearn.base import BaseEstimator
from sklearn.neighbors import NearestNeighbors

from sktwotower import neighbors
from sktwotower.neighbors import (
    ExactNeighbors,
    build_index,
    check_index,
    retrieve,
)


def unit_vectors(n, d=4, seed=0):
    vectors = np.random.default_rng(seed).normal(size=(n, d))
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def exclusions(n, n_items, seed=0, share=0.3):
    rng = np.random.default_rng(seed)
    return sparse.csr_matrix((rng.random((n, n_items)) < share).astype(np.float32))


def indexes(items):
    return {
        "exact": ExactNeighbors().fit(items),
        "brute": NearestNeighbors(algorithm="brute").fit(items),
        "ball_tree": NearestNeighbors(algorithm="ball_tree").fit(items),
    }


@pytest.mark.parametrize("name", ["exact", "brute", "ball_tree"])
@pytest.mark.parametrize("hidden", [True, False])
@pytest.mark.parametrize("k", [1, 5, 60])
def test_retrieve_from_any_index_equals_brute_force(name, hidden, k):
    queries, items = unit_vectors(20, seed=1), unit_vectors(50)
    excluded = exclusions(20, 50) if hidden else None
    scores, indices = retrieve(indexes(items)[name], queries, items, k, excluded)
    expected = brute_force(queries, items, k, excluded)
    np.testing.assert_allclose(scores, expected[0], rtol=1e-12)
    np.testing.assert_array_equal(indices, expected[1])


def test_retrieve_needs_no_exact_search_where_the_index_answers():
    queries, items = unit_vectors(20, seed=1), unit_vectors(50)
    index, excluded = indexes(items)["ball_tree"], exclusions(20, 50)
    with patch.object(neighbors, "top_k", side_effect=AssertionError):
        retrieve(index, queries, items, 5, excluded)
        retrieve(index, queries, items, 60, excluded)


def test_padding_takes_no_place_in_a_list():
    # Padding must not be scored as item 0, which is the best of all here.
    items = unit_vectors(6)
    hidden = sparse.csr_matrix([[0.0, 0, 0, 0, 0, 1]])
    with patch.object(neighbors, "top_k", side_effect=AssertionError):
        _, indices = retrieve(Canned((2, -1, 3)), items[:1], items, 2, hidden)
    assert sorted(indices[0]) == [2, 3]


@pytest.mark.parametrize("name", ["exact", "ball_tree"])
def test_retrieve_among_candidates_only(name):
    queries, items = unit_vectors(8, seed=1), unit_vectors(50)
    allowed, excluded = np.array([3, 7, 20, 49]), exclusions(8, 50)
    found = retrieve(indexes(items)[name], queries, items, 5, excluded, allowed)
    expected = brute_force(queries, items, 5, excluded, allowed)
    np.testing.assert_array_equal(found[1], expected[1])


class Canned(BaseEstimator):
    """Answers every query with the same positions, as a poor index does."""

    def __init__(self, answer=(0,)):
        self.answer = answer

    def fit(self, X, y=None):
        return self

    def kneighbors(self, X, n_neighbors, return_distance=False):
        return np.tile(np.array(self.answer)[:n_neighbors], (len(X), 1))


@pytest.mark.parametrize(
    "answer",
    [(7,) * 50, (-1,) * 50, (4, 4, -1, 2, 2), (3, 8), tuple(range(3)) + (-1,) * 9],
    ids=["one id", "nothing", "repeated", "few columns", "padded"],
)
@pytest.mark.parametrize("hidden", [True, False])
def test_lists_that_fall_short_are_searched_exactly(answer, hidden):
    queries, items = unit_vectors(6, seed=1), unit_vectors(50)
    excluded = exclusions(6, 50) if hidden else None
    found = retrieve(Canned(answer), queries, items, 5, excluded)
    expected = brute_force(queries, items, 5, excluded)
    np.testing.assert_array_equal(found[1], expected[1])
    np.testing.assert_allclose(found[0], expected[0], rtol=1e-12)


def test_poor_but_full_answers_are_scored_and_sorted_exactly():
    queries, items = unit_vectors(6, seed=1), unit_vectors(50)
    scores, indices = retrieve(Canned((9, 1, 30)), queries, items, 3)
    expected = brute_force(queries, items, 3, allowed=np.array([1, 9, 30]))
    np.testing.assert_array_equal(indices, expected[1])
    np.testing.assert_allclose(scores, expected[0], rtol=1e-12)


def test_excluded_answers_are_dropped():
    queries, items = unit_vectors(1, seed=1), unit_vectors(6)
    hidden = sparse.csr_matrix([[1.0, 0, 0, 1, 0, 0]])
    _, indices = retrieve(Canned((0, 1, 2, 3)), queries, items, 2, hidden)
    assert sorted(indices[0]) == [1, 2]


@pytest.mark.parametrize("answer", [(0, 99, 1), (0, 6, 2)])
def test_positions_beyond_the_catalogue_are_no_answers(answer):
    queries, items = unit_vectors(3, seed=1), unit_vectors(6)
    for hidden in (None, exclusions(3, 6, share=0.0)):
        found = retrieve(Canned(answer), queries, items, 3, hidden)
        expected = brute_force(queries, items, 3)
        np.testing.assert_array_equal(found[1], expected[1])


def test_retrieve_without_queries_or_items_left():
    items = unit_vectors(6)
    scores, indices = retrieve(Canned((0, 1)), unit_vectors(0), items, 3)
    assert scores.shape == indices.shape == (0, 3)
    everything = sparse.csr_matrix(np.ones((2, 6)))
    scores, indices = retrieve(Canned((0, 1)), unit_vectors(2), items, 3, everything)
    assert (indices == -1).all() and np.isneginf(scores).all()


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
    built = build_index(given_index, {"n_neighbors": 3, "leaf_size": 7}, items)
    assert built is not given_index and not hasattr(given_index, "n_samples_fit_")
    assert (built.leaf_size, built.kneighbors(items)[1].shape) == (7, (9, 3))
    assert isinstance(build_index("auto", None, items), ExactNeighbors)
    with pytest.raises(ValueError, match="Invalid parameter 'leaf' for estimator Nea"):
        build_index(given_index, {"leaf": 7}, items)


def test_check_index_names_what_is_allowed():
    check_index("exact")
    check_index(NearestNeighbors())
    with pytest.raises(ValueError, match="must be 'auto', 'exact' or.*Got 'fast'"):
        check_index("fast")
    with pytest.raises(TypeError, match="with fit and kneighbors. Got 3 instead"):
        check_index(3)
