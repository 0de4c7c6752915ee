"""One fit at a time in a folder, by a lock that ends with its process.

Input: the folder of a checkpoint.
Output: an ``OSError`` if another fit uses it.
"""

import errno
import os
import socket
from contextlib import contextmanager, suppress
from pathlib import Path

from sktwotower._tables._messages import warn

from ._processes import from_first

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None
    import msvcrt

NAME = ".in_use"
# How often a folder is made anew that another fit removes.
ATTEMPTS = 100
# Where a process of Windows locks one byte: after the text, which others may read.
PLACE = 2**30
# What locking a file raises if another process has it.
TAKEN = {errno.EACCES, errno.EAGAIN, errno.EDEADLK}
# The locks that this process holds.
_held = set()


@contextmanager
def used_alone(folder):
    """Hold the lock of a folder; raise ``OSError`` if another fit does.

    ``folder``: None: there is nothing to lock. Of processes that fit together the first
    one holds it for all. The folder is made if it is missing, and removed if it is
    empty in the end.
    """
    lock = FolderLock(folder)
    from_first(lock.take)  # all raise an error of the first one
    try:
        yield
    finally:
        lock.release()


class FolderLock:
    """The lock of one folder; a file in it, locked by the operating system.

    A process that is killed loses it, and what is left is an unlocked file. Other
    threads of the process do not share it. Without a folder there is nothing to lock.
    """

    def __init__(self, folder):
        self.given = folder
        self.path = None
        if folder is not None:
            self.path = Path(folder) / NAME
        self.file = None

    def take(self):
        """Lock the folder, or raise ``OSError``."""
        if self.path is None:
            return
        while self.file is None:
            file = self._opened()
            try:
                is_ours = _lock(file)
            except OSError:  # some network drives cannot
                file.close()
                self._remove()
                warn(
                    f"checkpoint={self.given!r} is on a file system without locks. "
                    "Take care that no other fit uses this folder."
                )
                return
            if not is_ours:
                file.close()
                owner = "another fit"
                with suppress(OSError, ValueError):
                    owner = f"another fit, {self.path.read_text()}".rstrip(", ")
                message = (
                    f"checkpoint={self.given!r} is in use by {owner}. Wait until it "
                    "has ended, or name another folder: a folder keeps one training"
                )
                raise OSError(errno.EBUSY, message, str(self.path.parent))
            if _is_at(file, self.path):
                self.file = file
            else:  # the fit that had it has removed it since it was opened
                file.close()
        _held.add(self)
        with suppress(OSError):  # a full disk: others are not told whose it is
            self.file.truncate(0)
            self.file.write(f"process {os.getpid()} of {socket.gethostname()}".encode())
            self.file.flush()

    def release(self):
        """Unlock the folder, if this process has locked it, and tidy up."""
        if self.file is None:
            return
        _held.discard(self)
        is_ours = _is_at(self.file, self.path)
        if is_ours and fcntl is not None:  # nobody can take it before it is unlocked
            self._remove()
        self.close()
        if is_ours and fcntl is None:  # Windows removes no file that is open
            self._remove()

    def close(self):
        """Close the file. The lock ends if no other process has the file open."""
        with suppress(OSError):  # what was written may not fit
            self.file.close()
        self.file = None

    def _opened(self):
        """Return the file of the lock, open; make the folder if it is missing."""
        for _ in range(ATTEMPTS):
            try:
                self.path.parent.mkdir(parents=True, exist_ok=True)
                return self.path.open("ab", buffering=0)
            except FileNotFoundError:  # a fit that has ended has removed its folder
                continue
            except OSError as error:
                raise self._unwritable(error.errno) from error
        raise self._unwritable(errno.ENOENT)

    def _remove(self):
        """Remove the file, and the folder if nothing else is in it."""
        with suppress(OSError):
            self.path.unlink()
            self.path.parent.rmdir()

    def _unwritable(self, number):
        """Return the error of a folder that cannot be written, by its number."""
        message = (
            f"checkpoint={self.given!r} must be a folder that can be written: "
            f"{os.strerror(number)}"
        )
        return OSError(number, message, str(self.path.parent))


def _lock(file):
    """Lock an open file, and return True; False if somebody else has locked it."""
    try:
        if fcntl is None:
            file.seek(PLACE)
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        else:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in TAKEN:
            return False
        raise
    return True


def _is_at(file, path):
    """Return whether an open file is the one at a path."""
    try:
        return os.path.samestat(os.fstat(file.fileno()), os.stat(path))
    except FileNotFoundError:
        return False


def _after_fork():
    """Close the files of the parent, so that its locks end when it does."""
    for lock in _held:
        lock.close()
    _held.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
