import numpy as np
import pytest
import torch

from sktwotower.towers._sparse_rows import SparseLinear, SparseRows
from tests.towers.parts.builders import dense, random_csr


@pytest.mark.parametrize("shape", [(5, 7), (1, 3), (4, 0), (0, 6), (0, 0)])
def test_sparse_rows_round_trip(shape):
    matrix = random_csr(*shape)
    rows = SparseRows.from_csr(matrix)
    assert len(rows) == shape[0]
    tensor = rows.to_torch()
    assert tensor.is_sparse and tuple(tensor.shape) == shape
    np.testing.assert_array_equal(tensor.to_dense(), matrix.toarray())
    again = rows.to("cpu")
    assert again.n_columns == shape[1] and again.values is rows.values


def test_sparse_tensor_keeps_its_promise_of_sorted_entries():
    rows = SparseRows.from_csr(random_csr(6, 5))
    tensor = rows.to_torch()
    torch.testing.assert_close(tensor.indices(), tensor.to_dense().nonzero().T)


@pytest.mark.parametrize("shape", [(6, 5), (1, 5), (3, 0), (0, 4)])
def test_sparse_linear_equals_the_dense_product(shape):
    matrix = random_csr(*shape)
    layer = SparseLinear(shape[1], 3)
    out = layer(SparseRows.from_csr(matrix))
    weight = layer.weight.detach().clone().requires_grad_()
    expected = dense(matrix) @ weight
    assert out.shape == (shape[0], 3)
    torch.testing.assert_close(out, expected)
    if matrix.nnz:
        pull = torch.arange(out.numel(), dtype=torch.float32).reshape(out.shape)
        out.backward(pull)
        expected.backward(pull)
        torch.testing.assert_close(layer.weight.grad, weight.grad)


def test_sparse_linear_starts_with_vectors_of_about_unit_length():
    torch.manual_seed(0)
    norms = SparseLinear(2000, 64).weight.norm(dim=1)
    assert norms.mean().item() == pytest.approx(1, abs=0.02)


def test_sparse_linear_takes_fewer_inputs():
    layer = SparseLinear(5, 3)
    weight = layer.weight.detach().clone()
    left = np.array([True, False, False, True, False])
    unused = np.array([False, True, False, True, False])
    layer.drop_columns(left, unused)
    assert layer.weight.shape == (2, 3)
    assert torch.equal(layer.weight[0], weight[0]) and not layer.weight[1].any()
