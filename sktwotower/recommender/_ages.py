"""Weights of events by age, and the half-life that suits the data.

Input: ``Events`` in the order of time, and a ``Recipe``.
Output: the same events with weights by age, and the half-life.
"""

import datetime
from numbers import Real

import numpy as np
import pandas as pd

from sktwotower._tables._sparse import pair_matrix
from sktwotower.metrics import ndcg_at_k
from sktwotower.neighbors._top_k import top_k
from sktwotower.towers import _net as net
from sktwotower.towers._build import build_module
from sktwotower.towers._sequences import SequenceSet
from sktwotower.towers._vectors import embed_items, embed_users

from ._order import ordered

__all__ = ["aged", "check_half_life", "popularity_half_life", "with_ages"]

# A pilot is a fit of this size.
MAX_USERS = 2000
SIZE = {
    "embedding_dim": 64,
    "max_epochs": 3,
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
# With fewer users to judge by, a difference is noise.
MIN_USERS = 100
# Share of the events, the latest ones, that a pilot is judged on.
HELD_OUT = 0.1
K = 20
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


def with_ages(recipe, events, dates, seed):
    """Return ``Events`` with weights by age, and the half-life that was used.

    ``recipe.half_life`` may be "auto": see `TwoTowerRecommender`. ``dates``: whether
    times are dates; numbers give only the order of a user's events.
    """
    half_life = _in_units(recipe.half_life, dates)
    if half_life == "auto":
        half_life = _chosen(recipe, events, seed) if dates else None
    events = events._replace(ordered=aged(events.ordered, half_life))
    if dates and half_life is not None:
        half_life = pd.Timedelta(half_life, "ns")
    return events, half_life


def check_half_life(half_life):
    """Raise unless it is a duration or a number > 0, "auto" or None."""
    if not _is_chosen(half_life):
        return
    if not (_is_duration(half_life) or _is_number(half_life)):
        raise TypeError(
            "half_life must be a Timedelta, a number, 'auto' or None. Got "
            f"{half_life!r}."
        )
    duration = _is_duration(half_life)
    value = _nanoseconds(half_life) if duration else float(half_life)
    if not 0 < value < np.inf:
        raise ValueError(f"half_life must be > 0 and finite. Got {half_life!r}.")


def _is_chosen(half_life):
    is_auto = isinstance(half_life, str) and half_life == "auto"
    return half_life is not None and not is_auto


def _is_duration(half_life):
    return isinstance(half_life, (datetime.timedelta, np.timedelta64))


def _is_number(half_life):
    return isinstance(half_life, Real) and not isinstance(half_life, bool)


def _in_units(half_life, dates):
    """Return a half-life in units of the times, "auto" or None."""
    if not _is_chosen(half_life):
        return half_life
    if not (_is_duration if dates else _is_number)(half_life):
        expected = "a Timedelta, as times are dates" if dates else "a number"
        raise TypeError(
            f"half_life must be {expected}, 'auto' or None. Got {half_life!r}."
        )
    return _nanoseconds(half_life) if dates else float(half_life)


def _nanoseconds(half_life):
    """Return a duration as a float, below 2 ** 63."""
    try:
        value = float(pd.Timedelta(half_life).as_unit("ns").value)
        pd.Timedelta(value, "ns")  # rounded up it may be too long
    except (ValueError, OverflowError) as error:
        raise ValueError(
            f"half_life must be a duration of at most 292 years, in weeks or smaller "
            f"units. Got {half_life!r}."
        ) from error
    return value


def _chosen(recipe, events, seed):
    """Return the half-life of popularity if a short fit is better with it, else None.

    Better means: a higher NDCG on the latest tenth of events.
    """
    half_life = popularity_half_life(events.ordered)
    pilot = None
    if half_life is not None:
        pilot = _Pilot.of(recipe, events, seed)
    if pilot is None:
        return None
    gain = pilot(half_life) - pilot(None)
    return half_life if gain.mean() > 0 else None


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


class _Pilot:
    """A short fit on a part of the users, judged on the latest tenth of their events.

    Parameters
    ----------
    recipe : Recipe
    rows : pair of CSR matrices
        Feature rows of users and items.
    before : Ordered
        The events to fit on.
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
        """Return a pilot on at most 2,000 users, or None if too few can be judged."""
        n_users = events.positives.shape[0]
        users = np.arange(n_users)
        if n_users > MAX_USERS:
            rng = np.random.default_rng(seed)
            users = np.sort(rng.choice(n_users, MAX_USERS, replace=False))
        rows = events.users.rows[users], events.items.rows[:-1]
        before, truth = _cut(_part(events.ordered, users))
        if (np.diff(truth.indptr) > 0).sum() < MIN_USERS:
            return None
        return cls(recipe._replace(**SIZE), rows, before, truth, seed)

    def __call__(self, half_life):
        """Return the NDCG (n,) of each user after a fit with a half-life."""
        recipe, (user_rows, item_rows) = self.recipe, self.rows
        order = aged(self.before, half_life).order
        data = SequenceSet(user_rows, item_rows, order, recipe.max_history)
        with net.seeded(self.seed, recipe.device):
            module = build_module(recipe, user_rows.shape[1], item_rows.shape[1])
            module = net.train(
                recipe, module, net.TrainingData(data), self.seed
            ).module_
        past = self.before.sequences.lags[self.users]
        items = embed_items(module, item_rows)
        users = embed_users(module, user_rows[self.users], past, item_rows)
        _, found = top_k(users, items, min(K, len(items)), past)
        return ndcg_at_k(self.truth, found, K, per_user=True)


def _part(events, users):
    """Return the events of users at sorted positions (n,), as ``Ordered``."""
    rows, items, times = events.sequences.events(users)
    places = np.isin(events.sequences.events()[0], users)
    weights = events.order.weights[places]
    shape = len(users), events.sequences.lags.shape[1]
    return ordered(rows, items, times, weights, shape)


def _cut(events):
    """Return the events before the latest tenth, and CSR (n_users, n_items) of it.

    Items that a user had before, and items without events before, do not count.
    """
    owners, items, times = events.sequences.events()
    kept = times < np.quantile(times, 1 - HELD_OUT)
    lags = events.sequences.lags
    shape = lags.shape[0] - 1, lags.shape[1]
    parts = owners[kept], items[kept], times[kept], events.order.weights[kept]
    before, late = ordered(*parts, shape), ~kept
    past = before.sequences.pairs()
    truth = pair_matrix(owners[late], items[late], np.ones(late.sum()), shape).sign()
    truth = (truth - truth.multiply(past)).tocsr()
    truth = truth.multiply(np.asarray(past.getnnz(axis=0)) > 0).tocsr()
    truth.eliminate_zeros()
    return before, truth
