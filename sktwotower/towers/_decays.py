"""Events of users in their order, and running sums of them that decay.

Input: vectors of events (t, b, d), oldest first.
Output: sums (t, b, h, d) with h decays.
"""

import torch

from ._devices import Movable


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
    """

    def __init__(self, items, steps, kept, targets, ends):
        self.items = items
        self.steps = steps
        self.kept = kept
        self.targets = targets
        self.ends = ends

    def __len__(self):
        return len(self.targets)

    def renumbered(self, places):
        """Return the same with items that are now at places (m,)."""
        rest = self.steps, self.kept, self.targets, self.ends
        return Windows(places[self.items], *rest)

    @property
    def owners(self):
        """User of each prediction, int64 (n,)."""
        return self.targets % self.items.shape[1]


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
