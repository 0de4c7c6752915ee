"""What pages say of the result files in words that no claim of fill.py has."""

import re
import sys
from pathlib import Path

ROOT = Path(__file__).parents[3]
sys.path.insert(0, str(ROOT / "benchmarks"))

import fill  # noqa: E402
from _claims import verdict  # noqa: E402
from _queries import read  # noqa: E402

from sktwotower.towers import RecentHistory  # noqa: E402


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
    searched = [row for row in read("next_trials") if "(authors)" not in row["system"]]
    for row in sorted(searched, key=lambda row: row["validation"]):
        chosen[row["data"], row["system"]] = row
    cut = {key: row for key, row in chosen.items() if row["ended_by"] == "budget"}
    assert f"cut the chosen trial of {len(cut)} of {len(chosen)} searches" in text
    rising = {key for key, row in cut.items() if row["curve"][-1] == max(row["curve"])}
    assert not rising and ("It was not rising" in text) == bool(cut)


def test_no_transformer_is_ahead_where_the_guide_says_so():
    page = ROOT / "docs" / "guide" / "which_model.md"
    text = " ".join(page.read_text("utf-8").split())
    assert "On five sets we ran three transformers" in text
    assert "none of them was ahead there" in text
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
    assert RecentHistory().max_length == 1000
