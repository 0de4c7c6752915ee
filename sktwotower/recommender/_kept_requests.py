"""Requests that events answer which the model has not learnt yet.

Input: ``KeptBack``.
Output: ``KeptRequests``: of the users as they are, and as if they were new.
"""

from typing import NamedTuple

import numpy as np
from scipy import sparse

from sktwotower._tables._sparse import column_counts, id_columns
from sktwotower.towers.batches._dropout import entries_of
from sktwotower.towers.parts import distinct_ones, embed_items, embed_users, in_context
from sktwotower.towers.processes._group import summed

from ._context_weights import AskingUsers
from ._fold_in import FoldInOfNew
from ._kept_back import mean_rewards

# Numbers of past items that new users are given, and how many such users there are.
NEW_SIZES = 0, 1, 3, 10
N_NEW = 150
# The requests of users of whom only features are known count as this number of requests
# of one answer each: they have many answers.
N_ASKED = 600


class KeptRequests(NamedTuple):
    """Requests of n users whose next choices are known.

    Parameters
    ----------
    rows : CSR matrix of shape (n, p)
        Feature rows of users; those of new ones have no id.
    past : CSR matrix of shape (n, n_items)
        Past items that the model is told: lags if they are in order, else ones.
    hidden : CSR matrix of shape (n, n_items)
        Nonzero: items that a list must not hold.
    truth : CSR matrix of shape (n, n_items)
        The rewards of what is chosen.
    n_known : int
        The first ones are of users as they are.
    contexts : CSR matrix of shape (n, p), default=None
        Feature rows of the contexts in which they ask. None: nothing is known of them.
    fold_in : FoldInOfNew, default=None
        Moves the vectors of new users. None: they are those of the tower.
    left_out : int array of shape (q,), default=()
        Further items that no list may hold.
    """

    rows: sparse.csr_matrix
    past: sparse.csr_matrix
    hidden: sparse.csr_matrix
    truth: sparse.csr_matrix
    n_known: int
    contexts: sparse.csr_matrix | None = None
    fold_in: FoldInOfNew | None = None
    left_out: np.ndarray | tuple = ()

    @property
    def n_past(self):
        """Number of past items (n,) of each request."""
        return np.diff(self.past.indptr)

    def known(self):
        """Return those of users as they are."""
        return self.at(slice(self.n_known))

    def at(self, rows):
        """Return those at some positions, as users as they are."""
        matrices = [matrix[rows] for matrix in self[:4]]
        contexts = None
        if self.contexts is not None:
            contexts = self.contexts[rows]
        n_rows = matrices[0].shape[0]
        return KeptRequests(*matrices, n_rows, contexts, left_out=self.left_out)

    def embedded(self, part, item_rows, columns):
        """Return ``AskingUsers`` and the vectors (n_items, d) of items of a part.

        ``columns``: a list of ``ContextColumn``.
        """
        return self.asking(part, item_rows, columns), embed_items(part, item_rows)

    def asking(self, part, item_rows, columns):
        """Return the ``AskingUsers`` of a part; see `embedded`."""
        users = self._without_context(part, item_rows)
        if columns:
            return AskingUsers.of(part, users, self.contexts, columns)
        users = self._in_context(part, users)
        return AskingUsers(users, np.zeros((0, *users.shape), dtype=np.float32))

    def users_embedded(self, part, item_rows):
        """Return the vectors (n, d) that a part gives them."""
        users = self._without_context(part, item_rows)
        return self._in_context(part, users)

    def _without_context(self, part, item_rows):
        """Return the vectors (n, d) that a part gives them without their contexts."""
        past = None
        if part.sees_order:
            past = self.past
        elif part.sees_past:
            past = distinct_ones(self.past)
        users = embed_users(part, self.rows, past, item_rows)
        if part.folds_in and self.fold_in is not None:
            new = slice(self.n_known, None)
            users[new] = self.fold_in(part, users[new], self.past[new], item_rows)
        return users

    def _in_context(self, part, users):
        """Return vectors (n, d) of users in their contexts."""
        if self.contexts is None or part.context is None:
            return users
        return in_context(part, users, self.contexts)


def requests_of(kept, recipe, rng):
    """Return the ``KeptRequests`` of ``KeptBack``.

    Some users are asked for again as if they were new, with none or a few of their past
    items: the latest ones if the order is known. A model that is not told of past items
    takes all users for such without any.
    """
    sees_past = recipe.history.sees_past
    users = kept.known.users
    rows = users.rows[kept.users]
    hidden = distinct_ones(kept.past)
    if not recipe.exclude_seen:
        hidden = sparse.csr_matrix(hidden.shape, dtype=hidden.dtype)
    if sees_past:
        past = kept.past
    else:
        past = sparse.csr_matrix(hidden.shape)
    known = KeptRequests(rows, past, hidden, kept.truth, rows.shape[0], kept.contexts)
    is_id = id_columns(users.rows)
    together = [known]
    sizes = NEW_SIZES
    if kept.strangers is not None:
        together.append(_of_strangers(kept, known, is_id))
        sizes = sizes[1:]
    for size in sizes:
        able = np.flatnonzero(known.n_past > size)
        some = np.sort(rng.permutation(able)[:N_NEW])
        together.append(_as_new(kept, known, some, size, is_id, rng))
    stacked = [
        sparse.vstack(matrices, format="csr")
        for matrices in zip(*(each[:4] for each in together), strict=True)
    ]
    contexts = None
    if known.contexts is not None:
        of_each = [each.contexts for each in together]
        contexts = sparse.vstack(of_each, format="csr")
    fold_in = None
    if kept.known.ordered is None:  # where the order is known, nobody is folded in
        counts = summed(column_counts(kept.known.positives))
        fold_in = FoldInOfNew(counts, recipe.temperature)
    left_out = kept.unknown_items
    return KeptRequests(*stacked, known.n_known, contexts, fold_in, left_out)


def requests_long_before(kept, recipe):
    """Return the ``KeptRequests`` long before those of a ``KeptBack``, or None."""
    asked = kept.long_before
    if asked is None:
        return None
    rows = kept.known.users.rows[asked.users]
    hidden = distinct_ones(asked.past)
    if not recipe.exclude_seen:
        hidden = sparse.csr_matrix(hidden.shape, dtype=hidden.dtype)
    past = asked.past
    if not recipe.history.sees_past:
        past = sparse.csr_matrix(past.shape)
    n = len(asked.users)
    return KeptRequests(rows, past, hidden, asked.truth, n, asked.contexts)


def _of_strangers(kept, known, is_id):
    """Return requests of users of whom only features are known."""
    # each has many answers, so that few users say much
    n_strangers = len(kept.strangers)  # one of several processes may have none
    repeated = np.resize(np.arange(n_strangers), N_ASKED if n_strangers else 0)
    rows = kept.known.users.rows[kept.strangers[repeated]]
    rows = entries_of(rows, ~is_id[rows.indices])
    truth = kept.new_truth[repeated]
    nothing = sparse.csr_matrix(truth.shape, dtype=known.hidden.dtype)
    contexts = None
    if known.contexts is not None:
        shape = rows.shape[0], known.contexts.shape[1]
        contexts = sparse.csr_matrix(shape, dtype=known.contexts.dtype)
    return KeptRequests(rows, nothing, nothing, truth, 0, contexts)


def _as_new(kept, known, some, size, is_id, rng):
    """Return requests at positions (n,) without ids, and with few past items only.

    These are the last ones, or any if the order is not known. Without any, users are
    asked for all that they choose: what follows a long past is less popular than what
    people begin with.
    """
    rows = known.rows[some]
    rows = entries_of(rows, ~is_id[rows.indices])
    past = known.past[some]
    ends = np.repeat(past.indptr[1:], np.diff(past.indptr))
    ranks = np.arange(past.nnz)
    if kept.known.ordered is None:
        # those of each row are shuffled
        owners = np.repeat(np.arange(past.shape[0]), np.diff(past.indptr))
        shuffled = np.lexsort((rng.uniform(size=past.nnz), owners))
        ranks[shuffled] = np.arange(past.nnz)
    past = entries_of(past, ranks >= ends - size)
    hidden = known.hidden[some]
    truth = known.truth[some]
    if size == 0:
        truth = truth + mean_rewards(kept.known, kept.users[some])
        hidden = sparse.csr_matrix(hidden.shape, dtype=hidden.dtype)
    contexts = None
    if known.contexts is not None:
        contexts = known.contexts[some]
    return KeptRequests(rows, past, hidden, truth, 0, contexts)
