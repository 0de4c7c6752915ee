"""Means of events that decay."""

import torch

from sktwotower.towers.operators._decays import MIN_WEIGHT, Windows, decayed_means
from tests.cases import for_each


def windows_of(kept, targets, ends, compiles=False):
    """Return ``Windows`` of events, of which only places and kept ones are used."""
    targets = torch.tensor(targets, dtype=torch.int64)
    ends = torch.tensor(ends, dtype=torch.int64)
    return Windows(None, None, kept, targets, ends, compiles)


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


@for_each("compiles", [False, True])
@for_each("power", [1.0, 0.5])
def test_decayed_means_by_hand(power, compiles):
    # vectors of one number, 10, 20 and 40, each with weight 1
    vectors = torch.tensor([[10.0, 1], [20, 1], [40, 1]])[:, None]
    factors = torch.tensor([[9.0, 9.0], [0.5, 1.0], [0.25, 1.0]])[:, None]
    windows = windows_of(torch.ones(3, 1), [0, 1, 2, 1], [0, 1, 2, 2], compiles)
    means = decayed_means(vectors, factors, windows, power, torch.float32)
    # sums of both are 10, 10/2 + 20 = 25, 25/4 + 40 and 10, 30, 70
    totals = torch.tensor([[0.0, 0], [5, 10], [6.25, 30], [26.25, 50]])
    weights = torch.tensor([[0.0, 0], [0.5, 1], [0.375, 2], [0.375, 2]])
    expected = totals / weights.clamp_min(MIN_WEIGHT) ** power
    torch.testing.assert_close(means[..., 0], expected)


def random_means(shape, dtype, compiles=False):
    """Return vectors, factors and ``Windows`` of random events, some of them hidden."""
    length, n, n_sums, width = shape
    torch.manual_seed(0)
    kept = (torch.rand(length, n) < 0.8).to(dtype)
    vectors = torch.randn(length, n, width + 1, dtype=dtype)
    vectors[..., -1] = 1
    vectors = (vectors * kept[..., None]).requires_grad_()
    factors = torch.rand(length, n, n_sums, dtype=dtype, requires_grad=True)
    targets = list(range(length * n))
    ends = [
        min(place + n * (place % 2), (length - 1) * n + place % n) for place in targets
    ]
    return vectors, factors, windows_of(kept, targets, ends, compiles)


@for_each("power", [1.0, 0.5])
@for_each("shape", [(4, 2, 2, 2), (1, 2, 3, 2), (150, 1, 1, 1)])
@for_each("compiles", [False, True])
def test_decayed_means_and_their_gradients_are_those_of_loops(shape, power, compiles):
    dtype = torch.float32 if compiles else torch.float64
    vectors, factors, windows = random_means(shape, dtype, compiles)
    expected = two_loops(vectors, factors, windows, power)
    means = decayed_means(vectors, factors, windows, power, dtype)
    # without a past event weights are next to 0, and gradients in the thousands
    tolerance = {"rtol": 1e-4, "atol": 2e-3} if compiles else {}
    torch.testing.assert_close(means, expected, **tolerance)
    upstream = torch.randn_like(expected)
    gradients = torch.autograd.grad(means, (vectors, factors), upstream)
    slow = torch.autograd.grad(expected, (vectors, factors), upstream)
    for gradient, reference in zip(gradients, slow, strict=True):
        torch.testing.assert_close(gradient, reference, **tolerance)


def test_compiled_means_are_rounded_to_bfloat16_as_those_of_torch():
    vectors, factors, windows = random_means((12, 5, 3, 40), torch.float32)
    exact = two_loops(vectors, factors, windows, 0.5)
    windows.compiles = True
    means = decayed_means(vectors, factors, windows, 0.5, torch.bfloat16)
    # the nearest of the numbers with eight bits, or in a tie of roundings its neighbor
    rounded = exact.to(torch.bfloat16)
    assert (means == rounded).float().mean() > 0.99
    torch.testing.assert_close(means, rounded, rtol=2**-7, atol=1e-6)
    upstream = torch.randn_like(exact).to(torch.bfloat16)
    gradients = torch.autograd.grad(means, (vectors, factors), upstream)
    slow = torch.autograd.grad(exact, (vectors, factors), upstream.float())
    for gradient, reference in zip(gradients, slow, strict=True):
        # means enter the gradient of weights as they were rounded
        torch.testing.assert_close(gradient, reference, rtol=0.02, atol=0.05)


@for_each("compiles", [False, True])
def test_decayed_means_of_nothing(compiles):
    windows = windows_of(torch.zeros(0, 2), [], [], compiles)
    arrays = torch.zeros(0, 2, 4), torch.zeros(0, 2, 5)
    assert decayed_means(*arrays, windows, 1.0, torch.float32).shape == (0, 5, 3)
