"""Towers that the user has given."""

import pytest
import torch
from torch import nn

from sktwotower.towers._sparse_rows import SparseRows
from sktwotower.towers.parts._given_tower import GivenTower
from sktwotower.towers.parts._histories import PooledHistory
from sktwotower.towers.parts._two_towers import TwoTowers
from tests.builders import small
from tests.towers.parts.builders import dense, pooled_by_hand, random_csr, users_of


def test_own_modules_take_sparse_rows():
    users, items = random_csr(4, 5), random_csr(6, 7, seed=1)
    module = nn.Sequential(nn.LazyLinear(8), nn.ReLU(), nn.Linear(8, 3))
    user_tower = GivenTower(module, "user_tower", 5)
    item_tower = GivenTower(nn.Linear(7, 3), "item_tower", 7)
    assert module[0].in_features == 5
    part = TwoTowers(user_tower, item_tower, PooledHistory(7, 3), normalize=False)
    out = part.embed_users(users_of(users, items, [0, 1, 2, 3]))
    # the history joins the output of a user's own module
    expected = module(dense(users)) + pooled_by_hand(part.history, items)
    torch.testing.assert_close(out, expected)
    torch.testing.assert_close(
        part.embed_items(SparseRows.from_csr(items)), item_tower.module(dense(items))
    )


def test_own_module_is_copied_and_a_callable_is_called():
    own = nn.Sequential(nn.LazyLinear(8))
    part = TwoTowers.build(
        small(user_tower=own, item_tower=lambda p: nn.Linear(p, 8)), 4, 5
    )
    assert part.user_tower.module[0].in_features == 4
    assert isinstance(own[0].weight, nn.UninitializedParameter)
    assert part.item_tower.module.in_features == 5
    assert tuple(part.history.weight.shape) == (5, 8)  # joins the output


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
        (Flat(), ValueError, r"user_tower must map .*For n = 2, got torch.Size"),
        (Text(), ValueError, r"user_tower must map .*For n = 2, got str"),
        ("deep", TypeError, "user_tower must be a torch.nn.Module.*Got 'deep'"),
        (lambda p: p, TypeError, "user_tower must be a torch.nn.Module, or a callable"),
    ],
)
def test_unfit_tower_is_refused_by_name(tower, error, message):
    with pytest.raises(error, match=message):
        GivenTower.made(tower, "user_tower", 4)


def test_unfit_item_tower_is_named_too():
    with pytest.raises(ValueError, match="item_tower failed on a sparse tensor"):
        TwoTowers.build(small(item_tower=nn.Linear(3, 8)), 4, 5)
