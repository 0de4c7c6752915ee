"""Drawings have a form for wide pages and one for phones, which say the same."""

import importlib.util
import re
from pathlib import Path
from xml.etree import ElementTree

import pytest

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "docs" / "_static"
DRAWINGS = sorted(
    path.stem
    for path in FOLDER.glob("*.svg")
    if path.stem != "icon" and not path.stem.startswith("results_")
)


def words(path):
    """Return the words of a drawing, sorted."""
    root = ElementTree.fromstring(path.read_text("utf-8"))
    texts = ["".join(e.itertext()) for e in root.iter() if e.tag.endswith("}text")]
    return sorted(re.findall(r"[^\s(]+", " ".join(texts)))


@pytest.mark.parametrize("name", DRAWINGS)
def test_both_forms_of_a_drawing_exist_and_have_the_same_words(name):
    wide = words(FOLDER / f"{name}.svg")
    assert wide and wide == words(FOLDER / "narrow" / f"{name}.svg")


def test_no_drawing_is_for_narrow_pages_only():
    narrow = {path.stem for path in (FOLDER / "narrow").glob("*.svg")}
    assert narrow == {*DRAWINGS, "results"} and len(DRAWINGS) > 20


def test_the_week_of_a_shop_is_drawn_as_it_was_printed():
    spec = importlib.util.spec_from_file_location(
        "week_drawing", ROOT / "docs" / "week_drawing.py"
    )
    week = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(week)
    printed = week.read(week.PAGE.read_text("utf-8"))
    assert printed.unknown["Thu"] == 1 and len(printed.moved) == 7
    assert list(printed.found) == ["without", "with"] and len(printed.values) == 5
    assert week.WIDE.read_text("utf-8") == week.drawing(printed, 2)
    assert week.NARROW.read_text("utf-8") == week.drawing(printed, 1)
