"""The inverse of the matrix of a ridge regression.

Input: a Gram matrix (n, n), dense, and the weight of the squared coefficients.
Output: its inverse (n, n), in the same memory.
"""

import numpy as np
from scipy.linalg import get_lapack_funcs

from sktwotower._tables._sparse import slices

# Rows that are copied at once from one side of the diagonal to the other.
N_MIRRORED = 1024
# Errors of rounding, in units of the last place, that leave nothing of a difference.
ROUNDING = 10


def ridge_inverse(gram, l2):
    """Return the inverse (n, n) of ``gram + l2 * I``, in the memory of ``gram``.

    ``gram``: symmetric, float32 or float64, in Fortran order; it is overwritten.
    """
    if len(gram) == 0:  # LAPACK refuses it
        return gram
    gram[np.diag_indices_from(gram)] += l2
    squares = np.diag(gram).copy()
    factorize, invert = get_lapack_funcs(("potrf", "potri"), (gram,))
    factor, failed = factorize(gram, lower=True, overwrite_a=True, clean=False)
    if failed:
        raise too_small(l2)
    inverse, failed = invert(factor, lower=True, overwrite_c=True)
    if failed:
        raise too_small(l2)
    # what others do not explain of each one's squares, where it exceeds rounding
    unexplained = 1 / np.diag(inverse)
    if (unexplained <= ROUNDING * np.finfo(gram.dtype).eps * squares).any():
        raise too_small(l2)
    _mirror(inverse)
    return inverse


def too_small(l2):
    """Return the error that a matrix cannot be inverted with such a small ``l2``."""
    return ValueError(
        f"l2={l2:g} is too small for these events: the matrix of the regression cannot "
        "be inverted in floating-point numbers. Raise l2, for example to 1."
    )


def _mirror(matrix):
    """Copy the lower triangle of a matrix (n, n) to the upper one, in place."""
    for block in slices(len(matrix), N_MIRRORED):
        corner = matrix[block, block]
        lower = np.tril(corner)
        corner[:] = lower + np.tril(lower, -1).T
        matrix[block, block.stop :] = matrix[block.stop :, block].T
