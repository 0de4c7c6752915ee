"""Checks of what a file holds, each of which names the place in the model.

Input: a value that was read, and where it is, such as "model.users.ids".
Output: the value, or a ``ValueError`` that says what was expected.
"""

import math
from reprlib import repr as shorten

import numpy as np
from scipy import sparse

__all__ = [
    "any_value",
    "array",
    "csr",
    "finite",
    "instance",
    "integer",
    "list_of",
    "number",
    "one_of",
    "optional",
    "positions",
    "refuse",
    "require",
    "tuple_of",
]


def refuse(place, expected, value=None):
    """Raise ``ValueError`` for a value that is not what was expected."""
    got = "" if value is None else f" Got {shorten(value)} ({type(value).__name__})."
    raise ValueError(
        f"The file is damaged, or was not written by sktwotower.io.dump: {place} must "
        f"be {expected}.{got}"
    )


def require(condition, place, expected):
    """Raise ``ValueError`` unless a condition holds."""
    if not condition:
        refuse(place, expected)


def any_value(value, place):
    """Accept any value."""
    return value


def instance(*types):
    """Return a check for instances of some types (not of their subclasses)."""

    def check(value, place):
        if type(value) not in types:
            refuse(place, " or ".join(each.__name__ for each in types), value)
        return value

    return check


text = instance(str)
boolean = instance(bool)


def integer(minimum=0, maximum=None):
    """Return a check for an int from ``minimum`` to ``maximum``."""

    def check(value, place):
        fits = type(value) is int and value >= minimum
        if not fits or (maximum is not None and value > maximum):
            limit = "" if maximum is None else f" and <= {maximum}"
            refuse(place, f"an integer >= {minimum}{limit}", value)
        return value

    return check


def number(minimum=-math.inf):
    """Return a check for a finite number >= ``minimum``, of Python or numpy."""

    def check(value, place):
        fits = isinstance(value, int | float | np.number) and not isinstance(
            value, bool
        )
        if not fits or not math.isfinite(value) or value < minimum:
            refuse(place, f"a finite number >= {minimum}", value)
        return value

    return check


def one_of(*values):
    """Return a check for one of some values."""

    def check(value, place):
        if not any(type(value) is type(each) and value == each for each in values):
            refuse(place, f"one of {values}", value)
        return value

    return check


def optional(check):
    """Return a check that also accepts None."""
    return lambda value, place: None if value is None else check(value, place)


def _sequence_of(kind, check):
    def of(value, place):
        if type(value) is not kind:
            refuse(place, f"a {kind.__name__}", value)
        for each in value:
            check(each, place)
        return value

    return of


def list_of(check):
    """Return a check for a list whose elements pass a check."""
    return _sequence_of(list, check)


def tuple_of(check):
    """Return a check for a tuple whose elements pass a check."""
    return _sequence_of(tuple, check)


def array(dtypes, ndim):
    """Return a check for an array of one of some dtypes, such as "float32 int64"."""

    def check(value, place):
        fits = isinstance(value, np.ndarray) and value.ndim == ndim
        if not fits or value.dtype.name not in dtypes.split():
            refuse(place, f"an array of {ndim} dimensions and dtype {dtypes}", value)
        return value

    return check


def finite(values, place):
    """Raise unless all numbers of an array or matrix are finite."""
    numbers = values.data if sparse.issparse(values) else values
    require(np.isfinite(numbers).all(), place, "finite numbers")
    return values


def positions(values, place, stop, start=0):
    """Raise unless all of an array of integers are in [start, stop)."""
    if len(values) and not start <= values.min() <= values.max() < stop:
        refuse(place, f"positions from {start} to {stop - 1}")
    return values


def csr(shape=None, canonical=True, empty_last=False):
    """Return a check for a float32 CSR matrix whose offsets and columns are valid.

    ``canonical``: columns ascend within each row. ``empty_last``: the last row is
    empty.
    """

    def check(value, place):
        if not sparse.issparse(value) or value.format != "csr" or value.ndim != 2:
            refuse(place, "a CSR matrix", value)
        require(value.dtype == np.float32, place, "a matrix of float32")
        if shape is not None:
            require(value.shape == shape, place, f"a matrix of shape {shape}")
        require(
            not canonical or value.has_canonical_format,
            place,
            "a CSR matrix whose columns ascend in each row",
        )
        last = value.shape[0] > 0 and value.indptr[-1] == value.indptr[-2]
        require(not empty_last or last, place, "a matrix whose last row is empty")
        return value

    return check
