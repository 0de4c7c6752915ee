"""The guide says what "auto" stands for, as the code has it."""

import importlib
import re
import sys
from pathlib import Path

import pytest

from sktwotower import TwoTowerRecommender
from sktwotower.features import _request_clock
from sktwotower.recommender import _judge, _kept_back, _kept_requests, _weighing
from sktwotower.runtime import _context_cells
from sktwotower.runtime._model_arrays import KNOTS
from sktwotower.towers import _auto, _callbacks, _context_shares, _request_batches
from sktwotower.towers.parts import _context_layer

DOCS = Path(__file__).parents[2] / "docs"


@pytest.fixture(scope="module")
def script():
    sys.path.insert(0, str(DOCS))
    yield importlib.import_module("auto_values")
    sys.path.remove(str(DOCS))


def test_the_page_has_the_tables(script):
    text = script.PAGE.read_text("utf-8")
    assert "| `temperature` | falls with the number of items" in text
    assert script.written(text) == text, "call python docs/auto_values.py"


def options_of(values):
    """Return the words among the values of a parameter."""
    return set().union(*(getattr(value, "options", ()) for value in values))


def test_every_parameter_that_may_be_auto_has_a_row(script):
    names = [name for name, *_ in script.rows_of_others()]
    values = TwoTowerRecommender._parameter_constraints.items()
    stated = {name for name, each in values if "auto" in options_of(each)}
    assert sorted(names) == sorted(
        stated | {"half_life", "popularity_half_life", "neighbors"}
    )
    in_kinds = set().union(*_auto.AUTO.values(), _auto.SECOND_PAIR)
    assert set(script.BY_KIND) == in_kinds
    kinds = [*_auto.AUTO, "second pair"]
    assert list(script.KINDS) == kinds


def test_values_are_those_of_the_code(script, monkeypatch):
    changed = {name: values | {"dropout": 0.77} for name, values in _auto.AUTO.items()}
    monkeypatch.setattr(_auto, "AUTO", changed)
    monkeypatch.setattr(_auto, "FULL_SOFTMAX_ITEMS", 1234)
    monkeypatch.setattr(_auto, "TEMPERATURE", (0.11, 0.0, 0.05))
    text = "\n".join(script.lines())
    assert text.count("| 0.77 |") == len(changed)
    assert "up to 1,234 items" in text and "0.11 for 1,000, 0.11 for 2,000" in text


def test_the_formulas_have_the_numbers_of_the_code():
    text = (DOCS / "guide" / "formulas.md").read_text("utf-8")
    factor, power, lowest = _auto.TEMPERATURE
    formula = (
        rf"T = {factor} \, M^{{-1/{1 / power:g}}}, \quad \text{{at least }} {lowest}"
    )
    assert formula in text
    factor, power, lowest = _auto.LARGE_TEMPERATURE
    large = rf"${factor} \, M^{{-{power}}}$ but at least {lowest}"
    assert large in re.sub(r"\s+", " ", text)


def test_the_drawing_of_contexts_has_the_numbers_of_the_code():
    text = (DOCS / "guide" / "formulas.md").read_text("utf-8")
    text = re.sub(r"\s+", " ", text)
    batches, clock = _request_batches, _request_clock
    assert f"drawn with probability 1/{1 / batches.DRAWN:g}, or" in text
    assert batches.DRAWN == 1 / 3
    weight = f"by 1 over the probability, but by {batches.MAX_WEIGHT:g} at most"
    assert weight in text
    assert batches.MAX_REQUESTS == 1 and "or with 1 over their number if" in text
    assert f"recent history, with probability {batches.HIDDEN}." in text
    assert batches.HIDDEN == 0.5 and "context is hidden half of the time" in text
    hidden = f"values of a context**, each with probability {batches.PARTLY_HIDDEN}:"
    assert hidden in text
    assert f"Three of them are {_context_cells.SHARE}." in text
    assert f"has up to {clock.MAX_KNOTS} columns" in text


def test_how_much_contexts_count_has_the_numbers_of_the_code():
    text = (DOCS / "guide" / "formulas.md").read_text("utf-8")
    assert rf"s = \min(1, \sqrt{{{_context_layer.STEPS} / n}})" in text
    assert f"k / (k + {_context_shares.USERS})" in text
    assert rf"\sum_i t_i > {_context_shares.SIGNIFICANT:g} \sqrt" in text


def test_the_weights_of_parts_have_the_numbers_of_the_code():
    text = (DOCS / "guide" / "formulas.md").read_text("utf-8")
    text = re.sub(r"\s+", " ", text)
    *knots, last = KNOTS.tolist()
    numbers = ", ".join(map(str, knots))
    assert f"numbers {numbers} and {last} of past items" in text
    assert f"From {last} on it is constant" in text
    assert rf"$\lambda = {_weighing.PRIOR:g}$" in text
    assert rf"$\mu = {_weighing.SMOOTHNESS:g}$" in text
    assert f"{_weighing.MAX_OTHERS:,} other items at most" in text
    steps = [f"{100 * step:g}" for step in _weighing.STEPS]
    assert f"of {', '.join(steps[:-1])} and {steps[-1]} % of the way" in text
    rates = [f"{rate:g}" for rate in _judge.RATES]
    assert f"{', '.join(rates[:-1])} or {rates[-1]} times `lr`" in text
    assert f"up to {_kept_requests.N_NEW} ask again" in text
    kept = _kept_back
    most = f"more than {kept.MAX_SHARE:.0%} of the events".replace("%", " %")
    assert f"{most} or events of more than {kept.MAX_USERS:,} users" in text
    assert f"({kept.MAX_SOME:,} if they are not the latest)" in text
    assert f"if fewer than {kept.MIN_USERS} users ask" in text
    share = f"{kept.MAX_SHARE_OF_PAIRS:.0%} of the pairs".replace("%", " %")
    assert f"they are at most {share}" in text
    assert f"of the users with {kept.MIN_PAIRS} pairs or more" in text
    assert "| one in twenty pairs" in text and kept.SHARE_OF_USER == 1 / 20
    assert f"requests: {_weighing.MAX_REQUESTS} of users as they are" in text
    assert "at least half of these events" in text and kept.MIN_RETURNING == 0.5
    assert "in the last quarter of the epochs" in text.lower()
    assert _callbacks.LAST_EPOCHS == 0.25
