"""What to try next, and which cells are formulas."""

import re
from types import SimpleNamespace

import pandas as pd
import pytest

from sktwotower._command_line._options import make_parser
from sktwotower._command_line._printed import show_next_steps
from sktwotower._command_line._written import warn_of_formulas

TIME, ITEMS = "- --time COL lets the", "- --items FILE adds words"
EPOCHS, EVENTS = "- Leave out --epochs 2", "- Collect more events"


@pytest.mark.parametrize(
    ("word", "other", "known", "lines"),
    [
        ("ahead", "EASE", {}, [TIME, ITEMS]),
        ("ahead", "EASE", {"time": "t", "items": "x"}, []),
        ("level", "EASE", {"time": "t"}, [ITEMS, EPOCHS, "- Fit EASE, unless"]),
        ("behind", "recent popularity", {"items": "x"}, [TIME, EPOCHS, EVENTS]),
        (None, "", {"time": "t"}, [ITEMS]),
    ],
)
def test_what_to_try_next_depends_on_the_verdict(word, other, known, lines, capsys):
    verdict = None if word is None else SimpleNamespace(word=word, other=other)
    task = SimpleNamespace(**{"time": None, "items": None} | known)
    report, args = SimpleNamespace(verdict=lambda: verdict), {"epochs": 2, "data": "x"}
    show_next_steps(SimpleNamespace(**args), task, report)
    printed = capsys.readouterr().out.splitlines()
    assert printed[:1] == (["What to try next:"] if lines else [])
    assert len(printed[1:]) == len(lines)
    assert all(map(str.startswith, printed[1:], lines))
    show_next_steps(SimpleNamespace(**args | {"data": None}), task, report)
    assert not capsys.readouterr().out


@pytest.mark.parametrize(
    ("cells", "said"),
    [
        (["=1+1", "tea", "@jam"], "takes 2 cells of name for formulas, such as '=1+1'"),
        (["+49 30", "-5"], "takes 2 cells of name for formulas"),
        (["tea-time", " =1", ""], ""),
    ],
)
def test_cells_that_a_spreadsheet_runs_are_counted(cells, said, capsys):
    table = pd.DataFrame({"name": cells, "score": -1.0})
    warn_of_formulas(table)
    printed = capsys.readouterr().out
    assert said in printed and bool(said) == bool(printed)
    assert table["name"].tolist() == cells  # ids stay what they are


def test_sentences_of_the_help_are_short():
    text = make_parser().format_help().partition("\n\n")[2]  # without the usage
    parts = re.split(r"(?<=[.:])\s+|\n\n|\n +(?=-|sktwotower)", text)
    assert len(parts) > 30
    assert [part for part in parts if len(part.split()) > 20] == []
