"""The weight of impressions that the order of shown items chooses."""

import pickle

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_array_equal

import sktwotower.recommender._choices as choices
from tests.builders import random_events, small
from tests.cases import for_each

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
    """Let small data have enough users to judge by: 500 take seconds of each fit."""
    monkeypatch.setattr(choices, "MIN_USERS", 40)


AUTO = {"impression_weight": "shown"}


@pytest.mark.each_time("time")
@pytest.mark.slow
@pytest.mark.parametrize("time", [None, "time"])
def test_impressions_that_help_get_a_weight(few_users, time):
    X, y = shown()
    model = small(time=time, history="auto" if time is None else "recent", **AUTO)
    model.fit(X, y)
    assert model.impression_weight_ in (5, 20)
    again = small(time=time, history="auto" if time is None else "recent", **AUTO)
    again.set_params(impression_weight=model.impression_weight_).fit(X, y)
    assert_array_equal(again.item_embeddings_, model.item_embeddings_)


@pytest.mark.slow
@pytest.mark.parametrize(
    "history",
    ["recent", *(pytest.param(h, marks=pytest.mark.grid) for h in ("pooled", None))],
)
def test_impressions_that_mislead_are_left_out(few_users, history):
    X, y = shown(turns=True)
    model = small(time="time", history=history, **AUTO).fit(X, y)
    assert model.impression_weight_ == 0
    # they still put their items into the catalog
    assert_array_equal(model.item_ids_, np.arange(N_ITEMS))


@pytest.mark.slow
def test_with_too_few_users_to_judge_they_have_the_usual_weight():
    X, y = shown()
    assert small(**AUTO).fit(X, y).impression_weight_ == 5


def test_a_number_is_used_as_it_is(events):
    assert small(impression_weight=5).fit(events).impression_weight_ == 5
    assert small(impression_weight=2).fit(events).impression_weight_ == 2


@pytest.mark.slow
def test_without_impressions_they_have_no_weight(events, few_users):
    model = small(**AUTO).fit(events)
    plain = small(impression_weight=0.0).fit(events)
    assert model.impression_weight_ == plain.impression_weight_ == 0


@pytest.mark.slow
def test_partial_fit_goes_on_with_the_weight(few_users):
    X, y = shown()
    model = small(**AUTO).fit(X, y)
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


@for_each("value", ["Auto", -1, None])
def test_bad_values(events, value):
    with pytest.raises(ValueError, match="'impression_weight' parameter"):
        small(impression_weight=value).fit(events)


# What is to be found in the whole catalog


EVENTS = random_events(n_users=30, n_items=12)
SHOWN = np.random.default_rng(0).uniform(size=len(EVENTS)) < 0.8
Y = SHOWN.astype(int)


def same_vectors(model, other):
    assert_array_equal(model.item_embeddings_, other.item_embeddings_)
    assert_array_equal(
        model.embed_users(model.user_ids_), other.embed_users(other.user_ids_)
    )


def test_impressions_do_not_count_by_default():
    model = small().fit(EVENTS, Y)
    assert model.impression_weight_ == 0
    same_vectors(model, small(impression_weight=0).fit(EVENTS, Y))


def test_a_table_without_impressions_has_the_model_of_any_weight():
    model = small().fit(EVENTS)
    assert model.impression_weight_ == 0
    same_vectors(model, small(impression_weight=5.0).fit(EVENTS))


@for_each("value", ["shelf", None])
def test_bad_goals(value):
    with pytest.raises(ValueError, match="'impression_weight' parameter"):
        small(impression_weight=value).fit(EVENTS)


def hidden_gems(n_users=120, n_items=20, seed=0):
    """Rows of two kinds of users, whose choices of some items tell nothing at first.

    Both kinds chose these alike, but each was also shown those of the other kind, and
    left them. In the end each chooses those of its own kind.
    """
    rng, rows = np.random.default_rng(seed), []
    for user in range(n_users):
        kind = user % 2

        def draw(n, of_kind, time, y, first=100, user=user):
            items = first + 2 * rng.choice(n_items, n, replace=False) + of_kind
            rows.extend((user, item, time, y) for item in items)

        draw(8, kind, 0, 1, first=0)
        draw(1, user // 2 % 2, 1, 1)
        draw(8, 1 - kind, 1, 0)
        draw(3, kind, 2, 1)
    return pd.DataFrame(rows, columns=["user", "item", "time", "y"])


@pytest.mark.slow
def test_impressions_that_find_more_later_choices_count(few_users):
    events, params = hidden_gems(), {"time": "time", "history": "pooled"}
    model = small(**params).fit(events.iloc[:, :3], events["y"])
    assert model.impression_weight_ > 0
    of_number = small(impression_weight=model.impression_weight_, **params)
    same_vectors(of_number.fit(events.iloc[:, :3], events["y"]), model)
    # with as many weights of 1 as before and rows of weight 0 the choice is the same
    ignored = events.sample(200, random_state=0).assign(y=1)
    both = pd.concat([events, ignored])
    weights = np.repeat([1.0, 0.0], [len(events), len(ignored)])
    again = small(**params).fit(both.iloc[:, :3], both["y"], sample_weight=weights)
    assert again.impression_weight_ == model.impression_weight_
    same_vectors(again, model)
    # without choices of their own kind among the latest, they do not
    early = events[(events["time"] < 2) | (events["y"] == 0)]
    model = small(**params).fit(early.iloc[:, :3], early["y"])
    assert model.impression_weight_ == 0
