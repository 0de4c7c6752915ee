"""Kinds of columns, such as 'text': how one is chosen, and what its features mean.

Input: the name of a column of users or items, its dtype and its present cells (n,);
the stored entries (nnz,) of one feature row of a fitted `TowerVectorizer`.
Output: its kind, and the encoder of that kind, not fitted; for each entry the name of
its column, and a text that a person understands, such as "genres: Action".
"""

import re
from collections import Counter
from itertools import chain

import numpy as np
import pandas as pd

from sktwotower._tables._messages import did_you_mean

from . import _value_encoders as of_values
from ._bag_encoders import TagEncoder, WordEncoder, find_delimiter
from ._cells import LISTS, SPARSE
from ._column_kind import GivenEncoder, is_column_kind
from ._key_encoders import LevelEncoder

ISO_DATE = re.compile(r"\d{4}-\d\d-\d\d([T ].*)?")
WORD = re.compile(r"\w")
ID_NAME = re.compile(r"(?i:(^|[\W_])(id|code))$|[a-z](Id|ID|Code)$")
ALIKE = 0.9  # if so many lists of fractions are equally long, the others are mistakes
MAX_LEVELS = 50  # integers with more distinct values are quantities

# The encoder of each kind. Numbers have a second one: `BinEncoder`.
ENCODERS = {
    "id": LevelEncoder,
    "category": LevelEncoder,
    "number": of_values.NumberEncoder,
    "boolean": of_values.BooleanEncoder,
    "datetime": of_values.DatePartEncoder,
    "list": TagEncoder,
    "text": WordEncoder,
    "vector": of_values.VectorEncoder,
}
CLASSES = (*dict.fromkeys(ENCODERS.values()), of_values.BinEncoder, GivenEncoder)


def make_encoder(name, kind, settings):
    """Return the encoder, not fitted, of a column of a kind."""
    if is_column_kind(kind):
        return GivenEncoder(name, kind, settings)
    if kind == "number" and settings.numbers == "quantiles":
        return of_values.BinEncoder(name, kind, settings)
    return ENCODERS[kind](name, kind, settings)


def check_kinds(kinds, names):
    """Return ``kinds``, a dict of columns of X to kinds, after checks."""
    allowed = [*ENCODERS, "drop"]
    for name, kind in kinds.items():
        if name not in names:
            hint = did_you_mean(name, names)
            raise ValueError(f"kinds names {name!r}, which is not a column of X.{hint}")
        is_name = isinstance(kind, str) and kind in allowed
        if is_name or is_column_kind(kind):
            continue
        got = f"Got {kind!r} instead.{did_you_mean(kind, allowed, 'Kinds')}"
        raise ValueError(
            f"kinds[{name!r}] must be the name of a kind, or an object of a class "
            f"that derives from sktwotower.features.ColumnKind. {got}"
        )
    return kinds


def choose_kind(name, column, cells):
    """Return the kind of a column, from its dtype and its present cells (n,)."""
    if len(cells) == 0:
        return "drop"
    if cells.dtype == object and any(isinstance(c, (*LISTS, *SPARSE)) for c in cells):
        if len(cells) == len(column) > 1 and _are_same_lists(cells):
            return "drop"
        if _are_vectors(cells):
            return "vector"
        return "list"
    distinct = _distinct(name, cells)
    if len(distinct) == 1 and len(cells) == len(column) > 1:
        return "drop"
    if column.dtype.type is pd.CategoricalDtype.type:  # a dictionary of pyarrow, too
        return "category"
    if cells.dtype == object:
        return _kind_of_objects(cells, distinct)
    if isinstance(column.dtype, pd.SparseDtype) and cells.dtype.kind in "iuf":
        return "number"
    is_whole = cells.dtype.kind in "iu"
    if cells.dtype.kind == "f" and len(cells) < len(column):
        repeats = len(distinct) < len(cells)
        is_whole = repeats and np.array_equal(cells, np.floor(cells))
    if is_whole:
        return _kind_of_integers(name, len(cells), distinct)
    if cells.dtype.kind == "b":
        return "boolean"
    if cells.dtype.kind == "M":
        return "datetime"
    return "number"


def _distinct(name, cells):
    """Return the distinct cells (not lists) as an array."""
    try:
        return pd.unique(cells)
    except TypeError as error:
        raise TypeError(
            f"Column {name!r} holds objects that cannot be compared: {error}. "
            "Expected strings, numbers, dates or lists. Convert the cells, or fit with "
            f"kinds={{{name!r}: 'drop'}}."
        ) from None


def _are_vectors(cells):
    """Return whether cells are sparse rows or lists of floats of one length >= 2."""
    if any(isinstance(cell, SPARSE) for cell in cells):
        return True
    lengths = Counter(map(of_values.length_of, cells))
    if len(lengths) > 1:  # a few vectors of fractions have a wrong length: an error
        if max(lengths.values()) < ALIKE * len(cells):
            return False
        numbers = chain.from_iterable(filter(of_values.length_of, cells))
        return any(isinstance(n, float | np.floating) and 0 < n % 1 for n in numbers)
    if lengths.keys() <= {None, 0, 1}:
        return False
    try:
        # if the first cell holds strings, no array of all cells has to be made
        if np.array(cells[0]).dtype.kind not in "iufO":
            return False
        vectors = np.array(cells.tolist())
    except ValueError:  # nested lists of several lengths
        return False
    if vectors.dtype == object:  # a None among floats is an error, not a tag
        inferred = pd.api.types.infer_dtype(vectors.ravel(), skipna=True)
        return vectors.ndim == 2 and inferred in ("floating", "mixed-integer-float")
    return vectors.ndim == 2 and vectors.dtype.kind == "f"


def _are_same_lists(cells):
    """Return whether every cell is a list equal to the first one."""
    first = cells[0]
    if isinstance(first, SPARSE):
        return False
    if isinstance(first, (dict, set, frozenset)):
        return all(type(cell) is type(first) and cell == first for cell in cells)
    try:
        return all(isinstance(c, LISTS) and list(c) == list(first) for c in cells)
    except (TypeError, ValueError):  # arrays of no or several dimensions
        return False


def _kind_of_integers(name, n_cells, distinct):
    """Return the kind of integers: 'id', 'category' or 'number'."""
    if set(distinct[:3]) == {0, 1}:  # not boolean: a 2 may come one day
        return "category"
    if len(distinct) == n_cells:
        return "id"
    is_few = len(distinct) <= MAX_LEVELS and n_cells >= 5 * len(distinct)
    if is_few or ID_NAME.search(name):
        return "category"
    return "number"


def _kind_of_objects(cells, distinct):
    """Return the kind of objects: 'datetime', 'list', 'text', 'id' or 'category'."""
    inferred = pd.api.types.infer_dtype(cells, skipna=False)
    if inferred in ("datetime", "datetime64", "date"):
        return "datetime"
    if inferred == "string":
        if find_delimiter(distinct):
            return "list"
        if all(ISO_DATE.fullmatch(cell) for cell in distinct):
            # dates in ISO 8601, and not only their shape
            dates = pd.to_datetime(
                [*distinct], utc=True, errors="coerce", format="mixed"
            )
            if not dates.hasnans:
                return "datetime"
        n_words = np.mean([len(cell.split()) for cell in distinct])
        is_varied = len(distinct) > min(len(cells) / 2, 200)
        if n_words >= 1.5 and is_varied and any(map(WORD.search, distinct)):
            return "text"
    if len(distinct) == len(cells):
        return "id"
    return "category"


def features_in_words(vectorizer, columns, values):
    """Return (name of the column, text) for entries of a feature row, a list.

    ``columns`` and ``values`` (nnz,): positions among the features, which ascend, and
    what is there. Entries after the last feature are left out.
    """
    encoders = [encoder for _, encoder in vectorizer.encoders_]
    widths = [len(encoder.names) for encoder in encoders]
    starts = np.cumsum([0, *widths])
    n_features = np.searchsorted(columns, starts[-1])
    entries = zip(columns[:n_features], values[:n_features], strict=True)
    texts = []
    for column, value in entries:
        block = np.searchsorted(starts, column, side="right") - 1
        encoder = encoders[block]
        text = encoder.feature_in_words(column - starts[block], value)
        texts.append((encoder.name, f"{encoder.name}: {text}"))
    return texts
