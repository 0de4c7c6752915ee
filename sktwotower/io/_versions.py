"""The versions of the libraries that wrote a file.

Input: what the file says of them.
Output: a ``ValueError`` for a file of a later version of this package.
"""

import re
import sys
from importlib.metadata import PackageNotFoundError, version

from sktwotower import __version__

from ._errors import refuse

__all__ = ["check_versions", "versions"]

# Raised when a file of the new version cannot be read by the code of the one before.
FORMAT_VERSION = 1

LIBRARIES = ("numpy", "pandas", "scikit-learn", "scipy", "skops", "torch")


def versions():
    """Return the version of Python, of this package and of the libraries it uses."""
    found = {"python": sys.version.split()[0], "sktwotower": __version__}
    for library in LIBRARIES:
        try:
            found[library] = version(library)
        except PackageNotFoundError:
            found[library] = None
    return found


def check_versions(meta):
    """Raise ``ValueError`` for a file that this version cannot read."""
    found = meta.get("versions")
    name = found.get("sktwotower") if isinstance(found, dict) else None
    if type(name) is not str or type(meta.get("format_version")) is not int:
        refuse("the versions", "those of the package and of the format", found)
    is_later = _minor(name) > _minor(__version__)
    if is_later or meta["format_version"] > FORMAT_VERSION:
        raise ValueError(
            f"The file was written by sktwotower {name}, a later version than this, "
            f"{__version__}: what it has learnt may have parts that are unknown here. "
            f"Install that version: pip install 'sktwotower>={name}'."
        )


def _minor(name):
    """Return the first two numbers of a version."""
    found = re.match(r"(\d{1,9})\.(\d{1,9})", name)
    if not found:
        refuse("the version of sktwotower", "a version such as 1.2.3", name)
    return tuple(map(int, found.groups()))
