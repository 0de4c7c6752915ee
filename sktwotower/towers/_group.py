"""Processes that train one model together, by torch.distributed.

Input: a process group that the caller has initialized, as torchrun does.
Output: values that all processes have, and errors when one of them fails.
"""

import torch
from torch import distributed


class GroupError(RuntimeError):
    """Says that another process has failed or cannot be reached."""


def current_group():
    """Return the ``Group`` of this process; None if no process group is initialized."""
    if distributed.is_available() and distributed.is_initialized():
        return Group(distributed.get_rank(), distributed.get_world_size())
    return None


def is_first():
    """Return whether this is the process that writes files and shows progress."""
    group = current_group()
    return group is None or group.rank == 0


class Group:
    """All processes of the default process group.

    Each method is called by all processes, in the same order.

    Parameters
    ----------
    rank : int
        Number of this process.
    size : int
        Number of processes.
    """

    def __init__(self, rank, size):
        self.rank = rank
        self.size = size

    def device(self, module_device):
        """Return where tensors must be to be exchanged: NCCL reads only its GPU."""
        on_gpu = torch.device(module_device).type == "cuda"
        backends = distributed.get_backend_config()
        return module_device if on_gpu and "nccl" in backends else "cpu"

    def gather(self, value):
        """Return the values (size,) of all processes."""
        values = [None] * self.size
        self.run(distributed.all_gather_object, values, value)
        return values

    def share(self, value):
        """Return the value of process 0."""
        values = [value]
        self.run(distributed.broadcast_object_list, values, 0)
        return values[0]

    def from_first(self, make):
        """Return the result of ``make()``, which only process 0 calls."""
        result = error = None
        if self.rank == 0:
            try:
                result = make()
            except Exception as raised:
                error = raised
        result, reason = self.share((result, None if error is None else str(error)))
        if error is not None:
            raise error
        if reason is not None:
            raise GroupError(f"Process 0 has failed: {reason}")
        return result

    def run(self, call, *args, **kwargs):
        """Call a function of torch.distributed; raise ``GroupError`` if it fails."""
        try:
            return call(*args, **kwargs)
        except RuntimeError as error:
            reason = str(error).partition("\n")[0].partition(". ")[0]
            raise GroupError(
                f"Training by {self.size} processes has ended: another process has "
                f"died or cannot be reached, as seen by process {self.rank} ({reason})."
                " Start all of them again; with checkpoint=, fit goes on from the end "
                "of the last epoch."
            ) from error
