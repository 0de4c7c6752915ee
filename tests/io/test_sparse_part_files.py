"""Forged sparse parts of files are refused by both readers, which say what is wrong."""

import numpy as np
import pytest

from sktwotower import io, runtime

from .builders import MODELS, array_bytes, array_of, file_of, find, forged, members_of

READERS = {"io": io.load, "runtime": runtime.load}
N_ITEMS = 12


@pytest.fixture
def both_refuse(tmp_path):
    """Return a function that checks that a file is refused with a message by both."""

    def check(data, message):
        path = tmp_path / "model.sktt"
        path.write_bytes(data)
        for load in READERS.values():
            with pytest.raises(ValueError, match=message) as caught:
                load(path)
            assert "sparse" in str(caught.value)

    return check


def with_array(name, change):
    """Return a file whose sparse parts have another array."""
    members = members_of(file_of("sparse parts"))
    (member,) = [each for each in members if f".sparse.{name}." in each]
    members[member] = array_bytes(change(array_of(members[member])))
    return forged(members)


def with_parts(change):
    """Return a file of changed JSON of sparse parts."""

    def apply(meta):
        is_sparse = {"type": "towers.SparseParts"}.items()
        for parent, key in find(
            meta, lambda _, node: type(node) is dict and is_sparse <= node.items()
        ):
            parent[key] = change(parent[key])

    return forged(members_of(file_of("sparse parts")), apply)


ARRAYS = [
    ("parts.0.matrix.data", lambda a: -a, "must be entries >= 0"),
    ("parts.0.matrix.data", lambda a: a * np.inf, "finite"),
    ("parts.0.matrix.data", lambda a: a * np.nan, "finite"),
    ("parts.0.matrix.data", lambda a: a[:-1], "as many columns as values"),
    ("parts.0.matrix.data", lambda a: a.astype(float), "float32"),
    ("parts.0.matrix.indices", lambda a: a + 100, "columns from 0"),
    ("parts.0.matrix.indices", lambda a: -a - 1, "columns from 0"),
    ("parts.0.matrix.indices", lambda a: a[::-1].copy(), "ascend"),
    ("parts.0.matrix.indptr", lambda a: a[:-1], "ascending offsets"),
    ("parts.0.matrix.indptr", lambda a: a * 2, "ascending offsets"),
    ("weights", lambda a: -a, "weights >= 0 of each part"),
    ("weights", lambda a: a * np.nan, "finite"),
    ("weights", lambda a: a + np.inf, "finite"),
    ("weights", lambda a: a[:-1], "weights >= 0 of each part"),
    ("weights", lambda a: np.vstack([a, a]), "weights >= 0 of each part"),
    ("weights", lambda a: a[:, 1:], "with n_parts = "),
    ("weights", lambda a: a.astype(np.float32), "dtype float64"),
]


def test_arrays_that_do_not_fit(both_refuse):
    for name, change, message in ARRAYS:
        both_refuse(with_array(name, change), message)


def of_a_part(**values):
    """Return a function that changes values of the first part."""

    def change(sparse):
        sparse["parts"]["parts"][0]["parts"].update(values)
        return sparse

    return change


def without_parts(sparse):
    sparse["parts"]["parts"] = []
    return sparse


PARTS = [
    (of_a_part(count="twice"), "'once', 'log'|once"),
    (of_a_part(count=None), "once"),
    (of_a_part(decay=0.0), "> 0"),
    (of_a_part(decay=-1.0), "> 0"),
    (of_a_part(decay="x"), "number"),
    (of_a_part(matrix=3), "CSR matrix"),
    (without_parts, "n_parts|weights"),
    (lambda sparse: [], "sparse"),
    (lambda sparse: {"type": "towers.EasePart"}, "sparse"),
]


def test_parts_that_do_not_fit(both_refuse):
    for change, message in PARTS:
        both_refuse(with_parts(change), message)


def resized(n_items):
    """Return a file whose matrix is of so many items, larger or smaller ones."""
    members = members_of(file_of("sparse parts"))
    (name,) = [each for each in members if ".parts.0.matrix.indptr." in each]
    offsets = np.zeros(n_items + 1, dtype=np.int32)
    members[name] = array_bytes(offsets)
    for part in ("data", "indices"):
        other = name.replace("indptr", part)
        (other,) = [m for m in members if f".sparse.parts.0.matrix.{part}." in m]
        members[other] = array_bytes(array_of(members[other])[:0])

    def apply(meta):
        for parent, _ in find(meta, lambda key, _: key == "sparse"):
            matrix = parent["sparse"]["parts"]["parts"][0]["parts"]["matrix"]
            matrix["shape"] = [n_items, n_items]

    return forged(members, apply)


@pytest.mark.parametrize("n_items", [0, N_ITEMS + 1])
def test_matrices_of_another_catalog(n_items, both_refuse):
    both_refuse(
        resized(n_items), rf"sparse.* must be matrices of ({N_ITEMS}|the same) items"
    )


def test_an_empty_matrix_is_allowed(tmp_path):
    path = tmp_path / "model.sktt"
    path.write_bytes(resized(N_ITEMS))
    lists = io.load(path).recommend(["u03"], 3)
    ids, scores = runtime.load(path).recommend("u03", 3)
    assert ids.tolist() == lists["item"].tolist()
    np.testing.assert_allclose(scores, lists["score"], atol=1e-5)


def test_a_model_that_sees_no_past_items(both_refuse):
    members = members_of(file_of("no history"))
    member = "arrays/999.weights.npy"
    members[member] = array_bytes(np.ones((5, 1)))
    own = {"matrix": None, "decay": None, "count": "once"}
    parts = {
        "parts": [{"type": "towers.HadBefore", "parts": own}],
        "weights": {"type": "array", "member": member},
        "n_events": 3,
    }

    def apply(meta):
        ((parent, key),) = find(meta, lambda key, _: key == "sparse")
        assert parent[key] is None
        parent[key] = {"type": "towers.SparseParts", "parts": parts}

    both_refuse(forged(members, apply), "sparse.* must be of a model that sees past")


def test_files_of_before_have_none(tmp_path):
    """Files had no such field: see also tests/data/format_1."""

    def apply(meta):
        for parent, key in [*find(meta, lambda key, _: key == "sparse")]:
            del parent[key]

    path = tmp_path / "model.sktt"
    path.write_bytes(forged(members_of(file_of("pooled")), apply))
    model, served = io.load(path), runtime.load(path)
    expected = MODELS["pooled"].recommend(["u1"], 3)
    assert model.recommend(["u1"], 3).equals(expected)
    assert served.recommend("u1", 3)[0].tolist() == expected["item"].tolist()
