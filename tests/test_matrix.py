"""Events of a user x item matrix, worked by hand."""

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from numpy.testing import assert_array_equal
from scipy import sparse

import sktwotower
from sktwotower import TwoTowerRecommender, interactions_from_matrix

DENSE = np.array([[2.0, 0, 0], [0, 4, 1], [0, 0, 0], [3, 0, 1]])
USERS, ITEMS, REWARDS = [0, 1, 1, 3, 3], [0, 1, 2, 0, 2], [2, 4, 1, 3, 1]
FORMATS = ["bsr", "coo", "csc", "csr", "dia", "dok", "lil"]


def assert_events(given, users=USERS, items=ITEMS, y=REWARDS):
    X, rewards = given
    assert list(X.columns) == ["user", "item"]
    assert X["user"].tolist() == users
    assert X["item"].tolist() == items
    assert_array_equal(rewards, y)
    assert rewards.dtype == np.float64


@pytest.mark.parametrize("kind", ["matrix", "array"])
@pytest.mark.parametrize("name", FORMATS)
def test_every_sparse_format(name, kind):
    matrix = getattr(sparse, f"{name}_{kind}")(DENSE)
    if name == "bsr":  # stores whole blocks, of one cell here
        matrix = getattr(sparse, f"bsr_{kind}")(DENSE, blocksize=(1, 1))
    assert_events(interactions_from_matrix(matrix))


@pytest.mark.parametrize("dtype", [float, np.float32, int, np.uint8, bool, object])
def test_arrays_of_any_type_of_number(dtype):
    cells = DENSE.astype(dtype)
    assert_events(interactions_from_matrix(cells), y=cells[USERS, ITEMS].astype(float))


def test_stored_zeros_are_impressions_and_repeated_entries_are_summed():
    parts = [3.0, 0.0, 1.0, 1.5], ([1, 0, 1, 1], [0, 1, 2, 2])
    for made in (sparse.coo_array(parts, (2, 3)), sparse.csr_matrix(parts, (2, 3))):
        before = made.copy()
        assert_events(interactions_from_matrix(made), [0, 1, 1], [1, 0, 2], [0, 3, 2.5])
        assert made.nnz == before.nnz
        assert_array_equal(made.data, before.data)


def test_a_matrix_that_is_not_canonical_is_left_as_it_is():
    stored = np.array([1.0, 2.0, 4.0]), np.array([2, 0, 2]), np.array([0, 3])
    matrix = sparse.csr_array(stored, shape=(1, 3))
    assert_events(interactions_from_matrix(matrix), [0, 0], [0, 2], [2, 5])
    assert_array_equal(matrix.data, [1, 2, 4])
    assert_array_equal(matrix.indices, [2, 0, 2])


def test_a_frame_names_its_users_and_items():
    frame = pd.DataFrame(DENSE, index=list("dcba"), columns=["x", "y", "z"])
    named = ["d", "c", "c", "a", "a"], ["x", "y", "z", "x", "z"]
    assert_events(interactions_from_matrix(frame), *named)
    assert_events(interactions_from_matrix(frame.astype("Sparse[float]")), *named)
    other = interactions_from_matrix(frame, item_ids=[7, 8, 9])
    assert_events(other, named[0], [7, 8, 9, 7, 9])
    assert_events(interactions_from_matrix(pl.DataFrame(frame)), USERS, named[1])


@pytest.mark.parametrize(
    "ids",
    [
        ["x", "y", "z"],
        ("x", "y", "z"),
        np.array(["x", "y", "z"]),
        pd.Index(["x", "y", "z"]),
        pd.Series(["x", "y", "z"], index=[5, 5, 5]),
        pd.Categorical(["x", "y", "z"]),
        pl.Series(["x", "y", "z"]),
        pa.array(["x", "y", "z"]),
    ],
    ids=lambda ids: type(ids).__name__,
)
def test_ids_of_any_kind(ids):
    X, _ = interactions_from_matrix(DENSE, list("abcd"), ids)
    assert X["user"].tolist() == ["a", "b", "b", "d", "d"]
    assert X["item"].tolist() == ["x", "y", "z", "x", "z"]


def test_a_frame_of_sparse_columns():
    matrix = sparse.csc_matrix(([2.0, 1.0], ([5, 999], [0, 1])), shape=(1000, 2))
    frame = pd.DataFrame.sparse.from_spmatrix(matrix, columns=["tea", "jam"])
    X, y = interactions_from_matrix(frame)
    assert X.to_numpy().tolist() == [[5, "tea"], [999, "jam"]]
    assert y.tolist() == [2.0, 1.0]


def test_columns_are_called_as_asked_for():
    X, _ = interactions_from_matrix(DENSE, user="listener", item="track")
    assert list(X.columns) == ["listener", "track"]


def test_fit_of_the_events_is_fit_of_the_matrix():
    matrix = sparse.random_array((12, 8), density=0.4, rng=0, format="csr")
    matrix.data[::4] = 0
    model = TwoTowerRecommender(embedding_dim=4, max_epochs=1, random_state=0)
    model.fit(*interactions_from_matrix(matrix))
    seen = model._seen[:-1].toarray() > 0
    assert_array_equal(seen, matrix.toarray()[model.user_ids_][:, model.item_ids_] > 0)
    # who was shown something, and what was shown, is known though nothing was chosen
    assert set(model.user_ids_) == set(matrix.tocoo().row)
    assert set(model.item_ids_) == set(matrix.tocoo().col)


@pytest.mark.parametrize(
    ("matrix", "params", "message"),
    [
        (-DENSE, {}, r"rewards >= 0. Got -4.0. .* stored 0 means shown"),
        (sparse.csr_array(-DENSE), {}, "rewards >= 0. Got -4.0"),
        (np.where(DENSE > 2, np.nan, DENSE), {}, r"NaN or infinity; .* fillna\(0\)"),
        (pd.DataFrame(DENSE).replace(0, np.nan), {}, r"NaN or infinity; .* fillna"),
        (sparse.coo_array(np.where(DENSE > 2, np.inf, 0)), {}, "NaN or infinity"),
        (DENSE * 1j, {}, "numbers >= 0. Got dtype complex"),
        (DENSE.astype(str), {}, "numbers >= 0. Got dtype <U"),
        (np.array([["a", "b"]], dtype=object), {}, "numbers >= 0. Got 'a'"),
        (DENSE[0], {}, r"shape \(n_users, n_items\). Got shape \(3,\)"),
        (DENSE[None], {}, r"Got shape \(1, 4, 3\)"),
        (DENSE.tolist(), {}, "sparse matrix.*array or a dataframe. Got list"),
        (None, {}, "Got NoneType"),
        (DENSE, {"user_ids": range(3)}, "user_ids must .* rows .* expected 4, got 3"),
        (DENSE, {"item_ids": "wxyz"}, "item_ids"),
        (DENSE, {"item_ids": list("wxyz")}, "columns of matrix: expected 3, got 4"),
        (DENSE, {"item_ids": ["a", "a", "b"]}, "distinct, but 1 occur twice.*: 'a'"),
        (DENSE, {"item_ids": ["a", None, "b"]}, "item_ids contains NaN: 1 of 3"),
        (DENSE, {"item": "user"}, "different names of columns. Got 'user' for both"),
    ],
)
def test_what_is_no_matrix(matrix, params, message):
    with pytest.raises((ValueError, TypeError), match=message):
        interactions_from_matrix(matrix, **params)


def test_it_is_public():
    assert "interactions_from_matrix" in dir(sktwotower)
