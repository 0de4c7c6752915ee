"""How many candidates each of several first stages brings, and whose order counts.

Input: sources that were fitted on the events before a cut, and the later events.
Output: a ``Mix``, and a table of what each source adds to the candidates.
"""

from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy import sparse

from sktwotower._tables._messages import logger
from sktwotower.metrics import ndcg_at_k
from sktwotower.metrics._hits import ERRORS_IN_INTERVAL, standard_error
from sktwotower.retrieval._fitted_state import fitted_of

from ._labelled import later_users, without_past
from ._log import entries
from ._merged_lists import ListedPairs, Mix, pairs_of_lists, places_in_rows
from ._ranker import MIN_USERS

# Quotas grow in so many steps.
N_STEPS = 10
# Shares of the weights that another source may get.
SHARES = (0.1, 0.25, 0.5)
# Users whose later choices decide.
MAX_USERS = 2000


class JudgedLists(NamedTuple):
    """Lists of all sources, for n users whose later choices are known.

    Parameters
    ----------
    pairs : ListedPairs
        What the sources list.
    hits : float array of shape (n_pairs,)
        One over the number of items that the user chose, for those; otherwise 0.
    truth : CSR matrix of shape (n, n_items)
        Ones for the items that users chose.
    n_candidates : int
    """

    pairs: ListedPairs
    hits: np.ndarray
    truth: sparse.csr_matrix
    n_candidates: int

    def candidates(self, quotas, sources):
        """Return which pairs are candidates, bool (n_pairs,), with some of the sources.

        ``sources``: their positions.
        """
        mix = Mix(np.asarray(quotas)[sources], None, self.n_candidates)
        shortfalls, first = mix.shortfalls(self.pairs.ranks[:, sources])
        order = np.lexsort((first, shortfalls, self.pairs.rows))
        places = places_in_rows(self.pairs.rows[order])
        chosen = np.zeros(len(order), dtype=bool)
        chosen[order] = places < self.n_candidates
        return chosen & np.isfinite(shortfalls)

    def recall(self, quotas, sources):
        """Return the mean share of the items chosen later that are candidates."""
        hits = self.hits[self.candidates(quotas, sources)]
        return hits.sum() / self.truth.shape[0]

    def ndcg(self, mix, k):
        """Return the NDCG (n,) of the candidates in the order of a ``Mix``."""
        all_sources = list(range(len(mix.quotas)))
        chosen = np.flatnonzero(self.candidates(mix.quotas, all_sources))

        # candidates of one user after the other, best first
        scores = mix.scores(self.pairs.ranks[chosen])
        order = np.lexsort((-scores, self.pairs.rows[chosen]))
        ordered = chosen[order]
        rows = self.pairs.rows[ordered]
        items = self.pairs.items[ordered]
        places = places_in_rows(rows)

        is_listed = places < k
        best = np.full((self.truth.shape[0], k), -1, dtype=np.int64)
        best[rows[is_listed], places[is_listed]] = items[is_listed]
        return ndcg_at_k(self.truth, best, k, per_user=True)


def learn_mix(recipe, cut):
    """Return the ``Mix`` that later choices call for, and what sources add, a table.

    None: they are of too few users. ``cut``: a ``Cut`` whose ``first`` is a fitted
    ``MergedRecommender``.
    """
    fitted = fitted_of(cut.first)
    found = later_users(recipe, fitted, cut.later, MAX_USERS)
    if found is None:
        return None
    _, query, past, judged = found
    truth = without_past(recipe, judged.truth, past)
    n_chosen = truth.getnnz(axis=1)
    kept = np.flatnonzero(n_chosen)
    if len(kept) < MIN_USERS:
        return None
    query = query[kept]
    past = past[kept]
    truth = truth[kept]
    excluded = None
    if recipe.exclude_seen:
        excluded = past.seen
    n_candidates = int(recipe.n_candidates)
    lists = fitted.lists(query, past, n_candidates, cut.first._serving(), excluded)
    pairs = pairs_of_lists(lists)
    is_hit = entries(truth, pairs.rows, pairs.items) > 0
    hits = np.where(is_hit, 1 / n_chosen[kept][pairs.rows], 0.0)
    lists = JudgedLists(pairs, hits, truth, n_candidates)

    mix = fitted.mix
    if recipe.quotas is None:
        mix = mix._replace(quotas=_best_quotas(lists, len(fitted.names)))
    mix = _with_best_weights(lists, mix, recipe.n_neighbors)
    report = _report(lists, mix, fitted.names)
    for row in report.itertuples():
        logger.info(
            "fit: the source %s brings %d candidates, weight %.2f; recall %.3f alone, "
            "%.3f is lost without it",
            row.source,
            row.quota,
            row.weight,
            row.recall,
            row.lost_without,
        )
    return mix, report


def _best_quotas(lists, n_sources):
    """Return quotas (n_sources,) with much recall, at least that of the best source.

    They grow step by step, always that which adds most recall for each further
    candidate.
    """
    n_candidates = lists.n_candidates
    step = max(1, n_candidates // N_STEPS)
    ranks = lists.pairs.ranks
    grown = np.zeros(n_sources, dtype=np.int64)
    covered = np.zeros(len(ranks), dtype=bool)
    while grown.sum() + step <= n_candidates:
        gains = np.zeros(n_sources)
        for source in range(n_sources):
            new = (ranks[:, source] <= grown[source] + step) & ~covered
            gains[source] = lists.hits[new].sum() / max(np.count_nonzero(new), 1)
        best = int(gains.argmax())
        grown[best] += step
        covered |= ranks[:, best] <= grown[best]
    candidates = [grown, np.full(n_sources, n_candidates // n_sources)]
    for source in range(n_sources):
        only = np.zeros(n_sources, dtype=np.int64)
        only[source] = n_candidates
        candidates.append(only)
    everyone = [*range(n_sources)]
    recalls = [lists.recall(quotas, everyone) for quotas in candidates]
    return candidates[int(np.argmax(recalls))]


def _with_best_weights(lists, mix, k):
    """Return the ``Mix`` with the weights of the best order.

    It is that of the best source. Others get a share of the weights as long as that
    gains NDCG, beyond noise.
    """
    n_sources = len(mix.quotas)
    alone = np.eye(n_sources)
    figures = [lists.ndcg(mix._replace(weights=each), k) for each in alone]
    best = int(np.argmax([figure.mean() for figure in figures]))
    weights = alone[best]
    ndcg = figures[best]
    for _ in range(n_sources):
        options = []
        for source in range(n_sources):
            for share in SHARES:
                mixed = (1 - share) * weights + share * alone[source]
                gain = lists.ndcg(mix._replace(weights=mixed), k) - ndcg
                bound = 0.0
                if gain.any():
                    bound = gain.mean() - ERRORS_IN_INTERVAL * standard_error(gain)
                options.append((bound, mixed, gain))
        bound, mixed, gain = max(options, key=lambda option: option[0])
        if bound <= 0:
            break
        weights = mixed
        ndcg = ndcg + gain
    return mix._replace(weights=weights)


def _report(lists, mix, names):
    """Return what each source adds to the recall of the candidates, a DataFrame."""
    everyone = [*range(len(names))]
    recall = lists.recall(mix.quotas, everyone)
    alone = []
    added = []
    lost = []
    before = 0.0
    for source in everyone:
        alone.append(lists.recall(mix.quotas, [source]))
        with_it = lists.recall(mix.quotas, everyone[: source + 1])
        added.append(with_it - before)
        before = with_it
        others = [other for other in everyone if other != source]
        lost.append(recall - lists.recall(mix.quotas, others))
    return pd.DataFrame(
        {
            "source": names,
            "quota": mix.quotas,
            "weight": mix.weights,
            "recall": alone,
            "added": added,
            "lost_without": lost,
        }
    )
