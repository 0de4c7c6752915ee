"""The list of classes that files may hold; each room adds its own.

Input: an object, or the name of a class in a file, such as "baselines.FittedMatrix".
Output: its kind, or None. Nothing else is ever made from a file.
"""

import inspect
from collections.abc import Callable
from dataclasses import dataclass, field, fields, is_dataclass
from functools import partial
from importlib import import_module
from typing import NamedTuple, dataclass_transform

from ._checks import check_of, refusing, values_of

# Where the records of each room are, imported when a file needs them: baselines do
# without torch.
MODULES = {
    "_tables": ("_tables._schema", "_tables._sequences"),
    "features": ("features._entities", "features._request_context"),
    "baselines": ("baselines",),
    "towers": ("towers", "towers.parts", "towers.sparse_parts"),
    "neighbors": ("neighbors._catalog_index",),
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


@dataclass_transform(frozen_default=True, eq_default=False, field_specifiers=(field,))
def frozen(cls):
    """Make a class an immutable dataclass, and a `record`; return it. A decorator."""
    return record(dataclass(cls, frozen=True, eq=False))


def add_kind(kind):
    """Let files hold the class of a ``Kind``.

    Its name there is with its room, or with its module elsewhere.
    """
    package, _, rest = kind.cls.__module__.partition(".")
    place = rest.partition(".")[0] if package == "sktwotower" else kind.cls.__module__
    kind.name = f"{place}.{kind.cls.__name__}"
    known = _BY_NAME.get(kind.name)
    if known is not None and known.cls.__module__ != kind.cls.__module__:
        raise TypeError(f"Two records have the name {kind.name}.")
    _BY_NAME[kind.name] = _BY_CLASS[kind.cls] = kind


class Codec(NamedTuple):
    """How values of a class that is not a record are written and read.

    Parameters
    ----------
    read : callable
        As `Kind.read`.
    write : callable, default=None
        As `Kind.write`. None: they are only read.
    name : str, default=""
        Of which type they are in files.
    fits : callable, default=None
        Returns whether a value is one of them.
    """

    read: Callable
    write: Callable | None = None
    name: str = ""
    fits: Callable | None = None


def add_codec(codec):
    """Let files hold the values that fit a ``Codec``."""
    _BY_NAME[codec.name] = codec
    _CODECS.append(codec)


def _import_room(room):
    for module in MODULES.get(room, ()):
        import_module(f"sktwotower.{module}")


def nested_types():
    """Return the names of the types that estimators of other packages may hold."""
    _import_room("features")
    kinds = [
        kind
        for name, kind in _BY_NAME.items()
        if name.startswith("features.") and isinstance(kind, Kind)
    ]
    return [f"{kind.cls.__module__}.{kind.cls.__qualname__}" for kind in kinds]


def kind_of(value):
    """Return the kind of an object, or None."""
    cls = type(value)
    found = _BY_CLASS.get(cls)
    if found is None and not cls.__module__.startswith("sktwotower."):
        found = next((codec for codec in _CODECS if codec.fits(value)), None)
    return found


def kind_of_name(name):
    """Return the kind of a name in a file, or None."""
    if name not in _BY_NAME:
        _import_room(name.partition(".")[0])
    return _BY_NAME.get(name)


def fields_of(cls):
    """Return the check of each stored field of a class, by its annotations, a dict.

    Also those of its bases within this package; ``_not_stored`` lists those left out.
    An estimator's annotations with a value, those of parameters, are not of fit.
    """
    if is_dataclass(cls) and not hasattr(cls, "get_params"):
        found = {each.name: each.type for each in fields(cls) if each.init}
    else:
        found = {}
        for base in reversed(cls.__mro__):
            if base is cls or base.__module__.startswith("sktwotower."):
                found |= inspect.get_annotations(base)
    if hasattr(cls, "get_params"):
        found = {name: each for name, each in found.items() if not hasattr(cls, name)}
        found.pop("_", None)  # of a dataclass, before parameters by name only
    skipped = getattr(cls, "_not_stored", ())
    return {name: check_of(each) for name, each in found.items() if name not in skipped}


def record_kind(cls):
    """Return the ``Kind`` of a class with annotations.

    It may have the methods ``_stored_parts()``, which returns the values of its fields,
    a dict, ``_of_stored(**parts)``, which makes an object of them, and
    ``_check_stored(place)``, which raises ``ValueError`` for values, read from a file,
    that do not fit together. ``_stored_as`` is another class that has the annotations
    and the checks, such as one that does without torch. ``_later_fields`` holds what
    fields are, as JSON, in files that were written before they existed.
    """
    stored_as = getattr(cls, "_stored_as", cls)
    parts = fields_of(stored_as)
    if hasattr(cls, "get_params"):
        estimators = import_module("._estimators", __package__)  # needs scikit-learn
        return estimators.Estimator(cls, parts, getattr(cls, "_stored_parameters", {}))
    build = getattr(cls, "_of_stored", None)
    if build is None and not (is_dataclass(cls) or hasattr(cls, "_fields")):
        build = partial(_with_attributes, cls)
    take = getattr(cls, "_stored_parts", None)
    return Kind(cls, parts, take, build, stored_as=stored_as)


def with_later_fields(cls, specs):
    """Return what JSON holds of a record, with the fields that files of before lack.

    A class with such fields has the dict ``_later_fields``: what JSON would hold.
    """
    added = getattr(cls, "_later_fields", None)
    return added | specs if added and type(specs) is dict else specs


def _with_attributes(cls, **attributes):
    made = cls.__new__(cls)
    vars(made).update(attributes)
    return made


@dataclass
class Kind:
    """A class whose objects consist of named parts.

    Parameters
    ----------
    cls : type
        The class; subclasses are not of this kind.
    parts : dict of str to check or codec
        What each part must be. A codec has ``write`` and ``read``.
    take : callable, default=None
        Returns the dict of parts of an object. None: its attributes.
    build : callable, default=None
        Makes an object of its parts, given by name. None: ``cls``.
    name : str, default=""
        Name in files; set by the registry.
    stored_as : type, default=None
        A dataclass of the parts, which checks them. None: ``cls``.
    """

    cls: type
    parts: dict
    take: Callable | None = None
    build: Callable | None = None
    name: str = ""
    stored_as: type | None = None

    def write(self, value, writer, place):
        """Return what JSON holds for the parts of an object."""
        parts, kinds = self.parts_of(value).items(), self.parts
        return {n: kinds[n].write(part, writer, f"{place}.{n}") for n, part in parts}

    def parts_of(self, value):
        """Return the values of the parts of an object, a dict."""
        taken = self.take(value) if self.take else None
        return {n: taken[n] if taken else getattr(value, n) for n in self.parts}

    def read(self, specs, reader, place):
        """Return the object whose parts JSON holds, after their checks."""
        specs = with_later_fields(self.stored_as or self.cls, specs)
        values = values_of(specs, self.parts, place, f"a {self.name}")
        parts = {}
        for (name, part), value in zip(self.parts.items(), values, strict=True):
            parts[name] = part.read(value, reader, f"{place}.{name}")
        self.check_parts(parts, place)
        made = (self.build or self.cls)(**parts)
        if hasattr(made, "_check_stored"):
            made._check_stored(place)
        return made

    def check_parts(self, parts, place):
        """Raise unless parts fit together."""
        sizes = {name: each for name, each in parts.items() if type(each) is int}
        for name, value in parts.items():
            if hasattr(self.parts[name], "match"):
                self.parts[name].match(value, sizes, f"{place}.{name}")
        if parts and self.stored_as not in (None, self.cls):
            check = getattr(self.stored_as, "_check_stored", None)
            if check is not None:
                check(self.stored_as(**parts), place)

    def check_object(self, value, place):
        """Raise ``ValueError`` for an object that others have made of unfit parts."""
        errors = AttributeError, KeyError, TypeError
        with refusing(place, f"a {self.name} with all its parts", errors):
            parts = self.parts_of(value)
            for name, part in parts.items():
                self.parts[name](part, f"{place}.{name}")
        self.check_parts(parts, place)
        if parts and hasattr(value, "_check_stored"):
            value._check_stored(place)
