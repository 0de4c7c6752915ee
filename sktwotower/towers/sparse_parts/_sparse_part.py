"""What a model asks of its sparse parts.

Input: past items of n users, CSR (n, n_items).
Output: what is added to the scores of items, CSR (n, n_items).
"""

from dataclasses import replace

import numpy as np
from scipy import sparse

from sktwotower._records import Check, array, frozen, integer, list_of, require
from sktwotower._records._reading import places_of
from sktwotower._tables._sparse import slices
from sktwotower.runtime._sparse_scores import (
    ITEMS_PER_ENTRY,
    SparsePartArrays,
    SparseScores,
)

from ._pasts import Pasts
from ._products import add_product, n_products

# The largest number of users and items for which numbers are added at once: 64 MiB.
MAX_ADDED = 1 << 24
# Users for whom numbers are added at once.
MAX_USERS = 256
# Pairs whose scores are computed at once.
BLOCK = 4096


@frozen
class SparsePart(SparsePartArrays):
    """A term of the score: past items, times an item-item matrix.

    A kind of sparse part is a subclass, which says how the matrix is computed.

    Parameters
    ----------
    matrix : CSR matrix of shape (n_items, n_items) or None
        Weights >= 0 of past items (rows) for items (columns). None: the identity, for a
        part that scores past items only.
    decay : float or None
        Number of baskets back in a user's past after which an event counts 1/e. None:
        all count the same.
    count : {"once", "log"}
        Whether a past item counts once, as of its latest event, or as the logarithm of
        1 and the sum of its events.

    Attributes
    ----------
    in_words : str
        What it is, in tables of weights.
    """

    in_words = "sparse part"
    half_life = None

    @classmethod
    def start(cls, seen, lags):
        """Return a new part of events, or None if they do not allow for one.

        ``seen``: CSR (n_users, n_items), ones where a user chose an item. ``lags``: as
        of ``Sequences``, CSR (n_users, n_items); None: the order is not known.
        """
        raise NotImplementedError

    def scores(self, past, in_order):
        """Return what it adds to scores, CSR (n, n_items), for a weight of 1.

        ``past``: CSR (n, n_items), lags if ``in_order``, else ones.
        """
        pasts = Pasts(past, in_order)
        inputs = pasts.as_matrix(self.inputs(pasts.events))
        return inputs if self.matrix is None else (inputs @ self.matrix).tocsr()

    def emptied(self):
        """Return the same with a matrix without entries."""
        if self.matrix is None:
            return self
        empty = sparse.csr_matrix(self.matrix.shape, dtype=np.float32)
        return replace(self, matrix=empty)

    def with_items(self, places, n_items):
        """Return the same with item j at position ``places[j]`` of n_items.

        Items whose place is -1 are left out.
        """
        if self.matrix is None:
            return self
        entries = self.matrix.tocoo()
        rows, columns = places[entries.row], places[entries.col]
        kept = (rows >= 0) & (columns >= 0)
        places = rows[kept], columns[kept]
        moved = sparse.csr_matrix((entries.data[kept], places), (n_items, n_items))
        return replace(self, matrix=moved)


def _is_part(value, place):
    require(isinstance(value, SparsePart), place, "a sparse part")


@frozen
class SparseParts(SparseScores):
    """All sparse parts of a model.

    Parameters
    ----------
    parts : list of SparsePart
    weights : array of shape (n_knots, n_parts)
        How much each part counts for users with the numbers of past items in ``KNOTS``,
        in the scale of the sum of the scores of all other parts.
    n_events : int
        Number of entries of the past that the matrices were computed from.
    """

    parts: list_of(Check(_is_part), "n_parts")
    weights: array("float64", "n_knots n_parts", is_finite=True)
    n_events: integer()

    def __deepcopy__(self, memo):
        return self  # it never changes

    def added(self, past, in_order, weights, n_items):
        """Return what is added to scores of n users, (n, n_items), float32.

        A CSR matrix if it is zero for most items, otherwise an array. None if it is
        zero for all. ``past``: CSR (n, at least n_items), lags if ``in_order``, else
        ones. ``weights`` (n, n_parts): how much each part counts, divided by what the
        scores of the other parts were divided by.
        """
        n_past = np.diff(past.indptr)
        if not weights[n_past > 0].any():
            return None
        pasts = Pasts(past, in_order)
        repeats = sparse.csr_matrix(past.shape, dtype=np.float32)
        factors = []
        for part, of_users in zip(self.parts, weights.T, strict=True):
            if of_users.any():
                counts = part.inputs(pasts.events) * of_users[pasts.users]
                inputs = pasts.as_matrix(counts)
                if part.matrix is None:
                    repeats = repeats + inputs
                else:
                    factors.append((inputs, part.matrix))
        n_sums = repeats.nnz + sum(n_products(*pair) for pair in factors)
        if n_sums * ITEMS_PER_ENTRY > len(weights) * n_items:
            total = repeats.toarray()
            for inputs, matrix in factors:
                add_product(total, inputs, matrix)
            return total[:, :n_items]
        total = repeats
        for inputs, matrix in factors:
            product = inputs @ matrix
            product.sort_indices()  # sums of sorted matrices take half the time
            total = total + product
        return total[:, :n_items].tocsr()

    def user_vectors(self, past, in_order, weights):
        """Return vectors of n users, CSR (n, n_parts * n_items).

        Their products with `item_vectors` are what is added to scores. The parameters
        are those of `added`.
        """
        pasts = Pasts(past, in_order)
        of_parts = []
        for part, of_users in zip(self.parts, weights.T, strict=True):
            counts = part.inputs(pasts.events) * of_users[pasts.users]
            of_parts.append(pasts.as_matrix(counts))
        return sparse.hstack(of_parts, format="csr")

    def item_vectors(self, n_items):
        """Return vectors of all items, CSR (n_items, n_parts * n_items).

        See `user_vectors`.
        """
        of_parts = []
        for part in self.parts:
            if part.matrix is None:
                of_parts.append(sparse.identity(n_items, np.float32, format="csr"))
            else:
                of_parts.append(part.matrix.T)
        return sparse.hstack(of_parts, format="csr")

    def of_pairs(self, past, in_order, weights, rows, items):
        """Return what is added to the scores of pairs (m,), float64.

        ``rows`` and ``items`` (m,): the row of ``past`` and the item of each; -1: an
        item that is not known. ``weights`` (m, n_parts): as of `added`, of each pair.
        The other parameters are those of `added`.
        """
        values = np.zeros(len(rows))
        known = np.flatnonzero(items >= 0)
        if not len(known):
            return values
        pasts = Pasts(past, in_order)
        for part, of_pairs in zip(self.parts, weights.T, strict=True):
            inputs = pasts.as_matrix(part.inputs(pasts.events))
            if part.matrix is None:
                found = inputs[rows[known], items[known]]
                added = np.asarray(found, dtype=float).ravel()
            else:
                added = np.empty(len(known))
                for block in slices(len(known), BLOCK):
                    some = known[block]
                    pairs, places = places_of(inputs.indptr, rows[some])
                    past_items = inputs.indices[places]
                    entries = part.matrix[past_items, items[some][pairs]]
                    products = np.asarray(entries).ravel() * inputs.data[places]
                    added[block] = np.bincount(pairs, products, len(some))
            values[known] += added * of_pairs[known]
        return values

    def with_items(self, places, n_items):
        """Return the same for items at other positions; see `SparsePart.with_items`."""
        return replace(
            self, parts=[part.with_items(places, n_items) for part in self.parts]
        )


def of_unit_size(matrix):
    """Return a CSR matrix, divided by the mean of the largest entry of its rows."""
    largest = matrix.max(axis=1).toarray().ravel()
    size = largest[largest > 0].mean() if (largest > 0).any() else 1.0
    matrix.data = (matrix.data / size).astype(np.float32)
    return matrix


def users_at_once(n_items):
    """Return for how many users `SparseParts.added` computes numbers at once."""
    return max(1, min(MAX_USERS, MAX_ADDED // max(1, n_items)))
