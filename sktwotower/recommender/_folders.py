"""The parameters that name folders, in files.

Input: a folder, or what JSON holds in its place.
Output: the other one.
"""

import os

from sktwotower._records import one_of
from sktwotower._records._checks import text
from sktwotower._records._values import cannot_write

__all__ = ["Folder", "NoFolder"]


class NoFolder:
    """The parameter ``memory``: a folder of pickles, which no file may name."""

    @staticmethod
    def write(value, writer, place):
        """Raise ``ValueError`` if there is a folder."""
        if value is not None:
            raise cannot_write(value, place, ", a folder of pickles")

    @staticmethod
    def read(spec, reader, place):
        """Return None."""
        return one_of(None)(spec, place)


class Folder:
    """The parameter ``checkpoint``: the name of a folder."""

    @staticmethod
    def write(value, writer, place):
        """Return the name as text, or None."""
        return None if value is None else os.fspath(value)

    @staticmethod
    def read(spec, reader, place):
        """Return the name, or None."""
        return (text | None)(spec, place)
