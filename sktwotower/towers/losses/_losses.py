"""The training loss: softmax over sampled candidates.

Input: user vectors (b, d), candidate item vectors (c, d) and their ``Targets``.
Output: the loss with its exact gradient, a tile of the (b, c) scores at a time.
"""

import copy
import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch.nn import functional

from sktwotower._tables._sparse import slices
from sktwotower.towers.operators._autograd import padded, product_dtype, row_sums
from sktwotower.towers.operators._devices import Movable, on_cpu

# Scores held at once: 64 MiB of bfloat16. One product for many users is several times
# faster than many products for few.
TILE_SIZE = 1 << 25
# Scores up to this size need no shift before the exponential: their sums are far from
# the largest and smallest numbers of all types.
MAX_UNSHIFTED = 40.0
# Exponentials below that of this number are taken for zero if scores are shifted.
LOWEST_EXPONENT = -80.0


@dataclass(eq=False)
class Targets(Movable):
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

    offsets: torch.Tensor
    columns: torch.Tensor
    weights: torch.Tensor
    log_q: torch.Tensor | None = None
    positive_log_q: torch.Tensor | None = None
    hidden: tuple | None = None
    impressions: tuple | None = None
    total_weight: float | None = None

    def __post_init__(self):
        # These stay on the CPU: what belongs to a tile is found without waiting.
        self.starts = self.offsets.cpu().numpy()
        self.hidden_rows = _rows_on_cpu(self.hidden)
        self.shown_rows = _rows_on_cpu(self.impressions)

    def __len__(self):
        return len(self.starts) - 1

    @property
    def rows(self):
        """The row of each positive among the users, int64 (n_positives,)."""
        counts = self.offsets.diff()
        users = torch.arange(len(counts), device=counts.device)
        return torch.repeat_interleave(users, counts, output_size=len(self.columns))


def _rows_on_cpu(pairs):
    """Return the rows (n,) of (row, column, ...) entries, or None without such."""
    return None if pairs is None else pairs[0].cpu().numpy()


class Loss(torch.nn.Module):
    """Base class of a loss of your own; a subclass defines `forward`.

    ``TwoTowerRecommender(net_params={"criterion": MyLoss})`` trains with it. Its own
    parameters are arguments of its constructor, ``criterion__margin=0.1``. Any other
    class of ``torch.nn.Module`` with the same two attributes will do as well.

    Parameters
    ----------
    temperature : float
        The divisor of the scores, > 0. ``temperature_``, the log, fold-in and files
        read the attribute.
    impression_weight : float
        How much rows with y = 0 count, the parameter of that name.

    See Also
    --------
    SampledSoftmaxLoss : The loss of this package.

    Notes
    -----
    A loss has no weights that are trained: each part of a model, and each
    ``partial_fit``, makes it anew. Files hold its name and its parameters, not its
    code: ``sktwotower.io.load(path, trusted=["mymodule.MyLoss"])`` imports it. Without
    that, a model answers requests and does not learn. The optional attribute
    ``matmul_dtype`` is the type of the rows that several processes exchange.

    Examples
    --------
    >>> from sktwotower.towers import Loss
    >>> class Pull(Loss):
    ...     def forward(self, users, items, targets):
    ...         scores = users @ items.T / self.temperature
    ...         chosen = scores[targets.rows, targets.columns]
    ...         return -(targets.weights * chosen).sum() / targets.total_weight
    """

    def __init__(self, temperature, impression_weight):
        super().__init__()
        self.temperature = temperature
        self.impression_weight = impression_weight

    def forward(self, users, items, targets) -> torch.Tensor:
        """Compute the loss of a batch; each subclass defines it.

        Parameters
        ----------
        users : Tensor of shape (b, d)
            Vectors of requests.
        items : Tensor of shape (c, d)
            Vectors of the candidates.
        targets : Targets
            The positives: ``rows``, ``columns`` and ``weights`` (n,), row of the
            request, column of the candidate, and reward; ``offsets`` (b + 1,), where
            those of each request start; ``total_weight``, by which a sum is divided.
            The corrections ``log_q`` (c,) and ``positive_log_q`` (n,); ``hidden``, rows
            and columns (m,) of past items, which are no negatives; ``impressions``,
            rows, columns and weights (k,) of what was shown and not chosen. These may
            be None.

        Returns
        -------
        Tensor of shape ()
            The loss, with a gradient by both vectors.

        Examples
        --------
        >>> import torch
        >>> from sktwotower.towers import Loss
        >>> Loss(0.1, 1.0).forward(torch.eye(2), torch.eye(2), None)
        Traceback (most recent call last):
        ...
        NotImplementedError: Loss must define forward(users, items, targets).
        """
        name = type(self).__name__
        raise NotImplementedError(f"{name} must define forward(users, items, targets).")


@dataclass(eq=False, repr=False)
class SampledSoftmaxLoss(torch.nn.Module):
    r"""Softmax cross-entropy over sampled candidates, corrected for the sampling.

    Parameters
    ----------
    temperature : float, default=0.15
        Divides the scores, > 0. A lower one puts more weight on the hardest negatives.
    tile_size : int, default=33554432
        Number of scores held in memory at once, >= 1.
    impression_weight : float, default=1.0
        Weight of the term of the impressions, >= 0.
    impression_temperature : float, default=1.0
        Divides the scores in that term, > 0. A low one memorizes single pairs.
    matmul_dtype : torch.dtype or None, default=None
        Type of scores, their exponentials and the factors of matrix products. Sums are
        in the type of the vectors. None: bfloat16 for many float32 vectors on a CPU
        with bfloat16 products, which is several times faster and as good; otherwise the
        type of the vectors.
    unit_vectors : bool, default=False
        Whether all vectors have length one, or zero. The largest score is then known.
    robustness : float, default=0.0
        Power q, in [0, 1]: the gradient of a positive of probability p is multiplied by
        p ** q, so that positives that are unlikely count less. 0: all count alike.

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

    With a ``robustness`` q > 0 the negative logarithm of the probability p of each
    positive, in brackets above, is replaced by :math:`(1 - p^q) / q`.

    Value and gradient are computed together, tile by tile of users, by three matrix
    products. Memory is O((b + c) d) for b users, c candidates and vectors of length d,
    plus a tile of scores, which is overwritten by its exponentials and then by the
    gradient.

    References
    ----------
    Yi et al., Sampling-Bias-Corrected Neural Modeling for Large Corpus Item
    Recommendations, RecSys 2019, equations 3 to 5.

    Khrylchenko et al., Correcting the LogQ Correction: Revisiting Sampled Softmax for
    Large-Scale Retrieval, RecSys 2025.

    Zhang and Sabuncu, Generalized Cross Entropy Loss for Training Deep Neural Networks
    with Noisy Labels, NeurIPS 2018.

    Examples
    --------
    >>> import torch
    >>> from sktwotower.towers.losses._losses import SampledSoftmaxLoss, Targets
    >>> users, items = torch.eye(2), torch.eye(2)
    >>> targets = Targets(torch.tensor([0, 1, 2]), torch.tensor([0, 1]), torch.ones(2))
    >>> loss = SampledSoftmaxLoss(temperature=1.0)(users, items, targets)
    >>> round(loss.item(), 4)  # log(1 + exp(0 - 1))
    0.3133
    """

    temperature: float = 0.15
    tile_size: int = TILE_SIZE
    impression_weight: float = 1.0
    impression_temperature: float = 1.0
    matmul_dtype: torch.dtype | None = None
    unit_vectors: bool = False
    robustness: float = 0.0

    def __post_init__(self):
        super().__init__()

    def forward(self, users, items, targets) -> torch.Tensor:
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
        >>> from sktwotower.towers.losses._losses import SampledSoftmaxLoss, Targets
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
    """Loss and gradient in one sweep over tiles of users."""

    @staticmethod
    def forward(ctx, users, items, targets, loss):
        total = users.new_zeros(())
        user_grad = torch.empty_like(users)
        item_grad = None
        # Scale the vectors, which have fewer entries than the scores.
        scale = 1 / loss.temperature
        users = users * scale
        factors = _Factors.of(users, items, loss)
        targets = _normalized(targets, total.dtype)
        step = max(1, loss.tile_size // max(1, len(factors.items)))
        # one tile without users has gradients, too: zeros
        for rows in slices(len(users), step) or [slice(0, 0)]:
            value, grad, per_row, shown = _loss_of_tile(factors, targets, rows, loss)
            total += value
            if not any(ctx.needs_input_grad):
                continue
            per_row = per_row[:, None]
            by_users = torch.mm(grad, factors.items).to(total.dtype)
            torch.mul(by_users, per_row * scale, out=user_grad[rows])
            scaled_users = (users[rows] * per_row).to(grad.dtype)
            by_items = torch.mm(grad.T, scaled_users)[: len(items)].to(total.dtype)
            if item_grad is None:
                item_grad = by_items
            else:
                item_grad.add_(by_items)
            if shown is not None:
                (shown_rows, columns), shown_grad = shown
                by_shown = users[rows][shown_rows] * shown_grad[:, None]
                item_grad.index_add_(0, columns, by_shown)
        ctx.save_for_backward(user_grad, item_grad)
        return total

    @staticmethod
    def backward(ctx, grad):
        user_grad, item_grad = ctx.saved_tensors
        if not on_cpu(grad) or grad != 1:
            user_grad = user_grad * grad
            item_grad = item_grad * grad
        return user_grad, item_grad, None, None


class _Factors(NamedTuple):
    """Factors of the scores: ``users`` (b, d), scaled, and ``items`` (m, d), padded.

    ``n_items``: the number of items without padding. ``largest``: a bound of the size
    of all scores.
    """

    users: torch.Tensor
    items: torch.Tensor
    n_items: int
    largest: float

    @classmethod
    def of(cls, users, items, loss):
        """Return the factors in the type for products, see `product_dtype`."""
        n_products = len(users) * items.numel()
        dtype = product_dtype(users, n_products, loss.matmul_dtype)
        largest = 0.0
        if loss.unit_vectors:
            largest = 1 / loss.temperature
        elif not on_cpu(users):
            largest = math.inf  # to read it is to wait for the device
        elif n_products:
            longest_user = torch.linalg.vector_norm(users, dim=1).max().item()
            longest_item = torch.linalg.vector_norm(items, dim=1).max().item()
            largest = longest_user * longest_item
        return cls(users.to(dtype), padded(items, dtype), len(items), largest)


def _normalized(targets, dtype):
    """Return targets with weights divided by the total weight."""
    total = targets.weights.sum().to(dtype)
    if targets.total_weight is not None:
        total = total.new_full((), targets.total_weight)
    divided = copy.copy(targets)
    divided.weights = targets.weights.to(dtype) / torch.where(total > 0, total, 1.0)
    return divided


def _loss_of_tile(factors, targets, tile, loss):
    """Return the loss of a tile of users, and what its gradient consists of.

    The second and third value are a matrix (rows, m) and factors (rows,) of its rows;
    the product of both is the gradient by logits. The fourth are places and values of
    the gradient of the impressions' term, or None without impressions.
    """
    logits = torch.mm(factors.users[tile], factors.items.T)
    logits[:, factors.n_items :].fill_(-torch.inf)
    dtype = targets.weights.dtype
    width = logits.shape[1]

    # The positives of these users, and the places of their logits.
    first, stop = targets.starts[[tile.start, tile.stop]].tolist()
    columns = targets.columns[first:stop]
    weights = targets.weights[first:stop]
    rows = torch.repeat_interleave(
        torch.arange(len(logits), device=logits.device),
        targets.offsets[tile.start : tile.stop + 1].diff(),
        output_size=stop - first,
    )
    flat = logits.view(-1)
    places = rows * width + columns
    positive = flat.index_select(0, places).to(dtype)

    # Positives and hidden pairs are no negatives.
    masked = places
    hidden = _within(targets.hidden, targets.hidden_rows, tile)
    if hidden is not None:
        masked = torch.cat([places, hidden[0] * width + hidden[1]])

    impressions = _within(targets.impressions, targets.shown_rows, tile)
    value = 0.0
    shown_grad = None
    if impressions is not None:
        flat.index_fill_(0, masked, -torch.inf)
        positives = rows, columns, positive, weights
        value, *shown_grad = _loss_of_impressions(logits, positives, impressions, loss)

    if targets.positive_log_q is not None:
        positive = positive - targets.positive_log_q[first:stop].to(dtype)
    total, log_total = _exponentials(logits, masked, factors, targets.log_q, dtype)
    excess = log_total.index_select(0, rows) - positive
    losses = functional.softplus(excess)
    slopes = weights
    if loss.robustness:
        power = (-loss.robustness * losses).exp()
        losses = (1 - power) / loss.robustness
        slopes = weights * power
    value = value + (weights * losses).sum()

    # The gradient by the logits of negatives is their share of a factor of the row.
    positive_grad = slopes * excess.sigmoid()
    per_row = total.new_zeros(len(total)).index_add_(0, rows, positive_grad)
    tiny = torch.finfo(dtype).tiny
    # Positives have an exponential of zero. Accumulate, as one can be given twice.
    share = positive_grad / per_row.clamp_min(tiny).index_select(0, rows)
    share.mul_(total.index_select(0, rows)).neg_()
    flat.put_(places, share.to(flat.dtype), accumulate=True)
    return value, logits, per_row / total.clamp_min(tiny), shown_grad


def _exponentials(logits, masked, factors, log_q, dtype):
    """Replace logits (rows, m) by their corrected exponentials, and add these up.

    Those at the places ``masked`` become zeros. Return the sums (rows,) and their
    logarithms, both in ``dtype``. A row's exponentials and their sum are divided by the
    same number if they would be too large. The logarithm, that of the undivided sum, is
    the lowest number if the sum is zero, so that the loss and the gradient of a user
    without negatives are zero.
    """
    top = 0.0
    real = logits[:, : factors.n_items]
    flat = logits.view(-1)
    if factors.largest <= MAX_UNSHIFTED:
        logits.exp_()
        if log_q is not None:
            real.mul_(log_q.neg().exp_().to(logits.dtype))
    else:
        flat.index_fill_(0, masked, -torch.inf)
        if log_q is not None:
            real.sub_(log_q.to(logits.dtype))
        top = logits.amax(1)
        top.masked_fill_(top == -torch.inf, 0)
        logits.sub_(top[:, None])
        # An exponential that is almost zero takes ten times as long as another.
        low = logits < LOWEST_EXPONENT
        logits.clamp_min_(LOWEST_EXPONENT).exp_().masked_fill_(low, 0)
    flat.index_fill_(0, masked, 0.0)
    total = row_sums(logits, dtype)
    return total, (total.log() + top).clamp_min_(torch.finfo(dtype).min)


def _loss_of_impressions(logits, positives, shown, loss):
    """Return the loss of positives against impressions, places and gradient by logits.

    ``logits`` (rows, m) are not corrected, and -inf where a pair is not a negative.
    ``positives`` are rows, columns, logits and weights, (n,) each, and ``shown`` the
    impressions' rows, columns and weights, (k,) each.
    """
    rows, columns, positive, weights = positives
    shown_rows, shown_columns, shown_weights = shown
    temperature_ratio = loss.temperature / loss.impression_temperature
    scores = logits[shown_rows, shown_columns].to(positive.dtype) * temperature_ratio
    lowest = torch.finfo(scores.dtype).min
    top = scores.new_full((len(logits),), lowest)
    top.scatter_reduce_(0, shown_rows, scores, "amax")
    share = shown_weights.to(scores.dtype) * (scores - top[shown_rows]).exp()
    total = torch.zeros_like(top).index_add_(0, shown_rows, share)
    log_sum = (top + total.log()).clamp_min(lowest)
    excess = log_sum[rows] - positive * temperature_ratio
    value = (weights * functional.softplus(excess)).sum() * loss.impression_weight
    positive_grad = weights * excess.sigmoid()
    per_row = torch.zeros_like(top).index_add_(0, rows, positive_grad)
    shown_grad = share * (per_row / torch.where(total > 0, total, 1.0))[shown_rows]
    places = torch.cat([rows, shown_rows]), torch.cat([columns, shown_columns])
    grad = torch.cat([-positive_grad, shown_grad])
    return value, places, grad * (temperature_ratio * loss.impression_weight)


def _within(pairs, rows_on_cpu, tile):
    """Return the (row, column, ...) entries of a tile, with rows from its start on."""
    if pairs is None:
        return None
    first, stop = np.searchsorted(rows_on_cpu, [tile.start, tile.stop]).tolist()
    rows, *others = (values[first:stop] for values in pairs)
    return rows - tile.start, *others
