"""A graph of pynndescent that several threads may search.

Input: item vectors (n_items, d).
Output: positions and distances (n, k), as of ``pynndescent.NNDescent``.
"""

import threading

import numpy as np
from pynndescent import NNDescent  # importing it takes seconds


class LockedGraph(NNDescent):
    """A graph that one thread searches at a time; others may search other graphs.

    A search writes its results and the items visited to arrays that belong to the
    graph, and to nothing else. Copies share what is only read.
    """

    def __init__(self, *args, **params):
        self._lock = threading.Lock()
        super().__init__(*args, **params)

    def query(self, query_data, **params):
        """Search as ``NNDescent.query``, when no other thread does."""
        with self._lock:
            return super().query(query_data, **params)

    def n_compared(self, queries, **params):
        """Return the mean number of items that a search of queries (n, d) looks at.

        Not of a graph with ``parallel_batch_queries``.
        """
        n_items = 0
        for query in queries:
            with self._lock:
                super().query(query[None], **params)
                n_items += int(np.unpackbits(self._visited).sum())
        return n_items / max(1, len(queries))

    def copy_with(self, **settings):
        """Return a graph of the same items with other settings of its search."""
        copied = type(self).__new__(type(self))
        copied.__setstate__(self.__getstate__() | settings)
        return copied

    def __getstate__(self):
        return super().__getstate__() | {"_lock": None}

    def __setstate__(self, state):
        visited = np.zeros(len(state["_raw_data"]) // 8 + 1, dtype=np.uint8)
        super().__setstate__(state | {"_visited": visited})
        self._lock = threading.Lock()
