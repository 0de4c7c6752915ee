"""What the logger of the package is told."""

import logging
import re

import numpy as np
import pandas as pd
import pytest

from tests.builders import chain, ordered, random_events, small
from tests.cases import for_each

EVENTS = random_events()


@pytest.fixture
def records(caplog):
    caplog.set_level(logging.INFO, logger="sktwotower")
    return caplog


def test_fit_logs_sizes_epochs_and_choices(records):
    small(max_epochs=2).fit(EVENTS)
    lines = [record.getMessage() for record in records.records]
    assert {record.name for record in records.records} == {"sktwotower"}
    assert {record.levelno for record in records.records} == {logging.INFO}
    patterns = [
        r"fit: (\d+) events of 12 users and 9 items, \1 pairs chosen, 0 shown; "
        r"rewards and weights are worth \1 equal events",
        r"fit: no events are kept back; parts have the usual weights",
        r"training: 2 epochs of 1 batches",
        r"epoch 1 of 2, train_loss \d+\.\d{4}, \d+\.\d s",
        r"epoch 2 of 2, train_loss \d+\.\d{4}, \d+\.\d s",
        r"fit took \d+\.\d s: 12 users, 9 items, history pooled, candidates \w+, "
        r"temperature [\d.]+, half-life None, "
        r"half-life of popularity None, impression weight [\d.]+, "
        r"scale of rewards None, cold item weight 1\.0, "
        r"2 epochs, train_loss \d+\.\d{4}, "
        r"index ExactNeighbors with recall 1\.000",
    ]
    assert len(lines) == len(patterns)
    for line, pattern in zip(lines, patterns, strict=True):
        assert re.fullmatch(pattern, line), line


def test_partial_fit_logs_its_result_and_validation_its_recall(records):
    model = small(early_stopping=True, max_epochs=2).fit(EVENTS)
    assert re.search(r"epoch 1 of 2, .*valid_recall \d\.\d{4}", records.text)
    records.clear()
    model.partial_fit(EVENTS[:10])
    assert re.search(r"partial_fit took \d+\.\d s: 12 users", records.text)


@pytest.mark.slow
def test_no_id_is_logged(records):
    model = ordered(max_epochs=1).fit(chain())
    model.partial_fit(chain()[:5])
    ids = set(chain()["user"]) | set(chain()["item"])
    words = set(re.findall(r"\w+", records.text))
    assert len(words) > 30 and not words & ids


def test_an_application_that_asks_for_nothing_sees_nothing(capfd):
    handlers = logging.getLogger("sktwotower").handlers
    assert [type(handler) for handler in handlers] == [logging.NullHandler]
    small().fit(EVENTS)
    assert capfd.readouterr() == ("", "")


@for_each("side", ["user", "item"])
def test_a_side_with_one_event_each_is_warned_of(side):
    other = {"user": "item", "item": "user"}[side]
    X = pd.DataFrame({side: range(21), other: [0, 1, 2] * 7})[["user", "item"]]
    message = f"Each {side} of X has one event.* Is '{side}' a row number"
    with pytest.warns(UserWarning, match=message):
        small(max_epochs=1).fit(X)


@pytest.mark.filterwarnings("error:Each")
@for_each(("columns", "n"), [([], 20), (["age"], 21), (["hour"], 21)], ids=str)
def test_few_events_features_and_contexts_are_not(columns, n):
    X = pd.DataFrame({"user": range(n), "item": [0] * 5 + [1] * (n - 5)})
    X[columns] = 1.0
    known = {"age": "user_features", "hour": "context"}
    small(max_epochs=1, **{known[c]: [c] for c in columns}).fit(X)


def repeated(n_events, share):
    """Return events at times 0, 1 ... of which a share repeat the one before."""
    is_new = np.arange(n_events) % 100 >= 100 * share
    pairs = np.cumsum(is_new) - 1
    X = pd.DataFrame({"user": pairs % 50, "item": pairs // 50, "when": range(n_events)})
    assert np.isclose(X.duplicated(["user", "item"]).mean(), share, atol=0.01)
    return X


@pytest.mark.slow
@pytest.mark.parametrize("time", [None, "when"])
def test_fit_logs_that_lists_leave_out_many_repeats(records, time):
    X = repeated(1_000, 0.3)
    model = small(time=time).fit(X)
    assert "30 % of the events repeat an earlier one" in records.text
    assert "exclude_seen=False recommends it again" in records.text
    shown = "30% of the events repeat an earlier one" in model._repr_html_()
    assert shown == (time is not None)  # without times, only pairs are kept
    # what was shown and not chosen repeats nothing
    records.clear()
    y = ~X.duplicated(["user", "item"])
    small(time=time).fit(X, y)
    assert "repeat" not in records.text


@pytest.mark.slow
@pytest.mark.parametrize(
    ("X", "params"),
    [
        (repeated(900, 0.3), {}),
        (repeated(1_000, 0.2), {}),
        (repeated(1_000, 0.3), {"exclude_seen": False}),
    ],
    ids=["few events", "few repeats", "lists hold them"],
)
def test_repeats_are_not_logged_where_nothing_is_wrong(records, X, params):
    model = small(time="when", **params).fit(X)
    assert "repeat an earlier" not in records.text + model._repr_html_()
