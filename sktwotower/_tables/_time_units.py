"""Which numbers of a time column are instants, and in which unit.

Input: numbers (n,), or how many of them lie where, and the parameter ``time_unit``.
Output: a ``TimeKind``, and nanoseconds since 1970, int64 (n,).
"""

import datetime
from typing import NamedTuple

import numpy as np

from ._messages import logger, warn

# Nanoseconds of a unit in which numbers may count from 1970 on.
SIZES = {"D": 86_400 * 10**9, "s": 10**9, "ms": 10**6, "us": 10**3, "ns": 1}
WORDS = {
    "D": "days since 1970",
    "s": "Unix seconds",
    "ms": "Unix milliseconds",
    "us": "Unix microseconds",
    "ns": "Unix nanoseconds",
}
# Units that are recognized. Day numbers are not: 7,305 may be a position as well.
RECOGNIZED = "s", "ms", "us", "ns"
# Values of ``time_unit``.
TIME_UNITS = {"auto", *SIZES}

# Instants that are recognized lie between these years, in seconds since 1970. The
# numbers of two units then never overlap.
FIRST = 631_152_000  # 1990
LAST = 4_102_444_800  # 2100
YEARS = "the years 1990 to 2100"
# Numbers are instants if at least this share of them would be in one unit.
MIN_SHARE = 0.9
# From this share on, numbers that are taken as an order are named in a warning.
MIN_SUSPECT = 0.5
# Days such as 20240131, as numbers.
FIRST_DAY = 19_900_101
LAST_DAY = 21_001_231
# Instants further ahead of now are warned about: a year.
AHEAD = 366 * 86_400 * 10**9
MAX_NS = 2**63


class TimeKind(NamedTuple):
    """What the times of a column are.

    Parameters
    ----------
    dates : bool
        Whether they are instants, in nanoseconds since 1970 as soon as they are read.
        Otherwise they are numbers, which give only the order.
    unit : str or None, default=None
        The unit in which numbers count from 1970 on. None: instants are dates.
    """

    dates: bool
    unit: str | None = None

    def __str__(self):
        if not self.dates:
            return "numbers that give only the order"
        if self.unit is None:
            return "dates"
        return WORDS[self.unit]


class NumberFigures(NamedTuple):
    """How many numbers of a time column lie where.

    Parameters
    ----------
    n : int
    first, last : int or float
        The smallest and the largest number.
    n_days : int
        Of how many the digits are those of a day, such as 20240131.
    in_unit : dict of str to int
        How many are between 1990 and 2100, by unit.
    """

    n: int
    first: float
    last: float
    n_days: int
    in_unit: dict

    @classmethod
    def of(cls, numbers):
        """Return the figures of numbers (n,), n > 0."""
        in_unit = {}
        for unit in RECOGNIZED:
            low, high = limits_of(unit)
            in_unit[unit] = int(np.count_nonzero((numbers >= low) & (numbers < high)))
        days = numbers % 100
        months = numbers // 100 % 100
        are_days = (numbers >= FIRST_DAY) & (numbers <= LAST_DAY)
        are_days &= (days >= 1) & (days <= 31) & (months >= 1) & (months <= 12)
        n_days = int(np.count_nonzero(are_days))
        first = numbers.min().item()
        last = numbers.max().item()
        return cls(len(numbers), first, last, n_days, in_unit)


def limits_of(unit):
    """Return the smallest number of a unit that is recognized, and the first beyond."""
    per_second = SIZES["s"] // SIZES[unit]
    return FIRST * per_second, LAST * per_second


def kind_of_numbers(figures, time_unit, name):
    """Return the ``TimeKind`` of the numbers of a time column in fit.

    Parameters
    ----------
    figures : NumberFigures
    time_unit : {"auto", "D", "s", "ms", "us", "ns"} or None
        As in `TwoTowerRecommender`.
    name : str
        What messages call the column.

    Raises
    ------
    ValueError
        If the numbers are instants in several units.

    Warns
    -----
    UserWarning
        If some numbers are not in the unit of the others, or if all are days such as
        20240131.
    """
    if time_unit is None:
        return TimeKind(False)
    if time_unit != "auto":
        return TimeKind(True, time_unit)
    n = figures.n
    in_unit = figures.in_unit
    unit = max(in_unit, key=in_unit.get)
    n_others = n - in_unit[unit]
    if sum(in_unit.values()) >= MIN_SHARE * n:
        _refuse_mixed(in_unit, name)
        if n_others:
            first = _written(float(figures.first) * SIZES[unit])
            last = _written(float(figures.last) * SIZES[unit])
            warn(
                f"{name} holds {WORDS[unit]}, but {n_others} of its {n} values are not "
                f"within {YEARS}. They count as they are: from {figures.first:g} "
                f"({first}) to {figures.last:g} ({last}). Are they missing times? Drop "
                "these rows, or set time_unit=None to take the numbers as an order "
                "only."
            )
        return TimeKind(True, unit)
    if in_unit[unit] >= MIN_SUSPECT * n:
        warn(
            f"{name} is taken as an order only: {in_unit[unit]} of its {n} values look "
            f"like {WORDS[unit]}, the others are not within {YEARS}. Drop the others, "
            f"or set time_unit={unit!r}; time_unit=None says that it is an order."
        )
    elif figures.n_days == n:
        warn(
            f"{name} is taken as an order only, though its values look like days, such "
            f"as {figures.last:.0f}. Convert them, so that ages are known: "
            "pandas.to_datetime(times.astype(str), format='%Y%m%d'). time_unit=None "
            "says that they are an order."
        )
    return TimeKind(False)


def _refuse_mixed(in_unit, name):
    """Raise ``ValueError`` if numbers are in several units."""
    units = [unit for unit, count in in_unit.items() if count]
    if len(units) > 1:
        parts = [f"{in_unit[unit]} look like {WORDS[unit]}" for unit in units]
        raise ValueError(
            f"{name} mixes units: {', '.join(parts)}. Convert all to one unit, or to "
            "dates by pandas.to_datetime(..., unit=...). If they are not times since "
            "1970, set time_unit=None."
        )


def nanoseconds_of(numbers, unit, name):
    """Return instants (n,), int64 nanoseconds since 1970, of numbers in a unit.

    ``numbers`` (n,): int64 or float64, finite. ``name``: what errors call them. Raises
    ``ValueError`` if they are in another unit, or not within the years 1678 and 2261.
    """
    if len(numbers) == 0:
        return np.zeros(0, dtype=np.int64)
    size = SIZES[unit]
    first = numbers.min()
    last = numbers.max()
    read_as = f"{name} is read as {WORDS[unit]}, but holds"
    for other in RECOGNIZED:
        low, high = limits_of(other)
        if other != unit and low <= first <= last < high:
            raise ValueError(
                f"{read_as} {last}, which looks like {WORDS[other]}. Convert it to "
                f"{WORDS[unit]} or to dates."
            )
    for number in (first, last):
        if (abs(int(number)) + 1) * size >= MAX_NS:
            raise ValueError(
                f"{read_as} {number}, which is not within the years 1678 and 2261. Are "
                "units mixed? Convert all to one unit, or to dates."
            )
    if numbers.dtype.kind != "f":
        return numbers.astype(np.int64) * size
    whole = np.floor(numbers)
    rest = np.round((numbers - whole) * size)
    return whole.astype(np.int64) * size + rest.astype(np.int64)


def say_times(first, last, kind, name):
    """Log what times of fit were taken as; warn if they are ahead of now.

    ``first`` and ``last``: the smallest and largest time, as read.
    """
    span = f"from {first} to {last}"
    if kind.dates:
        span = f"{_written(first)} to {_written(last)}"
    logger.info("fit: %s: %s, %s", name, kind, span)
    now = datetime.datetime.now(datetime.UTC).timestamp() * 1e9
    if kind.dates and last > now + AHEAD:
        remedy = "Correct them, or drop the rows."
        if kind.unit is not None:
            remedy += " If it is another unit, or none: set time_unit."
        warn(
            f"{name}, read as {kind}, reaches {_written(last)}, which is in the "
            f"future. {remedy}"
        )


def _written(nanoseconds):
    """Return an instant as a day, such as '2024-01-31'."""
    if abs(nanoseconds) >= MAX_NS:
        return "far from now"
    return str(np.datetime64(int(nanoseconds), "ns").astype("datetime64[D]"))
