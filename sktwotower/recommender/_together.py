"""Processes that fit one model together: same data, same random state, one checkpoint.

Input: a ``Recipe`` and ``Events``, in each process.
Output: a checkpoint that all of them see, or an error if they differ.
"""

import contextlib

import numpy as np
from sklearn.utils import check_random_state
from torch import distributed

from sktwotower.towers._group import current_group, is_first

from ._checkpoint import Checkpoint, NoCheckpoint
from ._fingerprint import differences, fingerprint

__all__ = ["check_events", "check_same", "joined", "random_state_of", "saved_state"]


@contextlib.contextmanager
def joined():
    """Join the processes that torchrun has started; yield whether this is the first.

    They communicate by gloo. Without torchrun, or in a group already, nothing is done.
    """
    if not distributed.is_torchelastic_launched() or current_group() is not None:
        yield is_first()
        return
    distributed.init_process_group("gloo")
    try:
        yield is_first()
    finally:
        distributed.destroy_process_group()


def saved_state(folder, recipe, events, before=None):
    """Return the ``Checkpoint`` of a fit, or what stands for none.

    ``folder``: the parameter ``checkpoint``. ``before``: the module whose weights
    training starts from, or None. Raise ``ValueError`` if processes that fit together
    differ.
    """
    group = current_group()
    if folder is None and group is None:
        return NoCheckpoint()
    depends_on = fingerprint(recipe, events, before)
    if group is None:
        return Checkpoint(folder, depends_on)
    _compare(group, depends_on)
    return SharedCheckpoint(group, folder, depends_on)


def check_same(recipe, events, before):
    """Raise ``ValueError`` if processes that train together differ."""
    group = current_group()
    if group is not None:
        _compare(group, fingerprint(recipe, events, before))


def check_events(n_events):
    """Raise ``ValueError`` if some of the processes have events, and others none."""
    group = current_group()
    counts = [n_events] if group is None else group.gather(n_events)
    if 0 in counts and any(counts):
        raise ValueError(
            f"{len(counts)} processes learn together, so each needs all of the same "
            f"events. Numbers of events, by process: {counts}."
        )


def _compare(group, depends_on):
    first, *others = group.gather(depends_on)
    for rank, other in enumerate(others, start=1):
        found = differences(first, other, ("in process 0", f"in process {rank}"))
        if found:
            raise ValueError(
                f"{group.size} processes fit one model together, so each needs all of "
                "the same data and parameters; users are divided among them. Processes "
                f"0 and {rank} differ in: {found}. To fit a model in each process, "
                "end the process group first: torch.distributed.destroy_process_group()"
            )


def random_state_of(given):
    """Return the generator that ``random_state`` stands for, in the same state in all.

    A generator of the caller is set to that state; the global one of numpy stays.
    """
    group = current_group()
    if group is None:
        return check_random_state(given)
    rng = np.random.RandomState() if given is None else check_random_state(given)
    rng.set_state(group.share(rng.get_state(legacy=False)))
    return rng


class SharedCheckpoint:
    """A checkpoint of several processes: the first one reads and writes it.

    Parameters
    ----------
    group : Group
    folder, depends_on
        As of `Checkpoint`; a folder of None stands for no checkpoint.
    """

    def __init__(self, group, folder, depends_on):
        self.group, self.folder = group, folder
        self.saved = NoCheckpoint()
        if folder is not None:
            first = []
            group.from_first(lambda: first.append(Checkpoint(folder, depends_on)))
            self.saved = first[0] if first else None

    def random_state(self, given):
        """Return the generator that ``random_state`` stands for, the same in all."""
        if self.group.rank == 0 and self.folder is not None:
            given = self.saved.random_state(given)
        return random_state_of(given)

    def choice(self, name, make):
        """Return what was chosen under a name, or the result of ``make()``."""
        chosen = self.group.from_first(lambda: self.saved.choices)
        value = chosen[name] if name in chosen else make()
        return self.group.from_first(lambda: self.saved.choice(name, lambda: value))

    def part(self, number):
        """Return what keeps the training of one pair of towers, or None."""
        if self.folder is None:
            return None
        first = self.group.rank == 0
        return _SharedPart(self.group, self.saved.part(number) if first else None)


class _SharedPart:
    """Keeps the training of one pair of towers; see `SharedCheckpoint`."""

    def __init__(self, group, part):
        self.group, self.part = group, part

    def read(self):
        """Return the last state, or None."""
        return self.group.from_first(lambda: self.part.read())

    def write(self, state):
        """Keep a state, in the first process."""
        if self.part is not None:
            self.part.write(state)
