"""What was shown and not chosen, in a context: which pairs are compared."""

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_array_equal
from scipy import sparse

from sktwotower._tables._event_table import EventTable
from sktwotower.features._context_columns import distinct_contexts
from sktwotower.features._request_context import fit_context
from sktwotower.recommender._contexts import EventContexts
from sktwotower.recommender._events import Events
from sktwotower.towers import _request_batches
from sktwotower.towers._sequence_batches import SequenceBatches, SequenceSet
from tests.builders import first_fast

from .builders import asking, planted, requests_of, share_found

# In slot s user 0 chose 0 and was shown 1; later, in slot t, chose 1 and was shown 2.
# User 1 chose 3, and was shown 0 before that in slot t, and 2 after it in no slot.
EVENTS = pd.DataFrame(
    [
        (0, 0, 5, 1, "s"),
        (0, 1, 5, 0, "s"),
        (0, 1, 8, 1, "t"),
        (0, 2, 7, 0, "t"),
        (1, 3, 6, 1, "s"),
        (1, 0, 2, 0, "t"),
        (1, 2, 9, 0, None),
    ],
    columns=["user", "item", "time", "y", "slot"],
)
N_USERS, N_ITEMS = 2, 4


def events_of(history, rows=EVENTS):
    """Return ``Events`` of a table, with contexts s and t as columns 0 and 1."""
    distinct, codes, counts = distinct_contexts(rows[["slot"]])
    context, own = fit_context(["slot"], None, None, distinct, counts, None, None)
    assert context.feature_names() == ["slot_s", "slot_t"]
    table = EventTable.of(
        rows["user"].to_numpy(),
        rows["item"].to_numpy(),
        (N_USERS, N_ITEMS),
        rows["time"].to_numpy(),
        rows["y"].to_numpy(float),
        np.ones(len(rows)),
        codes,
    )
    return Events.of(None, None, table, history, EventContexts(context, own))


def dense(matrix):
    return matrix.toarray().tolist()


def test_pairs_of_contexts_in_which_something_was_chosen():
    pairs = events_of("pooled").of_pairs
    # nothing was chosen by user 1 in slot t: it teaches nothing
    assert_array_equal(pairs.offsets, [0, 2, 3])
    assert dense(pairs.rows) == [[1, 0], [0, 1], [1, 0]]
    assert dense(pairs.positives) == [[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 0, 1]]
    assert dense(pairs.impressions) == [[0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 0]]


def test_in_order_an_impression_belongs_to_the_next_choice(monkeypatch):
    monkeypatch.setattr(_request_batches, "HIDDEN", 0.0)
    monkeypatch.setattr(_request_batches, "PARTLY_HIDDEN", 0.0)
    events = events_of("recent")
    assert events.of_pairs is None
    rows = [sparse.identity(n, np.float32, "csr") for n in (N_USERS, N_ITEMS)]
    data = SequenceSet(*rows, events.ordered, 50, events.contexts)
    ((batch, targets),) = SequenceBatches(data, batch_size=8)
    found, shown = set(), {}
    users = batch.history.owners
    for row in range(len(targets)):
        user = batch.user_rows.indices[users[row]].item()
        item = targets.columns[targets.offsets[row]].item()
        of_row = targets.impressions[0] == row
        shown[user, item] = {*targets.impressions[1][of_row].tolist()}
        place = batch.requests.asking.tolist().index(row)
        asked = batch.requests.rows
        part = slice(*asked.offsets[place : place + 2])
        found.add((user, item, *asked.indices[part].tolist()))
    assert batch.requests.owners is None
    assert found == {(0, 0, 0), (0, 1, 1), (1, 3, 0)}
    assert shown == {(0, 0): {1}, (0, 1): {2}, (1, 3): {0, 2}}


def test_without_a_known_context_there_are_no_rows():
    rows = EVENTS.copy()
    rows.loc[rows["y"] == 1, "slot"] = None
    pairs = events_of_unknown(rows)
    assert_array_equal(pairs.offsets, [0, 0, 0])
    assert pairs.rows.shape == (0, 2) and pairs.positives.shape == (0, N_ITEMS)


def events_of_unknown(rows):
    """Return the pairs of a table whose chosen events have no context."""
    known = events_of("pooled")
    distinct, codes, _ = distinct_contexts(rows[["slot"]])
    contexts = EventContexts(
        known.contexts.context, known.contexts.context._of_distinct(distinct)
    )
    table = EventTable.of(
        rows["user"].to_numpy(),
        rows["item"].to_numpy(),
        (N_USERS, N_ITEMS),
        None,
        rows["y"].to_numpy(float),
        np.ones(len(rows)),
        codes,
    )
    return contexts.of_pairs(table)


def with_shown(X):
    """Return events with an item of another device next to each, and outcomes."""
    number = X["item"].str[1:].astype(int)
    other = number + np.where(X["device"] == "tv", -5, 5)
    shown = X.assign(item=[f"i{i:02}" for i in other])
    y = np.r_[np.ones(len(X)), np.zeros(len(X))]
    return pd.concat([X, shown], ignore_index=True), y


@pytest.mark.slow
@pytest.mark.parametrize("weight", ["auto", 1.0])
@pytest.mark.parametrize(
    "history", [{"history": "pooled"}, {"history": "recent", "time": "time"}]
)
def test_impressions_in_contexts_do_no_harm(history, weight):
    X, y = with_shown(planted())
    params = {"lr": 0.1, "batch_size": 32, "max_epochs": 15}
    model = asking(**params, impression_weight=weight, **history).fit(X, y)
    assert share_found(model, *requests_of(X)) > 0.7


@pytest.mark.parametrize("second", first_fast([0.0, 0.3]))
@pytest.mark.parametrize("history", ["pooled", "recent", None])
def test_models_with_actions_and_impressions(history, second):
    X = planted(12, 6).rename(columns={"slot": "action"})
    X, y = with_shown(X)
    model = asking(
        context="action",
        history=history,
        time="time",
        second_share=second,
        max_epochs=2,
        impression_weight=1.0,
        impression_start=0.0,
    ).fit(X, y)
    asked = X[["user"]].drop_duplicates()
    tops = [
        model.recommend(asked.assign(action=action), 3)["score"].to_numpy()
        for action in ("morning", "night")
    ]
    assert not np.array_equal(*tops)
