"""Enters: sparse feature rows (n, p), as CSR or ``SparseRows``.

Leaves: vectors (n, d). The first layer is a linear map of a sparse row: one-hot ids
become embeddings, tag lists sums of embeddings. Next: losses.py.
"""

import math

import torch
from torch import nn
from torch.nn import functional

__all__ = ["SparseLinear", "SparseRows", "Tower", "TwoTower"]


class SparseRows:
    """Rows of a CSR matrix as tensors, on their way through a tower.

    Parameters
    ----------
    indices : int64 tensor of shape (nnz,)
        Column of each stored value.
    offsets : int64 tensor of shape (n + 1,)
        Where each row begins; the last entry is ``nnz``.
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
        return cls(
            torch.as_tensor(matrix.indices, dtype=torch.int64),
            torch.as_tensor(matrix.indptr, dtype=torch.int64),
            torch.as_tensor(matrix.data, dtype=torch.float32),
            matrix.shape[1],
        )

    def __len__(self):
        return len(self.offsets) - 1

    def to(self, device):
        """Copy to a device; nothing is copied when it is there already."""
        tensors = (self.indices, self.offsets, self.values)
        return SparseRows(*(t.to(device) for t in tensors), self.n_columns)

    def to_torch(self):
        """Give a sparse COO tensor of shape (n, p), as ``torch.nn.Linear`` takes."""
        rows = torch.repeat_interleave(
            torch.arange(len(self), device=self.indices.device), self.offsets.diff()
        )
        return torch.sparse_coo_tensor(
            torch.stack([rows, self.indices]),
            self.values,
            (len(self), self.n_columns),
            is_coalesced=True,
            check_invariants=False,
        )

    def weighted_sum(self, table):
        """Multiply by a dense table (p, width); gives (n, width)."""
        if self.n_columns == 0 or len(self.indices) == 0:
            return table.new_zeros(len(self), table.shape[1])
        return functional.embedding_bag(
            self.indices,
            table,
            self.offsets,
            mode="sum",
            per_sample_weights=self.values.to(table.dtype),
            include_last_offset=True,
        )


class SparseLinear(nn.Module):
    """Linear map of sparse rows, without bias: (n, p) to (n, width).

    Parameters
    ----------
    n_features : int
        Number of columns p of the rows.
    width : int
        Number of outputs.

    Notes
    -----
    The weights start as independent normal numbers with variance ``1 / width``, so
    that a one-hot row starts as a vector of about unit length.
    """

    def __init__(self, n_features, width):
        super().__init__()
        self.weight = nn.Parameter(torch.empty(n_features, width))
        nn.init.normal_(self.weight, std=1 / math.sqrt(width))

    def forward(self, rows):
        """Map ``SparseRows`` of shape (n, p) to a tensor (n, width)."""
        return rows.weighted_sum(self.weight)


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
        Share of hidden units left out in training, in [0, 1).

    Notes
    -----
    The sparse layer gives h = W x + b, plus the pooled history of a user tower. Each
    further layer gives S h + V relu(h) + c, where S is the identity if the width stays,
    and a learnt matrix otherwise (He et al. 2016): a tower with hidden layers starts
    close to the linear one and does not fall behind it.

    In evaluation mode everything after the sparse layer runs in float64: products of
    one row and of many rows then agree to float32 accuracy, so that a vector does not
    depend on the rows that happened to be beside it.
    """

    def __init__(self, n_features, embedding_dim, hidden_layer_sizes=(), dropout=0.0):
        super().__init__()
        widths = [*hidden_layer_sizes, embedding_dim]
        self.sparse = SparseLinear(n_features, widths[0])
        self.bias = nn.Parameter(torch.empty(widths[0]))
        nn.init.normal_(self.bias, std=0.01)
        pairs = list(zip(widths[:-1], widths[1:], strict=True))
        self.layers = nn.ModuleList(nn.Linear(a, b) for a, b in pairs)
        self.shortcuts = nn.ModuleList(
            nn.Identity() if a == b else nn.Linear(a, b, bias=False) for a, b in pairs
        )
        self.dropout = dropout

    @property
    def input_width(self):
        """Width of the first layer, and of a pooled history that joins it."""
        return self.sparse.weight.shape[1]

    def forward(self, rows, pooled=None):
        """Map rows (n, p), and a pooled history (n, width) if any, to (n, d)."""
        hidden = self.sparse(rows) + self.bias
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
    """A user tower and an item tower whose vectors meet in a dot product.

    Parameters
    ----------
    user_tower, item_tower : torch.nn.Module
        A ``Tower``, or any module that maps a sparse COO tensor (n, p) to (n, d);
        ``torch.nn.Linear`` and ``LazyLinear`` take such tensors as they are.
    history : SparseLinear or None, default=None
        Map of an item's feature row, the mean of which over a user's past items
        joins the first layer of a ``Tower``; the output of any other module.
    normalize : bool, default=True
        Scale vectors to unit length.
    """

    def __init__(self, user_tower, item_tower, history=None, normalize=True):
        super().__init__()
        self.user_tower = user_tower
        self.item_tower = item_tower
        self.history = history
        self.normalize = normalize

    def forward(self, batch):
        """Give user vectors (b, d) and candidate item vectors (c, d) of a batch."""
        users = self.embed_users(batch.user_rows, batch.history_items, batch.history)
        return users, self.embed_items(batch.item_rows)

    def embed_items(self, rows):
        """Map item rows (n, q) to vectors (n, d)."""
        return self._finish(run_tower(self.item_tower, rows))

    def embed_users(self, rows, history_items=None, history=None):
        """Map user rows (n, p), with their past items, to vectors (n, d).

        ``history_items`` are the feature rows (m, q) of the distinct items that occur
        in ``history`` (n, m), whose rows sum to one, or to zero without past items.
        """
        pooled = None
        if self.history is not None:
            pooled = history.weighted_sum(self.history(history_items))
        if isinstance(self.user_tower, Tower):
            return self._finish(self.user_tower(rows, pooled))
        vectors = run_tower(self.user_tower, rows)
        return self._finish(vectors if pooled is None else vectors + pooled)

    def _finish(self, vectors):
        return functional.normalize(vectors, dim=1) if self.normalize else vectors


def run_tower(tower, rows):
    """Apply a tower of ours, or any module, to ``SparseRows``; gives (n, d)."""
    return tower(rows if isinstance(tower, Tower) else rows.to_torch())
