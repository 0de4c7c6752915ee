"""Items and users with side tables, and with features in the table of events."""

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.preprocessing import OneHotEncoder

from tests.builders import small

EVENTS = pd.DataFrame(
    {"user": [1, 1, 2, 2], "item": ["z", "x", "z", "y"], "price": [1.0, 2, 1, 3]}
)
PAIRS = EVENTS[["user", "item"]]
ITEMS = pd.DataFrame({"tag": ["a", "b", "a"], "item": ["z", "y", "x"]})


def one_hot():
    return OneHotEncoder(handle_unknown="ignore")


def test_items_are_sorted_or_in_the_order_of_their_table():
    assert small().fit(PAIRS).item_ids_.tolist() == ["x", "y", "z"]
    model = small(items=ITEMS, item_transformer=one_hot()).fit(PAIRS)
    assert model.item_ids_.tolist() == ["z", "y", "x"]
    names = model.item_transformer_.get_feature_names_out().tolist()
    # one column per id, sorted, then one per tag
    assert names == ["item_x", "item_y", "item_z", "tag_a", "tag_b"]
    assert_allclose(model.embed_items(ITEMS), model.item_embeddings_, atol=1e-6)


def test_an_item_is_described_by_its_row_or_else_by_that_of_fit():
    model = small(item_features="price", item_transformer=one_hot()).fit(EVENTS)
    known = model.embed_items(["x", "z"])
    assert_array_equal(model.embed_items(pd.DataFrame({"item": ["x", "z"]})), known)
    as_z = pd.DataFrame({"item": ["new"], "price": [1.0]})
    other = model.embed_items(as_z.assign(item="x", price=1.0))
    assert (other != known[0]).any()
    assert (model.embed_items(as_z) != model.embed_items(as_z.assign(price=2.0))).any()


def test_columns_of_events_count_only_if_fit_took_them_from_x():
    table = pd.DataFrame({"item": ["x", "y", "z"], "price": [2.0, 3.0, 1.0]})
    model = small(items=table, item_transformer=one_hot()).fit(EVENTS)
    changed = EVENTS.assign(price=1.0)
    assert_array_equal(model.predict(changed), model.predict(EVENTS))


def test_a_side_table_may_have_numbers_for_names():
    table = ITEMS[["item", "tag"]].set_axis([0, 1], axis=1)
    model = small(items=table, item_transformer=one_hot()).fit(PAIRS.to_numpy())
    assert len(model.item_transformer_.get_feature_names_out()) == 5


def test_misspelt_features_of_a_new_item_are_refused():
    table = ITEMS.assign(price=[2.5, 1.0, 3.0])
    model = small(items=table).fit(PAIRS)
    with pytest.raises(ValueError, match="'price'.* Did you mean 'prise'"):
        model.embed_items(pd.DataFrame({"item": ["new"], "prise": [1.0], "tag": "a"}))
    with pytest.raises(ValueError, match="lacks the item feature 'tag'"):
        model.embed_items(pd.DataFrame({"item": ["new"], "price": [1.0]}))
    known = model.embed_items(pd.DataFrame({"item": ["x"], "price": [3.0]}))
    assert_allclose(known, model.embed_items(["x"]), atol=1e-6)
    assert np.isfinite(known).all()
