import numpy as np
import pytest
import torch
from scipy import sparse
from sklearn.base import BaseEstimator
from torch import nn

from sktwotower.towers._build import build_module
from sktwotower.towers._modules import SparseLinear, Tower
from sktwotower.towers._net import seeded
from sktwotower.towers._optimizer import optimizer_class
from sktwotower.towers._vectors import embed_items, embed_users
from tests.builders import small


def test_default_module():
    module = build_module(small(hidden_layer_sizes=(6,), normalize=False), 4, 5)
    assert isinstance(module.user_tower, Tower) and not module.normalize
    assert tuple(module.user_tower.sparse.weight.shape) == (4, 6)
    assert tuple(module.item_tower.sparse.weight.shape) == (5, 6)
    assert tuple(module.history.weight.shape) == (5, 6)  # joins the first layer
    assert build_module(small(history=None), 4, 5).history is None


def test_own_module_is_copied_and_a_callable_is_called():
    own = nn.Sequential(nn.LazyLinear(8))
    module = build_module(
        small(user_tower=own, item_tower=lambda p: nn.Linear(p, 8)), 4, 5
    )
    assert module.user_tower[0].in_features == 4
    assert isinstance(own[0].weight, nn.UninitializedParameter)
    assert module.item_tower.in_features == 5
    assert tuple(module.history.weight.shape) == (5, 8)  # joins the output


class Flat(nn.Module):
    def forward(self, rows):
        return rows.to_dense().sum(dim=1)


class Text(nn.Module):
    def forward(self, rows):
        return "vectors"


@pytest.mark.parametrize(
    ("tower", "error", "message"),
    [
        (nn.Linear(3, 8), ValueError, r"user_tower failed .* shape \(2, 4\).*LazyLin"),
        (nn.LazyLinear(7), ValueError, r"of the same length. Got 7 and 8.*\(= 8\)"),
        (Flat(), ValueError, r"user_tower must map .*For n = 2, got torch.Size"),
        (Text(), ValueError, r"user_tower must map .*For n = 2, got str"),
        ("deep", TypeError, "user_tower must be a torch.nn.Module.*Got 'deep'"),
        (lambda p: p, TypeError, "user_tower must be a torch.nn.Module, or a callable"),
    ],
)
def test_unfit_tower_is_refused_by_name(tower, error, message):
    with pytest.raises(error, match=message):
        build_module(small(user_tower=tower), 4, 5)


def test_unfit_item_tower_is_named_too():
    with pytest.raises(ValueError, match="item_tower failed on a sparse tensor"):
        build_module(small(item_tower=nn.Linear(3, 8)), 4, 5)


def test_optimizer_class():
    assert optimizer_class("adamw") is torch.optim.AdamW
    assert optimizer_class("SGD") is torch.optim.SGD
    assert optimizer_class(torch.optim.RMSprop) is torch.optim.RMSprop
    for wrong in ("adamm", "optimizer_", BaseEstimator, 3):
        with pytest.raises(ValueError, match="optimizer must be a class of torch.opt"):
            optimizer_class(wrong)


def test_seeded_puts_the_generator_back_after_an_error():
    before = torch.get_rng_state()
    with pytest.raises(RuntimeError, match="inside"), seeded(3):
        torch.rand(1)
        raise RuntimeError("inside")
    assert torch.equal(torch.get_rng_state(), before)


def test_embed_block_by_block():
    rng = np.random.default_rng(0)
    users, items = (
        sparse.random(n, p, 0.4, "csr", np.float32, rng) for n, p in ((23, 5), (11, 7))
    )
    history = sparse.random(23, 11, 0.3, "csr", np.float32, rng)
    module = build_module(small(hidden_layer_sizes=(6,), dropout=0.5), 5, 7)
    with torch.no_grad():  # a past item counts once, for any weight
        dense_items = torch.tensor(items.toarray())
        past = torch.tensor((history.toarray() > 0).astype(np.float32))
        past /= past.sum(dim=1, keepdim=True).clamp_min(1)
        tower = module.user_tower
        first = torch.tensor(users.toarray()) @ tower.sparse.weight + tower.bias
        hidden = first + past @ dense_items @ module.history.weight
        out = tower.layers[0](hidden.relu()) + tower.shortcuts[0](hidden)
        expected = nn.functional.normalize(out, dim=1).numpy()
    for block in (4, 100):
        vectors = embed_users(module, users, history, items, block=block)
        assert vectors.dtype == np.float32
        np.testing.assert_allclose(vectors, expected, atol=1e-6)
    blocks = [embed_items(module, items, block=block) for block in (4, 100)]
    np.testing.assert_allclose(*blocks, rtol=0, atol=1e-7)
    assert embed_items(module, items[:0]).shape == (0, 8)
    assert embed_users(module, users[:0], history[:0], items).shape == (0, 8)


def test_embedding_leaves_training_mode_off_and_no_gradient():
    module = build_module(small(history=None), 4, 5).train()
    items = sparse.eye(5, format="csr", dtype=np.float32)
    embed_items(module, items)
    assert not module.training
    assert all(parameter.grad is None for parameter in module.parameters())
    assert isinstance(module.item_tower.sparse, SparseLinear)
