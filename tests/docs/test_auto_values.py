"""The guide says what "auto" stands for, as the code has it."""

import importlib
import re
import sys
from pathlib import Path

import pytest

from sktwotower import TwoTowerRecommender
from sktwotower.features import _request_clock
from sktwotower.recommender import (
    _judge,
    _kept_back,
    _kept_requests,
    _partial_fit,
    _weighing,
)
from sktwotower.runtime import _context_cells
from sktwotower.runtime._knots import KNOTS
from sktwotower.towers import _auto, _callbacks, _context_shares, _request_batches
from sktwotower.towers.parts import _context_layer
from sktwotower.towers.sparse_parts import (
    _ease_part,
    _repeat_parts,
    _successor_part,
    _walk_part,
)

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
    assert f"the {_weighing.N_CANDIDATES} best items of each part" in text
    assert _weighing.N_FOLDS == 3 and "lists of each third of the users" in text
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
    assert f"Up to {kept.MAX_EVENTS_APART:,} events, a model of its own" in text
    apart = f"{kept.SHARE_APART:.0%} of the".replace("%", " %")
    assert text.count(apart) == 2 and kept.MIN_ACTIVE == 0.02
    assert "in the last quarter of the epochs" in text.lower()
    assert _callbacks.LAST_EPOCHS == 0.25


def test_sparse_parts_have_the_numbers_of_the_code():
    pages = {}
    for name in ("formulas", "how_it_works", "sizing"):
        text = (DOCS / "guide" / f"{name}.md").read_text("utf-8")
        pages[name] = re.sub(r"\s+", " ", text)
    ease, walk, successors = _ease_part, _walk_part, _successor_part
    text = pages["formulas"]
    assert f"$e^{{-(l_j - 1) / {ease.DECAY:g}}}$ | the {ease.N_KEPT} largest" in text
    assert rf"with $\lambda = {ease.L2:g}$ | users or items are at most" in text
    assert f"are at most {ease.MAX_SIDE:,} |" in text
    assert f"the {walk.N_KEPT} largest weights of RP3beta" in text
    assert rf"$\alpha = {walk.ALPHA}$ and $\beta = {walk.BETA}$" in text
    millions = f"{walk.MAX_PRODUCTS / 1e6:g} million"
    assert f"add up to {millions} at most" in text
    assert f"$e^{{-(l_j - 1) / {successors.DECAY:g}}}$ | $n_j^{{-1/2}}$" in text
    assert f"baskets later; the {successors.N_KEPT} largest" in text
    events = f"{successors.MAX_EVENTS / 1e6:g} million events"
    n_most = f"more than {_judge.MAX_SPARSE_EVENTS / 1e6:g} million pairs of"
    assert n_most in text and n_most in pages["how_it_works"]
    assert f"there are at most {events}" in text
    assert f"with $e^{{-(l - 1) / {_repeat_parts.DECAY:g}}}$ in place" in text
    more = f"{_partial_fit.ENOUGH_MORE - 1:.0%}".replace("%", " %")
    assert f"the events have grown by {more}" in text
    text = pages["how_it_works"]
    assert f"with events are more than {ease.MAX_SIDE:,}" in text
    assert f"to more than {millions}" in text and f"more than {events}" in text
    assert f"at most {ease.N_KEPT} entries, walks and successors {walk.N_KEPT}" in text
    assert walk.N_KEPT == successors.N_KEPT and f"{more} more events" in text
    n_kept = ease.N_KEPT + walk.N_KEPT + successors.N_KEPT
    text = pages["sizing"]
    assert f"at most {n_kept} entries for each item" in text
    assert f"at most {ease.MAX_SIDE:,} rows and columns" in text
