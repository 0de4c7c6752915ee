"""What a context does to vectors of users, and the gradient of it."""

import numpy as np
import torch
from numpy.testing import assert_allclose, assert_array_equal

from sktwotower.towers.operators._sparse_rows import SparseRows
from sktwotower.towers.parts._context_layer import ContextLayer
from tests.cases import for_each

from .builders import random_csr

N, P, WIDTH = 5, 4, 3


def layer_of(normalize=True, zero=False):
    layer = ContextLayer(P, WIDTH, normalize).double()
    if not zero:
        generator = torch.Generator().manual_seed(0)
        for part in (layer.multiply, layer.add):
            part.weight.data.normal_(generator=generator)
    return layer


def inputs():
    rng = np.random.default_rng(1)
    users = rng.normal(size=(N, WIDTH))
    return users / np.linalg.norm(users, axis=1, keepdims=True), random_csr(N, P)


def by_hand(layer, users, rows):
    factors, terms = (
        part.weight.detach().numpy() for part in (layer.multiply, layer.add)
    )
    asked = users + layer.scale * (
        users * (rows.toarray() @ factors) + rows.toarray() @ terms
    )
    if not layer.normalize:
        return asked
    return asked / np.linalg.norm(asked, axis=1, keepdims=True)


@for_each("normalize", [True, False])
@for_each("training", [True, False])
def test_vectors_by_hand(normalize, training):
    layer = layer_of(normalize).train(training)
    users, rows = inputs()
    found = layer(torch.from_numpy(users), SparseRows.from_csr(rows)).detach().numpy()
    assert_allclose(found, by_hand(layer, users, rows), atol=1e-6)
    assert_allclose(found[1], users[1], atol=1e-12)  # row 1 is empty


def test_new_layers_change_nothing():
    layer = ContextLayer(P, WIDTH).eval()
    users, rows = inputs()
    found = layer(torch.from_numpy(users), SparseRows.from_csr(rows))
    assert_allclose(found.detach(), users, atol=1e-7)


@for_each("normalize", [True, False])
@for_each("zero", [True, False])
def test_gradients_against_finite_differences(normalize, zero):
    layer = layer_of(normalize, zero).train()
    users, rows = inputs()
    users, rows = torch.from_numpy(users).requires_grad_(), SparseRows.from_csr(rows)
    rows.values = rows.values.double()
    parts = layer.multiply, layer.add
    weights = [part.weight.detach().clone().requires_grad_() for part in parts]
    for part in parts:
        del part._parameters["weight"]

    def compute(users, *weights):
        for part, weight in zip(parts, weights, strict=True):
            part.weight = weight
        return layer(users, rows)

    assert torch.autograd.gradcheck(compute, (users, *weights))


def test_gradient_times_input_adds_up_before_scaling():
    layer = layer_of().eval()
    users, rows = inputs()
    for i in (0, 1, 2):
        user, row = torch.from_numpy(users[[i]]), SparseRows.from_csr(rows[[i]])
        row = row.with_gradient()
        asked = layer.unscaled(user, row)
        parts = torch.zeros(len(row.values), WIDTH)
        for j in range(WIDTH):
            (slope,) = torch.autograd.grad(
                asked[0, j], row.values, retain_graph=True, materialize_grads=True
            )
            parts[:, j] = slope * row.values.detach()
        whole = by_hand(layer_of(normalize=False), users, rows)[i]
        assert_allclose(asked.detach()[0], whole, atol=1e-6)
        assert_allclose(users[i] + parts.sum(0).numpy(), whole, atol=1e-6)


def test_dropped_columns_leave_the_others():
    layer = layer_of()
    before = layer.multiply.weight.detach().numpy().copy()
    left = np.array([True, False, True, True])
    unused = np.array([False, True, False, True])
    for part in (layer.multiply, layer.add):
        part.drop_columns(left, unused)
    found = layer.multiply.weight.detach().numpy()
    assert_array_equal(found[:2], before[[0, 2]])
    assert_array_equal(found[2], 0)


def test_sparse_gradients_are_those_of_dense_tables():
    rows = random_csr(6, 400, density=0.01)
    users = torch.randn(6, WIDTH, generator=torch.Generator().manual_seed(0))
    gradients = []
    for sparse_grad in (False, True):
        layer = ContextLayer(400, WIDTH, sparse_grad=sparse_grad).train()
        for part in (layer.multiply, layer.add):
            part.weight.data.normal_(generator=torch.Generator().manual_seed(1))
        layer(users, SparseRows.from_csr(rows)).square().cumsum(1).sum().backward()
        grads = layer.multiply.weight.grad, layer.add.weight.grad
        assert all(grad.is_sparse == sparse_grad for grad in grads)
        gradients.append(torch.cat([grad.to_dense() for grad in grads]))
    assert gradients[0].any()
    torch.testing.assert_close(*gradients)
