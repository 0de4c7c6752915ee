"""Events of users in their order, and means of them that decay.

Input: vectors of events (t, b, d), oldest first, and what is predicted of them.
Output: means (n, h, d) with h decays.
"""

import torch

from sktwotower._tables._sparse import slices
from sktwotower.runtime._tower_arrays import MIN_WEIGHT

from ._devices import Movable

# Predictions whose means are computed at once: they fit into a cache.
BLOCK = 128


class Windows(Movable):
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
    compiles : bool, default=False
        Whether their means are worth compiled functions: importing numba takes half a
        second, and the first use on a machine some more.
    """

    def __init__(self, items, steps, kept, targets, ends, compiles=False):
        self.items = items
        self.steps = steps
        self.kept = kept
        self.targets = targets
        self.ends = ends
        self.compiles = compiles

    def __len__(self):
        return len(self.targets)

    @property
    def owners(self):
        """User of each prediction, int64 (n,)."""
        return self.targets % self.items.shape[1]


def decayed_means(vectors, factors, windows, power, dtype):
    """Return the means (n, h, d) of what each prediction of ``Windows`` sees.

    It sees the running sums at the end of its basket, except its own event. They are
    ``sums[i] = factors[i] * sums[i - 1] + vectors[i]``, from zero.

    Parameters
    ----------
    vectors : tensor of shape (t, b, d + 1)
        Vectors of events with their weights, the last number; zeros for hidden ones.
    factors : tensor of shape (t, b, h)
    windows : Windows
    power : float
        Sums of vectors are divided by this power of the sum of weights.
    dtype : torch.dtype
        Of the result.
    """
    # what the kernels take
    takes_vectors = vectors.device.type == "cpu" and vectors.dtype == torch.float32
    takes_dtype = dtype in (torch.float32, torch.bfloat16)
    means = _DecayedMeans
    if windows.compiles and takes_vectors and takes_dtype:
        means = _CompiledMeans
    return means.apply(vectors, factors, windows, power, dtype)


class _DecayedMeans(torch.autograd.Function):
    """The recurrence, one operation per step in either direction.

    Means are computed block by block: whole tensors would go through memory each time.
    """

    @staticmethod
    def forward(ctx, vectors, factors, windows, power, dtype):
        length, n, width = vectors.shape
        sums = vectors.new_empty(length, n, factors.shape[2], width)
        before = vectors.new_zeros(sums.shape[1:])
        for new, factor, total in zip(vectors, factors, sums, strict=True):
            before = torch.addcmul(new[:, None], before, factor[..., None], out=total)
        means = sums.new_empty(len(windows), sums.shape[2], width - 1, dtype=dtype)
        weights = sums.new_empty(*means.shape[:2], 1)
        of_events = vectors.flatten(0, 1)
        sums_of_events = sums.flatten(0, 1)
        for rows in slices(len(windows), BLOCK):
            hidden = of_events[windows.targets[rows], None]
            seen = sums_of_events[windows.ends[rows]] - hidden
            torch.clamp_min(seen[..., -1:], MIN_WEIGHT, out=weights[rows])
            means[rows] = seen[..., :-1] * weights[rows] ** -power
        ctx.save_for_backward(sums, factors, means, weights)
        ctx.windows = windows
        ctx.power = power
        return means

    @staticmethod
    def backward(ctx, grad):
        sums, factors, means, weights = ctx.saved_tensors
        windows = ctx.windows
        power = ctx.power
        slopes = torch.zeros_like(sums)
        vector_grad = torch.zeros_like(sums[:, :, 0])
        for rows in slices(len(windows), BLOCK):
            slope = grad[rows].to(sums.dtype)
            weight = weights[rows]
            along = torch.linalg.vecdot(slope, means[rows].to(sums.dtype))[..., None]
            along *= weight > MIN_WEIGHT
            of_sum = slope * weight**-power
            of_weight = along * -power / weight
            slope = torch.cat([of_sum, of_weight], -1)
            slopes.flatten(0, 1).index_add_(0, windows.ends[rows], slope)
            hidden = windows.targets[rows]
            vector_grad.flatten(0, 1).index_add_(0, hidden, -slope.sum(1))
        for i in range(len(slopes) - 1, 0, -1):
            slopes[i - 1].addcmul_(slopes[i], factors[i, ..., None])
        factor_grad = torch.zeros_like(factors)
        torch.linalg.vecdot(slopes[1:], sums[:-1], out=factor_grad[1:])
        vector_grad.add_(slopes.sum(2))
        return vector_grad, factor_grad, None, None, None


class _CompiledMeans(torch.autograd.Function):
    """The same by the kernels of numba, in a third to a half of the time.

    Sums are in another order, so that results differ by roundings.
    """

    @staticmethod
    def forward(ctx, vectors, factors, windows, power, dtype):
        vectors = vectors.contiguous()
        factors = factors.contiguous()
        length, n, width = vectors.shape
        n_sums = factors.shape[2]
        sums = vectors.new_empty(length, n, n_sums, width)
        means = sums.new_empty(len(windows), n_sums, width - 1, dtype=dtype)
        weights = sums.new_empty(len(windows), n_sums)
        from . import _decay_kernels as kernels  # importing numba takes half a second

        kernels.forward(
            vectors.numpy(),
            factors.numpy(),
            windows.ends.numpy(),
            windows.targets.numpy(),
            power,
            sums.numpy(),
            _as_numpy(means),
            weights.numpy(),
        )
        ctx.save_for_backward(sums, factors, means, weights)
        ctx.windows = windows
        ctx.power = power
        return means

    @staticmethod
    def backward(ctx, grad):
        sums, factors, means, weights = ctx.saved_tensors
        vector_grad = torch.zeros_like(sums[:, :, 0])
        factor_grad = torch.zeros_like(factors)
        from . import _decay_kernels as kernels

        kernels.backward(
            _as_numpy(grad.contiguous()),
            _as_numpy(means),
            weights.numpy(),
            sums.numpy(),
            factors.numpy(),
            ctx.windows.ends.numpy(),
            ctx.windows.targets.numpy(),
            ctx.power,
            torch.zeros_like(sums).numpy(),
            vector_grad.numpy(),
            factor_grad.numpy(),
        )
        return vector_grad, factor_grad, None, None, None


def _as_numpy(tensor):
    """Return a tensor as an array, those of bfloat16 as the uint16 of their bits."""
    if tensor.dtype == torch.bfloat16:
        tensor = tensor.view(torch.uint16)
    return tensor.numpy()
