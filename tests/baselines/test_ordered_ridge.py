"""The ridge regression of the next item: answers by hand, naive twins, bad input."""

import pickle

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from sktwotower import EASERecommender, OrderedRidgeRecommender
from sktwotower.io import dump, load
from sktwotower.item_weights._transition_weights import seconds_of_transitions
from tests.cases import for_each

PLAIN = ["user", "item"]


@pytest.fixture(scope="module")
def X():
    """Events with baskets, and with repeated pairs of user and item."""
    rng = np.random.default_rng(0)
    table = pd.DataFrame(rng.integers(0, (10, 9), (90, 2)), columns=PLAIN)
    table["item"] = "i" + table["item"].astype(str)
    table["time"] = rng.integers(0, 40, 90)
    return table


@pytest.fixture(scope="module")
def chains():
    """Tea is followed by a cup, and a pot by tea."""
    rows = [["ann", "pot", 1], ["ann", "tea", 2], ["ann", "cup", 3]]
    rows += [["bob", "pot", 1], ["bob", "tea", 2], ["cid", "tea", 1], ["cid", "cup", 2]]
    return pd.DataFrame([*rows, ["dan", "pot", 1]], columns=[*PLAIN, "day"])


def past_before(events, time, items, decay, n_last):
    """Return the decayed past (n_items,) of one user's events before a time."""
    times = sorted({t for t in events["time"] if t < time}, reverse=True)[:n_last]
    weights = np.zeros(len(items))
    for lag, when in reversed(list(enumerate(times, start=1))):
        for item in events.loc[events["time"] == when, "item"]:
            weights[items.index(item)] = np.exp((1 - lag) / decay)
    return weights


def naive_scores(X, l2, decay, n_last):
    users, items = sorted(set(X["user"])), sorted(set(X["item"]))
    past, following = [], []
    for _, events in X.drop_duplicates().groupby("user"):
        for item, time in zip(events["item"], events["time"], strict=True):
            past.append(past_before(events, time, items, decay, n_last))
            following.append(np.arange(len(items)) == items.index(item))
    past, following = np.array(past), np.array(following, dtype=float)
    gram = past.T @ past + l2 * np.eye(len(items))
    weights = np.linalg.solve(gram, past.T @ following)
    now = [
        past_before(X[X["user"] == user], np.inf, items, decay, n_last)
        for user in users
    ]
    return np.array(now) @ weights


def scores_of(model):
    users, items = model.user_ids_, model.item_ids_
    pairs = {"user": np.repeat(users, len(items)), "item": np.tile(items, len(users))}
    return model.predict(pd.DataFrame(pairs)).reshape(len(users), -1)


@pytest.mark.parametrize(
    "n_last", [4, *(pytest.param(n, marks=pytest.mark.slow) for n in (1, 25))]
)
def test_scores_are_the_naive_ones(X, n_last):
    model = OrderedRidgeRecommender(2, time="time", decay=3, n_last=n_last).fit(X)
    assert_allclose(scores_of(model), naive_scores(X, 2, 3, n_last), atol=1e-5)
    shuffled = X.sample(frac=1, random_state=0)
    again = OrderedRidgeRecommender(2, time="time", decay=3, n_last=n_last)
    assert_array_equal(again.fit(shuffled).item_weights_, model.item_weights_)


def test_the_order_counts_by_hand(chains):
    model = OrderedRidgeRecommender(1, time="day", decay=1).fit(chains)
    e = np.exp(-1)
    # pasts: of ann tea (pot) and cup (tea, pot), of bob tea (pot), of cid cup (tea)
    gram = np.array([[2 + e**2, e], [e, 2]]) + np.eye(2)  # of pot and tea
    targets = np.array([[e, 2], [2, 0]])  # cup and tea
    expected = np.zeros((3, 3))
    expected[1:, [0, 2]] = np.linalg.solve(gram, targets)
    assert model.item_ids_.tolist() == ["cup", "pot", "tea"]
    assert_allclose(model.item_weights_, expected, rtol=1e-4, atol=1e-7)
    asked = model.recommend(["zoe"], 1, history={"zoe": ["pot", "tea"]})
    assert asked["item"].tolist() == ["cup"]
    assert_allclose(asked["score"], expected[2, 0] + e * expected[1, 0], rtol=1e-5)
    similar = model.similar_items(["pot"])  # what follows
    assert similar["similar_item"].tolist() == ["tea", "cup"]
    assert_allclose(similar["score"], expected[1, [2, 0]], rtol=1e-4)


def test_items_further_back_than_the_last_ones_do_not_count(chains):
    model = OrderedRidgeRecommender(1, time="day", n_last=1).fit(chains)
    one, both = ["tea"], ["pot", "tea"]
    asked = [model.recommend(["zoe"], history={"zoe": past}) for past in (one, both)]
    found = [each.set_index("item")["score"]["cup"] for each in asked]
    assert found[0] == found[1]


def test_without_times_the_order_of_rows_is_none(X):
    model = OrderedRidgeRecommender(3).fit(X[PLAIN])
    backwards = OrderedRidgeRecommender(3).fit(X[PLAIN][::-1])
    assert_array_equal(backwards.item_weights_, model.item_weights_)
    told = model.recommend(["nobody"], 3, history=["i1"])["item"].tolist()
    scores = model.item_weights_[1].copy()
    scores[1] = -np.inf
    assert told == model.item_ids_[np.argsort(-scores)[:3]].tolist()


@pytest.mark.slow
def test_files_and_pickles_keep_the_order(X, tmp_path):
    model = OrderedRidgeRecommender(2, time="time").fit(X)
    dump(model, tmp_path / "model")
    history = {"new": ["i1", "i2"]}
    expected = model.recommend([0, 1], 4), model.recommend(["new"], 4, history=history)
    for each in (load(tmp_path / "model"), pickle.loads(pickle.dumps(model))):
        pd.testing.assert_frame_equal(each.recommend([0, 1], 4), expected[0])
        new = each.recommend(["new"], 4, history=history)
        pd.testing.assert_frame_equal(new, expected[1])


def test_explained_scores_add_up(chains):
    model = OrderedRidgeRecommender(1, time="day", decay=1).fit(chains)
    parts = model.explain("bob", "cup")
    score = model.predict(chains.iloc[[3]].assign(item="cup"))
    assert_allclose(parts["contribution"].sum(), score[0], rtol=1e-5)
    assert set(parts["feature"]) >= {"pot", "tea"}


def test_times_that_fit_has_not_kept_are_missed(X):
    model = OrderedRidgeRecommender(3).fit(X)
    with pytest.raises(ValueError, match="time='time' was set after fit"):
        model.set_params(time="time").partial_fit(X)


def test_a_catalog_too_large_is_refused(X):
    message = "9 items take 0.0 GB, more than max_memory=1000 bytes.*ItemKNN"
    with pytest.raises(ValueError, match=message):
        OrderedRidgeRecommender(time="time", max_memory=1000).fit(X)
    message = "9 items take about 0 s of one core, more than max_items=8.*decay=5"
    with pytest.raises(ValueError, match=message):
        OrderedRidgeRecommender(time="time", max_items=8).fit(X)
    assert len(OrderedRidgeRecommender(max_items=None).fit(X).item_ids_) == 9
    assert seconds_of_transitions(15_000) == pytest.approx(90, rel=0.2)


def test_l2_too_small_is_refused(X):
    same = X.assign(item="i1")
    twins = pd.concat([same, same.assign(item="i2"), same.assign(item="i3")])
    with pytest.raises(ValueError, match="l2=1e-20 is too small .* Raise l2"):
        OrderedRidgeRecommender(1e-20, time="time").fit(twins)
    with pytest.raises(ValueError, match="l2=1e-20 is too small .* Raise l2"):
        EASERecommender(1e-20).fit(twins)


@for_each(
    ("params", "message"),
    [
        ({"l2": 0}, "'l2' parameter of OrderedRidgeRecommender must be a float"),
        ({"decay": 0}, "'decay' parameter .* Got 0"),
        ({"n_last": 0}, "'n_last' parameter .* must be an int"),
        ({"time": "when"}, "when"),
    ],
)
def test_parameters_out_of_range(params, message, X):
    with pytest.raises(ValueError, match=message):
        OrderedRidgeRecommender(**params).fit(X)
