"""Towers of the user, which files hold without their class, and graphs of neighbors."""

import copy

import numpy as np
import pytest
import torch
from torch import nn

from sktwotower.io import dump, load
from sktwotower.neighbors import NNDescentNeighbors
from tests.builders import random_events, small

from .builders import (
    again,
    array_bytes,
    array_of,
    assert_same_answers,
    forged,
    members_of,
)


class Normed(nn.Module):
    """A tower with a buffer of integers, that of the batch norm."""

    def __init__(self, n_features=None):
        super().__init__()
        self.linear = (
            nn.LazyLinear(8) if n_features is None else nn.Linear(n_features, 8)
        )
        self.norm = nn.BatchNorm1d(8)

    def forward(self, rows):
        return self.norm(self.linear(rows))


TOWERS = {
    "module": Normed(),
    "class": Normed,
    "function": lambda n: Normed(n),
    "lazy layer": nn.LazyLinear(8),
}


@pytest.fixture
def path(tmp_path):
    return tmp_path / "model.sktt"


@pytest.mark.parametrize("kind", TOWERS)
@pytest.mark.parametrize("side", ["user_tower", "item_tower"])
def test_a_tower_of_the_user_gets_the_weights_of_the_file(kind, side, path):
    tower = TOWERS[kind]
    model = small(**{side: tower}).fit(random_events())
    read = again(model, path, load_params={"towers": {side: tower}})
    assert_same_answers(model, read)
    assert getattr(read, side) is tower
    again_fitted = copy.copy(model)
    for each in (again_fitted, read):
        each.partial_fit(random_events())
    assert_same_answers(again_fitted, read)


def test_a_missing_tower_is_named(path):
    dump(small(item_tower=Normed).fit(random_events()), path)
    message = "item_tower of the class tests.io.test_towers.Normed.*towers={'item_tow"
    with pytest.raises(ValueError, match=message):
        load(path)
    with pytest.raises(ValueError, match=message):
        load(path, towers={"user_tower": Normed})
    with pytest.raises(ValueError, match="towers must be a dict.*Got.*'items'"):
        load(path, towers={"items": Normed})


@pytest.mark.parametrize("tower", [nn.LazyLinear(7), nn.Sequential(Normed())])
def test_another_tower_is_refused(tower, path):
    dump(small(item_tower=Normed).fit(random_events()), path)
    with pytest.raises(ValueError, match="is not the one that was written"):
        load(path, towers={"item_tower": tower})


def test_a_tower_that_is_no_module_is_refused(path):
    dump(small(item_tower=Normed).fit(random_events()), path)
    for tower in (3, lambda n: "tower"):
        with pytest.raises((TypeError, ValueError), match="item_tower must be"):
            load(path, towers={"item_tower": tower})


def test_reading_changes_no_random_state_of_torch(path):
    dump(small(hidden_layer_sizes=(4,)).fit(random_events()), path)
    torch.manual_seed(0)
    expected = torch.rand(1)
    torch.manual_seed(0)
    load(path)
    assert torch.rand(1) == expected


# Graphs


@pytest.fixture(scope="module")
def graph():
    vectors = np.random.default_rng(0).normal(size=(400, 4)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return NNDescentNeighbors(n_graph_neighbors=10, n_neighbors=5).fit(vectors)


@pytest.mark.slow
@pytest.mark.parametrize("how", [{}, {"mmap": True, "verify": False}])
def test_a_graph_returns_the_same_neighbors(graph, how, path):
    dump(graph, path)
    for width in (None, 1):
        read = load(path, **how)
        if width is not None:
            graph._set_width((width, 0.3))
            read._set_width((width, 0.3))
        copied = copy.deepcopy(graph)  # a search moves its random state
        expected, got = (
            copied.kneighbors(graph.vectors_),
            read.kneighbors(graph.vectors_),
        )
        np.testing.assert_array_equal(got[0], expected[0])
        np.testing.assert_array_equal(got[1], expected[1])


# What a search or an environment leaves behind, and no update reads.
SCRATCH = "_original_num_threads", "_visited", "search_tree_leaf_budget"


@pytest.mark.slow
def test_a_graph_has_all_that_an_update_needs(graph, path):
    dump(graph, path)
    got, expected = (each.graph_.__getstate__() for each in (load(path), graph))
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


@pytest.mark.slow
def test_a_model_with_a_graph_has_its_vectors_once(path):
    events = random_events(n_users=30, n_items=120, density=0.1)
    index = NNDescentNeighbors(n_graph_neighbors=10)
    model = small(neighbors=index).fit(events)
    assert model.neighbors_.graph_ is not None
    read = again(model, path)
    assert read.neighbors_.vectors_ is read.item_embeddings_
    assert read.index_recall_ == model.index_recall_
    users = model.user_ids_[:5]
    assert read.recommend(users).equals(model.recommend(users))
    half = again(model, path, vector_dtype="float16")
    assert half.neighbors_.vectors_ is half.item_embeddings_


FORGED = [
    ("columns", lambda a: a + 1000, "positions from 0 to 399"),
    ("columns", lambda a: -a - 1, "positions from 0 to 399"),
    ("graph_.offsets", lambda a: a[::-1].copy(), "ascending"),
    ("graph_.offsets", lambda a: a * 2, "ascending"),
    ("order", lambda a: a * 0, "all positions"),
    ("neighbors", lambda a: a + 1000, "positions from -1"),
    ("neighbors", lambda a: a[:, 1:], "of shape"),
    ("tree_items", lambda a: a + 1000, "positions from 0"),
    ("tree_items", lambda a: a[1:], "all items"),
    ("tree_planes", lambda a: a[1:], "all nodes"),
    ("tree_planes", lambda a: a * np.nan, "finite"),
    ("tree_children", lambda a: np.where(a > 0, 0, a), "."),  # one leaf without items
    ("tree_children", lambda a: np.where(a > 0, 1, a), "a tree"),  # a loop
    ("tree_children", lambda a: np.where(a > 0, 10**6, a), "a tree"),
    ("tree_children", lambda a: np.where(a < 0, -(10**6), a), "leaves of items"),
    ("states", lambda a: a[:, :2].copy(), "of shape"),
]


@pytest.mark.slow
@pytest.mark.parametrize("part, change, message", FORGED)
def test_a_forged_graph_is_refused(part, change, message, graph, path):
    dump(graph, path)
    members = members_of(path.read_bytes())
    (name,) = [name for name in members if name.endswith(f"{part}.npy")]
    members[name] = array_bytes(change(array_of(members[name])))
    path.write_bytes(forged(members))
    if message == ".":
        read = load(path)
        assert read.kneighbors(graph.vectors_[:3])[1].max() < 400
        return
    with pytest.raises(ValueError, match=message):
        load(path)
