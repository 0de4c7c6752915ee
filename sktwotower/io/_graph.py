"""The graph of pynndescent as arrays.

Input: a graph of `NNDescentNeighbors`, or its arrays and vectors (n_items, d).
Output: the other one of both.

The arrays of a search are stored. To build the graph of 4,000 items again from its
lists of neighbors takes 25 s in a new process, most of it for compilation.
"""

import inspect

import numpy as np
from scipy import sparse

from ._errors import array, finite, integer, number, positions, refuse, require

__all__ = ["GraphCodec"]

# Arrays of a graph, by what files call them.
ARRAYS = {
    "neighbors": array("int32", 2),
    "distances": array("float32", 2),
    "offsets": array("int32 int64", 1),
    "columns": array("int32 int64", 1),
    "order": array("int32 int64", 1),
    "tree_planes": array("float32", 2),
    "tree_offsets": array("float32", 1),
    "tree_children": array("int32", 2),
    "tree_items": array("int32", 1),
    "states": array("int64", 2),
}
NUMBERS = {
    "n_trees": integer(1),
    "n_trees_after_update": integer(1),
    "n_iters": integer(1),
    "leaf_size": integer(1),
    "min_distance": number(0),
}
# Parameters of pynndescent that a graph does not keep, and what is the same for all
# graphs of `NNDescentNeighbors`.
NO_ATTRIBUTES = "data", "init_graph", "init_dist", "tree_init"
CONSTANTS = {
    "metric": "euclidean",
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


class GraphCodec:
    """How a graph is written and read; its vectors are those of the index."""

    @staticmethod
    def write(graph, writer, place):
        """Return what JSON holds for a graph."""
        state = graph.__getstate__()
        planes, offsets, children, items, leaf_size = state["_search_forest"][0]
        parts = {
            "neighbors": state["_neighbor_graph"][0],
            "distances": state["_neighbor_graph"][1],
            "offsets": state["_search_graph"].indptr,
            "columns": state["_search_graph"].indices,
            "order": state["_vertex_order"],
            "tree_planes": planes,
            "tree_offsets": offsets,
            "tree_children": children,
            "tree_items": items,
            "states": np.stack([state["rng_state"], state["search_rng_state"]]),
            "n_trees": int(graph.n_trees),
            "n_trees_after_update": int(graph.n_trees_after_update),
            "n_iters": int(graph.n_iters),
            "leaf_size": int(leaf_size),
            "min_distance": float(state["_min_distance"]),
        }
        return writer.write_parts(parts, place)

    @staticmethod
    def read(spec, reader, place):
        """Return the graph of the index whose other parts are read already."""
        if type(spec) is not dict or set(spec) != {*ARRAYS, *NUMBERS}:
            refuse(place, "a graph", spec)
        parts = {
            name: check(reader.read(spec[name], f"{place}.{name}"), f"{place}.{name}")
            for name, check in (ARRAYS | NUMBERS).items()
        }
        index = reader.owner
        require(hasattr(index, "epsilon_"), place, "a graph of an index")
        check_changes(index, place)
        check_graph(parts, index, place)
        vectors = _known_vectors(index, len(parts["order"]), place)
        return _graph(parts, index, vectors)


def check_changes(index, place):
    """Raise unless changed items are items."""
    names = "vectors_", "changed_", "stale_vectors_"
    require(all(map(vars(index).__contains__, names)), place, "an index with all parts")
    n, d = index.vectors_.shape
    changed, stale = index.changed_, index.stale_vectors_
    positions(changed, f"{place}.changed_", n)
    fits = (np.diff(changed) > 0).all() and stale.shape[1:] == (d,)
    require(fits and len(stale) <= len(changed), place, "an index of changed items")


def _known_vectors(index, n, place):
    """Return the vectors (n, d) that the graph of an index holds."""
    changed, n_stale = index.changed_, len(index.stale_vectors_)
    fits = 0 < n <= len(index.vectors_)
    fits = fits and np.array_equal(changed[n_stale:], np.arange(n, len(index.vectors_)))
    require(fits, place, "a graph of all items that have not changed")
    vectors = index.vectors_[:n]
    if n_stale:
        vectors = vectors.copy()
        vectors[changed[:n_stale]] = index.stale_vectors_
    return vectors


def check_graph(parts, index, place):
    """Raise unless a search stays within the arrays, and ends."""
    n, d = len(parts["order"]), index.vectors_.shape[1]
    integer(1, max(64, n))(index.search_tree_leaf_budget_, place)
    shape = n, index.n_graph_neighbors
    for name in ("neighbors", "distances"):
        require(parts[name].shape == shape, f"{place}.{name}", f"of shape {shape}")
    positions(parts["neighbors"].ravel(), f"{place}.neighbors", n, -1)
    order = np.sort(parts["order"])
    require(np.array_equal(order, np.arange(n)), f"{place}.order", "all positions")
    offsets, columns = parts["offsets"], parts["columns"]
    fits = len(offsets) == n + 1 and offsets[0] == 0 and offsets[-1] == len(columns)
    require(fits and (np.diff(offsets) >= 0).all(), f"{place}.offsets", "ascending")
    positions(columns, f"{place}.columns", n)
    require(len(parts["tree_items"]) == n, f"{place}.tree_items", "all items")
    positions(parts["tree_items"], f"{place}.tree_items", n)
    require(parts["states"].shape == (2, 3), f"{place}.states", "of shape (2, 3)")
    _check_tree(parts, n, d, place)


def _check_tree(parts, n, d, place):
    """Raise unless children follow their only parent, and leaves are of the items."""
    children, n_nodes = parts["tree_children"], len(parts["tree_offsets"])
    place = f"{place}.tree_children"
    fits = n_nodes and children.shape == (n_nodes, 2)
    require(fits and parts["tree_planes"].shape == (n_nodes, d), place, "all nodes")
    finite(parts["tree_planes"], place)
    finite(parts["tree_offsets"], place)
    inner = children[:, 0] > 0
    below, parents = children[inner], np.flatnonzero(inner)[:, None]
    fits = (below > parents).all() and (below < n_nodes).all()
    require(fits and len(np.unique(below)) == below.size, place, "a tree")
    first, last = -children[~inner].T
    require((0 <= first).all() and (first <= last).all(), place, "leaves of items")
    require((last <= n).all(), place, "leaves of items")


def _graph(parts, index, vectors):
    """Return an ``NNDescent`` of checked arrays."""
    from pynndescent import NNDescent

    known = inspect.signature(NNDescent).parameters
    state = {name: p.default for name, p in known.items() if name not in NO_ATTRIBUTES}
    state["prune_degree_multiplier"] = state.pop("pruning_degree_multiplier")
    state |= CONSTANTS | _arrays(parts, vectors)
    state |= {
        "n_neighbors": index.n_graph_neighbors,
        "search_tree_leaf_budget": index.search_tree_leaf_budget_,
        "search_tree_leaf_size": parts["leaf_size"],
        "parallel_batch_queries": index.parallel_batch_queries,
        "random_state": index.random_state,
        "n_jobs": index.n_jobs,
        "n_trees": parts["n_trees"],
        "n_trees_after_update": parts["n_trees_after_update"],
        "n_iters": parts["n_iters"],
        "dim": index.vectors_.shape[1],
        "_min_distance": np.float32(parts["min_distance"]),
    }
    graph = NNDescent.__new__(NNDescent)  # its constructor would build it
    graph.__setstate__(state)
    return graph


def _arrays(parts, vectors):
    """Return the arrays of a graph by the names of pynndescent."""
    n = len(vectors)
    tree = [
        np.array(parts[f"tree_{name}"])
        for name in ("planes", "offsets", "children", "items")
    ]
    edges = np.ones(len(parts["columns"]), dtype=np.uint8)
    graph = sparse.csr_array((edges, parts["columns"], parts["offsets"]), (n, n))
    graph.has_sorted_indices = True  # as pynndescent says: the order must stay
    return {
        "rng_state": np.array(parts["states"][0]),
        "search_rng_state": np.array(parts["states"][1]),
        "_raw_data": np.ascontiguousarray(vectors[parts["order"]]),
        "_neighbor_graph": (np.array(parts["neighbors"]), np.array(parts["distances"])),
        "_search_forest": ((*tree, parts["leaf_size"]),),
        "_search_graph": graph,
        "_vertex_order": np.array(parts["order"]),
        "_visited": np.zeros(n // 8 + 1, dtype=np.uint8),
    }
