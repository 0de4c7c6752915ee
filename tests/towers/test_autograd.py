import numpy as np
import torch
from scipy import sparse

from sktwotower.towers.operators._autograd import (
    embedding_rows,
    unit_rows,
    weighted_sum,
)
from sktwotower.towers.operators._sparse_rows import SparseRows
from tests.cases import for_each


def rows_of(dense):
    return SparseRows.from_csr(sparse.csr_matrix(np.asarray(dense, dtype=np.float32)))


def integers(shape, seed=0):
    """Small integers are exact in bfloat16, and so are their products."""
    return torch.as_tensor(np.random.default_rng(seed).integers(-4, 5, shape)).float()


@for_each("dtype", [None, torch.bfloat16])
def test_weighted_sum_and_its_gradient_are_those_of_the_dense_product(dtype):
    matrix, table, upstream = integers((5, 7)), integers((7, 3), 1), integers((5, 3), 2)
    matrix[2] = 0  # an empty row
    table.requires_grad_()
    out = weighted_sum(table, rows_of(matrix), dtype)
    out.backward(upstream)
    assert torch.equal(out, matrix @ table)
    assert torch.equal(table.grad, matrix.T @ upstream)
    assert out.dtype == table.grad.dtype == torch.float32


def test_a_column_given_twice_counts_twice_in_a_dense_product():
    rows = SparseRows(torch.tensor([1, 1]), torch.tensor([0, 2]), torch.ones(2), 2)
    table = torch.tensor([[1.0], [3.0]])
    assert weighted_sum(table, rows, torch.bfloat16).item() == 6


def test_the_gradient_is_that_of_embedding_bag(rng):
    for n, p, width, n_stored in [
        (1, 1, 1, 1),
        (1, 9, 3, 4),
        (6, 4, 2, 9),
        (7, 90, 5, 6),
    ]:
        # columns twice in a row, and empty rows, which look the same in a dense matrix
        rows = SparseRows(
            torch.as_tensor(rng.integers(p, size=n_stored)),
            torch.as_tensor(
                [0, *np.sort(rng.integers(n_stored, size=n - 1)), n_stored]
            ),
            torch.as_tensor(rng.normal(size=n_stored)),
            p,
        )
        table = torch.randn(p, width, dtype=torch.float64, requires_grad=True)
        upstream = torch.randn(n, width, dtype=torch.float64)
        bag = torch.nn.functional.embedding_bag(
            rows.indices,
            table,
            rows.offsets,
            mode="sum",
            per_sample_weights=rows.values,
            include_last_offset=True,
        )
        (expected,) = torch.autograd.grad(bag, table, upstream)
        for part, taken in [(table, rows), embedding_rows(table, rows)]:
            out = weighted_sum(part, taken)
            (gradient,) = torch.autograd.grad(out, table, upstream)
            torch.testing.assert_close(out, bag)
            torch.testing.assert_close(gradient.to_dense(), expected)


def test_weighted_sum_without_values_or_columns_is_zero():
    for matrix in (np.zeros((2, 3)), np.zeros((2, 0))):
        rows = rows_of(matrix)
        table = torch.ones(matrix.shape[1], 4)
        assert weighted_sum(table, rows, torch.bfloat16).tolist() == [[0.0] * 4] * 2


def test_the_identity_gives_the_table_itself_and_nothing_else_does():
    table = torch.randn(3, 2)
    assert weighted_sum(table, rows_of(np.eye(3))) is table
    two_in_one_row = [[0, 0, 0], [1, 1, 0], [0, 0, 1]]
    for other in (np.eye(3)[[1, 0, 2]], np.eye(3) * 2, np.eye(4)[:3], two_in_one_row):
        rows, wide = rows_of(other), torch.randn(len(other[0]), 2)
        expected = torch.as_tensor(other, dtype=torch.float32) @ wide
        torch.testing.assert_close(weighted_sum(wide, rows), expected)


def test_few_touched_rows_give_a_sparse_gradient_with_these_rows():
    table = torch.randn(50, 3, requires_grad=True)
    matrix = torch.zeros(4, 50)
    matrix[0, 7], matrix[1, 7], matrix[1, 30], matrix[3, 2] = 1.0, 2.0, 3.0, 0.5
    upstream = torch.randn(4, 3)
    part, rows = embedding_rows(table, rows_of(matrix))
    out = weighted_sum(part, rows)
    out.backward(upstream)
    torch.testing.assert_close(out, matrix @ table)
    assert table.grad.is_sparse and table.grad.coalesce().indices().tolist() == [
        [2, 7, 30]
    ]
    torch.testing.assert_close(table.grad.to_dense(), matrix.T @ upstream)


def test_many_touched_rows_leave_the_table_as_it_is():
    table = torch.randn(6, 3, requires_grad=True)
    for touched in ([1, 0], [0, 1, 2, 3, 5]):  # more than a quarter; three quarters
        part, rows = embedding_rows(table, rows_of(np.eye(6)[touched]))
        assert part is table and rows.n_columns == 6


def test_unit_rows_by_hand_and_by_finite_differences():
    unit = unit_rows(torch.tensor([[3.0, 4.0], [0.0, 0.0]]))
    torch.testing.assert_close(unit, torch.tensor([[0.6, 0.8], [0.0, 0.0]]))
    vectors = torch.randn(4, 3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(unit_rows, vectors)


def test_results_are_the_same_without_gradients():
    table, rows = torch.randn(7, 3, requires_grad=True), rows_of(integers((5, 7)))
    with_gradients = weighted_sum(table, rows), unit_rows(table)
    with torch.inference_mode():
        without = weighted_sum(table, rows), unit_rows(table)
    for one, other in zip(with_gradients, without, strict=True):
        assert one.requires_grad and not other.requires_grad
        assert torch.equal(one, other)
