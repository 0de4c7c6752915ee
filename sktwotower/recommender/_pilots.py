"""What old events and cold items weigh, judged in short fits on a part of the users.

Input: a ``Recipe``, and ``Events``.
Output: the NDCG of each judged user (n,), for half-lives; one of the weights 1 to 0.3
of items that nobody has chosen.
"""

import numpy as np

from sktwotower._tables._event_table import users_of_events
from sktwotower._tables._sparse import column_counts
from sktwotower.towers import _net as net
from sktwotower.towers._sequence_batches import SequenceSet
from sktwotower.towers.parts import embed_items, embed_users, log_ratios, main_kind

from ._events import aged, only_new_targets
from ._short_fit import (
    HELD_OUT,
    MAX_EVENTS,
    MIN_USERS,
    best_of,
    held_out,
    module_of,
    ndcg_of_lists,
    shortened,
    to_find,
    vectors_of,
)

# Weights of cold items: the highest one is used that has as much of the best gain.
COLD_WEIGHTS = 1.0, 0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3
ENOUGH = 0.9
# What few cold items take, or a small gain, is worth no risk: they may be new ones.
MIN_COLD_SHARE = 0.05
MIN_COLD_GAIN = 0.02


def pilot(recipe, events, seed, of_popularity):
    """Return a function of a half-life, or None if too few users can be judged.

    It returns a list of arrays (n,), the NDCG of each user on the latest tenth of the
    events. The first one is that of a short fit on a part of the users; the others are
    the same with recent popularity, for each of its half-lives ``of_popularity``.
    """
    users = users_of_events(np.diff(events.ordered.offsets), seed, MAX_EVENTS)
    user_rows, item_rows = events.users.rows[users], events.items.rows[:-1]
    table = events.ordered._replace(impressions=None).of_users(users)
    before, truth = latest_tenth(table)
    if recipe.exclude_seen:
        before = only_new_targets(before)
    past = before.chosen_pairs()
    truth = to_find(truth, past, column_counts(past) > 0)
    judged = np.flatnonzero(np.diff(truth.indptr))
    if len(judged) < MIN_USERS:
        return None
    truth, past = truth[judged], past[judged]
    # the weight may be "auto"; three epochs find the same difference, and where baskets
    # are large the usual dropout finds more of it
    more = {"max_epochs": 1, "dropout": recipe.dropout}
    recipe = shortened(recipe, impression_weight=0.0, **more)

    def ndcg(half_life):
        events = aged(before, half_life)
        data = SequenceSet(user_rows, item_rows, events, recipe.max_history)
        with net.seeded(seed, recipe.device):
            n_user, n_item = user_rows.shape[1], item_rows.shape[1]
            part = main_kind(recipe).build(recipe, n_user, n_item)
            data = net.TrainingData(data)
            module = module_of(net.train(recipe, part, data, seed))
        items, lags = embed_items(module, item_rows), events.lags()[judged]
        users = embed_users(module, user_rows[judged], lags, item_rows)
        users, scores = _with_column(users, 1.0), [np.zeros(len(items))]
        for each in of_popularity:
            ages = each, half_life or np.inf
            ratios = log_ratios(events.items, events.times, len(items), *ages)
            scores.append(recipe.temperature * ratios)
        raised = (_with_column(items, each) for each in scores)
        return [ndcg_of_lists(users, each, truth, past) for each in raised]

    return ndcg


def _with_column(vectors, column):
    """Return vectors (n, d + 1) whose last numbers are a column (n,), or a number."""
    return np.insert(vectors, vectors.shape[1], column, axis=1)


def latest_tenth(table):
    """Return the events before the latest tenth, and ones for the pairs of that."""
    early = table.times < np.quantile(table.times, 1 - HELD_OUT)
    return table.events_at(early), table.events_at(~early).chosen_pairs()


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
    past, truth = before.chosen_pairs(), later.chosen_pairs()
    warm = column_counts(past) > 0
    cold = ~warm & (column_counts(truth) >= counts)
    truth = to_find(truth, past, warm | cold)
    judged = np.flatnonzero((np.diff(truth.indptr) > 0) & (np.diff(past.indptr) > 0))
    if len(judged) < MIN_USERS:
        return 1.0
    users, items = vectors_of(recipe, events, before, fit, judged)
    truth, past, allowed = truth[judged], past[judged], np.flatnonzero(warm | cold)

    def ndcg(weight):
        factors = np.where(cold, weight, 1).astype(items.dtype)
        return ndcg_of_lists(users, items * factors[:, None], truth, past, allowed)

    values = [ndcg(weight) for weight in COLD_WEIGHTS]
    best, means = best_of(values)
    if means[best] < MIN_COLD_GAIN * values[0].mean():
        return 1.0
    return COLD_WEIGHTS[np.argmax(means >= ENOUGH * means[best])]
