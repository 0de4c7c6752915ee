"""Enters: user vectors (b, d), candidate item vectors (c, d) and their targets.

Leaves: one number with its exact gradient, without ever holding all (b, c) scores.
Next: net.py, which calls it batch by batch.
"""

import torch
from torch import nn

from sktwotower.kernels import padded, product_dtype

__all__ = ["SampledSoftmaxLoss", "Targets"]

# Scores held at once: 4 MiB of float32, which stays in a core's cache.
TILE_SIZE = 1 << 20
# Gradients by scores held at once: 64 MiB of bfloat16. One product of many users is
# several times faster than many products of few.
BLOCK_SIZE = 1 << 25


class Targets:
    """What the scores of a batch of b users against c candidates ought to be.

    Parameters
    ----------
    offsets : int64 tensor of shape (b + 1,)
        Where each user's positives begin in ``columns`` and ``weights``.
    columns : int64 tensor of shape (n_positives,)
        Candidate column of each positive.
    weights : float32 tensor of shape (n_positives,)
        Reward of each positive, > 0.
    log_q : float32 tensor of shape (c,) or None, default=None
        Log-probability with which each column came to be a candidate. ``inf``: the
        column is no sampled candidate, only a positive or an impression of some user.
        None: every item is a candidate.
    positive_log_q : float32 tensor of shape (n_positives,) or None, default=None
        Log-probability by which the logit of each positive is corrected. None: it is
        not.
    hidden : pair of int64 tensors of shape (n_hidden,) or None, default=None
        Further (row, column) pairs that are no negatives: known positives of the user.
        Rows ascend.
    impressions : tuple of three tensors of shape (n_impressions,) or None, default=None
        (row, column, weight): shown and not chosen; ``weight`` times more in the
        denominator of that user alone, unless it is a positive or hidden. Rows ascend.
    total_weight : float or None, default=None
        What the sum of the losses is divided by. None: the sum of ``weights``.
    """

    def __init__(
        self,
        offsets,
        columns,
        weights,
        log_q=None,
        positive_log_q=None,
        hidden=None,
        impressions=None,
        total_weight=None,
    ):
        self.offsets = offsets
        self.columns = columns
        self.weights = weights
        self.log_q = log_q
        self.positive_log_q = positive_log_q
        self.hidden = hidden
        self.impressions = impressions
        self.total_weight = total_weight

    def __len__(self):
        return len(self.offsets) - 1

    def to(self, device):
        """Copy to a device."""

        def move(value):
            if isinstance(value, tuple):
                return tuple(map(move, value))
            return value.to(device) if isinstance(value, torch.Tensor) else value

        return Targets(*map(move, vars(self).values()))


class SampledSoftmaxLoss(nn.Module):
    r"""Softmax cross-entropy over sampled candidates, corrected for the sampling.

    Parameters
    ----------
    temperature : float, default=0.15
        Divides the scores, > 0. Lower: sharper, more weight on the hardest negatives.
    tile_size : int, default=1048576
        Number of scores held in memory at once.
    matmul_dtype : torch.dtype or None, default=None
        Type of the factors of the matrix products; all else is computed in that of the
        vectors. None: bfloat16 for float32 vectors on a CPU that multiplies it in
        hardware, which is several times faster and as good; else that of the vectors.

    Notes
    -----
    With user vectors u, item vectors v, temperature T and Q(j) the probability with
    which item j is among the candidates, the loss of a batch is

    .. math::
        L = \frac{1}{W} \sum_u \sum_{i \in P_u} w_{ui} \left[
            \log \left( e^{z_{ui}} + \sum_{j \in N_u} e^{z_{uj}} \right) - z_{ui}
        \right], \quad z_{uj} = \langle u, v_j \rangle / T - \log Q(j)

    (first the temperature, then the correction), where W is ``total_weight``, P_u are
    the user's positives with rewards w and N_u the candidates that are no positives of
    the user: neither a target nor another positive, and nothing given to the tower as
    history, ever counts as a negative (accidental hits). An impression j with weight m
    adds :math:`m\,e^{\langle u, v_j \rangle / T}` to the sum.

    The positive's own logit is corrected by ``positive_log_q`` (as by Yi et al.), or
    not at all: it is in the sum with certainty, and with Q the inclusion probability
    of the negatives the sum's expectation is then the sum over the whole catalogue.
    Taking the positive out of the denominator and weighting by one minus its
    probability (Khrylchenko et al.) has the same gradient.

    The gradient is computed together with the value, tile by tile of users, in three
    matrix products: memory is O(tile + (b + c) d).

    References
    ----------
    Yi et al., Sampling-Bias-Corrected Neural Modeling for Large Corpus Item
    Recommendations, RecSys 2019, equations 3 to 5.

    Khrylchenko et al., Correcting the LogQ Correction, RecSys 2025.

    Examples
    --------
    >>> import torch
    >>> from sktwotower.losses import SampledSoftmaxLoss, Targets
    >>> users, items = torch.eye(2), torch.eye(2)
    >>> targets = Targets(torch.tensor([0, 1, 2]), torch.tensor([0, 1]), torch.ones(2))
    >>> loss = SampledSoftmaxLoss(temperature=1.0)(users, items, targets)
    >>> round(loss.item(), 4)  # log(1 + exp(0 - 1))
    0.3133
    """

    def __init__(self, temperature=0.15, tile_size=TILE_SIZE, matmul_dtype=None):
        super().__init__()
        self.temperature = temperature
        self.tile_size = tile_size
        self.matmul_dtype = matmul_dtype

    def forward(self, users, items, targets):
        """Give the loss of (b, d) users, (c, d) items and their ``Targets``."""
        return _TiledSoftmax.apply(
            users,
            items,
            targets,
            1 / self.temperature,
            self.tile_size,
            self.matmul_dtype,
        )


class _TiledSoftmax(torch.autograd.Function):
    """Loss and gradient in one sweep over tiles of users."""

    @staticmethod
    def forward(ctx, users, items, targets, scale, tile_size, dtype):
        total = users.new_zeros(())
        user_grad, item_grad = torch.empty_like(users), None
        dtype = product_dtype(users, dtype)
        # The scale goes where there are fewest numbers.
        n_items = len(items)
        users, items = (users * scale).to(dtype), padded(items, dtype)
        weight_sum = targets.weights.sum().to(total.dtype)
        if targets.total_weight is not None:
            weight_sum = weight_sum.new_tensor(targets.total_weight)
        weight_sum = torch.where(weight_sum > 0, weight_sum, 1.0)
        block = max(1, BLOCK_SIZE // max(1, len(items)))
        for start in range(0, len(users), block):
            rows = slice(start, min(start + block, len(users)))
            value, slopes = _block(
                users, items, n_items, targets, rows, tile_size, weight_sum
            )
            total += value
            if any(ctx.needs_input_grad):
                user_grad[rows] = torch.mm(slopes, items).to(total.dtype).mul_(scale)
                part = torch.mm(slopes.T, users[rows])[:n_items].to(total.dtype)
                item_grad = part if item_grad is None else item_grad.add_(part)
        ctx.save_for_backward(user_grad, item_grad)
        return total / weight_sum

    @staticmethod
    def backward(ctx, grad):
        user_grad, item_grad = ctx.saved_tensors
        if grad != 1:
            user_grad, item_grad = user_grad * grad, item_grad * grad
        return user_grad, item_grad, None, None, None, None


def _block(users, items, n_items, targets, block, tile_size, weight_sum):
    """Give a block's summed loss, and its gradient by the logits (rows, c).

    What ``items`` has beyond ``n_items`` rows is padding.
    """
    slopes = users.new_zeros(block.stop - block.start, len(items))
    total = torch.zeros_like(weight_sum)
    step = max(1, tile_size // max(1, len(items)))
    for start in range(block.start, block.stop, step):
        tile = slice(start, min(start + step, block.stop))
        logits = torch.mm(users[tile], items.T)[:, :n_items].to(weight_sum.dtype)
        value, slope = _tile(logits, targets, tile)
        total += value
        place = slice(tile.start - block.start, tile.stop - block.start)
        torch.div(slope, weight_sum, out=slope)
        slopes[place, :n_items] = slope
    return total, slopes


def _tile(logits, targets, tile):
    """Give the tile's summed loss, and its gradient by the logits (rows, c).

    The logits are overwritten.
    """
    bounds = targets.offsets[tile.start : tile.stop + 1]
    picked = slice(int(bounds[0]), int(bounds[-1]))
    columns, weights = targets.columns[picked], targets.weights[picked].to(logits.dtype)
    rows = torch.repeat_interleave(
        torch.arange(len(logits), device=logits.device), bounds.diff()
    )
    positive = logits[rows, columns]
    if targets.positive_log_q is not None:
        positive = positive - targets.positive_log_q[picked].to(logits.dtype)
    _correct(logits, targets, tile)
    logits[rows, columns] = -torch.inf
    hidden = _within(targets.hidden, tile)
    if hidden is not None:
        logits[hidden[0], hidden[1]] = -torch.inf
    # A row without any negative has a log-sum of -inf; its loss and slope are zero.
    lowest = torch.finfo(logits.dtype).min
    top = logits.amax(1).clamp_min(lowest)
    share = logits.sub_(top[:, None]).exp_()
    mass = share.sum(1)
    negatives = (top + mass.log()).clamp_min(lowest)
    excess = negatives[rows] - positive
    value = (weights * torch.nn.functional.softplus(excess)).sum()
    pull = weights * excess.sigmoid()
    per_row = pull.new_zeros(len(logits)).index_add_(0, rows, pull)
    slope = share.mul_((per_row / torch.where(mass > 0, mass, 1.0))[:, None])
    # Those entries are zero by now; a positive may be given more than once.
    slope.index_put_((rows, columns), -pull, accumulate=True)
    return value, slope


def _correct(logits, targets, tile):
    """Subtract log Q in place and let impressions join their own user's row."""
    impressions = _within(targets.impressions, tile)
    if impressions is not None:
        shown_at, weights = impressions[:2], impressions[2]
        shown = logits[shown_at]
    if targets.log_q is not None:
        logits.sub_(targets.log_q.to(logits.dtype))
    if impressions is not None:
        share = weights.to(shown.dtype).log()
        logits[shown_at] = torch.logaddexp(logits[shown_at], shown + share)


def _within(pairs, tile):
    """Keep the (row, column, ...) entries of a tile's rows, counted from its start."""
    if pairs is None:
        return None
    low, high = torch.searchsorted(
        pairs[0], torch.tensor([tile.start, tile.stop], device=pairs[0].device)
    ).tolist()
    rows, *others = (values[low:high] for values in pairs)
    return rows - tile.start, *others
