"""The search on a graph of neighbors, as methods of `NNDescentNeighbors`.

Input: vectors of queries (n, d).
Output: distances and positions of the nearest items (n, k); the width of the search.
"""

import copy
from typing import Any

import numpy as np

from sktwotower._records import array, integer, number, vectors
from sktwotower._records._checks import Maybe
from sktwotower.runtime._one_query import among, rescore

from ._exact import checked_queries, recall_of
from ._stored_graph import GRAPH, check_changes
from ._threads import torch_threads_kept
from ._top_k import by_score, top_k

# Defaults of the search width, until `tune_search_width` finds what is needed.
LEAF_BUDGET = 8
EPSILON = 0.15
# Widths that `tune_search_width` tries, and the number of queries that it counts with.
LEAF_BUDGETS = (1, 2, 4, 8, 16, 32, 64)
EPSILONS = (0.05, 0.1, 0.15, 0.2, 0.3, 0.5)
COUNTED_QUERIES = 100
# Used in place of an epsilon of 0, which pynndescent multiplies with infinity while it
# has found fewer than k items, and then stops.
MIN_EPSILON = 1e-6
# Request at most this many extra neighbors in place of those that have changed.
MAX_EXTRA = 64


class GraphSearchMixin:
    """The attributes of a fitted `NNDescentNeighbors`, and its search with them."""

    vectors_: vectors("n_items n_features_in_")
    n_features_in_: integer()
    squared_length_: number(0)
    search_tree_leaf_budget_: integer(1)
    epsilon_: number(0)
    changed_: array("int64", "n_changed")
    stale_vectors_: vectors("n_stale n_features_in_")
    graph_: Maybe(GRAPH)  # the last one, as it is read by the help of the others

    model_id_ = None
    _check_stored = check_changes

    def kneighbors(self, X, n_neighbors=None, return_distance=True) -> Any:
        r"""Find the nearest items; some may be missed.

        Parameters
        ----------
        X : array of shape (n, d)
            Query vectors.
        n_neighbors : int, default=None
            Number of items k per query, >= 1. None: the constructor's.
        return_distance : bool, default=True
            Whether to return distances too.

        Returns
        -------
        distances : float64 ndarray of shape (n, min(k, n_items))
            :math:`1 - \langle x, v \rangle` for query x and item vector v, ascending:
            the cosine distance of unit vectors. Only with ``return_distance``.
        indices : int64 ndarray of shape (n, min(k, n_items))
            Positions of the items in X of fit.

        Raises
        ------
        NotFittedError
            If fit has not been called.
        ValueError
            If X is of another shape, has vectors of another model than those of fit, or
            ``n_neighbors`` < 1.
        TypeError
            If ``n_neighbors`` is not an integer.

        Examples
        --------
        >>> import numpy as np
        >>> from sktwotower.neighbors import NNDescentNeighbors
        >>> products = np.array(["tea", "coffee", "glue"])
        >>> vectors = [[0.8, 0.6], [1.0, 0.0], [0.0, 1.0]]
        >>> index = NNDescentNeighbors(n_neighbors=2).fit(vectors)
        >>> distances, positions = index.kneighbors([[0.6, 0.8]])
        >>> products[positions]
        array([['tea', 'glue']], dtype='<U6')
        >>> distances.round(2)
        array([[0.04, 0.2 ]])
        """
        queries, k = checked_queries(self, X, n_neighbors)
        k = min(k, len(self.vectors_))
        if self.graph_ is None:
            scores, indices = top_k(queries, self.vectors_, k)
        elif len(self.changed_):
            scores, indices = self._search_both(queries, k)
        else:
            indices, distances = self._query_graph(queries, k)
            squared = (queries.astype(np.float64) ** 2).sum(axis=1, keepdims=True)
            scores = (squared + self.squared_length_ - distances**2) / 2
        return (1 - scores, indices) if return_distance else indices

    def _query_graph(self, queries, k):
        """Return positions and Euclidean distances (n, k) that the graph finds."""
        with torch_threads_kept():
            epsilon = max(self.epsilon_, MIN_EPSILON)
            indices, distances = self.graph_.query(queries, k=k, epsilon=epsilon)
        indices = np.where(np.isinf(distances), -1, indices)  # else of any item
        return indices.astype(np.int64), distances.astype(np.float64)

    def _search_both(self, queries, k):
        """Return scores and positions (n, k) from the graph and the changed items."""
        scores, indices = top_k(queries, self._changed_vectors, k)
        indices = np.where(indices < 0, -1, self.changed_[indices])
        n_known = len(self.graph_._vertex_order)
        n_stale = len(self.stale_vectors_)
        # with fewer changed items than k, enough of the others are among these
        width = min(n_known, k + min(n_stale, max(k, MAX_EXTRA)))
        others, _ = self._query_graph(queries, width)
        other_scores = rescore(queries, self.vectors_, np.maximum(others, 0))
        other_scores[among(others, self.changed_) | (others < 0)] = -np.inf
        scores = np.concatenate([scores, other_scores], axis=1)
        scores, indices = by_score(scores, np.concatenate([indices, others], axis=1))
        indices = np.where(np.isneginf(scores), -1, indices)
        return scores[:, :k], indices[:, :k]

    def tune_search_width(self, queries, k) -> float:
        """Choose the search that reaches ``target_recall`` by the fewest comparisons.

        Items with which queries are compared are counted, not seconds: the same items
        and queries have the same search everywhere. If none reaches the target, the
        search with the highest recall is chosen. ``epsilon`` and
        ``search_tree_leaf_budget`` of the constructor are lower limits.

        Parameters
        ----------
        queries : float32 array of shape (n, d)
            Sample of query vectors.
        k : int
            Number of neighbors per query, >= 1.

        Returns
        -------
        float
            Recall of the chosen search on the sample, in [0, 1].

        Examples
        --------
        Few items are searched exactly, without a graph, so that none is missed:

        >>> import numpy as np
        >>> from sktwotower.neighbors import NNDescentNeighbors
        >>> products = np.array(["tea", "coffee", "glue"])
        >>> vectors = [[0.8, 0.6], [1.0, 0.0], [0.0, 1.0]]
        >>> index = NNDescentNeighbors(n_neighbors=2).fit(vectors)
        >>> index.tune_search_width(np.array([[0.6, 0.8]], dtype=np.float32), k=2)
        1.0
        """
        _, truth = top_k(queries, self.vectors_, k)
        if self.graph_ is None:
            return recall_of(self, queries, truth)
        graph = self.graph_
        best = None
        highest = -1.0
        fewest = np.inf
        trial = copy.copy(self)
        for budget in _steps_from(self.search_tree_leaf_budget, LEAF_BUDGETS):
            # queries are searched one by one, so that items are counted
            trial.graph_ = graph.copy_with(
                search_tree_leaf_budget=budget, parallel_batch_queries=False
            )
            for epsilon in _steps_from(self.epsilon, EPSILONS):
                n_compared = trial.graph_.n_compared(
                    queries[:COUNTED_QUERIES],
                    k=truth.shape[1],
                    epsilon=max(epsilon, MIN_EPSILON),
                )
                if n_compared >= fewest:
                    break  # a wider search compares more
                trial.epsilon_ = epsilon
                recall = recall_of(trial, queries, truth)
                is_enough = recall >= self.target_recall
                if is_enough or (fewest == np.inf and recall > highest):
                    best = (budget, epsilon)
                    highest = recall
                if is_enough:
                    fewest = n_compared
                    break
        budget, self.epsilon_ = best
        if budget != self.search_tree_leaf_budget_:
            self.search_tree_leaf_budget_ = budget
            self.graph_ = self.graph_.copy_with(search_tree_leaf_budget=budget)
        return highest


def _steps_from(lowest, steps):
    """Return ``lowest`` and the steps above it; all steps if it is None."""
    if lowest is None:
        return [*steps]
    if isinstance(lowest, np.number):
        lowest = lowest.item()
    return [lowest, *(step for step in steps if step > lowest)]
