"""The features of candidates that a ranker learns from.

Input: a ``Log`` and ``CandidatePairs`` of users and candidates, (n_pairs,).
Output: numbers by name, float32 (n_pairs,) each, nan where they are not known.
"""

from typing import NamedTuple

import numpy as np

from sktwotower._tables._sparse import slices

from ._log import StagedPast, entries, unit_rows

# Shares of all events, the latest ones, in which the popularity of items is counted.
RECENT = 0.1
LATEST = 0.02
# How many baskets back a past item counts 1/e, in the mean of a user's past items.
DECAYS = {"last": 0.1, "recent": 5.0, "all": np.inf}
STEPS = {"last": 0.5, "recent": 5.0}
CHOSEN = {"chosen_before": DECAYS["all"], "chosen_lately": DECAYS["recent"]}
# Number of latest items among which the nearest ones to a candidate are searched.
N_LATEST = 30
N_NEAREST = 3
# Pairs, or users, whose vectors are held at once.
PAIR_BLOCK = 1 << 15
USER_BLOCK = 128
TINY_WEIGHT = 1e-3

# What a feature belongs to: the first group with a beginning of its name.
GROUPS = {
    "retrieval": ("rank", "score_gap"),
    "sources": "source_",
    "popularity": "popularity",
    "recent popularity": ("recent_popularity", "latest_popularity", "trend"),
    "age of the item": "item",
    "click rate": ("click_rate", "history_click_rate"),
    "length of the history": "history",
    "chosen before": "chosen",
    "similarity of vectors": "vector",
    "chosen together": "together",
    "nearest past items": "nearest",
    "order of events": "after",
}


class CandidatePairs(NamedTuple):
    """Candidates of n users, one after the other.

    Parameters
    ----------
    rows : int array of shape (n_pairs,)
        Row of the user, ascending.
    items : int array of shape (n_pairs,)
        Position of the item.
    ranks : float array of shape (n_pairs,)
        Rank of the item in the retriever's order, from 1.
    gaps : float array of shape (n_pairs,)
        The retriever's score less that of the user's best candidate, <= 0.
    past : StagedPast
        Past items of the n users.
    sources : array of shape (n_pairs, n_numbers), default=None
        What several sources say of each item, see ``MergedLists``. None: there is one.
    """

    rows: np.ndarray
    items: np.ndarray
    ranks: np.ndarray
    gaps: np.ndarray
    past: StagedPast
    sources: np.ndarray | None = None


def pairs_of(past, scores, indices, sources=None):
    """Return the ``CandidatePairs`` of candidates (n, c) in retrieval's order.

    ``scores``, ``indices``, ``sources``: what is ``Found``.
    """
    is_candidate = indices >= 0
    rows, places = np.nonzero(is_candidate)
    gaps = scores[is_candidate] - scores[rows, 0]
    if sources is not None:
        sources = sources[is_candidate]
    return CandidatePairs(
        rows, indices[is_candidate], places + 1.0, gaps, past, sources
    )


def features_of(log, pairs):
    """Return the features of candidates by name, float32 arrays (n_pairs,)."""
    weights = _Weights(pairs.past.lags)
    features = {"rank": pairs.ranks, "score_gap": pairs.gaps}
    features.update(_popularity(log, pairs, weights))
    if log.clock is not None:
        features.update(_times(log, pairs))
    if log.click_rates is not None:
        features["click_rate"] = log.click_rates[pairs.items]
    for name, vectors in log.vectors.items():
        features.update(_similarities(name, vectors, pairs, weights))
    first_vectors = next(iter(log.vectors.values()))
    features["nearest"] = _nearest(first_vectors, pairs)
    for part, decay in STEPS.items():
        follows = entries(weights[decay], pairs.rows, pairs.items, log.after)
        features[f"after_{part}"] = follows
    return {name: np.asarray(features[name], np.float32) for name in features}


def scales_of(log, pairs):
    """Return mean and standard deviation of features of a retriever's scale, by name.

    These are the difference of scores, and products of the retriever's vectors.
    """
    features = {"score_gap": pairs.gaps}
    vectors = log.vectors.get("vector")
    if vectors is not None:
        weights = _Weights(pairs.past.lags)
        features.update(_similarities("vector", vectors, pairs, weights))
        features["nearest"] = _nearest(vectors, pairs)
    scales = {}
    for name, values in features.items():
        values = np.asarray(values, np.float32)
        values = values[np.isfinite(values)]
        if len(values):
            scales[name] = (values.mean(), values.std() or 1.0)
    return scales


def scaled_names(log):
    """Return the names of the features that ``scales_of`` may have, a set."""
    if "vector" not in log.vectors:
        return {"score_gap"}
    return {"score_gap", "nearest", *(f"vector_{part}" for part in DECAYS)}


def group_of(name):
    """Return the group of a feature that ``features_of`` returns."""
    for group, beginnings in GROUPS.items():
        if name.startswith(beginnings):
            return group
    raise KeyError(name)


def _popularity(log, pairs, weights):
    """Return how often items were chosen, by all and by the user."""
    items = pairs.items
    n_events = np.diff(pairs.past.lags.indptr)
    level = np.log(log.counts + 1)
    sums = weights[DECAYS["all"]] @ level
    mean_level = np.where(n_events > 0, sums / np.maximum(n_events, 1), np.nan)
    features = {
        "popularity": log.counts[items] / log.n_users,
        "popularity_gap": level[items] - mean_level[pairs.rows],
        "history_length": n_events[pairs.rows],
    }
    if log.repeats:
        for name, decay in CHOSEN.items():
            features[name] = entries(weights[decay], pairs.rows, items)
    return features


def _times(log, pairs):
    """Return how popular items are of late, and how old, at the time of the request."""
    clock = log.clock
    items = pairs.items
    rows = pairs.rows
    n_events = len(clock.times)
    now = clock.now(pairs.past.last)
    places = clock.places(now)  # number of all events until now
    features = {}

    # Events of the item: its first, those until now, and its last one
    starts = clock.offsets[items]
    ends = clock.offsets[items + 1]
    until = clock.ends(items, places[rows])
    for name, share in (("latest", LATEST), ("recent", RECENT)):
        width = max(1, int(share * n_events))
        window_starts = np.maximum(places - width, 0)
        before = clock.ends(items, window_starts[rows])
        features[f"{name}_popularity"] = (until - before) / width
    n_recent = until - before
    n_expected = RECENT * (ends - starts)
    features["trend"] = np.log((n_recent + 1) / (n_expected + 1))
    features["popularity_so_far"] = (until - starts) / (places[rows] + 1)

    has_events = ends > starts
    first = clock.own_times[np.minimum(starts, n_events - 1)]
    first = np.where(has_events, first, np.nan)
    latest = clock.own_times[np.maximum(ends - 1, 0)]
    latest = np.where(has_events, latest, np.nan)
    before_now = clock.own_times[np.maximum(until - 1, 0)]
    idle = now[rows] - before_now
    features["item_age"] = now[rows] - first
    features["item_idle"] = np.where(until > starts, idle, np.nan)
    features["item_end"] = latest - now[rows]
    features["history_idle"] = (clock.times[-1] - pairs.past.last)[rows]
    return features


def _similarities(name, vectors, pairs, weights):
    """Return products of unit vectors (n_items, d) of candidates and of past items."""
    similarities = {}
    for part, decay in DECAYS.items():
        profiles = unit_rows(weights[decay] @ vectors)
        values = np.empty(len(pairs.items), np.float32)
        for block in slices(len(values), PAIR_BLOCK):
            of_users = profiles[pairs.rows[block]]
            of_items = vectors[pairs.items[block]]
            values[block] = np.einsum("nd,nd->n", of_users, of_items)
        similarities[f"{name}_{part}"] = values
    return similarities


class _Weights(dict):
    """Weights of past items, CSR (n, n_items), by how fast they decay."""

    def __init__(self, lags):
        super().__init__()
        self.lags = lags

    def __missing__(self, decay):
        weights = self.lags.copy()
        weights.data = np.exp((1 - self.lags.data) / np.float32(decay))
        weights.data[weights.data < TINY_WEIGHT] = 0
        weights.eliminate_zeros()
        self[decay] = weights
        return weights


def _nearest(vectors, pairs):
    """Return the mean similarity (n_pairs,) to the three nearest past items, or nan.

    Only the latest 30 items of a user count.
    """
    lags = pairs.past.lags
    n_users = lags.shape[0]
    places = lags.indptr[1:, None] - 1 - np.arange(N_LATEST)
    is_item = places >= lags.indptr[:-1, None]
    latest = np.zeros(places.shape, dtype=np.int64)
    latest[is_item] = lags.indices[places[is_item]]
    n_nearest = np.minimum(is_item.sum(axis=1), N_NEAREST)[:, None]

    nearest = np.empty(len(pairs.items), np.float32)
    bounds = np.searchsorted(pairs.rows, np.arange(n_users + 1))
    for block in slices(n_users, USER_BLOCK):
        # The candidates of some users, padded to as many each
        part = slice(bounds[block.start], bounds[block.stop])
        users = pairs.rows[part]
        rows = users - block.start
        columns = np.arange(part.start, part.stop) - bounds[users]
        n_candidates = np.diff(bounds[block.start : block.stop + 1])
        shape = (len(n_candidates), n_candidates.max(initial=0))
        candidates = np.zeros(shape, dtype=np.int64)
        candidates[rows, columns] = pairs.items[part]

        products = vectors[candidates] @ vectors[latest[block]].transpose(0, 2, 1)
        is_padding = np.broadcast_to(~is_item[block, None, :], products.shape)
        products[is_padding] = -np.inf
        best = np.partition(products, N_LATEST - N_NEAREST, axis=2)[:, :, -N_NEAREST:]
        sums = np.where(np.isneginf(best), 0, best).sum(axis=2)
        n_best = n_nearest[block]
        means = np.where(n_best > 0, sums / np.maximum(n_best, 1), np.nan)
        nearest[part] = means[rows, columns]
    return nearest
