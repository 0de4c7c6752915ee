from math import exp, log

import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from sktwotower.towers import SampledSoftmaxLoss
from sktwotower.towers.losses._losses import Targets
from sktwotower.towers.operators import _autograd
from tests.cases import for_each


@pytest.fixture(autouse=True)
def same_on_all_machines(monkeypatch):
    monkeypatch.setattr(_autograd, "has_bfloat16_products", lambda kind: False)


def make_targets(positives, weights=None, correct_positives=False, **others):
    """Return Targets of a list of candidate columns per user."""
    offsets = torch.tensor([0, *np.cumsum([len(p) for p in positives])])
    columns = torch.tensor([c for p in positives for c in p], dtype=torch.int64)
    if weights is None:
        weights = [1.0] * len(columns)
    if correct_positives and others.get("log_q") is not None:
        others["positive_log_q"] = others["log_q"][columns]
    return Targets(offsets, columns, torch.tensor(weights), **others)


def loss_of(scores, targets, temperature=1.0, **params):
    """Loss where the scores are given: the item vectors are unit vectors."""
    users = torch.as_tensor(scores, dtype=torch.float64)
    items = torch.eye(users.shape[1], dtype=torch.float64)
    return SampledSoftmaxLoss(temperature, **params)(users, items, targets).item()


def test_two_by_two_by_hand():
    # scores   0.6  1.0   divided by T = 0.5   1.2  2.0   positives on the diagonal
    #          0.8  0.0                        1.6  0.0
    expected = (log(1 + exp(2.0 - 1.2)) + log(1 + exp(1.6 - 0.0))) / 2
    assert expected == pytest.approx(1.4775, abs=1e-4)
    got = loss_of([[0.6, 1.0], [0.8, 0.0]], make_targets([[0], [1]]), 0.5)
    assert got == pytest.approx(expected)


# exp(score)   1  2  3   positives: 0 (reward 1)
#              4  1  1              0 (reward 1) and 1 (reward 2)
#              2  2  5              2 (reward 1)
EXP_SCORES = [[1, 2, 3], [4, 1, 1], [2, 2, 5]]
POSITIVES = [[0], [0, 1], [2]]
REWARDS = [1.0, 1.0, 2.0, 1.0]


def test_three_by_three_by_hand():
    # User 1 has only the negative 2: the other positive does not compete.
    expected = (log(6 / 1) + log(5 / 4) + 2 * log(2 / 1) + log(9 / 5)) / 5
    got = loss_of(np.log(EXP_SCORES), make_targets(POSITIVES, REWARDS))
    assert got == pytest.approx(expected)


def test_three_by_three_by_hand_corrected():
    # Q = 1/2, 1, 1/3 multiplies the columns by 2, 1, 3:   2  2   9
    #                                                      8  1   3
    #                                                      4  2  15
    log_q = torch.log(torch.tensor([1 / 2, 1, 1 / 3]))
    expected = (log(13 / 2) + log(11 / 8) + 2 * log(4 / 1) + log(21 / 15)) / 5
    targets = make_targets(POSITIVES, REWARDS, correct_positives=True, log_q=log_q)
    assert loss_of(np.log(EXP_SCORES), targets) == pytest.approx(expected)


def test_three_by_three_by_hand_with_negatives_corrected_only():
    # The negatives' columns are multiplied by 2, 1, 3, the positives 1, 4, 1, 5 not.
    log_q = torch.log(torch.tensor([1 / 2, 1, 1 / 3]))
    expected = (log(12 / 1) + log(7 / 4) + 2 * log(4 / 1) + log(11 / 5)) / 5
    got = loss_of(np.log(EXP_SCORES), make_targets(POSITIVES, REWARDS, log_q=log_q))
    assert got == pytest.approx(expected)


def test_positive_that_was_not_sampled_is_no_negative_of_others():
    # Item 0 is there only for user 0; user 1 has the negative 2 with Q = 1 / 2.
    log_q = torch.log(torch.tensor([torch.inf, 1, 1 / 2]))
    scores = np.log([[2, 3, 1], [9, 1, 4]])
    expected = (log((2 + 3 + 2) / 2) + log((1 + 8) / 1)) / 2
    got = loss_of(scores, make_targets([[0], [1]], log_q=log_q))
    assert got == pytest.approx(expected)


def test_positive_out_of_the_denominator_has_the_same_gradient():
    # -(1 - p) (s_0 - log sum of the negatives), with p held fixed (Khrylchenko 2025)
    log_q = torch.log(torch.tensor([0.3, 0.5, 0.2], dtype=torch.float64))
    scores = torch.tensor([[0.3, -0.2, 0.5]], dtype=torch.float64, requires_grad=True)
    SampledSoftmaxLoss(1.0)(
        scores, torch.eye(3, dtype=torch.float64), make_targets([[0]], log_q=log_q)
    ).backward()
    other = scores.detach().clone().requires_grad_()
    rest = torch.logsumexp((other - log_q)[0, 1:], 0)
    p = (other[0, 0] - rest).sigmoid().detach()
    (-(1 - p) * (other[0, 0] - rest)).backward()
    torch.testing.assert_close(scores.grad, other.grad)


def test_three_by_three_by_hand_with_impression_and_hidden():
    # User 2 knows item 0: 2 + 5 = 7. User 0 was shown item 1 with weight 0.5: with the
    # positive's 1 that makes 1 + 0.5 * 2, and the term counts three times.
    shown = (torch.tensor([0]), torch.tensor([1]), torch.tensor([0.5]))
    hidden = (torch.tensor([2]), torch.tensor([0]))
    targets = make_targets(POSITIVES, REWARDS, impressions=shown, hidden=hidden)
    plain = log(6 / 1) + log(5 / 4) + 2 * log(2 / 1) + log(7 / 5)
    got = loss_of(np.log(EXP_SCORES), targets, impression_weight=3.0)
    assert got == pytest.approx((plain + 3 * log(2 / 1)) / 5)


def test_impressions_have_a_temperature_of_their_own():
    # exp(score / 2): 1, 2 and 3 become their square roots.
    shown = (torch.tensor([0, 0]), torch.tensor([1, 2]), torch.tensor([1.0, 2.0]))
    targets = make_targets([[0]], impressions=shown)
    got = loss_of(np.log([EXP_SCORES[0]]), targets, impression_temperature=2.0)
    assert got == pytest.approx(log(6) + log(1 + 2**0.5 + 2 * 3**0.5))


def test_temperature_comes_before_the_correction():
    # scores 0.5 and 0.2, T = 0.25, Q = 1/2 and 1/8: logits 2 + log 2 and 0.8 + log 8
    log_q = torch.log(torch.tensor([1 / 2, 1 / 8]))
    targets = make_targets([[0]], correct_positives=True, log_q=log_q)
    got = loss_of([[0.5, 0.2]], targets, 0.25)
    corrected_last = log(1 + exp(0.8 + log(8) - 2 - log(2)))
    corrected_first = log(1 + exp((0.2 + log(8) - 0.5 - log(2)) / 0.25))
    assert got == pytest.approx(corrected_last)
    assert abs(corrected_last - corrected_first) > 1


SHOWN_WEIGHT, SHOWN_TEMPERATURE = 2.5, 0.7


def naive(users, items, targets, temperature, robustness=0):
    """The loss as its docstring states it, one term at a time."""
    fixed = users.detach()  # impressions move items only
    n, c = len(users), len(items)
    scale = [1.0] * c if targets.log_q is None else (-targets.log_q.double()).exp()
    hidden = set()
    if targets.hidden is not None:
        hidden = set(zip(*map(torch.Tensor.tolist, targets.hidden), strict=True))
    shown = {}
    if targets.impressions is not None:
        rows, columns, weights = map(torch.Tensor.tolist, targets.impressions)
        shown = dict(zip(zip(rows, columns, strict=True), weights, strict=True))
    total = torch.zeros((), dtype=users.dtype)
    for u in range(n):
        places = range(targets.offsets[u], targets.offsets[u + 1])
        own = {int(targets.columns[p]) for p in places}
        rest = torch.zeros((), dtype=users.dtype)
        against = torch.zeros((), dtype=users.dtype)
        for j in set(range(c)) - own:
            if (u, j) not in hidden:
                rest = rest + scale[j] * torch.exp(users[u] @ items[j] / temperature)
                warm = torch.exp(fixed[u] @ items[j] / SHOWN_TEMPERATURE)
                against = against + shown.get((u, j), 0.0) * warm
        for p in places:
            i = int(targets.columns[p])
            top = torch.exp(users[u] @ items[i] / temperature)
            if targets.positive_log_q is not None:
                top = top / targets.positive_log_q[p].exp()
            chance = top / (top + rest)
            one = -torch.log(chance)
            if robustness:
                one = (1 - chance**robustness) / robustness
            total = total + targets.weights[p] * one
            ratio = against / torch.exp(fixed[u] @ items[i] / SHOWN_TEMPERATURE)
            total = total + SHOWN_WEIGHT * targets.weights[p] * torch.log(1 + ratio)
    return total / targets.weights.sum()


def random_problem(
    seed, log_q=False, all_corrected=False, hidden=False, impressions=False
):
    rng = np.random.default_rng(seed)
    n, c, d = 7, 9, 4
    users, items = (
        torch.tensor(rng.normal(size=(m, d)), requires_grad=True) for m in (n, c)
    )
    kinds = rng.choice(4, size=(n, c), p=[0.5, 0.2, 0.15, 0.15])
    kinds[3] = 0  # a user without positives
    rewards = rng.uniform(0.5, 3, (kinds == 1).sum())
    others = {}
    if log_q:
        others["log_q"] = torch.tensor(rng.uniform(-4, 0, c), dtype=torch.float32)
        # The last column is an impression only: no user's positive.
        others["log_q"][-1] = torch.inf
        rewards = rewards[np.nonzero(kinds == 1)[1] != c - 1]
        kinds[:, -1] = np.where(kinds[:, -1] == 1, 0, kinds[:, -1])
    if hidden:
        others["hidden"] = torch.tensor(np.argwhere(kinds == 2).T).unbind()
    if impressions:
        pairs = torch.tensor(np.argwhere(kinds == 3).T)
        shares = torch.tensor(rng.uniform(0.1, 5, pairs.shape[1]), dtype=torch.float32)
        others["impressions"] = (*pairs, shares)
    positives = [np.flatnonzero(row == 1).tolist() for row in kinds]
    return users, items, make_targets(positives, rewards, all_corrected, **others)


PARTS = [
    {},
    {"log_q": True},
    {"log_q": True, "all_corrected": True},
    {"hidden": True},
    {"impressions": True},
    {"log_q": True, "hidden": True, "impressions": True},
]


@pytest.mark.slow
@for_each("parts", PARTS, ids=lambda parts: "+".join(parts) or "plain")
@for_each("tile_size", [1, 20, 10_000])
@for_each("seed", range(3))
def test_value_and_gradient_equal_the_naive_loop(seed, tile_size, parts):
    users, items, targets = random_problem(seed, **parts)
    expected = naive(users, items, targets, 0.4)
    expected_grads = torch.autograd.grad(expected, (users, items))
    criterion = SampledSoftmaxLoss(0.4, tile_size, SHOWN_WEIGHT, SHOWN_TEMPERATURE)
    loss = criterion(users, items, targets)
    grads = torch.autograd.grad(loss, (users, items))
    torch.testing.assert_close(loss, expected)
    for grad, expected_grad in zip(grads, expected_grads, strict=True):
        torch.testing.assert_close(grad, expected_grad)


@for_each("robustness", [0.2, 1.0])
def test_value_and_gradient_of_a_robust_loss_equal_the_naive_loop(robustness):
    users, items, targets = random_problem(0, log_q=True, hidden=True, impressions=True)
    expected = naive(users, items, targets, 0.4, robustness)
    criterion = SampledSoftmaxLoss(
        0.4, 20, SHOWN_WEIGHT, SHOWN_TEMPERATURE, robustness=robustness
    )
    loss = criterion(users, items, targets)
    torch.testing.assert_close(loss, expected)
    pairs = (torch.autograd.grad(each, (users, items)) for each in (loss, expected))
    for grad, expected_grad in zip(*pairs, strict=True):
        torch.testing.assert_close(grad, expected_grad)


def test_a_robust_loss_by_hand():
    # the chances of the positives are 1/6, 4/5, 1/2 twice, and 5/9
    expected = (1 - 1 / 6) + (1 - 4 / 5) + 2 * (1 - 1 / 2) + (1 - 5 / 9)
    targets = make_targets(POSITIVES, REWARDS)
    got = loss_of(np.log(EXP_SCORES), targets, robustness=1.0)
    assert got == pytest.approx(expected / 5)
    plain = loss_of(np.log(EXP_SCORES), targets)
    near = loss_of(np.log(EXP_SCORES), targets, robustness=1e-6)
    assert near == pytest.approx(plain)


@pytest.mark.slow
@for_each("parts", PARTS, ids=lambda parts: "+".join(parts) or "plain")
def test_gradcheck(parts):
    users, items, targets = random_problem(5, **parts)
    loss = SampledSoftmaxLoss(0.5, tile_size=20)
    if targets.impressions is not None:  # the users' gradient leaves that term out
        users = users.detach()
    assert torch.autograd.gradcheck(lambda u, v: loss(u, v, targets), (users, items))


def test_impressions_leave_the_gradient_of_users_alone():
    users, items, targets = random_problem(1, impressions=True)
    with_shown = SampledSoftmaxLoss()(users, items, targets)
    targets.impressions = None
    without = SampledSoftmaxLoss()(users, items, targets)
    assert with_shown > without
    gradients = [
        torch.autograd.grad(loss, (users, items)) for loss in (with_shown, without)
    ]
    torch.testing.assert_close(gradients[0][0], gradients[1][0])
    assert not torch.allclose(gradients[0][1], gradients[1][1])


def test_impressions_of_a_user_without_positives_add_nothing():
    users, items, targets = random_problem(2)
    before = SampledSoftmaxLoss()(users, items, targets)
    targets.impressions = (torch.tensor([3]), torch.tensor([0]), torch.tensor([9.0]))
    targets.shown_rows = targets.impressions[0].numpy()
    torch.testing.assert_close(SampledSoftmaxLoss()(users, items, targets), before)


def test_upstream_gradient_scales_the_gradient():
    users, items, targets = random_problem(0)
    (once,) = torch.autograd.grad(SampledSoftmaxLoss()(users, items, targets), users)
    (thrice,) = torch.autograd.grad(
        3 * SampledSoftmaxLoss()(users, items, targets), users
    )
    torch.testing.assert_close(thrice, 3 * once)


def test_other_positives_and_hidden_pairs_are_no_negatives():
    hidden = (torch.tensor([0]), torch.tensor([3]))
    targets = make_targets([[0, 1]], hidden=hidden)
    users = torch.zeros(1, 4, requires_grad=True)
    items = torch.eye(4, requires_grad=True)
    SampledSoftmaxLoss(1.0)(users, items, targets).backward()
    # Of the four scores, 0 and 1 are pulled up, 2 is pushed down, 3 is left alone.
    torch.testing.assert_close(users.grad, torch.tensor([[-0.25, -0.25, 0.5, 0.0]]))
    assert loss_of([[1, 2, 3, 50]], targets) == loss_of([[1, 2, 3, 0]], targets)


def test_impression_that_was_chosen_too_is_a_positive_only():
    shown = (torch.tensor([0]), torch.tensor([0]), torch.tensor([2.0]))
    scores = [[0.3, 0.1, 0.2]]
    assert loss_of(scores, make_targets([[0]], impressions=shown)) == pytest.approx(
        loss_of(scores, make_targets([[0]]))
    )


@for_each("log_q", [None, torch.tensor([-1.0, -2.0, -3.0])])
def test_user_whose_candidates_are_all_positive_adds_nothing(log_q):
    users = torch.tensor([[1.0, 2.0, 3.0], [0.5, 0.1, 0.2]], requires_grad=True)
    items = torch.eye(3, requires_grad=True)
    targets = make_targets([[0, 1, 2], [0]], log_q=log_q)
    loss = SampledSoftmaxLoss(1.0)(users, items, targets)
    loss.backward()
    alone = loss_of(users[1:].tolist(), make_targets([[0]], log_q=log_q))
    assert loss.item() == pytest.approx(alone / 4)
    assert users.grad[0].tolist() == [0, 0, 0]
    assert torch.isfinite(items.grad).all() and users.grad[1].abs().min() > 0


def test_batch_without_positives_is_zero():
    users = torch.ones(2, 3, requires_grad=True)
    loss = SampledSoftmaxLoss()(users, torch.eye(3), make_targets([[], []]))
    loss.backward()
    assert loss.item() == 0 and users.grad.abs().sum() == 0


@for_each("n_items", [0, 3])
def test_a_batch_without_users_has_gradients_of_zero(n_items):
    users = torch.empty(0, 3, requires_grad=True)
    items = torch.ones(n_items, 3, requires_grad=True)
    loss = SampledSoftmaxLoss()(users, items, make_targets([]))
    (2 * loss).backward()
    assert loss.item() == 0
    assert users.grad.shape == (0, 3) and items.grad.tolist() == n_items * [[0, 0, 0]]


def test_weight_two_equals_a_positive_given_twice():
    users, items, _ = random_problem(0)
    double = make_targets([[0, 4], [1]], [2.0, 1.0, 1.0])
    twice = make_targets([[0, 0, 4], [1]])
    grads = []
    for targets in (double, twice):
        loss = SampledSoftmaxLoss()(users[:2], items, targets)
        grads.append((loss, *torch.autograd.grad(loss, (users, items))))
    for one, other in zip(*grads, strict=True):
        torch.testing.assert_close(one, other)


def test_extreme_logits_stay_finite():
    vectors = torch.nn.functional.normalize(
        torch.randn(50, 8, generator=torch.Generator().manual_seed(0)), dim=1
    ).requires_grad_()
    targets = make_targets([[i] for i in range(20)], log_q=torch.full((50,), -15.0))
    opposite = torch.cat([-vectors[:10], vectors[10:20]])
    loss = SampledSoftmaxLoss(1e-3)(opposite, vectors, targets)
    loss.backward()
    # Ten users have a score of -1 with their positive: about 2 / T each; ten of +1: 0.
    assert 500 < loss.item() < 1000
    assert torch.isfinite(vectors.grad).all() and vectors.grad.abs().max() > 1


class LargestTensor(TorchDispatchMode):
    """Records the size of the largest tensor that any operation gives."""

    size = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        for tensor in out if isinstance(out, (tuple, list)) else [out]:
            if isinstance(tensor, torch.Tensor):
                self.size = max(self.size, tensor.numel())
        return out


@for_each("dtype", [None, torch.bfloat16])
def test_tiles_have_the_value_and_gradient_of_one(dtype):
    def result(tile_size):
        users, items, targets = random_problem(0)
        users, items = (x.detach().float().requires_grad_() for x in (users, items))
        loss = SampledSoftmaxLoss(0.3, tile_size, matmul_dtype=dtype)
        value = loss(users, items, targets)
        value.backward()
        return value.detach(), users.grad, items.grad

    whole = result(10**6)
    for size in (1, 20, 40):
        torch.testing.assert_close(result(size), whole, rtol=2e-2, atol=2e-3)


@pytest.mark.slow
def test_no_tensor_is_larger_than_a_tile():
    users = torch.randn(90, 2, requires_grad=True)
    items = torch.randn(40, 2, requires_grad=True)
    shown = (torch.arange(90), (torch.arange(90) + 1) % 40, torch.ones(90))
    targets = make_targets(
        [[i % 40] for i in range(90)], log_q=torch.zeros(40), impressions=shown
    )
    with LargestTensor() as largest:
        SampledSoftmaxLoss(tile_size=200)(users, items, targets).backward()
    assert largest.size == 200  # 5 users of 40 scores, not 90 * 40 = 3600
