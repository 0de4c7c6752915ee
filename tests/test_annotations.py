"""Annotations, by which editors and type checkers know what comes in and out."""

import inspect

from sklearn.base import BaseEstimator

import sktwotower
from tests.cases import for_each
from tests.public import ROOMS, public, with_methods


def is_silent(function):
    return "return" not in inspect.unwrap(function).__annotations__


@for_each("room", ROOMS)
def test_public_names_say_what_they_return(room):
    functions = {n: f for n, f in with_methods(room).items() if not inspect.isclass(f)}
    assert [name for name, function in functions.items() if is_silent(function)] == []


@for_each("room", ROOMS)
def test_parameters_of_estimators_have_types(room):
    """A checker would take the type of the default, and refuse a 64 for "auto"."""
    classes = [cls for cls in public(room).values() if inspect.isclass(cls)]
    chosen = [c for c in classes if issubclass(c, BaseEstimator) or "Split" in str(c)]
    bare = [
        f"{cls.__name__}({parameter.name})"
        for cls in chosen
        for parameter in inspect.signature(cls).parameters.values()
        if parameter.annotation is parameter.empty
    ]
    assert bare == []


def test_all_estimators_are_looked_at():
    found = {name for room in ROOMS for name in public(room)}
    assert set(sktwotower.__all__) - {"__version__"} <= found
