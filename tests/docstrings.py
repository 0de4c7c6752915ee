"""Reads numpydoc docstrings."""

import inspect
import re

SECTION = re.compile(r"^(\w[\w ]*)\n-{3,}$", re.MULTILINE)
ENTRY = re.compile(r"^(\*{0,2}\w+(?:, \*{0,2}\w+)*)(?: : (.+))?$", re.MULTILINE)


def sections(thing):
    """Return {title: text} of a numpydoc docstring."""
    parts = SECTION.split(inspect.getdoc(thing) or "")
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def entries(text):
    """Return {name: type} of a section; 'a, b : type' documents both names.

    A capitalized word on a line of its own is the title of a group.
    """
    return {
        name.lstrip("*"): kind
        for names, kind in ENTRY.findall(text)
        for name in names.split(", ")
        if kind or not re.fullmatch("[A-Z][a-z]+", name)
    }
