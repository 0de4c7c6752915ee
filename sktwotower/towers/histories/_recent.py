"""Sums of past items that decay, as an input of the user tower.

Input: feature rows of past items (m, q), and the past of users.
Output: what it adds to the first layer of the user tower, (n, width).
"""

from typing import Any

import torch
from torch import nn
from torch.nn import functional

from sktwotower._records import record
from sktwotower.runtime._tower_arrays import MIN_WEIGHT, N_SUMS, RecentArrays
from sktwotower.towers._recipe import plain
from sktwotower.towers.operators._autograd import product_dtype
from sktwotower.towers.operators._decays import decayed_means
from sktwotower.towers.operators._sparse_rows import SparseLinear
from sktwotower.towers.training._stored_weights import StoredModule

from ._history import History

# Initial numbers of steps after which a past item counts 1 / e. There is one further
# sum without decay.
DECAYS = (1.0, 3.0, 10.0, 50.0)


class RecentHistory(History):
    """Sums of past items in which older ones count less; ``history="recent"``.

    Training predicts each event from those before it, so that ``time`` is needed.

    Parameters
    ----------
    max_length : int, default=1000
        Number of a user's latest events that count, >= 1. Training predicts no earlier
        ones, either.
    half_life : Timedelta, float, "auto" or None, default="auto"
        Age at which an event has half of its weight in training, > 0. A number is in
        the unit of times that are numbers. "auto" and None: all ages count alike. The
        latest events are learnt last in any case.
    popularity_half_life : Timedelta, float, "auto" or None, default="auto"
        Half-life of what is popular now, > 0, given as ``half_life`` is. What is chosen
        more often now than in training gets a higher score, and `partial_fit` keeps
        this up to date. It needs ``normalize`` and ids of items. None: scores follow
        the popularity in training. "auto": weights of several half-lives are learnt on
        ``validation_events``; see the table in the guide.
    second_share : float or "auto", default="auto"
        Share in the score of a second pair of towers, with a pooled history, in [0, 1).
        0: there is none. "auto": it is learnt on ``validation_events``; see the table
        in the guide.

    Examples
    --------
    >>> from sktwotower import TwoTowerRecommender
    >>> from sktwotower.towers import RecentHistory
    >>> X = [["ann", "tea", 1], ["ann", "jam", 2], ["bob", "tea", 1], ["bob", "jam", 3]]
    >>> history = RecentHistory(max_length=50, half_life=30)
    >>> model = TwoTowerRecommender(time=2, history=history, random_state=0).fit(X)
    >>> model.half_life_
    30.0

    A search names its parameters ``history__half_life`` and so on:

    >>> model.set_params(history__half_life=7).fit(X).half_life_
    7.0
    """

    kind = "recent"
    may_have_hidden_layer = True
    in_words = "sums of past items"

    def __init__(
        self,
        *,
        max_length: int = 1000,
        half_life: Any = "auto",
        popularity_half_life: Any = "auto",
        second_share: float | str = "auto",
    ):
        self.max_length = max_length
        self.half_life = half_life
        self.popularity_half_life = popularity_half_life
        self.second_share = second_share

    def _of_recipe(self):
        """Return what a ``Recipe`` knows of it, a dict."""
        return super()._of_recipe() | {"max_history": plain(self.max_length)}

    def _layer(self, recipe, n_features, width, n_hidden, sparse_grad):
        """Return a new `RecentLayer`."""
        length = recipe.max_history
        return RecentLayer(n_features, width, length, n_hidden, sparse_grad)

    def _n_weights(self, width, n_hidden):
        """Return the number of weights that mix the sums."""
        return N_SUMS * width * (width + n_hidden) + n_hidden * width


@record
class RecentLayer(StoredModule, nn.Module):
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

    _stored_as = RecentArrays
    _stored_name = "RecentHistory"
    _tables = {"items_table": "items.weight"}
    _others = "others"
    sees_order = True
    in_words = "recent history"

    def __init__(self, n_features, width, max_history, n_hidden=0, sparse_grad=False):
        super().__init__()
        self.max_history, self.sparse_grad = max_history, sparse_grad
        self.items = SparseLinear(n_features, width, sparse_grad)
        self.log_decays = nn.Parameter(torch.tensor(DECAYS, dtype=torch.float32).log())
        identity = torch.eye(width, dtype=torch.float32)
        self.mix = nn.Parameter(identity.repeat(N_SUMS, 1) / N_SUMS)
        self.hidden = self.out = None
        if n_hidden:
            self.hidden = nn.Linear(len(self.mix), n_hidden, dtype=torch.float32)
            self.out = nn.Parameter(torch.zeros(n_hidden, width, dtype=torch.float32))

    @property
    def made_by(self):
        """The `History` that makes such layers."""
        return RecentHistory()

    @property
    def table(self):
        """The ``SparseLinear`` of past items."""
        return self.items

    @property
    def width(self):
        """Number of outputs."""
        return self.mix.shape[1]

    @property
    def n_hidden(self):
        """Width of the hidden layer, 0 without one."""
        return 0 if self.out is None else len(self.out)

    @property
    def is_linear(self):
        """Whether the output is linear in the sums."""
        return self.out is None

    def rates(self):
        """Return 1 / tau of each sum, (n_sums,); the last is 0."""
        return functional.pad((-self.log_decays).exp(), (0, 1))

    def pool_batch(self, item_rows, windows, matmul_dtype=None):
        """Return the input (n, width) of each prediction of ``Windows`` in training.

        ``item_rows``: feature rows (m, q) of the distinct items.
        """
        table = functional.pad(self.items(item_rows), (0, 1), value=1.0)
        vectors = functional.embedding(windows.items, table) * windows.kept[..., None]
        factors = torch.exp(-windows.steps[..., None] * self.rates())
        dtype = product_dtype(vectors, len(windows) * self.mix.numel(), matmul_dtype)
        power = 0.5 if self.hidden is None else 1.0
        means = decayed_means(vectors, factors, windows, power, dtype)
        return self._output(means.flatten(1)).to(vectors.dtype)

    def _output(self, sums):
        """Return the output (n, width) for sums (n, n_sums * width), in their type."""
        dtype = sums.dtype
        output = torch.mm(sums, self.mix.to(dtype))
        if self.hidden is not None:
            weight, bias = self.hidden.weight.to(dtype), self.hidden.bias.to(dtype)
            hidden = functional.gelu(functional.linear(sums, weight, bias))
            output = output + torch.mm(hidden, self.out.to(dtype))
        return output

    def weights(self, lags):
        """Return the weight (k, n_sums) of each lag (k,)."""
        return torch.exp(-lags[:, None] * self.rates().to(lags.dtype))

    def seen(self, users):
        """Return what it reads of the past of ``Users``, as `pool` takes it."""
        return users.latest(self.max_history)

    def pool(self, item_rows, bag):
        """Return the input (n, width), float64, of users whose past is complete.

        ``item_rows``: feature rows (m, q) of past items; ``bag``: their lags (n, m).
        """
        weights, n_events = self.weights(bag.values), len(bag.indices)
        totals = torch.segment_reduce(weights, "sum", offsets=bag.offsets)
        # all users with their first weights, then all of them with their second ones
        starts = torch.arange(weights.shape[1], device=weights.device) * n_events
        offsets = (starts[:, None] + bag.offsets[:-1]).flatten()
        items = bag.indices.repeat(weights.shape[1])
        how = {"mode": "sum", "per_sample_weights": weights.T.flatten()}
        sums = functional.embedding_bag(items, self.items(item_rows), offsets, **how)
        sums = sums.view(len(starts), len(bag), sums.shape[1]).transpose(0, 1)
        totals = totals.clamp_min(MIN_WEIGHT)
        norms = totals.sqrt() if self.hidden is None else totals
        return self._output((sums / norms[..., None]).flatten(1).double())
