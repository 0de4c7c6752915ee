"""A folder from which a fit that was ended goes on.

Input: the folder, and what the training depends on.
Output: choices and states of training that an earlier process has made.
"""

import os
from pathlib import Path

import numpy as np
from sklearn.utils import check_random_state

from sktwotower._records._atomic import replaced_file
from sktwotower._records._container import ReadFile, WrittenFile
from sktwotower._records._values import Reader
from sktwotower.towers._tensors import StateWriter

from ._fingerprint import differences

__all__ = ["Checkpoint", "NoCheckpoint", "remove_checkpoint"]

FORMAT_VERSION = 1
START = "start"
SUFFIX = ".checkpoint"
# What a part of a file that does not fit may raise.
UNEXPECTED = ArithmeticError, AttributeError, LookupError, TypeError, RuntimeError


class NoCheckpoint:
    """Stands for a checkpoint where none is kept."""

    choices = {}

    def random_state(self, given):
        """Return the generator that ``random_state`` stands for."""
        return check_random_state(given)

    def choice(self, name, make):
        """Return the result of ``make()``."""
        return make()

    def part(self, number):
        """Return None."""


class Checkpoint:
    """What a fit has chosen and learnt so far, in files of a folder.

    ``start.checkpoint`` holds the random state and what short fits have chosen,
    ``towers-0.checkpoint`` the first pair of towers and ``towers-1.checkpoint`` the
    second, both after their last finished epoch. Each file is replaced as a whole.

    Parameters
    ----------
    folder : str or path-like
        It is made if it is missing.
    depends_on : dict
        The ``fingerprint`` of the training.

    Raises
    ------
    ValueError
        If the folder holds the checkpoint of another training, or a damaged one.
    OSError
        If it cannot be read or written.
    """

    def __init__(self, folder, depends_on):
        self.given, self.folder = folder, Path(folder)
        self.depends_on = depends_on
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise OSError(
                error.errno,
                f"checkpoint={self.given!r} must be a folder that can be written: "
                f"{error.strerror}",
                str(self.folder),
            ) from error
        for left in self.folder.glob(f".*{SUFFIX}.*.part"):
            left.unlink(missing_ok=True)  # of a process that was killed
        start = self.read(START) or {"choices": {}}
        self.choices, self.state = start["choices"], start.get("random_state")

    def random_state(self, given):
        """Return the generator that ``random_state`` stands for, as fit first had it.

        A generator of the caller is set back; the global one of numpy stays.
        """
        rng = np.random.RandomState() if given is None else check_random_state(given)
        if self.state is None:
            self.state = rng.get_state(legacy=False)
            self._write_start()
        else:
            rng.set_state(self.state)
        return rng

    def choice(self, name, make):
        """Return what was chosen under a name, or the result of ``make()``."""
        if name not in self.choices:
            self.choices[name] = make()
            self._write_start()
        return self.choices[name]

    def part(self, number):
        """Return what keeps the training of one pair of towers."""
        return _Part(self, f"towers-{number}")

    def _write_start(self):
        self.write(START, {"random_state": self.state, "choices": self.choices})

    def write(self, name, state):
        """Replace the file of a name."""
        try:
            with (
                replaced_file(self._path(name)) as file,
                WrittenFile(file) as written,
            ):
                spec = StateWriter(written).write(state, name)
                written.finish(
                    {
                        "format_version": FORMAT_VERSION,
                        "depends_on": self.depends_on,
                        "state": spec,
                    }
                )
        except OSError as error:
            raise self._not_written(error) from error

    def read(self, name):
        """Return what the file of a name holds; None if there is none."""
        path = self._path(name)
        try:
            with ReadFile(path, is_mapped=False, verify=True) as file:
                self._check(file.meta)
                return Reader(file).read(file.meta["state"], name)
        except FileNotFoundError:
            return None
        except OSError as error:
            message = f"checkpoint={self.given!r} cannot be read: {error.strerror}."
            raise OSError(error.errno, message, str(path)) from error
        except _Refused:
            raise
        except (*UNEXPECTED, ValueError) as error:
            raise ValueError(
                f"The checkpoint cannot be read. {error} Delete the folder "
                f"{os.fspath(self.folder)!r} to start fit from the beginning."
            ) from error

    def _check(self, meta):
        if meta["format_version"] != FORMAT_VERSION:
            before = {"format of the checkpoint": meta["format_version"]}
            found = differences(before, {"format of the checkpoint": FORMAT_VERSION})
        else:
            found = differences(meta["depends_on"], self.depends_on)
        if found:
            raise _Refused(
                f"checkpoint={self.given!r} holds the unfinished training of another "
                f"fit. They differ in: {found}. Repeat the call as it was, or name "
                "another folder, or delete this one to start from the beginning."
            )

    def _path(self, name):
        return self.folder / (name + SUFFIX)

    def _not_written(self, error):
        return OSError(
            error.errno,
            f"checkpoint={self.given!r} cannot be written: {error.strerror}. What it "
            "held before is still there. Free space or name another folder, and call "
            "fit again",
            str(self.folder),
        )


class _Refused(ValueError):
    """Says that a checkpoint is of another training."""


class _Part:
    """Keeps the training of one pair of towers; see `Checkpoint`."""

    def __init__(self, checkpoint, name):
        self.checkpoint, self.name = checkpoint, name

    def read(self):
        """Return the last state, or None."""
        return self.checkpoint.read(self.name)

    def write(self, state):
        """Keep a state."""
        self.checkpoint.write(self.name, state)


def remove_checkpoint(folder):
    """Remove the files of a checkpoint, and the folder if nothing else is in it."""
    if folder is None:
        return
    folder = Path(folder)
    for path in [*folder.glob("towers-?" + SUFFIX), folder / (START + SUFFIX)]:
        path.unlink(missing_ok=True)
    try:
        folder.rmdir()
    except OSError:
        pass  # it holds other files
