"""What users choose again: scores by hand, a naive twin, bad input."""

import pickle

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from sktwotower import RepeatRecommender
from sktwotower.io import dump, load
from sktwotower.metrics import retrieval_report
from tests.cases import for_each

COLUMNS = ["user", "item", "day"]
# ann had tea twice on day 2, and jam last; egg has the most users
X = pd.DataFrame(
    [["ann", "tea", 1], ["ann", "tea", 2], ["ann", "tea", 2], ["ann", "jam", 9]]
    + [["ann", "oil", 1], ["bob", "egg", 3], ["cid", "egg", 4], ["cid", "oil", 4]],
    columns=COLUMNS,
)
DATES = pd.Timestamp("2024-05-01") + pd.to_timedelta(X["day"], unit="D")


def list_of(model, user, **how):
    """Return the items and scores of the list of one user."""
    found = model.recommend([user], **how)
    return found["item"].tolist(), found["score"].tolist()


def test_counts_by_hand():
    model = RepeatRecommender(time="day").fit(X)
    # equal events count once; oil and egg have two users each, jam and tea one
    assert list_of(model, "ann") == (["tea", "oil", "jam", "egg"], [2, 1, 1, 0])
    assert list_of(model, "cid") == (["egg", "oil", "jam", "tea"], [1, 1, 0, 0])
    assert list_of(model, "zoe") == (["egg", "oil", "jam", "tea"], [0, 0, 0, 0])
    assert model.exclude_seen is False
    others = list_of(model, "ann", exclude_seen=True)
    assert others == (["egg"], [0])


@for_each("kind", ["numbers", "dates", "far apart"])
def test_half_lives_by_hand(kind):
    events, half_life = X, 2
    if kind == "dates":
        events, half_life = X.assign(day=DATES), pd.Timedelta(days=2)
    model = RepeatRecommender(time="day", half_life=half_life)
    if kind == "far apart":
        # what is left of an event would not be a number any more
        first = pd.DataFrame([["ann", "egg", -90_000], ["bob", "jam", 3]])
        events = pd.concat([X, first.set_axis(COLUMNS, axis=1)])
        items, scores = list_of(model.fit(events), "ann")
        assert items == ["jam", "tea", "oil", "egg"] and 0 < scores[3] < 1e-30
        return
    items, scores = list_of(model.fit(events), "ann")
    assert items == ["jam", "tea", "oil", "egg"]
    # up to the user's latest day, 9
    expected = [1, 2 ** (-8 / 2) + 2 ** (-7 / 2), 2 ** (-8 / 2), 0]
    assert_allclose(scores, expected, rtol=1e-6)
    assert_allclose(list_of(model, "cid")[1], [1, 1, 0, 0])
    pairs = pd.DataFrame({"user": "ann", "item": ["tea", "egg"]})
    assert_allclose(model.predict(pairs), [expected[1], 0], rtol=1e-6)


def test_without_times_items_count_once():
    model = RepeatRecommender().fit(X[["user", "item"]])
    assert list_of(model, "ann") == (["oil", "jam", "tea", "egg"], [1, 1, 1, 0])
    items, scores = list_of(model, "bob", history={"bob": ["jam", "jam"]})
    assert (items[:2], scores[:2]) == (["egg", "jam"], [1, 1])


def test_a_history_is_part_of_the_past():
    model = RepeatRecommender(time="day", half_life=2).fit(X)
    # a list was chosen now, at the latest time of all, day 9
    items, scores = list_of(model, "bob", history={"bob": ["jam", "jam", "oil"]})
    assert items == ["jam", "oil", "egg", "tea"]
    assert_allclose(scores, [2, 1, 2**-3, 0])
    # a table says when, and what is known already counts once
    table = [["bob", "tea", 5], ["bob", "egg", 3], ["cid", "tea", 8]]
    history = pd.DataFrame(table, columns=COLUMNS)
    items, scores = list_of(model, "bob", history=history)
    assert items[:2] == ["tea", "egg"]
    assert_allclose(scores, [1, 1 / 2, 0, 0])
    both = model.recommend(["cid", "zoe", "bob"], 2, history=history)
    assert both["item"].tolist() == ["tea", "egg", "egg", "oil", "tea", "egg"]
    seen = model.recommend(["bob"], history=history, exclude_seen=True)
    assert seen["item"].tolist() == ["oil", "jam"]
    with pytest.raises(ValueError, match="history has no column 'day'"):
        model.recommend(["bob"], history=history[["user", "item"]])


def test_explanations_name_the_item_itself():
    model = RepeatRecommender(time="day").fit(X)
    why = model.explain("ann", "tea")
    assert why.loc[0, ["side", "feature", "reason"]].tolist() == [
        "history",
        "tea",
        "chose tea",
    ]
    assert why["contribution"].tolist() == [2, 0, 0] and why.attrs["score"] == 2
    assert model.explain("ann", "egg")["contribution"].tolist() == [0, 0, 0]


@pytest.mark.parametrize("half_life", [None, 3.5])
def test_all_scores_equal_those_of_plain_loops(half_life, tmp_path):
    rng = np.random.default_rng(0)
    events = pd.DataFrame(rng.integers(0, (10, 9, 30), (200, 3)), columns=COLUMNS)
    model = RepeatRecommender(time="day", half_life=half_life, n_neighbors=9)
    model.fit(events)
    expected = np.zeros((10, 9))
    for user, of_user in events.drop_duplicates().groupby("user"):
        for _, event in of_user.iterrows():
            age = of_user["day"].max() - event["day"]
            weight = 1 if half_life is None else 2 ** (-age / half_life)
            expected[user, event["item"]] += weight
    lists = model.recommend(model.user_ids_)
    scores = lists.pivot(index="user", columns="item", values="score")
    assert_allclose(scores, expected, rtol=1e-6)
    popular = events.drop_duplicates(["user", "item"])["item"].value_counts()
    for user, of_user in lists.groupby("user"):
        keys = [(-expected[user, i].round(9), -popular[i], i) for i in range(9)]
        order = sorted(range(9), key=keys.__getitem__)
        assert of_user["item"].tolist() == order
    dump(model, tmp_path / "model")
    for other in (load(tmp_path / "model"), pickle.loads(pickle.dumps(model))):
        pd.testing.assert_frame_equal(other.recommend(other.user_ids_), lists)
        assert other.get_params() == model.get_params()


def test_forgotten_users_and_further_events():
    model = RepeatRecommender(time="day").fit(X)
    model.forget_users(["ann"])
    assert list_of(model, "ann") == (["egg", "oil", "jam", "tea"], [0, 0, 0, 0])
    assert list_of(model, "cid")[1] == [1, 1, 0, 0]
    more = [["ann", "jam", 11], ["cid", "oil", 12], ["cid", "ham", 12]]
    model.partial_fit(pd.DataFrame(more, columns=COLUMNS))
    assert list_of(model, "ann", n_neighbors=1) == (["jam"], [1])
    assert list_of(model, "cid", n_neighbors=3) == (["oil", "egg", "ham"], [2, 1, 1])


def test_a_report_shows_repeated_choices():
    model = RepeatRecommender(time="day").fit(X)
    test = pd.DataFrame([["ann", "tea", 10], ["bob", "jam", 10]], columns=COLUMNS)
    report = retrieval_report(model, test, k=1, baselines={"again": model})
    recall = report["recall@1"]
    assert recall["had before", "again"] == recall["had before"].iloc[0] == 1
    assert recall["new to the user", "again"] == 0
    assert recall["all", "again"] == 0.5


def test_bad_input():
    with pytest.raises(ValueError, match="half_life=3 needs the times of events"):
        RepeatRecommender(half_life=3).fit(X)
    with pytest.raises(ValueError, match="half_life must be > 0"):
        RepeatRecommender(half_life=0, time="day").fit(X)
    with pytest.raises(TypeError, match="half_life must be a duration"):
        RepeatRecommender(half_life=3, time="day").fit(X.assign(day=DATES))
    model = RepeatRecommender().fit(X)
    model.set_params(time="day")
    with pytest.raises(ValueError, match="time='day' was set after fit"):
        model.partial_fit(X)
    # a half-life may be set after fit, which has kept the times
    model = RepeatRecommender(time="day").fit(X).set_params(half_life=2)
    model.partial_fit(X[:1])
    expected = RepeatRecommender(time="day", half_life=2).fit(X)
    assert_array_equal(list_of(model, "ann")[1], list_of(expected, "ann")[1])
