"""What items that nobody has chosen weigh, judged in a short fit on some users.

Input: a ``Recipe``, and ``Events``.
Output: one of the weights 1 to 0.3.
"""

import numpy as np

from sktwotower._tables._sparse import column_counts

from ._short_fit import MIN_USERS, best_of, held_out, ndcg_of_lists, to_find, vectors_of

# Weights of cold items: the highest one is used that has as much of the best gain.
COLD_WEIGHTS = 1.0, 0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3
ENOUGH = 0.9
# What few cold items take, or a small gain, is worth no risk: they may be new ones.
MIN_COLD_SHARE = 0.05
MIN_COLD_GAIN = 0.02


def cold_item_weight(recipe, events, table, fit, counts):
    """Return the factor of vectors of cold items that ranks held-out events best.

    ``counts`` (n_items,): how many users chose each item. ``table``: the
    ``EventTable`` of ``events``. ``fit(recipe, events, rng)`` returns a trained net.
    Cold are items whose events are all held out, and those without any: they compete
    with the others in a short fit.
    The result is 1 unless the NDCG is better beyond its standard error and by 2 %, or
    if too few users can be judged.
    """
    before, later = held_out(table, seed=0)
    past = before.chosen_pairs()
    truth = later.chosen_pairs()
    warm = column_counts(past) > 0
    cold = ~warm & (column_counts(truth) >= counts)
    truth = to_find(truth, past, warm | cold)
    judged = np.flatnonzero((np.diff(truth.indptr) > 0) & (np.diff(past.indptr) > 0))
    if len(judged) < MIN_USERS:
        return 1.0
    users, items = vectors_of(recipe, events, before, fit, judged)
    truth = truth[judged]
    past = past[judged]
    allowed = np.flatnonzero(warm | cold)

    def ndcg(weight):
        factors = np.where(cold, weight, 1).astype(items.dtype)
        return ndcg_of_lists(users, items * factors[:, None], truth, past, allowed)

    values = [ndcg(weight) for weight in COLD_WEIGHTS]
    best, means = best_of(values)
    if means[best] < MIN_COLD_GAIN * values[0].mean():
        return 1.0
    return COLD_WEIGHTS[np.argmax(means >= ENOUGH * means[best])]
