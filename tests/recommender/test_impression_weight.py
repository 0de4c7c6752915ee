"""The weight of impressions that the order of shown items chooses."""

import pickle

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_array_equal

from sktwotower._tables._event_table import EventTable
from sktwotower.metrics import roc_auc_by_list
from sktwotower.metrics._ranked_lists import RankedLists
from sktwotower.recommender import _impression_choice, _short_fit
from sktwotower.recommender._impression_choice import impression_weight
from sktwotower.towers._recipe import Recipe
from tests.builders import small

N_USERS, N_ITEMS = 80, 20


def shown(turns=False, seed=0):
    """Rows of users who choose even items when these are shown.

    ``turns``: in the latest tenth they choose odd ones instead.
    """
    rng = np.random.default_rng(seed)
    users = np.repeat(np.arange(N_USERS), 40)
    items = rng.integers(0, N_ITEMS, size=len(users))
    times = rng.permutation(len(users))
    liked = items % 2 == 0
    if turns:
        liked ^= times > 0.9 * len(users)
    y = rng.uniform(size=len(users)) < np.where(liked, 0.8, 0.2)
    return pd.DataFrame({"user": users, "item": items, "time": times}), y.astype(int)


@pytest.fixture
def few_users(monkeypatch):
    monkeypatch.setattr(_impression_choice, "MIN_USERS", 40)


AUTO = {"impression_weight": "auto", "impression_goal": "shown"}


@pytest.mark.slow
@pytest.mark.parametrize("time", [None, "time"])
def test_impressions_that_help_get_a_weight(few_users, time):
    X, y = shown()
    model = small(time=time, history="auto" if time is None else "recent", **AUTO)
    model.fit(X, y)
    assert model.impression_weight_ in (5, 20)
    assert model.net_.criterion_.impression_weight == model.impression_weight_


@pytest.mark.slow
@pytest.mark.parametrize("history", ["recent", "pooled", None])
def test_impressions_that_mislead_are_left_out(few_users, history):
    X, y = shown(turns=True)
    model = small(time="time", history=history, **AUTO).fit(X, y)
    assert model.impression_weight_ == 0
    # they still put their items into the catalog
    assert_array_equal(model.item_ids_, np.arange(N_ITEMS))


@pytest.mark.slow
def test_the_same_seed_chooses_the_same(few_users):
    X, y = shown()
    models = [small(**AUTO).fit(X, y) for _ in range(2)]
    assert models[0].impression_weight_ == models[1].impression_weight_
    assert_array_equal(models[0].item_embeddings_, models[1].item_embeddings_)


@pytest.mark.slow
def test_with_too_few_users_to_judge_they_have_the_usual_weight():
    X, y = shown()
    assert small(**AUTO).fit(X, y).impression_weight_ == 5


def test_a_number_is_used_as_it_is(events):
    assert small(impression_weight=5).fit(events).impression_weight_ == 5
    assert small(impression_weight=2).fit(events).impression_weight_ == 2


@pytest.mark.slow
def test_without_impressions_nothing_is_tried(events, monkeypatch):
    monkeypatch.setattr(_impression_choice, "auc_among_shown", None)
    model = small(**AUTO).fit(events)
    plain = small(impression_weight=0.0).fit(events)
    assert model.impression_weight_ == plain.impression_weight_ == 0


@pytest.mark.slow
@pytest.mark.parametrize("time", [None, "time"])
def test_partial_fit_goes_on_with_the_weight(few_users, time):
    X, y = shown()
    model = small(time=time, **AUTO).fit(X, y)
    weight = model.impression_weight_
    again = pickle.loads(pickle.dumps(model))
    again.partial_fit(X[:50], y[:50])
    assert again.impression_weight_ == weight > 0


@pytest.mark.slow
def test_auto_next_to_auto_history(few_users):
    X, y = shown()
    dates = X.assign(time=pd.Timestamp("2020-01-01") + pd.to_timedelta(X["time"], "h"))
    model = small(time="time", max_epochs=3, **AUTO)
    assert model.fit(dates, y).impression_weight_ > 0


@pytest.mark.parametrize("value", ["Auto", -1, None])
def test_bad_values(events, value):
    with pytest.raises(ValueError, match="'impression_weight' parameter"):
        small(impression_weight=value).fit(events)


# The choice


def rows_of(X, y, times=None):
    users, items = X["user"].to_numpy(), X["item"].to_numpy()
    shape = users.max() + 1, items.max() + 1
    return EventTable.of(users, items, shape, times, y, np.ones(len(X)))


SHOWN = Recipe.of(small(impression_goal="shown"))


def chosen(monkeypatch, values):
    """Return the weight for given values (n_users,) of each weight."""
    monkeypatch.setattr(_impression_choice, "MIN_USERS", 40)
    judged = dict(zip(_impression_choice.WEIGHTS, values, strict=True))

    def given(recipe, *args):
        return np.asarray(judged[recipe.impression_weight], dtype=float)

    monkeypatch.setattr(_impression_choice, "auc_among_shown", given)
    X, y = shown()
    return impression_weight(SHOWN, None, rows_of(X, y), None, seed=0)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        # differences of .1 and .2 for every user
        ([[0.5, 0.6], [0.6, 0.7], [0.7, 0.8]], 20),
        ([[0.5, 0.6], [0.7, 0.8], [0.6, 0.7]], 5),
        ([[0.5, 0.6], [0.4, 0.5], [0.3, 0.4]], 0),
        ([[0.5, 0.6], [0.5, 0.6], [0.5, 0.6]], 0),
        # a mean difference of .1 with a standard error of .1, or a little less
        ([[0.5, 0.5], [0.5, 0.7], [0, 0]], 0),
        ([[0.5, 0.5], [0.51, 0.7], [0, 0]], 5),
        # users without both outcomes do not count
        ([[0.5, np.nan, 0.6], [0.6, np.nan, 0.7], [0, np.nan, 0]], 5),
    ],
)
def test_a_weight_must_pay_beyond_its_standard_error(monkeypatch, values, expected):
    assert chosen(monkeypatch, values) == expected


def test_rows_that_are_held_out():
    rng = np.random.RandomState(0)
    X, y = shown()
    times = X["time"].to_numpy()
    late = _short_fit.are_late(rows_of(X, y, times), rng)
    assert_array_equal(late, rows_of(X, y, times).times > 0.9 * (len(X) - 1))
    for unordered in (None, np.zeros(len(X))):
        drawn = _short_fit.are_late(rows_of(X, y, unordered), rng)
        assert 0.05 < drawn.mean() < 0.15


@pytest.mark.parametrize(
    ("times", "held_out"),
    [([1, 2, 3, 3], [0, 0, 1, 1]), ([1] * 30 + [2], [0] * 30 + [1])],
)
def test_rows_at_few_times_are_held_out(times, held_out):
    # a month of the latest rows, or almost all rows at the first time
    rows = EventTable(1, np.array([0, len(times)]), np.array(times), np.array(times))
    late = _short_fit.are_late(rows, np.random.RandomState(0))
    assert late.astype(int).tolist() == held_out


def test_a_weight_is_chosen_by_a_part_of_the_users(monkeypatch):
    monkeypatch.setattr(_short_fit, "MAX_EVENTS", 200)
    monkeypatch.setattr(_impression_choice, "MIN_USERS", 1)
    X, y = shown()
    table, seen = rows_of(X, y), []

    def values(recipe, events, before, shown, fit):
        seen.append((before, shown))
        return np.zeros(1)

    monkeypatch.setattr(_impression_choice, "auc_among_shown", values)
    impression_weight(SHOWN, None, table, None, seed=0)
    before, late = seen[0]
    assert 0 < before.n_events + late.n_events <= 200
    assert before.n_users == table.n_users
    some = np.unique(before.users)
    assert 1 < len(some) <= 5 and np.isin(late.users, some).all()


def test_values_are_those_of_the_functions():
    X, y = shown()
    scores = np.random.default_rng(1).uniform(size=len(X))
    table = rows_of(X, y)
    lists = RankedLists(table.chosen, scores, table.users)
    expected = roc_auc_by_list(table.chosen, scores, table.users, per_list=True)
    assert_array_equal(lists.values("roc_auc"), expected)
