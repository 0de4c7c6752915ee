"""Events in the order of time: baskets, lags, and further events of a request."""

import numpy as np
import pandas as pd
import pytest

from tests.builders import past_of, small
from tests.cases import for_each


def lags_by_a_loop(events):
    """Return (item, lag) of a user's events (item, time): how many times are left."""
    past = []
    for item, time in set(events):
        times = {later for _, later in events if later >= time}
        past.append((item, len(times)))
    return sorted(past, key=lambda event: (-event[1], event[0]))


def fitted(events):
    X = pd.DataFrame(events, columns=["user", "item", "when"])
    return small(time="when").fit(X)


def drawn(seed, n_users=12):
    """Draw rows of (user, item, time) in which items, times and rows repeat."""
    rng = np.random.default_rng(seed)
    rows = rng.integers([n_users, 4, 5], size=(n_users * 8, 3))
    every = np.column_stack([np.arange(n_users), np.arange(n_users) % 4, [2] * n_users])
    return rng.permutation(np.concatenate([rows, every])).tolist()


def past_by_a_loop(rows, user):
    return lags_by_a_loop([(item, time) for owner, item, time in rows if owner == user])


@pytest.mark.slow
def test_lags_are_those_of_a_loop_and_the_order_of_rows_does_not_matter():
    rows = drawn(0)
    model, reversed_ = fitted(rows), fitted(rows[::-1])
    for user in range(12):
        expected = past_by_a_loop(rows, user)
        assert past_of(model, user) == past_of(reversed_, user) == expected


@pytest.mark.slow
def test_the_history_of_a_request_takes_its_place_in_time():
    rows, more = drawn(0), drawn(1)
    model = fitted(rows)
    history = pd.DataFrame(more, columns=["user", "item", "when"])
    for user in range(12):
        found = past_of(model, user, history[history["user"] == user])
        assert found == past_by_a_loop(rows + more, user)


@for_each("start", [0, 2**53, -(2**63), 2**63 - 4])
def test_integer_times_next_to_each_other_are_two_baskets(start):
    rows = [("u", 0, start + 1), ("u", 1, start), ("u", 2, start + 2), ("v", 0, start)]
    assert past_of(fitted(rows), "u") == [(1, 3), (0, 2), (2, 1)]
    model = fitted([("u", 1, start), ("u", 2, start + 2), ("v", 0, start)])
    history = pd.DataFrame({"user": ["u"], "item": [0], "when": [start + 1]})
    assert past_of(model, "u", history) == [(1, 3), (0, 2), (2, 1)]


def test_float_times_and_lists_that_come_after_any_time():
    rows = [("u", 0, 0.5), ("u", 1, 0.25), ("u", 2, -1e9), ("u", 3, 0.5), ("v", 0, 1.0)]
    model = fitted(rows)
    assert past_of(model, "u") == [(2, 3), (1, 2), (0, 1), (3, 1)]
    later = past_of(model, "u", [3, 1])
    assert later == [(2, 5), (1, 4), (0, 3), (3, 3), (3, 2), (1, 1)]


@for_each("start", [0, 2**63 - 6])
def test_lists_of_several_users_follow_their_events_as_that_of_one(start):
    rows = [(user, item, start + time) for user, item, time in drawn(2, 4)]
    model = fitted(rows)
    history = {user: [user, 3, user // 2, 3] for user in range(4)}
    found = model.embed_users(list(range(4)), history=history)
    for user, items in history.items():
        alone = model.embed_users([user], history=items)
        np.testing.assert_allclose(found[[user]], alone, atol=1e-6)
        past = past_of(model, user)
        later = [(item, 4 - place) for place, item in enumerate(items)]
        expected = [(item, lag + 4) for item, lag in past] + later
        assert past_of(model, user, items) == expected
