"""What files hold of the context of requests, and the feature row of one request.

Input: a context, a dict of columns to cells; a time, and the time since the last event.
Output: columns and values (m,) of its feature row.
"""

import bisect
import datetime
import math
import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import NamedTuple

import numpy as np

from sktwotower._records import array, finite, integer, number, one_of, require
from sktwotower._tables._messages import closest

HOUR, DAY = 3600 * 10**9, 86_400 * 10**9
FIRST_DAY = datetime.date(1970, 1, 1).toordinal()
LATEST = 2.0**63  # dates are below it, as they are int64
LARGEST = float(np.finfo(float).max)
N_PARTS = 24 + 7 + 12  # columns of hours, weekdays and months
# The value of each of the three entries of a date. With 1 each, their norm would be
# 1.7 times that of a column of the context; so it is 0.9.
SHARE = 0.5
CLIP = 3.0  # robust scores are cut to -3 .. 3, so that outliers do not dominate
# Types of NaN and NaT; that of pandas is a datetime, too.
MAY_BE_MISSING = float, np.floating, np.datetime64, np.timedelta64, datetime.datetime
WORD = re.compile(r"\w+")
SCALE = tuple[number(), number(above=0)]  # a median and a spread


class StoredClock(NamedTuple):
    """What files hold of a `RequestClock`."""

    dates: bool
    knots: array("float64", "n_knots")
    unit: number(above=0)

    def _check_stored(self, place):
        knots = finite(self.knots, f"{place}.knots")
        fits = len(knots) != 1 and (np.diff(knots) > 0).all() and (knots >= 0).all()
        require(fits, f"{place}.knots", "none, or two or more ascending numbers >= 0")

    @property
    def n_parts(self):
        """Number of columns of hours, weekdays and months."""
        return N_PARTS if self.dates else 0

    @property
    def width(self):
        """Number of columns."""
        return self.n_parts + len(self.knots)

    def places(self, gaps):
        """Return where gaps (m,) >= 0 are among the knots: their logarithms (m,)."""
        largest = LARGEST * min(self.unit, 1.0)  # more would overflow
        return np.log2(1 + np.minimum(gaps, largest) / self.unit)

    def of_one(self, time, gap):
        """Return columns and values, lists, of the time of one request.

        ``time``: nan if unknown, and then so is the ``gap``, the time since the event
        before; None, negative: unknown.
        """
        columns, values, knots = [], [], self.knots
        if not math.isfinite(time) or (self.dates and abs(time) >= LATEST):
            return columns, values
        if self.dates:
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


def moment_of(cell, dates):
    """Return the time of a request as a float, nan for a missing one.

    ``dates``: in nanoseconds since 1970. Raise ``TypeError`` or ``ValueError`` for
    what is no time.
    """
    if is_missing(cell):
        return math.nan
    if not dates:
        if isinstance(cell, str | bool | np.datetime64 | datetime.date):
            raise TypeError
        return float(cell)
    return float(date_of(cell).astype("datetime64[ns]").view(np.int64))


def date_of(cell):
    """Return a date as datetime64, in UTC."""
    if isinstance(cell, str):
        cell = datetime.datetime.fromisoformat(cell)
    if isinstance(cell, datetime.datetime) and cell.tzinfo is not None:
        cell = cell.astimezone(datetime.UTC).replace(tzinfo=None)
    if not isinstance(cell, np.datetime64 | datetime.date):
        raise TypeError
    return np.datetime64(cell)


def is_missing(cell):
    """Return whether a cell is None, NaN or NaT."""
    if cell is None:
        return True
    return bool(isinstance(cell, MAY_BE_MISSING) and cell != cell)


class CellEncoder:
    """What files hold of the encoder of a column, which encodes a cell by `entries`.

    ``kinds``: the kinds of columns that it encodes. ``n_names``: the number of its
    columns, without that of missing cells.
    """

    n_names = 1
    name: str
    kind: str
    names: list[str]
    marks_missing: bool

    def _check_stored(self, place):
        one_of(*self.kinds)(self.kind, f"{place}.kind")
        n = self.n_names + self.marks_missing
        require(len(self.names) == n, place, f"{n} column names")


class KeyCell(CellEncoder):
    """Encodes the keys of a cell: levels, tags or words.

    `columns` maps keys to columns. It is a dict because a look-up then costs the same
    for any number of levels (scikit-learn's OneHotEncoder goes through all of them to
    encode one row), and because 5, 5.0 and numpy's 5 are one key. Other keys share the
    hashed columns, which come next, if there are any.
    """

    other = -1  # the column of keys that have none and are not hashed
    columns: list  # of its keys: their columns are 0, 1, ...
    n_hashed: integer()

    @property
    def n_names(self):
        """The number of columns of keys, and of those that others share."""
        return len(self.columns) + self.n_hashed + (self.other >= 0)

    def _check_stored(self, place):
        in_order = [*self.columns.values()] == [*range(len(self.columns))]
        require(in_order, f"{place}.columns", "distinct keys of the columns 0, 1, ...")
        super()._check_stored(place)

    @classmethod
    def _of_stored(cls, columns, **parts):
        encoder = cls.__new__(cls)
        places = {key: column for column, key in enumerate(columns)}
        vars(encoder).update(parts, columns=places)
        return encoder

    def column_of(self, key):
        """Return the column of a key, -1 for none."""
        column = self.columns.get(key, self.other)
        if column < 0 and self.n_hashed and not is_missing(key):
            return len(self.columns) + murmurhash(name_of(key)) % self.n_hashed
        return column

    def summed(self, keys):
        """Return columns (m,), ascending, and the sum of weights of each.

        ``keys``: pairs of a key and its weight.
        """
        pairs = [(self.column_of(key), weight) for key, weight in keys]
        pairs = [(column, weight) for column, weight in pairs if column >= 0]
        columns, places = np.unique([c for c, _ in pairs], return_inverse=True)
        weights = np.array([weight for _, weight in pairs], dtype=float)
        return columns.astype(int), np.bincount(places, weights, len(columns))


def name_of(key):
    """Return a key as part of a column name; 5.0 is written as 5."""
    whole = isinstance(key, float) and key.is_integer()
    text = str(int(key) if whole else key)
    return text if text.isascii() else text.encode("utf-8", "backslashreplace").decode()


def murmurhash(text):
    """Return MurmurHash3 of text in UTF-8, 32 bits, as scikit-learn computes it."""
    data, mask, state = text.encode(), 0xFFFFFFFF, 0
    whole = len(data) & ~3
    blocks = [int.from_bytes(data[i : i + 4], "little") for i in range(0, whole, 4)]
    for i, block in enumerate([*blocks, int.from_bytes(data[whole:], "little")]):
        block = block * 0xCC9E2D51 & mask
        block = (block << 15 | block >> 17) * 0x1B873593 & mask
        state ^= block
        if i < len(blocks):
            state = ((state << 13 | state >> 19) & mask) * 5 + 0xE6546B64 & mask
    state ^= len(data)
    state = (state ^ state >> 16) * 0x85EBCA6B & mask
    state = (state ^ state >> 13) * 0xC2B2AE35 & mask
    return state ^ state >> 16


def scaled(values):
    """Return values (m,) with norm 1; zeros stay."""
    peak = np.abs(values).max(initial=0)
    values = values / (peak or 1)
    return values / max(np.sqrt(values @ values), 1)


class LevelCell(KeyCell):
    """Encodes a level, such as the device."""

    kinds = "id", "category"
    other: integer(-1)

    def _check_stored(self, place):
        super()._check_stored(place)
        last = self.other == len(self.columns) and not self.n_hashed
        require(self.other == -1 or last, place, "levels")

    def entries(self, cell):
        """Return the column of a level, and 1."""
        if isinstance(cell, Decimal):
            cell = float(cell)
        if isinstance(cell, np.datetime64 | datetime.datetime):
            cell = date_of(cell).astype("datetime64[us]").tolist()
        column = self.column_of(cell)
        places = np.array([column] if column >= 0 else [], dtype=int)
        return places, np.ones(len(places))


class TagCell(KeyCell):
    """Encodes a list of tags, or a dict of tags to weights."""

    kinds = ("list",)
    delimiter: one_of("|", ";", ",") | None = None

    def entries(self, cell):
        """Return the columns of the tags, and values of norm 1."""
        if isinstance(cell, str):
            if self.delimiter is None:
                raise TypeError
            cell = [t for part in cell.split(self.delimiter) if (t := part.strip())]
        elif isinstance(cell, np.ndarray):
            cell = cell.tolist()
        if isinstance(cell, dict):
            weights = [0.0 if is_missing(w) else float(w) for w in cell.values()]
            return self._scaled(zip(cell, weights, strict=True))
        if not isinstance(cell, list | tuple | set | frozenset):
            raise TypeError
        distinct = dict.fromkeys(
            t.decode() if isinstance(t, bytes) else t for t in cell
        )
        return self._scaled((tag, 1.0) for tag in distinct)

    def _scaled(self, keys):
        columns, weights = self.summed(keys)
        return columns, scaled(weights)


class WordCell(KeyCell):
    """Encodes words by TF-IDF."""

    kinds = ("text",)
    idf: array("float64", "n_weighed")

    def _check_stored(self, place):
        super()._check_stored(place)
        n = self.n_names
        require(len(finite(self.idf, f"{place}.idf")) == n, place, f"{n} weights")

    def entries(self, cell):
        """Return the columns of the words, and values of norm 1."""
        if not isinstance(cell, str):
            raise TypeError
        columns, counts = self.summed((word, 1.0) for word in words_of(cell))
        return columns, scaled((1 + np.log(counts)) * self.idf[columns])


def words_of(text):
    """Return the words of a text in lower case, without accents."""
    text = text.lower()
    if not text.isascii():
        text = unicodedata.normalize("NFKD", text)
        text = "".join(c for c in text if not unicodedata.combining(c))
    return WORD.findall(text)


def to_number(cell):
    """Return a number as a float, a time span in seconds."""
    if isinstance(cell, datetime.timedelta):
        cell = np.timedelta64(cell)
    if isinstance(cell, np.timedelta64):
        return float(cell / np.timedelta64(1, "s"))
    if isinstance(cell, str | datetime.date | np.datetime64):
        raise TypeError
    if not math.isfinite(cell):
        raise ValueError
    return float(cell)


def _score(value, scale):
    return min(max((value - scale[0]) / scale[1], -CLIP), CLIP)


class NumberCell(CellEncoder):
    """Encodes a number by its robust score."""

    kinds = ("number",)
    scale: SCALE

    def entries(self, cell):
        """Return column 0, and the score."""
        return np.zeros(1, int), np.array([_score(to_number(cell), self.scale)])


class BinCell(CellEncoder):
    """Encodes a number by its bin."""

    kinds = ("number",)
    edges: array("float64", "n")

    @property
    def n_names(self):
        """The number of bins."""
        return len(self.edges) + 1

    def _check_stored(self, place):
        super()._check_stored(place)
        finite(self.edges, place)
        require((np.diff(self.edges) > 0).all(), f"{place}.edges", "ascending edges")

    def entries(self, cell):
        """Return the column of the bin, and 1."""
        place = self.edges.searchsorted(to_number(cell), side="right")
        return np.array([place]), np.ones(1)


class BooleanCell(CellEncoder):
    """Encodes a boolean as 1 or -1."""

    kinds = ("boolean",)

    def entries(self, cell):
        """Return column 0, and 1 or -1."""
        if to_number(cell) not in (0, 1):
            raise TypeError
        return np.zeros(1, int), np.array([2.0 * to_number(cell) - 1])


class DatePartCell(CellEncoder):
    """Encodes a date by six numbers."""

    kinds = ("datetime",)
    n_names = 6
    newest: number()
    days_scale: SCALE
    age_scale: SCALE

    def entries(self, cell):
        """Return all columns, and numbers of the date."""
        date = date_of(cell)
        days = float((date - np.datetime64(0, "s")) / np.timedelta64(1, "D"))
        day = date.astype("datetime64[D]").tolist()
        month, weekday = math.tau * (day.month - 1) / 12, math.tau * day.weekday() / 7
        numbers = [
            _score(days, self.days_scale),
            _score(math.log1p(max(self.newest - days, 0)), self.age_scale),
            *(math.sin(month), math.cos(month), math.sin(weekday), math.cos(weekday)),
        ]
        return np.arange(6), np.array(numbers) / 2


class VectorCell(CellEncoder):
    """Encodes a vector by its numbers, with norm 1."""

    kinds = ("vector",)
    length: integer(1)

    @property
    def n_names(self):
        """The length of the vectors."""
        return self.length

    def entries(self, cell):
        """Return all columns, and the numbers."""
        numbers = np.asarray(cell, dtype=float)
        if numbers.shape != (self.length,):
            raise ValueError
        return np.arange(self.length), scaled(numbers)


CELLS = LevelCell, TagCell, WordCell, NumberCell, BinCell, BooleanCell
CELLS += DatePartCell, VectorCell


@dataclass(frozen=True, eq=False)
class Vectorizer:
    """The encoders of a `TowerVectorizer`, each with the position of its column."""

    encoders_: list


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
        return 0 if self.clock is None else self.clock.width

    @property
    def all_columns(self):
        """Names of all columns of the context, also the time, a list."""
        return self.columns + ([] if self.time is None else [self.time])

    def check_mapping(self, mapping):
        """Raise unless this is a mapping of context columns to cells."""
        if not isinstance(mapping, Mapping):
            raise TypeError(
                f"context must be a dict of context columns to values, such as "
                f"{{'hour': 9}}. Got {type(mapping).__name__}."
            )
        known = self.all_columns
        for key in mapping:
            if not isinstance(key, str | int):
                raise TypeError(
                    f"context must have names of columns as keys. Got {key!r} "
                    f"({type(key).__name__})."
                )
            if key not in known:
                close = closest(key, known)
                hint = "" if close is None else f" Did you mean {close!r}?"
                raise ValueError(
                    f"context names {key!r}, which is not a context column of fit "
                    f"({', '.join(map(str, known)) or 'it had none'}).{hint}"
                )


@dataclass(frozen=True, eq=False)
class ContextCells(StoredContext):
    """A context whose cells are encoded one by one."""

    columns: list[str | int]
    time: str | int | None
    transformer: Vectorizer | None
    own_width: integer()
    clock: StoredClock | None

    def _check_stored(self, place):
        super()._check_stored(place)
        width = sum(len(encoder.names) for _, encoder in self._encoders)
        require(width == self.own_width, place, f"features in {width} columns")
        for position, _ in self._encoders:
            require(position < len(self.columns), place, "encoders of its columns")

    @property
    def _encoders(self):
        return self.transformer.encoders_ if self.transformer else ()

    def entries(self, context, latest):
        """Return columns and values (m,) of the row of a request.

        ``context``: a dict. ``latest``: the time of the user's last event, or nan.
        """
        self.check_mapping(context)
        columns, values, start = [np.zeros(0, dtype=int)], [np.zeros(0)], 0
        try:
            for position, encoder in self._encoders:
                name, kind = self.columns[position], encoder.kind
                if not is_missing(cell := context.get(name)):
                    own, weights = encoder.entries(cell)
                    if not np.isfinite(weights).all():
                        raise ValueError
                    columns.append(start + own[weights != 0])
                    values.append(weights[weights != 0])
                start += len(encoder.names)
            if self.clock is not None and self.time in context:
                name, kind = self.time, "datetime" if self.clock.dates else "number"
                time = moment_of(context[name], self.clock.dates)
                own, weights = self.clock.of_one(time, time - latest)
                columns.append(self.own_width + np.array(own, dtype=int))
                values.append(np.array(weights))
        except (TypeError, ValueError, OverflowError):
            raise ValueError(
                f"context has {context[name]!r} for {name!r}, which cannot be read as "
                f"{kind}, its kind in fit."
            ) from None
        return np.concatenate(columns), np.concatenate(values).astype(np.float32)
