"""The items that can be recommended, as methods of `TwoTowerRecommender`.

Input: n items, as ids or a table.
Output: the estimator with another catalog.
"""

from typing import Self

from sktwotower.features._forgetting import without_rows
from sktwotower.neighbors._indexes import check_index
from sktwotower.neighbors._threads import threads
from sktwotower.retrieval._fitted_state import fitted_of
from sktwotower.retrieval._requests import to_forget

from ._catalog import with_catalog, without_items
from ._served import served

__all__ = ["CatalogMixin"]


class CatalogMixin:
    """Methods ``set_catalog`` and ``forget_items``.

    The estimator keeps its fitted state as ``_fitted``, a value of `FittedTowers`.
    """

    def set_catalog(self, items) -> Self:
        """Replace the catalog: recommend exactly these items from now on.

        The item tower computes vectors of new items from their features; nothing is
        learnt. Removed items are no longer recommended, but stay in the histories of
        the users who chose them, and can be added again; `forget_items` gives back
        their memory. A graph is kept if all old items come first, in the same order,
        and at most an eighth of all are new: these are searched exactly. Otherwise the
        index is rebuilt, or updated if it holds 200,000 items or more.

        Parameters
        ----------
        items : list, array, Series or dataframe of n items
            Ids known from fit, or a table with the id column and all feature columns,
            whose features replace those of fit.

        Returns
        -------
        self : TwoTowerRecommender
            The estimator. A call that fails leaves the catalog as it was.

        Raises
        ------
        NotFittedError
            If fit has not been called.
        ValueError
            If there are no items, ids are repeated, a table lacks columns, ids unknown
            to fit come without features, or features or the resulting vectors are not
            finite.
        TypeError
            If ``items`` is neither ids nor a table, or new ids are of another type than
            those of fit.

        See Also
        --------
        forget_items : Remove items for good.

        Examples
        --------
        >>> from sktwotower import TwoTowerRecommender
        >>> X = [["ann", "tea"], ["ann", "jam"], ["bob", "tea"], ["bob", "jam"],
        ...      ["bob", "bread"], ["cid", "nails"], ["cid", "glue"], ["dan", "nails"],
        ...      ["dan", "glue"], ["dan", "paint"]]
        >>> model = TwoTowerRecommender(random_state=1).fit(X)
        >>> model = model.set_catalog(["glue", "tea", "bread"])  # all others are gone
        >>> model.recommend(["ann"]).round(2)
          user   item  score  rank
        0  ann  bread   0.02     1
        1  ann   glue  -0.71     2
        """
        fitted = fitted_of(self)
        check_index(self.neighbors, self.normalize)
        with threads(self.n_jobs):
            learnt, n_items = with_catalog(fitted, items)
            self._fitted = served(learnt, n_items, self._index_recipe(), fitted.catalog)
        return self

    def forget_items(self, items) -> Self:
        """Remove items that have left for good, and give back their memory.

        From then on they are unknown items. Removed are their ids, vectors, feature
        rows, rows of the side table ``items`` (the parameter becomes a copy without
        them), the events of all users with them, also in histories, and the weights of
        features that no other item has, such as the id. The index is rebuilt.

        Parameters
        ----------
        items : list, array, Series or dataframe of n items
            Ids, or a table with the item column. Items unknown to fit are ignored, with
            a warning.

        Returns
        -------
        self : TwoTowerRecommender
            The estimator. A call that fails leaves it as it was before.

        Raises
        ------
        NotFittedError
            If fit has not been called.
        ValueError
            If no item of the catalog would be left, a table lacks columns, or the item
            tower is a module of your own whose first layer is not found.
        TypeError
            If ``items`` is neither ids nor a table.

        Warns
        -----
        UserWarning
            If items are not known from fit, or ``item_transformer`` is not a
            `TowerVectorizer`: it may hold ids or features, and is not changed.

        See Also
        --------
        set_catalog : Stop recommending items that stay in histories and may come back.

        Examples
        --------
        >>> from sktwotower import TwoTowerRecommender
        >>> X = [["ann", "tea"], ["ann", "jam"], ["bob", "tea"], ["bob", "egg"]]
        >>> model = TwoTowerRecommender(max_epochs=1).fit(X)
        >>> model = model.forget_items(["egg"])
        >>> model.item_ids_
        array(['jam', 'tea'], dtype=object)
        >>> model.seen_items(["bob"])
          user item
        0  bob  tea
        """
        fitted = fitted_of(self)
        check_index(self.neighbors, self.normalize)
        gone = to_forget(fitted.items, items, "items", fitted.schema)
        if gone[: fitted.n_items].all():
            raise ValueError(
                f"forget_items would leave none of {fitted.n_items} items of the "
                "catalog. Fit anew."
            )
        if gone.any():
            self._forget_items(fitted, gone)
        return self

    def _forget_items(self, fitted, gone):
        """Replace the fitted state and the side table by ones without some items."""
        with threads(self.n_jobs):
            learnt = without_items(fitted, gone)
            n_items = int((~gone[: fitted.n_items]).sum())
            left = served(learnt, n_items, self._index_recipe())
        side = self.get_params(deep=False)["items"]
        if side is not None:
            shared = side is fitted.items.table
            ids, label = fitted.items.ids[gone], fitted.items.label
            if shared:
                side = learnt.items.table
            else:
                side = without_rows(side, label, ids, "items")
            self.set_params(items=side)
        self._fitted = left
