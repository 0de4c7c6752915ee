"""The vectors of a catalog with their index, and what files hold of them.

Input: vectors (n_items, d) with their index.
Output: a ``Catalog``.
"""

import copy
from typing import NamedTuple

import numpy as np
from sklearn.base import clone

from sktwotower._records import number, record, require, vectors

from ._exact import ExactNeighbors
from ._graph import NNDescentNeighbors

__all__ = ["Catalog"]

OURS = ExactNeighbors, NNDescentNeighbors


@record
class Catalog(NamedTuple):
    """The vectors (n_items, d) of the catalog, their index and its recall.

    Files hold indexes of other packages without what they have learnt. They are fitted
    again when they are read.
    """

    vectors: vectors("n_items d", must_be_finite=True)
    index: object
    index_recall: number(0)

    def _stored_parts(self):
        index = self.index
        if type(index) not in OURS:
            index = clone(index)
        elif np.array_equal(index.vectors_, self.vectors):
            index = copy.copy(index)
            index.vectors_ = self.vectors  # one array, which is in the file once
        return self._asdict() | {"index": index}

    @classmethod
    def _of_stored(cls, vectors, index, index_recall):
        is_index = hasattr(index, "fit") and hasattr(index, "kneighbors")
        require(is_index, "the index of the catalog", "one with fit and kneighbors")
        if type(index) not in OURS:
            index = index.fit(vectors)
        return cls(vectors, index, index_recall)

    def _check_stored(self, place):
        if type(self.index) in OURS:
            known = getattr(self.index, "vectors_", None)
            fits = known is not None and known.shape == self.vectors.shape
            require(fits, f"{place}.index", "an index of the vectors of the catalog")
