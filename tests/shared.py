"""Fitted models that tests share, and a guard that says who changes one.

`tests/conftest.py` shows the guard what fixtures of a module or a session return, and a
function with the decorator `once` shows it what it returns. Who changes such a model
changes what later tests see: a test that does so fails, and should change a copy.
"""

import functools
import io
import pickle
import sys
import types
import weakref

from scipy import sparse
from sklearn.base import BaseEstimator

SHARED = (
    "changes {}, which other tests use as well. Let it change a copy: "
    "copy.deepcopy(model)."
)


class Guard:
    """Remembers what shared models were, and compares."""

    def __init__(self):
        # For each model, its name and what it was; for each fixture, its models.
        self.states = weakref.WeakKeyDictionary()
        self.of_fixtures = {}
        self.used = weakref.WeakSet()

    def watch(self, name, value):
        """Remember the models of a value, and return them."""
        models = weakref.WeakSet(models_in(value))
        for model in models:
            self.states.setdefault(model, (name, state_of(model)))
        return models

    def watch_fixture(self, name, value):
        """Remember the models that a fixture returns."""
        self.of_fixtures[name] = self.watch(name, value)

    def changed(self, fixtures):
        """Return the names of models that a test has changed, and forget the change.

        ``fixtures``: names of the fixtures of the test. Models of `once` which it has
        asked for are compared as well.
        """
        models = set(self.used)
        for name in fixtures:
            models.update(self.of_fixtures.get(name, ()))
        self.used.clear()
        names = []
        for model in models:
            name, before = self.states[model]
            try:
                now = state_of(model)
            except pickle.PicklingError:
                # the test hides a library: look after the next one
                self.used.add(model)
                continue
            if now != before:
                names.append(name)
                self.states[model] = name, now
        return sorted(names)


GUARD = Guard()


def models_in(value):
    """Return the fitted models of a value: itself, or what a collection holds."""
    if isinstance(value, BaseEstimator):
        return [value]
    if isinstance(value, dict):
        value = value.values()
    elif not isinstance(value, (list, tuple)):
        return []
    return [model for part in value for model in models_in(part)]


class StatePickler(pickle.Pickler):
    """Writes what objects hold, without what they compute once."""

    def reducer_override(self, value):
        # pickle knows no lambda, and no class that a page of the guide defines
        if isinstance(value, types.FunctionType) or is_defined_by_a_page(value):
            return str, (f"{value.__module__}.{value.__qualname__}",)
        # each search of a graph draws random numbers
        if type(value).__module__.startswith("sktwotower.neighbors._locked_graph"):
            return str, (type(value).__qualname__,)
        cached = cached_properties(type(value))
        if not cached:
            return NotImplemented
        reduced = list(value.__reduce_ex__(pickle.HIGHEST_PROTOCOL))
        state = reduced[2]
        reduced[2] = {name: state[name] for name in state if name not in cached}
        return tuple(reduced)


def is_defined_by_a_page(value):
    """Return whether a value is a class of a module that nobody can import."""
    return isinstance(value, type) and value.__module__ not in sys.modules


@functools.cache
def cached_properties(kind):
    """Return the names of what objects of a class compute once."""
    names = set()
    if issubclass(kind, sparse.sparray | sparse.spmatrix):
        names.update(["_has_canonical_format", "_has_sorted_indices"])
    for base in kind.__mro__:
        for name, value in vars(base).items():
            if isinstance(value, functools.cached_property):
                names.add(name)
    return names


def state_of(model):
    """Return all that a model holds, as bytes."""
    file = io.BytesIO()
    StatePickler(file, pickle.HIGHEST_PROTOCOL).dump(model)
    return file.getvalue()


def once(function):
    """Let a function make the value of each of its arguments once: tests share it."""

    @functools.cache
    def made(*args, **named):
        value = function(*args, **named)
        return value, GUARD.watch(function.__name__, value)

    @functools.wraps(function)
    def get(*args, **named):
        value, models = made(*args, **named)
        GUARD.used.update(models)
        return value

    return get
