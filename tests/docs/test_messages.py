"""The messages that docs/guide/messages.md quotes are those of the package."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
QUOTED = re.compile(r"^- `(.+)`<br>$", re.MULTILINE)


def quoted():
    text = (ROOT / "docs/guide/messages.md").read_text("utf-8")
    return [message.strip() for message in QUOTED.findall(text)]


def text_of(node):
    """Return the text of a string, with a place holder for what is put into it."""
    parts = node.values if isinstance(node, ast.JoinedStr) else [node]
    return "".join(p.value if isinstance(p, ast.Constant) else "\0" for p in parts)


@pytest.fixture(scope="module")
def messages():
    """Return all strings of the package, without its docstrings' line breaks."""
    found = []
    for path in (ROOT / "sktwotower").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            is_text = isinstance(node, ast.Constant) and isinstance(node.value, str)
            if is_text or isinstance(node, ast.JoinedStr):
                found.append(text_of(node))
    return found


@pytest.mark.slow
def test_quoted_messages_exist(messages):
    assert len(quoted()) > 30
    for message in quoted():
        pieces = [re.escape(piece) for piece in message.split("...") if piece.strip()]
        wanted = re.compile(".*".join(pieces), re.DOTALL)
        assert any(wanted.search(text) for text in messages), message
