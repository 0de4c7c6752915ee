"""The parts of batches that several processes compute."""

import numpy as np
import pytest
from scipy import sparse

from sktwotower._tables._event_table import EventTable
from sktwotower.towers import _shares
from sktwotower.towers._batches import TrainingSet, UserBatches
from sktwotower.towers._group import Group
from sktwotower.towers._sequence_batches import SequenceBatches, SequenceSet

N_USERS, N_ITEMS = 11, 20


def training_set(impressions=True):
    rng = np.random.default_rng(0)
    chosen = sparse.random_array(
        (N_USERS, N_ITEMS), density=0.3, format="csr", rng=rng, dtype=np.float32
    )
    chosen = sparse.csr_matrix(chosen)
    shown = sparse.csr_matrix(sparse.eye_array(N_USERS, N_ITEMS, dtype=np.float32))
    users, items = (
        sparse.csr_matrix(sparse.eye_array(n, dtype=np.float32))
        for n in (N_USERS, N_ITEMS)
    )
    return TrainingSet(users, items, chosen, chosen, shown if impressions else None)


def sequence_set():
    rng = np.random.default_rng(0)
    sizes = rng.integers(2, 6, N_USERS)
    offsets = np.append(0, np.cumsum(sizes))
    n = offsets[-1]
    times = np.arange(n)
    ones = np.ones(n, dtype=np.float32)
    shown = sparse.csr_matrix(sparse.eye_array(n, N_ITEMS, dtype=np.float32))
    items = rng.integers(0, N_ITEMS, n)
    table = EventTable(N_ITEMS, offsets, items, times, ones, impressions=shown)
    rows = (sparse.csr_matrix(sparse.eye_array(k)) for k in (N_USERS, N_ITEMS))
    return SequenceSet(*rows, table, 3)


def shares(monkeypatch, batches, dataset, size, batch_size=4, **params):
    """Return the batches of one epoch of each process."""
    found = []
    for rank in range(size):
        group = Group(rank, size)
        monkeypatch.setattr(_shares, "current_group", lambda group=group: group)
        iterator = _shares.shared_batches(batches)(dataset, batch_size, **params)
        found.append(list(iterator))
    return found


SETTINGS = {"candidate_sampling": "mixed", "n_negatives": 5, "shuffle": True, "seed": 3}


@pytest.mark.parametrize(
    "batches, dataset, batch_size",
    [(UserBatches, training_set, 4), (SequenceBatches, sequence_set, 2)],
)
def test_parts_make_up_the_whole(batches, dataset, batch_size, monkeypatch):
    data, settings = dataset(), SETTINGS | {"batch_size": batch_size}
    whole = shares(monkeypatch, batches, data, 1, **settings)[0]
    parts = shares(monkeypatch, batches, data, 3, **settings)
    assert len(whole) == len(parts[0]) >= 3
    for (all_users, targets), *own in zip(whole, *parts, strict=True):
        assert {len(share) for share, _ in own} == {len(all_users)}
        with_users = [(s.batch, t) for s, t in own if s.batch is not None]
        assert sum(len(batch) for batch, _ in with_users) == len(all_users)
        users = np.concatenate([b.user_rows.indices for b, _ in with_users])
        np.testing.assert_array_equal(users, all_users.batch.user_rows.indices)
        columns = np.concatenate([t.columns for _, t in with_users])
        np.testing.assert_array_equal(np.sort(columns), np.sort(targets.columns))
        shown = np.concatenate([t.impressions[1] for _, t in with_users])
        np.testing.assert_array_equal(np.sort(shown), np.sort(targets.impressions[1]))
        total = sum(t.total_weight for _, t in with_users)
        assert total == pytest.approx(targets.total_weight)
        for batch, own_targets in with_users:
            np.testing.assert_array_equal(
                batch.item_rows.indices, all_users.batch.item_rows.indices
            )
            np.testing.assert_array_equal(own_targets.log_q, targets.log_q)


def test_users_and_candidates_are_those_of_a_single_process(monkeypatch):
    data = training_set()
    ((*shared,),) = shares(monkeypatch, UserBatches, data, 1, **SETTINGS)
    for (share, targets), (batch, expected) in zip(
        shared, UserBatches(data, 4, **SETTINGS), strict=True
    ):
        for name in ("user_rows", "item_rows"):
            np.testing.assert_array_equal(
                getattr(share.batch, name).indices, getattr(batch, name).indices
            )
        np.testing.assert_array_equal(targets.log_q, expected.log_q)


def test_positives_are_corrected_for_the_whole_batch(monkeypatch):
    data, settings = training_set(), SETTINGS | {"correction": "all"}
    whole = shares(monkeypatch, UserBatches, data, 1, **settings)[0]
    parts = shares(monkeypatch, UserBatches, data, 2, **settings)
    for (_, targets), *own in zip(whole, *parts, strict=True):
        found = np.concatenate([t.positive_log_q for _, t in own if t is not None])
        np.testing.assert_array_equal(found, targets.positive_log_q)


def test_a_process_may_have_no_users(monkeypatch):
    parts = shares(monkeypatch, UserBatches, training_set(), 5, **SETTINGS)
    for share, targets in parts[4]:  # of at most four users
        assert share.batch is None and targets is None and len(share) in (3, 4)


def test_each_process_hides_for_itself_and_anew_in_each_epoch(monkeypatch):
    data = training_set(impressions=False)
    settings = SETTINGS | {"history_dropout": 0.5, "shuffle": False}

    def kept(rank):
        monkeypatch.setattr(_shares, "current_group", lambda: Group(rank, 2))
        iterator = _shares.SharedUserBatches(data, 4, **settings)
        epochs = [[s.batch.history.indices.tolist() for s, _ in iterator]]
        state = iterator.rng.bit_generator.state
        iterator.shuffle = True
        epochs += [[s.batch.history.indices.tolist() for s, _ in iterator]]
        iterator.rng.bit_generator.state = state
        epochs += [[s.batch.history.indices.tolist() for s, _ in iterator]]
        return epochs

    first, second = kept(0), kept(1)
    assert first[0] != first[1] and first[0] != second[0]
    assert first[1] == first[2]  # a checkpoint keeps the state of one generator only


def test_own_batches_cannot_be_shared():
    with pytest.raises(ValueError, match="share the batches of this package only"):
        _shares.shared_batches(dict)
