"""The model of a file, read after the checks of the file as a whole.

Input: a path, and what reads a model whose type has a name.
Output: the model.
"""

import os

from ._checks import DamagedError, require
from ._container import ReadFile
from ._format_version import check_versions

# What a part that does not fit may raise, if no check has found it before.
UNEXPECTED = ArithmeticError, AttributeError, LookupError, RecursionError, TypeError


def check_path(path):
    """Raise ``TypeError`` for what is no path."""
    if not isinstance(path, str | os.PathLike):
        raise TypeError(f"path must be a str or a path-like object. Got {path!r}.")


def read_model(path, is_mapped, verify, reader_of):
    """Return the model of a file.

    Parameters
    ----------
    path, is_mapped, verify
        As in `ReadFile`.
    reader_of : callable
        ``reader_of(file, name)`` returns the ``PlainReader`` of a model, or raises
        ``ValueError`` for the name of its type.
    """
    check_path(path)
    with ReadFile(path, is_mapped, verify) as file:
        try:
            return _read(file, reader_of)
        except DamagedError as error:
            raise file.damaged(error.reason) from error


def _read(file, reader_of):
    """Return the model of a file, as `read_model` does."""
    check_versions(file.meta)
    spec = file.meta.get("model")
    name = None
    if type(spec) is dict:
        name = spec.get("type")
    require(type(name) is str, "the model", "an estimator of this package", name)
    reader = reader_of(file, name)
    try:
        return reader.read(spec, "model")
    except UNEXPECTED as error:
        raise file.damaged(f"its parts do not fit together ({error})") from error
