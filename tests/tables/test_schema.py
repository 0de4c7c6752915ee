"""Later tables have the columns of X in fit, and may lack the times."""

import numpy as np
import pandas as pd
import polars as pl
import pytest
from numpy.testing import assert_array_equal

from tests.builders import dated, small

# the time is in the middle, so that a later column moves without it
EVENTS = pd.DataFrame(
    {"user": [1, 1, 3, 3, 5], "when": [5, 6, 5, 8, 7], "item": [2, 4, 4, 7, 2]}
)
WITHOUT = EVENTS[["user", "item"]]
NUMBERED = EVENTS.set_axis([0, 1, 2], axis=1)


@pytest.fixture(scope="module")
def named():
    return small(time="when").fit(EVENTS)


@pytest.fixture(scope="module")
def nameless():
    return small(time=1).fit(EVENTS.to_numpy())


@pytest.fixture(scope="module")
def numbered():
    return small(time=1).fit(NUMBERED)


def test_a_later_table_may_lack_the_times(named, nameless, numbered):
    before = WITHOUT.copy()
    for model, complete, lacking in [
        (named, [EVENTS, pl.from_pandas(EVENTS)], [WITHOUT, pl.from_pandas(WITHOUT)]),
        (nameless, [EVENTS.to_numpy()], [WITHOUT.to_numpy(), WITHOUT.values.tolist()]),
        (
            numbered,
            [NUMBERED],
            [NUMBERED[[0, 2]], WITHOUT.set_axis([0, 1], axis=1), WITHOUT.to_numpy()],
        ),
    ]:
        expected = model.predict(complete[0])
        for table in complete + lacking:
            assert_array_equal(model.predict(table), expected)
    pd.testing.assert_frame_equal(WITHOUT, before)


def test_other_columns_may_not_be_missing(named):
    for X, message in [
        (EVENTS[["user", "when"]], "yet now missing:\n- item"),
        (EVENTS[["user"]], "yet now missing:\n- item\n- when"),
        (WITHOUT.assign(other=1), "unseen at fit time:\n- other"),
        (EVENTS[["item", "user"]], "in the same order"),
        (WITHOUT.iloc[:0], "holds no events"),
    ]:
        with pytest.raises(ValueError, match=message):
            named.predict(X)


def test_other_columns_of_an_array_may_not_be_missing(nameless):
    with pytest.raises(ValueError, match="X has 1 features, .* expecting 3"):
        nameless.predict(np.ones((2, 1)))
    plain = small().fit(WITHOUT)
    with pytest.raises(ValueError, match="yet now missing:\n- item"):
        plain.predict(WITHOUT[["user"]])


def test_requests_may_lack_columns_of_the_context():
    events = dated(EVENTS).assign(slot=list("xyxyx"))
    model = small(time="when", context="slot").fit(events)
    users = events[["user"]].drop_duplicates()
    expected = model.recommend(users)
    for column, value in (("slot", None), ("when", pd.NaT)):
        found = model.recommend(users.assign(**{column: value}))
        pd.testing.assert_frame_equal(found, expected)
    with pytest.raises(ValueError, match="missing:\n- item"):
        model.predict(events.drop(columns=["item"]))


def test_the_last_row_of_an_entity_says_its_features():
    table = WITHOUT.assign(price=[1.5, 2.5, 2.5, 3.5, 9.5])  # of 2, 4, 4, 7, 2
    model = small(item_features="price")
    with pytest.warns(UserWarning, match="disagree on the features of 1 of 3 ids in"):
        model.fit(table)
    again = small(item_features="price").fit(
        table.assign(price=[9.5, *table["price"][1:]])
    )
    assert_array_equal(model.item_embeddings_, again.item_embeddings_)
    assert (model.item_embeddings_ != small().fit(WITHOUT).item_embeddings_).any()
