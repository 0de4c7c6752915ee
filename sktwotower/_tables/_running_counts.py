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
        found = np.zeros((len(keys), 2))
        for layer in (self, *self.newer):
            if len(layer.keys):
                places, known = layer._places(keys)
                left = layer._left(times - layer.latest[places])
                found += np.where(known[:, None], layer.sums[places], 0) * left[:, None]
        return found

    def latest_of(self, keys) -> np.ndarray:
        """Return the time (n,) of the latest event of keys (n,), nan without one."""
        found = np.full(len(keys), np.nan)
        for layer in (self, *self.newer):
            if len(layer.keys):
                places, known = layer._places(keys)
                latest = np.where(known, layer.latest[places], np.nan)
                found = np.fmax(found, latest)
        return found

    def _places(self, keys):
        """Return the places (n,) of keys in this layer, and which of them are there."""
        places = np.minimum(np.searchsorted(self.keys, keys), len(self.keys) - 1)
        return places, self.keys[places] == keys

    def plus(self, keys, times, amounts) -> Self:
        """Return the counts after further events: the same sums as by `count`.

        The time that it takes follows the number of events: on average each of them is
        merged as often as it takes to double them up to all that were added.
        """
        if len(keys) == 0:
            return self
        layers = [
            *self.newer,
            self.empty(self.half_life).count(keys, times, amounts)[1],
        ]
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
        return self.count(layer.keys, layer.latest, layer.sums)[1]

    def _stored_parts(self):
        """Return the fields of the counts in one layer."""
        whole = self.merged()
        names = "keys", "sums", "latest", "half_life"
        return {name: getattr(whole, name) for name in names}

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
        n_before, times = len(self.keys), np.asarray(times)
        keys = np.concatenate([self.keys, keys])
        new = np.arange(len(keys)) >= n_before
        # what was counted before is one event of each key, and the first one
        when = np.concatenate([self.latest, times.astype(float)])
        order = np.lexsort((when, new, keys))
        keys, when, new = keys[order], when[order], new[order]
        amounts = np.concatenate([self.sums, amounts])[order]
        is_first = np.append(True, keys[1:] != keys[:-1])
        starts = np.flatnonzero(is_first)
        until = np.maximum(when, when[starts][np.cumsum(is_first) - 1])
        left = np.where(is_first, 0, self._left(np.diff(until, prepend=0)))
        sums = _running_sums(amounts * self._left(until - when)[:, None], left)
        changes = is_first | (np.diff(when, prepend=0) != 0)
        changes |= np.append(True, new[1:] != new[:-1])
        of_run = np.flatnonzero(changes)[np.cumsum(changes) - 1]
        before = (sums[of_run - 1] * left[of_run][:, None])[new]
        found = np.empty_like(before)
        found[order[new] - n_before] = before
        ends = np.append(starts[1:], len(keys)) - 1
        after = {"keys": keys[ends], "sums": sums[ends], "latest": until[ends]}
        return found, replace(self, **after)

    def renumbered(self, places) -> Self:
        """Return the counts with the key ``places[k]`` for each key k."""
        if self.newer:
            return self.merged().renumbered(places)
        keys = places[self.keys]
        order = np.argsort(keys)
        return replace(self.part(order), keys=keys[order])

    def part(self, kept) -> Self:
        """Return the counts of some keys only, bool (n_keys,) or positions.

        Those of a single layer, see `merged`.
        """
        parts = (getattr(self, name)[kept] for name in ("keys", "sums", "latest"))
        return RunningCounts(*parts, self.half_life)

    def _left(self, ages):
        """Return what is left, in [0, 1], of events of some ages."""
        if self.half_life is None:
            return np.ones_like(ages, dtype=float)
        return np.exp2(-np.maximum(ages, 0) / self.half_life)


def _running_sums(amounts, left):
    """Return s (n, m) with s[i] = amounts[i] + left[i] s[i - 1].

    Twice as many rows before are summed in each round, until nothing is left of them.
    """
    sums, left, step = amounts.copy(), left.copy(), 1
    while step < len(sums) and left.any():
        sums[step:] += left[step:, None] * sums[:-step].copy()
        left[step:] *= left[:-step].copy()
        left[:step] = 0
        step *= 2
    return sums


def smoothed_rates(sums, of_all, smoothing):
    """Return (c + m r) / (s + m) for sums (n, 2) of shown s and chosen c.

    r is the rate of all, by ``of_all`` (n, 2) or (2,): nan if nothing was shown yet.
    """
    shown, chosen = np.moveaxis(np.asarray(of_all, float), -1, 0)
    mean = np.divide(chosen, shown, out=np.full_like(shown, np.nan), where=shown > 0)
    return (sums[:, 1] + smoothing * mean) / (sums[:, 0] + smoothing)
