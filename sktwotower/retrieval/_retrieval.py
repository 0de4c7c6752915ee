"""Enters: users or items, as ids or tables, and a fitted estimator that scores them.

Leaves: ranked items, (n, k) or a tidy table.
Next: evaluation.py, which ranks for held-out events.
"""

import functools

import numpy as np
import pandas as pd
from scipy import sparse
from sklearn.utils.validation import check_is_fitted

from sktwotower._tables._messages import format_ids
from sktwotower._tables._sparse import blocks, pair_matrix, rows_of

from ._requests import (
    candidate_positions,
    check_n_neighbors,
    history_matrix,
    history_users,
    read_query,
    write_parquet,
)

__all__ = ["RetrievalMixin", "SimilarItemsMixin"]


class RetrievalMixin:
    """Everything that users are given, whatever it is that scores items for them.

    The estimator has ``_users`` and ``_items`` (fitted ``Entities``), ``_seen`` (CSR of
    shape (n_users + 1, n_items), the last row empty), ``item_ids_``, ``n_features_in_``
    and ``_search_without(query, k, excluded, allowed, added)``, which gives scores and
    positions (n, k) of the best items.
    """

    def _read_users(self, users, name="users"):
        return read_query(self._users, users, name, self.n_features_in_)

    def _added(self, history, query):
        if history is None:
            return None
        return history_matrix(history, query, self._users, self._items)

    def kneighbors(self, X=None, n_neighbors=None, return_distance=True):
        """Find the items nearest to users.

        Parameters
        ----------
        X : list, array, Series, dataframe or None, default=None
            n users: ids, or a table with the user columns. None: every user known
            from fit, in the order of ``user_ids_``.
        n_neighbors : int, default=None
            Number of items k per user, >= 1. None: the constructor's.
        return_distance : bool, default=True
            Whether to return distances too.

        Returns
        -------
        distances : ndarray of shape (n, k), float32
            ``1 - score``, ascending: of two towers the cosine distance where
            ``normalize``. ``inf`` where fewer than k items are left. Only with
            ``return_distance``.
        indices : ndarray of shape (n, k), int64
            Positions in ``item_ids_``; -1 where fewer than k items are left. Items
            seen in fit are left out where ``exclude_seen``.

        Examples
        --------
        >>> from sktwotower import TwoTowerRecommender
        >>> from sktwotower.datasets import make_interactions
        >>> X = make_interactions(100, 50, random_state=0).data
        >>> model = TwoTowerRecommender(max_epochs=1, random_state=0).fit(X)
        >>> distances, indices = model.kneighbors([0, 1], n_neighbors=3)
        >>> model.item_ids_[indices].shape
        (2, 3)
        """
        check_is_fitted(self)
        scores, indices = self._search(self._read_users(X, "X"), n_neighbors)
        return (1 - scores, indices) if return_distance else indices

    def _search(
        self, query, n_neighbors=None, exclude_seen=None, allowed=None, added=None
    ):
        """Return scores and positions (n, k) of a query of users."""
        k = check_n_neighbors(self.n_neighbors if n_neighbors is None else n_neighbors)
        excluded = None
        if self.exclude_seen if exclude_seen is None else exclude_seen:
            excluded = query.past(self._seen)
            if added is not None:
                excluded = (excluded + added).sign()
        return self._search_without(query, k, excluded, allowed, added)

    def kneighbors_graph(self, X=None, n_neighbors=None, mode="connectivity"):
        """Return the graph from users to their nearest items.

        Parameters
        ----------
        X, n_neighbors
            As in `kneighbors`.
        mode : {"connectivity", "distance"}, default="connectivity"
            Entries are ones, or the distances of `kneighbors`.

        Returns
        -------
        CSR matrix of shape (n, n_items)

        Examples
        --------
        Two items are alike if they are recommended to the same users: clusters of
        items, found by what takes a graph.

        >>> from sklearn.cluster import SpectralClustering
        >>> from sktwotower import TwoTowerRecommender
        >>> from sktwotower.datasets import make_interactions
        >>> made = make_interactions(400, 90, n_clusters=3, interactions_per_user=12,
        ...                          random_state=0)
        >>> model = TwoTowerRecommender(embedding_dim=16, random_state=0)
        >>> graph = model.fit(made.data).kneighbors_graph(n_neighbors=10)
        >>> clusters = SpectralClustering(3, affinity="precomputed", random_state=0)
        >>> found = clusters.fit_predict(graph.T @ graph)
        >>> planted = made.item_table["category"]
        >>> len(set(zip(planted, found)))  # each planted cluster is one that was found
        3
        """
        if mode not in ("connectivity", "distance"):
            raise ValueError(
                f"mode must be 'connectivity' or 'distance'. Got {mode!r}."
            )
        distances, indices = self.kneighbors(X, n_neighbors)
        found = indices >= 0
        values = distances[found] if mode == "distance" else np.ones(found.sum())
        offsets = np.concatenate([[0], np.cumsum(found.sum(axis=1))])
        return sparse.csr_matrix(
            (values, indices[found], offsets),
            shape=(len(indices), len(self.item_ids_)),
        )

    def recommend(
        self,
        X=None,
        n_neighbors=None,
        *,
        exclude_seen=None,
        candidates=None,
        unknown_candidates="error",
        history=None,
        path=None,
    ):
        """Recommend items to users.

        Parameters
        ----------
        X : list, array, Series, dataframe or None, default=None
            Users, as in `kneighbors`. None: every user known from fit or, with
            ``history``, every user who occurs in it.
        n_neighbors : int, default=None
            Number of items per user, >= 1. None: the constructor's.
        exclude_seen : bool, default=None
            Leave out items seen in fit and in ``history``. None: the constructor's.
        candidates : list, array, dict or dataframe, default=None
            Recommend only these items: one list of ids for all, or a list for each
            user, as a dict of users to lists, an array of (user, item) rows or a table
            with both columns; a user without any gets nothing. None: the whole
            catalog.
        unknown_candidates : {"error", "ignore"}, default="error"
            What candidates that are not in the catalog are.
        history : dataframe, dict, array, list or None, default=None
            Events of these users that fit has not seen: a table with the user and the
            item column, a dict of users to lists of items, an array of (user, item)
            rows or, for a single user, a list of items. They are added to what fit has
            seen, so that new users are served without a new fit. Items unknown to fit
            are ignored.
        path : str or path, default=None
            Parquet file to write, block by block of users, in place of what a table in
            memory would hold. Needs pyarrow.

        Returns
        -------
        DataFrame, or None with ``path``
            One row per recommendation, users in the order given, best first. Columns:
            the user and the item column, named as in X of fit, ``score`` and ``rank``
            (from 1). A user for whom fewer items are left has fewer rows.

        Examples
        --------
        >>> from sktwotower import TwoTowerRecommender
        >>> from sktwotower.datasets import make_interactions
        >>> X = make_interactions(100, 50, random_state=0).data
        >>> model = TwoTowerRecommender(max_epochs=1, random_state=0).fit(X)
        >>> top = model.recommend([0, 1], n_neighbors=5)
        >>> top.columns.tolist()
        ['user', 'item', 'score', 'rank']

        Two of a few items only, for somebody whom fit has not seen:

        >>> options = {"candidates": [3, 7, 9, 20], "history": {1000: [5, 9]}}
        >>> model.recommend([1000], n_neighbors=2, **options)["rank"].tolist()
        [1, 2]
        """
        check_is_fitted(self)
        if X is None and history is not None:
            X = history_users(history, self._users)
        query = self._read_users(X, "X")
        allowed = candidate_positions(
            candidates,
            query,
            self._users,
            self._items,
            len(self.item_ids_),
            unknown_candidates,
        )
        added = self._added(history, query)
        k = check_n_neighbors(self.n_neighbors if n_neighbors is None else n_neighbors)
        k = self._at_most(k)
        if path is None:
            scores, indices = self._search(query, k, exclude_seen, allowed, added)
            return self._tidy(query.ids, indices, scores, self._users.label)

        def tables():
            for block in blocks(len(query), bool(self.verbose)):
                part = query[block]
                own, past = rows_of(allowed, block), rows_of(added, block)
                scores, indices = self._search(part, k, exclude_seen, own, past)
                yield self._tidy(part.ids, indices, scores, self._users.label)

        return write_parquet(tables(), path)

    def _at_most(self, k):
        """Return k, or the size of the catalog: tables need no padding."""
        return min(k, len(self.item_ids_))

    def _tidy(self, ids, indices, scores, label, item_label=None):
        found = indices >= 0
        ranks = np.broadcast_to(np.arange(1, indices.shape[1] + 1), indices.shape)
        columns = (
            np.repeat(ids, found.sum(axis=1)),
            self.item_ids_[indices[found]],
            scores[found],
            ranks[found],
        )
        table = pd.DataFrame(dict(enumerate(columns)))
        table.columns = _names(label, item_label or self._items.label, "score", "rank")
        return table


class SimilarItemsMixin:
    """Items like a given one.

    The estimator is a ``RetrievalMixin`` with ``_search_similar(query, k, itself)``,
    which gives scores and positions (n, k) of the items most similar to those asked
    for, without the nonzeros of ``itself``, CSR (n, n_items).
    """

    def similar_items(self, items, n_neighbors=None):
        """Find the items that are most similar to given items.

        Parameters
        ----------
        items : list, array, Series or dataframe of n items
            Ids known from fit, or a table with the id and all feature columns.
        n_neighbors : int, default=None
            Number of items per item, >= 1. None: the constructor's.

        Returns
        -------
        DataFrame
            Columns: the item column, ``similar_`` + its name, ``score`` (the
            similarity; of two towers the dot product of the vectors) and ``rank`` (from
            1); an item is not similar to itself. Fewer rows where fewer items are
            alike.

        Examples
        --------
        >>> from sktwotower import TwoTowerRecommender
        >>> from sktwotower.datasets import make_interactions
        >>> X = make_interactions(100, 50, random_state=0).data
        >>> model = TwoTowerRecommender(max_epochs=1, random_state=0).fit(X)
        >>> model.similar_items([3], n_neighbors=2).columns.tolist()
        ['item', 'similar_item', 'score', 'rank']
        """
        check_is_fitted(self)
        k = check_n_neighbors(self.n_neighbors if n_neighbors is None else n_neighbors)
        query = read_query(self._items, items, "items", self.n_features_in_)
        unknown = query.ids[query.is_nothing() & (not query.described)]
        if len(unknown):
            raise ValueError(
                f"{len(unknown)} items are not known from fit: {format_ids(unknown)}. "
                "Give a "
                "table with their features instead."
            )
        own = (query.codes >= 0) & (query.codes < len(self.item_ids_))
        itself = pair_matrix(
            np.flatnonzero(own),
            query.codes[own],
            np.ones(own.sum()),
            (len(query), len(self.item_ids_)),
        )
        scores, indices = self._search_similar(query, self._at_most(k), itself)
        return self._tidy(
            query.ids,
            indices,
            scores,
            self._items.label,
            f"similar_{self._items.label}",
        )


@functools.lru_cache(maxsize=16)
def _names(*names):
    """Return names as a pandas Index, which takes as long to make as the table."""
    return pd.Index(names)
