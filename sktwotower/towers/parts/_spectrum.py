"""The leading singular vectors of who chose what.

Input: weights of events, CSR (n_users, n_items).
Output: a ``Spectrum``.
"""

from typing import NamedTuple

import numpy as np
from scipy import sparse
from sklearn.utils.extmath import randomized_svd

from sktwotower.towers.processes._group import current_group, summed

# Share of the largest singular value below which others are zero, up to rounding: their
# vectors are any that are orthogonal to the rest.
SMALLEST = 1e-5
# Number of vectors beyond those wanted, which make these more exact.
N_MORE = 10


class Spectrum(NamedTuple):
    r"""The k largest singular values of normalized events, and vectors of items.

    ``vectors`` (n_items, k) and ``values`` (k,) are V and the diagonal of S in
    :math:`D_u^{-1/2} R D_i^{-1/2} \approx U S V^T`, with the weights R of events and
    the sums D of its rows and columns; ``counts`` (n_items,) are those of columns.
    Vectors of singular values that are zero are zeros.
    """

    vectors: np.ndarray
    values: np.ndarray
    counts: np.ndarray

    def start(self, width):
        """Return vectors (n_items, width) from which training starts, float32.

        Rows of :math:`V S^{1/2}`, scaled to a mean length of 1. Items without events
        have zeros.
        """
        vectors = self.vectors[:, :width] * np.sqrt(self.values[:width])
        lengths = np.linalg.norm(vectors[self.counts > 0], axis=1)
        return (vectors / lengths.mean()).astype(np.float32)


def spectrum_of(chosen, size, seed):
    """Return the ``Spectrum`` of weights of events, CSR (n_users, n_items).

    ``size``: number k of singular values, below both numbers of ``chosen.shape``.
    ``seed``: of the randomized algorithm, an int. The events are those of all processes
    together.
    """
    of_users = np.asarray(chosen.sum(axis=1)).ravel()
    of_items = summed(np.asarray(chosen.sum(axis=0)).ravel())
    left = sparse.diags(np.maximum(of_users, 1e-12) ** -0.5)
    right = sparse.diags(np.maximum(of_items, 1e-12) ** -0.5)
    normalized = sparse.csr_matrix(left @ chosen @ right, dtype=np.float32)
    if current_group() is None:
        _, values, vectors = randomized_svd(
            normalized, size, n_iter=2, random_state=seed, flip_sign=False
        )
    else:
        values, vectors = _of_all(normalized, size, seed)
    vectors[values < SMALLEST * values[0]] = 0
    return Spectrum(vectors.T, values, of_items)


def _of_all(rows, size, seed):
    """Return singular values (k,) and vectors (k, n_items) of what all processes have.

    ``rows``: those of this one, CSR (n_users, n_items). Subspace iteration, with as
    many products as `randomized_svd` takes.
    """
    rng = np.random.RandomState(seed)
    basis = rng.normal(size=(rows.shape[1], size + N_MORE)).astype(np.float32)
    for _ in range(2):
        basis = summed(rows.T @ (rows @ basis))
    basis = current_group().from_first(lambda: np.linalg.qr(basis)[0])
    gram = basis.T @ summed(rows.T @ (rows @ basis))
    squares, turn = np.linalg.eigh((gram + gram.T) / 2)
    largest = np.argsort(-squares)[:size]
    values = np.sqrt(np.maximum(squares[largest], 0))
    vectors = basis @ turn[:, largest]
    return values, np.ascontiguousarray(vectors.T)
