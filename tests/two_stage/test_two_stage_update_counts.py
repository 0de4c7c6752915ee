"""Counts of lists that go on with each request."""

import pickle
import threading
from copy import deepcopy

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from pandas.testing import assert_frame_equal
from sklearn.tree import DecisionTreeClassifier

from sktwotower.io import dump, load

from .builders import shown, stages

COLUMNS = ["user", "item", "when", "list"]


class Noise(DecisionTreeClassifier):
    """Returns scores that say nothing."""

    def predict_proba(self, X):
        return np.random.default_rng(0).random((len(X), 2))


N_BEFORE = 60 * 6 * 4  # rows of the first four of five days


@pytest.fixture(scope="module")
def events():
    events = shown(n_users=60)
    events["item"] = events["item"].where(events["when"] < "2024-01-05", "new")
    return events


@pytest.fixture(scope="module")
def fitted(events):
    before = events[:N_BEFORE]
    return stages(lists="list", later_size=0.5).fit(before[COLUMNS], before["y"])


@pytest.fixture
def model(fitted):
    return deepcopy(fitted)


COLUMN_OF = {"click_rate": [], "counts": ["price"], "ranker": []}


@pytest.fixture(scope="module", params=COLUMN_OF)
def of_order(request):
    """A model that orders lists in some way, and all of its events.

    By the rates of items; by a price of each row; by what half of the users choose and
    the others do not.
    """
    events, rng = shown(n_users=100, n_lists=6, often=1.1), np.random.default_rng(0)
    last = events["when"] == events["when"].max()
    if request.param == "counts":
        events["price"] = rng.integers(1, 9, len(events)).astype(float)
        quality = events["item"].str[1:].astype(int) / 24
        odds = np.where(events["price"] < 4, quality, 0.05)
        events["y"] = (rng.random(len(events)) < odds).astype(float)
    elif request.param == "ranker":
        odd = events["user"].str[-1].astype(int) % 2 == 1
        events["y"] = (odd == (events["item"] >= "i12")).astype(float)
    names = COLUMN_OF[request.param]
    ranker = Noise() if request.param == "click_rate" else None
    params = {"lists": "list", "later_size": 0.5, "row_features": names or None}
    before = events[~last]
    model = stages(ranker=ranker, **params).fit(before[COLUMNS + names], before["y"])
    assert model.list_order_ == request.param
    return model, events[~last], events[last], COLUMNS + names


def test_pieces_count_as_partial_fit_does(of_order):
    fitted, _, new, columns = of_order
    whole, model = deepcopy(fitted), deepcopy(fitted)
    whole.partial_fit(new[columns], new["y"])
    for _, part in new.groupby(new["user"].str[-1], sort=False):
        assert model.update_counts(part[columns], part["y"]) is model
    asked = new[columns].tail(120).drop(columns="when")
    before = fitted.predict(asked)
    if fitted.list_order_ != "ranker":  # which reads what partial_fit learns besides
        assert_allclose(model.predict(asked), whole.predict(asked), rtol=1e-5)
        assert not np.allclose(before, model.predict(asked))
    # the rest of partial_fit follows
    model.partial_fit(new[columns], new["y"], counted=True)
    assert_allclose(model.predict(asked), whole.predict(asked), rtol=1e-5)
    assert_frame_equal(model.recommend(["u00"]), whole.recommend(["u00"]))


@pytest.mark.parametrize("of_order", ["click_rate"], indirect=True)
def test_click_rates_by_hand(of_order):
    fitted, old, new, _ = of_order
    model = deepcopy(fitted)
    asked = pd.DataFrame({"user": "u00", "item": ["new", "never"], "list": 1})
    with pytest.warns(UserWarning, match="fit has not seen"):
        assert_allclose(model.predict(asked), old["y"].mean(), rtol=1e-6)
    rows = new[COLUMNS].assign(item="new")
    y = np.arange(len(rows)) % 2
    model.update_counts(rows, y)
    mean = (old["y"].sum() + y.sum()) / (len(old) + len(rows))
    of_new = (y.sum() + 20 * mean) / (len(rows) + 20)
    with pytest.warns(UserWarning, match="fit has not seen"):
        assert_allclose(model.predict(asked), [of_new, mean], rtol=1e-6)


def test_rows_without_a_list_and_no_rows_change_nothing(model, events):
    asked = events[COLUMNS].tail(60)
    before, new = model.predict(asked), events[N_BEFORE:][COLUMNS]
    model.update_counts(new[:0])
    assert_array_equal(model.predict(asked), before)
    model.update_counts(new.assign(list=None, when=events["when"][N_BEFORE - 1]))
    assert_array_equal(model.predict(asked), before)


BAD_CALLS = [
    (lambda X: X.assign(item=7), "ids of item column 'item' have another type"),
    (lambda X: X.assign(when=7.0), "'when' of X"),
    (lambda X: X.assign(list="one"), "one user"),
    (lambda X: X.drop(columns="list"), "list"),
]


def test_a_call_that_fails_changes_nothing(model, events):
    for change, message in BAD_CALLS:
        new, asked = events[N_BEFORE:], events[COLUMNS].tail(60)
        before = model.predict(asked)
        with pytest.raises((ValueError, TypeError), match=message):
            model.update_counts(change(new[COLUMNS]), new["y"])
        assert_array_equal(model.predict(asked), before)


def test_who_cannot_count_says_so(events):
    without = stages()
    assert not hasattr(without, "update_counts")
    with pytest.raises(AttributeError, match="update_counts"):
        without.update_counts(events[COLUMNS])
    unfit = stages(lists="list")
    with pytest.raises(ValueError, match="not fitted"):
        unfit.update_counts(events[COLUMNS])


def test_a_ranker_cannot_learn_from_what_was_counted(model, events):
    new = events[N_BEFORE:]
    with pytest.raises(ValueError, match="Set one of both"):
        model.partial_fit(new[COLUMNS], new["y"], update_ranker=True, counted=True)


@pytest.mark.slow
def test_files_hold_what_was_counted(model, events, tmp_path):
    new = events[N_BEFORE:]
    for _, part in new[:120].groupby("list", sort=False):
        model.update_counts(part[COLUMNS], part["y"])
    dump(model, tmp_path / "model.sktt")
    trusted = ["sklearn.tree._tree.Tree"]
    read = load(tmp_path / "model.sktt", trusted=trusted)
    asked = events[COLUMNS].tail(60)
    for _ in range(2):
        assert_array_equal(read.predict(asked), model.predict(asked))
        for each in (read, model):
            each.update_counts(new[120:][COLUMNS], new["y"][120:])
    # users that are forgotten are in no count
    model.forget_users(["u00"])
    assert b"u00" not in pickle.dumps(model)
    model.predict(asked)


def test_threads_lose_no_call(model, events):
    new, failed = events[N_BEFORE:], []
    once = deepcopy(model).update_counts(new[COLUMNS], new["y"])
    asked = events[COLUMNS].tail(12)
    parts = [part for _, part in new.groupby("list", sort=False)]

    def write(some):
        try:
            for part in some:
                model.update_counts(part[COLUMNS], part["y"])
                assert np.isfinite(model.predict(asked)).all()
        except Exception as error:
            failed.append(error)

    writers = [threading.Thread(target=write, args=(parts[n::3],)) for n in range(3)]
    for each in writers:
        each.start()
    for each in writers:
        each.join()
    assert not failed
    assert_allclose(model.predict(asked), once.predict(asked), rtol=1e-5)
