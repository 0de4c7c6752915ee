"""Rewards and weights of events: every form, extreme sizes, and heavy tails."""

import warnings
from decimal import Decimal

import numpy as np
import pandas as pd
import polars as pl
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from sktwotower import ClickRateRecommender, TwoTowerRecommender
from tests.builders import small
from tests.cases import for_each

SHOWN = pd.DataFrame({"user": [0, 1, 2], "item": [0, 1, 2]})


def rates(y, weight=None):
    """Return the share of each item's weight that has a reward, by item."""
    model = ClickRateRecommender(smoothing=0).fit(SHOWN.assign(item=0), y, weight)
    return model.item_rates_.item()


def test_rewards_and_weights_may_come_in_any_form():
    for y, weight, expected in [
        (None, None, 1),
        ([2, 0, 0.5], None, 2 / 3),
        ([True, False, True], [1, 2, 3], 4 / 6),
        (["1", "0", "3"], None, 2 / 3),
        (pd.array([1, 0, 3], dtype="Int64"), None, 2 / 3),
        (pd.Series([1, 0, 3], index=[9, 9, 9]), None, 2 / 3),
        (pl.Series([1, 0, 3]), pl.Series([1, 0, 1]), 1),
    ]:
        assert rates(y, weight) == pytest.approx(expected)


@for_each("cell", [10**400, "a", Decimal("sNaN")])
def test_outcomes_that_are_no_floats(cell):
    cells = np.array([1, cell, 1], dtype=object)
    with pytest.raises(ValueError, match="y must be numeric rewards.* Got object"):
        rates(cells)
    with pytest.raises(ValueError, match="sample_weight must be numeric weights >= 0"):
        rates(None, cells)


def test_rewards_times_weights_that_are_lost_are_refused():
    with pytest.raises(ValueError, match="too small to differ from 0 in 1 rows"):
        small().fit(SHOWN, [1e-200, 1, 1], [1e-200, 1, 1])


PAIRS = pd.DataFrame({"user": [0, 0, 1, 1, 2, 2], "item": [0, 1, 1, 2, 2, 3]})


def fitted(y=None, weights=None, **params):
    params = {"reward_scale": None} | params
    model = TwoTowerRecommender(embedding_dim=4, max_epochs=1, random_state=0, **params)
    return model.fit(PAIRS, y, weights)


@for_each("scale", [1e-300, 1e-50, 1e50, 1e300])
def test_only_proportions_of_rewards_and_weights_count(scale):
    amounts = np.array([1, 3, 1, 2, 1, 4.0])
    plain = fitted(amounts).item_embeddings_
    assert_allclose(fitted(scale * amounts).item_embeddings_, plain, rtol=1e-4)
    assert_allclose(fitted(None, scale * amounts).item_embeddings_, plain, rtol=1e-4)
    assert (fitted().item_embeddings_ != plain).any()


@for_each("scale", [1, 1e-50, 1e50])
def test_items_of_a_tiny_weight_count_as_seen(scale):
    weights = scale * np.array([1, 1, 1, 1, 1, 1e-60])
    model = fitted(None, weights)
    assert model.item_ids_.tolist() == [0, 1, 2, 3]
    assert set(model.recommend([2])["item"]) == {0, 1}
    plain = fitted(None, weights / scale).item_embeddings_
    assert_array_equal(model.item_embeddings_, plain)


def test_a_score_of_tiny_weights_is_that_of_their_proportions():
    model = fitted(n_neighbors=1, exclude_seen=False)
    weights = np.array([1, 2, 3, 4, 5, 6])
    expected = model.score(PAIRS, sample_weight=weights)
    assert model.score(PAIRS, sample_weight=1e-50 * weights) == pytest.approx(expected)


# Heavy tails


def tail(n, n_large, large):
    rewards = np.ones(n)
    rewards[:n_large] = large
    return rewards


def warnings_of_tails(rewards):
    users, items = np.divmod(np.arange(len(rewards)), 25)
    X = pd.DataFrame({"user": users, "item": items})
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        small(batch_size=4096).fit(X, rewards)
    return [str(w.message) for w in caught if " of the reward" in str(w.message)]


@for_each(
    "rewards",
    [
        tail(99, 1, 1e6),  # too few rows
        np.tile([1.0, 2.0, 3.0, 4.0, 5.0], 200),
        np.random.default_rng(0).exponential(size=1000),
        # a tenth of the rows, 100 times as large: worth 119 of 1,000
        tail(1000, 100, 100.0),
    ],
    ids=["few", "stars", "exponential", "two levels"],
)
def test_no_tail_is_no_warning(rewards):
    assert warnings_of_tails(rewards) == []


def test_a_tail_is_warned_of_on_any_scale_and_among_rows_that_were_only_shown():
    large = tail(1000, 10, 1000.0)
    for rewards in (large, 1e-300 * large, 1e300 * large, np.append(large, [0] * 999)):
        (said,) = warnings_of_tails(rewards)
        assert "carry 91% of the reward: 1,000 rows" in said
