"""Rewards on another scale: what is learnt, what is chosen, and what is warned of."""

import warnings

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import sktwotower.recommender._choices as choices
from sktwotower.io import dump, load
from tests.builders import random_events, small
from tests.cases import for_each

EVENTS = random_events(n_users=30, n_items=12)
RNG = np.random.default_rng(0)
AMOUNTS = RNG.lognormal(1.0, 1.0, size=len(EVENTS))
AMOUNTS[::7] = 0  # shown and not chosen
WEIGHTS = RNG.uniform(0.5, 2.0, size=len(EVENTS))
TIMES = EVENTS.assign(time=RNG.permutation(len(EVENTS)))


def fitted(y, weights=None, X=EVENTS, **params):
    return small(impression_weight=5.0, **params).fit(X, y, weights)


@for_each(("scale", "scaled"), [("log1p", np.log1p), ("sqrt", np.sqrt)])
def test_a_scale_is_that_of_transformed_rewards(scale, scaled):
    model = fitted(AMOUNTS, reward_scale=scale)
    assert model.reward_scale_ == scale
    other = fitted(scaled(AMOUNTS))
    assert other.reward_scale_ is None
    assert_array_equal(model.item_embeddings_, other.item_embeddings_)


@pytest.mark.slow
@for_each("time", [None, "time"])
def test_weights_are_not_transformed(time):
    X = EVENTS if time is None else TIMES
    model = fitted(AMOUNTS, WEIGHTS, X, reward_scale="log1p", time=time)
    other = fitted(np.log1p(AMOUNTS), WEIGHTS, X, time=time)
    assert_allclose(model.item_embeddings_, other.item_embeddings_, atol=1e-4)
    # with rewards of 1 a scale changes nothing, whatever the weights
    ones = fitted(np.ones(len(X)), WEIGHTS, X, reward_scale="log1p", time=time)
    plain = fitted(None, WEIGHTS, X, time=time)
    assert_allclose(ones.item_embeddings_, plain.item_embeddings_, atol=1e-4)


def test_a_weight_of_two_is_two_rows_on_any_scale():
    twice = fitted(AMOUNTS, np.full(len(EVENTS), 2.0), reward_scale="sqrt")
    rows = np.tile(np.arange(len(EVENTS)), 2)
    repeated = fitted(AMOUNTS[rows], None, EVENTS.iloc[rows], reward_scale="sqrt")
    assert_allclose(twice.item_embeddings_, repeated.item_embeddings_, atol=1e-5)


@pytest.mark.slow
def test_further_events_have_the_scale_of_fit(tmp_path):
    model, other = fitted(AMOUNTS, reward_scale="log1p"), fitted(np.log1p(AMOUNTS))
    dump(model, tmp_path / "model.sktt")
    read = load(tmp_path / "model.sktt")
    assert read.reward_scale_ == "log1p"
    other.partial_fit(EVENTS[:20], np.log1p(5 * AMOUNTS[:20]))
    for each in (model, read):
        each.set_params(reward_scale=None).partial_fit(EVENTS[:20], 5 * AMOUNTS[:20])
        assert_array_equal(each.item_embeddings_, other.item_embeddings_)


@for_each("value", ["log", 1.0])
def test_bad_scales(value):
    with pytest.raises(ValueError, match="'reward_scale' parameter"):
        small(reward_scale=value).fit(EVENTS)


# The choice


@pytest.mark.slow
def test_a_few_huge_amounts_that_say_nothing_are_scaled_down(monkeypatch):
    # two kinds of users choose their own items; a few rows of another kind are huge
    rng = np.random.default_rng(0)
    users = np.repeat(np.arange(100), 12)
    items = 2 * rng.integers(0, 30, size=len(users)) + users % 2
    y = np.ones(len(users))
    wrong = rng.choice(len(users), 40, replace=False)
    items[wrong] = 60 + rng.integers(0, 5, size=40)
    y[wrong] = 3000.0
    X = pd.DataFrame({"user": users, "item": items})
    monkeypatch.setattr(choices, "MIN_USERS", 40)  # 500 take seconds
    model = small(reward_scale="auto").fit(X, y)
    assert model.reward_scale_ == "log1p"
    other = small(reward_scale="log1p").fit(X, y)
    assert_array_equal(model.item_embeddings_, other.item_embeddings_)


def test_with_too_few_users_to_judge_only_a_heavy_tail_is_scaled():
    X, y = heavy()
    assert small(reward_scale="auto").fit(X, y).reward_scale_ == "log1p"
    assert small(reward_scale="auto").fit(X, np.minimum(y, 5)).reward_scale_ is None
    assert small(reward_scale="auto").fit(X).reward_scale_ is None


# The warning


def heavy():
    """Rows of which 1 % are a thousand times as large: 10 of 1,000."""
    users, items = np.divmod(np.arange(1000), 20)
    X = pd.DataFrame({"user": users, "item": (items + users) % 30})
    y = np.ones(1000)
    y[::100] = 1000
    return X, y


def test_a_tail_is_warned_of():
    X, y = heavy()
    # 990 + 10 * 1000 = 10,990, of which 91 %; 10,990 ** 2 / 10,000,990 = 12.1
    expected = (
        r"1% of the rows with y > 0 carry 91% of the reward: 1,000 rows count like 12 "
        r"equal ones.*np\.log1p\(y\).*reward_scale='auto'"
    )
    with pytest.warns(UserWarning, match=expected):
        small().fit(X, y)


@for_each("scale", ["log1p", "sqrt", None])
def test_a_tail_is_not_warned_of_on_a_scale_or_in_weights(scale):
    X, y = heavy()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        if scale is None:
            small().fit(X, np.ones(1000), sample_weight=y)
        else:
            small(reward_scale=scale).fit(X, y)


@pytest.mark.slow
def test_a_tail_is_warned_of_and_scaled_on_disk(tmp_path):
    X, y = heavy()
    X.assign(y=y).to_parquet(tmp_path / "events.parquet")
    path = str(tmp_path / "events.parquet")
    with pytest.warns(UserWarning, match="1% of the rows with y > 0 carry 91%"):
        small().fit(path, "y")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model = small(reward_scale="log1p").fit(path, "y")
    other = small(reward_scale="log1p").fit(X, y)
    assert_array_equal(model.item_embeddings_, other.item_embeddings_)
