"""What short fits choose: weights of impressions and cold items, the scale of rewards.

Input: a ``Recipe``, and the ``EventTable`` of ``Events``.
Output: one of the weights 0, 5 and 20 of impressions; one of the scales of rewards; one
of the weights 1 to 0.3 of items that nobody has chosen.
"""

from typing import NamedTuple

import numpy as np
from scipy import sparse

from sktwotower._tables._reward_scale import SCALES, has_heavy_tail
from sktwotower._tables._sparse import column_counts
from sktwotower.metrics._ranked_lists import RankedLists

from ._short_fit import MIN_USERS, best_of, held_out, ndcg_of_lists, to_find, vectors_of

# Weights of impressions: the first one is used unless another one is better beyond its
# standard error.
WEIGHTS = 0.0, 5.0, 20.0
# What orders shown lists better on all data that were measured, if nothing is known.
USUAL_WEIGHT = 5.0
# For lists of the whole catalog fewer events are enough: impressions seldom help there,
# and what they are worth is not paid for with more than a tenth of a long fit.
CATALOG_EVENTS = 100_000
CATALOG_FIT = {"max_epochs": 6, "dropout": 0.5, "candidate_sampling": "auto"}
# A small gain is worth no risk: a model without impressions has a linear filter.
MIN_GAIN = 0.02
# Scales of rewards: the first one is used unless another one is better beyond noise.
REWARD_SCALES = None, *SCALES
# Weights of cold items: the highest one is used that has as much of the best gain.
COLD_WEIGHTS = 1.0, 0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3
ENOUGH = 0.9
# What few cold items take, or a small gain, is worth no risk: they may be new ones.
MIN_COLD_SHARE = 0.05
MIN_COLD_GAIN = 0.02


def impression_weight(recipe, events, table, fit, seed):
    """Return the weight of impressions that is best for what they are to improve.

    Parameters
    ----------
    recipe : Recipe
        Its ``impression_weight`` says what a weight is judged by in a short fit. For
        "auto" it is the NDCG of held-out choices in the whole catalog, and 0 is kept
        unless the NDCG rises by 2 % and beyond the standard error. For "shown" it is
        the area under the ROC curve among what each user was shown.
    events : Events
        Their users and items.
    table : EventTable
        That of ``events``. The latest tenth of the rows of random users is held out or,
        without times, a random tenth.
    fit : callable
        ``fit(recipe, events, rng)`` returns a trained net.
    seed : int
        Draws users, and rows without times.

    Returns
    -------
    float
        If too few users can be judged it is 0 for "auto", and 5 for "shown".
    """
    if table.chosen is None:
        return 0.0
    if recipe.impression_weight == "shown":
        return _for_shown_lists(recipe, events, table, fit, seed)
    return _for_catalog(recipe, events, table, fit, seed)


def reward_scale(recipe, events, table, fit, seed):
    """Return the scale of rewards that ranks held-out choices best, or None.

    Parameters are those of `impression_weight`; ``table`` has rewards. None: as they
    are, unless the NDCG of another scale is higher beyond its standard error. If too
    few users can be judged, a heavy tail is made a logarithm.
    """
    if table.rewards is None:
        return None
    before, later = held_out(table, seed)
    lists = CatalogLists.of(recipe, before.rescaled(None), later.rescaled(None))
    if lists is None:
        return "log1p" if has_heavy_tail(table.rewards) else None
    recipe = recipe._replace(impression_weight=0.0)
    values = []
    for scale in REWARD_SCALES:
        values.append(lists.ndcg(recipe, events, before.rescaled(scale), fit))
    return REWARD_SCALES[best_of(values)[0]]


def _for_shown_lists(recipe, events, table, fit, seed):
    """Return the weight that orders held-out shown items best."""
    before, shown = held_out(table, seed)
    chosen = np.diff(before.chosen_events().offsets) > 0
    shown = shown.events_at(np.isin(shown.items, before.items) & chosen[shown.users])
    lists = RankedLists(shown.chosen, np.zeros(shown.n_events), shown.users)
    if shown.n_events == 0 or lists.has_both().sum() < MIN_USERS:
        return USUAL_WEIGHT
    distinct, user_of = np.unique(shown.users, return_inverse=True)
    values = []
    for weight in WEIGHTS:
        weighed = recipe._replace(impression_weight=weight)
        users, items = vectors_of(weighed, events, before, fit, distinct)
        scores = np.einsum(
            "nd,nd->n", users[user_of], items[shown.items], dtype=np.float64
        )
        lists = RankedLists(shown.chosen, scores, shown.users)
        values.append(lists.values("roc_auc"))
    return WEIGHTS[best_of(values)[0]]


def _for_catalog(recipe, events, table, fit, seed):
    """Return the weight that ranks held-out choices best in the whole catalog."""
    before, later = held_out(table, seed, CATALOG_EVENTS)
    lists = CatalogLists.of(recipe, before, later)
    if lists is None:
        return 0.0
    values = []
    for weight in WEIGHTS:
        weighed = recipe._replace(impression_weight=weight)
        values.append(lists.ndcg(weighed, events, before, fit))
        best, means = best_of(values)
        pays = best > 0 and means[best] >= MIN_GAIN * values[0].mean()
        # they cost what the first weight costs: no higher one is tried
        if len(values) > 1 and not pays:
            return 0.0
    return WEIGHTS[best]


class CatalogLists(NamedTuple):
    """Users whose held-out choices are to be found in the whole catalog.

    Parameters
    ----------
    users : int array of shape (n,)
        Their positions.
    truth : CSR matrix of shape (n, n_items)
        Ones for held-out choices.
    left_out : CSR matrix of shape (n, n_items)
        Nonzero where lists do not hold an item.
    """

    users: np.ndarray
    truth: sparse.csr_matrix
    left_out: sparse.csr_matrix

    @classmethod
    def of(cls, recipe, before, later):
        """Return the lists of events before, and those held out: ``EventTable`` each.

        None if too few users can be judged. Rows with y = 0 are neither to be found nor
        left out. What a user has chosen before is left out if ``exclude_seen``. A
        choice counts once, with any weight above 0.
        """
        past = before.chosen_pairs()
        known = column_counts(past) > 0
        left_out = past
        if not recipe.exclude_seen:
            left_out = sparse.csr_matrix(past.shape)
        truth = to_find(later.chosen_pairs(), left_out, known)
        can_be = (np.diff(truth.indptr) > 0) & (np.diff(past.indptr) > 0)
        users = np.flatnonzero(can_be)
        if len(users) < MIN_USERS:
            return None
        return cls(users, truth[users], left_out[users])

    def ndcg(self, recipe, events, before, fit):
        """Return the NDCG (n,) after a short fit; parameters as of `vectors_of`."""
        judged = self.users, CATALOG_FIT
        users, items = vectors_of(recipe, events, before, fit, *judged)
        return ndcg_of_lists(users, items, self.truth, self.left_out)


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
