"""Nested values of training, as JSON and arrays.

Input: numbers, text, lists, dicts, arrays and tensors; or what JSON holds for them.
Output: the other one of both.
"""

import math

import numpy as np
import torch

__all__ = ["packed", "unpacked"]

PLAIN = {type(None), bool, int, str}
SEQUENCES = {"list": list, "tuple": tuple}
# Dtypes of torch that numpy does not have, and those that hold the same bits.
BITS = {torch.bfloat16: torch.int16}


def packed(value, add_array, place):
    """Return what JSON holds for a value.

    Parameters
    ----------
    value : object
        None, a bool, number or text; a list, tuple or dict of values; an array of
        numbers or a tensor.
    add_array : callable
        Keeps an array under a label, and returns a name for it.
    place : str
        Where the value is, for errors and labels.

    Raises
    ------
    TypeError
        If a value is of another type.
    """
    if type(value) in PLAIN:
        return value
    if isinstance(value, np.generic) and not value.dtype.hasobject:
        value = value.item()
    if isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else {"float": repr(float(value))}
    if isinstance(value, dict):
        pairs = [
            [packed(k, add_array, place), packed(v, add_array, f"{place}.{k}")]
            for k, v in value.items()
        ]
        return {"dict": pairs}
    for name, kind in SEQUENCES.items():
        if type(value) is kind:
            return {
                name: [
                    packed(v, add_array, f"{place}.{i}") for i, v in enumerate(value)
                ]
            }
    if isinstance(value, torch.Tensor) and value.layout is torch.strided:
        return _packed_tensor(value.detach().cpu(), add_array, place)
    if isinstance(value, np.ndarray) and value.dtype.kind in "biufMmUS":
        return _packed_array(value, add_array, place)
    raise TypeError(
        f"{place} cannot be kept in a checkpoint: it is of the type "
        f"{type(value).__qualname__}, not a number, text, array, tensor, list or dict."
    )


def _packed_array(array, add_array, place):
    # flat, as files hold no arrays without an axis
    return {"array": add_array(array.reshape(-1), place), "shape": list(array.shape)}


def _packed_tensor(tensor, add_array, place):
    bits = BITS.get(tensor.dtype)
    array = (tensor if bits is None else tensor.view(bits)).numpy()
    return {
        "tensor": _packed_array(array, add_array, place),
        "dtype": str(tensor.dtype),
    }


def unpacked(spec, array):
    """Return the value that JSON holds. ``array`` returns the array of a name."""
    if not isinstance(spec, dict):
        return spec
    if "float" in spec:
        return float(spec["float"])
    if "dict" in spec:
        return {unpacked(k, array): unpacked(v, array) for k, v in spec["dict"]}
    for name, kind in SEQUENCES.items():
        if name in spec:
            return kind(unpacked(value, array) for value in spec[name])
    if "array" in spec:
        return array(spec["array"]).reshape(spec["shape"])
    tensor = torch.from_numpy(unpacked(spec["tensor"], array))
    dtype = getattr(torch, spec["dtype"].removeprefix("torch."))
    return tensor if tensor.dtype == dtype else tensor.view(dtype)
