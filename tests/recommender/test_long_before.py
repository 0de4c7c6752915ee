"""Requests at a time long before the latest events have weights of their own.

A planted scene: what is in fashion changes every 50 days, and users choose some of it,
many during some months, others all the time. What is in fashion at the end says nothing
of the time before.
"""

import logging

import numpy as np
import pandas as pd
import pytest

from sktwotower import TwoTowerRecommender, io, runtime
from sktwotower.inspection import explain

N_FASHIONS, N_ITEMS = 10, 120
START = pd.Timestamp("2020-01-01")
LENGTH = 50  # days of a fashion


def events_of_fashions(n_users=1500, n_events=12, seed=0):
    rng = np.random.default_rng(seed)
    end = N_FASHIONS * LENGTH
    length = np.where(np.arange(n_users) % 3 == 0, end, 120)
    first = rng.uniform(0, end - length)
    shares = np.sort(rng.random((n_users, n_events)), axis=1)
    days = first[:, None] + shares * length[:, None]
    fashion = np.minimum(days // LENGTH, N_FASHIONS - 1).astype(int)
    in_fashion = 6 * fashion + rng.integers(6, size=days.shape)
    taste = rng.integers(6, size=n_users)
    by_taste = 60 + 10 * taste[:, None] + rng.integers(10, size=days.shape)
    items = np.where(rng.random(days.shape) < 0.5, in_fashion, by_taste)
    users = np.repeat(np.arange(n_users), n_events)
    times = START + pd.to_timedelta(days.ravel(), unit="D").round("s")
    X = pd.DataFrame({"user": users, "item": items.ravel(), "time": times})
    return X.drop_duplicates(["user", "item"]).sort_values("time", kind="stable")


@pytest.fixture(scope="module")
def scene():
    X = events_of_fashions()
    is_last = ~X.duplicated("user", keep="last")
    logger = logging.getLogger("sktwotower")
    lines = []
    handler = logging.Handler()
    handler.emit = lambda record: lines.append(record.getMessage())
    logger.addHandler(handler)
    level = logger.level
    logger.setLevel(logging.INFO)
    try:
        model = TwoTowerRecommender(time="time", max_epochs=12, random_state=0)
        model.fit(X[~is_last])
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)
    return model, X[~is_last], X[is_last], lines


def at_day(day):
    return {"time": START + pd.Timedelta(days=day)}


def in_fashion_of_end(model, users, **request):
    lists = model.recommend(users, n_neighbors=10, **request)
    items = lists["item"].to_numpy().astype(int)
    last = (6 * (N_FASHIONS - 1) <= items) & (items < 60)
    return last.mean()


def test_the_log_says_that_requests_long_before_have_weights_of_their_own(scene):
    _, _, _, lines = scene
    assert any("long before" in line for line in lines)


def test_what_is_in_fashion_now_is_not_recommended_long_before(scene):
    model, train, _, _ = scene
    last = train.groupby("user")["time"].max()
    early = last.index[last < START + pd.Timedelta(days=250)][:100].tolist()
    now = in_fashion_of_end(model, early)
    before = in_fashion_of_end(model, early, context=at_day(200))
    assert before < 0.6 * now


def test_last_events_are_found_at_their_own_times(scene):
    model, _, test, _ = scene
    long_ago = test[test["time"] < START + pd.Timedelta(days=300)]
    assert model.score(long_ago) > 1.1 * model.score(long_ago[["user", "item"]])


def test_a_request_without_a_time_and_one_soon_before_the_end_are_of_now(scene):
    model, train, _, _ = scene
    users = train["user"].unique()[:20].tolist()
    end = train["time"].max()
    at_end = model.embed_users(users, context={"time": end})
    days = pd.Timedelta(hours=24)
    soon_before = model.embed_users(users, context={"time": end - days})
    lengths = [np.linalg.norm(each, axis=1) for each in (at_end, soon_before)]
    np.testing.assert_allclose(lengths, 1, rtol=1e-5)


def test_there_is_no_cliff(scene):
    model, train, _, _ = scene
    user = [int(train["user"].iloc[0])]
    end = train["time"].max()
    lengths = []
    for hours in range(0, 24 * 300, 24):
        vector = model.embed_users(
            user, context={"time": end - pd.Timedelta(hours=hours)}
        )
        lengths.append(np.linalg.norm(vector))
    assert np.abs(np.diff(lengths)).max() < 0.1
    assert np.ptp(lengths) > 0.005


@pytest.mark.parametrize("day", [200, 430])
def test_all_ways_to_ask_agree(scene, tmp_path, day):
    model, train, _, _ = scene
    context = at_day(day)
    path = tmp_path / "model.sktt"
    io.dump(model, path)
    stored = io.load(path)
    served = runtime.load(path)
    users = train["user"].unique()[:5].tolist()
    together = model.recommend(users, n_neighbors=5, context=context)
    for user in users:
        of_user = together[together["user"] == user]
        alone = model.recommend([user], n_neighbors=5, context=context)
        again = stored.recommend([user], n_neighbors=5, context=context)
        ids, scores = served.recommend(user, n=5, context=context)
        for other in (alone, again):
            np.testing.assert_allclose(
                other["score"], of_user["score"], rtol=1e-4, atol=1e-5
            )
        np.testing.assert_allclose(scores, of_user["score"], rtol=1e-4, atol=1e-5)
        assert alone["item"].tolist() == again["item"].tolist()
        some = ids[:3].tolist()
        scored = served.score(user, some, context=context)
        np.testing.assert_allclose(scored, scores[:3], rtol=1e-4, atol=1e-5)
        explained = explain(model, user, some[0], context=context)
        np.testing.assert_allclose(
            explained["contribution"].sum(), scores[0], rtol=1e-3, atol=1e-5
        )
        pairs = pd.DataFrame({"user": user, "item": some, "time": context["time"]})
        np.testing.assert_allclose(
            model.predict(pairs), scores[:3], rtol=1e-4, atol=1e-5
        )


def test_further_events_move_what_is_long_before(scene, tmp_path):
    model, train, test, _ = scene
    path = tmp_path / "model.sktt"
    io.dump(model, path)
    moved = io.load(path)
    later = test.tail(50).copy()
    later["time"] = train["time"].max() + pd.Timedelta(days=150)
    moved.partial_fit(later)
    users = train["user"].unique()[:20].tolist()
    # now it is between: a mix of two vectors, which is shorter than both
    context = {"time": train["time"].max()}
    lengths = np.linalg.norm(moved.embed_users(users, context=context), axis=1)
    assert np.abs(lengths - 1).max() > 0.001
