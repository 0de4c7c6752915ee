"""Arrays and matrices that grow part by part are the same in memory and on disk."""

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from scipy import sparse

from sktwotower._tables import _sparse
from sktwotower._tables._sparse import (
    Column,
    Rows,
    by_chunks,
    column_counts,
    is_mapped,
    row_blocks,
    take_columns,
)


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch):
    monkeypatch.setattr(_sparse, "BLOCK", 3)


def column_of(values, on_disk=True):
    column = Column(on_disk)
    for part in np.array_split(np.asarray(values), 2):
        column.append(part)
    return column.finish()


def rows_of(dense, on_disk=True):
    rows = Rows(on_disk, dense.shape[1])
    for part in np.array_split(np.asarray(dense, dtype=np.float32), 2):
        rows.append(sparse.csr_matrix(part))
    return rows.finish()


@pytest.mark.parametrize("on_disk", [False, True])
def test_a_column(on_disk):
    column = column_of([4, 5, 6, 7, 8], on_disk)
    assert column.tolist() == [4, 5, 6, 7, 8] and column.dtype == np.int64
    assert is_mapped(column) == is_mapped(column[1:]) == on_disk
    assert len(Column(on_disk, np.int32).finish()) == 0


def test_a_column_on_disk_is_read_only():
    with pytest.raises(ValueError, match="read-only"):
        column_of([1, 2])[0] = 3


@pytest.mark.parametrize("on_disk", [False, True])
def test_rows(on_disk):
    dense = np.array([[0, 2, 0], [0, 0, 0], [1, 0, 3], [0, 4, 5]])
    matrix = rows_of(dense, on_disk)
    assert_array_equal(matrix.toarray(), dense)
    assert matrix.data.dtype == np.float32 and matrix.indices.dtype == np.int32
    assert is_mapped(matrix.data) == is_mapped(matrix.indices) == on_disk
    assert_array_equal(matrix[[3, 0]].toarray(), dense[[3, 0]])
    empty = rows_of(np.zeros((4, 3)), on_disk)
    assert empty.shape == (4, 3) and empty.nnz == 0


@pytest.mark.parametrize(
    ("sizes", "expected"),
    [
        ([1, 1, 1, 1], [(0, 3), (3, 4)]),
        ([2, 2, 5, 0, 0, 1], [(0, 1), (1, 2), (2, 3), (3, 6)]),
        ([7], [(0, 1)]),
        ([0, 0], [(0, 2)]),
        ([], []),
    ],
)
def test_blocks_hold_at_most_three_entries_or_one_row(sizes, expected):
    offsets = np.cumsum([0, *sizes])
    blocks = list(row_blocks(offsets, on_disk=True))
    assert [(block.start, block.stop) for block in blocks] == expected
    assert list(row_blocks(offsets, on_disk=False)) == [slice(0, len(sizes))]


def test_functions_are_applied_by_chunks():
    sizes = []

    def add(a, b):
        sizes.append(len(a))
        return a + b

    values = np.arange(8)
    assert_array_equal(by_chunks(add, values, values), 2 * values)
    on_disk = by_chunks(add, column_of(values), values)
    assert_array_equal(on_disk, 2 * values)
    assert is_mapped(on_disk) and sizes == [8, 3, 3, 2]


@pytest.mark.parametrize("on_disk", [False, True])
def test_columns_of_a_matrix(on_disk):
    dense = np.random.default_rng(0).integers(3, size=(6, 5)).astype(float)
    matrix = rows_of(dense, on_disk)
    assert_array_equal(column_counts(matrix), (dense > 0).sum(axis=0))
    taken = take_columns(matrix, np.array([0, 3, 4]))
    assert_array_equal(taken.toarray(), dense[:, [0, 3, 4]])
    assert is_mapped(taken.indices) == on_disk
