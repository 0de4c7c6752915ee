"""Arrays that are kept from one request to the next.

Input: a key, and what computes its array.
Output: the array, (...).
"""

import sys
import threading

# What an entry takes next to its numbers and its key: an object of numpy, its
# size, and places in two dicts.
ENTRY_BYTES = 320


class Kept:
    """Arrays that are computed when they are first needed, and not pickled.

    If there are too many, the oldest are dropped. Threads may share it.

    Parameters
    ----------
    max_bytes : int, default=67108864
        Size of all arrays with their keys, 64 MiB; one is always kept.
    min_bytes : int, default=1
        What an array counts at least, so that the number of small ones is limited.
    max_key_bytes : int, default=65536
        Size of the largest key, 64 KiB: arrays of larger ones are not kept.
    """

    def __init__(self, max_bytes=64 * 1024**2, min_bytes=1, max_key_bytes=64 * 1024):
        self.max_bytes = max_bytes
        self.min_bytes = min_bytes
        self.max_key_bytes = max_key_bytes
        self.n_bytes = 0
        self._arrays = {}
        self._sizes = {}
        self._lock = threading.Lock()

    def __len__(self):
        return len(self._arrays)

    def __reduce__(self):
        return type(self), (self.max_bytes, self.min_bytes, self.max_key_bytes)

    def get(self, key, compute):
        """Return the array of a key, by ``compute(key)`` if it is new."""
        array = self._arrays.get(key)
        if array is None:
            array = compute(key)
            array.flags.writeable = False
            key_bytes = size_of(key)
            if key_bytes > self.max_key_bytes:
                return array
            size = max(array.nbytes + key_bytes + ENTRY_BYTES, self.min_bytes)
            with self._lock:
                if key in self._arrays:  # another thread was faster
                    self._drop(key)
                while self._arrays and self.n_bytes + size > self.max_bytes:
                    self._drop(next(iter(self._arrays)))
                self._arrays[key] = array
                self._sizes[key] = size
                self.n_bytes += size
        return array

    def _drop(self, key):
        del self._arrays[key]
        self.n_bytes -= self._sizes.pop(key)


def size_of(key):
    """Return how many bytes a key takes: a value, or a tuple or a set of such keys."""
    if isinstance(key, type):  # classes are there anyway
        return 0
    size = sys.getsizeof(key)
    if isinstance(key, tuple | frozenset):
        size += sum(map(size_of, key))
    return size
