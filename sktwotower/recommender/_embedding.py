"""The vectors of users and items, as methods of `TwoTowerRecommender`.

Input: n users or items, as ids or tables.
Output: vectors (n, d).
"""

import numpy as np

from sktwotower.neighbors._threads import threads
from sktwotower.retrieval._fitted_state import fitted_of
from sktwotower.retrieval._requests import one_known, read_query, read_request


class EmbeddingMixin:
    """Methods ``embed_users`` and ``embed_items``.

    The estimator keeps its fitted state as ``_fitted``, a value of `FittedTowers`.
    """

    def embed_users(self, users, history=None, context=None) -> np.ndarray:
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

        Returns
        -------
        ndarray of shape (n, d), float32
            User vectors, of unit length with ``normalize``.

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
        known = history is None and context is None
        code = one_known(fitted.users, users) if known else None
        if code is not None:
            with threads(self.n_jobs):
                return fitted.vector_of(code)[None].copy()
        request = read_request(fitted, users, history, context=context, name="users")
        fitted.check_vectors(len(request))
        with threads(self.n_jobs):
            return fitted.embed_users(request.users, request.past, self._serving())

    def embed_items(self, items) -> np.ndarray:
        """Return item vectors.

        Parameters
        ----------
        items : list, array, Series or dataframe of n items
            Ids, or a table with the id column and, optionally, all feature columns.
            Items unknown to fit are described by their features.

        Returns
        -------
        ndarray of shape (n, d), float32
            Item vectors, of unit length with ``normalize``; those of items of fit that
            nobody has chosen have the length ``cold_item_weight_``.

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

        The score of a pair is the product of both vectors:

        >>> (model.embed_users(["ann"]) @ model.embed_items(["tea", "glue"]).T).round(2)
        array([[0.1 , 0.11]], dtype=float32)
        """
        fitted = fitted_of(self)
        query = read_query(fitted.items, items, "items", fitted.schema)
        with threads(self.n_jobs):
            return fitted.embed_items(query)
