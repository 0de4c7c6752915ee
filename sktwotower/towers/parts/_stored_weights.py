"""How the modules of parts are written to a file, and made of what was read.

Input: a module with a table of weights, or the arrays of its weights.
Output: the other one of both.
"""

import torch
from torch import nn

from sktwotower._records import one_of
from sktwotower._records._registry import add_codec
from sktwotower._records._values import cannot_write
from sktwotower.towers._net import seeded


def table_of(layer):
    """Return the weights of a ``SparseLinear`` as an array (p, width)."""
    return layer.weight.detach().cpu().numpy()


def array_by_name(module, *left_out):
    """Return the weights of a module, arrays by name, except some."""
    found = {}
    for name, tensor in module.state_dict().items():
        if name not in left_out:
            if not isinstance(tensor, torch.Tensor) or tensor.dtype == torch.bfloat16:
                raise cannot_write(tensor, f"{type(module).__qualname__}.{name}")
            found[name] = tensor.detach().cpu().numpy()
    return found


def with_weights(make, table_name, table, weights):
    """Return a module with arrays as its weights, which are not copied.

    ``make(n)`` returns a module for n features; without any, its initial table is
    empty. ``table_name``: name of the ``SparseLinear`` in it that gets the ``table``.
    """
    with seeded(0):  # the initial weights are replaced at once
        module = make(0)
        layer = module.get_submodule(table_name)
        layer.weight = nn.Parameter(torch.from_numpy(table))
        others = {name: torch.from_numpy(values) for name, values in weights.items()}
        module.load_state_dict(others, strict=False, assign=True)
    return module.eval()


class DtypeCodec:
    """How a dtype of torch is written and read."""

    name = "torch.dtype"
    DTYPES = {
        str(each): each for each in (torch.bfloat16, torch.float16, torch.float32)
    }

    @staticmethod
    def fits(value):
        """Return whether a value is a dtype."""
        return isinstance(value, torch.dtype)

    @staticmethod
    def write(value, writer, place):
        """Return what JSON holds for a dtype: its name."""
        return str(value)

    @staticmethod
    def read(spec, reader, place):
        """Return the dtype of a name."""
        return DtypeCodec.DTYPES[one_of(*DtypeCodec.DTYPES)(spec, place)]


add_codec(DtypeCodec)
