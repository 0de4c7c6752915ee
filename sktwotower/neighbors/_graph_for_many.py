"""A graph that is built when a search for very many users makes up for its build.

Input: the vectors (n_items, d) of a catalog, and how many queries a search has.
Output: an index for this search, which has ``kneighbors``; None: exact search.
"""

import copy
import threading
import time

from sktwotower._tables._messages import logger

from ._graph import NNDescentNeighbors, have_same_length

# Up to so many items exact search takes half a millisecond a query in a batch.
MAX_EXACT_ITEMS = 200_000
# With fewer queries, the build takes longer than what it saves. Both grow with the
# number of items, so that their ratio hardly does.
MIN_QUERIES = 200_000
# Longer lists are searched exactly: a search of the graph is tuned to its length.
MAX_LIST = 100
# Searches for one user are exact, so that a list must hardly depend on how many ask.
TARGET_RECALL = 0.99
# If a graph finds fewer, exact search is used.
MIN_RECALL = 0.98


class GraphForMany:
    """The graph of one catalog, built by the first search that it pays for.

    It belongs to one fitted state, and is not pickled. Threads may share it: one of
    them builds, those that need the graph wait, all others search exactly meanwhile.
    A search is exact, or by the graph, by its own size only: the same call has the same
    result before and after the build.

    Attributes
    ----------
    recall : float
        Lowest recall of an index that was returned, 1 if there was none.
    """

    def __init__(self):
        self.recall = 1.0
        self._lock = threading.Lock()
        self._graph = None
        self._indexes = {}

    def __reduce__(self):
        return type(self), ()

    @staticmethod
    def pays(n_queries, n_items, k):
        """Return whether a graph saves a search for k items more time than it takes."""
        is_large = n_items > MAX_EXACT_ITEMS and n_queries >= MIN_QUERIES
        return is_large and k <= MAX_LIST

    def index(self, vectors, k, sample):
        """Return an index for lists of k items, or None if it would miss too many.

        ``vectors`` (n_items, d) are always the same; ``sample()`` returns queries
        (n, d) on which the recall is measured.
        """
        with self._lock:
            if k not in self._indexes:
                self._indexes[k] = self._tuned(vectors, k, sample)
            return self._indexes[k]

    def _tuned(self, vectors, k, sample):
        """Return a copy of the graph that is tuned to lists of k items, or None."""
        if not have_same_length(vectors):
            return None  # the nearest have not the largest dot products
        start = time.perf_counter()
        if self._graph is None:
            self._graph = NNDescentNeighbors(target_recall=TARGET_RECALL).fit(vectors)
        index = copy.copy(self._graph)
        recall = index.tune_search_width(sample(), k)
        seconds = time.perf_counter() - start
        logger.info(
            "a neighbor graph of %d items took %.1f s. It finds %.3f of the %d nearest "
            "items. neighbors='exact' builds none",
            len(vectors),
            seconds,
            recall,
            k,
        )
        if recall < MIN_RECALL:
            return None
        self.recall = min(self.recall, recall)
        return index
