"""Enters: the cells of one column of an entity table, (n_rows,).

Leaves: triplets (rows, columns, data), (n_nonzero,) each, of that column's block.
Next: features.py, which chooses an encoder per column and joins their blocks.
"""

import copy
from collections import Counter
from decimal import Decimal
from itertools import chain, repeat
from reprlib import repr as shorten

import numpy as np
import pandas as pd
from sklearn.feature_extraction.text import TfidfVectorizer

LISTS = (list, tuple, set, frozenset, dict, np.ndarray)
# Least share of the distinct cells that must hold the delimiter. Prose is full of
# commas, so a comma has to earn more trust than the others.
DELIMITERS = {"|": 1 / 3, ";": 1 / 3, ",": 1 / 2}
CLIP = 3.0  # robust scores beyond this are outliers
NOTHING = np.empty(0, dtype=int), np.empty(0, dtype=int), np.empty(0)


def find_delimiter(distinct):
    """Return the delimiter that makes the distinct strings lists, or None."""
    for delimiter, share in DELIMITERS.items():
        if sum(delimiter in cell for cell in distinct) < share * len(distinct):
            continue
        parts = [part.strip() for cell in distinct for part in cell.split(delimiter)]
        short = np.mean([len(part.split()) for part in parts]) <= 2.5
        if short and (delimiter != "," or len(set(parts)) <= len(distinct)):
            return delimiter
    return None


class Encoder:
    """Encodes one column: its present cells by `parts`, its missing ones by a mark.

    Subclasses have `learn(cells)`, which sets `names` (suffixes of the output
    columns, '' for none), and `parts(cells)`, which returns rows, columns and data,
    (n_nonzero,) each; a row is a position in the present cells (n_present,).
    """

    def __init__(self, name, kind, min_count, max_features):
        self.name, self.kind = name, kind
        self.min_count, self.max_features = min_count, max_features

    def fit(self, cells, missing):
        """Learn from the present cells (n_present,), at least one, and the mask."""
        self.learn(cells)
        self.missing_column = None
        if self.kind != "id" and missing.any():
            self.missing_column = len(self.names)
            self.names = [*self.names, "missing"]
        return self

    def encode(self, cells, missing):
        """Return rows, columns and data, (n_nonzero,) each."""
        rows, columns, data = self.parts(cells) if len(cells) else NOTHING
        if not missing.any():
            return rows, columns, data
        rows = np.flatnonzero(~missing)[rows]
        if self.missing_column is None:
            return rows, columns, data
        marked = np.flatnonzero(missing)
        mark = np.full(len(marked), self.missing_column)
        data = np.concatenate([data, np.ones(len(marked))])
        return np.concatenate([rows, marked]), np.concatenate([columns, mark]), data

    def refuse(self, cell):
        """Return the error for a cell that does not suit the kind."""
        cell = cell.item() if isinstance(cell, np.generic) else cell
        got = f"{shorten(cell)} ({type(cell).__name__})"
        return TypeError(
            f"Column {self.name!r} is of kind {self.kind!r} and expects {self.expects}"
            f". Got {got} instead. Convert the cells, or fit with "
            f"kinds={{{self.name!r}: ...}} set to another kind."
        )

    def to_floats(self, cells):
        """Return cells (n,) as finite float64 (n,); time spans in seconds."""
        if cells.dtype.kind == "m":
            return cells / np.timedelta64(1, "s")
        if cells.dtype.kind == "M":
            raise self.refuse(cells[0])
        try:
            numbers = cells.astype(float)
        except (TypeError, ValueError):
            raise self.refuse(next(filter(_is_no_number, cells))) from None
        if not np.isfinite(numbers).all():
            raise ValueError(
                f"Column {self.name!r} of kind {self.kind!r} holds an infinite number. "
                "Expected finite numbers or missing cells; replace inf by NaN."
            )
        return numbers


def _is_no_number(cell):
    """Tell whether float() refuses a cell."""
    try:
        float(cell)
    except (TypeError, ValueError):
        return True
    return False


class OneHotEncoder(Encoder):
    """Ids and categories: one column per level that is frequent enough.

    A dict, for scikit-learn's encoder goes through all levels to encode one row; and
    5, 5.0 and numpy's 5 are one key of it.
    """

    expects = "single values (strings, numbers or dates)"

    def learn(self, cells):
        """Give each frequent level a column, and the others one together."""
        counts = Counter(self._to_keys(cells))
        levels = _keep(counts, 1 if self.kind == "id" else self.min_count)
        rare = len(levels) < len(counts)
        self.columns = {level: column for column, level in enumerate(levels)}
        self.other = len(levels) if rare else -1
        self.names = [*map(_name_level, levels), *["infrequent"] * rare]

    def extended(self, cells):
        """Give an encoder with a column for each of the distinct ids (n,), too.

        Also gives which of them got one, (n,).
        """
        keys = self._to_keys(cells)
        fresh = np.array([key not in self.columns for key in keys], dtype=bool)
        new = [key for key, is_fresh in zip(keys, fresh, strict=True) if is_fresh]
        encoder = copy.copy(self)
        encoder.columns = self.columns | {
            key: column for column, key in enumerate(new, len(self.columns))
        }
        encoder.names = [*self.names, *map(_name_level, new)]
        return encoder, fresh

    def parts(self, cells):
        """Look the levels up."""
        find, other = self.columns.get, self.other
        keys = self._to_keys(cells)
        columns = np.array([find(key, other) for key in keys])
        if self.kind == "category" and (columns == other).all():
            self._check_type(keys[0])
        rows = np.flatnonzero(columns >= 0)
        return rows, columns[rows], np.ones(len(rows))

    def _check_type(self, key):
        """Refuse a level of fit that comes as another type: it would count as new."""
        types = sorted({type(level).__name__ for level in self.columns})
        if type(key).__name__ not in types and _name_level(key) in self.names:
            raise TypeError(
                f"Column {self.name!r} had levels of type {', '.join(types)} in fit. "
                f"Got {key!r} ({type(key).__name__}), the same level as another type. "
                "Convert the cells."
            )

    def _to_keys(self, cells):
        """Return cells (n,) as a list of hashable Python objects."""
        if cells.dtype.kind == "M":  # the unit of a date must not matter
            return cells.astype("datetime64[us]").tolist()
        for cell in cells if cells.dtype == object else ():
            if isinstance(cell, LISTS):
                raise self.refuse(cell)
        # read_cells turns columns of decimals into floats, but not mixed ones
        return [float(c) if isinstance(c, Decimal) else c for c in cells.tolist()]


def _keep(counts, least, max_features=None):
    """Sort the levels counted `least` times or more, the most frequent of them."""
    levels = [level for level, count in counts.items() if count >= least]
    try:
        levels.sort()
    except TypeError:  # levels of several types have no order of their own
        levels.sort(key=lambda level: (isinstance(level, str), _name_level(level)))
    if max_features is not None and len(levels) > max_features:
        order = {level: position for position, level in enumerate(levels)}
        top = sorted(levels, key=lambda level: -counts[level])[:max_features]
        levels = sorted(top, key=order.get)
    return levels


def _name_level(level):
    """Write a level as in a column name: 5.0 is 5."""
    whole = isinstance(level, float) and level.is_integer()
    return str(int(level) if whole else level)


class ListEncoder(Encoder):
    """Lists of tags: multi-hot with norm 1; dicts: tag -> weight."""

    expects = "lists, tuples, sets or arrays of tags, or dicts of tag: number"

    def learn(self, cells):
        """Find the delimiter of strings, and give each frequent tag a column."""
        texts = [cell for cell in cells if isinstance(cell, str)]
        self.delimiter = None
        if texts:
            self.expects = "lists of tags, or strings of them"
            counts = {d: sum(d in text for text in texts) for d in DELIMITERS}
            self.delimiter = find_delimiter(set(texts)) or max(counts, key=counts.get)
        counts = Counter(chain.from_iterable(map(set, self._to_tags(cells))))
        for tag in [tag for tag in counts if tag is not None and pd.isna(tag)]:
            del counts[tag]
        counts.pop(None, None)
        tags = _keep(counts, self.min_count, self.max_features)
        tags = tags or _keep(counts, 1, self.max_features)
        self.columns = {tag: column for column, tag in enumerate(tags)}
        self.names = [_name_level(tag) for tag in tags]

    def parts(self, cells):
        """Look the tags up; a tag named twice in a cell counts once."""
        lists = self._to_tags(cells)
        rows = np.repeat(np.arange(len(lists)), [len(tags) for tags in lists])
        tags, find = chain.from_iterable(lists), self.columns.get
        columns = np.array([find(tag, -1) for tag in tags], dtype=int)
        weights = self._read_weights(lists, len(rows))
        known = np.flatnonzero((columns >= 0) & (weights != 0) & ~np.isnan(weights))
        pairs = rows[known] * len(self.names) + columns[known]
        known = known[np.unique(pairs, return_index=True)[1]]
        rows, columns, weights = rows[known], columns[known], weights[known]
        peaks = np.zeros(len(cells))
        np.maximum.at(peaks, rows, np.abs(weights))
        weights = weights / peaks[rows]  # or squares of extreme weights are 0 or inf
        norms = np.sqrt(np.bincount(rows, weights**2))
        return rows, columns, weights / norms[rows]

    def _to_tags(self, cells):
        """Return one collection of hashable tags per cell (n,)."""
        lists = [self._split(cell) for cell in cells]
        for tags in lists:
            if any(isinstance(tag, (list, set, dict, np.ndarray)) for tag in tags):
                raise self.refuse(tags)
        return lists

    def _split(self, cell):
        """Return the tags of a cell: a list, tuple, set or dict of them."""
        if isinstance(cell, str) and self.delimiter is not None:
            return [tag for part in cell.split(self.delimiter) if (tag := part.strip())]
        if not isinstance(cell, LISTS):
            raise self.refuse(cell)
        return cell.tolist() if isinstance(cell, np.ndarray) else cell

    def _read_weights(self, lists, n_tags):
        """Return the weight of each tag (n_tags,): 1, or the value in a dict."""
        if not any(isinstance(tags, dict) for tags in lists):
            return np.ones(n_tags)
        weights = chain.from_iterable(
            tags.values() if isinstance(tags, dict) else repeat(1.0, len(tags))
            for tags in lists
        )
        weights = np.array([np.nan if w is None else w for w in weights], dtype=object)
        missing = pd.isna(weights)
        numbers = np.full(n_tags, np.nan)
        numbers[~missing] = self.to_floats(weights[~missing])
        return numbers


class TextEncoder(Encoder):
    """Texts: TF-IDF with norm 1."""

    expects = "strings"

    def learn(self, cells):
        """Learn the frequent words and how rare they are."""
        least = int(np.ceil(self.min_count))
        if not self._learn_words(cells, least) and not self._learn_words(cells, 1):
            raise ValueError(
                f"Column {self.name!r} of kind 'text' holds no word. Fit with "
                f"kinds={{{self.name!r}: 'drop'}} or another kind."
            )
        self.names = self.tfidf.get_feature_names_out().tolist()

    def _learn_words(self, cells, least):
        """Tell whether there are words in `least` cells, and learn them if so."""
        self.tfidf = TfidfVectorizer(
            sublinear_tf=True,
            strip_accents="unicode",
            token_pattern=r"(?u)\b\w+\b",
            min_df=least,
            max_features=self.max_features,
        )
        try:
            self.tfidf.fit(self._check(cells))
        except ValueError:  # the pruning has left no word
            return False
        return True

    def parts(self, cells):
        """Weigh the known words of each cell."""
        matrix = self.tfidf.transform(self._check(cells))
        rows = np.repeat(np.arange(matrix.shape[0]), np.diff(matrix.indptr))
        return rows, matrix.indices, matrix.data

    def _check(self, cells):
        """Return cells (n,) if they are strings."""
        for cell in cells:
            if not isinstance(cell, str):
                raise self.refuse(cell)
        return cells


class NumberEncoder(Encoder):
    """Numbers: one column, robustly scaled."""

    expects = "numbers"

    def learn(self, cells):
        """Learn the middle and the spread."""
        self.names = [""]
        self.middle, self.spread = _measure(self.to_floats(cells))

    def parts(self, cells):
        """Scale and clip."""
        scores = _scale(self.to_floats(cells), self.middle, self.spread)
        return np.arange(len(scores)), np.zeros(len(scores), dtype=int), scores


def _measure(numbers):
    """Return median and interquartile range of numbers (n,), or what can replace it."""
    low, middle, high = np.percentile(numbers, [25, 50, 75])
    if numbers.min() == numbers.max():  # rounding may give them a spread
        return middle, 1.0
    with np.errstate(over="ignore"):
        spread = (high - low) or numbers.std()
    return middle, min(spread, np.finfo(float).max)


def _scale(numbers, middle, spread):
    """Return the clipped robust scores of numbers (n,)."""
    with np.errstate(over="ignore"):
        return np.clip((numbers - middle) / spread, -CLIP, CLIP)


class BooleanEncoder(Encoder):
    """Booleans: one column, 1 or -1."""

    expects = "True or False, 1 or 0"

    def learn(self, cells):
        """Check that there are booleans only."""
        self.names = [""]
        self.parts(cells)

    def parts(self, cells):
        """Turn 0 and 1 into -1 and 1."""
        flags = self.to_floats(cells)
        wrong = (flags != 0) & (flags != 1)
        if wrong.any():
            raise self.refuse(cells[wrong][0])
        return np.arange(len(flags)), np.zeros(len(flags), dtype=int), 2 * flags - 1


class DatetimeEncoder(Encoder):
    """Dates: days as a number, and the angles of month and weekday."""

    expects = "dates (numbers: convert them by pandas.to_datetime, which needs a unit)"

    def learn(self, cells):
        """Learn the middle and the spread of the days."""
        self.names = ["days", "month_sin", "month_cos", "weekday_sin", "weekday_cos"]
        self.middle, self.spread = _measure(_to_days(self._to_dates(cells)))

    def parts(self, cells):
        """Return five numbers per date, as triplets in row order."""
        dates = self._to_dates(cells)
        month = 2 * np.pi * (dates.month.to_numpy() - 1) / 12
        weekday = 2 * np.pi * dates.day_of_week.to_numpy() / 7
        days = _scale(_to_days(dates), self.middle, self.spread)
        angles = np.sin(month), np.cos(month), np.sin(weekday), np.cos(weekday)
        block = np.column_stack([days, *angles]) / np.sqrt(3)
        rows, columns = np.indices(block.shape)
        return rows.ravel(), columns.ravel(), block.ravel()

    def _to_dates(self, cells):
        """Return cells (n,) as a DatetimeIndex in UTC."""
        if cells.dtype.kind == "M":
            return pd.DatetimeIndex(cells)
        if cells.dtype != object:
            raise self.refuse(cells[0])
        dates = pd.to_datetime(cells, utc=True, errors="coerce", format="mixed")
        if dates.hasnans:
            raise self.refuse(cells[dates.isna()][0])
        return dates.tz_convert(None)


def _to_days(dates):
    """Return days since 1970 of a DatetimeIndex (n,), as floats."""
    return (dates.to_numpy() - np.datetime64(0, "s")) / np.timedelta64(1, "D")


ENCODERS = {
    "id": OneHotEncoder,
    "category": OneHotEncoder,
    "number": NumberEncoder,
    "boolean": BooleanEncoder,
    "datetime": DatetimeEncoder,
    "list": ListEncoder,
    "text": TextEncoder,
}
