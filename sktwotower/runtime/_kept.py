"""Arrays that are kept from one request to the next.

Input: a key, and what computes its array.
Output: the array, (...).
"""

import threading


class Kept:
    """Arrays that are computed when they are first needed, and not pickled.

    If there are too many, the oldest are dropped. Threads may share it.

    Parameters
    ----------
    max_bytes : int, default=67108864
        Size of all arrays, 64 MiB; one is always kept.
    min_bytes : int, default=1
        What an array counts at least, so that the number of small ones is limited.
    """

    def __init__(self, max_bytes=64 * 1024**2, min_bytes=1):
        self.max_bytes, self.min_bytes = max_bytes, min_bytes
        self.n_bytes = 0
        self._arrays = {}
        self._lock = threading.Lock()

    def __len__(self):
        return len(self._arrays)

    def __reduce__(self):
        return type(self), (self.max_bytes, self.min_bytes)

    def get(self, key, compute):
        """Return the array of a key, by ``compute(key)`` if it is new."""
        array = self._arrays.get(key)
        if array is None:
            array = compute(key)
            array.flags.writeable = False
            with self._lock:
                if key in self._arrays:  # another thread was faster
                    self._drop(key)
                most = self.max_bytes - self._size(array)
                while self._arrays and self.n_bytes > most:
                    self._drop(next(iter(self._arrays)))
                self._arrays[key] = array
                self.n_bytes += self._size(array)
        return array

    def _drop(self, key):
        self.n_bytes -= self._size(self._arrays.pop(key))

    def _size(self, array):
        return max(array.nbytes, self.min_bytes)
