"""The most frequent requests, one known user or item, without tables and matrices.

Input: the users, or items, of a request, as a caller passes them.
Output: the position of the only one; kept vectors (d,) of users.
"""

import threading

import numpy as np

from sktwotower._tables._ids import plain_positions

__all__ = ["UserVectors", "one_known"]

# Vectors of users are kept up to this many bytes in all.
MAX_BYTES = 64 * 1024**2


def one_known(entities, X):
    """Return the position of the only user, or item, of X, or None.

    None says nothing about X: it may hold several of them, an unknown one, features, or
    ids that need a closer look.
    """
    if isinstance(X, np.ndarray) and X.ndim == 1 and X.dtype.kind in "iu":
        X = X.tolist()
    if not isinstance(X, list | tuple) or len(X) != 1:
        return None
    codes = plain_positions(X, entities.ids)
    return None if codes is None or codes[0] < 0 else codes[0]


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
                while self._vectors and self._is_full(vector.nbytes):
                    del self._vectors[next(iter(self._vectors))]
                self._vectors[code] = vector
        return vector

    def _is_full(self, n_bytes):
        return (len(self._vectors) + 1) * n_bytes > self.max_bytes
