"""Vectors of users that are kept from one request to the next.

Input: the position of a user known from fit.
Output: the vector of the user, (d,).
"""

import threading

# Vectors of users are kept up to this many bytes in all.
MAX_BYTES = 64 * 1024**2


class UserVectors:
    """Vectors of users known from fit, kept from one request to the next.

    They belong to one fitted state, are computed when they are first needed, and are
    not pickled. If there are too many, the oldest are dropped.

    Parameters
    ----------
    max_bytes : int, default=67108864
        Size of all vectors, 64 MiB; one is always kept.
    """

    def __init__(self, max_bytes=MAX_BYTES):
        self.max_bytes = max_bytes
        self._vectors = {}
        self._lock = threading.Lock()

    def __len__(self):
        return len(self._vectors)

    def __reduce__(self):
        return type(self), (self.max_bytes,)

    def get(self, code, compute):
        """Return the vector of the user at a position, by ``compute(code)`` if new."""
        vector = self._vectors.get(code)
        if vector is None:
            vector = compute(code)
            vector.flags.writeable = False
            with self._lock:
                self._vectors.pop(code, None)  # another thread may have added it
                while self._vectors and self._is_full(vector.nbytes):
                    del self._vectors[next(iter(self._vectors))]
                self._vectors[code] = vector
        return vector

    def _is_full(self, n_bytes):
        return (len(self._vectors) + 1) * n_bytes > self.max_bytes
