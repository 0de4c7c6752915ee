"""Rules of a list: which items qualify, how many may be alike, how much they differ.

Input: columns of the item table, arrays (n_items,), and candidates (m,), best first.
Output: positions (q,) of the items that qualify; lists (n, k) that keep to the rules.
"""

import numbers
import types
import weakref
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from sktwotower._tables._messages import check_count, did_you_mean, shorten, warn

from ._item_columns import ItemColumn, listed
from ._kept import Kept
from ._one_query import among

# Rules of more values are computed each time; ``Kept`` limits how long these may be.
MAX_KEPT_VALUES = 1000
# What the answer to a rule counts at least: at most 4,096 are kept.
MIN_BYTES = 2**14
# Longest list that is chosen item by item: each is compared with all candidates.
MAX_CHOSEN = 1000
# At first so many candidates for each place of a list, and at least; then ever more.
PER_PLACE, MIN_CANDIDATES, GROWTH = 5, 50, 4
# Candidates of several lists that are held at once.
BLOCK_SIZE = 1 << 22


class ItemTable:
    """The columns of a catalog's items, and the answers to rules so far.

    Parameters
    ----------
    names : list of str
        Names of the columns; the first one holds the ids.
    read : callable
        ``read(name)`` returns the values of an ``ItemColumn``, an array (n_items,).
    as_frame : callable
        ``as_frame()`` returns the table that a function as ``where`` gets.
    n_items : int
    """

    def __init__(self, names, read, as_frame, n_items):
        self.names = names
        self.read = read
        self.as_frame = as_frame
        self.n_items = n_items
        self._columns = {}
        self._qualifying = Kept(min_bytes=MIN_BYTES)

    def rules(self, where, max_per, diversity, k):
        """Return the ``Rules`` of a request for lists of k items.

        The other parameters are those of `recommend`.
        """
        for name, value in (("where", where), ("max_per", max_per)):
            fits = value is None or isinstance(value, Mapping)
            if not fits and not (name == "where" and callable(value)):
                raise TypeError(
                    f"{name} must be a dict of columns of the item table or, as where, "
                    f"a function of this table. Got {shorten(value)}."
                )
        limits = []
        for name, limit in (max_per or {}).items():
            groups = self._column(name).groups
            limits.append((groups, check_count(limit, f"max_per[{name!r}]")))
        rules = Rules(self._where(where), limits, _checked(diversity))
        if rules.qualifying is not None and len(rules.qualifying) == 0:
            warn("No item of the catalog qualifies by where. The result is empty.")
        if rules.reorder and min(k, self.n_items) > MAX_CHOSEN:
            raise ValueError(
                "max_per and diversity choose the items of a list one by one, at most "
                f"{MAX_CHOSEN:,}. Got n_neighbors={k:,}: ask for fewer."
            )
        return rules

    def _where(self, where):
        """Return the sorted positions (q,) of the items that qualify; None: all."""
        if where is None:
            return None

        def compute(_):
            if not callable(where):
                mask = np.ones(self.n_items, dtype=bool)
                for name, rule in where.items():
                    mask &= self._column(name).mask(rule)
                return np.flatnonzero(mask)
            answer = where(self.as_frame())
            mask = np.asarray(answer)
            if {*map(type, mask.flat)} <= {bool, np.bool_}:  # also as objects
                mask = mask.astype(bool)
            if mask.dtype != bool or mask.shape != (self.n_items,):
                raise ValueError(
                    f"where must return one boolean for each of {self.n_items} items, "
                    "in the order of the table, also for missing values. Got "
                    f"{shorten(answer)} of shape {mask.shape} and type {mask.dtype}."
                )
            return np.flatnonzero(mask)

        key = _key(where)
        if key is None:
            return compute(key)
        return self._qualifying.get(key, compute)

    def _column(self, name):
        if name not in self.names:
            raise ValueError(
                f"where or max_per names {name!r}, but the item table, which has the "
                "ids and the features of items, has no such column."
                f"{did_you_mean(name, self.names)}"
            )
        if name not in self._columns:
            self._columns[name] = ItemColumn(self.read(name), name)
        return self._columns[name]


def _key(where):
    """Return by what the answer to a rule is kept; None: it is computed each time."""
    try:
        if not callable(where):
            key = _key_of_columns(where)
        elif getattr(where, "keep_answer", False) is not True:
            # what a function reads may change from one request to the next
            key = None
        else:
            reference = weakref.ref
            if isinstance(where, types.MethodType):  # a new object each time
                reference = weakref.WeakMethod
            # a callable object is not equal to its method
            key = type(where), reference(where)
        hash(key)
    except TypeError:  # no hash, or no weak reference
        return None
    return key


def _key_of_columns(where):
    """Return the columns of a rule with their values; None if there are too many."""
    key = []
    n_values = 0
    for name, rule in where.items():
        cells = tuple(listed(rule))
        n_values += len(cells)
        if n_values > MAX_KEPT_VALUES:
            return None
        # equal hours of clocks that are set back differ in this
        folds = tuple(getattr(cell, "fold", 0) for cell in cells)
        if not any(folds):
            folds = ()
        key.append((name, type(rule), cells, folds))
    return tuple(key)


def _checked(diversity):
    """Return ``diversity`` as a float, 0 for None."""
    if diversity is None:
        return 0.0
    message = f"diversity must be a number from 0 to 1. Got {shorten(diversity)}."
    if not isinstance(diversity, numbers.Real) or isinstance(diversity, bool):
        raise TypeError(message)
    if not 0 <= diversity <= 1:
        raise ValueError(message)
    return float(diversity)


class Rules(NamedTuple):
    """What a request wants of its lists.

    Parameters
    ----------
    qualifying : sorted int array of shape (q,), default=None
        Positions of the items that qualify. None: all.
    limits : sequence of pairs, default=()
        Groups, int (n_items,), and how many items of a group a list may hold. Items of
        group -1 are not limited.
    diversity : float, default=0.0
        How much it counts that an item differs from those chosen before, in [0, 1].
    """

    qualifying: np.ndarray | None = None
    limits: tuple = ()
    diversity: float = 0.0

    @property
    def reorder(self):
        """Whether lists are others than the best items that qualify."""
        return bool(self.limits or self.diversity)

    def among(self, candidates):
        """Return those of sorted positions (c,) that qualify; None: all items."""
        if candidates is None:
            return self.qualifying
        if self.qualifying is None:
            return candidates
        return candidates[among(candidates, self.qualifying)]

    def lists(self, search, n, k, n_items, cosines):
        """Return scores and positions (n, k) of n lists that keep to the rules.

        Parameters
        ----------
        search : callable
            ``search(rows, width)`` returns scores and positions (r, width), or fewer,
            of the best items for the lists at ``rows``, an int array (r,); best first,
            and position -1 where there are no more.
        n, k, n_items : int
        cosines : callable
            ``cosines(positions)`` returns a function of a place among positions (m,).
            Its result are the cosines (m,) of the item there with all of them.
        """
        k = min(k, n_items)
        scores = np.full((n, k), -np.inf, dtype=np.float32)
        indices = np.full((n, k), -1, dtype=np.int64)
        rows = np.arange(n)
        width = max(PER_PLACE * k, MIN_CANDIDATES)
        while len(rows):
            width = min(width, n_items)
            step = max(1, BLOCK_SIZE // width)
            short = []  # lists that more candidates may fill
            for start in range(0, len(rows), step):
                part = rows[start : start + step]
                candidates = zip(part, *search(part, width), strict=True)
                for row, candidate_scores, positions in candidates:
                    is_there = positions >= 0
                    best = candidate_scores[is_there]
                    positions = positions[is_there]
                    chosen = self._choose(k, best, positions, cosines)
                    scores[row] = -np.inf
                    scores[row, : len(chosen)] = best[chosen]
                    indices[row] = -1
                    indices[row, : len(chosen)] = positions[chosen]
                    if len(chosen) < k and len(best) == width < n_items:
                        short.append(row)
            rows = np.array(short, dtype=np.int64)
            width *= GROWTH
        return scores, indices

    def _choose(self, k, scores, positions, cosines):
        """Return the places of at most k of the candidates of a list, a list.

        ``scores`` and ``positions``, (m,) each: those of the candidates, best first.
        ``cosines``: as in `lists`.
        """
        groups = [(codes[positions], limit) for codes, limit in self.limits]
        similar = None
        if self.diversity:
            similar = cosines(positions)
        relevance = (1 - self.diversity) * _scaled(scores)
        penalty = 0
        chosen = []
        free = np.ones(len(scores), dtype=bool)
        while len(chosen) < k and free.any():
            place = int(np.argmax(np.where(free, relevance - penalty, -np.inf)))
            chosen.append(place)
            free[place] = False
            for codes, limit in groups:
                alike = codes == codes[place]
                if codes[place] >= 0 and np.count_nonzero(alike[chosen]) == limit:
                    free &= ~alike
            if similar is not None:
                penalty_of_this = self.diversity * similar(place)
                if len(chosen) == 1:
                    penalty = penalty_of_this
                else:
                    penalty = np.maximum(penalty, penalty_of_this)
        return chosen


NO_RULES = Rules()


def _scaled(scores):
    """Return scores (m,) as numbers from 0 to 1; 0 if all are equal."""
    low = scores.min(initial=np.inf)
    high = scores.max(initial=-np.inf)
    width = 1
    if high > low:
        width = high - low
    return (scores.astype(np.float64) - low) / width


def cosines_of(vectors):
    """Return what `Rules.lists` asks of vectors (m, d): cosines by their place."""
    vectors = vectors.astype(np.float64)
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    vectors /= np.where(lengths > 0, lengths, 1)
    return lambda place: vectors @ vectors[place]
