"""New rows of side tables that `partial_fit` adds without an event."""

import numpy as np
import pandas as pd
import pytest

from sktwotower import io
from tests.builders import chain, dated, ordered, random_events, small
from tests.cases import for_each
from tests.recommender.builders import few

MORE = pd.DataFrame({"user": ["u2", "u3"], "item": ["i3", "i0"]})
NOTHING = MORE[:0]
SIDE = pd.DataFrame({"item": [f"i{i}" for i in range(9)], "kind": list("abc") * 3})
NEW = pd.DataFrame({"item": ["n1", "n2"], "kind": ["b", "d"]})
LONGER = pd.concat([SIDE, NEW, SIDE[:2].assign(item=["n3", "n4"], kind="d")])


def test_new_rows_of_a_side_table_join_the_catalog_without_events(tmp_path):
    model = small(items=SIDE).fit(random_events())
    vectors, cold = model.item_embeddings_, model.embed_items(LONGER[9:])
    model.set_params(items=LONGER).partial_fit(NOTHING)
    assert model.item_ids_.tolist() == [*SIDE["item"], "n1", "n2", "n3", "n4"]
    np.testing.assert_array_equal(model.item_embeddings_, np.r_[vectors, cold])
    assert set(LONGER["item"][9:]) < set(model.recommend(["u1"], 99)["item"])
    assert len(model.history_) == 1  # nothing was learnt
    names = model.item_transformer_.get_feature_names_out().tolist()
    assert names[9:] == ["kind_a", "kind_b", "kind_c", "kind_d"]
    state = model.item_embeddings_
    for nothing in (NOTHING, NOTHING.astype(float)):  # twice: no warning either
        assert model.partial_fit(nothing).item_embeddings_ is state
    io.dump(model, tmp_path / "model.sktt")
    loaded = io.load(tmp_path / "model.sktt")
    pd.testing.assert_frame_equal(loaded.recommend(), model.recommend())
    # the first event makes the item one of its own
    for each in (model, loaded):
        each.partial_fit(pd.DataFrame({"user": ["u1"], "item": ["n3"]}))
        assert "item_n3" in each.item_transformer_.get_feature_names_out()
    np.testing.assert_array_equal(loaded.item_embeddings_, model.item_embeddings_)


@pytest.mark.slow
def test_new_rows_join_next_to_new_events_and_behind_a_catalog():
    model = small(items=SIDE).fit(random_events()).set_catalog(["i5", "i2", "i0"])
    model.set_params(items=LONGER)
    model.partial_fit(pd.DataFrame({"user": ["u1", "new"], "item": ["n2", "i3"]}))
    assert model.item_ids_.tolist() == ["i5", "i2", "i0", "n2", "n1", "n3", "n4"]
    found = model.recommend(["new"], 99)["item"]
    assert set(found) == set(model.item_ids_)
    model.set_catalog(["i0", "n2"]).partial_fit(MORE[:1])
    assert model.item_ids_.tolist() == ["i0", "n2"]  # gone items stay gone
    model.forget_items(["n1"]).partial_fit(NOTHING)
    assert model.item_ids_.tolist() == ["i0", "n2"]


@pytest.mark.slow
def test_new_rows_of_users_are_known():
    ages = pd.DataFrame({"user": [f"u{i}" for i in range(14)], "age": range(14)})
    model = small(users=ages[:12]).fit(random_events())
    cold = model.embed_users(ages[12:])
    model.set_params(users=ages).partial_fit(NOTHING)
    assert model.user_ids_.tolist() == ages["user"].tolist()
    np.testing.assert_allclose(model.embed_users(["u12", "u13"]), cold, atol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("params", "dates"),
    few(
        [
            ({"context": ["when", "hue"]}, True),
            ({}, False),
            ({"context": ["when"]}, True),
            ({"history": "pooled"}, False),
        ],
        2,
    ),
)
def test_new_rows_join_where_there_are_times(params, dates):
    hues = (
        {} if "hue" not in params.get("context", ()) else {"hue": ["red", "tan"] * 160}
    )
    X = (dated(chain()) if dates else chain()).assign(**hues)
    side = pd.DataFrame({"item": sorted(set(X["item"])), "kind": list("abcd") * 3})
    model = ordered(items=side, **params).fit(X)
    cold = model.embed_items(NEW)
    model.set_params(items=pd.concat([side, NEW])).partial_fit(X[:0])
    np.testing.assert_array_equal(model.item_embeddings_[-2:], cold)
    model.partial_fit(X[:30].replace("i03", "n1"))
    assert model.item_ids_[-2:].tolist() == ["n1", "n2"]


@pytest.mark.slow
@for_each(
    ("table", "error", "message"),
    [
        (pd.concat([LONGER, NEW]), ValueError, "2 ids are duplicated: 'n1'"),
        (SIDE.assign(item=range(9)), TypeError, "ids of items have another type"),
        (LONGER[["item"]], ValueError, "items lacks the column 'kind'"),
    ],
)
def test_side_tables_that_do_not_fit_are_refused(table, error, message):
    model = small(items=SIDE).fit(random_events())
    state = model.item_embeddings_
    with pytest.raises(error, match=message):
        model.set_params(items=table).partial_fit(NOTHING)
    assert model.item_embeddings_ is state


def test_a_table_that_fit_did_not_have_adds_nothing():
    model = small().fit(random_events())
    assert "n1" not in model.set_params(items=LONGER).partial_fit(NOTHING).item_ids_


def catalog_with(*rows):
    """Return a model whose catalog has the side table and new rows, of fit or not."""
    model = small(items=SIDE).fit(random_events())
    table = pd.concat([SIDE, pd.DataFrame(rows, columns=["item", "kind"])])
    return model.set_catalog(table.drop_duplicates("item", keep="last"))


def test_an_item_that_set_catalog_brought_is_known_to_partial_fit(tmp_path):
    event = pd.DataFrame({"user": ["u1"], "item": ["n1"]})
    # the same features as in a side table that has the row as well
    expected = small(items=SIDE).fit(random_events())
    expected.set_params(items=pd.concat([SIDE, NEW[:1]])).partial_fit(event)
    model = catalog_with(("n1", "b"))
    io.dump(model, tmp_path / "model.sktt")
    for each in (model, io.load(tmp_path / "model.sktt")):
        each.partial_fit(event)
        assert "item_n1" in each.item_transformer_.get_feature_names_out()
        np.testing.assert_allclose(
            each.item_embeddings_, expected.item_embeddings_, atol=1e-6
        )
    with pytest.raises(ValueError, match="missing from items: 'n2'"):
        model.partial_fit(event.assign(item="n2"))


@pytest.mark.slow
def test_features_given_to_set_catalog_stay_unless_a_newer_table_has_the_item():
    event = pd.DataFrame({"user": ["u1", "u2"], "item": ["n1", "n2"]})

    def kinds(model):
        return {item: kind_of(model.explain("u1", item)) for item in ("i0", "n1", "n2")}

    def kind_of(why):
        return [name[-1] for name in why["feature"] if name.startswith("kind_")]

    model = catalog_with(("i0", "c"), ("n1", "b"), ("n2", "b"))
    newer = pd.concat([SIDE, pd.DataFrame({"item": ["n2"], "kind": ["a"]})])
    model.set_params(items=newer).partial_fit(event)
    assert kinds(model)["n1"] == ["b"] and kinds(model)["n2"] == ["a"]
    assert kinds(model)["i0"] == ["c"]  # no event of it: its row is not read again
