"""Short fits on a part of the users: what old events, impressions, cold items weigh.

Input: a ``Recipe``, and ``Events``.
Output: the NDCG of each judged user (n,), for half-lives; one of the weights 0, 5 and
20 of impressions; one of the weights 1 to 0.3 of items that nobody has chosen.
"""

import numpy as np

from sktwotower._tables._event_table import users_of_events
from sktwotower._tables._sparse import column_counts
from sktwotower.metrics import ndcg_at_k
from sktwotower.metrics._hits import standard_error
from sktwotower.metrics._ranked_lists import RankedLists
from sktwotower.neighbors._top_k import top_k
from sktwotower.towers import _net as net
from sktwotower.towers._auto import resolved
from sktwotower.towers._given_loss import parameters_of
from sktwotower.towers._sequence_batches import SequenceSet
from sktwotower.towers.parts import embed_items, embed_users, log_ratios, main_kind

from ._events import Events, aged, only_new_targets

# A pilot is fitted on as many users as have this many events, chosen at random.
MAX_EVENTS = 250_000
# With fewer users to judge by, a difference is noise.
MIN_USERS = 500
# Share of the events, the latest ones, that a pilot may be judged on.
HELD_OUT = 0.1
K = 20
SIZE = {
    "history": "recent",
    "embedding_dim": 64,
    "max_epochs": 3,
    "dropout": 0.2,
    "candidate_sampling": "mixed",
    "max_history": 100,
    "hidden_layer_sizes": (),
    "user_tower": None,
    "item_tower": None,
    "callbacks": None,
    "early_stopping": False,
    "verbose": 0,
}
# Weights of impressions: the first one is used unless another one is better beyond its
# standard error.
WEIGHTS = 0.0, 5.0, 20.0
# Weights of cold items: the highest one is used that has as much of the best gain.
COLD_WEIGHTS = 1.0, 0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3
ENOUGH = 0.9
# What few cold items take, or a small gain, is worth no risk: they may be new ones.
MIN_COLD_SHARE = 0.05
MIN_COLD_GAIN = 0.02
# What a short fit without a recent history takes longer to learn.
POOLED = {"max_epochs": 20, "dropout": 0.5}
KEPT_NET_PARAMS = "iterator_train__correction", "iterator_train__feature_dropout"


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
    truth = _to_find(truth, past, column_counts(past) > 0)
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
            module = _module_of(net.train(recipe, part, data, seed))
        items, lags = embed_items(module, item_rows), events.lags()[judged]
        users = embed_users(module, user_rows[judged], lags, item_rows)
        users, scores = _with_column(users, 1.0), [np.zeros(len(items))]
        for each in of_popularity:
            ages = each, half_life or np.inf
            ratios = log_ratios(events.items, events.times, len(items), *ages)
            scores.append(recipe.temperature * ratios)
        raised = (_with_column(items, each) for each in scores)
        return [_ndcg(users, each, truth, past) for each in raised]

    return ndcg


def _module_of(trained):
    """Return the module of a net after a short fit; pass on an interruption."""
    if trained.interrupted_:  # nothing is learnt yet that could be kept
        raise KeyboardInterrupt
    return trained.module_


def _with_column(vectors, column):
    """Return vectors (n, d + 1) whose last numbers are a column (n,), or a number."""
    return np.insert(vectors, vectors.shape[1], column, axis=1)


def _ndcg(users, items, truth, past, allowed=None):
    """Return the NDCG (n,) of the lists of users, given vectors of both sides.

    ``truth`` and ``past``: CSR (n, n_items), what is to be found and what is left out.
    ``allowed``: positions of the items that lists may hold; None: all.
    """
    _, found = top_k(users, items, min(K, len(items)), past, allowed)
    return ndcg_at_k(truth, found, K, per_user=True)


def shortened(recipe, **changes):
    """Return the recipe of a short fit. It hides and corrects what the long one does.

    It also has the loss of the user, if there is one.

    ``changes``: parameters with other values.
    """
    given = recipe.net_params or {}
    kept = {name: given[name] for name in KEPT_NET_PARAMS if name in given}
    kept |= parameters_of(given)
    return recipe._replace(**SIZE | {"net_params": kept} | changes)


def latest_tenth(table):
    """Return the events before the latest tenth, and ones for the pairs of that."""
    early = table.times < np.quantile(table.times, 1 - HELD_OUT)
    return table.events_at(early), table.events_at(~early).chosen_pairs()


def _to_find(truth, past, known):
    """Return ones for pairs that are not in the past, of items that are ``known``."""
    truth = (truth - truth.multiply(past)).multiply(known).tocsr()
    truth.eliminate_zeros()
    return truth


def impression_weight(recipe, events, table, fit, seed):
    """Return the weight of impressions that orders held-out shown items best.

    ``table``: the ``EventTable`` of ``events``, of which random users are taken who
    have 250,000 rows together. ``fit(recipe, events, rng)`` returns a trained net. The
    latest tenth of the rows is held out or, without times, a random tenth. A weight is
    judged by the area under the ROC curve among what each user was shown, in a short
    fit. The result is 0 if too few users can be judged.
    """
    if table.chosen is None:
        return 0.0
    before, shown = _held_out(table, seed)
    chosen = np.diff(before.chosen_events().offsets) > 0
    shown = shown.events_at(np.isin(shown.items, before.items) & chosen[shown.users])
    lists = RankedLists(shown.chosen, np.zeros(shown.n_events), shown.users)
    if shown.n_events == 0 or lists.has_both().sum() < MIN_USERS:
        return 0.0
    recipes = [recipe._replace(impression_weight=weight) for weight in WEIGHTS]
    values = [_values(recipe, events, before, shown, fit) for recipe in recipes]
    return WEIGHTS[best_of(values)[0]]


def cold_item_weight(recipe, events, table, fit, counts):
    """Return the factor of vectors of cold items that ranks held-out events best.

    ``counts`` (n_items,): how many users chose each item; ``table`` and ``fit``: as of
    `impression_weight`, with the same rows held out. Cold are items whose events are
    all held out, and those without any: they compete with the others in a short fit.
    The result is 1 unless the NDCG is better beyond its standard error and by 2 %, or
    if too few users can be judged.
    """
    before, later = _held_out(table, seed=0)
    past, truth = before.chosen_pairs(), later.chosen_pairs()
    warm = column_counts(past) > 0
    cold = ~warm & (column_counts(truth) >= counts)
    truth = _to_find(truth, past, warm | cold)
    judged = np.flatnonzero((np.diff(truth.indptr) > 0) & (np.diff(past.indptr) > 0))
    if len(judged) < MIN_USERS:
        return 1.0
    users, items = _vectors(recipe, events, before, fit, judged)
    truth, past, allowed = truth[judged], past[judged], np.flatnonzero(warm | cold)

    def ndcg(weight):
        factors = np.where(cold, weight, 1).astype(items.dtype)
        return _ndcg(users, items * factors[:, None], truth, past, allowed)

    values = [ndcg(weight) for weight in COLD_WEIGHTS]
    best, means = best_of(values)
    if means[best] < MIN_COLD_GAIN * values[0].mean():
        return 1.0
    return COLD_WEIGHTS[np.argmax(means >= ENOUGH * means[best])]


def best_of(values):
    """Return the position of the best values (n,), and the mean gain of each.

    It is the first one unless another one is better beyond its standard error.
    """
    gains = [each - values[0] for each in values]
    means = np.nanmean(gains, axis=1)
    best = int(np.argmax(means))
    return (best if means[best] > standard_error(gains[best]) else 0), means


def _held_out(table, seed):
    """Return the events of some users before those held out, and the latter."""
    table = table.only(users_of_events(np.diff(table.offsets), seed, MAX_EVENTS))
    late = _are_late(table, np.random.RandomState(seed))
    return table.events_at(~late), table.events_at(late)


def _are_late(table, rng):
    """Return which rows are the latest tenth, or a random one without an order."""
    times = table.times
    if times is not None and (times != times[0]).any():
        start = np.quantile(times, 1 - HELD_OUT)
        # more than a tenth may have the last time, and almost all the first one
        return times >= start if start > times.min() else times > start
    return rng.uniform(size=table.n_events) < HELD_OUT


def _values(recipe, events, before, shown, fit):
    """Return the area under the ROC curve (n_users,) of what each user was shown."""
    users, user_of = np.unique(shown.users, return_inverse=True)
    users, items = _vectors(recipe, events, before, fit, users)
    users, items = users[user_of], items[shown.items]
    scores = np.einsum("nd,nd->n", users, items, dtype=np.float64)
    return RankedLists(shown.chosen, scores, shown.users).values("roc_auc")


def _vectors(recipe, events, table, fit, users):
    """Return vectors (m, d) of ``users``, and of all items, after a short fit.

    ``table``: the ``EventTable`` that is learnt of the users and items of ``events``.
    """
    kept = {name: getattr(recipe, name) for name in ("history", "impression_start")}
    length = {} if recipe.history == "recent" else POOLED
    recipe = shortened(recipe, **length, **kept)
    events = Events.of(events.users, events.items, table, recipe.history)
    module = _module_of(fit(resolved(recipe, events), events, np.random.RandomState(0)))
    item_rows, past = events.items.rows[:-1], None
    if module.past is not None:
        in_order = events.ordered
        past = (events.positives if in_order is None else in_order.lags())[users]
    user_vectors = embed_users(module, events.users.rows[users], past, item_rows)
    return user_vectors, embed_items(module, item_rows)
