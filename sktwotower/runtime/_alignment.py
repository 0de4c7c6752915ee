"""Vectors that are turned to those of an older model.

Input: vectors (n, d) of a model.
Output: vectors (n, m) with the same products.
"""

from typing import NamedTuple

import numpy as np

from sktwotower._records import array, require

# Vectors that are turned at once.
BLOCK = 65536


class AlignmentArrays(NamedTuple):
    """What serving needs of an alignment."""

    turn: array("float64", "d m", is_finite=True)

    def _check_stored(self, place):
        check_turn(self.turn, place)


def turned(vectors, turn):
    """Return vectors (n, d) or (d,) times a matrix (d, m), float32."""
    if vectors.ndim == 1:
        return (vectors.astype(np.float64) @ turn).astype(np.float32)
    result = np.empty((len(vectors), turn.shape[1]), dtype=np.float32)
    for start in range(0, len(vectors), BLOCK):
        block = slice(start, start + BLOCK)
        result[block] = vectors[block].astype(np.float64) @ turn
    return result


def check_turn(turn, place):
    """Raise unless products of vectors are the same after a matrix (d, m)."""
    products = turn @ turn.T
    is_kept = np.allclose(products, np.eye(len(turn)), atol=1e-6)
    require(is_kept, f"{place}.turn", "a matrix that keeps products")
