"""Encoders of ids and levels: one output column for each of them.

Input: the present cells of one column (n_present,).
Output: a CSR float32 block (n_present, n_names).
"""

import copy
from decimal import Decimal
from itertools import compress

import numpy as np
import pandas as pd
from sklearn.utils import murmurhash3_32

from sktwotower._records import record
from sktwotower._tables._messages import warn
from sktwotower.runtime._cell_encoders import KeyCell, LevelCell, name_of

from ._cells import LISTS, SPARSE, infinite_error
from ._value_encoders import ColumnEncoder, one_hot

# What a column says that keys without one of their own share.
RARE = "a rare or a new one"


class VocabularyEncoder(KeyCell, ColumnEncoder):
    """Encode keys (levels, tags, words): one column for each key that fit has kept."""

    def _stored_parts(self):
        return vars(self) | {"columns": list(self.columns), "other": self.other}

    def set_columns(self, keys, n_hashed):
        """Assign a column to each key; `n_hashed` more are shared by all others."""
        self.columns = {key: column for column, key in enumerate(keys)}
        self.n_hashed = n_hashed or 0
        self.names = [name_of(key) for key in keys]
        self.names += [f"hash{i}" for i in range(self.n_hashed)]

    def columns_of(self, keys):
        """Return the column (n,) of each of a list of keys, -1 for none."""
        column_of = self.columns.get
        other = self.other
        columns = np.array([column_of(key, other) for key in keys], dtype=int)
        if self.n_hashed:
            for place in np.flatnonzero(columns < 0):
                key = keys[place]
                if not is_null(key):
                    number = murmurhash3_32(name_of(key), positive=True)
                    columns[place] = len(self.columns) + number % self.n_hashed
        return columns

    def in_words(self, place, value):
        """Return the key, or that it is one of those that share a column."""
        if place < len(self.columns):
            return self.names[place]
        return RARE

    def further_keys(self, keys, counts):
        """Return those of a list of keys that get a column, too: the frequent ones.

        ``counts`` (n,): in how many rows each key is.
        """
        unknown = np.array([key not in self.columns for key in keys], dtype=bool)
        new = list(compress(keys, unknown))
        room = max(0, self.settings.max_features - len(self.columns))
        return frequent_keys(new, counts[unknown], self.settings.min_count, room)

    def with_keys(self, new):
        """Return an encoder with columns for further keys, next to those of others."""
        encoder = copy.copy(self)
        n_before = len(self.columns)
        encoder.columns = dict(self.columns)
        for column, key in enumerate(new, start=n_before):
            encoder.columns[key] = column
        names = list(self.names)
        names[n_before:n_before] = [name_of(key) for key in new]
        encoder.names = names
        if self.other >= 0:
            encoder.other = len(encoder.columns)
        return encoder

    def restricted(self, kept):
        """Return an encoder with only some of its keys.

        ``kept`` (n_names,): which columns stay; those that are not keys always do.
        """
        encoder = copy.copy(self)
        keys = [key for key, column in self.columns.items() if kept[column]]
        encoder.columns = {key: column for column, key in enumerate(keys)}
        encoder.names = list(compress(self.names, kept))
        if self.other >= 0:
            encoder.other = len(keys)
        return encoder


def is_null(key):
    """Return whether a key is a missing value."""
    if isinstance(key, (str, *LISTS)):
        return False
    return bool(pd.isna(key))


def frequent_keys(keys, counts, min_count, max_keys):
    """Return the keys counted `min_count` times or more, sorted.

    If there are more than `max_keys`, the most frequent of them.
    """
    frequent = {}
    for key, count in zip(keys, counts.tolist(), strict=True):
        if count >= min_count:
            frequent[key] = count
    kept = _sort(frequent)
    if len(kept) > max_keys:
        most_frequent = sorted(kept, key=frequent.get, reverse=True)
        most_frequent = set(most_frequent[:max_keys])
        kept = [key for key in kept if key in most_frequent]
    return kept


def _sort(keys):
    """Return sorted keys; keys of several types are sorted by their names."""
    try:
        return sorted(keys)
    except TypeError:
        return sorted(keys, key=lambda key: (isinstance(key, str), name_of(key)))


@record
class LevelEncoder(LevelCell, VocabularyEncoder):
    """Ids and categories: one column per level that is frequent enough."""

    expects = "single values (strings, numbers or dates)"

    def learn(self, cells):
        """Assign a column to each frequent level, and shared ones to the others."""
        codes, levels = self._factorize(cells)
        if self.kind == "id":
            self.set_columns(_sort(levels), None)
            return
        counts = np.bincount(codes)
        min_count = self.settings.min_count
        max_features = self.settings.max_features
        n_hashed = self.settings.n_hashed
        kept = frequent_keys(levels, counts, min_count, max_features)
        n_frequent = (counts >= min_count).sum()
        if n_frequent > max_features:
            self._warn_of_many(len(levels), n_frequent)
        self.set_columns(kept, n_hashed)
        if not n_hashed and len(kept) < len(levels):
            self.other = len(kept)
            self.names.append("infrequent")

    def _warn_of_many(self, n_levels, n_frequent):
        """Warn that there are too many levels, and which columns they share."""
        max_features = self.settings.max_features
        n_hashed = self.settings.n_hashed
        place = f"{n_hashed} hashed columns"
        more = ""
        if not n_hashed:
            place = f"the column '{self.name}_infrequent'"
            more = ", or set n_hashed to spread them over some columns"
        warn(
            f"Column {self.name!r} of kind 'category' has {n_levels} levels; "
            f"{n_frequent} are frequent enough for a column, more than max_features="
            f"{max_features}. The {max_features} most frequent ones got one; the "
            f"others share {place}. Leave the column out by "
            f"kinds={{{self.name!r}: 'drop'}}, or raise max_features{more}."
        )

    def extended(self, cells):
        """Return an encoder that also has a column for each of the distinct ids (n,).

        Also return which of the ids are new, bool (n,).
        """
        codes, keys = self._factorize(cells)
        fresh = np.array([key not in self.columns for key in keys], dtype=bool)
        return self.with_keys(list(compress(keys, fresh))), fresh[codes]

    def grown(self, cells):
        """Return an encoder that also has a column for each level frequent in cells."""
        codes, levels = self._factorize(cells)
        self._check_types(levels)
        return self.with_keys(self.further_keys(levels, np.bincount(codes)))

    def block(self, cells):
        """Return a 1 in the column of each cell's level."""
        codes, levels = self._factorize(cells)
        self._check_types(levels)
        return one_hot(self.columns_of(levels)[codes], self.n_names)

    def _check_types(self, levels):
        """Raise for a level of fit that comes as another type: it would be unknown."""
        if self.kind == "id" or any(key in self.columns for key in levels):
            return
        key = levels[0]
        if self.is_misread(key):
            types = sorted({type(level).__name__ for level in self.columns})
            raise TypeError(
                f"Column {self.name!r} had levels of type {', '.join(types)} in fit. "
                f"Got {key!r} ({type(key).__name__}), the same level as another type. "
                "Convert the cells."
            )

    def _factorize(self, cells):
        """Return the code (n,) of each cell, and the list of the distinct levels."""
        if cells.dtype.kind == "M":  # the unit of a date must not matter
            cells = cells.astype("datetime64[us]")
        keys = cells.tolist()
        if cells.dtype == object:
            # read_cells turns columns of decimals into floats, but not mixed ones
            keys = [float(key) if isinstance(key, Decimal) else key for key in keys]
        codes, levels = self.factorize(keys)
        if cells.dtype != object:
            return codes, levels
        for level in levels:
            if isinstance(level, (*LISTS, *SPARSE)):
                raise self.unsuitable_error(level)
            if isinstance(level, float) and np.isinf(level):
                raise infinite_error(self.name)
        return codes, levels
