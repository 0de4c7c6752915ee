"""The past of users in the order of time, with the history of a request.

A model whose past items count less with each step shows the steps by its scores.
"""

import numpy as np
import pandas as pd
import polars as pl
import pytest
from numpy.testing import assert_allclose

from sktwotower import ItemKNNRecommender
from tests.cases import for_each

# b: 1 at time 10, 2 and 3 at 20. c: 1 at 10, 1 again at 30
EVENTS = pd.DataFrame(
    [("b", 1, 10), ("b", 3, 20), ("c", 1, 30), ("b", 2, 20), ("c", 1, 10)]
    + [("a", 1, 1), ("a", 2, 1), ("d", 3, 1), ("d", 2, 2)],
    columns=["user", "item", "when"],
)
DECAY = 2.0


def decayed(events):
    return ItemKNNRecommender(decay=DECAY, time="when").fit(events)


@pytest.fixture(scope="module")
def model():
    return decayed(EVENTS)


@pytest.fixture(scope="module")
def dated():
    return decayed(EVENTS.assign(when=pd.to_datetime(EVENTS["when"], unit="s")))


def check(model, pasts, history=None):
    """Check which past items count for each user, and how: (item, lag), ..."""
    alike = pd.DataFrame(
        model.item_similarities_.toarray(), model.item_ids_, model.item_ids_
    )
    items = model.item_ids_
    for user, past in pasts.items():
        expected = np.zeros(3)
        for item, lag in dict(past).items():  # the latest time of each item counts
            expected += np.exp((1 - lag) / DECAY) * alike[item].to_numpy()
        pairs = pd.DataFrame({"user": user, "item": items})
        assert_allclose(model.predict(pairs, history=history), expected, rtol=1e-5)
        left = model.recommend([user], 3, history=history)["item"]
        assert set(left) == set(items) - {item for item, _ in past}


B = [(1, 2.0), (2, 1.0), (3, 1.0)]
C = [(1, 2.0), (1, 1.0)]


def test_the_past_of_fit(model):
    check(model, {"c": C, "new": [], "b": B})


def test_lists_are_oldest_first_and_later_than_fit(model):
    history = {"new": [3, 1, 3], "c": [2, 99, 1]}
    of_c = [(1, 4.0), (1, 3.0), (2, 2.0), (1, 1.0)]
    check(model, {"c": of_c, "new": [(3, 3.0), (1, 2.0), (3, 1.0)], "b": B}, history)
    check(model, {"c": [(1, 3.0), (1, 2.0), (3, 1.0)]}, [3])


def test_rows_of_pairs_are_oldest_first(model):
    pairs = np.array([["c", 2], ["new", 1], ["c", 3]], dtype=object)
    of_c = [(1, 4.0), (1, 3.0), (2, 2.0), (3, 1.0)]
    check(model, {"new": [(1, 1.0)], "c": of_c}, pairs)


HISTORY = pd.DataFrame(
    # in the middle of c's past; known from fit; of nobody asked for; in no catalog
    [("c", 2, 20), ("new", 3, 9), ("c", 1, 30), ("z", 1, 1), ("c", 99, 40)]
    # before all of c's past, and in one basket
    + [("c", 3, 5), ("new", 1, 7), ("c", 2, 5)],
    columns=["user", "item", "when"],
)
JOINED = [(2, 4.0), (3, 4.0), (1, 3.0), (2, 2.0), (1, 1.0)]


@for_each("seed", range(2))
def test_times_put_a_table_in_order(model, seed):
    history = HISTORY.sample(frac=1, random_state=seed)
    check(model, {"new": [(1, 2.0), (3, 1.0)], "c": JOINED, "b": B}, history)


@for_each(
    "convert",
    [
        lambda history: pl.DataFrame(history.to_dict("list")),
        lambda history: history.astype({"when": object}),
        lambda history: history[["when", "item", "user"]],
    ],
)
def test_tables_of_every_kind(model, convert):
    check(model, {"c": JOINED}, convert(HISTORY))


@for_each("zone", [None, "Asia/Tokyo"])
def test_dates_are_compared_in_every_zone(dated, zone):
    when = pd.to_datetime(HISTORY["when"], unit="s")
    if zone is not None:
        when = when.dt.tz_localize("UTC").dt.tz_convert(zone)
    check(dated, {"c": JOINED}, HISTORY.assign(when=when))


def test_an_empty_history_changes_nothing(model, dated):
    for history in (HISTORY.iloc[:0], pd.DataFrame(columns=HISTORY.columns), {}):
        for each in (model, dated):
            check(each, {"c": C, "new": []}, history)


def test_a_table_needs_times_of_the_kind_of_fit(model, dated):
    def ask(model, history):
        model.recommend(["c"], history=history)

    with pytest.raises(ValueError, match="no column 'when', so its order is unknown"):
        ask(model, HISTORY[["user", "item"]])
    dates = HISTORY.assign(when=pd.Timestamp("2020"))
    with pytest.raises(TypeError, match="holds dates, but in fit it held numbers"):
        ask(model, dates)
    with pytest.raises(TypeError, match="holds numbers, but in fit it held dates"):
        ask(dated, HISTORY)
    with pytest.raises(ValueError, match="'when' of history has 8 missing values"):
        ask(model, HISTORY.assign(when=np.nan))


def test_a_recommender_without_times_ignores_the_order():
    model = ItemKNNRecommender().fit(EVENTS[["user", "item"]])
    pairs = pd.DataFrame({"user": "c", "item": [1, 2, 3]})
    scores = [
        model.predict(pairs, history=history)
        for history in ({"c": [3, 2]}, {"c": [2, 3]}, HISTORY[["user", "item"]])
    ]
    assert_allclose(scores[1], scores[0])
    assert_allclose(scores[2], scores[0])
