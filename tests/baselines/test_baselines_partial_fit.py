"""Baselines that learn further events: the result is that of one fit on all."""

import pickle
import threading

import numpy as np
import pandas as pd
import polars as pl
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone

from sktwotower import (
    ChebyshevFilterRecommender,
    ClickRateRecommender,
    EASERecommender,
    GraphFilterRecommender,
    ItemKNNRecommender,
    OrderedRidgeRecommender,
    PopularityRecommender,
    RepeatRecommender,
    RP3betaRecommender,
)
from sktwotower.io import dump, load
from tests.cases import for_each

DAY = pd.Timedelta(days=1)
MODELS = {
    "popularity": PopularityRecommender(time="time"),
    "window": PopularityRecommender(window=6 * DAY, time="time"),
    "item-knn": ItemKNNRecommender(5, time="time"),
    "decay": ItemKNNRecommender(decay=2, time="time"),
    "walk": RP3betaRecommender(decay=2, time="time"),
    "ease": EASERecommender(l2=3, time="time"),
    "filters": GraphFilterRecommender(time="time"),
    "polynomial": ChebyshevFilterRecommender(time="time"),
    "ridge": OrderedRidgeRecommender(l2=3, decay=2, time="time"),
    "repeats": RepeatRecommender(time="time"),
    "recent repeats": RepeatRecommender(half_life=5 * DAY, time="time"),
    "click rate": ClickRateRecommender(2, time="time"),
    "half life": ClickRateRecommender(2, half_life=5 * DAY, time="time"),
}
each = for_each("name", MODELS)


@pytest.fixture(scope="module")
def events():
    """A table in order of time, outcomes and weights; new users and items come late."""
    rng = np.random.default_rng(0)
    day = np.sort(rng.integers(0, 40, 300))
    user, item = (day // 2 + rng.integers(-9, 10, 300) for _ in range(2))
    times = pd.Timestamp("2024-05-01") + day * DAY
    X = pd.DataFrame({"user": user, "item": item, "time": times})
    X["item"] = "i" + X["item"].astype(str)
    return X, rng.integers(0, 3, 300), rng.integers(0, 4, 300)


def parts(events, n):
    """Yield events in n slices, some of which are empty."""
    for rows in np.array_split(np.arange(len(events[0])), n):
        yield tuple(part[rows[0] : rows[-1] + 1] for part in events)


def learnt(model, events, n):
    """Return a model after n calls of partial_fit."""
    model = clone(model)
    for part in parts(events, n):
        model.partial_fit(*part)
    return model


def state(model, exact=True):
    """Return ids, scores, lists and past items of all users."""
    users = model.user_ids_.tolist()
    pairs = pd.MultiIndex.from_product([users, model.item_ids_])
    scores = model.predict(pairs.to_frame(name=["user", "item"]))
    lists = model.recommend([*users, -99], 40)
    if not exact:
        scores, lists = scores.round(5), lists["user"]
    seen = model.seen_items(users)
    return model.item_ids_.tolist(), scores.tolist(), str(lists), str(seen)


@each
def test_slices_equal_one_fit(name, events):
    one, exact = clone(MODELS[name]).fit(*events), name != "half life"
    expected = state(one, exact)
    for n in (1, 7, 100) if name == "half life" else (1, 7):
        many = learnt(MODELS[name], events, n)
        assert state(many, exact) == expected
    assert len(one.item_ids_) > 20


@each
def test_late_events_and_files_in_between(name, events, tmp_path):
    model = MODELS[name]
    first, second, third = parts(events, 3)
    one = clone(model).fit(*events)
    late = clone(model).partial_fit(*second).partial_fit(*third)
    dump(late, tmp_path / "model")
    for each_of in load(tmp_path / "model"), pickle.loads(pickle.dumps(late)):
        each_of.partial_fit(*first)
        assert state(each_of, False) == state(one, False)


@each
def test_forgotten_users_are_gone(name, events):
    X, y, weights = events
    model = clone(MODELS[name]).fit(*events)
    if name == "window":  # the latest events, which begin the window, are not theirs
        gone = X["user"][:150].unique()
    else:
        gone = model.user_ids_[::2]
    model.forget_users(gone)
    new = X.tail(1).assign(user=-99), [1], [1]
    model.partial_fit(*new)
    kept = ~X["user"].isin(gone).to_numpy()
    others = X[kept], y[kept], weights[kept]
    expected = clone(MODELS[name]).fit(*others).partial_fit(*new)
    assert_array_equal(model.user_ids_, expected.user_ids_)
    if name in ("click rate", "half life"):  # counts of items are of nobody
        return
    both = [i for i in expected.item_ids_ if i in set(model.item_ids_)]
    pairs = pd.DataFrame({"user": -99, "item": both})
    assert_allclose(model.predict(pairs), expected.predict(pairs), rtol=1e-5, atol=1e-6)


@each
def test_calls_without_rows_or_without_positive_events(name, events):
    X, y, weights = events
    model = clone(MODELS[name]).fit(*events)
    before = model.predict(X)
    assert model.partial_fit(X[:0]) is model
    assert_array_equal(model.partial_fit(X, y, np.zeros(300)).predict(X), before)
    model.partial_fit(X.tail(1).assign(item="i999"), [0])
    assert "i999" in model.item_ids_
    assert_allclose(model.predict(X), before, rtol=0.02, atol=1e-5)  # an item more
    with pytest.raises(ValueError, match="0 sample"):
        clone(model).partial_fit(X[:0])


@each
def test_a_call_that_fails_changes_nothing(name, events):
    X, y, _ = events
    model = clone(MODELS[name]).fit(X, y)
    before, last = model.predict(X), X.tail(5)
    for bad, outcomes, message in [
        (last.assign(item=range(5)), None, "another type"),
        (last.assign(time=range(5)), None, "in fit it held dates"),
        (last.drop(columns="time"), None, "lacks the time column 'time'"),
        (last.assign(time=pd.NaT), None, "lacks the time column 'time'"),
        (last.assign(more=1), None, "more"),
        (last[["item", "user", "time"]], None, "same order"),
        (last.assign(user=np.nan), None, "contains NaN"),
        (last, -np.ones(5), "y must be >= 0"),
        (last, np.ones(4), "4"),
        ("events.parquet", None, "memory"),
    ]:
        with pytest.raises((ValueError, TypeError), match=message):
            model.partial_fit(bad, outcomes)
    with pytest.raises(ValueError, match="n_neighbors"):
        model.set_params(n_neighbors=0).partial_fit(last)
    assert_array_equal(model.predict(X), before)


@for_each(
    ("name", "params"),
    [
        ("popularity", {"window": DAY}),
        ("item-knn", {"decay": 1.0}),
        ("click rate", {"half_life": DAY}),
        ("half life", {"half_life": DAY}),
        ("half life", {"half_life": None}),
    ],
)
def test_what_fit_has_not_kept_is_missed(name, params, events):
    model = clone(MODELS[name]).fit(*events).set_params(**params)
    with pytest.raises(ValueError, match=r"was set after fit.* as in fit"):
        model.partial_fit(*events)
    without = ClickRateRecommender().fit(events[0][["user", "item"]])
    without.set_params(half_life=3, time="time")
    with pytest.raises(ValueError, match="half_life=3 was set after fit"):
        without.partial_fit(events[0][["user", "item"]])


def test_parameters_count_as_they_are_now(events):
    first, second = parts(events, 2)
    for name, params in [("ease", {"l2": 30}), ("decay", {"decay": None})]:
        model = clone(MODELS[name]).fit(*first).set_params(**params)
        expected = clone(model).fit(*events)
        assert state(model.partial_fit(*second)) == state(expected)


def test_numbers_as_times_and_other_libraries(events):
    X = events[0].assign(time=(events[0]["time"] - events[0]["time"].min()) / DAY)
    whole = X.assign(time=X["time"].astype(int))
    model = PopularityRecommender(window=3, time="time").partial_fit(whole[:100])
    model.partial_fit(pl.from_pandas(X[100:] + {"user": 0, "item": "", "time": 0.5}))
    X.loc[100:, "time"] += 0.5
    assert state(model) == state(PopularityRecommender(window=3, time="time").fit(X))


def test_requests_get_the_answer_of_one_state(events):
    model, found = clone(MODELS["half life"]).partial_fit(*next(parts(events, 9))), []
    asked = threading.Thread(target=lambda: found.extend(map(ask, range(20))))

    def ask(_):
        return len(model.recommend([-99], 99, exclude_seen=False))

    asked.start()
    sizes = []
    for part in parts(events, 9):
        sizes.append(len(model.partial_fit(*part).item_ids_))
    asked.join()
    assert {*found} <= {len(np.unique(events[0]["item"])), *sizes}
