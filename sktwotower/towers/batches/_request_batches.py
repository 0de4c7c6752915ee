"""The contexts in which users chose, or were shown, what.

Input: events of users, each with the feature row of its context.
Output: per batch, the requests of b users: rows of users and contexts, and what was
chosen in each.
"""

import numpy as np
import torch
from scipy import sparse

from sktwotower._records._reading import places_of
from sktwotower._tables import _sparse
from sktwotower._tables._sequences import starts
from sktwotower.towers.operators._devices import Movable
from sktwotower.towers.operators._sparse_rows import SparseRows

from ._dropout import entries_of

# How often the context of an event to predict is hidden: a request may lack it.
HIDDEN = 0.5
# How often a part of a context is hidden: a request may know some of the columns.
PARTLY_HIDDEN = 0.1
# How often a user of a batch also asks in one of the contexts of the past, with a
# weight that makes up for the other times; and how many of them at most, in the mean.
# Each costs as much as a user does.
DRAWN = 1 / 3
MAX_REQUESTS = 1.0
MAX_WEIGHT = 10.0


class Requests(Movable):
    """Which of the vectors of a batch of users ask in which context.

    Parameters
    ----------
    owners : int64 tensor of shape (n,) or None
        Position of the user of each request. None: each vector is one request.
    asking : int64 tensor of shape (m,)
        Positions of the requests whose context is known, ascending.
    rows : SparseRows of shape (m, p)
        Feature rows of their contexts.
    """

    def __init__(self, owners, asking, rows):
        self.owners = owners
        self.asking = asking
        self.rows = rows

    @classmethod
    def of(cls, rows, owners=None):
        """Return the requests of rows, CSR (n, p); empty ones are unknown contexts."""
        asking = np.flatnonzero(np.diff(rows.indptr))
        if owners is not None:
            owners = torch.from_numpy(owners.astype(np.int64))
        return cls(owners, torch.from_numpy(asking), SparseRows.taken(rows, asking))

    def apply(self, in_context, users):
        """Return the vectors (n, d) of the requests, given those of users (b, d)."""
        if self.owners is not None:
            users = users.index_select(0, self.owners)
        if len(self.asking) == 0:
            return users
        asked = in_context(users.index_select(0, self.asking), self.rows)
        return users.index_copy(0, self.asking, asked.to(users.dtype))


class PairContexts:
    """What each user chose, and was shown, in each known context.

    Parameters
    ----------
    offsets : int64 array of shape (n_users + 1,)
        Start of each user's contexts.
    rows : CSR matrix of shape (n_contexts, p)
        Their feature rows.
    positives, impressions : CSR matrices of shape (n_contexts, n_items)
        Weights of what was chosen, and of what was shown and not chosen.
    of_items : int array of shape (p,) or None
        Which features say something of what was chosen itself, as of `shown_entries`.
        None: none of them.
    """

    def __init__(self, offsets, rows, positives, impressions, of_items=None):
        self.offsets = offsets
        self.rows = rows
        self.positives = positives
        self.impressions = impressions
        self.of_items = of_items

    @property
    def owners(self):
        """Position of the user of each context, (n_contexts,)."""
        return np.repeat(np.arange(len(self.offsets) - 1), np.diff(self.offsets))

    def with_items(self, items):
        """Return the same with only the items at sorted positions (m,)."""
        positives = _sparse.take_columns(self.positives, items)
        impressions = _sparse.take_columns(self.impressions, items)
        return PairContexts(
            self.offsets, self.rows, positives, impressions, self.of_items
        )

    def without(self, held_out):
        """Return the same without pairs that are stored in CSR (n_users, n_items)."""
        on_disk = _sparse.is_mapped(self.positives.indices)
        owners = self.owners
        kept = _sparse.Rows(on_disk, self.positives.shape[1])
        for block in _sparse.row_blocks(self.positives.indptr, on_disk):
            positives = _sparse.rows_of(self.positives, block)
            is_held_out = held_out[owners[block]].astype(bool)
            left = positives - positives.multiply(is_held_out)
            left = sparse.csr_matrix(left, dtype=np.float32)
            left.eliminate_zeros()
            kept.append(left)
        return PairContexts(
            self.offsets, self.rows, kept.finish(), self.impressions, self.of_items
        )

    def draw(self, users, rng):
        """Return the contexts (k,) of users (b,) that are asked in, owners and weights.

        The owners are positions in ``users``, ascending.
        """
        n_contexts = np.diff(self.offsets)[users]
        shares = np.minimum(DRAWN, MAX_REQUESTS / np.maximum(n_contexts, 1))
        owners, contexts = places_of(self.offsets, users)
        is_drawn = rng.random(len(contexts)) < np.repeat(shares, n_contexts)
        owners = owners[is_drawn]
        weights = np.minimum(1 / shares, MAX_WEIGHT).astype(np.float32)
        return contexts[is_drawn], owners, weights[owners]

    def add(self, users, positives, impressions, rng):
        """Return the requests of a batch, and what was chosen and shown in each.

        Parameters
        ----------
        users : int array of shape (b,)
        positives, impressions : CSR matrices of shape (b, n_items)
            All that the users chose, and were shown (or None).
        rng : numpy.random.Generator

        Returns
        -------
        requests : Requests
            First all users, with an unknown context. The contexts drawn follow.
        owners : int array of shape (n,)
            Position of the user of each request.
        positives, impressions : CSR matrices of shape (n, n_items)
        """
        drawn, owners_of_drawn, weights = self.draw(users, rng)
        chosen = sparse.diags(weights) @ self.positives[drawn]
        positives = sparse.vstack([positives, chosen], format="csr")
        if impressions is not None:
            shown = self.impressions[drawn]
            impressions = sparse.vstack([impressions, shown], format="csr")
        unknown = sparse.csr_matrix((len(users), self.rows.shape[1]), dtype=np.float32)
        known = self.rows[drawn]
        if self.of_items is not None:
            is_shown = np.ones(len(drawn), dtype=bool)
            item_is_shown = is_shown
            if not self.of_items.all():  # other columns are asked for alone as well
                item_is_shown = rng.random(len(drawn)) >= HIDDEN
            known = shown_entries(known, is_shown, item_is_shown, self.of_items, rng)
        known = partly_hidden(known, rng)
        rows = sparse.vstack([unknown, known], format="csr")
        owners = np.concatenate([np.arange(len(users)), owners_of_drawn])
        return Requests.of(rows, owners), owners, positives, impressions


def partly_hidden(rows, rng):
    """Return feature rows of contexts, CSR (n, p), with some of the entries hidden."""
    return entries_of(rows, rng.random(rows.nnz) >= PARTLY_HIDDEN)


def some_hidden(rows, rng, of_items=None):
    """Return feature rows of contexts, CSR (n, p), some of them unknown or in part.

    ``of_items`` (p,): which features are of the chosen item, as of `shown_entries`;
    they are hidden as often as the others, but not together with them. None: none are.
    """
    shown = rng.random(rows.shape[0]) >= HIDDEN
    if of_items is not None:
        item_is_shown = rng.random(rows.shape[0]) >= HIDDEN
        rows = shown_entries(rows, shown, item_is_shown, of_items, rng)
        return partly_hidden(rows, rng)
    rows = sparse.csr_matrix(sparse.diags(shown.astype(np.float32)) @ rows)
    rows.eliminate_zeros()
    return partly_hidden(rows, rng)


def shown_entries(rows, shown, item_is_shown, of_items, rng):
    """Return feature rows, CSR (n, p), in which some rows of features are hidden.

    Parameters
    ----------
    rows : CSR matrix of shape (n, p)
    shown, item_is_shown : bool arrays of shape (n,)
        Where features show that are not of the chosen item, and where those are.
    of_items : int array of shape (p,)
        0: a feature that is not of the chosen item. 1: one that is. From 2 on: a tag,
        with a number for each column of lists. As a request asks for one of the tags of
        an item, one at a time shows of each column.
    rng : numpy.random.Generator
    """
    owners = np.repeat(np.arange(rows.shape[0]), np.diff(rows.indptr))
    kinds = of_items[rows.indices]
    is_kept = np.where(kinds > 0, item_is_shown[owners], shown[owners])
    tags = np.flatnonzero(kinds > 1)
    if len(tags):
        in_turn = tags[np.lexsort((rng.random(len(tags)), kinds[tags], owners[tags]))]
        is_first = starts(owners[in_turn], kinds[in_turn])
        is_kept[in_turn[~is_first]] = False
    return entries_of(rows, is_kept)
