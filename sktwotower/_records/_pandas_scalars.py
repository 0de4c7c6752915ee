"""Single values of pandas that JSON does not have, next to those of ``_scalars``.

Input: a value, or what JSON holds in its place.
Output: the other one of both.
"""

import numpy as np
import pandas as pd

from ._scalars import NUMPY_NUMBERS, Scalar, zone_name, zone_of
from ._scalars import SCALARS as OTHERS


def _write_timestamp(value):
    return [int(value.asm8.view(np.int64)), value.unit, zone_name(value.tzinfo)]


def _read_timestamp(number, unit, zone):
    moment = pd.Timestamp(np.datetime64(number, unit)).as_unit(unit)
    return moment.tz_localize("UTC").tz_convert(zone_of(zone))


def _write_timedelta(value):
    return [int(value.asm8.view(np.int64)), value.unit]


def _read_timedelta(number, unit):
    return pd.Timedelta(np.timedelta64(number, unit)).as_unit(unit)


def _write_period(value):
    return [int(value.ordinal), value.freqstr]


def _read_period(ordinal, unit):
    return pd.Period(ordinal=ordinal, freq=unit)


SCALARS = OTHERS | {
    "Timestamp": Scalar(pd.Timestamp, _write_timestamp, _read_timestamp),
    "Timedelta": Scalar(pd.Timedelta, _write_timedelta, _read_timedelta),
    "NaT": Scalar(type(pd.NaT), lambda value: [], lambda: pd.NaT),
    "NA": Scalar(type(pd.NA), lambda value: [], lambda: pd.NA),
    "Period": Scalar(pd.Period, _write_period, _read_period),
}
_NAMES = {scalar.cls: name for name, scalar in SCALARS.items()}


def scalar_of(value):
    """Return the name in ``SCALARS`` of the type of a value, or None."""
    is_time = isinstance(value, np.timedelta64)  # which are numbers to numpy
    if isinstance(value, np.bool_ | np.number) and not is_time:
        if value.dtype.name in NUMPY_NUMBERS:
            return "number"
        return None
    return _NAMES.get(type(value))
