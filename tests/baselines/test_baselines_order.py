"""Baselines that know when events happened: worked by hand, and naive twins."""

import datetime
import pickle

import numpy as np
import pandas as pd
import polars as pl
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from sktwotower import EASERecommender, ItemKNNRecommender, PopularityRecommender
from tests.builders import first_fast
from tests.cases import for_each

ALL = [PopularityRecommender, EASERecommender, ItemKNNRecommender]
each = pytest.mark.parametrize("kind", ALL, ids=lambda kind: kind.__name__)
IN_ORDER = [
    PopularityRecommender(window=5, time="time"),
    ItemKNNRecommender(decay=2, time="time"),
]
each_in_order = pytest.mark.parametrize(
    "model", IN_ORDER, ids=lambda model: type(model).__name__
)
PLAIN = ["user", "item"]


@pytest.fixture(scope="module")
def X():
    """Events with equal times, and with repeated pairs of user and item."""
    rng = np.random.default_rng(0)
    table = pd.DataFrame(rng.integers(0, (12, 9), (150, 2)), columns=PLAIN)
    table["item"] = "i" + table["item"].astype(str)
    table["time"] = rng.integers(0, 40, 150)
    return table


@pytest.fixture(scope="module")
def drinks():
    """Tea and jam: 2 / sqrt(3 * 2) alike; egg and ham: 1."""
    pairs = [("ann", "tea"), ("ann", "jam"), ("bob", "tea"), ("bob", "jam")]
    pairs += [("cid", "egg"), ("cid", "ham"), ("dan", "tea")]
    return pd.DataFrame(pairs, columns=PLAIN).assign(time=np.arange(7.0))


def all_pairs(model):
    users, items = model.user_ids_, model.item_ids_
    return pd.DataFrame(
        {"user": np.repeat(users, len(items)), "item": np.tile(items, len(users))}
    )


def scores_of(model):
    return model.predict(all_pairs(model)).reshape(len(model.user_ids_), -1)


def naive_decayed(X, decay):
    """Add up similarities to each past item once, by the lag of its latest time."""
    plain = ItemKNNRecommender().fit(X[PLAIN])
    similar, items = plain.item_similarities_.toarray(), plain.item_ids_.tolist()
    scores = np.zeros((len(plain.user_ids_), len(items)))
    for row, user in enumerate(plain.user_ids_):
        own = X[X["user"] == user]
        times = sorted(own["time"].unique(), reverse=True)
        for item, time in own.groupby("item")["time"].max().items():
            weight = np.exp(-times.index(time) / decay)
            scores[row] += weight * similar[:, items.index(item)]
    return scores


def test_decayed_scores_are_the_naive_ones(X, block):
    model = ItemKNNRecommender(decay=3, time="time").fit(X)
    scores = naive_decayed(X, 3)
    assert_allclose(scores_of(model), scores, rtol=1e-5)
    found = model.recommend(n_neighbors=9, exclude_seen=False)
    assert_allclose(found["score"], -np.sort(-scores).ravel(), rtol=1e-5)
    plain = ItemKNNRecommender().fit(X[PLAIN])
    assert not np.allclose(scores_of(plain), scores, rtol=0.1)


@for_each(
    ("past", "jam", "ham"),
    [
        (["tea", "egg"], np.exp(-1 / 2), 1),
        (["egg", "tea"], 1, np.exp(-1 / 2)),
        (["egg", "oil", "tea"], 1, np.exp(-1 / 2)),  # unknown items are no step
        (["tea", "egg", "tea"], 1, np.exp(-1 / 2)),  # the latest event counts
        (["egg", "egg", "tea"], 1, np.exp(-1 / 2)),
    ],
)
def test_decay_by_hand(drinks, past, jam, ham):
    model = ItemKNNRecommender(decay=2, time="time").fit(drinks)
    found = model.recommend(["zoe"], history={"zoe": past}).set_index("item")["score"]
    assert found["jam"] == pytest.approx(jam * 2 / 6**0.5)
    assert found["ham"] == pytest.approx(ham)
    alone = model.recommend(["zoe"], history=past)
    assert_array_equal(alone["score"], found)


def test_a_basket_is_one_step(drinks):
    model = ItemKNNRecommender(decay=2, time="time").fit(drinks)
    table = pd.DataFrame(
        {"user": "zoe", "item": ["egg", "tea", "ham"], "time": [7.5, 7.5, 6]}
    )
    found = model.recommend(["zoe"], exclude_seen=False, history=table)
    found = found.set_index("item")["score"]
    assert found["jam"] == pytest.approx(2 / 6**0.5)
    assert found["ham"] == pytest.approx(1)
    assert found["egg"] == pytest.approx(np.exp(-1 / 2))


def test_history_follows_the_events_of_fit(drinks):
    model = ItemKNNRecommender(decay=2, time="time").fit(drinks)
    found = model.recommend(["dan"], history=["egg"]).set_index("item")["score"]
    assert found["jam"] == pytest.approx(np.exp(-1 / 2) * 2 / 6**0.5)
    assert found["ham"] == pytest.approx(1)
    before = pd.DataFrame({"user": ["dan"], "item": ["egg"], "time": [-1]})
    found = model.recommend(["dan"], history=before).set_index("item")["score"]
    assert found["jam"] == pytest.approx(2 / 6**0.5)
    assert found["ham"] == pytest.approx(np.exp(-1 / 2))


@pytest.mark.slow
def test_a_new_user_with_the_events_of_a_known_one_is_served_alike(X):
    model = ItemKNNRecommender(decay=2, time="time").fit(X)
    user = model.user_ids_[3]
    past = X[X["user"] == user].assign(user=-1)
    known = model.recommend([user], exclude_seen=False)
    new = model.recommend([-1], exclude_seen=False, history=past)
    assert_array_equal(new[["item", "rank"]], known[["item", "rank"]])
    assert_allclose(new["score"], known["score"])


def test_a_slow_decay_is_none_and_a_fast_one_leaves_the_last_basket(X):
    plain = ItemKNNRecommender().fit(X[PLAIN])
    slow = ItemKNNRecommender(decay=1e9, time="time").fit(X)
    assert_allclose(scores_of(slow), scores_of(plain), rtol=1e-6)
    unused = ItemKNNRecommender(time="time").fit(X)
    assert_array_equal(scores_of(unused), scores_of(plain))
    fast = ItemKNNRecommender(decay=1e-6, time="time").fit(X)
    last = X[X["time"] == X.groupby("user")["time"].transform("max")]
    past = last.groupby("user")["item"].agg(list).to_dict()
    new = {-1 - user: items for user, items in past.items()}
    found = plain.recommend(list(new), exclude_seen=False, history=new)
    expected = fast.recommend(list(past), exclude_seen=False)
    assert_allclose(found["score"], expected["score"])


def test_the_most_popular_of_a_window_by_hand():
    X = pd.DataFrame(
        [
            ("ann", "tea", 1, 1),
            ("bob", "tea", 2, 1),
            ("bob", "jam", 7, 1),
            ("cid", "egg", 7, 1),
            ("cid", "egg", 9, 1),  # once more: counts once
            ("dan", "egg", 9, 1),
            ("eve", "ham", 10, 1),
            ("eve", "tea", 15, 0),  # shown and not chosen: ends no window
        ],
        columns=[*PLAIN, "time", "y"],
    )

    def found(window):
        model = PopularityRecommender(window=window, time="time", n_neighbors=4)
        table = model.fit(X.drop(columns="y"), X["y"]).recommend(["zoe"])
        return table["item"].tolist(), table["score"].tolist()

    # users of the window 7 < t <= 10: cid, dan, eve
    items, scores = found(3)
    assert items == ["egg", "ham", "tea", "jam"]
    assert scores == pytest.approx([2 / 3, 1 / 3, 0, 0])
    items, scores = found(3.5)
    assert items == ["egg", "ham", "jam", "tea"]
    assert scores == pytest.approx([2 / 4, 1 / 4, 1 / 4, 0])
    assert found(1e-9) == (["ham", "egg", "tea", "jam"], [1, 0, 0, 0])
    plain = PopularityRecommender(n_neighbors=4).fit(X[PLAIN], X["y"])
    plain = plain.recommend(["zoe"])
    for longer in (9.5, 1e300, np.inf):
        assert found(longer) == (plain["item"].tolist(), plain["score"].tolist())


def test_candidates_have_the_order_of_the_window(X):
    model = PopularityRecommender(window=1, time="time").fit(X)
    whole = model.recommend(["nobody"])
    assert len(whole) == 9 and whole["score"].eq(0).sum() > 1
    items = whole["item"].tolist()
    some = model.recommend(["nobody"], candidates=items[1:])
    assert some["item"].tolist() == items[1:]


DAY = pd.Timedelta(days=1)


@pytest.mark.parametrize(
    "window", first_fast([3 * DAY, (3 * DAY).to_pytimedelta(), np.timedelta64(72, "h")])
)
@pytest.mark.parametrize("zone", [None, "Europe/Paris"])
def test_windows_of_dates(X, window, zone):
    numbers = PopularityRecommender(window=3, time="time").fit(X)
    start = pd.Timestamp("2024-05-01", tz=zone)
    dates = X.assign(time=start + X["time"] * DAY)
    model = PopularityRecommender(window=window, time="time").fit(dates)
    assert_array_equal(scores_of(model), scores_of(numbers))
    assert len(np.unique(scores_of(model))) > 2


def test_dates_may_span_centuries():
    dates = pd.to_datetime(["1678-01-01", "2261-12-31", "2261-12-31"])
    X = pd.DataFrame({"user": [1, 2, 3], "item": [7, 8, 9], "time": dates})
    model = PopularityRecommender(window=DAY, time="time").fit(X)
    assert scores_of(model)[0].tolist() == [0, 0.5, 0.5]
    for window in (datetime.timedelta(250_000), datetime.timedelta.max):
        model = PopularityRecommender(window=window, time="time").fit(X)
        assert_allclose(scores_of(model)[0], 1 / 3)


@each
def test_later_tables_may_lack_the_time(kind, X):
    model = kind(time="time").fit(X)
    assert_array_equal(model.predict(X[PLAIN]), model.predict(X))
    assert_array_equal(model.predict(X[PLAIN]), kind().fit(X[PLAIN]).predict(X[PLAIN]))
    assert model.score(X[PLAIN]) == model.score(X)
    assert_array_equal(model.recommend(X[["user"]]), model.recommend(X["user"]))
    with pytest.raises(ValueError, match="item"):
        model.predict(X[["user", "time"]])


@each_in_order
def test_rows_libraries_and_units_do_not_matter(model, X):
    expected = scores_of(model.fit(X))
    shuffled = X.sample(frac=1, random_state=0)
    assert_allclose(scores_of(model.fit(shuffled)), expected, rtol=1e-5)
    library = pl.DataFrame(X.to_dict("list"))
    assert_allclose(scores_of(model.fit(library)), expected, rtol=1e-5)
    moved = X.assign(time=X["time"] - 1e6)
    assert_allclose(scores_of(model.fit(moved)), expected, rtol=1e-5)
    again = pickle.loads(pickle.dumps(model))
    assert_array_equal(scores_of(again), scores_of(model))


@each_in_order
def test_columns_by_position(model, X):
    expected = scores_of(model.fit(X))
    codes = X["item"].str[1:].astype(int)
    array = np.column_stack([X["time"], X["user"], codes])
    by_place = type(model)(**model.get_params() | {"time": 0}).fit(array)
    pairs = all_pairs(model)
    pairs["item"] = pairs["item"].str[1:].astype(int)
    # the columns of fit without the first
    found = by_place.predict(pairs.to_numpy()).reshape(expected.shape)
    assert_allclose(found, expected, rtol=1e-5)


@for_each(
    ("model", "message"),
    [
        (PopularityRecommender(window=3), "window=3 needs .* time='timestamp'"),
        (PopularityRecommender(window=0, time="time"), "window must be > 0. Got 0"),
        (PopularityRecommender(window=-1, time="time"), "window must be > 0. Got -1"),
        (PopularityRecommender(window=np.nan, time="time"), "window must be > 0"),
        (PopularityRecommender(window=DAY, time="time"), "window must be a number"),
        (PopularityRecommender(window="3", time="time"), "window must be a number"),
        (ItemKNNRecommender(decay=2), "decay=2 needs the times .*set decay=None"),
        (ItemKNNRecommender(decay=0, time="time"), "'decay' parameter"),
        (ItemKNNRecommender(decay="1", time="time"), "'decay' parameter"),
    ],
)
def test_parameters_of_order(model, message, X):
    with pytest.raises((ValueError, TypeError), match=message):
        model.fit(X)


@for_each("window", [3, "3 days", True])
def test_windows_of_dates_are_durations(X, window):
    dates = X.assign(time=pd.Timestamp("2024-05-01") + X["time"] * DAY)
    message = "window must be a duration, such as pandas.Timedelta"
    with pytest.raises(TypeError, match=message):
        PopularityRecommender(window=window, time="time").fit(dates)
    with pytest.raises(ValueError, match="window must be > 0"):
        PopularityRecommender(window=0 * DAY, time="time").fit(dates)
    with pytest.raises(ValueError, match="window must be > 0. Got .*NaT"):
        PopularityRecommender(window=np.timedelta64("NaT"), time="time").fit(dates)


@each
@for_each(
    ("time", "values", "message"),
    [
        ("tme", 1.0, "time names 'tme', .* Did you mean 'time'"),
        (7, 1.0, "time names 7, which is not a column"),
        ("item", 1.0, "'item' would be both the item and the time column"),
        ("time", np.nan, "'time' of X has 150 missing values in 150 rows"),
        ("time", pd.NaT, "'time' of X has 150 missing values in 150 rows"),
        ("time", np.inf, "'time' of X contains NaN or infinity"),
        ("time", "May", "'time' of X must hold dates or numbers.*'May'"),
    ],
)
def test_times_that_are_none(kind, X, time, values, message):
    model = kind(item_id="item", time=time)
    with pytest.raises((ValueError, TypeError), match=message):
        model.fit(X.assign(time=values))
    assert not hasattr(model, "item_ids_")


def test_histories_without_an_order(X):
    model = ItemKNNRecommender(decay=2, time="time").fit(X)
    with pytest.raises(ValueError, match="no column 'time', so its order is unknown"):
        model.recommend(history=X[PLAIN])
    with pytest.raises(TypeError, match="list of items for each user, oldest first"):
        model.recommend(history={-1: {"i1", "i2"}})
    # what does not use the order does not ask for it
    for other in (ItemKNNRecommender(time="time"), *IN_ORDER[:1]):
        assert len(other.fit(X).recommend([-1], history={-1: {"i1", "i2"}})) == 7
