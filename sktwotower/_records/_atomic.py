"""A file that appears under its name only when it is complete.

Input: a path.
Output: a binary file to write to; the old file stays until the new one is on the disk.
"""

import contextlib
import os
import secrets
from pathlib import Path

__all__ = ["replaced_file"]


@contextlib.contextmanager
def replaced_file(path):
    """Yield a binary file that takes the place of ``path`` at the end of the block.

    It has a unique temporary name in the same folder. If the block or the disk fails,
    it is removed, and the old file is unchanged. Raise ``FileExistsError`` if a folder
    or a device has the name.
    """
    path = Path(path)
    if os.path.lexists(path) and not (path.is_file() or path.is_symlink()):
        raise FileExistsError(f"{path} is not a file, so that it is not replaced.")
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}.part")
    flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
    handle = os.open(temporary, flags, 0o666)  # less what the umask forbids
    try:
        with open(handle, "w+b") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    _sync_folder(path.parent)


def _sync_folder(folder):
    """Write the new name to the disk, where a folder can be opened."""
    with contextlib.suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
