"""What neighbor indexes consist of; their vectors are those of the catalog.

Input: objects of the room ``neighbors``, or an index of another package.
Output: their kinds, and the index of a catalog.
"""

import numpy as np
from sklearn.base import clone

from sktwotower.neighbors import ExactNeighbors, NNDescentNeighbors

from ._errors import array, integer, number, refuse, require
from ._graph import GraphCodec, check_changes
from ._kinds import Estimator, Maybe, Vectors
from ._skops import SkopsCodec

__all__ = ["CatalogIndexCodec"]

VECTORS = Vectors(array("float32", 2))


def check_exact(index, place):
    """Raise unless an exact index has vectors of its number of features."""
    _check_vectors(index, {"vectors_", "n_features_in_"}, place)


def check_descent(index, place):
    """Raise unless an index has all its parts."""
    check_changes(index, place)
    _check_vectors(index, set(GRAPH_STATE), place)


def _check_vectors(index, names, place):
    require(
        set(names) <= set(vars(index)), place, "an index with all attributes of fit"
    )
    width = index.vectors_.shape[1]
    require(index.n_features_in_ == width, place, f"an index of {width} numbers")


GRAPH_STATE = {
    "vectors_": VECTORS,
    "n_features_in_": integer(),
    "squared_length_": number(0),
    "search_tree_leaf_budget_": integer(1),
    "epsilon_": number(0),
    "changed_": array("int64", 1),
    "stale_vectors_": VECTORS,
    "graph_": Maybe(GraphCodec),
}

KINDS = [
    Estimator(
        ExactNeighbors,
        {"vectors_": VECTORS, "n_features_in_": integer()},
        check=check_exact,
    ),
    Estimator(NNDescentNeighbors, GRAPH_STATE, check=check_descent),
]


class CatalogIndexCodec:
    """How the index of a catalog is written and read.

    Indexes of other packages are written without what they have learnt, and fitted
    again when they are read.
    """

    @staticmethod
    def write(index, vectors, writer, place):
        """Return what JSON holds for an index of vectors that are written already."""
        if type(index) in (ExactNeighbors, NNDescentNeighbors):
            if np.array_equal(index.vectors_, vectors):
                writer.alias(index.vectors_, vectors)
            return writer.write(index, place)
        return {"type": "skops", "parts": SkopsCodec.write(clone(index), writer, place)}

    @staticmethod
    def read(spec, vectors, reader, place):
        """Return the index of vectors (n_items, d)."""
        index = reader.read(spec, place)
        if type(index) in (ExactNeighbors, NNDescentNeighbors):
            fits = hasattr(index, "vectors_") and index.vectors_.shape == vectors.shape
            require(fits, place, "an index of the vectors of the catalog")
            return index
        if not all(hasattr(index, name) for name in ("fit", "kneighbors")):
            refuse(place, "an index with fit and kneighbors", index)
        return index.fit(vectors)
