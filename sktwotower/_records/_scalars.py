"""Single values that JSON does not have: dates, durations, decimals, UUIDs, bytes.

Input: a value, or what JSON holds in its place: a dict with the name of the type.
Output: the other one of both.
"""

import base64
import math
import operator
import uuid
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import NamedTuple
from zoneinfo import ZoneInfo

import numpy as np
from numpy.random import RandomState

# JSON holds these as they are.
PLAIN = frozenset([type(None), bool, int, str])
INTEGERS = "int8 int16 int32 int64 uint8 uint16 uint32 uint64"
FLOATS = "float16 float32 float64"
NUMPY_NUMBERS = frozenset(["bool", *INTEGERS.split(), *FLOATS.split()])


class Scalar(NamedTuple):
    """A type of single values: how they become lists of JSON values, and back."""

    cls: type
    write: object
    read: object


# A value is written as a list: `_read_x(*_write_x(value))` is an equal one.


def _write_datetime(value):
    return [value.replace(tzinfo=None).isoformat(), zone_name(value.tzinfo), value.fold]


def _write_time(value):
    return [value.replace(tzinfo=None).isoformat()]


def _write_timedelta(value):
    return [value.days, value.seconds, value.microseconds]


def _read_datetime(text, zone, fold):
    return datetime.fromisoformat(text).replace(tzinfo=zone_of(zone), fold=fold)


def zone_name(zone):
    """Return the name of a time zone; raise ``TypeError`` if it has none."""
    if zone is None:
        return None
    name = getattr(zone, "key", None) or str(zone)
    if zone_of(name) != zone and str(zone_of(name)) != str(zone):
        raise TypeError(f"the time zone {zone!r} has no name")
    return name


def zone_of(name):
    """Return the time zone of a name; None for None."""
    if name is None:
        return None
    if name.startswith("UTC"):  # UTC, UTC+01:00
        return datetime.strptime(name[3:] or "Z", "%z").tzinfo
    return ZoneInfo(name)


def _write_moment(value):
    unit, count = np.datetime_data(value.dtype)
    return [int(value.view(np.int64)), unit, int(count)]


def _numpy_unit(kind):
    def read(number, unit, count):
        return np.array(number).astype(f"{kind}[{count}{unit}]")[()]

    return read


def _read_number(name, value):
    if name not in NUMPY_NUMBERS:
        raise ValueError(f"{name!r} is not a type of numbers")
    if isinstance(value, str):
        value = _read_float(value)
    return np.dtype(name).type(value)


def _write_float(value):
    if math.isfinite(value):
        return value
    return repr(value)


def _read_float(value):
    return {"nan": math.nan, "inf": math.inf, "-inf": -math.inf}[value]


def _write_number(value):
    plain = value.item()
    if type(plain) is float:
        plain = _write_float(plain)
    return [value.dtype.name, plain]


def _read_decimal(text):
    value = Decimal(text)
    if value.is_snan():  # each use of it raises an error
        raise ValueError("a signaling NaN is no number")
    return value


def _read_fraction(numerator, denominator):
    # of text such as "1e99999999", all digits would be computed
    return Fraction(operator.index(numerator), operator.index(denominator))


def _write_random_state(value):
    _, key, place, has_gauss, gauss = value.get_state()
    return [int(place), int(has_gauss), float(gauss), *key.tolist()]


def _read_random_state(place, has_gauss, gauss, *key):
    if len(key) != 624 or not 0 <= place <= 624 or has_gauss not in (0, 1):
        raise ValueError("a state of MT19937 has 624 numbers and a place in them")
    state = RandomState()
    key = np.array(key, dtype=np.uint32)
    state.set_state(("MT19937", key, place, has_gauss, gauss))
    return state


SCALARS = {
    "float": Scalar(float, lambda value: [_write_float(value)], _read_float),
    "bytes": Scalar(
        bytes,
        lambda value: [base64.b64encode(value).decode()],
        lambda text: base64.b64decode(text, validate=True),
    ),
    "date": Scalar(date, lambda value: [value.isoformat()], date.fromisoformat),
    "time": Scalar(time, _write_time, time.fromisoformat),
    "datetime": Scalar(datetime, _write_datetime, _read_datetime),
    "timedelta": Scalar(timedelta, _write_timedelta, timedelta),
    "datetime64": Scalar(np.datetime64, _write_moment, _numpy_unit("datetime64")),
    "timedelta64": Scalar(np.timedelta64, _write_moment, _numpy_unit("timedelta64")),
    "Decimal": Scalar(Decimal, lambda value: [str(value)], _read_decimal),
    "Fraction": Scalar(Fraction, lambda f: [*f.as_integer_ratio()], _read_fraction),
    "UUID": Scalar(uuid.UUID, lambda value: [value.hex], uuid.UUID),
    "number": Scalar(np.number, _write_number, _read_number),
    "slice": Scalar(slice, lambda s: [s.start, s.stop, s.step], slice),
    "RandomState": Scalar(RandomState, _write_random_state, _read_random_state),
}
