"""The chart of README shows the figures of the result files."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parents[3]
sys.path.insert(0, str(ROOT / "benchmarks"))

import _per_user  # noqa: E402
import chart  # noqa: E402
from _quick import VARIABLE  # noqa: E402

A_THIRD = np.tile([0.2, 0.4], 50)
ROWS = [
    {"system": "popularity", "ndcg@10": 0.15, "fit_cpu_s": 0.0123},
    {"system": "EASE", "ndcg@10": 0.3, "trials": 20, "at_the_edge": ["l2"]},
    {"system": "iALS", "ndcg@10": 0.24, "trials": 20, "at_the_edge": []},
    {"system": chart.OURS, "ndcg@10": 0.37, "seed": 0, "fit_cpu_s": 1.0},
    {"system": chart.OURS, "ndcg@10": 0.41, "seed": 1, "fit_cpu_s": 2.0},
]


@pytest.fixture
def results(tmp_path):
    return tmp_path / "results"


@pytest.fixture
def row(results, tmp_path, monkeypatch):
    rows = [{"data": "d", "ndcg@10 se": 0.03} | row for row in ROWS]
    other = {"data": "other", "system": "ridge", "ndcg@10": 0.9}
    lines = "\n".join(map(json.dumps, [*rows, other]))
    monkeypatch.setenv(VARIABLE, str(tmp_path))
    results.mkdir()
    (results / "quality_d.jsonl").write_text(lines + "\n")
    # of each user .09 more, give or take .1: half the interval is 1.96 * .1005 / 10
    more = A_THIRD + 0.09 + np.repeat([0.1, -0.1], 50)
    _per_user.keep("quality_d", {"EASE": A_THIRD, chart.OURS: more})
    return chart.of_quality("made", "d", "ndcg@10")


@pytest.mark.parametrize("name", chart.PICTURES)
def test_the_picture_shows_the_figures_of_the_files(name):
    drawn = chart.drawn(chart.FOLDER / f"{name}.svg")
    assert drawn == chart.figures(), "call python benchmarks/chart.py"


def test_a_mark_is_a_share_of_the_best_other_system(row, results):
    found = chart.figures_of(row, results)
    assert list(found) == ["popularity", "EASE", "iALS", chart.OURS]
    assert [one["share"] for one in found.values()] == [0.5, 1, 0.8, 1.3]
    assert [one["best"] for one in found.values()] == [False, True, False, False]
    assert found[chart.OURS]["ndcg"] == 0.39
    assert found[chart.OURS]["half"] == pytest.approx(0.0197 / 0.3, abs=0.001)
    # without figures of users: 1.96 times .03 times the root of 2, of .3
    assert found["iALS"]["half"] == pytest.approx(0.277, abs=0.001)
    assert found["EASE"]["half"] == 0


def test_the_first_of_equal_systems_is_the_best(row, results):
    names = ["popularity", "EASE", "item-kNN", "ridge", "iALS", "GF-CF", "SLIM"]
    rows = [{"data": "d", "system": n, "ndcg@10": 0.3, "ndcg@10 se": 0} for n in names]
    (results / "quality_d.jsonl").write_text("\n".join(map(json.dumps, rows)))
    found = chart.figures_of(row, results)
    assert len(found) == 7  # whatever the hashes of their names are
    assert [one["best"] for one in found.values()] == [True] + [False] * 6


def test_a_mark_is_hollow_if_the_search_was_short_or_ended_at_an_edge(row, results):
    found = chart.figures_of(row, results)
    assert [name for name, one in found.items() if one["hollow"]] == ["EASE"]
    file = results / "quality_d.jsonl"
    file.write_text(file.read_text().replace('"trials": 20', '"trials": 19'))
    found = chart.figures_of(row, results)
    assert [name for name, one in found.items() if one["hollow"]] == ["EASE", "iALS"]


def test_seconds_are_means_of_what_was_recorded(row, results):
    found = chart.figures_of(row, results)
    assert [one["fit_s"] for one in found.values()] == [0.012, None, None, 1.5]
