"""Checks of ids, and of whether they are of the type of other ids.

Input: a column of ids (n,), of any library.
Output: a pandas Index (n,) of one plain type.
"""

import numpy as np
import pandas as pd

from ._frames import is_missing
from ._messages import not_unicode, warn

NUMBERS = {"number", "Decimal", "Fraction"}  # kinds of ids that may be equal
# Types of ids that need no checks, by the ``inferred_type`` of known ones.
PLAIN = {"integer": (int, np.int64), "string": (str,)}
N_INSPECTED = 200  # ids whose types are checked if their dtype is object


def check_ids(values, name):
    """Return ids (n,) as a pandas Index of one plain type.

    Raise ``ValueError`` for missing or infinite ids and for text that is not Unicode,
    ``TypeError`` for ids of mixed types and for objects that cannot be ids.
    """
    if getattr(values, "ndim", 1) != 1:
        raise ValueError(f"{name} must be one-dimensional. Got shape {values.shape}.")
    is_plain = type(values) is np.ndarray and values.dtype.kind in "iu"
    if is_plain and values.dtype.isnative:
        return pd.Index(values)  # the checks below would take longer than a search
    if isinstance(values, pd.MultiIndex):
        values = values.to_flat_index()
    if isinstance(values, np.ndarray) and values.dtype.names:
        raise TypeError(f"{name} must be ids, not records of {values.dtype.names}.")
    try:
        return _checked(pd.Series(values), name)
    except UnicodeEncodeError as error:
        raise not_unicode(name, error) from error


def _checked(values, name):
    """Return a Series of ids as an Index of one plain type after all checks."""
    refuse_missing_ids(name, int(is_missing(values, name).sum()), len(values))
    if isinstance(values.dtype, pd.CategoricalDtype):
        values = values.astype(values.cat.categories.dtype)
    if isinstance(values.dtype, pd.SparseDtype):
        values = values.sparse.to_dense()
    if hasattr(values.dtype, "numpy_dtype"):  # nullable, or of pyarrow
        values = pd.Series(values.to_numpy())
    if isinstance(values.dtype, pd.IntervalDtype) or values.dtype.kind == "S":
        values = values.astype(object)  # bytes: pandas has no index of fixed width
    if values.dtype == object:
        _check_types(values, name)
    elif values.dtype.kind == "c":
        raise ValueError(f"Complex data not supported: {name} holds complex numbers.")
    values = values.infer_objects()
    # pandas has no index of other byte orders, nor of so few bits
    if values.dtype == np.float16:
        values = values.astype(np.float32)
    elif isinstance(values.dtype, np.dtype):
        values = values.astype(values.dtype.newbyteorder("="))
    index = pd.Index(values)
    if index.dtype.kind == "f" and np.isinf(index.to_numpy(dtype=float)).any():
        raise ValueError(f"{name} contains infinity, which is not an id.")
    return index


def refuse_missing_ids(name, n_missing, n, where=""):
    """Raise ``ValueError`` for missing ids among n, if any; ``where``: a sentence."""
    if n_missing:
        raise ValueError(
            f"{name} contains NaN: {n_missing} of {n} ids are missing.{where} Drop "
            "those rows, or give them an id of their own."
        )


def _check_types(values, name):
    """Raise ``TypeError`` unless objects can be ids, and are of one type."""
    types = {type(value) for value in values}
    for cls in types:
        has_hash_and_order = cls.__hash__ and cls.__lt__ is not object.__lt__
        # pandas would make a MultiIndex of tuples, and finds no id among intervals that
        # overlap
        is_unfit = issubclass(cls, tuple | complex | frozenset | pd.Interval)
        if is_unfit or not has_hash_and_order:
            raise TypeError(
                f"{name} holds {cls.__name__} objects: the argument must be a string "
                "or a number to be an id."
            )
    if len({_family(cls) for cls in types}) > 1:
        names = ", ".join(sorted(cls.__name__ for cls in types))
        raise TypeError(
            f"{name} mixes ids of different types ({names}), which cannot be "
            "sorted. Convert them to one type, for example with astype(str)."
        )


def same_kind(ids, known):
    """Return whether some ids of an Index could be equal to some of another one.

    Numbers could, regardless of their width; text and UUIDs, for example, could not.
    """
    if len(ids) == 0 or len(known) == 0:
        return True
    kinds = _kinds(ids)
    known_kinds = _kinds(known)
    return bool(kinds & known_kinds) or kinds | known_kinds <= NUMBERS


def positions_of(ids, known):
    """Return the position (n,) of each id of an Index among known ones; -1: unknown.

    Ids of another kind are unknown, even if pandas would consider them equal.
    """
    if not same_kind(ids, known):
        return np.full(len(ids), -1)
    return known.get_indexer(ids)


def known_positions(ids, known, name, source):
    """Return positions (n,) as `positions_of`; warn if ids have the wrong type.

    ``name`` is where the ids are, ``source`` where the known ones come from.
    """
    positions = positions_of(ids, known)
    if (positions >= 0).any() or same_kind(ids, known):
        return positions
    # Text where known ids are numbers has the wrong type only if it reads like a known
    # id: otherwise it may be the name of a new user.
    is_number = pd.api.types.is_numeric_dtype
    has_numbers = is_number(ids) or is_number(known)
    if not has_numbers or known_as_text(ids, known):
        warn(
            f"None of the ids in {name} is known, and they have another type: "
            f"{type_name(ids)}, those of {source} {type_name(known)}. Convert them."
        )
    return positions


def plain_positions(values, known):
    """Return positions as `known_positions` of a list of plain ids, or None.

    A list of positions, -1 for unknown ids. None: some ids are not plain integers or
    text as the known ones are, and need the checks of `check_ids`, which take longer
    than a search.
    """
    plain = PLAIN.get(known.inferred_type, ())
    positions = []
    for value in values:
        if type(value) not in plain:
            return None
        try:
            positions.append(known.get_loc(value))
        except KeyError:
            if isinstance(value, str) and not value.isascii():
                return None  # perhaps no Unicode
            positions.append(-1)
        except (OverflowError, UnicodeEncodeError):
            return None
    return positions


def known_as_text(ids, known):
    """Return whether ids of another type look the same as known ones."""
    is_number = pd.api.types.is_numeric_dtype
    if is_number(ids) == is_number(known):  # to compare all as text costs too much
        return False
    return bool(known.map(str).isin(ids.map(str)).any())


def _kinds(ids):
    """Return the names of the kinds of ids (n,); of objects, a few are inspected."""
    if ids.dtype == object:
        return {_family(type(value)) for value in ids[:N_INSPECTED]}
    dtype = ids.dtype
    if dtype.kind in "iuf":
        return {"number"}
    if dtype.kind == "m":
        return {"timedelta"}
    if dtype.kind == "M":
        return {"aware datetime" if hasattr(dtype, "tz") else "naive datetime"}
    if pd.api.types.is_string_dtype(dtype):
        return {"text"}
    return {str(dtype)}


def as_type_of(new, known, label):
    """Return new ids, an Index (n,), as the type of known ones.

    Raises ``TypeError``, which calls the ids by ``label``, if none could be equal to a
    known one, or if one cannot be stored as their type.
    """
    if len(new) == 0:
        return known[:0]
    is_alike = _kinds(new) == _kinds(known)
    if is_alike and new.dtype == known.dtype:
        return new
    # objects are not cast: Decimals among integers could not be sorted
    if is_alike or (known.dtype != object and same_kind(new, known)):
        try:
            with np.errstate(invalid="ignore"):
                cast = new.astype(known.dtype)
        except (TypeError, ValueError, OverflowError, NotImplementedError):
            cast = known[:0]
        if np.array_equal(cast.astype(object), new.astype(object)):
            return cast
    raise TypeError(
        f"The ids of {label} have another type: they are {type_name(new)}, those of "
        f"fit {type_name(known)}. Convert them, or fit on a type that holds both."
    )


def type_name(ids):
    """Return what to call the type of the ids of an Index in a message."""
    if ids.dtype == object:
        return type(ids[0]).__name__
    return str(ids.dtype)


def _family(cls):
    """Return the kind of ids that objects of a type are."""
    if issubclass(cls, str):
        return "text"
    # True is no 1, which would be equal
    if issubclass(cls, int | float | np.number) and cls is not bool:
        return "number"
    return cls.__name__.rstrip("_")  # np.bytes_
