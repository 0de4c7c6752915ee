"""Which item vectors a model has, as a short text.

Input: ids (n_items,) and vectors (n_items, d) of a catalog.
Output: a text of 16 hexadecimal digits.
"""

import hashlib

import numpy as np


def model_id_of(ids, vectors):
    """Return the id of vectors (n_items, d) in the order of ids (n_items,)."""
    digest = hashlib.sha256()
    digest.update(repr(vectors.shape).encode())
    for each in np.asarray(ids).tolist():
        digest.update(repr(each).encode("utf-8", "backslashreplace") + b"\0")
    digest.update(np.ascontiguousarray(vectors, dtype="<f4").data)
    return digest.hexdigest()[:16]
