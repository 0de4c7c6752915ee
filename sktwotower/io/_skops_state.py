"""A recommender as the bytes of its file, which skops can write.

Input: a recommender, or its bytes and the types in it that skops does not trust.
Output: the other one of both.
"""

import sys
from operator import attrgetter
from pathlib import Path
from pkgutil import resolve_name
from tempfile import TemporaryDirectory

from sktwotower._records._container import ReadFile
from sktwotower._records._values import Reader

from ._persist import dump, load
from ._skops import untrusted_types

# What classes of a user are in files: losses, and kinds of columns.
NAMED = {"towers.NamedLoss", "features.ColumnKind"}


def to_state(model):
    """Return the bytes of the file of a recommender, and its untrusted types, a dict.

    skops shows the types of what it reads, and asks whether they are trusted.
    """
    with TemporaryDirectory() as folder:
        path = Path(folder, "model")
        dump(model, path)
        with ReadFile(path, False, False) as file:
            names = untrusted_types(Reader(file))
            named = _classes_in(file.meta)
        types = [*map(resolve_name, names), *named]
        return {"file": path.read_bytes(), "types": types}


def _classes_in(spec):
    """Return the classes of the user that JSON names, each once.

    Nothing is imported: what is not there, the model has not got, either.
    """
    classes = {}
    waiting = [spec]
    while waiting:
        spec = waiting.pop()
        if isinstance(spec, list):
            waiting += spec
        elif isinstance(spec, dict) and spec.get("type") in NAMED:
            module = spec["parts"]["module"]
            qualname = spec["parts"]["qualname"]
            try:
                cls = attrgetter(qualname)(sys.modules[module])
            except (KeyError, AttributeError):
                continue
            classes[module, qualname] = cls
        elif isinstance(spec, dict):
            waiting += spec.values()
    return list(classes.values())


def from_state(state):
    """Return the recommender of bytes; the types are those that skops has trusted."""
    trusted = [f"{cls.__module__}.{cls.__qualname__}" for cls in state["types"]]
    with TemporaryDirectory() as folder:
        path = Path(folder, "model")
        path.write_bytes(state["file"])
        return load(path, trusted=trusted)
