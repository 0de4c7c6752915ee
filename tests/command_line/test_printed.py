"""What to try next, and which cells are formulas."""

import re
from types import SimpleNamespace

import pytest

from sktwotower.__main__ import main
from sktwotower._command_line import _printed as printed_text

TIME, ITEMS = "- --time at lets the model", "- --items FILE adds words"
EPOCHS, EVENTS = "- Leave out --epochs 2", "- Collect more events"
USERS = "- Collect events of more users"


@pytest.mark.parametrize(
    ("word", "other", "known", "lines"),
    [
        ("ahead", "EASE", {}, [TIME, ITEMS]),
        ("ahead", "EASE", {"time": "t", "items": "x"}, []),
        ("level", "EASE", {"time": "t"}, [ITEMS, EPOCHS]),
        ("behind", "recent popularity", {"items": "x"}, [TIME, EPOCHS]),
        (None, "", {"time": "t"}, [ITEMS]),
    ],
)
def test_what_to_try_next_depends_on_the_verdict(word, other, known, lines, capsys):
    verdict = None if word is None else SimpleNamespace(word=word, other=other)
    task = SimpleNamespace(**{"time": None, "items": None} | known)
    report, args = SimpleNamespace(verdict=lambda: verdict), {"epochs": 2, "data": "x"}
    args |= {"in_order": False, "time_option": "--time at"}
    printed_text.show_next_steps(SimpleNamespace(**args), task, report, [2.0, 1.0])
    printed = capsys.readouterr().out.splitlines()
    assert printed[:1] == (["What to try next:"] if lines else [])
    assert len(printed[1:]) == len(lines)
    assert all(map(str.startswith, printed[1:], lines))
    printed_text.show_next_steps(
        SimpleNamespace(**args | {"data": None}), task, report, [2.0, 1.0]
    )
    assert not capsys.readouterr().out
    without = SimpleNamespace(**args | {"time_option": None})  # no column is like one
    printed_text.show_next_steps(without, task, report, [2.0, 1.0])
    printed = capsys.readouterr().out.splitlines()[1:]
    assert len(printed) == len([line for line in lines if line != TIME])


LOSSES = [
    ([7.0], True),  # a single epoch shows no end
    ([7.6, 7.5], True),
    ([7.0, 6.0, 5.0, 4.9], False),  # .1 of 2.1
    ([7.0, 6.0, 5.0, 4.8], True),  # .2 of 2.2
    ([7.0, 4.5, 4.6, 4.4], False),  # from the lowest before it
    ([7.0, 4.0, 4.5], False),
    ([7.0, 7.0], False),
    ([7.0, 8.0, 9.0], False),
]


def test_the_loss_still_falls_if_the_last_epoch_brought_a_twentieth():
    for losses, expected in LOSSES:
        assert printed_text.still_falls(losses) == expected


@pytest.mark.parametrize(
    ("word", "other", "losses", "said"),
    [
        ("behind", "EASE", [9, 1, 1], "- Fit EASE, unless"),
        ("level", "popularity", [9, 1, 1], EVENTS),
        ("unclear", "EASE", [9, 1, 1], USERS),
        ("unclear", "popularity", [9, 1, 1], USERS),
    ],
)
def test_epochs_are_too_few_only_while_the_loss_falls(
    word, other, losses, said, capsys
):
    verdict = SimpleNamespace(word=word, other=other)
    task, report = SimpleNamespace(time=1, items=1), SimpleNamespace()
    task.offers_last = False
    report.verdict = lambda: verdict
    args = SimpleNamespace(epochs=500, data="x", in_order=False)
    printed_text.show_next_steps(args, task, report, losses)
    _, line = capsys.readouterr().out.splitlines()
    assert line.startswith(said)
    task.offers_last = True  # where the cut in time leaves few users
    printed_text.show_next_steps(args, task, report, losses)
    assert ("- To judge more users" in capsys.readouterr().out) == (word == "unclear")


def test_nobody_is_asked_for_a_time_who_has_refused_it(capsys):
    task = SimpleNamespace(time=None, items=1)
    args = SimpleNamespace(epochs=None, data="x", in_order=True, time_option="--time t")
    printed_text.show_next_steps(args, task, SimpleNamespace(verdict=lambda: None), [])
    assert not capsys.readouterr().out


def test_sentences_of_the_help_are_short(capsys):
    with pytest.raises(SystemExit):
        main(["--help"])
    text = capsys.readouterr().out.partition("\n\n")[2]  # without the usage
    parts = re.split(r"(?<=[.:])\s+|\n\n|\n +(?=-|sktwotower)", text)
    assert len(parts) > 30
    assert [part for part in parts if len(part.split()) > 20] == []
