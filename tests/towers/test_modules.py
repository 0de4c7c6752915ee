import copy
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from scipy import sparse
from torch import nn
from torch.nn.functional import normalize

from sktwotower.towers import _autograd
from sktwotower.towers._modules import SparseLinear, SparseRows, Tower, TwoTower


@pytest.fixture(autouse=True)
def same_on_all_machines(monkeypatch):
    monkeypatch.setattr(_autograd, "has_bfloat16_products", lambda: False)


def random_csr(n, p, seed=0, density=0.4):
    matrix = sparse.random(
        n, p, density, "csr", np.float32, np.random.default_rng(seed)
    )
    if n > 2:
        matrix = sparse.vstack([matrix[:1], matrix[1:2] * 0, matrix[2:]], "csr")
        matrix.eliminate_zeros()  # row 1 is empty
    return matrix


def dense(matrix, dtype=torch.float32):
    return torch.tensor(matrix.toarray(), dtype=dtype)


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


def dense_tower(tower, inputs, pooled=0.0):
    """The same map from plain dense products, in the dtype of the inputs."""
    cast = inputs.dtype
    hidden = inputs @ tower.sparse.weight.to(cast) + tower.bias.to(cast) + pooled
    for layer, shortcut in zip(tower.layers, tower.shortcuts, strict=True):
        active = torch.relu(hidden) @ layer.weight.to(cast).T + layer.bias.to(cast)
        same = layer.in_features == layer.out_features
        hidden = active + (hidden if same else hidden @ shortcut.weight.to(cast).T)
    return hidden


@pytest.mark.parametrize("hidden", [(), (6,), (3,), (7, 7, 5)])
def test_tower_equals_a_dense_reference(hidden):
    matrix = random_csr(5, 8)
    tower = Tower(8, 3, hidden)
    reference = copy.deepcopy(tower)
    out = tower(SparseRows.from_csr(matrix))
    expected = dense_tower(reference, dense(matrix))
    assert out.shape == (5, 3) and tower.input_width == [*hidden, 3][0]
    torch.testing.assert_close(out, expected)
    out.square().sum().backward()
    expected.square().sum().backward()
    for ours, theirs in zip(tower.parameters(), reference.parameters(), strict=True):
        assert theirs.grad.abs().sum() > 0
        torch.testing.assert_close(ours.grad, theirs.grad)


def test_empty_row_gives_the_bias():
    tower = Tower(8, 3)
    torch.testing.assert_close(
        tower(SparseRows.from_csr(random_csr(5, 8)))[1], tower.bias
    )


def test_dropout_of_hidden_units_in_training_only():
    torch.manual_seed(0)
    rows = SparseRows.from_csr(random_csr(5, 8))
    tower = Tower(8, 3, (64,), dropout=0.5)
    assert not torch.allclose(tower(rows), tower(rows))
    tower.eval()
    assert torch.equal(tower(rows), tower(rows))
    expected = dense_tower(tower, dense(random_csr(5, 8)))
    torch.testing.assert_close(tower(rows).float(), expected)


@pytest.mark.slow
def test_a_row_does_not_depend_on_the_other_rows():
    # In float32 a product of one row and of 300 rows differ for layers this wide.
    torch.manual_seed(0)
    matrix = random_csr(300, 400, density=0.1)
    module = TwoTower(Tower(400, 64, (256, 128)), Tower(400, 64, (256, 128))).eval()
    together = module.embed_items(SparseRows.from_csr(matrix))
    assert together.dtype == torch.float64
    alone = torch.cat(
        [module.embed_items(SparseRows.from_csr(matrix[i : i + 1])) for i in range(300)]
    )
    torch.testing.assert_close(together, alone, rtol=0, atol=1e-6)
    torch.testing.assert_close(together.float(), alone.float(), rtol=0, atol=1e-7)


HISTORY = [[0, 2], [], [1, 2, 3], [3]]


def history_of(item_rows, distinct):
    """Return SparseRows of the distinct items, and of each user's mean over them."""
    bag = np.zeros((len(HISTORY), len(distinct)), dtype=np.float32)
    for user, items in enumerate(HISTORY):
        for item in items:
            bag[user, distinct.index(item)] = 1 / len(items)
    items = SparseRows.from_csr(item_rows[distinct])
    return items, SparseRows.from_csr(sparse.csr_matrix(bag))


@pytest.mark.parametrize("hidden", [(), (6,)])
def test_pooled_history_equals_brute_force(hidden):
    users, items = random_csr(4, 5), random_csr(4, 7, seed=1)
    module = TwoTower(Tower(5, 3, hidden), Tower(7, 3), None, normalize=False)
    module.history = SparseLinear(7, module.user_tower.input_width)
    reference = copy.deepcopy(module)
    out = module.embed_users(
        SparseRows.from_csr(users), *history_of(items, [3, 0, 1, 2])
    )
    mapped = dense(items) @ reference.history.weight
    pooled = torch.stack(
        [mapped[h].mean(0) if h else torch.zeros(mapped.shape[1]) for h in HISTORY]
    )
    expected = dense_tower(reference.user_tower, dense(users), pooled)
    torch.testing.assert_close(out, expected)
    pull = torch.arange(12.0).reshape(4, 3)
    out.backward(pull)
    expected.backward(pull)
    torch.testing.assert_close(
        module.history.weight.grad, reference.history.weight.grad
    )
    torch.testing.assert_close(
        module.user_tower.sparse.weight.grad, reference.user_tower.sparse.weight.grad
    )


def test_own_modules_take_sparse_rows():
    users, items = random_csr(4, 5), random_csr(6, 7, seed=1)
    user_tower = nn.Sequential(nn.LazyLinear(8), nn.ReLU(), nn.Linear(8, 3))
    module = TwoTower(user_tower, nn.Linear(7, 3), SparseLinear(7, 3), normalize=False)
    distinct = [0, 1, 2, 3]
    out = module.embed_users(SparseRows.from_csr(users), *history_of(items, distinct))
    assert user_tower[0].in_features == 5
    mapped = dense(items) @ module.history.weight
    pooled = torch.stack(
        [mapped[h].mean(0) if h else torch.zeros(3) for h in HISTORY]
    )  # the history joins the output of a user's own module
    torch.testing.assert_close(out, user_tower(dense(users)) + pooled)
    torch.testing.assert_close(
        module.embed_items(SparseRows.from_csr(items)), module.item_tower(dense(items))
    )


@pytest.mark.parametrize("scaled", [True, False])
def test_normalize(scaled):
    users, items = (SparseRows.from_csr(random_csr(n, 5)) for n in (4, 6))
    module = TwoTower(Tower(5, 3), Tower(5, 3), normalize=scaled)
    batch = SimpleNamespace(
        user_rows=users, item_rows=items, history_items=None, history=None
    )
    for out, tower, rows in zip(
        module(batch),
        (module.user_tower, module.item_tower),
        (users, items),
        strict=True,
    ):
        expected = tower(rows)
        torch.testing.assert_close(
            out, normalize(expected, dim=1) if scaled else expected
        )
