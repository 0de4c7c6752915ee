"""Sparse rows as tensors, and the linear map of them with which each tower begins.

Input: sparse feature rows (n, p), as CSR.
Output: ``SparseRows``, and their products with a table, (n, width).
"""

import copy
import functools
import math

import numpy as np
import torch
from torch import nn

from ._autograd import COALESCED, ascend, embedding_rows, weighted_sum
from ._devices import Movable, is_on

# Compute the gradient of touched rows only if they are at most this share of a table,
# and a smaller one if they have to be sorted.
MAX_TOUCHED_SHARE = 3 / 4
MAX_SORTED_SHARE = 1 / 4


class SparseRows(Movable):
    """The rows of a CSR matrix, as tensors.

    Parameters
    ----------
    indices : int64 tensor of shape (nnz,)
        Column of each stored value.
    offsets : int64 tensor of shape (n + 1,)
        Start of each row; the last entry is ``nnz``.
    values : float32 tensor of shape (nnz,)
        The stored values.
    n_columns : int
        Width of the matrix, p.
    """

    def __init__(self, indices, offsets, values, n_columns):
        self.indices = indices
        self.offsets = offsets
        self.values = values
        self.n_columns = n_columns

    @classmethod
    def from_csr(cls, matrix):
        """Wrap a SciPy CSR matrix of shape (n, p)."""
        n_columns = matrix.shape[1]
        return cls.from_arrays(matrix.indices, matrix.indptr, matrix.data, n_columns)

    @classmethod
    def from_arrays(cls, indices, offsets, values, n_columns):
        """Wrap the arrays of a CSR matrix."""
        return cls(
            torch.as_tensor(indices, dtype=torch.int64),
            torch.as_tensor(offsets, dtype=torch.int64),
            torch.as_tensor(values, dtype=torch.float32),
            n_columns,
        )

    @classmethod
    def taken(cls, matrix, rows):
        """Wrap the rows at positions (n,) of a SciPy CSR matrix.

        For few rows SciPy's own selection takes many times as long.
        """
        starts = matrix.indptr[rows]
        sizes = matrix.indptr[rows + 1] - starts
        offsets = np.append(0, np.cumsum(sizes))
        places = np.repeat(starts - offsets[:-1], sizes) + np.arange(offsets[-1])
        values = matrix.data[places]
        return cls.from_arrays(matrix.indices[places], offsets, values, matrix.shape[1])

    def __len__(self):
        return len(self.offsets) - 1

    def to(self, device):
        """Return the rows on a device, with what would have to be read from it later.

        Tensors that are there are not copied.
        """
        if is_on(self.indices, device):
            return self
        self.is_identity, self.touched  # noqa: B018  (both are kept)
        return super().to(device)

    def to_torch(self):
        """Return a sparse COO tensor (n, p), which ``torch.nn.Linear`` accepts."""
        places = torch.stack([self.row_numbers(), self.indices])
        shape = len(self), self.n_columns
        return torch.sparse_coo_tensor(places, self.values, shape, **COALESCED)

    @functools.cached_property
    def is_identity(self):
        """Whether the matrix is the identity, as for a catalog with ids only."""
        square = len(self) == self.n_columns
        return square and self.is_one_each() and ascend(self.indices)

    def is_one_each(self):
        """Return whether each row holds one value, a 1."""
        places = torch.arange(len(self) + 1, device=self.offsets.device)
        return torch.equal(self.offsets, places) and bool((self.values == 1).all())

    @functools.cached_property
    def touched(self):
        """Distinct columns (k,), and places (nnz,) of the stored values among them.

        The third is whether rows of these columns alone are the identity. None if so
        many columns are touched that a selection does not pay.
        """
        columns = self.indices
        ordered = ascend(columns)
        most = MAX_TOUCHED_SHARE if ordered else MAX_SORTED_SHARE
        if len(columns) > most * self.n_columns:
            return None
        if ordered:
            places = torch.arange(len(columns), device=columns.device)
            return columns, places, self.is_one_each()
        return *torch.unique(columns, return_inverse=True), False

    def row_numbers(self):
        """Return the row of each stored value, int64 of shape (nnz,)."""
        places = torch.arange(len(self), device=self.indices.device)
        n = len(self.indices)
        return torch.repeat_interleave(places, self.offsets.diff(), output_size=n)

    def with_columns(self, indices, n_columns):
        """Return the same rows with other columns."""
        return SparseRows(indices, self.offsets, self.values, n_columns)

    def with_gradient(self):
        """Return the same rows with values by which a gradient can be computed."""
        rows = copy.copy(self)
        rows.values = self.values.clone().requires_grad_()
        rows.is_identity = False
        return rows

    def scaled(self, factors):
        """Return the same rows with values multiplied by factors (p,) of columns."""
        rows = copy.copy(self)  # with what is known of its columns
        rows.values = self.values * factors[self.indices]
        rows.is_identity = False
        if vars(rows).get("touched"):
            columns, places, _ = self.touched
            rows.touched = columns, places, False
        return rows


class SparseLinear(nn.Module):
    """Linear map of sparse rows, without bias: (n, p) to (n, width).

    A one-hot id becomes an embedding, a list of tags a sum of embeddings.

    Parameters
    ----------
    n_features : int
        Number of columns p of the rows.
    width : int
        Number of outputs.
    sparse_grad : bool, default=False
        Whether the gradient of a large table is a sparse tensor with only the rows that
        a batch touches. Few optimizers accept it.

    Notes
    -----
    Initial weights are independent normal numbers with variance ``1 / width``, so that
    a one-hot row is mapped to a vector of about unit length.
    """

    # Some rows of the table, if several processes train: then ``weight`` holds the rows
    # of this process.
    fetched = None

    def __init__(self, n_features, width, sparse_grad=False):
        super().__init__()
        self.sparse_grad = sparse_grad
        self.weight = nn.Parameter(torch.empty(n_features, width, dtype=torch.float32))
        nn.init.normal_(self.weight, std=1 / math.sqrt(width))

    def forward(self, rows):
        """Map ``SparseRows`` of shape (n, p) to a tensor (n, width)."""
        table = self.weight
        if self.fetched is not None:
            table, rows = self.fetched.of(rows)
        elif self.sparse_grad and self.training:
            table, rows = embedding_rows(table, rows)
        return weighted_sum(table, rows)

    def drop_columns(self, left, unused):
        """Keep the weights of columns where ``left`` (p,), in place.

        Those of columns where ``unused`` (p,) become zero.
        """
        self.weight.data[unused] = 0
        self.weight.data = self.weight.data[left]


def touch_alike(*rows):
    """Let the gradients of a table by several ``SparseRows`` be of one kind.

    Autograd adds up dense and sparse ones wrongly.
    """
    if any(some.touched is None for some in rows):
        for some in rows:
            some.touched = None


def placed_rows(rows, places, n):
    """Return a tensor (n, ...) with rows (p, ...) at ``places``, elsewhere zeros."""
    placed = rows.new_empty(n, *rows.shape[1:])
    if np.array_equal(places, np.arange(len(places))):
        placed[: len(places)] = rows
        placed[len(places) :] = 0
    else:
        placed.zero_()
        placed[torch.as_tensor(places, device=rows.device)] = rows
    return placed
