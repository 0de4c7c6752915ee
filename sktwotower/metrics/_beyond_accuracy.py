"""Metrics of ranked ids that need no relevant ids: coverage and novelty.

Input: ranked ids per user (n_users, >= k), best first.
Output: one number per metric.
"""

import numpy as np
import pandas as pd

from sktwotower._tables._messages import check_count

from ._hits import (
    check_positions,
    factorize,
    flatten,
    mean_over_users,
    novelty_by_user,
    self_information,
)


def coverage_at_k(y_pred, n_items, k=10) -> float:
    """Compute the share of the catalog that is in the first k places of any user.

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
        If `k` or `n_items` is not an integer, or a user's ids are not a list.

    Notes
    -----
    ``coverage = |union over users u of T_u| / n_items``, where T_u are the first k of
    u's ranking.

    Denominator: n_items.

    Users left out: none.

    Examples
    --------
    >>> from sktwotower.metrics import coverage_at_k
    >>> coverage_at_k([["a", "b"], ["a", "c"]], n_items=6, k=2)
    0.5
    """
    _, _, ids, _ = flatten(y_pred, "y_pred", check_count(k, "k"))
    codes, _ = factorize(ids)
    n_distinct = len(pd.unique(codes[codes >= 0]))
    if check_count(n_items, "n_items") < n_distinct:
        raise ValueError(
            "n_items must be at least the number of distinct ids in y_pred, "
            f"{n_distinct}. Got {n_items}."
        )
    return n_distinct / int(n_items)


def novelty_at_k(y_pred, item_counts, k=10, *, n_users=None) -> float:
    """Compute how unexpected the first k places are, in bits.

    The mean self-information of the recommended items: an item that has a share of
    2^-b of the training events counts b bits. Higher is more novel, not better.

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
        If `k` is not an integer, `n_users` not a number, or a user's ids not a list.

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
    rows, _, ids, _ = flatten(y_pred, "y_pred", check_count(k, "k"))
    if hasattr(item_counts, "keys"):
        codes, uniques = factorize(ids)
        counts = pd.Series(item_counts, dtype=float)
        information = _information_by_id(counts, uniques, n_users)
    else:
        information = self_information(item_counts, n_users)
        codes = check_positions(ids, len(information), "item_counts")
    filled = codes >= 0
    by_user = novelty_by_user(rows[filled], information[codes[filled]], n_users=0)
    return mean_over_users(by_user)


def _information_by_id(counts, ids, n_users):
    """Return the self-information of `ids`, (n_ids,), from a Series of counts by id."""
    if not counts.index.is_unique:
        raise ValueError("item_counts names an id twice; sum its counts first.")
    # the zero at the end stands for the ids without a count
    *known, unseen = self_information(np.append(counts, 0), n_users)
    information = dict(zip(counts.index, known, strict=True))
    return np.array([information.get(id_, unseen) for id_ in ids], dtype=float)
