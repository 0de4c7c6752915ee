"""The vectors of a catalog with their index: its choice, checks and build.

Input: the parameter ``neighbors``; item vectors (n_items, d).
Output: a fitted index with ``kneighbors``, and its recall; a ``Catalog``.
"""

import copy
import time
from typing import NamedTuple

import numpy as np
from sklearn.base import clone

from sktwotower._records import number, record, require, vectors
from sktwotower._tables._messages import logger, warn

from ._exact import ExactNeighbors, recall_of
from ._graph import NNDescentNeighbors
from ._graph_for_many import MAX_EXACT_ITEMS
from ._top_k import top_k

OURS = ExactNeighbors, NNDescentNeighbors
NAMES = "auto", "exact", "nndescent"
# What is logged of an index.
EXACT_SEARCH = (
    "no index of %d items was built: each request compares its user with all of them. "
    "For a service, neighbors='nndescent' builds a graph, which takes minutes"
)
BUILT_INDEX = (
    "the neighbor index of %d items took %.1f s to build. It serves single requests; "
    "neighbors='auto' builds none here"
)
# Warn if the recall of an index is lower.
MIN_RECALL = 0.95


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
        require(_is_index(index), "the catalog's index", "one with fit and kneighbors")
        if type(index) not in OURS:
            index = index.fit(vectors)
        return cls(vectors, index, index_recall)

    def _check_stored(self, place):
        if type(self.index) in OURS:
            known = getattr(self.index, "vectors_", None)
            fits = known is not None and known.shape == self.vectors.shape
            require(fits, f"{place}.index", "an index of the vectors of the catalog")


def check_index(neighbors, normalize=True):
    """Raise ValueError or TypeError if no index can be built of the parameter."""
    message = (
        "The 'neighbors' parameter of TwoTowerRecommender must be 'auto', 'exact', "
        "'nndescent' or an estimator with fit and kneighbors. Got "
        f"{neighbors!r} instead."
    )
    if isinstance(neighbors, str):
        if neighbors not in NAMES:
            raise ValueError(message)
    elif not _is_index(neighbors):
        raise TypeError(message)
    exact = isinstance(neighbors, ExactNeighbors) or neighbors in ("auto", "exact")
    if not normalize and not exact:
        raise ValueError(
            "normalize=False needs neighbors='exact': an index finds the nearest "
            "vectors, which have the largest dot products only if all vectors have the "
            f"same length. Got neighbors={neighbors!r}."
        )
    if hasattr(neighbors, "_parameter_constraints"):
        neighbors._validate_params()  # now, not after training


def _is_index(value):
    """Return whether a value is an estimator that finds neighbors."""
    methods = hasattr(value, "fit") and hasattr(value, "kneighbors")
    return methods and not isinstance(value, type)


def check_width(index, items):
    """Raise ``ValueError`` if an index was fitted on vectors of another length."""
    width = getattr(index, "n_features_in_", items.shape[1])
    if width != items.shape[1]:
        raise ValueError(
            f"The neighbor index was fitted on vectors of {width} numbers, but the "
            f"item vectors have {items.shape[1]}. Rebuild it with fit or set_catalog."
        )


def build_index(neighbors, vectors, sample=None, k=10, before=None, changed=None):
    """Return an index fitted on vectors (n_items, d), and its recall.

    ``sample()`` returns queries (n, d) on which the recall of k items is measured. It
    is not called for exact search, whose recall is 1. ``before``: the index in use and
    its recall. The index is not changed; a copy is updated instead of a new build if
    that is possible and cheaper. ``changed``: positions (m,) of the items that are new
    or have another vector than in that index; None: to be found.
    """
    new = _new_index(neighbors)
    if before is not None and isinstance(before[0], NNDescentNeighbors):
        old, recall = before
        if isinstance(new, type(old)) and old.get_params() == new.get_params():
            index = old.updated(vectors, changed)
            if index is not None:  # what its graph lacks is searched exactly
                return index, recall
    start = time.perf_counter()
    index = new.fit(vectors)
    if isinstance(index, ExactNeighbors):
        if len(vectors) > MAX_EXACT_ITEMS:
            logger.info(EXACT_SEARCH, len(vectors))
        return index, 1.0
    if sample is None:
        return index, 1.0
    queries = sample()
    k = min(k, len(vectors))
    if hasattr(index, "tune_search_width"):
        recall = index.tune_search_width(queries, k)
    else:
        recall = recall_of(index, queries, top_k(queries, vectors, k)[1])
    logger.info(BUILT_INDEX, len(vectors), time.perf_counter() - start)
    if recall < MIN_RECALL:
        warn(
            f"The neighbor index finds {recall:.1%} of the true {k} nearest items of "
            f"{len(queries)} users. neighbors='exact' finds all, and "
            "neighbors=NNDescentNeighbors(target_recall=0.98) finds more."
        )
    return index, recall


def searches_exactly(neighbors):
    """Return whether the index finds all nearest items."""
    return isinstance(_new_index(neighbors), ExactNeighbors)


def _new_index(neighbors):
    """Return an index that is not fitted yet."""
    if not isinstance(neighbors, str):
        return clone(neighbors)
    if neighbors == "nndescent":
        return NNDescentNeighbors()
    return ExactNeighbors()
