"""Encoders of ids, levels, tags and words: one output column for each of them.

Input: the present cells of one column (n_present,).
Output: a CSR float32 block (n_present, n_names).
"""

import copy
import re
from decimal import Decimal
from itertools import chain, repeat

import numpy as np
import pandas as pd
from scipy import sparse
from sklearn.feature_extraction.text import strip_accents_unicode
from sklearn.utils import murmurhash3_32

from sktwotower._tables._frames import is_missing
from sktwotower._tables._messages import warn

from ._cells import (
    LISTS,
    SPARSE,
    decode,
    factorize,
    infinite_error,
    is_unhashable,
    printable,
    to_objects,
)
from ._value_encoders import ColumnEncoder, one_hot, scale_rows

# Minimum share of the distinct cells that hold the delimiter. It is higher for commas,
# which are frequent in prose.
DELIMITERS = {"|": 1 / 3, ";": 1 / 3, ",": 1 / 2}
WORD = re.compile(r"\w+")


def find_delimiter(distinct):
    """Return the delimiter that makes the distinct strings lists, or None."""
    for delimiter, share in DELIMITERS.items():
        if sum(delimiter in cell for cell in distinct) < share * len(distinct):
            continue
        parts = [part.strip() for cell in distinct for part in cell.split(delimiter)]
        _, distinct_parts = factorize(parts)
        short = np.mean([len(part.split()) for part in parts]) <= 2.5
        if short and (delimiter != "," or len(distinct_parts) <= len(distinct)):
            return delimiter
    return None


class VocabularyEncoder(ColumnEncoder):
    """Encode keys (levels, tags, words): one column for each key that fit has kept.

    `columns` maps keys to columns. It is a dict because a look-up then costs the same
    for any number of levels (scikit-learn's OneHotEncoder goes through all of them to
    encode one row), and because 5, 5.0 and numpy's 5 are one key. Other keys share the
    hashed columns, which come next, if there are any.
    """

    other = -1  # the column of keys that have none and are not hashed

    def set_columns(self, keys, n_hashed):
        """Assign a column to each key; `n_hashed` more are shared by all others."""
        self.columns = {key: column for column, key in enumerate(keys)}
        self.n_hashed = n_hashed or 0
        hashed = [f"hash{i}" for i in range(self.n_hashed)]
        self.names = [*map(_name_key, keys), *hashed]

    def columns_of(self, keys):
        """Return the column (n,) of each of a list of keys, -1 for none."""
        get, other = self.columns.get, self.other
        places = np.array([get(key, other) for key in keys], dtype=int)
        if self.n_hashed:
            for unknown in np.flatnonzero(places < 0):
                if not _is_null(keys[unknown]):
                    places[unknown] = len(self.columns) + self._hash(keys[unknown])
        return places

    def restricted(self, kept):
        """Return an encoder with only some of its keys.

        ``kept`` (n_names,): which columns stay; those that are no keys always do.
        """
        encoder = copy.copy(self)
        keys = [key for key, column in self.columns.items() if kept[column]]
        encoder.columns = {key: column for column, key in enumerate(keys)}
        names = zip(self.names, kept, strict=True)
        encoder.names = [name for name, is_kept in names if is_kept]
        if self.other >= 0:
            encoder.other = len(keys)
        return encoder

    def _hash(self, key):
        """Return the number of a key's hashed column, the same in every process."""
        return murmurhash3_32(_name_key(key), positive=True) % self.n_hashed


def _is_null(key):
    """Return whether a key is a missing value."""
    return not isinstance(key, (str, *LISTS)) and bool(pd.isna(key))


def _name_key(key):
    """Return a key as part of a column name; 5.0 is written as 5."""
    whole = isinstance(key, float) and key.is_integer()
    return printable(str(int(key) if whole else key))


def _frequent_keys(keys, counts, min_count, max_keys):
    """Return the keys counted `min_count` times or more, sorted.

    If there are more than `max_keys`, the most frequent of them.
    """
    pairs = zip(keys, counts.tolist(), strict=True)
    found = {key: count for key, count in pairs if count >= min_count}
    kept = _sort(found)
    if len(kept) > max_keys:
        top = set(sorted(kept, key=found.get, reverse=True)[:max_keys])
        kept = [key for key in kept if key in top]
    return kept


def _sort(keys):
    """Return sorted keys; keys of several types are sorted by their names."""
    try:
        return sorted(keys)
    except TypeError:
        return sorted(keys, key=lambda key: (isinstance(key, str), _name_key(key)))


class LevelEncoder(VocabularyEncoder):
    """Ids and categories: one column per level that is frequent enough."""

    expects = "single values (strings, numbers or dates)"

    def learn(self, cells):
        """Assign a column to each frequent level, and shared ones to the others."""
        codes, levels = self._factorize(cells)
        if self.kind == "id":
            self.set_columns(_sort(levels), None)
            return
        counts, min_count = np.bincount(codes), self.settings.min_count
        max_features, n_hashed = self.settings.max_features, self.settings.n_hashed
        kept = _frequent_keys(levels, counts, min_count, max_features)
        if (n_frequent := (counts >= min_count).sum()) > max_features:
            self._warn_of_many(len(levels), n_frequent)
        self.set_columns(kept, n_hashed)
        if not n_hashed and len(kept) < len(levels):
            self.other = len(kept)
            self.names.append("infrequent")

    def _warn_of_many(self, n_levels, n_frequent):
        """Warn that there are too many levels, and which columns they share."""
        max_features, n_hashed = self.settings.max_features, self.settings.n_hashed
        place = (
            f"{n_hashed} hashed columns"
            if n_hashed
            else f"the column '{self.name}_infrequent'"
        )
        more = "" if n_hashed else ", or set n_hashed to spread them over some columns"
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
        new = [key for key, is_fresh in zip(keys, fresh, strict=True) if is_fresh]
        encoder = copy.copy(self)
        encoder.columns = self.columns | {
            key: column for column, key in enumerate(new, len(self.columns))
        }
        encoder.names = [*self.names, *map(_name_key, new)]
        return encoder, fresh[codes]

    def block(self, cells):
        """Return a 1 in the column of each cell's level."""
        codes, levels = self._factorize(cells)
        if self.kind == "category" and not any(key in self.columns for key in levels):
            self._check_type(levels[0])
        return one_hot(
            self.columns_of(levels)[codes], len(self.columns) + self._n_shared()
        )

    def _check_type(self, key):
        """Raise for a level of fit that comes as another type: it would be unknown."""
        types = sorted({type(level).__name__ for level in self.columns})
        if type(key).__name__ not in types and _name_key(key) in self.names:
            raise TypeError(
                f"Column {self.name!r} had levels of type {', '.join(types)} in fit. "
                f"Got {key!r} ({type(key).__name__}), the same level as another type. "
                "Convert the cells."
            )

    def _n_shared(self):
        """Return the number of columns that infrequent levels share."""
        return self.n_hashed or int(self.other >= 0)

    def _factorize(self, cells):
        """Return the code (n,) of each cell, and the list of the distinct levels."""
        if cells.dtype.kind == "M":  # the unit of a date must not matter
            cells = cells.astype("datetime64[us]")
        keys = cells.tolist()
        if cells.dtype == object:
            # read_cells turns columns of decimals into floats, but not mixed ones
            keys = [float(key) if isinstance(key, Decimal) else key for key in keys]
        try:
            codes, levels = factorize(keys)
        except TypeError:  # a list, say, has no hash
            raise self.unsuitable_error(next(filter(is_unhashable, keys))) from None
        for level in levels if cells.dtype == object else ():
            if isinstance(level, (*LISTS, *SPARSE)):
                raise self.unsuitable_error(level)
            if isinstance(level, float) and np.isinf(level):
                raise infinite_error(self.name)
        return codes, levels


class BagEncoder(VocabularyEncoder):
    """Encode cells that hold several keys: one column per key, rows of norm 1.

    Subclasses define `count(cells)`, which returns how much of each key is in each
    cell, as a CSR matrix (n_cells, n_keys), and the list of keys; and `weigh(matrix)`,
    which turns sums of counts (n_cells, n_names) into weights.
    """

    def learn(self, cells):
        """Assign a column to each frequent key; to all keys where none is frequent."""
        cells, places = _distinct_texts(cells)
        counts, keys = self.count(cells)
        frequencies = _count_rows(counts, places)
        frequencies[np.array([*map(_is_null, keys)], dtype=bool)] = 0
        _, max_features, n_hashed, _ = self.settings
        kept = _frequent_keys(keys, frequencies, self.settings.min_count, max_features)
        if not kept and not n_hashed:
            kept = _frequent_keys(keys, frequencies, 1, max_features)
        self.set_columns(kept, n_hashed)
        self.frequencies = _count_rows(counts @ self._selector(keys), places)
        self.n_cells = len(places)

    def block(self, cells):
        """Return the weight of each key in its column; keys of one column add up."""
        cells, places = _distinct_texts(cells)
        counts, keys = self.count(cells)
        matrix = counts @ self._selector(keys)
        matrix.sort_indices()
        return scale_rows(self.weigh(matrix))[places]

    def restricted(self, kept):
        """Return an encoder with only some of its keys, as `VocabularyEncoder` does."""
        encoder = super().restricted(kept)
        n_weighed = len(self.columns) + self.n_hashed
        for name in ("frequencies", "idf"):
            if hasattr(self, name):
                setattr(encoder, name, getattr(self, name)[kept[:n_weighed]])
        return encoder

    def _selector(self, keys):
        """Return a CSR matrix (n_keys, n_names), 1 where a key has its column."""
        return one_hot(self.columns_of(keys), len(self.columns) + self.n_hashed).astype(
            float
        )


def _distinct_texts(cells):
    """Return the distinct cells, if all are strings, and the place (n,) of each."""
    if pd.api.types.infer_dtype(cells, skipna=False) != "string":
        return cells, np.arange(len(cells))
    places, distinct = factorize(cells)
    return to_objects(distinct), places


def _count_rows(matrix, places):
    """Return how many rows are not 0 in each column, (n_columns,).

    ``matrix`` holds the distinct rows, ``places`` (n_rows,) which of them each row is.
    """
    times = np.bincount(places, minlength=matrix.shape[0])
    times = np.repeat(times, np.diff(matrix.indptr))
    return np.bincount(matrix.indices, times, minlength=matrix.shape[1])


def _to_matrix(data, codes, lengths, n_keys):
    """Return a CSR matrix whose rows hold, in order, ``lengths`` (n,) of the codes."""
    indptr = np.concatenate([[0], np.cumsum(lengths)])
    matrix = sparse.csr_matrix((data, codes, indptr), shape=(len(lengths), n_keys))
    matrix.sum_duplicates()
    return matrix


class TagEncoder(BagEncoder):
    """Lists of tags: multi-hot with norm 1. Dicts: tag -> weight."""

    expects = "lists, tuples, sets or arrays of tags, or dicts of tag: number"

    def learn(self, cells):
        """Find the delimiter of strings, and assign a column to each frequent tag."""
        _, texts = factorize(cell for cell in cells if isinstance(cell, str))
        self.delimiter = None
        if texts:
            self.expects = "lists of tags, or strings of them"
            counts = {d: sum(d in text for text in texts) for d in DELIMITERS}
            self.delimiter = find_delimiter(texts) or max(counts, key=counts.get)
        super().learn(cells)

    def count(self, cells):
        """Return the weights of the tags of each cell; repeats in a list count once."""
        bags = [self._split(cell) for cell in cells]
        lengths = np.fromiter(map(len, bags), dtype=int)
        try:
            codes, tags = factorize(chain.from_iterable(bags))
        except TypeError:
            raise self.unsuitable_error(next(filter(_has_unhashable, bags))) from None
        codes, tags = self._decode(codes, tags)
        weights = self._read_weights(bags, len(codes))
        matrix = _to_matrix(weights, codes, lengths, len(tags))
        is_list = np.array([not isinstance(bag, dict) for bag in bags], dtype=bool)
        matrix.data[np.repeat(is_list, np.diff(matrix.indptr))] = 1
        return matrix, tags

    def weigh(self, matrix):
        """Return the weights as they are."""
        return matrix

    def _split(self, cell):
        """Return the tags of a cell: a list, tuple, set or dict of them."""
        if isinstance(cell, str) and self.delimiter is not None:
            return [tag for part in cell.split(self.delimiter) if (tag := part.strip())]
        if not isinstance(cell, LISTS) or getattr(cell, "ndim", 1) != 1:
            raise self.unsuitable_error(cell)
        return cell.tolist() if isinstance(cell, np.ndarray) else cell

    def _decode(self, codes, tags):
        """Return codes and tags with strings where there were bytes."""
        if not any(isinstance(tag, bytes) for tag in tags):
            return codes, tags
        texts = [decode(t, self.name) if isinstance(t, bytes) else t for t in tags]
        codes_of_texts, texts = factorize(texts)
        return codes_of_texts[codes], texts

    def _read_weights(self, bags, n_tags):
        """Return the weight of each tag (n_tags,): 1, or the value in a dict."""
        if not any(isinstance(tags, dict) for tags in bags):
            return np.ones(n_tags)
        weights = chain.from_iterable(
            tags.values() if isinstance(tags, dict) else repeat(1.0, len(tags))
            for tags in bags
        )
        weights = np.fromiter(weights, dtype=object, count=n_tags)
        missing = is_missing(weights, f"Column {self.name!r}")
        numbers = np.zeros(n_tags)
        numbers[~missing] = self.to_floats(weights[~missing])
        return numbers


def _has_unhashable(tags):
    """Return whether one of the tags cannot be a key of a dict."""
    return any(map(is_unhashable, tags))


class WordEncoder(BagEncoder):
    """Texts: TF-IDF with norm 1."""

    expects = "strings"

    def learn(self, cells):
        """Assign a column to each frequent word, and learn how rare it is."""
        super().learn(cells)
        if not self.frequencies.any():
            raise ValueError(
                f"Column {self.name!r} of kind 'text' holds no word. Fit with "
                f"kinds={{{self.name!r}: 'drop'}} or another kind."
            )
        self.idf = 1 + np.log((1 + self.n_cells) / (1 + self.frequencies))

    def count(self, cells):
        """Return how often each word is in each cell."""
        lengths = np.zeros(len(cells), dtype=int)
        codes, words = factorize(chain.from_iterable(self._split(cells, lengths)))
        return _to_matrix(np.ones(len(codes)), codes, lengths, len(words)), words

    def weigh(self, matrix):
        """Return the logarithm of each count times the rarity of the word."""
        matrix.data = (1 + np.log(matrix.data)) * self.idf[matrix.indices]
        return matrix

    def _split(self, cells, lengths):
        """Yield the list of words of each cell, and write its length to ``lengths``."""
        for place, cell in enumerate(cells):
            if not isinstance(cell, str):
                raise self.unsuitable_error(cell)
            words = WORD.findall(strip_accents_unicode(cell.lower()))
            lengths[place] = len(words)
            yield words
