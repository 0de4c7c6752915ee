"""The vectors of users and items, as methods of `TwoTowerRecommender`.

Input: n users or items, as ids or tables; or events (n_events, n_columns).
Output: vectors (n, d), of the users for events.
"""

from typing import Literal, overload

import numpy as np
from scipy.sparse import csr_matrix
from sklearn.base import ClassNamePrefixFeaturesOutMixin, TransformerMixin

from sktwotower._tables._arguments import hinted
from sktwotower._tables._frames import is_source
from sktwotower._tables._messages import warn
from sktwotower._tables._schema import read_table
from sktwotower.neighbors._threads import threads
from sktwotower.retrieval._fitted_state import fitted_of
from sktwotower.retrieval._requests import one_known, read_query, read_request
from sktwotower.runtime._model_id import ModelVectors


class EmbeddingMixin(ClassNamePrefixFeaturesOutMixin, TransformerMixin):
    """Methods ``embed_users`` and ``embed_items``, and those of a transformer.

    The estimator keeps its fitted state as ``_fitted``, a value of `FittedTowers`.
    """

    @overload
    def embed_users(
        self, users, history=..., context=..., *, sparse: Literal[False] = False
    ) -> ModelVectors: ...
    @overload
    def embed_users(
        self, users, history=..., context=..., *, sparse: Literal[True]
    ) -> csr_matrix: ...
    @hinted
    def embed_users(
        self, users, history=None, context=None, *, sparse=False
    ) -> ModelVectors | csr_matrix:
        """Return user vectors.

        Parameters
        ----------
        users : list, array, Series or dataframe of n users
            Ids, or a table with the id column and, optionally, all feature columns.
            Unknown users are allowed: their features and ``history`` describe them.
        history : dataframe, dict, list or None, default=None
            Events that fit has not seen, see `recommend`. With ``fold_in`` they improve
            the vector of a user without events in fit.
        context : dict, default=None
            What is known of the request, for all users, see `recommend`.
        sparse : bool, default=False
            Return sparse vectors, for what ``sparse_parts`` add to scores.

        Returns
        -------
        ndarray of shape (n, d), float32, or CSR matrix of shape (n, p)
            User vectors, of unit length with ``normalize``. What ``sparse_parts`` add
            to scores is not in them. With ``sparse``: vectors >= 0 whose products with
            those of `embed_items` are exactly that. There is an entry for each past
            item and sparse part; p is 0 if there are no parts. The attribute
            ``model_id`` of an ndarray is ``model_id_`` of the model, and
            `sktwotower.neighbors.check_model_id` compares it with that of an index.

        Raises
        ------
        NotFittedError
            If fit has not been called.
        ValueError
            If a table lacks columns, or ``history`` does not name its users.
        TypeError
            If ``users`` is neither ids nor a table.

        Examples
        --------
        >>> from sktwotower import TwoTowerRecommender
        >>> X = [["ann", "tea"], ["ann", "jam"], ["bob", "tea"], ["bob", "jam"],
        ...      ["bob", "bread"], ["cid", "nails"], ["cid", "glue"], ["dan", "nails"],
        ...      ["dan", "glue"], ["dan", "paint"]]
        >>> model = TwoTowerRecommender(embedding_dim=3, random_state=1).fit(X)
        >>> model.embed_users(["ann", "cid"]).round(2)
        array([[ 0.33,  0.85,  0.42],
               [ 0.1 , -0.58,  0.81]], dtype=float32)

        A new user is described by a history:

        >>> model.embed_users(["zoe"], history={"zoe": ["tea", "jam"]}).round(2)
        array([[0.11, 0.71, 0.69]], dtype=float32)
        """
        fitted = fitted_of(self)
        if sparse:
            request = read_request(
                fitted, users, history, context=context, name="users"
            )
            return fitted.sparse_vectors_of_users(request.past)
        known = history is None and context is None
        code = None
        if known:
            code = one_known(fitted.users, users)
        if code is not None:
            with threads(self.n_jobs):
                return fitted.shown(fitted.vector_now(code).copy())
        request = read_request(fitted, users, history, context=context, name="users")
        fitted.check_vectors(len(request))
        with threads(self.n_jobs):
            vectors = fitted.embed_users(request.users, request.past, self._serving())
        return fitted.shown(vectors)

    @overload
    def embed_items(self, items, *, sparse: Literal[False] = False) -> ModelVectors: ...
    @overload
    def embed_items(self, items, *, sparse: Literal[True]) -> csr_matrix: ...
    def embed_items(self, items, *, sparse=False) -> ModelVectors | csr_matrix:
        """Return item vectors.

        Parameters
        ----------
        items : list, array, Series or dataframe of n items
            Ids, or a table with the id column and, optionally, all feature columns.
            Items unknown to fit are described by their features.
        sparse : bool, default=False
            Return sparse vectors, for what ``sparse_parts`` add to scores.

        Returns
        -------
        ndarray of shape (n, d), float32, or CSR matrix of shape (n, p)
            Item vectors, of unit length with ``normalize``; those of items of fit that
            nobody has chosen have the length ``cold_item_weight_``. What
            ``sparse_parts`` add to scores is not in them. With ``sparse``: see
            `embed_users`; items unknown to fit have no entries. An ndarray has the
            attribute ``model_id``.

        Raises
        ------
        NotFittedError
            If fit has not been called.
        ValueError
            If a table lacks columns.
        TypeError
            If ``items`` is neither ids nor a table.

        Examples
        --------
        >>> from sktwotower import TwoTowerRecommender
        >>> X = [["ann", "tea"], ["ann", "jam"], ["bob", "tea"], ["bob", "jam"],
        ...      ["bob", "bread"], ["cid", "nails"], ["cid", "glue"], ["dan", "nails"],
        ...      ["dan", "glue"], ["dan", "paint"]]
        >>> model = TwoTowerRecommender(embedding_dim=3, random_state=1).fit(X)
        >>> model.embed_items(["tea", "glue"]).round(2)
        array([[-0.91,  0.4 ,  0.15],
               [ 0.27,  0.45, -0.85]], dtype=float32)

        The score of a pair is the product of both vectors, and what sparse parts add,
        of which a model of so few events has none:

        >>> (model.embed_users(["ann"]) @ model.embed_items(["tea", "glue"]).T).round(2)
        array([[0.1 , 0.11]], dtype=float32)
        """
        fitted = fitted_of(self)
        query = read_query(fitted.items, items, "items", fitted.schema)
        if sparse:
            return fitted.sparse_vectors_of_items(query.codes)
        with threads(self.n_jobs):
            vectors = fitted.embed_items(query)
        return fitted.shown(vectors)

    def transform(self, X) -> np.ndarray:
        """Return the user vector of each event.

        Parameters
        ----------
        X : dataframe or array-like of shape (n_events, n_columns)
            Events with the columns of fit; the time column may be missing.

        Returns
        -------
        ndarray of shape (n_events, d), float32
            User vectors, of unit length with ``normalize``. The user's history is
            what fit has seen; users unknown to fit share one vector, unless X has
            features of users.

        Raises
        ------
        NotFittedError
            If fit has not been called.
        ValueError
            If X lacks columns of fit.
        TypeError
            If X is not a table in memory, or ids are of mixed types.

        Notes
        -----
        To use the vectors in a Pipeline with a classifier, first fit the recommender on
        events and freeze it. Otherwise the pipeline would fit it with the classes as
        rewards, and the label of each training user would leak into that user's vector.

        Examples
        --------
        >>> from sklearn.frozen import FrozenEstimator
        >>> from sklearn.linear_model import LogisticRegression
        >>> from sklearn.pipeline import make_pipeline
        >>> from sktwotower import TwoTowerRecommender
        >>> X = [["ann", "tea"], ["ann", "jam"], ["bob", "tea"], ["bob", "jam"],
        ...      ["bob", "bread"], ["cid", "nails"], ["cid", "glue"], ["dan", "nails"],
        ...      ["dan", "glue"], ["dan", "paint"]]
        >>> model = TwoTowerRecommender(embedding_dim=3, random_state=1).fit(X)
        >>> model.transform([["ann", "tea"], ["cid", "glue"]]).round(2)
        array([[ 0.33,  0.85,  0.42],
               [ 0.1 , -0.58,  0.81]], dtype=float32)

        As features of a classifier that predicts what kind of customer it is:

        >>> kinds = ["cook"] * 5 + ["builder"] * 5
        >>> pipe = make_pipeline(FrozenEstimator(model), LogisticRegression(C=10))
        >>> pipe.fit(X, kinds).predict([["ann", "bread"], ["dan", "nails"]])
        array(['cook', 'builder'], dtype='<U7')
        """
        fitted = fitted_of(self)
        optional = ()
        if fitted.context_columns:  # a request has no item
            optional = fitted.items.id_column, *fitted.items.features
        frame = self._read_events(fitted, X, optional)
        with threads(self.n_jobs):
            vectors = fitted.users_of_events(frame, self._serving())
        return np.asarray(fitted.shown(vectors))

    def fit_transform(self, X, y=None, **fit_params) -> np.ndarray:
        """Fit, and return the user vector of each event, as `transform` does.

        Parameters
        ----------
        X, y
            As in `fit`. If y is given there is a warning: in a Pipeline y may be the
            target of a later step, which would leak into the vectors.
        **fit_params : dict
            Further arguments of `fit`.

        Returns
        -------
        ndarray of shape (n_events, d), float32
            User vectors.

        Raises
        ------
        ValueError, TypeError
            As in `fit`.

        Examples
        --------
        >>> from sktwotower import TwoTowerRecommender
        >>> X = [["ann", "tea"], ["bob", "tea"], ["cid", "glue"]]
        >>> model = TwoTowerRecommender(embedding_dim=3, max_epochs=3, random_state=0)
        >>> model.fit_transform(X).round(2)
        array([[ 0.53, -0.73,  0.44],
               [ 0.1 , -0.66,  0.75],
               [ 0.53,  0.3 , -0.79]], dtype=float32)
        """
        if y is not None:
            warn(
                "fit_transform uses y as the rewards of the events. If y is the target "
                "of a later step of a Pipeline, it leaks into the user vectors: use "
                "FrozenEstimator(model) with a fitted model instead."
            )
        if is_source(X):
            raise TypeError(
                "fit_transform returns a vector for each event, and X "
                f"({type(X).__name__}) holds no events in memory. Call fit(X), then "
                "transform tables of some of its events."
            )
        return super().fit_transform(X, y, **fit_params)

    def _read_events(self, fitted, X, optional=()):
        return read_table(type(self).__name__, X, fitted.schema, optional=optional)[0]

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = []
        return tags

    @property
    def _n_features_out(self):
        return self.item_embeddings_.shape[1]
