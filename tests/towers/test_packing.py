import json
import math

import numpy as np
import pytest
import torch

from sktwotower.towers._packing import packed, unpacked


def again(value):
    arrays = {}

    def add_array(array, label):
        arrays[f"{len(arrays)}.{label}"] = np.array(array)
        return f"{len(arrays) - 1}.{label}"

    spec = json.loads(json.dumps(packed(value, add_array, "x"), allow_nan=False))
    return unpacked(spec, arrays.__getitem__)


@pytest.mark.parametrize(
    "value",
    [
        None,
        True,
        2**100,
        0.1,
        math.inf,
        "text",
        [],
        (1, (2.5, None), [3]),
        {"a": {1: "b"}, ("tuple", 2): [{}]},
        {"array": "text", "dict": 1, "float": "nan"},
    ],
)
def test_plain_values_come_back_equal(value):
    read = again(value)
    assert read == value and type(read) is type(value)


def test_nan_and_scalars_of_numpy():
    assert math.isnan(again(math.nan))
    assert again([np.float32(0.5), np.int64(3), np.bool_(True)]) == [0.5, 3, True]


@pytest.mark.parametrize(
    "array",
    [
        np.arange(6.0).reshape(2, 3),
        np.arange(6).reshape(2, 3).T,
        np.array(3.5),
        np.zeros((0, 4)),
        np.array(["2020-01-01"], dtype="datetime64[D]"),
    ],
)
def test_arrays_keep_shape_and_dtype(array):
    read = again(array)
    assert read.dtype == array.dtype and np.array_equal(read, array)


@pytest.mark.parametrize(
    "dtype", [torch.float32, torch.bfloat16, torch.int64, torch.bool, torch.uint8]
)
@pytest.mark.parametrize("shape", [(), (0,), (2, 3)])
def test_tensors_keep_shape_and_dtype(dtype, shape):
    tensor = torch.arange(math.prod(shape)).reshape(shape).to(dtype)
    read = again(tensor)
    assert read.dtype == dtype and read.shape == tensor.shape
    assert torch.equal(read, tensor)


def test_what_cannot_be_kept_is_named():
    with pytest.raises(TypeError, match=r"x\.rate\.1 cannot be kept .*builtin_func"):
        again({"rate": [0.1, print]})
