"""All scripts can be run on little data, and CI does so; nothing of it is kept."""

import json
import re
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
sys.path.insert(0, str(ROOT / "benchmarks"))

import _common  # noqa: E402
import _made_sources  # noqa: E402
import _per_user  # noqa: E402
import _quick  # noqa: E402
import _quick_examples  # noqa: E402
import bench_context  # noqa: E402
import bench_distributed  # noqa: E402
import prepare  # noqa: E402
import run_quick  # noqa: E402
from bench_context import CONSTANT, NOISE, NONE, UNKNOWN, WITH  # noqa: E402


@pytest.fixture
def quick(tmp_path, monkeypatch):
    """Let this process be as one with --quick."""
    (tmp_path / "results").mkdir()
    monkeypatch.setenv(_quick.VARIABLE, str(tmp_path))
    return tmp_path


def names_in(folder):
    return {path.name for path in (ROOT / folder).glob("*.py")}


def test_each_script_is_run_in_ci():
    called = {text.split(" ")[0] for text in run_quick.calls()}
    scripts = {name for name in names_in("benchmarks") if name[0] != "_"}
    expected = {f"benchmarks/{name}" for name in scripts - {"run_quick.py"}}
    assert called == expected | {f"examples/{name}" for name in names_in("examples")}
    assert set(_quick_examples.RUNS) == names_in("examples")
    assert set(run_quick.MORE) <= scripts
    assert "benchmarks/run_quick.py" in (ROOT / ".ci" / "run").read_text("utf-8")


@pytest.mark.parametrize("name", run_quick.scripts())
def test_a_script_has_the_option(name):
    source = (ROOT / "benchmarks" / name).read_text("utf-8")
    assert re.search(r'parse_options\(\s*parser\b|"--quick"', source)
    # what a script claims is not judged on made data, as `assert_claims` knows
    assert not re.search(r"^    assert not \w+|SystemExit", source, re.MULTILINE)


def test_results_of_a_quick_run_are_not_kept(quick):
    name = "online-retail"
    before = {path: path.read_bytes() for path in run_quick.FOLDER.rglob("*.jsonl")}
    rows = [{"data": name, "system": "made", "recall": 0.5}]
    _common.write_results("next", rows)
    _per_user.keep(f"next_{name}", {"made": [0.5, 0.25]})
    assert _common.read_results("next") == rows
    assert _per_user.read(f"next_{name}")["made"].tolist() == [0.5, 0.25]
    assert before == {p: p.read_bytes() for p in run_quick.FOLDER.rglob("*.jsonl")}
    assert len(list(quick.rglob("next*"))) == 2


def test_claims_are_judged_only_on_real_data(quick, monkeypatch, capsys):
    _quick.assert_claims(["ours is ahead"])
    assert "not judged on made data (1 do not hold)" in capsys.readouterr().out
    monkeypatch.delenv(_quick.VARIABLE)
    _quick.assert_claims([])
    with pytest.raises(AssertionError, match="ours is ahead"):
        _quick.assert_claims(["ours is ahead"])


def test_a_quick_run_knows_the_made_data_and_no_shop_but_a_part(quick):
    assert set(_made_sources.MADE) == set(prepare.SOURCES) - {"online-retail"}
    part = _common.shop()
    assert 100 < part.data["customer"].nunique() <= 120
    assert part.target.index.equals(part.data.index)


@pytest.mark.slow
def test_made_data_sets_have_something_to_find(quick):
    folder = _quick.made_folder()
    for name in _common.PROTOCOLS:
        assert len(_common.load(name, folder).test) > 100
    for name in _common.ORDERED:
        assert len(_common.load_ordered(name, folder).test) >= 50


def test_a_group_that_counts_is_a_group():
    group = bench_distributed.CountingGroup(1, 2)
    assert (group.rank, group.size, group.n_bytes) == (1, 2, 0)


def rows_of_context(**gains):
    """Return rows of KuaiRand, where a context gains 17 % over none."""
    none = {"recall@20 gain": 0, "recall@20 half": 1}
    some = {"recall@20 gain": 17, "recall@20 half": 2}
    over = {f"recall@20 over {name} gain": gain for name, gain in gains.items()}
    systems = {NONE: none, WITH: some | over, UNKNOWN: none, NOISE: some}
    return [{"data": "kuairand", "system": k} | v for k, v in systems.items()]


def test_a_context_must_gain_over_noise_and_over_a_constant():
    assert bench_context.failures(rows_of_context(noise=8, constant=8)) == []
    for name in (NOISE, CONSTANT):
        gains = {NOISE: 8, CONSTANT: 8} | {name: 4}
        (wrong,) = bench_context.failures(rows_of_context(**gains))
        assert wrong == f"kuairand: gain over {name} 4.0 %"


def test_results_of_contexts_hold_both_gains():
    lines = (run_quick.FOLDER / "results" / "context.jsonl").read_text().splitlines()
    rows = [json.loads(line) for line in lines]
    (row,) = (r for r in rows if (r["data"], r["system"]) == ("kuairand", WITH))
    for name in (NOISE, CONSTANT):
        (control,) = (r for r in rows if (r["data"], r["system"]) == ("kuairand", name))
        gain = 100 * (row["recall@20"] / control["recall@20"] - 1)
        assert row[f"recall@20 over {name} gain"] == pytest.approx(gain)
