"""The items that can be recommended: their vectors and index, and how they change.

Input: trained ``FittedTowers``; the n items of a new catalog, as ids or a table.
Output: ``FittedTowers`` with a ``Catalog``, in which these items come first.
"""

from dataclasses import replace
from typing import Self

import numpy as np
from scipy import sparse

from sktwotower._tables._ids import as_type_of
from sktwotower._tables._messages import format_ids, not_known, warn
from sktwotower._tables._sequences import as_rows
from sktwotower.features import _after_fit as after_fit
from sktwotower.features._entities import rows_of_tables
from sktwotower.neighbors import _catalog_index as indexes
from sktwotower.neighbors._threads import threads
from sktwotower.retrieval._fitted_state import fitted_of
from sktwotower.retrieval._requests import catalog_ids, read_query, to_forget
from sktwotower.towers._recipe import recipe_of
from sktwotower.towers.parts import embed_items
from sktwotower.towers.sparse_parts import size_of
from sktwotower.towers.training._net import with_model

from ._fold_in import fold_in_of
from ._versions import with_versions


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
        index is rebuilt.

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
        known = fitted.items.ids
        indexes.check_index(self.neighbors, self.normalize)
        with threads(self.n_jobs):
            query = read_query(fitted.items, items, "items", fitted.schema)
            ids = catalog_ids(query)
            unknown = ids[query.lacks_information()]
            if len(unknown) and query.described is None:
                raise ValueError(
                    f"{not_known(unknown, 'item')}. Pass a table with features of new "
                    "items."
                )
            if len(unknown):
                warn(
                    f"{len(unknown)} new items have no feature known from fit: "
                    f"{format_ids(unknown)}. They share one vector, that of an empty "
                    "row."
                )

            # ids are of the type that those of fit have, such as 1 for 1.0
            is_new = query.codes < 0
            all_ids = known.append(as_type_of(ids[is_new], known, "items"))
            positions = query.codes.copy()
            positions[is_new] = len(known) + np.arange(is_new.sum())
            ids = all_ids[positions]

            features = query.rows, query.described
            learnt = _with_items_first(fitted, ids, query.codes, *features)
            after = served(learnt, len(ids), IndexRecipe.of(self), fitted.catalog)
            self._fitted = with_versions(fitted, after)
        return self

    def forget_items(self, items) -> Self:
        """Remove items that have left for good, and give back their memory.

        From then on they are unknown items. Removed are their ids, vectors, feature
        rows, and rows of the side table ``items`` (the parameter becomes a copy without
        them). So are the events of all users with them, also in histories, and the
        weights of features that no other item has, such as the id. The index is
        rebuilt.

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
        indexes.check_index(self.neighbors, self.normalize)
        gone = to_forget(fitted.items, items, "items", fitted.schema)
        if gone[: fitted.n_items].all():
            raise ValueError(
                f"forget_items would leave none of {fitted.n_items} items of the "
                "catalog. Fit anew."
            )
        if gone.any():
            with threads(self.n_jobs):
                learnt = _without_items(fitted, gone)
                n_items = int((~gone[: fitted.n_items]).sum())
                after = served(learnt, n_items, IndexRecipe.of(self))
            after_fit.forget_rows(self, fitted.items, after.items, gone)
            self._fitted = with_versions(fitted, after)
        return self


class IndexRecipe(recipe_of("index")):
    """Parameters of the estimator that configure the search for nearest items."""


def served(fitted, n_items, index, before=None, changed=None):
    """Return ``FittedTowers`` with what requests need: item vectors, index, fold-in.

    The first ``n_items`` items are the catalog. ``index``: an ``IndexRecipe``;
    ``before``: the previous ``Catalog``, whose index may be updated. ``changed``:
    positions (m,) of the items that are not in it, or may have another vector there;
    the others are at the same positions. None: all are computed.
    """
    exact = indexes.searches_exactly(index.neighbors)
    if fitted.cold_item_weight < 1 and not exact:
        warn(
            f"cold_item_weight={fitted.cold_item_weight} needs exact search. Until the "
            "next fit, all items count alike: neighbors is neither 'auto' nor 'exact'."
        )
        fitted = replace(fitted, cold_item_weight=1.0)
        changed = None

    # the vectors of items that need new ones, next to those of before
    computed = changed
    if changed is None:
        computed = np.arange(n_items)
    vectors = embed_items(fitted.model, fitted.items.rows[computed])
    vectors = fitted.weighted(vectors, computed, n_items)
    is_finite = np.isfinite(vectors).all(axis=1)
    if not is_finite.all():
        ids = fitted.items.ids[computed[~is_finite]]
        raise ValueError(
            f"The vectors of {len(ids)} items are not finite: {format_ids(ids)}. Lower "
            "lr, or scale or clip the features."
        )
    if changed is not None:
        new_vectors = vectors
        vectors = np.empty((n_items, new_vectors.shape[1]), dtype=np.float32)
        vectors[: len(before.vectors)] = before.vectors
        vectors[changed] = new_vectors

    # the index, perhaps that of before with a few changes
    sample = fitted.sampled_vectors
    known = {}
    if before is not None:
        known["before"] = before.index, before.index_recall
        known["changed"] = changed
    built, recall = indexes.build_index(
        index.neighbors, vectors, sample=sample, k=index.n_neighbors, **known
    )
    catalog = indexes.Catalog(vectors, built, recall)
    return replace(fitted, catalog=catalog, fold_in=fold_in_of(fitted, vectors))


def _without_items(fitted, gone):
    """Return a state without the items where ``gone`` (n,), and their events."""
    items, left = after_fit.without_entities(fitted.items, gone)
    kept = np.flatnonzero(~gone)
    unused, rows = after_fit.unused_columns(fitted.items.rows, gone)
    seen = fitted.seen[:, kept].tocsr()
    sequences = None
    if fitted.sequences is not None:
        sequences = fitted.sequences.with_items(kept)
    model = fitted.model.without("item", left, unused, rows[:-1])
    if model.sparse is not None:
        new_positions = np.where(gone, -1, np.cumsum(~gone) - 1)
        sparse_parts = model.sparse.with_items(new_positions, len(kept))
        n_gone = _n_past(fitted.seen, fitted.sequences) - _n_past(seen, sequences)
        # they may be of events of more users than the model has
        n_left = max(0, sparse_parts.n_events - n_gone)
        model = model.with_sparse(replace(sparse_parts, n_events=n_left))
    net = with_model(fitted.net, model)
    stream = fitted.stream.without_items(kept)
    events = {"seen": seen, "sequences": sequences}
    return replace(fitted, items=items, net=net, stream=stream, **events)


def _n_past(seen, sequences):
    """Return the number of entries of past items; see `size_of`."""
    if sequences is None:
        return size_of(seen, None)
    return size_of(seen, sequences.lags)


def with_new_items(learnt, fitted):
    """Return ``learnt`` with new items behind those of the catalog of ``fitted``.

    Also return where each item (n,) is now.
    """
    n_before = len(fitted.items)
    n_now = len(learnt.items)
    positions = np.arange(n_now)
    if n_now == n_before or n_before == fitted.n_items:
        return learnt, positions
    # in the catalog are those of before, and what is new
    codes = np.append(positions[: fitted.n_items], positions[n_before:])
    ids = learnt.items.ids[codes]
    rows = learnt.items.rows[codes]
    positions[codes] = np.arange(len(codes))
    positions[fitted.n_items : n_before] += n_now - n_before
    return _with_items_first(learnt, ids, codes, rows), positions


def _with_items_first(learnt, ids, codes, rows, described=None):
    """Return a state in which given items come first; the others follow in order.

    The others are no longer recommended, but stay in the histories of the users who
    chose them. ``ids`` (n,) and ``rows``, CSR (n, q), describe the first items;
    ``codes`` (n,) are their positions among the items so far, -1 for new ones.
    ``described``: a table of their features; None: these are those of before.
    """
    items = learnt.items
    others = np.setdiff1d(np.arange(len(items)), codes)
    if described is None:
        feature_table = rows_of_tables(np.append(codes, others), items.own)
    else:
        described = described.drop(columns=items.id_column)
        source = np.append(np.arange(len(ids)), len(ids) + others)
        feature_table = rows_of_tables(source, described, items.feature_table())
    ids = ids.append(items.ids[others])
    rows = sparse.vstack([rows, items.rows[others], items.rows[-1]], format="csr")
    items_now = replace(items, ids=ids, rows=rows, own=feature_table)
    n_now = len(items_now)

    # where each item is now that was at some position so far
    new_positions = np.full(len(items), -1)
    new_positions[codes[codes >= 0]] = np.flatnonzero(codes >= 0)
    new_positions[others] = len(codes) + np.arange(len(others))

    seen = learnt.seen
    columns = new_positions[seen.indices]
    seen = as_rows(seen.data.copy(), columns, seen.indptr, n_now)
    seen.sort_indices()
    sequences = learnt.sequences
    if sequences is not None:
        sequences = sequences.with_columns(new_positions, n_now)
    stream = learnt.stream.with_items(new_positions, n_now)
    net = learnt.net
    model = learnt.model
    if model.sparse is not None:
        sparse_parts = model.sparse.with_items(new_positions, n_now)
        net = with_model(net, model.with_sparse(sparse_parts))
    events = {"seen": seen, "sequences": sequences, "stream": stream}
    return replace(learnt, items=items_now, net=net, **events)
