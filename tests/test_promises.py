"""Tests hold promises through public names: what they know of the inside is counted.

A private module may be moved or renamed without a change of many tests. Kernels with a
slow reference, and systems that fail, are what the limits leave room for.
"""

import ast
import functools
from collections import Counter
from pathlib import Path

import pytest

from tests.cases import for_each

ROOT = Path(__file__).parent
# Private modules that files of tests import, each once for a file, and functions that
# they replace.
MAX_PRIVATE_IMPORTS, MAX_PATCHES = 89, 37


def is_private(name):
    """Return whether a dotted name of the package has a part with an underscore."""
    parts = name.split(".")
    dunder = ("__main__", "__version__")
    return parts[0] == "sktwotower" and any(
        part.startswith("_") and part not in dunder for part in parts
    )


def nodes_of(code):
    """Return the imports, attributes and calls of a file."""
    kinds = (ast.Import, ast.ImportFrom, ast.Attribute, ast.Call)
    return [node for node in ast.walk(ast.parse(code)) if isinstance(node, kinds)]


def private_imports(nodes):
    """Return the private modules that a file imports."""
    found = set()
    for node in nodes:
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            if is_private(node.module):
                found.add(node.module)
            else:
                found.update(f"{node.module}.{alias.name}" for alias in node.names)
    return sorted(filter(is_private, found))


def inner_states(nodes):
    """Return the uses of the attribute that keeps what fit has learnt."""
    return [
        node.attr
        for node in nodes
        if isinstance(node, ast.Attribute) and node.attr == "_fitted"
    ]


def patches(nodes):
    """Return the calls that put something in the place of a function or constant."""
    calls = [node.func for node in nodes if isinstance(node, ast.Call)]
    return [name for name in map(ast.unparse, calls) if is_patch(name)]


def is_patch(name):
    """Return whether what is called replaces something: of mock, or a helper of it."""
    if "monkeypatch" in name:
        return name == "monkeypatch.setattr"
    return "patch" in name


@functools.cache
def nodes_of_tests():
    """Return what `nodes_of` finds in each file of tests, by its path, a dict."""
    paths = sorted(ROOT.rglob("*.py"))
    return {path: nodes_of(path.read_text("utf-8")) for path in paths}


def counted(find):
    """Return how often something is found, for each file of tests that has it."""
    found = Counter()
    for path, nodes in nodes_of_tests().items():
        n = len(find(nodes))
        if n:
            found[str(path.relative_to(ROOT))] = n
    return found


@pytest.mark.slow
@pytest.mark.parametrize(
    ("find", "limit", "remedy"),
    [
        (private_imports, MAX_PRIVATE_IMPORTS, "Test it through a public name"),
        (inner_states, 0, "Ask the model by a public method or attribute"),
        (patches, MAX_PATCHES, "Use data or parameters that have the same effect"),
    ],
    ids=["private imports", "inner states", "patches"],
)
def test_tests_know_little_of_the_inside(find, limit, remedy):
    found = counted(find)
    files = ", ".join(f"{path} {n}" for path, n in found.most_common())
    total = sum(found.values())
    assert total <= limit, f"{total} instead of {limit}. {remedy}. Files: {files}"


@for_each(
    ("code", "find", "n"),
    [
        ("from sktwotower.towers.losses._losses import a, b", private_imports, 1),
        ("import sktwotower.towers.losses._losses as losses", private_imports, 1),
        ("from sktwotower.towers import _losses", private_imports, 1),
        ("from sktwotower import __version__, io", private_imports, 0),
        ("from sktwotower.__main__ import main", private_imports, 0),
        ("from numpy import _core", private_imports, 0),
        ("model._fitted.model", inner_states, 1),
        ("monkeypatch.setattr(a, 'b', 1)", patches, 1),
        ("with patch.object(a, 'b'): pass", patches, 1),
        ("with mock.patch('a.b'): pass", patches, 1),
        ("monkeypatch.setenv('A', 'b')", patches, 0),
        ("with patched(a): pass", patches, 1),
    ],
)
def test_what_is_counted(code, find, n):
    assert len(find(nodes_of(code))) == n
