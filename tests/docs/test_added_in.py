"""The reference says since which version each public name is there."""

import importlib
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

DOCS = Path(__file__).parents[2] / "docs"


@pytest.fixture(scope="module")
def extension():
    sys.path.insert(0, str(DOCS / "_ext"))
    yield importlib.import_module("added_in")
    sys.path.remove(str(DOCS / "_ext"))


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
