"""What files hold of the encoders of columns, and how they encode a single cell.

Input: a cell of a column: a level, tags, a text, a number, a date or a vector.
Output: columns and values (m,) of its features.
"""

import datetime
import math
import re
import unicodedata
from decimal import Decimal

import numpy as np

from sktwotower._records import array, integer, number, one_of, require

CLIP = 3.0  # robust scores are cut to -3 .. 3, so that outliers do not dominate
# Types of NaN and NaT; that of pandas is a datetime, too.
MAY_BE_MISSING = float, Decimal, np.generic, datetime.datetime
WORD = re.compile(r"\w+")
SCALE = tuple[number(), number(above=0)]  # a median and a spread


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
    if cell is None or type(cell).__name__ == "NAType":  # that of pandas
        return True
    return bool(isinstance(cell, MAY_BE_MISSING) and cell != cell)


def is_unfit(cell):
    """Return whether a cell can be neither a level nor an id."""
    is_infinite = isinstance(cell, float | Decimal) and math.isinf(cell)
    return is_infinite or isinstance(cell, complex | frozenset | range | tuple)


def as_text(cell):
    """Return bytes as text; raise ``ValueError`` for text that is not Unicode."""
    if isinstance(cell, str):
        cell.encode()
    if isinstance(cell, bytes):
        return cell.decode()
    return cell


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

    def knows(self, cell):
        """Return whether fit has learnt something of a cell; raise if it is unfit."""
        self.entries(cell)
        return True


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

    def knows(self, cell):
        """Return whether a key of a cell has a column of its own."""
        columns, _ = self.entries(cell)
        return bool((columns < len(self.columns)).any())

    def summed(self, keys):
        """Return columns (m,), ascending, and the sum of weights of each.

        ``keys``: pairs of a key and its weight.
        """
        columns = []
        weights = []
        for key, weight in keys:
            column = self.column_of(key)
            if column >= 0:
                columns.append(column)
                weights.append(weight)
        distinct, places = np.unique(np.array(columns, int), return_inverse=True)
        return distinct, np.bincount(places, np.array(weights, float), len(distinct))


def name_of(key):
    """Return a key as part of a column name; 5.0 is written as 5."""
    if isinstance(key, float) and key.is_integer():
        key = int(key)
    text = str(key)
    if text.isascii():
        return text
    return text.encode("utf-8", "backslashreplace").decode()


def murmurhash(text):
    """Return MurmurHash3 of text in UTF-8, 32 bits, as scikit-learn computes it."""
    data = text.encode()
    mask = 0xFFFFFFFF
    state = 0
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
    values = values / (np.abs(values).max(initial=0) or 1)
    return values / max(np.sqrt(values @ values), 1)


class LevelCell(KeyCell):
    """Encodes a level, such as the device."""

    kinds = "id", "category"
    other: integer(-1)

    def _check_stored(self, place):
        super()._check_stored(place)
        last = self.other == len(self.columns) and not self.n_hashed
        require(self.other == -1 or last, place, "levels")

    def is_misread(self, level):
        """Return whether it is one of fit, of another type: it would be unknown."""
        if self.kind == "id" or level in self.columns:
            return False
        types = {*map(type, self.columns)}
        return name_of(level) in self.names and type(level) not in types

    def entries(self, cell):
        """Return the column of a level, and 1."""
        cell = as_text(cell)
        if isinstance(cell, Decimal):
            cell = float(cell)
        if isinstance(cell, np.datetime64 | datetime.datetime):
            cell = date_of(cell).astype("datetime64[us]").tolist()
        if is_unfit(cell) or self.is_misread(cell):
            raise TypeError
        column = self.column_of(cell)
        if column < 0:
            return np.zeros(0, dtype=int), np.zeros(0)
        return np.array([column]), np.ones(1)


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
            keys = []
            for tag, weight in cell.items():
                if is_missing(weight):
                    weight = 0.0
                keys.append((tag, float(weight)))
        elif isinstance(cell, list | tuple | set | frozenset):
            tags = [*map(as_text, cell)]
            keys = [(tag, 1.0) for tag in dict.fromkeys(tags)]
        else:
            raise TypeError
        columns, weights = self.summed(keys)
        return columns, scaled(weights)


class WordCell(KeyCell):
    """Encodes words by TF-IDF."""

    kinds = ("text",)
    idf: array("float64", "n_weighed", is_finite=True)

    def _check_stored(self, place):
        super()._check_stored(place)
        n = self.n_names
        require(len(self.idf) == n, place, f"{n} weights")

    def entries(self, cell):
        """Return the columns of the words, and values of norm 1."""
        cell = as_text(cell)
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
    """Return the robust score of a number, by a median and a spread."""
    median, spread = scale
    return min(max((value - median) / spread, -CLIP), CLIP)


class NumberCell(CellEncoder):
    """Encodes a number by its robust score."""

    kinds = ("number",)
    scale: SCALE

    def entries(self, cell):
        """Return column 0, and the score."""
        return np.zeros(1, int), np.array([_score(to_number(cell), self.scale)])

    def measure(self, cell):
        """Return the number that a cell is."""
        return to_number(cell)


class BinCell(CellEncoder):
    """Encodes a number by its bin."""

    kinds = ("number",)
    edges: array("float64", "n", is_finite=True, order=np.greater)

    @property
    def n_names(self):
        """The number of bins."""
        return len(self.edges) + 1

    def entries(self, cell):
        """Return the column of the bin, and 1."""
        place = self.edges.searchsorted(to_number(cell), side="right")
        return np.array([place]), np.ones(1)

    def measure(self, cell):
        """Return the number that a cell is."""
        return to_number(cell)


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
        days = self.measure(cell)
        month_number = int(date.astype("datetime64[M]").astype(int))
        day_number = int(date.astype("datetime64[D]").astype(int))
        month = math.tau * (month_number % 12) / 12
        weekday = math.tau * ((day_number + 3) % 7) / 7
        numbers = [
            _score(days, self.days_scale),
            _score(math.log1p(max(self.newest - days, 0)), self.age_scale),
            math.sin(month),
            math.cos(month),
            math.sin(weekday),
            math.cos(weekday),
        ]
        return np.arange(6), np.array(numbers) / 2

    def measure(self, cell):
        """Return the days of a date since 1970."""
        days = date_of(cell) - np.datetime64(0, "s")
        return float(days / np.timedelta64(1, "D"))


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


# By the name that the encoder, which derives from it, has in files.
CELLS_BY_NAME = {
    "features.LevelEncoder": LevelCell,
    "features.TagEncoder": TagCell,
    "features.WordEncoder": WordCell,
    "features.NumberEncoder": NumberCell,
    "features.BinEncoder": BinCell,
    "features.BooleanEncoder": BooleanCell,
    "features.DatePartEncoder": DatePartCell,
    "features.VectorEncoder": VectorCell,
}
