"""Tensors in files, and what a training is in the midst of.

Input: a tensor, or what JSON holds in its place.
Output: the other one of both.
"""

import numpy as np
import torch

from sktwotower._records import Codec, add_codec, cannot_write, one_of, refuse
from sktwotower._records._checks import values_of
from sktwotower._records._values import Writer

# Dtypes of torch that numpy does not have, and those that hold the same bits.
BITS = {torch.bfloat16: torch.int16}
NAMES = "bool uint8 int8 int16 int32 int64 float16 float32 float64 bfloat16".split()
DTYPES = {f"torch.{name}": getattr(torch, name) for name in NAMES}


def _is_tensor(value):
    """Return whether a value is a dense tensor of numbers."""
    is_dense = isinstance(value, torch.Tensor) and value.layout is torch.strided
    return is_dense and str(value.dtype) in DTYPES


def _write(tensor, writer, place):
    """Return what JSON holds for a tensor: its array, and its dtype."""
    tensor = tensor.detach().cpu()
    array = tensor.view(BITS.get(tensor.dtype, tensor.dtype)).numpy()
    return {"array": writer.write(array, place), "dtype": str(tensor.dtype)}


def _read(spec, reader, place):
    """Return the tensor that JSON holds, which shares the memory of its array."""
    array, dtype = values_of(spec, ["array", "dtype"], place, "a tensor")
    dtype = DTYPES[one_of(*DTYPES)(dtype, place)]
    array = reader.read(array, place)
    bits = BITS.get(dtype, dtype)
    name = str(bits).removeprefix("torch.")
    if not isinstance(array, np.ndarray) or array.dtype.name != name:
        refuse(place, f"an array of {name}", array)
    return torch.from_numpy(array).view(dtype)


add_codec(Codec(_read, _write, "tensor", _is_tensor))


class StateWriter(Writer):
    """Writes the state of a training: plain values, arrays and tensors only."""

    def write(self, value, place):
        """Return what JSON holds for a value; dicts of all types come back as dicts."""
        if isinstance(value, dict):
            value = dict(value)
        return super().write(value, place)

    def _object(self, value, place):
        if not _is_tensor(value):
            raise cannot_write(value, place)
        return super()._object(value, place)
