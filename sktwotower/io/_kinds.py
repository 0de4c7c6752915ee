"""What a type of this package consists of, and how its objects are written and read.

Input: an object, or what JSON holds for its parts.
Output: the other one of both.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

from sktwotower._sklearn_compat import requests_of, set_requests

from ._errors import instance, optional, refuse, require
from ._frames import FrameCodec, is_table

__all__ = ["Estimator", "Kind", "Maybe", "Vectors"]


@dataclass
class Kind:
    """A type whose objects consist of named parts.

    Parameters
    ----------
    cls : type
        The type; subclasses are not of this kind.
    parts : dict of str to check or codec
        What each part must be. A check is called with the part and its place, and
        raises ``ValueError``. A codec has ``write`` and ``read``.
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
            part: _write_part(
                spec,
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
            part: _read_part(spec, specs[part], reader, f"{place}.{part}")
            for part, spec in self.parts.items()
        }
        if self.check:
            self.check(parts, place)
        return (self.build or self.cls)(**parts)

    def check_object(self, value, place):
        """Raise ``ValueError`` for an object that others have made of unfit parts."""
        try:
            parts = self.take(value) if self.take else vars(value)
            for name, spec in self.parts.items():
                spec(parts[name], f"{place}.{name}")
        except (AttributeError, KeyError, TypeError) as error:
            refuse(place, f"a {self.name} with all its parts ({error})")
        if self.check:
            self.check(parts, place)


def _write_part(spec, value, writer, place):
    if hasattr(spec, "write"):
        return spec.write(value, writer, place)
    return writer.write(value, place)


def _read_part(spec, written, reader, place):
    if hasattr(spec, "read"):
        return spec.read(written, reader, place)
    return spec(reader.read(written, place), place)


@dataclass
class Maybe:
    """A codec for what another one writes, or None."""

    codec: object

    def write(self, value, writer, place):
        """Return what JSON holds for a value or None."""
        return None if value is None else _write_part(self.codec, value, writer, place)

    def read(self, spec, reader, place):
        """Return the value that JSON holds, or None."""
        return None if spec is None else _read_part(self.codec, spec, reader, place)


@dataclass
class Vectors:
    """A codec for float32 vectors, which may be stored in half precision."""

    check: Callable

    def write(self, value, writer, place):
        """Return what JSON holds for vectors."""
        return writer.vectors(value, place)

    def read(self, spec, reader, place):
        """Return the vectors that JSON holds."""
        return self.check(reader.vectors(spec, place), place)


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
            name: self._write(name, value, writer, f"parameter {name!r} of {owner}")
            for name, value in params.items()
        }

    def _write(self, name, value, writer, place):
        if name in self.codecs:
            return self.codecs[name].write(value, writer, place)
        if is_table(value):
            return {"type": "table"} | FrameCodec.write(value, writer, place)
        return writer.write(value, place)

    def read(self, specs, reader, place):
        """Return the dict of parameters; those of later versions are refused."""
        known = self.cls._get_param_names()
        if type(specs) is not dict or not set(specs) <= set(known):
            refuse(place, f"parameters of {self.cls.__name__}", specs)
        return {
            name: self._read(name, spec, reader, f"parameter {name!r}")
            for name, spec in specs.items()
        }

    def _read(self, name, spec, reader, place):
        if name in self.codecs:
            return self.codecs[name].read(spec, reader, place)
        if type(spec) is dict and spec.get("type") == "table":
            spec = {key: value for key, value in spec.items() if key != "type"}
            return FrameCodec.read(spec, reader, place)
        return reader.read(spec, place)


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
            part: _write_part(spec, parts[part], writer, f"{place}.{part}")
            for part, spec in self.parts.items()
        }
        written["state"] = {
            name: _write_part(spec, vars(value)[name], writer, f"{place}.{name}")
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
            part: _read_part(spec, specs[part], reader, f"{place}.{part}")
            for part, spec in self.parts.items()
        }
        estimator = self.cls(**parts["params"])
        _validate(estimator)
        _configure(estimator, parts, place)
        outer, reader.owner = reader.owner, estimator
        for name, spec in self.state.items():
            if name in state:
                made = _read_part(spec, state[name], reader, f"{place}.{name}")
                vars(estimator)[name] = made
        reader.owner = outer
        if self.check_state and state:
            self.check_state(estimator, place)
        return estimator

    def check_object(self, value, place):
        """Raise ``ValueError`` for an estimator whose attributes are unfit."""
        state = {name: vars(value)[name] for name in self.state if name in vars(value)}
        for name, each in state.items():
            self.state[name](each, f"{place}.{name}")
        if self.check_state and state:
            self.check_state(value, place)


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
