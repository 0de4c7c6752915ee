"""Vectors with their ids, and what other libraries find in them."""

import copy
import pickle
import sys
import uuid
import warnings

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.sparse import csr_matrix

from sktwotower import PopularityRecommender, TwoTowerRecommender, runtime
from sktwotower.io import dump, export_vectors, load
from sktwotower.neighbors import ExactNeighbors, NNDescentNeighbors, check_model_id
from tests.builders import first_fast, random_events, small, spelt
from tests.cases import for_each
from tests.recommender.weighed import coming_back, weighed

EVENTS = random_events(n_users=30, n_items=60, density=0.1)
MODEL = small().fit(EVENTS)
K = 5


@pytest.fixture
def read(tmp_path):
    """Return a function that exports vectors and returns ids, vectors and scales."""

    def exported(model, ending, **how):
        path = tmp_path / f"vectors{ending}"
        export_vectors(model, path, **how)
        assert [each.name for each in tmp_path.iterdir()] == [path.name]
        if ending == ".npz":
            with np.load(path, allow_pickle=False) as arrays:
                assert arrays.files[:2] == ["ids", "vectors"]
                return tuple(arrays[name] for name in arrays.files[:-1])
        from pyarrow import parquet

        table = parquet.read_table(path)
        ids, vectors, *scales = table.columns
        assert table.column_names[1:] == ["vector", "scale"][: 1 + len(scales)]
        return (
            ids.to_pandas().to_numpy(),
            np.stack(vectors.to_numpy()),
            *(each.to_numpy() for each in scales),
        )

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


@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize("side", ["item", "user"])
def test_vectors_in_fewer_bits(side, ending, read):
    ids, expected = read(MODEL, ending, side=side)
    halves = read(MODEL, ending, side=side, vector_dtype="float16")
    codes = read(MODEL, ending, side=side, vector_dtype="int8")
    assert [a.dtype for a in halves[1:]] == [np.float16]
    assert [a.dtype for a in codes[1:]] == [np.int8, np.float32]
    np.testing.assert_array_equal(halves[0], ids)
    np.testing.assert_array_equal(codes[0], ids)
    np.testing.assert_allclose(halves[1], expected, atol=2**-11)
    half_steps = abs(expected).max(axis=1) / 254
    np.testing.assert_allclose(codes[2], 2 * half_steps, rtol=1e-6)
    off = abs(codes[1] * codes[2][:, None] - expected)
    assert (off <= half_steps[:, None] * 1.0001).all()


class Long(torch.nn.Module):
    """A tower whose vectors are long."""

    def __init__(self, n_features):
        super().__init__()
        self.table = torch.nn.Parameter(torch.full((n_features, 8), 1e6))

    def forward(self, rows):
        return torch.sparse.mm(rows, self.table)


def test_other_dtypes_and_numbers_beyond_them_are_refused(tmp_path):
    with pytest.raises(ValueError, match="vector_dtype must be one of.*Got 'int4'"):
        export_vectors(MODEL, tmp_path / "x.npz", vector_dtype="int4")
    model = small(normalize=False, item_tower=Long).fit(EVENTS)
    with pytest.raises(ValueError, match="the vectors of items has.*65,504"):
        export_vectors(model, tmp_path / "x.npz", vector_dtype="float16")
    assert list(tmp_path.iterdir()) == []


def test_the_catalog_is_exported_and_not_all_items(read):
    model = small().fit(EVENTS).set_catalog(["i5", "i2"])
    ids, vectors = read(model, ".npz")
    assert ids.tolist() == ["i5", "i2"] and vectors.shape == (2, 8)


def test_a_column_of_ids_with_the_name_of_another_one_is_refused(tmp_path, read):
    model = small().fit(EVENTS.rename(columns={"item": "vector", "user": "scale"}))
    with pytest.raises(ValueError, match="column of items in fit is called 'vector'"):
        export_vectors(model, tmp_path / "vectors.parquet")
    assert read(model, ".npz")[0].tolist() == model.item_ids_.tolist()
    (tmp_path / "vectors.npz").unlink()
    how = {"side": "user", "vector_dtype": "int8"}
    with pytest.raises(ValueError, match="column of users in fit is called 'scale'"):
        export_vectors(model, tmp_path / "vectors.parquet", **how)
    ids, _ = read(model, ".parquet", side="user")
    assert ids.tolist() == model.user_ids_.tolist()


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


@pytest.fixture(scope="module")
def with_sparse_parts():
    """A model with sparse parts that may list what users had."""
    events = coming_back(2000, 100)[["user", "item", "when"]]
    params = {"time": "when", "exclude_seen": False, "sparse_parts": "auto"}
    return weighed(**params).fit(events)


@pytest.mark.parametrize("ending", ENDINGS)
def test_products_of_both_kinds_of_vectors_are_the_scores(
    ending, with_sparse_parts, tmp_path
):
    model = with_sparse_parts
    files = {}
    for side in ("item", "user"):
        path = tmp_path / f"{side}{ending}"
        export_vectors(model, path, side=side, sparse=True)
        files[side] = both_kinds(path, ending)
    ids, vectors, sparse_vectors = files["item"]
    users, of_users, sparse_of_users = files["user"]
    scores = of_users @ vectors.T + (sparse_of_users @ sparse_vectors.T).toarray()
    added = scores - of_users @ vectors.T
    assert added.max() > 0.01  # otherwise there would be nothing to test
    some = users[:20]
    pairs = pd.DataFrame({"user": np.repeat(some, len(ids)), "item": np.tile(ids, 20)})
    expected = model.predict(pairs).reshape(20, -1)
    np.testing.assert_allclose(scores[:20], expected, atol=2e-6)


def both_kinds(path, ending):
    """Return ids, vectors (n, d), and sparse vectors, CSR, of a file."""
    if ending == ".npz":
        with np.load(path, allow_pickle=False) as file:
            arrays = [file[f"sparse_{n}"] for n in ("values", "indices", "indptr")]
            shape = len(file["ids"]), arrays[1].max() + 1
            ids, vectors = file["ids"], file["vectors"]
    else:
        table = pd.read_parquet(path)
        ids, vectors = table.iloc[:, 0].to_numpy(), np.stack(table["vector"])
        names = ["sparse_values", "sparse_indices"]
        arrays = [np.concatenate(table[name].to_list()) for name in names]
        sizes = table["sparse_indices"].map(len).to_numpy()
        arrays.append(np.append(0, sizes.cumsum()))
        shape = len(ids), arrays[1].max() + 1
    width = 10_000
    assert shape[1] <= width
    return ids, vectors, csr_matrix(tuple(arrays), (len(ids), width))


def test_new_users_have_sparse_vectors_and_new_items_have_none(with_sparse_parts):
    model = with_sparse_parts
    history = {"new": model.item_ids_[:3].tolist()}
    of_new = model.embed_users(["new"], history=history, sparse=True)
    items = model.embed_items(model.item_ids_, sparse=True)
    added = (of_new @ items.T).toarray()[0]
    dense = model.embed_users(["new"], history=history)[0] @ model.item_embeddings_.T
    table = model.recommend(["new"], len(items.indptr) - 1, history=history)
    expected = table.set_index("item")["score"].loc[model.item_ids_].to_numpy()
    np.testing.assert_allclose(dense + added, expected, atol=2e-6)
    assert model.embed_items(["nobody knows it"], sparse=True).nnz == 0


def test_a_file_that_loses_sparse_parts_is_warned_about(with_sparse_parts, tmp_path):
    with pytest.warns(UserWarning, match="past items.* is lost. sparse=True writes"):
        export_vectors(with_sparse_parts, tmp_path / "x.npz")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        export_vectors(with_sparse_parts, tmp_path / "x.npz", sparse=False)
        export_vectors(MODEL, tmp_path / "x.npz")


def test_without_sparse_parts_such_vectors_are_empty():
    assert MODEL.embed_users(MODEL.user_ids_, sparse=True).shape == (30, 0)
    assert MODEL.embed_items(MODEL.item_ids_, sparse=True).shape[1] == 0


def test_vectors_of_another_model_have_another_id(tmp_path):
    X = spelt("a:vwx b:vwy c:vxz d:vz e:v")
    model = small().fit(X)
    dump(model, tmp_path / "model.sktt")
    export_vectors(model, tmp_path / "items.npz", sparse=False)
    export_vectors(model, tmp_path / "items.parquet", sparse=False)
    with np.load(tmp_path / "items.npz") as items:
        in_numpy = str(items["model_id"])
    from pyarrow import parquet

    metadata = parquet.read_schema(tmp_path / "items.parquet").metadata
    served = runtime.load(tmp_path / "model.sktt")
    same = [load(tmp_path / "model.sktt").model_id_, served.model_id_, in_numpy]
    assert [*same, metadata[b"model_id"].decode()] == [model.model_id_] * 4
    assert small().fit(X).model_id_ == model.model_id_

    others = {small(random_state=1).fit(X).model_id_}
    others.add(copy.deepcopy(model).set_catalog([*"wvxyz"]).model_id_)
    others.add(copy.deepcopy(model).partial_fit(X).model_id_)
    assert len(others - {model.model_id_}) == 3


def test_vectors_say_of_which_model_they_are(tmp_path):
    X = spelt("a:vwx b:vwy c:vxz d:vz e:v")
    model = small().fit(X)
    dump(model, tmp_path / "model.sktt")
    served = runtime.load(tmp_path / "model.sktt")
    for vectors in (
        model.embed_users(["a", "new"]),
        model.embed_users(["a"]),
        model.embed_items(["v", "w"]),
        model.item_embeddings_,
        served.embed("a"),
        served.embed(["a", "b"]),
        served.item_embeddings_,
        copy.deepcopy(model.embed_users(["a", "b"])[1:]),
        pickle.loads(pickle.dumps(model.embed_users(["a"]))),
    ):
        assert vectors.model_id == model.model_id_
        assert vectors.dtype == np.float32
    # what is computed of them is a plain array
    assert type(vectors @ model.item_embeddings_.T) is np.ndarray
    assert type(2 * vectors) is type(np.asarray(vectors)) is np.ndarray
    assert repr(vectors).startswith("array(")


@for_each("index", [ExactNeighbors(), NNDescentNeighbors()])
def test_an_index_refuses_vectors_of_another_model(index):
    X = spelt("a:vwx b:vwy c:vxz d:vz e:v")
    model = small().fit(X)
    newer = small(random_state=1).fit(X)
    index = index.fit(model.item_embeddings_)
    assert index.model_id_ == model.model_id_
    users = model.embed_users(["a"])
    assert index.kneighbors(users, 1)[1].shape == (1, 1)
    both = f"{newer.model_id_}.*{model.model_id_}.*changed_items_since.*align_to"
    for search in (index, pickle.loads(pickle.dumps(index))):
        with pytest.raises(ValueError, match=both):
            search.kneighbors(newer.embed_users(["a"]))
    # without an id they are searched as they are
    assert len(index.kneighbors(np.asarray(newer.embed_users(["a"])))[1]) == 1
    check_model_id(np.asarray(users), "another")
    check_model_id(users, None)
