"""Encoders of numbers, booleans, dates and vectors, and their base class.

Input: the present cells of one column (n_present,), and the mask of missing ones.
Output: a CSR float32 block (n_rows, n_names).
"""

import functools
from numbers import Number
from reprlib import repr as shorten
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy import sparse

from sktwotower._records import integer, number, one_of, record
from sktwotower._records._reading import object_array
from sktwotower.runtime import _cell_encoders as runtime

from ._cells import SPARSE, factorize, infinite_error, is_refused

N_BINS = 10
PARTS_OF_DATES = {
    "age": "how long ago",
    "month": "time of the year",
    "weekday": "day of the week",
}


@record
class Settings(NamedTuple):
    """The parameters of TowerVectorizer that encoders use."""

    min_count: number(0)
    max_features: integer(1)
    n_hashed: integer(1) | None
    numbers: one_of("scaled", "quantiles")


class ColumnEncoder(runtime.CellEncoder):
    """Encode one column: its present cells by `block`, its missing ones by a mark.

    Subclasses define `learn(cells)`, which sets `names` (suffixes of the output
    columns, '' for none), and `block(cells)`, which returns a CSR matrix (n_present,
    n_names). A second base class has what files hold, and encodes single cells.
    """

    settings: Settings

    def __init__(self, name, kind, settings):
        self.name = name
        self.kind = kind
        self.settings = settings

    def fit(self, cells, missing):
        """Learn from the present cells (n_present,), at least one, and the mask."""
        self.learn(cells)
        self.marks_missing = self.kind != "id" and bool(missing.any())
        if self.marks_missing:
            self.names = [*self.names, "missing"]
        return self

    def encode(self, cells, missing):
        """Return a CSR float32 matrix (n_rows, n_names)."""
        width = len(self.names) - self.marks_missing
        block = sparse.csr_matrix((0, width))
        if len(cells):
            block = self.block(cells)
        if missing.any():
            block = spread(block, ~missing)
        block.data = block.data.astype(np.float32, copy=False)
        if not self.marks_missing:
            return block
        mark = sparse.csr_matrix(missing[:, None], dtype=np.float32)
        return sparse.hstack([block, mark], format="csr")

    def feature_in_words(self, place, value):
        """Return what a value in one of the columns means, for a person.

        ``place``: the position of the column among ``names``.
        """
        if self.marks_missing and place == len(self.names) - 1:
            return "missing"
        return self.in_words(place, value)

    def measures(self, cells):
        """Return present cells (n,) as numbers whose range is kept; None: as none."""
        return None

    def in_words(self, place, value):
        """Return what a value means in a column that is not that of missing cells.

        Here its name and the value; classes that know what it stands for say that.
        """
        return f"{self.names[place]} {_short(value)}".strip()

    def unsuitable_error(self, cell):
        """Return the error for a cell that does not suit the kind."""
        if isinstance(cell, np.generic):
            cell = cell.item()
        got = f"{shorten(cell)} ({type(cell).__name__})"
        return TypeError(
            f"Column {self.name!r} is of kind {self.kind!r} and expects {self.expects}"
            f". Got {got} instead. Convert the cells, or fit with "
            f"kinds={{{self.name!r}: ...}} set to another kind."
        )

    def factorize(self, cells):
        """Return the code (n,) of each cell, and the list of the distinct cells."""
        try:
            return factorize(cells)
        except TypeError:  # a list, say, has no hash
            odd = next(cell for cell in cells if is_refused(cell, hash))
            raise self.unsuitable_error(odd) from None

    def to_floats(self, cells):
        """Return cells (n,) as finite float64 (n,); time spans in seconds."""
        if cells.dtype.kind == "m":
            return cells / np.timedelta64(1, "s")
        if cells.dtype.kind == "M":
            raise self.unsuitable_error(cells[0])
        try:
            numbers = cells.astype(float)
        except (TypeError, ValueError, OverflowError):
            odd = next(cell for cell in cells if is_refused(cell, float))
            raise self.unsuitable_error(odd) from None
        if not np.isfinite(numbers).all():
            raise infinite_error(self.name, f" of kind {self.kind!r}")
        return numbers


def _short(number):
    """Return a number as text with six digits."""
    return f"{number:.6g}"


def _unscaled(score, scale, write, ends):
    """Return the number, or date, of a clipped robust score, as text."""
    median, spread = scale
    text = write(score * spread + median)
    if abs(score) < runtime.CLIP:
        return text
    low_end, high_end = ends
    return f"{text} {high_end if score > 0 else low_end}"


def from_rows(data, indices, n_nonzero, width):
    """Return a CSR matrix whose rows have ``n_nonzero`` (n_rows,) entries."""
    indptr = np.concatenate([[0], np.cumsum(n_nonzero)])
    return sparse.csr_matrix((data, indices, indptr), shape=(len(n_nonzero), width))


def spread(rows, known):
    """Return CSR rows (n_known, p) where ``known`` (n,), and empty ones elsewhere."""
    n_nonzero = np.zeros(len(known), dtype=int)
    n_nonzero[known] = np.diff(rows.indptr)
    return from_rows(rows.data, rows.indices, n_nonzero, rows.shape[1])


def from_dense(block):
    """Return a dense block (n, p) as a CSR matrix that stores zeros as well."""
    n_rows, width = block.shape
    columns = np.tile(np.arange(width, dtype=np.int32), n_rows)
    return from_rows(block.ravel(), columns, np.full(n_rows, width), width)


def one_hot(columns, width):
    """Return a CSR matrix with a 1 in the column (n,) of each row; -1: none."""
    known = columns >= 0
    return from_rows(np.ones(known.sum()), columns[known], known, width)


def scale_rows(matrix):
    """Scale the rows of a CSR matrix to norm 1 in place; rows of zeros stay. Return it.

    sklearn.preprocessing.normalize takes a millisecond for one row, most of it for
    checks, and squares numbers as they are, which overflows for extreme ones.
    """
    sizes = np.diff(matrix.indptr)
    starts = matrix.indptr[:-1][sizes > 0]
    sizes = sizes[sizes > 0]
    peaks = np.maximum.reduceat(np.abs(matrix.data), starts)
    matrix.data /= np.repeat(np.where(peaks == 0, 1, peaks), sizes)
    norms = np.sqrt(np.add.reduceat(matrix.data**2, starts))
    matrix.data /= np.repeat(np.maximum(norms, 1), sizes)
    return matrix


@record
class NumberEncoder(runtime.NumberCell, ColumnEncoder):
    """Numbers: one column, robustly scaled."""

    expects = "numbers"

    def learn(self, cells):
        """Learn the median and the spread."""
        self.names = [""]
        self.scale = _learn_scale(self.to_floats(cells))

    def block(self, cells):
        """Return the clipped robust scores."""
        scores = _clipped_scores(self.to_floats(cells), *self.scale)
        return from_dense(scores[:, None])

    def measures(self, cells):
        """Return the numbers."""
        return self.to_floats(cells)

    def in_words(self, place, value):
        """Return the number."""
        return _unscaled(value, self.scale, _short, ("or less", "or more"))


def _learn_scale(numbers):
    """Return the median and the spread of numbers (n,).

    The spread is the interquartile range, or the standard deviation where that is 0, or
    1 where both are.
    """
    # quarters, since differences of the largest numbers are infinite
    low, median, high = 4 * np.percentile(numbers / 4, [25, 50, 75])
    if numbers.min() == numbers.max():  # rounding might make their deviation > 0
        return median, 1.0
    with np.errstate(over="ignore", invalid="ignore"):
        spread = (high - low) or numbers.std() or 1.0  # 0 also of tiny numbers
    return median, min(np.finfo(float).max, spread)  # the first one if that is nan


def _clipped_scores(numbers, median, spread):
    """Return the clipped robust scores of numbers (n,)."""
    with np.errstate(over="ignore"):
        return np.clip((numbers - median) / spread, -runtime.CLIP, runtime.CLIP)


@record
class BinEncoder(runtime.BinCell, ColumnEncoder):
    """Numbers: one-hot by bins that hold about the same number of rows of fit."""

    expects = "numbers"

    def learn(self, cells):
        """Learn the edges of the bins. They are numbers of fit, so no bin is empty."""
        numbers = self.to_floats(cells)
        shares = np.arange(1, N_BINS) / N_BINS
        edges = np.unique(np.quantile(numbers, shares, method="higher"))
        self.edges = edges[edges > numbers.min()]
        self.names = [f"bin{i}" for i in range(self.n_names)]

    def block(self, cells):
        """Return a 1 for the bin of each number; an edge is in the bin above it."""
        bins = np.searchsorted(self.edges, self.to_floats(cells), side="right")
        return one_hot(bins, self.n_names)

    def measures(self, cells):
        """Return the numbers."""
        return self.to_floats(cells)

    def in_words(self, place, value):
        """Return the limits of the bin."""
        if len(self.edges) == 0:
            return "any number"
        if place == 0:
            return f"less than {_short(self.edges[0])}"
        if place == len(self.edges):
            return f"{_short(self.edges[-1])} or more"
        return f"{_short(self.edges[place - 1])} to {_short(self.edges[place])}"


@record
class BooleanEncoder(runtime.BooleanCell, ColumnEncoder):
    """Booleans: one column, 1 or -1."""

    expects = "True or False, 1 or 0"

    def learn(self, cells):
        """Check that all cells are booleans."""
        self.names = [""]
        self.block(cells)

    def block(self, cells):
        """Return 0 and 1 as -1 and 1."""
        flags = self.to_floats(cells)
        wrong = (flags != 0) & (flags != 1)
        if wrong.any():
            raise self.unsuitable_error(cells[wrong][0])
        return from_dense(2 * flags[:, None] - 1)

    def in_words(self, place, value):
        """Return "yes" or "no"."""
        return "yes" if value > 0 else "no"


@record
class DatePartEncoder(runtime.DatePartCell, ColumnEncoder):
    """Dates: days as a number, age, and the angles of the month and of the weekday."""

    expects = (
        "dates (numbers: convert them by pandas.to_datetime, which needs a unit; "
        "values that are not dates, such as '0000-00-00', must be missing)"
    )

    def learn(self, cells):
        """Learn the scales of the days and of the logarithms of the ages."""
        angles = ["month_sin", "month_cos", "weekday_sin", "weekday_cos"]
        self.names = ["days", "age", *angles]
        days = _to_days(self._to_dates(cells))
        self.newest = days.max()
        self.days_scale = _learn_scale(days)
        self.age_scale = _learn_scale(self._to_ages(days))

    def block(self, cells):
        """Return six numbers per date."""
        dates = self._to_dates(cells)
        days = _to_days(dates)
        month = 2 * np.pi * (dates.month.to_numpy() - 1) / 12
        weekday = 2 * np.pi * dates.day_of_week.to_numpy() / 7
        numbers = [
            _clipped_scores(days, *self.days_scale),
            _clipped_scores(self._to_ages(days), *self.age_scale),
            np.sin(month),
            np.cos(month),
            np.sin(weekday),
            np.cos(weekday),
        ]
        return from_dense(np.column_stack(numbers) / 2)  # four parts of norm about 1

    def measures(self, cells):
        """Return the days since 1970."""
        return _to_days(self._to_dates(cells))

    def in_words(self, place, value):
        """Return the day, or what the number is of."""
        part = self.names[place].partition("_")[0]
        if part in PARTS_OF_DATES:
            return PARTS_OF_DATES[part]
        return _unscaled(2 * value, self.days_scale, _day, ("or earlier", "or later"))

    def _to_ages(self, days):
        """Return the logarithm of one plus the days until the newest date of fit."""
        return np.log1p(np.maximum(self.newest - days, 0))

    def _to_dates(self, cells):
        """Return cells (n,) as a DatetimeIndex in UTC."""
        if cells.dtype.kind == "M":
            return pd.DatetimeIndex(cells)
        if cells.dtype != object:
            raise self.unsuitable_error(cells[0])
        codes, distinct = self.factorize(cells)
        return self._parse(object_array(distinct))[codes]

    def _parse(self, cells):
        """Return objects (n,) as a DatetimeIndex in UTC; raise for other values."""
        for cell in cells:
            if isinstance(cell, Number):  # pandas would take it for nanoseconds
                raise self.unsuitable_error(cell)
        dates = _parsed_or_nat(cells)
        if not dates.hasnans:
            return dates
        # pandas chose one unit for all: in nanoseconds the year 9999 becomes NaT
        moments = dates.as_unit("us").to_numpy().copy()
        for place in np.flatnonzero(dates.isna()):
            date = _parsed_or_nat(cells[[place]])
            if date.hasnans:
                raise self.unsuitable_error(cells[place])
            moments[place] = date.to_numpy()[0]
        return pd.DatetimeIndex(moments)


def _day(days):
    """Return days since 1970, a float, as a date in ISO 8601."""
    hours = round(days * 24)
    try:
        return str(np.datetime64(hours, "h").astype("M8[D]"))
    except OverflowError:
        return "a date"


def _parsed_or_nat(cells):
    """Return objects (n,) as a DatetimeIndex in UTC, with NaT for other values."""
    dates = pd.to_datetime(cells, utc=True, errors="coerce", format="mixed")
    return dates.tz_convert(None)


def _to_days(dates):
    """Return days since 1970 of a DatetimeIndex (n,), as floats."""
    return (dates.to_numpy() - np.datetime64(0, "s")) / np.timedelta64(1, "D")


@record
class VectorEncoder(runtime.VectorCell, ColumnEncoder):
    """Vectors, such as embeddings of another model: their numbers, with norm 1."""

    expects = "vectors (lists, tuples or 1-d arrays of numbers, or scipy sparse rows)"

    def learn(self, cells):
        """Learn the length of the vectors."""
        self.length = length_of(cells[0])
        self.names = [str(i) for i in range(self.length or 0)]
        self.block(cells)

    def block(self, cells):
        """Return each vector with norm 1; zeros stay zeros."""
        for cell in cells:
            length = length_of(cell)
            if length is None:
                raise self.unsuitable_error(cell)
            if length != self.length:
                raise ValueError(
                    f"Column {self.name!r} of kind 'vector' expects vectors of length "
                    f"{self.length}, like the first one in fit. Got one of length "
                    f"{length}. Make them equally long, or fit with "
                    f"kinds={{{self.name!r}: 'list'}} if their numbers are tags."
                )
        if all(isinstance(cell, SPARSE) for cell in cells):
            rows = [cell.reshape(1, -1) for cell in cells]
            vectors = sparse.vstack(rows, format="csr", dtype=float)
        else:
            vectors = from_dense(self._stack(cells))
        if not np.isfinite(vectors.data).all():
            raise ValueError(
                f"Column {self.name!r} of kind 'vector' holds a vector with NaN or "
                "infinity in it. Expected finite numbers; replace them, or let the "
                "whole cell be missing (None)."
            )
        return scale_rows(vectors)

    def in_words(self, place, value):
        """Return which number of the vector it is."""
        return f"entry {place} of the vector"

    def _stack(self, cells):
        """Return vectors, dense or sparse, as an array of floats (n, length)."""
        dense = []
        for cell in cells:
            if isinstance(cell, SPARSE):
                cell = cell.toarray().ravel()
            dense.append(cell)
        try:
            return np.array(dense, dtype=float)
        except (TypeError, ValueError, OverflowError):
            as_floats = functools.partial(np.array, dtype=float)
            odd = (c for c in dense if is_refused(c, as_floats) or np.ndim(c) != 1)
            raise self.unsuitable_error(next(odd)) from None


def length_of(cell):
    """Return the length of a vector; None for other values."""
    if isinstance(cell, (list, tuple)):
        return len(cell)
    if isinstance(cell, SPARSE) and cell.ndim == 2:
        n_rows, length = cell.shape
        if n_rows != 1:
            return None
        return length
    if isinstance(cell, (np.ndarray, *SPARSE)) and cell.ndim == 1:
        return cell.shape[0]
    return None
