"""A model of two parts, compared with these."""

import numpy as np
import pytest
import torch
from scipy import sparse

from sktwotower.towers._recipe import Recipe
from sktwotower.towers._sparse_rows import SparseRows
from sktwotower.towers.parts import (
    Model,
    embed_items,
    embed_users,
    in_context,
    moved_items,
)
from sktwotower.towers.parts._trained import PooledTowers, RecentTowers
from tests.builders import small

USERS, ITEMS = (sparse.identity(n, format="csr", dtype=np.float32) for n in (3, 5))
# lags, oldest first: the first user chose item 1 twice
LAGS = sparse.csr_matrix(
    (np.array([3, 2, 1, 1], np.float32), [1, 4, 1, 2], [0, 3, 4, 4]), shape=(3, 5)
)
# the pooled part sees each past item once
ONCE = sparse.csr_matrix([[0, 1, 0, 0, 1], [0, 0, 1, 0, 0], [0] * 5], dtype=np.float32)


def model_of(share=0.3, fades=None):
    torch.manual_seed(0)
    recipe = Recipe.of(small())._replace(dropout=0.0, max_history=9)
    parts = [
        kind.build(recipe._replace(history=past, embedding_dim=d), 3, 5)
        for kind, past, d in ((RecentTowers, "recent", 4), (PooledTowers, "pooled", 3))
    ]
    return Model(parts, [1 - share, share], fades).eval()


def vectors_of_parts(model):
    """Return vectors of users and of items, for each part."""
    return [
        (embed_users(part, USERS, past, ITEMS), embed_items(part, ITEMS))
        for part, past in zip(model.parts, (LAGS, ONCE), strict=True)
    ]


def test_the_score_is_the_sum_of_both_scores_by_share():
    model = model_of()
    users = embed_users(model, USERS, LAGS, ITEMS)
    items = embed_items(model, ITEMS)
    assert users.shape == (3, 7) and items.shape == (5, 7)
    np.testing.assert_allclose(np.linalg.norm(users, axis=1), 1, atol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(items, axis=1), 1, atol=1e-6)
    recent, pooled = (of_users @ i.T for of_users, i in vectors_of_parts(model))
    np.testing.assert_allclose(users @ items.T, 0.7 * recent + 0.3 * pooled, atol=1e-6)


def test_a_fade_is_the_factor_of_what_a_part_says_of_users():
    plain, model = model_of(), model_of(fades=[1.0, 0.1])
    users = embed_users(model, USERS, LAGS, ITEMS)
    items = embed_items(model, ITEMS)
    np.testing.assert_array_equal(items, embed_items(plain, ITEMS))
    np.testing.assert_allclose(np.linalg.norm(users, axis=1), 1, atol=1e-6)
    recent, pooled = (of_users @ i.T for of_users, i in vectors_of_parts(model))
    length = np.sqrt(0.7 + 0.3 * 0.1**2)
    expected = (0.7 * recent + 0.03 * pooled) / length
    np.testing.assert_allclose(users @ items.T, expected, atol=1e-6)
    factors = model.scales_of([5])[0] * model.scales_of_items
    np.testing.assert_allclose(factors, np.array([0.7, 0.03]) / length)
    np.testing.assert_allclose(model.shares_now, [0.7 / 0.73, 0.03 / 0.73])


def test_a_vector_does_not_depend_on_the_other_rows():
    model = model_of()
    together = embed_users(model, USERS, LAGS, ITEMS)
    for rows in ([0], [1], [2], [2, 0], []):
        part = embed_users(model, USERS[rows], LAGS[rows], ITEMS)
        np.testing.assert_allclose(part, together[rows], atol=1e-7)
    in_blocks = embed_users(model, USERS, LAGS, ITEMS, block=2)
    np.testing.assert_allclose(in_blocks, together, atol=1e-7)


def test_vectors_of_both_parts_stand_one_after_the_other():
    model, rows = model_of(0.25), SparseRows.from_csr(ITEMS)
    with torch.no_grad():
        both = model.embed_items(rows)
        first, second = (part.embed_items(rows) for part in model.parts)
    torch.testing.assert_close(both[:, :4], first * 0.75**0.5)
    torch.testing.assert_close(both[:, 4:], second * 0.5)


def test_the_past_is_what_any_part_sees_of_it():
    model = model_of()
    assert model.first is model.parts[0] and model.normalize
    assert model.shares == [0.7, 0.3]
    np.testing.assert_allclose(model.shares_now, [0.7, 0.3])
    assert model.past == "recent" and model.max_history is None
    recent, pooled = (Model([part], [1.0]) for part in model.parts)
    assert recent.past == "recent" and recent.max_history == 9
    assert pooled.past == "pooled" and pooled.max_history is None
    nothing = PooledTowers.build(small(history=None), 3, 5)
    assert Model([nothing], [1.0]).past is None


def test_one_part_is_the_whole_model():
    part = model_of().parts[1]
    model = Model([part], [1.0])
    for alone, together in zip(
        (embed_users(part, USERS, ONCE, ITEMS), embed_items(part, ITEMS)),
        (embed_users(model, USERS, ONCE, ITEMS), embed_items(model, ITEMS)),
        strict=True,
    ):
        np.testing.assert_array_equal(alone, together)


def test_a_model_without_columns_keeps_the_others_and_itself_is_not_changed():
    model = model_of()
    before = embed_items(model, ITEMS)
    left = np.array([True, True, False, True, True])
    smaller = model.without("item", left, ~left, ITEMS[left])
    np.testing.assert_array_equal(embed_items(smaller, ITEMS[:4, :4]), before[left])
    np.testing.assert_array_equal(embed_items(model, ITEMS), before)
    everything = np.ones(5, dtype=bool)
    assert model.without("item", everything, ~everything, ITEMS) is model


@pytest.mark.parametrize("number", [0, 1])
def test_items_move_if_any_part_has_changed_their_columns(number):
    model, now = model_of(), model_of()
    assert moved_items(model, now, ITEMS, np.arange(5)).tolist() == []
    with torch.no_grad():
        now.parts[number].item_tower.sparse.weight[3] += 1
    assert moved_items(model, now, ITEMS, np.arange(5)).tolist() == [3]
    with torch.no_grad():  # of all items
        now.parts[number].item_tower.bias += 1
    assert moved_items(model, now, ITEMS, np.arange(5)).tolist() == [0, 1, 2, 3, 4]


CONTEXTS = sparse.csr_matrix(
    np.array([[1, 0, 2], [0, 0, 0], [0, 1, 0]], dtype=np.float32)
)


def asking_model(share=0.3, fades=None):
    """Return a model of two parts that see a context of three columns."""
    torch.manual_seed(0)
    recipe = Recipe.of(small())._replace(dropout=0.0, max_history=9)
    kinds = (RecentTowers, "recent", 4), (PooledTowers, "pooled", 3)
    parts = [
        kind.build(recipe._replace(history=past, embedding_dim=d), 3, 5, n_context=3)
        for kind, past, d in kinds
    ]
    for part in parts:
        for layer in (part.context.multiply, part.context.add):
            torch.nn.init.normal_(layer.weight)
    return Model(parts, [1 - share, share], fades).eval()


@pytest.mark.parametrize("fades", [None, [1.0, 0.1]])
@pytest.mark.parametrize("share", [0.3, 0.0])
def test_a_context_changes_each_part(fades, share):
    model = asking_model(share, fades)
    assert model.sees_context and not model_of().sees_context
    users = embed_users(model, USERS, LAGS, ITEMS)
    items = embed_items(model, ITEMS)
    asked = in_context(model, users, CONTEXTS)
    scores, factor = 0.0, [1 - share, share * (fades or [1, 1])[1]]
    for part, past, f in zip(model.parts, (LAGS, ONCE), factor, strict=True):
        own = embed_users(part, USERS, past, ITEMS)
        rows = CONTEXTS.toarray()
        layers = part.context.multiply, part.context.add
        factors, terms = (layer.weight.detach().numpy() for layer in layers)
        own = own + part.context.scale * (own * (rows @ factors) + rows @ terms)
        own = own / np.linalg.norm(own, axis=1, keepdims=True)
        scores = scores + f * own @ embed_items(part, ITEMS).T
    length = np.sqrt(1 - share + share * (fades or [1, 1])[1] ** 2)
    np.testing.assert_allclose(asked @ items.T, scores / length, atol=1e-5)
    np.testing.assert_array_equal(asked[1], users[1])  # an unknown context
    np.testing.assert_allclose(np.linalg.norm(asked, axis=1), 1, atol=1e-5)


def test_columns_of_a_context_grow_and_are_dropped_in_all_parts():
    model = asking_model()
    users = embed_users(model, USERS, LAGS, ITEMS)
    recipe = Recipe.of(small())._replace(dropout=0.0, max_history=9)
    places = np.array([0, 3, 4])
    inputs = {
        "user": (np.arange(3), 3),
        "item": (np.arange(5), 5),
        "context": (places, 6),
    }
    recipes = (
        recipe._replace(history=past, embedding_dim=d)
        for past, d in (("recent", 4), ("pooled", 3))
    )
    for part in model.parts:
        shape = part.context.add.weight.shape
        rows = np.arange(3 * shape[1], dtype=np.float32).reshape(shape)
        steps = np.arange(3, dtype=np.float32)
        part.moments = {"context.add.weight": {"mean": rows, "steps": steps}}
    parts = [p.grown(r, inputs) for p, r in zip(model.parts, recipes, strict=True)]
    grown = Model(parts, model.shares).eval()
    wider = sparse.lil_matrix((3, 6), dtype=np.float32)
    wider[:, places] = CONTEXTS
    expected = in_context(model, users, CONTEXTS)
    found = in_context(grown, users, wider.tocsr())
    np.testing.assert_array_equal(found, expected)
    new = sparse.csr_matrix(np.eye(6, dtype=np.float32)[[1, 2, 5]])
    np.testing.assert_allclose(in_context(grown, users, new), users, atol=1e-6)
    for part in grown.parts:
        moments = part.moments["context.add.weight"]
        np.testing.assert_array_equal(moments["steps"], [0, 0, 0, 1, 2, 0])
        assert moments["mean"].shape == part.context.add.weight.shape
    left = np.array([True, False, True, True, True, False])
    unused = np.array([False, True, False, False, False, True])
    empty = sparse.csr_matrix((1, 6), dtype=np.float32)
    dropped = grown.without("context", left, unused, empty)
    rows = wider.tocsr()[:, np.flatnonzero(left)]
    np.testing.assert_array_equal(in_context(dropped, users, rows), expected)
    for part in dropped.parts:
        moments = part.moments["context.add.weight"]
        np.testing.assert_array_equal(moments["steps"], [0, 0, 1, 2])
    assert len(grown.first.context.add.weight) == 6
