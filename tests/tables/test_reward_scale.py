"""Rewards on a scale, how many equal ones they are worth, and heavy tails."""

import warnings

import numpy as np
import pytest

from sktwotower._tables._event_table import EventTable
from sktwotower._tables._reward_scale import effective_number, warn_of_heavy_tail


@pytest.mark.parametrize(
    ("weights", "expected"),
    [([1, 1, 1], 3), ([1, 1, 2], 16 / 6), ([5, 0], 1), ([], 0), ([0], 0)],
)
def test_the_effective_number_by_hand(weights, expected):
    assert effective_number(weights) == pytest.approx(expected)


def test_a_table_is_rescaled_by_hand():
    users, items = np.array([0, 0, 1]), np.array([1, 0, 1])
    rewards, weights = np.array([3.0, 0.0, 8.0]), np.array([2.0, 0.5, 1.0])
    how = {"keeps_rewards": True}
    table = EventTable.of(users, items, (2, 2), None, rewards, weights, **how)
    assert table.weights.tolist() == [6.0, 0.5, 8.0]
    assert table.effective_number() == pytest.approx(14**2 / 100)
    plain = table.rescaled(None)
    assert plain.rewards is None and plain.weights is table.weights
    scaled = table.rescaled("sqrt")
    assert scaled.rewards is None
    np.testing.assert_allclose(scaled.weights, [2 * 3**0.5, 0.5, 8**0.5])
    np.testing.assert_allclose(
        table.rescaled("log1p").weights, [2 * np.log(4), 0.5, np.log(9)]
    )


def tail(n, n_large, large):
    rewards = np.ones(n)
    rewards[:n_large] = large
    return rewards


@pytest.mark.parametrize(
    "rewards",
    [
        tail(99, 1, 1e6),  # too few rows
        np.zeros(1000),
        np.tile([1.0, 2.0, 3.0, 4.0, 5.0], 200),
        np.random.default_rng(0).exponential(size=1000),
        # a tenth of the rows, 100 times as large: worth 119 of 1,000
        tail(1000, 100, 100.0),
    ],
    ids=["few", "shown", "stars", "exponential", "two levels"],
)
def test_no_tail_is_no_warning(rewards):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warn_of_heavy_tail(rewards)


@pytest.mark.parametrize("factor", [1e-300, 1e300])
def test_only_proportions_count(factor):
    with pytest.warns(UserWarning, match="carry 91% of the reward: 1,000 rows"):
        warn_of_heavy_tail(factor * tail(1000, 10, 1000.0))


def test_rows_that_were_only_shown_belong_to_no_tail():
    # 10 of 1,000 chosen rows; the zeros do not change the figures
    rewards = np.append(tail(1000, 10, 1000.0), np.zeros(50_000))
    with pytest.warns(UserWarning, match="carry 91% of the reward: 1,000 rows"):
        warn_of_heavy_tail(rewards)
