"""Columns of the item table, and which of their cells are what a rule asks for.

Input: a column, an array (n_items,), and a value, a list of values or an interval.
Output: bool (n_items,); groups of equal cells, int (n_items,).
"""

import datetime
from numbers import Number

import numpy as np

from sktwotower._tables._messages import shorten

# What cells are compared with, by the kind of the array.
TYPES = {
    **dict.fromkeys("biuf", (Number, np.bool_)),
    "M": (str, datetime.date, np.datetime64),
    "m": (datetime.timedelta, np.timedelta64),
}


def listed(rule):
    """Return the values that a rule names, a list: also the ends of an interval."""
    if isinstance(rule, tuple | list | set | frozenset):
        return list(rule)
    return rule.tolist() if getattr(rule, "ndim", 0) == 1 else [rule]


class ItemColumn:
    """The known cells of a column, and their distinct values.

    Parameters
    ----------
    values : array of shape (n_items,)
        Numbers, booleans, dates and durations, with NaN or NaT where they are missing;
        or objects, with None or NaN. A cell that is a list has several values.
    name : str
        Name of the column in messages.

    Attributes
    ----------
    rows : int array of shape (p,)
        The item of each known cell.
    levels : array of shape (n_levels,)
        The distinct values. Times are those to the microsecond.
    codes : int array of shape (p,)
        The position of the value of each cell among the levels.
    """

    def __init__(self, values, name):
        self.name, self.n_items, kind = name, len(values), values.dtype.kind
        if kind not in TYPES:
            self._set_objects(values)
            return
        values = values.astype(f"{kind}8[us]") if kind in "mM" else values
        self.types, self.rows = TYPES[kind], np.flatnonzero(values == values)
        self.levels, self.codes = np.unique(values[self.rows], return_inverse=True)

    def _set_objects(self, values):
        rows, codes, places = [], [], {}
        for row, cell in enumerate(values):
            for each in listed(cell):
                if not _is_missing(each):
                    rows.append(row)
                    codes.append(places.setdefault(each, len(places)))
        self.rows, self.codes = np.array(rows, np.int64), np.array(codes, np.int64)
        self.levels = np.fromiter(places, dtype=object, count=len(places))
        self.types = tuple({_family(type(level)) for level in places}) or object

    def mask(self, rule):
        """Return which items (n_items,) have a value that a rule asks for."""
        cells, is_interval = listed(rule), isinstance(rule, tuple)
        is_text = self.levels.dtype == object and str in map(type, cells)
        if is_interval and (is_text or len(cells) != 2):
            raise ValueError(
                f"where[{self.name!r}] must be a pair (low, high) of numbers or dates "
                f"to be an interval. Got {shorten(rule)}. For any of several values "
                "pass a list."
            )
        for cell in cells:
            is_open = is_interval and cell is None
            if not is_open and (_is_missing(cell) or not isinstance(cell, self.types)):
                raise TypeError(
                    f"where[{self.name!r}] must be of the type of the column, which "
                    f"holds {shorten(self.levels[:2].tolist())}, and not missing. Got "
                    f"{shorten(rule)}. All else can be asked by a function."
                )
        cells = [None if cell is None else self._as_level(cell) for cell in cells]
        found = self._between(*cells) if is_interval else self._among(cells)
        mask = np.zeros(self.n_items, dtype=bool)
        mask[self.rows[found[self.codes]]] = True
        return mask

    def _as_level(self, cell):
        """Return a value as the levels are; times with a zone become UTC."""
        if self.levels.dtype.kind not in "mM":
            return cell
        if getattr(cell, "tzinfo", None) is not None:
            cell = cell.astimezone(datetime.UTC).replace(tzinfo=None)
        return np.array(cell, dtype=self.levels.dtype)[()]

    def _among(self, cells):
        """Return which levels (n_levels,) are among some values."""
        if self.levels.dtype != object:
            return np.isin(self.levels, cells)
        cells = set(cells)
        return np.array([level in cells for level in self.levels], dtype=bool)

    def _between(self, low, high):
        """Return which levels (n_levels,) lie in an interval; None: it is open."""
        inside = np.ones(len(self.levels), dtype=bool)
        if low is not None:
            inside &= (self.levels >= low).astype(bool)
        if high is not None:
            inside &= (self.levels <= high).astype(bool)
        return inside

    def groups(self):
        """Return int (n_items,), equal for items of equal value; -1: missing."""
        if len(np.unique(self.rows)) < len(self.rows):
            raise ValueError(
                f"max_per names {self.name!r}, a column of lists. Name one with one "
                "value for each item."
            )
        groups = np.full(self.n_items, -1)
        groups[self.rows] = self.codes
        return groups


def _family(kind):
    """Return the class whose objects can be compared with those of a type."""
    return next((base for base in (str, Number) if issubclass(kind, base)), kind)


def _is_missing(cell):
    return cell is None or (isinstance(cell, float | np.generic) and cell != cell)
