"""Short fits on a part of the users, and how they are judged by held-out events.

Input: a ``Recipe``, and the ``EventTable`` of ``Events``.
Output: events to learn and events held out; vectors (n, d) after a short fit; the NDCG
(n,) of lists; the choice that is better than the first one beyond noise.
"""

import numpy as np

from sktwotower._tables._event_table import users_of_events
from sktwotower._tables._messages import stage, verbose_inside
from sktwotower.metrics import ndcg_at_k
from sktwotower.metrics._hits import standard_error
from sktwotower.neighbors._top_k import top_k
from sktwotower.towers._auto import resolved
from sktwotower.towers.losses._given_loss import parameters_of
from sktwotower.towers.parts import embed_items, embed_users

from ._events import Events

# A short fit learns from as many users as have this many events, chosen at random.
MAX_EVENTS = 250_000
# With fewer users to judge by, a difference is noise.
MIN_USERS = 500
# Share of the events, the latest ones, that a short fit may be judged on.
HELD_OUT = 0.1
K = 20
SIZE = {
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
}
# What a short fit without a recent history takes longer to learn.
POOLED = {"max_epochs": 20, "dropout": 0.5}
KEPT_NET_PARAMS = "iterator_train__correction", "iterator_train__feature_dropout"


def vectors_of(recipe, events, table, fit, users, pooled=POOLED):
    """Return vectors (m, d) of ``users``, and of all items, after a short fit.

    ``table``: the ``EventTable`` that is learnt of the users and items of ``events``.
    ``fit(recipe, events, rng)`` returns a trained net. ``pooled``: other parameters of
    a short fit without a recent history. It hides and corrects what the long one does,
    and has the loss of the user, if there is one.
    """
    given = recipe.net_params or {}
    kept = {name: given[name] for name in KEPT_NET_PARAMS if name in given}
    size = SIZE if recipe.history.sees_order else SIZE | pooled
    recipe = recipe._replace(**size, net_params=kept | parameters_of(given))
    recipe = recipe._replace(verbose=verbose_inside(recipe.verbose))
    events = Events.of(events.users, events.items, table, recipe.history)
    with stage("short fit"):
        trained = fit(resolved(recipe, events), events, np.random.RandomState(0))
    if trained.interrupted_:  # nothing is learnt yet that could be kept
        raise KeyboardInterrupt
    module = trained.model
    item_rows = events.items.rows[:-1]
    past = None
    if module.sees_past:
        past = events.positives
        if events.ordered is not None:
            past = events.ordered.lags()
        past = past[users]
    user_vectors = embed_users(module, events.users.rows[users], past, item_rows)
    return user_vectors, embed_items(module, item_rows)


def held_out(table, seed, n_events=None):
    """Return the events of some users before those held out, and the latter.

    ``n_events``: how many events the users have together, 250,000 by default. The
    latest tenth is held out or, without an order, a random one.
    """
    if n_events is None:
        n_events = MAX_EVENTS
    table = table.only(users_of_events(np.diff(table.offsets), seed, n_events))
    is_late = are_late(table, np.random.RandomState(seed))
    return table.events_at(~is_late), table.events_at(is_late)


def are_late(table, rng):
    """Return which rows are the latest tenth, or a random one without an order."""
    times = table.times
    if times is None or (times == times[0]).all():
        return rng.uniform(size=table.n_events) < HELD_OUT
    # more than a tenth may have the last time, and almost all the first one
    start = np.quantile(times, 1 - HELD_OUT)
    if start > times.min():
        return times >= start
    return times > start


def to_find(truth, past, known):
    """Return ones for pairs that are not in the past, of items that are ``known``."""
    truth = (truth - truth.multiply(past)).multiply(known).tocsr()
    truth.eliminate_zeros()
    return truth


def ndcg_of_lists(users, items, truth, past, allowed=None):
    """Return the NDCG (n,) of the lists of users, given vectors of both sides.

    ``truth`` and ``past``: CSR (n, n_items), what is to be found and what is left out.
    ``allowed``: positions of the items that lists may hold; None: all.
    """
    _, ranked = top_k(users, items, min(K, len(items)), past, allowed)
    return ndcg_at_k(truth, ranked, K, per_user=True)


def best_of(values):
    """Return the position of the best values (n,), and the mean gain of each.

    It is the first one unless another one is better beyond its standard error.
    """
    gains = [of_choice - values[0] for of_choice in values]
    means = np.nanmean(gains, axis=1)
    best = int(np.argmax(means))
    if not means[best] > standard_error(gains[best]):
        best = 0
    return best, means
