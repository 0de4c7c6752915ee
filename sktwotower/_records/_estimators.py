"""Estimators in files: their parameters, and the attributes that fit has set.

Input: an estimator of this package, or what JSON holds in its place.
Output: the other one of both.
"""

import math
from collections import defaultdict
from decimal import Decimal
from fractions import Fraction

from sktwotower._sklearn_compat import requests_of, set_requests

from ._checks import any_value, instance, refusing, require, values_of
from ._registry import Kind

CONFIGURATION = instance(dict) | None


class Estimator(Kind):
    """An estimator: its parameters, and attributes that fit has set.

    Parameters
    ----------
    cls : type
    parts : dict of str to check or codec
        Attributes of fit; an object that is not fitted has none of them.
    codecs : dict, default=None
        Codecs of parameters that the tree of values does not hold.
    """

    def __init__(self, cls, parts, codecs=None):
        super().__init__(cls, parts)
        self.codecs = defaultdict(lambda: any_value, codecs or {})

    def write(self, value, writer, place):
        """Return what JSON holds for an estimator, if its parameters are valid."""
        _validate(value)
        params = value.get_params(deep=False)
        for name, param in params.items():
            where = f"parameter {name!r} of {self.cls.__name__}"
            params[name] = self.codecs[name].write(param, writer, where)
        output = vars(value).get("_sklearn_output_config")
        output = CONFIGURATION.write(output, writer, f"{place}.output")
        requests = CONFIGURATION.write(requests_of(value), writer, place)
        configured = {"params": params, "output": output, "requests": requests}
        return configured | {"state": super().write(value, writer, place)}

    def parts_of(self, value):
        """Return the attributes of fit that an estimator has, a dict."""
        return {name: vars(value)[name] for name in self.parts if name in vars(value)}

    def read(self, specs, reader, place):
        """Return the estimator that JSON holds, after its checks."""
        names = "params", "output", "requests", "state"
        values = values_of(specs, names, place, f"a {self.name}")
        params, output, requests, state = values
        estimator = self.cls(**self._read_params(params, reader, place))
        _validate(estimator)
        output = CONFIGURATION.read(output, reader, f"{place}.output")
        requests = CONFIGURATION.read(requests, reader, f"{place}.requests")
        _configure(estimator, output, requests, place)
        fits = type(state) is dict and set(state) <= set(self.parts)
        require(fits, place, f"a {self.name} with its state")
        outer, reader.owner = reader.owner, estimator
        for name in (name for name in self.parts if name in state):
            part = self.parts[name].read(state[name], reader, f"{place}.{name}")
            vars(estimator)[name] = part
        reader.owner = outer
        self.check_parts(self.parts_of(estimator), place)
        if state and hasattr(estimator, "_check_stored"):
            estimator._check_stored(place)
        return estimator

    def _read_params(self, specs, reader, place):
        """Return the dict of parameters; those of later versions are refused."""
        fits = type(specs) is dict and set(specs) <= set(self.cls._get_param_names())
        require(fits, place, f"parameters of {self.cls.__name__}", specs)
        params = {}
        for name, spec in specs.items():
            params[name] = self.codecs[name].read(spec, reader, f"parameter {name!r}")
            _check_numbers(params[name], f"parameter {name!r}")
        return params

    def check_parts(self, parts, place):
        """Raise unless all attributes of fit are there, or none, and fit together."""
        is_whole = not parts or set(self.parts) - {"feature_names_in_"} <= set(parts)
        require(is_whole, place, f"a {self.name} with all attributes of fit")
        super().check_parts(parts, place)


def _check_numbers(value, place):
    """Raise unless decimals and fractions are finite, at any depth."""
    value = [*value, *value.values()] if isinstance(value, dict) else value
    if isinstance(value, list | tuple | set | frozenset):
        for each in value:
            _check_numbers(each, place)
    elif isinstance(value, Decimal | Fraction):
        require(math.isfinite(value), place, "finite numbers")


def _validate(estimator):
    """Raise ``ValueError`` for parameters that fit would refuse."""
    if hasattr(estimator, "_parameter_constraints"):
        estimator._validate_params()


def _configure(estimator, output, requests, place):
    """Set what `set_output` and `set_fit_request` had set."""
    if output is not None:
        require(set(output) <= {"transform"}, f"{place}.output", "what set_output sets")
        estimator._sklearn_output_config = output
    if requests is not None:
        errors = AttributeError, TypeError, ValueError
        with refusing(f"{place}.requests", "metadata requests", errors):
            set_requests(estimator, requests)
