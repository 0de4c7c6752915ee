"""The graph of pynndescent as arrays.

Input: a graph of `NNDescentNeighbors`, or its arrays and vectors (n_items, d).
Output: the other one of both.

The arrays of a search are stored. To build the graph of 4,000 items again from its
lists of neighbors takes 25 s in a new process, most of it for compilation.
"""

import inspect
from typing import NamedTuple

import numpy as np
from scipy import sparse

from sktwotower._records import array, integer, number, positions, record, require
from sktwotower._records._checks import instance
from sktwotower._records._kinds import Codec

from ._threads import numba_threads

# What `StoredGraph` holds of a search tree, in the order of pynndescent, and of counts.
TREE = "tree_planes", "tree_offsets", "tree_children", "tree_items"
COUNTS = "n_trees", "n_trees_after_update", "n_iters"


@record
class StoredGraph(NamedTuple):
    """What a file holds of a graph of n items."""

    neighbors: array("int32", "n n_neighbors")
    distances: array("float32", "n n_neighbors")
    offsets: array("int32 int64", "n+1")
    columns: array("int32 int64", "n_edges")
    order: array("int32 int64", "n")
    tree_planes: array("float32", "n_nodes d", is_finite=True)
    tree_offsets: array("float32", "n_nodes", is_finite=True)
    tree_children: array("int32", "n_nodes 2")
    tree_items: array("int32", "n")
    states: array("int64", "2 3")
    n_trees: integer(1)
    n_trees_after_update: integer(1)
    n_iters: integer(1)
    leaf_size: integer(1)
    min_distance: number(0)

    @classmethod
    def of(cls, graph):
        """Return what a file holds of a graph of pynndescent."""
        state = graph.__getstate__()
        *tree, leaf_size = state["_search_forest"][0]
        return cls(
            **dict(zip(TREE, tree, strict=True)),
            **{name: int(state[name]) for name in COUNTS},
            neighbors=state["_neighbor_graph"][0],
            distances=state["_neighbor_graph"][1],
            offsets=state["_search_graph"].indptr,
            columns=state["_search_graph"].indices,
            order=state["_vertex_order"],
            states=np.stack([state["rng_state"], state["search_rng_state"]]),
            leaf_size=int(leaf_size),
            min_distance=float(state["_min_distance"]),
        )

    def _check_stored(self, place):
        """Raise unless a search stays within the arrays, and ends."""
        n = len(self.order)
        offsets = self.offsets
        positions(self.neighbors.ravel(), f"{place}.neighbors", n, -1)
        order = np.sort(self.order)
        require(np.array_equal(order, np.arange(n)), f"{place}.order", "all positions")
        fits = offsets[0] == 0 and offsets[-1] == len(self.columns)
        require(fits and (np.diff(offsets) >= 0).all(), f"{place}.offsets", "ascending")
        positions(self.columns, f"{place}.columns", n)
        positions(self.tree_items, f"{place}.tree_items", n)
        self._check_tree(f"{place}.tree_children")

    def _check_tree(self, place):
        """Raise unless children follow their only parent, and leaves are of items."""
        children = self.tree_children
        n_nodes = len(self.tree_offsets)
        require(n_nodes, place, "some nodes")
        inner = children[:, 0] > 0
        below = children[inner]
        parents = np.flatnonzero(inner)[:, None]
        fits = (below > parents).all() and (below < n_nodes).all()
        require(fits and len(np.unique(below)) == below.size, place, "a tree")
        first, last = -children[~inner].T
        require((0 <= first).all() and (first <= last).all(), place, "leaves of items")
        require((last <= len(self.order)).all(), place, "leaves of items")


# Parameters of pynndescent that a graph does not keep, and what is the same for all
# graphs of `NNDescentNeighbors`.
NO_ATTRIBUTES = "data", "init_graph", "init_dist", "tree_init"
CONSTANTS = {
    "tree_init": True,
    "_input_dtype": np.float32,
    "_dist_args": (),
    "_distance_correction": None,
    "_normalized_data": False,
    "_angular_trees": False,
    "_bit_trees": False,
    "_is_sparse": False,
    "_compile_search": False,
    "_original_num_threads": 1,
}


def _write(graph, writer, place):
    """Return what JSON holds for a graph."""
    return writer.write(StoredGraph.of(graph), place)


def _read(spec, reader, place):
    """Return the graph of the index whose other parts are read already."""
    stored = instance(StoredGraph)(reader.read(spec, place), place)
    index = reader.owner
    require(hasattr(index, "epsilon_"), place, "a graph of an index")
    check_changes(index, place)
    n = len(stored.order)
    k = index.n_graph_neighbors
    integer(1, max(64, n))(index.search_tree_leaf_budget_, place)
    require(stored.neighbors.shape[1] == k, f"{place}.neighbors", f"{k} for each item")
    fits = stored.tree_planes.shape[1] == index.vectors_.shape[1]
    require(fits, f"{place}.tree_planes", "as long as the vectors")
    return _graph(stored, index, _known_vectors(index, n, place))


# A graph, whose vectors are those of the index.
GRAPH = Codec(_read, _write)


def check_changes(index, place):
    """Raise unless changed items are items."""
    names = "vectors_", "changed_", "stale_vectors_"
    require(all(map(vars(index).__contains__, names)), place, "an index with all parts")
    n, d = index.vectors_.shape
    changed = index.changed_
    stale = index.stale_vectors_
    positions(changed, f"{place}.changed_", n)
    fits = (np.diff(changed) > 0).all() and stale.shape[1:] == (d,)
    require(fits and len(stale) <= len(changed), place, "an index of changed items")


def _known_vectors(index, n, place):
    """Return the vectors (n, d) that the graph of an index holds."""
    changed = index.changed_
    n_stale = len(index.stale_vectors_)
    n_vectors = len(index.vectors_)
    fits = 0 < n <= n_vectors
    if fits:
        fits = np.array_equal(changed[n_stale:], np.arange(n, n_vectors))
    require(fits, place, "a graph of all items that have not changed")
    vectors = index.vectors_[:n]
    if n_stale:
        vectors = vectors.copy()
        vectors[changed[:n_stale]] = index.stale_vectors_
    return vectors


def _graph(stored, index, vectors):
    """Return a ``LockedGraph`` of checked arrays."""
    from pynndescent import NNDescent

    from ._locked_graph import LockedGraph

    known = inspect.signature(NNDescent).parameters
    state = {name: p.default for name, p in known.items() if name not in NO_ATTRIBUTES}
    state["prune_degree_multiplier"] = state.pop("pruning_degree_multiplier")
    state |= {name: getattr(stored, name) for name in COUNTS}
    state |= CONSTANTS | _arrays(stored, vectors)
    state |= settings_of(index, stored.leaf_size) | {"dim": index.vectors_.shape[1]}
    state["_min_distance"] = np.float32(stored.min_distance)
    graph = LockedGraph.__new__(LockedGraph)  # its constructor would build it
    graph.__setstate__(state)
    return graph


def settings_of(index, leaf_size):
    """Return the arguments of pynndescent for the graph of an index."""
    return {
        "metric": "euclidean",
        "n_neighbors": index.n_graph_neighbors,
        "search_tree_leaf_budget": index.search_tree_leaf_budget_,
        "search_tree_leaf_size": leaf_size,
        "parallel_batch_queries": index.parallel_batch_queries,
        "random_state": index.random_state,
        "n_jobs": numba_threads(index.n_jobs),
    }


def _arrays(stored, vectors):
    """Return the arrays of a graph by the names of pynndescent."""
    n = len(vectors)
    tree = [np.array(getattr(stored, name)) for name in TREE]
    edges = np.ones(len(stored.columns), dtype=np.uint8)
    graph = sparse.csr_array((edges, stored.columns, stored.offsets), (n, n))
    graph.has_sorted_indices = True  # as pynndescent says: the order must stay
    return {
        "rng_state": np.array(stored.states[0]),
        "search_rng_state": np.array(stored.states[1]),
        "_raw_data": np.ascontiguousarray(vectors[stored.order]),
        "_neighbor_graph": (np.array(stored.neighbors), np.array(stored.distances)),
        "_search_forest": ((*tree, stored.leaf_size),),
        "_search_graph": graph,
        "_vertex_order": np.array(stored.order),
    }
