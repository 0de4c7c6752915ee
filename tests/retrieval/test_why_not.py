"""What keeps an item out of a list, and which users are alike."""

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose

from sktwotower import EASERecommender, PopularityRecommender, TwoStageRecommender
from tests.builders import random_events, small
from tests.cases import for_each
from tests.shared import once

X = pd.DataFrame(
    {
        "user": ["ann", "ann", "bob", "bob", "bob", "cid", "cid", "dan"],
        "item": ["tea", "jam", "tea", "jam", "bread", "nails", "tea", "nails"],
    }
)
ITEMS = pd.DataFrame(
    {
        "item": ["tea", "jam", "bread", "nails"],
        "stock": [3, 0, 0, 5],
        "shelf": list("aabb"),
    }
)


@once
def shop():
    return small(items=ITEMS, sparse_parts=None).fit(X)


@once
def drawn():
    return EASERecommender().fit(random_events())


def with_most_left(model):
    """Return the user with the longest list."""
    return model.recommend(n_neighbors=50).iloc[:, 0].value_counts().index[0]


def kept_out(table):
    return list(table.loc[table["kept_out"], "check"])


@for_each(
    "item, asked, expected",
    [
        ("gold", {}, ["catalog"]),
        ("tea", {}, ["seen"]),
        ("tea", {"exclude_seen": False}, []),
        ("nails", {}, []),
        ("nails", {"history": {"ann": ["nails"]}}, ["seen"]),
        ("nails", {"exclude": {"ann": ["nails"]}}, ["exclude"]),
        ("nails", {"candidates": ["bread", "tea"]}, ["candidates"]),
        ("nails", {"where": {"stock": (1, None)}}, []),
        ("bread", {"where": {"stock": (1, None)}}, ["where: stock"]),
        ("bread", {"where": {"stock": (1, None), "shelf": "b"}}, ["where: stock"]),
        ("bread", {"where": lambda table: table["shelf"] == "a"}, ["where"]),
        (
            "jam",
            {"where": {"shelf": "b"}, "exclude": {"ann": ["jam"]}},
            ["seen", "exclude", "where: shelf"],
        ),
    ],
)
def test_each_rule_that_keeps_an_item_out_is_named(item, asked, expected):
    model = shop()
    table = model.why_not("ann", item, 10, **asked)
    assert kept_out(table) == expected
    listed = model.recommend(["ann"], 10, **asked)["item"]
    assert (item in set(listed)) == (expected == [])


def test_an_item_that_was_removed_is_not_in_the_catalog():
    model = small(items=ITEMS).fit(X).forget_items(["nails"])
    table = model.why_not("ann", "nails")
    assert kept_out(table) == ["catalog"]


def test_the_rank_is_that_in_the_longest_list():
    model = drawn()
    user = with_most_left(model)
    longest = model.recommend([user], len(model.item_ids_))
    for k in (1, 3):
        for item, rank, score in longest[["item", "rank", "score"]].to_numpy():
            table = model.why_not(user, item, k)
            assert table.attrs["rank"] == rank
            assert table.attrs["score"] == pytest.approx(score)
            assert kept_out(table) == (["rank"] if rank > k else [])


def test_what_a_score_lacks_adds_up_to_the_gap_to_the_last_item_of_the_list():
    for model in (shop(), drawn()):
        user = with_most_left(model)
        last = model.recommend([user], 50)["item"].iloc[-1]
        table = model.why_not(user, last, 1)
        parts = table[table["check"].str.startswith("score: ")]
        gap = table.attrs["score"] - table.attrs["last_score"]
        assert parts["value"].sum() == pytest.approx(gap, abs=1e-5)


def test_two_stages_say_it_as_well():
    events = random_events()
    model = TwoStageRecommender(
        [("a", EASERecommender()), ("b", PopularityRecommender())]
    )
    model.set_params(random_state=0).fit(events)
    user = with_most_left(model)
    last = model.recommend([user], 50).iloc[-1]
    table = model.why_not(user, last["item"], 1)
    assert kept_out(table) == ["rank"]
    assert table.attrs["rank"] == last["rank"]


def test_similar_users_are_those_with_the_most_common_items():
    events = random_events()
    model = drawn()
    ones = pd.crosstab(events.iloc[:, 0], events.iloc[:, 1]).clip(upper=1)
    unit = ones.to_numpy() / np.sqrt(ones.sum(axis=1).to_numpy())[:, None]
    cosines = unit @ unit.T
    np.fill_diagonal(cosines, -1)
    users = list(ones.index)
    table = model.similar_users(users, 3)
    for place, user in enumerate(users):
        expected = np.sort(cosines[place][cosines[place] > 0])[::-1][:3]
        own = table[table.iloc[:, 0] == user]
        assert_allclose(own["score"], expected, atol=1e-6)
        assert user not in set(own.iloc[:, 1])


def test_similar_users_of_towers_have_similar_vectors():
    model = shop()
    users = list(model.user_ids_)
    vectors = np.asarray(model.embed_users(users))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    table = model.similar_users(users, len(users))
    assert len(table) == len(users) * (len(users) - 1)
    for user, other, score in table[["user", "similar_user", "score"]].to_numpy():
        expected = vectors[users.index(user)] @ vectors[users.index(other)]
        assert score == pytest.approx(expected, abs=1e-5)
    # a stranger with the past of somebody, whose own row is not left out
    found = model.similar_users(["zoe"], 4, history={"zoe": ["nails"]})
    assert set(found["similar_user"]) == set(users)


@for_each("k, error", [(0, ValueError), (1.5, TypeError)])
def test_numbers_of_similar_users_are_checked(k, error):
    with pytest.raises(error, match="n_neighbors"):
        drawn().similar_users([drawn().user_ids_[0]], k)


def test_nobody_is_like_an_unknown_user_without_a_past():
    assert len(drawn().similar_users(["nobody at all"])) == 0
