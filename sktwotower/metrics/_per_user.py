"""Metrics of ranked ids, user by user or as their mean.

Input: relevant ids per user and ranked ids (n_users, >= k), best first.
Output: one number in the metric's unit, or one per user (n_users,).

Recall, precision, NDCG, reciprocal rank and hit rate agree with ``ir-measures``
(trec_eval) and ``ranx`` to 1e-6. The differences are:

- Average precision: here a user's sum is divided by min(k, relevant items), there by
  the number of relevant items.
- A user without relevant items is left out of the mean here, and counts 0 there if the
  judgements name the user at all.
- Equal scores: here ids are given in their order, which the caller decides; trec_eval
  ranks by score, and of equal scores the last id first.
- An id that is ranked twice counts at its first place here; there it cannot occur.
- They have no coverage and no novelty.
"""

from typing import Any, Literal, Protocol, TypedDict, Unpack, overload

import numpy as np

from ._hits import find_hits, mean_over_users, per_user_values


class _Options(TypedDict, total=False):
    sample_weight: Any
    truncated: bool


class _OfMean(_Options, total=False):
    per_user: Literal[False]


class RankingMetric(Protocol):
    """How a metric is called, for type checkers: for its mean, or for each user."""

    @overload
    def __call__(self, y_true, y_pred, k=10, **how: Unpack[_OfMean]) -> float: ...
    @overload
    def __call__(
        self, y_true, y_pred, k=10, *, per_user: Literal[True], **how: Unpack[_Options]
    ) -> np.ndarray: ...


def _ranking_metric(function: Any) -> RankingMetric:
    """Return the same function, which says what it returns as checkers see it."""
    function.__annotations__["return"] = float | np.ndarray
    return function


def _metric(name, y_true, y_pred, k, sample_weight, per_user, **params):
    """Return the named metric of each user, (n_users,), or its mean."""
    values = per_user_values(name, *find_hits(y_true, y_pred, k), k, **params)
    if per_user:
        return values
    return mean_over_users(values, sample_weight)


@_ranking_metric
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
        item, or if `sample_weight` does not hold one weight per user.
    TypeError
        If `k` is not an integer, or a user's ids are not a collection.

    Notes
    -----
    ``recall(u) = |R_u and T_u| / |R_u|``, where R_u are the relevant items of user u
    and T_u the first k of u's ranking.

    Denominator: ``|R_u|``, or ``min(k, |R_u|)`` with `truncated=True`.

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
    return _metric(
        "recall", y_true, y_pred, k, sample_weight, per_user, truncated=truncated
    )


@_ranking_metric
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
        item, or if `sample_weight` does not hold one weight per user.
    TypeError
        If `k` is not an integer, or a user's ids are not a collection.

    Notes
    -----
    ``precision(u) = |R_u and T_u| / k``, where R_u are the relevant items of user u and
    T_u the first k of u's ranking.

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
    return _metric("precision", y_true, y_pred, k, sample_weight, per_user)


@_ranking_metric
def ndcg_at_k(y_true, y_pred, k=10, *, sample_weight=None, per_user=False):
    """Compute the normalized discounted cumulative gain of the first k places.

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
        item, or if `sample_weight` does not hold one weight per user.
    TypeError
        If `k` is not an integer, or a user's ids are not a collection.

    Notes
    -----
    ndcg(u) = sum over places j <= k of h_uj / log2(j + 1), divided by the same sum of
    the best ranking, where h_uj is 1 if place j of user u holds a relevant item.

    Denominator: sum over ``j <= min(k, |R_u|)`` of 1 / log2(j + 1), the gain of the
    best ranking that k places allow; ``|R_u|`` is the number of relevant items of user
    u.

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
    return _metric("ndcg", y_true, y_pred, k, sample_weight, per_user)


@_ranking_metric
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
        item, or if `sample_weight` does not hold one weight per user.
    TypeError
        If `k` is not an integer, or a user's ids are not a collection.

    Notes
    -----
    ap(u) = sum over places j <= k of ``h_uj P_uj / min(k, |R_u|)``, where h_uj is 1 if
    place j of user u holds a relevant item, P_uj the share of hits in the first j
    places and ``|R_u|`` the number of relevant items of user u.

    Denominator: ``min(k, |R_u|)``, so that 1 can always be reached.

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
    return _metric("average_precision", y_true, y_pred, k, sample_weight, per_user)


@_ranking_metric
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
        item, or if `sample_weight` does not hold one weight per user.
    TypeError
        If `k` is not an integer, or a user's ids are not a collection.

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
    return _metric("reciprocal_rank", y_true, y_pred, k, sample_weight, per_user)


@_ranking_metric
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
        item, or if `sample_weight` does not hold one weight per user.
    TypeError
        If `k` is not an integer, or a user's ids are not a collection.

    Notes
    -----
    hit(u) = 1 if R_u and T_u share an item, else 0, where R_u are the relevant items of
    user u and T_u the first k of u's ranking.

    Denominator: the number of users, each of whom counts once.

    Users left out: those without relevant items (nan with `per_user=True`); users
    with an empty ranking stay in, with 0.

    Examples
    --------
    >>> from sktwotower.metrics import hit_rate_at_k
    >>> hit_rate_at_k([["a"], ["b"]], [["a", "x"], ["x", "y"]], k=2)
    0.5
    """
    return _metric("hit_rate", y_true, y_pred, k, sample_weight, per_user)
