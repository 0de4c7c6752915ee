import pandas as pd
import pytest
from numpy.testing import assert_array_equal
from sklearn.preprocessing import OneHotEncoder

from sktwotower.features._entities import fit_entities


def fitted(frame, **params):
    """Return the items of a table of events, and the events' positions."""
    given = {
        "side": "item",
        "id_column": "item",
        "label": "item",
        "features": [],
        "table": None,
        "transformer": OneHotEncoder(handle_unknown="ignore"),
    }
    given |= {"frame": frame, "memory": None}
    return fit_entities(**(given | params))


EVENTS = pd.DataFrame({"item": ["z", "x", "z"], "price": [1, 2, 1]})


def test_entities_are_sorted_and_events_know_their_place():
    items, codes = fitted(EVENTS)
    assert_array_equal(codes, [1, 0, 1])
    assert list(items.ids) == ["x", "z"]
    assert_array_equal(items.rows.toarray(), [[1, 0], [0, 1], [0, 0]])
    assert_array_equal(items.codes(["z", "q"], "items"), [1, -1])


def test_entities_of_a_side_table_keep_its_order():
    table = pd.DataFrame({"tag": ["a", "b", "a"], "item": ["z", "y", "x"]})
    items, codes = fitted(EVENTS, table=table)
    assert_array_equal(codes, [0, 2, 0])
    assert list(items.ids) == ["z", "y", "x"]
    # one column per id, sorted, then one per tag
    assert_array_equal(
        items.rows.toarray()[:3], [[0, 0, 1, 1, 0], [0, 1, 0, 0, 1], [1, 0, 0, 1, 0]]
    )


def test_a_table_is_described_by_its_own_features_or_by_those_of_fit():
    items, _ = fitted(EVENTS, features=["price"])
    ids = pd.DataFrame({"item": ["x", "q"]})
    _, codes, rows, described = items.describe(ids, "items")
    assert_array_equal(codes, [0, -1])
    assert described is None
    assert_array_equal(rows.toarray(), [[1, 0, 0, 1], [0, 0, 0, 0]])
    _, codes, rows, described = items.describe(ids.assign(price=1), "items")
    assert_array_equal(rows.toarray(), [[1, 0, 1, 0], [0, 0, 1, 0]])
    assert described["price"].tolist() == [1] * len(described)


def test_columns_of_events_count_only_if_fit_took_them_from_x():
    table = pd.DataFrame({"item": ["x", "z"], "price": [2, 1]})
    items, _ = fitted(EVENTS, table=table)
    other = EVENTS.assign(price=1)
    kept = items.describe(other, "X", events=True)[2].toarray()
    assert_array_equal(kept, items.rows.toarray()[[1, 0, 1]])
    given = items.describe(other, "items")[2].toarray()
    assert_array_equal(given, [[0, 1, 1, 0], [1, 0, 1, 0], [0, 1, 1, 0]])


def test_a_side_table_with_numbers_for_names():
    table = pd.DataFrame([["x", "a"], ["z", "b"]])
    items, _ = fitted(
        pd.DataFrame({"x0": [1, 2], "x1": ["x", "z"]}), table=table, id_column="x1"
    )
    assert items.side_features == ("1",)
    assert items.rows.shape == (3, 4)


def test_misspelt_features_of_an_unknown_entity_are_refused():
    table = pd.DataFrame({"item": ["x", "z"], "price": [2.5, 1.0], "tag": ["a", "b"]})
    items, _ = fitted(EVENTS, table=table)
    with pytest.raises(ValueError, match="column 'prise'.* Did you mean 'price'"):
        items.describe(pd.DataFrame({"item": ["new"], "prise": [1.0]}), "items")
    with pytest.raises(ValueError, match="lacks the item feature 'tag'"):
        items.describe(pd.DataFrame({"item": ["new"], "price": [1.0]}), "items")
    known = items.describe(pd.DataFrame({"item": ["x"], "price": [2.5]}), "items")[2]
    assert_array_equal(known.toarray(), items.rows[0].toarray())
