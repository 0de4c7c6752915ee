"""Neighbor indexes of this package and of others behind one interface.

Input: unit vectors (n_items, d), float32.
Output: an index with ``build``, ``search`` and ``widths``; positions found (n, k).
"""

import os
from itertools import product

import numpy as np
import torch

from sktwotower.neighbors import ExactNeighbors, NNDescentNeighbors
from sktwotower.neighbors._graph_search import EPSILONS, LEAF_BUDGETS

THREADS = int(os.environ.get("OMP_NUM_THREADS", os.cpu_count()))


def made_vectors(n, d=64, per_cluster=100, seed=0):
    """Return unit vectors (n, d) around n / per_cluster centres, and 10,000 queries."""
    rng = np.random.default_rng(seed)
    centres = rng.standard_normal((max(1, n // per_cluster), d)).astype(np.float32)

    def draw(size):
        noise = rng.standard_normal((size, d), dtype=np.float32)
        vectors = centres[rng.integers(len(centres), size=size)] + 0.7 * noise
        return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)

    return draw(n), draw(10_000)


class Product:
    """The matrix of scores only, block by block, without a search."""

    widths = (None,)

    def build(self, vectors):
        self.items = torch.from_numpy(vectors)

    def search(self, queries, k, width=None):
        queries = torch.from_numpy(queries)
        step = min(len(self.items), max((1 << 21) // len(queries), 8192))
        room = torch.empty(len(queries) * step)
        for start in range(0, len(self.items), step):
            items = self.items[start : start + step]
            out = room[: len(queries) * len(items)].view(len(queries), -1)
            torch.mm(queries, items.T, out=out)


class TorchTopk(Product):
    """Scores of chunks of 16,384 items, and torch's own top-k of each."""

    def search(self, queries, k, width=None):
        queries, parts = torch.from_numpy(queries), []
        for start in range(0, len(self.items), 16384):
            scores = queries @ self.items[start : start + 16384].T
            best = scores.topk(min(k, scores.shape[1]))
            parts.append((best.values, best.indices + start))
        values, indices = (torch.cat(each, dim=1) for each in zip(*parts, strict=True))
        return indices.gather(1, values.topk(k).indices).numpy()


class Exact:
    """`ExactNeighbors`."""

    widths = (None,)

    def build(self, vectors):
        self.index = ExactNeighbors().fit(vectors)

    def search(self, queries, k, width=None):
        return self.index.kneighbors(queries, k)[1]


class FaissFlat:
    """Exact search of faiss."""

    widths = (None,)

    def build(self, vectors):
        import faiss

        faiss.omp_set_num_threads(THREADS)
        self.index = faiss.IndexFlatIP(vectors.shape[1])
        self.index.add(vectors)

    def search(self, queries, k, width=None):
        return self.index.search(queries, k)[1]


class Graph:
    """`NNDescentNeighbors`; a width is (leaf budget, epsilon), the cheapest first."""

    # a leaf takes about as long as 0.03 more of epsilon
    widths = sorted(product(LEAF_BUDGETS, EPSILONS), key=lambda w: 0.03 * w[0] + w[1])

    def build(self, vectors):
        self.index = NNDescentNeighbors(n_jobs=THREADS).fit(vectors)

    def search(self, queries, k, width):
        budget, self.index.epsilon_ = width
        if budget != self.index.search_tree_leaf_budget_:
            self.index.search_tree_leaf_budget_ = budget
            self.index.graph_ = self.index.graph_.copy_with(
                search_tree_leaf_budget=budget
            )
        return self.index.kneighbors(queries, k)[1]


class Hnsw:
    """hnswlib; a width is ef."""

    widths = (10, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256)

    def build(self, vectors):
        import hnswlib

        self.index = hnswlib.Index(space="ip", dim=vectors.shape[1])
        self.index.init_index(len(vectors), M=16, ef_construction=100, random_seed=0)
        self.index.add_items(vectors, num_threads=THREADS)

    def search(self, queries, k, width):
        self.index.set_ef(width)
        return self.index.knn_query(queries, k, num_threads=THREADS)[0].astype(np.int64)


EXACT = {
    "product alone": Product,
    "ours, exact": Exact,
    "faiss IndexFlatIP": FaissFlat,
    "torch product, topk": TorchTopk,
}
GRAPHS = {"ours, nndescent": Graph, "hnswlib": Hnsw}
