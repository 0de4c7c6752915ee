"""Short fits on a part of the users, which decide whether older events should age.

Input: a ``Recipe``, and ``Events`` in the order of time.
Output: the NDCG of each judged user (n,), for a half-life.
"""

import numpy as np

from sktwotower._tables._event_table import users_of_events
from sktwotower.metrics import ndcg_at_k
from sktwotower.neighbors._top_k import top_k
from sktwotower.towers import _net as net
from sktwotower.towers._sequence_batches import SequenceSet
from sktwotower.towers.parts import embed_items, embed_users, main_kind

from ._events import aged

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
KEPT_NET_PARAMS = "iterator_train__correction", "iterator_train__feature_dropout"


def pilot(recipe, events, seed):
    """Return a function of a half-life that returns the NDCG (n,) of each user.

    It is that of a short fit on a part of the users, judged on the latest tenth of the
    events. None: too few users can be judged.
    """
    users = some_users(np.diff(events.ordered.offsets), seed)
    user_rows, item_rows = events.users.rows[users], events.items.rows[:-1]
    table = events.ordered._replace(impressions=None).of_users(users)
    before, truth = latest_tenth(table)
    truth = _to_find(before, truth)
    judged = np.flatnonzero(np.diff(truth.indptr))
    if len(judged) < MIN_USERS:
        return None
    # the weight may be "auto"; three epochs find the same difference
    recipe = shortened(recipe, impression_weight=0.0, max_epochs=1)

    def ndcg(half_life):
        events = aged(before, half_life)
        data = SequenceSet(user_rows, item_rows, events, recipe.max_history)
        with net.seeded(seed, recipe.device):
            n_user, n_item = user_rows.shape[1], item_rows.shape[1]
            part = main_kind(recipe).build(recipe, n_user, n_item)
            trained = net.train(recipe, part, net.TrainingData(data), seed)
        if trained.interrupted_:  # nothing is learnt yet that could be kept
            raise KeyboardInterrupt
        items = embed_items(trained.module_, item_rows)
        past = events.lags()[judged]
        users = embed_users(trained.module_, user_rows[judged], past, item_rows)
        seen = before.chosen_pairs()[judged]
        _, found = top_k(users, items, min(K, len(items)), seen)
        return ndcg_at_k(truth[judged], found, K, per_user=True)

    return ndcg


def shortened(recipe, **changes):
    """Return the recipe of a short fit. It hides and corrects what the long one does.

    ``changes``: parameters with other values.
    """
    given = recipe.net_params or {}
    kept = {name: given[name] for name in KEPT_NET_PARAMS if name in given}
    return recipe._replace(**SIZE | {"net_params": kept} | changes)


def latest_tenth(table):
    """Return the events before the latest tenth, and ones for the pairs of that."""
    early = table.times < np.quantile(table.times, 1 - HELD_OUT)
    return table.events_at(early), table.events_at(~early).chosen_pairs()


def _to_find(before, truth):
    """Return ones for pairs that are new to a user, of items with events before."""
    past = before.chosen_pairs()
    truth = (truth - truth.multiply(past)).tocsr()
    truth = truth.multiply(np.asarray(past.getnnz(axis=0)) > 0).tocsr()
    truth.eliminate_zeros()
    return truth


def some_users(sizes, seed):
    """Return the sorted positions of random users with 250,000 events together.

    ``sizes`` (n_users,): number of events of each.
    """
    return users_of_events(sizes, seed, MAX_EVENTS)
