"""Enters: a fitted estimator, and the items of today.

Leaves: the same estimator, whose catalog these items are.
Next: retrieval.py, which recommends them.
"""

import copy

import numpy as np
import pandas as pd
from scipy import sparse
from sklearn.utils.validation import check_is_fitted

from sktwotower._tables._ids import check_ids
from sktwotower._tables._messages import format_ids, warn
from sktwotower.neighbors._indexes import build_index
from sktwotower.retrieval._requests import read_query

__all__ = ["CatalogMixin"]

# Users on whom the recall of an index is measured.
SAMPLED_USERS = 500


class CatalogMixin:
    """Another catalog without another fit.

    The estimator is a ``RetrievalMixin``. Its first ``_items`` are the catalog, in
    the order of ``item_ids_``; behind them are items that are gone but occur in the
    past of users, whose vectors depend on it.
    """

    def set_catalog(self, items):
        """Recommend exactly these items from now on.

        New items get their vectors from the item tower, by their features; nothing is
        learnt. Items that are gone are not recommended any more, but stay part of what
        is known of the users who chose them, and may come back. The index is built
        anew, but for a graph of 200,000 items or more: it is updated in a fraction of
        the time if new items follow the old ones, all of them in their order.

        Parameters
        ----------
        items : list, array, Series or dataframe of n items
            Ids known from fit, or a table with the id column and all feature columns.
            The features of known items are taken anew from such a table.

        Returns
        -------
        self : TwoTowerRecommender
            A call that fails leaves the catalog as it was.

        Raises
        ------
        ValueError
            No items, ids given twice, ids unknown to fit without features, features
            that are not finite or lead to vectors that are not.

        Examples
        --------
        >>> from sktwotower import TwoTowerRecommender
        >>> from sktwotower.datasets import make_interactions
        >>> X = make_interactions(100, 50, random_state=0).data
        >>> model = TwoTowerRecommender(max_epochs=1, random_state=0).fit(X)
        >>> model.set_catalog([7, 3, 9]).item_ids_.tolist()
        [7, 3, 9]
        >>> set(model.recommend([0], exclude_seen=False)["item"]) == {3, 7, 9}
        True
        """
        check_is_fitted(self)
        query = read_query(self._items, items, "items", self.n_features_in_)
        ids = check_ids(query.ids, "items")
        self._check_catalog(ids, query)
        known = self._items
        gone = np.setdiff1d(np.arange(len(known.ids)), query.codes)
        together = copy.copy(known)
        together.ids = pd.Index(
            np.concatenate([ids.to_numpy(), known.ids[gone].to_numpy()])
        )
        together.rows = sparse.vstack(
            [query.rows, known.rows[gone], known.rows[-1]], format="csr"
        )
        seen = self._moved(query.codes, gone, len(together.ids))
        vectors = self._embed_item_query(query)
        finite = np.isfinite(vectors).all(axis=1)
        if not finite.all():
            raise ValueError(
                f"The vectors of {int((~finite).sum())} items are not finite: "
                f"{format_ids(ids[~finite])}. Scale or clip their features."
            )
        index, recall = self._build_index(vectors, before=self.neighbors_)
        self._items, self._seen = together, seen
        self.item_ids_, self.item_embeddings_ = ids.to_numpy(), vectors
        self.neighbors_, self.index_recall_ = index, recall
        return self

    def _check_catalog(self, ids, query):
        if len(ids) == 0:
            raise ValueError("items is empty: a catalog needs one item at least.")
        repeated = ids[ids.duplicated()].unique()
        if len(repeated):
            raise ValueError(
                f"items must hold each id once, but {len(repeated)} are duplicated: "
                f"{format_ids(repeated)}."
            )
        unknown = ids[query.is_nothing()]
        if len(unknown) and query.described:
            warn(
                f"Of {len(unknown)} new items fit knows no feature: "
                f"{format_ids(unknown)}. "
                "They share one vector, the answer to an empty row."
            )
        elif len(unknown):
            raise ValueError(
                f"{len(unknown)} items are not known from fit: {format_ids(unknown)}. "
                "Give a "
                "table with their features."
            )

    def _moved(self, codes, gone, n_items):
        """Return the matrix of what was seen with its columns in the new order."""
        places = np.full(len(self._items.ids), -1)
        kept = codes >= 0
        places[codes[kept]] = np.flatnonzero(kept)
        places[gone] = len(codes) + np.arange(len(gone))
        seen = self._seen.copy()
        seen.indices = places[seen.indices].astype(seen.indices.dtype)
        seen = sparse.csr_matrix(
            (seen.data, seen.indices, seen.indptr), shape=(seen.shape[0], n_items)
        )
        seen.sort_indices()
        return seen

    def _build_index(self, vectors, before=None):
        """Return an index of item vectors, and its recall for users of fit."""

        def sample():
            rng = np.random.default_rng(0)
            n_users = len(self.user_ids_)
            chosen = rng.choice(n_users, min(n_users, SAMPLED_USERS), replace=False)
            return self.embed_users(self.user_ids_[np.sort(chosen)])

        return build_index(
            self.neighbors,
            self.neighbors_params,
            vectors,
            self.normalize,
            sample,
            self.n_neighbors,
            before,
        )
