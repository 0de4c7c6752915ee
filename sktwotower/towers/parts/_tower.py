"""The default tower: a sparse linear layer, then residual layers.

Input: ``SparseRows`` (n, p), and a pooled history (n, width) if any.
Output: vectors (n, d).
"""

from itertools import pairwise

import torch
from torch import nn
from torch.nn import functional

from sktwotower._records import record
from sktwotower.runtime._tower_arrays import TowerArrays
from sktwotower.towers.operators._sparse_rows import SparseLinear
from sktwotower.towers.training._stored_weights import StoredModule


@record
class Tower(StoredModule, nn.Module):
    """Sparse linear layer, then residual layers with ReLU.

    Parameters
    ----------
    n_features : int
        Number of columns of the sparse rows.
    width : int
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

    _stored_as = TowerArrays
    _tables = {"table": "sparse.weight"}
    _others = "weights"

    def __init__(
        self, n_features, width, hidden_layer_sizes=(), dropout=0.0, sparse_grad=False
    ):
        super().__init__()
        # of a pooled history that joins the first layer, first, and of vectors, last
        widths = [*hidden_layer_sizes, width]
        self.widths = widths
        self.sparse = SparseLinear(n_features, widths[0], sparse_grad)
        self.bias = nn.Parameter(torch.empty(widths[0], dtype=torch.float32))
        nn.init.normal_(self.bias, std=0.01)
        # All layers are made before all shortcuts: their random weights follow.
        self.layers = nn.ModuleList()
        for n_inputs, n_outputs in pairwise(widths):
            self.layers.append(nn.Linear(n_inputs, n_outputs, dtype=torch.float32))
        self.shortcuts = nn.ModuleList()
        for n_inputs, n_outputs in pairwise(widths):
            shortcut = nn.Identity()
            if n_inputs != n_outputs:
                shortcut = nn.Linear(
                    n_inputs, n_outputs, bias=False, dtype=torch.float32
                )
            self.shortcuts.append(shortcut)
        self.dropout = dropout
        self.sparse_grad = sparse_grad
        self.is_linear = not hidden_layer_sizes

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
            weight = layer.weight.to(dtype)
            bias = layer.bias.to(dtype)
            hidden = hidden + functional.linear(active, weight, bias)
        return hidden

    @classmethod
    def _without_features(cls, width, widths, **settings):
        """Return a tower of these widths whose table has no rows."""
        *hidden, width = widths
        return cls(0, width, tuple(hidden), **settings)


def same_weights(old, new, *others):
    """Return whether all weights of two modules are the same, except some by name."""
    old = old.state_dict()
    new = new.state_dict()
    if old.keys() != new.keys():
        return False
    compared = [name for name in old if name not in others]
    return all(torch.equal(old[name], new[name]) for name in compared)
