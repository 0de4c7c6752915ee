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


class Pilot:
    """A short fit on a part of the users, judged on events that are held out.

    Parameters
    ----------
    recipe : Recipe
    rows : pair of CSR matrices
        Feature rows of users and items.
    before : EventTable
        The events to fit on, in order.
    truth : CSR matrix of shape (n_users, n_items)
        The items to find.
    seed : int
    """

    def __init__(self, recipe, rows, before, truth, seed):
        self.recipe, self.rows, self.before = recipe, rows, before
        self.users = np.flatnonzero(np.diff(truth.indptr))
        self.truth, self.seed = truth[self.users], seed

    @classmethod
    def of(cls, recipe, events, seed):
        """Return a pilot on a part of the users, or None if too few can be judged.

        It is judged on the latest tenth of the events.
        """
        users = some_users(np.diff(events.ordered.offsets), seed)
        rows = events.users.rows[users], events.items.rows[:-1]
        table = events.ordered._replace(impressions=None).of_users(users)
        before, truth = latest_tenth(table)
        truth = _to_find(before, truth)
        if (np.diff(truth.indptr) > 0).sum() < MIN_USERS:
            return None
        # the weight may be "auto"; three epochs find the same difference
        recipe = shortened(recipe, impression_weight=0.0, max_epochs=1)
        return cls(recipe, rows, before, truth, seed)

    def __call__(self, half_life=None):
        """Return the NDCG (n,) of each user, for a half-life."""
        recipe, (user_rows, item_rows) = self.recipe, self.rows
        events = aged(self.before, half_life)
        data = SequenceSet(user_rows, item_rows, events, recipe.max_history)
        with net.seeded(self.seed, recipe.device):
            n_user, n_item = user_rows.shape[1], item_rows.shape[1]
            part = main_kind(recipe).build(recipe, n_user, n_item)
            trained = net.train(recipe, part, net.TrainingData(data), self.seed)
        if trained.interrupted_:  # nothing is learnt yet that could be kept
            raise KeyboardInterrupt
        past, user_rows = events.lags()[self.users], user_rows[self.users]
        items = embed_items(trained.module_, item_rows)
        users = embed_users(trained.module_, user_rows, past, item_rows)
        seen = self.before.chosen_pairs()[self.users]
        _, found = top_k(users, items, min(K, len(items)), seen)
        return ndcg_at_k(self.truth, found, K, per_user=True)


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


def some_users(sizes, seed, n_events=None):
    """Return the sorted positions of random users with ``n_events`` together.

    ``sizes`` (n_users,): number of events of each. ``n_events`` None: 250,000.
    """
    n_events = MAX_EVENTS if n_events is None else n_events
    return users_of_events(sizes, seed, n_events)
