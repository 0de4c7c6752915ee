"""The state of a training that is kept in a folder, and is the same in all processes.

Input: a folder, a ``Recipe`` and ``Events``, in each process that trains.
Output: choices and states of training that an earlier process has made; an error if
processes that train one model together differ.
"""

import errno
import os
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np
from sklearn.utils import check_random_state

from sktwotower import __version__
from sktwotower._records._atomic import replaced_file
from sktwotower._records._container import ReadFile, WrittenFile
from sktwotower._records._format_version import FORMAT_VERSION, about_writer
from sktwotower._records._values import Reader
from sktwotower.towers.operators._tensors import StateWriter
from sktwotower.towers.processes._group import current_group, is_first, rank

from ._fingerprint import OF_PROCESS, differences, digest, fingerprint
from ._processes import compare, from_first, of_all, random_state_of

START = "start"
SUFFIX = ".checkpoint"
PROCESSES = "number of processes"
# What a part of a file that does not fit may raise.
UNEXPECTED = ArithmeticError, AttributeError, LookupError, TypeError, RuntimeError


def saved_state(folder, recipe, events, before):
    """Return the ``Checkpoint`` of a fit.

    ``folder``: the parameter ``checkpoint``. ``before``: the module whose weights
    training starts from, or None. Raise ``ValueError`` if processes that fit together
    differ.
    """
    group = current_group()
    if folder is None and group is None:
        return Checkpoint()
    depends_on = fingerprint(recipe, events, before)
    if group is not None:
        own = {name: depends_on.pop(name) for name in OF_PROCESS}
        compare(group, depends_on)
        depends_on |= {name: digest(group.gather(each)) for name, each in own.items()}
    depends_on[PROCESSES] = str(1 if group is None else group.size)
    return Checkpoint(folder, depends_on)


class Checkpoint:
    """What a fit has chosen and learnt so far, in files of a folder.

    ``start.checkpoint`` holds the random state and what short fits have chosen,
    ``towers-0.checkpoint`` the first pair of towers and ``towers-1.checkpoint`` the
    second, both after their last finished epoch; ``seen-0-0.checkpoint`` what the first
    pair said of requests of process 0. Each file is replaced as a whole.

    Of several processes the first one keeps what all have in common, and each its share
    of the towers.

    Parameters
    ----------
    folder : str or path-like, default=None
        It is made if it is missing. None: nothing is kept.
    depends_on : dict, default=None
        The ``fingerprint`` of the training; not needed without a folder.

    Raises
    ------
    ValueError
        If the folder holds the checkpoint of another training, or a damaged one.
    OSError
        If it cannot be read or written.
    """

    def __init__(self, folder=None, depends_on=None):
        self.given = folder
        self.depends_on = depends_on
        self.choices = {}
        self.state = None
        if folder is None:
            return
        self.folder = Path(folder)
        with self._explained("must be a folder that can be written", self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)
        for left in self.folder.glob(f".*{SUFFIX}.*.part"):
            left.unlink(missing_ok=True)  # of a process that was killed
        start = self.read(START) or {"choices": {}}
        self.choices = start["choices"]
        self.state = start.get("random_state")
        of_all(None)  # each has removed what was left unfinished

    def random_state(self, given):
        """Return the generator that ``random_state`` stands for, as fit first had it.

        It is the same in all processes. A generator of the caller is set back; with a
        folder the global one of numpy stays.
        """
        if is_first():
            if given is None and self.given is not None:
                given = np.random.RandomState()
            given = check_random_state(given)
            if self.state is None:
                self.state = given.get_state(legacy=False)
                self._write_start()
            else:
                given.set_state(self.state)
        return random_state_of(given)

    def choice(self, name, make):
        """Return what was chosen under a name, or the result of ``make()``.

        The first process chooses.
        """

        def chosen():
            if name not in self.choices:
                self.choices[name] = make()
                self._write_start()
            return self.choices[name]

        return from_first(chosen)

    def part(self, number):
        """Return what keeps the training of one pair of towers, or None."""
        return None if self.given is None else _Part(self, f"towers-{number}")

    def keep_seen(self, number, seen):
        """Keep what a part said of requests before its last epochs, a dict of arrays.

        Of several processes each has its own.
        """
        self.write(f"seen-{number}-{rank()}", seen)

    def seen(self, number):
        """Return what `keep_seen` has kept, or None."""
        return None if self.given is None else self.read(f"seen-{number}-{rank()}")

    def _write_start(self):
        self.write(START, {"random_state": self.state, "choices": self.choices})

    def write(self, name, state):
        """Replace the file of a name, if there is a folder."""
        if self.given is None:
            return
        if not self.folder.is_dir():
            message = (
                f"checkpoint={self.given!r} has been removed during fit. Call fit "
                "again: it starts from the beginning"
            )
            raise FileNotFoundError(errno.ENOENT, message, str(self.folder))
        remedy = (
            ". What it held before is still there. Free space or name another folder, "
            "and call fit again"
        )
        with self._explained("cannot be written", self.folder, remedy):
            with replaced_file(self._path(name)) as file, WrittenFile(file) as written:
                spec = StateWriter(written).write(state, name)
                about = {"state": spec, "depends_on": self.depends_on}
                written.finish(about_writer() | about)

    def read(self, name):
        """Return what the file of a name holds; None if there is none."""
        path = self._path(name)
        reading = self._explained("cannot be read", path, ".")
        try:
            with reading, ReadFile(path, is_mapped=False, verify=True) as file:
                self._check(file.meta)
                return Reader(file).read(file.meta["state"], name)
        except FileNotFoundError:
            return None
        except (OSError, _Refused):
            raise
        except (*UNEXPECTED, ValueError) as error:
            raise ValueError(
                f"The checkpoint cannot be read. {error} Delete the folder "
                f"{os.fspath(self.folder)!r} to start fit from the beginning."
            ) from error

    def _check(self, meta):
        found = ""
        if meta["format_version"] != FORMAT_VERSION:
            writer = meta.get("versions", {}).get("sktwotower")
            found = differences(
                {"format of the checkpoint": meta["format_version"], "version": writer},
                {"format of the checkpoint": FORMAT_VERSION, "version": __version__},
            )
        else:
            both = meta["depends_on"], self.depends_on
            # with another number of them all digests of data differ
            numbers = [{PROCESSES: each.get(PROCESSES)} for each in both]
            found = differences(*numbers) or differences(*both)
        if found:
            raise _Refused(
                f"checkpoint={self.given!r} holds the unfinished training of another "
                f"fit. They differ in: {found}. Repeat the call as it was, or name "
                "another folder, or delete this one to start from the beginning."
            )

    @contextmanager
    def _explained(self, problem, path, remedy=""):
        """Turn errors of the file system into ones that name the parameter."""
        try:
            yield
        except OSError as error:
            reason = error.strerror or str(error)
            message = f"checkpoint={self.given!r} {problem}: {reason}{remedy}"
            raise OSError(error.errno or errno.EIO, message, str(path)) from error

    def _path(self, name):
        return self.folder / (name + SUFFIX)


class _Refused(ValueError):
    """Says that a checkpoint is of another training."""


class _Part:
    """Keeps the training of one pair of towers; see `Checkpoint`.

    Of several processes each keeps the last two epochs in turn: a process may be killed
    before another one has kept the same epoch.
    """

    def __init__(self, checkpoint, name):
        self.checkpoint = checkpoint
        self.names = [name]
        if current_group() is not None:
            self.names = [f"{name}-{rank()}-{turn}" for turn in ("even", "odd")]

    def read(self):
        """Return the last state that all processes have kept, or None."""
        found = map(self.checkpoint.read, self.names)
        found = {_n_done(state): state for state in found if state is not None}
        known = set.intersection(*map(set, of_all(list(found))))
        return found[max(known)] if known else None

    def write(self, state):
        """Keep a state."""
        self.checkpoint.write(self.names[_n_done(state) % len(self.names)], state)


def _n_done(state):
    """Return the number of epochs that are finished, one more after the last one."""
    return len(state["history"]) + state["finished"]


def remove_checkpoint(folder):
    """Remove the files of a checkpoint, and the folder if nothing else is in it."""
    folder = Path(folder)
    group = current_group()
    towers = "towers-?"
    if group is not None:
        towers = f"towers-?-{group.rank}-*"
    for name in (towers, f"seen-?-{rank()}", START):
        for path in folder.glob(name + SUFFIX):
            path.unlink(missing_ok=True)
    with suppress(OSError):  # it holds other files
        folder.rmdir()
