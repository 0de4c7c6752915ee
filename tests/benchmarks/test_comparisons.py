"""Comparisons of systems in README, guide, benchmarks and notebooks are computed.

A sentence that names a system and has a word such as "ahead" or "better" says it by a
claim, which `benchmarks/fill.py` computes, or stands in ``comparisons.toml``, with the
reason why not.
"""

import json
import re
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "benchmarks"))

import fill  # noqa: E402
from _queries import read  # noqa: E402

from tests.benchmarks.texts import without  # noqa: E402

ALLOWED = Path(__file__).with_name("comparisons.toml")
SYSTEMS = re.compile(
    r"\b(EASE|iALS|GF-CF|LightFM|BPR|DSSM|RecTools|SASRec|HSTU|SLIM|RP3beta|LightGCN|"
    r"Mult-VAE|ours|towers?|item-kNN|popularity|ridge|Markov|faiss|hnswlib|"
    r"implicit|irspack|TensorFlow|refits?|new fit|partial_fit|frozen|click rate|"
    r"two stages|both stages|ranker|without `time`|joblib|"
    r"sktwotower|plain loop|a graph|random split)\b",
    re.IGNORECASE,
)
WORDS = re.compile(
    r"\b(best|better|ahead|level|leads?|behind|worse|worst|beats?|beaten|wins?|loses?|"
    r"faster|fastest|slower|slowest|strong(?:er|est)|highest|lowest|above|below|"
    r"passes|(?:more|less|fewer) than(?! (?:\d|one\b|a standard))|"
    r"(?:half|twice|times) (?:as|that|the)|finds? (?:more|less|fewer|most|as)|"
    r"the most|as (?:fast|good|much|many|large|long|little)|as well as)\b",
    re.IGNORECASE,
)
# What holds no sentence, or is computed; how near "level" and "as fast" are.
SOURCES = re.compile(
    r"<!-- figures.*?-->|<!-- auto values.*?<!-- end of auto values -->", re.DOTALL
)
WITHIN = re.compile(r"(?:level|as\s+fast):?\s+within\s+\d+\s+%")
MARKS = re.compile(r"<!-- [^\n]*? -->")
CODE = re.compile(r"```.*?```", re.DOTALL)
PICTURE = re.compile(r"!\[[^]]*\]\([^)]*\)")
BEST_SELLERS = re.compile(r"\bbest[ -]sell\w+", re.IGNORECASE)
ENDS = re.compile(r"(?<=[.:;?!])\s+(?=[A-Z*`\"|])|\s\|\s")


def prose(name, text, known=None):
    """Return the text without code, pictures and all that is computed."""
    text = without(text, {"claim"}, name, known)
    if name.endswith(".ipynb"):
        cells = json.loads(text)["cells"]
        cells = [cell for cell in cells if cell["cell_type"] == "markdown"]
        text = "\n\n".join("".join(cell["source"]) for cell in cells)
    text = WITHIN.sub("", SOURCES.sub("", text))
    return PICTURE.sub("", CODE.sub("", MARKS.sub("", text)))


def sentences(name, text, known=None):
    """Return the sentences of a text, each in one line."""
    parts = re.split(r"\n\s*\n|\n(?=\s*[-*|] )", prose(name, text, known))
    lines = [" ".join(part.split()) for part in parts]
    return [sentence for line in lines for sentence in ENDS.split(line)]


def comparisons(name, text, known=None):
    """Return the sentences that compare systems in words of their own.

    ``known``: the sentences with computed words; by default those of the text's name.
    """
    found = []
    for sentence in sentences(name, text, known):
        plain = BEST_SELLERS.sub("popularity", sentence)
        is_claim = SYSTEMS.search(plain) and WORDS.search(plain)
        if is_claim and not plain.endswith("?"):
            found.append(sentence)
    return found


def allowed(name):
    """Return parts of sentences that may stand in a text, and their reasons."""
    reasons = tomllib.loads(ALLOWED.read_text("utf-8"))["allowed"]
    return {
        part: entry["reason"]
        for entry in reasons
        for part in entry["parts"].get(name, ())
    }


@pytest.mark.parametrize("name", fill.TEXTS)
def test_a_comparison_of_systems_is_computed(name):
    found = comparisons(name, (ROOT / name).read_text("utf-8"))
    parts = allowed(name)
    new = [s for s in found if not any(part in s for part in parts)]
    remedy = (
        "make it a claim (benchmarks/fill.py), or give a reason in comparisons.toml"
    )
    assert not new, "\n".join([*new, remedy])
    gone = [part for part in parts if not any(part in s for s in found)]
    assert not gone, f"take these out of comparisons.toml: {gone}"


def test_every_reason_is_of_a_text():
    reasons = tomllib.loads(ALLOWED.read_text("utf-8"))["allowed"]
    assert all(len(entry["reason"].split()) > 5 for entry in reasons)
    assert {name for entry in reasons for name in entry["parts"]} <= set(fill.TEXTS)


@pytest.mark.parametrize(
    ("name", "text", "found"),
    [
        ("a.md", "EASE is better.", True),
        ("a.md", "Ours is ahead of\niALS by far.", True),
        ("a.md", "It finds as much as the best sellers.", True),
        ("a.md", "| result | ours takes half as long as faiss |", True),
        ("a.md", "Is EASE better?", False),
        ("a.md", "It is better. EASE has .3.", False),
        ("a.md", "The best sellers are more than 3 of EASE.", False),
        ("a.md", "Text.\n\n```python\nease = 'better'  # EASE\n```\n", False),
        ("a.md", "![EASE ahead of ours](a.svg)", False),
        ("a.md", "<!-- EASE is better -->\n\nText.", False),
    ],
)
def test_comparisons_are_found(name, text, found):
    assert bool(comparisons(name, text)) is found


@pytest.mark.parametrize(
    ("text", "source", "found"),
    [
        ("EASE is better here.", "claim a=b", False),
        ("EASE is better here. EASE wins.", "claim a=b", True),
        ("EASE is .3 here, far ahead.", "figure a=b", True),
    ],
)
def test_what_is_computed_is_no_comparison_by_hand(text, source, found):
    known = [{"text": "EASE is {} here", "from": [source]}]
    assert bool(comparisons("a.md", text, known)) is found


def test_how_random_a_split_is_excuses_no_figure():
    # the rule hits wins as well: only the section that measures it says so
    excuse = re.compile(r"\b(?:no|not|far from)(?: an?| the)? random\b(?! one)")
    texts = {name: (ROOT / name).read_text("utf-8") for name in fill.TEXTS}
    page = "docs/reproduce.md"
    before, heading, after = texts[page].partition("## How random a held-out part is")
    texts[page] = before + after.partition("\n## ")[2]
    assert heading and excuse.search(after)
    assert not [name for name, text in texts.items() if excuse.search(text)]


def test_no_change_of_a_default_is_better_on_all_three_sets():
    rows = [row for row in read("ablations") if "difference" in row]
    sure = {
        (row["change"], row["data"])
        for row in rows
        if row["difference"] > 1.96 * row["standard error"]
    }
    changes = {change for change, _ in sure}
    data = {row["data"] for row in rows}
    assert len(data) == 3
    assert not [c for c in changes if {(c, d) for d in data} <= sure]


def test_side_tables_are_level_or_better_for_all_users():
    rows = [row for row in read("features") if row.get("group") == "all users"]
    assert len(rows) >= 12
    assert all(row["gained"] + row["half_interval"] >= 0 for row in rows)


def test_nothing_orders_what_is_shown_better_than_the_rate_and_keeps_the_recall():
    rows = read("impressions")

    def mean(system, figure):
        of_it = [row[figure] for row in rows if row["system"] == system]
        return sum(of_it) / len(of_it)

    rate = mean("the item's smoothed rate", "auc")
    recall = mean("candidates alone", "recall@20")
    systems = {row["system"] for row in rows if "recall@20" in row}
    both = [
        s for s in systems if mean(s, "auc") > rate and mean(s, "recall@20") >= recall
    ]
    assert not both


def test_what_the_results_call_not_run_has_no_rows():
    text = (ROOT / "docs" / "results.md").read_text("utf-8")
    section = text.partition("## What was not run\n")[2].partition("\n## ")[0]
    files = [path.stem for path in fill.RESULTS.glob("*.jsonl")]
    run = {(row.get("data"), row.get("system")) for f in files for row in read(f)}
    never = re.search(r"- (.+) were not run\.", section)[1]
    systems = {system for _, system in run}
    assert not systems & set(re.split(", | and ", never))
    assert "only eSASRec has a row on MovieLens 1M" in section
    others = {"SASRec", "HSTU", "HSTU(time)"}
    assert not run & {("ml-1m-last", system) for system in others}
    transformers = others | {"eSASRec"}
    assert not run & {("online-retail", system) for system in transformers}
    assert "EASE was not run on Gowalla and Sports" in section
    assert not run & {(d, "EASE") for d in ("gowalla", "sports-last")}
    assert "A new fit each week with `time=` was not run" in section
    assert ("online-retail", "ours(time), refit") not in run
