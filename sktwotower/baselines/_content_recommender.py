"""Recommendations by what items are like: their words, tags and other features.

Input: past items, CSR (n_users, n_items), and a side table of all items.
Output: scores (n_users, n_items), also of items that nobody has chosen yet.
"""

from dataclasses import KW_ONLY, dataclass, replace
from typing import Any, Self

import pandas as pd
from sklearn.base import clone

from sktwotower._records import record
from sktwotower._sklearn_compat import COUNT, parameter
from sktwotower._tables._arguments import hinted
from sktwotower._tables._ids import as_type_of, check_ids
from sktwotower._tables._messages import not_known, warn
from sktwotower._tables._sparse import column_counts
from sktwotower.features._entities import fit_entities
from sktwotower.features._side_tables import SideTablesMixin
from sktwotower.features._tower_vectorizer import TowerVectorizer
from sktwotower.retrieval._fitted_state import fitted_attribute, fitted_of
from sktwotower.retrieval._item_contents import unit_rows
from sktwotower.retrieval._requests import catalog_ids, read_query
from sktwotower.retrieval._similar_items import SimilarItemsMixin

from ._fitted_content import Contents, FittedContent
from ._fitted_matrix import popular_first
from ._matrix_recommender import MatrixRecommender, grown_side


class _OfContent(SideTablesMixin, MatrixRecommender):
    """A recommender with side tables, and what files hold of it.

    An annotation in the dataclass itself would be a parameter.
    """

    _fitted: FittedContent


@record
@hinted
@dataclass(eq=False, repr=False)
class ContentRecommender(SimilarItemsMixin, _OfContent):
    r"""Recommend items that are like a user's past ones, by their words and tags.

    The baseline for new items: who chose an item does not count, only what a table says
    of it. The score of an item is the sum of its similarities to the user's past items.
    That is the product of its features with the user's profile, the sum of the features
    of past items. With ``n_similar`` it is item-kNN over features.

    Parameters
    ----------
    items : dataframe, default=None
        Side table with a row for each item: the id column, then features. Items without
        events can be recommended. Clones share it. None: nothing describes the items,
        which is only good for popularity, with a warning.
    n_similar : int, default=None
        Number of most similar items that count for each item, >= 1, among those that
        somebody chose. Try 20, 50 and 200. None: all of them, the user's profile.
    user_id, item_id : str or int, default=None
        Columns of X that name the user and the item (or their positions). None: the
        first column for the user, the second for the item.
    time : str or int, default=None
        Column of X that says when (or its position): dates or finite numbers. It is not
        used, but later tables may lack it.
    n_neighbors : int, default=10
        Number of items that retrieval returns, and that count in `score`, >= 1.
    exclude_seen : bool, default=True
        Never recommend items that the user chose in fit.
    item_transformer : transformer, default=None
        Scikit-learn transformer that encodes items as numbers: of a pandas DataFrame,
        the id column and the features. None: ``TowerVectorizer()``, which turns texts
        into TF-IDF. A `TowerVectorizer` drops the id, unless its ``kinds`` name it.
    normalize : bool, default=True
        Scale the features of each item to length 1, so that similarities are cosines.
        False: items with more or larger features count more.

    Attributes
    ----------
    user_ids_, item_ids_ : ndarray of shape (n_users,) and (n_items,)
        Known users, sorted, and the items that can be recommended, in the order of
        ``items``.
    item_transformer_ : transformer
        The fitted transformer of the items.
    item_features_ : CSR matrix of shape (n_known_items, q), float32
        The features of the items, of length 1 with ``normalize``; those that have left
        the catalog are last.
    n_features_in_ : int
        Number of columns of X in fit.
    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Names of the columns of X, if they are all strings.

    See Also
    --------
    TwoTowerRecommender : Learns which features count, and from who chose what.
    ItemKNNRecommender : Similarities by who chose what.
    TowerVectorizer : How each kind of column is encoded.

    Notes
    -----
    Let :math:`x_i` be the features of item i. The score of item j for user u is

    .. math::
        s_{uj} = \sum_{i \in I_u} \langle x_i, x_j \rangle
        = \left\langle \sum_{i \in I_u} x_i, x_j \right\rangle

    where :math:`I_u` are the user's past items: the product with the user's profile.
    With ``n_similar`` only those past items count that are among the ``n_similar`` most
    similar items of j, with a similarity above 0. These are other items than j, and
    items that somebody chose in fit. Equal scores are ordered by popularity, so that
    users without past items get the most popular ones.

    Texts are encoded as TF-IDF, with the logarithm of a word's count and, by default,
    length 1. Features of several columns add up. A column of numbers may have negative
    products. Leave columns out that do not describe taste, by
    ``item_transformer=TowerVectorizer(kinds={"stock": "drop"})``.

    References
    ----------
    Salton and Buckley, Term-Weighting Approaches in Automatic Text Retrieval,
    Information Processing & Management 24(5), 1988, for TF-IDF; Rocchio, Relevance
    Feedback in Information Retrieval, in The SMART Retrieval System, 1971, and Pazzani
    and Billsus, Content-Based Recommendation Systems, in The Adaptive Web, 2007, for
    profiles; Lops, de Gemmis, Semeraro, Content-based Recommender Systems, in
    Recommender Systems Handbook, 2011, for nearest items.

    Examples
    --------
    Nobody has chosen the bags and the mount yet:

    >>> import pandas as pd
    >>> from sktwotower import ContentRecommender
    >>> X = pd.DataFrame({"user": ["ann", "ann", "bob", "bob"],
    ...                   "item": ["sencha", "assam", "lamp", "lock"]})
    >>> items = pd.DataFrame({
    ...     "item": ["sencha", "assam", "bags", "lamp", "lock", "mount"],
    ...     "words": ["green tea", "black tea", "black tea bags", "bike lamp",
    ...               "bike lock", "mount of a bike lamp"],
    ... })
    >>> model = ContentRecommender(items).fit(X)
    >>> model.recommend(["ann", "bob"], n_neighbors=1).round(2)
      user   item  score  rank
    0  ann   bags   1.65     1
    1  bob  mount   1.65     1

    Why, and what is like an item that comes later:

    >>> model.explain("ann", "bags")[["contribution", "reason"]].round(2)
       contribution        reason
    0          1.00   chose assam
    1          0.65  chose sencha
    >>> new = pd.DataFrame({"item": ["teapot"], "words": ["a pot for green tea"]})
    >>> model.similar_items(new, n_neighbors=2).round(2)
         item similar_item  score  rank
    0  teapot       sencha   1.00     1
    1  teapot        assam   0.65     2
    """

    item_transformer_ = fitted_attribute("items.transformer")
    item_features_ = fitted_attribute("model.vectors")

    items: Any = None
    n_similar: int | None = parameter(None, COUNT, None)
    _: KW_ONLY
    item_transformer: Any = None
    normalize: bool = parameter(True, "boolean")

    def _fit_items(self, column, label, frame, table):
        """Return the ``Entities`` of the items, and each row's position.

        ``table``: their side table, or None.
        """
        transformer = self.item_transformer
        if transformer is None:
            transformer = TowerVectorizer()
        if isinstance(transformer, TowerVectorizer):
            kinds = {column: "drop"}
            kinds.update(transformer.kinds or {})
            transformer = clone(transformer).set_params(kinds=kinds)
        if table is None:
            warn(
                "items=None: nothing describes the items, so that all scores are 0 and "
                "lists are those of popularity. Pass a table of the items with their "
                "words, tags or other features: items=table."
            )
        return fit_entities(
            "item",
            column,
            label,
            [],
            table,
            transformer=transformer,
            frame=frame,
            memory=None,
        )

    def _fit_sides(self, frame, columns):
        users, _ = super()._fit_sides(frame, columns)
        _, item_label = columns.labels
        return users, self._fit_items(columns.item, item_label, frame, self.items)

    def _grown_sides(self, before, frame):
        known = before.items
        column = known.id_column
        label = f"item column {known.label!r}"
        further = as_type_of(check_ids(frame[column], label), known.ids, label)
        table = self._table_now(before)
        # items that are no longer listed stay if somebody has chosen them
        left = known.ids
        if table is not None:
            left = left[column_counts(before.seen) > 0]
        ids = pd.DataFrame({column: left.append(further)})
        grown, codes = self._fit_items(column, known.label, ids, table)
        places = grown.ids.get_indexer(known.ids)  # -1: nobody's item
        of_items = (grown, codes[len(left) :], places)
        return grown_side(before.users, frame), of_items

    def _table_now(self, before):
        """Return the side table of all items for further events, or None.

        It is that of the parameter, if it was replaced, with the rows of known items
        that somebody has chosen, and otherwise that of the fitted state.
        """
        if self.items is before.listed:
            return before.items.table
        if self.items is None:
            return None
        items = before.items
        table = replace(items, table=self.items).side_table()
        if items.table is not None:
            chosen = items.ids[column_counts(before.seen) > 0]
            others = items.side_table().loc[chosen.difference(table.index, sort=False)]
            table = pd.concat([table, others.reindex(columns=table.columns)])
        return table.rename_axis(items.label).reset_index()

    def _state(self, schema, users, items, seen, events):
        vectors = items.rows[:-1]
        if self.normalize:
            vectors = unit_rows(vectors)
        n_similar = self.n_similar
        if n_similar is not None:
            n_similar = int(n_similar)
        contents = Contents.of(
            vectors, len(items), bool(self.normalize), n_similar, column_counts(seen)
        )
        return FittedContent(
            schema,
            users,
            items,
            seen,
            None,
            contents,
            popular_first=popular_first(seen),
            listed=self.items,
        )

    def _in_catalog(self, state, before):
        hidden = before.items.ids[before.n_items :]
        if len(hidden) == 0:
            return state
        ids = state.items.ids
        return state.with_catalog(ids[~ids.isin(hidden)], None)

    def partial_fit(self, X, y=None, sample_weight=None) -> Self:
        """Learn from further events: the result is that of `fit` on all of them.

        New items must be in the table ``items``. Replace it first:
        ``model.set_params(items=table)``. Items that a new table lacks stay known if
        somebody has chosen them. The transformer is fitted again on all items. What
        `set_catalog` has left out stays left out, and new items join the catalog.

        Parameters
        ----------
        X, y, sample_weight
            As in `fit`, with the same columns; only the new events. X may have no
            positive event, and no rows: then nothing changes.

        Returns
        -------
        self : object
            The fitted estimator; a first call is `fit`. A call that fails leaves it as
            it was before.

        Raises
        ------
        ValueError, TypeError
            As in `fit`; TypeError if new ids are of another type than those of fit.

        Examples
        --------
        >>> import pandas as pd
        >>> from sktwotower import ContentRecommender
        >>> X = pd.DataFrame({"user": ["ann", "bob"], "item": ["sencha", "assam"]})
        >>> teas = X[["item"]].assign(kind=["green", "black"])
        >>> model = ContentRecommender(teas).fit(X)
        >>> more = pd.DataFrame({"item": ["keemun"], "kind": ["black"]})
        >>> model = model.set_params(items=pd.concat([teas, more]))
        >>> model = model.partial_fit(more.assign(user="cid")[["user", "item"]])
        >>> model.recommend(["cid"], n_neighbors=1)
          user   item  score  rank
        0  cid  assam    1.0     1
        """
        return super().partial_fit(X, y, sample_weight)

    def set_catalog(self, items) -> Self:
        """Replace the catalog: recommend exactly these items from now on.

        New items are described by the transformer of fit; nothing is learnt. Removed
        items are no longer recommended, but count in the profiles of the users who
        chose them, and can be added again.

        Parameters
        ----------
        items : list, array, Series or dataframe of n items
            Ids known from fit, or a table with the id column and all feature columns,
            whose features replace those of fit.

        Returns
        -------
        self : object
            The estimator. A call that fails leaves the catalog as it was.

        Raises
        ------
        NotFittedError
            If fit has not been called.
        ValueError
            If there are no items, ids are repeated, a table lacks columns, or ids
            unknown to fit come without features.
        TypeError
            If ``items`` is neither ids nor a table, or new ids are of another type than
            those of fit.

        Examples
        --------
        >>> import pandas as pd
        >>> from sktwotower import ContentRecommender
        >>> X = pd.DataFrame({"user": ["ann", "bob"], "item": ["sencha", "assam"]})
        >>> teas = X[["item"]].assign(kind=["green", "black"])
        >>> model = ContentRecommender(teas).fit(X)
        >>> new = pd.DataFrame({"item": ["keemun", "gyokuro"]})
        >>> new["kind"] = ["black", "green"]
        >>> model.set_catalog(new).recommend(["ann"])
          user     item  score  rank
        0  ann  gyokuro    1.0     1
        1  ann   keemun    0.0     2
        """
        fitted = fitted_of(self)
        query = read_query(fitted.items, items, "items", fitted.schema)
        ids = catalog_ids(query)
        unknown = ids[query.codes < 0]
        if len(unknown) and query.described is None:
            raise ValueError(
                f"{not_known(unknown, 'item')}. Pass a table with features of new "
                "items."
            )
        known = as_type_of(ids, fitted.items.ids, "items")
        self._fitted = fitted.with_catalog(known, query)
        return self
