"""What towers, and the net that trained them, consist of.

Input: objects of the room ``towers``.
Output: their kinds. Towers of the user are written as their state only.
"""

import re

import numpy as np
import torch
from torch import nn

from sktwotower.towers._batches import UserBatches
from sktwotower.towers._build import given_tower, output_width
from sktwotower.towers._decays import DECAYS, RecentHistory
from sktwotower.towers._losses import SampledSoftmaxLoss
from sktwotower.towers._modules import SparseLinear, Tower, TwoTower
from sktwotower.towers._net import TwoTowerNet, seeded
from sktwotower.towers._optimizer import optimizer_class
from sktwotower.towers._sequences import SequenceBatches

from ._errors import (
    array,
    boolean,
    instance,
    integer,
    list_of,
    number,
    one_of,
    optional,
    refuse,
    require,
    text,
)
from ._kinds import Kind, Vectors
from ._values import cannot_write

__all__ = ["DTYPE", "KINDS", "NET", "OPTIMIZER", "TOWER_PARAMETER", "vector_lengths"]

# Parameters of a net that files hold; others are set from the estimator, or fixed.
SETTINGS = re.compile(
    "lr|max_epochs|batch_size|predict_nonlinearity|warm_start|verbose|use_caching|"
    r"(criterion|optimizer|iterator_train|iterator_valid|callbacks)__\w+"
)
DEVICES = frozenset(["cpu", "cuda", "mps", "xpu"])
DTYPES = {str(dtype): dtype for dtype in (torch.bfloat16, torch.float16, torch.float32)}
TABLE = Vectors(array("float32", 2))


class WEIGHTS:
    """How the state of a module is written and read: arrays by name."""

    @staticmethod
    def write(state, writer, place):
        """Return what JSON holds for a state dict."""
        return {
            name: writer.write(_as_array(tensor, f"{place}.{name}"), f"{place}.{name}")
            for name, tensor in state.items()
        }

    @staticmethod
    def read(specs, reader, place):
        """Return the arrays of a state dict that JSON holds."""
        require(type(specs) is dict, place, "arrays by name")
        arrays = {
            name: reader.read(spec, f"{place}.{name}") for name, spec in specs.items()
        }
        for name, values in arrays.items():
            require(isinstance(values, np.ndarray), f"{place}.{name}", "an array")
            require(values.dtype.kind in "biuf", f"{place}.{name}", "numbers")
        return arrays


def _as_array(tensor, place):
    if not isinstance(tensor, torch.Tensor) or tensor.dtype == torch.bfloat16:
        raise cannot_write(tensor, place)
    return tensor.detach().cpu().numpy()


def with_weights(make, part, table, weights):
    """Return a module with arrays as its weights, which are not copied.

    ``make(n)`` returns a module for n features; without any, its initial table is
    empty. ``part``: name of the ``SparseLinear`` in it that gets the ``table``.
    """
    with seeded(0):  # the initial weights are replaced at once
        module = make(0)
        table = nn.Parameter(torch.from_numpy(table))
        module.get_submodule(part).weight = table
        others = {name: torch.from_numpy(values) for name, values in weights.items()}
        module.load_state_dict(others, strict=False, assign=True)
    return module.eval()


def build_linear(weight, sparse_grad):
    """Return a ``SparseLinear``."""

    def make(n):
        return SparseLinear(n, weight.shape[1], sparse_grad)

    return with_weights(make, "", weight, {})


def take_tower(tower):
    """Return the parts of a ``Tower``; its table on its own."""
    return {
        "table": tower.sparse.weight.detach().cpu().numpy(),
        "widths": [tower.input_width, *(x.out_features for x in tower.layers)],
        "dropout": tower.dropout,
        "sparse_grad": tower.sparse.sparse_grad,
        "weights": _without(tower.state_dict(), "sparse.weight"),
    }


def build_tower(table, widths, dropout, sparse_grad, weights):
    """Return a ``Tower``."""
    *hidden, width = widths

    def make(n):
        return Tower(n, width, tuple(hidden), dropout, sparse_grad)

    return with_weights(make, "sparse", table, weights)


def take_history(history):
    """Return the parts of a ``RecentHistory``; its table on its own."""
    return {
        "table": history.items.weight.detach().cpu().numpy(),
        "max_history": history.max_history,
        "n_hidden": history.n_hidden,
        "sparse_grad": history.items.sparse_grad,
        "weights": _without(history.state_dict(), "items.weight"),
    }


def build_history(table, max_history, n_hidden, sparse_grad, weights):
    """Return a ``RecentHistory``."""

    def make(n):
        return RecentHistory(n, table.shape[1], max_history, n_hidden, sparse_grad)

    return with_weights(make, "items", table, weights)


def check_tower(parts, place):
    """Raise unless the weights are those of the layers."""
    table, widths, weights = parts["table"], parts["widths"], dict(parts["weights"])
    require(len(widths) and table.shape[1] == widths[0], place, "a table of its width")
    shapes = {"bias": (widths[0],)}
    for i, (a, b) in enumerate(zip(widths, widths[1:], strict=False)):
        shapes |= {f"layers.{i}.weight": (b, a), f"layers.{i}.bias": (b,)}
        if a != b:
            shapes[f"shortcuts.{i}.weight"] = (b, a)
    check_shapes(weights, shapes, f"{place}.weights")


def check_history(parts, place):
    """Raise unless the weights are those of the sums of past items."""
    width, n, n_sums = parts["table"].shape[1], parts["n_hidden"], len(DECAYS) + 1
    shapes = {"log_decays": (len(DECAYS),), "mix": (n_sums * width, width)}
    if n:
        shapes |= {
            "hidden.weight": (n, n_sums * width),
            "hidden.bias": (n,),
            "out": (n, width),
        }
    check_shapes(parts["weights"], shapes, f"{place}.weights")


def check_shapes(weights, shapes, place):
    """Raise unless weights are float32 arrays of these shapes."""
    got = {name: values.shape for name, values in weights.items()}
    require(got == shapes, place, f"arrays of shapes {shapes}, not {got}")
    for name, values in weights.items():
        require(values.dtype == np.float32, f"{place}.{name}", "float32")


def _without(state, name):
    return {key: value for key, value in state.items() if key != name}


class GIVEN_TOWER:
    """How a tower of the user is written and read, as a parameter or trained.

    Its state is in the file; its class is given to `load`.
    """

    @staticmethod
    def write(tower, writer, place):
        """Return what JSON holds for a trained tower: its state."""
        cls = type(tower)
        return {
            "class": f"{cls.__module__}.{cls.__qualname__}",
            "state": WEIGHTS.write(tower.state_dict(), writer, f"{place}.state"),
        }

    @staticmethod
    def read(spec, reader, place, side, n_features):
        """Return the tower that is made of what was given to `load`."""
        if type(spec) is not dict or set(spec) != {"class", "state"}:
            refuse(place, "a tower", spec)
        text(spec["class"], place)
        arrays = WEIGHTS.read(spec["state"], reader, f"{place}.state")
        tower = given_tower(given(reader, side, spec["class"]), side, n_features)
        try:
            tensors = {name: torch.tensor(values) for name, values in arrays.items()}
            tower.load_state_dict(tensors)
        except RuntimeError as error:
            raise ValueError(
                f"The tower given by towers={{{side!r}: ...}} is not the one that was "
                f"written, a {spec['class']}: {error}"
            ) from None
        return tower.eval()


def given(reader, side, name):
    """Return what was given to `load` as a tower of the user."""
    if side not in reader.towers:
        raise ValueError(
            f"The model was fitted with a {side} of the class {name}, which files do "
            f"not hold. Give it to load: towers={{{side!r}: tower}}, as it was given "
            "to the estimator."
        )
    return reader.towers[side]


class TWO_TOWERS:
    """How a ``TwoTower`` is written and read."""

    @staticmethod
    def write(module, writer, place):
        """Return what JSON holds for the towers."""
        written = {
            "normalize": module.normalize,
            "matmul_dtype": None
            if module.matmul_dtype is None
            else str(module.matmul_dtype),
            "history": writer.write(module.history, f"{place}.history"),
        }
        for side in ("user_tower", "item_tower"):
            tower = getattr(module, side)
            own = type(tower) is Tower
            write = writer.write if own else _write_given(writer)
            written[side] = write(tower, f"{place}.{side}")
        return written

    @staticmethod
    def read(spec, reader, place, widths):
        """Return the towers for rows of these widths, (n_user, n_item)."""
        names = {"normalize", "matmul_dtype", "history", "user_tower", "item_tower"}
        if type(spec) is not dict or set(spec) != names:
            refuse(place, "two towers", spec)
        boolean(spec["normalize"], f"{place}.normalize")
        one_of(None, *DTYPES)(spec["matmul_dtype"], f"{place}.matmul_dtype")
        history = reader.read(spec["history"], f"{place}.history")
        optional(instance(SparseLinear, RecentHistory))(history, f"{place}.history")
        towers = [
            _read_tower(spec[side], reader, f"{place}.{side}", side, n)
            for side, n in zip(("user_tower", "item_tower"), widths, strict=True)
        ]
        dtype = DTYPES.get(spec["matmul_dtype"])
        module = TwoTower(*towers, history, spec["normalize"], dtype).eval()
        check_widths(module, widths, place)
        return module


def _write_given(writer):
    return lambda tower, place: {"given": GIVEN_TOWER.write(tower, writer, place)}


def _read_tower(spec, reader, place, side, n_features):
    if type(spec) is dict and set(spec) == {"given"}:
        return GIVEN_TOWER.read(spec["given"], reader, place, side, n_features)
    return instance(Tower)(reader.read(spec, place), place)


def check_widths(module, widths, place):
    """Raise unless the towers fit the feature rows, and one another."""
    for side, n in zip(("user_tower", "item_tower"), widths, strict=True):
        tower = getattr(module, side)
        if isinstance(tower, Tower):
            n_rows = tower.sparse.weight.shape[0]
            require(n_rows == n, f"{place}.{side}", f"a tower of {n} features")
    length, other = vector_lengths(module, widths)
    require(length == other, place, "two towers whose vectors have the same length")
    if module.history is None:
        return
    table = module.history_table.weight
    require(table.shape[0] == widths[1], f"{place}.history", f"{widths[1]} features")
    own = isinstance(module.user_tower, Tower)
    width = module.user_tower.input_width if own else length
    require(table.shape[1] == width, f"{place}.history", f"a width of {width}")


def vector_lengths(module, widths):
    """Return the length of the vectors of both towers, for rows of these widths."""
    return tuple(
        output_width(getattr(module, side), side, n)
        for side, n in zip(("user_tower", "item_tower"), widths, strict=True)
    )


class TOWER_PARAMETER:
    """How the parameter ``user_tower`` or ``item_tower`` is written and read."""

    def __init__(self, side):
        self.side = side

    def write(self, value, writer, place):
        """Return what JSON holds: the name of the class."""
        if value is None:
            return None
        named = value if hasattr(value, "__qualname__") else type(value)
        return {"class": f"{named.__module__}.{named.__qualname__}"}

    def read(self, spec, reader, place):
        """Return what was given to `load`."""
        if spec is None:
            return None
        if type(spec) is not dict or set(spec) != {"class"}:
            refuse(place, "a tower", spec)
        return given(reader, self.side, text(spec["class"], place))


class OPTIMIZER:
    """How the parameter ``optimizer`` is written and read: a name, or a class."""

    @staticmethod
    def write(value, writer, place):
        """Return what JSON holds."""
        if isinstance(value, str):
            return str(value)
        return {"class": _optimizer_name(value, place)}

    @staticmethod
    def read(spec, reader, place):
        """Return the name, or the class of torch.optim."""
        if type(spec) is dict and set(spec) == {"class"}:
            return optimizer_class(text(spec["class"], place))
        return text(spec, place)


class DTYPE:
    """How a dtype of torch is written and read."""

    name = "torch.dtype"

    @staticmethod
    def write(value, writer, place):
        """Return what JSON holds for a dtype: its name."""
        return str(value)

    @staticmethod
    def read(spec, reader, place):
        """Return the dtype of a name."""
        return DTYPES[one_of(*DTYPES)(spec, place)]


class NET:
    """How a trained net is written and read: its towers, settings and history."""

    @staticmethod
    def write(net, writer, place):
        """Return what JSON holds for a net."""
        settings = {
            name: value
            for name, value in net.get_params(deep=False).items()
            if SETTINGS.fullmatch(name)
        }
        rows = [
            {key: _plain(value) for key, value in row.items()} for row in net.history
        ]
        settings.pop("criterion__matmul_dtype", None)
        return {
            "module": TWO_TOWERS.write(net.module_, writer, f"{place}.module"),
            "settings": writer.write(settings, f"{place}.settings"),
            "optimizer": _optimizer_name(net.optimizer, f"{place}.optimizer"),
            "history": writer.write(rows, f"{place}.history"),
            "interrupted": bool(net.interrupted_),
        }

    @staticmethod
    def read(spec, reader, place, widths, device):
        """Return the net for rows of these widths, on a device."""
        names = {"module", "settings", "optimizer", "history", "interrupted"}
        if type(spec) is not dict or set(spec) != names:
            refuse(place, "a net", spec)
        module = TWO_TOWERS.read(spec["module"], reader, f"{place}.module", widths)
        settings = reader.read(spec["settings"], f"{place}.settings")
        rows = reader.read(spec["history"], f"{place}.history")
        instance(dict)(settings, f"{place}.settings")
        list_of(instance(dict))(rows, f"{place}.history")
        for name in settings:
            text(name, f"{place}.settings")
            require(SETTINGS.fullmatch(name), f"{place}.settings", f"without {name}")
        check_device(device)
        net = _new_net(module, settings, spec["optimizer"], device, place)
        net.history.extend(rows)
        net.interrupted_ = boolean(spec["interrupted"], f"{place}.interrupted")
        return net


def check_device(device):
    """Raise ``ValueError`` for a device that this machine does not have."""
    try:
        torch.empty(0, device=device)
        fits = torch.device(device).type in DEVICES
    except (RuntimeError, AssertionError):
        fits = False
    if not fits:
        raise ValueError(
            f"The model was written with device={device!r}, which cannot be used here. "
            "Write it again after model.set_params(device='cpu')."
        )


def _plain(value):
    return value.item() if isinstance(value, np.generic) else value


def _optimizer_name(optimizer, place):
    """Return the name of a class of optimizers in lower case."""
    name = optimizer.__name__.lower()
    try:
        known = optimizer_class(name) is optimizer
    except ValueError:
        known = False
    if not known:
        raise cannot_write(optimizer, place)
    return name


def _new_net(module, settings, optimizer, device, place):
    """Return a net with trained towers."""
    if module.matmul_dtype is not None:
        settings = settings | {"criterion__matmul_dtype": module.matmul_dtype}
    is_recent = isinstance(module.history, RecentHistory)
    batches = SequenceBatches if is_recent else UserBatches
    try:
        net = TwoTowerNet(
            module,
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
    except Exception as error:  # of skorch and torch, of many types
        return refuse(place, f"a net with other settings ({error})")


KINDS = [
    Kind(
        SparseLinear,
        {"weight": TABLE, "sparse_grad": boolean},
        take=lambda module: {
            "weight": module.weight.detach().cpu().numpy(),
            "sparse_grad": module.sparse_grad,
        },
        build=build_linear,
    ),
    Kind(
        Tower,
        {
            "table": TABLE,
            "widths": list_of(integer(1)),
            "dropout": number(0),
            "sparse_grad": boolean,
            "weights": WEIGHTS,
        },
        take=take_tower,
        build=build_tower,
        check=check_tower,
    ),
    Kind(
        RecentHistory,
        {
            "table": TABLE,
            "max_history": integer(1),
            "n_hidden": integer(),
            "sparse_grad": boolean,
            "weights": WEIGHTS,
        },
        take=take_history,
        build=build_history,
        check=check_history,
    ),
]
