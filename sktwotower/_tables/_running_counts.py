"""How often something was shown and chosen up to a time, with or without decay.

Input: a key, a time and two amounts (shown, chosen) of each event, (n_events,).
Output: the sums of strictly earlier events of the same key, (n_events, 2), and
``RunningCounts``, which later events can be added to.

A few events can be added without a copy of all sums: they become a layer of their own,
and layers of similar sizes are merged, so that there are few of them.
"""

from dataclasses import replace
from typing import Self

import numpy as np

from sktwotower._records import array, frozen, number


@frozen
class RunningCounts:
    """Sums of what was shown and chosen, by key.

    An event of age a counts ``2 ** (-a / half_life)``.

    Parameters
    ----------
    keys : int array of shape (n_keys,)
        Ascending; all others have the sums 0.
    sums : float array of shape (n_keys, 2)
        How much was shown and chosen, at the time of the latest event of each key.
    latest : float array of shape (n_keys,)
        That time.
    half_life : float, default=None
        In units of time. None: events do not age.
    newer : tuple of RunningCounts, default=()
        Layers of events that were added since; none of them has layers itself. They are
        not stored: a file has all in one.
    """

    keys: array("int64", "n_keys", order=np.greater)
    sums: array("float64", "n_keys 2", is_finite=True, least=0)
    latest: array("float64", "n_keys", is_finite=True)
    half_life: number(above=0) | None = None
    newer: tuple = ()
    _not_stored = ("newer",)

    @classmethod
    def empty(cls, half_life=None) -> Self:
        """Return the counts before any event."""
        return cls(np.zeros(0, np.int64), np.zeros((0, 2)), np.zeros(0), half_life)

    def at(self, keys, times) -> np.ndarray:
        """Return the sums (n, 2) of keys (n,) at times (n,), or at one time."""
        total = np.zeros((len(keys), 2))
        for layer in (self, *self.newer):
            if len(layer.keys) > 0:
                rows, is_known = layer._rows_of(keys)
                left = layer._left(times - layer.latest[rows])
                sums = np.where(is_known[:, None], layer.sums[rows], 0)
                total += sums * left[:, None]
        return total

    def latest_of(self, keys) -> np.ndarray:
        """Return the time (n,) of the latest event of keys (n,), nan without one."""
        latest = np.full(len(keys), np.nan)
        for layer in (self, *self.newer):
            if len(layer.keys) > 0:
                rows, is_known = layer._rows_of(keys)
                latest_here = np.where(is_known, layer.latest[rows], np.nan)
                latest = np.fmax(latest, latest_here)
        return latest

    def _rows_of(self, keys):
        """Return the rows (n,) of keys in this layer, and which of them are there."""
        rows = np.minimum(np.searchsorted(self.keys, keys), len(self.keys) - 1)
        return rows, self.keys[rows] == keys

    def plus(self, keys, times, amounts) -> Self:
        """Return the counts after further events: the same sums as by `count`.

        The time that it takes follows the number of events: on average each of them is
        merged as often as it takes to double them up to all that were added.
        """
        if len(keys) == 0:
            return self
        _, added = self.empty(self.half_life).count(keys, times, amounts)
        layers = [*self.newer, added]
        while len(layers) > 1 and len(layers[-2].keys) < 2 * len(layers[-1].keys):
            newest = layers.pop()
            layers[-1] = layers[-1]._with_layer(newest)
        return replace(self, newer=tuple(layers))

    def merged(self) -> Self:
        """Return the same counts in one layer."""
        if not self.newer:
            return self
        whole = replace(self, newer=())
        for layer in self.newer:
            whole = whole._with_layer(layer)
        return whole

    def _with_layer(self, layer):
        """Return the counts, in one layer, with those of another layer."""
        _, counts = self.count(layer.keys, layer.latest, layer.sums)
        return counts

    def _stored_parts(self):
        """Return the fields of the counts in one layer."""
        whole = self.merged()
        return {
            "keys": whole.keys,
            "sums": whole.sums,
            "latest": whole.latest,
            "half_life": whole.half_life,
        }

    def count(self, keys, times, amounts) -> tuple[np.ndarray, Self]:
        """Return the sums before each event, (n_events, 2), and the counts after all.

        Events at equal times do not count for each other. Those that are older than
        what was counted before are added, but nothing that was returned changes.

        Parameters
        ----------
        keys, times : arrays of shape (n_events,)
        amounts : float array of shape (n_events, 2)
            How much each event adds to what was shown and chosen.
        """
        if len(keys) == 0:
            return np.zeros((0, 2)), self
        if self.newer:
            return self.merged().count(keys, times, amounts)
        # Sort by key and time. What was counted before is one event of each key, and
        # the first one.
        n_before = len(self.keys)
        keys = np.concatenate([self.keys, keys])
        is_new = np.arange(len(keys)) >= n_before
        times = np.concatenate([self.latest, np.asarray(times).astype(float)])
        order = np.lexsort((times, is_new, keys))
        keys = keys[order]
        is_new = is_new[order]
        times = times[order]
        amounts = np.concatenate([self.sums, amounts])[order]

        # The sums after each event, at its time, or at that of the first event of its
        # key if this is later: older events are added to what was counted before.
        is_first = np.append(True, keys[1:] != keys[:-1])
        first_events = np.flatnonzero(is_first)
        first_times = times[first_events][np.cumsum(is_first) - 1]
        at = np.maximum(times, first_times)
        left = np.where(is_first, 0, self._left(np.diff(at, prepend=0)))
        sums = _running_sums(amounts * self._left(at - times)[:, None], left)

        # The sums before each run of new events at one time.
        starts_run = is_first | (np.diff(times, prepend=0) != 0)
        starts_run |= np.append(True, is_new[1:] != is_new[:-1])
        run_starts = np.flatnonzero(starts_run)[np.cumsum(starts_run) - 1]
        sums_before = sums[run_starts - 1] * left[run_starts][:, None]
        before = np.empty((len(keys) - n_before, sums.shape[1]))
        before[order[is_new] - n_before] = sums_before[is_new]

        last_events = np.append(first_events[1:], len(keys)) - 1
        counts = replace(
            self, keys=keys[last_events], sums=sums[last_events], latest=at[last_events]
        )
        return before, counts

    def renumbered(self, new_keys) -> Self:
        """Return the counts with the key ``new_keys[k]`` for each key k."""
        if self.newer:
            return self.merged().renumbered(new_keys)
        keys = new_keys[self.keys]
        order = np.argsort(keys)
        return replace(self.part(order), keys=keys[order])

    def part(self, kept) -> Self:
        """Return the counts of some keys only, bool (n_keys,) or positions.

        Those of a single layer, see `merged`.
        """
        return RunningCounts(
            self.keys[kept], self.sums[kept], self.latest[kept], self.half_life
        )

    def _left(self, ages):
        """Return what is left, in [0, 1], of events of some ages."""
        if self.half_life is None:
            return np.ones_like(ages, dtype=float)
        return np.exp2(-np.maximum(ages, 0) / self.half_life)


def _running_sums(amounts, left):
    """Return s (n, m) with s[i] = amounts[i] + left[i] s[i - 1].

    Twice as many rows before are summed in each round, until nothing is left of them.
    """
    sums = amounts.copy()
    left = left.copy()
    step = 1
    while step < len(sums) and left.any():
        sums_before = sums[:-step].copy()
        sums[step:] += left[step:, None] * sums_before
        left_before = left[:-step].copy()
        left[step:] *= left_before
        left[:step] = 0
        step *= 2
    return sums


def smoothed_rates(sums, of_all, smoothing):
    """Return (c + m r) / (s + m) for sums (n, 2) of shown s and chosen c.

    r is the rate of all, by ``of_all`` (n, 2) or (2,): nan if nothing was shown yet.
    """
    shown, chosen = np.moveaxis(np.asarray(of_all, float), -1, 0)
    mean = np.full_like(shown, np.nan)
    np.divide(chosen, shown, out=mean, where=shown > 0)
    n_shown = sums[:, 0]
    n_chosen = sums[:, 1]
    return (n_chosen + smoothing * mean) / (n_shown + smoothing)
