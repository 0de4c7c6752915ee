"""Positions of ids, without pandas.

Input: ids (n,), and ids that a request names.
Output: positions in [0, n), -1 for unknown ids.
"""

import datetime
from contextlib import suppress
from decimal import Decimal
from functools import cached_property
from numbers import Real

import numpy as np

from sktwotower._tables._messages import not_unicode, shorten, warn

from ._cell_encoders import date_of, is_missing, is_unfit


class IdTable:
    """The ids of users or of items.

    Parameters
    ----------
    ids : array of shape (n,)
        Distinct ids.
    side : {"user", "item"}
        What messages call them.
    """

    def __init__(self, ids, side):
        self.ids = ids
        self.one = "A user"
        if side == "item":
            self.one = "An item"
        self.is_sorted = False
        if ids.dtype.kind in "iu":
            self.is_sorted = bool((ids[1:] > ids[:-1]).all())

    @cached_property
    def places(self):
        """The position of each id, a dict."""
        ids = self.ids
        if ids.dtype.kind == "M":
            ids = ids.astype("datetime64[ns]").view(np.int64)
        return {key: place for place, key in enumerate(ids.tolist())}

    def position(self, value):
        """Return the position of an id, -1 if it is unknown.

        Raise ``ValueError`` for a missing id, ``TypeError`` for what is none.
        """
        try:
            key = value
            if type(value) not in (int, str):
                key = self._plain(value)
            place = self._place(key)
            if place < 0 and isinstance(key, int | str):
                self._look_closer(key)
        except (ArithmeticError, TypeError):
            raise TypeError(
                f"{self.one} must be an id, a number or text. Got {shorten(value)}."
            ) from None
        except UnicodeEncodeError as error:
            raise not_unicode(f"The id of {self.one.lower()}", error) from error
        return place

    def place_of(self, value):
        """Return the position of an id, -1 if it is unknown, without a closer look."""
        return self._place(self._plain(value))

    def _plain(self, value):
        """Return an id as the table may have it; None: it is unknown."""
        if isinstance(value, np.generic) and not isinstance(value, np.datetime64):
            value = value.item()
        if is_missing(value):
            raise ValueError(f"{self.one} is missing (None or NaN): pass an id.")
        # ids of fit can be sorted
        if is_unfit(value) or type(value).__lt__ is object.__lt__:
            raise TypeError
        if isinstance(value, Decimal) and value % 1 == 0:
            value = int(value)
        if isinstance(value, bool) and self.ids.dtype.kind != "b":
            return None  # True is no 1, which would be equal
        is_date = isinstance(value, np.datetime64 | datetime.date)
        if is_date and self.ids.dtype.kind == "M":
            value = int(date_of(value).astype("datetime64[ns]").view(np.int64))
        return value

    def _place(self, value):
        """Return the position of an id as the table may have it, or -1."""
        ids = self.ids
        if not self.is_sorted:
            return self.places.get(value, -1)
        hash(value)  # no id if it has none
        if not isinstance(value, Real) or not len(ids):
            return -1
        if not int(ids[0]) <= value <= int(ids[-1]) or value != int(value):
            return -1
        # in the type of ids: numpy compares other integers with unsigned ones as floats
        place = int(ids.searchsorted(ids.dtype.type(int(value))))
        if int(ids[place]) != value:
            return -1
        return place

    def _look_closer(self, value):
        """Warn of an unknown id that would be known as another type."""
        if isinstance(value, str):
            value.encode()  # refuses half of a surrogate pair
        with suppress(ValueError):  # not a number, or one of thousands of digits
            if isinstance(value, str):
                other = int(value)
                kind = "a number"
            else:
                other = str(value)
                kind = "text"
            if self._place(other) >= 0:
                warn(f"{self.one} is known as {kind}: convert ids to that type.")

    def positions(self, values, name):
        """Return positions (m,) of ids, a list or an array called ``name``."""
        is_list = np.iterable(values) and not hasattr(values, "columns")
        if isinstance(values, str | bytes | dict) or not is_list:
            raise TypeError(f"{name} must be a list of ids. Got {shorten(values)}.")
        if getattr(values, "dtype", np.dtype(object)).kind in "iu":
            values = np.ravel(values).tolist()  # also of a Series
        if self.is_sorted and set(map(type, values)) == {int}:
            wanted = np.array(values)
            # none is too large, and numpy does not compare them as floats
            if wanted.dtype.kind == "i" and self.ids.dtype != np.uint64:
                places = self.ids.searchsorted(wanted)
                is_known = self.ids.take(places, mode="clip") == wanted
                return np.where(is_known, places, -1)
        return np.array([self.position(value) for value in values], dtype=np.int64)
