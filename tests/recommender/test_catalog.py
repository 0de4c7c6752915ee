import copy

import numpy as np
import pandas as pd
import pytest
from sklearn.base import BaseEstimator
from sklearn.neighbors import NearestNeighbors

from sktwotower import TwoTowerRecommender
from sktwotower.metrics import retrieval_report


@pytest.fixture(scope="module")
def products():
    rng = np.random.default_rng(0)
    return pd.DataFrame(
        {
            "item": [f"i{group}{item}" for group in range(2) for item in range(6)],
            "kind": ["red"] * 6 + ["blue"] * 6,
            "price": rng.uniform(1, 9, 12),
        }
    )


@pytest.fixture(scope="module")
def fitted(events, products):
    return TwoTowerRecommender(
        items=products, embedding_dim=16, max_epochs=5, random_state=0
    ).fit(events)


@pytest.fixture
def model(fitted):
    # a copy may get another catalog: what is fitted is replaced as a whole
    return copy.copy(fitted)


def test_gone_items_are_never_recommended_and_stay_in_the_past(model, events):
    users = model.user_ids_
    before = model.embed_users(users)
    scores = model.recommend(users, n_neighbors=12, exclude_seen=False)
    kept = ["i13", "i00", "i05", "i10"]
    assert model.set_catalog(kept) is model
    assert model.item_ids_.tolist() == kept
    np.testing.assert_allclose(model.embed_users(users), before, atol=1e-6)
    after = model.recommend(users, n_neighbors=12, exclude_seen=False)
    expected = scores[scores["item"].isin(kept)]
    columns = ["user", "item", "score"]
    pd.testing.assert_frame_equal(
        after[columns], expected[columns].reset_index(drop=True), atol=1e-6
    )
    pairs = set(events.itertuples(index=False, name=None))
    found = model.recommend(users, n_neighbors=12)
    assert not pairs & set(zip(found["user"], found["item"], strict=True))
    assert len(found) == len(after) - sum(item in kept for _, item in pairs)


@pytest.mark.slow
def test_they_come_back_as_they_were(model):
    before = model.recommend(n_neighbors=5)
    all_items = model.item_ids_
    model.set_catalog(["i00", "i10"]).set_catalog(all_items)
    pd.testing.assert_frame_equal(model.recommend(n_neighbors=5), before, rtol=1e-5)


@pytest.mark.slow
def test_new_items_get_vectors_by_their_features(model, products):
    new = pd.DataFrame({"item": ["new"], "kind": ["red"], "price": [4.0]})
    model.set_catalog(pd.concat([new, products]))
    assert model.item_ids_.tolist() == ["new", *products["item"]]
    np.testing.assert_array_equal(model.item_embeddings_[:1], model.embed_items(new))
    np.testing.assert_array_equal(
        model.item_embeddings_[1:], model.embed_items(products["item"].tolist())
    )
    found = model.recommend(["u00"], n_neighbors=99)
    assert "new" in set(found["item"])
    assert "new" in set(model.recommend(["u00"], candidates=["new"])["item"])
    assert len(model.similar_items(["new"], n_neighbors=99)) == 12


@pytest.mark.slow
def test_positions_scores_and_graph_follow_the_catalog(model, events):
    model.set_catalog(["i13", "i00", "i05"])
    distances, indices = model.kneighbors(["u00"], n_neighbors=5)
    assert indices.shape == (1, 3) and indices.max() < 3
    assert np.isinf(distances[indices < 0]).all()
    assert model.kneighbors_graph(["u00"]).shape == (1, 3)
    ranking = model.rank_held_out(events, n_neighbors=3)
    assert ranking.truth.shape[1] == len(ranking.item_counts) == 3
    counts = events["item"].value_counts()
    expected = [counts.get(item, 0) for item in ["i13", "i00", "i05"]]
    assert ranking.item_counts.tolist() == expected
    assert ranking.n_unreachable.sum() == len(events) - sum(expected)
    with pytest.raises(ValueError, match="1 of 1 candidates .* of 3 items: 'i01'"):
        model.recommend(["u00"], candidates=["i01"])
    assert model.similar_items(["i01"], n_neighbors=9)["similar_item"].nunique() == 3


@pytest.mark.slow
def test_types_of_ids_are_kept(events):
    events = events.assign(item=events["item"].str[1:].astype(int))
    model = TwoTowerRecommender(embedding_dim=8, max_epochs=1).fit(events)
    model.set_catalog([13, 2])
    assert model.item_ids_.dtype.kind == "i"
    assert model.recommend(["u00"])["item"].dtype.kind == "i"


def test_ids_of_another_type_become_those_of_fit(events, products):
    events, products = (
        table.assign(item=table["item"].str[1:].astype(int))
        for table in (events, products)
    )
    model = TwoTowerRecommender(embedding_dim=8, max_epochs=1, items=products)
    model.fit(events).set_catalog([13.0, 2.0])
    assert model.item_ids_.dtype.kind == "i" and model.item_ids_.tolist() == [13, 2]
    new = products[:3].assign(item=[77.0, 2.0, 78.0])
    found = model.set_catalog(new).recommend(["u00"], exclude_seen=False)["item"]
    assert model.item_ids_.dtype.kind == "i" and set(found) == {77, 2, 78}
    catalog = model.item_embeddings_
    with pytest.raises(TypeError, match="ids of items have another type: they are"):
        model.set_catalog(new.assign(item=["a", "b", "c"]))
    assert model.item_embeddings_ is catalog


@pytest.mark.slow
def test_a_catalog_of_one(model):
    found = model.set_catalog(["i13"]).recommend(["u00"], exclude_seen=False)
    assert found["item"].tolist() == ["i13"]
    assert len(model.similar_items(["i13"])) == 0


@pytest.mark.slow
@pytest.mark.parametrize(
    ("items", "message"),
    [
        ([], "items is empty: a catalog needs at least one item"),
        (["i00", "i00"], "1 are duplicated: 'i00'"),
        (["i00", "new"], "The item 'new' is not known from fit. Pass a table"),
        (["i00", None], "contains NaN"),
        (pd.DataFrame({"item": ["new"], "kind": ["red"]}), "lacks .* 'price'"),
        ("i00", "must be a list"),
    ],
)
def test_what_is_no_catalog(model, items, message):
    before = model.recommend(n_neighbors=3)
    with pytest.raises((ValueError, TypeError), match=message):
        model.set_catalog(items)
    pd.testing.assert_frame_equal(model.recommend(n_neighbors=3), before)


@pytest.mark.slow
def test_a_new_item_of_which_fit_knows_no_feature(model, products):
    new = pd.DataFrame({"item": ["new"], "kind": ["green"], "price": [None]})
    with pytest.warns(
        UserWarning, match="1 new items have no feature known from fit: 'new'"
    ):
        model.set_catalog(pd.concat([products, new]))
    bias = model.net_.module_.first.item_tower.bias.detach().numpy()
    np.testing.assert_allclose(
        model.item_embeddings_[-1], bias / np.linalg.norm(bias), atol=1e-6
    )
    assert model.similar_items(new, 1)["similar_item"].tolist() != ["new"]


@pytest.mark.slow
def test_another_index_counts_from_the_next_catalog_on(model):
    before = model.recommend(n_neighbors=3)
    other = NearestNeighbors().fit(np.eye(3))
    model.set_params(neighbors=other)
    pd.testing.assert_frame_equal(model.recommend(n_neighbors=3), before)
    model.set_catalog(model.item_ids_)
    assert isinstance(model.neighbors_, NearestNeighbors)
    assert model.neighbors_ is not other
    pd.testing.assert_frame_equal(model.recommend(n_neighbors=3), before)


class FaissNeighbors(BaseEstimator):
    """What a user would write around an index of their own: here one of faiss."""

    def fit(self, X, y=None):
        self.index_ = pytest.importorskip("faiss").IndexHNSWFlat(X.shape[1], 8, 0)
        self.index_.add(np.ascontiguousarray(X, dtype=np.float32))
        return self

    def kneighbors(self, X, n_neighbors=5, return_distance=True):
        distances, indices = self.index_.search(np.asarray(X, np.float32), n_neighbors)
        return (1 - distances, indices) if return_distance else indices


@pytest.mark.slow
@pytest.mark.parametrize("neighbors", [NearestNeighbors(), FaissNeighbors()])
def test_the_index_follows(events, products, neighbors, model):
    exact, params = model, model.get_params() | {"neighbors": neighbors}
    model = TwoTowerRecommender(**params).fit(events)
    assert isinstance(model.neighbors_, type(neighbors))
    kept = ["i05", "i11", "i00", "i02"]
    pd.testing.assert_frame_equal(
        model.set_catalog(kept).recommend(), exact.set_catalog(kept).recommend()
    )
    assert model.index_recall_ == 1.0


@pytest.mark.slow
def test_users_of_gone_items_are_no_cold_users(model, products):
    new = products.head(3).assign(item=["n0", "n1", "n2"])
    users = model.user_ids_
    before = model.rank_held_out(
        pd.DataFrame({"user": users, "item": "i00"}), n_neighbors=1
    )
    X = pd.DataFrame({"user": users, "item": "n0"})
    after = model.set_catalog(new).rank_held_out(X, n_neighbors=1)
    np.testing.assert_array_equal(after.user_counts, before.user_counts)
    assert after.user_counts.min() > 0 and not after.item_counts.any()
    report = retrieval_report(model, X, k=2)
    assert "cold items" in report.index and "cold users" not in report.index
    assert report["novelty@2"].isna().all()
