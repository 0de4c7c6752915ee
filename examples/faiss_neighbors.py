"""faiss as the index of a recommender: ``neighbors=FaissNeighbors()``.

Input: item vectors (n_items, d), all of the same length.
Output: distances and positions of the nearest items (n, k); -1 where none was found,
which the recommender then searches exactly.
"""

import faiss
import numpy as np
from sklearn.base import BaseEstimator

from sktwotower.neighbors import ExactNeighbors, check_model_id


class FaissNeighbors(BaseEstimator):
    """Approximate neighbors: the nearest of many lists of similar items (IVF)."""

    def __init__(self, n_neighbors=10, target_recall=0.95, n_lists=None):
        self.n_neighbors, self.target_recall = n_neighbors, target_recall
        self.n_lists = n_lists

    def fit(self, X, y=None):
        """Divide items into lists; sums of two are searched until users are known."""
        self.model_id_ = getattr(X, "model_id", None)
        self.vectors_ = np.ascontiguousarray(X, dtype=np.float32)
        n_items, d = self.vectors_.shape
        n_lists = self.n_lists or max(1, min(int(4 * n_items**0.5), n_items // 40))
        ip = faiss.METRIC_INNER_PRODUCT
        self.index_ = faiss.IndexIVFFlat(faiss.IndexFlatIP(d), d, n_lists, ip)
        self.index_.train(self.vectors_)
        self.index_.add(self.vectors_)
        some = self.vectors_[:: 1 + n_items // 300]
        self.tune_search_width(some + some[::-1], self.n_neighbors)
        return self

    def tune_search_width(self, queries, k):
        """Search as little as finds ``target_recall`` of the nearest; return recall."""
        truth = ExactNeighbors().fit(self.vectors_).kneighbors(queries, k)[1]
        for share in 2.0 ** np.arange(-12, 0.1, 0.5):
            self.index_.nprobe = max(1, int(share * self.index_.nlist))
            found = self.kneighbors(queries, k, return_distance=False)
            recall = (found[:, :, None] == truth[:, None]).any(axis=1).mean()
            if recall >= self.target_recall:
                break
        return float(recall)

    def kneighbors(self, X, n_neighbors=None, return_distance=True):
        """Find the nearest items of those in the nearest lists."""
        check_model_id(X, self.model_id_)
        k = min(n_neighbors or self.n_neighbors, len(self.vectors_))
        X = np.ascontiguousarray(X, dtype=np.float32)
        scores, found = self.index_.search(X, k)
        return (1 - scores, found) if return_distance else found
