"""Candidate items of a batch, and the probability with which each becomes one.

Input: the positives of a batch of b users, CSR (b, n_items).
Output: positions of c candidate items and their log-probabilities, both (c,).
"""

import numpy as np
from scipy.special import gammaln

from sktwotower._tables._sparse import column_counts


class CandidateSampler:
    """Sample the candidate items of batches of users.

    Parameters
    ----------
    dataset : TrainingSet
        Its positives, and in `partial_fit` its ``pool`` of items that may be sampled
        and its ``stream``. The stream estimates how often items come in batches, and
        goes on with each batch; without it the probabilities follow from counts.
    sampling : {"full", "in_batch", "uniform", "mixed"}
        As in `UserBatches`, ``candidate_sampling``.
    n_negatives : int
        Number of items in the uniform sample.
    correction : {"negatives", "all"} or None
        As in `UserBatches`.
    """

    def __init__(self, dataset, sampling, n_negatives, correction):
        self.counts = column_counts(dataset.positives)
        self.n_users = len(dataset)
        self.stream = dataset.stream
        self.pool = dataset.pool
        if self.pool is None:
            self.pool = np.arange(len(self.counts))
        self.sampling = sampling
        self.correction = correction
        self.n_negatives = min(n_negatives, len(self.pool))
        self._log_probs = {}

    def draw(self, positives, impressions, rng):
        """Return the candidate items of a batch and their log-probabilities.

        Parameters
        ----------
        positives : CSR matrix of shape (b, n_items)
            What the users of the batch chose.
        impressions : CSR matrix of shape (b, n_items) or None
            What they were shown and did not choose.
        rng : numpy.random.Generator
            Draws the uniform sample.

        Returns
        -------
        candidates : int array of shape (c,), or None
            Positions, ascending. None: all items.
        log_q : float64 array of shape (c,), or None
            Log-probability of being a candidate, 0 without correction. ``inf`` for an
            item that is needed only as a positive or an impression. None for all items.
        """
        if self.stream is not None:
            self.stream.add(positives.indices, positives.shape[0])
        n_items = len(self.counts)
        is_full = self.sampling == "full"
        if is_full and len(self.pool) == n_items:
            return None, None
        sampled = np.zeros(n_items, dtype=bool)
        if self.sampling in ("in_batch", "mixed"):
            sampled[positives.indices] = True
        if self.sampling in ("uniform", "mixed"):
            drawn = rng.choice(len(self.pool), self.n_negatives, replace=False)
            sampled[self.pool[drawn]] = True
        if is_full:
            sampled[self.pool] = True
        is_candidate = sampled.copy()
        is_candidate[positives.indices] = True
        if impressions is not None:
            is_candidate[impressions.indices] = True
        candidates = np.flatnonzero(is_candidate)
        log_q = np.zeros(len(candidates))
        if self.correction is not None and not is_full:
            log_q = self.log_prob(positives.shape[0])[candidates]
        log_q = np.where(sampled[candidates], log_q, np.inf)
        return candidates, log_q

    def log_prob(self, batch_size):
        """Return each item's log-probability of being a candidate, (n_items,).

        The positives of a user are certain candidates for that user. If their logits
        are not corrected, the probability is that of the *other* users in the batch to
        bring an item along.
        """
        n_others = batch_size
        n_other_users = self.n_users
        if self.correction == "negatives":
            n_others -= 1
            n_other_users -= 1
        if self.stream is not None:  # other probabilities after each batch
            return self._log_prob(self.stream.missing(n_others))
        if batch_size not in self._log_probs:
            counts = np.minimum(self.counts, n_other_users)
            log_included = inclusion_log_prob(counts, n_other_users, n_others)
            self._log_probs[batch_size] = self._log_prob(-np.expm1(log_included))
        return self._log_probs[batch_size]

    def _log_prob(self, not_in_batch):
        """Return log-probabilities (n_items,), given those of not being in a batch."""
        missing = np.ones(len(self.counts))
        if self.sampling in ("in_batch", "mixed"):
            missing *= not_in_batch
        if self.sampling in ("uniform", "mixed"):
            missing *= 1 - self.n_negatives / len(self.pool)
        with np.errstate(divide="ignore"):
            return np.log1p(-missing)


def inclusion_log_prob(counts, n_users, batch_size):
    r"""Compute the log-probability that an item is a positive of some user in a batch.

    Parameters
    ----------
    counts : int array of shape (m,)
        Number of users who chose the item, from 1 to ``n_users``.
    n_users : int
        Number of users in the training set.
    batch_size : int
        Number of users drawn without replacement.

    Returns
    -------
    float64 ndarray of shape (m,)

    Notes
    -----
    The value is

    .. math:: \log\left(1 - \binom{n - c}{b} / \binom{n}{b}\right)

    for :math:`n` users, count :math:`c` and batch size :math:`b`. It is the *inclusion*
    probability, as each item is one column however often it occurs in the batch.

    Examples
    --------
    >>> import numpy as np
    >>> from sktwotower.towers.batches._candidates import inclusion_log_prob
    >>> np.exp(inclusion_log_prob(np.array([1, 2, 4]), 4, 2)).round(4)
    array([0.5   , 0.8333, 1.    ])
    """
    left_out = n_users - np.asarray(counts, dtype=float)
    with np.errstate(invalid="ignore", divide="ignore"):
        log_missing = gammaln(left_out + 1) - gammaln(left_out - batch_size + 1)
        log_missing -= gammaln(n_users + 1)
        log_missing += gammaln(n_users - batch_size + 1)
    log_missing = np.where(left_out < batch_size, -np.inf, log_missing)
    return np.log(-np.expm1(np.minimum(log_missing, -1e-12)))
