"""The number of the file format.

Input: what a file says of it, and of the version that wrote the file.
Output: a ``ValueError`` for a file of a later format.
"""

import re

from sktwotower import __version__

from ._checks import integer, require

# Raised when the code of before cannot read what is written now. Files of lower numbers
# stay readable; CONTRIBUTING.md says how each number gets its files in tests/data.
FORMAT_VERSION = 1

NAME = re.compile(r"\d{1,9}(\.\w{1,20}){1,9}([+-][\w.]{1,40})?")


def check_versions(meta):
    """Raise ``ValueError`` for a file that this version cannot read."""
    number, found = meta.get("format_version"), meta.get("versions")
    name = found.get("sktwotower") if isinstance(found, dict) else None
    fits = type(name) is str and NAME.fullmatch(name)
    require(fits, "the version of sktwotower", "a version such as 1.2.3", name)
    integer(1)(number, "the number of the format")
    if number > FORMAT_VERSION:
        raise ValueError(
            f"The file was written by a later version, sktwotower {name}: it has "
            f"format {number}, and this version, {__version__}, reads "
            f"{FORMAT_VERSION}. Upgrade: pip install 'sktwotower>={name}'."
        )
