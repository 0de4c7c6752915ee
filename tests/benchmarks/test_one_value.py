"""One quantity has one value in all texts, and in all result files."""

import ast
import re
import sys
import tomllib
from collections import defaultdict
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "benchmarks"))

import fill  # noqa: E402
from _queries import parsed, read  # noqa: E402
from _sentences import places  # noqa: E402

KNOWN = tomllib.loads(Path(__file__).with_name("quantities.toml").read_text("utf-8"))
FIGURES = ["recall@10", "recall@20", "ndcg@10", "ndcg@20"]
NEAR = 0.0015
OURS, IN_TIME = "TwoTowerRecommender", "TwoTowerRecommender(time)"


@cache
def texts():
    """Return what readers see, by name: pages, notebooks, heads of the scripts."""
    found = {name: (ROOT / name).read_text("utf-8") for name in fill.TEXTS}
    for path in sorted((ROOT / "benchmarks").glob("bench_*.py")):
        tree = ast.parse(path.read_text("utf-8"))
        found[f"benchmarks/{path.name}"] = ast.get_docstring(tree)
    return found


def values(patterns, by_name):
    """Return the names of the texts in which patterns find a value, by value."""
    found = defaultdict(list)
    for name, text in by_name.items():
        for pattern in patterns:
            for match in re.finditer(pattern, text):
                found[match[1]].append(name)
    return dict(found)


@pytest.mark.parametrize("quantity", KNOWN["quantity"], ids=lambda q: q["name"])
def test_a_quantity_has_one_value(quantity):
    by_name = texts()
    found = values(quantity["patterns"], by_name)
    assert set(found) == {quantity["value"]}, found
    gone = [p for p in quantity["patterns"] if not values([p], by_name)]
    assert not gone, f"take these out of quantities.toml: {gone}"


def test_another_value_is_found():
    # what a reader saw: 384 in the guide, 256 in a table of the benchmarks
    by_name = texts() | {"planted": "for 3,603 items x 256 |"}
    assert values(KNOWN["quantity"][0]["patterns"], by_name)["256"] == ["planted"]


@pytest.mark.slow
def test_the_values_are_those_of_the_package_and_its_data():
    from sktwotower import EASERecommender
    from sktwotower.datasets import load_online_retail
    from sktwotower.neighbors._graph_for_many import MAX_EXACT_ITEMS

    known = {each["name"]: each["value"] for each in KNOWN["quantity"]}
    lines = load_online_retail().data.drop_duplicates(["customer", "product"])
    n_train = int(0.8 * len(lines))
    train, later = lines[:n_train], lines[n_train:]
    judged = later[
        later["customer"].isin(train["customer"])
        & later["product"].isin(train["product"])
    ]
    computed = {
        "products of the gift shop": lines["product"].nunique(),
        "products sold before the cut": train["product"].nunique(),
        "customers of the gift shop who are judged": judged["customer"].nunique(),
        "items from which on a graph is searched": MAX_EXACT_ITEMS,
        "items for which EASE is fitted": EASERecommender().max_items,
    }
    assert known == known | {name: f"{value:,}" for name, value in computed.items()}


def queries(text, name="text", sentences=None):
    """Yield what each figure of a text asks for, one figure at a time."""
    for place in places(name, text, sentences):
        if place.kind == "figure":
            yield from one_by_one(parsed(place.query))
    for match in fill.TABLE.finditer(text):
        lines = [line.strip() for line in match[2].strip().splitlines()]
        lines = lines[lines[0].startswith("best=") :]
        columns = lines[0].removeprefix("columns:").split("|")
        rows = [line.removeprefix("row:").strip() for line in lines[1:]]
        for row, column in ((r, c.strip()) for r in rows for c in columns):
            if "-" not in (row, column):
                yield from one_by_one(parsed(row) | parsed(column))


def one_by_one(spec):
    return [spec | {"show": show} for show in spec["show"].split(" / ")]


def forms(text, name="text", sentences=None):
    """Return in which forms each figure of a text is shown: of one, or in percent."""
    found = defaultdict(set)
    for spec in queries(text, name, sentences):
        percent = spec.get("unit") == "percent" or spec.get("scale") == "100"
        how = {"unit", "digits", "scale", "gap"}
        same = frozenset((k, v) for k, v in spec.items() if k not in how)
        found[same].add("percent" if percent else "of one")
    return found


@pytest.mark.parametrize("name", fill.TEXTS)
def test_a_page_shows_a_figure_in_one_form(name):
    found = forms((ROOT / name).read_text("utf-8"), name)
    assert not [dict(spec) for spec, how in found.items() if len(how) > 1]


def test_two_forms_are_found():
    units = ["", "; unit=percent", "; digits=1"]
    sources = [f"figure file=a; show=b{unit}" for unit in units]
    known = [{"text": "It is {}, {} and {} here.", "from": sources}]
    (how,) = forms("It is .1, 9.8 and .1 here.", sentences=known).values()
    assert how == {"percent", "of one"}


@cache
def measured():
    """Return figures by data, system and figure, and by file, means over seeds."""
    found = defaultdict(lambda: defaultdict(list))
    for path in sorted(fill.RESULTS.glob("*.jsonl")):
        for row in read(path.stem):
            for key, value in of_row(path.stem, row):
                found[key][path.stem].append(value)
    return {
        key: {file: sum(of_file) / len(of_file) for file, of_file in by_file.items()}
        for key, by_file in found.items()
    }


def of_row(file, row):
    """Return the figures of a row that are those of a whole test, judged alike."""
    data, system, before = row.get("data"), row.get("system"), ""
    if file == "two_stage":
        before = "retrieval "
        system = IN_TIME if row["retriever"] == OURS else row["retriever"]
    elif file == "recency":
        data = "online-retail"
        system = OURS if row["model"] == "all alike" else row["model"]
    elif file == "distributed_quality" and row["processes"] == 1:
        system = OURS
    elif file == "files_bits" and row["format"] == "float32":
        system = OURS
    elif not file.startswith(("quality_", "next")):
        return []
    # recall@10 is truncated in quality_ml-100k
    names = FIGURES[1:] if data == "ml-100k" else FIGURES
    return [
        ((data, system, name), row[before + name])
        for name in names
        if before + name in row
    ]


def differing(found):
    """Return pairs of data and system with two values of one figure, and the values."""
    return {
        key: by_file
        for key, by_file in found.items()
        if max(by_file.values()) - min(by_file.values()) > NEAR
    }


def test_files_agree_on_a_figure():
    found = differing(measured())
    said = {(each["data"], each["system"]) for each in KNOWN["differs"]}
    new = {key: by_file for key, by_file in found.items() if key[:2] not in said}
    assert not new, f"measure anew, or give a reason in quantities.toml: {new}"
    gone = said - {key[:2] for key in found}
    assert not gone, f"take these out of quantities.toml: {gone}"


def test_files_that_disagree_are_found():
    key = "online-retail", OURS, "ndcg@10"
    found = measured()
    assert len(found[key]) >= 3
    assert key in differing(found | {key: found[key] | {"planted": 0.11}})
