"""A log of lists that were drawn by chance, and what they earned.

Input: a table with one row per item shown.
Output: arrays (n_requests, n_places) of items, propensities and rewards.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from sktwotower._tables._frames import as_frame
from sktwotower._tables._ids import check_ids
from sktwotower._tables._messages import did_you_mean, format_ids

from ._ranked_lists import column_of_numbers

REMEDY_OF_PROPENSITIES = (
    "A propensity is the probability with which the item was shown, as "
    "recommend(explore=...) returns it. Leave out rows that were not drawn by chance, "
    "with all of their list."
)


@dataclass(frozen=True, eq=False)
class PolicyLog:
    """Lists that were shown, one row per request.

    Parameters
    ----------
    rows : int array of shape (n_requests, n_places)
        Row of the table of each item; -1 where a list has ended.
    propensities : array of shape (n_requests, n_places)
        Those of the items; 1 where a list has ended.
    rewards : array of shape (n_requests, n_places)
        What the items earned; 0 where a list has ended.
    frame : DataFrame of shape (n_rows, n_columns)
        The table itself.
    clusters : int array of shape (n_requests,)
        Equal for requests of the same user.
    """

    rows: np.ndarray
    propensities: np.ndarray
    rewards: np.ndarray
    frame: pd.DataFrame
    clusters: np.ndarray

    def __len__(self):
        return len(self.rows)

    @property
    def is_there(self):
        """Whether a list has an item at a place, bool (n_requests, n_places)."""
        return self.rows >= 0

    @property
    def first_rows(self):
        """Row of the table of the first item of each list, int (n_requests,)."""
        return self.rows[:, 0]

    def at_places(self, values, missing):
        """Return values (n_rows,) as (n_requests, n_places)."""
        return np.where(self.is_there, values[self.rows], missing)


def read_log(log, request, user, rank, propensity, reward):
    """Return the ``PolicyLog`` of a table; the others are the names of its columns.

    A column ``rank`` or ``user`` that the table does not have is none.
    """
    frame = as_frame(log, "log")
    needed = {"propensity": propensity, "reward": reward}
    if request is not None:
        needed["request"] = request
    for parameter, name in needed.items():
        require_column(frame, name, parameter)
    if len(frame) == 0:
        raise ValueError("log has no rows: there is nothing to estimate from.")
    propensities = _numbers_of(frame, propensity)
    wrong = ~((propensities > 0) & (propensities <= 1))
    if wrong.any():
        raise ValueError(
            f"The column {propensity!r} of log must hold propensities, above 0 and at "
            f"most 1. Got {propensities[wrong][0]} in row {np.flatnonzero(wrong)[0]}, "
            f"and {wrong.sum()} such rows in all. {REMEDY_OF_PROPENSITIES}"
        )
    rewards = _numbers_of(frame, reward)
    wrong = ~np.isfinite(rewards)
    if wrong.any():
        raise ValueError(
            f"The column {reward!r} of log must hold finite rewards. Got "
            f"{rewards[wrong][0]} in row {np.flatnonzero(wrong)[0]}, and {wrong.sum()} "
            "such rows in all. An item that was shown and not chosen has the reward 0; "
            "leave out requests of which it is not known yet what they earned."
        )

    lists, places = _lists_of(frame, request, rank)
    shape = lists.max() + 1, places.max() + 1
    rows = np.full(shape, -1)
    rows[lists, places] = np.arange(len(frame))
    clusters = np.arange(len(rows))
    if user in frame.columns:
        clusters = _clusters_of(check_ids(frame[user], f"the column {user!r}"), lists)
    is_there = rows >= 0
    return PolicyLog(
        rows,
        propensities=np.where(is_there, propensities[rows], 1.0),
        rewards=np.where(is_there, rewards[rows], 0.0),
        frame=frame,
        clusters=clusters,
    )


def require_column(frame, name, parameter):
    """Raise ``ValueError`` unless a table has a column."""
    if name not in frame.columns:
        raise ValueError(
            f"log has no column {name!r}, which {parameter} names."
            f"{did_you_mean(name, list(frame.columns))}"
        )


def _numbers_of(frame, name):
    """Return a column as float64 (n_rows,), nan where a cell is missing."""
    numbers = pd.to_numeric(frame[name], errors="coerce")
    is_text = numbers.isna() & frame[name].notna()
    if is_text.any():
        column_of_numbers(frame[name], f"The column {name!r} of log", "numbers")
    return numbers.to_numpy(dtype=float, na_value=np.nan)


def _lists_of(frame, request, rank):
    """Return number of list and place, from 0, of each row of a log, (n_rows,) each."""
    n = len(frame)
    if rank not in frame.columns:
        if request is not None and frame[request].duplicated().any():
            repeated = format_ids(frame[request][frame[request].duplicated()], 1)
            raise ValueError(
                f"The request {repeated} of log has several rows, and there is no "
                f"column {rank!r} to say which item stood above which. Name that "
                "column by rank."
            )
        return np.arange(n), np.zeros(n, dtype=np.int64)
    ranks = column_of_numbers(frame[rank], f"The column {rank!r} of log", "ranks")
    if request is not None:
        lists = pd.factorize(check_ids(frame[request], f"the column {request!r}"))[0]
    elif ranks[0] == 1:
        lists = np.cumsum(ranks == 1) - 1
    else:
        raise ValueError(
            f"The first row of log has the rank {ranks[0]:g}, not 1: where a list "
            "begins cannot be told. Name the column of requests by request."
        )
    order = np.lexsort((ranks, lists))
    places = pd.Series(order).groupby(lists[order]).cumcount().to_numpy()
    is_wrong = ranks[order] != places + 1
    if is_wrong.any():
        row = order[is_wrong][0]
        wrong = np.sort(ranks[lists == lists[row]])
        shown = ", ".join(f"{each:g}" for each in wrong[:5])
        raise ValueError(
            f"The list of row {row} of log has the ranks {shown}. Each list needs 1, "
            "2, 3 and so on without gaps: a propensity is one given the items above. "
            "If a list goes on in other places of log, name the column of requests by "
            "request."
        )
    numbers = np.empty(n, dtype=np.int64)
    numbers[order] = places
    return lists, numbers


def _clusters_of(users, lists):
    """Return int (n_requests,), equal for requests of the same user.

    ``users``, ids, and ``lists``: (n_rows,) each.
    """
    codes, _ = pd.factorize(users)
    clusters = np.zeros(lists.max() + 1, dtype=np.int64)
    clusters[lists] = codes
    if (clusters[lists] != codes).any():
        row = np.flatnonzero(clusters[lists] != codes)[0]
        raise ValueError(
            f"The list of row {row} of log is of several users. A request is one of "
            "one user: name the column that tells requests apart by request."
        )
    return clusters
