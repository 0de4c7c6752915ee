"""What a `ContentRecommender` has learnt: vectors of all items, and a catalog.

Input: past items, CSR (n, n_items), and feature rows of items, CSR (m, q).
Output: scores and positions (n, k) of the best items; scores of pairs (n_pairs,).
"""

from dataclasses import field, replace
from itertools import pairwise

import numpy as np
import pandas as pd
from scipy import sparse

from sktwotower._records import csr, frozen, integer, require
from sktwotower._tables._memory import check_memory
from sktwotower._tables._sparse import (
    QUERY_BLOCK,
    column_counts,
    ones_at,
    rows_of,
    slices,
    with_empty_row,
)
from sktwotower.retrieval._explained_score import rows_of_past
from sktwotower.retrieval._item_contents import profile_scores, unit_rows

from ._fitted_matrix import (
    FittedMatrix,
    ItemScores,
    blocks_of_rows,
    popular_first,
    positive,
)

# Memory of the similarity of a pair of items, in rows and in columns.
BYTES_OF_PAIR = 16


@frozen
class Contents(ItemScores):
    """Scores by the vectors of items.

    Parameters
    ----------
    vectors : CSR matrix of shape (n_items, n_features)
        What describes each known item; the first ``n_catalog`` are the catalog.
    n_catalog : int
    has_unit_length : bool
        Whether vectors are scaled to length 1.
    n_similar : int or None
        How many of the most similar items count; None: all.
    nearest : CSR matrix of shape (n_catalog, n_items) or None
        The similarities of each item of the catalog to those that count.
    """

    vectors: csr("n_items n_features", is_finite=True)
    n_catalog: integer(1)
    has_unit_length: bool
    n_similar: integer(1) | None
    nearest: csr("n_catalog n_items", is_finite=True) | None
    # the same by rows of past items, CSR (n_items, n_catalog), or None
    added: sparse.csr_matrix | None = field(init=False)

    def __post_init__(self):
        added = None
        if self.nearest is not None:
            added = self.nearest.T.tocsr()
        object.__setattr__(self, "added", added)

    def _check_stored(self, place):
        fits = (self.n_similar is None) == (self.nearest is None)
        require(fits, place, "the nearest items of a number of similar ones")
        require(self.n_catalog <= self.n_items, place, "a catalog of known items")

    @classmethod
    def of(cls, vectors, n_catalog, has_unit_length, n_similar, counts):
        """Return the contents of items; ``counts`` (n_items,): how many chose each."""
        contents = cls(vectors, n_catalog, has_unit_length, n_similar, None)
        if n_similar is None:
            return contents
        blocks = []
        n_pairs = 0
        for block in blocks_of_rows(n_catalog, len(counts)):
            itself = np.arange(block.start, block.stop)
            nearest = contents.nearest_of(vectors[block], counts, itself)
            blocks.append(nearest)
            n_pairs += nearest.nnz
            needed = BYTES_OF_PAIR * n_pairs
            check_memory(needed, f"{n_pairs:,} similarities", "Lower n_similar.")
        return replace(contents, nearest=sparse.vstack(blocks, format="csr"))

    def vectors_of(self, rows):
        """Return the vectors of feature rows, CSR (m, n_features)."""
        if self.has_unit_length:
            return unit_rows(rows)
        return rows

    def nearest_of(self, vectors, counts, itself):
        """Return similarities to the items that count, CSR (m, n_items).

        ``itself`` (m,): positions of the items, -1 for new ones.
        """
        similar = (vectors @ self.vectors.T).tocsr()
        similar.sort_indices()
        owners = np.repeat(itself, np.diff(similar.indptr))
        is_itself = owners == similar.indices
        has_no_users = counts[similar.indices] == 0
        similar.data[is_itself | has_no_users | (similar.data < 0)] = 0
        for start, end in pairwise(similar.indptr):
            if end - start > self.n_similar:
                values = similar.data[start:end]
                # stable: keeps the first of equally similar items on any machine
                order = np.argsort(-values, kind="stable")
                values[order[self.n_similar :]] = 0
        similar.eliminate_zeros()
        return similar

    def scores(self, past):
        """Return scores (n, n_catalog) of users with past items (n, n_items)."""
        if self.nearest is not None:
            return (past @ self.added).toarray()
        return profile_scores(past, self.vectors, self.catalog)

    @property
    def catalog(self):
        """The vectors of the items that can be recommended, CSR (n_catalog, p)."""
        return rows_of(self.vectors, slice(0, self.n_catalog))


@frozen
class FittedContent(FittedMatrix):
    """The fitted state of a `ContentRecommender`.

    Parameters
    ----------
    schema, users, items, seen, sequences, model, popular_first
        As in `FittedMatrix`; the model is of ``Contents``.
    listed : dataframe or None
        The parameter ``items`` when it was last read.
    """

    listed: pd.DataFrame | None

    scores_new_items = True
    is_content = True

    def _check_stored(self, place):
        require(isinstance(self.model, Contents), f"{place}.model", "contents of items")
        super()._check_stored(place)
        fits = self.items.width == self.model.vectors.shape[1]
        require(fits, place, f"vectors of {self.items.width} features")

    @property
    def n_items(self):
        """Number of items in the catalog."""
        return self.model.n_catalog

    def search_similar(self, query, k, itself, serving):
        """Return scores and positions (n, k) of the items most similar to others."""
        vectors = self.model.vectors_of(query.rows)
        catalog = self.model.catalog

        def score(part):
            return positive((part @ catalog.T).toarray())

        return self._rank(score, vectors, k, itself)

    def scores_of_pairs(self, past, place, items):
        """Return the scores (n_pairs,) of pairs of users and items.

        ``past``: CSR (n, n_items); ``place`` (n_pairs,): the user of each pair;
        ``items``: a ``Query`` of n_pairs items, also of new ones with features.
        """
        model = self.model
        vectors = model.vectors_of(items.rows)
        if model.nearest is None:
            profiles = (past @ model.vectors).tocsr()
            return _products(profiles, vectors, place)
        scores = np.zeros(len(items), dtype=np.float32)
        is_listed = (items.codes >= 0) & (items.codes < self.n_items)
        weights = model.nearest[items.codes[is_listed]]
        scores[is_listed] = _products(past, weights, place[is_listed])
        counts = column_counts(self.seen)
        others = np.flatnonzero(~is_listed)
        for block in blocks_of_rows(len(others), len(self.items)):
            pairs = others[block]
            weights = model.nearest_of(vectors[pairs], counts, items.codes[pairs])
            scores[pairs] = _products(past, weights, place[pairs])
        return scores

    def explained(self, owner, chosen, past, names, estimator):
        """Return tables of what adds to a score, and the score; see `Fitted`."""
        model = self.model
        vectors = model.vectors_of(chosen.rows)
        # what each past item adds
        if model.n_similar is None:
            weights = (vectors @ model.vectors.T).tocsr()
        else:
            weights = model.nearest_of(vectors, column_counts(self.seen), chosen.codes)
        items = past.input.indices
        added = np.asarray(weights[:, items].todense()).ravel()
        ids = self.items.ids[items]
        table = rows_of_past(ids, np.ones(len(items)), added, names, None)
        return [table], added.sum()

    def with_catalog(self, ids, query):
        """Return a state in which given items come first, and are the catalog.

        The others follow in order; they stay in the histories of the users who chose
        them. ``ids``, an Index (n,): those of the ``query``. If that has a table of
        features, these replace those of before. None: ids are known, and nothing about
        them changes.
        """
        items = self.items
        model = self.model
        codes = items.ids.get_indexer(ids)
        is_known = codes >= 0
        others = np.setdiff1d(np.arange(len(items)), codes)
        rows_of_catalog = items.rows[codes] if query is None else query.rows
        rows = sparse.vstack([rows_of_catalog, items.rows[others]], format="csr")
        table = items.table
        if table is not None:
            known = items.side_table()
            if query is None or query.described is None:
                features = known.loc[ids]
            else:
                features = query.described.set_index(ids)
            features = features[known.columns]
            if len(others):
                features = pd.concat([features, known.iloc[others]])
            table = features.rename_axis(items.label).reset_index()
        together = replace(
            items,
            ids=ids.append(items.ids[others]),
            rows=with_empty_row(rows),
            table=table,
        )
        # where each known item is now
        places = np.full(len(items), -1)
        places[codes[is_known]] = np.flatnonzero(is_known)
        places[others] = len(codes) + np.arange(len(others))
        moves = ones_at(np.arange(len(items)), places, (len(items), len(together)))
        seen = (self.seen @ moves).tocsr()
        seen.sort_indices()
        contents = Contents.of(
            model.vectors_of(rows),
            len(ids),
            model.has_unit_length,
            model.n_similar,
            column_counts(seen),
        )
        return replace(
            self,
            items=together,
            seen=seen,
            model=contents,
            popular_first=popular_first(seen),
        )


def _products(rows, others, place):
    """Return the product of row ``place[i]`` and of row i of others, (n,), float32.

    ``rows``: CSR (m, p); ``others``: CSR (n, p).
    """
    products = np.zeros(others.shape[0], dtype=np.float32)
    for block in slices(len(products), QUERY_BLOCK):
        terms = rows[place[block]].multiply(others[block])
        products[block] = np.asarray(terms.sum(axis=1)).ravel()
    return products
