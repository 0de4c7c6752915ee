"""The training loss: softmax over sampled candidates.

Input: user vectors (b, d), candidate item vectors (c, d) and their ``Targets``.
Output: the loss with its exact gradient; the (b, c) scores are never held at once.
"""

import copy

import torch
from torch import nn
from torch.nn import functional

from ._autograd import padded, product_dtype

__all__ = ["SampledSoftmaxLoss", "Targets"]

# Scores held at once: 4 MiB of float32, which stays in a core's cache.
TILE_SIZE = 1 << 20
# Entries of the gradient by scores held at once: 64 MiB of bfloat16. One product for
# many users is several times faster than many products for few.
BLOCK_SIZE = 1 << 25


class Targets:
    """The positives of b users among c candidates, and what the loss corrects.

    Parameters
    ----------
    offsets : int64 tensor of shape (b + 1,)
        Start of each user's positives in ``columns`` and ``weights``.
    columns : int64 tensor of shape (n_positives,)
        Candidate column of each positive.
    weights : float32 tensor of shape (n_positives,)
        Reward of each positive, > 0.
    log_q : float32 tensor of shape (c,) or None, default=None
        Log-probability that each column is a sampled candidate. ``inf``: the column is
        only a positive or an impression of some user. None: every item is a candidate.
    positive_log_q : float32 tensor of shape (n_positives,) or None, default=None
        Log-probability by which the logit of each positive is corrected. None: no
        correction.
    hidden : pair of int64 tensors of shape (n_hidden,) or None, default=None
        Further (row, column) pairs that are not negatives: known positives of the user.
        Rows ascend.
    impressions : tuple of three tensors of shape (n_impressions,) or None, default=None
        (row, column, weight): shown and not chosen. They form a second denominator of
        this user only, except positives and hidden pairs. Rows ascend.
    total_weight : float or None, default=None
        Divisor of the summed losses. None: the sum of ``weights``.
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
        """Return the targets on a device."""

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
        Divides the scores, > 0. A lower one puts more weight on the hardest negatives.
    tile_size : int, default=1048576
        Number of scores held in memory at once, >= 1.
    impression_weight : float, default=1.0
        Weight of the term of the impressions, >= 0.
    impression_temperature : float, default=1.0
        Divides the scores in that term, > 0. A low one memorizes single pairs.
    matmul_dtype : torch.dtype or None, default=None
        Type of the factors of matrix products. Everything else is computed in the type
        of the vectors. None: bfloat16 for float32 vectors on a CPU with bfloat16
        products, which is several times faster and as good; otherwise the type of the
        vectors.

    Notes
    -----
    The loss of a batch is

    .. math::
        L = \frac{1}{W} \sum_u \sum_{i \in P_u} w_{ui} \left[
            \log \left( e^{z_{ui}} + \sum_{j \in N_u} e^{z_{uj}} \right) - z_{ui}
        \right], \quad z_{uj} = \langle u, v_j \rangle / T - \log Q(j)

    with user vectors :math:`u`, item vectors :math:`v_j`, temperature :math:`T`,
    probability :math:`Q(j)` that item j is a candidate, positives :math:`P_u` of the
    user with rewards :math:`w_{ui}`, negatives :math:`N_u` of the user and total weight
    :math:`W`. The negatives are the candidates except all positives of the user and
    all items of the user's history (accidental hits).

    Impressions :math:`I_u` with weights :math:`m_{uj}` add the term

    .. math::
        \frac{\lambda}{W} \sum_u \sum_{i \in P_u} w_{ui} \log \left( 1 +
        \sum_{j \in I_u} m_{uj} e^{(\langle u, v_j \rangle - \langle u, v_i \rangle)
        / T_I} \right)

    where :math:`\lambda` is the ``impression_weight`` and :math:`T_I` the
    ``impression_temperature``. It is a term of its own since a few impressions would
    not count among thousands of candidates. Its gradient goes to item vectors only.
    Past positives are input of the user tower and impressions are not, so the user
    tower would otherwise learn to distinguish them by its input.

    The logit of the positive itself is corrected only by ``positive_log_q`` (Yi et
    al.). Without it, and with Q the inclusion probability of the negatives, the
    expected sum is the sum over the whole catalog, since the positive is in the sum
    with certainty. Taking the positive out of the denominator and weighting by one
    minus its probability (Khrylchenko et al.) has the same gradient.

    Value and gradient are computed together, tile by tile of users, by three matrix
    products. Memory is O((b + c) d) for b users, c candidates and vectors of length d,
    plus a tile of scores and up to 2 ** 25 entries of the gradient by the scores.

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
        """Compute the loss of a batch.

        Parameters
        ----------
        users : Tensor of shape (b, d)
            User vectors.
        items : Tensor of shape (c, d)
            Vectors of the candidate items.
        targets : Targets
            Positives of the users, and the corrections.

        Returns
        -------
        Tensor of shape ()
            The loss.

        Examples
        --------
        Two users, each of whom chose one of two items:

        >>> import torch
        >>> from sktwotower.towers._losses import SampledSoftmaxLoss, Targets
        >>> users, items = torch.eye(2), torch.tensor([[1.0, 0.0], [0.6, 0.8]])
        >>> offsets, chosen = torch.tensor([0, 1, 2]), torch.tensor([0, 1])
        >>> targets = Targets(offsets, chosen, torch.ones(2))
        >>> loss = SampledSoftmaxLoss(temperature=1.0)
        >>> round(loss(users, items, targets).item(), 3)
        0.442
        >>> round(loss(users, items.flip(0), targets).item(), 3)  # items exchanged
        1.042
        """
        return _TiledSoftmax.apply(users, items, targets, self)


class _TiledSoftmax(torch.autograd.Function):
    """Loss and gradient in one sweep over blocks of users."""

    @staticmethod
    def forward(ctx, users, items, targets, loss):
        total = users.new_zeros(())
        user_grad, item_grad = torch.empty_like(users), None
        dtype = product_dtype(users, loss.matmul_dtype)
        # Scale the vectors, which have fewer entries than the scores.
        n_items, scale = len(items), 1 / loss.temperature
        users, items = (users * scale).to(dtype), padded(items, dtype)
        targets = _normalized(targets, total.dtype)
        step = max(1, BLOCK_SIZE // max(1, len(items)))
        for start in range(0, len(users), step):
            rows = slice(start, min(start + step, len(users)))
            value, logit_grad, shown = _loss_of_block(
                users, items, n_items, targets, rows, loss
            )
            total += value
            if not any(ctx.needs_input_grad):
                continue
            user_grad[rows] = torch.mm(logit_grad, items).to(total.dtype).mul_(scale)
            # Added after the gradient of the users, so that it reaches items only.
            for places, shown_grad in shown:
                logit_grad.index_put_(places, shown_grad.to(dtype), accumulate=True)
            part = torch.mm(logit_grad.T, users[rows])[:n_items].to(total.dtype)
            item_grad = part if item_grad is None else item_grad.add_(part)
        ctx.save_for_backward(user_grad, item_grad)
        return total

    @staticmethod
    def backward(ctx, grad):
        user_grad, item_grad = ctx.saved_tensors
        if grad != 1:
            user_grad, item_grad = user_grad * grad, item_grad * grad
        return user_grad, item_grad, None, None


def _normalized(targets, dtype):
    """Return targets with weights divided by the total weight."""
    total = targets.weights.sum().to(dtype)
    if targets.total_weight is not None:
        total = total.new_tensor(targets.total_weight)
    divided = copy.copy(targets)
    divided.weights = targets.weights.to(dtype) / torch.where(total > 0, total, 1.0)
    return divided


def _loss_of_block(users, items, n_items, targets, block, loss):
    """Return the loss of a block of users, and the gradient by logits (rows, c).

    Rows of ``items`` beyond ``n_items`` are padding. The third value is a list of
    places and values of the gradient by logits of the impressions' term.
    """
    logit_grad = users.new_empty(block.stop - block.start, len(items))
    total, shown_grads = targets.weights.new_zeros(()), []
    step = max(1, loss.tile_size // max(1, len(items)))
    for start in range(block.start, block.stop, step):
        tile = slice(start, min(start + step, block.stop))
        first = tile.start - block.start
        part = logit_grad[first : tile.stop - block.start]
        torch.mm(users[tile], items.T, out=part)
        part = part[:, :n_items]
        value, grad, shown = _loss_of_tile(part.to(total.dtype), targets, tile, loss)
        total += value
        if grad.data_ptr() != part.data_ptr():  # a copy, if the types differ
            part.copy_(grad)
        if shown is not None:
            value, (rows, columns), shown_grad = shown
            total += loss.impression_weight * value
            shown_grad = shown_grad * loss.impression_weight
            shown_grads.append(((rows + first, columns), shown_grad))
    return total, logit_grad, shown_grads


def _loss_of_tile(logits, targets, tile, loss):
    """Return the loss of a tile of users, and the gradient by logits (rows, c).

    The logits are overwritten. The third value is that of `_loss_of_impressions`, or
    None without impressions.
    """
    bounds = targets.offsets[tile.start : tile.stop + 1]
    own = slice(int(bounds[0]), int(bounds[-1]))
    columns, weights = targets.columns[own], targets.weights[own]
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
        positives = rows, columns, positive, weights
        temperature_ratio = loss.temperature / loss.impression_temperature
        shown = _loss_of_impressions(logits, positives, shown, temperature_ratio)
    if targets.positive_log_q is not None:
        positive = positive - targets.positive_log_q[own].to(logits.dtype)
    if targets.log_q is not None:
        logits.sub_(targets.log_q.to(logits.dtype))
    share, log_sum = _softmax(logits)
    excess = log_sum[rows] - positive
    value = (weights * functional.softplus(excess)).sum()
    positive_grad = weights * excess.sigmoid()
    per_row = positive_grad.new_zeros(len(logits)).index_add_(0, rows, positive_grad)
    grad = torch.mul(share, per_row[:, None], out=logits)
    # Positives have a share of zero. Accumulate, as one can be given more than once.
    grad.index_put_((rows, columns), -positive_grad, accumulate=True)
    return value, grad, shown


def _softmax(logits):
    """Return softmax (rows, c) and log-sum-exp (rows,) of logits (rows, c).

    The log-sum-exp of a row of only -inf is the lowest number, so that the loss and the
    gradient of a user without negatives are zero.
    """
    top = logits.amax(1)
    empty = top == -torch.inf
    logits[:, 0].masked_fill_(empty, 0)  # otherwise the softmax would be NaN
    share = logits.softmax(1)
    # The largest share is exp(0) / sum, the sum being that of exp(logits - top).
    log_sum = top - share.amax(1).log()
    return share, log_sum.masked_fill_(empty, torch.finfo(logits.dtype).min)


def _loss_of_impressions(logits, positives, shown, temperature_ratio):
    """Return the loss of positives against impressions, places and gradient by logits.

    ``logits`` (rows, c) are not corrected, and -inf where a pair is not a negative.
    ``positives`` are rows, columns, logits and weights, (n,) each, and ``shown`` the
    impressions' rows, columns and weights, (m,) each. ``temperature_ratio`` multiplies
    the logits.
    """
    rows, columns, positive, weights = positives
    shown_rows, shown_columns, shown_weights = shown
    scores = logits[shown_rows, shown_columns] * temperature_ratio
    lowest = torch.finfo(scores.dtype).min
    top = scores.new_full((len(logits),), lowest)
    top.scatter_reduce_(0, shown_rows, scores, "amax")
    share = shown_weights.to(scores.dtype) * (scores - top[shown_rows]).exp()
    total = torch.zeros_like(top).index_add_(0, shown_rows, share)
    log_sum = (top + total.log()).clamp_min(lowest)
    excess = log_sum[rows] - positive * temperature_ratio
    value = (weights * functional.softplus(excess)).sum()
    positive_grad = weights * excess.sigmoid()
    per_row = torch.zeros_like(top).index_add_(0, rows, positive_grad)
    shown_grad = share * (per_row / torch.where(total > 0, total, 1.0))[shown_rows]
    places = torch.cat([rows, shown_rows]), torch.cat([columns, shown_columns])
    grad = torch.cat([-positive_grad, shown_grad]) * temperature_ratio
    return value, places, grad


def _within(pairs, tile):
    """Return the (row, column, ...) entries of a tile, with rows from its start on."""
    if pairs is None:
        return None
    low, high = torch.searchsorted(
        pairs[0], torch.tensor([tile.start, tile.stop], device=pairs[0].device)
    ).tolist()
    rows, *others = (values[low:high] for values in pairs)
    return rows - tile.start, *others
