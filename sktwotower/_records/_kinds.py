"""What a class consists of, and how its objects are written and read.

Input: an object, or what JSON holds for its parts.
Output: the other one of both.
"""

import inspect
from collections.abc import Callable
from dataclasses import dataclass, field, fields, is_dataclass

from sktwotower._sklearn_compat import requests_of, set_requests

from ._checks import (
    any_value,
    check_of,
    instance,
    optional,
    refuse,
    require,
)

__all__ = ["Estimator", "Kind", "fields_of", "record_kind"]


def fields_of(cls):
    """Return the check of each stored field of a class, by its annotations, a dict.

    Also those of its bases within this package; ``_not_stored`` lists those left out.
    An estimator's annotations with a value, such as constraints, are not of fit.
    """
    if is_dataclass(cls):
        found = {each.name: each.type for each in fields(cls) if each.init}
    else:
        found = {}
        for base in reversed(cls.__mro__):
            if base is cls or base.__module__.startswith("sktwotower."):
                found |= inspect.get_annotations(base)
    if hasattr(cls, "get_params"):
        found = {name: each for name, each in found.items() if not hasattr(cls, name)}
    left_out = getattr(cls, "_not_stored", ())
    return {
        name: check_of(each) for name, each in found.items() if name not in left_out
    }


def record_kind(cls):
    """Return the ``Kind`` of a class with annotations.

    It may have the methods ``_stored_parts()``, which returns the values of its fields,
    a dict, ``_of_stored(**parts)``, which makes an object of them, and
    ``_check_stored(place)``, which raises ``ValueError`` for values, read from a file,
    that do not fit together.
    """
    parts = fields_of(cls)
    if hasattr(cls, "get_params"):
        codecs = getattr(cls, "_stored_parameters", None)
        return Estimator(cls, parts, codecs, getattr(cls, "_check_stored", None))
    build = getattr(cls, "_of_stored", None)
    if build is None and not (is_dataclass(cls) or hasattr(cls, "_fields")):
        build = _builder(cls)
    return Kind(cls, parts, getattr(cls, "_stored_parts", None), build)


def _builder(cls):
    def build(**parts):
        made = cls.__new__(cls)
        vars(made).update(parts)
        return made

    return build


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
    check : callable, default=None
        Is called with the dict of parts and the place, and raises ``ValueError`` for
        parts that do not fit together.
    name : str, default=""
        Name in files; set by the registry.
    """

    cls: type
    parts: dict
    take: Callable | None = None
    build: Callable | None = None
    check: Callable | None = None
    name: str = ""

    def write(self, value, writer, place):
        """Return what JSON holds for the parts of an object."""
        taken = self.take(value) if self.take else None
        return {
            part: spec.write(
                taken[part] if taken else getattr(value, part),
                writer,
                f"{place}.{part}",
            )
            for part, spec in self.parts.items()
        }

    def read(self, specs, reader, place):
        """Return the object whose parts JSON holds, after their checks."""
        if type(specs) is not dict or set(specs) != set(self.parts):
            refuse(place, f"a {self.name} with {', '.join(self.parts)}", specs)
        parts = {
            part: spec.read(specs[part], reader, f"{place}.{part}")
            for part, spec in self.parts.items()
        }
        self._check_parts(parts, place)
        made = (self.build or self.cls)(**parts)
        if hasattr(made, "_check_stored"):
            made._check_stored(place)
        return made

    def _check_parts(self, parts, place):
        """Raise unless parts fit together."""
        sizes = {name: each for name, each in parts.items() if type(each) is int}
        for name, spec in self.parts.items():
            if hasattr(spec, "match"):
                spec.match(parts[name], sizes, f"{place}.{name}")
        if self.check:
            self.check(parts, place)

    def check_object(self, value, place):
        """Raise ``ValueError`` for an object that others have made of unfit parts."""
        try:
            taken = self.take(value) if self.take else vars(value)
            parts = {
                name: spec(taken[name], f"{place}.{name}")
                for name, spec in self.parts.items()
            }
        except (AttributeError, KeyError, TypeError) as error:
            refuse(place, f"a {self.name} with all its parts ({error})")
        self._check_parts(parts, place)
        if hasattr(value, "_check_stored"):
            value._check_stored(place)


@dataclass
class Parameters:
    """A codec for the parameters of an estimator.

    ``codecs``: those of parameters that the tree of values does not hold.
    """

    cls: type
    codecs: dict = field(default_factory=dict)

    def write(self, params, writer, place):
        """Return what JSON holds for a dict of parameters."""
        owner = self.cls.__name__
        return {
            name: self.codecs.get(name, any_value).write(
                value, writer, f"parameter {name!r} of {owner}"
            )
            for name, value in params.items()
        }

    def read(self, specs, reader, place):
        """Return the dict of parameters; those of later versions are refused."""
        known = self.cls._get_param_names()
        if type(specs) is not dict or not set(specs) <= set(known):
            refuse(place, f"parameters of {self.cls.__name__}", specs)
        read = {}
        for name, spec in specs.items():
            at, codec = f"parameter {name!r}", self.codecs.get(name)
            read[name] = (
                codec.read(spec, reader, at) if codec else reader.read(spec, at)
            )
        return read


class Estimator(Kind):
    """An estimator: its parameters, and attributes that fit has set.

    Parameters
    ----------
    cls : type
    state : dict of str to check or codec
        Attributes of fit; an object that is not fitted, or was fitted without, lacks
        some of them.
    codecs : dict, default=None
        Codecs of parameters.
    check : callable, default=None
        Is called with the estimator and the place, and raises ``ValueError`` for
        attributes that do not fit together.
    """

    def __init__(self, cls, state, codecs=None, check=None):
        config = optional(instance(dict))
        parameters = Parameters(cls, codecs or {})
        parts = {"params": parameters, "output": config, "requests": config}
        super().__init__(cls, parts)
        self.state, self.check_state = state, check

    def write(self, value, writer, place):
        """Return what JSON holds for an estimator, if its parameters are valid."""
        _validate(value)
        parts = {
            "params": value.get_params(deep=False),
            "output": vars(value).get("_sklearn_output_config"),
            "requests": requests_of(value),
        }
        written = {
            part: spec.write(parts[part], writer, f"{place}.{part}")
            for part, spec in self.parts.items()
        }
        written["state"] = {
            name: spec.write(vars(value)[name], writer, f"{place}.{name}")
            for name, spec in self.state.items()
            if name in vars(value)
        }
        return written

    def read(self, specs, reader, place):
        """Return the estimator that JSON holds, after its checks."""
        if type(specs) is not dict or set(specs) != {"state", *self.parts}:
            refuse(place, f"a {self.name}", specs)
        state = specs["state"]
        require(type(state) is dict, place, f"a {self.name} with its state")
        require(set(state) <= set(self.state), place, f"the state of a {self.name}")
        parts = {
            part: spec.read(specs[part], reader, f"{place}.{part}")
            for part, spec in self.parts.items()
        }
        estimator = self.cls(**parts["params"])
        _validate(estimator)
        _configure(estimator, parts, place)
        outer, reader.owner = reader.owner, estimator
        for name, spec in self.state.items():
            if name in state:
                made = spec.read(state[name], reader, f"{place}.{name}")
                vars(estimator)[name] = made
        reader.owner = outer
        self._check_state(estimator, set(state), place)
        return estimator

    def _check_state(self, estimator, names, place):
        """Raise unless the attributes of fit with these names fit together."""
        if not names:
            return
        needed = set(self.state) - {"feature_names_in_"}
        require(needed <= names, place, f"a {self.name} with all attributes of fit")
        state = {name: vars(estimator)[name] for name in self.state if name in names}
        sizes = {name: each for name, each in state.items() if type(each) is int}
        for name, value in state.items():
            if hasattr(self.state[name], "match"):
                self.state[name].match(value, sizes, f"{place}.{name}")
        if self.check_state:
            self.check_state(estimator, place)

    def check_object(self, value, place):
        """Raise ``ValueError`` for an estimator whose attributes are unfit."""
        names = {name for name in self.state if name in vars(value)}
        for name in names:
            self.state[name](vars(value)[name], f"{place}.{name}")
        self._check_state(value, names, place)


def _validate(estimator):
    """Raise ``ValueError`` for parameters that fit would refuse."""
    if hasattr(estimator, "_parameter_constraints"):
        estimator._validate_params()


def _configure(estimator, parts, place):
    """Set what `set_output` and `set_fit_request` had set."""
    if parts["output"] is not None:
        fits = set(parts["output"]) <= {"transform"}
        require(fits, f"{place}.output", "what set_output sets")
        estimator._sklearn_output_config = parts["output"]
    if parts["requests"] is not None:
        try:
            set_requests(estimator, parts["requests"])
        except (AttributeError, TypeError, ValueError) as error:
            refuse(f"{place}.requests", f"metadata requests ({error})")
