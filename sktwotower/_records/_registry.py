"""The list of classes that files may hold; each room adds its own.

Input: an object, or the name of a class in a file, such as "baselines.FittedMatrix".
Output: its kind, or None. Nothing else is ever made from a file.
"""

from importlib import import_module

from ._kinds import record_kind

__all__ = ["add_codec", "kind_of", "kind_of_name", "nested_types", "record"]

# Where the records of each room are, imported when a file needs them: baselines do
# without torch.
MODULES = {
    "_tables": ("_tables._schema", "_tables._sequences"),
    "features": ("features._entities",),
    "baselines": ("baselines",),
    "towers": ("towers", "towers.parts"),
    "neighbors": ("neighbors", "neighbors._catalog_index"),
    "recommender": ("recommender",),
    "two_stage": ("two_stage",),
}
_BY_NAME, _BY_CLASS, _CODECS = {}, {}, []


def record(cls):
    """Let files hold a class, whose annotations say what its fields are; return it.

    A decorator. See `record_kind` for the methods that the class may have.
    """
    add_kind(record_kind(cls))
    return cls


def add_kind(kind):
    """Let files hold the class of a ``Kind``."""
    kind.name = _name(kind.cls)
    known = _BY_NAME.get(kind.name)
    if known is not None and known.cls.__module__ != kind.cls.__module__:
        raise TypeError(f"Two records have the name {kind.name}.")
    _BY_NAME[kind.name] = _BY_CLASS[kind.cls] = kind


def add_codec(codec):
    """Let files hold other values: ``codec.name`` where ``codec.fits(value)``."""
    _BY_NAME[codec.name] = codec
    _CODECS.append(codec)


def _name(cls):
    """Return the name of a class in files: with its room, or its module elsewhere."""
    package, _, rest = cls.__module__.partition(".")
    place = rest.partition(".")[0] if package == "sktwotower" else cls.__module__
    return f"{place}.{cls.__name__}"


def _import_room(room):
    for module in MODULES.get(room, ()):
        import_module(f"sktwotower.{module}")


def nested_types():
    """Return the names of the types that estimators of other packages may hold."""
    _import_room("features")
    kinds = [kind for name, kind in _BY_NAME.items() if name.startswith("features.")]
    return [f"{kind.cls.__module__}.{kind.cls.__qualname__}" for kind in kinds]


def kind_of(value):
    """Return the kind of an object, or None."""
    cls = type(value)
    if cls not in _BY_CLASS and cls.__module__.startswith("sktwotower."):
        _import_room(cls.__module__.split(".")[1])
    found = _BY_CLASS.get(cls)
    if found is None and not cls.__module__.startswith("sktwotower."):
        found = next((codec for codec in _CODECS if codec.fits(value)), None)
    return found


def kind_of_name(name):
    """Return the kind of a name in a file, or None."""
    if name not in _BY_NAME:
        _import_room(name.partition(".")[0])
    return _BY_NAME.get(name)
