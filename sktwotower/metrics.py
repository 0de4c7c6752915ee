"""Enters: relevant ids per user and ranked ids (n_users, >= k), best first.

Leaves: one number in the metric's unit, or one per user (n_users,).
Next: _report.py, which applies the same formulas to a fitted recommender.
"""

from numbers import Integral

import numpy as np
import pandas as pd

from ._hits import (
    check_k,
    check_positions,
    factorize,
    find_hits,
    flatten,
    mean_novelty,
    mean_over_users,
    per_user_values,
    self_information,
)
from ._report import make_retrieval_scorer, retrieval_report

__all__ = [
    "average_precision_at_k",
    "coverage_at_k",
    "hit_rate_at_k",
    "make_retrieval_scorer",
    "ndcg_at_k",
    "novelty_at_k",
    "precision_at_k",
    "recall_at_k",
    "reciprocal_rank_at_k",
    "retrieval_report",
]


def _per_user_metric(name, y_true, y_pred, k, sample_weight, per_user, **params):
    """Return the named metric of each user, (n_users,), or its mean."""
    values = per_user_values(name, *find_hits(y_true, y_pred, k), **params)
    return values if per_user else mean_over_users(values, sample_weight)


def recall_at_k(
    y_true, y_pred, k=10, *, sample_weight=None, per_user=False, truncated=False
):
    """Compute the share of a user's relevant items that is in the first k places.

    Relevance is binary. The value is the mean over the users.

    Parameters
    ----------
    y_true : sequence of n_users collections, or CSR of shape (n_users, n_items)
        Relevant ids of each user, in any order; an id given twice counts once. In a
        sparse matrix the nonzeros are relevant and `y_pred` holds its columns.
    y_pred : array of shape (n_users, >= k), or list of n_users lists
        Ranked ids of each user, best first; -1 and None are empty places. An id given
        twice counts at its first place only. Missing places are misses.
    k : int, default=10
        Number of places that count, >= 1.
    sample_weight : array of shape (n_users,), default=None
        Weight of each user in the mean, >= 0. None: all equal.
    per_user : bool, default=False
        Return the value of each user instead of the mean.
    truncated : bool, default=False
        Divide by min(k, number of relevant items), so that 1 can always be reached.

    Returns
    -------
    value : float in [0, 1], or array of shape (n_users,)

    Raises
    ------
    ValueError
        If `k` < 1, if `y_true` and `y_pred` differ in length, if no user has a relevant
        item, or if `sample_weight` is no weight of the users.
    TypeError
        If `k` is no integer, or a user's ids are no collection.

    Notes
    -----
    recall(u) = |R_u and T_u| / |R_u|, where R_u are the relevant items of user u and
    T_u the first k of u's ranking.

    Denominator: |R_u|, or min(k, |R_u|) with `truncated=True`.

    Users left out: those without relevant items (nan with `per_user=True`); users
    with an empty ranking stay in, with 0.

    Examples
    --------
    >>> from sktwotower.metrics import recall_at_k
    >>> y_true = [["a", "b"], ["c"], []]
    >>> y_pred = [["a", "x", "y"], ["x", "c"], ["a"]]
    >>> recall_at_k(y_true, y_pred, k=2)
    0.75
    >>> recall_at_k(y_true, y_pred, k=2, per_user=True)
    array([0.5, 1. , nan])
    """
    return _per_user_metric(
        "recall", y_true, y_pred, k, sample_weight, per_user, truncated=truncated
    )


def precision_at_k(y_true, y_pred, k=10, *, sample_weight=None, per_user=False):
    """Compute the share of the first k places that holds a relevant item.

    Relevance is binary. The value is the mean over the users.

    Parameters
    ----------
    y_true : sequence of n_users collections, or CSR of shape (n_users, n_items)
        Relevant ids of each user, as in `recall_at_k`.
    y_pred : array of shape (n_users, >= k), or list of n_users lists
        Ranked ids of each user, best first, as in `recall_at_k`.
    k : int, default=10
        Number of places that count, >= 1.
    sample_weight : array of shape (n_users,), default=None
        Weight of each user in the mean, >= 0. None: all equal.
    per_user : bool, default=False
        Return the value of each user instead of the mean.

    Returns
    -------
    value : float in [0, 1], or array of shape (n_users,)

    Raises
    ------
    ValueError
        If `k` < 1, if `y_true` and `y_pred` differ in length, if no user has a relevant
        item, or if `sample_weight` is no weight of the users.
    TypeError
        If `k` is no integer, or a user's ids are no collection.

    Notes
    -----
    precision(u) = |R_u and T_u| / k, where R_u are the relevant items of user u and T_u
    the first k of u's ranking.

    Denominator: k, also for rankings shorter than k and users with fewer relevant
    items than k.

    Users left out: those without relevant items (nan with `per_user=True`); users
    with an empty ranking stay in, with 0.

    Examples
    --------
    >>> from sktwotower.metrics import precision_at_k
    >>> precision_at_k([["a", "b"], ["c"]], [["a", "b"], ["x", "y"]], k=2)
    0.5
    """
    return _per_user_metric("precision", y_true, y_pred, k, sample_weight, per_user)


def ndcg_at_k(y_true, y_pred, k=10, *, sample_weight=None, per_user=False):
    """Compute the normalised discounted cumulative gain of the first k places.

    Relevance is binary: a hit gains 1, discounted by its place. The value is the mean
    over the users.

    Parameters
    ----------
    y_true : sequence of n_users collections, or CSR of shape (n_users, n_items)
        Relevant ids of each user, as in `recall_at_k`.
    y_pred : array of shape (n_users, >= k), or list of n_users lists
        Ranked ids of each user, best first, as in `recall_at_k`.
    k : int, default=10
        Number of places that count, >= 1.
    sample_weight : array of shape (n_users,), default=None
        Weight of each user in the mean, >= 0. None: all equal.
    per_user : bool, default=False
        Return the value of each user instead of the mean.

    Returns
    -------
    value : float in [0, 1], or array of shape (n_users,)

    Raises
    ------
    ValueError
        If `k` < 1, if `y_true` and `y_pred` differ in length, if no user has a relevant
        item, or if `sample_weight` is no weight of the users.
    TypeError
        If `k` is no integer, or a user's ids are no collection.

    Notes
    -----
    ndcg(u) = sum over places j <= k of h_uj / log2(j + 1), divided by the same sum of
    the best ranking, where h_uj is 1 if place j of user u holds a relevant item.

    Denominator: sum over j <= min(k, |R_u|) of 1 / log2(j + 1), the gain of the best
    ranking that k places allow; |R_u| is the number of relevant items of user u.

    Users left out: those without relevant items (nan with `per_user=True`); users
    with an empty ranking stay in, with 0.

    References
    ----------
    Jarvelin and Kekalainen (2002). Cumulated gain-based evaluation of IR techniques.
    ACM TOIS 20(4), section 2.2.

    Examples
    --------
    >>> from sktwotower.metrics import ndcg_at_k
    >>> round(ndcg_at_k([["a"], ["b"]], [["a", "b"], ["a", "b"]], k=2), 4)
    0.8155
    """
    return _per_user_metric("ndcg", y_true, y_pred, k, sample_weight, per_user)


def average_precision_at_k(y_true, y_pred, k=10, *, sample_weight=None, per_user=False):
    """Compute the precision at the places of the hits, averaged: AP@k, its mean MAP@k.

    Relevance is binary. The value is the mean over the users.

    Parameters
    ----------
    y_true : sequence of n_users collections, or CSR of shape (n_users, n_items)
        Relevant ids of each user, as in `recall_at_k`.
    y_pred : array of shape (n_users, >= k), or list of n_users lists
        Ranked ids of each user, best first, as in `recall_at_k`.
    k : int, default=10
        Number of places that count, >= 1.
    sample_weight : array of shape (n_users,), default=None
        Weight of each user in the mean, >= 0. None: all equal.
    per_user : bool, default=False
        Return the value of each user instead of the mean.

    Returns
    -------
    value : float in [0, 1], or array of shape (n_users,)

    Raises
    ------
    ValueError
        If `k` < 1, if `y_true` and `y_pred` differ in length, if no user has a relevant
        item, or if `sample_weight` is no weight of the users.
    TypeError
        If `k` is no integer, or a user's ids are no collection.

    Notes
    -----
    ap(u) = sum over places j <= k of h_uj P_uj / min(k, |R_u|), where h_uj is 1 if
    place j of user u holds a relevant item, P_uj the share of hits in the first j
    places and |R_u| the number of relevant items of user u.

    Denominator: min(k, |R_u|), so that 1 can always be reached.

    Users left out: those without relevant items (nan with `per_user=True`); users
    with an empty ranking stay in, with 0.

    References
    ----------
    Manning, Raghavan and Schutze (2008). Introduction to Information Retrieval, section
    8.4; cut at k.

    Examples
    --------
    >>> from sktwotower.metrics import average_precision_at_k
    >>> average_precision_at_k([["a", "b"]], [["a", "x", "y", "b"]], k=4)
    0.75
    """
    return _per_user_metric(
        "average_precision", y_true, y_pred, k, sample_weight, per_user
    )


def reciprocal_rank_at_k(y_true, y_pred, k=10, *, sample_weight=None, per_user=False):
    """Compute one over the place of the first hit: RR@k, its mean MRR@k.

    Relevance is binary. The value is the mean over the users, 0 for a user without a
    hit in the first k places.

    Parameters
    ----------
    y_true : sequence of n_users collections, or CSR of shape (n_users, n_items)
        Relevant ids of each user, as in `recall_at_k`.
    y_pred : array of shape (n_users, >= k), or list of n_users lists
        Ranked ids of each user, best first, as in `recall_at_k`.
    k : int, default=10
        Number of places that count, >= 1.
    sample_weight : array of shape (n_users,), default=None
        Weight of each user in the mean, >= 0. None: all equal.
    per_user : bool, default=False
        Return the value of each user instead of the mean.

    Returns
    -------
    value : float in [0, 1], or array of shape (n_users,)

    Raises
    ------
    ValueError
        If `k` < 1, if `y_true` and `y_pred` differ in length, if no user has a relevant
        item, or if `sample_weight` is no weight of the users.
    TypeError
        If `k` is no integer, or a user's ids are no collection.

    Notes
    -----
    rr(u) = 1 / j, where j <= k is the first place of user u that holds a relevant item.

    Denominator: the place j, counted from 1.

    Users left out: those without relevant items (nan with `per_user=True`); users
    with an empty ranking stay in, with 0.

    References
    ----------
    Voorhees (1999). The TREC-8 question answering track report.

    Examples
    --------
    >>> from sktwotower.metrics import reciprocal_rank_at_k
    >>> reciprocal_rank_at_k([["a"], ["b"]], [["a", "x"], ["x", "b"]], k=2)
    0.75
    """
    return _per_user_metric(
        "reciprocal_rank", y_true, y_pred, k, sample_weight, per_user
    )


def hit_rate_at_k(y_true, y_pred, k=10, *, sample_weight=None, per_user=False):
    """Compute the share of the users with a relevant item in the first k places.

    Relevance is binary; one user's value is 0 or 1.

    Parameters
    ----------
    y_true : sequence of n_users collections, or CSR of shape (n_users, n_items)
        Relevant ids of each user, as in `recall_at_k`.
    y_pred : array of shape (n_users, >= k), or list of n_users lists
        Ranked ids of each user, best first, as in `recall_at_k`.
    k : int, default=10
        Number of places that count, >= 1.
    sample_weight : array of shape (n_users,), default=None
        Weight of each user in the mean, >= 0. None: all equal.
    per_user : bool, default=False
        Return the value of each user instead of the mean.

    Returns
    -------
    value : float in [0, 1], or array of shape (n_users,)

    Raises
    ------
    ValueError
        If `k` < 1, if `y_true` and `y_pred` differ in length, if no user has a relevant
        item, or if `sample_weight` is no weight of the users.
    TypeError
        If `k` is no integer, or a user's ids are no collection.

    Notes
    -----
    hit(u) = 1 if R_u and T_u share an item, else 0, where R_u are the relevant items of
    user u and T_u the first k of u's ranking.

    Denominator: 1 for each user.

    Users left out: those without relevant items (nan with `per_user=True`); users
    with an empty ranking stay in, with 0.

    Examples
    --------
    >>> from sktwotower.metrics import hit_rate_at_k
    >>> hit_rate_at_k([["a"], ["b"]], [["a", "x"], ["x", "y"]], k=2)
    0.5
    """
    return _per_user_metric("hit_rate", y_true, y_pred, k, sample_weight, per_user)


def coverage_at_k(y_pred, n_items, k=10):
    """Compute the share of the catalogue that is in the first k places of any user.

    Parameters
    ----------
    y_pred : array of shape (n_users, >= k), or list of n_users lists
        Ranked ids of each user, best first; -1 and None are empty places.
    n_items : int
        Number of items that can be recommended, >= 1.
    k : int, default=10
        Number of places that count, >= 1.

    Returns
    -------
    value : float in [0, 1]

    Raises
    ------
    ValueError
        If `k` or `n_items` < 1, or `y_pred` holds more distinct ids than `n_items`.
    TypeError
        If `k` or `n_items` is no integer, or a user's ids are no list.

    Notes
    -----
    coverage = |union over users u of T_u| / n_items, where T_u are the first k of u's
    ranking.

    Denominator: n_items.

    Users left out: none.

    Examples
    --------
    >>> from sktwotower.metrics import coverage_at_k
    >>> coverage_at_k([["a", "b"], ["a", "c"]], n_items=6, k=2)
    0.5
    """
    if isinstance(n_items, bool) or not isinstance(n_items, Integral):
        raise TypeError(f"n_items must be an integer >= 1. Got {n_items!r} instead.")
    _, _, ids, _ = flatten(y_pred, "y_pred", check_k(k))
    codes, _ = factorize(ids)
    n_distinct = len(np.unique(codes[codes >= 0]))
    if n_items < max(n_distinct, 1):
        raise ValueError(
            f"n_items must be >= 1 and at least the number of distinct ids in y_pred, "
            f"{n_distinct}. Got {n_items}."
        )
    return n_distinct / int(n_items)


def novelty_at_k(y_pred, item_counts, k=10, *, n_users=None):
    """Compute how unexpected the first k places are, in bits.

    The mean self-information of the recommended items: an item that has one in 2^b of
    the training events counts b bits. Higher is more novel, not better.

    Parameters
    ----------
    y_pred : array of shape (n_users, >= k), or list of n_users lists
        Ranked ids of each user, best first; -1 and None are empty places.
    item_counts : mapping, Series or array of shape (n_items,)
        Training events per item, >= 0, keyed by id; an id that is missing has none.
        With an array `y_pred` holds positions in it.
    k : int, default=10
        Number of places that count, >= 1.
    n_users : int, default=None
        Number of training users, where `item_counts` are users per item: p(i) is then
        the item's share of the users. None: its share of the events.

    Returns
    -------
    value : float, >= 0
        In bits.

    Raises
    ------
    ValueError
        If `k` < 1, if `y_pred` is empty or holds positions outside of `item_counts`, if
        `item_counts` is negative, not finite, all zero, above `n_users` or names an id
        twice.
    TypeError
        If `k` is no integer, or a user's ids are no list.

    Notes
    -----
    novelty = mean over users of the mean over T_u of -log2 p(i), where T_u are the
    first k of user u's ranking, p(i) = c_i / C is item i's share of the events, c_i its
    count and C the sum of the counts, or `n_users`. An item without events is counted
    as half of the rarest item that has some: one bit more novel.

    Denominator: the number of filled places of the user, then the number of users.

    Users left out: those without any filled place.

    References
    ----------
    Zhou et al. (2010). Solving the apparent diversity-accuracy dilemma of recommender
    systems. PNAS 107(10), "surprisal".

    Examples
    --------
    >>> from sktwotower.metrics import novelty_at_k
    >>> novelty_at_k([["a", "b"]], {"a": 2, "b": 1, "c": 1}, k=2)
    1.5
    """
    rows, _, ids, _ = flatten(y_pred, "y_pred", check_k(k))
    if hasattr(item_counts, "keys"):
        codes, uniques = factorize(ids)
        counts = pd.Series(item_counts, dtype=float)
        information = _information_by_id(counts, uniques, n_users)
    else:
        information = self_information(item_counts, n_users)
        codes = check_positions(ids, len(information), "item_counts")
    filled = codes >= 0
    return mean_novelty(rows[filled], information[codes[filled]])


def _information_by_id(counts, ids, n_users):
    """Return the self-information of `ids`, (n_ids,), from a Series of counts by id."""
    if not counts.index.is_unique:
        raise ValueError("item_counts names an id twice; sum its counts first.")
    # the zero at the end stands for the ids without a count
    *known, unseen = self_information(np.append(counts, 0), n_users)
    information = dict(zip(counts.index, known, strict=True))
    return np.array([information.get(id_, unseen) for id_ in ids], dtype=float)
