"""The guide says what "auto" stands for, as the code has it."""

import importlib
import sys
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[2] / "docs"


@pytest.fixture(scope="module")
def script():
    sys.path.insert(0, str(DOCS))
    yield importlib.import_module("auto_values")
    sys.path.remove(str(DOCS))


def test_the_page_has_the_tables(script):
    text = script.PAGE.read_text("utf-8")
    assert "| `temperature` | falls with the number of items" in text
    assert script.written(text) == text, "call python docs/auto_values.py"
