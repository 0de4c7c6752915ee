"""A copy of a file that never changes, for all processes that map it.

Input: the path of a file of `dump`, which may be written into.
Output: the path of a copy in the temporary folder, which lasts as long as a process
holds it.
"""

import contextlib
import errno
import os
import re
import shutil
import stat
import tempfile
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows: files that are mapped cannot be removed
    fcntl = None

# A file of `dump` ends with a checksum of all that it holds.
DIGEST_LENGTH = 64
DIGEST = re.compile(rb"[0-9a-f]{64}")


def digest_of(path):
    """Return the checksum at the end of a file, or None if it does not end with one."""
    try:
        with open(path, "rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(size - DIGEST_LENGTH, 0))
            end = file.read(DIGEST_LENGTH)
    except OSError:
        return None
    if DIGEST.fullmatch(end):
        return end.decode()
    return None


class SharedCopy:
    """A copy that this process holds, until `close`.

    Its name is the checksum of the file: processes that ask for equal files hold the
    same copy, so that they share the memory that they map it to. A copy that no process
    holds is removed by the next one that makes or closes a copy; also if its processes
    were killed.

    Parameters
    ----------
    path : path-like
        The file. It must not be empty.
    digest : str
        Its checksum, by ``digest_of``.

    Attributes
    ----------
    path : Path
        The copy.

    Raises
    ------
    ValueError
        If the file changes while it is copied.
    OSError
        If the copy cannot be written, for example as the disk is full.
    """

    def __init__(self, path, digest):
        self.folder = _private_folder()
        self.path = self.folder / digest
        with _locked_folder(self.folder):
            self._file = _held(self.path)
            _remove_unused(self.folder)
            if self._file is None:
                _make_copy(path, self.path, digest)
                self._file = _held(self.path)

    def close(self, remove=False):
        """Let go of the copy; ``remove``: also if other processes hold it.

        What is mapped stays valid.
        """
        self._file.close()
        with contextlib.suppress(OSError), _locked_folder(self.folder):
            if remove:
                self.path.unlink(missing_ok=True)
            _remove_unused(self.folder)


def _private_folder():
    """Return the folder of the copies of this user, which nobody else can write to."""
    folder = Path(tempfile.gettempdir()) / f"sktwotower-{os.getuid()}"
    with contextlib.suppress(FileExistsError):
        folder.mkdir(mode=0o700)
    state = folder.lstat()
    is_mine = state.st_uid == os.getuid() and not state.st_mode & 0o077
    if not stat.S_ISDIR(state.st_mode) or not is_mine:
        raise PermissionError(
            f"{folder} is not a folder that only this user can read and write. Remove "
            "it, or set the environment variable TMPDIR to another folder."
        )
    return folder


@contextlib.contextmanager
def _locked_folder(folder):
    """Keep other processes from making and removing copies within the block."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def _held(copy):
    """Return the open file of a copy, locked so that it stays; None: there is none."""
    try:
        file = open(copy, "rb")
    except FileNotFoundError:
        return None
    fcntl.flock(file, fcntl.LOCK_SH)
    return file


def _remove_unused(folder):
    """Remove copies that no process holds, and what those that were killed wrote."""
    for copy in folder.iterdir():
        # an OSError: a process holds it
        with contextlib.suppress(OSError), open(copy, "rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            copy.unlink()


def _make_copy(path, copy, digest):
    """Copy a file of a checksum to a name that no file has."""
    size = os.path.getsize(path)
    part = copy.with_suffix(".part")
    try:
        if shutil.disk_usage(copy.parent).free < size:  # do not fill it for others
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        shutil.copyfile(path, part)
    except OSError as error:
        part.unlink(missing_ok=True)
        free = shutil.disk_usage(copy.parent).free
        raise OSError(
            error.errno,
            f"{path} cannot be copied to {copy.parent}, which has {free / 1e6:,.0f} MB "
            f"free: {error.strerror}. The copy takes {size / 1e6:,.0f} MB. Free space, "
            "or set the environment variable TMPDIR to another folder",
        ) from error
    if digest_of(part) != digest:
        part.unlink()
        raise ValueError(f"{path} has changed while it was copied.")
    os.replace(part, copy)
