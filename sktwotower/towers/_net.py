"""The skorch net that trains two towers, and functions that compute their vectors.

Input: a ``Recipe``, and feature rows with positives as a ``TrainingSet``.
Output: a trained ``TwoTowerNet``, and vectors (n, d) of feature rows.
"""

import copy
import inspect
import threading
from collections.abc import Callable
from contextlib import contextmanager
from typing import NamedTuple

import numpy as np
import torch
from skorch import NeuralNet
from skorch.callbacks import EarlyStopping
from skorch.helper import predefined_split
from torch import nn

from sktwotower._tables._messages import warn

from ._batches import TrainingSet, UserBatches, history_bag
from ._callbacks import looks_at_gradients, own_callbacks
from ._losses import SampledSoftmaxLoss
from ._modules import SparseLinear, SparseRows, Tower, TwoTower
from ._optimizer import RowwiseAdam

__all__ = [
    "TrainingData",
    "TwoTowerNet",
    "build_module",
    "embed_items",
    "embed_users",
    "scale_weights",
    "take_weights",
    "train",
]


_GENERATOR_LOCK = threading.RLock()


class TwoTowerNet(NeuralNet):
    """A skorch ``NeuralNet`` that trains a ``TwoTower`` on batches of users.

    It differs from ``NeuralNet`` in three places: a batch holds the inputs of both
    towers, the loss gets the vectors of both, and an interruption is recorded.
    Everything else (callbacks, history, optimizers, ``save_params``) is skorch's.
    """

    interrupted_ = False

    def fit_loop(self, *args, **kwargs):
        """Run the epochs and record an interruption by the user, which skorch hides."""
        try:
            return super().fit_loop(*args, **kwargs)
        except KeyboardInterrupt as error:
            self.interrupted_ = not _is_early_stop(error)
            raise

    def infer(self, x, **fit_params):
        """Return user vectors (b, d) and candidate item vectors (c, d) of ``Batch``."""
        return self.module_(x.to(self.device))

    def get_loss(self, y_pred, y_true, X=None, training=False):
        """Return the loss of user and item vectors, given their ``Targets``."""
        return self.criterion_(*y_pred, y_true.to(self.device))


def _is_early_stop(error):
    """Return whether a KeyboardInterrupt was raised by skorch's early stopping."""
    trace = error.__traceback__
    while trace.tb_next is not None:
        trace = trace.tb_next
    return isinstance(trace.tb_frame.f_locals.get("self"), EarlyStopping)


def build_module(recipe, n_user_features, n_item_features):
    """Build the ``TwoTower`` that a ``Recipe`` describes.

    Raise ``ValueError`` or ``TypeError`` if a tower given by the user does not map a
    sparse tensor (n, p) to (n, d), with the same d on both sides.
    """
    item_tower = _tower(recipe, "item_tower", n_item_features)
    user_tower = _tower(recipe, "user_tower", n_user_features)
    widths = [
        _output_width(tower, name, n_features)
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
        history = SparseLinear(
            n_item_features,
            user_tower.input_width if own else widths[0],
            takes_sparse_gradients(recipe),
        )
    return TwoTower(
        user_tower,
        item_tower,
        history,
        recipe.normalize,
        (recipe.net_params or {}).get("criterion__matmul_dtype"),
    )


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
    inputs = {
        f"{name}.weight": users if name.startswith("user_tower") else items
        for name, part in module.named_modules()
        if isinstance(part, SparseLinear)
    }
    state, old = module.state_dict(), before.state_dict()
    if state.keys() != old.keys():
        raise ValueError(
            "The towers have other parts than in fit: "
            f"{sorted(state.keys() ^ old.keys())}. Restore the parameters of fit, or "
            "fit anew."
        )
    for name, value in old.items():
        places, n_inputs = inputs.get(name, (None, len(value) if value.ndim else 0))
        target = state[name]
        if target.ndim and target.shape != (n_inputs, *value.shape[1:]):
            raise ValueError(_of_another_size(recipe, name, value, target, n_inputs))
        if places is None:
            target.copy_(value)
        else:
            target.zero_()
            places = torch.as_tensor(places, device=target.device)
            target[places] = value.to(target)


def _of_another_size(recipe, name, before, now, n_inputs):
    """Return the message for weights with another shape than in fit."""
    part, _, weights = name.partition(".")
    shapes = f"{weights} had shape {tuple(before.shape)}, now {tuple(now.shape)}"
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
    if isinstance(given, nn.Module):
        return copy.deepcopy(given).float()
    tower = given(n_features) if callable(given) else given
    if not isinstance(tower, nn.Module):
        raise TypeError(
            f"{name} must be a torch.nn.Module, or a callable that takes the number of "
            f"features and returns one. Got {given!r}."
        )
    return tower.float()  # like the rows, regardless of torch's default dtype


def _output_width(tower, name, n_features):
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


@contextmanager
def seeded(seed, device="cpu"):
    """Seed torch's generators, and restore their state at the end of the block.

    They are global, so a lock allows only one thread at a time. Inference mode is
    switched off: parameters created in it cannot be trained.
    """
    cuda = [torch.device(device)] if str(device).startswith("cuda") else []
    with (
        _GENERATOR_LOCK,
        torch.random.fork_rng(devices=cuda),
        torch.inference_mode(False),
    ):
        torch.manual_seed(seed)
        yield


class TrainingData(NamedTuple):
    """The data that a net is trained on, and validated on if there is validation.

    After each epoch, ``validation`` is used for the validation loss, and
    ``evaluate(module)`` returns the validation recall.
    """

    training: TrainingSet
    validation: TrainingSet | None = None
    evaluate: Callable | None = None


def train(recipe, module, data, seed, schedule=True):
    """Train ``module`` on ``TrainingData`` and return the fitted ``TwoTowerNet``.

    ``recipe``: its ``candidate_sampling`` and ``temperature`` are not "auto".
    ``schedule``: whether the learning rate rises and falls.
    """
    net = TwoTowerNet(**_net_params(recipe, module, data.validation, seed))
    own = own_callbacks(recipe, data, net, schedule)
    # Ours come first, so that the user's callbacks can read what ours record.
    net.set_params(callbacks=own + list(recipe.callbacks or []))
    net.fit(data.training, y=None)
    _warn_if_interrupted(net)
    _trim(net, {name for name, _ in own})
    return net


def _warn_if_interrupted(net):
    if net.interrupted_:
        warn(
            f"fit was interrupted in epoch {len(net.history)} of {net.max_epochs}; the "
            "model is kept as it was trained until then."
        )


def _net_params(recipe, module, validation, seed):
    """Return the net's arguments; those in ``net_params`` take precedence."""
    optimizer = optimizer_class(recipe.optimizer)
    params = {
        "module": module,
        "criterion": SampledSoftmaxLoss,
        "criterion__temperature": recipe.temperature,
        "criterion__impression_weight": recipe.impression_weight,
        "optimizer": optimizer,
        "lr": recipe.lr,
        "max_epochs": recipe.max_epochs,
        "batch_size": recipe.batch_size,
        "iterator_train": UserBatches,
        "iterator_train__shuffle": True,
        "iterator_train__candidate_sampling": recipe.candidate_sampling,
        "iterator_train__n_negatives": recipe.n_negatives,
        "iterator_train__correction": recipe.sampling_correction,
        "iterator_train__history_dropout": recipe.dropout,
        "iterator_train__id_dropout": recipe.id_dropout,
        "iterator_train__feature_dropout": recipe.feature_dropout,
        "iterator_train__seed": seed,
        "iterator_train__device": recipe.device,
        "iterator_valid": UserBatches,
        "iterator_valid__candidate_sampling": recipe.candidate_sampling,
        "iterator_valid__n_negatives": recipe.n_negatives,
        "iterator_valid__correction": recipe.sampling_correction,
        "iterator_valid__device": recipe.device,
        "train_split": None if validation is None else predefined_split(validation),
        "device": recipe.device,
        "verbose": max(0, recipe.verbose - 1),
    }
    given = recipe.net_params or {}
    accepted = inspect.signature(optimizer).parameters
    if "weight_decay" in accepted:
        params["optimizer__weight_decay"] = recipe.weight_decay
    if optimizer is RowwiseAdam:
        params["optimizer__param_groups"] = [
            (f"{name}.weight", {"rowwise": True})
            for name, part in module.named_modules()
            if isinstance(part, SparseLinear)
        ]
    if "fused" in accepted and "optimizer__foreach" not in given:
        params["optimizer__fused"] = True  # several times faster on a CPU too
    if recipe.verbose < 2:
        params["callbacks__print_log"] = None
    return params | given


def optimizer_class(optimizer):
    """Return the class for a name such as ``"adamw"``, or the class itself."""
    known = {"rowwiseadam": RowwiseAdam} | {
        name.lower(): value
        for name, value in vars(torch.optim).items()
        if isinstance(value, type) and issubclass(value, torch.optim.Optimizer)
    }
    for unfit in ("optimizer", "lbfgs", "sparseadam", "muon"):
        known.pop(unfit, None)  # abstract, or not for dense gradients of batches
    if isinstance(optimizer, str) and optimizer.lower() in known:
        return known[optimizer.lower()]
    unfit = isinstance(optimizer, type) and (
        vars(torch.optim).get(optimizer.__name__) is optimizer
        and optimizer.__name__.lower() not in known
    )
    if isinstance(optimizer, type) and not unfit:
        if issubclass(optimizer, torch.optim.Optimizer):
            return optimizer
    raise ValueError(
        "optimizer must be a class of torch.optim for dense gradients, or its name in "
        f"lower case: {sorted(known)}. Got {optimizer!r}."
    )


def _trim(net, own):
    """Remove what only training needs, so that pickles hold little except the weights.

    The optimizer's moments are twice as large as the weights. The validation set, and
    the callbacks named in ``own`` that read it, hold data.
    """
    net.optimizer_.state.clear()
    net.optimizer_.zero_grad(set_to_none=True)
    net.train_split = None
    net.module = type(net.module_)
    net.callbacks_ = [c for c in net.callbacks_ if c[0] not in own]
    net.callbacks = [
        c for c in net.callbacks if not isinstance(c, tuple) or c[0] not in own
    ]
    for row in net.history:
        row.pop("batches", None)
    net.module_.eval()


def epochs(net):
    """Return the figures of each finished epoch, a list of dicts."""
    names = ("epoch", "train_loss", "valid_loss", "valid_recall", "dur")
    return [
        {name: _plain(row[name]) for name in names if name in row}
        for row in net.history
        if "dur" in row
    ]


def _plain(value):
    return value.item() if isinstance(value, np.generic) else value


def embed_items(module, item_rows, block=65536):
    """Return item vectors, float32 array (n, d), of a CSR matrix (n, q)."""
    device = _device(module)
    return _blocks(
        lambda part: module.embed_items(SparseRows.from_csr(part[0]).to(device)),
        module,
        [item_rows],
        block,
    )


def embed_users(module, user_rows, history, item_rows, block=8192):
    """Return user vectors, float32 array (n, d), of a CSR matrix (n, p).

    ``history`` is a CSR matrix (n, n_items) of past items, or None; ``item_rows`` (at
    least n_items, q) are their feature rows.
    """
    device = _device(module)

    def embed(part):
        rows = SparseRows.from_csr(part[0]).to(device)
        if module.history is None:
            return module.embed_users(rows)
        items, bag = history_bag(part[1], item_rows)
        return module.embed_users(rows, items.to(device), bag.to(device))

    return _blocks(embed, module, [user_rows, history], block)


def _device(module):
    return next(module.parameters()).device


def _blocks(embed, module, matrices, block):
    if module.training:
        module.eval()
    n_rows, vectors = matrices[0].shape[0], []
    with torch.inference_mode():
        # at least one block, so that the result for no rows has shape (0, d)
        for start in range(0, max(1, n_rows), block):
            part = matrices
            if n_rows > block:
                part = [m if m is None else m[start : start + block] for m in matrices]
            vectors.append(embed(part).to("cpu", torch.float32).numpy())
    return vectors[0] if len(vectors) == 1 else np.concatenate(vectors)
