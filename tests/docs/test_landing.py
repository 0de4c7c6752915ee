"""The first page of the documentation: its code runs, and its report is not stale."""

import importlib.util
import json
import re
import sys
from pathlib import Path

import pandas as pd
import pytest

from sktwotower.metrics import retrieval_report
from tests.builders import TEST, TRAIN, FixedRanking

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGE = (DOCS / "index.md").read_text(encoding="utf-8")


def script(path):
    """Return a module of the documentation."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = sys.modules[path.stem] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


outputs = script(DOCS / "outputs.py")


@pytest.fixture(scope="module")
def live():
    pytest.importorskip("docutils")
    return script(DOCS / "_ext" / "live_report.py")


def test_the_report_is_of_this_code_and_agrees_with_the_benchmark(live):
    report, stored = live.stored_report()
    source = (DOCS / "landing.py").read_text(encoding="utf-8")
    code, _, _ = source[source.index("def reported(") :].partition("def parameters_of(")
    assert stored["code"].strip() == code.strip(), "Run docs/landing.py again."
    today = retrieval_report(FixedRanking().fit(TRAIN), TEST, k=20)
    assert stored["columns"] == [*today.columns], "Run docs/landing.py again."
    assert {*today.attrs} - {"split"} <= {*report.attrs}
    lines = (ROOT / "benchmarks/results/next.jsonl").read_text().splitlines()
    rows = [row for row in map(json.loads, lines) if row["data"] == "online-retail"]
    for ours, theirs, within in [
        ("popularity", "popularity", 1e-4),
        ("EASE", "EASE", 1e-4),
        ("best sellers of 3 days", "recent popularity", 2e-3),  # many ties
        # the seeds of the benchmark differ by .006
        ("TwoTowerRecommender", "TwoTowerRecommender(time)", 0.006),
    ]:
        for figure in ("recall@20", "ndcg@20"):
            measured = [row[figure] for row in rows if row["system"] == theirs]
            mean = sum(measured) / len(measured)
            assert report.loc[("all", ours), figure] == pytest.approx(mean, abs=within)
    assert report.verdict().word == "ahead"


def test_the_stored_report_is_drawn(live):
    report, stored = live.stored_report()
    html = report._repr_html_()
    assert '<p class="verdict ahead">TwoTowerRecommender is ahead of EASE by' in html
    hits = [card.count("✓</b>") for card in stored["cards"].split("<section>")[1:]]
    # in the middle of each third of the lists, by the number of hits
    assert len(hits) == 3 and hits == sorted(hits)
    mean = float(re.search(r"a list has ([\d.]+) on average", stored["said"])[1])
    assert sum(hits) / 3 == pytest.approx(mean, abs=0.7)
    assert "Also left out: nothing." in html
    curve = pd.DataFrame(**stored["displays"]["RecallCurveDisplay"]["recall"])
    for name, figure in curve.loc[20].items():
        assert figure == pytest.approx(report.loc[("all", name), "recall@20"], abs=1e-5)


def test_scores_are_bars(live):
    table = "   description  score\n0  A <B> 2  0.50\n1  C       -0.25"
    rows = live.rows_of(table)
    assert rows == [("A <B> 2", 0.5), ("C", -0.25)]
    html = live.bars_of(rows)
    assert html.startswith("<ol class='scores'><li><span>A &lt;B&gt; 2</span>")
    assert re.findall(r"width: (\d+)%", html) == ["100", "0"]
    assert re.findall(r"<span>(-?[\d.]+)</span>", html) == ["0.500", "-0.250"]
    assert live.rows_of("RED MUG\nBLUE MUG") == live.rows_of("") == []
