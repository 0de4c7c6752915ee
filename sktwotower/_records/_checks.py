"""Checks of what a file holds; as annotations they say what the fields of records are.

Input: a value that was read, and where it is, such as "model.users.ids".
Output: the value, or a ``ValueError`` that says what was expected.
"""

import contextlib
import math
from reprlib import repr as shorten
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import numpy as np


def refuse(place, expected, value=None):
    """Raise ``ValueError`` for a value that is not what was expected."""
    reason = f"{place} must be {expected}"
    if value is not None:
        reason += f". Got {shorten(value)} ({type(value).__name__})"
    raise DamagedError(reason)


class DamagedError(ValueError):
    """Says what is wrong in a file. Whoever knows its name says that, too.

    Parameters
    ----------
    reason : str
    """

    def __init__(self, reason):
        damage = "The file is damaged, or was not written by sktwotower"
        super().__init__(f"{damage}: {reason}.")
        self.reason = reason


def require(condition, place, expected, value=None):
    """Raise ``ValueError`` unless a condition holds."""
    if not condition:
        refuse(place, expected, value)


def cannot_write(value, place, why=""):
    """Return the error for a value that no file can hold."""
    return ValueError(
        f"{place} cannot be written to a file: {type(value).__qualname__}{why}. Files "
        "hold numbers, text, dates, tables, arrays and the estimators of this package "
        "and of scikit-learn, but no functions, callbacks or other objects. Set it to "
        "None or to a default before that, and set it again afterwards."
    )


def values_of(spec, names, place, what="a value"):
    """Return the values of a dict of exactly these keys, a list."""
    if type(spec) is not dict or set(spec) != set(names):
        refuse(place, f"{what} with {', '.join(names)}", spec)
    return [spec[name] for name in names]


@contextlib.contextmanager
def refusing(place, expected, errors=Exception):
    """Raise ``ValueError`` for errors of other libraries within the block."""
    try:
        yield
    except errors as error:
        refuse(place, f"{expected} ({error})")


class Check:
    """What a value must be: called with it and its place, or as an annotation.

    Parameters
    ----------
    check : callable
        Is called with a value and its place, and raises ``ValueError``.
    dims : str or None, default=None
        Names of the sizes of the value, as in "n d", "n+1 d" or "2 *": sizes of one
        name are equal within a record. An integer of the record may have the name, too.
    """

    def __init__(self, check, dims=None):
        self.check = check
        self.dims = dims

    def __call__(self, value, place):
        """Return a value that passes the check."""
        self.check(value, place)
        return value

    def __or__(self, other):
        if other is None:
            return Maybe(self)
        return NotImplemented

    def match(self, value, sizes, place):
        """Raise unless the sizes of a value are those that are known by their names.

        ``sizes``: those known so far, a dict, to which new ones are added.
        """
        if self.dims is None:
            return
        if hasattr(value, "shape"):
            shape = value.shape
        else:
            shape = (len(value),)
        dims = self.dims.split()
        for dim, length in zip(dims, shape, strict=True):
            name, _, more = dim.partition("+")
            size = length - int(more or 0)
            if name == "*":
                continue
            expected = f"of the shape ({', '.join(dims)})"
            if name.isdigit():
                known_size = int(name)
            else:
                known_size = sizes.setdefault(name, size)
                expected += f" with {name} = {known_size}"
            if size < 0 or size != known_size:
                refuse(place, expected, shape)

    def write(self, value, writer, place):
        """Return what JSON holds for a value."""
        return writer.write(value, place)

    def read(self, spec, reader, place):
        """Return the value that JSON holds."""
        return self(reader.read(spec, place), place)


class Maybe(Check):
    """What another check accepts, or None."""

    def __init__(self, of):
        self.of = of

    def __call__(self, value, place):
        if value is None:
            return None
        return self.of(value, place)

    def match(self, value, sizes, place):
        """Raise unless the sizes of a value are those that are known, or it is None."""
        if value is not None and hasattr(self.of, "match"):
            self.of.match(value, sizes, place)

    def write(self, value, writer, place):
        """Return what JSON holds for a value or None."""
        if value is None:
            return None
        return self.of.write(value, writer, place)

    def read(self, spec, reader, place):
        """Return the value that JSON holds, or None."""
        if spec is None:
            return None
        return self.of.read(spec, reader, place)


class Named(Maybe):
    """A dict of text to what another check accepts."""

    def __call__(self, value, place):
        instance(dict)(value, place)
        for name, element in value.items():
            text(name, f"a name of {place}")
            self.of(element, f"{place}.{name}")
        return value

    def match(self, value, sizes, place):
        """Raise unless the sizes of all values are those that are known."""
        for name, element in value.items():
            self.of.match(element, sizes, f"{place}.{name}")

    def write(self, value, writer, place):
        """Return what JSON holds for a dict."""
        specs = {}
        for name, element in value.items():
            specs[name] = self.of.write(element, writer, f"{place}.{name}")
        return specs

    def read(self, spec, reader, place):
        """Return the dict that JSON holds."""
        instance(dict)(spec, place)
        values = {}
        for name, element in spec.items():
            values[name] = self.of.read(element, reader, f"{place}.{name}")
        return values


class Vectors(Check):
    """Vectors, float32, which may be stored in fewer bits."""

    def __init__(self, dims, must_be_finite):
        super().__init__(array("float32", dims), dims)
        self.must_be_finite = must_be_finite

    def write(self, value, writer, place):
        """Return what JSON holds for vectors."""
        return writer.vectors(value, place)

    def read(self, spec, reader, place):
        """Return the vectors that JSON holds."""
        values = self(reader.vectors(spec, place), place)
        if self.must_be_finite and reader.file.verify:
            finite(values, place)
        return values


def check_of(annotation):
    """Return the check that an annotation stands for.

    It is a check, a type, another record, or a list, tuple, dict or union of these.
    ``Annotated[type, check]`` shows the type to readers.
    """
    if hasattr(annotation, "read"):
        return annotation
    origin = get_origin(annotation)
    args = get_args(annotation)
    if origin is Annotated:
        return check_of(args[1])
    if annotation in (object, Any):
        return any_value
    if origin in (Union, UnionType):
        types = [arg for arg in args if arg is not NoneType]
        if len(types) == 1:
            check = check_of(types[0])
        else:
            check = instance(*types)
        if len(types) < len(args):
            check = Maybe(check)
        return check
    if origin is Literal:
        return one_of(*args)
    if origin is list:
        return list_of(check_of(args[0]))
    if origin is dict:
        return Named(check_of(args[1]))
    if origin is tuple:
        if args[1:] == (...,):
            return _sequence_of(tuple, check_of(args[0]))
        return _tuple(*map(check_of, args))
    if not isinstance(annotation, type):
        raise TypeError(f"{annotation!r} does not say what a field of a record is.")
    return instance(annotation)


any_value = Check(lambda value, place: None)


def instance(*types):
    """Return a check for instances of some types (not of their subclasses)."""

    def check(value, place):
        if type(value) not in types:
            names = [cls.__name__ for cls in types]
            refuse(place, " or ".join(names), value)

    made = Check(check)
    made.types = frozenset(types)
    return made


text = instance(str)
boolean = instance(bool)


def integer(minimum=0, maximum=None):
    """Return a check for an int from ``minimum`` to ``maximum``."""

    def check(value, place):
        fits = type(value) is int and value >= minimum
        if not fits or (maximum is not None and value > maximum):
            expected = f"an integer >= {minimum}"
            if maximum is not None:
                expected += f" and <= {maximum}"
            refuse(place, expected, value)

    return Check(check)


def number(minimum=-math.inf, above=-math.inf):
    """Return a check for a finite number >= ``minimum`` and > ``above``."""

    def check(value, place):
        fits = isinstance(value, int | float | np.number) and type(value) is not bool
        fits = fits and math.isfinite(value) and value >= minimum and value > above
        if not fits:
            expected = "a finite number"
            if above >= minimum and above != -math.inf:
                expected += f" > {above}"
            elif minimum != -math.inf:
                expected += f" >= {minimum}"
            refuse(place, expected, value)

    return Check(check)


def one_of(*values):
    """Return a check for one of some values."""

    def check(value, place):
        for allowed in values:
            if type(value) is type(allowed) and value == allowed:
                return
        refuse(place, f"one of {values}", value)

    return Check(check)


@Check
def share(value, place):
    """Check a float from 0 to 1, or nan."""
    fits = type(value) is float and (math.isnan(value) or 0 <= value <= 1)
    require(fits, place, "a share, from 0 to 1 or nan")


def list_of(check, dims=None):
    """Return a check for a list whose elements pass a check."""
    return _sequence_of(list, check_of(check), dims)


def _sequence_of(container, check, dims=None):
    """Return a check for a list or tuple whose elements pass a check."""
    is_container = instance(container)
    types = getattr(check, "types", frozenset())

    def of(value, place):
        is_container(value, place)
        if set(map(type, value)) <= types:  # the fast way for many of them
            return
        for element in value:
            check(element, place)

    return Check(of, dims)


def _tuple(*checks):
    """Return a check for a tuple of an element for each check."""

    def of(value, place):
        fits = type(value) is tuple and len(value) == len(checks)
        require(fits, place, f"a tuple of {len(checks)}")
        for check, element in zip(checks, value, strict=True):
            check(element, place)

    return Check(of)


def array(dtypes, dims=None, is_finite=False, least=None, most=math.inf, order=None):
    """Return a check for an array of one of some dtypes, such as "float32 int64".

    ``dtypes`` "": of any. ``dims``: names of its sizes; None: of any number.
    ``is_finite``: whether all numbers are. ``least``: the least one allowed, and with
    it ``most``. ``order``: what each number is to the one before, `np.greater` or
    `np.greater_equal`.
    """
    expected = "an array"
    n_dims = None
    if dims is not None:
        n_dims = len(dims.split())
        expected += f" of {n_dims} dimensions"
    expected += f" and dtype {dtypes or 'any'}"
    limits = f">= {least}"
    if most != math.inf:
        limits = f"from {least} to {most}"

    def check(value, place):
        fits = isinstance(value, np.ndarray) and n_dims in (None, value.ndim)
        if dtypes:
            fits = fits and value.dtype.name in dtypes.split()
        require(fits, place, expected, value)
        if is_finite:
            finite(value, place)
        if least is not None:
            inside = (least <= value) & (value <= most)
            require(inside.all(), place, f"numbers {limits}")
        if order is not None:
            require(order(value[1:], value[:-1]).all(), place, "ascending")

    return Check(check, dims)


def vectors(dims="n d", must_be_finite=False):
    """Return a check for float32 vectors (n, d), perhaps stored in fewer bits.

    ``must_be_finite``: whether files that are verified are refused if they are not.
    """
    return Vectors(dims, must_be_finite)


def finite(values, place):
    """Raise unless all numbers of an array or matrix are finite."""
    if isinstance(values, np.ndarray):
        numbers = values
    else:
        numbers = values.data
    require(np.isfinite(numbers).all(), place, "finite numbers")
    return values


def positions(values, place, stop, start=0):
    """Raise unless all of an array of integers are in [start, stop)."""
    inside = not len(values) or start <= values.min() <= values.max() < stop
    require(inside, place, f"positions from {start} to {stop - 1}")
    return values


def csr(shape=None, canonical=True, empty_last=False, is_finite=False):
    """Return a check for a float32 CSR matrix whose offsets and columns are valid.

    ``shape``: sizes, or their names as in `array`. ``canonical``: columns ascend within
    each row. ``empty_last``: the last row is empty. ``is_finite``: all entries are.
    """
    dims = None
    if isinstance(shape, str):
        dims = shape
        shape = None

    def check(value, place):
        fits = getattr(value, "format", None) == "csr" and value.ndim == 2
        require(fits, place, "a CSR matrix", value)
        require(value.dtype == np.float32, place, "a matrix of float32")
        if shape is not None:
            require(value.shape == shape, place, f"a matrix of shape {shape}")
        if canonical:
            ascending = value.has_canonical_format
            require(ascending, place, "a CSR matrix whose columns ascend in each row")
        if empty_last:
            has_rows = value.shape[0] > 0
            is_empty = has_rows and value.indptr[-1] == value.indptr[-2]
            require(is_empty, place, "a matrix whose last row is empty")
        if is_finite:
            finite(value, place)

    return Check(check, dims)
