"""Where tensors are, and how they come to the device on which a model is trained.

Input: tensors, and objects that hold some.
Output: the same on another device.
"""

import copy

import torch


def on_cpu(tensor):
    """Return whether Python can read a tensor without waiting for another device."""
    return tensor.device.type == "cpu"


def is_on(tensor, device):
    """Return whether a tensor is on a device, of which the number may be left out."""
    device = torch.device(device)
    same = tensor.device.type == device.type
    return same and device.index in (None, tensor.device.index)


def moved(value, device):
    """Return a tensor, or what holds some, on a device; all else as it is."""
    if isinstance(value, tuple):
        return tuple(moved(part, device) for part in value)
    if isinstance(value, Movable):
        return value.to(device)
    if not isinstance(value, torch.Tensor):
        return value
    # From pinned memory a copy does not wait for what the GPU has to do before.
    if on_cpu(value) and torch.device(device).type == "cuda":
        return value.pin_memory().to(device, non_blocking=True)
    return value.to(device)


class Movable:
    """Something whose attributes are tensors, or hold some."""

    def to(self, device):
        """Return the same on a device. Tensors that are there are not copied."""
        there = copy.copy(self)
        for name, value in vars(self).items():
            setattr(there, name, moved(value, device))
        return there
