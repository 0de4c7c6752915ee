"""Enters: feature rows of both sides and a matrix of positives (n_users, n_items).

Leaves: batches of users with all their positives and the candidate items, with the
log-probability of each. Next: towers.py, then losses.py.
"""

import numpy as np
import torch
from scipy import sparse
from scipy.special import gammaln
from torch.utils.data import Dataset

from sktwotower._tables._sparse import take_rows

from ._dropout import FeatureDropout, id_shares
from ._losses import Targets
from ._modules import SparseRows

__all__ = ["Batch", "TrainingSet", "UserBatches", "history_bag", "inclusion_log_prob"]


# Of ``id_dropout``, how often a user is known by nothing but past items in training.
# Hiding ids alone so often would have attributes learn the users by heart.
HISTORY_ALONE = 0.8


class TrainingSet(Dataset):
    """Users with what they chose, and the features of both sides.

    Parameters
    ----------
    user_rows : CSR matrix of shape (n_users, p)
        Feature rows of the users.
    item_rows : CSR matrix of shape (n_items, q)
        Feature rows of the items.
    positives : CSR matrix of shape (n_users, n_items)
        Summed reward of each chosen pair, > 0. Columns are sorted within a row.
    history : CSR matrix of shape (n_users, n_items) or None, default=None
        Past items that the user tower may see. None: it sees none.
    impressions : CSR matrix of shape (n_users, n_items) or None, default=None
        Weight of each pair that was shown and not chosen. None: there are none, or not
        yet; batches take what is here when they are made.
    known : CSR matrix of shape (n_users, n_items) or None, default=None
        Further positives of the users, never to serve as their negatives.
    """

    def __init__(
        self,
        user_rows,
        item_rows,
        positives,
        history=None,
        impressions=None,
        known=None,
    ):
        self.user_rows = user_rows
        self.item_rows = item_rows
        self.positives = positives
        self.history = history
        self.impressions = impressions
        self.known = known
        self.users = np.flatnonzero(np.diff(positives.indptr))

    def __len__(self):
        return len(self.users)

    def n_events(self, axis):
        """Return the number of pairs of each user (axis 1) or item (axis 0)."""
        n_pairs = np.asarray(self.positives.getnnz(axis))
        return n_pairs if self.known is None else n_pairs + self.known.getnnz(axis)

    def with_items(self, items):
        """Return a set that has some of the items alone, at sorted positions (m,)."""

        def part(matrix):
            return None if matrix is None else matrix[:, items].tocsr()

        positives, same = part(self.positives), self.history is self.positives
        return TrainingSet(
            self.user_rows,
            self.item_rows[items],
            positives,
            positives if same else part(self.history),
            part(self.impressions),
            part(self.known),
        )


class Batch:
    """Inputs of both towers for b users and c candidate items.

    Parameters
    ----------
    user_rows : SparseRows of shape (b, p)
    item_rows : SparseRows of shape (c, q)
    history_items : SparseRows of shape (m, q) or None, default=None
        Rows of the distinct items that occur in ``history``.
    history : SparseRows of shape (b, m) or None, default=None
        Weights of past items; a row sums to one, or is empty.
    """

    def __init__(self, user_rows, item_rows, history_items=None, history=None):
        self.user_rows = user_rows
        self.item_rows = item_rows
        self.history_items = history_items
        self.history = history

    def __len__(self):
        return len(self.user_rows)

    def to(self, device):
        """Copy to a device; what is there already is not copied."""
        parts = vars(self).values()
        return Batch(*(part if part is None else part.to(device) for part in parts))


class UserBatches:
    """Iterate over batches of users: one pass is one epoch.

    A user comes with all positives as targets, so that scores against the candidates
    are computed once per user and not once per event.

    Parameters
    ----------
    dataset : TrainingSet
        What to iterate over.
    batch_size : int, default=128
        Number of users in a batch.
    candidate_sampling : {"full", "in_batch", "uniform", "mixed"}, default="full"
        ``"full"``: every item is a candidate. ``"in_batch"``: the distinct positives
        of the batch. ``"uniform"``: a uniform sample of the catalog. ``"mixed"``:
        both (Yang et al. 2020).
    n_negatives : int, default=2048
        Number of items in the uniform sample, drawn anew for each batch.
    correction : {"negatives", "all"} or None, default="negatives"
        Which logits are corrected for the probability of being a candidate: those of
        the negatives, those of the positives too (Yi et al. 2019), or none.
    history_dropout : float, default=0.0
        Mean share of past items hidden from the user tower in training, in [0, 1).
    id_dropout, feature_dropout : float, default=0.0
        As of `id_shares` and `FeatureDropout`, for the rows of both sides.
    shuffle : bool, default=False
        Visit the users in a new random order in every epoch.
    seed : int, default=0
        Seed of the order and of the history dropout.
    device : str, default="cpu"
        Where the rows of the whole catalog are kept.
    """

    def __init__(
        self,
        dataset,
        batch_size=128,
        candidate_sampling="full",
        n_negatives=2048,
        correction="negatives",
        history_dropout=0.0,
        id_dropout=0.0,
        feature_dropout=0.0,
        shuffle=False,
        seed=0,
        device="cpu",
    ):
        self.dataset = dataset
        self.batch_size = batch_size
        self.candidate_sampling = candidate_sampling
        self.n_negatives = n_negatives
        self.correction = correction
        self.history_dropout = history_dropout
        of_users, of_items = (
            id_shares(id_dropout, dataset.n_events(axis)) for axis in (1, 0)
        )
        # With a history a user without a row is not without anything.
        alone = 0.0 if dataset.history is None else HISTORY_ALONE * id_dropout
        self.user_dropout = FeatureDropout(
            dataset.user_rows, of_users, feature_dropout, row_dropout=alone
        )
        self.item_dropout = FeatureDropout(dataset.item_rows, of_items, feature_dropout)
        self.shuffle = shuffle
        self.seed = seed
        self.rng = np.random.default_rng(seed)
        chosen = dataset.positives
        self.counts = np.bincount(chosen.indices, minlength=chosen.shape[1])
        self.log_probs = {}
        # With each batch's own sum, a weight would count within its batch only.
        self.weight_per_user = float(chosen.data.sum(dtype=float)) / len(dataset)
        self.device = device
        self.catalog = None
        if candidate_sampling == "full":
            self.catalog = SparseRows.from_csr(dataset.item_rows).to(device)

    def __len__(self):
        return -(-len(self.dataset) // self.batch_size)

    def __iter__(self):
        users = self.dataset.users
        if self.shuffle:
            users = self.rng.permutation(users)
        else:  # the same candidates in every pass: losses can be compared
            self.rng = np.random.default_rng(self.seed)
        for start in range(0, len(users), self.batch_size):
            yield self._batch(users[start : start + self.batch_size])

    def _batch(self, users):
        """Return the ``Batch`` and the ``Targets`` of an array of user positions."""
        data = self.dataset
        positives = data.positives[users]
        impressions = None if data.impressions is None else data.impressions[users]
        candidates, log_q = self._candidates(positives, impressions, len(users))
        past = history_items = history = None
        if data.history is not None:
            past = positives if data.history is data.positives else data.history[users]
        rows, catalog = self._item_rows(candidates, past)
        if past is not None:
            # The vectors of ids alone are at hand; others are summed up where needed.
            ready = catalog if catalog is self.catalog else None
            history_items, history = history_bag(
                past, rows, ready, self.history_dropout, self.rng
            )
        item_rows = catalog
        if candidates is not None:
            item_rows = SparseRows.from_csr(rows[candidates])
        user_rows = self.user_dropout.draw(users, self.rng)
        batch = Batch(SparseRows.from_csr(user_rows), item_rows, history_items, history)
        return batch, self._targets(users, positives, impressions, candidates, log_q)

    def _item_rows(self, candidates, past):
        """Return the items' rows as CSR and, if all are candidates, as SparseRows.

        What is hidden of an item is hidden of it as a candidate and as a past item, or
        a tower would learn to tell its words from its id.
        """
        rows = self.dataset.item_rows
        if not self.item_dropout.hides:
            return rows, self.catalog
        if candidates is None:
            rows = self.item_dropout.draw(np.arange(rows.shape[0]), self.rng)
            return rows, SparseRows.from_csr(rows).to(self.device)
        if past is not None:
            candidates = np.union1d(candidates, past.indices)
        part = self.item_dropout.draw(candidates, self.rng)
        offsets = np.zeros(rows.shape[0] + 1, dtype=part.indptr.dtype)
        offsets[candidates + 1] = np.diff(part.indptr)
        np.cumsum(offsets, out=offsets)
        parts = part.data, part.indices, offsets
        return sparse.csr_matrix(parts, shape=rows.shape), None

    def _candidates(self, positives, impressions, n_users):
        """Return the candidate items, None for all of them, and their log Q."""
        if self.candidate_sampling == "full":
            return None, None
        n_items = positives.shape[1]
        sampled = np.zeros(n_items, dtype=bool)
        if self.candidate_sampling != "uniform":
            sampled[positives.indices] = True
        if self.candidate_sampling != "in_batch":
            n_drawn = min(self.n_negatives, n_items)
            sampled[self.rng.choice(n_items, n_drawn, replace=False)] = True
        needed = sampled.copy()
        needed[positives.indices] = True
        if impressions is not None:
            needed[impressions.indices] = True
        candidates = np.flatnonzero(needed)
        log_q = np.zeros(len(candidates))
        if self.correction is not None:
            log_q = self._log_prob(n_users)[candidates]
        return candidates, np.where(sampled[candidates], log_q, np.inf)

    def _log_prob(self, n_users):
        """Return the log-probability (n_items,) of being a candidate, by batch size.

        A positive of the user at hand is a candidate for certain. Where it is not to be
        corrected itself, what counts is whether the *other* users bring an item along.
        """
        if n_users not in self.log_probs:
            others = int(self.correction == "negatives")
            n_items = len(self.counts)
            missing = np.ones(n_items)
            if self.candidate_sampling != "uniform":
                population = len(self.dataset) - others
                counts = np.minimum(self.counts, population)
                log_in_batch = inclusion_log_prob(counts, population, n_users - others)
                missing *= -np.expm1(log_in_batch)
            if self.candidate_sampling != "in_batch":
                missing *= 1 - min(self.n_negatives, n_items) / n_items
            with np.errstate(divide="ignore"):
                self.log_probs[n_users] = np.log1p(-missing)
        return self.log_probs[n_users]

    def _targets(self, users, positives, impressions, candidates, log_q):
        def pairs(matrix):
            return _pairs(matrix, candidates)

        known = self.dataset.known
        columns = pairs(positives)[1]
        positive_log_q = shown = None
        if self.correction == "all" and candidates is not None:
            own = self._log_prob(len(users))[candidates[columns]]
            positive_log_q = torch.as_tensor(own, dtype=torch.float32)
        if impressions is not None:
            shown = _tensors(pairs(impressions))
        return Targets(
            torch.as_tensor(positives.indptr, dtype=torch.int64),
            torch.from_numpy(columns),
            torch.as_tensor(positives.data, dtype=torch.float32),
            None if log_q is None else torch.as_tensor(log_q, dtype=torch.float32),
            positive_log_q,
            None if known is None else _tensors(pairs(known[users])[:2]),
            shown,
            self.weight_per_user * len(users),
        )


def _pairs(matrix, candidates):
    """Return row, candidate column and value of the entries that are candidates."""
    rows = np.repeat(np.arange(matrix.shape[0]), np.diff(matrix.indptr))
    columns = matrix.indices.astype(np.int64)
    values = matrix.data.astype(np.float32)
    if candidates is None:
        return [rows, columns, values]
    places = np.searchsorted(candidates, columns).clip(max=len(candidates) - 1)
    kept = candidates[places] == columns
    return [rows[kept], places[kept], values[kept]]


def _tensors(arrays):
    return tuple(map(torch.from_numpy, arrays))


def history_bag(history, item_rows, catalog=None, dropout=0.0, rng=None):
    """Return the rows of the distinct past items and each user's weights over them.

    Parameters
    ----------
    history : CSR matrix of shape (b, n_items)
        Nonzero: a past item of the user.
    item_rows : CSR matrix of shape (n_items, q)
        Feature rows of the items.
    catalog : SparseRows of shape (n_items, q) or None, default=None
        The rows of all items, if they are at hand: then these are used.
    dropout : float, default=0.0
        Mean share of past items to leave out. Each user's own share is drawn uniformly
        from the widest interval around it that stays within [0, 1], so that the tower
        learns from long and from short histories.
    rng : numpy.random.Generator or None, default=None
        Draws what to leave out.

    Returns
    -------
    rows : SparseRows of shape (m, q)
        The distinct items' rows, or ``catalog``.
    bag : SparseRows of shape (b, m)
        Weight 1 / n of each of the user's n kept items.
    """
    items = history.indices
    users = np.repeat(np.arange(history.shape[0]), np.diff(history.indptr))
    if dropout > 0:
        shares = dropout + min(dropout, 1 - dropout) * rng.uniform(
            -1, 1, history.shape[0]
        )
        kept = rng.random(len(items)) >= shares[users]
        items, users = items[kept], users[kept]
    if catalog is None:
        distinct, places = np.unique(items, return_inverse=True)
        rows = SparseRows.from_csr(take_rows(item_rows, distinct))
    else:
        rows, places = catalog, items
    sizes = np.bincount(users, minlength=history.shape[0])
    offsets = np.concatenate([[0], np.cumsum(sizes)])
    weights = (1.0 / np.maximum(sizes, 1))[users]
    return rows, SparseRows(
        torch.as_tensor(places, dtype=torch.int64),
        torch.as_tensor(offsets, dtype=torch.int64),
        torch.as_tensor(weights, dtype=torch.float32),
        len(rows),
    )


def inclusion_log_prob(counts, n_users, batch_size):
    r"""Log-probability that an item is among the positives of a random batch of users.

    Parameters
    ----------
    counts : int array of shape (m,)
        Number of users who chose the item, from 1 to ``n_users``.
    n_users : int
        Number of users in all.
    batch_size : int
        Number of users drawn without replacement.

    Returns
    -------
    ndarray of shape (m,)
        :math:`\log\left(1 - \binom{n - c}{b} / \binom{n}{b}\right)` for n users,
        count c and batch size b: the *inclusion* probability, since each item is one
        column however often it occurs in the batch.

    Examples
    --------
    >>> import numpy as np
    >>> from sktwotower.towers._batches import inclusion_log_prob
    >>> np.exp(inclusion_log_prob(np.array([1, 2, 4]), 4, 2)).round(4)
    array([0.5   , 0.8333, 1.    ])
    """
    left_out = n_users - np.asarray(counts, dtype=float)
    with np.errstate(invalid="ignore", divide="ignore"):
        log_missing = (
            gammaln(left_out + 1)
            - gammaln(left_out - batch_size + 1)
            - gammaln(n_users + 1)
            + gammaln(n_users - batch_size + 1)
        )
    log_missing = np.where(left_out < batch_size, -np.inf, log_missing)
    return np.log(-np.expm1(np.minimum(log_missing, -1e-12)))
