"""How the lists of several first stages become one list of candidates.

Input: positions (n, depth) of the best items of n users, of each source.
Output: ``MergedLists``: one list for each user, without repeats, and what the sources
say of each item.
"""

from typing import NamedTuple

import numpy as np

from sktwotower._tables._sparse import slices

# The constant of reciprocal rank fusion.
FUSION = 60.0
# So much of all weights is divided equally: it orders what weights leave tied.
EQUAL = 1e-3
# Users whose lists are merged together.
MERGED_USERS = 1024


class Mix(NamedTuple):
    """How many candidates each source brings, and how much its order counts.

    Parameters
    ----------
    quotas : int array of shape (n_sources,)
        How many of its best items are candidates.
    weights : float array of shape (n_sources,)
        Weight of its rank in the order of the candidates; their sum is 1.
    n_candidates : int
        Number of candidates, at least the sum of the quotas.
    """

    quotas: np.ndarray
    weights: np.ndarray
    n_candidates: int

    @property
    def absent(self):
        """The rank of candidates that are not in the list of a source."""
        return self.n_candidates + 1.0

    def shortfalls(self, ranks):
        """Return by how much all quotas must grow for an item to be a candidate.

        ``ranks`` (n, n_sources): inf where a source does not list the item. The second
        value is the source that lists it first, (n,).
        """
        gaps = ranks - self.quotas
        sources = gaps.argmin(axis=1)
        return gaps[np.arange(len(gaps)), sources], sources

    def scores(self, ranks):
        """Return the scores (n,) of candidates by their ranks (n, n_sources)."""
        ranks = np.where(ranks > self.n_candidates, self.absent, ranks)
        n_sources = len(self.weights)
        weights = (1 - EQUAL) * self.weights + EQUAL / n_sources
        return ((FUSION + 1) / (FUSION + ranks)) @ weights

    def scores_of_others(self, shortfalls):
        """Return the scores (n,) of items that are no candidates, below all of them."""
        lowest = (FUSION + 1) / (FUSION + self.absent)
        return lowest / (1 + shortfalls + self.quotas.max())


class MergedLists(NamedTuple):
    """Lists of n users, made of those of several sources.

    Parameters
    ----------
    scores : float32 array of shape (n, k)
        Descending, -inf where a list is shorter.
    indices : int64 array of shape (n, k)
        Positions of the items, -1 where a list is shorter.
    sources : float32 array of shape (n, k, 1 + 2 n_sources)
        The source that brought each item, its rank in each source (one more than the
        number of candidates: not listed), and the gap of its score in each, from 0 for
        the best item of the list to -1 for the last one; nan: not listed.
    """

    scores: np.ndarray
    indices: np.ndarray
    sources: np.ndarray


def merged(lists, mix, k):
    """Return the ``MergedLists`` of n users, with k items each.

    Parameters
    ----------
    lists : list of pairs of arrays of shape (n, depth)
        Scores and positions of the best items of each source, best first, padded with
        -1. The depth is at least ``k`` and ``mix.n_candidates``.
    mix : Mix
    k : int
    """
    n_users = len(lists[0][1])
    n_numbers = 1 + 2 * len(lists)
    scores = np.full((n_users, k), -np.inf, np.float32)
    indices = np.full((n_users, k), -1, np.int64)
    sources = np.full((n_users, k, n_numbers), np.nan, np.float32)
    for block in slices(n_users, MERGED_USERS):
        part = [(some[block], items[block]) for some, items in lists]
        pairs = pairs_of_lists(part)
        rows, places, order, scores_of_pairs = _in_order(pairs, mix)
        kept = places < k
        rows = rows[kept] + block.start
        places = places[kept]
        order = order[kept]
        scores[rows, places] = scores_of_pairs[kept]
        indices[rows, places] = pairs.items[order]
        sources[rows, places] = numbers_of(
            mix, pairs.ranks[order], pairs.gaps(part, mix)[order]
        )
    return MergedLists(scores, indices, sources)


class ListedPairs(NamedTuple):
    """The distinct pairs of a user and an item of several lists, user by user.

    Parameters
    ----------
    rows, items : int arrays of shape (n_pairs,)
        Position of the user, ascending, and of the item.
    ranks : float array of shape (n_pairs, n_sources)
        The rank in each list, from 1; inf: not listed.
    scores : float array of shape (n_pairs, n_sources)
        The score in each list, nan: not listed.
    """

    rows: np.ndarray
    items: np.ndarray
    ranks: np.ndarray
    scores: np.ndarray

    def gaps(self, lists, mix):
        """Return the gap of each score to the best one of its list; see `MergedLists`.

        Only the first ``mix.n_candidates`` of each of the ``lists`` count.
        """
        gaps = np.full(self.ranks.shape, np.nan)
        for place, (scores, items) in enumerate(lists):
            best, width = spans(scores, items, mix.n_candidates)
            gaps[:, place] = (self.scores[:, place] - best[self.rows]) / width[
                self.rows
            ]
        gaps[self.ranks > mix.n_candidates] = np.nan
        return gaps


def spans(scores, items, n_candidates):
    """Return the best score (n,) of lists, and how far the last one is from it.

    ``scores``, ``items`` (n, depth): padded with -1. Of equal scores it is 1.
    """
    scores = scores[:, :n_candidates].astype(float)
    n_listed = np.count_nonzero(items[:, :n_candidates] >= 0, axis=1)
    rows = np.arange(len(scores))
    best = np.where(n_listed > 0, scores[:, 0], 0.0)
    last = np.where(n_listed > 0, scores[rows, np.maximum(n_listed - 1, 0)], 0.0)
    width = best - last
    return best, np.where(width > 0, width, 1.0)


def pairs_of_lists(lists):
    """Return the ``ListedPairs`` of lists, as in ``merged``."""
    n_items = 1 + max(int(items.max(initial=0)) for _, items in lists)
    keys = []
    ranks = []
    scores = []
    places = []
    for place, (of_list, items) in enumerate(lists):
        rows, columns = np.nonzero(items >= 0)
        keys.append(rows * n_items + items[rows, columns])
        ranks.append(columns + 1.0)
        scores.append(of_list[rows, columns])
        places.append(np.full(len(rows), place))
    distinct, pairs = np.unique(np.concatenate(keys), return_inverse=True)
    shape = (len(distinct), len(lists))
    places = np.concatenate(places)
    ranks_of_pairs = np.full(shape, np.inf)
    ranks_of_pairs[pairs, places] = np.concatenate(ranks)
    scores_of_pairs = np.full(shape, np.nan)
    scores_of_pairs[pairs, places] = np.concatenate(scores)
    return ListedPairs(
        distinct // n_items, distinct % n_items, ranks_of_pairs, scores_of_pairs
    )


def _in_order(pairs, mix):
    """Return pairs in the order of lists: rows, places in them, pairs, and scores."""
    shortfalls, sources = mix.shortfalls(pairs.ranks)
    order = np.lexsort((sources, shortfalls, pairs.rows))
    is_candidate = np.zeros(len(order), dtype=bool)
    is_candidate[order] = places_in_rows(pairs.rows[order]) < mix.n_candidates
    scores = np.where(
        is_candidate, mix.scores(pairs.ranks), mix.scores_of_others(shortfalls)
    )
    # candidates by their scores; the others as quotas grow
    order = order[np.lexsort((-scores[order], pairs.rows[order]))]
    rows = pairs.rows[order]
    return rows, places_in_rows(rows), order, scores[order]


def places_in_rows(rows):
    """Return the place (n,) of each entry within its row; ``rows`` ascend."""
    starts = np.searchsorted(rows, rows)
    return np.arange(len(rows)) - starts


def numbers_of(mix, ranks, gaps):
    """Return what sources say of pairs (n, 1 + 2 n_sources), see ``MergedLists``."""
    _, sources = mix.shortfalls(ranks)
    ranks = np.where(ranks > mix.n_candidates, mix.absent, ranks)
    return np.column_stack([sources, ranks, gaps]).astype(np.float32)


def features_of_sources(names, numbers):
    """Return the features of candidates by name, float32 (n_pairs,) each.

    ``names``: those of the sources. ``numbers``: as in ``MergedLists``.
    """
    features = {}
    n_sources = len(names)
    for place, name in enumerate(names):
        features[f"source__{name}"] = (numbers[:, 0] == place).astype(np.float32)
        features[f"source_rank__{name}"] = numbers[:, 1 + place]
        features[f"source_gap__{name}"] = numbers[:, 1 + n_sources + place]
    return features
