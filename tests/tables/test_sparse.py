"""User x item matrices, worked by hand."""

import numpy as np
from numpy.testing import assert_array_equal

from sktwotower._tables._sparse import pair_matrix


def test_pairs_are_summed():
    matrix = pair_matrix([1, 0, 1], [2, 0, 2], [0.5, 1, 2], (2, 3))
    assert_array_equal(matrix.toarray(), [[1, 0, 0], [0, 0, 2.5]])
    assert matrix.dtype == np.float32 and matrix.nnz == 2


def test_pairs_of_a_tiny_weight_are_no_zeros():
    matrix = pair_matrix([0, 0, 0, 1], [0, 1, 2, 0], [1e-300, 1e-39, 1, 0], (2, 3))
    assert (matrix.toarray() > 0).tolist() == [[True] * 3, [False] * 3]
    assert matrix[0, :2].max() < 2e-38
