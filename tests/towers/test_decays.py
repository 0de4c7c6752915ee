"""Running sums of events that decay."""

import pytest
import torch

from sktwotower.towers._decays import decayed_sums


def recurrence(vectors, factors):
    """Return what `decayed_sums` does, number by number."""
    length, n, width = vectors.shape
    sums = torch.zeros(length, n, factors.shape[2], width, dtype=vectors.dtype)
    for t in range(length):
        for b in range(n):
            for h in range(factors.shape[2]):
                for d in range(width):
                    before = factors[t, b, h] * sums[t - 1, b, h, d] if t else 0
                    sums[t, b, h, d] = before + vectors[t, b, d]
    return sums


def test_decayed_sums_by_hand():
    vectors = torch.tensor([1.0, 2.0, 4.0]).reshape(3, 1, 1)
    factors = torch.tensor([[9.0, 9.0], [0.5, 1.0], [0.25, 1.0]]).reshape(3, 1, 2)
    sums = decayed_sums(vectors, factors)
    # 1, 1/2 + 2, 2.5/4 + 4 with decay; the factor of the first event does not count
    assert sums[:, 0, 0, 0].tolist() == [1.0, 2.5, 4.625]
    assert sums[:, 0, 1, 0].tolist() == [1.0, 3.0, 7.0]


@pytest.mark.parametrize("shape", [(4, 2, 2, 2), (1, 2, 3, 2), (3, 1, 1, 1)])
def test_decayed_sums_and_their_gradients_are_those_of_a_loop(shape):
    length, n, n_sums, width = shape
    torch.manual_seed(0)
    double = {"dtype": torch.float64, "requires_grad": True}
    vectors = torch.randn(length, n, width, **double)
    factors = torch.rand(length, n, n_sums, **double)
    torch.testing.assert_close(
        decayed_sums(vectors, factors), recurrence(vectors.detach(), factors.detach())
    )
    assert torch.autograd.gradcheck(decayed_sums, (vectors, factors))
    assert torch.autograd.gradcheck(decayed_sums, (vectors.detach(), factors))
    assert torch.autograd.gradcheck(decayed_sums, (vectors, factors.detach()))


def test_decayed_sums_of_nothing():
    sums = decayed_sums(torch.zeros(0, 2, 3), torch.zeros(0, 2, 4))
    assert sums.shape == (0, 2, 4, 3)
