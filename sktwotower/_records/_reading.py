"""Values of a file, read without SciPy and pandas.

Input: what JSON holds, and members of a ``ReadFile``.
Output: values; a sparse matrix is ``CSRArrays``.
"""

import math
from typing import NamedTuple

import numpy as np

from ._checks import refuse, require, values_of
from ._format_version import FORMAT_VERSION
from ._rounded import restored
from ._scalars import PLAIN, SCALARS

CONTAINERS = {"tuple": tuple, "set": set, "frozenset": frozenset}
NUMBERS = PLAIN | {float}
# Number of entries that are held in memory, or converted, at a time.
BLOCK = 4_000_000


class CSRArrays(NamedTuple):
    """A sparse matrix by rows (CSR) of arrays.

    Parameters
    ----------
    data, indices : array of shape (nnz,)
    indptr : array of shape (n + 1,)
    shape : tuple of int
    """

    data: np.ndarray
    indices: np.ndarray
    indptr: np.ndarray
    shape: tuple

    format = "csr"
    ndim = 2

    @property
    def dtype(self):
        """The type of the values."""
        return self.data.dtype

    @property
    def has_canonical_format(self):
        """Whether columns ascend in each row."""
        ascending = np.diff(self.indices) > 0
        starts = self.indptr[1:-1]
        ascending[starts[(starts > 0) & (starts < len(self.indices))] - 1] = True
        return bool(ascending.all())

    def of(self, row):
        """Return columns and values, (m,) each, of a row."""
        entries = slice(self.indptr[row], self.indptr[row + 1])
        return self.indices[entries], self.data[entries]


def column_counts(matrix):
    """Return the number of entries of each column of a CSR matrix, int64 (n_columns,).

    Unlike ``getnnz``, it does not convert all indices at once.
    """
    counts = np.zeros(matrix.shape[1], dtype=np.int64)
    indices = matrix.indices
    for start in range(0, len(indices), BLOCK):
        counts += np.bincount(indices[start : start + BLOCK], minlength=len(counts))
    return counts


def places_of(offsets, rows):
    """Return number and place, (m,) each, of the entries of CSR rows (n,)."""
    starts = offsets[:-1][rows]
    sizes = offsets[1:][rows] - starts
    numbers = np.repeat(np.arange(len(rows)), sizes)
    first = starts - (np.cumsum(sizes) - sizes)
    return numbers, first[numbers] + np.arange(len(numbers))


class PlainReader:
    """Turn JSON and members of a ``ReadFile`` into values, without other libraries.

    Parameters
    ----------
    file : ReadFile
    trusted, towers
        As in `load`.

    Attributes
    ----------
    format_version : int
        The number of the format of the file.
    """

    scalars = SCALARS

    def __init__(self, file, trusted=(), towers=None):
        self.file = file
        self.format_version = file.meta.get("format_version", FORMAT_VERSION)
        self.trusted = trusted
        self.towers = towers or {}
        self.owner = None  # the estimator whose state is being read
        self.shared = {}

    def kind_of_name(self, name):
        """Return the kind of a name in the file, or None."""

    def read(self, spec, place):
        """Return the value that JSON holds."""
        if type(spec) in NUMBERS:
            return spec
        if type(spec) is list:
            return self.read_list(spec, place)
        if type(spec) is not dict or type(spec.get("type")) is not str:
            refuse(place, "a value with a type", spec)
        name = spec["type"]
        if name in self.scalars:
            (value,) = _fields(spec, place, "value")
            return self._scalar(name, value, place)
        if name in CONTAINERS:
            (items,) = _fields(spec, place, "items")
            return _hashed(CONTAINERS[name], self.read_list(items, place), place)
        read = getattr(self, f"_read_{name}", None)
        if read is not None:
            return read(spec, place)
        kind = self.kind_of_name(name)
        require(kind is not None, place, "of a type that files may hold", name)
        (parts,) = _fields(spec, place, "parts")
        return kind.read(parts, self, place)

    def read_list(self, values, place):
        """Return the list of values that JSON holds."""
        require(type(values) is list, place, "a list", values)
        if set(map(type, values)) <= NUMBERS:
            return values
        return [self.read(v, f"{place}[{i}]") for i, v in enumerate(values)]

    def _scalar(self, name, parts, place):
        """Return the single value of a type that JSON holds as a list."""
        if type(parts) is not list or not set(map(type, parts)) <= NUMBERS:
            refuse(place, f"the parts of a {name}", parts)
        try:
            return self.scalars[name].read(*parts)
        except Exception as error:  # of many libraries: all say that it is not a value
            refuse(place, f"a {name} ({error})", parts)

    def _read_dict(self, spec, place):
        """Return the dict that JSON holds."""
        keys, values = _fields(spec, place, "keys values")
        keys = self.read_list(keys, f"{place}.keys")
        values = self.read_list(values, f"{place}.values")
        require(len(keys) == len(values), place, "as many keys as values")
        return _hashed(dict, zip(keys, values, strict=True), place, len(keys))

    def _read_array(self, spec, place):
        """Return the array whose member JSON names."""
        (member,) = _fields(spec, place, "member")
        return self.file.array(member)

    def vectors(self, spec, place):
        """Return float32 vectors, which may be stored in fewer bits."""
        key = repr(spec)
        if key not in self.shared:
            self.shared[key] = restored(self.read(spec, place), place)
        return self.shared[key]

    def _read_objects(self, spec, place):
        """Return the array of objects that JSON holds."""
        shape, items = _fields(spec, place, "shape items")
        items = self.read_list(items, place)
        fits = _are_sizes(shape) and len(shape) <= 8
        if not fits or math.prod(shape) != len(items):
            refuse(place, f"a shape of {len(items)} objects", shape)
        return object_array(items).reshape(shape)

    def once(self, spec, place, read):
        """Return an object that may occur more than once.

        ``read(spec, reader, place)`` is called once. The file has the value where it
        occurred first, which may be a field that is read later, or never.
        """
        fits = type(spec) is dict and type(spec.get("key")) is int
        fits = fits and set(spec) <= {"key", "value"}
        require(fits, place, "an object with a number", spec)
        key = spec["key"]
        if key not in self.shared:
            if "value" not in spec:
                spec = _with_value(key, self.file.meta)
            require(spec is not None, place, "an object that occurs in the file")
            self.shared[key] = read(spec["value"], self, place)
        return self.shared[key]

    def _read_csr(self, spec, place):
        """Return the matrix whose arrays JSON names."""
        names = "shape is_array data indices indptr"
        shape, is_array, data, indices, indptr = _fields(spec, place, names)
        data = self.read(data, place)
        indices = self.read(indices, place)
        indptr = self.read(indptr, place)
        _check_csr(shape, data, indices, indptr, place)
        return self._csr(tuple(shape), data, indices, indptr, is_array)

    def _csr(self, shape, data, indices, indptr, is_array):
        """Return a sparse matrix of its parts, after their checks."""
        return CSRArrays(data, indices, indptr, shape)


def _with_value(key, meta):
    """Return the first object of a number in JSON that has its value, or None."""
    waiting = [meta]
    while waiting:
        spec = waiting.pop()
        if type(spec) is dict:
            if spec.get("key") == key and "value" in spec:
                return spec
            waiting += spec.values()
        elif type(spec) is list and not set(map(type, spec)) <= NUMBERS:
            waiting += spec
    return None


def _are_sizes(shape):
    """Return whether JSON holds the sizes of an array, a list of integers >= 0."""
    if type(shape) is not list:
        return False
    return all(type(size) is int and size >= 0 for size in shape)


def _check_csr(shape, data, indices, indptr, place):
    """Raise unless these are parts of a CSR matrix that reads within its arrays."""
    fits = _are_sizes(shape) and len(shape) == 2 and max(shape) < 2**62
    require(fits, place, "a matrix of two dimensions")
    for array in (data, indices, indptr):
        is_vector = isinstance(array, np.ndarray) and array.ndim == 1
        require(is_vector, place, "three arrays")
    require(data.dtype.kind in "biuf", place, "a matrix of numbers")
    for array in (indices, indptr):
        is_integer = array.dtype in (np.int32, np.int64)
        require(is_integer, place, "a matrix of int32 or int64")
    require(indices.dtype == indptr.dtype, place, "columns and offsets of one dtype")
    require(len(data) == len(indices), place, "as many columns as values")
    expected = "ascending offsets of rows"
    require(len(indptr) == shape[0] + 1, place, expected)
    ends_fit = indptr[0] == 0 and indptr[-1] == len(data)
    ascends = (np.diff(indptr) >= 0).all()
    require(ends_fit and ascends, place, expected)
    if len(indices):
        fits = indices.min() >= 0 and indices.max() < shape[1]
        require(fits, place, f"columns from 0 to {shape[1] - 1}")


def _fields(spec, place, names):
    """Return the values of the keys that a dict must have next to its type."""
    return values_of(spec, ["type", *names.split()], place)[1:]


def object_array(values):
    """Return values (n,) of any kind, also lists, as an array (n,) of objects."""
    return np.fromiter(values, dtype=object, count=len(values))


def _hashed(container, values, place, length=None):
    """Return a set or dict of values, all of which must have a hash."""
    if length is None:
        length = len(values)
    try:  # a context manager would take longer than most containers
        made = container(values)
    except TypeError as error:
        refuse(place, f"a {container.__name__} ({error})")
    require(len(made) == length, place, "without equal elements")
    return made
