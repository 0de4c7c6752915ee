"""Return annotations, by which editors know what comes out of public methods."""

import inspect

import pytest

import sktwotower

CLASSES = [
    name for name in sktwotower.__all__ if inspect.isclass(getattr(sktwotower, name))
]


@pytest.mark.parametrize("name", CLASSES)
def test_public_methods_say_what_they_return(name):
    kind = getattr(sktwotower, name)
    ours = {
        method: function
        for method, function in inspect.getmembers(kind, inspect.isfunction)
        if function.__module__.startswith("sktwotower") and method[0] != "_"
    }
    silent = [
        method
        for method, function in ours.items()
        if "return" not in inspect.unwrap(function).__annotations__
    ]
    assert len(ours) >= 3 and silent == []
