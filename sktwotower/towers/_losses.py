"""Enters: user vectors (b, d), candidate item vectors (c, d) and their targets.

Leaves: one number with its exact gradient, without ever holding all (b, c) scores.
Next: net.py, which calls it batch by batch.
"""

import copy

import torch
from torch import nn

from ._autograd import padded, product_dtype

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
        (row, column, weight): shown and not chosen. They make a second denominator of
        that user alone, unless they are positives or hidden. Rows ascend.
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
    impression_weight : float, default=1.0
        Weight of the term that impressions bring, >= 0.
    impression_temperature : float, default=1.0
        Divides the scores in that term, > 0. A cold one learns pairs by heart.
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
    history, ever counts as a negative (accidental hits).

    The impressions I_u of a user, with weights m, are the negatives of a second
    denominator, which the user shares with nobody. It adds

    .. math::
        \frac{\lambda}{W} \sum_u \sum_{i \in P_u} w_{ui} \log \left( 1 +
        \sum_{j \in I_u} m_{uj} e^{(\langle u, v_j \rangle - \langle u, v_i \rangle)
        / T_I} \right)

    with :math:`\lambda` the ``impression_weight`` and :math:`T_I` the
    ``impression_temperature``. In one sum with the candidates the few impressions would
    be drowned by thousands of them. The gradient of this term goes to the item vectors
    alone, u is held fixed: past positives are input of the user tower and impressions
    are not, so that it would learn to tell them apart by its input.

    The positive's own logit is corrected by ``positive_log_q`` (as by Yi et al.), or
    not at all: it is in the sum with certainty, and with Q the inclusion probability
    of the negatives the sum's expectation is then the sum over the whole catalog.
    Taking the positive out of the denominator and weighting by one minus its
    probability (Khrylchenko et al.) has the same gradient.

    The gradient is computed together with the value, tile by tile of users, in three
    matrix products; besides the tile, up to 2 ** 25 entries of the gradient by the
    scores are held, so that memory is O((b + c) d) and no more than that.

    References
    ----------
    Yi et al., Sampling-Bias-Corrected Neural Modeling for Large Corpus Item
    Recommendations, RecSys 2019, equations 3 to 5.

    Khrylchenko et al., Correcting the LogQ Correction, RecSys 2025.

    Examples
    --------
    >>> import torch
    >>> from sktwotower.towers._losses import SampledSoftmaxLoss, Targets
    >>> users, items = torch.eye(2), torch.eye(2)
    >>> targets = Targets(torch.tensor([0, 1, 2]), torch.tensor([0, 1]), torch.ones(2))
    >>> loss = SampledSoftmaxLoss(temperature=1.0)(users, items, targets)
    >>> round(loss.item(), 4)  # log(1 + exp(0 - 1))
    0.3133
    """

    def __init__(
        self,
        temperature=0.15,
        tile_size=TILE_SIZE,
        impression_weight=1.0,
        impression_temperature=1.0,
        matmul_dtype=None,
    ):
        super().__init__()
        self.temperature = temperature
        self.tile_size = tile_size
        self.impression_weight = impression_weight
        self.impression_temperature = impression_temperature
        self.matmul_dtype = matmul_dtype

    def forward(self, users, items, targets):
        """Return the loss of (b, d) users, (c, d) items and their ``Targets``."""
        return _TiledSoftmax.apply(users, items, targets, self)


class _TiledSoftmax(torch.autograd.Function):
    """Loss and gradient in one sweep over tiles of users."""

    @staticmethod
    def forward(ctx, users, items, targets, loss):
        total = users.new_zeros(())
        user_grad, item_grad = torch.empty_like(users), None
        dtype = product_dtype(users, loss.matmul_dtype)
        # The scale goes where there are fewest numbers.
        n_items, scale = len(items), 1 / loss.temperature
        users, items = (users * scale).to(dtype), padded(items, dtype)
        targets = _divided(targets, total.dtype)
        block = max(1, BLOCK_SIZE // max(1, len(items)))
        for start in range(0, len(users), block):
            rows = slice(start, min(start + block, len(users)))
            value, slopes, shown = _block(users, items, n_items, targets, rows, loss)
            total += value
            if not any(ctx.needs_input_grad):
                continue
            user_grad[rows] = torch.mm(slopes, items).to(total.dtype).mul_(scale)
            for places, push in shown:  # from here on, so that it moves items alone
                slopes.index_put_(places, push.to(dtype), accumulate=True)
            part = torch.mm(slopes.T, users[rows])[:n_items].to(total.dtype)
            item_grad = part if item_grad is None else item_grad.add_(part)
        ctx.save_for_backward(user_grad, item_grad)
        return total

    @staticmethod
    def backward(ctx, grad):
        user_grad, item_grad = ctx.saved_tensors
        if grad != 1:
            user_grad, item_grad = user_grad * grad, item_grad * grad
        return user_grad, item_grad, None, None


def _divided(targets, dtype):
    """Return targets whose weights are divided by what the loss is divided by."""
    total = targets.weights.sum().to(dtype)
    if targets.total_weight is not None:
        total = total.new_tensor(targets.total_weight)
    divided = copy.copy(targets)
    divided.weights = targets.weights.to(dtype) / torch.where(total > 0, total, 1.0)
    return divided


def _block(users, items, n_items, targets, block, loss):
    """Return a block's summed loss, and its gradient by the logits (rows, c).

    What ``items`` has beyond ``n_items`` rows is padding. The third value lists places
    and values of the part of the gradient that impressions bring.
    """
    slopes = users.new_empty(block.stop - block.start, len(items))
    total, parts = targets.weights.new_zeros(()), []
    step = max(1, loss.tile_size // max(1, len(items)))
    for start in range(block.start, block.stop, step):
        tile = slice(start, min(start + step, block.stop))
        first = tile.start - block.start
        place = slopes[first : tile.stop - block.start]
        torch.mm(users[tile], items.T, out=place)
        place = place[:, :n_items]
        value, slope, shown = _tile(place.to(total.dtype), targets, tile, loss)
        total += value
        if slope.data_ptr() != place.data_ptr():  # of another type
            place.copy_(slope)
        if shown is not None:
            (rows, columns), push = shown[1:]
            total += loss.impression_weight * shown[0]
            parts.append(((rows + first, columns), push * loss.impression_weight))
    return total, slopes, parts


def _tile(logits, targets, tile, loss):
    """Return the tile's summed loss, and its gradient by the logits (rows, c).

    The logits are overwritten. The third value is what `_against_shown` gives; None
    without impressions.
    """
    bounds = targets.offsets[tile.start : tile.stop + 1]
    picked = slice(int(bounds[0]), int(bounds[-1]))
    columns, weights = targets.columns[picked], targets.weights[picked]
    rows = torch.repeat_interleave(
        torch.arange(len(logits), device=logits.device), bounds.diff()
    )
    positive = logits[rows, columns]
    logits[rows, columns] = -torch.inf
    hidden = _within(targets.hidden, tile)
    if hidden is not None:
        logits[hidden[0], hidden[1]] = -torch.inf
    shown = _within(targets.impressions, tile)
    if shown is not None:
        chosen = rows, columns, positive, weights
        warmth = loss.temperature / loss.impression_temperature
        shown = _against_shown(logits, chosen, shown, warmth)
    if targets.positive_log_q is not None:
        positive = positive - targets.positive_log_q[picked].to(logits.dtype)
    if targets.log_q is not None:
        logits.sub_(targets.log_q.to(logits.dtype))
    # A row without any negative has a log-sum of -inf; its loss and slope are zero.
    lowest = torch.finfo(logits.dtype).min
    top = logits.amax(1)
    alone = top == -torch.inf
    logits[:, 0].masked_fill_(alone, 0)  # or its shares would be NaN
    share = logits.softmax(1)
    # The share of the top is 1 / sum, if its own exponential is 1.
    negatives = (top - share.amax(1).log()).masked_fill_(alone, lowest)
    excess = negatives[rows] - positive
    value = (weights * torch.nn.functional.softplus(excess)).sum()
    pull = weights * excess.sigmoid()
    per_row = pull.new_zeros(len(logits)).index_add_(0, rows, pull)
    slope = torch.mul(share, per_row[:, None], out=logits)
    # Those entries are zero by now; a positive may be given more than once.
    slope.index_put_((rows, columns), -pull, accumulate=True)
    return value, slope, shown


def _against_shown(logits, chosen, shown, warmth):
    """Contrast a tile's positives with their own user's impressions.

    ``logits`` (rows, c), not corrected, are -inf where a pair is no negative;
    ``chosen`` are the positives' rows, columns, logits and weights, ``shown`` the
    impressions' rows, columns and weights; ``warmth`` multiplies the logits. Gives the
    summed loss, and the places and values of its gradient by the logits.
    """
    rows, columns, positive, weights = chosen
    shown_rows, shown_columns, counts = shown
    scores = logits[shown_rows, shown_columns] * warmth
    lowest = torch.finfo(scores.dtype).min
    top = scores.new_full((len(logits),), lowest)
    top.scatter_reduce_(0, shown_rows, scores, "amax")
    share = counts.to(scores.dtype) * (scores - top[shown_rows]).exp()
    mass = torch.zeros_like(top).index_add_(0, shown_rows, share)
    negatives = (top + mass.log()).clamp_min(lowest)
    excess = negatives[rows] - positive * warmth
    value = (weights * torch.nn.functional.softplus(excess)).sum()
    pull = weights * excess.sigmoid()
    per_row = torch.zeros_like(top).index_add_(0, rows, pull)
    push = share * (per_row / torch.where(mass > 0, mass, 1.0))[shown_rows]
    places = torch.cat([rows, shown_rows]), torch.cat([columns, shown_columns])
    return value, places, torch.cat([-pull, push]) * warmth


def _within(pairs, tile):
    """Keep the (row, column, ...) entries of a tile's rows, counted from its start."""
    if pairs is None:
        return None
    low, high = torch.searchsorted(
        pairs[0], torch.tensor([tile.start, tile.stop], device=pairs[0].device)
    ).tolist()
    rows, *others = (values[low:high] for values in pairs)
    return rows - tile.start, *others
