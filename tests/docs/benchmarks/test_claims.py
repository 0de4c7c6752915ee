"""Claims of the texts are computed from the result files, as figures are."""

import json
import re
import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parents[3]
sys.path.insert(0, str(ROOT / "benchmarks"))

import _per_user  # noqa: E402
import fill  # noqa: E402
from _claims import SAME_RUN, best_other, claimed, verdict  # noqa: E402
from _quick import VARIABLE  # noqa: E402
from _sentences import places  # noqa: E402
from bench_quality import TUNED_BY  # noqa: E402

from tests.docs.test_notebooks import is_printed, printed_numbers  # noqa: E402

TIMES = "slower than / as fast as / faster than"
# differences from A are -.1 for each user of B, and -.1 or +.1 in turn for C
USERS = {
    "A": np.tile([0.2, 0.6], 50),
    "B": np.tile([0.3, 0.7], 50),
    "C": np.tile([0.3, 0.5], 50),
}
FIT_S = {"A": 10.0, "B": 10.9, "C": 20.0}


def rows(error=0.04):
    for system, values in USERS.items():
        row = {"data": "d", "system": system, "fit_s": FIT_S[system]}
        yield row | {"recall": values.mean(), "recall se": error}


def written(folder, rows):
    (folder / "made.jsonl").write_text("\n".join(map(json.dumps, rows)) + "\n")


@pytest.fixture
def results(tmp_path, monkeypatch):
    monkeypatch.setenv(VARIABLE, str(tmp_path))
    folder = tmp_path / "results"
    folder.mkdir()
    written(folder, rows())
    _per_user.keep("made", USERS)
    return folder


def spec(**more):
    return {"file": "made", "data": "d", "show": "recall"} | more


def test_a_difference_is_judged_user_by_user(results):
    # every user has .1 more by B: no doubt, though the users differ by .4
    assert verdict(spec(a="B", b="A"), results) == 1
    assert verdict(spec(a="A", b="B"), results) == -1
    assert verdict(spec(a="A", b="C"), results) == 0
    assert claimed(spec(a="C", b="A"), results) == ["tied with"]


def test_figures_of_several_are_found_by_data_and_name(results):
    (results / "per_user" / "made.npz").unlink()
    arrays = {_per_user.named(k, "recall"): v for k, v in USERS.items()}
    _per_user.keep("made_d", arrays)
    assert verdict(spec(a="B", b="A"), results) == 1


def test_the_figure_of_b_may_be_another_one(results):
    (results / "per_user" / "made.npz").unlink()
    arrays = {_per_user.named("A", "recall"): USERS["A"] + 0.2}
    arrays |= {_per_user.named("B", "first recall"): USERS["B"]}
    _per_user.keep("made_d", arrays)
    after = [row | {"recall": 0.6} for row in rows() if row["system"] == "A"]
    before = [{"data": "d", "system": "B", "first recall": 0.5}]
    written(results, after + before)
    assert verdict(spec(a="A", b="B", than="first recall"), results) == 1
    message = "have no figures of each user and no 'recall se'"
    _per_user.keep("made_d", {_per_user.named("B", "first recall"): USERS["B"] + 1})
    with pytest.raises(ValueError, match=message):
        verdict(spec(a="A", b="B", than="first recall"), results)


def test_b_may_be_of_another_file_with_the_same_users(results):
    other = [row for row in rows() if row["system"] == "B"]
    (results / "other.jsonl").write_text(json.dumps(other[0]) + "\n")
    _per_user.keep("other_d", {_per_user.named("B", "recall"): USERS["B"]})
    claim = spec(a="A", b="B", than_file="other")
    assert verdict(claim, results) == -1
    assert verdict(claim | {"by": "system", "a": "C"}, results) == -1
    _per_user.keep("other_d", {_per_user.named("B", "recall"): USERS["B"] + 1})
    assert verdict(claim, results) == 0  # of another run: by standard errors


def test_files_that_are_compared_have_users_in_one_order():
    two, one = (
        _per_user.read(f"{file}_online-retail") for file in ("two_stage", "next")
    )
    for figure in ("ndcg@10", "recall@20"):
        retrieval = two[_per_user.named("EASE", f"retrieval {figure}")]
        np.testing.assert_array_equal(retrieval, one[_per_user.named("EASE", figure)])


def test_without_figures_of_users_the_interval_is_wider(results):
    # errors of .04 each: half the interval is 1.96 * .04 * root of 2 = .111 > .1
    (results / "per_user" / "made.npz").unlink()
    assert verdict(spec(a="B", b="A"), results) == 0
    written(results, rows(error=0.03))  # .083 < .1
    assert verdict(spec(a="B", b="A"), results) == 1


def test_figures_of_users_of_another_run_do_not_count(results):
    more = {"A": 0.4, "B": 0.55, "C": 0.4}
    written(results, [row | {"recall": more[row["system"]]} for row in rows(0.06)])
    assert verdict(spec(a="B", b="A"), results) == 0


def test_the_best_is_ahead_of_each_other(results):
    assert verdict(spec(a="B", b="others"), results) == 1
    assert verdict(spec(a="C", b="others"), results) == -1  # level with A, behind B
    assert verdict({**spec(a="C", b="others"), "except": "B"}, results) == 0
    words = "the best / among the best / not the best"
    assert claimed(spec(a="B", b="others", words=words), results) == ["the best"]
    with pytest.raises(ValueError, match="there are no others"):
        verdict({**spec(a="C", b="others"), "except": "A / B"}, results)


FOUR = "ahead / level / behind / too few users"


def test_level_by_too_few_users_has_a_word_of_its_own(results):
    # differences of +-.1: half the interval is .02 with 100 users, .07 with 8
    assert claimed(spec(a="A", b="C", words=FOUR), results) == ["level"]
    few = {system: values[:8] for system, values in USERS.items()}
    (results / "per_user" / "made.npz").unlink()
    _per_user.keep("made", few)
    claims = {
        "C": "too few users",
        "others": "behind",  # B is ahead by .1 for each of the 8
        "B": "behind",
    }
    for b, word in claims.items():
        assert claimed(spec(a="A", b=b, words=FOUR), results) == [word]
    assert claimed(spec(a="A", b="C"), results) == ["tied with"]
    others = {**spec(a="A", b="others", words=FOUR), "except": "B"}
    assert claimed(others, results) == ["too few users"]
    assert claimed(spec(a="A", b="C", show="fit_s", within="200", words=FOUR), results)


def test_the_best_other_system_is_named_with_its_figure(results):
    assert best_other(spec(a="B", b="others"), results) == ["A .400"]
    assert best_other({**spec(a="B", b="others"), "except": "A"}, results) == ["C .400"]
    called = {"A": "B (cheapest within 1 %)", "B": "recent popularity"}
    written(
        results, [row | {"system": called.get(row["system"], "C")} for row in rows()]
    )
    assert best_other(spec(system="C", b="others"), results) == [
        "recent best sellers .500"
    ]
    table = (
        "<!-- figures\ncolumns: - | b=others | stat=mean\n"
        "row: file=made; data=d; show=recall; system=recent popularity\n-->\n\n"
        "| | | |\n|---|---|---|\n"
    )
    new, _ = fill.filled(f"{table}| x | ? | ? |\n", results)
    assert new.endswith("| x | B .400 | .500 |\n")


def test_seconds_are_compared_by_their_ratio(results):
    times = spec(show="fit_s", within="10", words=TIMES)
    assert claimed(times | {"a": "A", "b": "B"}, results) == ["as fast as"]
    assert claimed(times | {"a": "A", "b": "C"}, results) == ["faster than"]
    assert claimed(times | {"a": "C", "b": "A"}, results) == ["slower than"]
    assert claimed(times | {"a": "A", "b": "B", "within": "5"}, results) == [
        "faster than"
    ]


def test_a_row_may_have_the_difference_itself(results):
    gains = {"gain": 0.1, "half": 0.08, "low": 0.1, "high": 0.3}
    written(results, [{"data": "d"} | gains])
    assert verdict(spec(show="gain / half", unit="±"), results) == 1
    assert verdict(spec(show="gain / half", unit="se"), results) == 0  # .1 < .157
    assert verdict(spec(show="low / high", unit="ends"), results) == 1
    written(results, [{"data": "d", "low": -0.3, "high": -0.1}])
    assert verdict(spec(show="low / high", unit="ends"), results) == -1


def test_words_of_texts_are_filled_and_compared(results):
    claim = "claim file=made; a=B; b=A; show=recall"
    known = [{"text": "B is {} A.", "from": [claim]}]
    new, differences = fill.filled("B is behind A.", results, "page", known)
    assert new == "B is ahead of A."
    assert differences == ["page, line 1: 'behind', measured 'ahead of'"]
    table = (
        "<!-- figures best=row\n"
        "columns: system=A | system=B | a=B; b=A; words=more / level / less\n"
        "row: file=made; show=recall\n-->\n\n| A | B | B than A |\n|---|---|---|\n"
    )
    new, _ = fill.filled(f"{table}| ? | ? | ? |\n", results)
    assert new == f"{table}| .400 | **.500** | more |\n"


def test_what_is_level_with_the_highest_is_in_bold(results):
    table = (
        "<!-- figures best=row; level=yes\ncolumns: {} | system=A\n"
        "row: file=made; data=d; show=recall / recall\n-->\n\n| | |\n|---|---|\n"
    )
    higher = {"A": 0.4, "B": 0.5, "C": 0.402}
    written(
        results,
        [
            row | {"recall": higher[row["system"]], "shown": row["system"] == "C"}
            for row in rows()
        ],
    )
    for system, cells in {
        "system=C": "**.402 / .402** | **.400 / .400**",
        "system=C; shown=True": "**.402 / .402** | **.400 / .400**",
        "system=B": "**.500 / .500** | .400 / .400",
    }.items():
        new, _ = fill.filled(table.replace("{}", system) + "| ? | ? |\n", results)
        assert new.endswith(f"| {cells} |\n")
    only = table.replace("{}", "system=C").replace("; level=yes", "")
    new, _ = fill.filled(only + "| ? | ? |\n", results)
    assert new.endswith("| **.402 / .402** | .400 / .400 |\n")


def test_a_column_of_claims_is_about_the_system_of_its_rows(results):
    table = (
        "<!-- figures\ncolumns: - | show=recall | show=recall; b=others; "
        "words=more / level / less\nrow: file=made; system=B\n"
        "row: file=made; system=C\n-->\n\n| | recall | is |\n|---|---|---|\n"
    )
    new, _ = fill.filled(f"{table}| B | ? | ? |\n| C | ? | ? |\n", results)
    assert new == f"{table}| B | .500 | more |\n| C | .400 | less |\n"


def test_gaps_of_claims_are_those_of_figures(results):
    gone = spec(a="A", b="gone")
    assert claimed(gone | {"gap": "yes"}, results) == []
    assert claimed(gone | {"gap": "old"}, results) is None


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"a": "A"}, "b= is missing"),
        ({"b": "A"}, "a= is missing"),
        ({"a": "A", "b": "Z"}, "no row of made.jsonl has .*Z"),
        ({"a": "A", "b": "B", "show": "recall / fit_s"}, "is about one figure"),
        ({"a": "A", "b": "B", "show": "fit_s"}, "say within="),
        ({"a": "A", "b": "B", "words": "more / less"}, "needs three, for more"),
        ({"of": ".3"}, "of= needs two numbers"),
        ({"of": ".3 ± x"}, "of= needs two numbers"),
        ({}, "expected a= and b="),
        ({"show": "recall / fit_s"}, "expected a= and b="),
    ],
)
def test_a_wrong_claim_is_refused(results, wrong, message):
    with pytest.raises(ValueError, match=message):
        claimed(spec(**wrong), results)


@pytest.mark.parametrize(
    ("of", "sign"),
    [
        ({"of": ".013 ± .007"}, 1),
        ({"of": "-.013 ± .007"}, -1),
        ({"of": ".013 se .007"}, 0),  # 1.96 times .007 is more
        ({"of": "-.015 se .007"}, -1),
        ({"of": ".50 / .18", "within": "100"}, 1),
        ({"of": ".50 / .48", "within": "10"}, 0),
        ({"of": ".48 / .50"}, -1),
    ],
)
def test_a_claim_about_what_is_printed(of, sign):
    assert verdict(of) == sign


def printed(name, text):
    """Return all numbers that a notebook or a page of the guide prints."""
    if name.endswith(".ipynb"):
        cells = [c for c in json.loads(text)["cells"] if c["cell_type"] == "code"]
        return printed_numbers(cells)
    blocks = re.findall(r"```text\n(.*?)```", text, re.DOTALL)
    return {float(number) for number in re.findall(r"\d*\.?\d+", "\n".join(blocks))}


@pytest.mark.parametrize("name", fill.TEXTS)
def test_what_a_claim_calls_printed_is(name):
    text = (ROOT / name).read_text("utf-8")
    claims = [p.query for p in places(name, text) if p.query.startswith("of=")]
    numbers = printed(name, text) if claims else set()
    given = " ".join(claim.partition(";")[0] for claim in claims)
    claimed_ones = re.findall(r"\d*\.\d+", given)
    assert [n for n in claimed_ones if not is_printed(n, numbers)] == []


def test_kept_figures_of_users_are_those_of_the_rows():
    files = sorted((fill.RESULTS / "per_user").glob("*.npz"))
    assert len(files) >= 7
    for path in files:
        by_figure = {"next": "system", "two_stage": "retriever"}
        file = next((f for f in by_figure if path.stem.startswith(f"{f}_")), "quality")
        key, data = by_figure.get(file, "system"), path.stem.removeprefix(f"{file}_")
        rows = fill.read(file if file in by_figure else path.stem)
        for name, users in _per_user.read(path.stem).items():
            system, _, figure = name.rpartition(", ")
            if file == "quality":
                system, figure = name, TUNED_BY[data]
            of_it = [
                row[figure]
                for row in rows
                if (row["data"], row.get(key)) == (data, system) and figure in row
            ]
            assert of_it, f"{path.name} keeps {name}, which has no row"
            assert np.mean(of_it) == pytest.approx(users.mean(), abs=SAME_RUN), name
