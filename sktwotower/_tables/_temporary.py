"""Errors of files in the temporary folder, which say what the folder is for.

Input: code that writes such files.
Output: an ``OSError`` that names the folder and the variable that names another one.
"""

import errno
import tempfile
from contextlib import contextmanager

# What errors of other libraries say where the disk, or the user's share of it, is full;
# the last one is DuckDB's, which looks at what is free before it writes.
FULL = (
    "no space left on device",
    "disk quota exceeded",
    "not enough space on the disk",
    "max_temp_directory_size",
)
FULL_NUMBERS = {errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC)}  # not on Windows


def says_full(error):
    """Return whether an error of any library says that a disk is full."""
    if isinstance(error, OSError) and error.errno in FULL_NUMBERS:
        return True
    text = str(error).lower()
    return any(words in text for words in FULL)


def full_error():
    """Return the ``OSError`` for a temporary folder that is full."""
    folder = tempfile.gettempdir()
    message = (
        "The temporary folder is full. Events that are read from disk are copied to it "
        "and sorted there, as numbers. Free space, or set the environment variable "
        "TMPDIR to a folder with more of it before Python starts"
    )
    return OSError(errno.ENOSPC, message, folder)


@contextmanager
def temporary_files():
    """Name the temporary folder in errors of code that writes to it."""
    try:
        yield
    except OSError as error:
        if says_full(error):
            raise full_error() from error
        raise
