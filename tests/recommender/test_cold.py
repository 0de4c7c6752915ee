"""Items and users unknown to fit: what is known of them gives them their vectors."""

import copy

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from sktwotower import TwoTowerRecommender
from sktwotower.datasets import make_interactions
from sktwotower.towers import PooledHistory


@pytest.fixture(scope="module")
def world():
    return make_interactions(
        60, 30, n_clusters=2, interactions_per_user=8, random_state=0
    )


@pytest.fixture(scope="module")
def tables(world):
    """The tables without what tells one row, and a user and an item nobody met."""
    users = world.user_table[["user", "segment"]]
    items = world.item_table[["item", "category", "price"]]
    users = pd.concat([users, pd.DataFrame({"user": [900], "segment": ["segment1"]})])
    new = pd.DataFrame({"item": [900], "category": ["category1"], "price": [5.0]})
    return users, pd.concat([items, new])


@pytest.fixture(scope="module")
def model(world, tables):
    users, items = tables
    return TwoTowerRecommender(
        users=users,
        items=items,
        history=PooledHistory(fold_in=False),  # the answers of the towers are looked at
        embedding_dim=8,
        max_epochs=4,
        lr=0.05,
        random_state=0,
    ).fit(world.data[["user", "item"]])


def categories_of_first(model, world, **asked):
    """Return the categories of the first five recommendations."""
    found = model.recommend(n_neighbors=5, **asked)["item"]
    return world.item_table.set_index("item")["category"].reindex(found)


# Items


@pytest.mark.slow
def test_an_item_without_events_is_as_an_unknown_id_with_its_features(model, tables):
    listed = tables[1].query("item == 900")
    unknown = listed.assign(item=12345)
    of_table = model.item_embeddings_[list(model.item_ids_).index(900)]
    for asked in (unknown, listed):
        assert_allclose(model.embed_items(asked)[0], of_table, atol=1e-6)
    assert_allclose(model.embed_items([900])[0], of_table, atol=1e-6)


@pytest.mark.slow
def test_an_unknown_item_joins_the_catalog_by_its_features(model, world, tables):
    unknown = tables[1].query("item == 900").assign(item=[12345])
    model = copy.deepcopy(model).set_catalog(pd.concat([unknown, tables[1]]))
    assert model.item_ids_[0] == 12345
    assert_array_equal(model.item_embeddings_[:1], model.embed_items(unknown))
    liking = world.user_table.query("segment == 'segment1'")["user"]
    rows = model.recommend(liking, candidates=[12345, 900], exclude_seen=False)
    pairs = rows.pivot(index="user", columns="item", values="score")
    assert_allclose(pairs[12345], pairs[900], atol=1e-6)


@pytest.mark.slow
def test_features_of_events_describe_an_unknown_item(world):
    X = world.data[["user", "item"]].merge(world.item_table[["item", "category"]])
    model = TwoTowerRecommender(
        item_features=["category"],
        embedding_dim=8,
        max_epochs=6,
        lr=0.05,
        random_state=0,
    ).fit(X)
    users = X["user"].unique()
    asked = pd.DataFrame({"user": users, "item": 12345, "category": "category1"})
    scores = model.predict(asked)
    vector = model.embed_items(pd.DataFrame({"item": [7], "category": ["category1"]}))
    other = model.embed_items(
        pd.DataFrame({"item": [12345], "category": ["category1"]})
    )
    assert_array_equal(scores.shape, users.shape)
    expected = np.sum(model.transform(asked) * other, axis=1)
    assert_allclose(scores, expected, atol=1e-5)
    assert (model.predict(asked.assign(category="category0")) != scores).all()
    assert not np.allclose(vector, other)  # 7 is known from fit: its id counts
    # those who chose the category more than others did rate it higher
    share = X["category"].eq("category1").groupby(X["user"]).mean().loc[users]
    assert np.corrcoef(share, scores)[0, 1] > 0.8


def test_unknown_items_without_features_are_alike(model, tables):
    vectors = model.embed_items([12345, 6789])
    assert_allclose(vectors[0], vectors[1], atol=1e-6)
    # nor does an unknown category say anything
    nothing = tables[1].query("item == 900").assign(item=12345, category="never seen")
    assert_allclose(
        model.embed_items(nothing.assign(price=np.nan))[0], vectors[0], atol=1e-6
    )
    described = model.embed_items(tables[1].query("item == 900").assign(item=12345))
    assert not np.allclose(described, vectors[0], atol=0.1)


# Users


def test_users_of_whom_nothing_is_known_are_alike(model):
    expected = model.embed_users([777])
    nothing = pd.DataFrame({"user": [777], "segment": ["never seen"]})
    for asked in ([888], np.array([777]), nothing):
        assert_allclose(model.embed_users(asked), expected, atol=1e-6)


def test_a_user_with_attributes_alone_has_lists_of_them(model, world):
    vectors = {}
    for segment, category in (("segment0", "category0"), ("segment1", "category1")):
        table = pd.DataFrame({"user": [777], "segment": [segment]})
        vectors[segment] = model.embed_users(table)
        first = categories_of_first(model, world, X=table)
        assert (first == category).sum() >= 4
    # a user of the side table without events is the same
    assert_allclose(model.embed_users([900]), vectors["segment1"], atol=1e-6)
    assert not np.allclose(*vectors.values(), atol=0.1)


def test_a_user_with_a_history_alone_has_lists_of_it(model, world):
    for category in ("category0", "category1"):
        past = world.item_table.query("category == @category")["item"].tolist()[:4]
        first = categories_of_first(model, world, X=[777], history={777: past})
        assert (first == category).sum() >= 4
        found = model.recommend([777], history={777: past}, n_neighbors=30)
        assert not set(found["item"]) & set(past)


def test_a_user_with_attributes_and_a_history_has_both(model, world):
    past = world.item_table["item"].tolist()[:4]
    table = pd.DataFrame({"user": [777], "segment": ["segment1"]})
    both = model.embed_users(table, history={777: past})
    # a user of the side table without events is the same, with the same past
    assert_allclose(model.embed_users([900], history={900: past}), both, atol=1e-6)
    for less in (
        model.embed_users(table),
        model.embed_users([777], history={777: past}),
        model.embed_users([777]),
    ):
        assert not np.allclose(less, both, atol=1e-3)


def test_unknown_items_of_a_history_change_nothing(model):
    with pytest.warns(UserWarning, match="history changes nothing"):
        vector = model.embed_users([777], history={777: [54321]})
    assert_allclose(vector, model.embed_users([777]), atol=1e-6)


@pytest.mark.slow
def test_the_id_column_is_not_taken_for_a_feature_misspelt(world):
    users = world.user_table[["user", "segment"]].rename(columns={"segment": "users"})
    model = TwoTowerRecommender(
        users=users, embedding_dim=4, max_epochs=1, random_state=0
    ).fit(world.data[["user", "item"]])
    alone = pd.DataFrame({"user": [777]})
    assert_array_equal(model.embed_users(alone), model.embed_users([777]))
    with pytest.raises(ValueError, match="'user_s', .* Did you mean 'users'"):
        model.embed_users(alone.assign(user_s="segment1"))
