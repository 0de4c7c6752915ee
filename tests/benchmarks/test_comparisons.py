"""Comparisons of systems in all texts are computed.

A sentence that names a system and has a word such as "ahead" or "better" says it by a
claim, which `benchmarks/fill.py` computes, or stands in ``comparisons.toml``, with the
reason why not. A sentence that begins with "it" or "a fit" names the system before it.
Texts are README, guide, benchmarks and notebooks, and what code says: docstrings,
comments and the pages next to it.
"""

import json
import re
import sys
import tomllib
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "benchmarks"))

import fill  # noqa: E402
from _claims import verdict  # noqa: E402
from _queries import read  # noqa: E402

from sktwotower import TwoTowerRecommender  # noqa: E402
from tests.benchmarks.texts import without  # noqa: E402

ALLOWED = Path(__file__).with_name("comparisons.toml")
# Other models and packages, by name and by word.
NAMES = (
    r"EASE|iALS|GF-CF|LightFM|BPR|DSSM|RecTools|g?SASRec|eSASRec|HSTU(?:-large)?|SLIM|"
    r"LightGCN|X?SimGCL|BSPM|NESCL|SimpleX|UltraGCN|YouTubeDNN|TIGER|ActionPiece|FuXi|"
    r"Mult-VAE|faiss|hnswlib|implicit|irspack|TensorFlow|TFRS|skrecsys|scikit-rec|"
    r"LensKit|cornac|RecBole|RePlay|Surprise|Gorse|polars"
)
OTHERS = (
    r"(?:all|any|each|every|no|the|than|of|on) others?|any other's|rivals?|baselines?|"
    r"transformers|(?:a|any|each|every|no) transformer|published (?:values?|figures?)|"
    r"(?:other|others'|no|any|each|every) "
    r"(?:systems?|models?|librar(?:y|ies)|packages?|recommenders?)"
)
NAMED = re.compile(rf"\b(?:{NAMES}|this package)\b", re.IGNORECASE)
SYSTEMS = re.compile(
    rf"\b(?:{NAMES}|{OTHERS}|RP3beta|ours|towers?|item-kNN|popularity|ridge|Markov|"
    r"refits?|new fit|partial_fit|frozen|click rate|two stages|both stages|ranker|"
    r"without `time`|joblib|sktwotower|(?:this|the) package|plain loop|a graph|"
    r"random split)\b",
    re.IGNORECASE,
)
DATA = re.compile(
    r"\b(Gowalla|Beauty|Sports|MovieLens|Last\.FM|CiteULike|KuaiRand|Online Retail|"
    r"(?:the|a|this)(?: gift)? shop|"
    r"(?:each|every|all|most) (?:data )?(?:sets?|splits?))\b"
)
PRONOUN = re.compile(
    r"^\W*(?:It|They|Its|Their|This|These|None|Each|Neither|A fit|The fit|A request|"
    r"Lists)\b"
)
# What may be a place ("the table below"), what only compares, and what always boasts.
PLACES = (
    r"level|behind|above|below|passes|match(?:es)?|equals?|"
    r"(?:more|less|fewer) than(?! (?:\d|one\b|a standard|by\b))|"
    r"as (?:fast|quick|good|cheap|accurate|strong|high|much|many|large|long|little)|"
    r"as well as|(?:half|twice|times) (?:as|that|the)"
)
TELLING = (
    r"best|better|ahead|leads?|worse|worst|wins?|loses?|exceeds?|"
    r"\w+er than(?! (?:\d|one\b|a standard|by\b|memory))|faster|fastest|slower|slowest|"
    r"quicker|quickest|cheapest|strong(?:er|est)|highest|lowest|higher|"
    r"(?:greater|larger|lower|smaller) (?:NDCG|recall|figures?)|"
    r"no (?:longer|slower|worse|more|less) than|than (?:any|all)|"
    r"(?:half|twice|three times) as (?:fast|good|many|much)|\dx \w+er|"
    r"a (?:third|quarter|fifth|tenth) (?:as|of the (?:time|seconds|cost|memory))|"
    r"(?:finds?|contains?) (?:\w+ ){0,4}(?:more|less|fewer|most|as)|the most|"
    r"improves? on|gains? \d+|(?:first|top) on|in the time of"
)
BOASTS = re.compile(
    r"\b(?:outperform\w*|surpass\w*|defeat\w*|beats?|beaten|unrivall?ed|unmatched|"
    r"unbeat\w*|state[- ]of[- ]the[- ]art|new record|world[- ]class|second to none|"
    r"(?:is|are) the only|no other (?:package|library|system|recommender|model)|"
    r"only (?:sktwotower|this package)|(?:is|are) the first to|(?:is|are) unique|"
    r"(?:the|our) best (?:model|recommender|package|library|system)|on (?:a )?par|"
    r"comes first (?:on|of|among)|(?:tops|dominates) (?:the table|all|[A-Z]))(?!\w)",
    re.IGNORECASE,
)
WORDS = re.compile(rf"\b(?:{PLACES}|{TELLING})\b", re.IGNORECASE)
TELLS = re.compile(rf"\b(?:{TELLING})\b", re.IGNORECASE)
# What holds no sentence, or is computed; how near "level" and "as fast" are.
SOURCES = re.compile(
    r"<!-- figures.*?-->|<!-- auto values.*?<!-- end of auto values -->", re.DOTALL
)
WITHIN = re.compile(r"(?:level|as\s+fast):?\s+within\s+\d+\s+%")
MARKS = re.compile(r"<!-- [^\n]*? -->")
EXAMPLE = re.compile(r"^ *(?:>>>|\.\.\.).*$", re.MULTILINE)
CODE = re.compile(r"```.*?```", re.DOTALL)
SCRIPTS = "sktwotower/**/*.py", "examples/**/*.py", "setup.py"
PAGES_OF_EXAMPLES = ["examples/gallery/README.md"]
PICTURE = re.compile(r"!\[[^]]*\]\([^)]*\)")
BEST_SELLERS = re.compile(r"\bbest[ -]sell\w+", re.IGNORECASE)
ENDS = re.compile(r"(?<=[.:;?!])\s+(?=[A-Z*`\"|]|sktwotower)|\s\|\s")


def prose(name, text, known=None):
    """Return the text without code, pictures and all that is computed."""
    text = without(text, {"claim"}, name, known)
    if name.endswith(".ipynb"):
        cells = json.loads(text)["cells"]
        cells = [cell for cell in cells if cell["cell_type"] == "markdown"]
        text = "\n\n".join("".join(cell["source"]) for cell in cells)
    text = WITHIN.sub("", SOURCES.sub("", text))
    return PICTURE.sub("", CODE.sub("", MARKS.sub("", text)))


def paragraphs(text):
    """Return the sentences of each paragraph of a text, each in one line."""
    parts = re.split(r"\n\s*\n|\n(?=\s*[-*|] )", text)
    return [ENDS.split(" ".join(part.split())) for part in parts]


def comparisons(name, text, known=None):
    """Return the sentences that compare systems in words of their own.

    ``known``: the sentences with computed words; by default those of the text's name.
    """
    found = []
    for paragraph in paragraphs(prose(name, text, known)):
        is_named = False
        for sentence in paragraph:
            plain = BEST_SELLERS.sub("popularity", sentence)
            found += [sentence] * compares(plain, is_named)
            is_named |= bool(SYSTEMS.search(plain))
    return found


def compares(sentence, is_named=False):
    """Return whether a sentence compares; ``is_named``: "it" may be a system."""
    if sentence.endswith("?"):
        return False
    if SYSTEMS.search(sentence) or (is_named and PRONOUN.search(sentence)):
        return bool(WORDS.search(sentence) or BOASTS.search(sentence))
    by_data = DATA.search(sentence) and TELLS.search(sentence)
    return bool(by_data or BOASTS.search(sentence))


@cache
def code_texts():
    """Return what code and the pages next to it say, by the name of the file."""
    pages = ["CHANGELOG.md", "CONTRIBUTING.md", "CITATION.cff", *PAGES_OF_EXAMPLES]
    scripts = [p for f in SCRIPTS for p in sorted(ROOT.glob(f))]
    found = {name: (ROOT / name).read_text("utf-8") for name in pages}
    return found | {
        str(p.relative_to(ROOT)): said(p.read_text("utf-8")) for p in scripts
    }


def said(code):
    """Return the docstrings and comments of a script, without examples."""
    parts = re.findall(r'"""(.*?)"""', EXAMPLE.sub("", code), re.DOTALL)
    comments = re.sub(r"^(?! *#).*$", "", code, flags=re.MULTILINE)
    return "\n\n".join([*parts, re.sub(r"^ *# ?", "", comments, flags=re.MULTILINE)])


def boasts(text):
    """Return the sentences of code that compare with other models or packages.

    Less than `comparisons`: a docstring of a metric may say what is better.
    """
    parts = re.split(r"\n\s*\n", CODE.sub("", text))
    flat = [" ".join(part.split()) for part in parts]
    parts = [
        part
        for part, line in zip(parts, flat, strict=True)
        if NAMED.search(line) or BOASTS.search(line)
    ]
    lines = [s for part in parts for paragraph in paragraphs(part) for s in paragraph]
    return [
        line
        for line in lines
        if (NAMED.search(line) and TELLS.search(line)) or BOASTS.search(line)
    ]


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
    remedy = (
        "make it a claim (benchmarks/fill.py), or give a reason in comparisons.toml"
    )
    judge(found, parts, remedy)


def test_code_compares_with_no_other_package():
    remedy = "say it in a page, by a claim, or give a reason in comparisons.toml"
    for name, text in code_texts().items():
        judge(boasts(text), allowed(name), f"{name}: {remedy}")


def judge(found, parts, remedy):
    """Fail for sentences without a reason, and for reasons without a sentence."""
    new = [s for s in found if not any(part in s for part in parts)]
    assert not new, "\n".join([*new, remedy])
    gone = [part for part in parts if not any(part in s for s in found)]
    assert not gone, f"take these out of comparisons.toml: {gone}"


def test_every_reason_is_of_a_text():
    reasons = tomllib.loads(ALLOWED.read_text("utf-8"))["allowed"]
    assert all(len(entry["reason"].split()) > 5 for entry in reasons)
    known = {*fill.TEXTS, *code_texts()}
    assert {name for entry in reasons for name in entry["parts"]} <= known


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
        ("a.md", "sktwotower reads times. It is ahead.", True),
        ("a.md", "sktwotower reads times.\n\nIt is ahead.", False),
    ],
)
def test_comparisons_are_found(name, text, found):
    assert bool(comparisons(name, text)) is found


FALSE = [
    "sktwotower is the best model.",
    "This package has the best lists.",
    "It is ahead on Gowalla.",
    "No system is better.",
    "sktwotower is level with BSPM.",
    "Two towers match GF-CF.",
    "It is as good as a transformer.",
    "A fit is as fast as that of EASE.",
    "Its fit takes no longer than that of EASE.",
    "sktwotower is twice as fast as faiss.",
    "It is 3x faster than LightFM.",
    "A fit takes a third of the seconds of EASE.",
    "It beats all others.",
    "The model wins on each split.",
    "sktwotower outperforms EASE.",
    "It exceeds the published values.",
    "Its recall is higher than that of others.",
    "sktwotower has a larger NDCG than GF-CF.",
    "Lists of sktwotower contain more of them than all rivals.",
    "Its lists contain more than any other's.",
    "It is the only package that reads times.",
    "No other library has this.",
    "It improves on SASRec by 30 %.",
    "It is state of the art.",
]


@pytest.mark.parametrize("sentence", FALSE)
def test_what_nobody_measured_is_found_without_a_word_before(sentence):
    assert comparisons("a.md", f"First words.\n\n{sentence}", [])


@pytest.mark.parametrize("name", ["README.md", "docs/results.md"])
def test_what_is_planted_in_a_page_is_found(name):
    text = (ROOT / name).read_text("utf-8")
    before = comparisons(name, text)
    planted = "\n\n".join(FALSE)
    found = comparisons(name, f"{text}\n\n{planted}\n")
    assert found == [*before, *FALSE]
    notebook = {"cells": [{"cell_type": "markdown", "source": [planted]}]}
    assert comparisons("a.ipynb", json.dumps(notebook), []) == FALSE


def test_what_is_planted_in_code_is_found():
    named = [s for s in FALSE if NAMED.search(s) or BOASTS.search(s)]
    assert len(named) >= 14
    code = "class A:\n    {}\n\n    def f(self):\n        {}\n        # {}\n"
    for sentence in named:
        # "as good as" and "match" compare parts of the package there
        if not (TELLS.search(sentence) or BOASTS.search(sentence)):
            continue
        quoted = f'"""Do it.\n\n    {sentence}\n    """'
        assert boasts(said(code.format(quoted, '"""Do it."""', ""))) == [sentence]
        assert boasts(said(code.format('"""A."""', '"""B."""', sentence))) == [sentence]


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


# Data sets, as the results call them.
SETS = {
    "Last.FM": "lastfm",
    "MovieLens 100K": "ml-100k",
    "MovieLens 1M": "ml-1m",
    "Online Retail": "online-retail",
}


def test_what_the_results_call_not_run_has_no_rows():
    text = (ROOT / "docs" / "results.md").read_text("utf-8")
    section = text.partition("## What was not run\n")[2].partition("\n## ")[0]
    files = [path.stem for path in fill.RESULTS.glob("*.jsonl")]
    run = {(row.get("data"), row.get("system")) for f in files for row in read(f)}
    never = re.search(r"- (.+) were not run\.", section)[1]
    systems = {system for _, system in run}
    assert not systems & set(re.split(", | and ", never))
    assert "None has a row on Online Retail" in section
    transformers = {"SASRec", "eSASRec", "HSTU", "HSTU(time)"}
    assert not run & {("online-retail", system) for system in transformers}
    assert "EASE was not run on Gowalla and the random part of Sports" in section
    left_out = "gowalla", "gowalla-random", "sports-random"
    assert not run & {(data, "EASE") for data in left_out}
    for few in ("XSimGCL", "Mult-VAE"):
        named = re.search(
            rf"{few} (?:was run )?on (.+?) only", " ".join(section.split())
        )
        named = {SETS[each] for each in re.split(", | and ", named[1])}
        assert {data for data, system in run if system == few} == named


def test_what_the_protocols_call_at_an_end_of_its_values_is():
    text = " ".join((ROOT / "docs" / "protocols.md").read_text("utf-8").split())
    rows = [row for row in read("next") if row["system"] == "ridge"]
    found = {row["data"] for row in rows if row.get("at_the_edge")}
    said = {"ml-latest-last", "ml-latest-time"}
    named = "The ridge of MovieLens latest was best at an end" in text
    assert found == (said if named else set())
    ease = {
        name: max(
            row["ndcg@10"]
            for row in read(name)
            if (row.get("data"), row.get("system")) == ("online-retail", "EASE")
        )
        for name in ("next", "quality_online-retail")
    }
    assert "in the order of time have the higher one" in text
    assert ease["next"] >= ease["quality_online-retail"]


def test_the_protocols_count_the_trials_that_the_budget_cut():
    text = " ".join((ROOT / "docs" / "protocols.md").read_text("utf-8").split())
    chosen = {}
    for row in sorted(read("next_trials"), key=lambda row: row["validation"]):
        chosen[row["data"], row["system"]] = row
    cut = {key: row for key, row in chosen.items() if row["ended_by"] == "budget"}
    assert f"cut the chosen trial of {len(cut)} of {len(chosen)} searches" in text
    rising = {key for key, row in cut.items() if row["curve"][-1] == max(row["curve"])}
    assert not rising and ("It was not rising" in text) == bool(cut)


def test_no_transformer_is_ahead_where_the_guide_says_so():
    text = (ROOT / "docs" / "guide" / "which_model.md").read_text("utf-8")
    assert "Three were run on five sets." in text and "None was ahead there" in text
    names = {"SASRec", "eSASRec", "HSTU", "HSTU(time)"}
    rows = [row for row in read("next") if row["system"] in names]
    run = {(row["data"], row["system"]) for row in rows}
    data = {data for data, _ in run}
    assert len(data) == 5
    assert {(d, s) for d in data for s in names - {"HSTU(time)"}} <= run
    asked = {"file": "next", "show": "ndcg@10", "a": "TwoTowerRecommender(time)"}
    assert all(verdict(asked | {"data": d, "b": s}) >= 0 for d, s in run)


def test_the_results_say_how_many_events_transformers_read():
    text = " ".join((ROOT / "docs" / "results.md").read_text("utf-8").split())
    rows = [row for row in read("next") if "session_max_len" in row["params"]]
    lengths = {row["params"]["session_max_len"] for row in rows}
    said = f"reads the last {min(lengths)} to {max(lengths)} events of a user"
    assert said in text and "sktwotower reads up to 1,000" in text
    assert TwoTowerRecommender().max_history == 1000
