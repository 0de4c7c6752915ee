"""The tree of values that a model consists of, as JSON and members of a file.

Input: an object, or what JSON holds in its place.
Output: the other one of both.

JSON holds None, booleans, integers, finite floats, text and lists as they are. Every
other value is a dict with its "type", one of a fixed list; the other keys depend on it.
"""

import math

import numpy as np
from scipy import sparse

from ._checks import cannot_write
from ._pandas_scalars import SCALARS, scalar_of
from ._reading import CONTAINERS, PlainReader
from ._registry import kind_of, kind_of_name
from ._rounded import rounded
from ._scalars import PLAIN


class Writer:
    """Turn values into JSON and members of a ``WrittenFile``.

    Parameters
    ----------
    file : WrittenFile
    vector_dtype : {"float32", "float16", "int8"}, default="float32"
        How vectors are stored.
    """

    def __init__(self, file, vector_dtype="float32"):
        self.file = file
        self.vector_dtype = vector_dtype
        self.members = {}  # member of each array that is written, by its memory
        self.shared = {}  # number of each table that is written, by its identity
        self.stored = {}  # vectors as they are written, by the identity of those given

    def write(self, value, place):
        """Return what JSON holds for a value. ``place`` is where it is."""
        cls = type(value)
        if cls in PLAIN or (cls is float and math.isfinite(value)):
            return value
        if cls is np.str_:
            return str(value)
        if cls is list:
            return self._list(value, place)
        if cls is dict:
            keys = self._list(list(value), f"a key of {place}")
            values = [self.write(v, f"{place}[{k!r}]") for k, v in value.items()]
            return {"type": "dict", "keys": keys, "values": values}
        if cls in CONTAINERS.values():
            items = list(value)
            if cls is not tuple:  # of a set: an order that is always the same
                items.sort(key=lambda item: (type(item).__name__, repr(item)))
            return {"type": cls.__name__, "items": self._list(items, place)}
        if isinstance(value, np.ndarray):
            return self._array(value, place)
        name = scalar_of(value)
        if name is not None:
            return {"type": name, "value": self._scalar(name, value, place)}
        if sparse.issparse(value) and value.format == "csr" and value.ndim == 2:
            return self._csr(value, place)
        kind = kind_of(value)
        if kind is None:
            raise cannot_write(value, place)
        return {"type": kind.name, "parts": kind.write(value, self, place)}

    def _list(self, values, place):
        """Return what JSON holds for a list."""
        if set(map(type, values)) <= PLAIN:
            return values
        return [self.write(v, f"{place}[{i}]") for i, v in enumerate(values)]

    def _scalar(self, name, value, place):
        """Return the list that JSON holds for a single value."""
        try:
            return SCALARS[name].write(value)
        except TypeError as error:
            raise cannot_write(value, place, f": {error}") from None

    def _array(self, array, place):
        """Return what JSON holds for an array."""
        if type(array) is not np.ndarray or array.dtype.kind not in "biufMmUSO":
            raise cannot_write(array, place)
        if array.dtype == object:
            items = self._list(array.ravel().tolist(), place)
            return {"type": "objects", "shape": list(array.shape), "items": items}
        if not array.dtype.isnative:
            array = array.astype(array.dtype.newbyteorder("="))
        return {"type": "array", "member": self._member(array, place)}

    def _member(self, array, place):
        """Return the member of an array, written once if its memory occurs again."""
        key = (array.dtype.str, array.shape, array.strides, array.ctypes.data)
        if key not in self.members:
            # the array is kept: another one must not get its address
            self.members[key] = (self.file.add_array(array, place), array)
        member, _ = self.members[key]
        return member

    def vectors(self, array, place):
        """Return what JSON holds for float32 vectors, perhaps in fewer bits."""
        if id(array) not in self.stored:
            stored = rounded(array, self.vector_dtype, place)
            self.stored[id(array)] = (stored, array)
        stored, _ = self.stored[id(array)]
        return self.write(stored, place)

    def once(self, value, place, record_of):
        """Return what JSON holds for an object that may occur more than once.

        ``record_of(value, place)`` returns what is written for the first occurrence.
        """
        if id(value) in self.shared:
            key, _ = self.shared[id(value)]
            return {"key": key}
        written = self.write(record_of(value, place), place)
        key = len(self.shared)
        self.shared[id(value)] = (key, value)
        return {"key": key, "value": written}

    def _csr(self, matrix, place):
        """Return what JSON holds for a CSR matrix."""
        about = {"type": "csr", "shape": [int(n) for n in matrix.shape]}
        about["is_array"] = isinstance(matrix, sparse.csr_array)
        for name in ("data", "indices", "indptr"):
            about[name] = self.write(getattr(matrix, name), f"{place}.{name}")
        return about


class Reader(PlainReader):
    """Turn JSON and members of a ``ReadFile`` into the values that were written.

    The parameters are those of `PlainReader`.
    """

    scalars = SCALARS
    kind_of_name = staticmethod(kind_of_name)

    def _csr(self, shape, data, indices, indptr, is_array):
        """Return a CSR matrix of SciPy."""
        if is_array is True:
            cls = sparse.csr_array
        else:
            cls = sparse.csr_matrix
        matrix = cls(shape, dtype=data.dtype)
        # set one by one: the constructor may copy mapped data
        matrix.data = data
        matrix.indices = indices
        matrix.indptr = indptr
        return matrix
