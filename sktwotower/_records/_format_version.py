"""The number of the file format, and what records were in files of lower numbers.

Input: what a file says of its format; what JSON holds of a record in such a file.
Output: a ``ValueError`` for a file of a later format; the record as JSON of today.
"""

import re
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from importlib.metadata import PackageNotFoundError, version

from sktwotower import __version__

from ._checks import integer, require

# Raised when the code of before cannot read what is written now. Files of lower numbers
# stay readable; CONTRIBUTING.md says how each number gets its files in tests/data.
FORMAT_VERSION = 1

LIBRARIES = ("numpy", "pandas", "scikit-learn", "scipy", "skops", "torch")
NAME = re.compile(r"\d{1,9}(\.\w{1,20}){1,9}([+-][\w.]{1,40})?")


def about_writer():
    """Return what a file says of its format and of who writes it, a dict."""
    return {"format_version": FORMAT_VERSION, "versions": _versions()}


@cache  # each takes milliseconds to find
def _versions():
    """Return the version of Python, of this package and of the libraries it uses."""
    versions = {"python": sys.version.split()[0], "sktwotower": __version__}
    for library in LIBRARIES:
        try:
            versions[library] = version(library)
        except PackageNotFoundError:
            versions[library] = None
    return versions


def check_versions(meta):
    """Raise ``ValueError`` for a file that this version cannot read."""
    number = meta.get("format_version")
    versions = meta.get("versions")
    writer = None
    if isinstance(versions, dict):
        writer = versions.get("sktwotower")
    is_version = type(writer) is str and NAME.fullmatch(writer)
    require(is_version, "the version of sktwotower", "a version such as 1.2.3", writer)
    integer(1)(number, "the number of the format")
    if number > FORMAT_VERSION:
        raise ValueError(
            f"The file was written by a later version, sktwotower {writer}: it has "
            f"format {number}, and this version, {__version__}, reads "
            f"{FORMAT_VERSION}. Upgrade: pip install 'sktwotower>={writer}'."
        )


@dataclass(frozen=True)
class UpTo:
    """How a record differs in files up to a number of the format.

    A record has a tuple of these as ``_older_formats``. An estimator has those of its
    parameters as ``_older_parameters``. They are applied one after the other, from the
    number of the file on, before anything else is checked.

    Parameters
    ----------
    number : int
        The last format whose files may hold the record so.
    lacking : dict, default={}
        What JSON would hold of fields that these files may lack.
    renamed : dict, default={}
        Names of fields in these files, and what they are called in the next format.
    gone : tuple of str, default=()
        Names of fields that the next format does not have.
    translate : callable, default=None
        Is called first, with the JSON dict of these files, and returns the changed one.
    """

    number: int
    lacking: dict = field(default_factory=dict)
    renamed: dict = field(default_factory=dict)
    gone: tuple = ()
    translate: Callable | None = None


def older_formats(cls, name="_older_formats"):
    """Return what a class and its bases say of older formats, by ascending number."""
    changes = []
    for base in reversed(cls.__mro__):
        changes += vars(base).get(name, ())
    return sorted(changes, key=lambda change: change.number)


def in_todays_format(specs, changes, number):
    """Return what JSON would hold today of a record in a file of some format.

    What is no dict is returned as it is, for others to refuse. ``changes``: as of
    `older_formats`. ``number``: that of the file.
    """
    if type(specs) is not dict:
        return specs
    for change in changes:
        if number > change.number:
            continue
        specs = dict(specs)
        if change.translate is not None:
            specs = change.translate(specs)
        for name in change.gone:
            specs.pop(name, None)
        for name, next_name in change.renamed.items():
            if name in specs:
                specs[next_name] = specs.pop(name)
        specs = change.lacking | specs
    return specs
