"""Training data, and its batches of users with their candidate items.

Input: feature rows of both sides and a matrix of positives (n_users, n_items).
Output: per batch, inputs of both towers for b users and c items, and the ``Targets``.
"""

from dataclasses import dataclass, replace

import numpy as np
import torch
from scipy import sparse
from torch.utils.data import Dataset

from sktwotower._tables._sparse import column_counts, slices, take_columns
from sktwotower.towers.losses._losses import Targets
from sktwotower.towers.operators._devices import Movable
from sktwotower.towers.operators._positions import distinct, places_in
from sktwotower.towers.operators._sparse_rows import SparseRows
from sktwotower.towers.processes._group import most, summed

from ._candidates import CandidateSampler
from ._dropout import FeatureDropout, features_worth, has_shared_columns, id_shares
from ._request_batches import PairContexts

# Fraction of id_dropout at which the whole user row is hidden. Hiding only the id that
# often would let the attributes memorize users.
ROW_DROPOUT = 0.8
# Number of past events per item from which on a batch has most of the items.
EVENTS_PER_ITEM = 4


@dataclass(eq=False)
class TrainingSet(Dataset):
    """What users chose, and the features of users and items.

    Parameters
    ----------
    user_rows : CSR matrix of shape (n_users, p)
        Feature rows of the users.
    item_rows : CSR matrix of shape (n_items, q)
        Feature rows of the items.
    positives : CSR matrix of shape (n_users, n_items)
        Summed reward of each chosen pair, > 0. Columns are sorted within a row.
    history : CSR matrix of shape (n_users, n_items) or None, default=None
        Past items that are input of the user tower. None: it has no such input.
    impressions : CSR matrix of shape (n_users, n_items) or None, default=None
        Weight of each pair that was shown and not chosen. None: no such pairs. A batch
        uses the value at the time when it is made, so it may be set during training.
    known : CSR matrix of shape (n_users, n_items) or None, default=None
        Further positives of the users. They are never negatives of these users.
    contexts : PairContexts or None, default=None
        The contexts of the pairs. None: they have none.
    user_power : float, default=1.0
        In the loss a user of n pairs counts n ** user_power times their mean reward, in
        [0, 1].

    Attributes
    ----------
    ties_items : bool
        Whether towers with a recent history are trained ``tied``. False at first.
    """

    ties_items = False

    user_rows: sparse.csr_matrix
    item_rows: sparse.csr_matrix
    positives: sparse.csr_matrix
    history: sparse.csr_matrix | None = None
    impressions: sparse.csr_matrix | None = None
    known: sparse.csr_matrix | None = None
    contexts: PairContexts | None = None
    user_power: float = 1.0

    # In partial_fit: positions of the items that may be sampled as candidates, and the
    # `ItemStream` that knows how often each item comes.
    pool = stream = None
    # In partial_fit: one or no matrix of the pairs of before, CSR (n_users, n_items).
    # They count for how often ids are hidden.
    earlier = ()
    # In partial_fit: a batch of fewer users, or predictions, moves weights as if there
    # were as many others that move none. Otherwise five events would move those that
    # they touch as far as a whole batch does.
    least_batch = 0

    def __post_init__(self):
        self.users = np.flatnonzero(np.diff(self.positives.indptr))

    def __len__(self):
        return len(self.users)

    def n_batches(self, batch_size):
        """Return the number of batches of one epoch: the most of all processes."""
        return most(len(self.groups(batch_size)))

    def groups(self, batch_size):
        """Return a slice of ``users`` for each batch."""
        return slices(len(self), batch_size)

    def n_events(self, axis):
        """Return the number of pairs of each user (axis 1) or item (axis 0)."""
        known = [self.positives, *self.earlier]
        if axis == 0:
            return summed(sum(map(column_counts, known)))
        return sum(np.diff(matrix.indptr) for matrix in known)

    def become(self, other):
        """Take the events of another set of the same users and items, in place."""
        vars(self).update(vars(other))

    def with_items(self, items):
        """Return a set with only the items at sorted positions (m,)."""
        positives = take_columns(self.positives, items)
        history = positives
        if self.history is not self.positives:
            history = take_columns(self.history, items)
        contexts = self.contexts
        if contexts is not None:
            contexts = contexts.with_items(items)
        return replace(
            self,
            item_rows=self.item_rows[items],
            positives=positives,
            history=history,
            impressions=take_columns(self.impressions, items),
            known=take_columns(self.known, items),
            contexts=contexts,
        )


@dataclass(eq=False)
class Batch(Movable):
    """Inputs of both towers for b users and c candidate items.

    Parameters
    ----------
    user_rows : SparseRows of shape (b, p)
        Feature rows of the users.
    item_rows : SparseRows of shape (c, q)
        Feature rows of the candidates.
    history_items : SparseRows of shape (m, q) or None, default=None
        Rows of the distinct items that occur in ``history``.
    history : SparseRows of shape (b, m) or None, default=None
        Weights of past items; a row sums to one, or is empty.
    requests : Requests or None, default=None
        The requests of the users. None: each user, or window, is one without context.
    """

    user_rows: SparseRows
    item_rows: SparseRows
    history_items: SparseRows | None = None
    history: Movable | None = None
    requests: Movable | None = None

    def __len__(self):
        return len(self.user_rows)


@dataclass(eq=False)
class UserBatches:
    """Iterate over batches of users: one pass is one epoch.

    A user has all positives as targets, so the scores of the candidates are computed
    once per user and not once per event.

    Parameters
    ----------
    dataset : TrainingSet
        The users to iterate over.
    batch_size : int, default=128
        Number of users in a batch.
    candidate_sampling : {"full", "in_batch", "uniform", "mixed"}, default="full"
        ``"full"``: every item is a candidate. ``"in_batch"``: the distinct positives
        of the batch. ``"uniform"``: a uniform sample of the catalog. ``"mixed"``:
        both (Yang et al. 2020).
    n_negatives : int, default=2048
        Number of items in the uniform sample, drawn again for each batch.
    correction : {"negatives", "all"} or None, default="negatives"
        Logits that are corrected for the probability of being a candidate: those of
        the negatives, those of the positives too (Yi et al. 2019), or none.
    history_dropout : float, default=0.0
        Mean share of past items hidden from the user tower in training, in [0, 1).
    id_dropout, feature_dropout : float, default=0.0
        As of `id_shares` and `FeatureDropout`, for the rows of both sides.
    user_power : float or None, default=None
        As of `TrainingSet`, in [0, 1]. None: that of the ``dataset``. Events in order
        all count alike.
    shuffle : bool, default=False
        Visit the users in a new random order in every epoch.
    seed : int, default=0
        Seed of the order and of the history dropout.
    device : str, default="cpu"
        Device of the rows of the whole catalog.
    """

    dataset: TrainingSet
    batch_size: int = 128
    candidate_sampling: str = "full"
    n_negatives: int = 2048
    correction: str | None = "negatives"
    history_dropout: float = 0.0
    id_dropout: float = 0.0
    feature_dropout: float = 0.0
    user_power: float | None = None
    shuffle: bool = False
    seed: int = 0
    device: str = "cpu"

    def __post_init__(self):
        data = self.dataset
        # A user without a row still has the history, if there is one. The few rows of a
        # day are all kept: fit has taught the tower to do without.
        row_dropout = 0.0
        if data.history is not None and not data.earlier:
            row_dropout = ROW_DROPOUT * self.id_dropout
        of_users = _id_shares(self.id_dropout, data, axis=1)
        of_items = _id_shares(self.id_dropout, data, axis=0)
        self.user_dropout = FeatureDropout(
            data.user_rows, of_users, self.feature_dropout, row_dropout
        )
        self.item_dropout = FeatureDropout(
            data.item_rows, of_items, self.feature_dropout
        )
        self.rng = np.random.default_rng(self.seed)
        self.sampler = CandidateSampler(
            data, self.candidate_sampling, self.n_negatives, self.correction
        )
        # Divide by a mean over all users: by the sum of a batch, a weight would only
        # count relative to the others in the batch.
        power = self.user_power
        if power is None:
            power = data.user_power
        n_pairs = np.maximum(np.diff(data.positives.indptr), 1.0)
        self.user_weights = n_pairs ** (power - 1)
        rewards = np.asarray(data.positives.sum(axis=1)).ravel()
        total = float(rewards @ self.user_weights)
        self.weight_per_user = total / max(1, len(data))
        catalog = SparseRows.from_csr(data.item_rows).to(self.device)
        self.catalog = None
        if self.candidate_sampling == "full":
            self.catalog = catalog
        self.past_catalog = self.catalog
        if catalog.is_identity:
            # Its rows need no selection if a batch has most of them.
            self.past_catalog = catalog

    def __len__(self):
        return self.dataset.n_batches(self.batch_size)

    def __iter__(self):
        users = self.dataset.users
        groups = self.dataset.groups(self.batch_size)
        if self.shuffle:
            users, groups = self._shuffled(users, groups)
        else:  # the same candidates in every pass, so that losses can be compared
            self.rng = np.random.default_rng(self.seed)
        for group in groups:
            yield self._batch(users[group])

    def _shuffled(self, users, groups):
        """Return users in a new order, and slices of them in theirs."""
        return self.rng.permutation(users), groups

    def _batch(self, users):
        """Return the ``Batch`` and the ``Targets`` of an array of user positions."""
        data = self.dataset
        n_users = len(users)
        positives = data.positives[users]
        shown = None
        if data.impressions is not None:
            shown = data.impressions[users]
        candidates, log_q = self.sampler.draw(positives, shown, self.rng)

        # What the towers see
        history_items = None
        bag = None
        if data.history is None:
            _, item_rows = self._rows_of_items(candidates, None)
        else:
            past = positives
            if data.history is not data.positives:
                past = data.history[users]
            rows, item_rows = self._rows_of_items(candidates, past.indices)
            # Without dropout the rows of the whole catalog need no selection.
            catalog = self.past_catalog
            has_most = candidates is None or past.nnz >= EVENTS_PER_ITEM * rows.shape[0]
            if self.item_dropout.hides or not has_most:
                catalog = None
            history_items, bag = history_bag(
                past, rows, catalog, self.history_dropout, self.rng
            )
        user_rows = SparseRows.from_csr(self.user_dropout.draw(users, self.rng))
        batch = Batch(user_rows, item_rows, history_items, bag)

        # What is predicted
        if data.contexts is not None:
            requests, owners, positives, shown = data.contexts.add(
                users, positives, shown, self.rng
            )
            batch.requests = requests
            users = users[owners]
        weights = np.repeat(self.user_weights[users], np.diff(positives.indptr))
        positives.data *= weights.astype(positives.dtype)
        known = None
        if data.known is not None:
            known = data.known[users]
        targets = self._targets(known, positives, shown, candidates, log_q, n_users)
        return batch, targets

    def _rows_of_items(self, candidates, past):
        """Return the items' rows as CSR, and those of the candidates as SparseRows.

        ``past``: positions of past items, or None.

        The same features are hidden when an item is a candidate and when it is history.
        Otherwise the towers would learn to match an item's words with its id.
        """
        rows = self.dataset.item_rows
        if not self.item_dropout.hides:
            if candidates is None:
                return rows, self.catalog
            return rows, SparseRows.taken(rows, candidates)
        drawn = candidates
        if candidates is None:
            drawn = np.arange(rows.shape[0])
        elif past is not None:
            drawn = np.union1d(candidates, past)
        part = self.item_dropout.draw(drawn, self.rng)
        # rows that are not drawn are empty: nobody reads them
        offsets = np.zeros(rows.shape[0] + 1, dtype=part.indptr.dtype)
        offsets[drawn + 1] = np.diff(part.indptr)
        np.cumsum(offsets, out=offsets)
        rows = sparse.csr_matrix((part.data, part.indices, offsets), rows.shape)
        if candidates is None:
            return rows, SparseRows.from_csr(rows)
        return rows, SparseRows.taken(rows, candidates)

    def _targets(self, known, positives, impressions, candidates, log_q, n_users):
        """Return the ``Targets`` of requests (n,) of ``n_users`` users.

        ``known``: further items that are no negatives, CSR (n, n_items), or None.
        """
        columns = positives.indices.astype(np.int64)
        positive_log_q = None
        if candidates is not None:  # all positives are among them
            columns = places_in(candidates, columns, positives.shape[1])
            if self.correction == "all":
                log_probs = self.sampler.log_prob(n_users)
                positive_log_q = as_float32(log_probs[candidates[columns]])
        hidden = None
        if known is not None:
            rows_of_known, columns_of_known, _ = as_pairs(known, candidates)
            hidden = (rows_of_known, columns_of_known)
        shown = None
        if impressions is not None:
            shown = as_pairs(impressions, candidates)
        return Targets(
            offsets=torch.as_tensor(positives.indptr, dtype=torch.int64),
            columns=torch.from_numpy(columns),
            weights=torch.as_tensor(positives.data, dtype=torch.float32),
            log_q=as_float32(log_q),
            positive_log_q=positive_log_q,
            hidden=hidden,
            impressions=shown,
            total_weight=self.weight_per_user * max(n_users, self.dataset.least_batch),
        )


def as_float32(values):
    """Return an array as a tensor of float32; None stays None."""
    if values is None:
        return None
    return torch.as_tensor(values, dtype=torch.float32)


def _id_shares(id_dropout, dataset, axis):
    """Return how often the ids of users (axis 1) or items (axis 0) are hidden, (n,)."""
    rows = dataset.item_rows
    if axis == 1:
        rows = dataset.user_rows
    worth = 1.0
    if 0 < id_dropout < 1 and has_shared_columns(rows):
        pairs = sum(dataset.earlier, dataset.positives)
        if axis == 1:
            pairs = pairs.T
        worth = features_worth(pairs.tocsr(), rows)
    return id_shares(id_dropout, dataset.n_events(axis), worth)


def as_pairs(matrix, candidates):
    """Return row, column and value, tensors (m,), of the entries that are candidates.

    Columns are places in ``candidates``, or positions of items if that is None.
    """
    rows = np.repeat(np.arange(matrix.shape[0]), np.diff(matrix.indptr))
    columns = matrix.indices.astype(np.int64)
    values = matrix.data.astype(np.float32)
    if candidates is not None:
        columns_of_candidates = places_in(candidates, columns, matrix.shape[1])
        is_candidate = candidates[columns_of_candidates] == columns
        rows = rows[is_candidate]
        columns = columns_of_candidates[is_candidate]
        values = values[is_candidate]
    return torch.from_numpy(rows), torch.from_numpy(columns), torch.from_numpy(values)


def history_bag(history, item_rows, catalog=None, dropout=0.0, rng=None):
    """Return the rows of the distinct past items and each user's weights over them.

    Parameters
    ----------
    history : CSR matrix of shape (b, n_items)
        Nonzero: a past item of the user.
    item_rows : CSR matrix of shape (n_items, q)
        Feature rows of the items.
    catalog : SparseRows of shape (n_items, q) or None, default=None
        The rows of all items, to be returned instead of a selection. None: select.
    dropout : float, default=0.0
        Mean share of past items to drop, in [0, 1). The share of each user is uniform
        on the widest interval around it within [0, 1], so that the tower learns from
        long and from short histories.
    rng : numpy.random.Generator or None, default=None
        Draws the items to drop. Needed with dropout.

    Returns
    -------
    rows : SparseRows of shape (m, q)
        The distinct items' rows, or ``catalog``.
    bag : SparseRows of shape (b, m)
        Weight 1 / n of each of the user's n kept items.
    """
    items = history.indices
    offsets = history.indptr
    if dropout > 0:
        widest = min(dropout, 1 - dropout)
        shares = dropout + widest * rng.uniform(-1, 1, history.shape[0])
        kept = rng.random(len(items)) >= np.repeat(shares, np.diff(offsets))
        items = items[kept]
        offsets = np.append(0, np.cumsum(kept))[offsets]
    if catalog is None:
        n_items = item_rows.shape[0]
        past = distinct(items, n_items)
        rows = SparseRows.taken(item_rows, past)
        places = places_in(past, items, n_items)
    else:
        rows = catalog
        places = items
    sizes = np.diff(offsets)
    weights = (1.0 / np.maximum(sizes, 1)).astype(np.float32)
    weights = np.repeat(weights, sizes)
    return rows, SparseRows.from_arrays(places, offsets, weights, len(rows))
