"""Requests of a batch: what was chosen in which context."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse

from sktwotower.towers.batches._batches import TrainingSet, UserBatches
from sktwotower.towers.batches._request_batches import (
    HIDDEN,
    MAX_WEIGHT,
    PARTLY_HIDDEN,
    PairContexts,
    shown_entries,
    some_hidden,
)

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


def test_a_request_has_what_was_chosen_and_shown_in_its_context():
    users, seen = np.arange(N_USERS), set()
    known = contexts()
    chosen, shown = known.positives.toarray(), known.impressions.toarray()
    for seed in range(20):
        rng = np.random.default_rng(seed)
        requests, owners, positives, impressions = known.add(
            users, by_user(CHOSEN), by_user(SHOWN), rng
        )
        rows = keys_of(requests, len(owners))
        assert not rows[:N_USERS].any()
        for row in range(N_USERS, len(owners)):
            weighed = positives[[row]].toarray()[0]
            places = [place for place, key in enumerate(KEYS) if key[0] == owners[row]]
            (place,) = (k for k in places if (3 * chosen[k] == weighed).all())
            assert (impressions[[row]].toarray()[0] == shown[place]).all()
            of_context = ROWS.toarray()[place]
            assert ((rows[row] == of_context) | (rows[row] == 0)).all()
            seen.add(place)
    assert seen == set(range(len(KEYS)))


def test_a_user_with_many_contexts_asks_in_one_on_average():
    n, users = 1000, np.zeros(200, dtype=int)
    rows = csr(np.ones((n, 1)))
    many = PairContexts(np.array([0, n]), rows, csr(np.ones((n, 2))), None)
    drawn, owners, weights = many.draw(users, np.random.default_rng(0))
    counts = np.bincount(owners, minlength=200)
    # 200 draws of a number with mean 1 and variance 1
    assert abs(counts.mean() - 1) < 5 / 200**0.5
    assert len(np.unique(drawn)) > 100
    assert (weights == MAX_WEIGHT).all()


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


def test_columns_of_the_chosen_item_are_hidden_by_themselves():
    n = 20_000
    rows = csr(np.tile([1.0, 1.0, 1.0], (n, 1)))
    of_items = np.array([0, 1, 1])
    found = some_hidden(rows, np.random.default_rng(0), of_items).toarray() > 0
    known = (1 - PARTLY_HIDDEN) * HIDDEN
    assert_allclose(found.mean(axis=0), known, atol=0.02)
    of_both = found[:, 0] & found[:, 1]
    assert of_both.mean() == pytest.approx(known**2, abs=0.02)  # not together
    together = found[:, 1] & found[:, 2]
    assert together.mean() == pytest.approx(known * (1 - PARTLY_HIDDEN), abs=0.02)


def test_requests_with_columns_of_items_also_ask_without_them():
    pairs = contexts()
    pairs.of_items = np.array([0, 0, 1])
    users = np.zeros(3000, dtype=int) + 1  # whose context has both
    positives = by_user(CHOSEN)[users]
    rng = np.random.default_rng(0)
    requests = pairs.add(users, positives, None, rng)[0]
    rows = requests.rows
    n_known = len(requests.asking)
    share = np.count_nonzero(rows.indices.numpy() == 2) / n_known
    assert share == pytest.approx(0.5 * (1 - PARTLY_HIDDEN), abs=0.05)
    pairs.of_items = np.ones(3, dtype=int)  # nothing else is asked for
    requests = pairs.add(users, positives, None, np.random.default_rng(0))[0]
    pairs.of_items = None
    same = pairs.add(users, positives, None, np.random.default_rng(0))[0]
    assert_array_equal(requests.rows.indices, same.rows.indices)
    for kept in (pairs.with_items(np.arange(3)), pairs.without(0 * by_user(CHOSEN))):
        assert kept.of_items is None


def test_one_tag_of_each_list_shows_at_a_time():
    n = 3000
    rows = csr(np.tile([1.0, 1.0, 1.0, 1.0, 1.0], (n, 1)))
    everywhere = np.ones(n, dtype=bool)
    of_items = np.array([0, 2, 2, 2, 3])
    rng = np.random.default_rng(0)
    found = shown_entries(rows, everywhere, everywhere, of_items, rng).toarray()
    assert (found[:, [0, 4]] == 1).all()
    assert (found[:, 1:4].sum(axis=1) == 1).all()
    assert_allclose(found[:, 1:4].mean(axis=0), 1 / 3, atol=0.04)
    nowhere = ~everywhere
    found = shown_entries(rows, everywhere, nowhere, of_items, rng).toarray()
    assert found.tolist() == [[1, 0, 0, 0, 0]] * n
