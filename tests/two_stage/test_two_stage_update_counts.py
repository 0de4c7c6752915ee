"""Counts of lists that go on with each request."""

import threading
from copy import deepcopy

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from pandas.testing import assert_frame_equal

from sktwotower.io import dump, load
from sktwotower.io._skops_state import to_state

from .builders import shown, stages

COLUMNS = ["user", "item", "when", "list"]
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


def ordered_by(model, name):
    """Return the model, which orders lists in some way."""
    lists = model._fitted.lists
    order = lists.order._replace(name=name)
    lists = lists._replace(order=order, updated=order)
    object.__setattr__(model._fitted, "lists", lists)
    return model


@pytest.mark.parametrize("order", ["click_rate", "counts", "ranker"])
def test_pieces_count_as_partial_fit_does(order, model, events):
    ordered_by(model, order)
    whole, new = deepcopy(model), events[N_BEFORE:]
    whole.partial_fit(new[COLUMNS], new["y"])
    for _, part in new.groupby("list", sort=False):
        assert model.update_counts(part[COLUMNS], part["y"]) is model
    counts = model._fitted.lists.counts
    expected = whole._fitted.lists.counts
    assert counts.now == expected.now
    both = zip(counts.merged().groupings, expected.groupings, strict=True)
    for ours, theirs in both:
        assert ours.name == theirs.name
        assert_array_equal(ours.counts.sums[:, 0].sum(), theirs.counts.sums[:, 0].sum())
    asked = events[COLUMNS].tail(120).drop(columns="when")
    if order != "ranker":  # which reads what partial_fit learns besides
        assert_allclose(model.predict(asked), whole.predict(asked), rtol=1e-5)
    # the rest of partial_fit follows
    model.partial_fit(new[COLUMNS], new["y"], counted=True)
    assert_allclose(model.predict(asked), whole.predict(asked), rtol=1e-5)
    assert_frame_equal(model.recommend(["u00"]), whole.recommend(["u00"]))


def test_click_rates_by_hand(model, events):
    ordered_by(model, "click_rate")
    sums = model._fitted.lists.counts.groupings[0].counts.sums[0]
    asked = pd.DataFrame({"user": "u00", "item": ["new", "never"], "list": 1})
    with pytest.warns(UserWarning, match="fit has not seen"):
        assert_allclose(model.predict(asked), sums[1] / sums[0], rtol=1e-6)
    rows = events[N_BEFORE:][COLUMNS]
    y = np.arange(len(rows)) % 2
    model.update_counts(rows, y)
    shown, chosen = sums + [len(rows), y.sum()]
    mean = chosen / shown
    of_new = (y.sum() + 20 * mean) / (len(rows) + 20)
    with pytest.warns(UserWarning, match="fit has not seen"):
        assert_allclose(model.predict(asked), [of_new, mean], rtol=1e-6)


def test_rows_without_a_list_and_no_rows_change_nothing(model, events):
    before = model._fitted.lists.counts
    new = events[N_BEFORE:][COLUMNS]
    model.update_counts(new.assign(list=None))
    assert model._fitted.lists.counts.groupings[0].counts is before.groupings[0].counts
    model.update_counts(new[:0])
    assert model._fitted.lists.counts.now == before.now


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda X: X.assign(item=7), "ids of item column 'item' have another type"),
        (lambda X: X.assign(when=7.0), "'when' of X"),
        (lambda X: X.assign(list="one"), "one user"),
        (lambda X: X.drop(columns="list"), "list"),
    ],
)
def test_a_call_that_fails_changes_nothing(change, message, model, events):
    known, new = model._fitted, events[N_BEFORE:]
    with pytest.raises((ValueError, TypeError), match=message):
        model.update_counts(change(new[COLUMNS]), new["y"])
    assert model._fitted is known


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
    assert to_state(model) is not None
    # users that are forgotten are in no count
    model.forget_users(["u00"])
    assert "u00" not in model._fitted.lists.counts.users
    model.predict(asked)


def test_threads_lose_no_call(model, events):
    new, failed = events[N_BEFORE:], []
    total = model._fitted.lists.counts.groupings[0].counts
    before = total.sums[0].copy()
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
    after = model._fitted.lists.counts.merged().groupings[0].counts.sums[0]
    assert_array_equal(after - before, [len(new), new["y"].sum()])
