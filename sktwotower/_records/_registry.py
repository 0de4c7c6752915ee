"""The list of classes that files may hold; each room adds its own.

Input: an object, or the name of a class in a file, such as "baselines.FittedMatrix".
Output: its kind, or None. Nothing else is ever made from a file.
"""

from dataclasses import dataclass, field
from importlib import import_module
from typing import dataclass_transform

from ._kinds import kind_of_class

# Where the records of each room are, imported when a file needs them: baselines do
# without torch.
MODULES = {
    "_tables": ("_tables._schema", "_tables._sequences"),
    "features": ("features._entities", "features._request_context"),
    "baselines": ("baselines",),
    "towers": ("towers", "towers.parts", "towers.sparse_parts", "towers.histories"),
    "neighbors": ("neighbors._catalog_index",),
    "recommender": ("recommender",),
    "two_stage": ("two_stage",),
}
_BY_NAME = {}
_BY_CLASS = {}
_CODECS = []


def record(cls):
    """Let files hold a class, whose annotations say what its fields are; return it.

    A decorator. See `kind_of_class` for the methods that the class may have.
    """
    add_kind(kind_of_class(cls))
    return cls


@dataclass_transform(frozen_default=True, eq_default=False, field_specifiers=(field,))
def frozen(cls):
    """Make a class an immutable dataclass, and a `record`; return it. A decorator."""
    return record(dataclass(cls, frozen=True, eq=False))


def add_kind(kind):
    """Let files hold the class of a ``Kind``.

    Its name there is with its room, or with its module elsewhere. It is that of the
    class, or its ``_stored_name`` if the class had another name once.
    """
    cls = kind.cls
    room = cls.__module__
    if room.startswith("sktwotower."):
        room = room.split(".")[1]
    kind.name = f"{room}.{getattr(cls, '_stored_name', cls.__name__)}"
    known = _BY_NAME.get(kind.name)
    if known is not None and known.cls.__module__ != cls.__module__:
        raise TypeError(f"Two records have the name {kind.name}.")
    _BY_NAME[kind.name] = kind
    _BY_CLASS[cls] = kind


def add_codec(codec):
    """Let files hold the values that fit a ``Codec``."""
    _BY_NAME[codec.name] = codec
    _CODECS.append(codec)


def _import_room(room):
    """Import the modules of a room that have records."""
    for module in MODULES.get(room, ()):
        import_module(f"sktwotower.{module}")


def nested_types():
    """Return the names of the types that estimators of other packages may hold."""
    _import_room("features")
    kinds = [
        kind
        for name, kind in _BY_NAME.items()
        if name.startswith("features.") and hasattr(kind, "cls")
    ]
    return [f"{kind.cls.__module__}.{kind.cls.__qualname__}" for kind in kinds]


def kind_of(value):
    """Return the kind of an object, or None."""
    cls = type(value)
    if cls in _BY_CLASS:
        return _BY_CLASS[cls]
    if cls.__module__.startswith("sktwotower."):
        return None
    for codec in _CODECS:
        if codec.fits(value):
            return codec
    return None


def kind_of_name(name):
    """Return the kind of a name in a file, or None."""
    if name not in _BY_NAME:
        _import_room(name.partition(".")[0])
    return _BY_NAME.get(name)
