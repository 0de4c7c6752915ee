"""What files hold of a class: which parts, how they are written, read and checked.

Input: a class with annotations, and then an object, or what JSON holds in its place.
Output: the kind of the class, and then the other one of both.
"""

import inspect
import math
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field, fields, is_dataclass
from decimal import Decimal
from fractions import Fraction
from functools import partial
from typing import NamedTuple

from ._checks import any_value, check_of, instance, refusing, require, values_of
from ._format_version import in_todays_format, older_formats

CONFIGURATION = instance(dict) | None


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
    changes : list of UpTo, default=[]
        What the parts were in older formats.
    """

    cls: type
    parts: dict
    take: Callable | None = None
    build: Callable | None = None
    name: str = ""
    stored_as: type | None = None
    changes: list = field(default_factory=list)

    def write(self, value, writer, place):
        """Return what JSON holds for the parts of an object."""
        specs = {}
        for name, part in self.parts_of(value).items():
            specs[name] = self.parts[name].write(part, writer, f"{place}.{name}")
        return specs

    def parts_of(self, value):
        """Return the values of the parts of an object, a dict."""
        if self.take is None:
            return {name: getattr(value, name) for name in self.parts}
        taken = self.take(value)
        return {name: taken[name] for name in self.parts}

    def read(self, specs, reader, place):
        """Return the object whose parts JSON holds, after their checks."""
        specs = in_todays_format(specs, self.changes, reader.format_version)
        values = self.values_of_parts(specs, place)
        parts = {}
        for (name, part), value in zip(self.parts.items(), values, strict=True):
            parts[name] = part.read(value, reader, f"{place}.{name}")
        self.check_parts(parts, place)
        build = self.build or self.cls
        made = build(**parts)
        if hasattr(made, "_check_stored"):
            made._check_stored(place)
        return made

    def values_of_parts(self, specs, place):
        """Return what JSON holds of each part, a list; raise if there are others."""
        return values_of(specs, self.parts, place, f"a {self.name}")

    def check_parts(self, parts, place):
        """Raise unless parts fit together."""
        sizes = {name: part for name, part in parts.items() if type(part) is int}
        for name, value in parts.items():
            if hasattr(self.parts[name], "match"):
                self.parts[name].match(value, sizes, f"{place}.{name}")
        if parts and self.stored_as not in (None, self.cls):
            check = getattr(self.stored_as, "_check_stored", None)
            if check is not None:
                check(self.stored_as(**parts), place)

    def check_object(self, value, place):
        """Raise ``ValueError`` for an object that others have made of unfit parts."""
        errors = (AttributeError, KeyError, TypeError)
        with refusing(place, f"a {self.name} with all its parts", errors):
            parts = self.parts_of(value)
            for name, part in parts.items():
                self.parts[name](part, f"{place}.{name}")
        self.check_parts(parts, place)
        if parts and hasattr(value, "_check_stored"):
            value._check_stored(place)


class EstimatorKind(Kind):
    """An estimator: its parameters, and attributes that fit has set.

    An object that is not fitted has none of these attributes. Parameters that the tree
    of values does not hold have a codec each in ``_stored_parameters`` of the class.
    """

    def __init__(self, cls):
        super().__init__(cls, fields_of(cls), changes=older_formats(cls))
        codecs = getattr(cls, "_stored_parameters", {})
        self.codecs = defaultdict(lambda: any_value, codecs)
        self.changes_of_params = older_formats(cls, "_older_parameters")

    def write(self, value, writer, place):
        """Return what JSON holds for an estimator, if its parameters are valid."""
        # here: processes that serve read records without scikit-learn
        from sktwotower._sklearn_compat import requests_of

        _validate(value)
        params = value.get_params(deep=False)
        for name, param in params.items():
            where = f"parameter {name!r} of {self.cls.__name__}"
            params[name] = self.codecs[name].write(param, writer, where)
        output = vars(value).get("_sklearn_output_config")
        requests = requests_of(value)
        return {
            "params": params,
            "output": CONFIGURATION.write(output, writer, f"{place}.output"),
            "requests": CONFIGURATION.write(requests, writer, place),
            "state": super().write(value, writer, place),
        }

    def parts_of(self, value):
        """Return the attributes of fit that an estimator has, a dict."""
        return {name: vars(value)[name] for name in self.parts if name in vars(value)}

    def read(self, specs, reader, place):
        """Return the estimator that JSON holds, after its checks."""
        from sktwotower._sklearn_compat import set_requests  # as in write

        names = ("params", "output", "requests", "state")
        params, output, requests, state = values_of(
            specs, names, place, f"a {self.name}"
        )
        estimator = self.cls(**self._read_params(params, reader, place))
        _validate(estimator)

        # What `set_output` and `set_fit_request` had set.
        output = CONFIGURATION.read(output, reader, f"{place}.output")
        requests = CONFIGURATION.read(requests, reader, f"{place}.requests")
        if output is not None:
            fits = set(output) <= {"transform"}
            require(fits, f"{place}.output", "what set_output sets")
            estimator._sklearn_output_config = output
        if requests is not None:
            errors = (AttributeError, TypeError, ValueError)
            with refusing(f"{place}.requests", "metadata requests", errors):
                set_requests(estimator, requests)

        # Attributes of fit.
        state = in_todays_format(state, self.changes, reader.format_version)
        fits = type(state) is dict and set(state) <= set(self.parts)
        require(fits, place, f"a {self.name} with its state")
        outer_owner = reader.owner
        reader.owner = estimator
        for name, part in self.parts.items():
            if name in state:
                value = part.read(state[name], reader, f"{place}.{name}")
                vars(estimator)[name] = value
        reader.owner = outer_owner
        self.check_parts(self.parts_of(estimator), place)
        if state and hasattr(estimator, "_check_stored"):
            estimator._check_stored(place)
        return estimator

    def _read_params(self, specs, reader, place):
        """Return the dict of parameters; those of later versions are refused."""
        specs = in_todays_format(specs, self.changes_of_params, reader.format_version)
        fits = type(specs) is dict and set(specs) <= set(self.cls._get_param_names())
        require(fits, place, f"parameters of {self.cls.__name__}", specs)
        params = {}
        for name, spec in specs.items():
            params[name] = self.codecs[name].read(spec, reader, f"parameter {name!r}")
            _check_numbers(params[name], f"parameter {name!r}")
        return params

    def check_parts(self, parts, place):
        """Raise unless all attributes of fit are there, or none, and fit together."""
        needed = set(self.parts) - {"feature_names_in_"}
        is_whole = not parts or needed <= set(parts)
        require(is_whole, place, f"a {self.name} with all attributes of fit")
        super().check_parts(parts, place)


def _check_numbers(value, place):
    """Raise unless decimals and fractions are finite, at any depth."""
    if isinstance(value, dict):
        value = [*value, *value.values()]
    if isinstance(value, list | tuple | set | frozenset):
        for element in value:
            _check_numbers(element, place)
    elif isinstance(value, Decimal | Fraction):
        require(math.isfinite(value), place, "finite numbers")


def _validate(estimator):
    """Raise ``ValueError`` for parameters that fit would refuse."""
    if hasattr(estimator, "_parameter_constraints"):
        estimator._validate_params()


def is_estimator(cls):
    """Return whether a class is an estimator."""
    return hasattr(cls, "get_params")


def fields_of(cls):
    """Return the check of each stored field of a class, by its annotations, a dict.

    Also those of its bases within this package; ``_not_stored`` lists those left out.
    An estimator's annotations with a value, those of parameters, are not of fit.
    """
    annotations = {}
    if is_dataclass(cls) and not is_estimator(cls):
        for each_field in fields(cls):
            if each_field.init:
                annotations[each_field.name] = each_field.type
    else:
        for base in reversed(cls.__mro__):
            if base is cls or base.__module__.startswith("sktwotower."):
                annotations |= inspect.get_annotations(base)
    skipped = set(getattr(cls, "_not_stored", ()))
    if is_estimator(cls):
        skipped |= {name for name in annotations if hasattr(cls, name)}
        skipped.add("_")  # of a dataclass, before parameters by name only
    return {
        name: check_of(annotation)
        for name, annotation in annotations.items()
        if name not in skipped
    }


def kind_of_class(cls):
    """Return the ``Kind`` of a class with annotations.

    It may have the methods ``_stored_parts()``, which returns the values of its fields,
    a dict, ``_of_stored(**parts)``, which makes an object of them, and
    ``_check_stored(place)``, which raises ``ValueError`` for values, read from a file,
    that do not fit together. ``_stored_as`` is another class that has the annotations
    and the checks, such as one that does without torch. ``_older_formats`` says by
    ``UpTo`` what fields were in files of lower formats.
    """
    if is_estimator(cls):
        return EstimatorKind(cls)
    stored_as = getattr(cls, "_stored_as", cls)
    build = getattr(cls, "_of_stored", None)
    if build is None and not (is_dataclass(cls) or hasattr(cls, "_fields")):
        build = partial(_with_attributes, cls)
    return Kind(
        cls,
        fields_of(stored_as),
        take=getattr(cls, "_stored_parts", None),
        build=build,
        stored_as=stored_as,
        changes=older_formats(stored_as),
    )


def _with_attributes(cls, **attributes):
    """Return an object that has these attributes, without a call of ``__init__``."""
    made = cls.__new__(cls)
    vars(made).update(attributes)
    return made
