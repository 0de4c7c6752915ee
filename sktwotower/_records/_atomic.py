"""A file that appears under its name only when it is complete.

Input: a path.
Output: a binary file to write to; the old file stays until the new one is on the disk.
"""

import contextlib
import os
import re
import secrets
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows: files of writers that were killed stay
    fcntl = None


@contextlib.contextmanager
def replaced_file(path):
    """Yield a binary file that takes the place of ``path`` at the end of the block.

    It has a unique temporary name in the same folder. If the block or the disk fails,
    it is removed, and the old file is unchanged. What writers of the same file have
    left that were killed is removed, too. Raise ``FileExistsError`` if a folder or a
    device has the name, and ``FileNotFoundError`` if there is no such folder.
    """
    path = Path(path)
    if not path.parent.is_dir():
        remedy = "Create it, or choose another path."
        raise FileNotFoundError(f"The folder of {path} does not exist. {remedy}")
    if os.path.lexists(path) and not (path.is_file() or path.is_symlink()):
        raise FileExistsError(f"{path} is not a file, so that it is not replaced.")
    if fcntl is not None:
        _remove_left(path)
    temporary, handle = _new_file(path)
    with contextlib.ExitStack() as stack:
        if fcntl is not None:  # the lock lasts until the file has its name
            stack.callback(os.close, os.dup(handle))
        try:
            with open(handle, "w+b") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, path)
        except BaseException as error:
            temporary.unlink(missing_ok=True)
            if isinstance(error, OSError) and error.filename is None:
                error.filename = str(path)  # a full disk has no name
            raise
    with contextlib.suppress(OSError):  # where a folder can be opened
        handle = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(handle)  # the new name is on the disk
        finally:
            os.close(handle)


def _new_file(path):
    """Return the name and the handle of a new file, which is locked."""
    flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
    while True:
        temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}.part")
        handle = os.open(temporary, flags, 0o666)  # less what the umask forbids
        if fcntl is None or not _is_locked(handle) or os.fstat(handle).st_nlink:
            return temporary, handle
        os.close(handle)  # another writer saw it before it was locked, and removed it


def _is_locked(handle, flags=0):
    """Lock a file until its writer ends; return whether that is possible."""
    with contextlib.suppress(OSError):  # another one has locked it, or no such locks
        fcntl.flock(handle, fcntl.LOCK_EX | flags)
        return True
    return False


def _remove_left(path):
    """Remove files of writers of ``path`` that were killed: nobody locks them."""
    name = re.compile(re.escape(f".{path.name}.") + r"[0-9a-f]{16}\.part")
    try:
        others = os.listdir(path.parent)
    except OSError:  # opening a new file says what is wrong
        return
    for other in filter(name.fullmatch, others):
        with contextlib.suppress(OSError):  # gone, or of another user
            handle = os.open(path.with_name(other), os.O_RDWR | os.O_NOFOLLOW)
            try:
                if _is_locked(handle, fcntl.LOCK_NB):
                    path.with_name(other).unlink()
            finally:
                os.close(handle)
