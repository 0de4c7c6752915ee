"""Columns of side tables, and feature columns of X, as numbers that a ranker can read.

Input: the users or the items of a fitted recommender, and its table of events.
Output: a ``SideColumns`` value: names, and numbers float32 (n + 1, n_columns).
"""

from typing import NamedTuple

import numpy as np
import pandas as pd

from sktwotower._records import array, list_of, record, require
from sktwotower._tables._columns import latest_rows
from sktwotower._tables._stored import index

# Columns of text with more levels than this say little as a code.
MAX_LEVELS = 255


@record
class Encoder(NamedTuple):
    """How the cells of a column become numbers; ``levels`` None: they are numbers.

    ``codes`` (n,): the number of each level. None: its position.
    """

    column: str | int
    levels: index("n") | None
    codes: array("float32", "n") | None = None

    def _check_stored(self, place):
        fits = self.codes is None or self.levels is not None
        require(fits, place, "levels with codes")

    @property
    def n_levels(self):
        """The number of levels."""
        if self.levels is None:
            return 0
        return len(self.levels)

    @property
    def numbers(self):
        """The number of each level, float32 (n_levels,)."""
        if self.codes is None:
            return np.arange(self.n_levels, dtype=np.float32)
        return self.codes

    def encode(self, values):
        """Return the cells of a Series (n,) as float32; missing and new ones are nan.

        Levels become their position in alphabetical order.
        """
        if self.levels is None:
            return _as_numbers(values)
        numbers = np.append(self.numbers, np.float32(np.nan))
        return numbers[self.places(values)]

    def places(self, values):
        """Return the positions (n,) of the cells of a Series among levels, or -1."""
        if self.n_levels == 0:
            return np.full(len(values), -1)
        return self.levels.get_indexer(values.astype(object))

    def used_in(self, numbers):
        """Return an encoder with the levels that are among some numbers (n,)."""
        if self.levels is None:
            return self
        return self.restricted(np.isin(self.numbers, numbers))

    def restricted(self, kept):
        """Return an encoder with only some of its levels, which keep their numbers."""
        return self._replace(levels=self.levels[kept], codes=self.numbers[kept])


def encode(encoders, table):
    """Return numbers float32 (n, n_columns) of a table, nan for columns it lacks."""
    numbers = np.full((len(table), len(encoders)), np.nan, np.float32)
    for place, encoder in enumerate(encoders):
        if encoder.column in table:
            numbers[:, place] = encoder.encode(table[encoder.column])
    return numbers


@record
class SideColumns(NamedTuple):
    """Columns of the users or the items: names, and numbers (n + 1, n_columns).

    The last row, all nan, is for unknown ones.
    """

    names: list_of(str, "n_columns")
    numbers: array("float32", "n+1 n_columns")


def learn_encoders(entities, frame):
    """Return an ``Encoder`` of each column that can be read as numbers or levels.

    ``entities``: `Entities` that were fitted on the events of ``frame``.
    """
    table = _table(entities, frame)
    encoders = []
    for column in table:
        encoder = encoder_of(column, table[column])
        if encoder is not None:
            encoders.append(encoder)
    return encoders


def side_columns(entities, encoders, frame):
    """Return the ``SideColumns`` of users or items."""
    unknown = np.full(len(encoders), np.nan, np.float32)
    numbers = np.vstack([encode(encoders, _table(entities, frame)), unknown])
    names = [f"{entities.side}__{encoder.column}" for encoder in encoders]
    return SideColumns(names, numbers)


def _table(entities, frame):
    """Return the features of all entities, (n, n_columns), in the order of ids."""
    codes = entities.codes(frame[entities.id_column], "X")
    is_known = codes >= 0
    features = frame.loc[is_known, entities.features]
    of_events = latest_rows(features, codes[is_known], len(entities))
    side = entities.side_table()
    if side is None:
        return of_events
    side = side.reindex(entities.ids).reset_index(drop=True)
    return pd.concat([of_events, side], axis=1)


def encoder_of(column, values):
    """Return the ``Encoder`` of a column; None for lists and for text of any kind."""
    if is_date(values) or pd.api.types.is_numeric_dtype(values.dtype):
        return Encoder(column, None)
    try:
        levels = values.dropna().astype(object).unique()
        levels = pd.Index(sorted(levels), dtype=object)
    except TypeError:  # lists have no hash, mixed types no order
        return None
    if not 0 < len(levels) <= MAX_LEVELS:
        return None
    return Encoder(column, levels)


def is_date(values):
    """Return whether a Series holds dates, in a time zone or not."""
    return pd.api.types.is_datetime64_any_dtype(values.dtype)


def _as_numbers(values):
    """Return numbers as float32, and dates as years since 1970."""
    if is_date(values):
        if values.dt.tz is not None:
            values = values.dt.tz_convert(None)
        values = (values - pd.Timestamp(0)) / pd.Timedelta(days=365.25)
    return values.astype("Float64").to_numpy(np.float32, na_value=np.nan)
