"""Recommenders that add up the similarities of items to a user's past ones.

Input: past items, CSR (n_users, n_items), of ones or of lags.
Output: similarities of each item to its nearest, CSR (n_items, n_items).
"""

from dataclasses import KW_ONLY, dataclass, field

import numpy as np
from scipy import sparse

from sktwotower._records import csr, frozen, number
from sktwotower._sklearn_compat import COUNT, POSITIVE, parameter
from sktwotower._tables._memory import check_memory
from sktwotower.retrieval._fitted_state import fitted_attribute
from sktwotower.retrieval._similar_items import SimilarItemsMixin

from ._fitted_matrix import ItemScores, blocks_of_rows, positive
from ._matrix_recommender import MatrixRecommender

# Memory of the similarity of a pair of items, in rows and in columns.
BYTES_OF_PAIR = 16


@dataclass(eq=False, repr=False)
class NearestItemsRecommender(SimilarItemsMixin, MatrixRecommender):
    """Score items by their similarities to past items, of which the nearest count.

    Subclasses define ``_similarities(shared, first, second)``: those of pairs of items
    (n_pairs,), from the summed weights of the users of both, and from the numbers of
    users of each. ``_user_weights`` returns the weights.
    """

    item_similarities_ = fitted_attribute("model.nearest")

    _need_time = _replayed = ("decay",)
    n_similar: int = parameter(100, COUNT)
    _: KW_ONLY
    decay: float | None = parameter(None, POSITIVE, None)

    def _learn(self, seen, events):
        users_of, n_items = seen.T.tocsr(), seen.shape[1]
        users_of.data *= self._user_weights(np.diff(seen.indptr))[users_of.indices]
        nearest, n_pairs = [], 0
        for block in blocks_of_rows(n_items, n_items):
            nearest.append(self._nearest_similar(users_of, seen, block))
            n_pairs += nearest[-1].nnz
            needed = BYTES_OF_PAIR * n_pairs
            check_memory(needed, f"{n_pairs:,} similarities", "Lower n_similar.")
        return _Similarities(sparse.vstack(nearest, format="csr"), self.decay)

    def _user_weights(self, n_items):
        """Return the weights (n_users,) of users, by their numbers of items."""
        return np.ones(len(n_items), dtype=np.float32)

    def _nearest_similar(self, users_of, seen, block):
        """Return similarities, CSR (b, n_items), to the nearest items of a block."""
        together = (users_of[block] @ seen).tocsr()
        together.sort_indices()
        first_items = block.start + together.tocoo().row
        # 64 bits: products of two counts may exceed 2**31
        n_users = np.diff(users_of.indptr).astype(np.int64)
        counts = n_users[first_items], n_users[together.indices]
        together.data = self._similarities(together.data, *counts)
        together.data[first_items == together.indices] = 0
        for start, end in zip(together.indptr, together.indptr[1:], strict=False):
            if end - start > self.n_similar:
                values = together.data[start:end]
                # stable: keeps the first of equally similar items on any machine
                far = np.argsort(-values, kind="stable")[self.n_similar :]
                values[far] = 0
        together.eliminate_zeros()
        return together


@frozen
class _Similarities(ItemScores):
    """Scores that add up the similarities of an item to past items.

    ``nearest``: CSR (n_items, n_items), the similarities of each item to its nearest.
    ``decay``: the parameter of the estimator.
    """

    nearest: csr("n_items n_items", is_finite=True)
    decay: number(above=0) | None
    weights: sparse.csr_matrix = field(init=False)

    def __post_init__(self):
        object.__setattr__(self, "weights", self.nearest.T.tocsr())

    @property
    def reads_lags(self):
        """Whether past items are given by their lags."""
        return self.decay is not None

    def scores(self, past):
        """Return scores (n, n_items) of users with past items (n, n_items)."""
        if self.reads_lags:
            past = _decayed(past, self.decay)
        return (past @ self.weights).toarray()

    def similarities(self, one_hot):
        """Return similarities (n, n_items) to the item of each row of ``one_hot``."""
        return positive((one_hot @ self.nearest).toarray())


def _decayed(lags, decay):
    """Return the weight of each past item once, CSR (n, n_items).

    ``lags``: CSR (n, n_items), as in `Sequences`; an item may occur more than once.
    """
    n, n_items = lags.shape
    rows = np.repeat(np.arange(n), np.diff(lags.indptr))
    # rows begin with the oldest event: from the end, the first of an item is its latest
    pairs = (rows * n_items + lags.indices)[::-1]
    pairs, latest = np.unique(pairs, return_index=True)
    weights = np.exp((1 - lags.data[::-1][latest]) / np.float32(decay))
    return sparse.csr_matrix((weights, np.divmod(pairs, n_items)), lags.shape)
