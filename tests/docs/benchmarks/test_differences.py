"""Differences that the benchmarks write, worked out by hand."""

import sys
from pathlib import Path
from types import SimpleNamespace

import pandas as pd
import pytest

sys.path.insert(0, str(Path(__file__).parents[3] / "benchmarks"))

import _per_user  # noqa: E402
import bench_next  # noqa: E402
from _per_user import gain  # noqa: E402
from _quick import VARIABLE  # noqa: E402
from bench_ablations import DEFAULTS, rows_of_differences  # noqa: E402
from bench_neighbors import crossover  # noqa: E402


def test_a_gain_has_half_of_its_interval():
    # differences 1 and 3: mean 2, standard deviation root of 2, its error 1
    row = gain([1, 4], [0, 1])
    assert row == {"gained": 2, "half_interval": pytest.approx(1.96)}


def test_a_change_is_compared_with_the_defaults_of_the_same_seed():
    figures = {DEFAULTS: [0.1, 0.3], "wider": [0.2, 0.6]}
    rows = [
        {"data": "made", "change": change, "seed": seed, "figure": figure, "fit_s": 1}
        for change, by_seed in figures.items()
        for seed, figure in enumerate(by_seed)
    ]
    found = {row.pop("change"): row for row in rows_of_differences(rows)}
    # differences .1 and .3: mean .2, standard deviation root of .02, its error .1
    wider = {"difference": pytest.approx(0.2), "standard error": pytest.approx(0.1)}
    assert found["wider"] == {"data": "made"} | wider
    assert found[DEFAULTS]["difference"] == 0


def test_a_graph_pays_once_its_build_is_earned():
    rows = [
        {"engine": "ours, exact", "batch_us": 30.0},
        {"engine": "ours, nndescent", "batch_us": 10.0, "build_s": 2.0},
    ]
    rows = [{"vectors": "made", "items": 9} | row for row in rows]
    assert crossover(rows)["pays_from"] == pytest.approx(100_000)


def users_of(**figures):
    """Return a run whose users have one value of all figures of a system."""
    names = ["recall@10", "recall@20", "ndcg@10"]
    tables = {k: pd.DataFrame(dict.fromkeys(names, v)) for k, v in figures.items()}
    return SimpleNamespace(data="made-last", figures=tables)


def test_a_call_for_some_models_keeps_the_users_of_the_others(tmp_path, monkeypatch):
    monkeypatch.setenv(VARIABLE, str(tmp_path))
    (tmp_path / "results").mkdir()
    bench_next.keep_users(users_of(EASE=[0.5, 0], ridge=[1, 0]))
    bench_next.keep_users(users_of(ridge=[0, 0.25]))
    kept = _per_user.read("next_made-last")
    assert {name: list(values) for name, values in kept.items()} == {
        "EASE, recall@10": [0.5, 0],
        "EASE, ndcg@10": [0.5, 0],
        "ridge, recall@10": [0, 0.25],
        "ridge, ndcg@10": [0, 0.25],
    }
    bench_next.keep_users(users_of())  # nothing could be measured
    assert len(_per_user.read("next_made-last")) == 4
    bench_next.keep_users(users_of(ridge=[1, 1, 1]))  # another split
    assert set(_per_user.read("next_made-last")) == {
        "ridge, recall@10",
        "ridge, ndcg@10",
    }
