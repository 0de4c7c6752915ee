"""The public names of the package, for tests of all of them."""

import importlib
import inspect
import pkgutil

import sktwotower

# Subpackages and modules that users import from, and those that only others use.
INNER = {"item_weights"}
ROOMS = sorted(
    info.name
    for info in pkgutil.iter_modules(sktwotower.__path__)
    if not info.name.startswith("_") and info.name not in INNER
)


def public(room):
    """Return the public classes and functions of a room, by name."""
    module = importlib.import_module(f"sktwotower.{room}")
    names = {name: getattr(module, name) for name in getattr(module, "__all__", ())}
    return {name: thing for name, thing in names.items() if callable(thing)}


def methods_of(cls):
    """Return the public methods that the package defines for a class."""
    return {
        name: method
        for name, method in inspect.getmembers(cls)
        if inspect.isfunction(method) or inspect.ismethod(method)
        if not name.startswith("_") and method.__module__.startswith("sktwotower")
    }


def with_methods(room):
    """Return the public names of a room and the methods of its classes."""
    found = {}
    for name, thing in public(room).items():
        found[name] = thing
        if inspect.isclass(thing):
            methods = methods_of(thing).items()
            found |= {f"{name}.{method}": each for method, each in methods}
    return found
