"""How far the ranker's order is blended with retrieval's.

Input: the ranker's scores (n_users, n_candidates), in retrieval's order.
Output: blended scores of the same shape, and the weight that validation chooses.
"""

import numpy as np
import pandas as pd

from sktwotower.metrics import ndcg_at_k
from sktwotower.metrics._hits import ERRORS_IN_INTERVAL, standard_error

WEIGHTS = 0.25, 0.5, 0.75, 1.0


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
    rows, last = np.arange(len(values)), max(ordered.shape[1] - 1, 0)
    above = ordered[rows, np.clip(n_above - 1, 0, last)].astype(float)
    below = ordered[rows, np.clip(n_above, 0, last)].astype(float)
    with np.errstate(invalid="ignore", divide="ignore"):
        between = n_above + (above - values) / (above - below)
        before = 1 / (1 + values - below)
        after = n_above + 1 - 1 / (1 + above - values)
    ranks = np.where(n_above == 0, before, between)
    ranks = np.where((n_above > 0) & (n_above == n_others), after, ranks)
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
    second = ranks_by(scores)
    first = np.arange(1.0, scores.shape[1] + 1)
    mixed = np.where(np.isneginf(scores), -np.inf, blended(first, second, weight))
    order = np.argsort(-mixed, axis=1, kind="stable")
    return np.take_along_axis(mixed, order, axis=1), order


def ndcg_of_blended(indices, scores, truth, weight, k):
    """Return the NDCG (n_users,) of the blended order with a weight of the ranker.

    The other parameters are those of ``gains_by_weight``.
    """
    _, order = reordered(scores, weight)
    ranked = np.take_along_axis(indices, order, axis=1)
    return ndcg_at_k(truth, ranked, k, per_user=True)


def gains_by_weight(indices, scores, truth, k):
    """Return what each weight of the ranker gains over retrieval, a DataFrame.

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

    Returns
    -------
    DataFrame
        Columns ``weight``, ``ndcg``, ``gain`` and ``standard_error``, the last two over
        users.
    """
    alone = ndcg_at_k(truth, indices, k, per_user=True)
    rows = [(0.0, alone.mean(), 0.0, 0.0)]
    for weight in WEIGHTS:
        values = ndcg_of_blended(indices, scores, truth, weight, k)
        gain = values - alone
        rows.append((weight, values.mean(), gain.mean(), standard_error(gain)))
    return pd.DataFrame(rows, columns=["weight", "ndcg", "gain", "standard_error"])


def choose_weight(gains, later=None):
    """Return the weight of the ranker by what ``gains_by_weight`` returned.

    It is the one with the highest gain, if its 95 % interval is above 0, otherwise 0.
    With ``later``, the same figures in a later time, a weight must gain there as
    well; of those that do, the one with the highest lower bound there is returned: its
    gain less the standard error.
    """
    pays = gains["gain"] > ERRORS_IN_INTERVAL * gains["standard_error"]
    best = gains["gain"]
    if later is not None:
        pays &= later["gain"] > 0
        best = (later["gain"] - later["standard_error"]).where(pays, -np.inf)
    place = best.idxmax()
    return float(gains["weight"][place]) if pays[place] else 0.0
