"""The guide says what "auto" stands for, as the code has it."""

import importlib
import re
import sys
from pathlib import Path

import pytest

from sktwotower.towers import _auto
from sktwotower.towers._recipe import PARAMETERS

DOCS = Path(__file__).parents[2] / "docs"


@pytest.fixture(scope="module")
def extension():
    pytest.importorskip("docutils")
    sys.path.insert(0, str(DOCS / "_ext"))
    yield importlib.import_module("auto_values")
    sys.path.remove(str(DOCS / "_ext"))


def test_the_page_has_the_tables():
    assert "\n.. auto-values::\n" in (DOCS / "guide" / "tune.rst").read_text("utf-8")
    assert '"auto_values",' in (DOCS / "conf.py").read_text("utf-8")


def test_every_parameter_that_may_be_auto_has_a_row(extension):
    names = [name for name, *_ in extension.rows_of_others()]
    assert sorted(names) == sorted(n for n, each in PARAMETERS.items() if each.auto)
    in_kinds = set().union(*_auto.AUTO.values(), _auto.SECOND_PAIR)
    assert set(extension.BY_KIND) == in_kinds
    kinds = [*_auto.AUTO, "second pair"]
    assert list(extension.KINDS) == kinds


def test_values_are_those_of_the_code(extension, monkeypatch):
    changed = {name: values | {"dropout": 0.77} for name, values in _auto.AUTO.items()}
    monkeypatch.setattr(_auto, "AUTO", changed)
    monkeypatch.setattr(_auto, "FULL_SOFTMAX_ITEMS", 1234)
    monkeypatch.setattr(_auto, "TEMPERATURE", (0.11, 0.0, 0.05))
    text = "\n".join(extension.lines())
    assert text.count("- 0.77\n") == len(changed)
    assert "up to 1,234 items" in text and "0.11 for 1,000, 0.11 for 2,000" in text


def test_the_formulas_have_the_numbers_of_the_code():
    text = (DOCS / "guide" / "how_it_works.rst").read_text("utf-8")
    factor, power, lowest = _auto.TEMPERATURE
    formula = (
        rf"T = {factor} \, M^{{-1/{1 / power:g}}}, \quad \text{{at least }} {lowest}"
    )
    assert formula in text
    factor, power, lowest = _auto.LARGE_TEMPERATURE
    large = rf":math:`{factor} \, M^{{-{power}}}` but at least {lowest}"
    assert large in re.sub(r"\s+", " ", text)
