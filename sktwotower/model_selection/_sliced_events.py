"""Events in the order of time, in slices.

Input: an interaction table X (n_events, n_columns), outcomes and weights (n_events,).
Output: ``SlicedEvents``, which return the events of a slice, or before it.
"""

from typing import NamedTuple

import narwhals as nw
import numpy as np
import pandas as pd

from sktwotower._tables._columns import as_table
from sktwotower._tables._frames import array_as_frame
from sktwotower._tables._times import times_of

from ._slices import cut_into_slices


class SlicedEvents(NamedTuple):
    """Events in the order of time, in slices; y and weights are None if not given.

    ``starts`` and ``before``: as of `cut_into_slices`.
    """

    X: object
    y: np.ndarray | None
    weights: np.ndarray | None
    times: np.ndarray
    starts: np.ndarray
    before: np.ndarray

    @property
    def n_slices(self):
        """Return the number of slices."""
        return len(self.before)

    def events(self, start, stop):
        """Return X, y and the weights of some events."""
        rows = np.arange(start, stop)
        y, weights = (None if v is None else v[rows] for v in (self.y, self.weights))
        return _take(self.X, rows), y, weights

    def test(self, number):
        """Return X and y of a slice."""
        return self.events(*self.starts[number : number + 2])[:2]

    def describe(self, number, strategy):
        """Return the first columns of the results of a strategy for a slice, a dict."""
        start, stop = self.starts[number : number + 2]
        return {
            "slice": number,
            "start": self.times[start],
            "end": self.times[stop - 1],
            "strategy": strategy,
            "n_train": int(start),
            "n_test": int(stop - start),
        }

    def is_positive(self, start, stop):
        """Return which of some events are positive, bool (n,)."""
        positive = np.ones(stop - start, dtype=bool)
        for values in (self.y, self.weights):
            if values is not None:
                positive &= values[start:stop].astype(float) > 0
        return positive

    def history(self, start, stop):
        """Return the positive ones of some events as a dataframe."""
        rows = start + np.flatnonzero(self.is_positive(start, stop))
        events = _take(self.X, rows)
        is_array = isinstance(events, np.ndarray)
        return array_as_frame(events, "X") if is_array else events


def read_sliced_events(X, y, sample_weight, time, *, train_size, freq, n_slices):
    """Return ``SlicedEvents``; the parameters are those of `prequential_validate`."""
    X = as_table(X)
    if time is None:
        raise ValueError(
            "time must name the column of X that says when. Got None: a stream needs "
            "an order."
        )
    times = times_of(X, time)
    values = {"y": y, "sample_weight": sample_weight}
    for name, given in values.items():
        if given is not None and len(given) != len(times):
            raise ValueError(
                f"{name} must have one value per row of X: expected {len(times)}, got "
                f"{len(given)}."
            )
    order = np.argsort(times, kind="stable")
    slices = cut_into_slices(times[order], train_size, freq, n_slices)
    y, weights = (None if v is None else np.asarray(v)[order] for v in values.values())
    return SlicedEvents(_take(X, order), y, weights, times[order], *slices)


def _take(X, rows):
    """Return rows of a table, of the same library."""
    if isinstance(X, np.ndarray):
        return X[rows]
    if isinstance(X, pd.DataFrame):
        return X.iloc[rows]
    return nw.from_native(X, eager_only=True)[rows].to_native()
