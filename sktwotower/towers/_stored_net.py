"""What files hold of a trained net: its model, settings and history.

Input: a ``TwoTowerNet``, or what JSON holds for it.
Output: the other one of both.
"""

import re
from contextlib import suppress

import torch

from sktwotower._records import Codec, instance, list_of, number, require
from sktwotower._records._checks import boolean, cannot_write, refusing, text, values_of

from ._recipe import plain
from .batches._batches import UserBatches
from .batches._sequence_batches import SequenceBatches
from .losses._given_loss import PREFIX, NamedLoss, check_made, is_given, loaded_loss
from .losses._losses import SampledSoftmaxLoss
from .parts import Model
from .training._net import TwoTowerNet
from .training._optimizer import optimizer_class

# Parameters of a net that files hold; others are set from the estimator, or fixed.
SETTINGS = re.compile(
    "lr|max_epochs|batch_size|predict_nonlinearity|warm_start|verbose|use_caching|"
    r"(criterion|optimizer|iterator_train|callbacks)__\w+"
)
DEVICES = frozenset(["cpu", "cuda", "mps", "xpu"])


def _write_net(net, writer, place):
    """Return what JSON holds for a net."""
    params = net.get_params(deep=False)
    settings = {name: params[name] for name in filter(SETTINGS.fullmatch, params)}
    rows = [plain(dict(row)) for row in net.history]
    spec = {}
    if is_given(net.criterion):
        # a process that serves reads only the temperature of a loss of the user
        names = [name for name in settings if name.startswith(PREFIX)]
        of_loss = {name: settings.pop(name) for name in names}
        settings["criterion__temperature"] = float(net.temperature)
        named = NamedLoss.of(net.criterion)
        spec["loss"] = {
            "name": writer.write(named, f"{place}.loss.name"),
            "params": writer.write(of_loss, f"{place}.loss.params"),
        }
    settings.pop("criterion__matmul_dtype", None)
    spec["model"] = writer.write(net.model, f"{place}.model")
    spec["settings"] = writer.write(settings, f"{place}.settings")
    spec["optimizer"] = _optimizer_name(net.optimizer, f"{place}.optimizer")
    spec["history"] = writer.write(rows, f"{place}.history")
    spec["interrupted"] = bool(net.interrupted_)
    return spec


def _read_net(spec, reader, place):
    """Return the net that JSON holds, on the device of the estimator."""
    names = ["model", "settings", "optimizer", "history", "interrupted"]
    loss = SampledSoftmaxLoss
    params = {}
    if type(spec) is dict and "loss" in spec:
        spec = dict(spec)
        loss, params = _read_loss(spec.pop("loss"), reader, f"{place}.loss")
    model, settings, optimizer, rows, interrupted = values_of(
        spec, names, place, "a net"
    )
    model = instance(Model).read(model, reader, f"{place}.model")
    settings = instance(dict).read(settings, reader, f"{place}.settings")
    rows = list_of(dict).read(rows, reader, f"{place}.history")
    for name in settings:
        text(name, f"{place}.settings")
        require(SETTINGS.fullmatch(name), f"{place}.settings", f"without {name}")
    if is_given(loss):
        number(above=0)(settings.get("criterion__temperature"), f"{place}.temperature")
    device = reader.owner.device
    check_device(device)
    net = _new_net(model, settings, optimizer, device, place, loss=loss, params=params)
    net.history.extend(rows)
    net.interrupted_ = boolean(interrupted, f"{place}.interrupted")
    return net


def _read_loss(spec, reader, place):
    """Return the loss of the user, a class or its name, and its parameters."""
    name, params = values_of(spec, ["name", "params"], place, "a loss")
    named = instance(NamedLoss).read(name, reader, f"{place}.name")
    params = instance(dict).read(params, reader, f"{place}.params")
    for param in params:
        fits = text(param, place).startswith(PREFIX) and SETTINGS.fullmatch(param)
        require(fits, f"{place}.params", f"without {param}")
    return loaded_loss(named, reader.trusted), params


def check_device(device):
    """Raise ``ValueError`` for a device that this machine does not have."""
    with suppress(RuntimeError, AssertionError):
        torch.empty(0, device=device)
        if torch.device(device).type in DEVICES:
            return
    raise ValueError(
        f"The model was written with device={device!r}, which cannot be used here. "
        "Write it again after model.set_params(device='cpu')."
    )


def _optimizer_name(optimizer, place):
    """Return the name of a class of optimizers in lower case."""
    name = optimizer.__name__.lower()
    with suppress(ValueError):
        if optimizer_class(name) is optimizer:
            return name
    raise cannot_write(optimizer, place)


def _new_net(model, settings, optimizer, device, place, *, loss, params):
    """Return a net with a trained model.

    ``params``: those of a ``loss`` of the user.
    """
    temperature = settings.get("criterion__temperature")
    if is_given(loss):
        settings = settings | params
    else:
        settings = settings | {"criterion__matmul_dtype": model.first.matmul_dtype}
    batches = UserBatches
    if model.sees_order:
        batches = SequenceBatches
    with refusing(place, "a net with other settings"):
        net = TwoTowerNet(
            model,
            criterion=loss,
            optimizer=optimizer_class(text(optimizer, place)),
            iterator_train=batches,
            iterator_valid=batches,
            train_split=None,
            callbacks=[],
            device=device,
            **settings,
        )
        if not is_given(loss):
            return net.initialize_trained()

    # a loss of the user, with the temperature at the end of training
    try:
        net.initialize_trained()
    except Exception as error:  # of the user's code
        raise ValueError(
            f"The loss {NamedLoss.of(net.criterion).name} cannot be made with the "
            f"parameters in the file: {type(error).__name__}: {error}. Load the file "
            "without naming it in trusted=; then set net_params."
        ) from error
    if isinstance(net.criterion, NamedLoss):
        net.loss.temperature = temperature
    else:
        check_made(net.loss)
    return net


def _write_optimizer(value, writer, place):
    """Return what JSON holds."""
    if isinstance(value, str):
        return str(value)
    return {"class": _optimizer_name(value, place)}


def _read_optimizer(spec, reader, place):
    """Return the name, or the class of torch.optim."""
    if type(spec) is dict and set(spec) == {"class"}:
        return optimizer_class(text(spec["class"], place))
    return text(spec, place)


# A trained net: its towers, settings and history. The parameter ``optimizer``: a name,
# or a class.
NET = Codec(_read_net, _write_net)
OPTIMIZER = Codec(_read_optimizer, _write_optimizer)
