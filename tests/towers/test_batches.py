from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest
import torch
from scipy import sparse
from torch import nn

from sktwotower.towers import SampledSoftmaxLoss
from sktwotower.towers.batches._batches import TrainingSet, UserBatches, history_bag
from sktwotower.towers.batches._candidates import inclusion_log_prob
from tests.cases import for_each

# Users 0 to 5; user 3 chose nothing. Item 4 was never chosen.
POSITIVES = [
    [1, 0, 2, 0, 0],
    [0, 0, 0, 3, 0],
    [1, 1, 1, 0, 0],
    [0, 0, 0, 0, 0],
    [0, 5, 0, 0, 0],
    [1, 0, 0, 1, 0],
]
ACTIVE = [0, 1, 2, 4, 5]


def csr(array):
    return sparse.csr_matrix(np.asarray(array, dtype=np.float32))


def training_set(positives=POSITIVES, **others):
    """Users and items described by their numbers only: row i is one-hot i."""
    n_users, n_items = np.shape(positives)
    others = {name: csr(value) for name, value in others.items()}
    return TrainingSet(
        csr(np.eye(n_users)), csr(np.eye(n_items)), csr(positives), **others
    )


def users_of(batch):
    return batch.user_rows.indices.tolist()


def candidates_of(batch):
    return batch.item_rows.indices.tolist()


def targets_of(batch, targets):
    """Return {(user, item): reward}."""
    rows = np.repeat(users_of(batch), targets.offsets.diff().numpy())
    items = np.array(candidates_of(batch))[targets.columns.numpy()]
    keys = zip(rows.tolist(), items.tolist(), strict=True)
    return dict(zip(keys, targets.weights.tolist(), strict=True))


def order_of(batches):
    return [user for batch, _ in batches for user in users_of(batch)]


@for_each("sampling", ["full", "in_batch"])
@for_each("batch_size", [1, 2, 5, 100])
@for_each("shuffle", [True, False])
def test_an_epoch_visits_each_user_with_all_positives_once(
    sampling, batch_size, shuffle
):
    data = training_set()
    batches = UserBatches(data, batch_size, sampling, shuffle=shuffle)
    seen, users = {}, []
    for batch, targets in batches:
        assert len(batch) == len(targets) <= batch_size
        users += users_of(batch)
        seen |= targets_of(batch, targets)
    assert sorted(users) == ACTIVE and len(data) == 5
    assert len(batches) == -(-5 // batch_size)
    matrix = np.array(POSITIVES)
    assert seen == {
        (u, i): matrix[u, i] for u, i in zip(*matrix.nonzero(), strict=True)
    }


def test_a_user_of_n_events_counts_n_to_the_power():
    """Rewards are divided by the roots of 2, 1, 3, 1, 2 events; so is their mean."""
    data, matrix = replace(training_set(), user_power=0.5), np.array(POSITIVES)
    n_events = np.maximum(np.count_nonzero(matrix, axis=1), 1)
    expected = matrix / np.sqrt(n_events)[:, None]
    found = [*UserBatches(data, 2), *UserBatches(data, 2, "in_batch")]
    for batch, targets in found:
        for (user, item), reward in targets_of(batch, targets).items():
            assert reward == pytest.approx(expected[user, item])
        mean = expected.sum() / len(ACTIVE)
        assert targets.total_weight == pytest.approx(mean * len(batch))
    ((batch, targets),) = UserBatches(data, 9, user_power=1.0)
    assert targets_of(batch, targets)[4, 1] == 5
    assert targets_of(batch, targets)[0, 2] == 2
    assert data.with_items(np.arange(4)).user_power == 0.5


def test_order_is_new_in_each_epoch_and_the_same_with_the_same_seed():
    data = training_set(np.ones((30, 3)))
    batches, again = (UserBatches(data, 4, shuffle=True, seed=7) for _ in range(2))
    first, second = order_of(batches), order_of(batches)
    assert first != second and first != sorted(first)
    assert [first, second] == [order_of(again), order_of(again)]
    assert order_of(UserBatches(data, 4, shuffle=True, seed=8)) != first
    assert order_of(UserBatches(data, 4)) == list(range(30))


def test_full_candidates_are_the_catalog_without_correction():
    for batch, targets in UserBatches(training_set(), 2):
        assert candidates_of(batch) == [0, 1, 2, 3, 4] and targets.log_q is None


def test_in_batch_candidates_are_the_distinct_positives():
    matrix = np.array(POSITIVES)
    for batch, targets in UserBatches(training_set(), 2, "in_batch", correction="all"):
        chosen = matrix[users_of(batch)].any(axis=0)
        assert candidates_of(batch) == np.flatnonzero(chosen).tolist()
        counts = (matrix > 0).sum(axis=0)[chosen]  # the last batch holds one user
        expected = inclusion_log_prob(counts, len(ACTIVE), len(batch))
        np.testing.assert_allclose(targets.log_q, expected, rtol=1e-6)
        own = targets.log_q[targets.columns]
        np.testing.assert_allclose(targets.positive_log_q, own)


def test_without_correction_all_candidates_weigh_the_same():
    for _, targets in UserBatches(training_set(), 2, "in_batch", correction=None):
        assert targets.log_q.eq(0).all() and targets.positive_log_q is None


def sums_of_negatives(batches, scores, user):
    """Return the corrected sums over the negatives of a user, one for each batch."""
    found = []
    for batch, targets in batches:
        users = users_of(batch)
        if user not in users:
            continue
        row = users.index(user)
        own = targets.columns[targets.offsets[row] : targets.offsets[row + 1]]
        share = scores[candidates_of(batch)] / targets.log_q.double().exp().numpy()
        found.append(share.sum() - share[own].sum())
    return found


@pytest.mark.slow
@pytest.mark.parametrize("sampling", ["in_batch", "uniform", "mixed"])
def test_sums_of_negatives_are_right_on_average(sampling):
    # With the inclusion probability the mean over all batches IS the full sum.
    rng = np.random.default_rng(0)
    positives = rng.random((6, 5)) < 0.35
    positives[np.arange(6), np.arange(6) % 5] = True
    positives[:, 4] = [0, 0, 0, 0, 1, 1]  # nobody's in many batches
    data = training_set(positives)
    scores = rng.uniform(1, 3, 5)
    for user in (0, 4):  # who has nothing in particular, and the item of few
        found = []
        for rest in combinations(np.setdiff1d(range(6), user), 2):
            for drawn in combinations(range(5), 2):
                batches = UserBatches(data, 3, sampling, n_negatives=2, shuffle=True)
                batches.rng = Fixed([user, *rest], drawn)
                found += sums_of_negatives(batches, scores, user)
        expected = scores[~positives[user]].sum()
        if sampling == "in_batch":  # items that nobody else has can never be there
            expected = scores[~positives[user] & positives.any(axis=0)].sum()
        assert np.mean(found) == pytest.approx(expected, rel=1e-6)


class Fixed:
    """Draws these users first, and these items."""

    def __init__(self, users, items):
        self.users = np.array(users)
        self.items = np.array(items)

    def permutation(self, users):
        return self.users

    def choice(self, n, size, replace):
        return self.items


def test_impressions_are_candidates_of_their_own_user():
    shown = np.zeros((6, 5))
    shown[0, 4] = shown[1, 0] = 3
    data = training_set()
    batches = UserBatches(data, 2, "in_batch")
    for batch, targets in batches:
        assert targets.impressions is None and 4 not in candidates_of(batch)
    data.impressions = csr(shown)
    (batch, targets), *rest = batches
    assert users_of(batch) == [0, 1] and candidates_of(batch) == [0, 2, 3, 4]
    rows, columns, weights = map(torch.Tensor.tolist, targets.impressions)
    assert (rows, columns, weights) == ([0, 1], [3, 0], [3.0, 3.0])
    # Item 4 is there only for user 0: it is nobody's sampled candidate.
    assert torch.isinf(targets.log_q).tolist() == [False, False, False, True]
    assert all(4 not in candidates_of(batch) for batch, _ in rest)


def test_impressions_keep_their_weight_with_every_candidate():
    data = training_set(impressions=2 * np.eye(6, 5))
    ((_, targets),) = UserBatches(data, 9)
    # Users 0, 1, 2, 4 and 5 are rows 0 to 4; user 5 was shown nothing.
    rows, columns, weights = map(torch.Tensor.tolist, targets.impressions)
    assert (rows, columns, weights) == ([0, 1, 2, 3], [0, 1, 2, 4], [2.0] * 4)


@for_each(("sampling", "n_columns"), [("full", 5), ("in_batch", 3)])
def test_known_positives_are_hidden(sampling, n_columns):
    held = np.zeros((6, 5))
    held[0, 1] = held[2, [0, 3]] = 1
    data = training_set(held, known=POSITIVES)
    ((batch, targets),) = UserBatches(data, 9, sampling)
    items = np.array(candidates_of(batch))
    assert users_of(batch) == [0, 2] and len(items) == n_columns
    rows, columns = targets.hidden
    pairs = set(zip(rows.tolist(), items[columns].tolist(), strict=True))
    known = {(0, 0), (0, 2), (1, 0), (1, 1), (1, 2)}
    assert pairs == {(row, item) for row, item in known if item in items}


def test_history_bag_holds_the_mean_of_all_items():
    rows, bag = history_bag(csr(POSITIVES), csr(np.eye(5)))
    assert rows.indices.tolist() == [0, 1, 2, 3]
    means = np.array(POSITIVES)[:, :4] > 0
    means = means / np.maximum(means.sum(axis=1, keepdims=True), 1)
    np.testing.assert_allclose(bag.to_torch().to_dense(), means, rtol=1e-6)


@for_each("sampling", ["full", "in_batch"])
def test_batches_give_the_history_of_their_own_users(sampling):
    batches = UserBatches(training_set(history=POSITIVES), 2, sampling, shuffle=True)
    for batch, _ in batches:
        bag = batch.history.to_torch().to_dense()
        got = bag @ batch.history_items.to_torch().to_dense()
        chosen = np.array(POSITIVES)[users_of(batch)] > 0
        np.testing.assert_allclose(
            got, chosen / chosen.sum(axis=1, keepdims=True), rtol=1e-6
        )


@for_each("dropout", [0.2, 0.5, 0.8])
def test_history_dropout_leaves_out_the_share_asked_for(dropout):
    history = csr(np.ones((400, 50)))
    rng = np.random.default_rng(0)
    _, bag = history_bag(history, csr(np.eye(50)), None, dropout, rng)
    kept = bag.offsets.diff().numpy()
    assert 1 - kept.mean() / 50 == pytest.approx(dropout, abs=0.03)
    # Histories long and short, as wide around the mean as [0, 1] allows.
    width = min(dropout, 1 - dropout)
    assert kept.std() / 50 == pytest.approx(width / 3**0.5, abs=0.05)
    sums = bag.to_torch().to_dense().sum(dim=1).numpy()
    np.testing.assert_allclose(sums, kept > 0, rtol=1e-5)


def test_history_dropout_differs_from_pass_to_pass_only():
    data = training_set(np.ones((20, 30)), history=np.ones((20, 30)))

    def bags(batches):
        return [batch.history.offsets.tolist() for batch, _ in batches]

    batches, again = (
        UserBatches(data, 5, history_dropout=0.5, shuffle=True, seed=3)
        for _ in range(2)
    )
    first, second = bags(batches), bags(batches)
    assert first != second
    assert [first, second] == [bags(again), bags(again)]


class AllBatches:
    """Orders in which the first half runs through all halves of the users."""

    def __init__(self, n_users):
        self.halves = combinations(range(n_users), n_users // 2)

    def permutation(self, users):
        half = np.array(next(self.halves))
        return users[np.concatenate([half, np.setdiff1d(range(len(users)), half)])]


def summed_denominator_slope(batches, users, items, epochs, corrected=True):
    """Sum over batches the gradient of the log-denominators by item vectors."""
    total = torch.zeros_like(items)
    loss = SampledSoftmaxLoss(temperature=0.5)
    for _ in range(epochs):
        for batch, targets in batches:
            if not corrected:
                targets.log_q = None
            rows, columns = batch.user_rows.indices, batch.item_rows.indices
            table = items[columns].detach().requires_grad_()
            value = loss(users[rows], table, targets) * targets.weights.sum()
            row = torch.repeat_interleave(
                torch.arange(len(rows)), targets.offsets.diff()
            )
            own = (users[rows][row] * table[targets.columns]).sum(dim=1) / 0.5
            (value + (targets.weights * own).sum()).backward()
            total.index_add_(0, columns, table.grad)
    return total


@pytest.mark.each_time("0")
@pytest.mark.slow
@pytest.mark.parametrize("seed", range(2))
def test_corrected_in_batch_gradient_points_where_the_full_softmax_does(seed):
    rng = np.random.default_rng(seed)
    popularity = np.linspace(0.05, 0.7, 12)
    positives = rng.random((8, 12)) < popularity
    positives[np.arange(8), np.arange(8)] = True
    data = training_set(positives)
    users, items = (
        nn.functional.normalize(torch.tensor(rng.normal(size=(n, 3))), dim=1)
        for n in (8, 12)
    )
    full = summed_denominator_slope(UserBatches(data, 4), users, items, 1)
    cosines = {}
    for corrected in (True, False):
        batches = UserBatches(data, 4, "in_batch", shuffle=True)
        batches.rng = AllBatches(8)
        slope = summed_denominator_slope(batches, users, items, 70, corrected)
        flat = nn.functional.cosine_similarity(slope.ravel(), full.ravel(), dim=0)
        cosines[corrected] = flat.item()
    assert cosines[True] > 0.9
    assert cosines[True] > cosines[False]


def mean_gradient(batches, users, items, temperature, epochs):
    """Average over epochs the gradient of the loss by all user and item vectors."""
    loss = SampledSoftmaxLoss(temperature)
    total = torch.zeros(len(users) + len(items), users.shape[1], dtype=users.dtype)
    for _ in range(epochs):
        for batch, targets in batches:
            tables = [x.clone().requires_grad_() for x in (users, items)]
            rows, columns = batch.user_rows.indices, batch.item_rows.indices
            value = loss(tables[0][rows], tables[1][columns], targets)
            # The loss of a batch is divided by what its users weigh on average.
            (value * targets.total_weight).backward()
            total += torch.cat([tables[0].grad, tables[1].grad])
    return total / epochs


@pytest.mark.each_time(
    "uniform-sizes0-negatives", "in_batch-sizes1-all", "mixed-sizes2-negatives"
)
@pytest.mark.slow
@pytest.mark.parametrize("correction", ["negatives", "all"])
@pytest.mark.parametrize(
    ("sampling", "sizes"),
    [
        ("uniform", [{"n_negatives": n} for n in (3, 9, 15)]),
        ("in_batch", [{"batch_size": n} for n in (3, 6, 12)]),
        (
            "mixed",
            [{"batch_size": b, "n_negatives": n} for b, n in [(2, 2), (4, 6), (6, 15)]],
        ),
    ],
)
def test_mean_gradient_approaches_that_of_the_full_softmax(sampling, sizes, correction):
    rng = np.random.default_rng(0)
    positives = rng.random((12, 15)) < np.linspace(0.1, 0.4, 15)
    positives[np.arange(12), np.arange(12)] = True
    positives[:3, 12:] = True  # somebody chose each item
    data = training_set(positives)
    users, items = (
        nn.functional.normalize(torch.tensor(rng.normal(size=(n, 4))), dim=1)
        for n in (12, 15)
    )

    def gradient(temperature, epochs, **params):
        batches = UserBatches(data, correction=correction, shuffle=True, **params)
        return mean_gradient(batches, users, items, temperature, epochs)

    full = gradient(0.5, 1)
    errors = []
    for size, epochs in zip(sizes, (40, 40, 1), strict=True):
        mean = gradient(0.5, epochs, candidate_sampling=sampling, **size)
        errors.append(((mean - full).norm() / full.norm()).item())
    assert errors[0] < 0.45 and errors[1] < errors[0] / 2
    assert errors[2] < 1e-6  # all items are candidates
    # A correction before the temperature would be another one for each temperature.
    for temperature in (0.2, 2.0):
        mean = gradient(temperature, 20, candidate_sampling=sampling, **sizes[1])
        exact = gradient(temperature, 1)
        cosine = nn.functional.cosine_similarity(mean.ravel(), exact.ravel(), dim=0)
        assert cosine > 0.98
