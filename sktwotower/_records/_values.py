"""The tree of values that a model consists of, as JSON and members of a file.

Input: an object, or what JSON holds in its place.
Output: the other one of both.

JSON holds None, booleans, integers, finite floats, text and lists as they are. Every
other value is a dict with its "type", one of a fixed list; the other keys depend on it.
"""

import math

import numpy as np
from scipy import sparse

from ._checks import refuse, require
from ._registry import kind_of, kind_of_name
from ._scalars import PLAIN, SCALARS, scalar_of

CONTAINERS = {"tuple": tuple, "set": set, "frozenset": frozenset}
NUMBERS = PLAIN | {float}


class Writer:
    """Turn values into JSON and members of a ``WrittenFile``.

    Parameters
    ----------
    file : WrittenFile
    vector_dtype : {"float32", "float16"}, default="float32"
        How vectors are stored.
    """

    def __init__(self, file, vector_dtype="float32"):
        self.file = file
        self.vector_dtype = vector_dtype
        self.members = {}  # member of each array that is written, by its memory
        self.shared = {}  # number of each table that is written, by its identity

    def write(self, value, place):
        """Return what JSON holds for a value. ``place`` is where it is."""
        kind = type(value)
        if kind in PLAIN or (kind is float and math.isfinite(value)):
            return value
        if kind is np.str_:
            return str(value)
        if kind is list:
            return self._list(value, place)
        if kind is dict:
            return {
                "type": "dict",
                "keys": self._list(list(value), f"a key of {place}"),
                "values": [self.write(v, f"{place}[{k!r}]") for k, v in value.items()],
            }
        for name, container in CONTAINERS.items():
            if kind is container:
                items = value if kind is tuple else _sorted(value)
                return {"type": name, "items": self._list(list(items), place)}
        if isinstance(value, np.ndarray):
            return self._array(value, place)
        if (name := scalar_of(value)) is not None:
            return {"type": name, "value": self._scalar(name, value, place)}
        return self._object(value, place)

    def write_parts(self, parts, place):
        """Return what JSON holds for each of a dict of values."""
        return {
            name: self.write(value, f"{place}.{name}") for name, value in parts.items()
        }

    def _list(self, values, place):
        if set(map(type, values)) <= PLAIN:
            return values
        return [self.write(v, f"{place}[{i}]") for i, v in enumerate(values)]

    def _scalar(self, name, value, place):
        try:
            return SCALARS[name].write(value)
        except TypeError as error:
            raise cannot_write(value, place, f": {error}") from None

    def _array(self, array, place):
        if type(array) is not np.ndarray or array.dtype.kind not in "biufMmUSO":
            raise cannot_write(array, place)
        if array.dtype == object:
            items = self._list(array.ravel().tolist(), place)
            return {"type": "objects", "shape": list(array.shape), "items": items}
        if not array.dtype.isnative:
            array = array.astype(array.dtype.newbyteorder("="))
        return {"type": "array", "member": self._member(array, place)}

    def _member(self, array, place):
        key = _key(array)
        if key not in self.members:
            # the array is kept: another one must not get its address
            self.members[key] = self.file.add_array(array, place), array
        return self.members[key][0]

    def vectors(self, array, place):
        """Return what JSON holds for float32 vectors, perhaps in half precision."""
        if self.vector_dtype == "float16":
            with np.errstate(over="ignore"):
                half = array.astype(np.float16)
            if not np.isfinite(half).all():
                raise ValueError(
                    f"{place} has numbers beyond 65,504, which float16 cannot hold: "
                    "write it with vector_dtype='float32'."
                )
            array, _ = self.shared.setdefault(id(array), (half, array))
        return self._array(array, place)

    def once(self, value, place, write):
        """Return what JSON holds for an object that may occur more than once.

        ``write(place)`` is called for the first occurrence.
        """
        if id(value) in self.shared:
            return {"key": self.shared[id(value)][0]}
        written = write(place)
        key = len(self.shared)
        self.shared[id(value)] = key, value
        return {"key": key, "value": written}

    def _object(self, value, place):
        if sparse.issparse(value) and value.format == "csr" and value.ndim == 2:
            parts = {n: getattr(value, n) for n in ("data", "indices", "indptr")}
            return {
                "type": "csr",
                "shape": [int(n) for n in value.shape],
                "is_array": isinstance(value, sparse.csr_array),
            } | self.write_parts(parts, place)
        kind = kind_of(value)
        if kind is None:
            raise cannot_write(value, place)
        return {"type": kind.name, "parts": kind.write(value, self, place)}


def _key(array):
    """Return what is the same for arrays of the same memory."""
    return array.dtype.str, array.shape, array.strides, array.ctypes.data


def _sorted(values):
    """Return the elements of a set in an order that is always the same."""
    return sorted(values, key=lambda value: (type(value).__name__, repr(value)))


def cannot_write(value, place, why=""):
    """Return the error for a value that no file can hold."""
    return ValueError(
        f"{place} cannot be written to a file: {type(value).__qualname__}{why}. Files "
        "hold numbers, text, dates, tables, arrays and the estimators of this package "
        "and of scikit-learn, but no functions, callbacks or other objects. Set it to "
        "None or to a default before that, and set it again afterwards."
    )


class Reader:
    """Turn JSON and members of a ``ReadFile`` into values.

    Parameters
    ----------
    file : ReadFile
    trusted, towers
        As in `load`.
    """

    def __init__(self, file, trusted=(), towers=None):
        self.file = file
        self.trusted = trusted
        self.towers = towers or {}
        self.owner = None  # the estimator whose state is being read
        self.shared = {}

    def read(self, spec, place):
        """Return the value that JSON holds."""
        kind = type(spec)
        if kind in NUMBERS:
            return spec
        if kind is list:
            return self.read_list(spec, place)
        if kind is not dict or type(spec.get("type")) is not str:
            refuse(place, "a value with a type", spec)
        name = spec["type"]
        if name in SCALARS:
            (value,) = _fields(spec, place, "value")
            return self._scalar(name, value, place)
        if name in CONTAINERS:
            (items,) = _fields(spec, place, "items")
            return _hashed(CONTAINERS[name], self.read_list(items, place), place)
        read = getattr(self, f"_read_{name}", None)
        if read is not None:
            return read(spec, place)
        found = kind_of_name(name)
        if found is None:
            refuse(place, "of a type that files may hold", name)
        (parts,) = _fields(spec, place, "parts")
        return found.read(parts, self, place)

    def read_list(self, values, place):
        """Return the list of values that JSON holds."""
        if type(values) is not list:
            refuse(place, "a list", values)
        if set(map(type, values)) <= NUMBERS:
            return values
        return [self.read(v, f"{place}[{i}]") for i, v in enumerate(values)]

    def _scalar(self, name, parts, place):
        if type(parts) is not list or not set(map(type, parts)) <= NUMBERS:
            refuse(place, f"the parts of a {name}", parts)
        try:
            return SCALARS[name].read(*parts)
        except Exception as error:  # of many libraries: all say that it is not a value
            refuse(place, f"a {name} ({error})", parts)

    def _read_dict(self, spec, place):
        keys, values = _fields(spec, place, "keys values")
        keys = self.read_list(keys, f"{place}.keys")
        values = self.read_list(values, f"{place}.values")
        require(len(keys) == len(values), place, "as many keys as values")
        return _hashed(dict, zip(keys, values, strict=True), place, len(keys))

    def _read_array(self, spec, place):
        (member,) = _fields(spec, place, "member")
        return self.file.array(member)

    def vectors(self, spec, place):
        """Return float32 vectors that may be stored in half precision."""
        values = self.read(spec, place)
        if isinstance(values, np.ndarray) and values.dtype == np.float16:
            member = spec["member"], "float32"
            return self.shared.setdefault(member, values.astype(np.float32))
        return values

    def _read_objects(self, spec, place):
        shape, items = _fields(spec, place, "shape items")
        items = self.read_list(items, place)
        fits = type(shape) is list and all(type(n) is int and n >= 0 for n in shape)
        if not fits or math.prod(shape) != len(items) or len(shape) > 8:
            refuse(place, f"a shape of {len(items)} objects", shape)
        return object_array(items).reshape(shape)

    def once(self, spec, place, read):
        """Return an object that may occur more than once.

        ``read(spec, reader, place)`` is called for the first occurrence.
        """
        if type(spec) is not dict or type(spec.get("key")) is not int:
            refuse(place, "an object with a number", spec)
        key = spec["key"]
        if set(spec) == {"key"}:
            require(key in self.shared, place, "an object that occurred before")
            return self.shared[key]
        require(set(spec) == {"key", "value"}, place, "an object with a number")
        require(key not in self.shared, place, "a new object")
        self.shared[key] = read(spec["value"], self, place)
        return self.shared[key]

    def _read_csr(self, spec, place):
        shape, is_array, *arrays = _fields(
            spec, place, "shape is_array data indices indptr"
        )
        data, indices, indptr = (self.read(each, place) for each in arrays)
        _check_csr(shape, data, indices, indptr, place)
        cls = sparse.csr_array if is_array is True else sparse.csr_matrix
        matrix = cls(tuple(shape), dtype=data.dtype)
        # set one by one: the constructor may copy mapped data
        matrix.data, matrix.indices, matrix.indptr = data, indices, indptr
        return matrix


def _check_csr(shape, data, indices, indptr, place):
    """Raise unless these are parts of a CSR matrix that reads within its arrays."""
    fits = type(shape) is list and len(shape) == 2
    fits = fits and all(type(n) is int and 0 <= n < 2**62 for n in shape)
    require(fits, place, "a matrix of two dimensions")
    for part in (data, indices, indptr):
        require(isinstance(part, np.ndarray) and part.ndim == 1, place, "three arrays")
    require(data.dtype.kind in "biuf", place, "a matrix of numbers")
    for part in (indices, indptr):
        require(part.dtype in (np.int32, np.int64), place, "a matrix of int32 or int64")
    require(indices.dtype == indptr.dtype, place, "columns and offsets of one dtype")
    require(len(data) == len(indices), place, "as many columns as values")
    fits = len(indptr) == shape[0] + 1 and indptr[0] == 0 and indptr[-1] == len(data)
    require(fits and (np.diff(indptr) >= 0).all(), place, "ascending offsets of rows")
    if len(indices):
        fits = indices.min() >= 0 and indices.max() < shape[1]
        require(fits, place, f"columns from 0 to {shape[1] - 1}")


def _fields(spec, place, names):
    """Return the values of the keys that a dict must have next to its type."""
    names = names.split()
    if set(spec) != {"type", *names}:
        refuse(place, f"a value with {', '.join(names)}", sorted(map(str, spec)))
    return [spec[name] for name in names]


def object_array(values):
    """Return values (n,) of any kind, also lists, as an array (n,) of objects."""
    array = np.empty(len(values), dtype=object)
    for i, value in enumerate(values):
        array[i] = value
    return array


def _hashed(container, values, place, length=None):
    """Return a set or dict of values, all of which must have a hash."""
    length = len(values) if length is None else length
    try:
        made = container(values)
    except TypeError as error:
        refuse(place, f"a {container.__name__} ({error})")
    require(len(made) == length, place, "without equal elements")
    return made
