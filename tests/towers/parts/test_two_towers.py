"""Two towers with the past items of users, compared with dense products."""

import copy

import pytest
import torch
from torch import nn
from torch.nn.functional import normalize

from sktwotower.towers._batches import Batch
from sktwotower.towers._sparse_rows import SparseRows
from sktwotower.towers.parts._histories import PooledHistory, RecentHistory
from sktwotower.towers.parts._tower import Tower
from sktwotower.towers.parts._two_towers import TwoTowers, count_weights
from tests.builders import small
from tests.towers.parts.builders import (
    dense,
    dense_tower,
    pooled_by_hand,
    random_csr,
    users_of,
)


@pytest.mark.slow
def test_a_row_does_not_depend_on_the_other_rows():
    # In float32 a product of one row and of 300 rows differ for layers this wide.
    torch.manual_seed(0)
    matrix = random_csr(300, 400, density=0.1)
    module = TwoTowers(Tower(400, 64, (256, 128)), Tower(400, 64, (256, 128))).eval()
    together = module.embed_items(SparseRows.from_csr(matrix))
    assert together.dtype == torch.float64
    alone = torch.cat(
        [module.embed_items(SparseRows.from_csr(matrix[i : i + 1])) for i in range(300)]
    )
    torch.testing.assert_close(together, alone, rtol=0, atol=1e-6)
    torch.testing.assert_close(together.float(), alone.float(), rtol=0, atol=1e-7)


@pytest.mark.parametrize("hidden", [(), (6,)])
def test_pooled_history_equals_brute_force(hidden):
    users, items = random_csr(4, 5), random_csr(4, 7, seed=1)
    module = TwoTowers(Tower(5, 3, hidden), Tower(7, 3), None, normalize=False)
    module.history = PooledHistory(7, module.user_tower.widths[0])
    reference = copy.deepcopy(module)
    out = module.embed_users(users_of(users, items, [3, 0, 1, 2]))
    pooled = pooled_by_hand(reference.history, items)
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


@pytest.mark.parametrize("hidden", [(), (6,)])
def test_while_tied_past_items_learn_from_candidates(hidden):
    items, pull = random_csr(4, 7, seed=1), torch.arange(12.0).reshape(4, 3)
    module = TwoTowers(Tower(5, 3, hidden), Tower(7, 3, hidden), normalize=False)
    module.history = RecentHistory(7, module.user_tower.widths[0], max_history=9)
    module.past, rows = "recent", SparseRows.from_csr(items)
    before = module.embed_items(rows).detach()
    tables = [module.get_submodule(n) for n in ("item_tower.sparse", "history.items")]
    weights = [table.weight.detach().clone() for table in tables]
    with module.tied():
        own = weights[0] - weights[1]
        torch.testing.assert_close(tables[0].weight.detach(), own)
        tied = module.embed_items(rows)
        torch.testing.assert_close(tied, before)
        (tied * pull).sum().backward()
        with torch.no_grad():
            tables[1].weight += 1  # what is learnt of the past
    assert tables[0].weight.grad.abs().max() > 0
    torch.testing.assert_close(tables[0].weight.grad, tables[1].weight.grad)
    torch.testing.assert_close(tables[0].weight.detach(), weights[0] + 1)
    if not hidden:
        moved = before + torch.from_numpy(items.sum(axis=1))
        torch.testing.assert_close(module.embed_items(rows), moved, check_dtype=False)


@pytest.mark.parametrize("scaled", [True, False])
def test_normalize(scaled):
    users, items = (SparseRows.from_csr(random_csr(n, 5)) for n in (4, 6))
    module = TwoTowers(Tower(5, 3), Tower(5, 3), normalize=scaled)
    batch = Batch(users, items)
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


def test_the_default_ones_are_of_the_sizes_of_the_recipe():
    module = TwoTowers.build(small(hidden_layer_sizes=(6,), normalize=False), 4, 5)
    assert isinstance(module.user_tower, Tower) and not module.normalize
    assert tuple(module.user_tower.sparse.weight.shape) == (4, 6)
    assert tuple(module.item_tower.sparse.weight.shape) == (5, 6)
    assert tuple(module.history.weight.shape) == (5, 6)  # joins the first layer
    assert TwoTowers.build(small(history=None), 4, 5).history is None


def test_towers_of_different_lengths_are_refused():
    message = r"of the same length. Got 7 and 8.*\(= 8\)"
    with pytest.raises(ValueError, match=message):
        TwoTowers.build(small(user_tower=nn.LazyLinear(7)), 4, 5)


@pytest.mark.parametrize(
    "params, n_hidden",
    [
        ({}, 0),
        ({"history": None}, 0),
        ({"hidden_layer_sizes": (6, 9)}, 0),
        ({"history": "recent"}, 0),
        ({"history": "recent"}, 7),
        ({"history": None, "user_tower": lambda n: nn.LSTM(n, 8)}, 0),
    ],
)
def test_weights_are_counted_before_they_are_made(params, n_hidden):
    recipe = small(**params)
    parts = [Tower(50, 8)]
    if recipe.user_tower is None:
        parts = [*TwoTowers.build(recipe, 40, 50, n_hidden).children()]
    n_weights = sum(each.numel() for part in parts for each in part.parameters())
    counted = count_weights(recipe, 40, 50, n_hidden)
    assert 0.9 * n_weights < counted <= n_weights
