"""A graph of neighbors, built and updated with the library pynndescent.

Input: item vectors (n_items, d), all of the same length.
Output: an estimator that can be searched, tuned to a recall and updated.
"""

import copy
from dataclasses import KW_ONLY, dataclass
from functools import cached_property
from numbers import Integral
from typing import Self

import numpy as np
from sklearn.base import BaseEstimator

from sktwotower import _sklearn_compat as compat
from sktwotower._records import record
from sktwotower._tables._pickled import VersionedMixin

from ._exact import checked_vectors
from ._graph_search import EPSILON, LEAF_BUDGET, GraphSearchMixin
from ._stored_graph import settings_of
from ._threads import torch_threads_kept

# Larger than pynndescent's default: a search misses fewer items.
LEAF_SIZE = 60
# Changed items are searched exactly up to this share of all; then a rebuild pays.
MAX_CHANGED_SHARE = 1 / 8
# Build a graph only above this many times n_graph_neighbors items.
MIN_GRAPH_RATIO = 10
# Lengths of vectors that differ by less are the same.
MAX_LENGTH_RATIO = 1.001
# What parameters may be.
SEED = compat.Interval(Integral, 0, None, closed="left")


@record
@dataclass(eq=False, repr=False)
class NNDescentNeighbors(GraphSearchMixin, VersionedMixin, BaseEstimator):
    r"""Approximate nearest neighbors: a search walks a graph of items (pynndescent).

    Returned distances are exact, but some neighbors may be missed. The width of the
    search decides how many; `tune_search_width` finds the cheapest that is enough.

    Parameters
    ----------
    n_neighbors : int, default=10
        Number of neighbors that `kneighbors` returns by default, >= 1.
    target_recall : float, default=0.95
        Share of the true nearest items that `tune_search_width` tries to reach, in
        (0, 1].
    epsilon : float, default=None
        Width of the search, >= 0: items up to ``1 + epsilon`` times as far as the best
        found so far are followed. None: 0.15 until `tune_search_width` is called.
    search_tree_leaf_budget : int, default=None
        Number of leaves of the search tree from which a walk begins, >= 1. With one
        leaf and clustered vectors, whole clusters are missed. None: 8 until
        `tune_search_width` is called.
    n_graph_neighbors : int, default=30
        Number of neighbors of each item in the graph. More: higher recall, slower
        build.
    parallel_batch_queries : bool, default=False
        Whether the queries of one call share the threads of numba.
    random_state : int, default=0
        Seed of the graph.
    n_jobs : int, default=None
        Number of threads of a build, at most one for each processor. -1 and None: all
        that numba has.

    Attributes
    ----------
    epsilon_ : float
        Width of the search in use.
    search_tree_leaf_budget_ : int
        Number of leaves in use.
    graph_ : pynndescent.NNDescent or None
        The graph. None with at most ``10 * n_graph_neighbors`` items, which are
        searched exactly.
    vectors_ : float32 ndarray of shape (n_items, d)
        The item vectors.
    changed_ : int64 ndarray of shape (m,)
        Positions of items that have come, or have changed their vector, since the graph
        was built, ascending. They are searched exactly, next to the graph.
    stale_vectors_ : float32 ndarray of shape (n_stale, d)
        The vectors that the graph still holds of the first ``changed_``.
    squared_length_ : float
        Squared length that all vectors have.
    n_features_in_ : int
        Number of columns d of the item vectors.
    model_id_ : str or None
        The model whose vectors these are, if they say it: see `check_model_id`.

    Notes
    -----
    All vectors must have the same length: only then are the nearest by Euclidean
    distance those with the largest dot product, by

    .. math:: \langle x, v \rangle = (|x|^2 + |v|^2 - |x - v|^2) / 2

    for query x and item vector v. pynndescent's own metrics ``dot`` and ``cosine`` are
    not used: ``dot`` normalizes its input silently, and ``cosine`` treats all vectors
    at more than a right angle as equally far.

    A graph answers one query at a time: a lock of its own serializes the calls of
    `kneighbors`. The first build in a process compiles for about 30 s of CPU, the first
    ever for minutes. An index loaded from a file answers its first query within
    seconds, mostly spent on importing pynndescent.

    References
    ----------
    Dong, Moses and Li, Efficient K-Nearest Neighbor Graph Construction for Generic
    Similarity Measures, WWW 2011.

    Examples
    --------
    >>> import numpy as np
    >>> from sktwotower.neighbors import NNDescentNeighbors
    >>> index = NNDescentNeighbors(n_neighbors=1).fit(np.eye(3))
    >>> index.kneighbors([[0.6, 0.8, 0.0]], return_distance=False)
    array([[1]])
    """

    _parameter_constraints = compat.ParameterConstraints()
    n_neighbors: int = compat.parameter(10, compat.COUNT)
    _: KW_ONLY
    target_recall: float = compat.parameter(0.95, compat.UP_TO_1)
    epsilon: float | None = compat.parameter(None, compat.NOT_NEGATIVE, None)
    search_tree_leaf_budget: int | None = compat.parameter(None, compat.COUNT, None)
    n_graph_neighbors: int = compat.parameter(30, compat.COUNT)
    parallel_batch_queries: bool = compat.parameter(False, "boolean")
    random_state: int | np.random.RandomState | None = compat.parameter(0, SEED)
    n_jobs: int | None = compat.parameter(None, *compat.N_JOBS)

    def fit(self, X, y=None) -> Self:
        """Build the graph.

        Parameters
        ----------
        X : array of shape (n_items, d)
            Item vectors, all of the same length.
        y : None
            Ignored.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            If a parameter is out of range, X is no array of two dimensions, or vectors
            are not finite or differ in length.

        Examples
        --------
        >>> import numpy as np
        >>> from sktwotower.neighbors import NNDescentNeighbors
        >>> products = np.array(["tea", "coffee", "glue"])
        >>> vectors = [[0.8, 0.6], [1.0, 0.0], [0.0, 1.0]]
        >>> index = NNDescentNeighbors(n_neighbors=2).fit(vectors)
        >>> index
        NNDescentNeighbors(n_neighbors=2)
        >>> products[index.kneighbors([[0.6, 0.8]], return_distance=False)]
        array([['tea', 'glue']], dtype='<U6')
        """
        self._validate_params()
        vectors = checked_vectors(np.array(X, dtype=np.float32))  # X may change
        self.squared_length_ = _squared_length(vectors)
        self.changed_ = np.zeros(0, dtype=np.int64)
        self.stale_vectors_ = vectors[:0]
        vars(self).pop("_changed_vectors", None)
        self.vectors_ = vectors
        self.n_features_in_ = vectors.shape[1]
        self.model_id_ = getattr(X, "model_id", None)
        self.search_tree_leaf_budget_ = LEAF_BUDGET
        if self.search_tree_leaf_budget is not None:
            self.search_tree_leaf_budget_ = int(self.search_tree_leaf_budget)
        self.epsilon_ = EPSILON
        if self.epsilon is not None:
            self.epsilon_ = self.epsilon
        self.graph_ = None
        if len(vectors) > MIN_GRAPH_RATIO * self.n_graph_neighbors:
            with torch_threads_kept():
                from ._locked_graph import LockedGraph  # importing it takes seconds

                graph = LockedGraph(vectors, **settings_of(self, LEAF_SIZE))
                graph.prepare()
                graph.query(vectors[:1], k=1)  # compiles the rest
                self.graph_ = graph
        return self

    @cached_property
    def _changed_vectors(self):
        """The vectors (m, d) of the items that are searched next to the graph."""
        return self.vectors_[self.changed_]

    def updated(self, vectors, changed=None) -> Self | None:
        """Return a new index of other or more vectors that keeps this graph.

        Items that have changed are searched exactly, next to the graph. This index is
        not changed and answers queries meanwhile.

        Parameters
        ----------
        vectors : float32 array of shape (n_items, d)
            Item vectors, first those of the items of this index, in the same order. It
            is kept, not copied.
        changed : int array of shape (m,), default=None
            Positions of all items that are new or have another vector than in this
            index. None: they are found by comparison.

        Returns
        -------
        NNDescentNeighbors or None
            None if a new build pays: more than an eighth of the items have changed
            since the last one, or there is no graph.

        Raises
        ------
        ValueError
            If vectors are not finite or differ in length.

        Examples
        --------
        So few items that there is no graph to keep: build a new index.

        >>> import numpy as np
        >>> from sktwotower.neighbors import NNDescentNeighbors
        >>> products = np.array(["tea", "coffee", "glue"])
        >>> vectors = [[0.8, 0.6], [1.0, 0.0], [0.0, 1.0]]
        >>> index = NNDescentNeighbors(n_neighbors=2).fit(vectors)
        >>> more = np.array([*vectors, [0.6, 0.8]], dtype=np.float32)
        >>> newer = index.updated(more)
        >>> newer is None
        True
        >>> index = index.fit(more) if newer is None else newer
        >>> index.kneighbors([[0.6, 0.8]], return_distance=False)  # it, then tea
        array([[3, 0]])
        """
        if self.graph_ is None or len(vectors) < len(self.vectors_):
            return None
        if changed is None:
            n_before = len(self.vectors_)
            differ = np.ones(len(vectors), dtype=bool)  # those beyond are new
            differ[:n_before] = (vectors[:n_before] != self.vectors_).any(axis=1)
            changed = np.flatnonzero(differ)
        _squared_length(vectors[np.append(changed, 0)])  # raises if they do not fit
        changed = np.union1d(self.changed_, changed)
        if len(changed) > MAX_CHANGED_SHARE * len(vectors):
            return None
        index = copy.copy(self)
        vars(index).pop("_changed_vectors", None)
        index.model_id_ = getattr(vectors, "model_id", None)
        index.vectors_ = np.asarray(vectors)
        index.changed_ = changed
        # what the graph holds of changed items: their vectors of now, or, of those that
        # had changed before, older ones
        n_in_graph = len(self.graph_._vertex_order)
        stale = changed[changed < n_in_graph]
        index.stale_vectors_ = self.vectors_[stale]
        stale_before = self.changed_[: len(self.stale_vectors_)]
        places = np.searchsorted(stale, stale_before)
        index.stale_vectors_[places] = self.stale_vectors_
        return index


def have_same_length(vectors):
    """Return whether vectors (n, d) are finite and as long as each other."""
    lengths = np.linalg.norm(vectors, axis=1)
    return bool(lengths.max() <= MAX_LENGTH_RATIO * lengths.min())  # False with nan


def _squared_length(vectors):
    """Return the squared length that all vectors (n, d) have, or raise ValueError."""
    lengths = np.linalg.norm(vectors.astype(np.float64), axis=1)
    if not np.isfinite(lengths).all():
        position = int(np.flatnonzero(~np.isfinite(lengths))[0])
        raise ValueError(
            f"Item vectors must be finite, but the one at position {position} is not. "
            "Check the features of that item and the training loss."
        )
    if len(lengths) and lengths.max() > MAX_LENGTH_RATIO * lengths.min():
        raise ValueError(
            "Item vectors must have the same length, or the nearest have not the "
            f"largest dot products. Got lengths from {lengths.min():.4g} to "
            f"{lengths.max():.4g}. Normalize them, or use exact search."
        )
    return float(np.mean(lengths**2)) if len(lengths) else 0.0
