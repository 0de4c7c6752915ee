import numpy as np
import torch
from scipy import sparse

from sktwotower.towers._blend import Blend
from sktwotower.towers._build import build_module
from sktwotower.towers._modules import SparseRows
from sktwotower.towers._recipe import Recipe
from sktwotower.towers._vectors import embed_items, embed_users
from tests.builders import small

USERS, ITEMS = (sparse.identity(n, format="csr", dtype=np.float32) for n in (3, 5))
# lags, oldest first: the first user chose item 1 twice
LAGS = sparse.csr_matrix(
    (np.array([3, 2, 1, 1], np.float32), [1, 4, 1, 2], [0, 3, 4, 4]), shape=(3, 5)
)


def blend(share=0.3):
    torch.manual_seed(0)
    recipe = Recipe.of(small())._replace(dropout=0.0, max_history=9)
    parts = [
        build_module(recipe._replace(history=kind, embedding_dim=d), 3, 5)
        for kind, d in (("recent", 4), ("pooled", 3))
    ]
    return Blend(*parts, share).eval()


def test_the_score_is_the_sum_of_both_scores_by_share():
    module = blend()
    users = embed_users(module, USERS, LAGS, ITEMS)
    items = embed_items(module, ITEMS)
    assert users.shape == (3, 7) and items.shape == (5, 7)
    np.testing.assert_allclose(np.linalg.norm(users, axis=1), 1, atol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(items, axis=1), 1, atol=1e-6)
    # the pooled part sees each past item once
    once = sparse.csr_matrix([[0, 1, 0, 0, 1], [0, 0, 1, 0, 0], [0] * 5], dtype=float)
    recent = embed_users(module.first, USERS, LAGS, ITEMS)
    pooled = embed_users(module.second, USERS, once, ITEMS)
    scores = 0.7 * recent @ embed_items(module.first, ITEMS).T
    scores += 0.3 * pooled @ embed_items(module.second, ITEMS).T
    np.testing.assert_allclose(users @ items.T, scores, atol=1e-6)


def test_a_vector_does_not_depend_on_the_other_rows():
    module = blend()
    together = embed_users(module, USERS, LAGS, ITEMS)
    for rows in ([0], [1], [2], [2, 0], []):
        part = embed_users(module, USERS[rows], LAGS[rows], ITEMS)
        np.testing.assert_allclose(part, together[rows], atol=1e-7)
    in_blocks = embed_users(module, USERS, LAGS, ITEMS, block=2)
    np.testing.assert_allclose(in_blocks, together, atol=1e-7)


def test_vectors_of_both_parts_stand_one_after_the_other():
    module, rows = blend(0.25), SparseRows.from_csr(ITEMS)
    with torch.no_grad():
        both = module.embed_items(rows)
        first, second = module.first.embed_items(rows), module.second.embed_items(rows)
    torch.testing.assert_close(both[:, :4], first * 0.75**0.5)
    torch.testing.assert_close(both[:, 4:], second * 0.5)


def test_towers_and_history_are_those_of_the_first_pair():
    module = blend()
    assert module.user_tower is module.first.user_tower
    assert module.item_tower is module.first.item_tower
    assert module.history is module.first.history and module.normalize
    assert [share for _, share in module.parts] == [0.7, 0.3]
