"""Metrics of the order of items within lists that were shown.

Input: outcomes, scores and the list of each shown item, (n_rows,) each.
Output: one number, the mean over lists, or one per list.

A list is what somebody was shown at once: an impression, a page of search results.
Only the order within a list counts; scores of different lists are never compared. Items
of equal scores are in no order: a metric is its mean over all orders of them.
"""

import pandas as pd

from sktwotower._tables._messages import check_count

from ._ranked_lists import RankedLists, mean_over_lists


def _by_list(metric, y_true, y_score, groups, per_list, k=None):
    """Return a metric of each list, a Series by list, or its mean."""
    if k is not None:
        check_count(k, "k")
    lists = RankedLists(y_true, y_score, groups)
    values = lists.values(metric, k)
    if per_list:
        return pd.Series(values, lists.ids)
    return mean_over_lists(values)


def roc_auc_by_list(y_true, y_score, groups, *, per_list=False) -> float | pd.Series:
    """Compute the area under the ROC curve within each list, averaged over lists.

    The share of the pairs of a positive and another item of the same list in which the
    positive one has the higher score; 0.5 is chance.

    Parameters
    ----------
    y_true : array-like of shape (n_rows,)
        Outcome of each shown item, finite and >= 0; those > 0 are positive.
    y_score : array-like of shape (n_rows,)
        Its score, finite; higher is better.
    groups : array-like of shape (n_rows,)
        Id of the list that it was shown in. Rows of a list need not be adjacent.
    per_list : bool, default=False
        Return the value of each list instead of the mean.

    Returns
    -------
    value : float in [0, 1], or Series of shape (n_lists,)
        The Series is indexed by list, in the order in which lists begin.

    Raises
    ------
    ValueError
        If lengths differ or are 0, outcomes or scores are not finite, outcomes are
        negative, ids of lists are missing, or no list has both outcomes.
    TypeError
        If an argument is not an array, or ids of lists are of mixed types.

    See Also
    --------
    make_list_scorer : The same for a fitted estimator, for searches.

    Notes
    -----
    auc(l) = sum over positives i and other items j of list l of (1 if s_i > s_j, 1/2 if
    s_i = s_j, else 0) / (P_l N_l), with the scores s, P_l positives and N_l others. It
    is that of mid-ranks, and `sklearn.metrics.roc_auc_score` of each list.

    Denominator: the number P_l N_l of pairs.

    Lists left out: those whose items are all positive, or none (nan with
    `per_list=True`), hence all lists of one item.

    References
    ----------
    Zhou et al. (2018). Deep interest network for click-through rate prediction. KDD;
    there weighted by list, here not ("GAUC").

    Examples
    --------
    >>> from sktwotower.metrics import roc_auc_by_list
    >>> y_true = [1, 0, 0, 1, 0]
    >>> y_score = [0.7, 0.9, 0.2, 0.4, 0.4]
    >>> roc_auc_by_list(y_true, y_score, groups=["a", "a", "a", "b", "b"])
    0.5
    """
    return _by_list("roc_auc", y_true, y_score, groups, per_list)


def ndcg_by_list(y_true, y_score, groups, k=10, *, per_list=False) -> float | pd.Series:
    """Compute the NDCG of the first k items of each list, averaged over lists.

    The normalized discounted cumulative gain of a list sorted by score. Relevance is
    binary: a positive item gains 1, discounted by its place.

    Parameters
    ----------
    y_true : array-like of shape (n_rows,)
        Outcome of each shown item, as in `roc_auc_by_list`.
    y_score : array-like of shape (n_rows,)
        Its score, finite; higher is better.
    groups : array-like of shape (n_rows,)
        Id of the list that it was shown in. Rows of a list need not be adjacent.
    k : int or None, default=10
        Number of places that count, >= 1. None: all.
    per_list : bool, default=False
        Return the value of each list instead of the mean.

    Returns
    -------
    value : float in [0, 1], or Series of shape (n_lists,)
        The Series is indexed by list, in the order in which lists begin.

    Raises
    ------
    ValueError
        As in `roc_auc_by_list`, if k < 1, or if no list of two items or more has a
        positive one.
    TypeError
        As in `roc_auc_by_list`, or if k is not an integer.

    See Also
    --------
    ndcg_at_k : The same of items ranked from a whole catalog.

    Notes
    -----
    ndcg(l) = sum over places j <= k of h_lj / log2(j + 1), divided by the same sum of
    the best order, where h_lj is 1 if place j of list l holds a positive item. Items of
    equal scores share the mean of the gains of their places, which is the expected
    value over all orders, as in `sklearn.metrics.ndcg_score`.

    Denominator: sum over ``j <= min(k, P_l)`` of 1 / log2(j + 1), with P_l positives.

    Lists left out: those without a positive item, and those of one item (nan with
    `per_list=True`).

    References
    ----------
    McSherry and Najork (2008). Computing information retrieval performance measures
    efficiently in the presence of tied scores. ECIR.

    Examples
    --------
    >>> from sktwotower.metrics import ndcg_by_list
    >>> y_true, y_score = [1, 0, 0, 1], [0.7, 0.2, 0.9, 0.1]
    >>> round(ndcg_by_list(y_true, y_score, groups=[1, 1, 2, 2]), 4)
    0.8155
    """
    return _by_list("ndcg", y_true, y_score, groups, per_list, k)


def reciprocal_rank_by_list(
    y_true, y_score, groups, k=None, *, per_list=False
) -> float | pd.Series:
    """Compute one over the place of the first positive of each list, averaged.

    The mean reciprocal rank, MRR.

    Parameters
    ----------
    y_true : array-like of shape (n_rows,)
        Outcome of each shown item, as in `roc_auc_by_list`.
    y_score : array-like of shape (n_rows,)
        Its score, finite; higher is better.
    groups : array-like of shape (n_rows,)
        Id of the list that it was shown in. Rows of a list need not be adjacent.
    k : int or None, default=None
        Number of places that count, >= 1: a first positive after them counts 0. None:
        all.
    per_list : bool, default=False
        Return the value of each list instead of the mean.

    Returns
    -------
    value : float in [0, 1], or Series of shape (n_lists,)
        The Series is indexed by list, in the order in which lists begin.

    Raises
    ------
    ValueError
        As in `roc_auc_by_list`, if k < 1, or if no list of two items or more has a
        positive one.
    TypeError
        As in `roc_auc_by_list`, or if k is not an integer.

    See Also
    --------
    reciprocal_rank_at_k : The same of items ranked from a whole catalog.

    Notes
    -----
    rr(l) = 1 / j, where j is the place of the first positive item of list l by
    descending score. Among m items of equal scores, p of them positive, that come after
    a others, the first positive is at place a + t with probability C(m - t, p - 1) /
    C(m, p), where C counts choices and t = 1 .. m - p + 1; the value is the mean.

    Denominator: the place j, counted from 1.

    Lists left out: those without a positive item, and those of one item (nan with
    `per_list=True`).

    References
    ----------
    McSherry and Najork (2008). Computing information retrieval performance measures
    efficiently in the presence of tied scores. ECIR.

    Examples
    --------
    >>> from sktwotower.metrics import reciprocal_rank_by_list
    >>> y_true, y_score = [0, 1, 0, 1], [0.7, 0.2, 0.5, 0.5]
    >>> reciprocal_rank_by_list(y_true, y_score, groups=[1, 1, 2, 2])
    0.625
    >>> reciprocal_rank_by_list(y_true, y_score, [1, 1, 2, 2], per_list=True)
    1    0.50
    2    0.75
    dtype: float64
    """
    return _by_list("reciprocal_rank", y_true, y_score, groups, per_list, k)
