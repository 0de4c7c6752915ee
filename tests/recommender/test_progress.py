"""How far a fit is: bars in a terminal, lines, or nothing, as ``verbose`` says."""

import io
from contextlib import redirect_stderr
from threading import Event

import pytest

from sktwotower import TowerVectorizer
from sktwotower._tables import _messages
from tests.builders import small
from tests.recommender.test_two_tower import checkerboard


class Terminal(io.StringIO):
    """A terminal that keeps what is written to it; ``named``: that events are read."""

    def __init__(self):
        super().__init__()
        self.named = Event()

    def isatty(self):
        return True

    def write(self, text):
        if "reading events" in text:
            self.named.set()
        return super().write(text)


@pytest.fixture
def slow(monkeypatch):
    """A machine on which everything takes longer than what needs no bar."""
    monkeypatch.setattr(_messages, "QUIET_SECONDS", 0.0)
    for name in ("CI", "TQDM_DISABLE"):
        monkeypatch.delenv(name, raising=False)


def shown(stream, **params):
    with redirect_stderr(stream):
        small(**params).fit(checkerboard())
    return stream.getvalue()


def test_a_long_fit_shows_by_default_how_far_it_is(slow, capsys):
    text = shown(Terminal())
    assert "training" in text and "epoch" in text
    assert text.endswith("\r")  # the line is empty again
    assert capsys.readouterr().out == ""


def test_a_table_that_takes_long_to_read_is_named(slow):
    terminal = Terminal()

    class Waits(TowerVectorizer):
        def fit_transform(self, X, y=None):
            terminal.named.wait(60)
            return super().fit_transform(X)

    text = shown(terminal, user_transformer=Waits())
    assert "reading events" in text and text.endswith("\r")


def test_a_fit_of_seconds_shows_nothing_by_default(monkeypatch):
    for name in ("CI", "TQDM_DISABLE"):
        monkeypatch.delenv(name, raising=False)
    assert "training" not in shown(Terminal())


@pytest.mark.parametrize("name", ["CI", "TQDM_DISABLE"])
def test_jobs_get_no_bars_by_default(name, slow, monkeypatch):
    monkeypatch.setenv(name, "1")
    assert shown(Terminal()) == ""


@pytest.mark.parametrize("verbose", ["auto", 0, 1])
def test_pipes_get_no_bars(verbose, slow):
    assert shown(io.StringIO(), verbose=verbose) == ""


def test_verbose_0_is_silent_in_a_terminal(slow):
    assert shown(Terminal(), verbose=0) == ""


def test_verbose_1_shows_a_bar_of_a_short_fit_that_stays():
    text = shown(Terminal(), verbose=1)
    last_line = text.rsplit("\r", 1)[-1]
    assert "training" in last_line and "train_loss" in last_line


def test_verbose_2_prints_a_line_of_each_epoch(capsys):
    assert shown(Terminal(), verbose=2, max_epochs=3) == ""
    epochs = [line.split()[0] for line in capsys.readouterr().out.splitlines()[2:]]
    assert epochs == ["1", "2", "3"]
