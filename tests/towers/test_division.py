"""Which process holds which users and rows."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from scipy import sparse

from sktwotower.towers import _division
from sktwotower.towers._division import Division, divisions, owners_of_users
from sktwotower.towers._group import Group

SIZES = [1, 2, 4]
OWNERS = np.array([1, 0, 0, 3, 1, 1, 2])
IDS = {
    "text": [f"user {i}" for i in range(200)],
    "int": np.arange(200) * 1000,
    "dates": pd.date_range("2020-01-01", periods=200),
}


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("owners", [None, OWNERS])
@pytest.mark.parametrize("n", [7, 0])
def test_each_column_has_one_owner_and_one_place(size, owners, n):
    owners = None if owners is None else owners[:n] % size
    division = Division(n, size, owners)
    columns = [division.of(rank) for rank in range(size)]
    np.testing.assert_array_equal(np.sort(np.concatenate(columns)), np.arange(n))
    found, places = division.places_of(np.arange(n))
    for column, (owner, place) in enumerate(zip(found, places, strict=True)):
        assert columns[owner][place] == column
    assert division.is_common.all() and len(division.is_common) == n


def test_by_hand():
    division = Division(7, 4, OWNERS)
    owners, places = division.places_of(np.array([6, 1, 4]))
    np.testing.assert_array_equal(owners, [2, 0, 1])
    np.testing.assert_array_equal(places, [0, 0, 1])
    owners, places = Division(7, 4).places_of(np.array([6, 1, 4]))
    np.testing.assert_array_equal(owners, [2, 1, 0])
    np.testing.assert_array_equal(places, [1, 0, 1])


@pytest.mark.parametrize("kind", IDS)
@pytest.mark.parametrize("size", [2, 4])
def test_the_owner_of_a_user_depends_on_the_id_only(kind, size):
    ids = pd.Index(IDS[kind])
    owners = owners_of_users(ids, size)
    order = np.random.default_rng(0).permutation(200)[:150]
    np.testing.assert_array_equal(owners_of_users(ids[order], size), owners[order])
    # all processes have about the same number
    counts = np.bincount(owners, minlength=size)
    assert len(counts) == size and counts.min() > 0.7 * 200 / size


def test_equal_ids_of_another_kind_of_table_have_the_same_owner():
    texts = IDS["text"]
    expected = owners_of_users(texts, 4)
    for given in (np.array(texts, dtype=object), pd.Index(texts, dtype="string")):
        np.testing.assert_array_equal(owners_of_users(given, 4), expected)


def entities(rows, ids):
    """Return ids and feature rows, with one more for the unknown."""
    rows = sparse.csr_matrix(np.vstack([rows, np.zeros_like(rows[:1])]))
    return SimpleNamespace(ids=pd.Index(ids), rows=rows)


def test_ids_are_with_the_user_and_other_columns_are_divided_evenly(monkeypatch):
    monkeypatch.setattr(_division, "current_group", lambda: Group(0, 2))
    ids = [f"u{i}" for i in range(6)]
    # columns 0 and 7 are of several users, 1 to 6 are ids
    rows = np.hstack([np.ones((6, 1)), np.eye(6), np.arange(6)[:, None] % 2])
    found = divisions(entities(rows, ids), entities(np.eye(5), range(5)), 3)
    of_user = found["user"]
    np.testing.assert_array_equal(of_user.owners[1:7], owners_of_users(ids, 2))
    np.testing.assert_array_equal(of_user.owners[[0, 7]], [0, 1])
    np.testing.assert_array_equal(np.flatnonzero(of_user.is_common), [0, 7])
    np.testing.assert_array_equal(found["item"].of(1), [1, 3])
    np.testing.assert_array_equal(found["context"].of(0), [0, 2])


def test_without_other_processes_nothing_is_divided():
    assert divisions(None, None, 0) is None
