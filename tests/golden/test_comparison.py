"""A changed answer is found, and named in words."""

import copy

import pytest

from . import renew, stored
from .answers import answers_of
from .comparison import differences, shortened
from .models import QUESTIONS, ease, fresh, pooled
from .stored import rounded
from .subjects import answers_now

RANKED = {"ranked": ["i1", "i2", "i3"], "scores": [0.9, 0.5, 0.5]}
BEFORE = {
    "score of user u3 and item i5": 0.8121,
    "vector of user u3": [0.25, 0.5, -0.5],
    "list of user u3": RANKED,
    "history_kind_": "recent",
    "past of user u3": ["i5"],
    "digest of array a": {"digest": "0a"},
}


def changed(label, value):
    return BEFORE | {label: value}


@pytest.mark.parametrize(
    "now, line",
    [
        (
            changed("score of user u3 and item i5", 0.7903),
            "score of user u3 and item i5 was 0.8121, is 0.7903",
        ),
        (
            changed("vector of user u3", [0.25, 0.5, -0.52]),
            "vector of user u3: entry 2 was -0.5, is -0.52",
        ),
        (
            changed("vector of user u3", [0.25, 0.5]),
            "vector of user u3 had 3 entries, has 2",
        ),
        (
            changed("list of user u3", RANKED | {"scores": [0.9, 0.5, 0.4]}),
            "list of user u3: place 3 was i3 with 0.5, is i3 with 0.4",
        ),
        (
            changed("list of user u3", RANKED | {"ranked": ["i2", "i1", "i3"]}),
            "list of user u3: place 1 was i1 with 0.9, is i2 with 0.9",
        ),
        (
            changed("list of user u3", RANKED | {"ranked": ["i4", "i2", "i3"]}),
            "list of user u3: place 1 was i1 with 0.9, is i4 with 0.9",
        ),
        (changed("history_kind_", "pooled"), "history_kind_ was 'recent', is 'pooled'"),
        (
            changed("past of user u3", ["i5", "i6"]),
            "past of user u3 was ['i5'], is ['i5', 'i6']",
        ),
        (changed("another", 1.0), "another was not among the answers, is 1"),
        (
            changed("score of user u3 and item i5", "none"),
            "score of user u3 and item i5 was 0.8121, is 'none'",
        ),
    ],
)
@pytest.mark.parametrize("exact", [True, False])
def test_a_changed_answer_is_named(now, line, exact):
    assert differences("recent", BEFORE, now, exact=exact) == [
        f"model 'recent': {line}"
    ]


def test_an_answer_that_is_gone_is_named():
    now = copy.deepcopy(BEFORE)
    del now["history_kind_"]
    (line,) = differences("a", BEFORE, now)
    assert line == "model 'a': history_kind_ was 'recent', is not among the answers"


@pytest.mark.parametrize(
    "now",
    [
        changed("score of user u3 and item i5", 0.81211),
        changed("vector of user u3", [0.25, 0.50001, -0.5]),
        # equal scores change places, also with an item after the last one
        changed("list of user u3", RANKED | {"ranked": ["i1", "i3", "i2"]}),
        changed("list of user u3", RANKED | {"ranked": ["i1", "i2", "i7"]}),
        changed("digest of array a", {"digest": "0b"}),
    ],
)
def test_what_other_processors_round_is_no_change_unless_bits_are_compared(now):
    assert differences("a", BEFORE, now) == []
    assert len(differences("a", BEFORE, now, exact=True)) == 1


def test_nan_is_the_same_as_nan():
    before, now = {"a": float("nan")}, {"a": float("nan")}
    assert differences("a", before, now, exact=True) == []
    assert differences("a", before, {"a": 1.0}) == ["model 'a': a was nan, is 1"]


def test_few_lines_are_shown_of_each_model():
    lines = [str(number) for number in range(20)]
    assert shortened(lines) == [*lines[:6], "... and 14 more of this model"]
    assert shortened(lines[:6]) == lines[:6]


def test_a_changed_weight_is_found_and_named():
    name = "pooled history"
    before, model = answers_now(name), fresh(pooled)
    weights = dict(model.net_.module_.named_parameters())
    with_items = next(weights[name] for name in weights if "item" in name)
    with_items.data[:] += 0.05
    model.set_catalog(model.item_ids_)
    lines = differences(name, before, rounded(answers_of(model, QUESTIONS[name])))
    assert any("'pooled history': score of user" in line for line in lines)
    assert any("'pooled history': vector of item i00" in line for line in lines)


def test_a_changed_parameter_of_a_baseline_is_found():
    before = answers_now("EASE")
    model = fresh(ease).set_params(n_neighbors=2, exclude_seen=False)
    lines = differences("EASE", before, rounded(answers_of(model, QUESTIONS["EASE"])))
    assert any("list of user u00: place 1" in line for line in lines)


def test_a_file_of_answers_holds_all_digits(tmp_path):
    answers = {"a": {"score": rounded(float(1 / 3)), "list": RANKED, "x": [1.5]}}
    stored.write(answers, tmp_path / "answers.json.gz")
    read, machine = stored.read(tmp_path / "answers.json.gz")
    assert read == answers and machine == stored.machine()
    assert differences("a", answers["a"], read["a"], exact=True) == []


def test_the_reason_is_the_last_line_of_the_next_release():
    text = "# Changelog\n\n## 0.2.0, next\n\n### Lists\n\n- New.\n"
    text += "\n## 0.1.0\n\n- Old.\n"
    once = renew.with_reason(text, "Ties are ranked by id.")
    heading = renew.HEADING
    assert once == text.replace(
        "- New.\n", f"- New.\n\n{heading}\n\n- Ties are ranked by id.\n"
    )
    twice = renew.with_reason(once, "Another reason")
    assert "- Ties are ranked by id.\n- Another reason.\n\n## 0.1.0" in twice
