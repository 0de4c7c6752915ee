"""Sparse parts: how past items count, and what they add, by hand and by dense loops."""

import copy
import pickle

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse

from sktwotower.item_weights import (
    largest_ease_weights,
    successor_weights,
    walk_weights,
)
from sktwotower.runtime import _sparse_scores
from sktwotower.runtime._knots import KNOTS, knot_shares
from sktwotower.towers import sparse_parts
from sktwotower.towers.sparse_parts import (
    SparsePart,
    SparseParts,
    _ease_part,
    _products,
    _sparse_part,
    _successor_part,
    _walk_part,
    candidates_of,
    recomputed,
    size_of,
    users_at_once,
)
from sktwotower.towers.sparse_parts._ease_part import EasePart
from sktwotower.towers.sparse_parts._pasts import Pasts
from sktwotower.towers.sparse_parts._products import add_product, n_products
from sktwotower.towers.sparse_parts._repeat_parts import (
    HadBefore,
    RecentRepeats,
    RepeatCounts,
)
from sktwotower.towers.sparse_parts._successor_part import SuccessorPart
from sktwotower.towers.sparse_parts._walk_part import WalkPart
from tests.item_weights.test_successor_weights import drawn

N_ITEMS = 8
# one user had items 2, 0 and 2 again, one nothing, one items 1 and 3 at once
LAGS = sparse.csr_matrix(
    ([3, 2, 1, 1, 1], [2, 0, 2, 1, 3], [0, 3, 3, 5]), (3, N_ITEMS), dtype=np.float32
)
ONES = sparse.csr_matrix(
    (np.ones(4, dtype=np.float32), [0, 2, 1, 3], [0, 2, 2, 4]), (3, N_ITEMS)
)


def past_and_seen():
    """Return lags of fifteen users, and ones where they had an item."""
    lags = drawn(160, 12)
    seen = lags.copy()
    seen.sum_duplicates()
    seen.data[:] = 1
    return seen, lags


def matrix_of(seed, n_items=N_ITEMS):
    rng = np.random.default_rng(seed)
    values = rng.uniform(0.1, 1, (n_items, n_items))
    values[rng.random(values.shape) < 0.6] = 0
    np.fill_diagonal(values, 0)
    values[6] = 0  # an item without neighbors
    return sparse.csr_matrix(values.astype(np.float32))


def some_parts(n_parts=6, seed=0):
    """Return parts of each way to count, with different weights of each knot."""
    parts = [
        EasePart(matrix_of(1), 2.0, "once"),
        WalkPart(matrix_of(2), None, "once"),
        SuccessorPart(matrix_of(3), 1.0, "log"),
        HadBefore(None, None, "once"),
        RepeatCounts(None, None, "log"),
        RecentRepeats(None, 3.0, "log"),
    ][:n_parts]
    weights = np.random.default_rng(seed).uniform(0.1, 2, (len(KNOTS), n_parts))
    return SparseParts(parts, weights, 5)


def inputs_by_hand(part, past, in_order):
    """Return how much past items count, dense (n, n_items), in plain loops."""
    counts = np.zeros(past.shape)
    for user in range(past.shape[0]):
        row = past[user]
        for item, lag in zip(row.indices, row.data, strict=True):
            weight = 1.0
            if in_order and part.decay is not None:
                weight = np.exp(-(lag - 1) / part.decay)
            if part.count == "once":  # entries are oldest first
                counts[user, item] = weight
            else:
                counts[user, item] += weight
    return np.log(1 + counts) if part.count == "log" else counts


def added_by_hand(parts, past, in_order, lengths):
    """Return what all parts add, dense (n, n_items), by the formula."""
    total = np.zeros(past.shape)
    weights = knot_shares(np.diff(past.indptr)) @ parts.weights / lengths[:, None]
    for number, part in enumerate(parts.parts):
        scores = inputs_by_hand(part, past, in_order)
        if part.matrix is not None:
            scores = scores @ part.matrix.toarray()
        total += weights[:, number, None] * scores
    return total


def inputs_of(part, past, in_order):
    """Return how much the past items of users count, an array (n, n_items)."""
    pasts = Pasts(past, in_order)
    return pasts.as_matrix(part.inputs(pasts.events)).toarray()


def test_inputs_by_hand():
    half = np.exp(-1 / 2)
    part = SparsePart(None, 2.0, "once")
    expected = np.zeros((3, N_ITEMS))
    expected[0, [0, 2]] = half, 1
    expected[2, [1, 3]] = 1
    assert_allclose(inputs_of(part, LAGS, True), expected, rtol=1e-6)
    # the same number of times back, and then the logarithm
    part = SparsePart(None, 2.0, "log")
    expected[0, [0, 2]] = half, 1 + half**2
    assert_allclose(inputs_of(part, LAGS, True), np.log1p(expected), rtol=1e-6)
    part = SparsePart(None, None, "log")
    expected[0, [0, 2]] = 1, 2
    assert_allclose(inputs_of(part, LAGS, True), np.log1p(expected), rtol=1e-6)
    part = SparsePart(None, None, "once")
    assert_array_equal(inputs_of(part, LAGS, True), ONES.toarray())
    assert_array_equal(inputs_of(part, ONES, False), ONES.toarray())
    part = SparsePart(None, 2.0, "log")  # there is no order, and hence no lag
    expected = np.log(2) * ONES.toarray()
    assert_allclose(inputs_of(part, ONES, False), expected, rtol=1e-6)


@pytest.mark.parametrize("count", ["once", "log"])
@pytest.mark.parametrize("decay", [None, 2.0])
@pytest.mark.parametrize("in_order", [True, False])
def test_inputs_leave_the_past_as_it_is(count, decay, in_order):
    seen, lags = past_and_seen()
    past = lags if in_order else seen
    before = past.copy()
    part = SparsePart(matrix_of(0), decay, count)
    pasts = Pasts(past, in_order)
    inputs = pasts.as_matrix(part.inputs(pasts.events))
    part.scores(past, in_order)
    for name in ("data", "indices", "indptr"):
        getattr(inputs, name)[:] = 7  # it is no view of the past either
    for name in ("data", "indices", "indptr"):
        assert_array_equal(getattr(past, name), getattr(before, name))


@pytest.mark.parametrize("in_order", [True, False])
def test_scores_of_all_users_and_of_one(in_order, monkeypatch):
    seen, lags = past_and_seen()
    past = lags if in_order else seen
    parts = some_parts()
    lengths = np.random.default_rng(0).uniform(0.5, 2, past.shape[0])
    expected = added_by_hand(parts, past, in_order, lengths)
    assert (
        expected[3].max() == 0 and (expected[np.arange(15) != 3].max(axis=1) > 0).all()
    )
    for n_items in (N_ITEMS, 5):
        added = parts.added(past, in_order, lengths, n_items)
        assert isinstance(added, np.ndarray) and added.dtype == np.float32
        assert added.shape == (15, n_items)
        assert_allclose(added, expected[:, :n_items], rtol=1e-5, atol=1e-7)
        # of many items a matrix holds those to which something is added
        with monkeypatch.context() as patch:
            patch.setattr(_sparse_part, "ITEMS_PER_ENTRY", 0)
            matrix = parts.added(past, in_order, lengths, n_items)
        assert matrix.format == "csr" and matrix.dtype == np.float32
        assert matrix.nnz == np.count_nonzero(added)
        assert_allclose(matrix.toarray(), added, rtol=1e-5, atol=1e-7)
        for user in range(past.shape[0]):
            row = past[user]
            events = row.indices, row.data if in_order else None
            one = parts.of_one(*events, lengths[user], n_items)
            assert (np.diff(one.positions) > 0).all() and (one.values > 0).all()
            dense = one.at(np.arange(n_items))
            assert_allclose(dense, expected[user, :n_items], rtol=1e-6)
            assert len(one.positions) == np.count_nonzero(expected[user, :n_items])


def test_both_ways_to_sum_entries_agree(monkeypatch):
    _, lags = past_and_seen()
    parts = some_parts()
    for n_items in (N_ITEMS, 5):
        ways = []
        for items_per_entry in (0, 10**6):
            monkeypatch.setattr(_sparse_scores, "ITEMS_PER_ENTRY", items_per_entry)
            row = lags[0]
            ways.append(parts.of_one(row.indices, row.data, 0.7, n_items))
        assert_array_equal(ways[0].positions, ways[1].positions)
        assert_allclose(ways[0].values, ways[1].values)


@pytest.mark.parametrize("at_once", [1, 8, 20, 10**6])
def test_products_are_those_of_arrays(at_once, monkeypatch):
    monkeypatch.setattr(_products, "PRODUCTS_AT_ONCE", at_once)
    right = matrix_of(1)
    for left in (LAGS, LAGS[1:2], LAGS[:0], matrix_of(2), sparse.csr_matrix((4, 8))):
        total = np.ones((left.shape[0], N_ITEMS), dtype=np.float32)
        expected = total + left.toarray() @ right.toarray()
        add_product(total, left, right)
        assert_allclose(total, expected, rtol=1e-6)
        counts = (left.astype(bool).toarray() * 1) @ (right.toarray() > 0)
        if left.has_canonical_format:
            assert n_products(left, right) == counts.sum()
    # an item twice
    assert n_products(LAGS, right) == np.diff(right.indptr)[[2, 0, 2, 1, 3]].sum()


def test_fewer_users_at_once_of_many_items():
    assert users_at_once(100) == users_at_once(0) == users_at_once(65_536) == 256
    assert users_at_once(100_000) == 167
    assert users_at_once(10**9) == 1


@pytest.mark.parametrize("in_order", [True, False])
@pytest.mark.parametrize("block", [4096, 7])
def test_scores_of_pairs(in_order, block, monkeypatch):
    monkeypatch.setattr(_sparse_part, "BLOCK", block)
    seen, lags = past_and_seen()
    past = lags if in_order else seen
    lengths = np.random.default_rng(1).uniform(0.5, 2, past.shape[0])
    rows, items = map(np.ravel, np.indices(past.shape))
    unknown = np.arange(len(rows)) % 5 == 0
    asked = np.where(unknown, -1, items)
    values = some_parts().of_pairs(past, in_order, lengths, rows, asked)
    expected = added_by_hand(some_parts(), past, in_order, lengths)[rows, items]
    assert_allclose(values, np.where(unknown, 0, expected), rtol=1e-5, atol=1e-7)
    none = some_parts().of_pairs(past, in_order, lengths, rows[:0], items[:0])
    assert none.shape == (0,)


@pytest.mark.parametrize("in_order", [True, False])
def test_events_add_up_to_the_score(in_order):
    seen, lags = past_and_seen()
    past = lags if in_order else seen
    parts = some_parts()
    expected = added_by_hand(parts, past, in_order, np.full(15, 0.7))
    for user in range(15):
        row = past[user]
        events = row.indices, row.data if in_order else None
        for item in range(N_ITEMS):
            of_events = parts.of_events(*events, 0.7, item)
            assert of_events.shape == row.indices.shape and (of_events >= 0).all()
            assert_allclose(of_events.sum(), expected[user, item], rtol=1e-5)
        assert_array_equal(parts.of_events(*events, 0.7, -1), np.zeros(row.nnz))


def test_the_last_event_of_an_item_counts_for_all_of_them():
    parts = SparseParts([RepeatCounts(None, None, "log")], np.ones((5, 1)), 3)
    of_events = parts.of_events(LAGS[0].indices, LAGS[0].data, 1.0, 2)
    assert_allclose(of_events, [0, 0, np.log(3)])


def test_parts_without_a_weight_add_nothing():
    parts = some_parts()
    weights = np.zeros_like(parts.weights)
    weights[1] = 1  # users with one past item only
    parts = SparseParts(parts.parts, weights, 5)
    past = sparse.csr_matrix(np.tril(np.ones((4, N_ITEMS), dtype=np.float32), -1))
    added = parts.added(past, False, np.ones(4), N_ITEMS)
    assert (added.max(axis=1) > 0).tolist() == [False, True, True, False]
    assert len(parts.of_one(np.arange(3), None, 1.0, N_ITEMS).positions) == 0
    # without past items, or with three and more, there is nothing to add
    assert parts.added(past[[0, 3]], False, np.ones(2), N_ITEMS) is None


@pytest.mark.parametrize("n_now", [5, 9])
def test_items_at_other_positions(n_now):
    parts = some_parts()
    places = np.array([4, -1, 0, 3, -1, 1, 2, -1])
    moved = parts.with_items(places, n_now)
    kept = np.flatnonzero(places >= 0)
    for old, new in zip(parts.parts, moved.parts, strict=True):
        assert type(old) is type(new)
        assert (new.decay, new.count) == (old.decay, old.count)
        if old.matrix is None:
            assert new.matrix is None
            continue
        expected = np.zeros((n_now, n_now), dtype=np.float32)
        expected[np.ix_(places[kept], places[kept])] = old.matrix[kept][
            :, kept
        ].toarray()
        assert_array_equal(new.matrix.toarray(), expected)
        assert new.matrix.has_canonical_format
        # nothing of an item that left remains
        assert new.matrix.nnz == np.count_nonzero(expected)
    assert moved.n_items == n_now and parts.n_items == N_ITEMS
    assert_array_equal(moved.weights, parts.weights)


def test_candidates():
    seen, lags = past_and_seen()
    in_order = EasePart, WalkPart, SuccessorPart
    repeats = HadBefore, RepeatCounts, RecentRepeats

    def kinds(seen, lags, exclude_seen):
        return tuple(map(type, candidates_of(seen, lags, exclude_seen)))

    assert kinds(seen, lags, True) == in_order
    assert kinds(seen, lags, False) == in_order + repeats
    assert kinds(seen, None, True) == (EasePart, WalkPart)
    assert kinds(seen, None, False) == (EasePart, WalkPart, HadBefore)
    assert kinds(seen[:0], None, True) == ()
    assert size_of(seen, None) == seen.nnz < size_of(seen, lags) == lags.nnz


def test_matrices_are_those_of_item_weights_at_unit_size():
    seen, lags = past_and_seen()
    ease, walk, successors = candidates_of(seen, lags, True)
    with_events = seen[np.flatnonzero(np.diff(seen.indptr))]
    expected = [
        largest_ease_weights(with_events, 300.0, 200),
        walk_weights(seen, 0.5, 0.4, 100),
        successor_weights(lags, 3.0, 100),
    ]
    for part, matrix in zip([ease, walk, successors], expected, strict=True):
        largest = matrix.toarray().max(axis=1)
        size = largest[largest > 0].mean()
        assert_allclose(part.matrix.toarray(), matrix.toarray() / size, rtol=1e-5)
        assert part.matrix.dtype == np.float32
        assert (part.matrix.data >= 0).all()
    assert (ease.decay, walk.decay, successors.decay) == (10, None, 3)
    assert candidates_of(seen, None, True)[0].decay is None  # without an order
    assert {part.count for part in (ease, walk, successors)} == {"once"}


def test_what_is_too_large_is_left_out(monkeypatch):
    seen, lags = past_and_seen()
    n_items = len(np.unique(seen.indices))
    n_products = (np.diff(seen.indptr).astype(float) ** 2).sum()
    limits = [
        (_ease_part, "MAX_SIDE", n_items, EasePart),
        (_walk_part, "MAX_PRODUCTS", n_products, WalkPart),
        (_successor_part, "MAX_EVENTS", lags.nnz, SuccessorPart),
    ]
    for module, name, size, kind in limits:
        monkeypatch.setattr(module, name, size)
        assert isinstance(kind.start(seen, lags), kind)
        monkeypatch.setattr(module, name, size - 1)
        assert kind.start(seen, lags) is None
    assert candidates_of(seen, lags, True) == []


def test_what_needs_an_order_or_others_is_left_out():
    seen, _ = past_and_seen()
    for kind in (SuccessorPart, RepeatCounts, RecentRepeats):
        assert kind.start(seen, None) is None
    # one user, one item
    assert EasePart.start(seen[:1], None) is None
    assert EasePart.start(seen[:, :1].tocsr(), None) is None
    # all at once
    assert SuccessorPart.start(ONES[2:], LAGS[2:]) is None
    assert WalkPart.start(seen[3:4], None) is None


def test_parts_of_other_events(monkeypatch):
    seen, lags = past_and_seen()
    candidates = candidates_of(seen, lags, False)
    weights = np.ones((len(KNOTS), len(candidates)))
    old = SparseParts(candidates, weights, size_of(seen, lags))
    fewer = np.arange(10)
    new = recomputed(old, seen[fewer], lags[fewer])
    expected = candidates_of(seen[fewer], lags[fewer], False)
    assert new.n_events == lags[fewer].nnz
    assert new.weights is old.weights
    for part, other in zip(new.parts[:3], expected[:3], strict=True):
        assert_array_equal(part.matrix.toarray(), other.matrix.toarray())
    monkeypatch.setattr(_ease_part, "MAX_SIDE", 3)
    again = recomputed(old, seen[fewer], lags[fewer])
    assert again.parts[0] is old.parts[0]  # too large now
    assert again.parts[1] is not old.parts[1]


def test_nothing_is_left_of_events_that_are_forgotten():
    seen, lags = past_and_seen()
    candidates = candidates_of(seen, lags, False)
    weights = np.ones((len(KNOTS), len(candidates)))
    old = SparseParts(candidates, weights, size_of(seen, lags))
    one = np.array([0])
    kept = recomputed(old, seen[one], lags[one])
    assert kept.parts[0] is old.parts[0]  # of one user there is no linear model
    emptied = recomputed(old, seen[one], lags[one], forgets=True)
    assert emptied.parts[0].matrix.shape == old.parts[0].matrix.shape
    assert emptied.parts[0].matrix.nnz == 0 < kept.parts[0].matrix.nnz
    assert emptied.n_items == N_ITEMS and len(emptied.parts) == len(candidates)
    assert [part.matrix is None for part in emptied.parts[3:]] == [True] * 3


def test_matrices_of_different_items():
    parts = [
        EasePart(matrix_of(0), None, "once"),
        WalkPart(matrix_of(1, 7), None, "log"),
    ]
    with pytest.raises(ValueError, match="matrices of the same items"):
        SparseParts(parts, np.ones((len(KNOTS), 2)), 3)._check_stored("here")
    SparseParts(parts[:1], np.ones((len(KNOTS), 1)), 3)._check_stored("here")


def test_they_never_change_and_are_shared_by_copies():
    parts = some_parts()
    assert copy.deepcopy(parts) is parts
    other = pickle.loads(pickle.dumps(parts))
    for part, same in zip(parts.parts, other.parts, strict=True):
        assert type(part) is type(same)
    assert_array_equal(other.weights, parts.weights)
    assert {each.in_words for each in parts.parts} == {
        "linear model of past items",
        "walks from past items",
        "successors of past items",
        "had before",
        "how often had",
        "had lately",
    }
    assert sparse_parts.SparsePart is SparsePart
