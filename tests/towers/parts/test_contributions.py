"""What each input adds to the score of a pair."""

import numpy as np
import pytest
import torch
from scipy import sparse

from sktwotower.towers.parts import Pair, PastOfOne
from sktwotower.towers.parts._histories import PooledHistory
from sktwotower.towers.parts._tower import Tower
from sktwotower.towers.parts._two_towers import TwoTowers


def test_a_tiny_linear_model_by_hand():
    tower_of_users, tower_of_items = Tower(2, 2), Tower(2, 2)
    past = PooledHistory(2, 2)
    with torch.no_grad():
        tower_of_users.sparse.weight.copy_(torch.tensor([[1.0, 0.0], [9.0, 9.0]]))
        tower_of_users.bias.copy_(torch.tensor([0.0, 1.0]))
        past.weight.copy_(torch.tensor([[4.0, 0.0], [0.0, 6.0]]))
        tower_of_items.sparse.weight.copy_(torch.tensor([[0.0, 1.0], [6.0, 7.0]]))
        tower_of_items.bias.zero_()
    part = TwoTowers(tower_of_users, tower_of_items, past)
    row, everything = sparse.csr_matrix([[1.0, 0.0]]), sparse.identity(2, format="csr")
    history = PastOfOne(everything, None, np.ones(2, dtype=bool))
    found = part.contributions(Pair(row, history, row))
    # a = (1, 0) + ((4, 0) + (0, 6)) / 2 + (0, 1) = (3, 4) of length 5, c = (0, 1):
    # the score is 4 / 5, of which 3 / 5 is the second past item and 1 / 5 the bias.
    assert found.score == pytest.approx(0.8)
    assert found.user == pytest.approx([0.0])
    assert found.history == pytest.approx([0.0, 0.3])
    assert found.user_rest == pytest.approx(0.1)
    assert found.item == pytest.approx([0.4])
    assert found.item_rest == pytest.approx(0.0, abs=1e-7)
