"""The events that `TwoStageRecommender` is fitted on, and those of them up to a cut.

Input: an interaction table X (n_events, n_columns) with outcomes and weights.
Output: ``ReadEvents``: a frame, rewards, weights and times (n_events,).
"""

from typing import NamedTuple

import numpy as np
import pandas as pd

from sktwotower._tables._columns import Columns
from sktwotower._tables._ids import check_ids
from sktwotower._tables._schema import read_in_memory

# "auto" cuts at one time if this share of the users with later events is known by then.
MIN_KNOWN = 0.5
# Fields with an entry for each event.
ARRAYS = ("rewards", "weights", "times", "users")


class ReadEvents(NamedTuple):
    """Events, after all checks.

    Parameters
    ----------
    frame : DataFrame of shape (n_events, n_columns)
        The events; events of weight 0 are left out.
    rewards, weights : float arrays of shape (n_events,)
        Outcomes and weights.
    times : array of shape (n_events,)
        int64 or float64; the row numbers if there is no time column.
    dates : bool
        Whether times are dates, in nanoseconds since 1970.
    users : int array of shape (n_events,)
        Code of each event's user.
    columns : Columns
        The columns that the retriever reads.
    """

    frame: pd.DataFrame
    rewards: np.ndarray
    weights: np.ndarray
    times: np.ndarray
    dates: bool
    users: np.ndarray
    columns: Columns

    @property
    def chosen(self):
        """Which events are positive, bool (n_events,)."""
        return self.rewards > 0

    def codes(self, fitted):
        """Return the positions (n_events,) of users and items, -1 for unknown ones."""
        codes = []
        for side in (fitted.users, fitted.items):
            codes.append(side.codes(self.frame[side.id_column], "X"))
        return codes

    def part(self, kept):
        """Return the events that are ``kept``, bool (n_events,) or positions (m,)."""
        frame = self.frame.iloc[kept].reset_index(drop=True)
        arrays = {name: getattr(self, name)[kept] for name in ARRAYS}
        return self._replace(frame=frame, **arrays)

    def followed_by(self, later):
        """Return these events and then later ones, ``ReadEvents`` of the same table."""
        frame = pd.concat([self.frame, later.frame], ignore_index=True)
        arrays = {}
        for name in ARRAYS:
            arrays[name] = np.append(getattr(self, name), getattr(later, name))
        return self._replace(frame=frame, **arrays)

    def cut(self, cut, share, judged=None):
        """Return the events before a cut, those after it, and how they were cut.

        ``judged``: the rows of which a share is later with "auto" and "time", bool
        (n_events,). None: positive ones, and "auto" depends on users.
        """
        can_judge = judged is not None and self.dates and judged.any()
        if can_judge and cut != "user":
            later = latest(self.times, judged, share)
            cut = "time"
        else:
            later, cut = later_events(
                self.users, self.times, self.chosen, self.dates, cut, share
            )
        return self.part(~later), self.part(later), cut


def read(owner, retriever, X, y, sample_weight):
    """Return the ``ReadEvents`` of the arguments of fit.

    ``owner``: name of the estimator in messages. ``retriever``: names the columns.
    """
    frame, columns, outcomes, schema = read_in_memory(
        owner, retriever, X, y, sample_weight
    )
    rewards, weights, times = outcomes
    if times is None:
        times = np.arange(len(frame))
    users, _ = pd.factorize(check_ids(frame[columns.user], "the users of X"))
    frame = frame.reset_index(drop=True)
    return ReadEvents(frame, rewards, weights, times, schema.dates, users, columns)


def later_events(users, times, chosen, dates, cut, share):
    """Return which events are cut off, and how: "time" or "user".

    Parameters
    ----------
    users : int array of shape (n_events,)
        Positions of the users.
    times : array of shape (n_events,)
        Times that can be compared within a user and, with ``dates``, between users.
    chosen : bool array of shape (n_events,)
        Which events are positive. Others are cut off if they are as late as those.
    dates : bool
        Whether times are dates.
    cut : {"auto", "time", "user"}
        As in `TwoStageRecommender`.
    share : float
        Share of the positive events to cut off.

    Returns
    -------
    later : bool array of shape (n_events,)
    cut : {"time", "user"}
    """
    if cut == "user" or (cut == "auto" and not dates):
        return _latest_of_each_user(users, times, chosen, share), "user"
    later = latest(times, chosen, share)
    if cut == "auto":
        # of the users with later events, most must have earlier ones, too
        with_later = np.unique(users[chosen & later])
        with_earlier = users[chosen & ~later]
        if np.isin(with_later, with_earlier).mean() < MIN_KNOWN:
            return _latest_of_each_user(users, times, chosen, share), "user"
    return later, "time"


def latest(times, judged, share):
    """Return which events are after one point in time, a share of those ``judged``."""
    in_order = np.sort(times[judged])
    n_later = max(1, int(share * len(in_order) + 1e-9))
    return times >= in_order[len(in_order) - n_later]


def _latest_of_each_user(users, times, chosen, share):
    """Return which events belong to the latest of their user, at least one.

    Events at equal times are on one side. Users whose positive events are all at one
    time keep them.
    """
    order = np.lexsort((times[chosen], users[chosen]))
    owners = users[chosen][order]
    times_of_owners = times[chosen][order]
    owners, starts, sizes = np.unique(owners, return_index=True, return_counts=True)
    n_later = np.maximum(np.floor(share * sizes + 1e-9).astype(np.int64), 1)
    limits = times_of_owners[starts + sizes - n_later]
    limit = np.zeros(users.max() + 1, dtype=times.dtype)
    limit[owners] = limits
    # with all events at one time, nothing would be left before
    has_limit = np.zeros(len(limit), dtype=bool)
    has_limit[owners] = limits > times_of_owners[starts]
    return has_limit[users] & (times >= limit[users])
