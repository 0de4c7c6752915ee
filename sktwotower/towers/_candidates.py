"""Candidate items of a batch, and the probability with which each becomes one.

Input: the positives of a batch of b users, CSR (b, n_items).
Output: positions of c candidate items and their log-probabilities, both (c,).
"""

import numpy as np
from scipy.special import gammaln

__all__ = ["CandidateSampler", "inclusion_log_prob"]


class CandidateSampler:
    """Sample the candidate items of batches of users.

    Parameters
    ----------
    counts : int array of shape (n_items,)
        Number of users who chose each item.
    n_users : int
        Number of users in the training set.
    sampling : {"full", "in_batch", "uniform", "mixed"}
        As in `UserBatches`, ``candidate_sampling``.
    n_negatives : int
        Number of items in the uniform sample.
    correction : {"negatives", "all"} or None
        As in `UserBatches`.
    """

    def __init__(self, counts, n_users, sampling, n_negatives, correction):
        self.counts = counts
        self.n_users = n_users
        self.sampling = sampling
        self.n_negatives = min(n_negatives, len(counts))
        self.correction = correction
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
        if self.sampling == "full":
            return None, None
        n_items = len(self.counts)
        sampled = np.zeros(n_items, dtype=bool)
        if self.sampling != "uniform":
            sampled[positives.indices] = True
        if self.sampling != "in_batch":
            sampled[rng.choice(n_items, self.n_negatives, replace=False)] = True
        needed = sampled.copy()
        needed[positives.indices] = True
        if impressions is not None:
            needed[impressions.indices] = True
        candidates = np.flatnonzero(needed)
        log_q = np.zeros(len(candidates))
        if self.correction is not None:
            log_q = self.log_prob(positives.shape[0])[candidates]
        return candidates, np.where(sampled[candidates], log_q, np.inf)

    def log_prob(self, batch_size):
        """Return each item's log-probability of being a candidate, (n_items,).

        The positives of a user are certain candidates for that user. If their logits
        are not corrected, the probability is that of the *other* users in the batch to
        bring an item along.
        """
        if batch_size not in self._log_probs:
            n_others = int(self.correction == "negatives")
            missing = np.ones(len(self.counts))
            if self.sampling != "uniform":
                population = self.n_users - n_others
                counts = np.minimum(self.counts, population)
                log_included = inclusion_log_prob(
                    counts, population, batch_size - n_others
                )
                missing *= -np.expm1(log_included)
            if self.sampling != "in_batch":
                missing *= 1 - self.n_negatives / len(self.counts)
            with np.errstate(divide="ignore"):
                self._log_probs[batch_size] = np.log1p(-missing)
        return self._log_probs[batch_size]


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
    >>> from sktwotower.towers._candidates import inclusion_log_prob
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
