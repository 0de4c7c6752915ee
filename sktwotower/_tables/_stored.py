"""Tables and ids in files, column by column.

Input: a table of any library or an Index of pandas, or what JSON holds in its place.
Output: the other one of both; tables are those of pandas.
"""

from typing import NamedTuple

import numpy as np
import pandas as pd
from pandas.api.types import is_object_dtype, is_string_dtype

from sktwotower._records import Check, instance, integer, one_of, record, require
from sktwotower._records._checks import cannot_write, check_of, refusing
from sktwotower._records._kinds import Codec
from sktwotower._records._reading import object_array
from sktwotower._records._registry import add_codec

from ._frames import as_frame, is_frame

# Extension types whose cells are numbers or booleans with gaps.
INTEGERS = [f"{name}{bits}" for name in ("Int", "UInt") for bits in (8, 16, 32, 64)]
MASKED = frozenset([*INTEGERS, "Float32", "Float64", "boolean"])


def index(dims="n"):
    """Return a check for an Index (n,) of pandas: distinct ids or levels."""

    def check(value, place):
        require(isinstance(value, pd.Index), place, "an index")
        require(value.is_unique and not value.hasnans, place, "distinct ids")

    return Check(check, dims)


def _vector(kinds):
    """Return a check for an array (n,) of some kinds of dtypes, such as "iu"."""

    def check(value, place):
        fits = isinstance(value, np.ndarray) and value.ndim == 1
        fits = fits and value.dtype.kind in kinds
        require(fits, place, "an array of one dimension", value)

    return Check(check, "n")


@record
class Cells(NamedTuple):
    """A column of numbers, booleans, dates or durations."""

    cells: _vector("biufmM")

    def made(self):
        """Return what pandas makes a column of."""
        return self.cells


@record
class Levels(NamedTuple):
    """A column of categories."""

    codes: _vector("i")
    levels: index("n_levels")
    is_ordered: bool

    def _check_stored(self, place):
        codes = self.codes
        n_levels = len(self.levels)
        inside = len(codes) == 0 or (codes.min() >= -1 and codes.max() < n_levels)
        require(inside, place, f"codes of {n_levels} levels")

    def made(self):
        """Return what pandas makes a column of."""
        return pd.Categorical.from_codes(
            self.codes, self.levels, ordered=self.is_ordered
        )


@record
class Moments(NamedTuple):
    """A column of dates in a time zone: that of ``zone``, any moment."""

    moments: _vector("M")
    zone: pd.Timestamp

    def _check_stored(self, place):
        require(self.zone.tz is not None, place, "a time zone")

    def made(self):
        """Return what pandas makes a column of."""
        # by name: the object is that of pandas for it
        moments = pd.DatetimeIndex(self.moments).tz_localize("UTC")
        return moments.tz_convert(str(self.zone.tz))


@record
class Periods(NamedTuple):
    """A column of periods, by their numbers; ``unit``: any period as long."""

    periods: _vector("i")
    unit: pd.Period

    def made(self):
        """Return what pandas makes a column of."""
        return pd.PeriodIndex.from_ordinals(self.periods, freq=self.unit.freq)


@record
class Masked(NamedTuple):
    """A column of an extension type, with gaps."""

    dtype: one_of(*sorted(MASKED))
    cells: _vector("biuf")
    gaps: _vector("b")

    def made(self):
        """Return what pandas makes a column of."""
        values = pd.array(self.cells, dtype=self.dtype)
        values[self.gaps] = pd.NA
        return values


@record
class Text(NamedTuple):
    """A column of text, and of gaps."""

    cells: list

    def _check_stored(self, place):
        types = set(map(type, self.cells))
        require(types <= {str, float, type(None)}, place, "text and gaps")

    def made(self):
        """Return what pandas makes a column of."""
        return pd.array(self.cells, dtype=pd.Series(["a"]).dtype)


@record
class Objects(NamedTuple):
    """A column of anything."""

    cells: list

    def made(self):
        """Return what pandas makes a column of."""
        return object_array(self.cells)


COLUMN = check_of(Cells | Levels | Moments | Periods | Masked | Text | Objects)


def _column_of(values, place):
    """Return the record of a pandas Series or Index (n,)."""
    dtype = values.dtype
    if isinstance(dtype, pd.CategoricalDtype):
        values = pd.Categorical(values)
        return Levels(np.array(values.codes), values.categories, bool(values.ordered))
    if isinstance(dtype, pd.DatetimeTZDtype):
        moments = pd.DatetimeIndex(values).tz_convert("UTC").tz_localize(None)
        return Moments(moments.to_numpy(), pd.Timestamp(0, tz=dtype.tz))
    if isinstance(dtype, pd.PeriodDtype):
        periods = pd.PeriodIndex(values)
        return Periods(np.array(periods.asi8), pd.Period(ordinal=0, freq=periods.freq))
    if dtype.name in MASKED:
        plain = dtype.numpy_dtype
        cells = values.to_numpy(dtype=plain, na_value=plain.type(0))
        return Masked(dtype.name, cells, np.asarray(pd.isna(values)))
    if isinstance(dtype, np.dtype) and dtype.kind in "biufmM":
        return Cells(values.to_numpy())
    cells = list(np.asarray(values.astype(object)))
    if is_string_dtype(dtype) and not is_object_dtype(dtype):
        return Text(cells)
    if is_object_dtype(dtype) or hasattr(dtype, "pyarrow_dtype"):
        return Objects(cells)
    raise cannot_write(values, place, f" of dtype {dtype}")


@record
class Table(NamedTuple):
    """A table with rows numbered from 0: a column for each name."""

    n_rows: integer()
    columns: dict

    @classmethod
    def of(cls, table, place):
        """Return the record of a table of any library."""
        frame = as_frame(table, place)
        columns = {}
        for name, column in frame.items():
            columns[name] = _column_of(column, f"{place}[{name!r}]")
        return cls(len(frame), columns)

    def made(self, place):
        """Return the frame of pandas."""
        numbered = {}
        for i, stored in enumerate(self.columns.values()):
            column = COLUMN(stored, place).made()
            fits = len(column) == self.n_rows
            require(fits, place, f"columns of {self.n_rows} cells")
            numbered[i] = pd.Series(column)
        frame = pd.DataFrame(numbered, index=range(self.n_rows))
        return frame.set_axis(pd.Index(list(self.columns)), axis="columns")


def _write_table(table, writer, place):
    """Return what JSON holds for a table of any library."""
    return writer.once(table, place, Table.of)


def _read_table(spec, reader, place):
    """Return the pandas frame that JSON holds."""

    def read(spec, reader, place):
        stored = instance(Table).read(spec, reader, place)
        with refusing(place, "a table"):  # of cells that no column can hold
            return stored.made(place)

    return reader.once(spec, place, read)


def _is_index(value):
    """Return whether a value is an Index of one level."""
    return isinstance(value, pd.Index) and not isinstance(value, pd.MultiIndex)


def _write_index(index, writer, place):
    """Return what JSON holds for an Index: its column, and its name."""
    column = writer.write(_column_of(index, place), place)
    return [column, writer.write(index.name, f"{place}.name")]


def _read_index(spec, reader, place):
    """Return the Index that JSON holds."""
    require(type(spec) is list and len(spec) == 2, place, "an index and its name")
    column = reader.read(spec[0], place)
    name = reader.read(spec[1], place)
    require(name is None or type(name) in (str, int), place, "a name")
    with refusing(place, "an index"):
        dtype = None
        if isinstance(column, Objects):
            dtype = object
        return pd.Index(COLUMN(column, place).made(), dtype=dtype, name=name)


add_codec(Codec(_read_table, _write_table, "table", is_frame))
add_codec(Codec(_read_index, _write_index, "Index", _is_index))
