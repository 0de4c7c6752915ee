"""Columns of the item table, and which of their cells are what a rule asks for.

Input: a column, an array (n_items,), and a value, a list of values or an interval.
Output: bool (n_items,); codes of equal cells, int (n_items,).
"""

import datetime
import functools
from numbers import Number

import numpy as np

from sktwotower._tables._messages import shorten

from ._cell_encoders import is_missing

# What dates can be compared with.
DATES = str, datetime.date, np.datetime64


def listed(rule):
    """Return the values that a rule names, a list: also the ends of an interval."""
    if hasattr(rule, "to_list"):  # a column of pandas or polars
        return rule.to_list()
    are_many = isinstance(rule, tuple | list | set | frozenset)
    if are_many or getattr(rule, "ndim", 0) == 1:
        return list(rule)
    return [rule]


class ItemColumn:
    """A column of the item table: its distinct values, and which one each item has.

    Parameters
    ----------
    values : array of shape (n_items,)
        Missing values are None, NaN or NaT. A cell that is a list has several values.
        Times count to the microsecond.
    name : str
        Name of the column in messages.

    Attributes
    ----------
    places : dict
        The position of each distinct value.
    rows, codes : int arrays of shape (p,)
        The item of each known value, and the position of this value.
    levels : array of shape (n_levels,)
        The distinct values.
    types : tuple
        Classes whose objects can be compared with them.
    """

    def __init__(self, values, name):
        self.name = name
        self.n_items = len(values)
        self.places = {}
        kind = values.dtype.kind
        if kind in "mM":
            values = values.astype(f"{kind}8[us]")
        rows = []
        codes = []
        try:
            for row, cell in enumerate(values.tolist()):
                for value in listed(cell):
                    if not is_missing(value):
                        rows.append(row)
                        codes.append(self.places.setdefault(value, len(self.places)))
        except (TypeError, ValueError):
            raise ValueError(
                f"The column {name!r} of the item table holds objects that cannot be "
                "compared. Pass a function as where."
            ) from None
        self.rows = np.array(rows, np.int64)
        self.codes = np.array(codes, np.int64)
        families = {_family(type(level)) for level in self.places}
        dtype = object
        if families == {Number}:  # as an array of numbers they are compared faster
            dtype = None
        self.levels = np.array([*self.places], dtype=dtype)
        self.types = tuple(families) or object
        if kind == "M":
            self.types = DATES

    def mask(self, rule):
        """Return which items (n_items,) have a value that a rule asks for."""
        is_interval = isinstance(rule, tuple)
        fits = np.zeros(len(self.levels), dtype=bool)
        try:
            cells = [self._as_level(cell, is_interval) for cell in listed(rule)]
            if is_interval:
                low, high = cells
                if None not in cells and low > high:
                    raise ValueError
                fits[:] = True
                if low is not None:
                    fits &= self.levels >= low
                if high is not None:
                    fits &= self.levels <= high
            else:
                known = [self.places[cell] for cell in cells if cell in self.places]
                fits[known] = True
        except (TypeError, ValueError):
            raise ValueError(
                f"where[{self.name!r}] must be a value, a list of values, or a pair of "
                "numbers or dates (low, high), low <= high, of the type of the column, "
                f"such as {shorten([*self.places][:2])}. Got {shorten(rule)}. A "
                "function can say all else, also what holds of missing values."
            ) from None
        mask = np.zeros(self.n_items, dtype=bool)
        mask[self.rows[fits[self.codes]]] = True
        return mask

    @functools.cached_property
    def groups(self):
        """Int (n_items,), equal for items of equal value; -1: missing."""
        if (np.diff(self.rows) == 0).any():
            raise ValueError(
                f"max_per names {self.name!r}, a column of lists. Name one with a "
                "single value for each item."
            )
        groups = np.full(self.n_items, -1)
        groups[self.rows] = self.codes
        return groups

    def _as_level(self, cell, is_interval):
        """Return a value as the levels are, times with a zone as UTC."""
        if is_interval and cell is None:
            return None
        if not isinstance(cell, self.types):
            raise TypeError
        if self.types is DATES:
            if getattr(cell, "tzinfo", None) is not None:
                cell = cell.astimezone(datetime.UTC).replace(tzinfo=None)
            cell = np.datetime64(cell, "us").item()
        if is_missing(cell) or (is_interval and isinstance(cell, str)):
            raise ValueError
        return cell


def _family(kind):
    """Return the class whose objects can be compared with those of a type."""
    for base in (str, Number):
        if issubclass(kind, base):
            return base
    return kind
