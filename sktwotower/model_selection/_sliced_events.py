"""Events in the order of time, in slices.

Input: an interaction table X (n_events, n_columns), outcomes and weights (n_events,).
Output: ``SlicedEvents``, which return the events of a slice, or before it.
"""

from numbers import Real
from typing import NamedTuple

import narwhals as nw
import numpy as np
import pandas as pd
from pandas.tseries.frequencies import to_offset

from sktwotower._sklearn_compat import COUNT, SHARE, validate_parameter_constraints
from sktwotower._tables._columns import as_table, count
from sktwotower._tables._frames import array_as_frame
from sktwotower._tables._times import times_of


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
        y = None
        if self.y is not None:
            y = self.y[rows]
        weights = None
        if self.weights is not None:
            weights = self.weights[rows]
        return _take(self.X, rows), y, weights

    def test(self, number):
        """Return X and y of a slice."""
        start, stop = self.starts[number : number + 2]
        X, y, _ = self.events(start, stop)
        return X, y

    def describe(self, number, strategy):
        """Return the first columns of the results of a strategy for a slice, a dict."""
        start, stop = self.starts[number : number + 2]
        times = {"start": self.times[start], "end": self.times[stop - 1]}
        sizes = {"n_train": int(start), "n_test": int(stop - start)}
        return {"slice": number, **times, "strategy": strategy, **sizes}

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
        if isinstance(events, np.ndarray):
            events = array_as_frame(events, "X")
        return events


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
    starts, before = cut_into_slices(times[order], train_size, freq, n_slices)
    if y is not None:
        y = np.asarray(y)[order]
    if sample_weight is not None:
        sample_weight = np.asarray(sample_weight)[order]
    return SlicedEvents(_take(X, order), y, sample_weight, times[order], starts, before)


def _take(X, rows):
    """Return rows of a table, of the same library."""
    if isinstance(X, np.ndarray):
        return X[rows]
    if isinstance(X, pd.DataFrame):
        return X.iloc[rows]
    return nw.from_native(X, eager_only=True)[rows].to_native()


def cut_into_slices(times, train_size, freq, n_slices):
    """Return where slices of the events after the train events begin.

    These are the positions of their first events, and the number of events, (n_slices +
    1,); then the positions of the first events of the slices before them, (n_slices,).
    ``times`` (n_events,): datetime64 or numbers, ascending. The other parameters are
    those of `prequential_validate`. Equal times stay together.
    """
    given = {"train_size": train_size, "n_slices": n_slices}
    allowed = {"train_size": [SHARE, COUNT], "n_slices": [None, COUNT]}
    validate_parameter_constraints(allowed, given, "prequential_validate")
    if freq is not None and n_slices is not None:
        got = f"Got {freq!r} and {n_slices!r}: leave out one of them."
        raise ValueError(f"freq and n_slices exclude each other. {got}")
    n_train = count(train_size, len(times))
    if not 0 < n_train < len(times):
        raise ValueError(
            f"train_size={train_size!r} leaves no event to train on, or none to test, "
            f"of the {len(times)} events of X. Expected a share or a number in between."
        )
    first = np.searchsorted(times, times[n_train])
    if first == 0:
        raise ValueError(
            f"The first {n_train} events of X, train_size={train_size!r}, have the "
            "time of the next one, and equal times stay together. Choose a larger "
            "train_size."
        )
    if freq is None:
        if n_slices is None:
            n_slices = 5
        return _by_number(times, first, n_slices)
    return _by_frequency(times, first, freq)


def _by_number(times, first, n_slices):
    """Return slices of about the same number of events."""
    n_events = len(times)
    n_later = n_events - first
    bounds = first + n_later * np.arange(n_slices) // n_slices
    starts = np.searchsorted(times, times[bounds])  # equal times stay together
    if len(np.unique(starts)) < n_slices:
        n_times = len(np.unique(times[first:]))
        raise ValueError(
            f"n_slices={n_slices} is too large: the {n_later} events after the train "
            f"events have {n_times} different times, and equal times stay together. "
            "Choose fewer slices, or freq."
        )
    size = n_later // n_slices
    before = np.append(max(first - size, 0), starts[:-1])
    return np.append(starts, n_events), before


def _by_frequency(times, first, freq):
    """Return slices of the same length in time; empty ones are left out."""
    if times.dtype.kind == "M":
        bins, previous = _bins_of_dates(pd.DatetimeIndex(times), first, freq)
    else:
        is_number = isinstance(freq, Real) and not isinstance(freq, np.timedelta64)
        if not is_number or not 0 < freq < np.inf:
            expected = "a finite number > 0, as times are numbers"
            raise ValueError(f"freq must be {expected}. Got {freq!r}.")
        # counted from the time of the first event
        bins = (times[first:] - times[first]) // freq
        previous = times[first] - freq
    begins_bin = np.append(True, np.diff(bins) != 0)
    starts = first + np.flatnonzero(begins_bin)
    # at least one event, so that there is something to count
    before = min(np.searchsorted(times, previous), first - 1)
    return np.append(starts, len(times)), np.append(before, starts[:-1])


def _bins_of_dates(times, first, freq):
    """Return the bin of each date from ``first`` on, and when the bin before begins.

    Bins begin at midnight, or by the calendar.
    """
    try:
        offset = to_offset(freq)
    except (TypeError, ValueError) as error:
        raise ValueError(
            "freq must be a frequency of pandas, such as '7D' or 'MS', or a Timedelta, "
            f"as times are dates. Got {freq!r}."
        ) from error
    if offset is None or offset.n < 1:
        raise ValueError(f"freq must be longer than 0. Got {freq!r}.")
    midnight = times[first].normalize()
    try:
        length = pd.Timedelta(offset)
    except ValueError:  # not of a fixed length, such as months
        begin = offset.rollback(midnight)
        edges = pd.date_range(begin, times[-1], freq=offset)
        bins = edges.searchsorted(times[first:], side="right")
        return bins, np.datetime64(begin - offset)
    bins = (times[first:] - midnight) // length
    previous = midnight + (bins[0] - 1) * length
    return np.asarray(bins), np.datetime64(previous)
