"""Past items in their order, summed with several learnt decays.

Input: rows of items (m, q), and where they occur in the past of users.
Output: one vector (n, width) per prediction, the input of the user tower.
"""

import torch
from torch import nn
from torch.nn import functional

from ._autograd import product_dtype
from ._modules import SparseLinear

__all__ = ["RecentHistory", "Windows", "decayed_sums"]

# Initial numbers of steps after which a past item counts 1 / e. There is one further
# sum without decay.
DECAYS = (1.0, 3.0, 10.0, 50.0)
# Smallest sum of weights by which, or by whose root, a sum of vectors is divided.
MIN_WEIGHT = 1e-4


class Windows:
    """The latest events of b users, padded to t events, and what is predicted of them.

    An *event* has a place e = row * b + column in the tables of shape (t, b), whose
    columns are users and whose rows ascend in time.

    Parameters
    ----------
    items : int64 tensor of shape (t, b)
        Row of each event's item among the distinct items of the batch.
    steps : float32 tensor of shape (t, b)
        Steps from the event before: 1, or 0 within a basket and for the first.
    kept : float32 tensor of shape (t, b)
        1 for an event that is seen by later predictions, 0 for a hidden one or padding.
    targets : int64 tensor of shape (n,)
        Places of the events to be predicted.
    ends : int64 tensor of shape (n,)
        Place of the last event in the basket of each.
    """

    def __init__(self, items, steps, kept, targets, ends):
        self.items = items
        self.steps = steps
        self.kept = kept
        self.targets = targets
        self.ends = ends

    def __len__(self):
        return len(self.targets)

    @property
    def owners(self):
        """User of each prediction, int64 (n,)."""
        return self.targets % self.items.shape[1]

    def to(self, device):
        """Return the windows on a device."""
        return Windows(*(part.to(device) for part in vars(self).values()))


class RecentHistory(nn.Module):
    r"""Sum a user's past items with several learnt decays.

    Parameters
    ----------
    n_features : int
        Number of columns q of an item's feature row.
    width : int
        Number of outputs.
    max_history : int
        Number of latest past items that count.
    n_hidden : int, default=0
        Width of a hidden layer. 0: none, the output is linear in the sums.
    sparse_grad : bool, default=False
        As in `SparseLinear`.

    Notes
    -----
    Let :math:`e_j` be the vector of past item j, a linear map of its feature row, and
    :math:`l_j` its lag: the number of baskets from it to the prediction. The output is

    .. math::
        \sum_h W_h \frac{\sum_j a_{hj} e_j}{\sqrt{\sum_j a_{hj}}}, \quad
        a_{hj} = e^{-l_j / \tau_h}

    with learnt matrices :math:`W_h`, initially the identity divided by the number of
    sums, and learnt :math:`\tau_h`, initially 1, 3, 10 and 50; the last sum has no
    decay. With a hidden layer, :math:`B \, \mathrm{gelu}(A z + c)` is added, where z
    are all sums one after the other, and B is 0 at the start; sums are then divided by
    their weight and not by its root. An item is predicted from the rest of its basket
    at lag 0 and from earlier baskets at lag 1, 2, and so on. Without a past item all
    sums are zero.

    The sums of all positions of a sequence are one recurrence, :math:`s_t = e^{-g_t /
    \tau} s_{t-1} + e_t` with the steps :math:`g_t` between events, so that their cost
    is proportional to the number of events.
    """

    def __init__(self, n_features, width, max_history, n_hidden=0, sparse_grad=False):
        super().__init__()
        self.max_history = max_history
        self.items = SparseLinear(n_features, width, sparse_grad)
        self.log_decays = nn.Parameter(torch.tensor(DECAYS, dtype=torch.float32).log())
        n_sums = len(DECAYS) + 1
        identity = torch.eye(width, dtype=torch.float32)
        self.mix = nn.Parameter(identity.repeat(n_sums, 1) / n_sums)
        self.hidden = self.out = None
        if n_hidden:
            self.hidden = nn.Linear(n_sums * width, n_hidden, dtype=torch.float32)
            self.out = nn.Parameter(torch.zeros(n_hidden, width, dtype=torch.float32))

    @property
    def width(self):
        """Number of outputs."""
        return self.mix.shape[1]

    @property
    def n_hidden(self):
        """Width of the hidden layer, 0 without one."""
        return 0 if self.out is None else len(self.out)

    def rates(self):
        """Return 1 / tau of each sum, (n_sums,); the last is 0."""
        return functional.pad((-self.log_decays).exp(), (0, 1))

    def forward(self, item_rows, windows, matmul_dtype=None):
        """Return the input (n, width) of each prediction of ``Windows`` in training.

        ``item_rows``: feature rows (m, q) of the distinct items.
        """
        table = self.items(item_rows)
        kept = windows.kept[..., None]
        vectors = functional.embedding(windows.items, table) * kept
        factors = torch.exp(-windows.steps[..., None] * self.rates())
        sums = decayed_sums(vectors, factors).flatten(0, 1)
        weights = decayed_sums(kept, factors).flatten(0, 1)
        own, ends = windows.targets, windows.ends
        sums = sums[ends] - vectors.flatten(0, 1)[own][:, None]
        weights = weights[ends] - kept.flatten(0, 1)[own][:, None]
        pooled = (sums / self._norms(weights)).flatten(1)
        n_products = pooled.numel() * self.width
        return self._output(pooled, product_dtype(pooled, n_products, matmul_dtype))

    def _output(self, sums, dtype):
        """Return the output (n, width) for all sums (n, n_sums * width).

        Products are computed in ``dtype``.
        """
        result, sums = sums.dtype, sums.to(dtype)
        output = torch.mm(sums, self.mix.to(dtype))
        if self.hidden is not None:
            weight, bias = self.hidden.weight.to(dtype), self.hidden.bias.to(dtype)
            hidden = functional.gelu(functional.linear(sums, weight, bias))
            output = output + torch.mm(hidden, self.out.to(dtype))
        return output.to(result)

    def _norms(self, totals):
        """Return what sums are divided by, of the shape of their total weights."""
        totals = totals.clamp_min(MIN_WEIGHT)
        return totals.sqrt() if self.hidden is None else totals

    def weights(self, lags):
        """Return the weight (k, n_sums) of each lag (k,)."""
        return torch.exp(-lags[:, None] * self.rates().to(lags.dtype))

    def each(self, item_rows, lags):
        """Return the output (1, width) for one user, and the part of each past item.

        ``item_rows``: feature rows of the k past items; ``lags``: theirs (k,). The
        parts (k, width) add up to the output without a hidden layer. With one they are
        gradient times input.
        """
        weights = self.weights(lags)
        weights = weights / self._norms(weights.sum(0))
        sums = weights[:, :, None] * self.items(item_rows)[:, None]
        sums = sums.flatten(1).double()
        total = sums.sum(0, keepdim=True)
        _, parts = torch.func.vmap(
            lambda part: torch.func.jvp(
                lambda x: self._output(x[None], torch.float64)[0], (total[0],), (part,)
            )
        )(sums)
        return self._output(total, torch.float64), parts

    def pool(self, item_rows, bag):
        """Return the input (n, width), float64, of users whose past is complete.

        ``bag``: SparseRows (n, m) whose values are the lags of past items.
        """
        weights, n_events = self.weights(bag.values), len(bag.indices)
        totals = torch.segment_reduce(weights, "sum", offsets=bag.offsets)
        # all users with their first weights, then all of them with their second ones
        starts = torch.arange(weights.shape[1], device=weights.device) * n_events
        offsets = (starts[:, None] + bag.offsets[:-1]).flatten()
        sums = functional.embedding_bag(
            bag.indices.repeat(weights.shape[1]),
            self.items(item_rows),
            offsets,
            mode="sum",
            per_sample_weights=weights.T.flatten(),
        )
        sums = sums.view(len(starts), len(bag), sums.shape[1]).transpose(0, 1)
        sums = (sums / self._norms(totals)[..., None]).flatten(1)
        return self._output(sums.double(), torch.float64)


def decayed_sums(vectors, factors):
    """Return running sums (t, b, h, d) of vectors (t, b, d) with factors (t, b, h).

    ``sums[i] = factors[i] * sums[i - 1] + vectors[i]``, from zero.
    """
    return _DecayedSums.apply(vectors, factors)


class _DecayedSums(torch.autograd.Function):
    """The recurrence, one operation per step in either direction."""

    @staticmethod
    def forward(ctx, vectors, factors):
        length, n, width = vectors.shape
        sums = vectors.new_empty(length, n, factors.shape[2], width)
        if length:
            sums[0] = vectors[0, :, None]
        for i in range(1, length):
            torch.addcmul(
                vectors[i, :, None], sums[i - 1], factors[i, ..., None], out=sums[i]
            )
        ctx.save_for_backward(sums, factors)
        return sums

    @staticmethod
    def backward(ctx, grad):
        sums, factors = ctx.saved_tensors
        grad = grad.clone()
        for i in range(len(grad) - 1, 0, -1):
            grad[i - 1].addcmul_(grad[i], factors[i, ..., None])
        factor_grad = None
        if ctx.needs_input_grad[1]:
            factor_grad = torch.zeros_like(factors)
            torch.linalg.vecdot(grad[1:], sums[:-1], out=factor_grad[1:])
        vector_grad = grad.sum(2) if ctx.needs_input_grad[0] else None
        return vector_grad, factor_grad
