"""The lists of any recommender, by its public methods only.

Input: a fitted object with ``recommend`` and ``item_ids_``, and ids of n users.
Output: scores and positions (n, k) of their best items.
"""

import inspect

import numpy as np
import pandas as pd

from sktwotower._tables._frames import as_frame, is_frame
from sktwotower._tables._ids import check_ids, positions_of
from sktwotower._tables._messages import format_ids
from sktwotower._tables._sparse import slices

# So many items of lists are held at once.
LISTED = 1 << 21


def parameters_of(estimator, method):
    """Return the names of the parameters of a method, none if there is no such one."""
    if not callable(getattr(estimator, method, None)):
        return []
    return list(inspect.signature(getattr(estimator, method)).parameters)


def is_recommender(estimator):
    """Return whether an object has ``recommend`` as this package knows it.

    That of other libraries has no parameter ``n_neighbors``.
    """
    return "n_neighbors" in parameters_of(estimator, "recommend")


def lists_of_any(
    estimator, ids, items, k, excluded=None, allowed=None, exclude_seen=False
):
    """Return the best items of users, by the method ``recommend`` of an estimator.

    Nobody's ``recommend`` can leave out any pairs. So all items are asked for, also
    those that a user has, and lists that are longer by what is then left out.

    Parameters
    ----------
    estimator : fitted recommender of any library
    ids : array of shape (n,)
        Users, who may be repeated.
    items : Index of shape (n_items,)
        The catalog.
    k : int
        Number of items of a list.
    excluded : CSR matrix of shape (n, n_items), default=None
        Nonzero where an item must not be in a list. None: nowhere.
    allowed : int array of shape (m,) or CSR matrix (n, n_items), default=None
        Positions of the only items that may be in the lists, or nonzero at those of
        each user. None: all items.
    exclude_seen : bool, default=False
        Whether the estimator leaves out what users chose in fit.

    Returns
    -------
    scores : float32 array of shape (n, k)
        Descending, -inf where a list is shorter.
    indices : int64 array of shape (n, k)
        Positions of the items, -1 where a list is shorter.
    """
    n_users = len(ids)
    k = min(k, len(items))
    scores = np.full((n_users, k), -np.inf, np.float32)
    indices = np.full((n_users, k), -1, np.int64)
    candidates = None
    width = k
    if excluded is not None and n_users:
        width += int(np.diff(excluded.indptr).max())
    by_user = allowed is not None and allowed.ndim == 2
    if by_user:
        candidates = np.unique(allowed.nonzero()[1])
        width = len(candidates)
    elif allowed is not None:
        candidates = allowed
        width = min(width, len(candidates))
    width = min(width, len(items))
    if width == 0:
        return scores, indices

    options = {"exclude_seen": exclude_seen}
    if candidates is not None:
        options["candidates"] = items[candidates].to_numpy()
    place, owners = pd.factorize(pd.Index(ids))
    for block in slices(len(owners), max(1, LISTED // width)):
        rows = np.flatnonzero((place >= block.start) & (place < block.stop))
        scores_of_lists, items_of_lists = _lists(
            estimator, owners[block], items, width, options
        )
        rows_of_lists = place[rows] - block.start
        listed_scores = scores_of_lists[rows_of_lists]
        listed_items = items_of_lists[rows_of_lists]
        kept = listed_items >= 0
        if excluded is not None:
            kept &= ~_are_nonzero(excluded[rows], listed_items)
        if by_user:
            kept &= _are_nonzero(allowed[rows], listed_items)
        # what is kept moves to the front, in the same order
        order = np.argsort(~kept, axis=1, kind="stable")[:, :k]
        kept = np.take_along_axis(kept, order, axis=1)
        best_scores = np.take_along_axis(listed_scores, order, axis=1)
        best_items = np.take_along_axis(listed_items, order, axis=1)
        n_best = order.shape[1]
        scores[rows, :n_best] = np.where(kept, best_scores, -np.inf)
        indices[rows, :n_best] = np.where(kept, best_items, -1)
    return scores, indices


def _lists(estimator, owners, items, width, options):
    """Return scores and positions (n, width) of one call of ``recommend``, checked.

    ``owners``: n distinct users. ``options``: further arguments of it.
    """
    table = estimator.recommend(owners.to_numpy(), n_neighbors=width, **options)
    rows, positions, values = read_lists(estimator, table, owners, items)
    places = pd.Series(rows).groupby(rows).cumcount().to_numpy()
    if places.max(initial=-1) >= width:
        raise ValueError(
            f"recommend of {type(estimator).__name__} returned {places.max() + 1} "
            f"items for a user, and n_neighbors={width} were asked for."
        )
    scores = np.full((len(owners), width), -np.inf, np.float32)
    indices = np.full((len(owners), width), -1, np.int64)
    scores[rows, places] = values
    indices[rows, places] = positions
    return scores, indices


def read_lists(estimator, table, owners, items):
    """Return what a table of ``recommend`` holds, in the order of its ranks.

    These are positions of users among ``owners``, of items among ``items``, both
    Indexes, and scores, (n_rows,) each. Raise for a table that is no such one.
    """
    name = f"recommend of {type(estimator).__name__}"
    if not is_frame(table):
        raise TypeError(
            f"{name} must return a table with a user, an item, 'score' and 'rank' in "
            f"each row. Got {type(table).__name__}."
        )
    frame = as_frame(table, f"What {name} returned")
    missing = [column for column in ("score", "rank") if column not in frame.columns]
    if missing or frame.shape[1] < 4:
        raise ValueError(
            f"{name} must return a table whose first two columns are the user and the "
            f"item, with the columns 'score' and 'rank'. Got {list(frame.columns)}."
        )
    frame = frame.sort_values("rank", kind="stable")
    listed = []
    for place, known, source in ((0, owners, "X"), (1, items, "item_ids_")):
        ids = check_ids(frame.iloc[:, place], f"what {name} returned")
        positions = positions_of(ids, known)
        if (positions < 0).any():
            unknown = format_ids(ids[positions < 0].unique(), 2)
            raise ValueError(
                f"{name} must return ids of {source}, of the same type. Got {unknown}."
            )
        listed.append(positions)
    scores = frame["score"].to_numpy(np.float32)
    if not np.isfinite(scores).all():
        raise ValueError(f"{name} must return finite scores. Got nan or infinity.")
    return *listed, scores


def _are_nonzero(matrix, positions):
    """Return where the entries of a CSR matrix at positions (n, m) are not zero."""
    n_columns = np.int64(matrix.shape[1])
    rows, columns = matrix.nonzero()
    entries = rows * n_columns + columns
    rows_of_positions = np.arange(len(positions))[:, None]
    wanted = rows_of_positions * n_columns + positions
    # -1 of a row would be the last entry of the one before
    return np.isin(wanted, entries) & (positions >= 0)
