"""What files hold of a trained net: its model, settings and history.

Input: a ``TwoTowerNet``, or what JSON holds for it.
Output: the other one of both.
"""

import re
from contextlib import suppress

import torch

from sktwotower._records import Codec, instance, list_of, require
from sktwotower._records._checks import boolean, cannot_write, refusing, text, values_of

from ._batches import UserBatches
from ._losses import SampledSoftmaxLoss
from ._net import TwoTowerNet
from ._optimizer import optimizer_class
from ._recipe import plain
from ._sequence_batches import SequenceBatches
from .parts import Model

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
    settings.pop("criterion__matmul_dtype", None)
    return {
        "model": writer.write(net.module_, f"{place}.model"),
        "settings": writer.write(settings, f"{place}.settings"),
        "optimizer": _optimizer_name(net.optimizer, f"{place}.optimizer"),
        "history": writer.write(rows, f"{place}.history"),
        "interrupted": bool(net.interrupted_),
    }


def _read_net(spec, reader, place):
    """Return the net that JSON holds, on the device of the estimator."""
    names = "model", "settings", "optimizer", "history", "interrupted"
    found = values_of(spec, names, place, "a net")
    model, settings, optimizer, rows, interrupted = found
    model = instance(Model).read(model, reader, f"{place}.model")
    settings = instance(dict).read(settings, reader, f"{place}.settings")
    rows = list_of(dict).read(rows, reader, f"{place}.history")
    for name in settings:
        text(name, f"{place}.settings")
        require(SETTINGS.fullmatch(name), f"{place}.settings", f"without {name}")
    device = reader.owner.device
    check_device(device)
    net = _new_net(model, settings, optimizer, device, place)
    net.history.extend(rows)
    net.interrupted_ = boolean(interrupted, f"{place}.interrupted")
    return net


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


def _new_net(model, settings, optimizer, device, place):
    """Return a net with a trained model."""
    settings = settings | {"criterion__matmul_dtype": model.first.matmul_dtype}
    batches = SequenceBatches if model.past == "recent" else UserBatches
    with refusing(place, "a net with other settings"):
        net = TwoTowerNet(
            model,
            criterion=SampledSoftmaxLoss,
            optimizer=optimizer_class(text(optimizer, place)),
            iterator_train=batches,
            iterator_valid=batches,
            train_split=None,
            callbacks=[],
            device=device,
            **settings,
        )
        return net.initialize_trained()


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
