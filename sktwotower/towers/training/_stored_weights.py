"""How the modules of parts are written to a file, and made of what was read.

Input: a module with a table of weights, or the arrays of its weights.
Output: the other one of both.
"""

from dataclasses import fields

import torch

from sktwotower._records import Codec, add_codec, cannot_write, one_of
from sktwotower.towers.training._net import seeded

# Dtypes of torch that files hold, by their names.
DTYPES = {str(each): each for each in (torch.bfloat16, torch.float16, torch.float32)}


def array_by_name(module):
    """Return the weights of a module, arrays by name."""
    found = {}
    for name, tensor in module.state_dict().items():
        if not isinstance(tensor, torch.Tensor) or tensor.dtype == torch.bfloat16:
            raise cannot_write(tensor, f"{type(module).__qualname__}.{name}")
        found[name] = tensor.detach().cpu().numpy()
    return found


class StoredModule:
    """A module whose weights files hold as the arrays of its ``_stored_as``.

    Fields of that class that are neither tables nor other weights are attributes of the
    module, and arguments of its constructor.

    Attributes
    ----------
    _tables : dict of str to str
        The weights (p, width) of each ``SparseLinear``, as named in the module, by the
        field that holds them.
    _others : str or None
        The field of all other weights, by name.
    """

    _others = None

    def _stored_parts(self):
        arrays = array_by_name(self)
        found = {field: arrays.pop(name) for field, name in self._tables.items()}
        found[self._others] = arrays
        names = [each.name for each in fields(self._stored_as)]
        return {n: found[n] if n in found else getattr(self, n) for n in names}

    @classmethod
    def _of_stored(cls, **parts):
        """Return the module of arrays, which are not copied."""
        arrays = {name: parts.pop(field) for field, name in cls._tables.items()}
        others = parts.pop(cls._others, {})
        width = next(iter(arrays.values())).shape[1]
        with seeded(0):  # the initial weights are replaced at once
            module = cls._without_features(width, **parts)
            for name, table in arrays.items():
                layer = module.get_submodule(name.rpartition(".")[0])
                layer.weight = torch.nn.Parameter(torch.from_numpy(table))
            others = {name: torch.from_numpy(each) for name, each in others.items()}
            module.load_state_dict(others, strict=False, assign=True)
        return module.eval()

    @classmethod
    def _without_features(cls, width, **settings):
        return cls(0, width, **settings)


def _is_dtype(value):
    """Return whether a value is a dtype."""
    return isinstance(value, torch.dtype)


def _write_dtype(value, writer, place):
    """Return what JSON holds for a dtype: its name."""
    return str(value)


def _read_dtype(spec, reader, place):
    """Return the dtype of a name."""
    return DTYPES[one_of(*DTYPES)(spec, place)]


add_codec(Codec(_read_dtype, _write_dtype, "torch.dtype", _is_dtype))
