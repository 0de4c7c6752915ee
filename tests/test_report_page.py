"""The page that the command line writes: a report, and a few users as cards."""

import html
import re

import numpy as np
import pandas as pd
import pytest

from sktwotower.__main__ import main

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def events():
    """Return events in the order of time; names look like HTML and formulas."""
    rng = np.random.default_rng(0)
    pairs = np.argwhere(rng.uniform(size=(30, 20)) < 0.6)
    rng.shuffle(pairs)
    table = pd.DataFrame(pairs, columns=["<u>", "item"])
    table["title"] = [f"<script>{item}</script>" for item in table["item"]]
    table["when"] = pd.date_range("2024-01-01", periods=len(table), freq="h")
    return table


@pytest.fixture(scope="module")
def page(events, tmp_path_factory):
    """Return the text of the page."""
    pytest.importorskip("matplotlib")
    folder = tmp_path_factory.mktemp("page")
    path = folder / "<plays> a$^$.csv"
    events.to_csv(path, index=False)
    columns = ["--user", "<u>", "--item", "item", "--item-name", "title"]
    options = ["--time", "when", "--epochs", "1", "--output", str(folder / "out")]
    assert main(["--data", str(path), *columns, *options]) == 0
    assert (folder / "out" / "report.png").stat().st_size > 10_000
    return (folder / "out" / "report.html").read_text("utf-8")


def entries(card, kind):
    """Return the ids in a list of a card, and which of them are marked."""
    (text,) = re.findall(rf"<{kind}>(.*?)</{kind}>", card)
    lines = [html.unescape(line) for line in re.findall(r"<li>(.*?)</li>", text)]
    ids = [int(re.search(r"<script>(\d+)</script>", line)[1]) for line in lines]
    return ids, [line.endswith("✓</b>") for line in lines]


def test_cards_show_the_past_the_list_and_what_was_right(events, page):
    n_known = round(0.8 * len(events))
    known, later = (
        part.groupby("<u>")["item"].agg(list)
        for part in (events[:n_known], events[n_known:])
    )
    cards = [card.partition("</section>")[0] for card in page.split("<section>")[1:]]
    users = [int(re.search(r"&lt;u&gt; (\d+)</h3>", card)[1]) for card in cards]
    assert len(set(users)) == len(cards) == 3
    n_right = 0
    for user, card in zip(users, cards, strict=True):
        assert entries(card, "ul") == (known[user][-5:], [False] * 5)
        assert f"Known: the last 5 of {len(known[user])} items" in card
        assert f"one of {len(later[user])} chosen later" in card
        items, marks = entries(card, "ol")
        assert not set(items) & set(known[user])
        assert marks == [item in later[user] for item in items]
        n_right += sum(marks)
    assert n_right > 0


def test_the_page_stands_alone_and_is_readable_in_the_dark(page):
    assert page.startswith("<!DOCTYPE html>") and page.rstrip().endswith("</html>")
    title = "<title>Recommendations for &lt;plays&gt; a$^$</title>"
    assert title in page
    assert "http" not in page and "<script" not in page and "<u>" not in page
    assert "@media (prefers-color-scheme: dark)" in page
    assert 'src="data:image/png;base64,' in page
    # the verdict, the table, the cards
    said = ["too few to tell", "recall@20", "<section>"]
    places = [page.index(text) for text in said]
    assert places == sorted(places)
