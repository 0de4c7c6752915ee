"""What towers consist of.

Input: objects of the room ``towers``.
Output: their kinds. Towers of the user are written as their state only.
"""

import numpy as np
import torch
from torch import nn

from sktwotower._records._checks import (
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
    vectors,
)
from sktwotower._records._kinds import Kind
from sktwotower._records._registry import add_codec, add_kind
from sktwotower._records._values import cannot_write
from sktwotower.towers._blend import Blend
from sktwotower.towers._build import given_tower, output_width
from sktwotower.towers._decays import DECAYS, RecentHistory
from sktwotower.towers._filter import LinearFilter
from sktwotower.towers._modules import SparseLinear, Tower, TwoTower
from sktwotower.towers._net import seeded

__all__ = ["DtypeCodec", "TowerParameter", "TwoTowersCodec", "vector_lengths"]

DTYPES = {str(dtype): dtype for dtype in (torch.bfloat16, torch.float16, torch.float32)}
TABLE = vectors("n d")


class WeightsCodec:
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


class GivenTowerCodec:
    """How a tower of the user is written and read, as a parameter or trained.

    Its state is in the file; its class is given to `load`.
    """

    @staticmethod
    def write(tower, writer, place):
        """Return what JSON holds for a trained tower: its state."""
        cls = type(tower)
        return {
            "class": f"{cls.__module__}.{cls.__qualname__}",
            "state": WeightsCodec.write(tower.state_dict(), writer, f"{place}.state"),
        }

    @staticmethod
    def read(spec, reader, place, side, n_features):
        """Return the tower that is made of what was given to `load`."""
        if type(spec) is not dict or set(spec) != {"class", "state"}:
            refuse(place, "a tower", spec)
        text(spec["class"], place)
        arrays = WeightsCodec.read(spec["state"], reader, f"{place}.state")
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


class PairCodec:
    """How a ``TwoTower``, one pair of towers, is written and read."""

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


class TwoTowersCodec:
    """How a ``TwoTower`` is written and read, or a ``Blend`` of two."""

    @staticmethod
    def write(module, writer, place):
        """Return what JSON holds: one or two pairs, and what the second counts."""
        parts, share, fade = [module], None, 1.0
        if isinstance(module, Blend):
            parts = module.pairs
            share, fade = module.share, module.fade
        return {
            "pairs": [PairCodec.write(part, writer, place) for part in parts],
            "share": writer.write(share, f"{place}.share"),
            "fade": writer.write(fade, f"{place}.fade"),
        }

    @staticmethod
    def read(spec, reader, place, widths):
        """Return the module for rows of these widths, (n_user, n_item)."""
        if type(spec) is not dict or set(spec) != {"pairs", "share", "fade"}:
            refuse(place, "pairs of towers", spec)
        pairs, share = spec["pairs"], reader.read(spec["share"], f"{place}.share")
        fade = reader.read(spec["fade"], f"{place}.fade")
        number(0)(fade, f"{place}.fade")
        require(0 < fade <= 1, f"{place}.fade", "a factor in (0, 1]")
        n_pairs = 1 if share is None else 2
        require(
            type(pairs) is list and len(pairs) == n_pairs, place, "one or two pairs"
        )
        parts = [PairCodec.read(pair, reader, place, widths) for pair in pairs]
        if share is None:
            return parts[0]
        number(0)(share, f"{place}.share")
        require(0 <= share < 1, f"{place}.share", "a share in [0, 1)")
        first, second = parts
        if not isinstance(first.history, RecentHistory):
            check_filter(first, second, place)
            second = LinearFilter.of(second)
        else:
            check_blend(first, second, place)
        return Blend(first, second, share, fade).eval()


def check_filter(first, second, place):
    """Raise unless the second pair can be a linear filter next to the first."""
    for side in ("user_tower", "item_tower"):
        tower = instance(Tower)(getattr(second, side), f"{place}.{side}")
        require(len(tower.layers) == 0, f"{place}.{side}", "no hidden layer")
    pooled = all(isinstance(each.history, SparseLinear) for each in (first, second))
    require(pooled, place, "two pooled histories")
    require(first.normalize and second.normalize, place, "vectors of length one")


def check_blend(recent, pooled, place):
    """Raise unless the first pair sees the order of past items, and the second not."""
    require(isinstance(recent.history, RecentHistory), place, "a recent history")
    require(isinstance(pooled.history, SparseLinear), place, "a pooled history")
    require(recent.normalize == pooled.normalize, place, "vectors of one kind")


def _write_given(writer):
    return lambda tower, place: {"given": GivenTowerCodec.write(tower, writer, place)}


def _read_tower(spec, reader, place, side, n_features):
    if type(spec) is dict and set(spec) == {"given"}:
        return GivenTowerCodec.read(spec["given"], reader, place, side, n_features)
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
    if isinstance(module, Blend):
        pairs = [vector_lengths(part, widths) for part in module.pairs]
        return tuple(map(sum, zip(*pairs, strict=True)))
    return tuple(
        output_width(getattr(module, side), side, n)
        for side, n in zip(("user_tower", "item_tower"), widths, strict=True)
    )


class TowerParameter:
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


class DtypeCodec:
    """How a dtype of torch is written and read."""

    name = "torch.dtype"

    @staticmethod
    def fits(value):
        """Return whether a value is a dtype of torch."""
        return isinstance(value, torch.dtype)

    @staticmethod
    def write(value, writer, place):
        """Return what JSON holds for a dtype: its name."""
        return str(value)

    @staticmethod
    def read(spec, reader, place):
        """Return the dtype of a name."""
        return DTYPES[one_of(*DTYPES)(spec, place)]


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
            "weights": WeightsCodec,
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
            "weights": WeightsCodec,
        },
        take=take_history,
        build=build_history,
        check=check_history,
    ),
]
for kind in KINDS:
    add_kind(kind)
add_codec(DtypeCodec)
