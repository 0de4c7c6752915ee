"""Enters: an interaction table X (n_events, n_columns) of any kind.

Leaves: a number or a truth value for each of its rows, (n_events,).
Next: model_selection.py, which parts the rows that are kept.
"""

from numbers import Integral

import numpy as np
import pandas as pd
from sklearn.utils.validation import check_scalar

from ._interaction_split import as_table, codes, duration, name_of, times_of

__all__ = ["k_core", "session_ids"]


def k_core(X, k=5, *, user_id=None, item_id=None):
    """Tell which events are of users and items that have k partners each.

    Of a user with one or two events little can be learnt, and less be measured. To drop
    such users may bring items below k, whose loss may bring users below k, and so
    forth: what is left is the largest table in which nobody is below.

    Parameters
    ----------
    X : dataframe or array of shape (n_events, n_columns)
        Interaction table, one row per event.
    k : int or (int, int), default=5
        Least number of distinct items of each user, and of distinct users of each item,
        >= 1; or the two apart.
    user_id, item_id : str or int, default=None
        Columns of the users and items, positions if X is an array. None: the first and
        the second.

    Returns
    -------
    kept : bool array of shape (n_events,)
        For ``X[kept]`` (polars: ``X.filter(kept)``), and for y and sample_weight alike.

    Raises
    ------
    ValueError
        If a column is not in X, misses ids or stands for both sides, if k is below 1,
        or if nothing is left.
    TypeError
        If X is no table or k no int.

    Notes
    -----
    Apply it to the whole table before it is split, as published figures do, or to the
    train side alone, which is stricter: test events of dropped users then count as
    misses. It is no step of a Pipeline, for steps must keep the rows that y has.
    O(n_events) per pass, of which there are few.

    Examples
    --------
    >>> import pandas as pd
    >>> from sktwotower.preprocessing import k_core
    >>> X = pd.DataFrame({"user": list("aabbc"), "item": list("vwvwv")})
    >>> k_core(X, 2).tolist()
    [True, True, True, True, False]
    """
    both = k if isinstance(k, tuple | list) else (k, k)
    if len(both) != 2:
        raise ValueError(f"k must be an int, or two of them. Got {k!r}.")
    for least in both:
        check_scalar(least, "k", Integral, min_val=1)
    X = as_table(X)
    if name_of(X, user_id, 0, "user_id") == name_of(X, item_id, 1, "item_id"):
        raise ValueError(
            "user_id and item_id are the same column of X. None stands for the first "
            "and the second: name both."
        )
    pairs = pd.DataFrame(
        {
            "user": codes(X, user_id, 0, "user_id"),
            "item": codes(X, item_id, 1, "item_id"),
        }
    )
    left, n_before = pairs.drop_duplicates(), None
    while len(left) != n_before:
        n_before = len(left)
        for side, least in zip(("user", "item"), both, strict=True):
            left = left[left.groupby(side)[side].transform("size") >= least]
    if left.empty:
        raise ValueError(
            f"No event is left by k={k!r}: no group of users and items of X, which has "
            f"{len(pairs)} rows, has that many events with each other. Lower k."
        )
    kept = pairs["user"].isin(left["user"]) & pairs["item"].isin(left["item"])
    return kept.to_numpy()


def session_ids(X, gap, *, time, user_id=None):
    """Give each event the number of its session: events without a long pause between.

    With sessions in the place of users, a model learns from what was chosen at one
    sitting, and serves a visitor without an account by ``history``.

    Parameters
    ----------
    X : dataframe or array of shape (n_events, n_columns)
        Interaction table, one row per event, in any order.
    gap : number or Timedelta
        Pause >= 0 after which a new session begins, if it is longer: a Timedelta where
        the times are dates, else a number in the units of the times.
    time : str or int
        Column of the times, dates or numbers, a position if X is an array.
    user_id : str or int, default=None
        Column of the users, a position if X is an array. None: the first.

    Returns
    -------
    sessions : int array of shape (n_events,)
        0, 1, ...: user by user in the order of their first rows in X, in the order of
        time within a user.

    Raises
    ------
    ValueError
        If a column is not in X or has missing cells, or gap is below 0.
    TypeError
        If X is no table, or gap does not fit the times.

    Notes
    -----
    A session is known once it is over. To judge by sessions, hold out whole ones
    (`ColdUserSplit` on their column, or `TimeSplit`).

    Examples
    --------
    >>> import pandas as pd
    >>> from sktwotower.preprocessing import session_ids
    >>> X = pd.DataFrame({"user": list("aaba"), "item": list("vwvx")})
    >>> X["minute"] = [0, 10, 12, 90]
    >>> X.assign(session=session_ids(X, gap=30, time="minute"))
      user item  minute  session
    0    a    v       0        0
    1    a    w      10        0
    2    b    v      12        2
    3    a    x      90        1
    """
    if time is None:
        raise TypeError("time must name the column of the times. Got None instead.")
    X = as_table(X)
    users, times = codes(X, user_id, 0, "user_id"), times_of(X, time)
    gap = duration(gap, times)
    order = np.lexsort((times, users))
    starts = np.ones(len(order), dtype=bool)
    starts[1:] = np.diff(users[order]) != 0
    starts[1:] |= times[order][1:] > times[order][:-1] + gap
    sessions = np.empty(len(order), dtype=np.int64)
    sessions[order] = np.cumsum(starts) - 1
    return sessions
