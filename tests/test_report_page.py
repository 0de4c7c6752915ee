"""The page that the command line writes: a report, and a few users as cards."""

import html
import re
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from sktwotower import EASERecommender
from sktwotower._command_line import _written
from sktwotower._command_line._tasks import Task
from sktwotower._command_line._written import cards
from sktwotower.metrics import retrieval_report


@pytest.fixture(scope="module")
def parts():
    """A task of 30 users and 20 items, its train and test events, and a model."""
    rng = np.random.default_rng(0)
    pairs = np.argwhere(rng.uniform(size=(30, 20)) < 0.6)
    rng.shuffle(pairs)
    events = pd.DataFrame(pairs, columns=["<u>", "item"])
    names = pd.Series({item: f"<script>{item}</script>" for item in range(20)})
    task = Task("<plays>", events, "<u>", "item", names=names)
    train, test = events[:250], events[250:]
    return EASERecommender(user_id="<u>", item_id="item").fit(train), task, train, test


def entries(card, kind):
    """Return the ids in a list of a card, and which of them are marked."""
    (text,) = re.findall(rf"<{kind}>(.*?)</{kind}>", card)
    lines = [html.unescape(line) for line in re.findall(r"<li>(.*?)</li>", text)]
    ids = [int(re.search(r"<script>(\d+)</script>", line)[1]) for line in lines]
    return ids, [line.endswith("✓</b>") for line in lines]


def test_cards_show_the_past_the_list_and_what_was_right(parts):
    model, _, train, test = parts
    text = cards(*parts)
    assert "<script>" not in text and "<u>" not in text
    found = text.split("<section>")[1:]
    users = [int(re.search(r"&lt;u&gt; (\d+)</h3>", card)[1]) for card in found]
    assert len(set(users)) == 3
    top = model.recommend(users, n_neighbors=10)
    for user, card in zip(users, found, strict=True):
        known, later = (
            events.loc[events["<u>"] == user, "item"].tolist()
            for events in (train, test)
        )
        assert entries(card, "ul") == (known[-5:], [False] * 5)
        assert f"Known: the last 5 of {len(known)} items" in card
        expected = top.loc[top["<u>"] == user, "item"].tolist()
        assert entries(card, "ol") == (expected, [item in later for item in expected])
        assert f"one of {len(later)} chosen later" in card
    assert "✓</b>" in text


def test_what_a_model_on_disk_knows_is_asked_from_it(parts):
    model, task, _, test = parts

    class Known(EASERecommender):
        def seen_items(self, users):
            return pa.Table.from_pandas(model.seen_items(users))

    known = Known(user_id="<u>", item_id="item").fit(parts[2])
    source = object()  # of events on disk
    assert entries(cards(known, task, source, test).split("<section>")[1], "ol")[0]


def test_the_page_stands_alone_and_is_readable_in_the_dark(parts, tmp_path):
    model, task, train, test = parts
    report = retrieval_report(model, test)
    report.attrs["split"] = "Held out: 9 <events>."
    task = replace(task, caution="Held out at random.")
    page = _written.page(model, task, train, test, report, b"picture")
    assert page.startswith("<!DOCTYPE html>") and page.rstrip().endswith("</html>")
    assert "<title>Recommendations for &lt;plays&gt;</title>" in page
    assert "$" not in page and "http" not in page and "<script" not in page
    assert page.count("9 &lt;events&gt;") == 1 and "Also left out: nothing." in page
    # the caution, the verdict, the cards
    said = [task.caution, str(report.verdict()), "<section>"]
    places = [page.index(text) for text in said]
    assert places == sorted(places) and page.count(task.caution) == 1
    assert "@media (prefers-color-scheme: dark)" in page
    assert 'alt="recall of all models"' in page
    assert "<img" not in _written.page(*parts, report, None)


def test_dollars_in_the_name_of_a_file_are_no_formula(parts, monkeypatch):
    figure, drawn = pytest.importorskip("matplotlib.figure").Figure, []
    for name in ("RecallCurveDisplay", "RecallByPopularityDisplay"):
        method = f"sktwotower.plots.{name}.from_estimator"
        monkeypatch.setattr(method, lambda *args, **params: None)
    monkeypatch.setattr(figure, "savefig", lambda self, *args, **_: drawn.append(self))
    _written.draw(parts[0], SimpleNamespace(title="a$^$ _$b$"), parts[3], {})
    (title,) = drawn[0].texts
    assert title.get_text().startswith("a$^$ _$b$: ") and not title.get_parse_math()
