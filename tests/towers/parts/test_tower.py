import copy

import pytest
import torch

from sktwotower.towers._sparse_rows import SparseRows
from sktwotower.towers.parts._tower import Tower
from tests.towers.parts.builders import dense, dense_tower, random_csr


@pytest.mark.parametrize("hidden", [(), (6,), (3,), (7, 7, 5)])
def test_tower_equals_a_dense_reference(hidden):
    matrix = random_csr(5, 8)
    tower = Tower(8, 3, hidden)
    reference = copy.deepcopy(tower)
    out = tower(SparseRows.from_csr(matrix))
    expected = dense_tower(reference, dense(matrix))
    assert out.shape == (5, 3) and tower.widths == [*hidden, 3]
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
