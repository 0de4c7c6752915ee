"""The items nearest to users: as arrays, as a graph, and for ``recommend``.

Input: n users, as ids or tables, and an estimator with a ``Fitted`` value.
Output: distances or scores, and positions of items, (n, k) each.
"""

from typing import Literal, overload

import numpy as np
from scipy import sparse

from sktwotower._tables._arguments import hinted
from sktwotower._tables._messages import check_count
from sktwotower.runtime._rules import NO_RULES

from ._fitted_state import fitted_of
from ._requests import read_request


class KNeighborsMixin:
    """Methods ``kneighbors`` and ``kneighbors_graph`` of all recommenders.

    The estimator is a ``RetrievalMixin``.
    """

    def _k(self, n_neighbors, fitted):
        """Return the number of items to find, at most the size of the catalog."""
        if n_neighbors is None:
            n_neighbors = self.n_neighbors
        return min(check_count(n_neighbors, "n_neighbors"), fitted.n_items)

    @overload
    def kneighbors(
        self, X=None, n_neighbors=None, return_distance: Literal[True] = True
    ) -> tuple[np.ndarray, np.ndarray]: ...
    @overload
    def kneighbors(
        self, X=None, n_neighbors=None, *, return_distance: Literal[False]
    ) -> np.ndarray: ...
    @hinted
    def kneighbors(
        self, X=None, n_neighbors=None, return_distance=True
    ) -> np.ndarray | tuple[np.ndarray, np.ndarray]:
        """Find the items nearest to users.

        Parameters
        ----------
        X : list, array, Series, dataframe or None, default=None
            n users: ids, or a table with the user columns. None: every user known
            from fit, in the order of ``user_ids_``.
        n_neighbors : int, default=None
            Number of items k per user, >= 1; at most the size of the catalog is used.
            None: the constructor's.
        return_distance : bool, default=True
            Whether to return distances as well.

        Returns
        -------
        distances : ndarray of shape (n, k), float32
            ``1 - score``, ascending; for two towers with ``normalize`` the cosine
            distance, less what ``sparse_parts`` add to the score, so that it may be
            below zero. ``inf`` where fewer than k items are left. Only with
            ``return_distance``.
        indices : ndarray of shape (n, k), int64
            Positions in ``item_ids_``; -1 where fewer than k items are left. With
            ``exclude_seen``, items that the user chose in fit are left out.

        Raises
        ------
        NotFittedError
            If fit has not been called.
        ValueError
            If a table lacks columns, or ``n_neighbors`` < 1.
        TypeError
            If X is neither ids nor a table, or ``n_neighbors`` is not an integer.

        Examples
        --------
        >>> from sktwotower import TwoTowerRecommender
        >>> X = [["ann", "tea"], ["ann", "jam"], ["bob", "tea"], ["bob", "jam"],
        ...      ["bob", "bread"], ["cid", "nails"], ["cid", "glue"], ["dan", "nails"],
        ...      ["dan", "glue"], ["dan", "paint"]]
        >>> model = TwoTowerRecommender(random_state=1).fit(X)
        >>> distances, indices = model.kneighbors(["ann", "cid"], n_neighbors=2)
        >>> model.item_ids_[indices]
        array([['bread', 'paint'],
               ['paint', 'bread']], dtype=object)
        >>> distances.round(2)
        array([[0.98, 1.59],
               [0.94, 1.51]], dtype=float32)
        """
        distances, indices = self._nearest(fitted_of(self), X, n_neighbors)
        if not return_distance:
            return indices
        return distances, indices

    def _nearest(self, fitted, X, n_neighbors):
        """Return distances and positions (n, k) of the items nearest to users."""
        k = self._k(n_neighbors, fitted)
        request = read_request(fitted, X, lazy=True)
        if request.past is not None:  # of several users
            request.check_size(k)
        serving = self._serving()._replace(n_users=len(request))
        scores, indices = lists_of(fitted, request, k, serving, self.exclude_seen)
        return 1 - scores, indices

    @hinted
    def kneighbors_graph(
        self, X=None, n_neighbors=None, mode="connectivity"
    ) -> sparse.csr_matrix:
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
            At most k entries per row, one for each item found.

        Raises
        ------
        NotFittedError, TypeError
            As in `kneighbors`.
        ValueError
            As in `kneighbors`, or if ``mode`` is not one of the two.

        Examples
        --------
        Items are similar if they are recommended to the same users: graph clustering of
        ``graph.T @ graph`` finds groups of items.

        >>> import pandas as pd
        >>> from sktwotower import TwoTowerRecommender
        >>> X = [["ann", "tea"], ["ann", "jam"], ["bob", "tea"], ["bob", "jam"],
        ...      ["bob", "bread"], ["cid", "nails"], ["cid", "glue"], ["dan", "nails"],
        ...      ["dan", "glue"], ["dan", "paint"]]
        >>> model = TwoTowerRecommender(random_state=1).fit(X)
        >>> graph = model.kneighbors_graph(n_neighbors=1)
        >>> pd.DataFrame(graph.toarray().astype(int), model.user_ids_, model.item_ids_)
             bread  glue  jam  nails  paint  tea
        ann      1     0    0      0      0    0
        bob      0     0    0      0      1    0
        cid      0     0    0      0      1    0
        dan      1     0    0      0      0    0
        """
        if mode not in ("connectivity", "distance"):
            raise ValueError(
                f"mode must be 'connectivity' or 'distance'. Got {mode!r}."
            )
        fitted = fitted_of(self)
        distances, indices = self._nearest(fitted, X, n_neighbors)
        is_item = indices >= 0
        values = np.ones(is_item.sum())
        if mode == "distance":
            values = distances[is_item]
        offsets = np.concatenate([[0], np.cumsum(is_item.sum(axis=1))])
        shape = len(indices), fitted.n_items
        return sparse.csr_matrix((values, indices[is_item], offsets), shape)


def lists_of(fitted, request, k, serving, hidden, rules=NO_RULES):
    """Return scores and positions (n, k) of the lists of a request, by ``Rules``.

    ``hidden``: whether items that users chose are left out.
    """
    if rules.reorder:
        n = len(request)
        serving = serving._replace(n_users=max(n, serving.n_users))
        search = _search_of(fitted, request, serving, hidden)
        return rules.lists(search, n, k, fitted.n_items, fitted.cosines)
    if request.past is None:
        return fitted.search_known(request, k, serving, hidden)
    excluded = request.excluded(hidden)
    return fitted.search(
        request.users, request.past, k, serving, excluded, request.allowed
    )


def drawn_lists_of(fitted, request, k, serving, hidden, rules, exploration):
    """Return scores, positions and propensities (n, k) of lists that are drawn.

    ``exploration``: an ``Exploration``. The others are those of `lists_of`.
    """
    serving = serving._replace(is_exact=True, verbose=0)
    search = _search_of(fitted, request, serving, hidden)
    n = len(request)
    return exploration.lists(search, n, k, fitted.n_items, rules.limits)


def _search_of(fitted, request, serving, hidden):
    """Return ``search(rows, width)``, which returns the best items (r, width).

    Those are of the users at rows (r,) of a request. The others are as in `lists_of`.
    """

    def search(rows, width):
        if request.past is None:
            return fitted.search_known(request, width, serving, hidden)
        part = request[rows]
        excluded = part.excluded(hidden)
        return fitted.search(
            part.users, part.past, width, serving, excluded, part.allowed
        )

    return search
