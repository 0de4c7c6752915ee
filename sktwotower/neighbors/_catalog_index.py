"""The vectors of a catalog with their index, and how they are written to a file.

Input: vectors (n_items, d) with their index, or what JSON holds for them.
Output: the other one of both.
"""

from typing import NamedTuple

import numpy as np
from sklearn.base import BaseEstimator, clone

from sktwotower._records import array, finite, number, refuse, require

from ._exact import ExactNeighbors
from ._graph import NNDescentNeighbors

__all__ = ["Catalog", "CatalogCodec"]


class Catalog(NamedTuple):
    """The vectors (n_items, d) of the catalog, their index and its recall."""

    vectors: np.ndarray
    index: BaseEstimator
    index_recall: float


class CatalogCodec:
    """How a ``Catalog`` is written and read.

    Indexes of other packages are written without what they have learnt, and fitted
    again when they are read.
    """

    @staticmethod
    def write(catalog, writer, place):
        """Return what JSON holds for a ``Catalog``."""
        vectors = writer.vectors(catalog.vectors, f"{place}.vectors")
        return {
            "vectors": vectors,
            "index": _write_index(catalog, writer, f"{place}.index"),
            "index_recall": writer.write(catalog.index_recall, f"{place}.index_recall"),
        }

    @staticmethod
    def read(spec, reader, place):
        """Return the ``Catalog`` that JSON holds."""
        if type(spec) is not dict or set(spec) != set(Catalog._fields):
            refuse(place, "a catalog", spec)
        vectors = reader.vectors(spec["vectors"], f"{place}.vectors")
        array("float32", "n_items d")(vectors, f"{place}.vectors")
        if reader.file.verify:
            finite(vectors, f"{place}.vectors")
        index = _read_index(spec["index"], vectors, reader, f"{place}.index")
        recall = reader.read(spec["index_recall"], f"{place}.index_recall")
        return Catalog(vectors, index, number(0)(recall, f"{place}.index_recall"))


def _write_index(catalog, writer, place):
    """Return what JSON holds for an index of vectors that are written already."""
    index = catalog.index
    if type(index) not in (ExactNeighbors, NNDescentNeighbors):
        return writer.write(clone(index), place)
    if np.array_equal(index.vectors_, catalog.vectors):
        writer.alias(index.vectors_, catalog.vectors)
    return writer.write(index, place)


def _read_index(spec, vectors, reader, place):
    """Return the index of vectors (n_items, d)."""
    index = reader.read(spec, place)
    if type(index) in (ExactNeighbors, NNDescentNeighbors):
        fits = hasattr(index, "vectors_") and index.vectors_.shape == vectors.shape
        require(fits, place, "an index of the vectors of the catalog")
        return index
    if not all(hasattr(index, name) for name in ("fit", "kneighbors")):
        refuse(place, "an index with fit and kneighbors", index)
    return index.fit(vectors)
