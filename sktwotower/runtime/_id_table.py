"""Positions of ids, without pandas.

Input: ids (n,), and ids that a request names.
Output: positions in [0, n), -1 for unknown ids.
"""

import datetime
from functools import cached_property
from numbers import Real

import numpy as np

from ._cell_encoders import date_of, is_missing


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
        self.ids, self.side = ids, side
        self.is_sorted = ids.dtype.kind in "iu" and bool((ids[1:] > ids[:-1]).all())

    def __len__(self):
        return len(self.ids)

    @cached_property
    def places(self):
        """The position of each id, a dict."""
        ids = self.ids
        if ids.dtype.kind == "M":
            ids = ids.astype("datetime64[ns]").view(np.int64)
        return {each: place for place, each in enumerate(ids.tolist())}

    def position(self, value):
        """Return the position of an id, -1 if it is unknown.

        Raise ``ValueError`` for a missing id, ``TypeError`` for what is none.
        """
        if isinstance(value, np.generic) and not isinstance(value, np.datetime64):
            value = value.item()
        if is_missing(value):
            raise ValueError(f"A {self.side} is missing (None or NaN): pass an id.")
        is_date = isinstance(value, np.datetime64 | datetime.date)
        if is_date and self.ids.dtype.kind == "M":
            value = int(date_of(value).astype("datetime64[ns]").view(np.int64))
        try:
            if self.is_sorted:
                return self._among_numbers(value)
            return self.places.get(value, -1)
        except TypeError:
            raise TypeError(
                f"A {self.side} must be an id, a number or text. Got {value!r}."
            ) from None

    def _among_numbers(self, value):
        ids = self.ids
        if not isinstance(value, Real) or not len(ids):
            hash(value)
            return -1
        if not ids[0] <= value <= ids[-1] or value != int(value):
            return -1
        place = int(ids.searchsorted(int(value)))
        return place if ids[place] == value else -1

    def positions(self, values, name):
        """Return positions (m,) of ids, a list or an array called ``name``."""
        is_list = np.iterable(values) and not hasattr(values, "columns")
        if isinstance(values, str | bytes | dict) or not is_list:
            raise TypeError(f"{name} must be a list of {self.side}s. Got {values!r}.")
        if getattr(values, "dtype", np.dtype(object)).kind in "iu":
            values = values.ravel().tolist()
        if self.is_sorted and set(map(type, values)) == {int}:
            wanted = np.array(values)
            if wanted.dtype.kind == "i":  # none is too large
                places = self.ids.searchsorted(wanted)
                found = self.ids.take(places, mode="clip") == wanted
                return np.where(found, places, -1)
        return np.array([self.position(value) for value in values], dtype=np.int64)
