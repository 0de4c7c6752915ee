"""The words that CONTRIBUTING.md asks to avoid are not used."""

import ast
import functools
import json
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
EVERYWHERE, FIRST_WORD = "everywhere", "first word of a docstring"


def table():
    """Return (word, where) of each word on the left of the table."""
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    text = text.partition("\n## Words\n")[2]
    rows = re.findall(r"^\| (`.+?) \| .+? \| (.+?) \|$", text, flags=re.MULTILINE)
    return [
        (word, where) for left, where in rows for word in re.findall("`(.+?)`", left)
    ]


def words_of(where):
    return [word for word, place in table() if place == where]


@functools.cache
def pattern(word):
    """Return what finds a word, alone or in a name with underscores.

    Letters may be small or capital, if those of the word are small.
    """
    flags = re.IGNORECASE if word.islower() else 0
    text = r"\s+".join(map(re.escape, word.split()))
    last = "" if word.endswith(("_", ":")) else "(?![a-zA-Z])"
    return re.compile(f"(?<![a-zA-Z]){text}{last}", flags)


@functools.cache
def sources():
    """Return the text of each file that people write, by its path."""
    paths = [ROOT / "README.md", ROOT / "setup.py", *ROOT.glob("notebooks/*.md")]
    for folder in ("sktwotower", "tests", "docs", "benchmarks", "examples"):
        paths += [
            p for end in ("py", "md", "rst") for p in ROOT.glob(f"{folder}/**/*.{end}")
        ]
    paths = [path for path in paths if path != Path(__file__)]
    texts = {path: path.read_text(encoding="utf-8") for path in paths}
    for path in ROOT.glob("notebooks/*.ipynb"):
        cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
        texts[path] = "\n".join("".join(cell["source"]) for cell in cells)
    return {str(path.relative_to(ROOT)): text for path, text in texts.items()}


def docstrings(text):
    nodes = ast.walk(ast.parse(text))
    kinds = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    return [ast.get_docstring(node) or "" for node in nodes if isinstance(node, kinds)]


def uses(word, text):
    """Return each use of a word in a text, with what stands around it."""
    spans = [match.span() for match in pattern(word).finditer(text)]
    return [text[max(start - 30, 0) : end + 30] for start, end in spans]


def test_the_table_is_read():
    assert "catalogue" in words_of(EVERYWHERE)
    assert "Give" in words_of(FIRST_WORD)
    assert {where for _, where in table()} == {EVERYWHERE, FIRST_WORD, "by eye"}


@pytest.mark.parametrize(
    ("word", "text", "found"),
    [
        ("neighbour", "The Neighbour of", True),
        ("neighbour", "my_neighbour_2", True),
        ("neighbour", "neighbourhood", False),
        ("but for", "all but\n  for one", True),
        ("MOST_", "MOST_OF", True),
        ("MOST_", "ALMOST_ALL", False),
        ("MOST_", "most_frequent", False),
    ],
)
def test_words_are_found(word, text, found):
    assert bool(pattern(word).search(text)) == found


def test_words_to_avoid_are_not_used():
    words = {word: word.lower().split()[0] for word in words_of(EVERYWHERE)}
    found = {}
    for path, text in sources().items():
        lower = text.lower()  # most words are in no text: a quick look comes first
        near = [word for word, first in words.items() if first in lower]
        found[path] = [use for word in near for use in uses(word, text)]
    assert {path: some for path, some in found.items() if some} == {}


@pytest.mark.slow
def test_docstrings_begin_with_other_words():
    avoided = set(words_of(FIRST_WORD))
    found = {}
    for path, text in sources().items():
        if path.endswith(".py"):
            first = {doc.split()[0] for doc in docstrings(text) if doc}
            found[path] = first & avoided
    assert {path: some for path, some in found.items() if some} == {}
