"""The state of a training, which is written to a file and read again."""

import math
from collections import Counter

import numpy as np
import pytest
import torch

from sktwotower._records._container import ReadFile, WrittenFile
from sktwotower._records._values import Reader
from sktwotower.towers._tensors import StateWriter


@pytest.fixture
def again(tmp_path):
    """Return a function that writes a value to a file, and reads it."""
    path = tmp_path / "state"

    def write_and_read(value):
        with open(path, "wb") as file, WrittenFile(file) as written:
            written.finish({"state": StateWriter(written).write(value, "x")})
        with ReadFile(path, is_mapped=False, verify=True) as file:
            return Reader(file).read(file.meta["state"], "x")

    return write_and_read


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
def test_plain_values_come_back_equal(value, again):
    read = again(value)
    assert read == value and type(read) is type(value)


def test_dicts_of_other_types_come_back_as_dicts(again):
    assert again([Counter("aab")]) == [{"a": 2, "b": 1}]


def test_nan_and_scalars_of_numpy(again):
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
def test_arrays_keep_shape_and_dtype(array, again):
    read = again(array)
    assert read.dtype == array.dtype and np.array_equal(read, array)


@pytest.mark.parametrize(
    "dtype", [torch.float32, torch.bfloat16, torch.int64, torch.bool, torch.uint8]
)
@pytest.mark.parametrize("shape", [(), (0,), (2, 3)])
def test_tensors_keep_shape_and_dtype(dtype, shape, again):
    tensor = torch.arange(math.prod(shape)).reshape(shape).to(dtype)
    read = again(tensor)
    assert read.dtype == dtype and read.shape == tensor.shape
    assert torch.equal(read, tensor)


def test_what_cannot_be_kept_is_named(again):
    for unfit in (print, np.zeros(3, dtype=complex), torch.eye(2).to_sparse()):
        with pytest.raises(ValueError, match=r"x\['rate'\]\[1\] cannot be written.*: "):
            again({"rate": [0.1, unfit]})
