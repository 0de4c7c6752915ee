from unittest.mock import patch

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.base import BaseEstimator

from sktwotower.neighbors import ExactNeighbors, _one_query, _top_k
from sktwotower.neighbors._one_query import nearest_to_one
from sktwotower.neighbors._search import retrieve
from tests.reference import brute_force, exclusions, unit_vectors


class Sparing(BaseEstimator):
    """Finds the nearest items, except that every ``step``-th place is padding."""

    def __init__(self, step=2, padding=-1):
        self.step, self.padding = step, padding

    def fit(self, X, y=None):
        self.items_, self.widths_ = X, []
        return self

    def kneighbors(self, X, n_neighbors, return_distance=False):
        self.widths_.append(n_neighbors)
        found = np.argsort(-(X @ self.items_.T), axis=1)[:, :n_neighbors]
        found[:, :: self.step] = self.padding
        return found


@pytest.mark.slow
@settings(max_examples=150, deadline=None, derandomize=True)
@given(
    seed=st.integers(0, 2**32 - 1),
    n_items=st.integers(1, 40),
    k=st.integers(1, 45),
    share=st.sampled_from([0.0, 0.3, 0.95, 1.0]),
)
def test_one_query_equals_brute_force(seed, n_items, k, share):
    query, items = unit_vectors(1, seed=seed), unit_vectors(n_items, seed=seed + 1)
    excluded = exclusions(1, n_items, seed, share)
    expected = brute_force(query, items, k, excluded)
    index = ExactNeighbors().fit(items)
    scores, indices = nearest_to_one(index, query[0], items, k, excluded.indices)
    np.testing.assert_allclose(scores, expected[0][0], rtol=1e-12)
    np.testing.assert_array_equal(indices, expected[1][0])
    again = retrieve(index, query, items, k, excluded)
    np.testing.assert_array_equal(again[0], scores[None])
    np.testing.assert_array_equal(again[1], indices[None])


def test_one_query_is_answered_as_it_is_among_others():
    queries, items = unit_vectors(20, seed=1), unit_vectors(300)
    excluded = exclusions(20, 300, share=0.5)
    index = ExactNeighbors().fit(items)
    together = retrieve(index, queries, items, 7, excluded)
    for row in range(20):
        hidden = excluded[row].indices
        scores, indices = nearest_to_one(index, queries[row], items, 7, hidden)
        np.testing.assert_array_equal(scores, together[0][row])
        np.testing.assert_array_equal(indices, together[1][row])


@pytest.mark.parametrize("padding", [-1, 60])
def test_an_index_is_asked_again_for_more_and_then_done_without(padding):
    query, items = unit_vectors(1, seed=1)[0], unit_vectors(60)
    order = np.argsort(-(items @ query), kind="stable")
    hidden = order[[1, 3]]  # by the index, only even places can be found
    index = Sparing(padding=padding).fit(items)
    _, indices = nearest_to_one(index, query, items, 3, hidden)
    assert index.widths_ == [5, 20]
    assert indices.tolist() == order[[5, 7, 9]].tolist()
    with patch.object(_one_query, "MAX_EXTRA", 2):
        _, indices = nearest_to_one(index, query, items, 3, hidden)
    assert index.widths_ == [5, 20, 5]
    assert indices.tolist() == order[[0, 2, 4]].tolist()


def test_an_index_of_other_vectors_is_refused():
    index = ExactNeighbors().fit(np.eye(3))
    with pytest.raises(ValueError, match="vectors of 3 numbers, but .* have 2"):
        nearest_to_one(index, np.ones(2), np.eye(2), 1, ())


@pytest.mark.parametrize("way", ["cached", "BLAS", "torch", "vecdot", "einsum"])
def test_every_way_to_multiply_gives_the_dot_products(way, monkeypatch):
    monkeypatch.setattr(_top_k, "CACHED_BYTES", 10**9 if way == "cached" else 0)
    by_rows = way in ("vecdot", "einsum")
    monkeypatch.setattr(_top_k, "_FASTER_BY_ROWS", {unit_vectors(1).shape[1]: by_rows})
    monkeypatch.setattr(_top_k, "MANY_THREADS", 1 if way == "torch" else 10**9)
    if way == "einsum":
        monkeypatch.delattr(np, "vecdot", raising=False)
    items, query = unit_vectors(70), unit_vectors(1, seed=1)[0]
    found = _top_k._products(items, query)
    assert found.dtype == np.float32 and found.flags.writeable
    np.testing.assert_allclose(found, items.astype(float) @ query, atol=1e-6)


def test_the_faster_product_is_measured_once_for_each_width(monkeypatch):
    monkeypatch.setattr(_top_k, "CACHED_BYTES", 0)
    monkeypatch.setattr(_top_k, "MANY_THREADS", 10**9)
    monkeypatch.setattr(_top_k, "_FASTER_BY_ROWS", {})
    seconds = iter([2.0, 1.0, 1.0, 2.0, 1.0, 0.9])  # BLAS, rows
    monkeypatch.setattr(_top_k, "_seconds", lambda *args: next(seconds))
    for width in (3, 3, 4, 4, 5):
        found = _top_k._products(np.eye(width, dtype="f"), np.ones(width, dtype="f"))
        np.testing.assert_array_equal(found, 1)
    assert _top_k._FASTER_BY_ROWS == {3: True, 4: False, 5: False}  # 0.9: by chance


def test_absurd_numbers_of_neighbors_cost_nothing():
    index = ExactNeighbors().fit(unit_vectors(9))
    distances, indices = index.kneighbors(unit_vectors(2), n_neighbors=10**15)
    assert distances.shape == indices.shape == (2, 9)
