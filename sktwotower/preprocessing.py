"""Steps before fit: filters of events, sessions, events of a matrix or of ratings.

`k_core` drops users and items with few events, `session_ids` divides the events of each
user into sessions, `interactions_from_matrix` makes a table of events from a matrix
with one row per user, and `ratings_to_events` lets low ratings hardly count.
"""

from numbers import Integral, Real
from typing import Any

import numpy as np
import pandas as pd
from scipy import sparse
from sklearn.utils.validation import check_scalar

from sktwotower._tables import _frames
from sktwotower._tables._columns import as_table, codes, column_position
from sktwotower._tables._ids import check_ids
from sktwotower._tables._messages import format_ids
from sktwotower._tables._outcomes import Outcome, check_outcomes, numbers_of
from sktwotower._tables._output import in_library
from sktwotower._tables._times import duration, times_of

__all__ = ["interactions_from_matrix", "k_core", "ratings_to_events", "session_ids"]


def k_core(X, k: Any = 5, *, user_id=None, item_id=None) -> np.ndarray:
    """Return which events are of users and items with at least k partners each.

    Little can be learnt about a user with one or two events, and even less be measured.
    Dropping such users may leave items with fewer than k users, dropping these may
    leave users with fewer than k items, and so on. The result is the largest part of X
    in which every user has k items and every item k users.

    Parameters
    ----------
    X : dataframe or array of shape (n_events, n_columns)
        Interaction table, one row per event.
    k : int or (int, int), default=5
        Minimum number of distinct items of each user and of distinct users of each
        item, >= 1; a pair sets the two apart.
    user_id, item_id : str or int, default=None
        Columns of the users and items, names or positions. None: the first and the
        second.

    Returns
    -------
    kept : bool array of shape (n_events,)
        A mask for ``X[kept]`` (polars: ``X.filter(kept)``), y and sample_weight.

    Raises
    ------
    ValueError
        If a column is not in X, has missing ids or stands for both sides, if k is below
        1, or if no event is left.
    TypeError
        If X is not a table, k is not an integer, or ids cannot be compared.

    Notes
    -----
    Apply it to the whole table before the split, as published results do, or only to
    the train side, which is stricter: test events of dropped users then count as
    misses. It cannot be a step of a Pipeline, as steps must keep all rows. O(n_events)
    per pass; a few passes are enough.

    Examples
    --------
    >>> import pandas as pd
    >>> from sktwotower.preprocessing import k_core
    >>> X = pd.DataFrame({"user": list("aabbc"), "item": list("vwvwv")})
    >>> k_core(X, 2).tolist()
    [True, True, True, True, False]
    """
    least = [k, k]
    if isinstance(k, tuple | list):
        least = k
    if len(least) != 2:
        raise ValueError(f"k must be an int, or two of them. Got {k!r}.")
    for number in least:
        check_scalar(number, "k", Integral, min_val=1)
    n_items_of_user, n_users_of_item = least
    X = as_table(X)
    user = column_position(X, user_id, 0, "user_id")
    if user == column_position(X, item_id, 1, "item_id"):
        raise ValueError(
            "user_id and item_id are the same column of X. None stands for the first "
            "and the second: name both."
        )
    pairs = pd.DataFrame({"user": codes(X, user_id, 0, "user_id")})
    pairs["item"] = codes(X, item_id, 1, "item_id")
    left = pairs.drop_duplicates()
    n_before = None
    while len(left) != n_before:
        n_before = len(left)
        left = left[left.groupby("user")["user"].transform("size") >= n_items_of_user]
        left = left[left.groupby("item")["item"].transform("size") >= n_users_of_item]
    if left.empty:
        raise ValueError(
            f"k={k!r} leaves none of the {len(pairs)} events: no part of X is so dense "
            "that all its users have that many items and all its items that many "
            "users. Use a smaller k."
        )
    kept = pairs["user"].isin(left["user"]) & pairs["item"].isin(left["item"])
    return kept.to_numpy()


def session_ids(X, gap, *, time, user_id=None) -> np.ndarray:
    """Return the session of each event; a pause longer than ``gap`` ends a session.

    With sessions instead of users, a model learns which items are chosen together, and
    can recommend to visitors without an account by their ``history``.

    Parameters
    ----------
    X : dataframe or array of shape (n_events, n_columns)
        Interaction table, one row per event, in any order.
    gap : number or Timedelta
        Longest pause within a session, >= 0: a Timedelta if the times are dates, else
        a number in the units of the times.
    time : str or int
        Column of the times, dates or numbers, a name or a position.
    user_id : str or int, default=None
        Column of the users, a name or a position. None: the first that is not the time.

    Returns
    -------
    sessions : int array of shape (n_events,)
        Numbers 0, 1, ...: user by user in the order of their first rows in X, within a
        user in the order of time.

    Raises
    ------
    ValueError
        If a column is not in X or has missing cells, or gap is below 0.
    TypeError
        If X is not a table, gap is not of the type of the times, or ids cannot be
        compared.

    Notes
    -----
    Where a session ends is known only afterwards. To evaluate by sessions, hold out
    whole ones (`ColdUserSplit` on their column, or `TimeSplit`).

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
    users = codes(X, user_id, 0, "user_id", time)
    times = times_of(X, time)
    gap = duration(gap, times, "gap")
    order = np.lexsort((times, users))
    users = users[order]
    times = times[order]
    starts_session = np.ones(len(order), dtype=bool)
    starts_session[1:] = users[1:] != users[:-1]
    starts_session[1:] |= times[1:] > times[:-1] + gap
    sessions = np.empty(len(order), dtype=np.int64)
    sessions[order] = np.cumsum(starts_session) - 1
    return sessions


def ratings_to_events(X, y, at_least: Any = 4) -> tuple[Any, np.ndarray]:
    """Return events whose low ratings hardly count, and their rewards, for `fit`.

    A low rating is not a choice, but says which items the user knows. With a reward of
    0.01, where a high rating has 1, such items are not recommended to the user again,
    and little is learnt from them.

    Parameters
    ----------
    X : dataframe or array of shape (n_events, n_columns)
        Interaction table, one row per rating.
    y : array-like of shape (n_events,)
        Ratings on any scale, also below 0.
    at_least : float, default=4
        Lowest of the high ratings. For stars from 1 to 5 it is 4; from 1 to 10, 8.

    Returns
    -------
    X : dataframe or array of shape (n_events, n_columns)
        The table as it was given, of the same library.
    y : ndarray of shape (n_events,), float64
        Rewards: 1 where ``y >= at_least``, else 0.01.

    Raises
    ------
    ValueError
        If y is not one finite number for each row of X, or if no rating is high.
    TypeError
        If X is not a table in memory, or at_least is not a number.

    Notes
    -----
    Recommenders that ignore the size of rewards, such as `EASERecommender`, take low
    ratings for choices all the same. Fit them on the high ones, and leave out the
    low ones by ``recommend(exclude=...)``. To judge a model by high ratings, pass
    ``ratings >= 4`` as the outcomes of `score` or of a report.

    Examples
    --------
    >>> import pandas as pd
    >>> from sktwotower import TwoTowerRecommender
    >>> from sktwotower.preprocessing import ratings_to_events
    >>> X = pd.DataFrame({"user": list("aabbc"), "film": list("vwvxw")})
    >>> stars = [5, 2, 4, 1, 4]
    >>> ratings_to_events(X, stars)[1].tolist()
    [1.0, 0.01, 1.0, 0.01, 1.0]
    >>> model = TwoTowerRecommender(embedding_dim=8, max_epochs=1, random_state=0)
    >>> model = model.fit(*ratings_to_events(X, stars))
    >>> model.recommend(["a"])["film"].tolist()  # a has seen w
    ['x']
    """
    check_scalar(at_least, "at_least", Real)
    ratings = numbers_of(y, len(as_table(X)))
    check_outcomes([Outcome.of("y", abs(ratings))], len(ratings))
    top = ratings.max()
    if not top >= at_least:
        raise ValueError(
            f"at_least must be a level of y, up to {top}. Got {at_least!r}; the "
            "default is 4. Pass at_least=."
        )
    return X, np.where(ratings >= at_least, 1, 0.01)  # by benchmarks/bench_ratings.py


def interactions_from_matrix(
    matrix, user_ids=None, item_ids=None, *, user="user", item="item"
) -> tuple[pd.DataFrame, np.ndarray]:
    """Return the events and the rewards of a user x item matrix, for `fit`.

    Parameters
    ----------
    matrix : sparse matrix or array, ndarray or dataframe of shape (n_users, n_items)
        Rewards, >= 0. Every *stored* entry of a sparse matrix is an event, also a
        stored 0: shown and not chosen. Every cell of a dense matrix that is not 0 is
        one. Entries that are stored twice are summed.
    user_ids, item_ids : array-like of shape (n_users,) and (n_items,), default=None
        Distinct ids of the rows and of the columns. None: the index and the column
        names of a dataframe, else positions 0, 1, ...
    user : str, default="user"
        Name of the column of users.
    item : str, default="item"
        Name of the column of items.

    Returns
    -------
    X : DataFrame of shape (n_events, 2)
        The user and the item of each event, row by row of the matrix; a table of the
        library of the matrix (pandas, polars, pyarrow), of pandas for others.
    y : ndarray of shape (n_events,), float64
        The entries.

    Raises
    ------
    ValueError
        If an entry is negative, not finite or not a number, if ids are of another
        length, repeated or missing, or if ``user`` and ``item`` are the same name.
    TypeError
        If ``matrix`` is not a matrix, or its index or columns have several levels.

    Notes
    -----
    Rows and columns without an event do not occur in X. For a model that knows items
    without events, pass the whole catalog as ``TwoTowerRecommender(items=...)``.

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
    library = _frames.library_of(matrix)
    if _frames.is_frame(matrix):
        matrix = _frames.as_frame(matrix, "matrix")
        if user_ids is None:
            user_ids = matrix.index
        if item_ids is None:
            item_ids = matrix.columns
        if _is_sparse(matrix):
            matrix = matrix.sparse.to_coo()
        else:
            matrix = matrix.to_numpy()
    rows, columns, values = _entries(matrix)
    users = _ids(user_ids, matrix.shape[0], "user_ids", "rows")
    items = _ids(item_ids, matrix.shape[1], "item_ids", "columns")
    events = pd.DataFrame({user: users[rows], item: items[columns]})
    return in_library(events, library), values


def _is_sparse(frame):
    """Return whether all columns store only the cells that are not zero."""
    if frame.shape[1] == 0:
        return False
    for dtype in frame.dtypes:
        if not isinstance(dtype, pd.SparseDtype) or dtype.fill_value != 0:
            return False
    return True


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
        if matrix.dtype.kind in "biuf":  # sums of small integers would wrap around
            matrix = matrix.astype(np.float64)
        stored = matrix.tocsr(copy=True)
        stored.sum_duplicates()
        stored = stored.tocoo()
        rows = stored.row
        columns = stored.col
        values = stored.data
    else:
        matrix = np.asarray(matrix)
        # pd.NA is neither 0 nor different from 0
        if matrix.dtype == object and _frames.is_missing(matrix, "matrix").any():
            raise _missing_error()
        rows, columns = np.nonzero(matrix)
        values = matrix[rows, columns]
    return rows, columns, _check_values(values)


def _check_values(values):
    """Return values (n_events,) as float64 after all checks."""
    unlike = "matrix must hold numbers >= 0. Got "
    if values.dtype == object:
        for value in values:
            if not isinstance(value, Real):
                raise ValueError(f"{unlike}{value!r}.")
    elif values.dtype.kind not in "biuf":
        raise ValueError(f"{unlike}dtype {values.dtype}.")
    values = values.astype(np.float64)
    if not np.isfinite(values).all():
        raise _missing_error()
    if (values < 0).any():
        raise ValueError(
            f"matrix must hold rewards >= 0. Got {values.min()}. Map negative entries "
            "first: a stored 0 means shown and not chosen."
        )
    return values


def _missing_error():
    """Return the error for cells that are missing or infinite."""
    return ValueError(
        "matrix holds NaN or infinity; a reward is a finite number. Where nothing "
        "happened write 0, for example with fillna(0)."
    )


def _ids(ids, n, name, axis):
    """Return n distinct ids as an Index after all checks."""
    if ids is None:
        return pd.RangeIndex(n)
    if isinstance(ids, pd.MultiIndex):
        raise TypeError(
            f"{name} must be plain ids. Got {ids.nlevels} levels, such as {ids[0]!r}: "
            f"keep one, for example with matrix.droplevel(0, axis={axis!r}), or pivot "
            "with values='name' in place of values=['name']."
        )
    if isinstance(ids, tuple):
        ids = list(ids)
    ids = check_ids(_frames.as_array(ids), name)
    if len(ids) != n:
        raise ValueError(
            f"{name} must name all {axis} of matrix: expected {n}, got {len(ids)}."
        )
    repeated = ids[ids.duplicated()].unique()
    if len(repeated):
        raise ValueError(
            f"{name} must be distinct, but {len(repeated)} occur twice or more: "
            f"{format_ids(repeated)}."
        )
    return ids
