"""The layer of past items around a torch module of the user.

Input: feature rows of past items (m, q), and the past of users.
Output: what it adds to the first layer of the user tower, (n, width).
"""

import copy

import torch
from torch import nn
from torch.nn import functional

from sktwotower.towers.operators._sparse_rows import SparseLinear


class OwnLayer(nn.Module):
    """Vectors of past items, and the module of a `History` that reads them.

    Parameters
    ----------
    history : History
    n_features : int
        Number of columns q of an item's feature row.
    width : int
        Number of outputs.
    sparse_grad : bool, default=False
        As in `SparseLinear`.
    """

    sees_order = True
    is_linear = False
    n_hidden = 0

    def __init__(self, history, n_features, width, sparse_grad=False):
        super().__init__()
        # that of the estimator may get other parameters later
        self.made_by = copy.deepcopy(history)
        self.width = width
        self.max_history = history.max_length
        if not history.sees_order:
            raise ValueError(
                f"{type(history).__name__} must have sees_order = True: a history of "
                "your own sees past items in their order."
            )
        self.items = SparseLinear(n_features, width, sparse_grad)
        self.module = history.module(width)
        self._check()

    def _check(self):
        """Raise ``TypeError`` or ``ValueError`` unless the module does what it must."""
        name = type(self.made_by).__name__
        if not isinstance(self.module, nn.Module):
            raise TypeError(
                f"{name}.module must return a torch.nn.Module. Got {self.module!r}."
            )
        vectors = torch.zeros(2, 3, self.width)
        is_item = torch.tensor([[False, False, False], [False, True, True]])
        try:
            with torch.no_grad():
                output = self.module(vectors, torch.ones(2, 3), is_item)
        except Exception as error:
            raise ValueError(
                f"The module of {name} failed on vectors (2, 3, {self.width}), lags "
                f"(2, 3) and is_item (2, 3), of which one row has no item: {error}"
            ) from error
        got = getattr(output, "shape", type(output).__name__)
        if got != (2, self.width):
            raise ValueError(
                f"The module of {name} must return (n, width). For n = 2 and width = "
                f"{self.width}, got {got}."
            )

    @property
    def in_words(self):
        """What it is, in tables of weights."""
        return type(self.made_by).__name__

    @property
    def table(self):
        """The ``SparseLinear`` of past items."""
        return self.items

    def pool_batch(self, item_rows, windows, matmul_dtype=None):
        """Return the input (n, width) of each prediction of ``Windows`` in training.

        ``item_rows``: feature rows (m, q) of the distinct items.
        """
        n_events, n_users = windows.items.shape
        end_steps = torch.div(windows.ends, n_users, rounding_mode="floor")
        users = windows.ends % n_users
        # Places (n, max_history + 1), up to the end of the basket: one of them is the
        # event that is predicted.
        length = min(self.max_history + 1, n_events)
        back = torch.arange(length - 1, -1, -1, device=end_steps.device)
        steps = end_steps[:, None] - back
        places = steps.clamp(min=0) * n_users + users[:, None]
        is_item = (steps >= 0) & (windows.kept.flatten()[places] > 0)
        is_item &= places != windows.targets[:, None]
        baskets = windows.steps.cumsum(0).flatten()
        lags = baskets[windows.ends][:, None] - baskets[places]
        rows = windows.items.flatten()[places]
        vectors = functional.embedding(rows, self.items(item_rows))
        return self._output(vectors, lags, is_item)

    def seen(self, users):
        """Return what it reads of the past of ``Users``, as `pool` takes it."""
        return users.latest(self.max_history)

    def pool(self, item_rows, bag):
        """Return the input (n, width) of users whose past is complete.

        ``item_rows``: feature rows (m, q) of past items; ``bag``: their lags (n, m).
        """
        sizes = bag.offsets.diff()
        length = 1
        if len(sizes):
            length = max(1, int(sizes.max()))
        steps = torch.arange(length, device=sizes.device) - (length - sizes[:, None])
        is_item = steps >= 0
        if len(bag.indices) == 0:
            vectors = item_rows.values.new_zeros(len(sizes), length, self.width)
            return self._output(vectors, torch.zeros_like(is_item).float(), is_item)
        places = (bag.offsets[:-1, None] + steps).clamp(0, len(bag.indices) - 1)
        vectors = functional.embedding(bag.indices[places], self.items(item_rows))
        return self._output(vectors, bag.values[places], is_item)

    def _output(self, vectors, lags, is_item):
        """Return what the module makes of events, zeros in places without one."""
        lags = torch.where(is_item, lags, 0.0)
        return self.module(vectors * is_item[..., None], lags, is_item)

    def pooled(self, past):
        """Raise ``TypeError``: what the module does is not known."""
        raise TypeError(
            "Only the histories of this package are exported, but this model has one "
            f"of {type(self.made_by).__name__}. Export it with torch.onnx.export."
        )
