"""Enters: users or items, as ids or tables, and an estimator with two towers.

Leaves: their vectors (n, d), and the items whose vectors are nearest, (n, k).
Next: evaluation.py, which ranks for held-out events.
"""

import numpy as np
from scipy import sparse
from sklearn.base import ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils.validation import check_is_fitted

from sktwotower._tables._events import event_table
from sktwotower._tables._messages import warn
from sktwotower._tables._sparse import rows_of
from sktwotower.neighbors._search import search
from sktwotower.neighbors._threads import threads
from sktwotower.retrieval._requests import Query, read_query
from sktwotower.retrieval._retrieval import RetrievalMixin, SimilarItemsMixin
from sktwotower.towers._net import embed_items, embed_users

__all__ = ["VectorsMixin"]


class VectorsMixin(
    RetrievalMixin,
    SimilarItemsMixin,
    ClassNamePrefixFeaturesOutMixin,
    TransformerMixin,
):
    """Everything that is asked of an estimator once its vectors are learnt.

    It is a ``TransformerMixin`` itself, because ``set_output`` wraps a ``transform``
    only where it stands in the body of such a class.

    Beside what a ``RetrievalMixin`` has, the estimator has ``net_``,
    ``item_embeddings_`` and ``neighbors_``.
    """

    def transform(self, X):
        """Return the user vector of each event.

        Parameters
        ----------
        X : dataframe or array-like of shape (n_events, n_columns)
            Events with the columns of fit.

        Returns
        -------
        ndarray of shape (n_events, d), float32
            User vectors, of unit length where ``normalize``. The user's history is
            what fit has seen; users unknown to fit share one vector, unless features
            tell them apart.

        Notes
        -----
        Before a classifier in a Pipeline, freeze a recommender that was fitted on
        events. An unfrozen one would be fitted with the classes as rewards: it would
        hide the label of each user of train in that user's vector.

        Examples
        --------
        >>> from sklearn.frozen import FrozenEstimator
        >>> from sklearn.linear_model import LogisticRegression
        >>> from sklearn.pipeline import make_pipeline
        >>> from sktwotower import TwoTowerRecommender
        >>> from sktwotower.datasets import make_interactions
        >>> made = make_interactions(100, 50, random_state=0)
        >>> model = TwoTowerRecommender(max_epochs=1, random_state=0).fit(made.data)
        >>> model.transform(made.data[:3]).shape
        (3, 256)
        >>> pipe = make_pipeline(FrozenEstimator(model), LogisticRegression())
        >>> pipe.fit(made.data[:300], made.user_cluster[made.data["user"][:300]])
        Pipeline(...)
        """
        return self._event_vectors(X)[0]

    def fit_transform(self, X, y=None, **fit_params):
        """Fit, and give the user vector of each event, as `transform` does.

        Parameters
        ----------
        X, y
            As in `fit`. With a y there is a warning: in a Pipeline it may be what a
            later step is to learn, and it would be in the vectors.
        **fit_params : dict
            Further arguments of `fit`.

        Returns
        -------
        ndarray of shape (n_events, d), float32

        Examples
        --------
        >>> from sktwotower import TwoTowerRecommender
        >>> from sktwotower.datasets import make_interactions
        >>> X = make_interactions(100, 50, random_state=0).data
        >>> model = TwoTowerRecommender(max_epochs=1, random_state=0)
        >>> model.fit_transform(X).shape
        (2000, 256)
        """
        if y is not None:
            warn(
                "fit_transform takes y as the rewards of the events. If it is what a "
                "later step of a Pipeline is to learn, it leaks into the user vectors: "
                "put FrozenEstimator(model) of a fitted model there instead."
            )
        return super().fit_transform(X, y, **fit_params)

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

        Examples
        --------
        >>> from sktwotower import TwoTowerRecommender
        >>> from sktwotower.datasets import make_interactions
        >>> X = make_interactions(100, 50, random_state=0).data
        >>> model = TwoTowerRecommender(max_epochs=1, random_state=0).fit(X)
        >>> scores = model.predict(X[:3])
        >>> bool((abs(scores) <= 1).all())
        True
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
        """Return user vectors.

        Parameters
        ----------
        users : list, array, Series or dataframe of n users
            Ids, or a table with the id column and, optionally, all feature columns.
            Unknown users are no error: they are known by what is given of them.
        history : dataframe, dict, list or None, default=None
            Events that fit has not seen, see `recommend`; with ``fold_in`` the vector
            of a user without any other is learnt from them.

        Returns
        -------
        ndarray of shape (n, d), float32

        Examples
        --------
        >>> from sktwotower import TwoTowerRecommender
        >>> from sktwotower.datasets import make_interactions
        >>> X = make_interactions(100, 50, random_state=0).data
        >>> model = TwoTowerRecommender(max_epochs=1, random_state=0).fit(X)
        >>> model.embed_users([0, 1]).shape
        (2, 256)
        >>> model.embed_users(["new"], history={"new": [3, 4]}).shape
        (1, 256)
        """
        check_is_fitted(self)
        query = self._read_users(users)
        return self._embed_user_query(query, self._added(history, query))

    def embed_items(self, items):
        """Return item vectors.

        Parameters
        ----------
        items : list, array, Series or dataframe of n items
            Ids, or a table with the id column and, optionally, all feature columns.
            An item unknown to fit is known by its features.

        Returns
        -------
        ndarray of shape (n, d), float32

        Examples
        --------
        >>> from sktwotower import TwoTowerRecommender
        >>> from sktwotower.datasets import make_interactions
        >>> X = make_interactions(100, 50, random_state=0).data
        >>> model = TwoTowerRecommender(max_epochs=1, random_state=0).fit(X)
        >>> vectors = model.embed_items([0, 1])
        >>> bool((vectors == model.item_embeddings_[:2]).all())
        True
        """
        check_is_fitted(self)
        return self._embed_item_query(
            read_query(self._items, items, "items", self.n_features_in_)
        )

    def _embed_user_query(self, query, added=None):
        past = self._past(query, added)
        with threads(self.n_jobs):
            module, rows = self.net_.module_, self._items.rows
            vectors = embed_users(module, query.rows, past, rows)
            new = self._to_fold_in(query, added)
            if len(new):
                vectors[new] = self._folded_in(vectors[new], past[new])
            return vectors

    def _to_fold_in(self, query, added):
        """Return which users (m,) only a given history tells the past of."""
        if added is None or self._fold_in is None or not self.fold_in:
            return np.zeros(0, dtype=np.int64)
        unseen = query.past(self._seen).getnnz(axis=1) == 0
        return np.flatnonzero(unseen & (added.getnnz(axis=1) > 0))

    def _folded_in(self, vectors, past):
        items, places = np.unique(past.indices, return_inverse=True)
        chosen = embed_items(self.net_.module_, self._items.rows[items])
        shape = past.shape[0], len(items)
        pairs = sparse.csr_matrix((np.ones(past.nnz), places, past.indptr), shape)
        return self._fold_in(vectors, pairs @ chosen, past.getnnz(axis=1))

    def _past(self, query, added=None):
        """Return past items, CSR (n, n_items), that the user tower sees, or None."""
        if self.net_.module_.history is None:
            return None
        past = query.past(self._seen)
        return past if added is None else (past + added).sign()

    def _embed_item_query(self, query):
        with threads(self.n_jobs):
            return embed_items(self.net_.module_, query.rows)

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

    def _search_similar(self, query, k, itself):
        vectors = self._embed_item_query(query)
        return self._search_vectors(lambda block: vectors[block], len(query), k, itself)
