"""Vectors with their ids, and what other libraries find in them."""

import sys
import uuid

import numpy as np
import pandas as pd
import pytest

from sktwotower import PopularityRecommender, TwoTowerRecommender
from sktwotower.io import export_vectors
from tests.builders import first_fast, random_events, small

EVENTS = random_events(n_users=30, n_items=60, density=0.1)
MODEL = small().fit(EVENTS)
K = 5


@pytest.fixture
def read(tmp_path):
    """Return a function that exports vectors and returns ids and vectors."""

    def exported(model, ending, **how):
        path = tmp_path / f"vectors{ending}"
        export_vectors(model, path, **how)
        assert [each.name for each in tmp_path.iterdir()] == [path.name]
        if ending == ".npz":
            with np.load(path, allow_pickle=False) as arrays:
                return arrays["ids"], arrays["vectors"]
        from pyarrow import parquet

        table = parquet.read_table(path)
        ids, vectors = table.columns
        assert table.column_names[1] == "vector"
        return ids.to_pandas().to_numpy(), np.stack(vectors.to_numpy())

    return exported


ENDINGS = [".npz", ".parquet"]


@pytest.mark.parametrize("ending", ENDINGS)
def test_items_and_users_are_those_of_the_model(ending, read):
    ids, vectors = read(MODEL, ending)
    np.testing.assert_array_equal(ids, MODEL.item_ids_)
    np.testing.assert_array_equal(vectors, MODEL.item_embeddings_)
    assert vectors.dtype == np.float32
    ids, vectors = read(MODEL, ending, side="user")
    np.testing.assert_array_equal(ids, MODEL.user_ids_)
    np.testing.assert_array_equal(vectors, MODEL.embed_users(MODEL.user_ids_))


def test_the_catalog_is_exported_and_not_all_items(read):
    model = small().fit(EVENTS).set_catalog(["i5", "i2"])
    ids, vectors = read(model, ".npz")
    assert ids.tolist() == ["i5", "i2"] and vectors.shape == (2, 8)


def test_a_column_of_ids_called_vector_is_refused(tmp_path, read):
    model = small().fit(EVENTS.rename(columns={"item": "vector"}))
    with pytest.raises(ValueError, match="column of items in fit is called 'vector'"):
        export_vectors(model, tmp_path / "vectors.parquet")
    assert read(model, ".npz")[0].tolist() == model.item_ids_.tolist()


def test_the_column_is_named_as_in_fit(tmp_path):
    from pyarrow import parquet

    export_vectors(MODEL, tmp_path / "a.parquet", side="user")
    table = parquet.read_table(tmp_path / "a.parquet")
    assert table.column_names == ["user", "vector"]
    assert str(table.schema.field("vector").type).startswith("fixed_size_list<")


IDS = {
    "int": [3, 1, 2],
    "text": ["b", "ä", "c"],
    "datetime": pd.to_datetime(["2020-01-01", "2020-01-03", "2020-01-02"]),
    "bool": [True, False, True],
}


@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize("kind", first_fast(IDS))
def test_ids_of_several_kinds(kind, ending, read):
    events = pd.DataFrame({"user": ["a", "b", "b"], "item": IDS[kind]})
    model = small().fit(events)
    ids, _ = read(model, ending)
    assert pd.Index(ids).equals(pd.Index(model.item_ids_))


@pytest.mark.parametrize("ending", ENDINGS)
def test_ids_that_no_file_can_hold_are_named(ending, tmp_path):
    ids = {".npz": [uuid.UUID(int=1), uuid.UUID(int=2)], ".parquet": [10**30, 10**31]}[
        ending
    ]
    events = pd.DataFrame({"user": ["a", "b"], "item": pd.Series(ids, dtype=object)})
    model = small().fit(events)
    with pytest.raises(ValueError, match=f"{ending} has no type for these ids: .*Fit"):
        export_vectors(model, tmp_path / f"x{ending}")
    assert list(tmp_path.iterdir()) == []


def test_other_endings_sides_and_models_are_refused(tmp_path):
    from sklearn.exceptions import NotFittedError

    with pytest.raises(ValueError, match="'?.parquet or .npz. Got.*x.csv"):
        export_vectors(MODEL, tmp_path / "x.csv")
    with pytest.raises(ValueError, match="'item' or 'user'. Got 'items'"):
        export_vectors(MODEL, tmp_path / "x.npz", side="items")
    with pytest.raises(TypeError, match="PopularityRecommender has no vectors"):
        export_vectors(PopularityRecommender().fit(EVENTS), tmp_path / "x.npz")
    with pytest.raises(NotFittedError):
        export_vectors(TwoTowerRecommender(), tmp_path / "x.npz")


def test_parquet_without_pyarrow_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(ImportError, match=r"pip install 'sktwotower\[parquet\]'"):
        export_vectors(MODEL, tmp_path / "x.parquet")


# Recipes: the same items, by other libraries


def expected(users):
    """Return items (n, k) and scores (n, k) that `recommend` finds."""
    table = MODEL.recommend(users, n_neighbors=K, exclude_seen=False)
    n = len(users)
    return (
        table["item"].to_numpy().reshape(n, K),
        table["score"].to_numpy().reshape(n, K),
    )


@pytest.mark.slow
def test_faiss_finds_the_same_items(read):
    faiss = pytest.importorskip("faiss")
    ids, vectors = read(MODEL, ".npz")
    users, queries = read(MODEL, ".npz", side="user")
    index = faiss.IndexFlatIP(vectors.shape[1])
    index.add(vectors)
    scores, places = index.search(queries, K)
    items, best = expected(users)
    np.testing.assert_array_equal(ids[places], items)
    np.testing.assert_allclose(scores, best, atol=1e-6)


@pytest.mark.slow
def test_hnswlib_finds_the_same_items(read):
    hnswlib = pytest.importorskip("hnswlib")
    ids, vectors = read(MODEL, ".parquet")
    index = hnswlib.Index("ip", vectors.shape[1])
    index.init_index(len(vectors), random_seed=0)
    index.add_items(vectors, num_threads=1)
    index.set_ef(len(vectors))
    users, queries = read(MODEL, ".parquet", side="user")
    places, distances = index.knn_query(queries, K, num_threads=1)
    items, best = expected(users)
    assert (ids[places] == items).mean() > 0.99
    np.testing.assert_allclose(1 - distances, best, atol=1e-5)
