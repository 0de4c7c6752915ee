"""How the examples in docstrings run, in the package as in the tests."""

import importlib.util
import os
import sys
from pathlib import Path

import pytest

# Rooms whose examples fit a model each.
SLOW_EXAMPLES = {
    "inspection",
    "metrics",
    "plots",
    "recommender",
    "retrieval",
    "two_stage",
}
# Examples draw without a window.
os.environ.setdefault("MPLBACKEND", "agg")


PACKAGE = Path(__file__).parent / "sktwotower"


def pytest_ignore_collect(collection_path):
    """Pass over modules without examples: some import libraries for a second."""
    is_module = collection_path.suffix == ".py" and PACKAGE in collection_path.parents
    if is_module and ">>>" not in collection_path.read_text(encoding="utf-8"):
        return True
    return None


def pytest_collection_modifyitems(items):
    """Mark slow examples, and skip pictures if there is no Matplotlib."""
    drawn = importlib.util.find_spec("matplotlib")
    for item in items:
        if not isinstance(item, pytest.DoctestItem):
            continue
        if item.path.parent.name in SLOW_EXAMPLES:
            item.add_marker(pytest.mark.slow)
        if item.path.parent.name == "plots" and drawn is None:
            item.add_marker(pytest.mark.skip(reason="Matplotlib is not installed"))


def pytest_runtest_teardown(item):
    """Close the figures of an example."""
    if isinstance(item, pytest.DoctestItem) and "matplotlib.pyplot" in sys.modules:
        sys.modules["matplotlib.pyplot"].close("all")
