"""Two towers that are trained together, with the past items of users or without.

Input: a ``Recipe``, and the numbers of features of both sides.
Output: a part of a model, and its weights taken over from a smaller one.
"""

from contextlib import contextmanager
from itertools import pairwise

import numpy as np
import torch
from torch import nn

from sktwotower._records import instance, require
from sktwotower._tables._memory import check_memory
from sktwotower.runtime._model_arrays import PairArrays
from sktwotower.towers.histories import OwnLayer, PooledLayer, RecentLayer
from sktwotower.towers.operators._autograd import unit_rows
from sktwotower.towers.operators._sparse_rows import placed_rows, touch_alike
from sktwotower.towers.processes._group import rank
from sktwotower.towers.training import _optimizer as optimizer
from sktwotower.towers.training._callbacks import looks_at_gradients

from ._context_layer import ContextLayer
from ._contributions import contributions_of_towers
from ._given_tower import GivenTower
from ._part import Part
from ._start import sizes_of, start_weights
from ._tower import Tower, same_weights

# How often weights are in memory, at least, in training: they, and gradients or vectors
# of the same size.
COPIES = 2


class TwoTowers(Part):
    """A user tower and an item tower; the score is the dot product of their vectors.

    Parameters
    ----------
    user_tower, item_tower : Tower or GivenTower
    history : PooledLayer, RecentLayer, OwnLayer or None, default=None
        Its mean over a user's past items, or its sums with decays, are added to the
        first layer of a ``Tower``, or to the output of a ``GivenTower``.
    normalize : bool, default=True
        Scale vectors to unit length.
    matmul_dtype : torch.dtype or None, default=None
        As in `SampledSoftmaxLoss`; used to pool histories in training.
    context : ContextLayer or None, default=None
        What the context of a request does to the vector of a user.

    Attributes
    ----------
    moments : dict
        What the default optimizer has learnt of the gradients, see `moments_of`.
    """

    # What files hold of it
    user_tower: instance(Tower, GivenTower)
    item_tower: instance(Tower, GivenTower)
    history: instance(PooledLayer, RecentLayer, OwnLayer) | None
    normalize: bool
    matmul_dtype: torch.dtype | None
    context: ContextLayer | None
    moments: dict

    is_trained = True
    is_tied = False

    def __init__(
        self,
        user_tower,
        item_tower,
        history=None,
        normalize=True,
        matmul_dtype=None,
        context=None,
    ):
        super().__init__()
        self.user_tower = user_tower
        self.item_tower = item_tower
        self.history = history
        self.context = context
        self.normalize = normalize
        self.matmul_dtype = matmul_dtype
        self.width = item_tower.widths[-1]
        if history is not None:
            self.sees_past = True
            self.sees_order = history.sees_order
            self.max_history = history.max_history
        sees_pairs = self.sees_past and not self.sees_order
        self.folds_in = self.is_trained and sees_pairs and normalize
        self.moments = {}

    @classmethod
    def build(
        cls, recipe, n_user_features, n_item_features, n_hidden=0, n_context=None
    ):
        """Build the towers that a ``Recipe`` describes, with random weights.

        ``n_hidden``: width of the hidden layer of a recent history, 0 for none.
        ``n_context``: number of features of a context; None: there is no context.

        Raise ``ValueError`` or ``TypeError`` if a tower given by the user does not map
        a sparse tensor (n, p) to (n, d), with the same d on both sides, or if the
        weights do not fit into memory.
        """
        n_weights = count_weights(
            recipe, n_user_features, n_item_features, n_hidden, n_context
        )
        check_size(recipe, n_user_features, n_item_features, COPIES * n_weights)
        # Gradients of large tables may be sparse, of touched rows only: `RowwiseAdam`
        # accepts them, a callback that reads gradients does not.
        is_ours = optimizer.optimizer_class(recipe.optimizer) is optimizer.RowwiseAdam
        sparse_grad = is_ours and not looks_at_gradients(recipe.callbacks)
        item_tower = _tower(recipe, "item_tower", n_item_features, sparse_grad)
        user_tower = _tower(recipe, "user_tower", n_user_features, sparse_grad)
        width = user_tower.widths[-1]
        item_width = item_tower.widths[-1]
        if width != item_width:
            raise ValueError(
                "user_tower and item_tower must return vectors of the same length. Got "
                f"{width} and {item_width} numbers; a default tower returns "
                f"embedding_dim (= {recipe.embedding_dim!r})."
            )
        first_width = user_tower.widths[0]
        history = recipe.history._layer(
            recipe, n_item_features, first_width, n_hidden, sparse_grad
        )
        matmul_dtype = (recipe.net_params or {}).get("criterion__matmul_dtype")
        context = None
        if n_context is not None:
            context = ContextLayer(n_context, width, recipe.normalize, sparse_grad)
        return cls(
            user_tower, item_tower, history, recipe.normalize, matmul_dtype, context
        )

    @classmethod
    def _of_stored(cls, moments, **modules):
        """Return towers with the moments of their optimizer."""
        part = cls(**modules).eval()
        part.moments = moments
        return part

    def _check_stored(self, place):
        self.arrays()._check_stored(place)
        fits = optimizer.moments_fit(self.moments, self)
        require(fits, f"{place}.moments", "those of the parameters of the towers")

    @classmethod
    def count_weights(cls, recipe, events):
        """Return how many weights there are, at least."""
        return count_weights(recipe, *sizes_of(recipe, events))

    start = classmethod(start_weights)

    def forward(self, batch):
        """Return user vectors (b, d) and candidate item vectors (c, d) of a batch.

        With ``Windows`` there is a user vector for each of their predictions, with
        ``Requests`` for each of these.
        """
        if self.is_tied:
            touch_alike(batch.history_items, batch.item_rows)
        pooled = None
        if self.history is not None:
            pooled = self.history.pool_batch(
                batch.history_items, batch.history, self.matmul_dtype
            )
        owners = getattr(batch.history, "owners", None)
        users = self._finish(self.user_tower(batch.user_rows, pooled, owners))
        if batch.requests is not None:
            users = batch.requests.apply(self.in_context, users)
        return users, self.embed_items(batch.item_rows)

    def embed_items(self, rows):
        """Map item rows (n, q) to vectors (n, d)."""
        past = None
        if self.is_tied:
            past = self.history.table(rows)
        return self._finish(self.item_tower(rows, past))

    @contextmanager
    def tied(self):
        """Train items with the vectors of past ones added to theirs, in the block.

        So an item learns as a candidate from what it says of users who have chosen it.
        The vectors of items are the same before and after the block as in it.
        """
        layer = getattr(self.item_tower, "sparse", None)
        table = None
        if self.sees_order:
            table = self.history.table
        if layer is None or table is None or layer.weight.shape != table.weight.shape:
            yield  # past items have vectors of another length
            return
        layer.weight.data -= table.weight.data
        self.is_tied = True
        yield
        self.untie()

    def untie(self):
        """Let items have vectors of their own again, the same ones, in place."""
        if self.is_tied:
            self.is_tied = False
            self.item_tower.sparse.weight.data += self.history.table.weight.data

    def embed_users(self, users):
        """Map ``Users`` to vectors (n, d)."""
        pooled = None
        if self.history is not None:
            item_rows, bag = self.history.seen(users)
            pooled = self.history.pool(item_rows, bag)
        return self._finish(self.user_tower(users.rows, pooled))

    # what `arrays` returns
    arrays_class = PairArrays

    def arrays(self):
        """Return the ``PairArrays`` of the same weights."""
        return self.arrays_class(
            arrays_of(self.user_tower),
            arrays_of(self.item_tower),
            arrays_of(self.history),
            self.normalize,
            arrays_of(self.context),
        )

    def _finish(self, vectors):
        """Return vectors (n, d), of unit length if ``normalize``."""
        if not self.normalize:
            return vectors
        return unit_rows(vectors)

    def grown(self, recipe, inputs):
        """Return towers of a recipe for more columns, with the weights of these.

        Tables of default towers are made without initial weights, which would take
        longer than a step of training.
        """
        n_hidden = getattr(self.history, "n_hidden", 0)
        _, n_users = inputs["user"]
        _, n_items = inputs["item"]
        n_weights = count_weights(recipe, n_users, n_items, n_hidden)
        check_size(recipe, n_users, n_items, COPIES * n_weights)

        # Default towers are built without columns: their tables are put in below.
        if recipe.user_tower is None:
            n_users = 0
        if recipe.item_tower is None:
            n_items = 0
        n_context = None
        if self.context is not None:
            n_context = 0
        part = type(self).build(recipe, n_users, n_items, n_hidden, n_context)
        weights = part.weights_of(recipe, self, inputs)
        for name in part.tables:
            part.get_submodule(name).weight = nn.Parameter(weights[f"{name}.weight"])
        part.load_state_dict(weights, assign=True)
        if part.context is not None:
            part.context.grown_from(self.context, *inputs["context"])
        part.moments = optimizer.grown_moments(self.moments, part.tables, inputs)
        return part

    def take_weights(self, recipe, before, inputs):
        """Copy the weights of towers with fewer columns; new ones start at zero.

        So a new id starts with the vector of its features, or of an empty row.
        ``inputs`` are those of `grown`.
        """
        weights = self.weights_of(recipe, before, inputs)
        if self.divisions is not None:
            for name, side in self.tables.items():
                columns = torch.from_numpy(self.divisions[side].of(rank()))
                weights[f"{name}.weight"] = weights[f"{name}.weight"][columns]
        self.load_state_dict(weights)

    def weights_of(self, recipe, before, inputs):
        """Return the weights of ``before`` for these towers by name; see `grown`."""
        shapes = {name: weight.shape for name, weight in self.state_dict().items()}
        old = before.state_dict()
        differ = sorted(shapes.keys() ^ old)
        if differ or self.normalize != before.normalize:
            raise ValueError(
                f"The towers have other parts than in fit: {differ or 'normalize'}. "
                "Restore the parameters of fit, or fit anew."
            )
        side_of = {f"{name}.weight": side for name, side in self.tables.items()}
        weights = {}
        for name, value in old.items():
            if name not in side_of:
                if shapes[name] != value.shape:
                    raise ValueError(
                        _of_another_size(recipe, name, value, shapes[name])
                    )
                weights[name] = value.clone()
                continue
            places, n_columns = inputs[side_of[name]]
            n_rows, *width = shapes[name]
            if n_rows == 0 or self.divisions is not None:  # they are made here
                n_rows = n_columns
            if (n_rows, *width) != (n_columns, *value.shape[1:]):
                raise ValueError(
                    _of_another_size(recipe, name, value, (n_rows, *width))
                )
            weights[name] = placed_rows(value, places, n_columns)
        return weights

    def shared_by_items(self):
        """Return the bias and hidden layers of a default item tower.

        Of one that the user has given it is not known what they do.
        """
        tower = self.item_tower
        if not isinstance(tower, Tower):
            return []
        return [p for p in tower.parameters() if p is not tower.sparse.weight]

    def changed_columns(self, before, places, n_columns):
        """Return which columns of items have other weights than in towers before.

        None: other weights of the item tower have changed, and so the output of all.
        """
        old = before.item_tower
        new = self.item_tower
        if not same_weights(old, new, "sparse.weight"):
            return None
        # it saves comparing large tables
        touched = optimizer.touched_rows(
            before.moments, self.moments, places, TRAINED_TABLE
        )
        if touched is not None:
            return touched
        is_changed = np.zeros(n_columns, dtype=bool)
        if isinstance(new, Tower):
            weights = new.sparse.weight.detach()[places]
            weights_before = old.sparse.weight.detach().to(weights.device)
            differs = (weights != weights_before).any(1)
            is_changed[places] = differs.cpu().numpy()
        return is_changed

    def drop(self, side, left, unused, rows):
        """Keep the weights of some columns of a side, and their moments, in place."""
        tower = getattr(self, f"{side}_tower", None)
        if isinstance(tower, GivenTower):
            tower.drop_columns(left, unused, rows)
        super().drop(side, left, unused, rows)
        if side == "context" and self.context is not None:
            self.context.shares = self.context.shares[left]
        self.moments = optimizer.without_rows(self.moments, self.tables, side, left)

    def is_linear(self, side):
        """Return whether vectors of a side are linear in their inputs, with a bias."""
        if side == "user" and self.history is not None and not self.history.is_linear:
            return False
        return getattr(self, f"{side}_tower").is_linear

    contributions = contributions_of_towers


def arrays_of(module):
    """Return the arrays of a module that files hold, as their class.

    None for None; a tower given by the user is returned as it is.
    """
    if not hasattr(module, "_stored_as"):
        return module
    return module._stored_as(**module._stored_parts())


# Name of the table of the default item tower.
TRAINED_TABLE = "item_tower.sparse.weight"


def check_size(recipe, n_user_features, n_item_features, n_numbers):
    """Raise ``ValueError`` if numbers of float32, that towers need, do not fit."""
    check_memory(
        4 * n_numbers,
        f"Towers with embedding_dim={recipe.embedding_dim} and hidden_layer_sizes="
        f"{recipe.hidden_layer_sizes}, for {n_user_features:,} features of users and "
        f"{n_item_features:,} of items,",
        "Choose smaller ones, or fewer features: rare ids, levels and words can share "
        "columns, as with TowerVectorizer(n_hashed=...).",
    )


def count_weights(recipe, n_user_features, n_item_features, n_hidden=0, n_context=None):
    """Return the least number of weights of towers; see `TwoTowers.build`.

    Those of towers given by the user, and of a history that joins one, are not counted.
    """
    widths = [*recipe.hidden_layer_sizes, recipe.embedding_dim]
    first = widths[0]
    n_of_layers = sum(widths)
    for n_inputs, n_outputs in pairwise(widths):
        n_of_layers += n_inputs * n_outputs
        if n_inputs != n_outputs:  # of the shortcut
            n_of_layers += n_inputs * n_outputs
    count = 0
    if n_context is not None:
        count += 2 * n_context * recipe.embedding_dim
    if recipe.item_tower is None:
        count += n_item_features * first + n_of_layers
    if recipe.user_tower is None:
        count += n_user_features * first + n_of_layers
        if recipe.history.sees_past:
            count += n_item_features * first
            count += recipe.history._n_weights(first, n_hidden)
    return count


def _tower(recipe, name, n_features, sparse_grad):
    """Return a new tower, of the size that a recipe says or as given by the user."""
    given = getattr(recipe, name)
    if given is not None:
        return GivenTower.made(given, name, n_features)
    return Tower(
        n_features,
        recipe.embedding_dim,
        recipe.hidden_layer_sizes,
        recipe.dropout,
        sparse_grad,
    )


def _of_another_size(recipe, name, before, shape):
    """Return the message for weights with another shape than in fit."""
    tower, _, weights = name.partition(".")
    weights = weights.removeprefix("module.")
    shapes = f"{weights} had shape {tuple(before.shape)}, now {tuple(shape)}"
    if getattr(recipe, tower, None) is None:
        return (
            f"The default {tower} has another size than in fit: its {shapes}. Restore "
            "embedding_dim and hidden_layer_sizes, or fit anew."
        )
    return (
        f"The module given as {tower} cannot take new ids, or differs from that of "
        f"fit: its {shapes}. Fit anew, or use a transformer whose width does not "
        "depend on the ids."
    )
