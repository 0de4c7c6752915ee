"""Neighbor graphs: all tests that build one, in whatever room.

Each process that builds a graph compiles for most of a minute, in a new environment
for more than two: ``pytest -m graph``, which is a part of CI.
"""

import copy
import gc
import pickle
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pandas as pd
import pytest
import torch
from scipy import sparse
from sklearn.base import clone

from sktwotower import TwoTowerRecommender
from sktwotower.io import dump, load
from sktwotower.neighbors import ExactNeighbors, NNDescentNeighbors
from sktwotower.neighbors import _search as search
from tests.builders import many, random_events, small
from tests.cases import for_each
from tests.io.builders import again, array_bytes, array_of, forged, members_of
from tests.reference import additions, brute_force, exclusions, unit_vectors

pytestmark = pytest.mark.graph
retrieve, nearest_to_one = search.retrieve, search.nearest_to_one
added_of = search.added_of


def recall_of(index, queries, truth):
    """Return the share of the true positions (n, k) that an index finds."""
    found = index.kneighbors(queries, truth.shape[1], return_distance=False)
    return (found[:, :, None] == truth[:, None]).any(axis=1).mean()


def clustered(n, seed=0):
    """Vectors in 40 tight clusters: a graph of them falls into pieces."""
    centres = unit_vectors(40, 16, seed=9)
    rng = np.random.default_rng(seed)
    vectors = centres[rng.integers(40, size=n)] + 0.05 * rng.normal(size=(n, 16))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors.astype(np.float32)


@pytest.fixture(scope="module")
def graph():
    gc.disable()  # a tenth of the time of compiling
    # One thread: the layers of numba and of torch do not share them.
    built = NNDescentNeighbors(n_jobs=1).fit(clustered(2000))
    gc.enable()
    return built


def test_a_graph_finds_what_is_nearest(graph):
    queries = clustered(50, seed=1)
    _, truth = brute_force(queries, graph.vectors_, 10)
    assert graph.graph_ is not None
    assert recall_of(graph, queries, truth) > 0.95
    distances, indices = graph.kneighbors(queries, 10)
    assert (np.diff(distances, axis=1) >= 0).all()
    scores = np.einsum("nd,nkd->nk", queries, graph.vectors_[indices])
    np.testing.assert_allclose(distances, 1 - scores, atol=1e-6)


def test_the_search_widens_until_its_target_is_met():
    vectors, queries = unit_vectors(2000, 24), unit_vectors(60, 24, seed=1)
    index = NNDescentNeighbors(
        target_recall=0.99, epsilon=0.0, search_tree_leaf_budget=1, n_jobs=1
    ).fit(vectors)
    _, truth = brute_force(queries, vectors, 10)
    before = recall_of(index, queries, truth)
    after = index.tune_search_width(queries, 10)
    assert before < 0.9 < 0.99 <= after == recall_of(index, queries, truth)
    assert index.epsilon_ > 0 and index.epsilon == 0.0
    wide = (index.epsilon_, index.search_tree_leaf_budget_)
    assert index.tune_search_width(queries, 10) == after
    assert (index.epsilon_, index.search_tree_leaf_budget_) == wide


@for_each("share", [None, 0.9, 0.02])
def test_filters_over_a_graph(graph, share):
    queries, items = clustered(20, seed=2), graph.vectors_
    excluded = exclusions(20, 2000, share=0.02)
    allowed = None
    if share is not None:
        allowed = np.flatnonzero(np.random.default_rng(3).random(2000) < share)
    scores, indices = retrieve(graph, queries, items, 10, excluded, allowed)
    expected, _ = brute_force(queries, items, 10, excluded, allowed)
    assert (indices >= 0).all()
    assert excluded[np.arange(20)[:, None], indices].sum() == 0
    assert allowed is None or np.isin(indices, allowed).all()
    assert np.isclose(scores, expected).mean() > 0.95


def test_added_numbers_cost_no_recall_of_a_graph(graph):
    queries, items = clustered(50, seed=2), graph.vectors_
    excluded = exclusions(50, 2000, share=0.02)
    added = additions(50, 2000, share=0.02, largest=1.5)
    case = queries, items, 10, excluded
    scores, indices = retrieve(graph, *case, added=added)
    without, _ = retrieve(graph, *case)
    expected, truth = brute_force(*case, added=added)
    recall_without = np.isclose(without, brute_force(*case)[0]).mean()
    assert np.isclose(scores, expected).mean() >= recall_without > 0.95
    n_from_added = 0
    for row, hidden in enumerate(excluded):
        row_added = added_of(added, row)
        one = nearest_to_one(
            graph, queries[row], items, 10, hidden.indices, added=row_added
        )
        np.testing.assert_array_equal(one[1], indices[row])
        np.testing.assert_array_equal(one[0], scores[row])
        best = set(truth[row]) & set(row_added.positions)
        assert best <= set(indices[row])
        n_from_added += len(best)
    assert n_from_added > 50


def test_hidden_items_cost_no_recall_of_a_graph(graph):
    queries, items = clustered(50, seed=2), graph.vectors_
    excluded = exclusions(50, 2000, share=0.15)
    expected, _ = brute_force(queries, items, 10, excluded)

    def recall():
        scores, indices = retrieve(graph, queries, items, 10, excluded)
        alone = [
            nearest_to_one(graph, query, items, 10, hidden.indices)[1]
            for query, hidden in zip(queries, excluded, strict=True)
        ]
        np.testing.assert_array_equal(indices, alone)
        assert (indices >= 0).all()
        return np.isclose(scores, expected).mean()

    assert recall() > 0.95


@for_each("n_hidden", [20, 400])
def test_users_who_know_all_that_is_near_get_full_lists(graph, n_hidden):
    queries, items = clustered(10, seed=4), graph.vectors_
    known = brute_force(queries, items, n_hidden)[1]
    excluded = np.zeros((10, 2000), dtype=np.float32)
    np.put_along_axis(excluded, known, 1, axis=1)
    excluded = sparse.csr_matrix(excluded)
    expected, _ = brute_force(queries, items, 10, excluded)
    scores, found = retrieve(graph, queries, items, 10, excluded)
    assert (found >= 0).all() and np.isclose(scores, expected).mean() > 0.8
    for row, hidden in enumerate(excluded):
        one = nearest_to_one(graph, queries[row], items, 10, hidden.indices)
        assert not np.isin(one[1], hidden.indices).any()
        np.testing.assert_array_equal(one[1], found[row])
        np.testing.assert_array_equal(one[0], scores[row])


def test_a_graph_has_no_more_neighbors_than_items(graph):
    index = clone(graph).fit(graph.vectors_[:400])
    queries = clustered(3, seed=1)
    assert index.graph_ is not None
    for mine, theirs in zip(
        index.kneighbors(queries, 10**9), index.kneighbors(queries, 400), strict=True
    ):
        assert mine.shape == (3, 400)
        np.testing.assert_array_equal(mine, theirs)


def test_a_graph_asked_by_many_threads_answers_as_if_by_one(graph):
    queries = clustered(320, seed=4)
    alone = graph.kneighbors(queries, 10, return_distance=False)
    parts = np.split(np.arange(320), 32)
    with ThreadPoolExecutor(16) as pool:
        found = pool.map(
            lambda rows: graph.kneighbors(queries[rows], 10, return_distance=False),
            parts * 5,
        )
    np.testing.assert_array_equal(np.concatenate([*found]), np.tile(alone, (5, 1)))


def test_threads_of_two_indexes_answer_as_if_alone(graph, stored):
    queries, few = clustered(40, seed=4), stored.vectors_[:40]
    expected = graph.kneighbors(queries, 10), stored.kneighbors(few, 10)
    with ThreadPoolExecutor(8) as pool:
        both = [(graph, queries), (stored, few)] * 40
        more = pool.map(lambda pair: pair[0].kneighbors(pair[1], 10), both)
    for place, (distances, indices) in enumerate(more):
        np.testing.assert_array_equal(indices, expected[place % 2][1])
        np.testing.assert_array_equal(distances, expected[place % 2][0])


def test_a_graph_survives_pickle_and_clone(graph):
    queries = clustered(30, seed=5)
    expected = graph.kneighbors(queries, 10)
    loaded = pickle.loads(pickle.dumps(graph))
    for mine, theirs in zip(loaded.kneighbors(queries, 10), expected, strict=True):
        np.testing.assert_array_equal(mine, theirs)
    assert not hasattr(clone(graph), "graph_")


def test_building_leaves_threads_as_they_are(graph):
    import numba

    before = numba.get_num_threads(), torch.get_num_threads()
    clone(graph).fit(graph.vectors_[:500])
    assert (numba.get_num_threads(), torch.get_num_threads()) == before


def test_changed_items_are_searched_next_to_the_graph(graph):
    rng, queries = np.random.default_rng(3), clustered(50, seed=7)
    vectors = np.concatenate([graph.vectors_, clustered(60, seed=6)])
    moved = np.sort(rng.choice(2000, 90, replace=False))
    vectors[moved] = clustered(90, seed=8)
    before = graph.kneighbors(queries, 10)
    index = graph.updated(vectors, np.append(moved, np.arange(2000, 2060)))
    np.testing.assert_array_equal(index.changed_, [*moved, *range(2000, 2060)])
    np.testing.assert_array_equal(index.stale_vectors_, graph.vectors_[moved])
    same = graph.updated(vectors)
    np.testing.assert_array_equal(same.changed_, index.changed_)
    for k in (1, 10, 200):
        scores, truth = brute_force(queries, vectors, k)
        distances, found = index.kneighbors(queries, k)
        assert (np.isin(found, truth) | (found == truth)).mean() > 0.95
        assert (distances[:, 0] <= 1 - scores[:, 0] + 1e-5).mean() > 0.95
        assert all(len(set(row)) == k for row in found.tolist())
    # a changed item is its own neighbor, not at the place of its old vector
    own = index.kneighbors(vectors[index.changed_], 1, return_distance=False)[:, 0]
    np.testing.assert_array_equal(own, index.changed_)
    # in a second step some of them change again
    again = vectors.copy()
    again[moved[:5]] = clustered(5, seed=9)
    later = index.updated(again, moved[:5])
    np.testing.assert_array_equal(later.stale_vectors_, index.stale_vectors_)
    own = later.kneighbors(again[moved], 1, return_distance=False)[:, 0]
    np.testing.assert_array_equal(own, moved)
    for mine, theirs in zip(graph.kneighbors(queries, 10), before, strict=True):
        np.testing.assert_array_equal(mine, theirs)
    with pytest.raises(ValueError, match="must have the same length"):
        graph.updated(np.concatenate([graph.vectors_, 2 * clustered(9, seed=1)]))
    other = vectors.copy()
    other[:400] = vectors[400:800]
    assert index.updated(other) is None  # a rebuild pays
    assert graph.updated(graph.vectors_[1:]) is None


def test_all_items_the_same():
    items = np.ones((400, 4), dtype=np.float32) / 2
    index = NNDescentNeighbors(n_jobs=1).fit(items)
    scores, indices = retrieve(index, items[:3], items, 5)
    assert (scores == 1).all()
    assert all(len(set(row)) == 5 for row in indices.tolist())


def test_a_recommender_over_a_graph(events):
    params = {"embedding_dim": 8, "max_epochs": 3, "random_state": 0}
    # As many further items as a graph needs, each with a user.
    users = np.resize(events["user"].unique(), 400)
    more = pd.DataFrame({"user": users, "item": [f"j{i}" for i in range(400)]})
    events = pd.concat([events, more])
    exact = TwoTowerRecommender(**params).fit(events)
    index = NNDescentNeighbors(target_recall=0.99)
    model = TwoTowerRecommender(**params, neighbors=index).fit(events)
    assert model.neighbors_.graph_ is not None and model.index_recall_ >= 0.99
    assert exact.index_recall_ == 1.0
    mine, theirs = (m.recommend(n_neighbors=5) for m in (model, exact))
    same = mine.merge(theirs, on=["user", "item"])
    assert len(mine) == len(theirs) and len(same) > 0.98 * len(theirs)


def test_a_graph_takes_changed_items_without_a_rebuild(tmp_path):
    model, events = many(neighbors="nndescent")
    graph, index = model.neighbors_.graph_, model.neighbors_
    new = pd.DataFrame({"user": [1, 2], "item": [1000, 1001]})
    model.partial_fit(pd.concat([events[:3], new]))
    model.partial_fit(events[3:6])
    assert model.neighbors_.graph_ is graph and len(index.changed_) == 0
    assert {400, 401} < set(model.neighbors_.changed_.tolist())
    queries, vectors = model.embed_users(np.arange(60)), model.item_embeddings_
    expected = ExactNeighbors().fit(vectors).kneighbors(queries, 10)[1]
    distances, found = model.neighbors_.kneighbors(queries, 10)
    assert (found == expected).mean() > 0.95
    right = np.take_along_axis(queries @ vectors.T, found, 1)
    np.testing.assert_allclose(1 - distances, right, atol=1e-5)
    dump(model, tmp_path / "model.sktt")
    read = load(tmp_path / "model.sktt")
    np.testing.assert_array_equal(read.neighbors_.changed_, model.neighbors_.changed_)
    for each in (model, read):
        each.partial_fit(events[6:9])
    for mine, theirs in zip(
        model.neighbors_.kneighbors(queries, 10),
        read.neighbors_.kneighbors(queries, 10),
        strict=True,
    ):
        np.testing.assert_allclose(mine, theirs, atol=1e-6)
    # in the end a rebuild pays
    for start in range(10, 60, 3):
        model.partial_fit(events[start : start + 3])
    assert model.neighbors_.graph_ is not graph
    assert len(model.neighbors_.changed_) < 402 / 8


# Graphs in files.


@pytest.fixture
def path(tmp_path):
    return tmp_path / "model.sktt"


@pytest.fixture(scope="module")
def stored():
    vectors = np.random.default_rng(0).normal(size=(400, 4)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return NNDescentNeighbors(n_graph_neighbors=10, n_neighbors=5).fit(vectors)


@pytest.mark.parametrize("how", [{}, {"mmap": True, "verify": False}])
def test_a_graph_returns_the_same_neighbors(stored, how, path):
    dump(stored, path)
    read = load(path, **how)
    copied = copy.deepcopy(stored)  # a search moves its random state
    expected, got = (each.kneighbors(stored.vectors_) for each in (copied, read))
    np.testing.assert_array_equal(got[0], expected[0])
    np.testing.assert_array_equal(got[1], expected[1])
    assert read.epsilon_ == stored.epsilon_


# What a search or an environment leaves behind, and no update reads.
SCRATCH = "_original_num_threads", "_visited", "search_tree_leaf_budget"


def test_a_graph_has_all_that_an_update_needs(stored, path):
    dump(stored, path)
    got, expected = (each.graph_.__getstate__() for each in (load(path), stored))
    assert got.keys() == expected.keys()
    for name, value in expected.items():
        if isinstance(value, np.ndarray) and name not in SCRATCH:
            np.testing.assert_array_equal(got[name], value)
        elif name == "_neighbor_graph":
            np.testing.assert_array_equal(got[name], value)
        elif name not in SCRATCH:
            assert type(got[name]) is type(value), name
            if isinstance(value, bool | int | float | str):
                assert got[name] == value, name


def test_a_model_with_a_graph_has_its_vectors_once(path):
    events = random_events(n_users=30, n_items=120, density=0.1)
    index = NNDescentNeighbors(n_graph_neighbors=10)
    model = small(neighbors=index).fit(events)
    assert model.neighbors_.graph_ is not None
    read = again(model, path)
    assert np.shares_memory(read.neighbors_.vectors_, read.item_embeddings_)
    assert read.index_recall_ == model.index_recall_
    users = model.user_ids_[:5]
    assert read.recommend(users).equals(model.recommend(users))
    half = again(model, path, vector_dtype="float16")
    assert np.shares_memory(half.neighbors_.vectors_, half.item_embeddings_)


FORGED = [
    ("columns", lambda a: a + 1000, "positions from 0 to 399"),
    ("columns", lambda a: -a - 1, "positions from 0 to 399"),
    ("graph_.offsets", lambda a: a[::-1].copy(), "ascending"),
    ("graph_.offsets", lambda a: a * 2, "ascending"),
    ("order", lambda a: a * 0, "all positions"),
    ("neighbors", lambda a: a + 1000, "positions from -1"),
    ("neighbors", lambda a: a[:, 1:], "of the shape"),
    ("tree_items", lambda a: a + 1000, "positions from 0"),
    ("tree_items", lambda a: a[1:], "tree_items must be of the shape"),
    ("tree_planes", lambda a: a[1:], "with n_nodes = "),
    ("tree_planes", lambda a: a * np.nan, "finite"),
    ("tree_children", lambda a: np.where(a > 0, 0, a), "."),  # one leaf without items
    ("tree_children", lambda a: np.where(a > 0, 1, a), "a tree"),  # a loop
    ("tree_children", lambda a: np.where(a > 0, 10**6, a), "a tree"),
    ("tree_children", lambda a: np.where(a < 0, -(10**6), a), "leaves of items"),
    ("states", lambda a: a[:, :2].copy(), "of the shape"),
]


def test_a_forged_graph_is_refused(stored, path):
    for part, change, message in FORGED:
        dump(stored, path)
        members = members_of(path.read_bytes())
        (name,) = [name for name in members if name.endswith(f"{part}.npy")]
        members[name] = array_bytes(change(array_of(members[name])))
        path.write_bytes(forged(members))
        if message == ".":
            read = load(path)
            assert read.kneighbors(stored.vectors_[:3])[1].max() < 400
            return
        with pytest.raises(ValueError, match=message):
            load(path)
