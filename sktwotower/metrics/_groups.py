"""Groups of users and items, and the metrics of each group.

Input: a `HeldOutRanking` of users, or requests, with ranked items (n_users, k).
Output: metrics of a group, per user (n_users,) or as a mean.
"""

from contextlib import suppress
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy import sparse

from sktwotower._tables._sparse import column_counts, ones_at
from sktwotower.retrieval._fitted_state import state_of

from ._hits import compared, find_hits, mean_over_users, per_user_values
from ._places import OF_ITEMS, gini, head_of, row_diversity, row_means
from ._ranking import first_rows

# 30 days in nanoseconds: the age of what counts in recent popularity.
WINDOW = 30 * 86_400 * 10**9
# Metrics of what fills the places of each user, and of all of them together.
OF_LISTS = [*OF_ITEMS, "intra_list_diversity"]
OF_ALL_LISTS = ["coverage", "gini"]
# What the report compares user by user, by its name there.
COMPARED = {"recall": "recall", "ndcg": "ndcg", "mrr": "reciprocal_rank"}


class UserGroup(NamedTuple):
    """Users who count, and which of their items are relevant.

    ``truth`` is CSR (n_users, n_items), ``kept`` bool (n_users,); ``with_misses``:
    whether relevant items that are not in the catalog count, as misses.
    """

    name: str
    truth: sparse.csr_matrix
    kept: np.ndarray
    with_misses: bool


def everyone(ranking):
    """Return the group of all users with a relevant item, and of all items."""
    kept = ranking.truth.getnnz(axis=1) + ranking.n_unreachable > 0
    return UserGroup("all", ranking.truth, kept, True)


class GroupRanking:
    """Rankings and truth of a group; all metrics are computed here.

    ``indices`` (n_users, k): another model's ranking of the same users and items. None:
    the indices of `ranking`.
    """

    def __init__(self, ranking, group, indices=None):
        kept = group.kept
        self.truth = group.truth[kept]
        if indices is None:
            indices = ranking.indices
        self.indices = indices[kept]
        self.item_counts = ranking.item_counts
        self.item_vectors = ranking.item_vectors
        self.users = ranking.users[kept]
        self.owners = None
        if ranking.requests is not None:
            self.owners = self.users
        longest = max(self.indices.shape[1], 1)
        self.hits, self.n_relevant = find_hits(self.truth, self.indices, longest)
        self.weight = np.asarray(self.truth.sum(axis=1)).ravel()
        if group.with_misses:
            self.n_relevant = self.n_relevant + ranking.n_unreachable[kept]
            self.weight = self.weight + ranking.unreachable_weight[kept]

    def values(self, metric, k, **params):
        """Return the metric of each user, (n_users,)."""
        if metric == "intra_list_diversity":
            if self.item_vectors is None:
                raise ValueError(
                    f"{metric} needs a vector for each item, which this recommender "
                    "does not have. Pass features of the items as item_vectors, to a "
                    "report, a display or a HeldOutRanking."
                )
            rows, items = self._filled(k)
            return row_diversity(rows, items, self.item_vectors, len(self.indices))
        if metric in OF_ITEMS:
            if not self.item_counts.any():
                raise ValueError(
                    f"{metric} needs users per item, but no item has any. Pass "
                    "item_counts, seen or past to HeldOutRanking, or seen to "
                    "held_out_truth, which then computes them."
                )
            values = OF_ITEMS[metric](self.item_counts, **params)
            rows, items = self._filled(k)
            return row_means(rows, values[items], len(self.indices))

        # what needs relevant items
        hits = self.hits[:, :k]
        if metric != "recall":
            return per_user_values(metric, hits, self.n_relevant, k, **params)
        is_one = (self.truth.data == 1).all()
        if is_one and np.array_equal(self.weight, self.n_relevant):
            return per_user_values(metric, hits, self.n_relevant, k, **params)
        if params.get("truncated"):
            raise ValueError("Truncated recall takes no sample_weight.")

        # each hit counts by the weight of its item
        weights = np.zeros(hits.shape)
        rows, places = np.nonzero(hits)
        items = self.indices[rows, places]
        weights[rows, places] = np.asarray(self.truth[rows, items]).ravel()
        return per_user_values(metric, weights, self.weight, k, **params)

    def mean(self, metric, k, **params):
        """Return the metric over all users, a float."""
        if metric in OF_ALL_LISTS:
            counts = np.bincount(self._filled(k)[1])
            n_items = len(self.item_counts)
            if metric == "gini":
                return gini(counts, n_items)
            return np.count_nonzero(counts) / n_items
        return mean_over_users(self.values(metric, k, **params))

    def _filled(self, k):
        """Return the user and the item of each filled place, (n_entries,) each."""
        rows, places = np.nonzero(self.indices[:, :k] >= 0)
        return rows, self.indices[rows, places]

    def row(self, ks, first):
        """Return the report's figures, a dict of column to number.

        Differences are from the ranking `first`, of the same users.
        """
        row = {}
        for k in ks:
            for short, metric in COMPARED.items():
                values = self.values(metric, k)
                values_of_first = first.values(metric, k)
                name = f"{short}@{k}"
                row |= compared(name, values, values_of_first, self.owners)
            for metric in ("hit_rate", "precision", *OF_ALL_LISTS, *OF_LISTS):
                row[f"{metric}@{k}"] = np.nan  # without counts, vectors or more places
                with suppress(ValueError):
                    row[f"{metric}@{k}"] = self.mean(metric, k)
            # places of items without events: their share, and which share is hits
            items = self.indices[:, :k]
            cold = (items >= 0) & (self.item_counts[items] == 0)
            row[f"cold_share@{k}"] = cold.sum() / max(np.count_nonzero(items >= 0), 1)
            if not self.item_counts.any():  # all items are, or counts are not known
                row[f"cold_share@{k}"] = np.nan
            row[f"cold_precision@{k}"] = np.nan
            if row[f"cold_share@{k}"] > 0:
                row[f"cold_precision@{k}"] = self.hits[:, :k][cold].mean()
        sizes = {"users": len(self.hits)}
        if self.owners is not None:
            sizes = {"users": len(pd.unique(self.users)), "requests": len(self.hits)}
        return row | sizes | {"events": int(self.n_relevant.sum())}


def groups_of(ranking):
    """Yield each group of users and items that is not empty; the first holds all."""
    whole = everyone(ranking)
    yield whole
    item_counts = ranking.item_counts
    user_counts = ranking.user_counts
    head = head_of(item_counts, 0.5)
    of_users = user_counts[whole.kept][first_rows(ranking.users[whole.kept])]
    few = user_counts <= np.median(of_users)
    truth = ranking.truth
    had = sparse.csr_matrix(truth.shape)
    new = had
    if may_repeat(ranking):
        had = truth.multiply(ranking.past.astype(bool)).tocsr()
        new = (truth - had).tocsr()
    for name, part, users, with_misses in [
        ("known items", truth, ranking.n_unreachable.any(), False),
        ("head items", truth.multiply(head), True, False),
        ("tail items", truth.multiply(~head), True, False),
        ("had before", had, True, False),
        ("new to the user", new, True, False),
        ("few events", truth, few, True),
        ("many events", truth, ~few, True),
        ("cold items", truth.multiply(item_counts == 0), True, False),
        ("cold users", truth, user_counts == 0, True),
    ]:
        part = sparse.csr_matrix(part)
        part.eliminate_zeros()
        n_relevant = part.getnnz(axis=1)
        if with_misses:
            n_relevant = n_relevant + ranking.n_unreachable
        kept = (n_relevant > 0) & users
        if kept.any():
            yield UserGroup(name, part, kept, with_misses)


def may_repeat(ranking):
    """Return whether lists may hold what users had, and some of it is to be found.

    Lists that leave out what users had leave out nothing if all of that is to be found,
    as in a report on the events of fit. Then nothing is new to users, either.
    """
    if ranking.seen.nnz:
        return False
    n_had = ranking.truth.multiply(ranking.past.astype(bool)).nnz
    return 0 < n_had < ranking.truth.nnz


def popular_items(ranking, k, recent=0):
    """Return the k most popular unseen items of each user, as `first_unseen` does.

    ``recent`` (n_items,): their users of late, which count first.
    """
    counts = np.asarray(ranking.item_counts)
    order = np.lexsort((-counts, -np.broadcast_to(recent, counts.shape)))
    return first_unseen(order, ranking.seen, k)


def recent_users(estimator):
    """Return the number of users (n_items,) who chose each item in the last 30 days.

    None if the estimator does not keep the dates of events, or has no earlier ones.
    """
    fitted = state_of(estimator)
    if fitted is None or fitted.sequences is None or not fitted.schema.dates:
        return None
    in_order = fitted.sequences
    if not len(in_order.times):
        return None
    recent = in_order.times.max() - in_order.times < WINDOW
    chosen = in_order.lags.tocoo()
    users = chosen.row[recent]
    items = chosen.col[recent]
    if recent.all():
        return None
    return column_counts(ones_at(users, items, chosen.shape))[: fitted.n_items]


def first_unseen(order, seen, k):
    """Return the first k unseen items of each user, int (n_users, k), padded with -1.

    ``order`` (n_items,): positions of the items, best first. ``seen``: CSR (n_users,
    n_items).

    Never looks at users times items: the j-th unseen item of a user has popularity rank
    j + the number of the user's seen items that have at most j unseen ones before them.
    """
    n_users, n_items = seen.shape
    rank_of = np.empty(n_items, dtype=np.int64)
    rank_of[order] = np.arange(n_items)
    rows, items = seen.nonzero()
    keys = np.sort(rows.astype(np.int64) * n_items + rank_of[items])
    starts = np.searchsorted(keys, np.arange(n_users) * n_items)
    rows = keys // n_items
    unseen_before = keys % n_items - (np.arange(len(keys)) - starts[rows])
    # + 1: as many as n_items unseen ones may be asked for
    width = max(n_items, k) + 1
    wanted = np.arange(n_users)[:, None] * width + np.arange(k)
    passed = np.searchsorted(rows * width + unseen_before, wanted, side="right")
    ranks = np.arange(k) + passed - starts[:, None]
    return np.where(ranks < n_items, order[np.minimum(ranks, n_items - 1)], -1)
