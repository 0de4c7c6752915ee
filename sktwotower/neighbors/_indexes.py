"""Enters: item vectors (n_items, d).

Leaves: an index with ``kneighbors``, and how much of the truth it finds.
Next: filters.py, which completes its answers.
"""

import copy
import threading

import numpy as np
from sklearn.base import BaseEstimator, clone

from sktwotower._tables._messages import warn

from ._threads import torch_threads_kept
from ._top_k import top_k

__all__ = ["ExactNeighbors", "NNDescentNeighbors", "build_index", "check_index"]

# Up to so many items "auto" searches exactly.
MAX_EXACT_ITEMS = 200_000
# A recall below it is warned about.
MIN_RECALL = 0.95
# Widths of a search, by leaf budget and epsilon, until and while one is looked for.
LEAF_BUDGET, EPSILON = 8, 0.15
LEAF_BUDGETS = (1, 2, 4, 8, 16, 32, 64)
# Each epsilon with what it adds to the time of a query, and a leaf, in one unit.
EPSILONS = {0.1: 0, 0.15: 3, 0.2: 9, 0.3: 24, 0.5: 70}
COST_OF_LEAF = 2
# Larger leaves than pynndescent's own: of the same items, fewer are missed.
LEAF_SIZE = 60
# A smaller graph is built in less time than it takes to compile its update.
MIN_ITEMS_TO_UPDATE = 200_000
# So many times the neighbors of one item make a graph worth walking.
MIN_GRAPH_RATIO = 10
_QUERY_LOCK = threading.Lock()


class ExactNeighbors(BaseEstimator):
    """Every item's score is computed; the largest are kept.

    The contract that any ``neighbors`` estimator must meet: ``fit`` on item vectors and
    ``kneighbors`` that gives distances, ascending, and positions.

    Parameters
    ----------
    n_neighbors : int, default=10
        Number of neighbors that ``kneighbors`` gives unless told otherwise.

    Examples
    --------
    >>> import numpy as np
    >>> from sktwotower.neighbors._indexes import ExactNeighbors
    >>> index = ExactNeighbors(n_neighbors=1).fit(np.eye(3))
    >>> distances, positions = index.kneighbors([[0.6, 0.8, 0.0]])
    >>> distances.round(3), positions
    (array([[0.2]]), array([[1]]))
    """

    def __init__(self, n_neighbors=10):
        self.n_neighbors = n_neighbors

    def fit(self, X, y=None):
        """Store item vectors X (n_items, d)."""
        self.vectors_ = np.asarray(X, dtype=np.float32)
        self.n_features_in_ = self.vectors_.shape[1]
        return self

    def kneighbors(self, X, n_neighbors=None, return_distance=True):
        """Return cosine distances 1 - <x, v>, ascending, and positions, both (n, k)."""
        k = self.n_neighbors if n_neighbors is None else n_neighbors
        k = min(k, len(self.vectors_))
        scores, indices = top_k(np.asarray(X, np.float32), self.vectors_, k)
        return (1 - scores, indices) if return_distance else indices


class NNDescentNeighbors(BaseEstimator):
    """A graph of neighbors is walked towards the query (pynndescent).

    Distances of what it finds are exact; what it misses, is missing. `widen` searches
    no wider than ``target_recall`` needs.

    Parameters
    ----------
    n_neighbors : int, default=10
        Number of neighbors that ``kneighbors`` gives unless told otherwise.
    target_recall : float, default=0.95
        Share of the true nearest items that `widen` tries to find, in (0, 1].
    epsilon : float, default=None
        Width of the search, >= 0: items up to ``1 + epsilon`` times as far as the best
        so far are followed. None: 0.15, until `widen` finds what is needed.
    search_tree_leaf_budget : int, default=None
        Leaves of the search tree from which a walk begins, >= 1. With one, walks on
        vectors in clusters miss whole clusters. None: 8, until `widen` finds what is
        needed.
    n_graph_neighbors : int, default=30
        Neighbors of an item in the graph. More: a better graph, a longer build.
    parallel_batch_queries : bool, default=False
        Whether the queries of one call share the threads of numba.
    random_state : int, default=0
        Seed of the graph.
    n_jobs : int, default=None
        Threads for building. None: all that numba has.

    Attributes
    ----------
    epsilon_, search_tree_leaf_budget_ : float and int
        The width in use.
    graph_ : pynndescent.NNDescent or None
        None with few vectors, which are all compared.

    Notes
    -----
    Vectors must have the same length: then the nearest by Euclidean distance are those
    of the largest dot product. pynndescent's own ``dot`` and ``cosine`` are not used:
    the one normalizes without a word, the other takes all vectors at more than a right
    angle to be equally far.

    A query of pynndescent must not run in two threads at once; a lock sees to that.
    The first build in a process compiles for some 20 s, the first ever for minutes; an
    index that was loaded from a file answers its first query within seconds, most of
    which is the import of pynndescent.

    References
    ----------
    Dong, Moses and Li, Efficient K-Nearest Neighbor Graph Construction for Generic
    Similarity Measures, WWW 2011.

    Examples
    --------
    >>> import numpy as np
    >>> from sktwotower.neighbors._indexes import NNDescentNeighbors
    >>> index = NNDescentNeighbors(n_neighbors=1).fit(np.eye(3))
    >>> index.kneighbors([[0.6, 0.8, 0.0]], return_distance=False)
    array([[1]])
    """

    def __init__(
        self,
        n_neighbors=10,
        *,
        target_recall=0.95,
        epsilon=None,
        search_tree_leaf_budget=None,
        n_graph_neighbors=30,
        parallel_batch_queries=False,
        random_state=0,
        n_jobs=None,
    ):
        self.n_neighbors = n_neighbors
        self.target_recall = target_recall
        self.epsilon = epsilon
        self.search_tree_leaf_budget = search_tree_leaf_budget
        self.n_graph_neighbors = n_graph_neighbors
        self.parallel_batch_queries = parallel_batch_queries
        self.random_state = random_state
        self.n_jobs = n_jobs

    def fit(self, X, y=None):
        """Build the graph of item vectors X (n_items, d), of one length all.

        Raises ``ValueError`` for vectors that are not finite or differ in length.
        """
        vectors = np.array(X, dtype=np.float32)  # a copy: pynndescent keeps its own
        self.squared_length_ = _squared_length(vectors)
        self.vectors_ = vectors
        self.n_features_in_ = vectors.shape[1]
        self.search_tree_leaf_budget_, self.epsilon_ = (
            default if given is None else given
            for given, default in (
                (self.search_tree_leaf_budget, LEAF_BUDGET),
                (self.epsilon, EPSILON),
            )
        )
        self.graph_ = None
        # Fewer have less than a graph of neighbors, and are compared in no time.
        if len(vectors) > MIN_GRAPH_RATIO * self.n_graph_neighbors:
            with torch_threads_kept():
                self.graph_ = self._graph()
        return self

    def _graph(self):
        from pynndescent import NNDescent  # importing it takes seconds

        graph = NNDescent(
            self.vectors_,
            metric="euclidean",
            n_neighbors=self.n_graph_neighbors,
            search_tree_leaf_budget=self.search_tree_leaf_budget_,
            search_tree_leaf_size=LEAF_SIZE,
            parallel_batch_queries=self.parallel_batch_queries,
            random_state=self.random_state,
            n_jobs=self.n_jobs,
        )
        graph.prepare()
        graph.query(self.vectors_[:1], k=1)  # what is left to compile
        return graph

    def grown(self, vectors):
        """Return an index of more vectors (n_items, d) by an update of this graph.

        None where a new build is due: the vectors do not begin with those of this
        index, or they are so few that a build is cheaper.
        """
        n_known = len(self.vectors_)
        grows = self.graph_ is not None and MIN_ITEMS_TO_UPDATE <= n_known < len(
            vectors
        )
        if not grows or not np.array_equal(vectors[:n_known], self.vectors_):
            return None
        squared_length = _squared_length(vectors)
        index = copy.copy(self)
        index.squared_length_ = squared_length
        index.vectors_ = np.array(vectors, dtype=np.float32)
        with _QUERY_LOCK:
            index.graph_ = copy.copy(self.graph_)
        with torch_threads_kept():
            index.graph_.update(xs_fresh=index.vectors_[n_known:])
            index.graph_.query(index.vectors_[:1], k=1)
        return index

    def kneighbors(self, X, n_neighbors=None, return_distance=True):
        """Return cosine distances 1 - <x, v>, ascending, and positions, both (n, k)."""
        k = self.n_neighbors if n_neighbors is None else n_neighbors
        queries = np.asarray(X, dtype=np.float32)
        k = min(k, len(self.vectors_))
        if self.graph_ is None:
            scores, indices = top_k(queries, self.vectors_, k)
            return (1 - scores, indices) if return_distance else indices
        # It holds its place for results, and what it has visited, in the graph.
        with _QUERY_LOCK, torch_threads_kept():
            found, lengths = self.graph_.query(queries, k=k, epsilon=self.epsilon_)
            indices, lengths = found.astype(np.int64), lengths.astype(np.float64)
        if not return_distance:
            return indices
        # <x, v> = (|x|^2 + |v|^2 - |x - v|^2) / 2
        own = (queries.astype(np.float64) ** 2).sum(axis=1, keepdims=True)
        return 1 + (lengths**2 - (own + self.squared_length_)) / 2, indices

    def widen(self, queries, k):
        """Search as wide as ``target_recall`` of k items needs; gives the recall.

        Of the widths that find enough for sample queries (n, d) the cheapest is taken,
        or the one that finds most if none does. An ``epsilon`` and a
        ``search_tree_leaf_budget`` that were given are the least to be taken.
        """
        _, truth = top_k(queries, self.vectors_, min(k, len(self.vectors_)))

        def recall():
            return recall_of(self, queries, truth)

        if self.graph_ is None:
            return recall()
        reached, cheapest = {}, np.inf
        for budget in _from(self.search_tree_leaf_budget, LEAF_BUDGETS):
            if COST_OF_LEAF * budget >= cheapest:
                break
            self._set_leaf_budget(budget)
            for epsilon in _from(self.epsilon, EPSILONS):
                self.epsilon_ = epsilon
                reached[budget, epsilon] = recall()
                if reached[budget, epsilon] >= self.target_recall:
                    cheapest = min(cheapest, cost_of_width((budget, epsilon)))
                    break
        enough = [w for w, share in reached.items() if share >= self.target_recall]
        if enough:
            width = min(enough, key=cost_of_width)
        else:
            width = max(reached, key=reached.get)
        self._set_leaf_budget(width[0])
        self.epsilon_ = width[1]
        return reached[width]

    def _set_leaf_budget(self, budget):
        if budget == self.search_tree_leaf_budget_:
            return
        self.search_tree_leaf_budget_ = budget
        self.graph_.search_tree_leaf_budget = budget
        self.graph_ = copy.copy(self.graph_)  # what is copied is made ready anew


def _from(least, steps):
    """Return the steps from ``least`` on, which is the first of them; None: all."""
    if least is None:
        return [*steps]
    return [least, *(step for step in steps if step > least)]


def cost_of_width(width):
    """Return about what a query of a leaf budget and an epsilon costs, in some unit."""
    budget, epsilon = width
    known = [cost for e, cost in EPSILONS.items() if e >= epsilon]
    return COST_OF_LEAF * budget + (known[0] if known else max(EPSILONS.values()))


def _squared_length(vectors):
    """Return the squared length that all vectors have, after the check that they do."""
    lengths = np.linalg.norm(vectors.astype(np.float64), axis=1)
    if not np.isfinite(lengths).all():
        position = int(np.flatnonzero(~np.isfinite(lengths))[0])
        raise ValueError(
            f"Vectors must be finite, and that at position {position} is not."
        )
    if len(lengths) and lengths.max() > 1.001 * lengths.min():
        raise ValueError(
            "All vectors must have the same length, or the nearest are not those of "
            f"the largest dot product. Got lengths from {lengths.min():.4g} to "
            f"{lengths.max():.4g}: normalize them, or search exactly."
        )
    return float(np.mean(lengths**2)) if len(lengths) else 0.0


def recall_of(index, queries, truth):
    """Return the share of the true positions (n, k) that an index finds."""
    found = index.kneighbors(queries, n_neighbors=truth.shape[1], return_distance=False)
    hits = (np.asarray(found)[:, :, None] == truth[:, None, :]).any(axis=1)
    return float(hits.mean()) if hits.size else 1.0


def check_index(neighbors, normalize=True, params=None):
    """Check ``neighbors`` and its params; raises ``ValueError`` or ``TypeError``."""
    names = ("auto", "exact", "nndescent")
    expected = f"{', '.join(map(repr, names))} or an estimator with fit and kneighbors"
    message = (
        "The 'neighbors' parameter of TwoTowerRecommender must be "
        f"{expected}. Got {neighbors!r} instead."
    )
    if isinstance(neighbors, str):
        if neighbors not in names:
            raise ValueError(message)
    elif isinstance(neighbors, type) or not all(
        hasattr(neighbors, method) for method in ("fit", "kneighbors")
    ):
        raise TypeError(message)
    exact = isinstance(neighbors, ExactNeighbors) or neighbors in ("auto", "exact")
    if not normalize and not exact:
        raise ValueError(
            "normalize=False needs neighbors='exact': an index finds the nearest "
            "vectors, and those are not the ones of the largest dot product unless all "
            "have the same length."
        )
    _index(neighbors, 0, normalize, params)


def build_index(
    neighbors, params, vectors, normalize=True, sample=None, k=10, before=None
):
    """Return the index that ``neighbors`` asks for, and its recall.

    It is fitted on vectors (n_items, d). ``sample()`` gives queries (n, d) on which the
    recall of k items is measured; it is not called for exact search, whose recall is 1.
    ``before``: the index until now, which may be able to grow.
    """
    index, wanted = None, _index(neighbors, len(vectors), normalize, params)
    if isinstance(before, NNDescentNeighbors) and isinstance(wanted, type(before)):
        if before.get_params() == wanted.get_params():
            index = before.grown(vectors)
    if index is None:
        index = wanted.fit(vectors)
    if isinstance(index, ExactNeighbors) or sample is None:
        return index, 1.0
    queries, k = sample(), min(k, len(vectors))
    if hasattr(index, "widen"):
        recall = index.widen(queries, k)
    else:
        recall = recall_of(index, queries, top_k(queries, vectors, k)[1])
    if recall < MIN_RECALL:
        warn(
            f"The neighbor index finds {recall:.1%} of the true {k} nearest items of "
            f"{len(queries)} users. neighbors='exact' finds them all; a wider search "
            "finds more."
        )
    return index, recall


def _index(neighbors, n_items, normalize, params):
    params = params or {}
    if not isinstance(neighbors, str):
        return clone(neighbors).set_params(**params)
    graph = NNDescentNeighbors()
    if neighbors == "nndescent":
        return graph.set_params(**params)
    if neighbors == "auto":
        graph.set_params(**params)
        if normalize and n_items > MAX_EXACT_ITEMS:
            return graph
        # Exact search has nothing to set for what was said about the graph.
        params = {k: v for k, v in params.items() if k in ExactNeighbors().get_params()}
    return ExactNeighbors().set_params(**params)
