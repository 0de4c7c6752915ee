"""What files hold of the context of requests, and the feature row of one request.

Input: a context, a dict of columns to cells; a time, and the time since the last event.
Output: columns and values (m,) of its feature row.
"""

import bisect
import datetime
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from sktwotower._records import UpTo, array, integer, number, one_of, require
from sktwotower._tables._messages import closest, shorten
from sktwotower._tables._time_units import SIZES, TimeKind, nanoseconds_of

from ._cell_encoders import date_of, is_missing

HOUR = 3600 * 10**9
DAY = 24 * HOUR
FIRST_DAY = datetime.date(1970, 1, 1).toordinal()
LATEST = 2.0**63  # dates are below it, as they are int64
LARGEST = float(np.finfo(float).max)
# From so many times as long before now as requests are near, they are long before.
TIMES_NEAR = 4.0
N_PARTS = 24 + 7 + 12  # columns of hours, weekdays and months
# The value of each of the three entries of a date. With 1 each, their norm would be
# 1.7 times that of a column of the context; so it is 0.9.
SHARE = 0.5


class StoredClock(NamedTuple):
    """What files hold of a `RequestClock`."""

    dates: bool
    knots: array("float64", "n_knots", is_finite=True)
    unit: number(above=0)
    time_unit: one_of(*SIZES) | None = None
    reach: number(0) = 0.0
    now: number() = 0.0
    near: number(0) = 0.0

    _older_formats = (
        UpTo(1, lacking={"time_unit": None, "reach": 0.0, "now": 0.0, "near": 0.0}),
    )

    def _check_stored(self, place):
        knots = self.knots
        fits = self.time_unit is None or self.dates
        require(fits, f"{place}.time_unit", "a unit of instants")
        ascends = (np.diff(knots) > 0).all()
        fits = len(knots) != 1 and ascends and (knots >= 0).all()
        require(fits, f"{place}.knots", "none, or two or more ascending numbers >= 0")

    @property
    def time_kind(self):
        """What times are, a ``TimeKind``."""
        return TimeKind(self.dates, self.time_unit)

    def assumed_gap(self, latest):
        """Return the gap before a request without a time, or nan if it is not known.

        ``latest``: the time of the user's last event, or nan.
        """
        gap = self.now - latest
        if self.reach > 0 and gap <= self.reach:
            return gap
        return math.nan

    def shares_long_before(self, times):
        """Return how much weights of long before count at times (n,), from 0 to 1.

        Up to ``near`` before ``now`` they do not count, from four times that on they
        are all; between, they count in proportion to the logarithm. nan is now.
        """
        ages = np.nan_to_num(self.now - np.asarray(times, dtype=float), nan=0.0)
        places = np.log(np.maximum(ages / self.near, 1)) / np.log(TIMES_NEAR)
        return np.minimum(places, 1.0)

    @property
    def n_parts(self):
        """Number of columns of hours, weekdays and months."""
        if not self.dates:
            return 0
        return N_PARTS

    @property
    def width(self):
        """Number of columns."""
        return self.n_parts + len(self.knots)

    def places(self, gaps):
        """Return where gaps (m,) >= 0 are among the knots: their logarithms (m,)."""
        largest = LARGEST * min(self.unit, 1.0)  # divided by the unit it is finite
        in_units = np.minimum(gaps, largest) / self.unit
        return np.log2(1 + in_units)

    def of_one(self, time, gap):
        """Return columns and values, lists, of the time of one request.

        ``time``: nan if unknown. ``gap``: the time since the event before; None,
        negative, nan: unknown.
        """
        columns = []
        values = []
        knots = self.knots
        if math.isinf(time) or (self.dates and abs(time) >= LATEST):
            return columns, values
        if self.dates and not math.isnan(time):
            day, rest = divmod(int(time), DAY)
            month = datetime.date.fromordinal(day + FIRST_DAY).month
            columns = [rest // HOUR, 24 + (day + 3) % 7, 30 + month]
            values = [SHARE] * 3
        if gap is not None and gap >= 0 and len(knots):
            place = min(max(float(self.places(gap)), knots[0]), knots[-1])
            lower = min(bisect.bisect_right(knots, place, 1), len(knots) - 1) - 1
            share = (place - knots[lower]) / (knots[lower + 1] - knots[lower])
            share = np.float32(share)
            for knot, value in ((lower, 1 - share), (lower + 1, share)):
                if value:
                    columns.append(self.n_parts + knot)
                    values.append(value)
        return columns, values


def moment_of(cell, kind):
    """Return the time of a request as a float, nan for a missing one.

    ``kind``: what times were in fit, a ``TimeKind``. Raise ``TypeError`` or
    ``ValueError`` for what is no time.
    """
    if is_missing(cell):
        return math.nan
    is_number = not isinstance(cell, str | bool | np.datetime64 | datetime.date)
    if kind.unit is not None and is_number:
        number = np.array([cell])
        if number.dtype.kind not in "iuf" or not math.isfinite(cell):
            raise TypeError
        return float(nanoseconds_of(number, kind.unit, "the time")[0])
    if not kind.dates:
        if not is_number:
            raise TypeError
        return float(cell)
    return float(date_of(cell).astype("datetime64[ns]").view(np.int64))


class StoredContext:
    """What is known of a context by what files hold of it."""

    def _check_stored(self, place):
        names = self.all_columns
        require(len(set(names)) == len(names), f"{place}.columns", "distinct names")
        require((self.time is None) == (self.clock is None), place, "a clock for times")

    @property
    def width(self):
        """Number of columns of feature rows."""
        return self.own_width + self.clock_width

    @property
    def clock_width(self):
        """Number of columns of the time, which are the last."""
        if self.clock is None:
            return 0
        return self.clock.width

    @property
    def all_columns(self):
        """Names of all columns of the context, also the time, a list."""
        columns = list(self.columns)
        if self.time is not None:
            columns.append(self.time)
        return columns

    def check_mapping(self, mapping):
        """Raise unless this is a mapping of context columns to cells."""
        if not isinstance(mapping, Mapping):
            raise TypeError(
                f"context must be a dict of context columns to values, such as "
                f"{{'hour': 9}}. Got {type(mapping).__name__}."
            )
        known = self.all_columns
        for key in mapping:
            if not isinstance(key, (str, int)):
                got = f"Got {key!r} ({type(key).__name__})."
                raise TypeError(f"context must have names of columns as keys. {got}")
            if key not in known:
                close = closest(key, known)
                hint = ""
                if close is not None:
                    hint = f" Did you mean {close!r}?"
                columns = ", ".join(map(str, known)) or "it had none"
                raise ValueError(
                    f"context names {key!r}, which is not a context column of fit "
                    f"({columns}).{hint}"
                )


@dataclass(frozen=True, eq=False)
class ContextCells(StoredContext):
    """A context whose cells are encoded one by one."""

    columns: list[str | int]
    time: str | int | None
    transformer: list | None  # pairs of the position of a column, and its encoder
    own_width: integer()
    clock: StoredClock | None
    ranges: array("float64", "n_ranges 2") | None = None

    _older_formats = (UpTo(1, lacking={"ranges": None}),)

    def _check_stored(self, place):
        super()._check_stored(place)
        encoders = self.transformer or ()
        width = sum(len(encoder.names) for _, encoder in encoders)
        require(width == self.own_width, place, f"features in {width} columns")
        for position, _ in encoders:
            require(position < len(self.columns), place, "encoders of its columns")
        fits = self.ranges is None or len(self.ranges) == len(self.columns)
        require(fits, f"{place}.ranges", f"{len(self.columns)} ranges")

    def entries(self, context, latest, assumed=math.nan):
        """Return columns and values (m,) of the row of a request.

        ``context``: a dict. ``latest``: the time of the user's last event, or nan.
        ``assumed``: the gap since it if the request has no time, or nan.
        """
        self.check_mapping(context)
        columns = [np.zeros(0, dtype=int)]
        values = [np.zeros(0)]
        start = 0
        try:
            for position, encoder in self.transformer or ():
                name = self.columns[position]
                kind = encoder.kind
                cell = context.get(name)
                if not is_missing(cell):
                    places, weights = encoder.entries(cell)
                    if not np.isfinite(weights).all():
                        raise ValueError
                    columns.append(start + places[weights != 0])
                    values.append(weights[weights != 0])
                start += len(encoder.names)
            if self.clock is not None:
                name = self.time
                kind = "number"
                if self.clock.dates:
                    kind = "datetime"
                time = moment_of(context.get(name), self.clock.time_kind)
                gap = time - latest
                if math.isnan(time):
                    gap = assumed
                places, weights = self.clock.of_one(time, gap)
                columns.append(self.own_width + np.array(places, dtype=int))
                values.append(np.array(weights))
        except (ArithmeticError, TypeError, ValueError):
            raise ValueError(
                f"context has {shorten(context[name])} for {name!r}, which cannot be "
                f"read as {kind}, its kind in fit."
            ) from None
        return np.concatenate(columns), np.concatenate(values).astype(np.float32)
