"""What a `ContentRecommender` has learnt: vectors of all items, and a catalog.

Input: past items, CSR (n, n_items), and feature rows of items, CSR (m, q).
Output: scores and positions (n, k) of the best items; scores of pairs (n_pairs,).
"""

from dataclasses import field, replace

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
        added = None if self.nearest is None else self.nearest.T.tocsr()
        object.__setattr__(self, "added", added)

    def _check_stored(self, place):
        fits = (self.n_similar is None) == (self.nearest is None)
        require(fits, place, "the nearest items of a number of similar ones")
        require(self.n_catalog <= self.n_items, place, "a catalog of known items")

    @classmethod
    def of(cls, vectors, n_catalog, has_unit_length, n_similar, counts):
        """Return the contents of items; ``counts`` (n_items,): how many chose each."""
        made = cls(vectors, n_catalog, has_unit_length, n_similar, None)
        if n_similar is None:
            return made
        parts = []
        n_pairs = 0
        for block in blocks_of_rows(n_catalog, len(counts)):
            itself = np.arange(block.start, block.stop)
            parts.append(made.nearest_of(vectors[block], counts, itself))
            n_pairs += parts[-1].nnz
            needed = BYTES_OF_PAIR * n_pairs
            check_memory(needed, f"{n_pairs:,} similarities", "Lower n_similar.")
        return replace(made, nearest=sparse.vstack(parts, format="csr"))

    def vectors_of(self, rows):
        """Return the vectors of feature rows, CSR (m, n_features)."""
        return unit_rows(rows) if self.has_unit_length else rows

    def nearest_of(self, vectors, counts, itself):
        """Return similarities to the items that count, CSR (m, n_items).

        ``itself`` (m,): positions of the items, -1 for new ones.
        """
        similar = (vectors @ self.vectors.T).tocsr()
        similar.sort_indices()
        owners = np.repeat(itself, np.diff(similar.indptr))
        hidden = (owners == similar.indices) | (counts[similar.indices] == 0)
        similar.data[hidden | (similar.data < 0)] = 0
        for start, end in zip(similar.indptr, similar.indptr[1:], strict=False):
            if end - start > self.n_similar:
                values = similar.data[start:end]
                # stable: keeps the first of equally similar items on any machine
                values[np.argsort(-values, kind="stable")[self.n_similar :]] = 0
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

    def weights_of(self, vectors, counts, itself):
        """Return what each past item adds to the score of some items.

        CSR (m, n_items). The parameters are those of ``nearest_of``.
        """
        if self.n_similar is None:
            return (vectors @ self.vectors.T).tocsr()
        return self.nearest_of(vectors, counts, itself)


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

    scores_new_items = is_content = True

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
        codes = items.codes
        vectors = model.vectors_of(items.rows)
        if model.nearest is None:
            profiles = (past @ model.vectors).tocsr()
            return _products(profiles, vectors, place)
        scores = np.zeros(len(items), dtype=np.float32)
        listed = (codes >= 0) & (codes < self.n_items)
        weights = model.nearest[codes[listed]]
        scores[listed] = _products(past, weights, place[listed])
        counts = column_counts(self.seen)
        others = np.flatnonzero(~listed)
        for part in blocks_of_rows(len(others), len(self.items)):
            rows = others[part]
            weights = model.nearest_of(vectors[rows], counts, codes[rows])
            scores[rows] = _products(past, weights, place[rows])
        return scores

    def explained(self, owner, chosen, past, names, estimator):
        """Return tables of what adds to a score, and the score; see `Fitted`."""
        vectors = self.model.vectors_of(chosen.rows)
        counts = column_counts(self.seen)
        weights = self.model.weights_of(vectors, counts, chosen.codes)
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
        others = np.setdiff1d(np.arange(len(items)), codes)
        table = items.table
        first = items.rows[codes] if query is None else query.rows
        described = None if query is None else query.described
        if table is not None:
            known = items.side_table()
            new = known.loc[ids] if described is None else described.set_index(ids)
            new = new[known.columns]
            table = pd.concat([new, known.iloc[others]]) if len(others) else new
            table = table.rename_axis(items.label).reset_index()
        rows = sparse.vstack([first, items.rows[others]], format="csr")
        together = replace(
            items,
            ids=ids.append(items.ids[others]),
            rows=with_empty_row(rows),
            table=table,
        )
        # where each known item is now
        places = np.full(len(items), -1)
        places[codes[codes >= 0]] = np.flatnonzero(codes >= 0)
        places[others] = len(codes) + np.arange(len(others))
        moves = ones_at(np.arange(len(items)), places, (len(items), len(together)))
        seen = (self.seen @ moves).tocsr()
        seen.sort_indices()
        how = len(ids), model.has_unit_length, model.n_similar, column_counts(seen)
        return replace(
            self,
            items=together,
            seen=seen,
            model=Contents.of(model.vectors_of(rows), *how),
            popular_first=popular_first(seen),
        )


def _products(rows, others, place):
    """Return the product of row ``place[i]`` and of row i of others, (n,), float32.

    ``rows``: CSR (m, p); ``others``: CSR (n, p).
    """
    found = np.zeros(others.shape[0], dtype=np.float32)
    for block in slices(len(found), QUERY_BLOCK):
        both = rows[place[block]].multiply(others[block])
        found[block] = np.asarray(both.sum(axis=1)).ravel()
    return found
