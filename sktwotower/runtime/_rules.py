"""Rules of a list: which items qualify, how many may be alike, how much they differ.

Input: columns of the item table, arrays (n_items,), and candidates (m,), best first.
Output: positions (q,) of the items that qualify; lists (n, k) that keep to the rules.
"""

import math
import numbers
import weakref
from collections import Counter
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from sktwotower._tables._messages import check_count, did_you_mean, shorten

from ._item_columns import ItemColumn, listed
from ._kept import Kept

# Rules of more values are computed each time.
MAX_KEPT_VALUES = 1000
# Values that are kept: if two of one type are equal, nothing tells them apart.
PLAIN = str, bytes, int, float, bool, np.number, np.bool_, type(None)
# What the answer to a rule counts at least: at most 4,096 are kept.
MIN_BYTES = 2**14
# Longest list that ``diversity`` orders: each item is compared with all candidates.
MAX_DIVERSE = 1000
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
        self.names, self.read = names, read
        self.as_frame, self.n_items = as_frame, n_items
        self._columns, self._qualifying = {}, Kept(min_bytes=MIN_BYTES)

    def rules(self, where, max_per, diversity, k):
        """Return the ``Rules`` of a request for lists of k items.

        The other parameters are those of `recommend`.
        """
        limits, max_per = [], {} if max_per is None else max_per
        if not isinstance(max_per, Mapping):
            raise TypeError(
                "max_per must be a dict of columns of the item table to numbers of "
                f"items. Got {shorten(max_per)}."
            )
        for name, limit in max_per.items():
            limit = check_count(limit, f"max_per[{name!r}]")
            limits.append((self._column(name, "max_per").groups(), limit))
        return Rules(self._where(where), limits, _checked(diversity, k))

    def _where(self, where):
        """Return the sorted positions (q,) of the items that qualify; None: all."""
        if where is None:
            return None
        if not callable(where) and not isinstance(where, Mapping):
            raise TypeError(
                "where must be a dict of columns of the item table to values, lists or "
                "intervals (low, high), or a function of the table. Got "
                f"{shorten(where)}."
            )
        key, compute = _key(where), lambda _: np.flatnonzero(self._mask(where))
        return compute(key) if key is None else self._qualifying.get(key, compute)

    def _mask(self, where):
        if callable(where):
            return _checked_mask(where(self.as_frame()), self.n_items)
        mask = np.ones(self.n_items, dtype=bool)
        for name, rule in where.items():
            mask &= self._column(name, "where").mask(rule)
        return mask

    def _column(self, name, parameter):
        if name not in self.names:
            raise ValueError(
                f"{parameter} names {name!r}, which is not a column of the item table: "
                "that has the ids of X in fit, and the features of items, if there are "
                f"any.{did_you_mean(name, self.names)}"
            )
        if name not in self._columns:
            self._columns[name] = ItemColumn(self.read(name), name)
        return self._columns[name]


def _key(where):
    """Return by what the answer to a rule is kept; None: it is computed each time.

    Functions are not kept alive.
    """
    try:
        if callable(where):
            key = weakref.ref(where)
            hash(key)
            return key
        rules = [(name, type(rule), *listed(rule)) for name, rule in where.items()]
    except TypeError:  # no hash, or no weak reference
        return None
    cells = [cell for rule in rules for cell in rule[2:]]
    if len(cells) > MAX_KEPT_VALUES or not all(isinstance(c, PLAIN) for c in cells):
        return None
    return (*rules, *map(type, cells))


def _checked_mask(answer, n_items):
    """Return the answer of a function as bool (n_items,)."""
    mask = np.asarray(answer)
    if mask.dtype == object and all(isinstance(c, bool | np.bool_) for c in mask.flat):
        mask = mask.astype(bool)
    if mask.dtype != bool or mask.shape != (n_items,):
        raise (TypeError if mask.dtype != bool else ValueError)(
            f"where must return one boolean for each of {n_items} items, in the order "
            f"of the table, also for missing values. Got {shorten(answer)} of shape "
            f"{mask.shape} and type {mask.dtype}."
        )
    return mask


def _checked(diversity, k):
    """Return ``diversity`` as a float, 0 for None."""
    diversity = 0.0 if diversity is None else diversity
    is_flag = isinstance(diversity, bool | np.bool_)
    is_number = isinstance(diversity, numbers.Real) and not is_flag
    if not is_number or not 0 <= diversity <= 1:
        raise (ValueError if is_number else TypeError)(
            f"diversity must be a number from 0 to 1. Got {shorten(diversity)}."
        )
    if diversity and k > MAX_DIVERSE:
        raise ValueError(
            f"diversity orders lists of at most {MAX_DIVERSE:,} items. Got "
            f"n_neighbors={k:,}. Ask for fewer."
        )
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
        if self.qualifying is None or candidates is None:
            return self.qualifying if candidates is None else candidates
        return in_both(candidates, self.qualifying)

    def lists(self, search, n, k, n_items, cosines):
        """Return scores and positions (n, k) of n lists that keep to the rules.

        Parameters
        ----------
        search : callable
            ``search(rows, width)`` returns scores and positions (r, width) of the best
            items for the lists at ``rows``, an int array (r,); best first, and position
            -1 where there are no more.
        n, k, n_items : int
        cosines : callable
            ``cosines(positions)`` returns a function of a place among positions (m,).
            Its result are the cosines (m,) of the item there with all of them.
        """
        k = min(k, n_items)
        scores = np.full((n, k), -np.inf, dtype=np.float32)
        indices = np.full((n, k), -1, dtype=np.int64)
        rows, width = np.arange(n), max(PER_PLACE * k, MIN_CANDIDATES)
        while len(rows):
            width, short = min(width, n_items), []
            step = max(1, BLOCK_SIZE // width)
            for start in range(0, len(rows), step):
                part = rows[start : start + step]
                for row, *found in zip(part, *search(part, width), strict=True):
                    n_found = np.count_nonzero(found[1] >= 0)
                    best, positions = (each[:n_found] for each in found)
                    chosen = self.choose(k, best, positions, cosines)
                    scores[row], indices[row] = -np.inf, -1
                    scores[row, : len(chosen)] = best[chosen]
                    indices[row, : len(chosen)] = positions[chosen]
                    if len(chosen) < k and n_found == width < n_items:
                        short.append(row)
            rows, width = np.array(short, dtype=np.int64), GROWTH * width
        return scores, indices

    def choose(self, k, scores, positions, cosines):
        """Return the places of at most k of the candidates of a list, a list.

        ``scores`` and ``positions``, (m,) each: those of the candidates, best first.
        ``cosines``: as in `lists`.
        """
        groups = [codes[positions] for codes, _ in self.limits]
        limits = [limit for _, limit in self.limits]
        if self.diversity and len(scores):
            relevance = (1 - self.diversity) * _scaled(scores)
            similar = cosines(positions)
            return _diverse(k, relevance, self.diversity, similar, groups, limits)
        return _first(k, groups, limits)


NO_RULES = Rules()


def _scaled(scores):
    """Return scores (m,) as numbers from 0 to 1; 0 if all are equal."""
    scores = scores.astype(np.float64)
    low, high = scores.min(), scores.max()
    return (scores - low) / (high - low if high > low else math.inf)


def _first(k, groups, limits):
    """Return the places of the first k candidates within the limits.

    ``groups``: int (m,) for each of the ``limits``.
    """
    chosen, counts = [], Counter()
    for place, own in enumerate(zip(*(c.tolist() for c in groups), strict=True)):
        own = [(limit, code) for limit, code in enumerate(own) if code >= 0]
        if all(counts[limit, code] < limits[limit] for limit, code in own):
            chosen.append(place)
            counts.update(own)
            if len(chosen) == k:
                break
    return chosen


def _diverse(k, relevance, diversity, similar, groups, limits):
    """Return the places of k candidates, chosen one by one.

    Each is the best by ``relevance`` (m,) less ``diversity`` times the largest cosine
    with one that was chosen before. ``similar(place)`` returns cosines (m,).
    """
    chosen, nearest = [], None
    free = np.ones(len(relevance), dtype=bool)
    while len(chosen) < k and free.any():
        worth = relevance if nearest is None else relevance - diversity * nearest
        place = int(np.argmax(np.where(free, worth, -np.inf)))
        chosen.append(place)
        free[place] = False
        for codes, limit in zip(groups, limits, strict=True):
            alike = codes == codes[place]
            if codes[place] >= 0 and np.count_nonzero(alike[chosen]) == limit:
                free &= ~alike
        cosines = similar(place)
        nearest = cosines if nearest is None else np.maximum(nearest, cosines)
    return chosen


def in_both(first, second):
    """Return the positions that are in both of two sorted arrays, sorted."""
    few, many = sorted((first, second), key=len)
    if len(few) == 0:
        return few
    return few[many.take(np.searchsorted(many, few), mode="clip") == few]


def cosines_of(vectors):
    """Return what `Rules.lists` asks of vectors (m, d): cosines by their place."""
    vectors = vectors.astype(np.float64)
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    vectors /= np.where(lengths > 0, lengths, 1)
    return lambda place: vectors @ vectors[place]
