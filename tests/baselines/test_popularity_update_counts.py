"""Click rates that go on with each request."""

import copy
import pickle
import threading

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from sktwotower import ClickRateRecommender
from sktwotower.io import dump, load
from tests.cases import for_each

START = pd.Timestamp("2024-05-01")
HOUR = pd.Timedelta(hours=1)


def drawn(n=400, n_items=12, seed=0):
    """Draw showings of some days, in order of time, and which were chosen."""
    rng = np.random.default_rng(seed)
    items = [f"i{item:02}" for item in rng.integers(0, n_items, n)]
    hours = np.sort(rng.integers(0, 90, n))
    events = pd.DataFrame({"user": rng.integers(0, 30, n), "item": items})
    return events.assign(when=START + hours * HOUR), (rng.random(n) < 0.3) * 1.0


def rates(half_life=None, **params):
    if half_life is not None:
        half_life = half_life * HOUR
    return ClickRateRecommender(half_life=half_life, time="when", **params)


def test_by_hand():
    X = [["ann", "tea"], ["bob", "tea"], ["ann", "jam"], ["bob", "jam"]]
    model = ClickRateRecommender(smoothing=2).fit(X, [1, 0, 0, 0])
    assert model.update_counts([["cid", "jam"], ["cid", "egg"]], [1, 1]) is model
    mean = 3 / 6
    asked = [["zoe", "jam"], ["zoe", "tea"], ["zoe", "egg"], ["zoe", "oil"]]
    with pytest.warns(UserWarning, match=r"1 of 4 rows of X .*such as 'oil'"):
        found = model.predict(asked)
    expected = [(1 + 2 * mean) / 5, (1 + 2 * mean) / 4, (1 + 2 * mean) / 3, mean]
    assert_allclose(found, expected, rtol=1e-6)
    assert_allclose(model.item_rates_, expected[:2], rtol=1e-6)
    # the catalog, and what users have chosen, wait for partial_fit
    assert model.recommend(["cid"])["item"].tolist() == ["tea", "jam"]
    model.partial_fit([["cid", "jam"], ["cid", "egg"]], [1, 1], counted=True)
    assert model.item_ids_.tolist() == ["egg", "jam", "tea"]
    assert_allclose(model.item_rates_, np.array(expected)[[2, 0, 1]], rtol=1e-6)
    assert model.recommend(["cid"])["item"].tolist() == ["tea"]


def test_a_half_life_by_hand():
    X = pd.DataFrame({"user": "ann", "item": ["tea", "jam"], "when": [0.0, 2.0]})
    params = {"smoothing": 0, "half_life": 2, "time": "when"}
    model = ClickRateRecommender(**params).fit(X, [1, 0])
    later = pd.DataFrame({"user": "bob", "item": ["tea", "egg"], "when": [4.0, 3.0]})
    model.update_counts(later, [0, 1])
    # of tea one quarter chosen of one and a quarter; egg counts 2 ** -0.5
    asked = [["zoe", "tea", 0], ["zoe", "jam", 0], ["zoe", "egg", 0]]
    asked = pd.DataFrame(asked, columns=["user", "item", "when"])
    assert_allclose(model.predict(asked), [0.2, 0, 1], rtol=1e-6)
    shown, chosen = 1 / 4 + 1 / 2 + 1 + 2**-0.5, 1 / 4 + 2**-0.5
    unknown = asked[:1].assign(item="oil")
    with pytest.warns(UserWarning, match="the mean rate"):
        assert_allclose(model.predict(unknown), chosen / shown, rtol=1e-6)


@pytest.mark.each_time("False-6", "True-None")
@pytest.mark.parametrize("half_life", [None, 6])
@pytest.mark.parametrize("late", [False, True])
def test_pieces_count_as_one_fit_over_all(half_life, late):
    X, y = drawn()
    X.loc[200:, "item"] = X.loc[200:, "item"].replace({"i00": "new", "i01": "newer"})
    whole = rates(half_life).fit(X, y)
    model = rates(half_life).fit(X[:150], y[:150])
    pieces = np.array_split(np.arange(150, 400), 40)
    if late:
        pieces = [pieces[place] for place in np.random.default_rng(0).permutation(40)]
    for piece in pieces:
        model.update_counts(X.iloc[piece], y[piece])
    assert_allclose(model.predict(X), whole.predict(X), rtol=1e-6)
    known = np.isin(whole.item_ids_, model.item_ids_)
    assert_allclose(model.item_rates_, whole.item_rates_[known], rtol=1e-6)
    assert 0 < (~known).sum()
    # what comes after knows all
    model.partial_fit(X[150:], y[150:], counted=True)
    assert_allclose(model.item_rates_, whole.item_rates_, rtol=1e-6)
    assert_array_equal(model.item_ids_, whole.item_ids_)
    model.partial_fit(X[:9], y[:9])
    whole.partial_fit(X[:9], y[:9])
    assert_allclose(model.item_rates_, whole.item_rates_, rtol=1e-6)
    assert_array_equal(model.kneighbors()[1], whole.kneighbors()[1])


def test_new_items_of_which_some_join_the_catalog():
    X, y = drawn()
    model = rates().fit(X[:200], y[:200])
    further = X[200:203].assign(item=["a", "zz", "a"])
    model.update_counts(further, [1, 0, 0])
    model.partial_fit(X[200:201].assign(item="zz"), [0], counted=True)
    assert model.item_ids_[-1] == "zz" and "a" not in model.item_ids_
    whole = rates().fit(
        pd.concat([X[:200], further]), np.concatenate([y[:200], [1, 0, 0]])
    )
    asked = X[:3].assign(item=["a", "zz", "i03"])
    assert_allclose(model.predict(asked), whole.predict(asked), rtol=1e-6)


@pytest.mark.each_time("None-file", "6-pickle", "6-copy")
@pytest.mark.parametrize("way", ["file", "pickle", "copy"])
@pytest.mark.parametrize("half_life", [None, 6])
def test_files_and_pickles_hold_what_was_counted(way, half_life, tmp_path):
    X, y = drawn()
    model = rates(half_life).fit(X[:200], y[:200])
    further = X[200:].assign(item=X["item"].replace({"i00": "new"}))
    for start in range(0, 200, 20):
        model.update_counts(further[start : start + 20], y[200 + start : 220 + start])
    if way == "file":
        dump(model, tmp_path / "model.sktt")
        read = load(tmp_path / "model.sktt")
    else:
        read = copy.deepcopy(model)
        if way == "pickle":
            read = pickle.loads(pickle.dumps(model))
    asked = pd.concat([X, further])
    assert_allclose(read.predict(asked), model.predict(asked), rtol=1e-6)
    assert_allclose(read.item_rates_, model.item_rates_, rtol=1e-6)
    for each in (read, model):
        each.update_counts(further[:50], 1 - y[:50])
    assert_allclose(read.predict(asked), model.predict(asked), rtol=1e-6)


def test_parameters_count_as_they_are_now():
    X, y = drawn()
    model = rates(smoothing=1).fit(X[:200], y[:200])
    model.set_params(smoothing=30).update_counts(X[200:], y[200:])
    whole = rates(smoothing=30).fit(X, y)
    assert_allclose(model.item_rates_, whole.item_rates_, rtol=1e-6)


@for_each(
    ("change", "params", "message"),
    [
        (lambda X: X.assign(item=7), {}, "ids of item column 'item' have another type"),
        (lambda X: X.assign(user="u"), {}, "ids of user column 'user' have another"),
        (lambda X: X.assign(when=1), {}, "'when' of X"),
        (lambda X: X.drop(columns="when"), {}, "lacks the time column"),
        (lambda X: X.assign(item=None), {}, "NaN"),
        (lambda X: X, {"half_life": HOUR}, "was set after fit"),
        (lambda X: X, {"smoothing": -1}, "'smoothing' parameter"),
    ],
)
def test_a_call_that_fails_changes_nothing(change, params, message):
    X, y = drawn()
    model = rates().fit(X[:200], y[:200])
    before = model.predict(X)
    smoothing = model.smoothing
    with pytest.raises((ValueError, TypeError), match=message):
        model.set_params(**params).update_counts(change(X[200:]), y[200:])
    model.set_params(smoothing=smoothing, half_life=None)
    assert_array_equal(model.predict(X), before)
    model.update_counts(X[:0], y[:0])  # no rows
    assert_array_equal(model.predict(X), before)


def test_a_call_needs_a_fit():
    with pytest.raises(ValueError, match="not fitted"):
        ClickRateRecommender().update_counts([["ann", "tea"]])


def test_threads_see_whole_calls_and_lose_none():
    # each call shows each of two items once; both are chosen in it, or none of them
    X = pd.DataFrame({"user": 0, "item": ["tea", "jam"]})
    model = ClickRateRecommender(smoothing=0).fit(X, [1, 1])
    n_calls, seen, failed = 20, [], []

    def write(outcome):
        try:
            for _ in range(n_calls):
                model.update_counts(X, [outcome, outcome])
        except Exception as error:
            failed.append(error)

    def read():
        while any(writer.is_alive() for writer in writers):
            seen.append(tuple(model.predict(X)))
            seen.append(tuple(model.item_rates_))

    writers = [threading.Thread(target=write, args=(n % 2,)) for n in range(4)]
    readers = [threading.Thread(target=read) for _ in range(2)]
    for each in [*writers, *readers]:
        each.start()
    for each in [*writers, *readers]:
        each.join()
    assert not failed and all(a == b for a, b in seen)
    whole = (1 + 2 * n_calls) / (1 + 4 * n_calls)
    assert_allclose(model.item_rates_, whole, rtol=1e-6)
