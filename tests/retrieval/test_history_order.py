"""The past of users in the order of time, with the history of a request."""

import numpy as np
import pandas as pd
import polars as pl
import pytest

from sktwotower.retrieval._requests import past_of, read_query
from tests.builders import small

# b: 1 at time 10, 2 and 3 at 20. c: 1 at 10, 1 again at 30
EVENTS = pd.DataFrame(
    [("b", 1, 10), ("b", 3, 20), ("c", 1, 30), ("b", 2, 20), ("c", 1, 10)],
    columns=["user", "item", "when"],
)


@pytest.fixture(scope="module")
def fitted():
    return small(time="when").fit(EVENTS)._fitted


@pytest.fixture(scope="module")
def dated():
    events = EVENTS.assign(when=pd.to_datetime(EVENTS["when"], unit="s"))
    return small(time="when").fit(events)._fitted


def past(fitted, users, history=None):
    """Return [(item, lag), ...] and the set of seen items of each user."""
    query = read_query(fitted.users, users, "X", 3)
    found = past_of(fitted, query, history)
    ids = fitted.items.ids.to_numpy()
    lags = [
        [
            (int(ids[item]), lag)
            for item, lag in zip(row.indices, row.data.tolist(), strict=True)
        ]
        for row in (found.input[i] for i in range(len(query)))
    ]
    seen = [set(ids[found.seen[i].indices].tolist()) for i in range(len(query))]
    assert (found.seen.data == 1).all()
    return lags, seen


B = [(1, 2.0), (2, 1.0), (3, 1.0)]
C = [(1, 2.0), (1, 1.0)]


def test_the_past_of_fit(fitted):
    assert past(fitted, ["c", "new", "b"]) == ([C, [], B], [{1}, set(), {1, 2, 3}])
    assert past(fitted, ["b"]) == ([B], [{1, 2, 3}])
    assert past(fitted, ["new"]) == ([[]], [set()])


def test_lists_are_oldest_first_and_later_than_fit(fitted):
    lags, seen = past(fitted, ["c", "new", "b"], {"new": [3, 1, 3], "c": [2, 99, 1]})
    new = [(3, 3.0), (1, 2.0), (3, 1.0)]
    assert lags == [[(1, 4.0), (1, 3.0), (2, 2.0), (1, 1.0)], new, B]
    assert seen == [{1, 2}, {1, 3}, {1, 2, 3}]
    assert past(fitted, ["c"], [3])[0] == [[(1, 3.0), (1, 2.0), (3, 1.0)]]


def test_rows_of_pairs_are_oldest_first(fitted):
    pairs = np.array([["c", 2], ["new", 1], ["c", 3]], dtype=object)
    lags, _ = past(fitted, ["new", "c"], pairs)
    assert lags == [[(1, 1.0)], [(1, 4.0), (1, 3.0), (2, 2.0), (3, 1.0)]]


HISTORY = pd.DataFrame(
    # in the middle of c's past; known from fit; of nobody asked for; in no catalog
    [("c", 2, 20), ("new", 3, 9), ("c", 1, 30), ("z", 1, 1), ("c", 99, 40)]
    # before all of c's past, and in one basket
    + [("c", 3, 5), ("new", 1, 7), ("c", 2, 5)],
    columns=["user", "item", "when"],
)
JOINED = [(2, 4.0), (3, 4.0), (1, 3.0), (2, 2.0), (1, 1.0)]


@pytest.mark.parametrize("seed", range(3))
def test_times_put_a_table_in_order(fitted, seed):
    history = HISTORY.sample(frac=1, random_state=seed)
    lags, seen = past(fitted, ["new", "c", "b", "new"], history)
    new = [(1, 2.0), (3, 1.0)]
    assert lags == [new, JOINED, B, new]
    assert seen == [{1, 3}, {1, 2, 3}, {1, 2, 3}, {1, 3}]


@pytest.mark.parametrize(
    "convert",
    [
        lambda history: pl.DataFrame(history.to_dict("list")),
        lambda history: history.astype({"when": float}),
        lambda history: history.astype({"when": object}),
        lambda history: history.convert_dtypes(),
        lambda history: history[["when", "item", "user"]],
    ],
)
def test_tables_of_every_kind(fitted, convert):
    assert past(fitted, ["c"], convert(HISTORY))[0] == [JOINED]


@pytest.mark.parametrize("zone", [None, "UTC", "Asia/Tokyo"])
def test_dates_are_compared_in_every_zone(dated, zone):
    when = pd.to_datetime(HISTORY["when"], unit="s")
    if zone is not None:
        when = when.dt.tz_localize("UTC").dt.tz_convert(zone)
    assert past(dated, ["c"], HISTORY.assign(when=when))[0] == [JOINED]


def test_an_empty_history_changes_nothing(fitted, dated):
    for history in (HISTORY.iloc[:0], pd.DataFrame(columns=HISTORY.columns), {}):
        assert past(fitted, ["c", "new"], history) == ([C, []], [{1}, set()])
        assert past(dated, ["c", "new"], history)[0] == [C, []]


def test_a_table_needs_times_of_the_kind_of_fit(fitted, dated):
    with pytest.raises(ValueError, match="no column 'when', so its order is unknown"):
        past(fitted, ["c"], HISTORY[["user", "item"]])
    dates = HISTORY.assign(when=pd.Timestamp("2020"))
    with pytest.raises(TypeError, match="holds dates, but in fit it held numbers"):
        past(fitted, ["c"], dates)
    with pytest.raises(TypeError, match="holds numbers, but in fit it held dates"):
        past(dated, ["c"], HISTORY)
    with pytest.raises(ValueError, match="'when' of history has 8 missing values"):
        past(fitted, ["c"], HISTORY.assign(when=np.nan))


def test_a_recommender_without_times_ignores_the_order():
    fitted = small().fit(EVENTS[["user", "item"]])._fitted
    for history in ({"c": [3, 2]}, HISTORY[["user", "item"]]):
        query = read_query(fitted.users, ["c"], "X", 2)
        found = past_of(fitted, query, history)
        assert found.input is found.seen
        assert found.seen.toarray().tolist() == [[1, 1, 1]]
