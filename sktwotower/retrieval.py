"""Enters: users or items, as ids or tables, and a fitted estimator.

Leaves: their vectors (n, d), and ranked items, (n, k) or a tidy table.
Next: evaluation.py, which ranks for held-out events.
"""

import functools

import numpy as np
import pandas as pd
from scipy import sparse
from sklearn.base import ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils.validation import check_is_fitted

from sktwotower.interactions import event_table, pair_matrix, some
from sktwotower.net import embed_items, embed_users
from sktwotower.queries import (
    Query,
    blocks,
    candidate_positions,
    check_n_neighbors,
    history_matrix,
    history_users,
    read_query,
    rows_of,
    search,
    threads,
    write_parquet,
)

__all__ = ["RetrievalMixin"]


class RetrievalMixin(ClassNamePrefixFeaturesOutMixin, TransformerMixin):
    """Everything that is asked of an estimator once its vectors are learnt.

    It is a ``TransformerMixin`` itself, because ``set_output`` wraps a ``transform``
    only where it stands in the body of such a class.

    The estimator has ``_users`` and ``_items`` (fitted ``Entities``), ``_seen`` (CSR of
    shape (n_users + 1, n_items), the last row empty), ``net_``, ``item_embeddings_``,
    ``neighbors_`` and ``n_features_in_``.
    """

    def transform(self, X):
        """Give the user vector of each event.

        Parameters
        ----------
        X : dataframe or array-like of shape (n_events, n_columns)
            Events with the columns of fit.

        Returns
        -------
        ndarray of shape (n_events, d), float32
            User vectors, of unit length where ``normalize``. The user's history is
            what fit has seen.
        """
        return self._event_vectors(X)[0]

    def predict(self, X):
        """Score each event's own pair of user and item.

        Parameters
        ----------
        X : dataframe or array-like of shape (n_events, n_columns)
            Events with the columns of fit.

        Returns
        -------
        ndarray of shape (n_events,), float32
            Dot product of the user's and the item's vector: a cosine in [-1, 1] where
            ``normalize``. Higher is a better match.
        """
        users, frame = self._event_vectors(X)
        query = Query(*self._items.describe(frame, "X", events=True))
        items = self._embed_distinct(query, self._items, self._embed_item_query)
        return np.einsum("nd,nd->n", users, items, dtype=np.float64).astype(np.float32)

    def _event_vectors(self, X):
        check_is_fitted(self)
        frame = event_table(self, X, reset=False)
        query = Query(*self._users.describe(frame, "X", events=True))
        vectors = self._embed_distinct(query, self._users, self._embed_user_query)
        return vectors, frame

    @staticmethod
    def _embed_distinct(query, entities, embed):
        """Embed each user or item of events once, unless the events describe them."""
        if entities.features:
            return embed(query)
        _, first, place = np.unique(query.codes, return_index=True, return_inverse=True)
        return embed(Query(query.ids[first], query.codes[first], query.rows[first]))[
            place
        ]

    def embed_users(self, users, history=None):
        """Give user vectors.

        Parameters
        ----------
        users : list, array, Series or dataframe of n users
            Ids, or a table with the id column and, optionally, all feature columns.
            Unknown users are no error: they are known by what is given of them.
        history : dataframe, dict, list or None, default=None
            Events that fit has not seen, see `recommend`.

        Returns
        -------
        ndarray of shape (n, d), float32
        """
        check_is_fitted(self)
        query = self._read_users(users)
        return self._embed_user_query(query, self._added(history, query))

    def embed_items(self, items):
        """Give item vectors.

        Parameters
        ----------
        items : list, array, Series or dataframe of n items
            Ids, or a table with the id column and, optionally, all feature columns.
            An item unknown to fit is known by its features.

        Returns
        -------
        ndarray of shape (n, d), float32
        """
        check_is_fitted(self)
        return self._embed_item_query(
            read_query(self._items, items, "items", self.n_features_in_)
        )

    def _read_users(self, users, name="users"):
        return read_query(self._users, users, name, self.n_features_in_)

    def _added(self, history, query):
        if history is None:
            return None
        return history_matrix(history, query, self._users, self._items)

    def _embed_user_query(self, query, added=None):
        past = self._past(query, added)
        with threads(self.n_jobs):
            return embed_users(self.net_.module_, query.rows, past, self._items.rows)

    def _past(self, query, added=None):
        """Give the past items, CSR (n, n_items), that the user tower sees, or None."""
        if self.net_.module_.history is None:
            return None
        past = query.past(self._seen)
        return past if added is None else (past + added).sign()

    def _embed_item_query(self, query):
        with threads(self.n_jobs):
            return embed_items(self.net_.module_, query.rows)

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
            ``1 - score``, ascending: the cosine distance where ``normalize``. ``inf``
            where fewer than k items are left. Only with ``return_distance``.
        indices : ndarray of shape (n, k), int64
            Positions in ``item_ids_``; -1 where fewer than k items are left. Items
            seen in fit are left out where ``exclude_seen``.
        """
        check_is_fitted(self)
        scores, indices = self._search(self._read_users(X, "X"), n_neighbors)
        return (1 - scores, indices) if return_distance else indices

    def _search(
        self, query, n_neighbors=None, exclude_seen=None, allowed=None, added=None
    ):
        """Give scores and positions (n, k) of a query of users."""
        k = check_n_neighbors(self.n_neighbors if n_neighbors is None else n_neighbors)
        excluded = None
        if self.exclude_seen if exclude_seen is None else exclude_seen:
            excluded = query.past(self._seen)
            if added is not None:
                excluded = (excluded + added).sign()
        return self._search_without(query, k, excluded, allowed, added)

    def _search_without(self, query, k, excluded, allowed=None, added=None):
        def embed(block):
            return self._embed_user_query(query[block], rows_of(added, block))

        return self._search_vectors(embed, len(query), k, excluded, allowed)

    def _search_vectors(self, embed, n_queries, k, excluded, allowed=None):
        """Search for the query vectors that ``embed(block)`` gives, block by block."""
        n_items = len(self.item_ids_)
        if excluded is not None and excluded.shape[1] > n_items:
            excluded = excluded[:, :n_items]  # the others are gone
        with threads(self.n_jobs):
            return search(
                self.neighbors_,
                embed,
                n_queries,
                self.item_embeddings_,
                k,
                excluded,
                allowed,
                bar=bool(self.verbose),
            )

    def kneighbors_graph(self, X=None, n_neighbors=None, mode="connectivity"):
        """Give the graph from users to their nearest items.

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
            catalogue.
        unknown_candidates : {"error", "ignore"}, default="error"
            What candidates that are not in the catalogue are.
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

    def similar_items(self, items, n_neighbors=None):
        """Find the items whose vectors are nearest to those of given items.

        Parameters
        ----------
        items : list, array, Series or dataframe of n items
            Ids known from fit, or a table with the id and all feature columns.
        n_neighbors : int, default=None
            Number of items per item, >= 1. None: the constructor's.

        Returns
        -------
        DataFrame
            Columns: the item column, ``similar_`` + its name, ``score`` (the dot
            product of the vectors) and ``rank`` (from 1); an item is not similar to
            itself.
        """
        check_is_fitted(self)
        k = check_n_neighbors(self.n_neighbors if n_neighbors is None else n_neighbors)
        query = read_query(self._items, items, "items", self.n_features_in_)
        unknown = query.ids[query.is_nothing() & (not query.described)]
        if len(unknown):
            raise ValueError(
                f"{len(unknown)} items are not known from fit: {some(unknown)}. Give a "
                "table with their features instead."
            )
        own = (query.codes >= 0) & (query.codes < len(self.item_ids_))
        itself = pair_matrix(
            np.flatnonzero(own),
            query.codes[own],
            np.ones(own.sum()),
            (len(query), len(self.item_ids_)),
        )
        vectors = self._embed_item_query(query)
        scores, indices = self._search_vectors(
            lambda block: vectors[block], len(query), self._at_most(k), itself
        )
        return self._tidy(
            query.ids,
            indices,
            scores,
            self._items.label,
            f"similar_{self._items.label}",
        )

    def _at_most(self, k):
        """Give k, or the size of the catalogue: tables need no padding."""
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


@functools.lru_cache(maxsize=16)
def _names(*names):
    """Give names as a pandas Index, which takes as long to make as the table."""
    return pd.Index(names)
