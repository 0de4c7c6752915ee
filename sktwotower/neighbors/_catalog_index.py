"""How the index of a catalog is written to a file, and read from it.

Input: an index of the vectors (n_items, d) of the catalog, or what JSON holds for it.
Output: the other one of both.
"""

import numpy as np
from sklearn.base import clone

from sktwotower._records._checks import refuse, require

from ._exact import ExactNeighbors
from ._graph import NNDescentNeighbors

__all__ = ["CatalogIndexCodec"]


class CatalogIndexCodec:
    """How the index of a catalog is written and read.

    Indexes of other packages are written without what they have learnt, and fitted
    again when they are read.
    """

    @staticmethod
    def write(index, vectors, writer, place):
        """Return what JSON holds for an index of vectors that are written already."""
        if type(index) not in (ExactNeighbors, NNDescentNeighbors):
            return writer.write(clone(index), place)
        if np.array_equal(index.vectors_, vectors):
            writer.alias(index.vectors_, vectors)
        return writer.write(index, place)

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
