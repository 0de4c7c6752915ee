"""Requests of a batch: what was chosen in which context, and the gradient of it."""

import numpy as np
import pytest
import torch
from scipy import sparse

from sktwotower._tables._event_table import EventTable
from sktwotower.towers import SampledSoftmaxLoss, _request_batches
from sktwotower.towers._batches import TrainingSet, UserBatches
from sktwotower.towers._recipe import Recipe
from sktwotower.towers._request_batches import PairContexts
from sktwotower.towers._sequence_batches import SequenceBatches, SequenceSet
from sktwotower.towers.parts._trained import PooledTowers, RecentTowers
from tests.builders import small

N_USERS, N_ITEMS, P = 4, 6, 3


def csr(array):
    return sparse.csr_matrix(np.asarray(array, dtype=np.float32))


# (user, context or None, item, weight); user 3 has no known context
CHOSEN = [
    (0, 0, 1, 1.0),
    (0, 0, 2, 2.0),
    (0, 1, 1, 3.0),
    (0, None, 1, 0.5),
    (0, None, 4, 1.0),
    (1, 2, 0, 1.0),
    (1, 2, 5, 0.25),
    (2, 0, 3, 1.0),
    (2, None, 3, 1.0),
    (3, None, 2, 1.0),
]
SHOWN = [(0, 0, 3, 1.0), (0, None, 5, 2.0), (1, 2, 2, 1.0), (2, 0, 0, 1.0)]
ROWS = csr([[1, 0, 0], [0, 1, 0], [1, 0, 2], [0, 1, 1]])  # of the contexts below
KEYS = [(0, 0), (0, 1), (1, 2), (2, 0)]


def sums(events, n, row_of):
    matrix = np.zeros((n, N_ITEMS))
    for user, context, item, weight in events:
        row = row_of(user, context)
        if row is not None:
            matrix[row, item] += weight
    return csr(matrix)


def by_user(events):
    return sums(events, N_USERS, lambda user, _: user)


def contexts():
    def row_of(user, context):
        return None if context is None else KEYS.index((user, context))

    matrices = (sums(events, len(KEYS), row_of) for events in (CHOSEN, SHOWN))
    return PairContexts(np.array([0, 2, 3, 4, 4]), ROWS, *matrices)


def keys_of(requests, n):
    """Return the feature row of each of n requests, zeros if it is unknown."""
    rows = np.zeros((n, P))
    asked = requests.rows
    entries = asked.values, asked.indices, asked.offsets
    known = sparse.csr_matrix(entries, shape=(len(asked), P)).toarray()
    rows[requests.asking.numpy()] = known
    return rows


def added(users, seed, shown=True):
    users = np.array(users)
    impressions = by_user(SHOWN)[users] if shown else None
    rng = np.random.default_rng(seed)
    return contexts().add(users, by_user(CHOSEN)[users], impressions, rng)


def test_a_user_with_many_contexts_asks_in_one_on_average():
    n, users = 1000, np.zeros(200, dtype=int)
    rows = csr(np.ones((n, 1)))
    many = PairContexts(np.array([0, n]), rows, csr(np.ones((n, 2))), None)
    drawn, owners, weights = many.draw(users, np.random.default_rng(0))
    counts = np.bincount(owners, minlength=200)
    # 200 draws of a number with mean 1 and variance 1
    assert abs(counts.mean() - 1) < 5 / 200**0.5
    assert len(np.unique(drawn)) > 100
    assert (weights == _request_batches.MAX_WEIGHT).all()


def batches(**params):
    eye = csr(np.eye(N_USERS)), csr(np.eye(N_ITEMS))
    positives = by_user(CHOSEN)
    data = TrainingSet(
        *eye,
        positives,
        history=positives,
        impressions=by_user(SHOWN),
        contexts=contexts(),
    )
    return UserBatches(data, **{"batch_size": 4} | params)


def test_pairs_of_a_batch_that_are_compared():
    """A request is compared with all items except those chosen in it."""
    seen = set()
    for seed in range(10):
        ((batch, targets),) = batches(seed=seed)
        requests, n = batch.requests, len(targets)
        assert len(requests.owners) == n
        assert (targets.columns.diff().abs() + 1 > 0).all()
        shown_rows, shown_items, weights = targets.impressions
        for row in range(n):
            part = slice(*targets.offsets[row : row + 2])
            user = int(requests.owners[row])
            items = {*targets.columns[part].tolist()}
            assert items <= {item for u, _, item, _ in CHOSEN if u == user}
            shown = shown_items[shown_rows == row].tolist()
            assert {*shown} <= {item for u, _, item, _ in SHOWN if u == user}
            seen.add((user, frozenset(items), frozenset(shown)))
        total = sum(weight for *_, weight in CHOSEN)
        assert targets.total_weight == pytest.approx(total)
        assert float(targets.weights.sum()) >= total * (1 - 1e-6)
    # user 0: everything in one row, and what was chosen in context 1 in another one
    assert (1, frozenset({0, 5}), frozenset({2})) in seen
    assert any(user == 0 and items == {1, 2} for user, items, _ in seen)


def towers(kind):
    torch.manual_seed(0)
    past = {PooledTowers: "pooled", RecentTowers: "recent"}[kind]
    recipe = Recipe.of(small(embedding_dim=3))._replace(
        dropout=0.0, history=past, max_history=20
    )
    part = kind.build(recipe, N_USERS, N_ITEMS, n_context=P).double().train()
    for name, parameter in part.named_parameters():
        if name.startswith("context") or not parameter.any():
            parameter.data.normal_(0, 0.3)
    return part


def assert_gradients(part, batch, targets):
    """Assert that gradients of the loss of a batch are its finite differences."""
    assert len(batch.requests.asking)
    for part_of_batch in (*vars(batch).values(), batch.requests.rows):
        for name, values in vars(part_of_batch).items():
            if getattr(values, "dtype", None) == torch.float32:
                setattr(part_of_batch, name, values.double())
    loss = SampledSoftmaxLoss(0.5, impression_weight=0.0)

    def compute():
        return loss(*part(batch), targets)

    compute().backward()
    step, checked = 1e-6, 0
    with torch.no_grad():
        for name, parameter in part.named_parameters():
            slopes = parameter.grad.to_dense().view(-1)
            flat = parameter.data.view(-1)
            for place in range(0, len(flat), 1 if "context" in name else 5):
                before = flat[place].clone()
                values = []
                for sign in (1, -1):
                    flat[place] = before + sign * step
                    values.append(float(compute()))
                flat[place] = before
                slope = (values[0] - values[1]) / (2 * step)
                assert float(slopes[place]) == pytest.approx(slope, abs=1e-6)
                checked += abs(slope) > 1e-4
    assert checked > 15


@pytest.mark.parametrize("sampling", ["full", "in_batch"])
def test_the_gradient_of_a_batch_against_finite_differences(sampling):
    ((batch, targets),) = batches(seed=3, candidate_sampling=sampling)
    assert_gradients(towers(PooledTowers), batch, targets)


class Codes:
    """The contexts of events, by their codes; the gap is the last column."""

    sees_gaps = True

    def rows(self, table, events, gaps):
        rows = np.zeros((len(events), P), dtype=np.float32)
        known = table.contexts[events] > 0
        rows[known] = ROWS.toarray()[table.contexts[events][known] - 1]
        rows[:, -1] = np.nan_to_num(gaps)
        return csr(rows)


def in_order():
    """Return a training set in which users choose one after the other."""
    rng = np.random.default_rng(0)
    users, items = rng.integers(N_USERS, size=30), rng.integers(N_ITEMS, size=30)
    times, contexts = rng.integers(9, size=30), rng.integers(5, size=30)
    shape, weights = (N_USERS, N_ITEMS), np.ones(30)
    table = EventTable.of(users, items, shape, times, weights, weights, contexts)
    eye = csr(np.eye(N_USERS)), csr(np.eye(N_ITEMS))
    return SequenceSet(*eye, table.in_order(), 20, Codes())


def test_the_gradient_of_a_batch_in_order():
    ((batch, targets),) = SequenceBatches(in_order(), batch_size=8, seed=1)
    part = towers(RecentTowers)
    assert_gradients(part, batch, targets)
