"""Enters: a user x item matrix (n_users, n_items), as other recommenders take it.

Leaves: a table of events (n_events, 2) and their outcomes (n_events,).
Next: recommender.py, whose fit takes both.
"""

from numbers import Real

import numpy as np
import pandas as pd
from scipy import sparse

from sktwotower.frames import as_array, as_frame, is_frame
from sktwotower.interactions import check_ids, some

__all__ = ["interactions_from_matrix"]


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
    A row or a column without an event is in X not at all: give the whole catalogue as
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
    """Tell whether all columns store what is not zero alone."""
    return all(
        isinstance(t, pd.SparseDtype) and t.fill_value == 0 for t in frame.dtypes
    )


def _entries(matrix):
    """Give rows, columns and checked values (n_events,) of what counts as an event."""
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
        raise ValueError(
            "matrix holds NaN or infinity; a reward is a finite number. Where nothing "
            "happened write 0, for example with fillna(0)."
        )
    if (values < 0).any():
        raise ValueError(
            f"matrix must hold rewards >= 0. Got {values.min()}. Map what is below "
            "zero first: a stored 0 means shown and not chosen."
        )
    return values


def _ids(ids, n, name, axis):
    """Give n distinct ids as an Index."""
    if ids is None:
        return pd.RangeIndex(n)
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
            f"{some(repeated)}."
        )
    return ids
