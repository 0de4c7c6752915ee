"""Names in backticks lead to pages of ours, or of other packages."""

import importlib
import sys
from pathlib import Path

import pytest

FOLDER = str(Path(__file__).parents[2] / "docs" / "_ext")


@pytest.fixture(scope="module")
def more_links():
    pytest.importorskip("docutils")
    sys.path.insert(0, FOLDER)
    yield importlib.import_module("more_links")
    sys.path.remove(FOLDER)


def test_names_of_other_packages(more_links):
    start = "https://scikit-learn.org/stable/modules/generated/"
    full = "sklearn.compose.ColumnTransformer"
    assert more_links.address(full) == f"{start}{full}.html"
    assert more_links.address("ColumnTransformer") == f"{start}{full}.html"
    private = "sklearn.utils._bunch.Bunch"
    assert more_links.address(private) == f"{start}sklearn.utils.Bunch.html"
    assert more_links.address("sklearn") is None
    assert more_links.address("max_users") is None
    for name in more_links.SHORT.values():
        module, _, last = name.rpartition(".")
        assert hasattr(importlib.import_module(module), last)


def test_names_of_ours(more_links):
    tower = "sktwotower.TwoTowerRecommender"
    objects = {
        tower: 0,
        f"{tower}.recommend": 0,
        "sktwotower.EASERecommender.recommend": 0,
        "sktwotower.metrics.retrieval_report": 0,
        "sktwotower.plots.RecallCurveDisplay.plot": 0,
    }
    own = more_links.own_name
    assert own("retrieval_report", objects) == "sktwotower.metrics.retrieval_report"
    assert own("TwoTowerRecommender", objects) == tower
    assert own("recommend", objects) == f"{tower}.recommend"
    assert own("plot", objects) is None and own("k", objects) is None


def test_pages_that_docstrings_name_are_there():
    sys.path.insert(0, FOLDER)
    guide_links = importlib.import_module("guide_links")
    sys.path.remove(FOLDER)
    pages = guide_links.titles()
    text = 'See the page "Tune" of\nthe guide, and the table in\n    the guide.'
    expected = (
        "See the page `Tune <../guide/tune.html>`__ of\nthe guide, and `the table in"
        "\n    the guide <../guide/tune.html#what-auto-stands-for>`__."
    )
    assert guide_links.linked(text, pages) == expected
    for path in (Path(FOLDER).parents[1] / "sktwotower").rglob("*.py"):
        guide_links.linked(path.read_text("utf-8"), pages)
