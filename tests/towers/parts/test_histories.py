"""Sums of past items with decays, in training and for a complete past."""

import numpy as np
import torch
from scipy import sparse

from sktwotower.runtime._tower_arrays import MIN_WEIGHT
from sktwotower.towers.histories._recent import DECAYS, RecentLayer
from sktwotower.towers.operators._decays import Windows
from sktwotower.towers.operators._sparse_rows import SparseRows
from tests.cases import for_each

N_SUMS = len(DECAYS) + 1
# Sizes of the module's input and output.
N_FEATURES, WIDTH = 6, 3


def identity(n):
    return SparseRows.from_csr(sparse.identity(n, dtype=np.float32, format="csr"))


def module(seed=0):
    """A module whose parameters are all different."""
    torch.manual_seed(seed)
    history = RecentLayer(N_FEATURES, WIDTH, max_history=9)
    with torch.no_grad():
        history.mix += torch.randn_like(history.mix) / 3
        history.log_decays += torch.randn(len(DECAYS)) / 3
    return history


def trained(history, windows):
    """Return the training form, with products in float32 on every processor."""
    return history.pool_batch(identity(N_FEATURES), windows, torch.float32)


class Events:
    """Random events of users: items, baskets, whether kept and whether predicted.

    Each is a list of lists: one list per user, oldest event first.
    """

    def __init__(self, seed, n_users=4, longest=7):
        rng = np.random.default_rng(seed)
        lengths = rng.integers(1, longest + 1, n_users)
        lengths[0] = longest
        self.items = [rng.integers(N_FEATURES, size=n).tolist() for n in lengths]
        self.baskets = [np.cumsum(rng.random(n) < 0.6).tolist() for n in lengths]
        self.kept = [(rng.random(n) < 0.7).tolist() for n in lengths]
        self.predicted = [(rng.random(n) < 0.8).tolist() for n in lengths]
        self.predicted[0][-1] = True

    def windows(self):
        """Return the ``Windows``, built event by event."""
        n_users, length = len(self.items), max(map(len, self.items))
        items = torch.zeros(length, n_users, dtype=torch.int64)
        steps, kept = torch.zeros(2, length, n_users)
        for user, own in enumerate(self.items):
            baskets = self.baskets[user]
            for at, item in enumerate(own):
                items[at, user] = item
                steps[at, user] = float(at > 0 and baskets[at] != baskets[at - 1])
                kept[at, user] = float(self.kept[user][at])
        targets, ends = [], []
        for at in range(length):
            for user, baskets in enumerate(self.baskets):
                if at < len(baskets) and self.predicted[user][at]:
                    last = max(i for i, b in enumerate(baskets) if b == baskets[at])
                    targets.append(at * n_users + user)
                    ends.append(last * n_users + user)
        return Windows(items, steps, kept, torch.tensor(targets), torch.tensor(ends))

    def seen(self, user, at):
        """Return [(item, lag), ...] of the past of the event ``at`` of a user."""
        baskets = self.baskets[user]
        numbers = {basket: i for i, basket in enumerate(sorted(set(baskets)))}
        return [
            (item, numbers[baskets[at]] - numbers[baskets[other]])
            for other, item in enumerate(self.items[user])
            if other != at and self.kept[user][other] and baskets[other] <= baskets[at]
        ]

    def pasts(self):
        """Return the past of each prediction, in the order of the windows."""
        n_users = len(self.items)
        return [
            self.seen(int(place) % n_users, int(place) // n_users)
            for place in self.windows().targets
        ]


def by_hand(history, pasts):
    """Return the sums (n, width) of pasts [(item, lag), ...], by two loops."""
    rates = [1 / torch.exp(log_decay) for log_decay in history.log_decays] + [0.0]
    outputs = []
    for past in pasts:
        output = torch.zeros(WIDTH, dtype=history.mix.dtype)
        for h, rate in enumerate(rates):
            matrix = history.mix[h * WIDTH : (h + 1) * WIDTH]
            total, weights = torch.zeros(WIDTH, dtype=matrix.dtype), 0.0
            for item, lag in past:
                weight = torch.exp(torch.as_tensor(-lag * rate, dtype=matrix.dtype))
                total = total + weight * history.items.weight[item]
                weights = weights + weight
            if past:
                output = output + (total / weights**0.5) @ matrix
        outputs.append(output)
    return torch.stack(outputs)


def bag_of(pasts, n_items=N_FEATURES):
    """Return the lags of pasts [(item, lag), ...] as ``SparseRows``."""
    entries = [entry for past in pasts for entry in past]
    return SparseRows(
        torch.tensor([item for item, _ in entries], dtype=torch.int64),
        torch.tensor([0, *np.cumsum(list(map(len, pasts)))], dtype=torch.int64),
        torch.tensor([lag for _, lag in entries], dtype=torch.float32),
        n_items,
    )


def test_the_initial_output_by_hand():
    history = RecentLayer(2, 2, max_history=9)
    with torch.no_grad():
        history.items.weight.copy_(torch.eye(2))
    # item 0 two baskets ago, item 1 twice in the latest
    output = history.pool(identity(2), bag_of([[(0, 2), (1, 1), (1, 1)]], 2))
    expected = np.zeros(2)
    for tau in (1, 3, 10, 50, np.inf):
        first, second = np.exp(-2 / tau), 2 * np.exp(-1 / tau)
        expected += np.array([first, second]) / np.sqrt(first + second) / 5
    np.testing.assert_allclose(output.detach()[0], expected, rtol=1e-6)
    assert output.dtype == torch.float64


def test_initial_decays_and_matrices():
    history = RecentLayer(2, 3, max_history=9)
    expected = [1, 1 / 3, 1 / 10, 1 / 50, 0]
    np.testing.assert_allclose(history.rates().detach(), expected, rtol=1e-6)
    assert history.mix.shape == (5 * 3, 3) and history.width == 3
    np.testing.assert_allclose(history.mix.detach(), np.tile(np.eye(3), (5, 1)) / 5)


@for_each("seed", range(10))
def test_training_form_is_that_of_two_loops(seed):
    history, events = module(seed), Events(seed)
    output = trained(history, events.windows())
    expected = by_hand(history, events.pasts())
    torch.testing.assert_close(output, expected, rtol=1e-4, atol=1e-5)


@for_each("seed", range(5))
def test_gradients_of_the_training_form_are_those_of_two_loops(seed):
    # in float64, where no rounding hides a wrong term
    history, events = module(seed).double(), Events(seed)
    windows = events.windows()
    windows.kept, windows.steps = windows.kept.double(), windows.steps.double()
    rows = identity(N_FEATURES)
    rows.values = rows.values.double()
    upstream = torch.randn(len(windows), WIDTH, dtype=torch.float64)
    outputs = history.pool_batch(rows, windows), by_hand(history, events.pasts())
    torch.testing.assert_close(*outputs)
    parameters = history.items.weight, history.log_decays, history.mix
    found, expected = (
        torch.autograd.grad((output * upstream).sum(), parameters) for output in outputs
    )
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other)
        assert one.abs().max() > 1e-3


@for_each("seed", range(10))
def test_pool_is_that_of_two_loops(seed):
    history, pasts = module(seed), Events(seed).pasts()
    pasts.insert(2, [])  # a user without past items
    output = history.pool(identity(N_FEATURES), bag_of(pasts))
    expected = by_hand(history, pasts)
    torch.testing.assert_close(output, expected.double(), rtol=1e-4, atol=1e-5)
    assert (output[2] == 0).all()


def test_pool_of_nothing_is_zero():
    history = module()
    for n_items in (0, 2):
        rows = SparseRows.from_csr(
            sparse.csr_matrix((n_items, N_FEATURES), dtype=np.float32)
        )
        output = history.pool(rows, bag_of([[], []], n_items))
        assert output.shape == (2, WIDTH) and (output == 0).all()
        assert history.pool(rows, bag_of([], n_items)).shape == (0, WIDTH)


def test_a_very_old_past_counts_little_and_is_finite():
    history = module()
    output = history.pool(identity(N_FEATURES), bag_of([[(1, 1000.0)]]))
    assert torch.isfinite(output).all()
    with torch.no_grad():
        weights = history.weights(torch.tensor([1000.0]))[0]
        scaled = weights / weights.clamp_min(MIN_WEIGHT).sqrt()
        vector = history.items.weight[1]
        expected = torch.cat([scale * vector for scale in scaled]) @ history.mix
    torch.testing.assert_close(output[0], expected.double(), rtol=1e-4, atol=1e-6)


@for_each("seed", range(10))
def test_both_forms_agree_after_the_last_basket(seed):
    # what is predicted after the whole past: a basket of one event that nobody sees
    history, events = module(seed), Events(seed)
    for user, own in enumerate(events.items):
        own.append(0)
        events.baskets[user].append(events.baskets[user][-1] + 1)
        events.kept[user].append(False)
        events.predicted[user] = [False] * (len(own) - 1) + [True]
    windows = events.windows()
    found = trained(history, windows)
    pasts = [events.seen(user, len(events.items[user]) - 1) for user in windows.owners]
    assert min(lag for past in pasts for _, lag in past) == 1
    pooled = history.pool(identity(N_FEATURES), bag_of(pasts))
    torch.testing.assert_close(found.double(), pooled, rtol=1e-4, atol=1e-5)


@for_each("seed", range(10))
def test_later_baskets_change_nothing(seed):
    history, events = module(seed), Events(seed, longest=9)
    events.baskets[0] = [0, 0, 1, 1, 1, 2, 2, 3, 3]
    events.predicted[0] = [True] * 9
    windows = events.windows()
    before = trained(history, windows)
    for later in range(5, 9):  # all after basket 1 of user 0
        events.items[0][later] = (events.items[0][later] + 1) % N_FEATURES
        events.kept[0][later] ^= True
    after = trained(history, events.windows())
    n_users = len(events.items)
    places = windows.targets.tolist()
    early = [place % n_users != 0 or place // n_users < 5 for place in places]
    assert torch.equal(before[early], after[early])
    assert sum(early) >= 5 and not torch.equal(before, after)


def windows_of(items, steps, kept, targets, ends):
    """Return the ``Windows`` of one user."""
    return Windows(
        torch.tensor(items)[:, None],
        torch.tensor(steps, dtype=torch.float32)[:, None],
        torch.tensor(kept, dtype=torch.float32)[:, None],
        torch.tensor(targets),
        torch.tensor(ends),
    )


def test_the_rest_of_the_basket_counts_at_lag_0_and_the_event_itself_does_not():
    history = module()
    # item 4, then the basket of items 0, 1 and 2, then item 5
    windows = windows_of(
        [4, 0, 1, 2, 5], [0, 1, 0, 0, 1], [1] * 5, [0, 1, 2, 3, 4], [0, 3, 3, 3, 4]
    )
    pasts = [
        [],
        [(4, 1), (1, 0), (2, 0)],
        [(4, 1), (0, 0), (2, 0)],
        [(4, 1), (0, 0), (1, 0)],
        [(4, 2), (0, 1), (1, 1), (2, 1)],
    ]
    found = trained(history, windows)
    expected = by_hand(history, pasts)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)
    assert (found[0] == 0).all()


def test_a_hidden_event_is_predicted_and_not_seen():
    history = module()
    windows = windows_of([4, 0, 1], [0, 1, 1], [1, 0, 1], [1, 2], [1, 2])
    expected = by_hand(history, [[(4, 1)], [(4, 2)]])
    found = trained(history, windows)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


def test_items_are_pooled_by_their_features():
    # item 0 has the features 1 and 2, item 1 twice the feature 0
    matrix = sparse.csr_matrix(np.array([[0, 1, 1], [2, 0, 0]], dtype=np.float32))
    history = RecentLayer(3, 2, max_history=9)
    vectors = torch.tensor(matrix.toarray()) @ history.items.weight
    one_hot = RecentLayer(2, 2, max_history=9)
    with torch.no_grad():
        one_hot.items.weight.copy_(vectors)
    bag = bag_of([[(0, 2), (1, 1)], [(0, 1)]], 2)
    found = history.pool(SparseRows.from_csr(matrix), bag)
    torch.testing.assert_close(found, one_hot.pool(identity(2), bag))


def test_windows_know_the_user_of_each_prediction():
    windows = Events(1).windows()
    n_users = windows.items.shape[1]
    assert len(windows) == len(windows.targets) > n_users
    assert windows.owners.tolist() == [int(t) % n_users for t in windows.targets]
    moved = windows.to("cpu")
    for name in ("items", "steps", "kept", "targets", "ends"):
        assert torch.equal(getattr(moved, name), getattr(windows, name))
    assert moved.compiles == windows.compiles


def test_products_in_bfloat16_are_close():
    history, events = module(), Events(0)
    windows = events.windows()
    exact = trained(history, windows)
    found = history.pool_batch(identity(N_FEATURES), windows, torch.bfloat16)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, exact, rtol=0.05, atol=0.05)
