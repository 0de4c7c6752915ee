"""Figures of README and of the benchmarks come from the result files."""

import json
import re
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
sys.path.insert(0, str(ROOT / "benchmarks"))

import _sentences  # noqa: E402
import fill  # noqa: E402
from _common import machine  # noqa: E402
from _queries import rounded  # noqa: E402
from _search import is_settled  # noqa: E402

ROWS = [
    {"system": "EASE", "seed": 0, "recall": 0.27545, "ndcg": 0.42, "fit_s": 2.94},
    {"system": "ours", "seed": 0, "recall": 0.2750, "ndcg": 0.4, "fit_s": 100.0},
    {"system": "ours", "seed": 1, "recall": 0.2772, "ndcg": 0.41, "fit_s": 260.0},
]
TABLE = """<!-- figures best=row
columns: - | system=EASE | system=iALS | system=ours | system=ours; show=fit_s; unit=s
row: file=made; show=recall / ndcg; gap=yes
-->

| data | EASE | iALS | ours | fit |
|---|---|---|---|---|
| made | ? | ? | ? | |

After it.
"""


@pytest.fixture
def results(tmp_path):
    lines = "\n".join(map(json.dumps, ROWS))
    (tmp_path / "made.jsonl").write_text(lines + "\n")
    return tmp_path


@pytest.mark.parametrize("name", fill.TEXTS)
def test_the_texts_have_the_figures_of_the_files(name):
    _, differences = fill.filled((ROOT / name).read_text("utf-8"), name=name)
    remedy = "call python benchmarks/fill.py"
    assert not differences, "\n".join([*differences, remedy])


def test_no_mark_is_passed_over():
    for name in fill.TEXTS:
        text = (ROOT / name).read_text("utf-8")
        assert text.count("<!-- figures") == len(fill.TABLE.findall(text)), name
        assert not re.search(r"<!-- (figure|claim) |<!-- end -->", text), name
    texts = set(_sentences.all_sentences())
    assert texts <= set(fill.TEXTS), texts - set(fill.TEXTS)


def test_the_texts_have_figures():
    index = (ROOT / "docs/index.md").read_text("utf-8")
    assert len(_sentences.places("docs/index.md", index)) >= 5
    assert len(_sentences.tables_of("README.md")) == 2
    found = [
        fill.TABLE.findall((ROOT / name).read_text("utf-8")) for name in fill.TEXTS
    ]
    assert sum(map(len, found)) >= 30


def test_a_table_is_filled_from_means_and_rounded_once(results):
    text, differences = fill.filled(TABLE, results, name="page")
    # .27545 is .275; in two steps, by way of .2755, it would be .276.
    assert "| made | .275 / **.420** | | **.276** / .405 | 3 min |" in text
    assert text.endswith("After it.\n")
    (difference,) = differences
    assert difference.startswith("page, line 8: '| made | ? |")
    assert fill.filled(text, results) == (text, [])


def test_both_figures_of_the_best_are_one_bold_text(results):
    spec = TABLE.replace("recall / ndcg", "ndcg / ndcg")
    assert "| **.420 / .420** | |" in fill.filled(spec, results)[0]


@pytest.mark.parametrize(
    ("options", "source", "is_bold"),
    [
        ("best=row; least=2", "system=EASE", True),
        ("best=row; least=3", "system=EASE", False),
        ("best=row", "system=EASE; bold=no", False),
    ],
)
def test_a_line_without_rivals_or_with_few_users_has_no_bold(
    results, options, source, is_bold
):
    spec = TABLE.replace("best=row", options).replace("system=EASE", source)
    text, _ = fill.filled(spec.replace("recall / ndcg", "ndcg"), results)
    assert ("| made | **.420** | |" in text) is is_bold
    assert ("**" in text) is (is_bold or "bold=no" in source)


def sentence(text, *sources):
    return {"text": text, "from": list(sources)}


RECALL = "figure file=made; system={}; show=recall"


def test_a_figure_in_a_sentence(results):
    text = "Two lines,\ncontains\n.9 of all, and .9 of\nnone.\n"
    sources = [RECALL.format("ours") + "; stat=max", RECALL.format("EASE")]
    known = [sentence("contains {} of all, and {} of none.", *sources)]
    new, differences = fill.filled(text, results, "page", known)
    assert new == "Two lines,\ncontains\n.277 of all, and .275 of\nnone.\n"
    assert sorted(differences) == [
        "page, line 3: '.9', measured '.275'",
        "page, line 3: '.9', measured '.277'",
    ]
    assert fill.filled(new, results, "page", known) == (new, [])


def test_words_may_stand_on_two_lines(results):
    claim = "claim of=.3 / .2; words=much more than / as much as / less than"
    known = [sentence("It has {} EASE.", claim)]
    text = "It has much\nmore than EASE."
    assert fill.filled(text, results, "page", known) == (text, [])
    new, (difference,) = fill.filled("It has less\nthan EASE.", results, "page", known)
    assert new == "It has much more than EASE."
    assert difference == r"page, line 1: 'less\nthan', measured 'much more than'"


def test_a_figure_at_the_end_of_a_sentence_is_read_to_its_end(results):
    known = [sentence("EASE has {}.", RECALL.format("EASE"))]
    text = "EASE has 12.5. Others have 1.5."
    new, _ = fill.filled(text, results, "page", known)
    assert new == "EASE has .275. Others have 1.5."


def test_a_figure_in_a_notebook(results):
    cell = ['It says "a" of\n', "EASE: .9, or\n", "more.\n", "\n", "No .9."]
    text = json.dumps({"cells": [{"source": cell}]}, indent=1)
    known = [sentence('says "a" of EASE: {}, or more.', RECALL.format("EASE"))]
    new, _ = fill.filled(text, results, "page.ipynb", known)
    assert json.loads(new)["cells"][0]["source"][1] == "EASE: .275, or\n"
    assert fill.filled(new, results, "page.ipynb", known) == (new, [])


@pytest.mark.parametrize(
    ("text", "wanted", "message"),
    [
        ("EASE has .3.", "iALS has {}.", "0 times instead of once: 'iALS has {}.'"),
        ("EASE has .3.\n\nEASE has .4.", "EASE has {}.", "2 times instead of once"),
        ("EASE has\n\n.3.", "EASE has {}.", "0 times"),
        ("EASE has .3.", "EASE has {}", "needs text around its places"),
        ("EASE has .3.", "EASE has it.", "1 sources for 0 places"),
    ],
)
def test_a_sentence_that_is_not_there_once_is_refused(results, text, wanted, message):
    known = [sentence(wanted, RECALL.format("EASE"))]
    with pytest.raises(ValueError, match=f"page: .*{re.escape(message)}"):
        fill.filled(text, results, "page", known)


def test_two_places_need_a_word_between(results):
    known = [{"text": "EASE is {} {} here.", "from": ["figure a=b"] * 2}]
    with pytest.raises(ValueError, match="two places need a word between"):
        fill.filled("EASE is level with .3 here.", results, "page", known)


def test_a_source_is_a_figure_or_a_claim(results):
    known = [sentence("EASE has {}.", "file=made; show=recall")]
    with pytest.raises(ValueError, match="'figure' or a 'claim', got 'file=made;'"):
        fill.filled("EASE has .3.", results, "page", known)


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (0.3649, None, ".365"),
        (-0.0042, None, "-.004"),
        (1.0, None, "1.000"),
        (1.62, "s", "1.6 s"),
        (9.96, "s", "10 s"),
        (119.0, "s", "119 s"),
        (1224.0, "s", "20 min"),
        (0.1234, "ms", "0.12"),
        (9.996, "ms", "10"),
        (0.0996, "percent", "10.0"),
    ],
)
def test_rounding(value, unit, text):
    assert rounded(value, unit) == text


def test_a_gain_has_its_interval_and_rows_of_other_kinds_do_not_count(tmp_path):
    rows = [
        {"system": "ours", "seed": 0, "recall": 0.5},
        {"system": "ours", "gained": 0.0094, "half_interval": 0.0022},
    ]
    (tmp_path / "made.jsonl").write_text("\n".join(map(json.dumps, rows)))
    spec = {"file": "made", "system": "ours", "show": "gained / half_interval"}
    spec |= {"unit": "±"}
    assert fill.figures(spec, tmp_path) == ["+.009 ± .002"]
    whole = spec | {"digits": "1", "scale": "1000"}
    assert fill.figures(whole, tmp_path) == ["+9.4 ± 2.2"]
    assert fill.figures(spec | {"seed": "None"}, tmp_path) == ["+.009 ± .002"]
    assert fill.figures({"file": "made", "show": "recall"}, tmp_path) == [".500"]


def test_figures_of_an_earlier_run_stay_until_there_are_others(results):
    text = TABLE.replace("gap=yes", "gap=old") + "It has .31 now."
    known = [sentence("It has {} now.", "figure file=none; show=recall; gap=old")]
    new, _ = fill.filled(text, results, sentences=known)
    assert "| made | .275 / **.420** | ? | **.276** / .405 |" in new
    assert new.endswith("It has .31 now.")


def test_digits_and_scale():
    assert rounded(1_851_662.2, digits="0") == "1,851,662"
    assert rounded(0.0996, digits="1", scale="100") == "10.0"


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("file=none; show=recall", "no file none.jsonl"),
        ("file=made; system=mine; show=recall", "no row of made.jsonl has .*mine"),
        ("file=made; show=auc", r"no row of made.jsonl has \['auc'\]"),
        ("file=made; show=recall / auc", "no row of made.jsonl has .*'auc'"),
        ("file=made", "show= is missing"),
        ("file=made; recall", "expected key=value, got ' recall'"),
    ],
)
def test_a_wrong_mark_is_refused_with_its_page(results, spec, message):
    known = [sentence("It has {}.", f"figure {spec}")]
    with pytest.raises(ValueError, match=f"page: .*{message}"):
        fill.filled("It has .1.", results, "page", known)


def test_a_table_of_another_size_is_refused(results):
    text = TABLE.replace("\n\nAfter", "\n| more | | | | |\n\nAfter")
    with pytest.raises(ValueError, match="1 rows of 5 cells are described"):
        fill.filled(text, results)


def test_rows_of_other_defaults_are_named():
    from sktwotower import TwoTowerRecommender

    now = TwoTowerRecommender(random_state=3).get_params()
    part = {"embedding_dim": 8}  # what was set; the defaults of the day are unknown
    rows = [
        {"system": system, "params": params}
        for system, params in [
            ("TwoTowerRecommender", now | {"embedding_dim": 7}),
            ("TwoTowerRecommender", part),
            ("EASE", {"l2": 3}),
        ]
    ]
    assert fill.other_defaults(rows) == ["embedding_dim"]
    rows[0]["params"] = now
    assert fill.other_defaults(rows) == []


def test_a_table_says_where_figures_come_from(tmp_path):
    machine = {"cpu": "A", "threads": "1"}
    rows = [machine | {"commit": "abc"}, machine, machine | {"commit": "abc"}]
    rows.append({"gain": 1})
    (tmp_path / "made.jsonl").write_text("\n".join(map(json.dumps, rows)))
    head = "<!-- origins -->\n\n| file | commit | machine |\n|---|---|---|\n"
    page = f"{head}| old |\n\nEnd."
    text, differences = fill.filled(page, tmp_path, name="page")
    line = "| `made` | abc (2), not recorded (1) | A, 1 |"
    assert text == f"{head}{line}\n\nEnd."
    assert len(differences) == 1 and fill.filled(text, tmp_path) == (text, [])


def results_of(name):
    return [row for row in fill.read(name) if "cpu" in row]


NAMES = sorted(path.stem for path in fill.RESULTS.glob("*.jsonl"))


@pytest.mark.parametrize("name", NAMES)
def test_rows_that_name_a_commit_name_all_packages(name):
    for row in results_of(name):
        if row.get("commit"):
            assert {"numpy", "torch", "scikit-learn"} <= set(row["versions"])
            assert row["cpu"] and row["threads"] and row["python"]


@pytest.mark.parametrize("name", [n for n in NAMES if n.startswith("quality_")])
def test_rows_of_tuned_peers_have_their_trials(name):
    peers = {"item-kNN", "EASE", "iALS", "GF-CF", "BPR", "LightFM", "RecTools DSSM"}
    rows = [row for row in results_of(name) if row["system"] in peers]
    assert len(rows) >= (0 if name.endswith("-random") else 5)
    assert all(row["trials"] >= 1 and row["params"] for row in rows)
    assert all(row["shown"] == is_settled(row) for row in results_of(name))
    ours = [r for r in results_of(name) if r["system"] == "TwoTowerRecommender"]
    assert sorted(row["params"]["random_state"] for row in ours) == [0, 1, 2]


def test_all_scripts_that_write_results_say_what_was_measured():
    texts = [path.read_text() for path in (ROOT / "benchmarks").glob("bench_*.py")]
    written = [text for text in texts if "write_results(" in text]
    assert len(written) > 15
    assert all(re.search(r"\bmachine\(\)", text) for text in written)


def test_a_row_says_what_was_measured():
    row = json.loads(json.dumps(machine()))
    assert {"cpu", "threads", "python", "commit", "versions"} <= set(row)
    assert {"numpy", "torch", "scikit-learn"} <= set(row["versions"])


def test_a_table_without_a_comment_is_filled_and_its_head_must_be_there(results):
    head = "| data | EASE |"
    query = "columns: - | system=EASE; show=ndcg\nrow: file=made"
    tables = [{"table": head, "from": query}]
    page = f"Before.\n\n{head}\n|---|---|\n| made | ? |\n\nAfter.\n"
    text, (difference,) = fill.filled(page, results, name="page.md", tables=tables)
    assert text == page.replace("?", ".420")
    assert difference.startswith("page.md, line 5: '| made | ? |'")
    with pytest.raises(ValueError, match="0 tables begin with"):
        fill.filled(page.replace("EASE |", "iALS |"), results, tables=tables)
