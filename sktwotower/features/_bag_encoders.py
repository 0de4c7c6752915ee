"""Encoders of tags and words: cells that hold several keys, one output column each.

Input: the present cells of one column (n_present,).
Output: a CSR float32 block (n_present, n_names).
"""

from itertools import chain

import numpy as np
import pandas as pd

from sktwotower._records import array, integer, record, require
from sktwotower._records._reading import object_array
from sktwotower._tables._frames import is_missing
from sktwotower.runtime._cell_encoders import TagCell, WordCell, words_of

from ._cells import LISTS, factorize, is_refused, with_strings
from ._key_encoders import VocabularyEncoder, frequent_keys, is_null
from ._value_encoders import from_rows, one_hot, scale_rows

# Minimum share of the distinct cells that hold the delimiter. It is higher for commas,
# which are frequent in prose.
DELIMITERS = {"|": 1 / 3, ";": 1 / 3, ",": 1 / 2}


def find_delimiter(distinct):
    """Return the delimiter that makes the distinct strings lists, or None."""
    for delimiter, least_share in DELIMITERS.items():
        n_cells_with = sum(delimiter in cell for cell in distinct)
        if n_cells_with < least_share * len(distinct):
            continue
        parts = [part.strip() for cell in distinct for part in cell.split(delimiter)]
        n_words = np.mean([len(part.split()) for part in parts])
        if n_words > 2.5:
            continue
        _, distinct_parts = factorize(parts)
        if delimiter != "," or len(distinct_parts) <= len(distinct):
            return delimiter
    return None


class BagEncoder(VocabularyEncoder):
    """Encode cells that hold several keys: one column per key, rows of norm 1.

    Subclasses define `count(cells)`, which returns how much of each key is in each
    cell, as a CSR matrix (n_cells, n_keys), and the list of keys; and `weigh(matrix)`,
    which turns sums of counts (n_cells, n_names) into weights.
    """

    frequencies: array("float64 int64", "n_weighed", is_finite=True)
    n_cells: integer()

    def _check_stored(self, place):
        super()._check_stored(place)
        n = self.n_names
        require(len(self.frequencies) == n, f"{place}.frequencies", f"{n} numbers")

    def learn(self, cells):
        """Assign a column to each frequent key; to all keys where none is frequent."""
        counts, keys, places = self._count_distinct(cells)
        frequencies = _frequencies(counts, keys, places)
        max_features = self.settings.max_features
        n_hashed = self.settings.n_hashed
        kept = frequent_keys(keys, frequencies, self.settings.min_count, max_features)
        if not kept and not n_hashed:
            kept = frequent_keys(keys, frequencies, 1, max_features)
        self.set_columns(kept, n_hashed)
        self.frequencies = _count_rows(counts @ self._selector(keys), places)
        self.n_cells = len(places)

    def block(self, cells):
        """Return the weight of each key in its column; keys of one column add up."""
        counts, keys, places = self._count_distinct(cells)
        matrix = counts @ self._selector(keys)
        matrix.sort_indices()
        return scale_rows(self.weigh(matrix))[places]

    def grown(self, cells):
        """Return an encoder that also has a column for each key frequent in cells."""
        counts, keys, places = self._count_distinct(cells)
        frequencies = _frequencies(counts, keys, places)
        new = self.further_keys(keys, frequencies)
        frequency_of = dict(zip(keys, frequencies, strict=True))
        added = [frequency_of[key] for key in new]
        encoder = self.with_keys(new)
        encoder.frequencies = np.insert(self.frequencies, len(self.columns), added)
        return encoder

    def restricted(self, kept):
        """Return an encoder with only some of its keys, as `VocabularyEncoder` does."""
        encoder = super().restricted(kept)
        n_weighed = len(self.columns) + self.n_hashed
        is_kept = kept[:n_weighed]
        encoder.frequencies = self.frequencies[is_kept]
        if hasattr(self, "idf"):
            encoder.idf = self.idf[is_kept]
        return encoder

    def _count_distinct(self, cells):
        """Return what `count` does, of distinct cells, and which (n,) each cell is.

        They are all cells unless all are strings.
        """
        places = np.arange(len(cells))
        if pd.api.types.infer_dtype(cells, skipna=False) == "string":
            places, cells = factorize(cells)
        counts, keys = self.count(cells)
        return counts, keys, places

    def _selector(self, keys):
        """Return a CSR matrix (n_keys, n_names), 1 where a key has its column."""
        return one_hot(self.columns_of(keys), len(self.columns) + self.n_hashed)


def _frequencies(counts, keys, places):
    """Return in how many rows each key is, (n_keys,); 0 for missing values."""
    frequencies = _count_rows(counts, places)
    is_missing_key = np.array([is_null(key) for key in keys], dtype=bool)
    frequencies[is_missing_key] = 0
    return frequencies


def _count_rows(matrix, places):
    """Return how many rows are not 0 in each column, (n_columns,).

    ``matrix`` holds the distinct rows, ``places`` (n_rows,) which of them each row is.
    """
    n_rows = np.bincount(places, minlength=matrix.shape[0])
    of_entries = np.repeat(n_rows, np.diff(matrix.indptr))
    return np.bincount(matrix.indices, of_entries, minlength=matrix.shape[1])


@record
class TagEncoder(TagCell, BagEncoder):
    """Lists of tags: multi-hot with norm 1. Dicts: tag -> weight."""

    @property
    def expects(self):
        """What errors say of the cells."""
        if self.delimiter is not None:
            return "lists of tags, or strings of them"
        return "lists, tuples, sets or arrays of tags, or dicts of tag: number"

    def learn(self, cells):
        """Find the delimiter of strings, and assign a column to each frequent tag."""
        _, texts = factorize(cell for cell in cells if isinstance(cell, str))
        self.delimiter = None
        if texts:
            self.delimiter = find_delimiter(texts)
        if texts and self.delimiter is None:  # then the most frequent one
            n_texts_with = {}
            for delimiter in DELIMITERS:
                n_texts_with[delimiter] = sum(delimiter in text for text in texts)
            self.delimiter = max(n_texts_with, key=n_texts_with.get)
        super().learn(cells)

    def count(self, cells):
        """Return the weights of the tags of each cell; repeats in a list count once."""
        bags = [self._split(cell) for cell in cells]
        lengths = np.fromiter(map(len, bags), dtype=int)
        try:
            codes, tags = factorize(chain.from_iterable(bags))
        except TypeError:
            for bag in bags:
                if any(is_refused(tag, hash) for tag in bag):
                    raise self.unsuitable_error(bag) from None
            raise
        codes_of_texts, tags = factorize(with_strings(tags, self.name))
        weights = self._read_weights(bags, len(codes))
        matrix = from_rows(weights, codes_of_texts[codes], lengths, len(tags))
        matrix.sum_duplicates()
        is_list = np.array([not isinstance(bag, dict) for bag in bags], dtype=bool)
        matrix.data[np.repeat(is_list, np.diff(matrix.indptr))] = 1
        return matrix, tags

    def weigh(self, matrix):
        """Return the weights as they are."""
        return matrix

    def _split(self, cell):
        """Return the tags of a cell: a list, tuple, set or dict of them."""
        if isinstance(cell, str) and self.delimiter is not None:
            parts = [part.strip() for part in cell.split(self.delimiter)]
            return [part for part in parts if part]
        if not isinstance(cell, LISTS) or getattr(cell, "ndim", 1) != 1:
            raise self.unsuitable_error(cell)
        if isinstance(cell, np.ndarray):
            return cell.tolist()
        return cell

    def _read_weights(self, bags, n_tags):
        """Return the weight of each tag (n_tags,): 1, or the value in a dict."""
        if not any(isinstance(tags, dict) for tags in bags):
            return np.ones(n_tags)
        weights = []
        for tags in bags:
            if isinstance(tags, dict):
                weights += tags.values()
            else:
                weights += [1.0] * len(tags)
        weights = object_array(weights)
        missing = is_missing(weights, f"Column {self.name!r}")
        numbers = np.zeros(n_tags)
        numbers[~missing] = self.to_floats(weights[~missing])
        return numbers


@record
class WordEncoder(WordCell, BagEncoder):
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
        self.idf = _rarity(self.frequencies, self.n_cells)

    def grown(self, cells):
        """Return an encoder with further words, which no row of fit counts for."""
        encoder = super().grown(cells)
        n_before = len(self.columns)
        frequencies = encoder.frequencies[n_before : len(encoder.columns)]
        idf = _rarity(frequencies, self.n_cells + len(cells))
        encoder.idf = np.insert(self.idf, n_before, idf)
        return encoder

    def count(self, cells):
        """Return how often each word is in each cell."""
        lengths = np.zeros(len(cells), dtype=int)
        codes, words = factorize(chain.from_iterable(self._split(cells, lengths)))
        matrix = from_rows(np.ones(len(codes)), codes, lengths, len(words))
        matrix.sum_duplicates()
        return matrix, words

    def weigh(self, matrix):
        """Return the logarithm of each count times the rarity of the word."""
        logarithms = 1 + np.log(matrix.data)
        matrix.data = logarithms * self.idf[matrix.indices]
        return matrix

    def in_words(self, place, value):
        """Return the word in quotes, or that it is one of those that share a column."""
        text = super().in_words(place, value)
        if place < len(self.columns):
            return f'"{text}"'
        return text

    def _split(self, cells, lengths):
        """Yield the list of words of each cell, and write its length to ``lengths``."""
        for place, cell in enumerate(cells):
            if not isinstance(cell, str):
                raise self.unsuitable_error(cell)
            words = words_of(cell)
            lengths[place] = len(words)
            yield words


def _rarity(frequencies, n_cells):
    """Return the weight of words in ``frequencies`` (n,) of ``n_cells`` rows."""
    return 1 + np.log((1 + n_cells) / (1 + frequencies))
