"""What a recommender has learnt of single users, shown and removed.

Input: ids of users known from fit.
Output: a table of the items they chose, or the estimator without them.
"""

from typing import Self

import numpy as np
import pandas as pd
from scipy import sparse

from sktwotower._tables._messages import check_count
from sktwotower._tables._output import in_library, library_for
from sktwotower._tables._sparse import slices
from sktwotower.features._after_fit import forget_rows

from ._dense_scores import BLOCK_SIZE, best_of
from ._fitted_state import fitted_of
from ._requests import past_of, read_query, read_users, to_forget
from ._similar_items import ranked_table


class KnownUsersMixin:
    """Methods ``seen_items``, ``similar_users`` and ``forget_users`` of recommenders.

    The estimator keeps its fitted state as ``_fitted``, a subclass of `Fitted`.
    """

    def seen_items(self, users=None) -> pd.DataFrame:
        """Return the items that users chose in fit: what is left out for them.

        Parameters
        ----------
        users : list, array, Series, dataframe or None, default=None
            Users, as in `kneighbors`. None: every user known from fit.

        Returns
        -------
        DataFrame
            One row per user and item, users in the order given, items in that of
            ``item_ids_``. Columns: the user and the item column, named as in X of fit.
            Users unknown to fit have no rows. Items that `set_catalog` removed, which
            are kept in the history, come last. Shown items that were not chosen do not
            count. The table is of the library of ``users`` or, for ids, of X in fit,
            see `recommend`.

        Raises
        ------
        NotFittedError
            If fit has not been called.
        ValueError
            If a table lacks columns.
        TypeError
            If ``users`` is neither ids nor a table.

        See Also
        --------
        forget_users : Remove users and their items.

        Examples
        --------
        >>> from sktwotower import TwoTowerRecommender
        >>> X = [["ann", "tea"], ["ann", "jam"], ["bob", "tea"], ["bob", "jam"],
        ...      ["bob", "bread"], ["cid", "nails"], ["cid", "glue"], ["dan", "nails"],
        ...      ["dan", "glue"], ["dan", "paint"]]
        >>> model = TwoTowerRecommender(random_state=1).fit(X)
        >>> model.seen_items(["ann", "zoe"])
          user item
        0  ann  jam
        1  ann  tea
        """
        fitted = fitted_of(self)
        query = read_query(fitted.users, users, "users", fitted.schema)
        seen = fitted.seen_by(query.codes).sorted_indices()
        owners = np.repeat(query.ids, np.diff(seen.indptr))
        items = fitted.items.ids.to_numpy()[seen.indices]
        columns = {fitted.users.label: owners, fitted.items.label: items}
        return in_library(pd.DataFrame(columns), library_for(self, fitted, users))

    def similar_users(self, users, n_neighbors=None, history=None) -> pd.DataFrame:
        """Find the users who are most similar to given users.

        Parameters
        ----------
        users : list, array, Series or dataframe of n users
            Users, as in `kneighbors`. Unknown ones are described by their features and
            by ``history``.
        n_neighbors : int, default=None
            Number of similar users of each, >= 1. None: the constructor's.
        history : dataframe, dict, array, list or None, default=None
            Events of these users that fit has not seen, see `recommend`.

        Returns
        -------
        DataFrame
            One row per similar user, users in the order given, most similar first. The
            user itself is left out. Columns: the user column, ``similar_`` + its name,
            ``score`` and ``rank`` (from 1). The score is the cosine of the vectors of
            users (``embed_users``) or, of models without vectors of users, of their
            rows of ones where they chose an item: of these, users without a common item
            are not similar. `TwoStageRecommender` asks its first stage. The table is of
            the library of ``users`` or, for ids, of X in fit, see `recommend`.

        Raises
        ------
        NotFittedError
            If fit has not been called.
        ValueError
            If a table lacks columns, or ``n_neighbors`` < 1.
        TypeError
            If ``users`` is neither ids nor a table, or ``n_neighbors`` is not an
            integer.

        Notes
        -----
        All users known from fit are compared. Their vectors are computed in the first
        call, and kept with the fitted state, in memory only.

        Examples
        --------
        >>> from sktwotower import EASERecommender
        >>> X = [["ann", "tea"], ["ann", "jam"], ["bob", "tea"], ["bob", "jam"],
        ...      ["bob", "bread"], ["cid", "nails"], ["cid", "jam"], ["dan", "nails"]]
        >>> EASERecommender().fit(X).similar_users(["ann"], n_neighbors=2).round(2)
          user similar_user  score  rank
        0  ann          bob   0.82     1
        1  ann          cid   0.50     2
        """
        fitted = fitted_of(self)
        wanted = self.n_neighbors if n_neighbors is None else n_neighbors
        k = min(check_count(wanted, "n_neighbors"), len(fitted.users))
        query = read_users(fitted, users, "users", None)
        past = past_of(fitted, query, history)
        vectors = fitted.unit_users_of(query, past)
        known = fitted.unit_users
        scores = np.empty((len(query), k), np.float32)
        indices = np.empty((len(query), k), np.int64)
        for block in slices(len(query), max(1, BLOCK_SIZE // len(fitted.users))):
            products = vectors[block] @ known.T
            if sparse.issparse(products):
                products = products.toarray()
                products[products <= 0] = -np.inf
            is_known = np.flatnonzero(query.codes[block] >= 0)
            products[is_known, query.codes[block][is_known]] = -np.inf
            scores[block], best = best_of(products, k)
            indices[block] = np.where(np.isneginf(scores[block]), -1, best)
        label = fitted.users.label
        return ranked_table(
            fitted,
            library_for(self, fitted, users, history),
            query.ids,
            scores,
            indices,
            labels=(label, f"similar_{label}"),
            ranked=fitted.user_ids,
        )

    def forget_users(self, users) -> Self:
        """Remove users, as if fit had not known their ids, events and features.

        From then on they are unknown users, and a file of the estimator holds no id of
        theirs. Removed are their ids, feature rows, events, and rows of the side table
        ``users`` (the parameter becomes a copy without them). So are features that
        nobody else has, such as the id, with their weights and the optimizer's state.
        The same holds for levels, tags and words of a ``context`` in which nobody else
        had events. What their events add to the frequencies of items is removed, too.
        The other users get the same recommendations as before, except for what is
        computed anew from them: ``sparse_parts``, and the filters of a
        `GraphFilterRecommender` or a `ChebyshevFilterRecommender` with many items.

        Parameters
        ----------
        users : list, array, Series or dataframe of n users
            Ids, or a table with the user column. Users unknown to fit are ignored, with
            a warning.

        Returns
        -------
        self : object
            The estimator. A call that fails leaves it as it was before.

        Raises
        ------
        NotFittedError
            If fit has not been called.
        ValueError
            If no user would be left, a table lacks columns, or the user tower is a
            module of your own whose first layer is not found.
        TypeError
            If ``users`` is neither ids nor a table.

        Warns
        -----
        UserWarning
            If users are not known from fit, or ``user_transformer`` or
            ``context_transformer`` is not a `TowerVectorizer`: it may hold ids or
            features, and is not changed. Nor is a transformer that a
            `TwoStageRecommender` got as ``features``.

        See Also
        --------
        seen_items : What is known of users.

        Notes
        -----
        What was learnt of many users together stays until the next `fit`: item vectors,
        weights of shared features, similarities and counts of items, times of events, a
        ranker. So do other copies of the data: files saved before, folders of
        ``memory``, the table of events. A table of `partial_fit` in which a user is
        still found makes the user known again: leave out these rows before.

        Examples
        --------
        >>> from sktwotower import TwoTowerRecommender
        >>> X = [["ann", "tea"], ["ann", "jam"], ["bob", "tea"], ["bob", "jam"],
        ...      ["bob", "bread"], ["cid", "nails"], ["cid", "glue"], ["dan", "nails"],
        ...      ["dan", "glue"], ["dan", "paint"]]
        >>> model = TwoTowerRecommender(random_state=1).fit(X)
        >>> model = model.forget_users(["ann"])
        >>> model.user_ids_
        array(['bob', 'cid', 'dan'], dtype=object)
        >>> model.seen_items(["ann", "bob"])
          user   item
        0  bob  bread
        1  bob    jam
        2  bob    tea
        """
        fitted = fitted_of(self)
        gone = to_forget(fitted.users, users, "users", fitted.schema)
        if gone.all():
            raise ValueError(
                f"forget_users would leave none of {len(gone)} users. Fit anew."
            )
        if gone.any():
            self._forget(fitted, gone)
        return self

    def _forget(self, fitted, gone):
        """Replace the fitted state and the side table by ones without some users."""
        left = fitted.without_users(gone)
        forget_rows(self, fitted.users, left.users, gone)
        self._fitted = left
