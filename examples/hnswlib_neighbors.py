"""hnswlib as the index of a recommender: ``neighbors=HnswlibNeighbors()``.

Input: item vectors (n_items, d), all of the same length.
Output: distances and positions of the nearest items (n, k); -1 where none was found,
which the recommender then searches exactly.
"""

import hnswlib
import numpy as np
from sklearn.base import BaseEstimator

from sktwotower.neighbors import ExactNeighbors, check_model_id


class HnswlibNeighbors(BaseEstimator):
    """Approximate neighbors, among which items can be added, deleted and filtered."""

    def __init__(self, n_neighbors=10, target_recall=0.95, M=16):
        self.n_neighbors, self.target_recall, self.M = n_neighbors, target_recall, M

    def fit(self, X, y=None):
        """Build the graph; sums of two items are searched until users are known."""
        self.index_ = hnswlib.Index("ip", np.shape(X)[1])
        self.index_.init_index(0, self.M, ef_construction=100, random_seed=0)
        self.add(X)
        some = np.asarray(X, dtype=np.float32)[:: 1 + len(X) // 300]
        self.tune_search_width(some + some[::-1], self.n_neighbors)
        return self

    def add(self, X):
        """Add items; their positions are the next ones."""
        self.model_id_ = getattr(X, "model_id", None)
        positions = self.index_.get_current_count() + np.arange(len(X))
        self.index_.resize_index(positions[-1] + 1)
        self.index_.add_items(X, positions)

    def delete(self, positions):
        """Never return the items at these positions again."""
        for position in positions:
            self.index_.mark_deleted(position)

    def tune_search_width(self, queries, k):
        """Search as little as finds ``target_recall`` of the nearest; return recall."""
        items = self.index_.get_items(np.arange(self.index_.get_current_count()))
        truth = ExactNeighbors().fit(items).kneighbors(queries, k)[1]
        for ef in (10, 12, 16, 24, 32, 48, 64, 96, 128, 256, 512):
            self.index_.set_ef(ef)
            found = self.kneighbors(queries, k, return_distance=False)
            recall = (found[:, :, None] == truth[:, None]).any(axis=1).mean()
            if recall >= self.target_recall:
                break
        return float(recall)

    def kneighbors(self, X, n_neighbors=None, return_distance=True, is_allowed=None):
        """Find the nearest items, of positions that ``is_allowed`` says yes to."""
        check_model_id(X, self.model_id_)
        k = min(n_neighbors or self.n_neighbors, self.index_.get_current_count())
        try:
            found, distances = self.index_.knn_query(X, k, filter=is_allowed)
        except RuntimeError:  # fewer than k were found
            found, distances = np.full((2, len(X), k), [[[-1]], [[np.inf]]])
        found = found.astype(np.int64)
        return (distances, found) if return_distance else found
