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

from ._cut import later_events

# Fields with an entry for each event.
ARRAYS = "rewards", "weights", "times", "users"


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

    def part(self, kept):
        """Return the events that are ``kept``, bool (n_events,) or positions (m,)."""
        frame = self.frame.iloc[kept].reset_index(drop=True)
        arrays = {name: getattr(self, name)[kept] for name in ARRAYS}
        return self._replace(frame=frame, **arrays)

    def followed_by(self, later):
        """Return these events and then later ones, ``ReadEvents`` of the same table."""
        frame = pd.concat([self.frame, later.frame], ignore_index=True)
        both = ((name, getattr(self, name), getattr(later, name)) for name in ARRAYS)
        arrays = {name: np.append(before, after) for name, before, after in both}
        return self._replace(frame=frame, **arrays)

    def cut(self, cut, share):
        """Return the events before a cut, those after it, and how they were cut."""
        later, cut = later_events(
            self.users, self.times, self.chosen, self.dates, cut, share
        )
        return self.part(~later), self.part(later), cut


def read(owner, retriever, X, y, sample_weight):
    """Return the ``ReadEvents`` of the arguments of fit.

    ``owner``: name of the estimator in messages. ``retriever``: names the columns.
    """
    frame, columns, (rewards, weights, times), schema = read_in_memory(
        owner, retriever, X, y, sample_weight
    )
    if times is None:
        times = np.arange(len(frame))
    users = pd.factorize(check_ids(frame[columns.user], "the users of X"))[0]
    frame = frame.reset_index(drop=True)
    outcomes = rewards, weights, times, schema.dates
    return ReadEvents(frame, *outcomes, users, columns)
