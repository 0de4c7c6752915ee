"""Enters: an interaction table X (n_events, n_columns) of any kind.

Leaves: a number or a truth value for each of its rows, (n_events,).
Next: model_selection.py, which parts the rows that are kept.
"""

from numbers import Integral, Real

import numpy as np
import pandas as pd
from scipy import sparse
from sklearn.utils.validation import check_scalar

from sktwotower._tables._columns import as_table, codes, column_position
from sktwotower._tables._frames import as_array, as_frame, is_frame, is_missing
from sktwotower._tables._ids import check_ids
from sktwotower._tables._messages import format_ids
from sktwotower._tables._times import duration, times_of

__all__ = ["interactions_from_matrix", "k_core", "session_ids"]


def k_core(X, k=5, *, user_id=None, item_id=None):
    """Return which events are of users and items that have k partners each.

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
        Columns of the users and items, names or positions. None: the first and the
        second.

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
    user = column_position(X, user_id, 0, "user_id")
    if user == column_position(X, item_id, 1, "item_id"):
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
    """Return each event the number of its session: events without a long pause between.

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
        Column of the times, dates or numbers, a name or a position.
    user_id : str or int, default=None
        Column of the users, a name or a position. None: the first.

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


def interactions_from_matrix(
    matrix, user_ids=None, item_ids=None, *, user="user", item="item"
):
    """Turn a user x item matrix into events and outcomes for `fit`.

    Parameters
    ----------
    matrix : sparse matrix or array, ndarray or dataframe of shape (n_users, n_items)
        Rewards, >= 0. Of a sparse one every *stored* entry is an event, a stored 0 as
        well: shown and not chosen. Of a dense one every cell that is not 0. Entries
        that are stored twice are summed.
    user_ids, item_ids : array-like of shape (n_users,) and (n_items,), default=None
        Distinct ids of the rows and of the columns. None: the index and the column
        names of a dataframe, else positions 0, 1, ...
    user : str, default="user"
        What the column of users is called.
    item : str, default="item"
        What the column of items is called.

    Returns
    -------
    X : DataFrame of shape (n_events, 2)
        The user and the item of each event, row by row of the matrix.
    y : ndarray of shape (n_events,), float64
        The entries.

    Raises
    ------
    ValueError
        Entries that are negative, not finite or no numbers; ids of another length,
        that occur twice or are missing; ``user`` and ``item`` of one name.
    TypeError
        What is no matrix.

    Notes
    -----
    A row or a column without an event is in X not at all: give the whole catalog as
    ``TwoTowerRecommender(items=...)`` if items without events are to be known.

    Examples
    --------
    >>> from scipy import sparse
    >>> from sktwotower import TwoTowerRecommender, interactions_from_matrix
    >>> matrix = sparse.csr_array([[2.0, 0, 0], [0, 1, 1], [1, 0, 1]])
    >>> X, y = interactions_from_matrix(matrix, item_ids=["tea", "milk", "jam"])
    >>> X.assign(y=y).head(3)
       user  item    y
    0     0   tea  2.0
    1     1  milk  1.0
    2     1   jam  1.0
    >>> model = TwoTowerRecommender(embedding_dim=8, max_epochs=1, random_state=0)
    >>> model = model.fit(*interactions_from_matrix(matrix))
    >>> model.recommend([0])["item"].tolist()
    [1, 2]
    """
    if user == item:
        raise ValueError(
            f"user and item must be different names of columns. Got {user!r} for both."
        )
    if is_frame(matrix):
        matrix = as_frame(matrix, "matrix")
        user_ids = matrix.index if user_ids is None else user_ids
        item_ids = matrix.columns if item_ids is None else item_ids
        matrix = matrix.sparse.to_coo() if _is_sparse(matrix) else matrix.to_numpy()
    rows, columns, values = _entries(matrix)
    users = _ids(user_ids, matrix.shape[0], "user_ids", "rows")
    items = _ids(item_ids, matrix.shape[1], "item_ids", "columns")
    return pd.DataFrame({user: users[rows], item: items[columns]}), values


def _is_sparse(frame):
    """Return whether all columns store what is not zero alone."""
    return all(
        isinstance(t, pd.SparseDtype) and t.fill_value == 0 for t in frame.dtypes
    )


def _entries(matrix):
    """Return rows, columns and checked values (n_events,) of the events."""
    if not (sparse.issparse(matrix) or isinstance(matrix, np.ndarray)):
        raise TypeError(
            "matrix must be a sparse matrix, a two-dimensional array or a dataframe. "
            f"Got {type(matrix).__name__}."
        )
    if matrix.ndim != 2:
        raise ValueError(
            f"matrix must have shape (n_users, n_items). Got shape {matrix.shape}."
        )
    if sparse.issparse(matrix):
        stored = matrix.tocsr(copy=True)
        stored.sum_duplicates()
        stored = stored.tocoo()
        rows, columns, values = stored.row, stored.col, stored.data
    else:
        matrix = np.asarray(matrix)
        # the cell of a missing object is neither 0 nor anything else
        if matrix.dtype == object and is_missing(matrix, "matrix").any():
            raise _missing_cells()
        rows, columns = np.nonzero(matrix)
        values = matrix[rows, columns]
    return rows, columns, _check_values(values)


def _check_values(values):
    objects = values.dtype == object
    odd = [v for v in values if not isinstance(v, Real)] if objects else []
    if odd or not (objects or values.dtype.kind in "biuf"):
        shown = f"{odd[0]!r}" if odd else f"dtype {values.dtype}"
        raise ValueError(f"matrix must hold numbers >= 0. Got {shown}.")
    values = values.astype(np.float64)
    if not np.isfinite(values).all():
        raise _missing_cells()
    if (values < 0).any():
        raise ValueError(
            f"matrix must hold rewards >= 0. Got {values.min()}. Map what is below "
            "zero first: a stored 0 means shown and not chosen."
        )
    return values


def _missing_cells():
    """Return the error for cells that are missing or infinite."""
    return ValueError(
        "matrix holds NaN or infinity; a reward is a finite number. Where nothing "
        "happened write 0, for example with fillna(0)."
    )


def _ids(ids, n, name, axis):
    """Return n distinct ids as an Index."""
    if ids is None:
        return pd.RangeIndex(n)
    if isinstance(ids, pd.MultiIndex):
        raise TypeError(
            f"{name} must be plain ids. Got {ids.nlevels} levels, such as {ids[0]!r}: "
            f"keep one, for example with matrix.droplevel(0, axis={axis!r}), or pivot "
            "with values='name' in place of values=['name']."
        )
    ids = as_array(ids)
    ids = check_ids(list(ids) if isinstance(ids, tuple) else ids, name)
    if len(ids) != n:
        raise ValueError(
            f"{name} must name each of the {axis} of matrix: expected {n}, got "
            f"{len(ids)}."
        )
    repeated = ids[ids.duplicated()].unique()
    if len(repeated):
        raise ValueError(
            f"{name} must be distinct, but {len(repeated)} occur twice or more: "
            f"{format_ids(repeated)}."
        )
    return ids
