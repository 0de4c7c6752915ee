"""Items and users unknown to fit: what is known of them gives them their vectors."""

import copy

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse

from sktwotower import TwoTowerRecommender
from sktwotower.datasets import make_interactions
from sktwotower.towers.parts import embed_items, embed_users


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
        fold_in=False,  # the answers of the towers are looked at
        embedding_dim=8,
        max_epochs=4,
        lr=0.05,
        random_state=0,
    ).fit(world.data[["user", "item"]])


def categories_of_first(model, world, **asked):
    """Return the categories of the first five recommendations."""
    found = model.recommend(n_neighbors=5, **asked)["item"]
    return world.item_table.set_index("item")["category"].reindex(found)


def empty(n, width):
    return sparse.csr_matrix((n, width), dtype=np.float32)


def from_net(model, user_rows, past):
    """Embed users by the net itself, from feature rows and past items."""
    history = empty(user_rows.shape[0], len(model._fitted.items.ids)).tolil()
    history[:, [model._fitted.items.ids.get_loc(item) for item in past]] = 1
    return embed_users(
        model.net_.module_, user_rows, history.tocsr(), model._fitted.items.rows
    )


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


def test_an_unknown_item_without_features_is_an_empty_row(model):
    assert_allclose(
        model.embed_items([12345, 6789]),
        embed_items(model.net_.module_, empty(2, model._fitted.items.width)),
        atol=1e-6,
    )


# Users


def test_a_user_of_whom_nothing_is_known_is_an_empty_row(model):
    expected = from_net(model, empty(1, model._fitted.users.width), [])
    for asked in ([777], [888], np.array([777])):
        assert_allclose(model.embed_users(asked), expected, atol=1e-6)
    nothing = pd.DataFrame({"user": [777], "segment": ["never seen"]})
    assert_allclose(model.embed_users(nothing), expected, atol=1e-6)


def test_a_user_with_attributes_alone(model, world):
    vectors = {}
    for segment, category in (("segment0", "category0"), ("segment1", "category1")):
        table = pd.DataFrame({"user": [777], "segment": [segment]})
        rows = model._fitted.users.describe(table, "X")[2]
        vectors[segment] = model.embed_users(table)
        assert_allclose(vectors[segment], from_net(model, rows, []), atol=1e-6)
        first = categories_of_first(model, world, X=table)
        assert (first == category).sum() >= 4
    assert_allclose(model.embed_users([900]), vectors["segment1"], atol=1e-6)
    assert not np.allclose(*vectors.values(), atol=0.1)


def test_a_user_with_a_history_alone(model, world):
    nobody = empty(1, model._fitted.users.width)
    for category in ("category0", "category1"):
        past = world.item_table.query("category == @category")["item"].tolist()[:4]
        vector = model.embed_users([777], history={777: past})
        assert_allclose(vector, from_net(model, nobody, past), atol=1e-6)
        first = categories_of_first(model, world, X=[777], history={777: past})
        assert (first == category).sum() >= 4
        found = model.recommend([777], history={777: past}, n_neighbors=30)
        assert not set(found["item"]) & set(past)


def test_a_user_with_attributes_and_a_history(model, world):
    past = world.item_table["item"].tolist()[:4]
    table = pd.DataFrame({"user": [777], "segment": ["segment1"]})
    both = model.embed_users(table, history={777: past})
    rows = model._fitted.users.describe(table, "X")[2]
    assert_allclose(both, from_net(model, rows, past), atol=1e-6)
    # a user of the side table without events is the same, once the past is told
    assert_allclose(model.embed_users([900], history={900: past}), both, atol=1e-6)
    for less in (
        model.embed_users(table),
        model.embed_users([777], history={777: past}),
        model.embed_users([777]),
    ):
        assert not np.allclose(less, both, atol=1e-3)


def test_unknown_items_of_a_history_tell_nothing(model):
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
