"""New modules of two towers, and weights taken over from older ones.

Input: a ``Recipe`` and the numbers of features of both sides.
Output: a ``TwoTower``.
"""

import copy

import numpy as np
import torch
from torch import nn

from ._callbacks import looks_at_gradients
from ._decays import RecentHistory
from ._modules import SparseLinear, SparseRows, Tower, TwoTower
from ._optimizer import RowwiseAdam, optimizer_class

__all__ = [
    "build_module",
    "first_layers",
    "given_tower",
    "grown_module",
    "output_width",
    "placed_rows",
    "scale_weights",
    "take_weights",
]


def build_module(recipe, n_user_features, n_item_features, n_hidden=0):
    """Build the ``TwoTower`` that a ``Recipe`` describes.

    ``n_hidden``: width of the hidden layer of a recent history, 0 for none.

    Raise ``ValueError`` or ``TypeError`` if a tower given by the user does not map a
    sparse tensor (n, p) to (n, d), with the same d on both sides.
    """
    item_tower = _tower(recipe, "item_tower", n_item_features)
    user_tower = _tower(recipe, "user_tower", n_user_features)
    widths = [
        output_width(tower, name, n_features)
        for tower, name, n_features in [
            (user_tower, "user_tower", n_user_features),
            (item_tower, "item_tower", n_item_features),
        ]
    ]
    if widths[0] != widths[1]:
        raise ValueError(
            "user_tower and item_tower must return vectors of the same length. Got "
            f"{widths[0]} and {widths[1]} numbers; a default tower returns "
            f"embedding_dim (= {recipe.embedding_dim!r})."
        )
    history = None
    if recipe.history is not None:
        own = isinstance(user_tower, Tower)
        width = user_tower.input_width if own else widths[0]
        history = _history(recipe, n_item_features, width, n_hidden)
    return TwoTower(
        user_tower,
        item_tower,
        history,
        recipe.normalize,
        (recipe.net_params or {}).get("criterion__matmul_dtype"),
    )


def _history(recipe, n_features, width, n_hidden):
    sparse_grad = takes_sparse_gradients(recipe)
    if recipe.history == "recent":
        length = recipe.max_history
        return RecentHistory(n_features, width, length, n_hidden, sparse_grad)
    return SparseLinear(n_features, width, sparse_grad)


def scale_weights(recipe, module, user_tower, item_tower, history):
    """Multiply the initial first-layer weights of each part by factors (p,).

    Towers given by the user are not changed: they may be trained already.
    """
    scales = {"user_tower": user_tower, "item_tower": item_tower, "history": history}
    with torch.no_grad():
        for name, part in module.named_modules():
            side = name.partition(".")[0]
            given = getattr(recipe, side, None) if side != "history" else None
            if isinstance(part, SparseLinear) and given is None:
                factors = torch.as_tensor(scales[side], dtype=part.weight.dtype)
                part.weight *= factors[:, None].to(part.weight.device)


def take_weights(recipe, module, before, users, items):
    """Copy the weights of a module with fewer inputs; new inputs start at zero.

    So a new id starts with the vector of its features, or of an empty row. ``users``
    and ``items`` are pairs: the new positions (p,) of the old inputs, and the number of
    inputs now.
    """
    module.load_state_dict(_weights(recipe, module, before, users, items))


def grown_module(recipe, before, users, items, n_hidden):
    """Return a copy of a module with more inputs, as `take_weights` makes it.

    Tables of default towers are made without initial weights, which would take longer
    than a step of training. The parameters are those of `build_module` and
    `take_weights`.
    """
    n_users = 0 if recipe.user_tower is None else users[1]
    n_items = 0 if recipe.item_tower is None else items[1]
    module = build_module(recipe, n_users, n_items, n_hidden)
    weights = _weights(recipe, module, before, users, items)
    for name, part in module.named_modules():
        if isinstance(part, SparseLinear):
            part.weight = nn.Parameter(weights[f"{name}.weight"])
    module.load_state_dict(weights, assign=True)
    return module


def first_layers(module, users, items):
    """Return ``users`` or ``items`` for each table, by the name of its weights."""
    return {
        f"{name}.weight": users if name.startswith("user_tower") else items
        for name, part in module.named_modules()
        if isinstance(part, SparseLinear)
    }


def _weights(recipe, module, before, users, items):
    """Return the weights of ``before`` for ``module`` by name; see `take_weights`."""
    inputs = first_layers(module, users, items)
    state, old = module.state_dict(), before.state_dict()
    if state.keys() != old.keys():
        raise ValueError(
            "The towers have other parts than in fit: "
            f"{sorted(state.keys() ^ old.keys())}. Restore the parameters of fit, or "
            "fit anew."
        )
    weights = {}
    for name, value in old.items():
        places, n_inputs = inputs.get(name, (None, len(value) if value.ndim else 0))
        shape = state[name].shape
        if places is not None and shape[:1] == (0,):  # a table to be made
            shape = n_inputs, *shape[1:]
        if shape and shape != (n_inputs, *value.shape[1:]):
            raise ValueError(_of_another_size(recipe, name, value, shape, n_inputs))
        if places is None:
            weights[name] = value.clone()
        else:
            weights[name] = placed_rows(value, places, n_inputs)
    return weights


def placed_rows(rows, places, n):
    """Return a tensor (n, ...) with rows (p, ...) at ``places``, elsewhere zeros."""
    placed = rows.new_empty(n, *rows.shape[1:])
    if np.array_equal(places, np.arange(len(places))):
        placed[: len(places)] = rows
        placed[len(places) :] = 0
    else:
        placed.zero_()
        placed[torch.as_tensor(places, device=rows.device)] = rows
    return placed


def _of_another_size(recipe, name, before, shape, n_inputs):
    """Return the message for weights with another shape than in fit."""
    part, _, weights = name.partition(".")
    shapes = f"{weights} had shape {tuple(before.shape)}, now {tuple(shape)}"
    if getattr(recipe, part, None) is None:
        return (
            f"The default {part} has another size than in fit: its {shapes}. Restore "
            "embedding_dim and hidden_layer_sizes, or fit anew."
        )
    return (
        f"The module given as {part} cannot take new ids, or differs from that of "
        f"fit: its {shapes} for {n_inputs} inputs. Fit anew, or use a transformer "
        "whose width does not depend on the ids."
    )


def takes_sparse_gradients(recipe):
    """Return whether gradients of large tables may be sparse: the touched rows only.

    `RowwiseAdam` accepts them; a callback that reads gradients does not.
    """
    ours = optimizer_class(recipe.optimizer) is RowwiseAdam
    return ours and not looks_at_gradients(recipe.callbacks)


def _tower(recipe, name, n_features):
    given = getattr(recipe, name)
    if given is None:
        return Tower(
            n_features,
            recipe.embedding_dim,
            recipe.hidden_layer_sizes,
            recipe.dropout,
            takes_sparse_gradients(recipe),
        )
    return _made(given, name, n_features)


def given_tower(given, name, n_features):
    """Return a new tower of what the user has given for it, called ``name``.

    Torch's lazy layers are initialized for rows (n, n_features).
    """
    tower = _made(given, name, n_features)
    output_width(tower, name, n_features)
    return tower


def _made(given, name, n_features):
    if isinstance(given, nn.Module):
        return copy.deepcopy(given).float()
    tower = given(n_features) if callable(given) else given
    if not isinstance(tower, nn.Module):
        raise TypeError(
            f"{name} must be a torch.nn.Module, or a callable that takes the number of "
            f"features and returns one. Got {given!r}."
        )
    return tower.float()  # like the rows, regardless of torch's default dtype


def output_width(tower, name, n_features):
    """Return d of a tower; also initializes torch's lazy layers by a forward pass."""
    if isinstance(tower, Tower):
        return (tower.layers[-1].out_features) if tower.layers else tower.input_width
    probe = SparseRows(
        torch.zeros(0, dtype=torch.int64),
        torch.zeros(3, dtype=torch.int64),
        torch.zeros(0, dtype=torch.float32),
        n_features,
    )
    try:
        with torch.no_grad():
            vectors = tower.eval()(probe.to_torch())
    except Exception as error:
        raise ValueError(
            f"{name} failed on a sparse tensor of shape (2, {n_features}), which it "
            f"must accept (torch.nn.LazyLinear fits any width): {error}"
        ) from error
    if not isinstance(vectors, torch.Tensor) or vectors.shape[:-1] != (2,):
        got = getattr(vectors, "shape", type(vectors).__name__)
        raise ValueError(f"{name} must map (n, p) to (n, d). For n = 2, got {got}.")
    return vectors.shape[1]
