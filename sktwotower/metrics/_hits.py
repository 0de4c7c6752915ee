"""Hits of ranked ids, and the formulas of all metrics.

Input: relevant ids per user (n_users lists or CSR) and ranked ids (n_users, >= k).
Output: hits, bool (n_users, <= k), number of relevant ids (n_users,), and each metric
per user (n_users,).
"""

from datetime import date
from itertools import chain, islice
from numbers import Real

import numpy as np
import pandas as pd
from scipy import sparse

from sktwotower._tables._messages import check_count

from ._ranked_lists import column_of_numbers

# Standard errors on either side of a mean in a 95 % interval.
ERRORS_IN_INTERVAL = 1.96


def find_hits(y_true, y_pred, k):
    """Return hits, bool (n_users, <= k), and n_relevant, int (n_users,).

    The number of columns is at most the length of the longest ranking.
    """
    rows, places, ids, n_ranked = flatten(y_pred, "y_pred", check_count(k, "k"))
    if sparse.issparse(y_true):
        true_rows, true_codes = y_true.nonzero()
        true_rows = true_rows.astype(np.int64)
        true_codes = true_codes.astype(np.int64)
        n_users, n_codes = y_true.shape
        codes = check_positions(ids, n_codes, "y_true")
    else:
        true_rows, _, true_ids, n_users = flatten(y_true, "y_true")
        if true_ids.dtype != ids.dtype:
            # numpy would make '1' of 1 next to 'a', and a float of int64 next to one
            with_dates = "M" in (true_ids.dtype.kind, ids.dtype.kind)
            true_ids = _objects(true_ids, with_dates)
            ids = _objects(ids, with_dates)
        codes, distinct = factorize(np.concatenate([true_ids, ids]))
        true_codes, codes = np.split(codes, [len(true_ids)])
        n_codes = len(distinct)
    if n_users != n_ranked:
        got = f"Got {n_users} rows in y_true and {n_ranked} in y_pred."
        raise ValueError(f"y_true and y_pred must have one row per user each. {got}")
    kept = true_codes >= 0
    # pandas hashes integers many times faster than numpy does
    wanted = pd.unique(true_rows[kept] * n_codes + true_codes[kept])
    hits = np.zeros((n_users, places.max(initial=0) + 1), dtype=bool)
    keys = rows * n_codes + codes
    hit = (codes >= 0) & pd.Index(keys).isin(wanted)
    # places ascend within a row, so the first of equal keys is the best placed one
    _, first = np.unique(keys[hit], return_index=True)
    hits[rows[hit][first], places[hit][first]] = True
    return hits, np.bincount(wanted // max(n_codes, 1), minlength=n_users)


def flatten(lists, name, width=None):
    """Return the row, place and id of each entry, (n_entries,) each, and n_rows.

    `lists` is a 2-D array or a sequence of collections, cut to `width` places.
    """
    if sparse.issparse(lists):
        expected = "ranked ids, best first: a 2-D array or one list per user"
        got = f"Got a sparse matrix, {type(lists).__name__}, which has no order."
        raise TypeError(f"{name} must hold {expected}. {got}")
    if hasattr(lists, "__array__"):
        lists = np.asarray(lists)
        if lists.ndim not in (1, 2):
            expected = "one row of ids per user, shape (n_users, n_ids)"
            got = f"Got an array of shape {lists.shape}."
            raise ValueError(f"{name} must have {expected}. {got}")
        if lists.ndim == 2:
            table = lists[:, :width]
            rows, places = np.indices(table.shape).reshape(2, -1)
            return rows, places, table.ravel(), len(table)
    lists = _check_lists(lists, name, ordered=width is not None)
    # ids in one array, of dtype object unless they come as arrays
    are_arrays = lists and all(isinstance(ids, np.ndarray) for ids in lists)
    if are_arrays and len({ids.dtype for ids in lists}) == 1:
        ids = np.concatenate([ids[:width] for ids in lists])
    else:
        chained = chain.from_iterable(islice(ids, width) for ids in lists)
        ids = np.fromiter(chained, dtype=object)
    sizes = np.array([len(ids_of_row) for ids_of_row in lists], dtype=np.int64)
    if width is not None:
        sizes = np.minimum(sizes, width)
    rows = np.repeat(np.arange(len(lists)), sizes)
    starts = np.cumsum(sizes) - sizes
    places = np.arange(len(ids)) - np.repeat(starts, sizes)
    return rows, places, ids, len(lists)


def _check_lists(lists, name, ordered):
    """Return `lists` as a list of collections, or say which one is not."""
    if isinstance(lists, (str, bytes, dict)) or not hasattr(lists, "__iter__"):
        expected = "a sequence with one collection of ids per user, or a 2-D array"
        got = f"Got {type(lists).__name__} instead."
        raise TypeError(f"{name} must be {expected}. {got}")
    lists = list(lists)
    for row, ids in enumerate(lists):
        if isinstance(ids, (str, bytes)) or not hasattr(ids, "__len__"):
            raise TypeError(
                f"{name} must hold one collection of ids per user. {name}[{row}] is "
                f"{ids!r}; write [{ids!r}] for a single id."
            )
        if ordered and isinstance(ids, (set, frozenset)):
            remedy = f"{name}[{row}] is a set, which has no order; use a list."
            raise TypeError(f"{name} must hold ranked ids, best first. {remedy}")
    return lists


def check_positions(ids, n_items, source):
    """Return `ids` as int64 positions below `n_items`, padding as -1."""
    codes = ids
    within = range(-1, n_items)
    try:
        codes = np.where(pd.isna(ids), -1, ids)
        whole = codes.astype(np.int64)
    except (TypeError, ValueError, OverflowError):
        whole = np.array(
            [c if isinstance(c, Real) and c in within else -2 for c in codes]
        )
    wrong = (whole != codes) | (whole < -1) | (whole >= n_items)
    if wrong.any():
        raise ValueError(
            f"y_pred must hold column positions of {source}, integers from 0 to "
            f"{n_items - 1} (-1 for no item). Got {ids[wrong][0]!r}."
        )
    return whole


def factorize(ids):
    """Return codes, int64 (n_ids,), and the distinct ids; padding has code -1."""
    codes, uniques = pd.factorize(ids)
    if uniques.dtype.kind in "iufO":
        codes[np.isin(codes, np.flatnonzero(uniques == -1))] = -1
    return codes.astype(np.int64), uniques


def _objects(ids, with_dates):
    """Return ids (n,) as objects, times as those of pandas, which know all units."""
    if ids.dtype.kind in "mM":
        return pd.Index(ids).astype(object).to_numpy()
    ids = ids.astype(object)
    if with_dates:
        for place, cell in enumerate(ids):
            if type(cell) is date:
                ids[place] = pd.Timestamp(cell)
    return ids


def recall(hits, n_relevant, k, truncated=False):
    """Hits over relevant items, weighted or not, (n_users,)."""
    if truncated:
        n_relevant = np.minimum(k, n_relevant)
    return hits.sum(axis=1) / n_relevant


def precision(hits, n_relevant, k):
    """Hits over k, (n_users,)."""
    return hits.sum(axis=1) / k


def ndcg(hits, n_relevant, k):
    """Discounted gain over the largest possible one in k places, (n_users,)."""
    n_places = np.minimum(n_relevant, k)
    longest = max(hits.shape[1], n_places.max(initial=1))
    discounts = 1 / np.log2(np.arange(2, longest + 2))
    gains = hits @ discounts[: hits.shape[1]]
    largest = np.cumsum(discounts)[n_places - 1]
    return gains / largest


def average_precision(hits, n_relevant, k):
    """Sum of the precisions at the hits over min(k, n_relevant), (n_users,)."""
    precisions = np.cumsum(hits, axis=1) / np.arange(1, hits.shape[1] + 1)
    return (precisions * hits).sum(axis=1) / np.minimum(k, n_relevant)


def reciprocal_rank(hits, n_relevant, k):
    """One over the place of the first hit, 0 without any, (n_users,)."""
    return hits.any(axis=1) / (hits.argmax(axis=1) + 1)


def hit_rate(hits, n_relevant, k):
    """1 with a hit, 0 without, (n_users,)."""
    return hits.any(axis=1).astype(float)


PER_USER = [recall, precision, ndcg, average_precision, reciprocal_rank, hit_rate]
PER_USER = {metric.__name__: metric for metric in PER_USER}


def per_user_values(name, hits, n_relevant, k, **params):
    """Return the metric of each user, (n_users,), nan without relevant items."""
    some = n_relevant > 0
    values = PER_USER[name](hits, np.where(some, n_relevant, 1), k, **params)
    return np.where(some, values, np.nan)


def mean_over_users(values, sample_weight=None):
    """Return the (weighted) mean of `values`, (n_users,), without nan.

    Raises
    ------
    ValueError
        If no user is left, or `sample_weight` does not hold one weight per user.
    """
    kept = ~np.isnan(values)
    if not kept.any():
        raise ValueError(
            f"None of the {len(values)} users has a relevant item, so there is nothing "
            "to average. Are the ids of y_true and y_pred of the same kind?"
        )
    weights = check_weights(sample_weight, kept, "user with relevant items")
    return float(np.average(values[kept], weights=weights[kept]))


def check_weights(sample_weight, kept, what):
    """Return weights, float (n,), after checks; ones for None.

    One must be > 0 where ``kept`` (n,): that of a ``what``.
    """
    if sample_weight is None:
        return np.ones(len(kept))
    expected = "finite weights >= 0"
    weights = column_of_numbers(sample_weight, "sample_weight", expected, 0)
    if len(weights) != len(kept):
        raise ValueError(
            f"sample_weight must hold one weight per {what.partition(' ')[0]}, "
            f"{len(kept)} in all. Got {len(weights)}."
        )
    if not weights[kept].any():
        raise ValueError(f"sample_weight must be above 0 for at least one {what}.")
    return weights


def table_of_losses(rows, names, metric, complete, k):
    """Return what a metric loses without parts of the data, most first, a DataFrame.

    ``rows``: names of each part and what is lost without it, the values (n,) and their
    owners (n,), as in `standard_error`. ``names``: those of the first two columns.
    ``complete`` (n,): the metric at ``k`` with all parts.
    """
    table = []
    for *named, lost, owners in rows:
        mean = lost.mean()
        half = ERRORS_IN_INTERVAL * standard_error(lost, owners)
        table.append((*named, mean, mean - half, mean + half))
    table = pd.DataFrame(table, columns=[*names, f"{metric}_lost", "lower", "upper"])
    table = table.sort_values(f"{metric}_lost", ascending=False, kind="stable")
    table = table.reset_index(drop=True)
    table.attrs = {metric: float(complete.mean()), "n_neighbors": k}
    return table


def compared(name, values, first, owners):
    """Return the report's figures of a metric, a dict of column to number.

    They are the mean, the mean difference from another model, and the standard errors
    of both. ``values`` and ``first`` (n,): of both models, nan left out. ``owners``: as
    in `standard_error`.
    """
    row = {}
    for title, figures in ((name, values), (f"{name} diff", values - first)):
        counted = figures[~np.isnan(figures)]
        row[title] = np.nan
        if len(counted):
            row[title] = float(counted.mean())
        row[f"{title} se"] = standard_error(figures, owners)
    return row


def standard_error(values, owners=None):
    """Return the standard error of the mean of values (n,) or (n, m), nan left out.

    ``owners`` (n,): values of one owner may depend on each other. None: none of them
    do. Nan for fewer than two owners.
    """
    counted = ~np.isnan(values).reshape(len(values), -1).any(axis=1)
    if owners is None:
        owners = np.arange(len(values))
    values = values[counted]
    codes = pd.factorize(owners[counted])[0]
    n_owners = codes.max(initial=-1) + 1
    if n_owners < 2:
        return np.full(values.shape[1:], np.nan)[()]
    sums = np.zeros((n_owners, *values.shape[1:]))
    np.add.at(sums, codes, values - values.mean(axis=0))
    variance = (sums**2).sum(axis=0) * n_owners / (n_owners - 1)
    return np.sqrt(variance) / len(values)
