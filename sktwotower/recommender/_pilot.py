"""Short fits on a part of the users, which choose what the order of events supports.

Input: ``Events`` in the order of time, and a ``Recipe`` with values "auto".
Output: the weight of the pooled objective and the half-life of events.
"""

import datetime
from numbers import Real

import numpy as np
import pandas as pd

from sktwotower._tables._sparse import pair_matrix
from sktwotower.metrics import ndcg_at_k
from sktwotower.metrics._hits import standard_error
from sktwotower.neighbors._top_k import top_k
from sktwotower.towers import _net as net
from sktwotower.towers._build import build_module
from sktwotower.towers._sequences import SequenceSet
from sktwotower.towers._vectors import embed_items, embed_users

from ._fitted import Choice
from ._order import hold_out_latest, ordered

__all__ = ["aged", "choose", "popularity_half_life"]

# A pilot is a fit of this size.
MAX_USERS = 1500
SIZE = {
    "embedding_dim": 64,
    "max_epochs": 4,
    "candidate_sampling": "mixed",
    "n_negatives": 512,
    "max_history": 100,
    "hidden_layer_sizes": (),
    "user_tower": None,
    "item_tower": None,
    "callbacks": None,
    "net_params": None,
    "early_stopping": False,
    "verbose": 0,
}
# With fewer users to judge by, the differences are noise.
MIN_USERS = 100
# Share of the events, the latest ones, that pilots are judged on.
HELD_OUT = 0.1
K = 20
POOLED_WEIGHT = 1.0
# Half-lives of popularity to compare, in shares of the time from first to last event.
SHARES = 2.0 ** -np.arange(1, 9)
# The half-life of a model, relative to that of popularity: vectors need more events.
MODEL_HALF_LIFE = 4.0


def aged(events, half_life):
    """Return ``Ordered`` events whose weights halve with each half-life of age."""
    if half_life is None:
        return events
    times = events.sequences.times.astype(float)
    weights = events.order.weights * 0.5 ** ((times.max() - times) / half_life)
    # Only proportions count; none may vanish.
    weights = np.maximum(weights, np.finfo(np.float32).tiny).astype(np.float32)
    weights[events.order.weights == 0] = 0
    return events._replace(order=events.order._replace(weights=weights))


def choose(recipe, events, dates, seed):
    """Return ``Events`` with weights by age, and the ``Choice`` that was made.

    Pilots choose where the recipe says "auto". ``dates``: whether times are dates;
    numbers give only the order of a user's events.
    """
    weight, half_life = recipe.pooled_weight, _in_units(recipe.half_life, dates)
    weights = [0.0, POOLED_WEIGHT] if weight == "auto" else [weight]
    half_lives = [None if half_life == "auto" else half_life]
    if half_life == "auto" and dates:
        half_lives += {popularity_half_life(events.ordered)} - {None}
    choice = Choice(weights[0], half_lives[0])
    if len(weights) > 1 or len(half_lives) > 1:
        choice = _best(recipe, events, weights, half_lives, seed)
    events = events._replace(ordered=aged(events.ordered, choice.half_life))
    if dates and choice.half_life is not None:
        choice = choice._replace(half_life=pd.Timedelta(choice.half_life, "ns"))
    return events, choice


def _in_units(half_life, dates):
    """Return a half-life in units of the times, "auto" or None."""
    if half_life is None or isinstance(half_life, str) and half_life == "auto":
        return half_life
    is_duration = isinstance(half_life, (datetime.timedelta, np.timedelta64))
    is_number = isinstance(half_life, Real) and not isinstance(half_life, bool)
    if not (is_duration if dates else is_number):
        expected = "a Timedelta, as times are dates" if dates else "a number"
        raise TypeError(
            f"half_life must be {expected}, 'auto' or None. Got {half_life!r}."
        )
    value = float(pd.Timedelta(half_life).value) if dates else float(half_life)
    if not 0 < value < np.inf:
        raise ValueError(f"half_life must be > 0 and finite. Got {half_life!r}.")
    return value


def _best(recipe, events, weights, half_lives, seed):
    """Return the best ``Choice``: first of the weight, then of the half-life.

    The weight is judged by each user's last basket, the half-life by the latest events
    of all.
    """
    best = Choice(weights[0], half_lives[0])
    options = [best._replace(pooled_weight=weight) for weight in weights]
    best = _better(recipe, events, hold_out_latest_items, options, seed)
    options = [best._replace(half_life=half_life) for half_life in half_lives]
    return _better(recipe, events, hold_out_by_time, options, seed)


def _better(recipe, events, hold_out, choices, seed):
    """Return the second choice if it is better beyond the error, else the first."""
    if len(choices) == 1:
        return choices[0]
    judge = _Judge.of(recipe, events, hold_out, seed)
    if judge is None:
        return choices[0]
    first, second = (judge(choice) for choice in choices)
    gain = second - first
    return choices[int(gain.mean() > standard_error(gain))]


def popularity_half_life(events):
    r"""Return the half-life at which past popularity predicts the latest events best.

    Returns
    -------
    float or None
        In units of the times; None if events that do not age predict as well.

    Notes
    -----
    Item i has the probability :math:`(\sum 2^{-a / h} + 0.1 m) / z`, where the sum is
    over its events with age a before the latest tenth, h is the half-life, m the mean
    of these sums over items, and z makes probabilities add up to one. The half-life
    with the highest likelihood of the latest tenth is multiplied by four.
    """
    order = np.argsort(events.sequences.times, kind="stable")
    times = events.sequences.times[order].astype(float)
    items = events.order.items[order]
    cut = int((1 - HELD_OUT) * len(items))
    span, n_items = times[-1] - times[0], events.sequences.lags.shape[1]
    if cut < 1 or not span > 0:
        return None
    age = times[cut] - times[:cut]

    def likelihood(half_life):
        sums = np.bincount(items[:cut], 0.5 ** (age / half_life), minlength=n_items)
        chances = (sums + 0.1 * sums.mean()) / (1.1 * sums.sum())
        return np.log(chances[items[cut:]]).mean()

    half_lives = np.append(np.inf, span * SHARES)
    best = half_lives[np.argmax([likelihood(h) for h in half_lives])]
    best *= MODEL_HALF_LIFE
    return float(best) if best < 2 * span else None


class _Judge:
    """Trains a pilot and returns the NDCG of each user on the latest events."""

    def __init__(self, recipe, rows, before, truth, seed):
        self.recipe, self.rows, self.before = recipe, rows, before
        self.seed = seed
        users = np.flatnonzero(np.diff(truth.indptr))
        self.users, self.truth = users, truth[users]

    @classmethod
    def of(cls, recipe, events, hold_out, seed):
        """Return a judge on a part of the users, or None if there are too few."""
        n_users = events.positives.shape[0]
        users = np.arange(n_users)
        if n_users > MAX_USERS:
            rng = np.random.default_rng(seed)
            users = np.sort(rng.choice(n_users, MAX_USERS, replace=False))
        rows = events.users.rows[users], events.items.rows[:-1]
        part = _part(events.ordered, users)
        before, truth = _cut(part, hold_out)
        if before is None or (np.diff(truth.indptr) > 0).sum() < MIN_USERS:
            return None
        recipe = recipe._replace(
            **SIZE, temperature=recipe.temperature, pooled_weight=0.0
        )
        return cls(recipe, rows, before, truth, seed)

    def __call__(self, choice):
        """Return the NDCG (n,) of the users after a pilot with a ``Choice``."""
        order = aged(self.before, choice.half_life).order
        recipe = self.recipe._replace(pooled_weight=choice.pooled_weight)
        data = SequenceSet(*self.rows, order, recipe.max_history, choice.pooled_weight)
        with net.seeded(self.seed, recipe.device):
            shapes = (rows.shape[1] for rows in self.rows)
            module = build_module(recipe, *shapes)
            trained = net.train(recipe, module, net.TrainingData(data), self.seed)
        past = self.before.sequences.lags[self.users]
        items = embed_items(trained.module_, self.rows[1])
        user_rows = self.rows[0][self.users]
        users = embed_users(trained.module_, user_rows, past, self.rows[1])
        _, found = top_k(users, items, min(K, len(items)), past)
        return ndcg_at_k(self.truth, found, K, per_user=True)


def _part(events, users):
    """Return the events of users at sorted positions (n,), as ``Ordered``."""
    rows, items, times = events.sequences.events(users)
    places = np.isin(events.sequences.events()[0], users)
    weights = events.order.weights[places]
    shape = len(users), events.sequences.lags.shape[1]
    return ordered(rows, items, times, weights, shape)


def _cut(events, hold_out):
    """Return the events before those held out, and CSR (n_users, n_items) of these.

    Items that a user had before, and items without events before, do not count.
    """
    before, truth = hold_out(events)
    if truth is None:
        return None, None
    past = _ones(before)
    truth = truth.sign() - truth.sign().multiply(past)
    known = np.asarray(past.getnnz(axis=0)) > 0
    truth = truth.multiply(known[None]).tocsr()
    truth.eliminate_zeros()
    return before, truth


def hold_out_latest_items(events):
    """Return the events before each user's last basket, and these baskets."""
    before, _, truth = hold_out_latest(events)
    return before, truth


def hold_out_by_time(events):
    """Return the events before the latest tenth, and that tenth."""
    owners, items, times = events.sequences.events()
    kept = times < np.quantile(times, 1 - HELD_OUT)
    lags = events.sequences.lags
    shape = lags.shape[0] - 1, lags.shape[1]
    parts = (owners[kept], items[kept], times[kept], events.order.weights[kept])
    late = ~kept
    return ordered(*parts, shape), pair_matrix(
        owners[late], items[late], np.ones(late.sum()), shape
    )


def _ones(events):
    """Return ones (n_users, n_items) where users have events."""
    owners, items, _ = events.sequences.events()
    lags = events.sequences.lags
    shape = lags.shape[0] - 1, lags.shape[1]
    return pair_matrix(owners, items, np.ones(len(owners)), shape).sign()
