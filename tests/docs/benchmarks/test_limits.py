"""The curves of quality against one setting at a time."""

import re
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
sys.path.insert(0, str(ROOT / "benchmarks"))

import _limits  # noqa: E402
import _limits_chart  # noqa: E402
import chart  # noqa: E402
from _queries import read  # noqa: E402

HALF = {"data": "ml-100k-last", "part": "validation", "ndcg@10": 0.19}
ROWS = [
    HALF | {"point": "max_epochs 4"},
    HALF | {"point": None, "seed": 0, "ndcg@10": 0.19},
    HALF | {"point": None, "seed": 1, "ndcg@10": 0.21},
    HALF | {"point": "max_epochs 16", "ndcg@10": 0.204},
    HALF | {"point": "max_epochs 16", "part": "test", "ndcg@10": 0.9},
    {"data": "ml-100k-last", "system": "aim", "ndcg@10": 0.132},
]


def test_a_point_is_the_change_from_the_mean_of_the_defaults():
    curve = _limits.changes(ROWS)["max_epochs"]["ml-100k-last"]
    assert curve == [(-1, pytest.approx(-5)), (0, 0), (1, pytest.approx(2))]
    assert list(_limits.changes(ROWS)) == ["max_epochs"]  # others have one point


def test_all_candidates_are_as_many_as_items():
    assert _limits.ratio("lastfm", "candidates", "all") == pytest.approx(
        3.132, abs=0.01
    )
    assert _limits.usual_of("ml-100k", "candidates") == "all"


@pytest.mark.parametrize("name", _limits_chart.LAYOUTS)
def test_a_drawing_has_a_mark_for_each_point(name):
    text = _limits_chart.pictures(ROWS)[name]
    layout = _limits_chart.LAYOUTS[name]
    heights = [float(y) for y in re.findall(r'cy="([\d.]+)"', text)]
    per_percent = layout.panel[1] / (_limits_chart.HIGHEST - _limits_chart.LOWEST)
    zero = layout.top + _limits_chart.HIGHEST * per_percent
    wanted = [zero + 5 * per_percent, zero, zero - 2 * per_percent]
    assert heights == pytest.approx(wanted, abs=0.1)


@pytest.mark.parametrize("name", _limits_chart.LAYOUTS)
def test_the_drawing_shows_the_figures_of_the_file(name):
    drawn = (chart.FOLDER / f"{name}.svg").read_text("utf-8")
    made = _limits_chart.pictures(read(_limits.NAME))[name]
    assert drawn == made, "call python benchmarks/chart.py"


def test_the_usual_value_is_among_those_of_each_curve():
    for data, curves in _limits.CURVES.items():
        for curve, values in curves.items():
            assert _limits.usual_of(data, curve) in values
