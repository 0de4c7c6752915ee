"""VectorEncoder: lists, arrays and sparse rows of numbers."""

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from numpy.testing import assert_allclose
from scipy import sparse

from sktwotower import TowerVectorizer
from tests.cases import for_each
from tests.features.builders import vectorize

VECTORS = [[3.0, 4.0], [0.0, 0.0], None, [-0.5, 0.0]]


def test_vectors_have_norm_one():
    for column in [
        VECTORS,
        [(3.0, 4), (0, 0), None, (-0.5, 0)],
        [np.float32([3, 4]), np.zeros(2), None, [-0.5, 0]],
        [np.array([6e300, 8e300]), np.zeros(2), None, np.array([-5e-324, 0])],
        [sparse.csr_matrix([[3, 4]]), sparse.csr_array([[0, 0.0]]), None]
        + [sparse.coo_array([-0.5, 0])],
        [sparse.csr_matrix([[3, 4]]), [0, 0], None, np.array([-0.5, 0])],
        pd.Series(VECTORS, dtype=pd.ArrowDtype(pa.list_(pa.float32(), 2))),
    ]:
        rows, names = vectorize(column)
        assert names == ["c_0", "c_1", "c_missing"]
        expected = [[0.6, 0.8, 0], [0, 0, 0], [0, 0, 1], [-1, 0, 0]]
        assert_allclose(rows, expected, rtol=1e-6)


@for_each(
    "table",
    [
        pa.table({"c": pa.array(VECTORS, pa.list_(pa.float32(), 2))}),
        pl.DataFrame({"c": pl.Series(VECTORS, dtype=pl.Array(pl.Float32, 2))}),
    ],
)
def test_vectors_of_other_containers(table):
    vectorizer = TowerVectorizer().fit(table)
    assert vectorizer.kinds_ == {"c": "vector"}
    rows = vectorizer.transform(table).toarray()
    assert_allclose(rows, vectorize(VECTORS)[0], rtol=1e-6)


def test_forced_vectors_of_integers():
    rows, names = vectorize([[3, 4], [5, 12]], [[4, 3]], kind="vector")
    assert names == ["c_0", "c_1"]
    assert_allclose(rows, [[0.8, 0.6]], rtol=1e-6)


def test_vectors_of_another_length():
    message = r"'c' of kind 'vector' expects .* length 2.* one of length 3.*'c': 'list'"
    with pytest.raises(ValueError, match=message):
        vectorize(VECTORS, [[1.0, 2.0, 3.0]])
    with pytest.raises(ValueError, match=message):
        vectorize([[1.0, 2.0], [1.0, 2.0, 3.0]], kind="vector")


def test_vectors_with_a_hole():
    for bad in [np.nan, np.inf, None]:
        message = "'c' of kind 'vector' holds a vector with NaN or infinity .* missing"
        for new in (None, [[1.0, bad]]):
            with pytest.raises(ValueError, match=message):
                vectorize([[1.0, 2.0], [3.0, bad if new is None else 4.0]], new)


def test_cells_that_are_no_vectors():
    for cell in [
        "a",
        5,
        ["a", "b"],
        [[1.0], [2.0]],
        {"a": 1.0, "b": 2.0},
        {1.0, 2.0},
        np.eye(2),
    ] + [sparse.csr_matrix(np.eye(2)), [10**400, 1]]:
        new = pd.Series([[1.0, 2.0], None], dtype=object)
        new[1] = cell
        message = "'c' is of kind 'vector' and expects vectors"
        with pytest.raises(TypeError, match=message):
            vectorize(VECTORS, new)
