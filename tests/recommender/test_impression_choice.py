"""The weight of impressions that later choices in the whole catalog decide on."""

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_array_equal

from sktwotower._tables._event_table import EventTable
from sktwotower.recommender import _impression_choice
from sktwotower.recommender._impression_choice import CatalogLists, impression_weight
from sktwotower.towers._recipe import Recipe
from tests.builders import random_events, small

EVENTS = random_events(n_users=30, n_items=12)
SHOWN = np.random.default_rng(0).uniform(size=len(EVENTS)) < 0.8
Y = SHOWN.astype(int)
RECIPE = Recipe.of(small(impression_weight="auto"))


def same_vectors(model, other):
    assert_array_equal(model.item_embeddings_, other.item_embeddings_)
    assert_array_equal(
        model.embed_users(model.user_ids_), other.embed_users(other.user_ids_)
    )


# What a default fit learns


def test_impressions_do_not_count_by_default():
    model = small().fit(EVENTS, Y)
    assert model.impression_weight_ == 0
    same_vectors(model, small(impression_weight=0).fit(EVENTS, Y))


def test_a_table_without_impressions_has_the_model_of_any_weight(monkeypatch):
    monkeypatch.setattr("sktwotower.recommender._fit.impression_weight", None)
    model = small().fit(EVENTS)
    assert model.impression_weight_ == 0
    same_vectors(model, small(impression_weight=5.0).fit(EVENTS))


@pytest.mark.slow
@pytest.mark.parametrize("goal", ["catalog", "shown"])
def test_a_weight_that_is_chosen_has_the_model_of_one_that_is_set(monkeypatch, goal):
    def chosen(recipe, *args):
        assert recipe.impression_goal == goal
        return 20.0

    monkeypatch.setattr("sktwotower.recommender._fit.impression_weight", chosen)
    params = {"max_epochs": 2, "impression_goal": goal}
    model = small(**params).fit(EVENTS, Y)
    assert model.impression_weight_ == 20
    same_vectors(model, small(impression_weight=20.0, **params).fit(EVENTS, Y))


@pytest.mark.parametrize("value", ["shelf", "auto", None, 1])
def test_bad_goals(value):
    with pytest.raises(ValueError, match="'impression_goal' parameter"):
        small(impression_goal=value).fit(EVENTS)


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
def test_impressions_that_find_more_later_choices_count(monkeypatch):
    monkeypatch.setattr(_impression_choice, "MIN_USERS", 40)
    events = hidden_gems()
    model = small(time="time", history="pooled").fit(events.iloc[:, :3], events["y"])
    assert model.impression_weight_ > 0
    # with as many weights of 1 as before and rows of weight 0 the choice is the same
    ignored = events.sample(200, random_state=0).assign(y=1)
    both = pd.concat([events, ignored])
    weights = np.repeat([1.0, 0.0], [len(events), len(ignored)])
    again = small(time="time", history="pooled")
    again.fit(both.iloc[:, :3], both["y"], sample_weight=weights)
    assert again.impression_weight_ == model.impression_weight_
    same_vectors(again, model)


# What is judged


def table_of(rows, shape):
    users, items, times, rewards = np.array(rows).T
    weights = np.full(len(rows), 0.5)
    return EventTable.of(users, items, shape, times, rewards, weights)


BEFORE = table_of([(0, 0, 0, 1), (0, 1, 1, 0), (1, 1, 0, 1), (2, 2, 0, 0)], (3, 4))
# 0 chooses 1, which was left before, 0 again, and 3, which nobody had; 1 leaves 0
LATER = table_of(
    [(0, 1, 2, 2), (0, 0, 2, 1), (0, 3, 2, 1), (1, 0, 2, 0), (2, 0, 2, 1)], (3, 4)
)


@pytest.mark.parametrize("exclude_seen", [True, False])
def test_later_choices_are_to_be_found_by_hand(monkeypatch, exclude_seen):
    monkeypatch.setattr(_impression_choice, "MIN_USERS", 1)
    recipe = Recipe.of(small(exclude_seen=exclude_seen))
    lists = CatalogLists.of(recipe, BEFORE, LATER)
    assert lists.users.tolist() == [0]  # 1 only left something, 2 had chosen nothing
    first = 0 if exclude_seen else 1
    assert lists.truth.toarray().tolist() == [[first, 1, 0, 0]]
    assert lists.left_out.toarray().tolist() == [[1 - first, 0, 0, 0]]
    monkeypatch.setattr(_impression_choice, "MIN_USERS", 2)
    assert CatalogLists.of(recipe, BEFORE, LATER) is None


# The choice


def judged(monkeypatch, values):
    """Return the weight that values of users (n,) choose, and the weights tried.

    ``values``: by weight.
    """
    tried = []

    def ndcg(self, recipe, *args):
        tried.append(recipe.impression_weight)
        return np.array(values[recipe.impression_weight])

    monkeypatch.setattr(_impression_choice, "MIN_USERS", 1)
    monkeypatch.setattr(CatalogLists, "ndcg", ndcg)
    users = np.repeat(np.arange(40), 20)
    items = np.tile(np.arange(20), 40)
    rewards = np.where(items % 4, 1.0, 0.0)
    table = EventTable.of(users, items, (40, 20), None, rewards, np.ones(len(users)))
    return impression_weight(RECIPE, None, table, None, seed=0), tried


@pytest.mark.parametrize(
    ("values", "expected", "tried"),
    [
        ({0: [0.5, 0.6], 5: [0.6, 0.7], 20: [0.7, 0.8]}, 20, [0, 5, 20]),
        ({0: [0.5, 0.6], 5: [0.7, 0.8], 20: [0.6, 0.7]}, 5, [0, 5, 20]),
        # a higher weight is not tried after a loss
        ({0: [0.5, 0.6], 5: [0.4, 0.5]}, 0, [0, 5]),
        ({0: [0.5, 0.6], 5: [0.5, 0.6]}, 0, [0, 5]),
        # a mean gain of .1 with a standard error of .1, or a little less
        ({0: [0.5, 0.5], 5: [0.5, 0.7]}, 0, [0, 5]),
        ({0: [0.5, 0.5], 5: [0.51, 0.7], 20: [0, 0]}, 5, [0, 5, 20]),
        # a gain of 1.8 %, or of 2.2 %, of each user
        ({0: [0.5, 0.5], 5: [0.509, 0.509]}, 0, [0, 5]),
        ({0: [0.5, 0.5], 5: [0.511, 0.511], 20: [0, 0]}, 5, [0, 5, 20]),
    ],
)
def test_a_weight_must_find_more_beyond_noise(monkeypatch, values, expected, tried):
    assert judged(monkeypatch, values) == (expected, tried)


def test_without_impressions_or_users_to_judge_nothing_is_tried(monkeypatch):
    monkeypatch.setattr(CatalogLists, "ndcg", None)
    users, items = np.repeat(np.arange(40), 20), np.tile(np.arange(20), 40)
    for rewards in (np.ones(800), (items % 4 > 0).astype(float)):
        table = EventTable.of(users, items, (40, 20), None, rewards, np.ones(800))
        assert impression_weight(RECIPE, None, table, None, seed=0) == 0
