"""Means of events that decay."""

import torch

from sktwotower.towers.operators._decays import MIN_WEIGHT, Windows, decayed_means
from tests.cases import for_each


def windows_of(kept, targets, ends):
    """Return ``Windows`` of events, of which only places and kept ones are used."""
    return Windows(None, None, kept, torch.tensor(targets), torch.tensor(ends))


def two_loops(vectors, factors, windows, power):
    """Return what `decayed_means` does, number by number."""
    length, n, n_sums = factors.shape
    sums, before = [], vectors.new_zeros(n, n_sums, vectors.shape[2])
    for i in range(length):
        before = before * factors[i, ..., None] + vectors[i, :, None]
        sums.append(before)
    means = []
    for target, end in zip(windows.targets, windows.ends, strict=True):
        total = sums[end // n][end % n] - vectors[target // n, target % n]
        weight = total[:, -1:].clamp_min(MIN_WEIGHT)
        means.append(total[:, :-1] / weight**power)
    return torch.stack(means)


@for_each("power", [1.0, 0.5])
def test_decayed_means_by_hand(power):
    # vectors of one number, 10, 20 and 40, each with weight 1
    vectors = torch.tensor([[10.0, 1], [20, 1], [40, 1]])[:, None]
    factors = torch.tensor([[9.0, 9.0], [0.5, 1.0], [0.25, 1.0]])[:, None]
    windows = windows_of(torch.ones(3, 1), [0, 1, 2, 1], [0, 1, 2, 2])
    means = decayed_means(vectors, factors, windows, power, torch.float32)
    # sums of both are 10, 10/2 + 20 = 25, 25/4 + 40 and 10, 30, 70
    totals = torch.tensor([[0.0, 0], [5, 10], [6.25, 30], [26.25, 50]])
    weights = torch.tensor([[0.0, 0], [0.5, 1], [0.375, 2], [0.375, 2]])
    expected = totals / weights.clamp_min(MIN_WEIGHT) ** power
    torch.testing.assert_close(means[..., 0], expected)


@for_each("power", [1.0, 0.5])
@for_each("shape", [(4, 2, 2, 2), (1, 2, 3, 2), (150, 1, 1, 1)])
def test_decayed_means_and_their_gradients_are_those_of_loops(shape, power):
    length, n, n_sums, width = shape
    torch.manual_seed(0)
    kept = (torch.rand(length, n) < 0.8).double()
    vectors = torch.randn(length, n, width + 1, dtype=torch.float64)
    vectors[..., -1] = 1
    vectors = (vectors * kept[..., None]).requires_grad_()
    factors = torch.rand(length, n, n_sums, dtype=torch.float64, requires_grad=True)
    targets = list(range(length * n))
    ends = [
        min(place + n * (place % 2), (length - 1) * n + place % n) for place in targets
    ]
    windows = windows_of(kept, targets, ends)

    def means(vectors, factors):
        return decayed_means(vectors, factors, windows, power, vectors.dtype)

    expected = two_loops(vectors, factors, windows, power)
    torch.testing.assert_close(means(vectors, factors), expected)
    upstream = torch.randn_like(expected)
    found = torch.autograd.grad(means(vectors, factors), (vectors, factors), upstream)
    slow = torch.autograd.grad(expected, (vectors, factors), upstream)
    for one, other in zip(found, slow, strict=True):
        torch.testing.assert_close(one, other)


def test_decayed_means_of_nothing():
    windows = windows_of(torch.zeros(0, 2), [], [])
    arrays = torch.zeros(0, 2, 4), torch.zeros(0, 2, 5)
    assert decayed_means(*arrays, windows, 1.0, torch.float32).shape == (0, 5, 3)
