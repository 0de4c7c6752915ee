"""The two towers: torch modules with a sparse linear first layer.

Input: sparse feature rows (n, p), as CSR or ``SparseRows``.
Output: vectors (n, d).
"""

import functools
import math

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from ._autograd import embedding_rows, product_dtype, unit_rows, weighted_sum

__all__ = ["SparseLinear", "SparseRows", "Tower", "TwoTower"]


class SparseRows:
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
        parts = matrix.indices, matrix.indptr, matrix.data
        return cls.from_arrays(*parts, matrix.shape[1])

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
        """Return the rows on a device. Tensors already there are not copied."""
        if self.indices.device == device:
            return self
        tensors = (self.indices, self.offsets, self.values)
        return SparseRows(*(t.to(device) for t in tensors), self.n_columns)

    def to_torch(self):
        """Return a sparse COO tensor (n, p), which ``torch.nn.Linear`` accepts."""
        return torch.sparse_coo_tensor(
            torch.stack([self.row_numbers(), self.indices]),
            self.values,
            (len(self), self.n_columns),
            is_coalesced=True,
            check_invariants=False,
        )

    @functools.cached_property
    def is_identity(self):
        """Whether the matrix is the identity, as for a catalog with ids only."""
        n = len(self)
        if not len(self.indices) == n == self.n_columns:
            return False
        places = torch.arange(n, device=self.indices.device)
        return bool((self.indices == places).all() and (self.values == 1).all())

    def row_numbers(self):
        """Return the row of each stored value, int64 of shape (nnz,)."""
        places = torch.arange(len(self), device=self.indices.device)
        return torch.repeat_interleave(places, self.offsets.diff())

    def with_columns(self, indices, n_columns):
        """Return the same rows with other columns."""
        return SparseRows(indices, self.offsets, self.values, n_columns)


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

    def __init__(self, n_features, width, sparse_grad=False):
        super().__init__()
        self.sparse_grad = sparse_grad
        self.weight = nn.Parameter(torch.empty(n_features, width, dtype=torch.float32))
        nn.init.normal_(self.weight, std=1 / math.sqrt(width))

    def forward(self, rows):
        """Map ``SparseRows`` of shape (n, p) to a tensor (n, width)."""
        table = self.weight
        if self.sparse_grad and self.training:
            table, rows = embedding_rows(table, rows)
        return weighted_sum(table, rows)


class Tower(nn.Module):
    """Sparse linear layer, then residual layers with ReLU.

    Parameters
    ----------
    n_features : int
        Number of columns of the sparse rows.
    embedding_dim : int
        Number of outputs d.
    hidden_layer_sizes : tuple of int, default=()
        Widths of the hidden layers. ``()``: the sparse layer is the output.
    dropout : float, default=0.0
        Share of hidden units dropped in training, in [0, 1).
    sparse_grad : bool, default=False
        As in `SparseLinear`.

    Notes
    -----
    The sparse layer maps a row x to h = W x + b, plus the pooled history of a user
    tower. Each further layer maps h to S h + V relu(h) + c, where S is the identity if
    the width stays the same, and a learnt matrix otherwise (He et al. 2016). A tower
    with hidden layers thus starts close to the linear one.

    In evaluation mode everything after the sparse layer is computed in float64.
    Products of one row and of many rows then agree to float32 accuracy, so that a
    vector does not depend on the other rows of a batch.
    """

    def __init__(
        self,
        n_features,
        embedding_dim,
        hidden_layer_sizes=(),
        dropout=0.0,
        sparse_grad=False,
    ):
        super().__init__()
        widths = [*hidden_layer_sizes, embedding_dim]
        self.sparse = SparseLinear(n_features, widths[0], sparse_grad)
        self.bias = nn.Parameter(torch.empty(widths[0], dtype=torch.float32))
        nn.init.normal_(self.bias, std=0.01)
        pairs = list(zip(widths[:-1], widths[1:], strict=True))
        linear = functools.partial(nn.Linear, dtype=torch.float32)
        self.layers = nn.ModuleList(linear(a, b) for a, b in pairs)
        self.shortcuts = nn.ModuleList(
            nn.Identity() if a == b else linear(a, b, bias=False) for a, b in pairs
        )
        self.dropout = dropout

    @property
    def input_width(self):
        """Width of the first layer, and of a pooled history that joins it."""
        return self.sparse.weight.shape[1]

    def forward(self, rows, pooled=None, owners=None):
        """Map rows (n, p), and a pooled history (n, width) if any, to (n, d).

        ``owners``: the row (n,) of each pooled history, if several have the same.
        """
        hidden = self.sparse(rows) + self.bias
        if owners is not None:
            hidden = functional.embedding(owners, hidden)
        if pooled is not None:
            hidden = hidden + pooled
        dtype = hidden.dtype if self.training else torch.float64
        hidden = hidden.to(dtype)
        for layer, shortcut in zip(self.layers, self.shortcuts, strict=True):
            active = functional.dropout(hidden.relu(), self.dropout, self.training)
            if isinstance(shortcut, nn.Linear):
                hidden = functional.linear(hidden, shortcut.weight.to(dtype))
            hidden = hidden + functional.linear(
                active, layer.weight.to(dtype), layer.bias.to(dtype)
            )
        return hidden


class TwoTower(nn.Module):
    """A user tower and an item tower; the score is the dot product of their vectors.

    Parameters
    ----------
    user_tower, item_tower : torch.nn.Module
        A ``Tower``, or any module that maps a sparse COO tensor (n, p) to (n, d);
        ``torch.nn.Linear`` and ``LazyLinear`` take such tensors as they are.
    history : SparseLinear, RecentHistory or None, default=None
        Map of an item's feature row. Its mean over a user's past items, or its sums
        with decays, are added to the first layer of a ``Tower``, or to the output of
        any other module.
    normalize : bool, default=True
        Scale vectors to unit length.
    matmul_dtype : torch.dtype or None, default=None
        As in `SampledSoftmaxLoss`; used to pool histories in training.
    """

    def __init__(
        self,
        user_tower,
        item_tower,
        history=None,
        normalize=True,
        matmul_dtype=None,
    ):
        super().__init__()
        self.user_tower = user_tower
        self.item_tower = item_tower
        self.history = history
        self.normalize = normalize
        self.matmul_dtype = matmul_dtype

    def forward(self, batch):
        """Return user vectors (b, d) and candidate item vectors (c, d) of a batch."""
        users = self.embed_users(batch.user_rows, batch.history_items, batch.history)
        return users, self.embed_items(batch.item_rows)

    @property
    def history_table(self):
        """The ``SparseLinear`` of past items, or None."""
        return getattr(self.history, "items", self.history)

    def embed_items(self, rows):
        """Map item rows (n, q) to vectors (n, d)."""
        return self._finish(run_tower(self.item_tower, rows))

    def embed_users(self, rows, history_items=None, history=None):
        """Map user rows (n, p), with their past items, to vectors (n, d).

        ``history_items`` are the feature rows (m, q) of the distinct items that occur
        in ``history``: a bag (n, m) whose rows sum to one, or to zero without past
        items, or whose values are lags if past items are in order; or ``Windows``, with
        one vector for each of their n predictions.
        """
        pooled, owners = None, getattr(history, "owners", None)
        if self.history is not None:
            pooled = self._pool(history_items, history)
        return self._finish(self.run_user_tower(rows, pooled, owners))

    def run_user_tower(self, rows, pooled=None, owners=None):
        """Map user rows (n, p), with a pooled history if any, to unscaled (n, d).

        ``owners``: the row (n,) of each pooled history, if several have the same.
        """
        if isinstance(self.user_tower, Tower):
            return self.user_tower(rows, pooled, owners)
        vectors = run_tower(self.user_tower, rows)
        vectors = vectors if owners is None else vectors[owners]
        return vectors if pooled is None else vectors + pooled

    def _pool(self, history_items, history):
        """Return the sum of each user's past items, (n, width)."""
        if not isinstance(self.history, SparseLinear):
            if isinstance(history, SparseRows):
                return self.history.pool(history_items, history)
            return self.history(history_items, history, self.matmul_dtype)
        vectors = self.history(history_items)
        dtype = None
        if self.training:
            n_products = len(history) * vectors.numel()
            dtype = product_dtype(vectors, n_products, self.matmul_dtype)
        return weighted_sum(vectors, history, dtype)

    def _finish(self, vectors):
        """Return vectors (n, d), of unit length if ``normalize``."""
        return unit_rows(vectors) if self.normalize else vectors


def run_tower(tower, rows):
    """Return the vectors (n, d) of ``SparseRows`` from a ``Tower`` or any module."""
    return tower(rows if isinstance(tower, Tower) else rows.to_torch())
