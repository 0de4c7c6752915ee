"""Processes that train one model together, by torch.distributed.

Input: a process group that the caller has initialized, as torchrun does.
Output: values that all processes have, and errors when one of them fails.
"""

import contextlib
import contextvars
import datetime
from typing import NamedTuple

import numpy as np
import torch
from torch import distributed

# Seconds in which a process says that it lives, after another one has failed.
SECONDS_TO_ANSWER = 15
# Up to how many numbers it takes a third of the time to send all to all processes and
# add them up in each.
MAX_NUMBERS_TO_ALL = 1 << 14
_ALONE = contextvars.ContextVar("alone", default=False)


class GroupError(RuntimeError):
    """Says that another process has failed or cannot be reached."""


def current_group():
    """Return the ``Group`` of this process; None if it works alone."""
    has_group = distributed.is_available() and distributed.is_initialized()
    if _ALONE.get() or not has_group:
        return None
    return Group(distributed.get_rank(), distributed.get_world_size())


@contextlib.contextmanager
def alone():
    """Let this process work for itself within the block, as if there were no group."""
    token = _ALONE.set(True)
    try:
        yield
    finally:
        _ALONE.reset(token)


def is_first():
    """Return whether this is the process that writes files and shows progress."""
    return rank() == 0


def rank():
    """Return the number of this process, 0 without others."""
    group = current_group()
    if group is None:
        return 0
    return group.rank


def summed(values):
    """Return the sums of an array, or number, over all processes."""
    group = current_group()
    if group is None:
        return values
    return group.reduce(values, distributed.ReduceOp.SUM)


def most(value):
    """Return the largest of a number of all processes."""
    group = current_group()
    if group is None:
        return value
    return group.reduce(value, distributed.ReduceOp.MAX)


class Group(NamedTuple):
    """All processes of the default process group.

    Each method is called by all processes, in the same order.

    Parameters
    ----------
    rank : int
        Number of this process.
    size : int
        Number of processes.
    """

    rank: int
    size: int

    @property
    def device(self):
        """Where tensors must be to be exchanged: NCCL reads only its GPU."""
        backends = distributed.get_backend_config()
        if "nccl" in backends and "gloo" not in backends:
            return "cuda"
        return "cpu"

    def gather(self, value):
        """Return the values (size,) of all processes."""
        values = [None] * self.size
        self.run(distributed.all_gather_object, values, value)
        return values

    def to_first(self, value):
        """Return the values (size,) of all processes in process 0, None in others."""
        values = None
        if self.rank == 0:
            values = [None] * self.size
        self.run(distributed.gather_object, value, values, 0)
        return values

    def share(self, value):
        """Return the value of process 0."""
        values = [value]
        self.run(distributed.broadcast_object_list, values, 0)
        return values[0]

    def from_first(self, make):
        """Return the result of ``make()``, which only process 0 calls, alone."""
        result = None
        error = None
        if self.rank == 0:
            try:
                with alone():
                    result = make()
            except BaseException as raised:
                error = raised
        reason = None
        if error is not None:
            reason = f"{type(error).__name__}: {error}"
        result, reason = self.share((result, reason))
        if error is not None:
            raise error
        if reason is not None:
            raise GroupError(f"Process 0 has failed: {reason}")
        return result

    def reduce(self, values, operation):
        """Return values, a number or an array, reduced by an operation of torch."""
        array = np.asarray(values)
        # torch does not reduce bools, nor unsigned numbers
        dtypes = {"b": np.int32, "i": np.int64, "u": np.int64}
        dtype = dtypes.get(array.dtype.kind, array.dtype)
        moved = torch.tensor(array.astype(dtype), device=self.device)
        self.run(distributed.all_reduce, moved, operation)
        reduced = moved.cpu().numpy()
        if isinstance(values, np.ndarray):
            return reduced
        return reduced.item()

    def add_up(self, values):
        """Return the sums of a tensor (n,) over all processes."""
        if len(values) * self.size > MAX_NUMBERS_TO_ALL:
            self.run(distributed.all_reduce, values)
            return values
        sent = values.repeat(self.size)
        received = torch.empty_like(sent)
        self.run(distributed.all_to_all_single, received, sent)
        return sum(received.split(len(values)))  # in the same order everywhere

    def run(self, call, *args, **kwargs):
        """Call a function of torch.distributed; raise ``GroupError`` if it fails."""
        try:
            return call(*args, **kwargs)
        except RuntimeError as error:
            reason = str(error).partition("\n")[0].partition(". ")[0]
            raise GroupError(
                f"Training by {self.size} processes has ended: {self._who_has_died()} "
                f"has died or cannot be reached, as seen by process {self.rank} "
                f"({reason}). Start all of them again; with checkpoint=, fit goes on "
                "from the end of the last epoch."
            ) from error

    def _who_has_died(self):
        """Return which processes do not answer any more, as text."""
        try:
            store = distributed.distributed_c10d._get_default_store()
            store.set(f"sktwotower alive {self.rank}", "")
        except (RuntimeError, AttributeError, ValueError):
            return "process 0"  # which keeps the store
        gone = []
        seconds = datetime.timedelta(seconds=SECONDS_TO_ANSWER)
        for rank in range(self.size):
            try:
                store.wait([f"sktwotower alive {rank}"], seconds)
            except RuntimeError:  # it has not said in time that it lives
                gone.append(rank)
        if not gone:
            return "another process"
        if self.rank in gone:  # it is the store that does not answer
            return "process 0"
        if len(gone) > 1:  # others may wait for a process that has not ended yet
            return f"one of the processes {', '.join(map(str, gone))}"
        return f"process {gone[0]}"
