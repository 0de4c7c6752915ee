"""Requests, explanations and further events of models that use the order of time."""

import copy

import numpy as np
import pandas as pd
import polars as pl
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from sktwotower.towers import PooledHistory, RecentHistory
from tests.builders import (
    chain,
    dated,
    follower,
    ordered,
    past_of,
    random_events,
    small,
)
from tests.cases import for_each
from tests.choices import pairwise

X = chain(n_users=15, noise=0.3)
NEW = ["i01", "i02", "i03"]


def events_of(user, items, times):
    return pd.DataFrame({"user": user, "item": items, "when": times})


def apart(a, b):
    return np.abs(a - b).max() > 1e-3


def assert_near(a, b):
    assert_allclose(a, b, rtol=1e-5, atol=1e-6)


@pytest.fixture(scope="module")
def model():
    return ordered().fit(X)


@pytest.fixture(scope="module")
def planted():
    """Return a model that knows what follows each item."""
    params = {"embedding_dim": 32, "max_epochs": 10, "batch_size": 16, "lr": 0.03}
    return ordered(**params).fit(chain(60, 12, noise=0.3))


# Histories of requests.


@pytest.mark.slow
def test_the_order_of_a_list_matters(planted):
    rng = np.random.default_rng(0)
    histories = {f"n{i}": rng.permutation(planted.item_ids_)[:4] for i in range(40)}
    back = {user: items[::-1] for user, items in histories.items()}
    for lists in (histories, back):
        found = planted.recommend(history=lists, n_neighbors=1, exclude_seen=False)
        expected = [follower(items[-1]) for items in lists.values()]
        assert np.mean(found["item"] == expected) > 0.7


@pytest.mark.slow
def test_histories_of_every_form_are_the_same(model):
    expected = model.embed_users(["new"], history={"new": NEW})
    assert apart(expected, model.embed_users(["new"], history={"new": NEW[::-1]}))
    assert apart(expected, model.embed_users(["new"], history={"new": NEW[2:]}))
    table = events_of("new", NEW, [3, 5, 9])
    for history in (
        {"new": tuple(NEW)},
        {"new": np.array(NEW)},
        {"new": iter(NEW)},
        {"new": pd.Series(NEW)},
        NEW,
        pd.Series(NEW, index=[2, 1, 0]),
        np.array([["new", item] for item in NEW], dtype=object),
        table,
        table[::-1],
        table[["when", "item", "user"]].assign(extra=0),
        table.assign(when=[-1e9, 0.25, 1e9]),
        pl.DataFrame(table.to_dict("list")),
    ):
        assert_array_equal(model.embed_users(["new"], history=history), expected)
    one_basket = events_of("new", NEW, 4)
    assert apart(expected, model.embed_users(["new"], history=one_basket))
    assert past_of(model, "new", one_basket) == [(item, 1) for item in NEW]


def test_lists_come_after_the_events_of_fit(model):
    own = X[X["user"] == "u03"]
    later = events_of("u03", NEW, [100, 101, 102])
    assert_array_equal(
        model.embed_users(["u03"], history=NEW),
        model.embed_users(["u03"], history=later),
    )
    whole = pd.concat([own, later])
    as_new = whole.assign(user="new")
    assert past_of(model, "u03", NEW) == past_of(model, "new", as_new)


@for_each(
    "times, dates", [([-3, -2, -1], False), ([2.5, 2.5, 7], True), ([7, 7, 7], False)]
)
def test_events_of_a_table_take_their_place_in_time(model, times, dates):
    own, added = X[X["user"] == "u03"], events_of("u03", NEW, times)
    whole = pd.concat([own, added]).astype({"when": float})
    lag = whole["when"].rank(method="dense", ascending=False).astype(int)
    whole = whole.assign(lag=lag).drop_duplicates(["item", "when"])
    expected = sorted(
        zip(whole["item"], whole["lag"], strict=True), key=lambda e: (-e[1], e[0])
    )
    if dates:
        model, added = ordered().fit(dated(X)), dated(added)
    assert past_of(model, "u03", added) == expected
    # the order of rows has no effect
    assert_array_equal(
        model.embed_users(["u03"], history=added),
        model.embed_users(["u03"], history=added[::-1]),
    )


@pytest.mark.slow
def test_a_date_in_another_zone_is_the_same_instant():
    model = ordered().fit(dated(X))
    history = dated(events_of("u03", NEW, [0.25, 3.25, 9]))
    tokyo = history["when"].dt.tz_localize("UTC").dt.tz_convert("Asia/Tokyo")
    assert_array_equal(
        model.embed_users(["u03"], history=history.assign(when=tokyo)),
        model.embed_users(["u03"], history=history),
    )
    # nine hours earlier, and so before the event of the day
    earlier = history.assign(when=history["when"].dt.tz_localize("Asia/Tokyo"))
    assert past_of(model, "u03", history)[1] == ("i01", 10)
    assert past_of(model, "u03", earlier)[0] == ("i01", 11)


@pytest.mark.slow
def test_only_the_latest_max_history_items_count():
    model = ordered(history=RecentHistory(max_length=2, second_share=0)).fit(X)
    new = {"a": ["i05", "i04", "i01", "i02"], "b": ["i01", "i02"], "c": ["i02", "i01"]}
    a, b, c = model.embed_users(list(new), history=new)
    assert_near(a, b)
    assert apart(a, c)
    assert past_of(model, "a", new) == [("i01", 2), ("i02", 1)]
    # but all are left out
    found = model.recommend(["a"], history=new, n_neighbors=12)["item"]
    assert not set(new["a"]) & set(found)
    known = X[X["user"] == "u03"]["item"].tolist()
    known_and_new = model.embed_users(["u03", "u03"], history={"u03": ["i01", "i02"]})
    assert_array_equal(*known_and_new)
    assert past_of(model, "u03") == list(zip(known[-2:], [2, 1], strict=True))


@pytest.mark.slow
def test_users_of_a_batch_are_independent(model):
    rng = np.random.default_rng(0)
    users = [*model.user_ids_, "n1", "n2"]
    history = {
        user: rng.choice(model.item_ids_, size=size).tolist()
        for user, size in zip(users, rng.integers(1, 30, len(users)), strict=True)
    }
    together = model.embed_users(users, history=history)
    ranked = model.recommend(users, history=history, exclude_seen=False)
    for place, user in enumerate(users):
        alone = model.embed_users([user], history=history)
        assert_near(alone[0], together[place])
        assert_near(
            model.recommend([user], history=history, exclude_seen=False)["score"],
            ranked["score"][ranked["user"] == user],
        )
    assert_near(model.embed_users(users[::-1], history=history), together[::-1])


@pytest.mark.slow
def test_fold_in_steps_aside(model):
    without = copy.deepcopy(model).set_params(history=PooledHistory(fold_in=False))
    history = {"new": NEW}
    vectors = model.embed_users(["new"], history=history)
    assert_array_equal(without.embed_users(["new"], history=history), vectors)
    why = model.explain("new", "i05", history=history)
    assert "(fold-in)" not in set(why["feature"])


def test_what_is_left_out(model):
    seen = set(X["item"][X["user"] == "u03"])
    unseen = sorted(set(model.item_ids_) - seen)
    history = events_of("u03", unseen[:1], [3])
    default = model.recommend(["u03"], 12, history=history)
    assert set(default["item"]) == set(unseen[1:])
    everything = model.recommend(["u03"], 12, history=history, exclude_seen=False)
    assert set(everything["item"]) == set(model.item_ids_)
    scores = dict(zip(everything["item"], everything["score"], strict=True))
    assert_near(default["score"], [scores[item] for item in default["item"]])
    some = model.recommend(
        ["u03"], 12, history=history, exclude_seen=False, candidates=["i02", "i07"]
    )
    assert set(some["item"]) == {"i02", "i07"}
    assert_near(some["score"], [scores[item] for item in some["item"]])


@pytest.mark.slow
def test_a_new_item_in_a_history_is_described_by_its_features():
    items = pd.DataFrame({"item": [f"i{i:02}" for i in range(13)]})
    items["kind"] = [f"k{i % 3}" for i in range(13)]
    model = ordered(items=items, id_dropout=0.8).fit(X)
    without = model.embed_users(["new"], history={"new": ["i01"]})
    cold = model.embed_users(["new"], history={"new": ["i01", "i12"]})
    first = model.embed_users(["new"], history={"new": ["i12", "i01"]})
    assert apart(cold, without) and apart(cold, first)
    assert past_of(model, "new", {"new": ["i01", "i12"]}) == [("i01", 2), ("i12", 1)]


@for_each(
    ("history", "error", "message"),
    [
        (
            {"new": {"i01", "i02"}},
            TypeError,
            "list of items for each user, oldest first",
        ),
        ({"new": "i01"}, TypeError, "list of items for each user, oldest first"),
        ({"i01", "i02"}, TypeError, "history must be .* Got set"),
        (
            events_of("new", NEW, 1).drop(columns="when"),
            ValueError,
            "no column 'when', so its order is unknown. .* oldest first",
        ),
        (
            dated(events_of("new", NEW, 1)),
            TypeError,
            "'when' of history holds dates, but in fit it held numbers",
        ),
        (
            events_of("new", NEW, [1, None, 2]),
            ValueError,
            "'when' of history has 1 missing values in 3",
        ),
        (
            events_of("new", NEW, [1, np.inf, 2]),
            ValueError,
            "of history contains NaN or",
        ),
        (
            events_of("new", NEW, ["a", "b", "c"]),
            TypeError,
            "of history must hold dates",
        ),
        (events_of("new", NEW, 1).drop(columns="item"), ValueError, "no column 'item'"),
    ],
)
def test_histories_without_an_order_are_refused(model, history, error, message):
    for call in (
        lambda: model.recommend(["new"], history=history),
        lambda: model.embed_users(["new"], history=history),
        lambda: model.explain("new", "i01", history=history),
    ):
        with pytest.raises(error, match=message):
            call()


@pytest.mark.slow
def test_numbers_are_refused_where_fit_had_dates():
    model = ordered().fit(dated(X))
    with pytest.raises(
        TypeError, match="history holds numbers, but in fit it held dates"
    ):
        model.recommend(["new"], history=events_of("new", NEW, 1))
    with pytest.raises(TypeError, match="of X holds numbers, but in fit it held dates"):
        model.partial_fit(X)


def test_sets_are_fine_where_the_order_does_not_count():
    model = ordered(history="pooled").fit(X)
    history = {"new": {"i01", "i02"}}
    expected = model.embed_users(["new"], history={"new": ["i02", "i01"]})
    assert_near(model.embed_users(["new"], history=history), expected)
    no_times = events_of("new", ["i01", "i02"], 1)[["user", "item"]]
    assert_near(model.embed_users(["new"], history=no_times), expected)


# Explanations.


@pytest.mark.slow
@pytest.mark.parametrize(
    "history, user, params",
    pairwise(
        [None, ["i01", "i01", "i05"]],
        ["u03", "new"],
        [{}, {"normalize": False}, {"hidden_layer_sizes": (6,)}],
    ),
)
def test_contributions_add_up_to_the_score(user, history, params):
    model = ordered(**params).fit(X)
    why = model.explain(user, "i04", history=history)
    ranked = model.recommend([user], 12, history=history, exclude_seen=False)
    score = ranked["score"][ranked["item"] == "i04"].item()
    assert why["contribution"].sum() == pytest.approx(why.attrs["score"], abs=1e-6)
    assert why.attrs["score"] == pytest.approx(score, abs=1e-5)
    columns = ["side", "feature", "value", "lag", "contribution", "reason"]
    assert why.columns.tolist() == columns
    past = why[why["side"] == "history"]
    n_events = 8 * (user == "u03") + len(history or [])
    assert sorted(past["lag"]) == list(range(1, n_events + 1))
    assert (past["value"] == 1).all()
    assert why["lag"][why["side"] != "history"].isna().all()


@pytest.mark.slow
def test_the_latest_item_of_a_planted_order_counts_most(planted):
    items = list(planted.item_ids_)
    most = []
    for start in range(len(items)):
        history = [items[(start + 7 * i) % len(items)] for i in range(6)]
        why = planted.explain("new", follower(history[-1]), history=history)
        past = why[why["side"] == "history"].sort_values("contribution")
        most.append(past["feature"].iloc[-1] == history[-1])
    assert np.mean(most) > 0.8


def test_a_time_of_asking_that_is_no_time_is_named():
    known = random_events()
    days = pd.to_timedelta(np.arange(len(known)), unit="D")
    timed = known.assign(time=pd.Timestamp("2024-01-01") + days)
    model = small(time="time", context="time", history="pooled").fit(timed)
    with pytest.raises(TypeError, match="The time column 'time' of context must hold"):
        model.recommend(["u1"], context={"time": "2024-01-01"})
    ask = pd.DataFrame({"user": ["u1"], "time": ["2024-01-01"]})
    with pytest.raises(TypeError, match="The time column 'time' of X must hold"):
        model.recommend(ask)
