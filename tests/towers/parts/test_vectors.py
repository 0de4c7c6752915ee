"""Vectors of users and items, block by block."""

import numpy as np
import torch
from scipy import sparse
from torch import nn

from sktwotower.towers.parts._two_towers import TwoTowers
from sktwotower.towers.parts._vectors import embed_items, embed_users
from tests.builders import small


def test_embed_block_by_block():
    rng = np.random.default_rng(0)
    users, items = (
        sparse.random(n, p, 0.4, "csr", np.float32, rng) for n, p in ((23, 5), (11, 7))
    )
    history = sparse.random(23, 11, 0.3, "csr", np.float32, rng)
    module = TwoTowers.build(small(hidden_layer_sizes=(6,), dropout=0.5), 5, 7)
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
    module = TwoTowers.build(small(history=None), 4, 5).train()
    items = sparse.eye(5, format="csr", dtype=np.float32)
    embed_items(module, items)
    assert not module.training
    assert all(parameter.grad is None for parameter in module.parameters())
