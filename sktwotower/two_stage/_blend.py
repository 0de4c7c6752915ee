"""How far the ranker's order is blended with retrieval's.

Input: the ranker's scores (n_users, n_candidates), in retrieval's order.
Output: blended scores of the same shape, and the weight that validation chooses.
"""

from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy import sparse

from sktwotower.metrics import ndcg_at_k
from sktwotower.metrics._hits import ERRORS_IN_INTERVAL, standard_error

WEIGHTS = (0.1, 0.25, 0.5, 0.75, 1.0)
# A weight is judged once more by users of one part, chosen by those of the others.
N_PARTS = 5


def ranks_by(scores):
    """Return ranks (n, c) from 1, best first; of equal scores the first is better."""
    order = np.argsort(-scores, axis=1, kind="stable")
    return np.argsort(order, axis=1) + 1.0  # where each one is in the order


def ranks_among(ordered, values):
    """Return the ranks (n,) that values would have among others, fractions included.

    Between two others a rank is interpolated, before the first one it is in (0, 1),
    after the last one c it is in (c, c + 1]. ``ordered`` (n, c): the others, best
    first, -inf for padding. ``values`` (n,).
    """
    n_others = np.count_nonzero(ordered > -np.inf, axis=1)
    n_above = np.count_nonzero(ordered > values[:, None], axis=1)
    rows = np.arange(len(values))
    last = max(ordered.shape[1] - 1, 0)
    next_above = ordered[rows, np.clip(n_above - 1, 0, last)].astype(float)
    next_below = ordered[rows, np.clip(n_above, 0, last)].astype(float)
    with np.errstate(invalid="ignore", divide="ignore"):
        share_of_gap = (next_above - values) / (next_above - next_below)
        between = n_above + share_of_gap
        before_all = 1 / (1 + values - next_below)
        after_all = n_above + 1 - 1 / (1 + next_above - values)
    ranks = np.where(n_above == 0, before_all, between)
    is_last = (n_above > 0) & (n_above == n_others)
    ranks = np.where(is_last, after_all, ranks)
    return np.where(n_others == 0, 1.0, ranks)


def blended(first, second, weight):
    """Return the score of candidates by their ranks in both orders, in (0, 1].

    It is one over the weighted geometric mean of the ranks. ``first``: ranks by the
    retriever, ``second``: by the ranker, with ``weight``.
    """
    return first ** (weight - 1) * second**-weight


def reordered(scores, weight):
    """Return blended scores (n, c), descending, and the places (n, c) they belong to.

    ``scores`` (n, c): those of the ranker, in retrieval's order; -inf: no candidate.
    """
    by_ranker = ranks_by(scores)
    by_retriever = np.arange(1.0, scores.shape[1] + 1)
    mixed = blended(by_retriever, by_ranker, weight)
    mixed = np.where(np.isneginf(scores), -np.inf, mixed)
    order = np.argsort(-mixed, axis=1, kind="stable")
    return np.take_along_axis(mixed, order, axis=1), order


def ndcg_of_blended(indices, scores, truth, weight, k):
    """Return the NDCG (n_users,) of the blended order with a weight of the ranker.

    The other parameters are those of ``JudgedOrders``.
    """
    if weight == 0:
        return ndcg_at_k(truth, indices, k, per_user=True)
    _, order = reordered(scores, weight)
    ranked = np.take_along_axis(indices, order, axis=1)
    return ndcg_at_k(truth, ranked, k, per_user=True)


class JudgedOrders(NamedTuple):
    """The orders of both stages, for users whose choices the ranker does not know.

    Parameters
    ----------
    indices : int array of shape (n_users, n_candidates)
        Positions of the candidates in retrieval's order, padded with -1.
    scores : array of shape (n_users, n_candidates)
        The scores of a ranker that does not know what is to be found, -inf for padding.
    truth : CSR matrix of shape (n_users, n_items)
        Nonzero for the items that were chosen later.
    k : int
        Number of items that count.
    """

    indices: np.ndarray
    scores: np.ndarray
    truth: sparse.csr_matrix
    k: int

    def ndcg(self, weight):
        """Return the NDCG (n_users,) of the blended order."""
        return ndcg_of_blended(self.indices, self.scores, self.truth, weight, self.k)

    def of_users(self, kept):
        """Return the same of the users that are ``kept``, bool (n_users,)."""
        return self._replace(
            indices=self.indices[kept], scores=self.scores[kept], truth=self.truth[kept]
        )

    def gains(self):
        """Return what each weight of the ranker gains over retrieval, a DataFrame.

        Columns ``weight``, ``ndcg``, ``gain`` and ``standard_error``, the last two over
        users.
        """
        values = {weight: self.ndcg(weight) for weight in (0.0, *WEIGHTS)}
        return _table_of_gains("weight", values)


def _table_of_gains(name, values):
    """Return the mean of values (n_users,), by name, and what each gains, a table.

    The first one is what the others are compared with.
    """
    first = next(iter(values.values()))
    rows = []
    for key, ndcg in values.items():
        gain = ndcg - first
        error = 0.0
        if gain.any():
            error = standard_error(gain)
        rows.append((key, ndcg.mean(), gain.mean(), error))
    return pd.DataFrame(rows, columns=[name, "ndcg", "gain", "standard_error"])


def choose_weight(gains, later=None, earlier=None):
    """Return the weight of the ranker by tables of ``JudgedOrders.gains``.

    A weight is judged by its lower bound: its gain less 1.96 standard errors.
    ``gains``: of other users, whose choices are as late as those that the ranker learnt
    from; the bound must be above 0. With ``later``, the same figures of choices that
    are later, it must be so there as well. With ``earlier``, those of choices that are
    earlier than what the ranker learnt from, there must be a gain. Of the weights that
    fulfil this the one with the highest sum of all bounds is returned; 0 if there is
    none.

    A small weight changes little, and so has a small error. So the weight that is
    chosen falls step by step, and not at once, as the evidence becomes weaker.
    """
    bound = lower_bounds(gains)
    pays = bound > 0
    total = bound
    if later is not None:
        bound = lower_bounds(later)
        pays = pays & (bound > 0)
        total = total + bound
    if earlier is not None:
        pays = pays & (earlier["gain"] > 0)
        total = total + lower_bounds(earlier)
    if not pays.any():
        return 0.0
    return float(gains["weight"][total.where(pays, -np.inf).idxmax()])


def lower_bounds(gains):
    """Return the lower ends of the 95 % intervals of gains, a Series."""
    return gains["gain"] - ERRORS_IN_INTERVAL * gains["standard_error"]


def gains_of_orders(gains, later, earlier=None):
    """Return the NDCG of the orders of both stages and of their blend, a DataFrame.

    The blend of each user has the weight that the other users choose, so that its
    figures promise nothing that the choice has made up.

    Parameters
    ----------
    gains : DataFrame
        As in `choose_weight`.
    later : JudgedOrders
        Whose users count.
    earlier : JudgedOrders, default=None
        Of which the choice depends, too.
    """
    gains_before = None
    if earlier is not None:
        gains_before = earlier.gains()
    ndcg_of_blend = np.empty(len(later.indices))
    parts = np.arange(len(ndcg_of_blend)) % N_PARTS
    for part in range(N_PARTS):
        is_judged = parts == part
        gains_of_others = later.of_users(~is_judged).gains()
        weight = choose_weight(gains, gains_of_others, gains_before)
        ndcg_of_blend[is_judged] = later.of_users(is_judged).ndcg(weight)
    values = {
        "retriever": later.ndcg(0),
        "ranker": later.ndcg(1.0),
        "blend": ndcg_of_blend,
    }
    return _table_of_gains("order", values)
