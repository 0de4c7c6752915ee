"""What the context of a request does to the vector of a user.

Input: vectors of users (n, d), and feature rows of contexts (n, p).
Output: vectors of requests (n, d).
"""

import math

import numpy as np
import torch

from sktwotower._records import record
from sktwotower.runtime._tower_arrays import ContextArrays
from sktwotower.towers.operators._autograd import unit_rows
from sktwotower.towers.operators._devices import moved
from sktwotower.towers.operators._sparse_rows import SparseLinear
from sktwotower.towers.training._stored_weights import StoredModule

# The optimizer moves all weights at the same rate, so that noise adds up with the root
# of the number of steps. From this number on, contexts count less by as much.
STEPS = 200


@record
class ContextLayer(StoredModule, torch.nn.Module):
    r"""Multiply the vector of a user by a context, and add the context.

    Parameters
    ----------
    n_features : int
        Number of columns p of the feature row of a context.
    width : int
        Length d of vectors.
    normalize : bool, default=True
        Scale the result to unit length.
    sparse_grad : bool, default=False
        As in `SparseLinear`.

    Attributes
    ----------
    scale : float
        Factor s of both matrices, > 0, at first 1; see `scale_of`.
    shares : array of shape (p,), float32
        Factor of each feature, in [0, 1], at first 1; see `context_shares`.

    Notes
    -----
    A user with the vector u asks in the context c with the vector

    .. math:: q = u \odot (1 + s M c) + s A c

    scaled to unit length, with learnt matrices M and A, which are 0 at the start, and
    with each feature of c times its share. An
    empty row is an unknown context: then q is u. So vectors u of known users can be
    computed once.
    """

    _stored_as = ContextArrays
    _tables = {"factors": "multiply.weight", "terms": "add.weight"}

    def __init__(self, n_features, width, normalize=True, sparse_grad=False):
        super().__init__()
        self.multiply = SparseLinear(n_features, width, sparse_grad)
        self.add = SparseLinear(n_features, width, sparse_grad)
        for layer in (self.multiply, self.add):
            torch.nn.init.zeros_(layer.weight)
        self.normalize = normalize
        self.sparse_grad = sparse_grad
        self.scale = 1.0
        self.shares = np.ones(n_features, np.float32)

    @classmethod
    def _without_features(cls, width, scale, shares, **settings):
        """Return a layer of this width whose tables have no rows."""
        layer = cls(0, width, **settings)
        layer.scale = scale
        layer.shares = shares
        return layer

    def forward(self, users, rows):
        """Map vectors (n, d) of users, and rows (n, p), to vectors of requests."""
        asked = self.unscaled(users, rows)
        return unit_rows(asked) if self.normalize else asked

    def unscaled(self, users, rows):
        """Return vectors (n, d) of requests before they are scaled to unit length."""
        shares = moved(torch.from_numpy(self.shares), rows.values.device)
        rows = rows.scaled(shares)
        dtype = users.dtype if self.training else users.double().dtype
        users = users.to(dtype)
        factors = self.multiply(rows).to(dtype)
        terms = self.add(rows).to(dtype)
        return users + self.scale * (users * factors + terms)

    def weigh(self, factors):
        """Multiply the shares of features by factors (p,) in [0, 1]."""
        self.shares = self.shares * factors

    def grown_from(self, before, places, n_columns):
        """Take the scale and shares of a layer with fewer columns, in place.

        ``places`` (p_before,): where its columns are among ``n_columns`` now.
        """
        self.scale = before.scale
        self.shares = np.ones(n_columns, dtype=np.float32)
        self.shares[places] = before.shares


def scale_of(n_steps):
    """Return the factor of contexts for a number of steps of training, in (0, 1]."""
    return min(1.0, math.sqrt(STEPS / max(1, n_steps)))
