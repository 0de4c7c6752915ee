"""Batches of events in the order of time: what is predicted, and from what."""

from collections import Counter

import numpy as np
import pytest
import torch
from scipy import sparse

from sktwotower._tables._event_table import EventTable
from sktwotower.towers import SampledSoftmaxLoss
from sktwotower.towers.batches._batches import TrainingSet, UserBatches
from sktwotower.towers.batches._sequence_batches import (
    SequenceBatches,
    SequenceSet,
    latest_events,
)
from sktwotower.towers.histories import RecentLayer
from sktwotower.towers.operators._sparse_rows import SparseRows
from sktwotower.towers.parts._tower import Tower
from sktwotower.towers.parts._two_towers import TwoTowers
from sktwotower.towers.parts._vectors import Users
from tests.builders import first_fast
from tests.cases import for_each

N_ITEMS = 12


def csr(array):
    return sparse.csr_matrix(np.asarray(array, dtype=np.float32))


def table_of(users, weights=None, impressions=None):
    """Return the table of users given as lists of baskets, as in [[2], [0, 3]]."""
    counts = [sum(map(len, baskets)) for baskets in users]
    items = [item for baskets in users for basket in baskets for item in basket]
    numbers = [i for baskets in users for i, b in enumerate(baskets) for _ in b]
    if weights is None:
        weights = np.ones(len(items))
    return EventTable(
        N_ITEMS,
        np.append(0, np.cumsum(counts)),
        np.array(items, dtype=np.int32),
        np.array(numbers, dtype=np.int64),
        np.asarray(weights, dtype=np.float32),
        impressions=None if impressions is None else csr(impressions),
    )


def sequence_set(users, weights=None, max_history=50, item_rows=None, **others):
    """Users and items described by their numbers only: row i is one-hot i."""
    item_rows = csr(np.eye(N_ITEMS)) if item_rows is None else csr(item_rows)
    table = table_of(users, weights, **others)._replace(n_items=item_rows.shape[0])
    return SequenceSet(csr(np.eye(len(users))), item_rows, table, max_history)


def random_users(seed=0, n_users=9, longest=8):
    """Draw users with up to ``longest`` baskets; user 2 has none."""
    rng = np.random.default_rng(seed)
    users = []
    for _ in range(n_users):
        sizes = rng.choice([1, 1, 2, 3], rng.integers(1, longest + 1))
        users.append([sorted(rng.choice(N_ITEMS, n, False).tolist()) for n in sizes])
    users[2] = []
    return users


def random_weights(users, seed=0):
    """Draw weights of events, a third of them 0."""
    n_events = sum(len(basket) for baskets in users for basket in baskets)
    return np.random.default_rng(seed).choice([0, 1, 2.5], n_events)


def users_of(batch):
    return batch.user_rows.indices.numpy()


def events_of(data, batch):
    """Return the position of the event of each prediction, (n,)."""
    columns = batch.history.owners.numpy()
    steps = batch.history.targets.numpy() // batch.history.items.shape[1]
    return data.starts[users_of(batch)[columns]] + steps


def targets_of(batch, targets):
    """Return the item of each prediction, of one-hot items, (n,)."""
    assert targets.offsets.tolist() == list(range(len(batch.history) + 1))
    return batch.item_rows.indices.numpy()[targets.columns.numpy()]


SAMPLING = [
    {},
    {"candidate_sampling": "in_batch"},
    {"candidate_sampling": "uniform", "n_negatives": 3},
    {"candidate_sampling": "mixed", "n_negatives": 3, "correction": "all"},
]


@for_each("params", SAMPLING)
@for_each("batch_size", [1, 3, 100])
@for_each("shuffle", [True, False])
def test_each_target_occurs_once_in_an_epoch(params, batch_size, shuffle):
    users = random_users()
    data = sequence_set(users, random_weights(users))
    batches = SequenceBatches(data, batch_size, shuffle=shuffle, **params)
    table = data.table
    for _ in range(2):
        found = Counter()
        for batch, targets in batches:
            events = events_of(data, batch)
            assert (targets_of(batch, targets) == table.items[events]).all()
            weights = targets.weights.numpy()
            np.testing.assert_array_equal(weights, table.weights[events])
            found.update(events.tolist())
        assert found == Counter(np.flatnonzero(table.weights).tolist())


@for_each("batch_size", [1, 2, 5, 100])
@for_each("shuffle", [True, False])
def test_the_number_and_the_size_of_batches(batch_size, shuffle):
    data = sequence_set(random_users(n_users=30))
    batches = SequenceBatches(data, batch_size, shuffle=shuffle)
    for _ in range(2):
        shapes = [batch.history.items.shape for batch, _ in batches]
        assert len(shapes) == len(batches) == data.n_batches(batch_size)
        assert sum(n for _, n in shapes) == len(data) == 29
        assert all(n == 1 or t * n <= 8 * batch_size for t, n in shapes)


def test_batches_are_as_full_as_they_can_be():
    data = sequence_set(random_users(n_users=30))
    shapes = [batch.history.items.shape for batch, _ in SequenceBatches(data, 2)]
    # the longest first; one more user would be too many, except in the last batch
    assert [length for length, _ in shapes] == sorted(
        (length for length, _ in shapes), reverse=True
    )
    assert shapes[0][0] == data.lengths.max() and len(shapes) > 5
    assert all(length * (n + 1) > 16 for length, n in shapes[:-1])


def test_windows_end_with_the_last_target_and_are_bounded():
    users = [[[0], [1], [2], [3], [4]], [[5], [6]], [[7]], [[8], [9, 10, 11]]]
    weights = [1, 1, 0, 1, 0] + [1, 0] + [0] + [0, 1, 1, 1]
    data = sequence_set(users, weights, max_history=3)
    assert data.starts.tolist() == [1, 5, 7, 9] and data.stops.tolist() == [4, 6, 7, 12]
    assert data.users.tolist() == [0, 3, 1] and len(data) == 3
    # the first events of users 0 and 3 do not count, nor do those without weight
    positives = data.positives
    assert positives.indices.tolist() == [1, 3, 5, 9, 10, 11]
    assert positives.indptr.tolist() == [0, 2, 3, 3, 6]
    ((batch, targets),) = SequenceBatches(data)
    assert users_of(batch).tolist() == [0, 3, 1]
    assert events_of(data, batch).tolist() == [1, 9, 5, 10, 3, 11]
    assert targets_of(batch, targets).tolist() == [1, 9, 5, 10, 3, 11]


@for_each("max_history", [1, 2, 5])
def test_no_batch_has_more_events_of_a_user_than_max_history(max_history):
    users = random_users()
    data = sequence_set(users, max_history=max_history)
    for batch, _ in SequenceBatches(data, 2):
        assert len(batch.history.items) <= max_history
    n_events = [min(max_history, sum(map(len, baskets))) for baskets in users]
    assert data.lengths.tolist() == n_events


def test_windows_by_hand():
    # user 1 is longer, and comes first
    data = sequence_set([[[3], [4, 5]], [[0, 1], [2], [0], [6, 7]]])
    ((batch, targets),) = SequenceBatches(data)
    assert users_of(batch).tolist() == [1, 0]
    windows = batch.history
    real = windows.kept.bool()
    assert real.T.tolist() == [[True] * 6, [True] * 3 + [False] * 3]
    assert windows.items.T[0].tolist() == [0, 1, 2, 0, 6, 7]
    assert windows.items.T[1, :3].tolist() == [3, 4, 5]
    assert windows.steps.T.tolist() == [[0, 0, 1, 1, 1, 0], [0, 1, 0, 0, 0, 0]]
    # places are row * 2 + column
    assert windows.targets.tolist() == [0, 1, 2, 3, 4, 5, 6, 8, 10]
    assert windows.ends.tolist() == [2, 1, 2, 5, 4, 5, 6, 10, 10]
    assert targets_of(batch, targets).tolist() == [0, 3, 1, 4, 2, 5, 0, 6, 7]
    assert windows.owners.tolist() == [0, 1, 0, 1, 0, 1, 0, 0, 0]


def test_a_basket_ends_before_the_padding():
    data = sequence_set([[[0], [1], [2]], [[3, 4]]])
    ((batch, _),) = SequenceBatches(data)
    assert batch.history.targets.tolist() == [0, 1, 2, 3, 4]
    assert batch.history.ends.tolist() == [0, 3, 2, 3, 4]


def test_the_divisor_of_the_loss_is_the_mean_weight_of_predictions():
    users = [[[0], [1], [2]], [[3], [4]]]
    data = sequence_set(users, [9, 0, 1, 2, 3], max_history=2)
    # the first event is out of the window: weights 1, 2 and 3 are left
    found = [targets.total_weight for _, targets in SequenceBatches(data, 1)]
    assert found == [2.0 * 3]
    data = sequence_set(random_users(), random_weights(random_users()))
    totals = [targets.total_weight for _, targets in SequenceBatches(data, 2)]
    assert len(totals) > 1
    assert sum(totals) == pytest.approx(data.table.weights.sum())


def one_hot_ids(rows):
    """Return the columns of one-hot ``SparseRows``, (n,)."""
    assert rows.offsets.diff().eq(1).all()
    return rows.indices.numpy()


@for_each("params", SAMPLING)
@for_each("dropout", [0.0, 0.5, 0.99])
def test_past_items_are_the_events_that_are_not_hidden(params, dropout):
    data = sequence_set(random_users())
    batches = SequenceBatches(data, 3, history_dropout=dropout, shuffle=True, **params)
    for batch, _ in batches:
        ids, windows = one_hot_ids(batch.history_items), batch.history
        kept = windows.kept.bool().numpy()
        users = users_of(batch)
        steps = np.arange(len(kept))[:, None]
        real = steps < data.lengths[users]
        assert not (kept & ~real).any() and (kept == real).all() == (dropout == 0)
        events = np.where(real, data.starts[users] + steps, 0)
        found = ids[windows.items.numpy()]
        assert (found[kept] == data.table.items[events][kept]).all()


def test_history_dropout_hides_the_share_asked_for():
    data = sequence_set(random_users(n_users=300))
    batches = SequenceBatches(data, 50, history_dropout=0.3)
    first, again = ([b.history.kept for b, _ in batches] for _ in range(2))
    kept = sum(part.sum().item() for part in first)
    n_events = data.lengths.sum()
    assert kept / n_events == pytest.approx(0.7, abs=0.04)
    # without shuffling every pass is the same
    assert all(map(torch.equal, first, again))


def test_order_is_new_in_each_epoch_and_the_same_with_the_same_seed():
    data = sequence_set([[[i % N_ITEMS], [i // N_ITEMS]] for i in range(40)])

    def visited(batches):
        return [users_of(batch).tolist() for batch, _ in batches]

    batches, again = (SequenceBatches(data, 2, shuffle=True, seed=7) for _ in range(2))
    first, second = visited(batches), visited(batches)
    assert first != second
    assert [first, second] == [visited(again), visited(again)]
    assert visited(SequenceBatches(data, 2, shuffle=True, seed=8)) != first
    in_order = [user for users in visited(SequenceBatches(data, 2)) for user in users]
    assert in_order == list(range(40))


@for_each("correction", ["negatives", "all", None])
@for_each("sampling", ["in_batch", "uniform", "mixed"])
def test_candidates_and_their_correction_are_those_of_batches_of_users(
    sampling, correction
):
    users = random_users()
    data = sequence_set(users, random_weights(users))
    pooled = TrainingSet(data.user_rows, data.item_rows, data.positives)
    params = {
        "candidate_sampling": sampling,
        "n_negatives": 3,
        "correction": correction,
        "seed": 5,
    }
    group = data.users[:4]
    batch, targets = SequenceBatches(data, **params)._batch(group)
    other, expected = UserBatches(pooled, **params)._batch(group)
    candidates = one_hot_ids(batch.item_rows)
    assert candidates.tolist() == one_hot_ids(other.item_rows).tolist()
    assert torch.equal(targets.log_q, expected.log_q)
    assert np.isin(data.positives[group].indices, candidates).all()
    if correction != "all":
        assert targets.positive_log_q is None
        return
    probabilities = dict(
        zip(
            one_hot_ids(other.item_rows)[expected.columns].tolist(),
            expected.positive_log_q.tolist(),
            strict=True,
        )
    )
    own = [probabilities[item] for item in targets_of(batch, targets).tolist()]
    assert targets.positive_log_q.tolist() == own


def test_correction_of_uniform_candidates_by_hand():
    data = sequence_set([[[0], [1]], [[2]]])
    params = {"candidate_sampling": "uniform", "n_negatives": 3}
    for _, targets in SequenceBatches(data, **params):
        sampled = ~torch.isinf(targets.log_q)
        assert sampled.sum() == 3
        expected = torch.full((3,), np.log(3 / N_ITEMS))
        torch.testing.assert_close(targets.log_q[sampled], expected)


def test_every_item_is_a_candidate_without_sampling():
    for batch, targets in SequenceBatches(sequence_set(random_users()), 2):
        assert one_hot_ids(batch.item_rows).tolist() == list(range(N_ITEMS))
        assert targets.log_q is targets.positive_log_q is None


@for_each("params", SAMPLING)
def test_what_a_prediction_sees_is_no_negative(params):
    users = random_users()
    data = sequence_set(users, random_weights(users), max_history=5)
    batches = SequenceBatches(data, 3, history_dropout=0.5, **params)
    assert all(targets.hidden is None for _, targets in batches)  # the default
    data.hides_past = True
    baskets = [list(enumerate(each)) for each in users]
    events = [[(i, b) for b, basket in each for i in basket] for each in baskets]
    n_past = n_others = 0
    for batch, targets in SequenceBatches(data, 3, history_dropout=0.5, **params):
        candidates = batch.item_rows.indices.tolist()
        hidden = [set() for _ in range(len(targets))]
        for row, column in zip(*map(torch.Tensor.tolist, targets.hidden), strict=True):
            hidden[row].add(candidates[column])
        owners = users_of(batch)[batch.history.owners.numpy()]
        places = zip(owners, events_of(data, batch), hidden, strict=True)
        for user, event, found in places:
            first, start = data.table.offsets[user], data.starts[user]
            basket = events[user][event - first][1]
            window = events[user][start - first : data.stops[user] - first]
            kept = batch.history.kept[:, users_of(batch).tolist().index(user)]
            seen = [e for e, k in zip(window, kept.tolist(), strict=False) if k]
            past = {item for item, other in seen if other <= basket}
            assert found == past & set(candidates)
            n_past += len(past)
            n_others += len(window) > len(past)
    assert n_past > 20 and n_others > 5


@for_each("params", SAMPLING)
def test_impressions_are_those_of_the_predicted_event(params):
    users = random_users()
    weights = random_weights(users)
    rng = np.random.default_rng(1)
    shown = rng.integers(1, 9, (len(weights), N_ITEMS))
    shown *= rng.random(shown.shape) < 0.2
    data = sequence_set(users, weights, impressions=shown, max_history=5)
    found = {}
    for batch, targets in SequenceBatches(data, 3, shuffle=True, **params):
        rows, columns, values = (part.numpy() for part in targets.impressions)
        assert (np.diff(rows) >= 0).all()
        events = events_of(data, batch)[rows]
        items = one_hot_ids(batch.item_rows)[columns]
        pairs = zip(events.tolist(), items.tolist(), strict=True)
        found |= dict(zip(pairs, values.tolist(), strict=True))
    used = np.zeros(len(weights), dtype=bool)
    for start, stop in zip(data.starts, data.stops, strict=True):
        used[start:stop] = True
    assert not used.all()
    used &= weights > 0
    events, items = np.nonzero(shown * used[:, None])
    expected = {
        (event, item): shown[event, item]
        for event, item in zip(events.tolist(), items.tolist(), strict=True)
    }
    assert found == expected


def test_impressions_are_nobodys_sampled_candidates():
    users, shown = [[[0], [1]]], np.zeros((2, N_ITEMS))
    shown[1, 5] = 2
    data = sequence_set(users, impressions=shown)
    ((batch, targets),) = SequenceBatches(data, candidate_sampling="in_batch")
    assert one_hot_ids(batch.item_rows).tolist() == [0, 1, 5]
    assert torch.isinf(targets.log_q).tolist() == [False, False, True]
    assert [part.tolist() for part in targets.impressions] == [[1], [2], [2.0]]


def test_with_items_is_the_set_of_the_items_that_are_left():
    left = np.array([1, 2, 5, 6, 9])
    rng = np.random.default_rng(0)
    places = [[rng.choice(5, 2, False) for _ in range(4)] for _ in range(6)]
    weights = rng.choice([0, 1, 3], 48)
    shown = np.zeros((48, N_ITEMS))
    shown[:, left] = rng.integers(3, size=(48, 5))
    users, renamed = (
        [[sorted(names[p].tolist()) for p in baskets] for baskets in places]
        for names in (left, np.arange(5))
    )
    found = sequence_set(users, weights, 5, impressions=shown).with_items(left)
    rows = np.eye(N_ITEMS)[left]
    expected = sequence_set(renamed, weights, 5, rows, impressions=shown[:, left])
    assert isinstance(found, SequenceSet) and found.max_history == 5
    for name in ("users", "starts", "stops", "lengths"):
        np.testing.assert_array_equal(getattr(found, name), getattr(expected, name))
    for name in ("offsets", "items", "times", "weights"):
        parts = (getattr(data.table, name) for data in (found, expected))
        np.testing.assert_array_equal(*parts)
    for name in ("item_rows", "user_rows", "positives", "history", "impressions"):
        one, other = (getattr(data, name) for data in (found, expected))
        assert one.shape == other.shape and abs(one - other).nnz == 0
    params = {"candidate_sampling": "mixed", "n_negatives": 2, "seed": 3}
    for (batch, targets), (_, others) in zip(
        SequenceBatches(found, 2, **params),
        SequenceBatches(expected, 2, **params),
        strict=True,
    ):
        assert torch.equal(targets.columns, others.columns)
        assert torch.equal(targets.impressions[1], others.impressions[1])
        events = events_of(found, batch)
        items = targets_of(batch, targets)
        assert (items == left[found.table.items[events]]).all()


def rows_by_item(rows):
    """Return {item: columns} of rows that hold the number of their item + 1."""
    found = {}
    for start, stop in zip(rows.offsets[:-1], rows.offsets[1:], strict=True):
        (number,) = set(rows.values[start:stop].tolist())
        columns = tuple(rows.indices[start:stop].tolist())
        assert found.setdefault(int(number) - 1, columns) == columns
    return found


@for_each("params", SAMPLING)
def test_the_same_features_are_hidden_in_candidates_and_past(params):
    # an id, and 20 columns shared by all items
    n_shared = 20
    rows = np.hstack([np.eye(N_ITEMS), np.ones((N_ITEMS, n_shared))])
    rows *= np.arange(1, N_ITEMS + 1)[:, None]
    users = random_users()
    # events without weight are past items, and perhaps not candidates
    data = sequence_set(users, random_weights(users), item_rows=rows)
    batches = SequenceBatches(
        data, 3, id_dropout=0.6, feature_dropout=0.4, history_dropout=0.2, **params
    )
    n_both, drawn = 0, {}
    for batch, _ in batches:
        candidates = rows_by_item(batch.item_rows)
        past = rows_by_item(batch.history_items)
        both = candidates.keys() & past.keys()
        assert all(candidates[item] == past[item] for item in both)
        n_both += len(both)
        for item in candidates.keys() | past.keys():
            columns = candidates.get(item, past.get(item))
            drawn.setdefault(item, set()).add(columns)
            assert len(columns) < 1 + n_shared
    # and others are hidden in the next batch
    assert n_both > 10 and sum(map(len, drawn.values())) > 2 * len(drawn)


def test_a_batch_whose_whole_past_is_hidden():
    data = sequence_set([[[0], [1]]], item_rows=np.ones((N_ITEMS, 3)))
    for sampling in ("full", "in_batch"):
        batches = SequenceBatches(
            data, 1, sampling, history_dropout=1 - 1e-12, feature_dropout=0.2
        )
        ((batch, targets),) = batches
        assert batch.history.kept.sum() == 0 and len(targets) == 2
        assert batch.history.items.max() < len(batch.history_items)


def two_towers(n_users, seed=0):
    torch.manual_seed(seed)
    history = RecentLayer(N_ITEMS, 4, max_history=50)
    towers = Tower(n_users, 4), Tower(N_ITEMS, 4)
    return TwoTowers(*towers, history, matmul_dtype=torch.float32)


def vectors_of(module, data, batch_size, **params):
    """Return {event: vector} of all predictions of an epoch."""
    found = {}
    for batch, _ in SequenceBatches(data, batch_size, **params):
        with torch.no_grad():
            vectors = module(batch)[0]
        assert len(vectors) == len(batch.history)
        found |= dict(zip(events_of(data, batch).tolist(), vectors, strict=True))
    return found


@pytest.mark.parametrize("seed", first_fast(range(5)))
@pytest.mark.parametrize("params", SAMPLING)
def test_no_prediction_depends_on_later_events(params, seed):
    users = random_users(seed)
    rng = np.random.default_rng(seed)
    changed = []
    for baskets in users:
        # the same number of events, so that windows start at the same one
        cut = rng.integers(len(baskets) + 1)
        later = [[(item + 1) % N_ITEMS for item in b] for b in baskets[cut:]]
        changed.append((cut, baskets[:cut] + later))
    module = two_towers(len(users))
    before = vectors_of(module, sequence_set(users), 3, **params)
    others = sequence_set([baskets for _, baskets in changed])
    after = vectors_of(module, others, 100, shuffle=True, **params)
    assert before.keys() == after.keys()
    starts = others.table.offsets[:-1]
    n_same = n_other = 0
    for (cut, baskets), start in zip(changed, starts, strict=True):
        n_early = sum(map(len, baskets[:cut]))
        for at in range(sum(map(len, baskets))):
            one, other = before[start + at], after[start + at]
            if at < n_early:
                torch.testing.assert_close(one, other)
                n_same += 1
            n_other += not torch.allclose(one, other)
    assert n_same > 5 and n_other > 5


def test_while_tied_gradients_are_the_same_if_sparse():
    users, params = random_users(), {"candidate_sampling": "mixed", "n_negatives": 3}
    modules, kinds = [two_towers(len(users)) for _ in range(2)], set()
    for layer in (modules[1].history.items, modules[1].item_tower.sparse):
        layer.sparse_grad = True
    for batch, targets in SequenceBatches(sequence_set(users), 1, **params):
        found = []
        for module in modules:
            module.zero_grad()
            with module.tied():
                SampledSoftmaxLoss()(*module(batch), targets).backward()
            found.append({n: p.grad for n, p in module.named_parameters()})
        kinds.add(found[1]["history.items.weight"].is_sparse)
        for name, grad in found[0].items():
            other = found[1][name]
            other = other.to_dense() if other.is_sparse else other
            torch.testing.assert_close(other, grad, rtol=1e-4, atol=1e-6)
    assert kinds == {True, False}


def test_later_events_more_or_fewer_change_nothing():
    users = random_users()
    shorter = [baskets[:3] for baskets in users]
    module = two_towers(len(users))
    data, cut = sequence_set(users), sequence_set(shorter)
    before, after = (vectors_of(module, part, 3) for part in (data, cut))
    for user, baskets in enumerate(shorter):
        for at in range(sum(map(len, baskets))):
            one = before[data.table.offsets[user] + at]
            torch.testing.assert_close(one, after[cut.table.offsets[user] + at])


@pytest.mark.parametrize("max_history", first_fast([4, 50]))
@pytest.mark.parametrize("params", SAMPLING)
def test_a_prediction_sees_the_earlier_baskets_and_the_rest_of_its_own(
    params, max_history
):
    users = random_users()
    weights = random_weights(users)
    data = sequence_set(users, weights, max_history)
    module = two_towers(len(users))
    found = vectors_of(module, data, 3, shuffle=True, **params)
    n_checked = 0
    for user, baskets in enumerate(users):
        first = data.table.offsets[user]
        events = [(item, b) for b, basket in enumerate(baskets) for item in basket]
        start = data.starts[user] - first
        for at, (_, basket) in enumerate(events[: data.stops[user] - first]):
            if at < start or weights[first + at] == 0:
                continue
            past = [
                (item, basket - other)
                for i, (item, other) in enumerate(events)
                if start <= i < data.stops[user] - first and i != at and other <= basket
            ]
            items, lags = np.array(past, dtype=np.int64).reshape(-1, 2).T
            lags = lags.astype(np.float32), items, [0, len(past)]
            lags = sparse.csr_matrix(lags, shape=(1, N_ITEMS))
            row = SparseRows.from_csr(csr(np.eye(len(users))[[user]]))
            with torch.no_grad():
                one = Users(row, lags, csr(np.eye(N_ITEMS)), in_order=True)
                expected = module.embed_users(one)[0]
            torch.testing.assert_close(
                found[first + at].double(), expected, rtol=1e-4, atol=1e-5
            )
            n_checked += 1
    assert n_checked == len(found) > 20


def test_latest_events_are_the_last_of_each_row():
    # an item may occur twice, and the order is not that of the columns
    past = sparse.csr_matrix(
        (
            np.array([3, 2, 2, 1, 1, 2, 1], dtype=np.float32),
            np.array([4, 0, 4, 4, 2, 3, 1]),
            np.array([0, 4, 4, 5, 7]),
        ),
        shape=(4, 5),
    )
    assert latest_events(past, 4) is past
    cut = latest_events(past, 2)
    assert cut.indptr.tolist() == [0, 2, 2, 3, 5] and cut.shape == (4, 5)
    assert cut.indices.tolist() == [4, 4, 2, 3, 1]
    assert cut.data.tolist() == [2, 1, 1, 2, 1]
    assert latest_events(past, 1).indices.tolist() == [4, 2, 1]
    nothing = sparse.csr_matrix((0, 5), dtype=np.float32)
    assert latest_events(nothing, 2).shape == (0, 5)
