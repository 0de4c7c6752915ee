"""Enters: the ranking of held-out events and its truth (n_users, n_items).

Leaves: groups of users and items, and each metric of a group, per user and as a mean.
Next: _scorers.py and _report.py, one figure and all of them.
"""

import numpy as np

from ._hits import (
    find_hits,
    mean_over_users,
    novelty_by_user,
    per_user_values,
    self_information,
    standard_error,
)

# What the report compares user by user, by its name there.
COMPARED = {"recall": "recall", "ndcg": "ndcg", "mrr": "reciprocal_rank"}


class Table:
    """Rankings of some users beside their truth; all metrics come from here."""

    def __init__(self, ranking, truth, rows, indices, lost=0):
        self.truth = truth[rows]
        self.indices = np.asarray(indices)[rows]
        self.item_counts = np.asarray(ranking.item_counts)
        self.hits, self.n_relevant = find_hits(
            self.truth, self.indices, max(self.indices.shape[1], 1)
        )
        # Relevant items that are not in the catalog: misses of any ranking.
        self.n_relevant = self.n_relevant + np.broadcast_to(lost, rows.shape)[rows]

    def values(self, metric, k, **params):
        """Return the metric of each user, (n_users,)."""
        if metric == "novelty":
            rows, items = self._filled(k)
            information = self_information(self.item_counts, **params)
            return novelty_by_user(rows, information[items], len(self.indices))
        hits = np.zeros((len(self.hits), k), dtype=bool)
        width = min(k, self.hits.shape[1])
        hits[:, :width] = self.hits[:, :width]
        return per_user_values(metric, hits, self.n_relevant, **params)

    def mean(self, metric, k, **params):
        """Return the metric over all users, a float."""
        if metric == "coverage":
            return len(np.unique(self._filled(k)[1])) / len(self.item_counts)
        return mean_over_users(self.values(metric, k, **params))

    def _filled(self, k):
        """Return the user and the item of each filled place, (n_entries,) each."""
        rows, places = np.nonzero(self.indices[:, :k] >= 0)
        return rows, self.indices[rows, places]

    def row(self, ks, first):
        """Return the report's figures, a dict of column to number.

        Differences are those from the table `first`, of the same users.
        """
        row = {}
        for k in ks:
            for short, metric in COMPARED.items():
                values = self.values(metric, k)
                less = values - first.values(metric, k)
                name = f"{short}@{k}"
                row[name] = mean_over_users(values)
                row[f"{name} se"] = standard_error(values)
                row[f"{name} diff"] = mean_over_users(less)
                row[f"{name} diff se"] = standard_error(less)
            for metric in ("hit_rate", "coverage"):
                row[f"{metric}@{k}"] = self.mean(metric, k)
            # All items of a catalog may be new: how rare they are is not known then.
            counted = self.item_counts.any()
            row[f"novelty@{k}"] = self.mean("novelty", k) if counted else np.nan
        return row | {"users": len(self.hits), "events": int(self.n_relevant.sum())}


def groups_of(ranking):
    """Yield (name, truth, users that count, misses) of each group with anybody in it.

    Misses, (n_users,) or 0, are relevant items that are not in the catalog.
    """
    truth, lost = ranking.truth, ranking.n_unreachable
    item_counts = np.asarray(ranking.item_counts)
    user_counts = np.asarray(ranking.user_counts)
    head = _head(item_counts)
    counted = np.diff(truth.indptr) + lost > 0
    few = user_counts <= np.median(user_counts[counted])
    everyone, everything = np.ones_like(few), np.ones_like(head)
    known = [("known items", everything, everyone, 0)] if lost.any() else []
    for name, items, users, misses in [
        ("all", everything, everyone, lost),
        *known,
        ("head items", head, everyone, 0),
        ("tail items", ~head, everyone, 0),
        ("few events", everything, few, lost),
        ("many events", everything, ~few, lost),
        ("cold items", item_counts == 0, everyone, 0),
        ("cold users", everything, user_counts == 0, lost),
    ]:
        part = truth.multiply(items.astype(truth.dtype)).tocsr()
        part.eliminate_zeros()
        kept = (np.diff(part.indptr) + misses > 0) & users
        if kept.any():
            yield name, part, kept, misses


def _head(counts):
    """Return which items, the fewest, hold half of the events, bool (n_items,)."""
    order = np.argsort(-counts, kind="stable")
    before = np.cumsum(counts[order]) - counts[order]
    head = np.empty(len(counts), dtype=bool)
    head[order] = before < counts.sum() / 2
    return head


def popular_items(ranking, k):
    """Return the k most popular unseen items of each user, int (n_users, k), padded -1.

    Never looks at users times items: the j-th unseen item of a user has popularity rank
    j + the number of the user's seen items that have at most j unseen ones before them.
    """
    order = np.argsort(-np.asarray(ranking.item_counts), kind="stable")
    n_items, n_users = len(order), ranking.seen.shape[0]
    rank_of = np.empty(n_items, dtype=np.int64)
    rank_of[order] = np.arange(n_items)
    rows, items = ranking.seen.nonzero()
    keys = np.unique(rows.astype(np.int64) * n_items + rank_of[items])
    starts = np.searchsorted(keys, np.arange(n_users) * n_items)
    rows = keys // n_items
    unseen_before = keys % n_items - (np.arange(len(keys)) - starts[rows])
    # + 1: as many as n_items unseen ones may be asked for
    width = max(n_items, k) + 1
    wanted = np.arange(n_users)[:, None] * width + np.arange(k)
    passed = np.searchsorted(rows * width + unseen_before, wanted, side="right")
    ranks = np.arange(k) + passed - starts[:, None]
    return np.where(ranks < n_items, order[np.minimum(ranks, n_items - 1)], -1)
