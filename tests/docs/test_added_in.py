"""The reference says since which version each public name is there."""

import importlib
import inspect
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from sktwotower import __version__
from tests.test_docstrings import listed, methods_of
from tests.versions import number

DOCS = Path(__file__).parents[2] / "docs"


@pytest.fixture(scope="module")
def extension():
    sys.path.insert(0, str(DOCS / "_ext"))
    yield importlib.import_module("added_in")
    sys.path.remove(str(DOCS / "_ext"))


def public():
    """Return the full names of all objects with a page, and of their methods."""
    names = set()
    for full in listed():
        module, _, name = full.rpartition(".")
        thing = getattr(importlib.import_module(module), name)
        methods = methods_of(thing) if inspect.isclass(thing) else ()
        names |= {full, *(f"{full}.{method}" for method in methods)}
    return names


def test_every_public_name_has_its_version(extension):
    added = extension.versions(extension.TABLE.read_text("utf-8"))
    missing, gone = public() - set(added), set(added) - public()
    remedy = f"add them to docs/added_in.toml, below the next version: {missing}"
    assert not missing, remedy
    assert not gone, f"remove them from docs/added_in.toml: {gone}"
    assert all(number(v) <= number(__version__) for v in added.values())


TABLE = """
["0.1.0"]
"package.Tower" = "fit predict"
"package.draw" = ""

["0.3.0"]
"package.Tower" = "explain"
"""


def test_methods_that_are_younger_than_their_class_say_so(extension):
    added = extension.versions(TABLE)
    assert added["package.Tower.fit"] == "0.1.0"
    assert extension.younger(added) == {
        "package.Tower": "0.1.0",
        "package.Tower.explain": "0.3.0",
        "package.draw": "0.1.0",
    }


@pytest.mark.parametrize("start", [[], [""]])
def test_the_line_stands_below_the_first_sentence(extension, start):
    app = SimpleNamespace(config=SimpleNamespace(added_in={"package.draw": "0.1.0"}))
    lines = [*start, "Draw a tower,", "or two.", "", "More."]
    extension.add_line(app, "function", "package.draw", None, None, lines)
    line = ".. versionadded:: 0.1.0"
    first = [*start, "Draw a tower,", "or two."]
    assert lines == [*first, "", line, "", "", "More."]
    other = ["Hide it."]
    extension.add_line(app, "function", "package.hide", None, None, other)
    assert other == ["Hide it."]
